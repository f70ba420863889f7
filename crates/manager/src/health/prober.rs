//! The thread that asks services by connections, many at once: each is made in the network namespace of its service, and none waits for
//! another. What answers is a stranger: no more than the first line is read, and nobody waits longer than the unit says.

use super::held::{HELD_MAX, Held};
use crate::clock::monotonic;
use crate::poll::{Poll, Token};
use engine::{Micros, ProcessKey, UnitId};
use kernel::namespace::NETWORK;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A thread that makes sockets and compares bytes.
const STACK_BYTES: usize = 256 << 10;
/// Connections at once; more wait.
const OPEN_MAX: usize = 512;
/// Bytes of an answer that are read: its first line is in them, or it is none.
const ANSWER_BYTES_MAX: usize = 1024;
/// Letters of a line that are kept.
const SHOWN_CHARS_MAX: usize = 200;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) address: SocketAddr,
    /// By HTTP; without, a connection is enough.
    pub(crate) path: Option<String>,
}

/// A probe that is to be made.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) process: ProcessKey,
    pub(crate) wish: Wish,
    /// Where the service is, unless that is where we are.
    pub(crate) network: Option<OwnedFd>,
    /// How long it may take; no limit where none is given.
    pub(crate) timeout: Option<Micros>,
    /// The group of a run that would answer for it, and is held meanwhile.
    pub(crate) former: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) process: ProcessKey,
    pub(crate) well: bool,
    pub(crate) line: String,
}

/// The thread, once there is one; it ends with this.
pub(crate) struct Prober(Arc<Shared>);

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.queue().ends = true;
        ring(&self.0.wake);
    }
}

struct Shared {
    /// Tells the thread that there are words for it.
    wake: OwnedFd,
    /// Tells the manager that there are answers.
    answered: OwnedFd,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    words: VecDeque<Word>,
    answers: Vec<Answer>,
    runs: bool,
    /// Nobody is to be asked any more.
    ends: bool,
}

enum Word {
    Ask(Order),
    GiveUp(UnitId),
}

impl Prober {
    pub(crate) fn new(poll: &Poll) -> Result<Prober, Errno> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let (wake, answered) = (
            rustix::event::eventfd(0, flags)?,
            rustix::event::eventfd(0, flags)?,
        );
        poll.watch(&answered, Token::Probed)?;
        Ok(Prober(Arc::new(Shared {
            wake,
            answered,
            queue: Mutex::default(),
        })))
    }

    /// False: there is no thread for it.
    pub(crate) fn ask(&self, order: Order) -> bool {
        let mut queue = self.0.queue();
        if !queue.runs {
            let shared = Arc::clone(&self.0);
            queue.runs = kernel::aside::thread(STACK_BYTES, Box::new(move || shared.go()));
        }
        if queue.runs {
            queue.words.push_back(Word::Ask(order));
            ring(&self.0.wake);
        }
        queue.runs
    }

    /// Its answers are waited for no more.
    pub(crate) fn leave(self, poll: &Poll) {
        poll.forget(&self.0.answered);
    }

    pub(crate) fn give_up(&self, unit: UnitId) {
        self.0.queue().words.push_back(Word::GiveUp(unit));
        ring(&self.0.wake);
    }

    pub(crate) fn answers(&self) -> Vec<Answer> {
        silence(&self.0.answered);
        std::mem::take(&mut self.0.queue().answers)
    }
}

fn ring(event: &OwnedFd) {
    // It fails only where so many wait unheard that the count overflows: then it is readable already.
    match rustix::io::write(event, &1u64.to_ne_bytes()) {
        Ok(_) | Err(_) => {}
    }
}

fn silence(event: &OwnedFd) {
    match rustix::io::read(event, &mut [0; 8]) {
        Ok(_) | Err(_) => {}
    }
}

/// A connection.
struct Open {
    process: ProcessKey,
    path: Option<String>,
    address: SocketAddr,
    socket: OwnedFd,
    until: Option<Micros>,
    /// The answer so far; nothing as long as there is no connection.
    answer: Option<Vec<u8>>,
    /// Who does not answer in its place.
    _held: Option<Held>,
}

/// A probe that begins when the run that would answer for it is held.
struct Pending {
    order: Order,
    held: Held,
}

/// What has become of a connection.
enum Step {
    Goes,
    Ends(bool, String),
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, process: ProcessKey, (well, line): (bool, String)) {
        self.queue().answers.push(Answer {
            process,
            well,
            line,
        });
        ring(&self.answered);
    }

    /// The thread.
    fn go(&self) {
        let mut waiting = VecDeque::new();
        let mut open: Vec<Open> = Vec::new();
        let mut pending: Vec<Pending> = Vec::new();
        let home = std::fs::File::open("/proc/thread-self/ns/net");
        loop {
            silence(&self.wake);
            let mut queue = self.queue();
            if queue.ends {
                return;
            }
            let words = std::mem::take(&mut queue.words);
            drop(queue);
            for word in words {
                match word {
                    Word::Ask(order) => waiting.push_back(order),
                    Word::GiveUp(unit) => {
                        waiting.retain(|order: &Order| order.process.unit != unit);
                        open.retain(|one| one.process.unit != unit);
                        pending.retain(|one| one.order.process.unit != unit);
                    }
                }
            }
            let mut ready: Vec<(Order, Option<Held>)> = self.held(&mut pending);
            while open.len() + pending.len() + ready.len() < OPEN_MAX
                && let Some(order) = waiting.pop_front()
            {
                match order.former.as_deref().map(Held::begin) {
                    None | Some(Ok(None)) => ready.push((order, None)),
                    Some(Ok(Some(held))) => pending.push(Pending { order, held }),
                    Some(Err(error)) => self.answer(order.process, (false, not_held(&error))),
                }
            }
            // Most are frozen at once.
            ready.extend(self.held(&mut pending));
            for (order, held) in ready {
                let process = order.process;
                match begin(order, held, &home) {
                    Ok(one) => open.push(one),
                    Err(Trouble::Here(line)) => self.answer(process, (false, line)),
                    // In a foreign namespace for good: whoever asks next gets a thread of its own.
                    Err(Trouble::Lost) => {
                        waiting.extend(pending.into_iter().map(|one| one.order));
                        return self.leave(process, &mut open, &mut waiting);
                    }
                }
            }
            self.wait(&mut open, &pending);
        }
    }

    /// Takes those out that can begin now. Those whose run could not be held in time have their answer.
    fn held(&self, pending: &mut Vec<Pending>) -> Vec<(Order, Option<Held>)> {
        let (now, mut ready) = (monotonic(), Vec::new());
        for mut one in std::mem::take(pending) {
            if one.held.is_frozen() {
                ready.push((one.order, Some(one.held)));
            } else if one.held.until <= now {
                let late = io::Error::from(io::ErrorKind::TimedOut);
                self.answer(one.order.process, (false, not_held(&late)));
            } else {
                pending.push(one);
            }
        }
        ready
    }

    /// Ends the thread: what it was asked has no answer.
    fn leave(&self, process: ProcessKey, open: &mut Vec<Open>, waiting: &mut VecDeque<Order>) {
        let mut lost: Vec<ProcessKey> = vec![process];
        lost.extend(open.drain(..).map(|one| one.process));
        lost.extend(waiting.drain(..).map(|order| order.process));
        let mut queue = self.queue();
        queue.runs = false;
        for word in std::mem::take(&mut queue.words) {
            if let Word::Ask(order) = word {
                lost.push(order.process);
            }
        }
        drop(queue);
        for process in lost {
            let line = "its network could not be left again".to_owned();
            self.answer(process, (false, line));
        }
    }

    /// Waits for what is open, and goes on with what is ready or late.
    fn wait(&self, open: &mut Vec<Open>, pending: &[Pending]) {
        let mut ready = {
            let mut watched = vec![PollFd::new(&self.wake, PollFlags::IN)];
            watched.extend(
                pending
                    .iter()
                    .map(|one| PollFd::new(&one.held.events, PollFlags::PRI)),
            );
            watched.extend(open.iter().map(|one| {
                let flags = if one.answer.is_some() {
                    PollFlags::IN
                } else {
                    PollFlags::OUT
                };
                PollFd::new(&one.socket, flags)
            }));
            let ends = open.iter().filter_map(|one| one.until);
            let next = ends.chain(pending.iter().map(|one| one.held.until)).min();
            let timeout = next.map(|until| span(until.0.saturating_sub(monotonic().0)));
            match rustix::event::poll(&mut watched, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => {
                    drop(watched);
                    let line = format!("it can't be waited for: {errno}");
                    let lost = open.drain(..);
                    return lost.for_each(|one| self.answer(one.process, (false, line.clone())));
                }
            }
            let others = 1 + pending.len();
            let happened = watched
                .iter()
                .skip(others)
                .map(|one| !one.revents().is_empty());
            happened.collect::<VecDeque<bool>>()
        };
        let now = monotonic();
        open.retain_mut(|one| {
            let step = match ready.pop_front() {
                Some(true) => one.step(),
                _ if one.until.is_some_and(|until| until <= now) => {
                    Step::Ends(false, super::NO_ANSWER.to_owned())
                }
                _ => Step::Goes,
            };
            match step {
                Step::Goes => true,
                Step::Ends(well, line) => {
                    self.answer(one.process, (well, line));
                    false
                }
            }
        });
    }
}

fn span(us: u64) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(us / 1_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(us % 1_000_000 * 1_000).unwrap_or_default(),
    }
}

/// Why a connection could not be begun.
enum Trouble {
    Here(String),
    /// The thread is where it can't stay.
    Lost,
}

fn not_held(error: &io::Error) -> String {
    format!("the run before answers at the same socket, and can't be held meanwhile: {error}")
}

fn begin(
    order: Order,
    held: Option<Held>,
    home: &io::Result<std::fs::File>,
) -> Result<Open, Trouble> {
    let here = |what: &str, errno: Errno| Trouble::Here(format!("{what}: {errno}"));
    let made = match (&order.network, home) {
        (None, _) => make_socket(order.wish.address),
        (Some(_), Err(error)) => return Err(Trouble::Here(format!("namespaces: {error}"))),
        (Some(network), Ok(home)) => {
            kernel::namespace::join(network, NETWORK)
                .map_err(|errno| here("its network can't be entered", errno))?;
            let made = make_socket(order.wish.address);
            kernel::namespace::join(home, NETWORK).map_err(|_| Trouble::Lost)?;
            made
        }
    };
    let socket = made.map_err(|errno| here("no socket", errno))?;
    match rustix::net::connect(&socket, &order.wish.address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(errno) => return Err(Trouble::Here(refused(order.wish.address, errno))),
    }
    let most = held.as_ref().map(|_| HELD_MAX);
    Ok(Open {
        process: order.process,
        path: order.wish.path,
        address: order.wish.address,
        socket,
        until: (order.timeout.into_iter().chain(most).min()).map(|time| monotonic().after(time)),
        answer: None,
        _held: held,
    })
}

fn make_socket(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(family, SocketType::STREAM, flags, None)
}

fn refused(address: SocketAddr, errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    format!("{address}: {text}")
}

impl Open {
    fn step(&mut self) -> Step {
        if self.answer.is_some() {
            return self.read();
        }
        match rustix::net::sockopt::socket_error(&self.socket) {
            Ok(Ok(())) => {}
            Ok(Err(errno)) | Err(errno) => return Step::Ends(false, refused(self.address, errno)),
        }
        let Some(path) = &self.path else {
            return Step::Ends(true, format!("{}: it takes connections", self.address));
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: coracle\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            self.address
        );
        // There is room for it in a socket that is new.
        match rustix::net::send(&self.socket, request.as_bytes(), SendFlags::NOSIGNAL) {
            Ok(count) if count == request.len() => {
                self.answer = Some(Vec::new());
                Step::Goes
            }
            Ok(_) => Step::Ends(false, format!("{}: it takes no request", self.address)),
            Err(errno) => Step::Ends(false, refused(self.address, errno)),
        }
    }

    fn read(&mut self) -> Step {
        let answer = self.answer.get_or_insert_default();
        let mut buffer = [0; ANSWER_BYTES_MAX];
        let room = ANSWER_BYTES_MAX.saturating_sub(answer.len());
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        let (count, _) = match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok(received) => received,
            Err(Errno::AGAIN | Errno::INTR) => return Step::Goes,
            Err(errno) => return Step::Ends(false, refused(self.address, errno)),
        };
        answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let line = answer.split(|byte| *byte == b'\n').next();
        let is_whole = answer.contains(&b'\n');
        if !is_whole && count > 0 && answer.len() < ANSWER_BYTES_MAX {
            return Step::Goes;
        }
        let line = String::from_utf8_lossy(line.unwrap_or_default());
        let line = line.trim_end_matches('\r');
        match status(line).filter(|_| is_whole) {
            Some(status) => Step::Ends((200..400).contains(&status), shown(line)),
            None if answer.is_empty() => Step::Ends(
                false,
                format!("{}: it closed without an answer", self.address),
            ),
            None => Step::Ends(false, format!("{}: that is not HTTP", self.address)),
        }
    }
}

/// The status of an answer, from its first line (RFC 9112, 4).
fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.")?;
    let (minor, rest) = rest.split_once(' ')?;
    let number = rest.get(..3)?;
    let is_status = number.bytes().all(|byte| byte.is_ascii_digit())
        && rest
            .get(3..)
            .is_none_or(|rest| rest.is_empty() || rest.starts_with(' '));
    let is_minor = minor.len() == 1 && minor.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_status && is_minor)
}

/// A stranger's line, as it may be shown.
pub(super) fn shown(line: &str) -> String {
    let safe = |letter: char| if letter.is_control() { '?' } else { letter };
    line.trim()
        .chars()
        .take(SHOWN_CHARS_MAX)
        .map(safe)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::Incarnation;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn key(unit: u32) -> ProcessKey {
        ProcessKey {
            unit: UnitId(unit),
            incarnation: Incarnation(1),
            serial: 1,
        }
    }

    fn order(unit: u32, address: SocketAddr, path: Option<&str>, timeout_us: u64) -> Order {
        let path = path.map(str::to_owned);
        Order {
            process: key(unit),
            wish: Wish { address, path },
            network: None,
            timeout: Some(Micros(timeout_us)),
            former: None,
        }
    }

    /// Waits for the answer about one unit.
    fn answer(prober: &Prober, poll: &mut Poll) -> Answer {
        loop {
            let ready = poll.wait(Some(60_000_000)).unwrap();
            assert!(!ready.is_empty(), "no answer comes");
            if let Some(answer) = prober.answers().pop() {
                return answer;
            }
        }
    }

    /// A server that says one thing to one client, and what the client said.
    fn served(words: &'static [u8]) -> (SocketAddr, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let count = client.read(&mut buffer).unwrap();
            client.write_all(words).unwrap();
            String::from_utf8_lossy(&buffer[..count]).into_owned()
        });
        (address, server)
    }

    #[test]
    fn a_good_status_is_one_from_200_to_399() {
        let mut poll = Poll::new().unwrap();
        let prober = Prober::new(&poll).unwrap();
        for (words, well, line) in [
            (
                &b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..],
                true,
                "HTTP/1.1 200 OK",
            ),
            (b"HTTP/1.0 302 Found\n", true, "HTTP/1.0 302 Found"),
            (b"HTTP/1.1 204\r\n", true, "HTTP/1.1 204"),
            (
                b"HTTP/1.1 503 Not\x1b yet\r\n",
                false,
                "HTTP/1.1 503 Not? yet",
            ),
            (b"HTTP/1.1 2000 OK\r\n", false, "that is not HTTP"),
            (b"HTTP/1.1 200 OK", false, "that is not HTTP"),
            (b"SSH-2.0-x\r\n", false, "that is not HTTP"),
            (b"", false, "it closed without an answer"),
            (&[b'x'; 5000], false, "that is not HTTP"),
        ] {
            let (address, server) = served(words);
            assert!(prober.ask(order(1, address, Some("/a?b"), 30_000_000)));
            let answer = answer(&prober, &mut poll);
            assert_eq!(answer.well, well, "{answer:?}");
            assert!(answer.line.ends_with(line), "{answer:?}");
            let asked = server.join().unwrap();
            let expected = format!("GET /a?b HTTP/1.1\r\nHost: {address}\r\n");
            assert!(asked.starts_with(&expected), "{asked}");
        }
    }

    #[test]
    fn a_port_is_enough_where_no_path_is_asked_for_and_one_that_is_closed_is_told() {
        let mut poll = Poll::new().unwrap();
        let prober = Prober::new(&poll).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(prober.ask(order(1, address, None, 30_000_000)));
        assert!(answer(&prober, &mut poll).well);
        drop(listener);
        assert!(prober.ask(order(1, address, None, 30_000_000)));
        let answer = answer(&prober, &mut poll);
        assert!(!answer.well);
        assert_eq!(answer.line, format!("{address}: Connection refused"));
    }

    #[test]
    fn a_run_that_would_answer_is_held_until_the_answer_is_there() {
        let mut poll = Poll::new().unwrap();
        let prober = Prober::new(&poll).unwrap();
        let group = tempfile::tempdir().unwrap();
        let file = |name: &str| group.path().join(name);
        std::fs::write(file("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let former = || Some(group.path().to_owned());
        let held = Order {
            former: former(),
            ..order(1, listener.local_addr().unwrap(), Some("/"), 30_000_000)
        };
        assert!(prober.ask(held));
        let (mut client, _) = listener.accept().unwrap();
        let state = || std::fs::read_to_string(file("cgroup.freeze")).unwrap();
        assert_eq!(state(), "1");
        client.write_all(b"HTTP/1.1 500 No\r\n").unwrap();
        assert!(!answer(&prober, &mut poll).well);
        // The thread tells it first, and lets go then: the next answer comes after that.
        let late = Order {
            former: former(),
            ..order(2, listener.local_addr().unwrap(), Some("/"), 30_000_000)
        };
        assert!(prober.ask(late));
        // Nobody is held for longer than a second.
        assert_eq!(answer(&prober, &mut poll).line, super::super::NO_ANSWER);
        assert!(prober.ask(order(3, listener.local_addr().unwrap(), None, 30_000_000)));
        assert!(answer(&prober, &mut poll).well);
        assert_eq!(state(), "0");
        // One that can't be held is no answer.
        std::fs::write(file("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        let never = Order {
            former: former(),
            ..order(4, listener.local_addr().unwrap(), Some("/"), 30_000_000)
        };
        assert!(prober.ask(never));
        let answer = answer(&prober, &mut poll);
        assert!(
            answer.line.contains("can't be held meanwhile"),
            "{answer:?}"
        );
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for_and_holds_up_nobody() {
        let mut poll = Poll::new().unwrap();
        let prober = Prober::new(&poll).unwrap();
        // It takes connections, and nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        assert!(prober.ask(order(1, address, Some("/"), 30_000_000)));
        assert!(prober.ask(order(2, address, Some("/"), 1)));
        let late = answer(&prober, &mut poll);
        assert_eq!((late.process, late.well), (key(2), false));
        assert_eq!(late.line, super::super::NO_ANSWER);
        let (there, server) = served(b"HTTP/1.1 200 OK\r\n");
        assert!(prober.ask(order(3, there, Some("/"), 30_000_000)));
        assert_eq!(answer(&prober, &mut poll).process, key(3));
        server.join().unwrap();
        // Given up, it is told nothing of: the next answer is another's.
        prober.give_up(UnitId(1));
        let (there, server) = served(b"HTTP/1.1 200 OK\r\n");
        assert!(prober.ask(order(4, there, Some("/"), 30_000_000)));
        assert_eq!(answer(&prober, &mut poll).process, key(4));
        server.join().unwrap();
        drop(silent);
    }
}
