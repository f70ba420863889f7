//! Ends of processes: children's are announced and kept until the manager has recorded them, orphans' are reaped at once.

use kernel::Errno;
use kernel::wait::{Dead, Ending};

use crate::child::exit;
use crate::clock::Moment;
use crate::keeper::{Keeper, Who};
use crate::protocol::{ChildKey, ChildState, Exit};

/// Orphans reaped in one round before other sources get their turn; SIGCHLD of the next one wakes us again.
const ORPHANS_PER_ROUND: usize = 1024;

impl Keeper {
    /// The child in that place may have ended.
    pub(crate) fn on_child_end(&mut self, place: usize) {
        let Some(child) = self.children.get_mut(place) else {
            return;
        };
        if child.state != ChildState::Running {
            return;
        }
        let exit = match kernel::wait::peek(&child.pidfd) {
            Ok(Some(dead)) => exit(dead.ending),
            // A stale event of a process that had this place before; its successor's watch is a different one.
            Ok(None) => return,
            // Another process is its parent and has or gets its status.
            Err(_) if kernel::process::has_ended(&child.pidfd) => Exit::Unknown,
            Err(_) => return,
        };
        child.state = ChildState::Exited(exit);
        self.tell_exit(place);
    }

    /// Forgets a child: its status is on record.
    pub(crate) fn reap(&mut self, key: ChildKey) -> kernel::Result<()> {
        let Some(place) = self.find_child(key) else {
            return Ok(());
        };
        let child = self.children.get(place).ok_or(Errno::SRCH)?;
        if child.state == ChildState::Running && !child.watched {
            return Err(Errno::BUSY);
        }
        if let Some(child) = self.children.remove(place) {
            self.unwatch(&child.pidfd);
            match kernel::wait::reap(&child.pidfd) {
                // ECHILD: another's child, with nothing to reap.
                Ok(_) | Err(_) => {}
            }
        }
        // Behind this zombie others may have been out of sight.
        self.reap_orphans();
        Ok(())
    }

    /// Reaps all dead that no one asked for. The kernel shows the dead in an order of its own and always the same first one:
    /// behind one of ours the rest is seen when the manager has had it reaped.
    pub(crate) fn reap_orphans(&mut self) {
        for _ in 0..ORPHANS_PER_ROUND {
            let Ok(Some(Dead { pid, .. })) = kernel::wait::peek_any() else {
                return;
            };
            if self.reap_orphan(pid) {
                return;
            }
        }
    }

    /// Reaps this one, if it is no one's; says whether it stays.
    pub(crate) fn reap_orphan(&mut self, pid: u32) -> bool {
        for who in [Who::Manager, Who::Log] {
            if self.client(who).process.pid() == Some(pid) {
                self.on_process_end(who);
                return self.client(who).process.pid() == Some(pid);
            }
        }
        if let Some(place) = self.children.find(1, u64::from(pid), |_| true) {
            self.on_child_end(place);
            return true;
        }
        !matches!(kernel::wait::reap_pid(pid), Ok(Some(_)))
    }

    /// The manager or the log process may have ended.
    pub(crate) fn on_process_end(&mut self, who: Who) {
        let Some(pidfd) = self.client(who).process.pidfd() else {
            return;
        };
        let ending = match kernel::wait::reap(pidfd) {
            Ok(Some(dead)) => dead.ending,
            // The keeper before this one reaped it, and was replaced by what it had sent last.
            Err(_) if kernel::process::has_ended(pidfd) => Ending::Exited(0),
            Ok(None) | Err(_) => return,
        };
        self.unwatch(pidfd);
        self.drain(who);
        let now = Moment::now();
        let client = self.client_mut(who);
        if let Some(channel) = client.channel.take() {
            self.unwatch(channel);
        }
        let client = self.client_mut(who);
        client.retry_at = None;
        client.kill_at = None;
        client.process.ended(ending, now);
        if who == Who::Manager && self.asked_to_end != 0 {
            self.deaths_while_ending = self.deaths_while_ending.saturating_add(1);
        }
    }
}
