//! What workers tell of extensions and of what they are laid over.

use std::os::fd::BorrowedFd;

use super::{Answer, Kind, Task, WorkerError, Workers};
use crate::extension::{Brought, Release};
use crate::os_release::OsRelease;

impl Workers {
    /// Reads what the system below a root says that it is.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn base(&self, root: BorrowedFd<'_>) -> Result<OsRelease, WorkerError> {
        match self.ask(Kind::Extract, root, None, &Task::Base)? {
            (Answer::Base(release), _) => Ok(release),
            _ => Err(WorkerError::Confused {
                kind: Kind::Extract.name(),
            }),
        }
    }

    /// Reads what the extension below a root is made for.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn release(&self, root: BorrowedFd<'_>, name: &str) -> Result<Release, WorkerError> {
        match self.ask(Kind::Extract, root, None, &Task::Release(name.to_owned()))? {
            (Answer::Release(release), _) => Ok(release),
            _ => Err(WorkerError::Confused {
                kind: Kind::Extract.name(),
            }),
        }
    }

    /// The same, with its units of these prefixes and its own.
    ///
    /// # Errors
    /// See [`WorkerError`].
    pub fn brought(
        &self,
        root: BorrowedFd<'_>,
        name: &str,
        prefixes: Vec<String>,
    ) -> Result<Brought, WorkerError> {
        let task = Task::Bring(name.to_owned(), prefixes);
        match self.ask(Kind::Extract, root, None, &task)? {
            (Answer::Brought(brought), _) => Ok(brought),
            _ => Err(WorkerError::Confused {
                kind: Kind::Extract.name(),
            }),
        }
    }
}
