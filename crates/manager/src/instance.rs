//! An instance is the only one of its directories, and says so to whoever waits for it.

use crate::adopt::Inventory;
use crate::manager::{Error, Manager, doing};
use keeper::protocol::Class;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

/// The name of the lock of the runtime directory among what the keeper holds.
const INSTANCE: &str = "instance";
/// The same of the state directory.
const STATE: &str = "state";
/// What the keeper exits with where another instance has a directory.
const ALREADY_RUNS: u8 = 3;
/// Longest text of the file in the state directory that is read, in bytes: a path.
const PATH_BYTES_MAX: u64 = 4096;

impl Manager {
    /// One keeper per runtime directory and per state directory. The locks are the keeper's for as long as it lives, whatever becomes of
    /// its managers. If another has one, this instance ends before it touched anything.
    pub(crate) fn lock_instance(&mut self, inventory: &Inventory) -> Result<(), Error> {
        for (name, lock) in [
            (INSTANCE, Self::lock_runtime as fn(&Self) -> _),
            (STATE, Self::lock_state),
        ] {
            if inventory.has(Class::Other, name) {
                continue;
            }
            match lock(self) {
                Ok(Some(lock)) => self.link.hold(Class::Other, name, Rc::new(lock)),
                Ok(None) => {}
                Err(error) => return Err(self.give_way(error)),
            }
            if name == INSTANCE {
                // Nobody held it: no manager of this instance ran before.
                self.forget_ending();
            }
        }
        Ok(())
    }

    fn lock_runtime(&self) -> Result<Option<OwnedFd>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(&self.directories.runtime, flags, Mode::empty())
            .map_err(|errno| doing("open the runtime directory")(errno.into()))?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(directory)),
            Err(Errno::WOULDBLOCK) => Err(Error::AlreadyRuns {
                runtime: self.directories.runtime.clone(),
            }),
            Err(errno) => Err(doing("lock the runtime directory")(errno.into())),
        }
    }

    /// A file of its own, as commands lock the directory itself for their changes. None where nobody can write: there is nothing to share.
    fn lock_state(&self) -> Result<Option<OwnedFd>, Error> {
        let path = self.directories.state_lock();
        let opened = std::fs::create_dir_all(&self.directories.state).and_then(|()| {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.open(&path)
        });
        let mut file = match opened {
            Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
                return Ok(None);
            }
            opened => opened.map_err(doing("open the lock of the state directory"))?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(self.state_in_use(file)),
            Err(errno) => return Err(doing("lock the state directory")(errno.into())),
        }
        let runtime = self.directories.runtime.as_os_str().as_bytes();
        file.set_len(0)
            .and_then(|()| file.write_all(runtime))
            .map_err(doing("write to the lock of the state directory"))?;
        Ok(Some(file.into()))
    }

    fn state_in_use(&self, file: File) -> Error {
        let mut other = Vec::new();
        let read = file.take(PATH_BYTES_MAX).read_to_end(&mut other);
        Error::StateInUse {
            state: self.directories.state.clone(),
            runtime: self.directories.runtime.clone(),
            other: match read {
                Ok(1..) => String::from_utf8_lossy(&other).into_owned(),
                // It has the lock and will write in a moment, or the disk fails.
                Ok(_) | Err(_) => "(unknown)".into(),
            },
        }
    }

    /// The end of an instance whose directory is another's; whoever waits for it hears why.
    fn give_way(&mut self, error: Error) -> Error {
        if !matches!(error, Error::AlreadyRuns { .. } | Error::StateInUse { .. }) {
            return error;
        }
        match self.tell(&format!("STOPPING=1\nSTATUS={error}\n")) {
            // Standard error and the keeper's exit status say it, too.
            Ok(()) | Err(_) => {}
        }
        self.link.shut_down(crate::actions::Ending {
            status: ALREADY_RUNS,
            ..Default::default()
        });
        match self.link.flush(&self.poll) {
            Ok(()) => error,
            Err(broken) => broken.into(),
        }
    }

    /// Tells whoever waits for it that clients can connect.
    pub(crate) fn tell_ready(&mut self) {
        let told = self.tell(&format!("READY=1\nMAINPID={}\n", self.keeper.pid));
        // Whoever waited for the first manager of this keeper has gone by now.
        if let Err(error) = told
            && self.keeper.restarts == 0
        {
            let path = self.ready.as_deref().unwrap_or(&self.directories.runtime);
            self.log(&format!(
                "nobody hears at {} that this instance is ready: {error}",
                path.display()
            ));
        }
        self.ready = None;
    }

    /// By sd_notify's protocol.
    fn tell(&self, message: &str) -> std::io::Result<()> {
        let Some(path) = &self.ready else {
            return Ok(());
        };
        let socket = std::os::unix::net::UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        match path.as_os_str().as_bytes().strip_prefix(b"@") {
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                socket.send_to_addr(message.as_bytes(), &address)?
            }
            None => socket.send_to(message.as_bytes(), path)?,
        };
        Ok(())
    }
}
