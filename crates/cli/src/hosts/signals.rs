//! Signals for all connections of a call: each hears of each.

use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kernel::signal::{self, SignalSet};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::session::WINDOW_CHANGED;

/// SIGINT and SIGTERM end the call (signal(7)). A terminal that hangs up ends it as ever, and the other side with it.
const ENDING: [i32; 2] = [2, 15];

/// The ends at which connections listen.
pub(crate) struct Signals {
    listeners: Arc<Mutex<Vec<UnixStream>>>,
    ending: Arc<AtomicU8>,
}

impl Signals {
    /// Takes them over. Must be called while there is one thread.
    ///
    /// # Errors
    /// When they can't be taken over.
    pub(crate) fn catch() -> io::Result<Signals> {
        let window = i32::from(WINDOW_CHANGED);
        let set = ENDING
            .iter()
            .fold(SignalSet::EMPTY.with(window), |set, signal| {
                set.with(*signal)
            });
        signal::set_mask(set)?;
        let descriptor = signal::descriptor(set)?;
        let signals = Signals {
            listeners: Arc::default(),
            ending: Arc::default(),
        };
        let (listeners, ending) = (Arc::clone(&signals.listeners), Arc::clone(&signals.ending));
        std::thread::Builder::new().spawn(move || pass_on(&descriptor, &listeners, &ending))?;
        Ok(signals)
    }

    /// A descriptor at which every signal from now on is a byte.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn subscribe(&self) -> io::Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.push(ours);
        Ok(theirs.into())
    }

    /// The signal by which the call is to end.
    pub(crate) fn ending(&self) -> Option<u8> {
        Some(self.ending.load(Ordering::SeqCst)).filter(|number| *number != 0)
    }
}

fn pass_on(descriptor: &OwnedFd, listeners: &Mutex<Vec<UnixStream>>, ending: &AtomicU8) {
    loop {
        if let Ok(Some(received)) = signal::read(descriptor) {
            let number = u8::try_from(received.signal).unwrap_or_default();
            if number != WINDOW_CHANGED {
                ending.store(number, Ordering::SeqCst);
            }
            let mut listeners = listeners.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that have ended are forgotten.
            listeners.retain_mut(|listener| listener.write_all(&[number]).is_ok());
            continue;
        }
        match poll(&mut [PollFd::new(descriptor, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
