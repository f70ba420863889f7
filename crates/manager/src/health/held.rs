//! A run that shares its sockets with the one that is asked is held while it is asked: it would answer for it. Held is frozen: it loses nothing, and
//! who is being served by it waits for the time of a probe.

use crate::clock::monotonic;
use engine::Micros;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

/// How long a run is held at most for one probe: what is asked then has to answer in this time, whatever HealthTimeoutSec= says.
pub(super) const HELD_MAX: Micros = Micros(1_000_000);
/// Bytes of what the kernel says of a group.
const EVENTS_BYTES_MAX: u64 = 1024;

/// A group that is frozen until this is dropped.
pub(super) struct Held {
    group: PathBuf,
    /// Told of by poll(2) when the kernel has done it.
    pub(super) events: File,
    /// When that has lasted too long.
    pub(super) until: Micros,
}

impl Held {
    /// Freezes a group. None: it is gone, and nobody of it answers.
    pub(super) fn begin(group: &Path) -> io::Result<Option<Held>> {
        let open = || -> io::Result<Held> {
            let events = File::open(group.join("cgroup.events"))?;
            let until = monotonic().after(HELD_MAX);
            let group = group.to_owned();
            let held = Held {
                group,
                events,
                until,
            };
            held.write("1")?;
            Ok(held)
        };
        match open() {
            Err(error) if is_gone(&error) => Ok(None),
            held => held.map(Some),
        }
    }

    /// Is all of it frozen? What is read arms the next poll.
    pub(super) fn is_frozen(&mut self) -> bool {
        let mut text = String::new();
        let read = self.events.rewind().and_then(|()| {
            (&self.events)
                .take(EVENTS_BYTES_MAX)
                .read_to_string(&mut text)
        });
        match read {
            Ok(_) => text.lines().any(|line| line == "frozen 1"),
            // Gone, as its last process is.
            Err(error) => is_gone(&error),
        }
    }

    fn write(&self, state: &str) -> io::Result<()> {
        std::fs::write(self.group.join("cgroup.freeze"), state)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It fails where the group is gone.
        self.write("0").ok();
    }
}

/// A group that was removed, by its path or by a descriptor.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test's own files.

    use super::*;

    #[test]
    fn what_is_held_goes_on_when_nobody_holds_it() {
        let group = tempfile::tempdir().unwrap();
        let file = |name: &str| group.path().join(name);
        std::fs::write(file("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        let mut held = Held::begin(group.path()).unwrap().unwrap();
        let state = || std::fs::read_to_string(file("cgroup.freeze")).unwrap();
        assert_eq!(state(), "1");
        assert!(!held.is_frozen());
        std::fs::write(file("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
        assert!(held.is_frozen());
        drop(held);
        assert_eq!(state(), "0");
        assert!(Held::begin(&file("gone")).unwrap().is_none());
    }
}
