//! The loop: waits for streams, and reads a chunk of each that has something.

use model::sorted::{Map, Set};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::lines::{Patterns, extra_fields};
use super::position::TAKEN_MAX_BYTES;
use super::rate::Limiter;
use super::reader::{Desk, Look, Reader};
use super::shelf::Shelf;
use super::{Error, Options, SourceEvent, StreamSource, Trouble};
use crate::format::Fields;
use crate::stream::{Rate, Stream};
use crate::time;

/// The source among the streams of the epoll set; streams count from 1.
const TOKEN_SOURCE: u64 = 0;
/// Streams looked at between two waits.
const EVENTS_MAX: usize = 64;
/// Chunks of one stream that are still read after the source said stop: a service that never stops talking must not
/// keep us.
const DRAIN_CHUNKS_MAX: usize = 256;

/// Units whose counts are kept at least before those are sought that nobody needs: each look is at all of them.
const LIMITERS_MIN: usize = 64;

/// Bytes of a file of fields; each of them is in every entry.
const EXTRA_BYTES_MAX: u64 = 16 << 10;

pub(super) struct Reading<'a> {
    source: &'a mut dyn StreamSource,
    extra: PathBuf,
    rate: Rate,
    shelf: Shelf,
    readers: Map<u64, Reader>,
    limiters: Map<String, Limiter>,
    /// So many of them are too many to look for those that nobody needs.
    sweep_at: usize,
    next_token: u64,
    epoll: OwnedFd,
    buffer: Vec<u8>,
}

impl<'a> Reading<'a> {
    pub(super) fn begin(
        source: &'a mut dyn StreamSource,
        options: &Options,
    ) -> Result<Reading<'a>, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::of("wait"))?;
        let readable = epoll::EventFlags::IN;
        epoll::add(
            &epoll,
            source.descriptor(),
            epoll::EventData::new_u64(TOKEN_SOURCE),
            readable,
        )
        .map_err(Error::of("wait for streams"))?;
        let mut shelf = Shelf::open(options).map_err(Error::of("open its files"))?;
        if let Err(trouble) = shelf.vacuum(0) {
            source.trouble(&trouble);
        }
        Ok(Reading {
            source,
            extra: options.extra.clone(),
            rate: options.rate,
            shelf,
            readers: Map::new(),
            limiters: Map::new(),
            sweep_at: LIMITERS_MIN,
            next_token: TOKEN_SOURCE + 1,
            epoll,
            buffer: vec![0; TAKEN_MAX_BYTES],
        })
    }

    pub(super) fn go_on(mut self) -> Result<(), Error> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        loop {
            self.wait(&mut events)?;
            let mut stop = false;
            for event in events.drain(..) {
                match event.data.u64() {
                    TOKEN_SOURCE => stop = !self.listen()?,
                    token => drop(self.look(token)?),
                }
            }
            if stop {
                return self.drain();
            }
            self.sync_if_due();
        }
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) -> Result<(), Error> {
        let wait_us = self
            .shelf
            .sync_at_us()
            .map(|at| at.saturating_sub(time::monotonic_us()));
        let timeout = wait_us.map(|us| Timespec {
            tv_sec: i64::try_from(us / 1_000_000).unwrap_or(i64::MAX),
            tv_nsec: (us % 1_000_000 * 1000).cast_signed(),
        });
        match epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::of("wait")(error)),
        }
    }

    /// Takes what the source has; false when it says stop.
    fn listen(&mut self) -> Result<bool, Error> {
        loop {
            match self
                .source
                .receive()
                .map_err(Error::of("hear of streams"))?
            {
                Some(SourceEvent::Stream { name, descriptor }) => self.adopt(name, descriptor)?,
                Some(SourceEvent::Stop) => return Ok(false),
                None => return Ok(true),
            }
        }
    }

    fn adopt(&mut self, name: String, socket: OwnedFd) -> Result<(), Error> {
        if self.readers.values().any(|reader| reader.name == name) {
            return Ok(());
        }
        let stream = name
            .parse()
            .unwrap_or_else(|error: crate::stream::NameError| {
                let stream = Stream::new(&error.name, 0, "");
                self.source.trouble(&error.into());
                stream
            });
        let extra = self.extra(&stream);
        match Reader::adopt(name, stream, socket, &mut self.shelf) {
            Ok(reader) => self.watch(reader.with_extra(extra)),
            // The keeper holds it still: the next log process tries again.
            Err(trouble) => {
                self.source.trouble(&trouble);
                Ok(())
            }
        }
    }

    /// The fields that a unit gives its entries, and the patterns that they are held against. Lines without them are better than none.
    fn extra(&mut self, stream: &Stream) -> (Fields, Patterns) {
        let Some(name) = &stream.extra else {
            return Default::default();
        };
        let path = self.extra.join(name);
        let mut content = Vec::new();
        let file = File::open(&path).map(|file| file.take(EXTRA_BYTES_MAX + 1));
        let read = match file.and_then(|mut file| file.read_to_end(&mut content)) {
            Ok(length) if length as u64 > EXTRA_BYTES_MAX => {
                Err(io::ErrorKind::FileTooLarge.into())
            }
            read => read,
        };
        if let Err(source) = read {
            self.source.trouble(&Trouble::Extra { path, source });
            return Default::default();
        }
        (extra_fields(&content), Patterns::of(&content))
    }

    fn watch(&mut self, reader: Reader) -> Result<(), Error> {
        let token = self.next_token;
        self.next_token += 1;
        epoll::add(
            &self.epoll,
            reader.descriptor(),
            epoll::EventData::new_u64(token),
            epoll::EventFlags::IN,
        )
        .map_err(Error::of("wait for a stream"))?;
        self.readers.insert(token, reader);
        Ok(())
    }

    /// Reads one chunk of a stream; an ended or broken one is let go.
    fn look(&mut self, token: u64) -> Result<Look, Error> {
        let Some(reader) = self.readers.get_mut(&token) else {
            return Ok(Look::Ended);
        };
        let limiter = self.limiters.entry(reader.stream.unit.clone()).or_default();
        let rate = reader.stream.rate.unwrap_or(self.rate);
        let mut desk = Desk {
            shelf: &mut self.shelf,
            limiter,
            rate,
            buffer: &mut self.buffer,
        };
        let look = match reader.look(&mut desk) {
            Ok(look) => look,
            Err(trouble) => {
                self.source.trouble(&trouble);
                if matches!(trouble, super::Trouble::Stream { .. }) {
                    Look::Ended
                } else {
                    Look::Read
                }
            }
        };
        if look == Look::Ended {
            self.let_go(token)?;
        }
        Ok(look)
    }

    fn let_go(&mut self, token: u64) -> Result<(), Error> {
        let Some(reader) = self.readers.remove(&token) else {
            return Ok(());
        };
        // Closing our copy is not enough: the keeper has one too, and until it closes that, an ended stream is always readable.
        epoll::delete(&self.epoll, reader.descriptor()).map_err(Error::of("let a stream go"))?;
        self.source
            .let_go(&reader.name)
            .map_err(Error::of("let a stream go"))?;
        reader.leave(&mut self.shelf);
        if !self
            .readers
            .values()
            .any(|other| other.place == reader.place)
            && let Err(trouble) = self.shelf.close(&reader.place)
        {
            self.source.trouble(&trouble);
        }
        self.sweep();
        Ok(())
    }

    /// Forgets units that nobody speaks for and that have said little enough. As there may be as many as streams, this happens when their number
    /// has doubled.
    fn sweep(&mut self) {
        if self.limiters.len() < self.sweep_at {
            return;
        }
        let (now_us, rate) = (time::monotonic_us(), self.rate);
        let spoken: Set<&str> = self
            .readers
            .values()
            .map(|reader| reader.stream.unit.as_str())
            .collect();
        self.limiters.retain(|unit, limiter| {
            !limiter.is_over(now_us, rate) || spoken.contains(unit.as_str())
        });
        self.sweep_at = LIMITERS_MIN.max(2 * self.limiters.len());
    }

    fn sync_if_due(&mut self) {
        let due = self
            .shelf
            .sync_at_us()
            .is_some_and(|at| at <= time::monotonic_us());
        if due && let Err(trouble) = self.shelf.sync() {
            self.source.trouble(&trouble);
        }
    }

    /// Reads what is there, so that the last words before a shutdown are on the disk.
    fn drain(mut self) -> Result<(), Error> {
        let tokens: Vec<u64> = self.readers.keys().copied().collect();
        for token in tokens {
            for _ in 0..DRAIN_CHUNKS_MAX {
                if self.look(token)? != Look::Read {
                    break;
                }
            }
        }
        self.shelf
            .sync()
            .map_err(|trouble| Error::of("store the last entries")(io::Error::other(trouble)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test's own sockets and files.

    use std::io::Write as _;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    use rustix::io::ioctl_fionread;

    use super::*;

    /// A source that never says anything, and keeps what it is told of.
    struct Silent(UnixStream, Vec<String>);

    impl StreamSource for Silent {
        fn descriptor(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        fn receive(&mut self) -> io::Result<Option<SourceEvent>> {
            Ok(None)
        }

        fn let_go(&mut self, _: &str) -> io::Result<()> {
            Ok(())
        }

        fn trouble(&mut self, trouble: &Trouble) {
            self.1.push(trouble.to_string());
        }
    }

    #[test]
    fn an_ended_stream_that_the_keeper_still_holds_wakes_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut source = Silent(ours, Vec::new());
        let mut reading =
            Reading::begin(&mut source, &Options::new(folder.path(), folder.path())).unwrap();
        let (service, log) = UnixStream::pair().unwrap();
        let held_by_the_keeper = log.try_clone().unwrap();
        reading.adopt("web.service".into(), log.into()).unwrap();
        drop(service);
        let token = TOKEN_SOURCE + 1;
        while reading.look(token).unwrap() != Look::Ended {}
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        epoll::wait(&reading.epoll, spare_capacity(&mut events), Some(&at_once)).unwrap();
        assert!(events.is_empty(), "{} events", events.len());
        drop(held_by_the_keeper);
    }

    #[test]
    fn units_that_have_gone_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut source = Silent(ours, Vec::new());
        let mut reading =
            Reading::begin(&mut source, &Options::new(folder.path(), folder.path())).unwrap();
        let (_service, log) = UnixStream::pair().unwrap();
        reading.adopt("stays.service".into(), log.into()).unwrap();
        reading.look(TOKEN_SOURCE + 1).unwrap();
        for number in 0..10 * LIMITERS_MIN as u64 {
            let (service, log) = UnixStream::pair().unwrap();
            let name = format!("web-{number}.service");
            reading.adopt(name, log.into()).unwrap();
            drop(service);
            let token = TOKEN_SOURCE + 2 + number;
            while reading.look(token).unwrap() != Look::Ended {}
            assert!(reading.limiters.len() <= LIMITERS_MIN);
        }
        assert!(reading.limiters.get("stays.service").is_some());
    }

    #[test]
    fn patterns_that_cost_much_hold_nobody_elses_lines_up() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut source = Silent(ours, Vec::new());
        let options = Options::new(folder.path(), folder.path());
        std::fs::create_dir(&options.extra).unwrap();
        let patterns: String = (0..16)
            .map(|number| format!("~(?:a?a?a?){{10}}b{number}\0"))
            .collect();
        let name = "0123456789abcdef";
        std::fs::write(options.extra.join(name), patterns).unwrap();
        let mut reading = Reading::begin(&mut source, &options).unwrap();
        let (mut hostile, log) = UnixStream::pair().unwrap();
        let watched = log.try_clone().unwrap();
        let stream = format!("hostile.service|1|x|extra={name}");
        reading.adopt(stream, log.into()).unwrap();
        hostile.set_nonblocking(true).unwrap();
        let line = format!("{}\n", "a".repeat(4095));
        while hostile.write(line.as_bytes()).is_ok() {}
        let (mut other, log) = UnixStream::pair().unwrap();
        let others = log.try_clone().unwrap();
        reading.adopt("other.service".into(), log.into()).unwrap();
        let mut events = Vec::with_capacity(EVENTS_MAX);
        for _ in 0..4 {
            other.write_all(b"hello\n").unwrap();
            let before = ioctl_fionread(&watched).unwrap();
            reading.wait(&mut events).unwrap();
            for event in events.drain(..) {
                reading.look(event.data.u64()).unwrap();
            }
            assert_eq!(ioctl_fionread(&others).unwrap(), 0, "it was not read");
            let taken = before - ioctl_fionread(&watched).unwrap();
            // 16 patterns of 4 KiB, and no more work than a line may cost.
            assert_eq!(taken, 512);
        }
    }

    #[test]
    fn fields_that_are_too_long_are_left_out_as_a_whole_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut source = Silent(ours, Vec::new());
        let options = Options::new(folder.path(), folder.path());
        std::fs::create_dir(&options.extra).unwrap();
        let mut reading = Reading::begin(&mut source, &options).unwrap();
        let name = "0123456789abcdef";
        let stream: Stream = format!("a.service|1|x|extra={name}").parse().unwrap();
        for (bytes, expected) in [(EXTRA_BYTES_MAX, 2), (EXTRA_BYTES_MAX + 1, 0)] {
            let value = "x".repeat(usize::try_from(bytes).unwrap() - "A=1\0B=\0".len());
            std::fs::write(options.extra.join(name), format!("A=1\0B={value}\0")).unwrap();
            assert_eq!(reading.extra(&stream).0.len(), expected, "{bytes}");
        }
        assert_eq!(source.1.len(), 1);
    }
}
