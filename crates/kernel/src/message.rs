//! sendmsg and recvmsg with descriptors and credentials, without allocation.
//!
//! rustix's types of credentials cannot hold a sender from a foreign pid namespace (process id 0), so this is our own.

use core::mem::MaybeUninit;

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::syscall::syscall;
use crate::{Errno, Result};

/// Most descriptors that one message carries, the kernel's SCM_MAX_FD.
pub const DESCRIPTORS_MAX: usize = 253;

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
const SCM_PIDFD: i32 = 4;
const MSG_PEEK: u32 = 2;
const MSG_CTRUNC: u32 = 8;
const MSG_TRUNC: u32 = 0x20;
const MSG_DONTWAIT: u32 = 0x40;
const MSG_NOSIGNAL: u32 = 0x4000;
const MSG_CMSG_CLOEXEC: u32 = 0x4000_0000;

/// Length, level and type, and the alignment of what follows.
const CONTROL_HEADER_BYTES: usize = 16;
/// One message of all descriptors, one of credentials (12 bytes), one of a pidfd, each aligned to 8.
const CONTROL_BYTES: usize = (CONTROL_HEADER_BYTES + DESCRIPTORS_MAX * 4 + 4)
    + (CONTROL_HEADER_BYTES + 16)
    + (CONTROL_HEADER_BYTES + 8);

#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

#[repr(C)]
struct Vector {
    base: usize,
    length: usize,
}

#[repr(C)]
struct MessageHeader {
    name: usize,
    name_length: u32,
    vectors: usize,
    vector_count: usize,
    control: usize,
    control_length: usize,
    flags: u32,
}

/// Received descriptors, owned, in their order; empty again when taken.
pub struct Descriptors {
    numbers: [RawFd; DESCRIPTORS_MAX],
    first: usize,
    end: usize,
}

impl Default for Descriptors {
    fn default() -> Self {
        Self {
            numbers: [-1; DESCRIPTORS_MAX],
            first: 0,
            end: 0,
        }
    }
}

impl Descriptors {
    /// How many are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.first
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first == self.end
    }

    /// Takes the next one.
    pub fn take(&mut self) -> Option<OwnedFd> {
        let number = *self.numbers.get(self.first..self.end)?.first()?;
        self.first += 1;
        // SAFETY: the kernel installed it for this message, and each is given out once.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    }

    /// Takes the next one of a stranger's: it is closed aside, wherever it is dropped.
    #[cfg(feature = "std")]
    pub fn take_foreign(&mut self) -> Option<crate::aside::Foreign> {
        self.take().map(crate::aside::Foreign::from)
    }

    /// Those that are left, borrowed.
    #[must_use]
    pub fn as_slice(&self) -> &[BorrowedFd<'_>] {
        let numbers = self.numbers.get(self.first..self.end).unwrap_or_default();
        // SAFETY: BorrowedFd is a transparent RawFd that is not -1; these are open and owned here as long as the borrow.
        unsafe { core::slice::from_raw_parts(numbers.as_ptr().cast(), numbers.len()) }
    }

    /// Closes those that are left.
    pub fn clear(&mut self) {
        while let Some(descriptor) = self.take() {
            drop(descriptor);
        }
        self.first = 0;
        self.end = 0;
    }

    /// As [`Self::clear`], for those of a stranger: see [`crate::aside`].
    #[cfg(feature = "std")]
    pub fn close_aside(&mut self) {
        crate::aside::close(core::iter::from_fn(|| self.take()));
        self.clear();
    }

    fn add(&mut self, number: RawFd) {
        match self.numbers.get_mut(self.end) {
            Some(place) => {
                *place = number;
                self.end += 1;
            }
            // SAFETY: installed for this message and owned by no one yet; unreachable while CONTROL_BYTES bounds the count.
            None => drop(unsafe { OwnedFd::from_raw_fd(number) }),
        }
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Who sent a message, as the kernel vouches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process id as seen from here; 0 if it is not visible from here.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// What a message was besides its bytes and descriptors.
#[derive(Debug)]
pub struct Received {
    /// How many bytes; 0 also for a closed peer.
    pub bytes: usize,
    /// The message was longer than the buffer.
    pub truncated: bool,
    /// Control data did not fit, or a descriptor could not be installed: some are missing.
    pub control_truncated: bool,
    /// The sender, where the socket asks for it (SO_PASSCRED).
    pub credentials: Option<Credentials>,
    /// The sender's pidfd, where the socket asks for it (SO_PASSPIDFD, since Linux 6.5).
    pub pidfd: Option<OwnedFd>,
}

/// How to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveOptions {
    /// Leaves the message in the queue; its descriptors are installed all the same.
    pub peek: bool,
    /// Waits for a message although the socket may be blocking otherwise too; without it EAGAIN comes at once.
    pub wait: bool,
}

/// Receives one message; descriptors that are still in `descriptors` are closed before.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Descriptors,
    options: ReceiveOptions,
) -> Result<Received> {
    descriptors.clear();
    let mut control = MaybeUninit::<Control>::uninit();
    let mut vector = Vector {
        base: buffer.as_mut_ptr() as usize,
        length: buffer.len(),
    };
    let mut header = MessageHeader {
        name: 0,
        name_length: 0,
        vectors: core::ptr::from_mut(&mut vector) as usize,
        vector_count: 1,
        control: control.as_mut_ptr() as usize,
        control_length: CONTROL_BYTES,
        flags: 0,
    };
    let mut flags = MSG_CMSG_CLOEXEC;
    if options.peek {
        flags |= MSG_PEEK;
    }
    if !options.wait {
        flags |= MSG_DONTWAIT;
    }
    let number = socket.as_fd().as_raw_fd() as usize;
    // SAFETY: recvmsg writes into the buffer and the control space, whose lengths go along, and into the header.
    let bytes = unsafe {
        syscall(
            sys::__NR_recvmsg,
            [
                number,
                core::ptr::from_mut(&mut header) as usize,
                flags as usize,
                0,
                0,
                0,
            ],
        )
    }?;
    let mut received = Received {
        bytes,
        truncated: header.flags & MSG_TRUNC != 0,
        control_truncated: header.flags & MSG_CTRUNC != 0,
        credentials: None,
        pidfd: None,
    };
    let filled = header.control_length.min(CONTROL_BYTES);
    // SAFETY: the kernel initialised the first `control_length` bytes.
    let control = unsafe { core::slice::from_raw_parts(control.as_ptr().cast::<u8>(), filled) };
    read_control(control, descriptors, &mut received);
    Ok(received)
}

/// Refuses what may still come to a socket of strangers and empties its queue, so that closing the socket closes nothing of theirs.
#[cfg(feature = "std")]
pub fn retire(socket: impl AsFd) {
    use rustix::net::{Shutdown, SocketType, shutdown, sockopt::socket_type};
    let ends = socket_type(&socket) != Ok(SocketType::DGRAM);
    // One that was never connected, or not any more, gets nothing either.
    shutdown(&socket, Shutdown::Read).ok();
    let (mut buffer, mut descriptors) = ([0; 4096], Descriptors::default());
    let options = ReceiveOptions::default();
    while let Ok(received) = receive(&socket, &mut buffer, &mut descriptors, options) {
        descriptors.close_aside();
        if received.bytes == 0 && ends {
            return;
        }
    }
}

/// Walks through the control messages: `len: u64, level: i32, type: i32, data`, each aligned to 8.
fn read_control(mut control: &[u8], descriptors: &mut Descriptors, received: &mut Received) {
    while let Some((head, _)) = control.split_first_chunk::<CONTROL_HEADER_BYTES>() {
        let [length, place] = head.as_chunks::<8>().0 else {
            return;
        };
        let length = u64::from_ne_bytes(*length) as usize;
        let [level, kind] = place.as_chunks::<4>().0 else {
            return;
        };
        let Some(data) = control.get(CONTROL_HEADER_BYTES..length) else {
            return;
        };
        if i32::from_ne_bytes(*level) == SOL_SOCKET {
            read_item(i32::from_ne_bytes(*kind), data, descriptors, received);
        }
        control = control
            .get(length.next_multiple_of(8)..)
            .unwrap_or_default();
    }
}

fn read_item(kind: i32, data: &[u8], descriptors: &mut Descriptors, received: &mut Received) {
    let words = data.as_chunks::<4>().0;
    match (kind, words) {
        (SCM_RIGHTS, _) => words
            .iter()
            .for_each(|word| descriptors.add(RawFd::from_ne_bytes(*word))),
        (SCM_CREDENTIALS, [pid, uid, gid]) => {
            received.credentials = Some(Credentials {
                pid: u32::from_ne_bytes(*pid),
                uid: u32::from_ne_bytes(*uid),
                gid: u32::from_ne_bytes(*gid),
            });
        }
        (SCM_PIDFD, [number]) => {
            let number = RawFd::from_ne_bytes(*number);
            // SAFETY: installed for this message and owned by no one yet; a negative number says that there is none.
            received.pidfd = (number >= 0).then(|| unsafe { OwnedFd::from_raw_fd(number) });
        }
        _ => {}
    }
}

/// Sends one message with descriptors; never waits and never raises SIGPIPE. EMSGSIZE: too many descriptors.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<usize> {
    if descriptors.len() > DESCRIPTORS_MAX {
        return Err(Errno::MSGSIZE);
    }
    let mut control = Control([0; CONTROL_BYTES]);
    let length = CONTROL_HEADER_BYTES + descriptors.len() * 4;
    let (head, data) = control.0.split_at_mut(CONTROL_HEADER_BYTES);
    let words = [
        (length as u64).to_ne_bytes(),
        (SOL_SOCKET as u64 | (SCM_RIGHTS as u64) << 32).to_le_bytes(),
    ];
    for (to, from) in head.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = from;
    }
    for (to, from) in data.as_chunks_mut::<4>().0.iter_mut().zip(descriptors) {
        *to = from.as_raw_fd().to_ne_bytes();
    }
    let mut vector = Vector {
        base: bytes.as_ptr() as usize,
        length: bytes.len(),
    };
    let header = MessageHeader {
        name: 0,
        name_length: 0,
        vectors: core::ptr::from_mut(&mut vector) as usize,
        vector_count: 1,
        control: if descriptors.is_empty() {
            0
        } else {
            control.0.as_ptr() as usize
        },
        control_length: if descriptors.is_empty() { 0 } else { length },
        flags: 0,
    };
    let number = socket.as_fd().as_raw_fd() as usize;
    let flags = (MSG_DONTWAIT | MSG_NOSIGNAL) as usize;
    // SAFETY: sendmsg only reads: the bytes, one control message of `length` bytes, and the header that points to them.
    unsafe {
        syscall(
            sys::__NR_sendmsg,
            [
                number,
                core::ptr::from_ref(&header) as usize,
                flags,
                0,
                0,
                0,
            ],
        )
    }
}
