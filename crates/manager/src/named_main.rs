//! Whom a service names as its main process: by a number, by a number that the kernel vouches for, or by a descriptor.

use crate::manager::Manager;
use crate::notice::Message;
use engine::UnitId;
use kernel::message::Descriptors;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The file system of descriptors for processes (statfs(2), Linux 6.9): only there an inode's number is of one process alone.
const PROCESSES: i64 = 0x5049_4446;

/// Why a message names nobody.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unnamed {
    #[error("MAINPIDFD=1 comes with one descriptor, not {0}")]
    Descriptors(usize),
    #[error("the descriptor that came with MAINPIDFD=1 is not of a process")]
    NoProcess,
    #[error("process {0} of MAINPID= is gone")]
    Gone(u32),
    #[error("process {pid} is not the one that MAINPIDFDID={id} means")]
    Another { pid: u32, id: u64 },
    #[error(
        "this kernel gives processes no ids for MAINPIDFDID=: send MAINPIDFD=1 with a descriptor"
    )]
    NoIds,
}

impl Manager {
    /// Puts the number of the process that a message names into it, or none, and says why. While what comes back lives, the number is of
    /// no other process. Descriptors of other messages stay where they are.
    pub(crate) fn whom_it_names(
        &mut self,
        unit: UnitId,
        socket: u32,
        message: &mut Message,
        sent: &mut Descriptors,
    ) -> Option<OwnedFd> {
        let (pid, held) = match named(message, sent) {
            Ok(Some((pid, held))) => (Some(pid), Some(held)),
            Ok(None) => return None,
            Err(why) => {
                if self.complains(socket) {
                    let text = format!("its main process stays who it is: {why}");
                    self.log_about(unit, &text);
                }
                (None, None)
            }
        };
        message.notice.main_pid = pid;
        held
    }
}

/// None where the number is all there is, which is looked at later.
fn named(message: &Message, sent: &mut Descriptors) -> Result<Option<(u32, OwnedFd)>, Unnamed> {
    if message.main_by_descriptor {
        let count = sent.len();
        let held = sent.take().filter(|_| count == 1);
        let held = held.ok_or(Unnamed::Descriptors(count))?;
        return match process_of(&held) {
            Some(pid) => Ok(Some((pid, held))),
            None => {
                kernel::aside::close([held]);
                Err(Unnamed::NoProcess)
            }
        };
    }
    let (Some(pid), Some(id)) = (message.notice.main_pid, message.main_id) else {
        return Ok(None);
    };
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let held = number.and_then(|number| pidfd_open(number, PidfdFlags::empty()).ok());
    let held = held.ok_or(Unnamed::Gone(pid))?;
    match id_of(&held) {
        None => Err(Unnamed::NoIds),
        Some(own) if own != id => Err(Unnamed::Another { pid, id }),
        Some(_) => Ok(Some((pid, held))),
    }
}

/// The number of the process that a descriptor is of, as long as it is not reaped. What a descriptor is of is asked of the kernel alone,
/// as another kind may be served by a process that never answers.
fn process_of(descriptor: &OwnedFd) -> Option<u32> {
    let number = descriptor.as_raw_fd();
    let link = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    let link = link.to_str()?;
    if !link.starts_with("pidfd:") && link != "anon_inode:[pidfd]" {
        return None;
    }
    let said = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let pid = said.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    // One that is gone, or that no number here is of, has -1 or 0.
    pid.trim().parse().ok().filter(|pid| *pid > 1)
}

fn id_of(pidfd: impl AsFd) -> Option<u64> {
    let is_of_process = rustix::fs::fstatfs(&pidfd).ok()?.f_type == PROCESSES;
    let found = rustix::fs::fstat(&pidfd).ok()?;
    is_of_process.then_some(found.st_ino)
}

#[cfg(test)]
mod tests {
    use super::{id_of, process_of};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::os::fd::OwnedFd;

    #[test]
    fn a_descriptor_is_of_a_process_only_where_the_kernel_says_so() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("a process");
        let pid = Pid::from_child(&child);
        let of = |pid| pidfd_open(pid, PidfdFlags::empty()).expect("a descriptor");
        let held = of(pid);
        assert_eq!(process_of(&held), Some(child.id()));
        if let Some(id) = id_of(&held) {
            assert_eq!(id_of(of(pid)), Some(id));
            assert_ne!(id_of(of(rustix::process::getpid())), Some(id));
        }
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert_eq!(process_of(&held), None);
        let folder = tempfile::tempdir().expect("a folder");
        let liar = folder.path().join("pidfd:[1]");
        std::fs::write(&liar, "Pid:\t1\n").expect("a file");
        let liar: OwnedFd = std::fs::File::open(liar).expect("a file").into();
        assert_eq!((process_of(&liar), id_of(&liar)), (None, None));
    }
}
