//! Ctrl-C while a command waits for a unit: the unit is stopped, and the command ends as the signal would have ended it.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context as _, Result};
use kernel::signal::{self, SignalSet};
use rustix::event::{PollFd, PollFlags, poll};
use wire::JobRequest;
use wire::methods::StopUnit;

use crate::context::Context;

/// SIGINT and SIGTERM (signal(7)). A terminal that hangs up ends the command as ever, and the unit goes on.
const CAUGHT: [i32; 2] = [2, 15];

/// What a shell adds to a signal's number.
const SIGNALLED: u8 = 128;

/// Signals that were caught since [`catch`].
pub(crate) struct Interrupts {
    /// The first one; 0: none.
    caught: Arc<AtomicU8>,
}

impl Interrupts {
    /// The exit status, if the wait was interrupted.
    pub(crate) fn status(&self) -> Option<u8> {
        match self.caught.load(Ordering::SeqCst) {
            0 => None,
            number => Some(SIGNALLED.saturating_add(number)),
        }
    }
}

/// From now on, while `client` waits, the first signal stops `unit`, and a second one ends the command at once. Must be called while there
/// is one thread.
///
/// # Errors
/// When signals can't be taken over.
pub(crate) fn catch(
    context: &Context,
    client: &mut wire::Client,
    unit: &str,
) -> Result<Interrupts> {
    let set = CAUGHT
        .iter()
        .fold(SignalSet::EMPTY, |set, signal| set.with(*signal));
    signal::set_mask(set).context("cannot hold signals back")?;
    let signals = signal::descriptor(set).context("cannot take signals over")?;
    let caught = Arc::new(AtomicU8::new(0));
    let watch = Watch {
        caught: Arc::clone(&caught),
        socket: context.socket(),
        unit: crate::context::full_unit_name(unit.to_owned()),
        quiet: context.globals.quiet,
    };
    client.meanwhile(signals, |signals| watch.begin(signals));
    Ok(Interrupts { caught })
}

/// What a signal begins.
struct Watch {
    caught: Arc<AtomicU8>,
    socket: PathBuf,
    unit: String,
    quiet: bool,
}

impl Watch {
    /// A thread of its own asks for the stop and waits for the second signal, as our wait for the unit goes on. Few commands are interrupted:
    /// the others don't pay for it.
    fn begin(self, signals: OwnedFd) {
        // The first signal is taken here: the end of the wait, which may come any moment, is to know of it.
        let first = next(&signals);
        self.caught.store(first, Ordering::SeqCst);
        let exit = |number: u8| std::process::exit(i32::from(SIGNALLED.saturating_add(number)));
        let run = move || match self.stop() {
            Ok(()) => exit(next(&signals)),
            Err(_) => exit(first),
        };
        if std::thread::Builder::new().spawn(run).is_err() {
            exit(first);
        }
    }

    fn stop(&self) -> Result<()> {
        if !self.quiet {
            crate::terminal::complain(&format!(
                "stopping {}; once more leaves it alone",
                self.unit
            ));
        }
        let request = JobRequest {
            names: vec![self.unit.clone()],
            no_block: true,
            ..JobRequest::default()
        };
        let reply = wire::Client::connect(&self.socket)?.call(StopUnit, &request)?;
        match reply
            .outcomes
            .into_iter()
            .find_map(|outcome| outcome.failure)
        {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }
}

/// Waits for the next signal.
fn next(signals: &OwnedFd) -> u8 {
    loop {
        if let Ok(Some(received)) = signal::read(signals) {
            return u8::try_from(received.signal).unwrap_or_default();
        }
        match poll(&mut [PollFd::new(signals, PollFlags::IN)], None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return 0,
        }
    }
}
