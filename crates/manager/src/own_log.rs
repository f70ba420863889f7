//! The manager's own words: a stream into the log like a service's, with the unit that they are about.
//!
//! What becomes of a unit is a state that is recorded and a word that is said. A word is on record with the state; then it is said, when
//! the clients have their answers, as no start waits for the log; then the file `said` has its number. What the log has no room for waits
//! in the file `words`. So the next manager says what this one did not come to; and what this one came to say and not to note is said
//! again with its number, by which the log process knows it.
//!
//! Words are said in the order of their numbers, whatever they are about.

mod outlet;
mod spool;
#[cfg(test)]
mod tests;

use crate::manager::{Error, Manager, doing};
use crate::poll::Token;
use engine::{Micros, UnitId};
use keeper::protocol::Class;
use model::sorted::Set;
use model::value::LogLevel;
use outlet::Outlet;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

/// The words that are not said yet, and where they go.
#[derive(Debug, Default)]
pub(crate) struct OwnLog {
    /// None until the keeper has told what it holds.
    outlet: Option<Outlet>,
    /// The number of the last word.
    last: Cell<u64>,
    /// In the order in which they are said.
    later: RefCell<Vec<Word>>,
    /// Units that have words in `later` of which their records do not know yet.
    unrecorded: RefCell<Set<UnitId>>,
    /// A stream in the place of one that broke, once the keeper has been told of it.
    next: Option<Rc<OwnedFd>>,
    /// The stream is watched for room.
    is_watched: bool,
    /// Until when the end of the instance waits for the log.
    pub(crate) farewell: Option<Micros>,
}

/// A line of the log, about a unit or about the manager.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    number: u64,
    unit: Option<String>,
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

/// Longest text of one word, in bytes: less than the longest line of the log, with everything before it.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// What stands before the number of a line.
const NUMBER: &str = "\x1fWORD=";

impl Word {
    fn read(unit: &str, line: &str) -> Option<Self> {
        let (number, rest) = line.split_once(' ')?;
        let (priority, text) = rest.split_once(' ')?;
        Some(Self {
            number: number.parse().ok()?,
            unit: Some(unit.to_owned()),
            priority: priority.parse().ok()?,
            text: text.to_owned(),
        })
    }

    /// As the log process reads it.
    fn line(&self) -> String {
        let Self {
            number, priority, ..
        } = self;
        let unit = self.unit.as_ref();
        let unit = unit.map(|unit| format!("\x1fUNIT={unit}"));
        let end = self.text.floor_char_boundary(TEXT_BYTES_MAX);
        let text = self.text.get(..end).unwrap_or_default();
        let text = text.replace(['\n', '\0', '\x18', '\x1f'], " ");
        format!(
            "<{priority}>{NUMBER}{number}{}\x1f{text}\n",
            unit.unwrap_or_default()
        )
    }
}

impl OwnLog {
    /// Takes a word that is to be said, when its unit's record has it.
    fn push(&self, unit: Option<String>, priority: u8, text: String) {
        self.last.set(self.last.get() + 1);
        self.later.borrow_mut().push(Word {
            number: self.last.get(),
            unit,
            priority,
            text,
        });
    }

    /// Adds the words about a unit that are not said yet.
    pub(crate) fn words_of(&self, unit: &str, said: &mut Vec<String>) {
        let later = self.later.borrow();
        let own = later
            .iter()
            .filter(|word| word.unit.as_deref() == Some(unit));
        said.extend(
            own.map(|word| format!("word {} {} {}", word.number, word.priority, word.text)),
        );
    }

    /// Is a word about this unit not said yet?
    pub(crate) fn has_words_of(&self, unit: &str) -> bool {
        let later = self.later.borrow();
        let mut units = later.iter().map(|word| word.unit.as_deref());
        units.any(|other| other == Some(unit))
    }

    /// Goes on where the manager before us was, by its files and by the words of its records. What was said since we began comes after.
    fn open(
        &mut self,
        said: &Path,
        words: &Path,
        records: &mut dyn Iterator<Item = Word>,
    ) -> io::Result<()> {
        let outlet = Outlet::open(said, words)?;
        let known = outlet.known();
        let mut earlier: Vec<Word> = records.filter(|word| word.number > known).collect();
        model::order::sort_by(&mut earlier, |one, other| one.number.cmp(&other.number));
        self.last
            .set(earlier.last().map_or(known, |word| word.number));
        self.outlet = Some(outlet);
        for word in self.later.replace(earlier) {
            self.push(word.unit, word.priority, word.text);
        }
        Ok(())
    }

    /// Says words in the order of their numbers, up to the first that is not on record yet.
    fn say(&mut self, is_on_record: impl Fn(&str) -> bool) {
        let Some(outlet) = &mut self.outlet else {
            return;
        };
        let later = self.later.get_mut();
        let is_ready = |word: &Word| word.unit.as_deref().is_none_or(&is_on_record);
        let waits = later.iter().position(|word| !is_ready(word));
        for word in later.drain(..waits.unwrap_or(later.len())) {
            outlet.take(&word);
        }
    }

    /// Units whose records are to have a word before it is said.
    pub(crate) fn take_unrecorded(&mut self) -> Set<UnitId> {
        std::mem::take(self.unrecorded.get_mut())
    }

    /// Is anything not in the log yet?
    pub(crate) fn waits(&self) -> bool {
        let is_held_up = self.outlet.as_ref().is_some_and(Outlet::waits);
        is_held_up || !self.later.borrow().is_empty()
    }
}

impl Manager {
    /// Goes on with the stream of the manager before us, so that the words of both stay in their order, or makes one; and with the words
    /// that it did not come to say.
    pub(crate) fn open_own_log(
        &mut self,
        held: Option<OwnedFd>,
        records: &[crate::record::Record],
    ) -> io::Result<()> {
        let mut words = records.iter().flat_map(|record| {
            let said = record.said.iter();
            let words = said.filter_map(|line| line.strip_prefix("word "));
            words.filter_map(|word| Word::read(&record.snapshot.name, word))
        });
        let (said, later) = (self.directories.said(), self.directories.words());
        self.own_log.open(&said, &later, &mut words)?;
        let (stream, used) = match held {
            Some(held) => (Rc::new(held), true),
            None => (self.make_stream()?, false),
        };
        if let Some(outlet) = &mut self.own_log.outlet {
            outlet.use_stream(stream, used);
        }
        Ok(())
    }

    /// A stream whose ends the keeper holds when all that is to be held is sent.
    fn make_stream(&mut self) -> io::Result<Rc<OwnedFd>> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let pid = std::process::id();
        let now = crate::clock::monotonic().0;
        self.link.hold(
            Class::Log,
            // One unit that never stops restarting must not silence what is said of all the others. The moment tells the stream from one
            // of an earlier instance, whose words have the same numbers.
            &format!("coracled|{pid}||n={now:x}|fields=yes|burst=0|interval=0|pid={pid}"),
            Rc::new(theirs),
        );
        let ours = Rc::new(ours);
        self.link.hold(Class::Other, HELD, Rc::clone(&ours));
        Ok(ours)
    }

    /// Says something about the manager.
    pub(crate) fn log(&self, text: &str) {
        self.own_log.push(None, NOTICE, text.into());
    }

    /// Says something about a unit.
    pub(crate) fn log_about(&self, unit: UnitId, text: &str) {
        self.log_as(NOTICE, unit, text);
    }

    /// Says something about a unit, with a priority.
    pub(crate) fn log_as(&self, priority: u8, unit: UnitId, text: &str) {
        let name = self.units.get(&unit).map(|entry| entry.name.to_string());
        self.own_log.push(name, priority, text.into());
        self.own_log.unrecorded.borrow_mut().insert(unit);
    }

    /// The same of a unit that may be gone.
    pub(crate) fn log_named(&self, priority: u8, unit: &str, text: &str) {
        self.own_log
            .push(Some(unit.to_owned()), priority, text.into());
    }

    /// Says what became of a unit.
    pub(crate) fn tell_of(&self, priority: u8, unit: UnitId, text: &str) {
        if let Some(entry) = self.units.get(&unit) {
            self.log_as(priority, unit, &format!("{}: {text}", entry.name));
        }
    }

    /// Says what is on record by now, and goes on with what waited for room.
    pub(crate) fn write_later(&mut self) -> Result<(), Error> {
        if let (Some(next), Some(outlet)) = (self.own_log.next.take(), &mut self.own_log.outlet) {
            outlet.use_stream(next, false);
        }
        self.dirty.extend(self.own_log.take_unrecorded());
        let (engine, dirty) = (&self.engine, &self.dirty);
        // Where no record can be written, nobody would hear why if words waited for theirs.
        let can_record = !self.records.is_failing;
        let waits = |unit: &str| {
            let id = engine.id(unit).filter(|_| can_record);
            id.is_some_and(|id| dirty.contains(&id))
        };
        self.own_log.say(|unit| !waits(unit));
        self.on_room()
    }

    /// When there is something to do whatever else happens.
    pub(crate) fn own_log_due(&self) -> Option<Micros> {
        let own_log = &self.own_log;
        let is_due = own_log.next.is_some() && !self.link.holds_wait();
        let is_over = own_log.farewell.is_some() && !own_log.waits();
        Some(Micros(0))
            .filter(|_| is_due || is_over)
            .or(own_log.farewell)
    }

    /// Goes on with what waited for room in the stream.
    pub(crate) fn on_room(&mut self) -> Result<(), Error> {
        let Some(outlet) = &mut self.own_log.outlet else {
            return Ok(());
        };
        let stream = outlet.stream().cloned();
        if outlet.waits() {
            outlet
                .go_on()
                .map_err(doing("go on with what waits for the log"))?;
        }
        let (is_broken, waits) = (outlet.stream().is_none(), outlet.waits());
        let wants = waits && !is_broken;
        if let Some(stream) = stream
            && wants != self.own_log.is_watched
        {
            self.own_log.is_watched = wants;
            if wants {
                self.poll
                    .watch_room(&stream, Token::OwnLog)
                    .map_err(|errno| doing("watch the stream into the log")(errno.into()))?;
            } else {
                self.poll.forget(&stream);
            }
        }
        if is_broken && self.own_log.next.is_none() {
            let made = self.make_stream();
            self.own_log.next = Some(made.map_err(doing("make a stream into the log"))?);
        }
        Ok(())
    }
}

/// A level as its number.
pub(crate) fn priority(level: &LogLevel) -> u8 {
    *level as u8
}
