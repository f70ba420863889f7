//! The way of numbered words into the log: a stream and, for what that has no room for, a file from which they go on when there is some.
//!
//! Lines are numbered, and the log process passes over a number that it has heard (`journal::process`). So a manager that died between
//! writing a line and noting that it did, or in the middle of a line, leaves nothing that the next one could make worse: that one voids
//! what may have been begun, and says again whatever is not noted.

use super::Word;
use super::spool::{Room, Spool};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

/// Ends a line that is void, begun or not.
const VOID: &[u8] = b"\x18\n";

/// What outlives the manager beside the words themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Notes {
    /// The number of the last word that the stream took.
    said: u64,
    /// Words that were left out, as the file was full; what is left out from there on is counted until the file is empty.
    left_out: u64,
    /// The number of the last of them, which the word about them has.
    last_left_out: u64,
}

/// See the room.
#[derive(Debug)]
pub(crate) struct Outlet {
    stream: Option<Rc<OwnedFd>>,
    /// The manager before us may have died in the middle of a line.
    may_be_cut: bool,
    spool: Spool,
    notes: Notes,
    /// Has the notes: three numbers of eight bytes, the least significant first.
    said: File,
    /// The number of the last word that was in the file or the notes at the beginning.
    known: u64,
}

impl Outlet {
    /// Goes on with what the manager before us left in these files; the first one finds them empty.
    pub(crate) fn open(said: &Path, words: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let said = options.open(said)?;
        let mut notes = Notes::read(&said)?;
        let (spool, last) = Spool::open(words, notes.said)?;
        // The word about them was kept, and the notes were not yet replaced.
        if last.is_some() && last == Some(notes.last_left_out) {
            notes.left_out = 0;
        }
        let known = notes.said.max(notes.last_left_out).max(last.unwrap_or(0));
        Ok(Self {
            stream: None,
            may_be_cut: false,
            spool,
            notes,
            said,
            known,
        })
    }

    /// Every word up to this number was taken, kept or left out.
    pub(crate) fn known(&self) -> u64 {
        self.known
    }

    /// Writes into this stream from now on. `used`: somebody did before us.
    pub(crate) fn use_stream(&mut self, stream: Rc<OwnedFd>, used: bool) {
        self.stream = Some(stream);
        self.may_be_cut = used;
        self.spool.begin_line_again();
    }

    /// Where words go, if they go anywhere.
    pub(crate) fn stream(&self) -> Option<&Rc<OwnedFd>> {
        self.stream.as_ref()
    }

    /// Does anything wait for room in the stream?
    pub(crate) fn waits(&self) -> bool {
        !self.spool.is_empty() || self.notes.left_out > 0
    }

    /// Takes a word, whose number is larger than that of any before.
    pub(crate) fn take(&mut self, word: &Word) {
        if self.notes.left_out > 0 || !self.keep(word) {
            self.notes.left_out += 1;
            self.notes.last_left_out = word.number;
            self.note();
        }
    }

    /// False: neither the stream nor the file has room for it. What keeps the file from growing is no room, too: a full file system must
    /// not end the manager.
    fn keep(&mut self, word: &Word) -> bool {
        let line = word.line();
        let taken = if self.spool.is_empty() {
            self.offer(line.as_bytes())
        } else {
            0
        };
        if taken == line.len() {
            self.notes.said = word.number;
            self.note();
            return true;
        }
        match self.spool.append(line.as_bytes(), taken) {
            Ok(Room::Enough) => true,
            Ok(Room::None) | Err(_) => {
                self.may_be_cut |= taken > 0;
                false
            }
        }
    }

    /// Goes on with what waits, as far as there is room.
    pub(crate) fn go_on(&mut self) -> io::Result<()> {
        loop {
            let (lines, begun) = self.spool.front()?;
            if lines.is_empty() {
                break;
            }
            let rest = lines.get(begun..).unwrap_or_default();
            let taken = self.offer(rest);
            if let Some(number) = self.spool.passed(&lines, begun + taken) {
                self.notes.said = number;
                self.note();
            }
            if taken < rest.len() {
                return Ok(());
            }
        }
        self.spool.clear()?;
        self.tell_left_out();
        Ok(())
    }

    fn tell_left_out(&mut self) {
        if self.notes.left_out == 0 || self.stream.is_none() {
            return;
        }
        let count = std::mem::take(&mut self.notes.left_out);
        let word = Word {
            number: self.notes.last_left_out,
            unit: None,
            priority: super::WARNING,
            text: format!(
                "{count} words of the manager were left out: the log took none for too long; `coracle list` has what became of the units"
            ),
        };
        if !self.keep(&word) {
            self.notes.left_out = count;
        }
        self.note();
    }

    /// How many of these bytes the stream takes now.
    fn offer(&mut self, bytes: &[u8]) -> usize {
        if std::mem::take(&mut self.may_be_cut) && self.send(VOID) < VOID.len() {
            self.may_be_cut = true;
            return 0;
        }
        self.send(bytes)
    }

    /// A stream that takes nothing any more, whatever happens, is given up: the manager makes another one.
    fn send(&mut self, bytes: &[u8]) -> usize {
        let Some(stream) = &self.stream else { return 0 };
        match send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(taken) => taken,
            Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS | Errno::NOMEM) => 0,
            Err(_) => {
                self.stream = None;
                0
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn with_room(mut self, bytes: u64) -> Self {
        self.spool = self.spool.with_room(bytes);
        self
    }

    #[cfg(test)]
    pub(crate) fn on_full_disk(mut self) -> Self {
        self.spool = self.spool.on_full_disk();
        self
    }

    #[cfg(test)]
    pub(crate) fn left_out(&self) -> u64 {
        self.notes.left_out
    }

    fn note(&self) {
        match self.said.write_all_at(&self.notes.bytes(), 0) {
            // The file has its bytes since it was opened. If it had not, the next manager would say the word again, which the log passes over.
            Ok(()) | Err(_) => {}
        }
    }
}

impl Notes {
    const BYTES: usize = 24;

    fn read(file: &File) -> io::Result<Self> {
        let mut bytes = [0; Self::BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                file.write_all_at(&Self::default().bytes(), 0)?;
                return Ok(Self::default());
            }
            Err(error) => return Err(error),
        }
        let mut numbers = bytes.chunks_exact(8).map(|number| {
            let number = <[u8; 8]>::try_from(number);
            number.map(u64::from_le_bytes).unwrap_or_default()
        });
        let mut next = || numbers.next().unwrap_or_default();
        Ok(Self {
            said: next(),
            left_out: next(),
            last_left_out: next(),
        })
    }

    fn bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let numbers = [self.said, self.left_out, self.last_left_out];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }
}
