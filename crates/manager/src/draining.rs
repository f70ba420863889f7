//! What waits at a socket, a pipe or a queue is thrown away, without waiting for anybody.
//!
//! Whether accept(2) waits is said by a flag that a service shares with us and can change at any moment. So FlushPending= is done on
//! a thread, and only for a time it is waited for.

use crate::elsewhere::{Lane, Told};
use crate::manager::Manager;
use engine::{Micros, UnitId};
use kernel::message::{Descriptors, ReceiveOptions, receive};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long traffic is not looked for while what has waited goes, in microseconds.
const FLUSH_US: u64 = 1_000_000;

/// FlushPending= of units, under way.
#[derive(Default)]
pub(crate) struct Flushes {
    next: u64,
    running: Vec<Flush>,
}

struct Flush {
    number: u64,
    unit: UnitId,
    sockets: Vec<Rc<OwnedFd>>,
    /// Until when it is waited for; none once it is given up.
    until: Option<Micros>,
    /// To throw away no more.
    given_up: Arc<AtomicBool>,
    /// Whether traffic is looked for afterwards.
    watches: bool,
}

impl Flushes {
    fn of(&mut self, unit: UnitId) -> Option<&mut Flush> {
        self.running.iter_mut().find(|flush| flush.unit == unit)
    }

    /// When the next one is given up.
    pub(crate) fn next_end(&self) -> Option<Micros> {
        self.running.iter().filter_map(|flush| flush.until).min()
    }
}

impl Flush {
    fn give_up(&mut self) {
        self.until = None;
        self.given_up.store(true, Ordering::Relaxed);
    }
}

impl Manager {
    /// Throws away what waits at the sockets.
    pub(crate) fn flush_sockets(&mut self, unit: UnitId) {
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        if self.aside.flushes.of(unit).is_some() {
            // At most one thread for each unit is stuck.
            let text =
                "what waits at its sockets is not thrown away: the last time this did not end";
            return self.log_as(crate::own_log::WARNING, unit, text);
        }
        let lane = match entry.origin.portable {
            Some(_) => Lane::PortableFlushes,
            None => Lane::Flushes,
        };
        let sockets = entry.sockets.clone();
        let copies: Result<Vec<OwnedFd>, _> = sockets
            .iter()
            .map(|socket| rustix::io::fcntl_dupfd_cloexec(&**socket, 3))
            .collect();
        let copies = match copies {
            Ok(copies) => copies,
            Err(errno) => {
                let text = format!("what waits at its sockets is not thrown away: {errno}");
                return self.log_as(crate::own_log::WARNING, unit, &text);
            }
        };
        let now = crate::clock::monotonic();
        let flushes = &mut self.aside.flushes;
        flushes.next += 1;
        let number = flushes.next;
        let given_up = Arc::new(AtomicBool::new(false));
        flushes.running.push(Flush {
            number,
            unit,
            sockets,
            until: Some(now.after(Micros(FLUSH_US))),
            given_up: Arc::clone(&given_up),
            watches: false,
        });
        let work = move || {
            flush(&copies, &given_up);
            Told::Flushed(number)
        };
        self.elsewhere.ask(now, lane, Box::new(work));
    }

    /// Notes whether the traffic of a unit is looked for once what has waited is thrown away. False: it is not waited for.
    pub(crate) fn watches_after_flush(&mut self, unit: UnitId, watches: bool) -> bool {
        let flush = self.aside.flushes.of(unit);
        let Some(flush) = flush.filter(|flush| flush.until.is_some()) else {
            return false;
        };
        flush.watches = watches;
        true
    }

    /// A thread has thrown away what waited.
    pub(crate) fn on_flushed(&mut self, number: u64) {
        let running = &mut self.aside.flushes.running;
        let Some(at) = running.iter().position(|flush| flush.number == number) else {
            return;
        };
        let flush = running.remove(at);
        if flush.until.is_some() && flush.watches {
            self.watch_sockets(flush.unit);
        }
    }

    /// What takes too long is waited for no more.
    pub(crate) fn give_up_flushes(&mut self, now: Micros) {
        let running = self.aside.flushes.running.iter_mut();
        let late = running.filter(|flush| flush.until.is_some_and(|until| until <= now));
        let late: Vec<_> = late
            .map(|flush| {
                flush.give_up();
                (flush.unit, flush.watches)
            })
            .collect();
        for (unit, watches) in late {
            let text = "what waits at its sockets is not all thrown away: it takes too long";
            self.log_as(crate::own_log::WARNING, unit, text);
            if watches {
                self.watch_sockets(unit);
            }
        }
    }

    /// The sockets of a unit are closed: a thread that waits at one has it no longer than its service.
    pub(crate) fn end_flush(&mut self, unit: UnitId) {
        let is_served = self.server_of(unit).is_some();
        let Some(flush) = self.aside.flushes.of(unit) else {
            return;
        };
        let is_stuck = flush.until.is_none();
        flush.give_up();
        let sockets = std::mem::take(&mut flush.sockets);
        if is_served && !is_stuck {
            return;
        }
        for socket in sockets {
            match rustix::net::shutdown(&*socket, Shutdown::Read) {
                // What is no socket has nobody who waits at it.
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// Throws away what waits at these.
fn flush(sockets: &[OwnedFd], given_up: &AtomicBool) {
    /// Connections or messages thrown away at once.
    const FLUSHED_MAX: usize = 4096;
    for socket in sockets {
        // The service that had it may have made it one that waits.
        if crate::streams::set_non_blocking(socket, true).is_err() {
            continue;
        }
        for _ in 0..FLUSHED_MAX {
            if given_up.load(Ordering::Relaxed) || !flush_one(socket) {
                break;
            }
        }
    }
}

/// Refuses what may still come to a socket that nobody else has, and empties its queue: the keeper, which closes it last, must not wait
/// for what strangers have passed along.
pub(crate) fn retire(socket: &OwnedFd) {
    let is_unix = rustix::net::sockopt::socket_domain(socket) == Ok(AddressFamily::UNIX);
    if !is_unix || crate::streams::set_non_blocking(socket, true).is_err() {
        return;
    }
    // Nobody waits at one that is shut down; without that accept(2) may.
    if rustix::net::shutdown(socket, Shutdown::Read).is_ok() {
        while flush_one(socket) {}
    }
}

/// Throws one connection or message away; false if there is none. What a stranger passed along with it is closed aside. Only for a
/// connection it waits, where whoever shares the socket wants it to and nobody has shut it down.
fn flush_one(socket: &OwnedFd) -> bool {
    let Ok(kind) = rustix::net::sockopt::socket_type(socket) else {
        return read_one(socket);
    };
    if kind == SocketType::DGRAM {
        let (mut byte, mut descriptors) = ([0; 1], Descriptors::default());
        let options = ReceiveOptions::default();
        let received = receive(socket, &mut byte, &mut descriptors, options);
        descriptors.close_aside();
        return received.is_ok();
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let Ok(connection) = rustix::net::accept_with(socket, flags) else {
        return false;
    };
    // Only there descriptors are passed along.
    if rustix::net::sockopt::socket_domain(&connection) == Ok(AddressFamily::UNIX) {
        kernel::message::retire(&connection);
    }
    true
}

/// Throws away what a named pipe holds, or a message of a queue; false if there is nothing. What a special file has is the kernel's.
fn read_one(file: &OwnedFd) -> bool {
    let kind = rustix::fs::fstat(file).map(|found| FileType::from_raw_mode(found.st_mode));
    if kind != Ok(FileType::Fifo) {
        return kernel::listening::drop_message(file).is_ok();
    }
    // Opened once more, with flags that nobody shares.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut bytes = [0; 4096];
    let read = rustix::fs::open(path, flags, Mode::empty())
        .and_then(|pipe| rustix::io::read(pipe, &mut bytes));
    read.is_ok_and(|read| read > 0)
}
