//! Autofs: a directory whose first visitor waits until something is mounted on it, protocol 5 with direct mounts. The kernel asks over a pipe, and
//! is answered by operations on `/dev/autofs` (linux/auto_dev-ioctl.h).

use core::ffi::CStr;

use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::descriptor::ioctl;
use crate::{Errno, Result};

/// Bytes of each question in the pipe.
pub const PACKET_BYTES: usize = 304;
/// Bytes of a path, with its NUL, as in path_resolution(7).
const PATH_BYTES: usize = 4096;

/// `_IOWR(0x93, 0, struct autofs_dev_ioctl)`, to which the number of the operation is added.
const OPERATION: usize = 0xC018_9300;
const OPEN_MOUNT: usize = 0x74;
const READY: usize = 0x76;
const FAIL: usize = 0x77;
const SET_PIPE: usize = 0x78;
const CATATONIC: usize = 0x79;
const TIMEOUT: usize = 0x7A;
const EXPIRE: usize = 0x7C;

const MISSING_DIRECT: i32 = 5;
const EXPIRE_DIRECT: i32 = 6;

/// What the kernel asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Somebody waits for the mount.
    Mount,
    /// It has been idle, and somebody waits for its end.
    Unmount,
}

/// A question, and who made the kernel ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What is asked.
    pub question: Question,
    /// The number to answer with.
    pub token: u32,
    /// The process.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

/// Reads one question; none where it is not one of protocol 5's of direct mounts.
pub fn parse(bytes: &[u8]) -> Option<Packet> {
    let word = |at: usize| -> Option<u32> {
        let bytes = bytes.get(at..at + 4)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    };
    if bytes.len() != PACKET_BYTES || word(0)? != 5 {
        return None;
    }
    let question = match word(4)? as i32 {
        MISSING_DIRECT => Question::Mount,
        EXPIRE_DIRECT => Question::Unmount,
        _ => return None,
    };
    Some(Packet {
        question,
        token: word(8)?,
        uid: word(24)?,
        // The process, where the word before has the thread.
        pid: word(36)?,
    })
}

#[repr(C)]
struct Head {
    version: [u32; 2],
    size: u32,
    mount: i32,
    /// A number, or two: as the operation has it.
    argument: [u32; 2],
}

const _: () = assert!(size_of::<Head>() == 24);

#[repr(C)]
struct WithPath {
    head: Head,
    path: [u8; PATH_BYTES],
}

const _: () = assert!(size_of::<WithPath>() == 24 + PATH_BYTES);

impl Head {
    fn new(mount: i32, argument: [u32; 2]) -> Self {
        Self {
            version: [1, 0],
            size: size_of::<Self>() as u32,
            mount,
            argument,
        }
    }
}

fn call(control: impl AsFd, operation: usize, head: &mut Head) -> Result<()> {
    let at = core::ptr::from_mut(head).cast();
    // SAFETY: the kernel reads and writes `size` bytes from here on, which is a head alone: `open` has its own call.
    unsafe { ioctl(control, OPERATION | operation, at) }
}

/// Opens the autofs of this device that is mounted at `path`, also where something lies on it, by the open `/dev/autofs`.
pub fn open(control: impl AsFd, device: u32, path: &CStr) -> Result<OwnedFd> {
    let bytes = path.to_bytes_with_nul();
    let mut asked = WithPath {
        head: Head::new(-1, [device, 0]),
        path: [0; PATH_BYTES],
    };
    let room = asked.path.get_mut(..bytes.len());
    room.ok_or(Errno::NAMETOOLONG)?.copy_from_slice(bytes);
    asked.head.size = (size_of::<Head>() + bytes.len()) as u32;
    let at = core::ptr::from_mut(&mut asked).cast();
    // SAFETY: the kernel reads and writes `size` bytes from here on: at most the whole struct.
    unsafe { ioctl(control, OPERATION | OPEN_MOUNT, at) }?;
    // SAFETY: the kernel just made it for this call, and no one else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(asked.head.mount) })
}

/// Lets those go who wait by this number: what they wait for has come, or they get `error`. EINVAL: nobody waits by it.
pub fn answer(
    control: impl AsFd,
    mount: impl AsFd,
    token: u32,
    error: Option<Errno>,
) -> Result<()> {
    let mount = mount.as_fd().as_raw_fd();
    match error {
        None => call(control, READY, &mut Head::new(mount, [token, 0])),
        Some(errno) => {
            let status = -errno.raw_os_error();
            call(
                control,
                FAIL,
                &mut Head::new(mount, [token, status.cast_unsigned()]),
            )
        }
    }
}

/// Nobody waits there any more, and nobody is asked.
pub fn make_catatonic(control: impl AsFd, mount: impl AsFd) -> Result<()> {
    let mount = mount.as_fd().as_raw_fd();
    call(control, CATATONIC, &mut Head::new(mount, [0, 0]))
}

/// Has a catatonic one ask over another pipe, and lets through the caller's group of processes.
pub fn set_pipe(control: impl AsFd, mount: impl AsFd, pipe: impl AsFd) -> Result<()> {
    let pipe = pipe.as_fd().as_raw_fd().cast_unsigned();
    let mount = mount.as_fd().as_raw_fd();
    call(control, SET_PIPE, &mut Head::new(mount, [pipe, 0]))
}

/// Says after how many seconds without visitors it counts as idle.
pub fn set_timeout(control: impl AsFd, mount: impl AsFd, seconds: u64) -> Result<()> {
    let mount = mount.as_fd().as_raw_fd();
    let bytes = seconds.to_ne_bytes();
    let [a, b, c, d, e, f, g, h] = bytes;
    let words = [[a, b, c, d], [e, f, g, h]].map(u32::from_ne_bytes);
    call(control, TIMEOUT, &mut Head::new(mount, words))
}

/// Asks for its end where it is idle, and waits for the answer to that. EAGAIN: it is in use, or nothing is mounted.
pub fn expire(control: impl AsFd, mount: impl AsFd) -> Result<()> {
    let mount = mount.as_fd().as_raw_fd();
    call(control, EXPIRE, &mut Head::new(mount, [0, 0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(words: &[(usize, u32)]) -> [u8; PACKET_BYTES] {
        let mut bytes = [0xAA; PACKET_BYTES];
        for (at, word) in words {
            bytes[*at..at + 4].copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_question_says_what_is_waited_for_and_by_whom() {
        let words = [(0, 5), (4, 5), (8, 77), (24, 1000), (32, 12), (36, 11)];
        let asked = parse(&packet(&words)).unwrap();
        assert_eq!(
            asked,
            Packet {
                question: Question::Mount,
                token: 77,
                pid: 11,
                uid: 1000
            }
        );
        let idle = parse(&packet(&[(0, 5), (4, 6)])).unwrap();
        assert_eq!(idle.question, Question::Unmount);
    }

    #[test]
    fn what_is_of_another_protocol_kind_or_length_is_no_question() {
        assert_eq!(parse(&packet(&[(0, 4), (4, 5)])), None);
        assert_eq!(parse(&packet(&[(0, 5), (4, 3)])), None);
        let whole = packet(&[(0, 5), (4, 5)]);
        assert_eq!(parse(&whole[1..]), None);
        assert_eq!(parse(&[]), None);
    }
}
