//! The keeper's own children, found without asking it.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testkit::Instance;

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
#[must_use]
pub fn of(keeper: Pid) -> Pid {
    supervised(keeper, "manager")
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
    await_end(&process);
}

fn await_end(process: &OwnedFd) {
    poll(&mut [PollFd::new(process, PollFlags::IN)], None).expect("its end is seen");
}

/// Kills the keeper, and waits until the manager is gone with it, which may answer somebody until then.
///
/// # Panics
/// When there is none.
pub fn kill_keeper(coracle: &Instance) {
    let [keeper, manager] = ["KeeperPID", "ManagerPID"].map(|name| coracle.process(name));
    let manager = pidfd_open(manager, PidfdFlags::empty()).expect("the manager");
    kill(keeper);
    await_end(&manager);
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

/// The groups of units and runs below a control group of version 2: those of slices stay while the slices are up.
#[must_use]
pub fn groups(root: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![Path::new("/sys/fs/cgroup/unified").join(root.trim_start_matches('/'))];
    while let Some(group) = left.pop() {
        let entries = fs::read_dir(&group).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().is_dir()) {
            left.push(entry.path());
            if !entry.file_name().to_string_lossy().ends_with(".slice") {
                found.push(entry.path());
            }
        }
    }
    found
}

/// The process that a keeper supervises under this word, as soon as there is one.
///
/// # Panics
/// When the keeper starts none.
#[must_use]
pub fn supervised(keeper: Pid, word: &str) -> Pid {
    let begin = format!("coracled {word} ");
    crate::waiting::eventually(word, || {
        let mut all = children(keeper).into_iter();
        all.find(|(_, line)| line.starts_with(&begin))
            .map(|(pid, _)| pid)
    })
}

/// The workers below a process, and theirs, the outermost first.
#[must_use]
pub fn workers(parent: Pid) -> Vec<Pid> {
    let is_worker = |(_, line): &(Pid, String)| line.contains("coracle worker ");
    let own = children(parent).into_iter().filter(is_worker);
    own.flat_map(|(pid, _)| [vec![pid], workers(pid)].concat())
        .collect()
}

/// The runtime directory is gone after a reboot, and so is everything that ran.
///
/// # Panics
/// When the instance does not end, or the directory can't be made anew.
pub fn reboot(coracle: &Instance) {
    coracle.ok(&["daemon-exit"]);
    let runtime = coracle.folder().join("run");
    fs::remove_dir_all(&runtime).expect("the runtime directory is removed");
    fs::create_dir(&runtime).expect("a folder");
}
