//! Whom a service names as its main process: by a number, by a number that the kernel vouches for, or by a descriptor.

use crate::manager::Manager;
use crate::notice::Message;
use engine::UnitId;
use kernel::aside::Foreign;
use kernel::message::Descriptors;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, AsRawFd};

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
    ) -> Option<Foreign> {
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

/// None where the number is all there is, which is looked at later. Nothing of what was sent is closed here: that could take for ever.
fn named(message: &Message, sent: &mut Descriptors) -> Result<Option<(u32, Foreign)>, Unnamed> {
    if message.main_by_descriptor {
        let count = sent.len();
        if count != 1 {
            return Err(Unnamed::Descriptors(count));
        }
        let held = sent.take_foreign().ok_or(Unnamed::Descriptors(0))?;
        let pid = held.get().and_then(process_of).ok_or(Unnamed::NoProcess)?;
        return Ok(Some((pid, held)));
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
        Some(_) => Ok(Some((pid, held.into()))),
    }
}

/// The number of the process that a descriptor is of, as long as it is not reaped. What a descriptor is of is asked of the kernel alone,
/// as another kind may be served by a process that never answers.
fn process_of(descriptor: impl AsFd) -> Option<u32> {
    let number = descriptor.as_fd().as_raw_fd();
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
    use super::{Unnamed, id_of, named, process_of};
    use crate::notice::Message;
    use kernel::message::{Descriptors, ReceiveOptions, receive, send};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::os::fd::{AsFd, OwnedFd};

    #[test]
    fn of_descriptors_that_are_not_one_none_is_taken_and_so_none_is_closed_here() {
        let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().expect("a pair");
        let text = b"MAINPIDFD=1";
        for count in [0, 2, 3] {
            send(&theirs, text, &vec![theirs.as_fd(); count]).expect("a message");
            let (mut buffer, mut sent) = ([0; 64], Descriptors::default());
            receive(&ours, &mut buffer, &mut sent, ReceiveOptions::default()).expect("it comes");
            let named = named(&Message::read(text), &mut sent);
            assert_eq!(named.err(), Some(Unnamed::Descriptors(count)));
            assert_eq!(sent.len(), count);
        }
        send(&theirs, text, &[theirs.as_fd()]).expect("a message");
        let (mut buffer, mut sent) = ([0; 64], Descriptors::default());
        receive(&ours, &mut buffer, &mut sent, ReceiveOptions::default()).expect("it comes");
        let named = named(&Message::read(text), &mut sent);
        assert_eq!(named.err(), Some(Unnamed::NoProcess));
    }

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
