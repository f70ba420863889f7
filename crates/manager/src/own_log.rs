//! The manager's own words: a stream into the log like a service's, with the unit that they are about.

use crate::manager::Manager;
use engine::UnitId;
use keeper::protocol::Class;
use model::value::LogLevel;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

/// The stream, once it is there.
///
/// What becomes of a unit is a state that is recorded and a word that is said. A word is on record with the state; then it is said, when
/// the clients have their answers, as no start waits for the log; then the file `said` has its number. So the next manager says what this
/// one did not come to, and nothing again, but for a manager that dies between saying and noting that.
#[derive(Debug, Default)]
pub(crate) struct OwnLog {
    stream: Option<Rc<OwnedFd>>,
    /// Has the number of the last word that was said, in eight bytes, the least significant first.
    said: Option<File>,
    /// The number there, as the manager before us left it.
    said_before: u64,
    /// The number of the last word.
    last: u64,
    /// In the order in which they are said.
    later: Vec<Word>,
}

/// What became of a unit, as a line of its log.
#[derive(Debug)]
struct Word {
    number: u64,
    unit: String,
    priority: u8,
    text: String,
}

/// The name under which the keeper holds our end of the stream.
pub(crate) const HELD: &str = "own-log";

/// Priorities of syslog(3) that the manager uses.
pub(crate) const ERROR: u8 = 3;
pub(crate) const WARNING: u8 = 4;
pub(crate) const NOTICE: u8 = 5;
pub(crate) const INFO: u8 = 6;

impl Word {
    fn read(unit: &str, line: &str) -> Option<Self> {
        let (number, rest) = line.split_once(' ')?;
        let (priority, text) = rest.split_once(' ')?;
        Some(Self {
            number: number.parse().ok()?,
            unit: unit.to_owned(),
            priority: priority.parse().ok()?,
            text: text.to_owned(),
        })
    }
}

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

impl OwnLog {
    /// Adds the words about a unit that are not said yet.
    pub(crate) fn words_of(&self, unit: &str, said: &mut Vec<String>) {
        for word in self.later.iter().filter(|word| word.unit == unit) {
            let Word {
                number,
                priority,
                text,
                ..
            } = word;
            said.push(format!("word {number} {priority} {text}"));
        }
    }

    /// Takes over a word of the manager before us about a unit.
    pub(crate) fn resume(&mut self, unit: &str, word: &str) {
        let Some(word) = Word::read(unit, word) else {
            return;
        };
        self.last = self.last.max(word.number);
        if word.number > self.said_before {
            let later = &mut self.later;
            let place = later.partition_point(|other| other.number < word.number);
            later.insert(place, word);
        }
    }

    /// Opens the file beside the records; the first manager finds it empty.
    fn open_said(&mut self, path: &Path) -> io::Result<()> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path)?;
        let mut number = [0; 8];
        self.said_before = match file.read_exact_at(&mut number, 0) {
            Ok(()) => u64::from_le_bytes(number),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        self.last = self.said_before;
        self.said = Some(file);
        Ok(())
    }

    /// A word that can't be noted is said again by the next manager, and that is all the harm.
    fn note(&self, number: u64) {
        if let Some(file) = &self.said {
            match file.write_all_at(&number.to_le_bytes(), 0) {
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Says words in the order of their numbers, up to the first that is not on record yet.
    fn say(&mut self, is_on_record: impl Fn(&str) -> bool) {
        let waits = self.later.iter().position(|word| !is_on_record(&word.unit));
        let ready = waits.unwrap_or(self.later.len());
        for word in self.later.drain(..ready).collect::<Vec<_>>() {
            self.write(Some(&word.unit), word.priority, &word.text);
            self.note(word.number);
        }
    }
}

impl Manager {
    /// Goes on with the stream of the manager before us, so that the words of both stay in their order, or makes one.
    pub(crate) fn open_own_log(&mut self, held: Option<OwnedFd>) -> io::Result<()> {
        self.own_log.open_said(&self.directories.said())?;
        if let Some(held) = held {
            self.own_log.stream = Some(Rc::new(held));
            return Ok(());
        }
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let pid = std::process::id();
        self.link.hold(
            Class::Log,
            // One unit that never stops restarting must not silence what is said of all the others.
            &format!("coracled|{pid}||fields=yes|burst=0|interval=0|pid={pid}"),
            Rc::new(theirs),
        );
        let ours = Rc::new(ours);
        self.link.hold(Class::Other, HELD, Rc::clone(&ours));
        self.own_log.stream = Some(ours);
        Ok(())
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

    /// Says something about a unit when it is on record.
    pub(crate) fn log_later(&mut self, priority: u8, unit: UnitId, text: String) {
        if let Some(entry) = self.units.get(&unit) {
            self.own_log.last += 1;
            self.own_log.later.push(Word {
                number: self.own_log.last,
                unit: entry.name.to_string(),
                priority,
                text: format!("{}: {text}", entry.name),
            });
        }
    }

    /// Says what is on record by now.
    pub(crate) fn write_later(&mut self) {
        let (engine, dirty) = (&self.engine, &self.dirty);
        let waits = |unit: &str| engine.id(unit).is_some_and(|id| dirty.contains(&id));
        self.own_log.say(|unit| !waits(unit));
    }
}

/// A level as its number.
pub(crate) fn priority(level: &LogLevel) -> u8 {
    *level as u8
}
