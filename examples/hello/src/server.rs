//! The loop: accepts until SIGTERM, then lets every request that has begun be answered, and ends.

use std::collections::HashMap;
use std::io::{self, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::Duration;

use kernel::signal::{self, SignalSet};
use rustix::event::{PollFd, PollFlags, poll};

use crate::notify::notify;
use crate::{answer, http};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// Connections at a time; more wait in the socket's queue.
const CONNECTIONS_LIMIT: usize = 128;

/// How long a client may say nothing.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// The open connections, so that the end can be told to those that wait for a request.
type Connections = Mutex<HashMap<u64, TcpStream>>;

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(listener: &TcpListener) -> io::Result<()> {
    // Blocked before any thread is there: threads inherit it, and the signal waits in the descriptor.
    let stop = SignalSet::EMPTY.with(SIGTERM).with(SIGINT);
    signal::set_mask(stop)?;
    let stop = signal::descriptor(stop)?;
    listener.set_nonblocking(true)?;
    let connections = Connections::default();
    notify(&format!(
        "READY=1\nSTATUS=Listening on {}",
        listener.local_addr()?
    ))?;
    thread::scope(|scope| {
        let accepted = accept_until(listener, &stop, scope, &connections);
        // Those that wait for a request see its end; those that write an answer still can.
        for connection in locked(&connections).values() {
            drop(connection.shutdown(Shutdown::Read));
        }
        accepted.and(notify("STOPPING=1\nSTATUS=Answering the last requests"))
    })
}

fn accept_until<'scope>(
    listener: &TcpListener,
    stop: &OwnedFd,
    scope: &'scope Scope<'scope, '_>,
    connections: &'scope Connections,
) -> io::Result<()> {
    for number in 0.. {
        let full = locked(connections).len() >= CONNECTIONS_LIMIT;
        let listening = if full {
            PollFlags::empty()
        } else {
            PollFlags::IN
        };
        let mut wanted = [
            PollFd::new(stop, PollFlags::IN),
            PollFd::from_borrowed_fd(listener.as_fd(), listening),
        ];
        // Full: look again soon, because no descriptor tells of a thread's end.
        let patience = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        poll(&mut wanted, full.then_some(&patience))?;
        if signal::read(stop)?.is_some() {
            return Ok(());
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            // The client went away again, or nobody is there, or there is no room: none of it is the listener's end.
            Err(_) => continue,
        };
        if let Ok(other) = stream.try_clone() {
            locked(connections).insert(number, other);
            scope.spawn(move || {
                // A client that breaks off or talks nonsense ends its own connection, nothing else.
                drop(serve(stream));
                locked(connections).remove(&number);
            });
        }
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(IDLE_LIMIT))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = http::read(&mut reader)? {
        let (answer, end) = answer::answer(&request);
        http::write(&mut stream, &answer, request.keep_alive)?;
        if let Some(status) = end {
            std::process::exit(status.into());
        }
        if !request.keep_alive {
            break;
        }
    }
    Ok(())
}

fn locked(connections: &Connections) -> std::sync::MutexGuard<'_, HashMap<u64, TcpStream>> {
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}
