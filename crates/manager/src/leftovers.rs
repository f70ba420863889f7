//! What a run leaves in the file system, and what of it goes with the run.

use crate::entry::Entry;
use crate::run::Run;
use model::value::{DirectoryPreserve, ListenAddress};
use model::{Unit, key};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Something that goes with a run. Services own directories on the way to it, so it is looked up without following their links.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    /// A directory of the host.
    base: &'static str,
    /// What goes, below it.
    rest: PathBuf,
}

/// What goes when a run ends: the unit's runtime directories, unless it keeps them, and its private /tmp.
pub(crate) fn of(entry: &Entry, run: &Run) -> Vec<Leftover> {
    let unit = &entry.unit;
    let mut paths = Vec::new();
    if unit.is_set(key::PRIVATE_TMP.directive()) || unit.is_set(key::DYNAMIC_USER.directive()) {
        for path in plan::private_tmp(&run.invocation) {
            let below = |base: &'static str| {
                let rest = Path::new(&path).strip_prefix(base).ok()?.to_owned();
                Some(Leftover { base, rest })
            };
            paths.extend(["/tmp", "/var/tmp"].into_iter().find_map(below));
        }
    }
    let is_last = entry.runs.is_empty();
    if is_last && unit.value(&key::RUNTIME_DIRECTORY_PRESERVE) == DirectoryPreserve::No {
        paths.extend(runtime_directories(unit));
    }
    paths
}

impl Leftover {
    /// Removes it with all that is in it; what is gone already is fine.
    pub(crate) fn remove(&self) {
        let (Some(parent), Some(name)) = (self.rest.parent(), self.rest.file_name()) else {
            return;
        };
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        let opened = rustix::fs::open(self.base, how, Mode::empty())
            .and_then(|base| openat2(base, parent, how, Mode::empty(), beneath));
        let Ok(parent) = opened else {
            return;
        };
        // A link at the end is removed itself.
        let path = Path::new("/proc/self/fd")
            .join(parent.as_raw_fd().to_string())
            .join(name);
        match std::fs::remove_dir_all(path) {
            Ok(()) | Err(_) => {}
        }
    }
}

/// The directory that only root enters goes with the last of those in it.
pub(crate) const PRIVATE_RUNTIME: &str = "/run/private";

fn runtime_directories(unit: &Unit) -> Vec<Leftover> {
    let private = Path::new("private");
    let specs = unit
        .get(&key::RUNTIME_DIRECTORY)
        .into_iter()
        .flat_map(|list| list.iter());
    specs
        .flat_map(|spec| {
            let link = spec.symlink.as_ref().map(PathBuf::from);
            [PathBuf::from(&spec.path), private.join(&spec.path)]
                .into_iter()
                .chain(link)
        })
        .map(|rest| Leftover { base: "/run", rest })
        .collect()
}

/// The files of a socket unit's sockets.
pub(crate) fn socket_files(unit: &Unit) -> Vec<PathBuf> {
    let addresses = [
        &key::LISTEN_STREAM,
        &key::LISTEN_DATAGRAM,
        &key::LISTEN_SEQUENTIAL_PACKET,
    ];
    let listed = addresses
        .into_iter()
        .filter_map(|one| unit.get(one))
        .flat_map(|list| list.iter());
    let sockets = listed.filter_map(|address| match address {
        ListenAddress::Path(path) => Some(PathBuf::from(path)),
        _ => None,
    });
    let links = unit
        .get(&key::SYMLINKS)
        .into_iter()
        .flat_map(|paths| paths.iter())
        .map(PathBuf::from);
    let fifos = unit
        .get(&key::LISTEN_FIFO)
        .into_iter()
        .flat_map(|paths| paths.iter())
        .map(PathBuf::from);
    sockets.chain(fifos).chain(links).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test's own files.

    use super::*;

    #[test]
    fn a_link_that_a_service_left_is_removed_and_never_followed() {
        let base = Path::new("/run").join(format!("coracle-leftovers-{}", std::process::id()));
        let name = base.file_name().unwrap();
        std::fs::create_dir_all(base.join("host/precious")).unwrap();
        std::fs::create_dir(base.join("own")).unwrap();
        std::os::unix::fs::symlink(base.join("host"), base.join("own/trap")).unwrap();
        let remove = |rest: &str| {
            Leftover {
                base: "/run",
                rest: Path::new(name).join(rest),
            }
            .remove();
        };
        remove("own/trap/precious");
        assert!(base.join("host/precious").exists());
        remove("own/trap");
        assert!(!base.join("own/trap").exists() && base.join("host/precious").exists());
        remove("own");
        assert!(!base.join("own").exists());
        std::fs::remove_dir_all(base).unwrap();
    }
}
