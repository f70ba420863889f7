//! The manager or the log process: when it is started again after it ended.

use kernel::signal::number::SIGKILL;
use kernel::wait::Ending;
use rustix::fd::OwnedFd;

use crate::clock::Moment;

/// A process that lived this long did not crash at its start: the count begins anew. In milliseconds.
const SETTLED_MS: u64 = 30_000;
/// So many crashes in a row make the manager come back in adopt-only mode.
const CRASHES_MAX: u32 = 5;
/// Wait before the second start after a crash; doubled each time. In milliseconds.
const BACK_OFF_MS: u64 = 10;
/// Longest wait between two starts, in milliseconds.
const BACK_OFF_MAX_MS: u64 = 5_000;
/// One killed within this time gets a pause, so that a killer in a loop cannot make the keeper spin. In milliseconds.
const KILLED_AT_ONCE_MS: u64 = 20;

/// What it is doing.
pub(crate) enum State {
    /// It runs.
    Running {
        /// Its id.
        pid: u32,
        /// Its descriptor.
        pidfd: OwnedFd,
        /// When it was started.
        since: Moment,
    },
    /// It is started at that moment.
    Waiting {
        /// When.
        until: Moment,
    },
    /// It is not started any more.
    Off,
}

/// One supervised process.
pub(crate) struct Supervised {
    pub(crate) state: State,
    /// How often it was started before.
    pub(crate) restarts: u32,
    /// Crashes in a row.
    pub(crate) crashes: u32,
    /// Its end is wanted, and its successor at once.
    pub(crate) restart_wanted: bool,
    /// Crashes were too many.
    pub(crate) adopt_only: bool,
}

impl Supervised {
    pub(crate) fn new(now: Moment) -> Self {
        Self {
            state: State::Waiting { until: now },
            restarts: 0,
            crashes: 0,
            restart_wanted: false,
            adopt_only: false,
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        match self.state {
            State::Running { pid, .. } => Some(pid),
            State::Waiting { .. } | State::Off => None,
        }
    }

    pub(crate) fn pidfd(&self) -> Option<&OwnedFd> {
        match &self.state {
            State::Running { pidfd, .. } => Some(pidfd),
            State::Waiting { .. } | State::Off => None,
        }
    }

    /// Ends it at once; its end is told like any other.
    pub(crate) fn kill(&self) {
        let sent = self
            .pidfd()
            .map(|pidfd| kernel::process::send_signal(pidfd, SIGKILL));
        debug_assert!(sent != Some(Err(kernel::Errno::PERM)));
    }

    /// When it is to be started, if it waits for that.
    pub(crate) fn start_at(&self) -> Option<Moment> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Running { .. } | State::Off => None,
        }
    }

    /// Its successor is to start without being blamed for what the predecessor did.
    pub(crate) fn want_restart(&mut self) {
        self.restart_wanted = true;
        self.crashes = 0;
        self.adopt_only = false;
    }

    /// It could not even be started.
    pub(crate) fn start_failed(&mut self, now: Moment) {
        self.crashes = self.crashes.saturating_add(1);
        self.state = State::Waiting {
            until: now.plus_ms(back_off_ms(self.crashes).max(BACK_OFF_MS)),
        };
    }

    /// It ended. A kill from outside is no crash of its own: it comes back at once, as often as it takes.
    pub(crate) fn ended(&mut self, ending: Ending, now: Moment) {
        let State::Running { since, .. } = &self.state else {
            return;
        };
        let lived_ms = now.ms_since(*since);
        let wait_ms = if core::mem::take(&mut self.restart_wanted) {
            0
        } else if matches!(
            ending,
            Ending::Killed {
                signal: SIGKILL,
                ..
            }
        ) {
            if lived_ms < KILLED_AT_ONCE_MS {
                KILLED_AT_ONCE_MS
            } else {
                0
            }
        } else {
            self.crashes = if lived_ms < SETTLED_MS {
                self.crashes.saturating_add(1)
            } else {
                1
            };
            self.adopt_only |= self.crashes >= CRASHES_MAX;
            back_off_ms(self.crashes)
        };
        self.restarts = self.restarts.saturating_add(1);
        self.state = State::Waiting {
            until: now.plus_ms(wait_ms),
        };
    }
}

/// Nothing after the first crash, then 10 ms, 20 ms, … up to the limit.
fn back_off_ms(crashes: u32) -> u64 {
    match crashes {
        0 | 1 => 0,
        more => BACK_OFF_MS
            .saturating_mul(1 << (more - 2).min(16))
            .min(BACK_OFF_MAX_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::{CRASHES_MAX, Ending, Moment, SETTLED_MS, State, Supervised};

    /// Lives and ends again and again; answers the waits in milliseconds.
    fn waits(supervised: &mut Supervised, lived_ms: u64, ending: Ending, times: u32) -> Vec<u64> {
        let one = |supervised: &mut Supervised| {
            let pidfd = rustix::process::pidfd_open(
                rustix::process::getpid(),
                rustix::process::PidfdFlags::empty(),
            )
            .unwrap();
            supervised.state = State::Running {
                pid: 1,
                pidfd,
                since: Moment(0),
            };
            supervised.ended(ending, Moment(lived_ms));
            supervised.start_at().unwrap().0 - lived_ms
        };
        (0..times).map(|_| one(supervised)).collect()
    }

    #[test]
    fn a_crash_loop_slows_down_and_ends_in_adopt_only_mode() {
        let mut manager = Supervised::new(Moment(0));
        assert_eq!(
            waits(&mut manager, 5, Ending::Exited(101), CRASHES_MAX - 1),
            [0, 10, 20, 40]
        );
        assert!(!manager.adopt_only);
        assert_eq!(waits(&mut manager, 5, Ending::Exited(101), 1), [80]);
        assert!(manager.adopt_only);
        assert_eq!(
            waits(&mut manager, 5, Ending::Exited(101), 20).last(),
            Some(&5_000)
        );
    }

    #[test]
    fn kills_from_outside_never_end_in_adopt_only_mode() {
        let mut manager = Supervised::new(Moment(0));
        let kill = Ending::Killed {
            signal: 9,
            dumped: false,
        };
        assert!(
            waits(&mut manager, 100, kill, 300)
                .iter()
                .all(|wait| *wait == 0)
        );
        assert!(!manager.adopt_only);
    }

    #[test]
    fn a_long_life_forgives_earlier_crashes() {
        let mut manager = Supervised::new(Moment(0));
        waits(&mut manager, 5, Ending::Exited(101), CRASHES_MAX - 1);
        assert_eq!(waits(&mut manager, SETTLED_MS, Ending::Exited(101), 1), [0]);
        assert!(!manager.adopt_only);
    }

    #[test]
    fn a_wanted_restart_comes_at_once_and_ends_adopt_only_mode() {
        let mut manager = Supervised::new(Moment(0));
        waits(&mut manager, 5, Ending::Exited(101), CRASHES_MAX);
        manager.want_restart();
        assert_eq!(waits(&mut manager, 5, Ending::Exited(0), 1), [0]);
        assert!(!manager.adopt_only);
    }
}
