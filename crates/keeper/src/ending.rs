//! The keeper's own end: children first, then the log process, then, as the first process, whatever is left.

use kernel::Errno;
use kernel::power::Power;
use kernel::signal::number::{SIGCONT, SIGKILL, SIGTERM};

use crate::clock::Moment;
use crate::keeper::{Keeper, Who};
use crate::protocol::{ChildState, NAME_BYTES_MAX};
use crate::supervised::State;
/// How long the log process has to write what is still in its streams, in milliseconds.
const LOG_MS: u64 = 3_000;
/// How long killed processes have to vanish, in milliseconds: one in an uninterruptible call may never.
const KILLED_MS: u64 = 3_000;
/// How long children have when no manager is left to say so, in milliseconds.
const DEFAULT_TIMEOUT_MS: u64 = 90_000;
/// So often the manager may die between the wish to end and the end, before the keeper ends everything by itself.
const DEATHS_MAX: u32 = 3;
/// Between looks at what is left as the first process, in milliseconds; SIGCHLD wakes earlier.
const LOOK_MS: u64 = 50;

/// How far the end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Children were asked to end.
    Asked,
    /// Children were killed.
    Killed,
    /// The log process drains its streams.
    Log,
    /// As the first process: all others were asked.
    OthersAsked,
    /// As the first process: all others were killed.
    OthersKilled,
    /// Nothing is left to wait for.
    Done,
}

/// The end in progress.
pub(crate) struct Ending {
    stage: Stage,
    until: Moment,
    timeout_ms: u64,
    status: u8,
}

impl Ending {
    pub(crate) fn deadline(&self) -> Moment {
        match self.stage {
            Stage::OthersAsked | Stage::OthersKilled => {
                self.until.min(Moment::now().plus_ms(LOOK_MS))
            }
            _ => self.until,
        }
    }
}

/// What the first process does with the machine when nothing is left: it may not just end.
pub(crate) struct LastDeed {
    power: Option<Power>,
    /// With a NUL after it.
    argument: [u8; NAME_BYTES_MAX + 1],
}

impl Default for LastDeed {
    fn default() -> Self {
        Self {
            power: None,
            argument: [0; NAME_BYTES_MAX + 1],
        }
    }
}

impl LastDeed {
    pub(crate) fn keep(&mut self, power: u8, argument: &[u8]) {
        self.power = Power::from_number(power);
        self.argument.fill(0);
        // No argument of a unit is longer than what the kernel takes, and the protocol refuses what has no room here.
        if let Some(room) = self.argument.get_mut(..argument.len()) {
            room.copy_from_slice(argument);
        }
    }
}

impl Keeper {
    /// As the first process: file systems are unmounted by what the program is under another name. Returns where nothing is to be done, or
    /// it can't be.
    pub(crate) fn become_the_end(&self) -> Option<Errno> {
        let power = self.last_deed.power.filter(|_| self.init)?;
        let argument = std::ffi::CStr::from_bytes_until_nul(&self.last_deed.argument);
        let number = match power {
            Power::Restart => c"1",
            Power::Off => c"2",
            Power::Halt => c"3",
            Power::Kexec => c"4",
        };
        Some(self.execute_end(number, argument.unwrap_or_default()))
    }

    /// The very last: returns where nothing is to be done, or it can't be.
    pub(crate) fn switch_power(&self) -> Option<Errno> {
        let power = self.last_deed.power.filter(|_| self.init)?;
        let argument = std::ffi::CStr::from_bytes_until_nul(&self.last_deed.argument);
        Some(kernel::power::switch(power, argument.unwrap_or_default()))
    }

    pub(crate) fn begin_ending(&mut self, leave_children: bool, timeout_ms: u64, status: u8) {
        if self.ending.is_some() {
            return;
        }
        let now = Moment::now();
        let stage = if leave_children {
            Stage::Killed
        } else {
            Stage::Asked
        };
        // Children that are to be left are not waited for: the deadline of that stage is now.
        let until = if leave_children {
            now
        } else {
            now.plus_ms(timeout_ms)
        };
        self.ending = Some(Ending {
            stage,
            until,
            timeout_ms,
            status,
        });
        if !leave_children {
            self.signal_children(SIGTERM);
            self.signal_children(SIGCONT);
        }
    }

    /// Goes on with the end as far as it goes now; answers the exit status at the very end.
    pub(crate) fn ending_step(&mut self, now: Moment) -> Option<u8> {
        if self.ending.is_none() && self.deaths_while_ending >= DEATHS_MAX {
            self.begin_ending(false, DEFAULT_TIMEOUT_MS, 1);
        }
        loop {
            let Ending {
                stage,
                until,
                timeout_ms,
                status,
            } = *self.ending.as_ref()?;
            if stage == Stage::Done {
                return Some(status);
            }
            if !self.is_over(stage) && now < until {
                return None;
            }
            let (stage, wait_ms) = self.next_stage(stage, timeout_ms);
            self.ending = Some(Ending {
                stage,
                until: now.plus_ms(wait_ms),
                timeout_ms,
                status,
            });
        }
    }

    fn is_over(&self, stage: Stage) -> bool {
        match stage {
            Stage::Asked | Stage::Killed => !self
                .children
                .iter()
                .any(|(_, child)| child.state == ChildState::Running && !child.watched),
            Stage::Log => self.log.process.pid().is_none(),
            Stage::OthersAsked | Stage::OthersKilled => kernel::wait::peek_any().is_err(),
            Stage::Done => true,
        }
    }

    /// Begins the stage that follows; answers how long it may take.
    fn next_stage(&mut self, stage: Stage, timeout_ms: u64) -> (Stage, u64) {
        match stage {
            Stage::Asked if !self.is_over(stage) => {
                self.signal_children(SIGKILL);
                (Stage::Killed, KILLED_MS)
            }
            Stage::Asked | Stage::Killed => {
                self.let_go(Who::Log);
                (Stage::Log, LOG_MS)
            }
            Stage::Log if self.init => {
                self.let_go(Who::Manager);
                self.forget_children();
                signal_all(SIGTERM);
                signal_all(SIGCONT);
                (Stage::OthersAsked, timeout_ms)
            }
            Stage::OthersAsked if !self.is_over(stage) => {
                signal_all(SIGKILL);
                (Stage::OthersKilled, KILLED_MS)
            }
            Stage::Log | Stage::OthersAsked | Stage::OthersKilled | Stage::Done => (Stage::Done, 0),
        }
    }

    /// Closes the channel, which tells the process to end; its end is waited for, its successor never comes.
    fn let_go(&mut self, who: Who) {
        let client = self.client_mut(who);
        if matches!(client.process.state, State::Waiting { .. }) {
            client.process.state = State::Off;
        }
        if let Some(channel) = client.channel.take() {
            self.unwatch(channel);
        }
    }

    /// No one will ask for their statuses any more: from here on all dead are orphans.
    fn forget_children(&mut self) {
        for place in 0..self.children.end() {
            if let Some(child) = self.children.remove(place) {
                self.unwatch(&child.pidfd);
            }
        }
        self.reap_orphans();
    }

    fn signal_children(&self, signal: i32) {
        for (_, child) in self
            .children
            .iter()
            .filter(|(_, child)| child.state == ChildState::Running && !child.watched)
        {
            match kernel::process::send_signal(&child.pidfd, signal) {
                // It may have ended meanwhile; that is what is wanted.
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// To every process that the first one may signal but itself.
fn signal_all(signal: i32) {
    match kernel::process::kill(-1, signal) {
        // ESRCH: there is none.
        Ok(()) | Err(_) => {}
    }
}
