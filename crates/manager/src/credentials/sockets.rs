//! Credentials are read by a thread, as whoever serves a socket, or a file system, may take long to answer. The start waits meanwhile.

use super::{Found, Sources, Wrong};
use crate::manager::Manager;
use crate::poll::Token;
use engine::{Incarnation, Micros, ProcessKey, Spawn, UnitId};
use kernel::walk::Place;
use model::sorted::Map;
use model::{Key, Setting, Unit, key};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use wire::Failure;

/// Threads at once, with those that nobody waits for any more, stuck on a dead file system. Further starts wait until one of them ends.
const THREADS_MAX: usize = 64;
const STACK_BYTES: usize = 256 << 10;
/// How long a socket may be silent, in seconds: as long as a service may take to start.
const SILENCE_S: i64 = 90;
/// How long it is waited between two tries to reach a socket whose queue is full, in nanoseconds.
const AGAIN_NS: i64 = 10_000_000;
/// How long what there was no thread for waits, in microseconds.
const RETRY_US: u64 = 100_000;

/// What sockets said, by the credential's name.
pub(crate) type Said = Vec<(String, io::Result<Vec<u8>>)>;

/// What a thread read, and what it has to warn of.
pub(crate) type Read = (Found, Vec<String>);

/// Threads that read, and starts that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    asking: Map<u32, Fetch>,
    /// Starts that wait for a thread, the longest first.
    waiting: VecDeque<Spawn>,
    /// When there may be a thread for what there was none for.
    pub(crate) retry: Option<Micros>,
    /// What was read for a start that goes on now.
    pub(crate) read: Map<ProcessKey, Read>,
    /// Each thread has a part in it.
    threads: Arc<()>,
}

#[derive(Debug)]
struct Fetch {
    spawn: Spawn,
    /// Ends with the thread; closing it ends the thread.
    end: OwnedFd,
    read: Arc<Mutex<Option<Read>>>,
}

/// One socket to ask: the credential's name, the place of the socket, and the name under which it is asked.
struct Question {
    name: String,
    /// What was found to be a socket, whatever is at its path by now.
    socket: OwnedFd,
    own: String,
}

impl Fetches {
    fn is_asked_for(&self, process: ProcessKey) -> bool {
        let asking = self.asking.values().map(|fetch| fetch.spawn);
        let mut all = asking.chain(self.waiting.iter().copied());
        all.any(|spawn| spawn.process == process)
    }

    fn has_room(&self) -> bool {
        Arc::strong_count(&self.threads) <= THREADS_MAX
    }

    /// The next start that there may be a thread for now.
    fn next(&mut self) -> Option<Spawn> {
        self.has_room().then(|| self.waiting.pop_front())?
    }

    /// Lets go of the processes of a run that wait, of those with these serials.
    pub(crate) fn give_up(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
        serials: &[u32],
    ) -> Vec<ProcessKey> {
        let is_meant = |process: ProcessKey| {
            process.unit == unit
                && process.incarnation == incarnation
                && serials.contains(&process.serial)
        };
        let asking = self.asking.iter();
        let meant: Vec<(u32, ProcessKey)> = asking
            .map(|(number, fetch)| (*number, fetch.spawn.process))
            .filter(|(_, process)| is_meant(*process))
            .collect();
        for (number, _) in &meant {
            self.asking.remove(number);
        }
        let waiting = self.waiting.iter().map(|spawn| spawn.process);
        let waiting: Vec<ProcessKey> = waiting.filter(|process| is_meant(*process)).collect();
        self.waiting.retain(|spawn| !is_meant(spawn.process));
        let asking = meant.into_iter().map(|(_, process)| process);
        asking.chain(waiting).collect()
    }
}

impl Manager {
    /// Can the start go on? If not, its credentials are being read and the start is tried again then.
    pub(crate) fn credentials_are_ready(&mut self, spawn: &Spawn) -> Result<bool, Failure> {
        let process = spawn.process;
        if self.aside.fetches.read.contains_key(&process) {
            return Ok(true);
        }
        let Some(asked) = self
            .units
            .get(&process.unit)
            .and_then(|entry| asked(&entry.unit))
        else {
            return Ok(true);
        };
        if self.aside.fetches.is_asked_for(process) {
            return Ok(false);
        }
        self.read_elsewhere(*spawn, asked)
            .map_err(|error| self.internal(process.unit, "read its credentials", &error))?;
        Ok(false)
    }

    fn read_elsewhere(&mut self, spawn: Spawn, unit: Unit) -> io::Result<()> {
        if !self.aside.fetches.has_room() {
            self.aside.fetches.waiting.push_back(spawn);
            self.retry_reading();
            return Ok(());
        }
        let flags = rustix::pipe::PipeFlags::CLOEXEC;
        let (end, theirs) = rustix::pipe::pipe_with(flags)?;
        let number = self.poll.number();
        self.poll.watch(&end, Token::Worker(number))?;
        let read = Arc::new(Mutex::new(None));
        let answer = Arc::clone(&read);
        let (keeper, state) = (self.keeper.pid, self.directories.state.clone());
        let thread = Arc::clone(&self.aside.fetches.threads);
        let work = move || {
            let found = read_all(&unit, keeper, &state, &theirs);
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            // Whoever hears of the end finds room.
            drop(thread);
            drop(theirs);
        };
        if !kernel::aside::thread(STACK_BYTES, Box::new(work)) {
            self.poll.forget(&end);
            self.aside.fetches.waiting.push_front(spawn);
            self.retry_reading();
            return Ok(());
        }
        let fetch = Fetch { spawn, end, read };
        self.aside.fetches.asking.insert(number, fetch);
        Ok(())
    }

    /// Threads that nobody waits for end without a word.
    fn retry_reading(&mut self) {
        let later = crate::clock::monotonic().after(Micros(RETRY_US));
        self.aside.fetches.retry.get_or_insert(later);
    }

    /// A thread is done.
    pub(crate) fn on_fetched(&mut self, number: u32) {
        let Some(fetch) = self.aside.fetches.asking.remove(&number) else {
            return;
        };
        self.poll.forget(&fetch.end);
        let process = fetch.spawn.process;
        let read = fetch
            .read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let read = read.unwrap_or_else(|| (Err(Wrong::unread()), Vec::new()));
        for text in &read.1 {
            self.log_as(crate::own_log::WARNING, process.unit, text);
        }
        self.aside.fetches.read.insert(process, read);
        self.start_that_waited(fetch.spawn);
        self.aside.fetches.read.remove(&process);
    }

    /// Starts what waited for a thread, as far as there are threads again.
    pub(crate) fn ask_further_sockets(&mut self, now: Micros) {
        let fetches = &mut self.aside.fetches;
        if fetches.retry.is_some_and(|moment| moment > now) {
            return;
        }
        fetches.retry = None;
        while self.aside.fetches.retry.is_none()
            && let Some(spawn) = self.aside.fetches.next()
        {
            self.start_that_waited(spawn);
        }
        if !self.aside.fetches.waiting.is_empty() {
            self.retry_reading();
        }
    }
}

/// What a unit says of credentials that are to be read, alone; nothing where it says nothing of them.
fn asked(unit: &Unit) -> Option<Unit> {
    let mut asked = Unit::new(unit.name().clone());
    let mut says = false;
    for key in [&key::LOAD_CREDENTIAL, &key::LOAD_CREDENTIAL_ENCRYPTED] {
        says |= copy(unit, &mut asked, key);
    }
    says |= copy(unit, &mut asked, &key::IMPORT_CREDENTIAL);
    says |= copy(unit, &mut asked, &key::SET_CREDENTIAL_ENCRYPTED);
    // They say which of the others may be missing.
    copy(unit, &mut asked, &key::SET_CREDENTIAL);
    says.then_some(asked)
}

fn copy<T: Clone + Setting>(from: &Unit, to: &mut Unit, key: &Key<T>) -> bool {
    let value = from.get(key);
    if let Some(value) = value {
        to.set(key, value.clone());
    }
    value.is_some()
}

/// Asks sockets first, unless whoever waits gives up.
fn read_all(unit: &Unit, keeper: u32, state: &Path, whoever_waits: &OwnedFd) -> Read {
    let said: Said = questions(unit)
        .into_iter()
        .map(|question| {
            let answer = ask(&question, whoever_waits);
            (question.name, answer)
        })
        .collect();
    let warnings = RefCell::new(Vec::new());
    let sources = Sources {
        keeper,
        state,
        now_us: crate::clock::realtime_us(),
        said: &said,
        boots_securely: &crate::conditions::boots_securely,
        warn: &|text| warnings.borrow_mut().push(text.to_owned()),
    };
    let found = super::read(unit, &sources);
    (found, warnings.into_inner())
}

/// The sources of a unit that are sockets now.
fn questions(unit: &Unit) -> Vec<Question> {
    let lines = [&key::LOAD_CREDENTIAL, &key::LOAD_CREDENTIAL_ENCRYPTED];
    let lines = lines.into_iter().filter_map(|key| unit.get(key)).flatten();
    let question = |line: &model::value::LoadCredential| {
        Some(Question {
            name: line.name.clone(),
            socket: socket_at(&line.source)?,
            own: format!("/unit/{}/{}", unit.name(), line.name),
        })
    };
    lines.filter_map(question).collect()
}

/// The socket at an absolute path, where a link is followed if root alone can have left it.
fn socket_at(path: &str) -> Option<OwnedFd> {
    let path = CString::new(path).ok().filter(|_| path.starts_with('/'))?;
    let place = Place::find(&path, |_| None).ok()?;
    let found = place.open().ok()?;
    let kind = FileType::from_raw_mode(fstat(&found).ok()?.st_mode);
    (kind == FileType::Socket).then_some(found)
}

/// Connects and reads to the end, unless whoever waits gives up. The socket is told by our name who asks, as the reference has it.
fn ask(question: &Question, whoever_waits: &OwnedFd) -> io::Result<Vec<u8>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let own = format!("{:016x}{}", u64::from_ne_bytes(random), question.own);
    // A unit of a very long name asks without one.
    if let Ok(own) = SocketAddrUnix::new_abstract_name(own.as_bytes()) {
        rustix::net::bind(&socket, &own)?;
    }
    // By its descriptor: whoever may write to its directory could have put a link in its place since.
    let place = format!("/proc/self/fd/{}", question.socket.as_raw_fd());
    connect(&socket, &SocketAddrUnix::new(place)?, whoever_waits)?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 16 << 10]);
    loop {
        wait(&socket, whoever_waits, SILENCE_S, 0)?;
        match rustix::io::read(&socket, &mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if bytes.len() > 2 * credential::SEALED_BYTES_MAX {
            return Err(super::too_much());
        }
    }
}

/// EAGAIN means that too many wait to be accepted.
fn connect(socket: &OwnedFd, to: &SocketAddrUnix, whoever_waits: &OwnedFd) -> io::Result<()> {
    const TRIES: i64 = SILENCE_S * 1_000_000_000 / AGAIN_NS;
    for _ in 0..TRIES {
        match rustix::net::connect(socket, to) {
            Err(Errno::AGAIN) => match wait(whoever_waits, whoever_waits, 0, AGAIN_NS) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                waited => waited?,
            },
            connected => return Ok(connected?),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn wait(
    socket: impl AsFd,
    whoever_waits: &OwnedFd,
    seconds: i64,
    nanoseconds: i64,
) -> io::Result<()> {
    let mut both = [
        PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(whoever_waits.as_fd(), PollFlags::empty()),
    ];
    let limit = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let ready = poll(&mut both, Some(&limit))?;
    if both.iter().skip(1).any(|waits| !waits.revents().is_empty()) {
        return Err(io::ErrorKind::Interrupted.into());
    }
    if ready == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    fn unit(path: &str) -> Unit {
        let mut unit = Unit::new("web.service".parse().unwrap());
        let text = model::text::Verbatim;
        settings::apply(
            &mut unit,
            "Service",
            "LoadCredential",
            &format!("word:{path}"),
            &text,
        )
        .unwrap();
        unit
    }

    /// What the socket of the only question says, when it is asked after `between`.
    fn said(path: &str, listener: &UnixListener, between: impl FnOnce()) -> String {
        let mut questions = questions(&unit(path));
        assert_eq!(questions.len(), 1, "{path}");
        let question = questions.remove(0);
        between();
        let (_end, whoever_waits) = rustix::pipe::pipe().unwrap();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask(&question, &whoever_waits));
            let (mut connection, _) = listener.accept().unwrap();
            connection.write_all(b"right").unwrap();
            drop(connection);
            String::from_utf8(asked.join().unwrap().unwrap()).unwrap()
        })
    }

    #[test]
    fn the_socket_that_was_found_is_asked_whatever_takes_its_place() {
        let folder = tempfile::tempdir_in("/run").unwrap();
        let path = |name: &str| folder.path().join(name);
        let text = |name: &str| path(name).display().to_string();
        let listener = UnixListener::bind(path("socket")).unwrap();
        let other = UnixListener::bind(path("other")).unwrap();
        other.set_nonblocking(true).unwrap();
        symlink(path("socket"), path("link")).unwrap();
        assert_eq!(said(&text("link"), &listener, || ()), "right", "root's own");
        let swap = || {
            std::fs::rename(path("socket"), path("moved")).unwrap();
            symlink(path("other"), path("socket")).unwrap();
        };
        assert_eq!(said(&text("socket"), &listener, swap), "right");
        assert!(other.accept().is_err(), "it was asked by nobody");
        std::fs::write(path("file"), "").unwrap();
        for name in ["file", "nothing"] {
            assert!(questions(&unit(&text(name))).is_empty());
        }
        // Where others may leave links, none is followed.
        rustix::fs::chown(folder.path(), Some(rustix::fs::Uid::from_raw(65_534)), None).unwrap();
        assert!(questions(&unit(&text("link"))).is_empty());
        assert_eq!(questions(&unit(&text("moved"))).len(), 1);
    }
}
