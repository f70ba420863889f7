//! How long a worker may take, and who ends one that takes longer.

use std::io;
use std::os::fd::BorrowedFd;
use std::process::Child;
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Kind;

/// The time that a worker has for an image: what a slow and busy machine needs to begin, and to read all of it.
pub(super) fn limit(kind: Kind, object: BorrowedFd<'_>) -> io::Result<Duration> {
    const BEGIN_S: u64 = 120;
    // What comes out, no one knows before.
    const UNPACK_S: u64 = 3600;
    if kind == Kind::Unpack {
        return Ok(Duration::from_secs(UNPACK_S));
    }
    const BYTES_PER_S: u64 = 4 << 20;
    let bytes = u64::try_from(rustix::fs::fstat(object)?.st_size).unwrap_or_default();
    Ok(Duration::from_secs(BEGIN_S + bytes / BYTES_PER_S))
}

/// Who ends a worker that takes too long, whatever it or its caller waits for meanwhile.
pub(crate) struct Watch {
    ended: Sender<()>,
    watcher: JoinHandle<bool>,
}

impl Watch {
    pub(crate) fn begin(child: &Child, limit: Duration) -> io::Result<Watch> {
        // Through a descriptor: the number may be somebody else's by then.
        let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
        let (ended, is_ended) = std::sync::mpsc::channel();
        let watch = move || {
            let is_late = is_ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            // One that ended in this moment can't be killed, and was in time.
            is_late && pidfd_send_signal(&process, Signal::KILL).is_ok()
        };
        let watcher = std::thread::Builder::new().spawn(watch)?;
        Ok(Watch { ended, watcher })
    }

    /// Whether it was too late.
    pub(crate) fn end(self) -> bool {
        drop(self.ended);
        self.watcher.join().unwrap_or_default()
    }
}
