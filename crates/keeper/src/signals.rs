//! Signals to the keeper: some are news for the manager, none ends the keeper.

use kernel::signal::number::{
    SIGCHLD, SIGHUP, SIGINT, SIGPWR, SIGRTMIN, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH,
};
use kernel::signal::{SIGNAL_MAX, SignalSet};

use crate::keeper::{Keeper, Who};
/// Faults of the program itself: blocked they would end it all the same.
const FAULTS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];
/// Signals read in one round before other sources get their turn.
const SIGNALS_PER_ROUND: usize = 64;

/// The signals that are blocked and read.
pub(crate) fn taken() -> SignalSet {
    (1..=SIGNAL_MAX)
        .filter(|signal| !FAULTS.contains(signal))
        .fold(SignalSet::EMPTY, SignalSet::with)
}

/// Whether the manager is told.
fn is_news(signal: i32) -> bool {
    [SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH, SIGPWR].contains(&signal)
        || signal >= SIGRTMIN
}

/// Whether it asks for the end of everything, so that a successor of the manager must hear of it too: of an init by number, in order or at
/// once.
fn asks_to_end(signal: i32) -> bool {
    [SIGINT, SIGTERM].contains(&signal) || matches!(signal - SIGRTMIN, 3..=6 | 13..=16)
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1).clamp(0, SIGNAL_MAX - 1)
}

impl Keeper {
    pub(crate) fn on_signals(&mut self) {
        let mut child_ended = false;
        for _ in 0..SIGNALS_PER_ROUND {
            let Ok(Some(received)) = kernel::signal::read(&self.signals) else {
                break;
            };
            if received.signal == SIGCHLD {
                child_ended = true;
                self.reap_orphan(received.pid);
            } else {
                self.take_signal(received.signal);
            }
        }
        if child_ended {
            self.reap_orphans();
        }
    }

    fn take_signal(&mut self, signal: i32) {
        if !is_news(signal) {
            return;
        }
        if asks_to_end(signal) {
            self.asked_to_end |= bit(signal);
        }
        self.manager.outbox.signals |= bit(signal);
        self.pump(Who::Manager);
    }
}
