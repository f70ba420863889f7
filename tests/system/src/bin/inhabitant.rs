//! A service of the tests' world: `inhabitant ROLE LEDGER SEED [WORD]`. What it does it writes down in its ledger first or, where only the
//! deed makes it true, next; what it does next follows from the seed and from how often it was started.
//!
//! Beside the ledger lies the file `go`. When it is gone, those that would end by themselves rest instead, so that the world comes to a halt.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::time::Duration;

use coracle_system_tests::ledger::Ledger;
use coracle_system_tests::moments::Moments;
use kernel::signal::SignalSet;
use rustix::event::{PollFd, PollFlags, poll};

/// The longest life of what ends by itself, in microseconds.
const LIFE_US: u64 = 20_000;
/// The longest time until it is ready, in microseconds.
const READY_US: u64 = 60_000;
/// The longest pause of a flood, in microseconds.
const FLOOD_US: u64 = 300_000;
/// Most lines of one burst.
const BURST_LINES: u64 = 300;
/// SIGTERM of signal(7).
const TERM: i32 = 15;
/// Signals to end by that are a failure of the service: SIGABRT, SIGKILL, SIGSEGV, SIGUSR1.
const DEADLY: [i32; 4] = [6, 9, 11, 10];

struct Inhabitant {
    ledger: Ledger,
    go: PathBuf,
    /// Which start this is, from 1.
    start: u64,
    moments: Moments,
    arguments: Vec<String>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let path = Path::new(&arguments[2]);
    let ledger = Ledger::at(path);
    let start = ledger.entries("started").len() as u64 + 1;
    let seed: u64 = arguments[3].parse().expect("a seed");
    let mut inhabitant = Inhabitant {
        ledger,
        go: path.with_file_name("go"),
        start,
        moments: Moments::of(seed, start),
        arguments,
    };
    match inhabitant.arguments[1].as_str() {
        "serve" => inhabitant.serve(false),
        "serve-once" => inhabitant.serve(true),
        "http" => inhabitant.http(),
        "web" => inhabitant.web("200 OK"),
        "sick-web" => inhabitant.web("500 Sick"),
        "crash" => inhabitant.crash(),
        "fork" => inhabitant.fork(),
        "known" => inhabitant.ledger.write(&format!("known {}", start - 1)),
        "forked" => inhabitant.forked(),
        "daemon" => inhabitant.fork(),
        "daemonized" => inhabitant.daemonized(),
        "hang" => inhabitant.hang(),
        "deaf" => inhabitant.deaf(),
        "note" => inhabitant.note(),
        "stay" => inhabitant.stay(),
        "flood" => inhabitant.flood(),
        "burst" => inhabitant.burst(),
        "once" => inhabitant.once(),
        other => panic!("there is no role {other}"),
    }
}

impl Inhabitant {
    fn started(&self) {
        self.ledger.write(&format!("started {}", self.start));
    }

    fn sleep_at_most(&mut self, limit_us: u64) {
        std::thread::sleep(Duration::from_micros(self.moments.below(limit_us)));
    }

    /// Answers each connection, or the first alone: the request's number, and who answered.
    fn serve(&mut self, once: bool) {
        self.started();
        let listener = UnixListener::from(kernel::descriptor::take_inherited(3).expect("a socket"));
        for stream in listener.incoming() {
            let served = self.answer(stream.expect("a connection"));
            if once && served {
                self.ledger.write("ended exited 0");
                return;
            }
        }
    }

    /// Answers requests with its word, one after the other, until it is asked to end, which it does between two of them.
    fn http(&self) {
        let stop = SignalSet::EMPTY.with(TERM);
        kernel::signal::set_mask(stop).expect("a mask");
        let stop = kernel::signal::descriptor(stop).expect("a descriptor");
        let listener = TcpListener::from(kernel::descriptor::take_inherited(3).expect("a socket"));
        loop {
            let mut ready = [
                PollFd::new(&stop, PollFlags::IN),
                PollFd::new(&listener, PollFlags::IN),
            ];
            poll(&mut ready, None).expect("events");
            if !ready[0].revents().is_empty() {
                return;
            }
            let (stream, _) = listener.accept().expect("a connection");
            let mut lines = BufReader::new(&stream).lines();
            // Who goes away is not served.
            let is_whole = lines
                .by_ref()
                .map_while(Result::ok)
                .any(|line| line.is_empty());
            if is_whole {
                let word = &self.arguments[4];
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", word.len());
                let _gone = write!(&stream, "{head}Connection: close\r\n\r\n{word}").is_err();
            }
        }
    }

    /// Answers with its status and its word, many at once, each as soon as its request is whole. Once it is asked to end it takes no more, and ends when
    /// all are answered that it took.
    fn web(&self, status: &'static str) {
        let stop = SignalSet::EMPTY.with(TERM);
        kernel::signal::set_mask(stop).expect("a mask");
        let stop = kernel::signal::descriptor(stop).expect("a descriptor");
        let listener = TcpListener::from(kernel::descriptor::take_inherited(3).expect("a socket"));
        // Another one may be at the same socket, and faster.
        listener.set_nonblocking(true).expect("it does not block");
        let word = self.arguments[4].as_str();
        say("READY=1");
        std::thread::scope(|scope| {
            loop {
                let mut ready = [
                    PollFd::new(&stop, PollFlags::IN),
                    PollFd::new(&listener, PollFlags::IN),
                ];
                poll(&mut ready, None).expect("events");
                if !ready[0].revents().is_empty() {
                    say("STOPPING=1");
                    return;
                }
                if let Ok((stream, _)) = listener.accept() {
                    scope.spawn(move || answer_whole(&stream, status, word));
                }
            }
        });
    }

    fn answer(&self, mut stream: UnixStream) -> bool {
        let mut question = String::new();
        // Who goes away before it asked is not served.
        if stream.read_to_string(&mut question).is_err() || question.is_empty() {
            return false;
        }
        self.ledger.write(&format!("answered {question}"));
        write!(stream, "{question} {}", std::process::id()).is_ok()
    }

    /// Ends at some moment with some status.
    fn crash(&mut self) {
        self.started();
        self.end_somehow();
    }

    fn end_somehow(&mut self) {
        self.sleep_at_most(LIFE_US);
        self.rest_at_the_end();
        let choice = self.moments.below(10);
        if let Some(signal) = DEADLY.get(choice as usize) {
            self.ledger.write(&format!("ended killed {signal}"));
            // The runtime has a handler of its own for SIGSEGV.
            kernel::signal::reset_dispositions().expect("they are reset");
            kernel::process::kill(std::process::id() as i32, *signal).expect("a signal");
            rest();
        }
        let status = self.moments.below(120) as i32;
        self.ledger.write(&format!("ended exited {status}"));
        exit(status);
    }

    /// Leaves a child that is the service, and ends when it has said so.
    fn fork(&self) {
        self.started();
        let own = std::env::current_exe().expect("this program");
        let mut words = self.arguments.clone();
        words[1] = match words[1].as_str() {
            "daemon" => "daemonized".to_owned(),
            _ => "forked".to_owned(),
        };
        let child = Command::new(own)
            .args(&words[1..])
            .stdin(Stdio::piped())
            .spawn();
        let said = child.expect("a child").stdin.take().expect("a pipe");
        // The child's end of the pipe is closed once it has spoken.
        let mut closed = [PollFd::new(&said, PollFlags::empty())];
        poll(&mut closed, None).expect("its word");
    }

    /// What forking left. It must be known as the service, and no one else's child, before it ends: nobody could tell how otherwise.
    fn forked(&mut self) {
        self.take_over(|own| notify(&format!("READY=1\nMAINPID={own}")));
    }

    /// The same of a daemon that writes a PID file.
    fn daemonized(&mut self) {
        let (file, beside) = (
            self.arguments[4].clone(),
            format!("{}.new", self.arguments[4]),
        );
        self.take_over(|own| {
            std::fs::write(&beside, own.to_string()).expect("a file");
            std::fs::rename(&beside, &file).expect("its place");
        });
    }

    fn take_over(&mut self, say: impl FnOnce(u32)) {
        let parent = std::os::unix::process::parent_id();
        say(std::process::id());
        let null = std::fs::File::open("/dev/null").expect("a file");
        rustix::stdio::dup2_stdin(null).expect("the pipe is closed");
        let known = (self.start - 1).to_string();
        let is_alone = || std::os::unix::process::parent_id() != parent;
        while !is_alone() || !self.ledger.entries("known").contains(&known) {
            std::thread::sleep(Duration::from_micros(LIFE_US / 10));
        }
        self.end_somehow();
    }

    /// Promises to be ready and never is, until the world ends.
    fn hang(&self) {
        self.started();
        if !self.go.exists() {
            notify("READY=1");
        }
        self.rest_at_the_end();
        rest();
    }

    /// Takes no SIGTERM.
    fn deaf(&self) {
        kernel::signal::set_disposition(TERM, kernel::signal::Disposition::Ignore)
            .expect("it is ignored");
        self.started();
        notify("READY=1");
        rest();
    }

    fn note(&mut self) {
        self.started();
        self.sleep_at_most(READY_US);
        self.ledger.write(&format!("ready {}", self.start));
        notify(&format!("READY=1\nSTATUS=ready {}", self.start));
        rest();
    }

    fn stay(&self) {
        self.started();
        notify("READY=1");
        rest();
    }

    /// Numbered lines without end, some of them in two halves.
    fn flood(&mut self) {
        self.started();
        let mut number = 0;
        while self.go.exists() {
            for _ in 0..=self.moments.below(50) {
                number += 1;
                self.say(number);
            }
            self.sleep_at_most(FLOOD_US);
        }
        self.ledger.write(&format!("written {number}"));
        self.ledger.write("resting");
        rest();
    }

    /// Many numbered lines at once, and the end; the numbers go on over the starts.
    fn burst(&mut self) {
        let before: u64 = self
            .ledger
            .entries("written")
            .last()
            .map_or(0, |last| last.parse().expect("a number"));
        self.started();
        self.rest_at_the_end();
        let last = before + self.moments.below(BURST_LINES);
        for number in before + 1..=last {
            self.say(number);
        }
        self.ledger.write(&format!("written {last}"));
        self.ledger.write("ended exited 0");
    }

    fn say(&mut self, number: u64) {
        let line = format!("line {number}\n");
        let (one, other) = line.split_at(self.moments.below(line.len() as u64) as usize);
        let mut out = rustix::stdio::stdout();
        for part in [one, other] {
            write_all(&mut out, part.as_bytes());
        }
    }

    /// One deed, and the status that was asked for.
    fn once(&self) {
        let (number, status) = (&self.arguments[4], &self.arguments[5]);
        self.ledger.write(&format!("did {number}"));
        exit(status.parse().expect("a status"));
    }

    fn rest_at_the_end(&self) {
        if !self.go.exists() {
            self.ledger.write("resting");
            rest();
        }
    }
}

/// To whom it concerns, if anybody.
fn say(state: &str) {
    if std::env::var_os("NOTIFY_SOCKET").is_some() {
        notify(state);
    }
}

/// Answers a request; of one that has a body the head is acknowledged first.
fn answer_whole(mut stream: &TcpStream, status: &str, word: &str) {
    stream.set_nonblocking(false).expect("it blocks");
    let mut lines = BufReader::with_capacity(1, stream).lines();
    let mut head = lines.by_ref().map_while(Result::ok);
    let mut has_body = false;
    let is_whole = head.any(|line| {
        has_body |= line.starts_with("Content-Length:");
        line.is_empty()
    });
    if !is_whole {
        return;
    }
    if has_body {
        let goes_on = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok();
        if !goes_on || !matches!(stream.read(&mut [0; 1]), Ok(1)) {
            return;
        }
    }
    if has_body {
        say(&format!("STATUS=answered by {word}"));
    }
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", word.len());
    // Who goes away is not served.
    let _gone = write!(stream, "{head}Connection: close\r\n\r\n{word}").is_err();
}

fn write_all(out: &mut impl rustix::fd::AsFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&*out, bytes))
            .expect("the log takes lines");
        bytes = &bytes[written..];
    }
}

fn notify(state: &str) {
    let path = std::env::var("NOTIFY_SOCKET").expect("a socket for notifications");
    let socket = UnixDatagram::unbound().expect("a socket");
    socket
        .send_to(state.as_bytes(), path)
        .expect("somebody holds it");
}

/// Until a signal.
fn rest() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}
