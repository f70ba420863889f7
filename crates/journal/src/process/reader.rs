//! One stream: peek, store, consume.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use kernel::message::{Credentials, Descriptors, ReceiveOptions, receive};
use kernel::socket::{peek_offset, set_pass_credentials, set_peek_offset};

use super::Trouble;
use super::lines::{self, Break, Patterns, Split};
use super::position::{TAKEN_MAX_BYTES, mark, still_to_consume};
use super::rate::Limiter;
use super::shelf::Shelf;
use crate::format::Fields;
use crate::format::batch::{Batch, Line, Progress, stream_id};
use crate::stream::{Rate, Stream};
use crate::time;

/// A process's name is looked up again after this time: it may have executed another program.
const COMM_FRESH_US: u64 = 5_000_000;
/// The journal's id of messages about suppressed messages.
const MESSAGE_ID_DROPPED: &str = "a596d6fe7bfa4994828e72309e95d61e";
const PRIORITY_WARNING: u8 = 4;

/// What came of looking at a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Something was read.
    Read,
    /// Nothing is there now.
    Empty,
    /// Nothing will come any more; what was there is stored.
    Ended,
}

/// A stream being read.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) name: String,
    pub(super) stream: Stream,
    pub(super) place: PathBuf,
    id: u64,
    socket: OwnedFd,
    comm: Option<Comm>,
    /// Fields of every entry, as the unit has them.
    extra: Fields,
    patterns: Patterns,
    lost: u64,
    failing: bool,
}

/// The name of the process that wrote last.
#[derive(Debug)]
struct Comm {
    pid: u32,
    name: Vec<u8>,
    at_us: u64,
}

/// What a look needs from outside the stream.
pub(super) struct Desk<'a> {
    pub(super) shelf: &'a mut Shelf,
    pub(super) limiter: &'a mut Limiter,
    pub(super) rate: Rate,
    pub(super) buffer: &'a mut [u8],
}

impl Reader {
    /// Takes a stream over: finishes what the process before it wrote down and did not consume.
    pub(super) fn adopt(
        name: String,
        stream: Stream,
        socket: OwnedFd,
        shelf: &mut Shelf,
    ) -> Result<Reader, Trouble> {
        let place = shelf.place(&stream);
        let id = stream_id(&name);
        let reader = Reader {
            name,
            stream,
            place,
            id,
            socket,
            comm: None,
            extra: Fields::new(),
            patterns: Patterns::default(),
            lost: 0,
            failing: false,
        };
        set_pass_credentials(&reader.socket, true).map_err(|error| reader.trouble(error.into()))?;
        let progress = shelf.progress(&reader.place, id)?.unwrap_or_default();
        reader
            .finish(&progress)
            .map_err(|error| reader.trouble(error))?;
        Ok(reader)
    }

    fn finish(&self, progress: &Progress) -> io::Result<()> {
        let offset = peek_offset(&self.socket)?;
        let mut buffer = [0; 4096];
        self.consume(
            still_to_consume(offset, progress.number, progress.taken),
            &mut buffer,
        )
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn trouble(&self, source: io::Error) -> Trouble {
        Trouble::Stream {
            unit: self.stream.unit.clone(),
            source,
        }
    }

    /// Reads one chunk. While nothing can be stored, lines are counted and taken all the same: a full disk must not
    /// block the services; only the first such chunk is a trouble to tell.
    pub(super) fn look(&mut self, desk: &mut Desk<'_>) -> Result<Look, Trouble> {
        let found = self
            .peek(desk.buffer)
            .map_err(|error| self.trouble(error))?;
        let Some((bytes, credentials)) = found else {
            return Ok(Look::Empty);
        };
        let stored = match desk.shelf.progress(&self.place, self.id) {
            Ok(progress) if bytes == 0 => self.end(desk, progress),
            Ok(progress) => self.take(desk, bytes, credentials, progress),
            Err(trouble) => {
                self.lost += 1;
                self.consume(bytes, desk.buffer)
                    .map_err(|error| self.trouble(error))?;
                Err(trouble)
            }
        };
        let failed_before = std::mem::replace(&mut self.failing, stored.is_err());
        match stored {
            Err(trouble) if !failed_before || matches!(trouble, Trouble::Stream { .. }) => {
                Err(trouble)
            }
            _ if bytes == 0 => Ok(Look::Ended),
            _ => Ok(Look::Read),
        }
    }

    /// The four steps of `position.rs`, but for the peek.
    fn take(
        &mut self,
        desk: &mut Desk<'_>,
        bytes: usize,
        credentials: Option<Credentials>,
        progress: Option<Progress>,
    ) -> Result<(), Trouble> {
        let (number, kept, word) = follow(progress);
        let chunk = desk.buffer.get(..bytes).unwrap_or_default();
        let split = lines::split(&kept, chunk, self.stream.line_max_bytes);
        let taken = split.taken;
        set_peek_offset(&self.socket, mark(number)).map_err(|error| self.trouble(error.into()))?;
        if dies(Step::Marked) {
            return Ok(());
        }
        let next = Progress {
            number,
            word,
            ..Progress::default()
        };
        let stored = self.store(desk, split, next, credentials);
        if dies(Step::Stored) {
            return stored;
        }
        self.consume(taken, desk.buffer)
            .map_err(|error| self.trouble(error))?;
        stored
    }

    /// Bytes at the front of the queue, of one sender; `Some(0)` at the end of the stream.
    fn peek(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, Option<Credentials>)>> {
        set_peek_offset(&self.socket, -1)?;
        let mut descriptors = Descriptors::default();
        let size = TAKEN_MAX_BYTES.min(self.patterns.chunk_bytes());
        let buffer = buffer.get_mut(..size).unwrap_or_default();
        let options = ReceiveOptions {
            peek: true,
            wait: false,
        };
        let received = receive(&self.socket, buffer, &mut descriptors, options);
        // Nobody here wants any, and a service must not hold the others' lines up with one that takes long to close.
        descriptors.close_aside();
        match received {
            Ok(received) => Ok(Some((received.bytes, received.credentials))),
            Err(kernel::Errno::AGAIN | kernel::Errno::INTR) => Ok(None),
            // The service closed its end without reading what nobody ever sends: the end all the same.
            Err(kernel::Errno::CONNRESET) => Ok(Some((0, None))),
            Err(error) => Err(error.into()),
        }
    }

    fn consume(&self, mut bytes: usize, buffer: &mut [u8]) -> io::Result<()> {
        let mut descriptors = Descriptors::default();
        while bytes > 0 {
            let size = bytes.min(buffer.len());
            let part = buffer.get_mut(..size).unwrap_or_default();
            let options = ReceiveOptions::default();
            let received = receive(&self.socket, part, &mut descriptors, options);
            descriptors.close_aside();
            match received?.bytes {
                0 => return Ok(()),
                taken => bytes = bytes.saturating_sub(taken),
            }
        }
        Ok(())
    }

    /// The last line needs no newline.
    fn end(&mut self, desk: &mut Desk<'_>, progress: Option<Progress>) -> Result<(), Trouble> {
        self.lost += desk.limiter.flush().unwrap_or(0);
        let (number, kept, word) = follow(progress);
        let lines = if kept.is_empty() {
            Vec::new()
        } else {
            vec![(kept, Break::End)]
        };
        if lines.is_empty() && self.lost == 0 {
            return Ok(());
        }
        let split = Split {
            lines,
            taken: 0,
            finished: true,
            unfinished: Vec::new(),
        };
        let next = Progress {
            number,
            word,
            ended: true,
            ..Progress::default()
        };
        self.store(desk, split, next, None)
    }

    fn store(
        &mut self,
        desk: &mut Desk<'_>,
        split: Split,
        next: Progress,
        credentials: Option<Credentials>,
    ) -> Result<(), Trouble> {
        let now_us = time::monotonic_us();
        let told = self.lost + desk.limiter.turn(now_us, desk.rate).unwrap_or(0);
        let mut lines: Vec<Line> = (told > 0)
            .then(|| self.suppressed(told))
            .into_iter()
            .collect();
        let read = split
            .lines
            .iter()
            .filter_map(|(text, reason)| lines::line(&self.stream, text, *reason));
        let mut word = next.word;
        // What was heard before is what a manager died saying, and the next one said again.
        let news = read.filter(|(number, _)| {
            let is_new = *number == 0 || *number > word;
            word = word.max(*number);
            is_new
        });
        let news = news.map(|(_, line)| line);
        lines.extend(news.filter(|line| {
            desk.limiter
                .look(desk.rate, self.patterns.work(&line.message))
                && self.patterns.keep(&line.message)
                && desk.limiter.admit(desk.rate)
        }));
        let count = lines.len() as u64;
        let progress = Progress {
            stream: self.id,
            taken: u32::try_from(split.taken).unwrap_or(0),
            finished: split.finished,
            unfinished: split.unfinished,
            word,
            ..next
        };
        let batch = Batch {
            realtime_us: time::realtime_us(),
            monotonic_us: now_us,
            origin: self.origin(credentials, now_us),
            progress: Some(progress),
            lines,
            ..Batch::default()
        };
        let stored = desk.shelf.append(&self.place, batch);
        self.lost = if stored.is_ok() { 0 } else { told + count };
        if stored.is_err() {
            desk.shelf.forget_unfinished(&self.place, self.id);
        }
        stored
    }

    fn suppressed(&self, count: u64) -> Line {
        Line {
            priority: PRIORITY_WARNING,
            fields: vec![
                ("MESSAGE_ID".to_owned(), MESSAGE_ID_DROPPED.into()),
                ("N_DROPPED".to_owned(), count.to_string().into_bytes()),
            ],
            message: format!("Suppressed {count} messages from {}", self.stream.unit).into_bytes(),
        }
    }

    /// What is known of the writer: from the kernel where it says, otherwise from the stream's name.
    fn origin(&mut self, credentials: Option<Credentials>, now_us: u64) -> Fields {
        let transport = if self.stream.fields {
            "journal"
        } else {
            "stdout"
        };
        let mut fields: Vec<(&str, Vec<u8>)> = vec![
            ("_TRANSPORT", transport.into()),
            ("_SYSTEMD_UNIT", self.stream.unit.clone().into()),
            ("SYSLOG_IDENTIFIER", self.stream.identifier.clone().into()),
            ("_STREAM_ID", format!("{:016x}", self.id).into()),
        ];
        if !self.stream.invocation.is_empty() {
            fields.push((
                "_SYSTEMD_INVOCATION_ID",
                self.stream.invocation.clone().into(),
            ));
        }
        if let Some(portable) = &self.stream.portable {
            fields.push(("_CORACLE_PORTABLE", portable.clone().into()));
        }
        if let Some(namespace) = &self.stream.namespace {
            fields.push(("_NAMESPACE", namespace.clone().into()));
        }
        // Process 0 wrote before the socket asked for credentials: its user is unknown too.
        let credentials = credentials.filter(|writer| writer.pid > 0);
        if let Some(pid) = credentials.map(|it| it.pid).or(self.stream.pid) {
            fields.push(("_PID", pid.to_string().into()));
            fields.extend(self.comm(pid, now_us).map(|comm| ("_COMM", comm)));
        }
        if let Some(writer) = credentials {
            fields.push(("_UID", writer.uid.to_string().into()));
            fields.push(("_GID", writer.gid.to_string().into()));
        }
        if !self.stream.fields {
            let facility = self.stream.facility.to_string();
            fields.push(("SYSLOG_FACILITY", facility.into()));
        }
        let extra = self.extra.iter().cloned();
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .chain(extra)
            .collect()
    }

    /// Gives every entry these fields, and holds it against these patterns.
    pub(super) fn with_extra(mut self, (extra, patterns): (Fields, Patterns)) -> Reader {
        (self.extra, self.patterns) = (extra, patterns);
        self
    }

    /// The name of a process that is still there.
    fn comm(&mut self, pid: u32, now_us: u64) -> Option<Vec<u8>> {
        let known = self
            .comm
            .as_ref()
            .filter(|comm| comm.pid == pid && now_us.saturating_sub(comm.at_us) < COMM_FRESH_US);
        if let Some(known) = known {
            return Some(known.name.clone());
        }
        let mut name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
        name.truncate(name.trim_ascii_end().len());
        self.comm = Some(Comm {
            pid,
            name: name.clone(),
            at_us: now_us,
        });
        Some(name)
    }

    /// Closes the stream's books.
    pub(super) fn leave(&self, shelf: &mut Shelf) {
        shelf.forget(&self.place, self.id);
    }
}

/// What follows a progress: the number of the next batch, the line without an end, and the last number of a line.
fn follow(progress: Option<Progress>) -> (u64, Vec<u8>, u64) {
    progress.map_or_else(Default::default, |progress| {
        (progress.number + 1, progress.unfinished, progress.word)
    })
}

/// The moments after which a test may end this process as a kill would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Marked,
    Stored,
}

#[cfg(not(test))]
fn dies(_step: Step) -> bool {
    false
}

#[cfg(test)]
thread_local! {
    static DIES_AFTER: std::cell::Cell<Option<Step>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
fn dies(step: Step) -> bool {
    DIES_AFTER.get() == Some(step)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    use super::*;
    use crate::process::Options;
    use crate::query::{Filter, Logs};

    const RATE: Rate = Rate {
        burst: 0,
        interval_us: 0,
    };

    /// One life of a log process: adopts the stream and looks until nothing is there, or dies after a step.
    fn live(root: &Path, log: &OwnedFd, dies_after: Option<Step>) -> Look {
        let mut shelf = Shelf::open(&Options::new(root, root)).unwrap();
        let name = "web.service|1|x|fields=yes".to_owned();
        let stream = name.parse().unwrap();
        let mut reader = Reader::adopt(name, stream, log.try_clone().unwrap(), &mut shelf).unwrap();
        let (mut limiter, mut buffer) = (Limiter::default(), vec![0; TAKEN_MAX_BYTES]);
        let mut desk = Desk {
            shelf: &mut shelf,
            limiter: &mut limiter,
            rate: RATE,
            buffer: &mut buffer,
        };
        DIES_AFTER.set(dies_after);
        loop {
            match reader.look(&mut desk).unwrap() {
                Look::Read if dies_after.is_none() => {}
                look => return look,
            }
        }
    }

    fn check(text: &str, deaths: &[Step], expected: &[&str]) {
        let root = tempfile::tempdir().unwrap();
        let (mut service, log) = UnixStream::pair().unwrap();
        let log = OwnedFd::from(log);
        for death in deaths {
            service.write_all(text.as_bytes()).unwrap();
            assert_eq!(live(root.path(), &log, Some(*death)), Look::Read);
        }
        assert_eq!(live(root.path(), &log, None), Look::Empty);
        drop(service);
        assert_eq!(live(root.path(), &log, None), Look::Ended);
        assert_eq!(live(root.path(), &log, None), Look::Ended);
        let entries = Logs::new(&root.path().join("journal"))
            .last(&Filter::default(), 100)
            .unwrap();
        let texts: Vec<_> = entries
            .iter()
            .map(|entry| String::from_utf8_lossy(entry.message()))
            .collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn what_was_stored_and_not_consumed_is_not_read_twice() {
        check("one\ntwo\nhalf", &[Step::Stored], &["one", "two", "half"]);
        check("a", &[Step::Stored; 3], &["aaa"]);
        check("a\n", &[Step::Stored; 3], &["a", "a", "a"]);
    }

    #[test]
    fn a_word_that_is_said_again_is_stored_once() {
        let word =
            |number: u64| format!("<6>\x1fWORD={number}\x1fUNIT=a.service\x1fword {number}\n");
        let twice = format!("{0}{1}{1}plain\n{0}", word(3), word(4));
        check(&twice, &[Step::Stored], &["word 3", "word 4", "plain"]);
        check(
            &word(7),
            &[Step::Marked, Step::Stored, Step::Stored],
            &["word 7"],
        );
        let cut = word(4);
        let cut = &cut[..cut.len() - 3];
        let again = format!("{}{cut}\x18\n{}", word(3), word(4));
        check(&again, &[Step::Stored], &["word 3", "word 4"]);
    }

    #[test]
    fn what_was_announced_and_not_stored_is_read_again() {
        check("one\ntwo\nhalf", &[Step::Marked], &["one", "two", "half"]);
        check(
            "a\n",
            &[Step::Marked, Step::Stored, Step::Marked],
            &["a", "a", "a"],
        );
    }
}
