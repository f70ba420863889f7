//! The log process as the keeper sees it: streams over a socket, kills at any moment, and what is then on file.

// A failed call fails the test.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use coracle_journal as journal;
use journal::format::Entry;
use journal::process::{Options, SourceEvent, StreamSource, Trouble, run};
use journal::query::{Filter, Logs};
use journal::stream::Rate;
use kernel::message::{Descriptors, ReceiveOptions, receive, send};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// Where a log process that a test starts keeps its files; its presence makes the test binary one.
const DIRECTORY: &str = "JOURNAL_TEST_DIRECTORY";

/// The channel on descriptor 0: a message with a descriptor is a stream, one without is the end.
struct Channel {
    socket: OwnedFd,
}

impl StreamSource for Channel {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn receive(&mut self) -> io::Result<Option<SourceEvent>> {
        let (mut buffer, mut descriptors) = ([0; 1024], Descriptors::default());
        let length = match receive(
            &self.socket,
            &mut buffer,
            &mut descriptors,
            ReceiveOptions::default(),
        ) {
            Ok(received) => received.bytes,
            Err(kernel::Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let name = String::from_utf8(buffer[..length].to_vec()).unwrap();
        Ok(Some(match descriptors.take() {
            Some(descriptor) => SourceEvent::Stream { name, descriptor },
            None => SourceEvent::Stop,
        }))
    }

    fn let_go(&mut self, name: &str) -> io::Result<()> {
        send(&self.socket, name.as_bytes(), &[])?;
        Ok(())
    }

    fn trouble(&mut self, trouble: &Trouble) {
        eprintln!("trouble: {trouble}");
    }
}

/// Not a test of its own: the log process of the others, when they start this binary.
#[test]
fn log_process() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let mut options = Options::new(Path::new(&directory), Path::new(&directory));
    options.directory = directory.into();
    options.file_max_bytes = 64 * 1024;
    if let Ok(burst) = std::env::var("JOURNAL_TEST_BURST") {
        options.rate = Rate {
            burst: burst.parse().unwrap(),
            interval_us: 3_600_000_000,
        };
    } else {
        options.rate = Rate {
            burst: 0,
            interval_us: 0,
        };
    }
    let socket = io::stdin().as_fd().try_clone_to_owned().unwrap();
    run(&mut Channel { socket }, &options).unwrap();
}

/// What the keeper does for logs: holds streams, starts the process, hands them over again after each death.
struct Keeper {
    directory: tempfile::TempDir,
    held: BTreeMap<String, OwnedFd>,
    burst: Option<u32>,
    process: Option<(Child, OwnedFd)>,
}

impl Keeper {
    fn new() -> Keeper {
        Keeper {
            directory: tempfile::tempdir().unwrap(),
            held: BTreeMap::new(),
            burst: None,
            process: None,
        }
    }

    fn start(&mut self) {
        let kind = (
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
        );
        let (ours, theirs) = socketpair(kind.0, kind.1, kind.2, None).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "log_process", "--nocapture"])
            .env(DIRECTORY, self.directory.path());
        if let Some(burst) = self.burst {
            command.env("JOURNAL_TEST_BURST", burst.to_string());
        }
        let child = command
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        for (name, stream) in &self.held {
            send(&ours, name.as_bytes(), &[stream.as_fd()]).unwrap();
        }
        self.process = Some((child, ours));
    }

    /// Opens a stream and gives the service's end.
    fn stream(&mut self, name: &str) -> UnixStream {
        let (service, log) = UnixStream::pair().unwrap();
        kernel::socket::set_pass_credentials(&log, true).unwrap();
        let log = OwnedFd::from(log);
        if let Some((_, channel)) = &self.process {
            send(channel, name.as_bytes(), &[log.as_fd()]).unwrap();
        }
        self.held.insert(name.to_owned(), log);
        service
    }

    fn kill(&mut self) {
        if let Some((mut child, channel)) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
            self.hear(&channel);
        }
    }

    /// Streams that the process let go of; waits for nothing.
    fn hear(&mut self, channel: &OwnedFd) {
        let (mut buffer, mut descriptors) = ([0; 1024], Descriptors::default());
        while let Ok(received) = receive(
            channel,
            &mut buffer,
            &mut descriptors,
            ReceiveOptions::default(),
        ) {
            let name = String::from_utf8(buffer[..received.bytes].to_vec()).unwrap();
            if name.is_empty() {
                return;
            }
            assert!(self.held.remove(&name).is_some(), "{name} was let go twice");
        }
    }

    /// Waits until every stream was let go of, stops the process and gives all entries.
    fn finish(mut self) -> Vec<Entry> {
        let (mut child, channel) = self.process.take().unwrap();
        while !self.held.is_empty() {
            let mut wait = [rustix::event::PollFd::new(
                &channel,
                rustix::event::PollFlags::IN,
            )];
            rustix::event::poll(&mut wait, None).unwrap();
            self.hear(&channel);
        }
        send(&channel, b"stop", &[]).unwrap();
        assert!(child.wait().unwrap().success());
        let logs = Logs::new(self.directory.path());
        assert_eq!(logs.damaged().unwrap(), Vec::<std::path::PathBuf>::new());
        all(&logs, &Filter::default())
    }
}

fn all(logs: &Logs, filter: &Filter) -> Vec<Entry> {
    let mut entries = Vec::new();
    logs.each(filter, &mut |entry| {
        entries.push(entry.clone());
        true
    })
    .unwrap();
    let backwards = logs.last(filter, usize::MAX).unwrap();
    assert_eq!(backwards, entries, "read backwards");
    entries
}

fn messages(entries: &[Entry], unit: &str) -> Vec<String> {
    let of_unit = entries
        .iter()
        .filter(|entry| entry.text("_SYSTEMD_UNIT").unwrap() == unit);
    of_unit
        .map(|entry| String::from_utf8_lossy(entry.message()).into_owned())
        .collect()
}

/// A small generator, so that a failing run is repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// A service that writes numbered lines in pieces of any size, and says what it wrote.
fn speak(mut service: UnixStream, seed: u64, lines: u64) -> std::thread::JoinHandle<Vec<String>> {
    std::thread::spawn(move || {
        let mut random = Random(seed);
        let mut written = Vec::new();
        for number in 0..lines {
            let padding = if random.below(50) == 0 {
                60_000
            } else {
                random.below(200)
            };
            let line = format!(
                "{number} {}",
                "same".repeat(usize::try_from(padding / 4).unwrap())
            );
            let (first, second) =
                line.split_at(usize::try_from(random.below(line.len() as u64 + 1)).unwrap());
            service.write_all(first.as_bytes()).unwrap();
            service.write_all(second.as_bytes()).unwrap();
            if number + 1 < lines {
                service.write_all(b"\n").unwrap();
            }
            written.push(line);
        }
        written
    })
}

/// Lines longer than may be come in pieces; the ledger has them as they must be stored.
fn as_stored(lines: Vec<String>) -> Vec<String> {
    let cut = |line: String| -> Vec<String> {
        line.as_bytes()
            .chunks(48 * 1024)
            .map(|piece| String::from_utf8(piece.to_vec()).unwrap())
            .collect()
    };
    lines.into_iter().flat_map(cut).collect()
}

#[test]
fn no_kill_at_any_moment_loses_or_doubles_a_line() {
    const KILLS: u64 = 100;
    for seed in [0x9e37_79b9_7f4a_7c15_u64, 0xdead_beef_1234_5678] {
        let mut random = Random(seed);
        let mut keeper = Keeper::new();
        let mut speakers = Vec::new();
        for number in 0..4 {
            let portable = if number % 2 == 0 { "" } else { "|portable=foo" };
            let service = keeper.stream(&format!("s{number}.service|1|{number:032x}{portable}"));
            speakers.push((
                format!("s{number}.service"),
                speak(service, seed + number, 6000),
            ));
        }
        for _ in 0..KILLS {
            keeper.start();
            // The time to the kill is the test's input, not a wait for something.
            std::thread::sleep(std::time::Duration::from_micros(random.below(12_000)));
            keeper.kill();
        }
        keeper.start();
        let ledgers: Vec<_> = speakers
            .into_iter()
            .map(|(unit, speaker)| (unit, as_stored(speaker.join().unwrap())))
            .collect();
        let entries = keeper.finish();
        for (unit, ledger) in ledgers {
            let stored = messages(&entries, &unit);
            let differs = stored.iter().zip(&ledger).position(|(a, b)| a != b);
            assert_eq!(
                (stored.len(), differs),
                (ledger.len(), None),
                "{unit}, seed {seed:#x}"
            );
        }
        let numbers: Vec<u64> = entries.iter().map(|entry| entry.seqnum).collect();
        assert_eq!(
            numbers,
            (1..=entries.len() as u64).collect::<Vec<_>>(),
            "every number once"
        );
    }
}

#[test]
fn an_entry_says_where_it_came_from() {
    let mut keeper = Keeper::new();
    keeper.start();
    let mut service = keeper.stream("web.service|4|00112233445566778899aabbccddeeff|portable=foo");
    service.write_all(b"<3>broken\n<99>x\n").unwrap();
    drop(service);
    let entries = keeper.finish();
    let field = |name: &str| {
        entries[0]
            .text(name)
            .unwrap_or_else(|| panic!("{name}"))
            .into_owned()
    };
    assert_eq!(messages(&entries, "web.service"), ["broken", "<99>x"]);
    assert_eq!(
        (field("PRIORITY"), entries[1].priority()),
        ("3".into(), Some(6))
    );
    assert_eq!(field("_PID"), std::process::id().to_string());
    assert_eq!(
        field("_UID"),
        rustix::process::getuid().as_raw().to_string()
    );
    assert_eq!(field("SYSLOG_IDENTIFIER"), "web");
    assert_eq!(
        field("_SYSTEMD_INVOCATION_ID"),
        "00112233445566778899aabbccddeeff"
    );
    assert_eq!(field("_CORACLE_PORTABLE"), "foo");
    assert_eq!(field("_TRANSPORT"), "stdout");
    assert_eq!(field("_BOOT_ID").len(), 32);
    assert!(!field("_COMM").is_empty());
}

#[test]
fn a_service_that_talks_too_much_is_cut_short_and_the_rest_is_counted() {
    let mut keeper = Keeper::new();
    keeper.burst = Some(10);
    keeper.start();
    let mut service = keeper.stream("web.service|4|x");
    for number in 0..100 {
        writeln!(service, "{number}").unwrap();
    }
    drop(service);
    let mut lines = messages(&keeper.finish(), "web.service");
    assert_eq!(
        lines.pop().unwrap(),
        "Suppressed 90 messages from web.service"
    );
    assert_eq!(
        lines,
        (0..10).map(|number| number.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn a_line_that_never_ends_does_not_block_the_service() {
    let mut keeper = Keeper::new();
    keeper.start();
    let mut service = keeper.stream("dots.service|1|x");
    for _ in 0..3000 {
        service.write_all(b".").unwrap();
    }
    drop(service);
    let entries = keeper.finish();
    assert_eq!(messages(&entries, "dots.service"), [".".repeat(3000)]);
    assert_eq!(entries[0].text("_LINE_BREAK").unwrap(), "eof");
}

#[test]
fn entries_are_found_by_what_is_asked() {
    let mut keeper = Keeper::new();
    keeper.start();
    let mut manager = keeper.stream("coracled.service|1|m|fields=yes");
    manager
        .write_all(b"<6>\x1fUNIT=web.service\x1fweb.service started\n")
        .unwrap();
    drop(manager);
    let mut web = keeper.stream("web.service|1|x");
    web.write_all(b"<7>fine\n<3>broken\n\x1fUNIT=db.service\x1fpretended\n")
        .unwrap();
    drop(web);
    let directory = keeper.directory.path().to_owned();
    let logs = Logs::new(&directory);
    let count = |filter: Filter| {
        let mut texts: Vec<String> = all(&logs, &filter)
            .iter()
            .map(|e| String::from_utf8_lossy(e.message()).into_owned())
            .collect();
        texts.sort();
        texts.join("|")
    };
    let (mut child, channel) = keeper.process.take().unwrap();
    send(&channel, b"stop", &[]).unwrap();
    assert!(child.wait().unwrap().success());
    let unit = |name: &str| Filter {
        units: vec![name.into()],
        ..Filter::default()
    };
    assert_eq!(
        count(unit("web.service")),
        "\u{1f}UNIT=db.service\u{1f}pretended|broken|fine|web.service started"
    );
    assert_eq!(count(unit("db.service")), "");
    assert_eq!(
        count(Filter {
            priority_max: Some(3),
            ..Filter::default()
        }),
        "broken"
    );
    assert_eq!(
        count(Filter {
            grep: Some(journal::query::Pattern::Text(b"ok".to_vec())),
            ..Filter::default()
        }),
        "broken"
    );
    assert_eq!(
        count(Filter {
            since_us: Some(u64::MAX),
            ..Filter::default()
        }),
        ""
    );
    assert_eq!(
        count(Filter {
            boot: Some("none".into()),
            ..Filter::default()
        }),
        ""
    );
    assert_eq!(logs.last(&Filter::default(), 2).unwrap().len(), 2);
}

#[test]
fn a_follower_sees_what_is_written_into_directories_that_are_new() {
    let mut keeper = Keeper::new();
    keeper.start();
    let directory = keeper.directory.path().to_owned();
    let (seen, tell) = std::sync::mpsc::channel();
    let follower = std::thread::spawn(move || {
        let mut texts = Vec::new();
        let each = &mut |entry: &Entry| {
            texts.push(String::from_utf8_lossy(entry.message()).into_owned());
            seen.send(()).unwrap();
            texts.len() < 3
        };
        Logs::new(&directory)
            .follow(&Filter::default(), Some(0), each)
            .unwrap();
        texts
    });
    let mut first = keeper.stream("a.service|1|x");
    first.write_all(b"one\n").unwrap();
    tell.recv().unwrap();
    let mut second = keeper.stream("b.service|1|x|portable=later");
    second.write_all(b"two\n").unwrap();
    tell.recv().unwrap();
    first.write_all(b"three\n").unwrap();
    assert_eq!(follower.join().unwrap(), ["one", "two", "three"]);
    drop((first, second));
    keeper.finish();
}
