//! RemoveOnStop=: what the sockets, pipes and queues of a unit have in the file system goes with them. What others have under these
//! names stays: a start that failed because of it has opened nothing.

use crate::manager::Manager;
use crate::own_log::WARNING;
use engine::UnitId;
use model::value::ListenAddress;
use model::{Listen, Unit, key};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

impl Manager {
    /// Removes what these sockets of a unit have in the file system, where it asks for it.
    pub(crate) fn remove_socket_files<'a>(
        &self,
        unit: UnitId,
        sockets: impl Iterator<Item = &'a OwnedFd>,
    ) {
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        if !entry.unit.value(&key::REMOVE_ON_STOP) {
            return;
        }
        let sockets: Vec<&OwnedFd> = sockets.collect();
        for (name, errno) in remove(&entry.unit, &sockets) {
            let text = format!("{name} stays: it can't be removed: {errno}");
            self.log_as(WARNING, unit, &text);
        }
    }
}

/// Removes the names that these have; says which stay, and why.
fn remove(unit: &Unit, sockets: &[&OwnedFd]) -> Vec<(String, Errno)> {
    let mut stay = Vec::new();
    for listen in unit.listens() {
        if !sockets.iter().any(|socket| is_of(listen, socket)) {
            continue;
        }
        if let Listen::Queue(name) = listen {
            let own = CString::new(name.trim_start_matches('/')).map_err(|_| Errno::INVAL);
            match own.and_then(|own| kernel::listening::remove_queue(&own)) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => stay.push((format!("the message queue {name}"), errno)),
            }
        }
        let Some(file) = listen.file() else {
            continue;
        };
        let links = unit.get(&key::SYMLINKS);
        let links = links.into_iter().flat_map(|paths| paths.iter());
        let links = links.map(Path::new);
        let leads_here =
            |link: &&Path| std::fs::read_link(link).is_ok_and(|to| to == Path::new(file));
        let paths: Vec<PathBuf> = std::iter::once(Path::new(file))
            .chain(links.filter(leads_here))
            .map(PathBuf::from)
            .collect();
        for path in paths {
            if let Err(errno) = crate::leftovers::remove_file(&path) {
                stay.push((path.display().to_string(), errno));
            }
        }
    }
    stay
}

/// Whether what a unit listens on is this one, and its name is still its own.
fn is_of(listen: Listen<'_>, socket: &OwnedFd) -> bool {
    match listen {
        Listen::Address(_, ListenAddress::Path(path)) => {
            let is_socket = rustix::fs::lstat(path.as_str())
                .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Socket);
            is_socket && is_bound_to(socket, path)
        }
        Listen::Fifo(path) => {
            let (own, found) = (rustix::fs::fstat(socket), rustix::fs::lstat(path));
            let numbers = |found: rustix::fs::Stat| (found.st_dev, found.st_ino);
            own.is_ok() && own.map(numbers) == found.map(numbers)
        }
        Listen::Queue(name) => {
            let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd()));
            let is_queue = rustix::net::sockopt::socket_type(socket).is_err();
            is_queue && link.is_ok_and(|link| link == Path::new(name))
        }
        Listen::Address(..) | Listen::Netlink(_) | Listen::Special(_) | Listen::UsbFunction(_) => {
            false
        }
    }
}

/// Its address is the path, or a path through a descriptor of the executor, which is not there any more.
fn is_bound_to(socket: &OwnedFd, path: &str) -> bool {
    let address = rustix::net::getsockname(socket).and_then(SocketAddrUnix::try_from);
    let Ok(address) = address else {
        return false;
    };
    let Some(bound) = address.path() else {
        return false;
    };
    let bound = Path::new(OsStr::from_bytes(bound.to_bytes()));
    let path = Path::new(path);
    bound == path || bound.starts_with("/proc/self/fd") && bound.file_name() == path.file_name()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test's own files.

    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_what_is_open_has_its_name() {
        let folder = tempfile::tempdir_in("/var").unwrap();
        let path = folder.path().join("socket");
        let (text, other) = (path.to_str().unwrap(), folder.path().join("other"));
        let address = |path: &Path| ListenAddress::Path(path.to_str().unwrap().into());
        let (own, foreign) = (address(&path), address(&other));
        let stream = |address| Listen::Address(key::LISTEN_STREAM.directive(), address);
        let socket = OwnedFd::from(UnixListener::bind(&path).unwrap());
        std::fs::write(&other, "").unwrap();
        assert!(is_of(stream(&own), &socket));
        assert!(!is_of(stream(&foreign), &socket));
        assert!(!is_of(Listen::Fifo(text), &socket));
        // Somebody put a file in its place.
        std::fs::rename(&other, &path).unwrap();
        assert!(!is_of(stream(&own), &socket));
        let pipe = folder.path().join("pipe");
        let make = || {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
            let mut options = std::fs::File::options();
            OwnedFd::from(options.read(true).write(true).open(&pipe).unwrap())
        };
        let first = make();
        let name = pipe.to_str().unwrap();
        assert!(is_of(Listen::Fifo(name), &first));
        std::fs::remove_file(&pipe).unwrap();
        let second = make();
        assert!(!is_of(Listen::Fifo(name), &first));
        assert!(is_of(Listen::Fifo(name), &second));
    }
}
