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
    /// What became of units in this round: written when the clients have their answers, as no start waits for the log.
    later: Vec<(String, u8, String)>,
}

/// Priorities of syslog(3) that the manager uses.
pub(crate) const ERROR: u8 = 3;
pub(crate) const WARNING: u8 = 4;
pub(crate) const NOTICE: u8 = 5;
pub(crate) const INFO: u8 = 6;

impl OwnLog {
    /// Writes a line; a log that is full or gone never stops the manager.
    fn write(&self, unit: Option<&str>, priority: u8, text: &str) {
        let Some(stream) = &self.stream else { return };
        let text = text.replace(['\n', '\x1f'], " ");
        let line = match unit {
            Some(unit) => format!("<{priority}>\x1fUNIT={unit}\x1f{text}\n"),
            None => format!("<{priority}>{text}\n"),
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
        self.own_log.write(None, NOTICE, text);
    }

    /// Says something about a unit.
    pub(crate) fn log_about(&self, unit: UnitId, text: &str) {
        self.log_as(NOTICE, unit, text);
    }

    /// Says something about a unit, with a priority.
    pub(crate) fn log_as(&self, priority: u8, unit: UnitId, text: &str) {
        let name = self.units.get(&unit).map(|entry| entry.name.as_str());
        self.own_log.write(name, priority, text);
    }

    /// Says something about a unit at the end of the round.
    pub(crate) fn log_later(&mut self, priority: u8, unit: UnitId, text: String) {
        if let Some(entry) = self.units.get(&unit) {
            let line = (
                entry.name.to_string(),
                priority,
                format!("{}: {text}", entry.name),
            );
            self.own_log.later.push(line);
        }
    }

    /// Writes what was left for the end of the round.
    pub(crate) fn write_later(&mut self) {
        for (unit, priority, text) in std::mem::take(&mut self.own_log.later) {
            self.own_log.write(Some(&unit), priority, &text);
        }
    }
}

/// A level as its number.
pub(crate) fn priority(level: &LogLevel) -> u8 {
    *level as u8
}
