//! Opening paths whose resolution is restricted (openat2(2)).

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::path::Arg;

use crate::{AsFd, Errno, OwnedFd, Result};

/// Tries after EAGAIN: each means that somebody renamed or mounted something, anywhere on the host, while a `..` was resolved. A
/// busy host does so a few times in a row; a thousand times is an attack.
const TRIES: u32 = 1000;

/// openat2(2), tried again where the kernel could not tell whether a `..` stays inside.
///
/// # Errors
/// The kernel's; EAGAIN after a thousand tries.
pub fn open<P: Arg + Copy>(
    directory: impl AsFd,
    path: P,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let mut outcome = Err(Errno::AGAIN);
    for _ in 0..TRIES {
        outcome = rustix::fs::openat2(directory.as_fd(), path, flags, mode, resolve);
        if !matches!(outcome, Err(Errno::AGAIN)) {
            break;
        }
    }
    outcome
}
