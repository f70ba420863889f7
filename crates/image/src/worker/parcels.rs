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
        let measures = false;
        self.parcel_as(from, pool, (limit_bytes, measures))
    }

    /// The same without contents: the listing says how much room they take.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn measure_parcel(
        &self,
        from: &File,
        pool: &File,
        limit_bytes: u64,
    ) -> Result<Extent, WorkerError> {
        self.parcel_as(from, pool, (limit_bytes, true))
    }

    fn parcel_as(
        &self,
        from: &File,
        pool: &File,
        (limit_bytes, measures): (u64, bool),
    ) -> Result<Extent, WorkerError> {
        let task = Task::Parcel {
            limit_bytes,
            measures,
        };
        match self.ask(Kind::Unpack, from.as_fd(), Some(pool.as_fd()), &task)? {
            (Answer::Unpacked(listing), _) => Ok(listing),
            _ => Err(WorkerError::Confused {
                kind: Kind::Unpack.name(),
            }),
        }
    }
}
