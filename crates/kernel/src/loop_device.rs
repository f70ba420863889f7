//! Loop devices: a file, or a part of one, as a block device.

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd};

use crate::Result;
use crate::syscall::syscall;

const LOOP_CTL_GET_FREE: usize = 0x4C82;
const LOOP_CONFIGURE: usize = 0x4C0A;
const LOOP_CLR_FD: usize = 0x4C01;
const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;
const DIRECT_IO: u32 = 16;

/// What a loop device shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// How long it is in bytes; 0 means to the end.
    pub size_limit: u64,
    /// Its block size in bytes; 0 leaves the choice to the kernel.
    pub block_size: u32,
    /// It cannot be written to.
    pub read_only: bool,
    /// The last user takes it along.
    pub autoclear: bool,
    /// Bypasses the page cache of the file.
    pub direct_io: bool,
}

#[repr(C)]
struct RawConfiguration {
    file: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    raw_device: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encryption: [u32; 2],
    flags: u32,
    names: [u8; 64 + 64 + 32],
    initial: [u64; 2],
    reserved: [u64; 8],
}

/// The number of a free device, by the open `/dev/loop-control`; another may take it first, then configuring answers EBUSY.
pub fn free(control: impl AsFd) -> Result<u32> {
    let number = control.as_fd().as_raw_fd() as usize;
    // SAFETY: the operation takes no argument.
    unsafe { syscall(sys::__NR_ioctl, [number, LOOP_CTL_GET_FREE, 0, 0, 0, 0]) }
        .map(|free| free as u32)
}

/// Lets the open `device` show `file`, in one call (since Linux 5.8).
pub fn configure(device: impl AsFd, file: impl AsFd, configuration: Configuration) -> Result<()> {
    let choose = |condition: bool, flag: u32| if condition { flag } else { 0 };
    let raw = RawConfiguration {
        file: file.as_fd().as_raw_fd() as u32,
        block_size: configuration.block_size,
        device: 0,
        inode: 0,
        raw_device: 0,
        offset: configuration.offset,
        size_limit: configuration.size_limit,
        number: 0,
        encryption: [0; 2],
        flags: choose(configuration.read_only, READ_ONLY)
            | choose(configuration.autoclear, AUTOCLEAR)
            | choose(configuration.direct_io, DIRECT_IO),
        names: [0; 160],
        initial: [0; 2],
        reserved: [0; 8],
    };
    let number = device.as_fd().as_raw_fd() as usize;
    // SAFETY: the operation reads one loop_config of 304 bytes, which the struct is (asserted below).
    unsafe {
        syscall(
            sys::__NR_ioctl,
            [
                number,
                LOOP_CONFIGURE,
                core::ptr::from_ref(&raw) as usize,
                0,
                0,
                0,
            ],
        )
    }
    .map(drop)
}

const _: () = assert!(size_of::<RawConfiguration>() == 304);

/// Takes the file away from `device`, now or, while it is in use, when it is closed.
pub fn clear(device: impl AsFd) -> Result<()> {
    let number = device.as_fd().as_raw_fd() as usize;
    // SAFETY: the operation takes no argument.
    unsafe { syscall(sys::__NR_ioctl, [number, LOOP_CLR_FD, 0, 0, 0, 0]) }.map(drop)
}
