//! The manager's process as the keeper's child, found without asking it; and moments that a seed makes.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The children of a process, with their command lines.
#[must_use]
pub fn children(parent: Pid) -> Vec<(Pid, String)> {
    let path = format!("/proc/{0}/task/{0}/children", parent.as_raw_pid());
    let list = fs::read_to_string(path).unwrap_or_default();
    let numbers = list.split_whitespace().filter_map(|one| one.parse().ok());
    numbers
        .filter_map(Pid::from_raw)
        .map(|pid| (pid, command_line(pid)))
        .collect()
}

fn command_line(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_pid()))
        .unwrap_or_default()
        .replace('\0', " ")
}

/// The manager of a keeper, as soon as there is one.
///
/// # Panics
/// When the keeper starts none.
#[must_use]
pub fn of(keeper: Pid) -> Pid {
    crate::waiting::eventually("a manager", || {
        let mut all = children(keeper).into_iter();
        all.find(|(_, line)| line.starts_with("coracled manager "))
            .map(|(pid, _)| pid)
    })
}

/// Does the process run? One that ended and that nobody has reaped does not.
#[must_use]
pub fn lives(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

/// Kills a process and waits until it is gone.
///
/// # Panics
/// When it can't be signalled.
pub fn kill(pid: Pid) {
    end(pid, Signal::KILL);
}

/// Ends a process by a signal and waits until it is gone.
///
/// # Panics
/// When it can't be signalled.
pub fn end(pid: Pid, signal: Signal) {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    pidfd_send_signal(&process, signal).expect("a process takes a signal");
    poll(&mut [PollFd::new(&process, PollFlags::IN)], None).expect("its end is seen");
}

/// What the open descriptors of a process are, sorted, without numbers that differ from one to the next.
#[must_use]
pub fn descriptors(pid: Pid) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid()));
    let mut found: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| kind(&target))
        .collect();
    found.sort();
    found
}

fn kind(target: &Path) -> String {
    let text = target.display().to_string();
    text.split(":[").next().unwrap_or_default().to_owned()
}

/// All groups below a control group of version 2, with their processes' number.
#[must_use]
pub fn groups(root: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![Path::new("/sys/fs/cgroup/unified").join(root.trim_start_matches('/'))];
    while let Some(group) = left.pop() {
        let entries = fs::read_dir(&group).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().is_dir()) {
            left.push(entry.path());
            found.push(entry.path());
        }
    }
    found
}

/// Numbers that look random and are the same for the same seed (xorshift64).
#[derive(Debug)]
pub struct Moments(u64);

impl Moments {
    /// The seed comes from `CORACLE_SEED`, or from the clock; it is printed, so that a failure can be had again.
    #[must_use]
    pub fn new() -> Moments {
        let given = std::env::var("CORACLE_SEED").ok();
        let seed = given.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |now| now.as_nanos() as u64 | 1)
        });
        println!("CORACLE_SEED={seed}");
        Moments(seed)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

impl Default for Moments {
    fn default() -> Moments {
        Moments::new()
    }
}
