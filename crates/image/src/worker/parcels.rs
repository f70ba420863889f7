//! The caller's side of what takes archives apart by which portables move.

use std::fs::File;
use std::os::fd::AsFd;

use super::{Answer, Kind, Task, WorkerError, Workers};
use crate::source::Extent;

impl Workers {
    /// Takes an archive by which a portable moves apart, from a file or a pipe, into a file; where its listing is comes back.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn parcel(
        &self,
        from: &File,
        pool: &File,
        limit_bytes: u64,
    ) -> Result<Extent, WorkerError> {
        let task = Task::Parcel(limit_bytes);
        match self.ask(Kind::Unpack, from.as_fd(), Some(pool.as_fd()), &task)? {
            (Answer::Unpacked(listing), _) => Ok(listing),
            _ => Err(WorkerError::Confused {
                kind: Kind::Unpack.name(),
            }),
        }
    }
}
