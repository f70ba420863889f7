//! System V IPC objects: removing one by its number.

use linux_raw_sys::general as sys;

use crate::Result;
use crate::syscall::syscall;

/// `IPC_RMID` of <linux/ipc.h>.
const REMOVE: usize = 0;

/// The three kinds of System V objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message queue.
    Queue,
    /// A set of semaphores.
    Semaphores,
    /// A segment of shared memory; it goes when the last process that has it detaches it.
    Memory,
}

/// Removes an object.
pub fn remove(kind: Kind, id: i32) -> Result<()> {
    let id = id as isize as usize;
    let (number, arguments) = match kind {
        Kind::Queue => (sys::__NR_msgctl, [id, REMOVE, 0, 0, 0, 0]),
        Kind::Semaphores => (sys::__NR_semctl, [id, 0, REMOVE, 0, 0, 0]),
        Kind::Memory => (sys::__NR_shmctl, [id, REMOVE, 0, 0, 0, 0]),
    };
    // SAFETY: plain numbers; to remove needs no buffer. Attached memory stays mapped.
    unsafe { syscall(number, arguments) }.map(drop)
}
