//! The manager's own words: a stream into the log like a service's, with the unit that they are about.

use crate::manager::Manager;
use engine::UnitId;
use keeper::protocol::Class;
use model::value::LogLevel;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// The stream, once it is there.
#[derive(Debug, Default)]
pub(crate) struct OwnLog {
    stream: Option<OwnedFd>,
}

impl OwnLog {
    /// Writes a line; a log that is full or gone never stops the manager.
    fn write(&self, unit: Option<&str>, text: &str) {
        let Some(stream) = &self.stream else { return };
        let text = text.replace(['\n', '\x1f'], " ");
        let line = match unit {
            Some(unit) => format!("<5>\x1fUNIT={unit}\x1f{text}\n"),
            None => format!("<5>{text}\n"),
        };
        match rustix::net::send(
            stream,
            line.as_bytes(),
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        ) {
            Ok(_) | Err(_) => {}
        }
    }
}

impl Manager {
    /// Makes the stream. One of the manager before us ends by itself.
    pub(crate) fn open_own_log(&mut self) {
        let Ok((ours, theirs)) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        ) else {
            return;
        };
        let pid = std::process::id();
        self.link.hold(
            Class::Log,
            &format!("coracled|{pid}||fields=yes|pid={pid}"),
            Rc::new(theirs),
        );
        self.own_log.stream = Some(ours);
    }

    /// Says something about the manager.
    pub(crate) fn log(&self, text: &str) {
        self.own_log.write(None, text);
    }

    /// Says something about a unit.
    pub(crate) fn log_about(&self, unit: UnitId, text: &str) {
        let name = self.units.get(&unit).map(|entry| entry.name.as_str());
        self.own_log.write(name, text);
    }
}

/// A level as its number.
pub(crate) fn priority(level: &LogLevel) -> u8 {
    *level as u8
}
