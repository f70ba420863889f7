//! Device mapper: a read-only device that is made of others by a table of one line, as dm-verity's is.

use rustix::fd::AsFd;

use crate::descriptor::ioctl;
use crate::{Errno, Result};

/// `_IOWR(0xfd, 0, struct dm_ioctl)`, to which the number of the operation is added.
const OPERATION: usize = 0xC138_FD00;
const VERSION: usize = 0;
const CREATE: usize = 3;
const REMOVE: usize = 4;
const SUSPEND: usize = 6;
const LOAD: usize = 9;

const READ_ONLY: u32 = 1;
/// Removed when its last user is gone.
const DEFERRED: u32 = 1 << 17;

/// Bytes of a name, with its NUL.
const NAME_BYTES: usize = 128;
/// Bytes for the line of a table; dm-verity's with the longest salt has fewer than 1024.
const LINE_BYTES: usize = 2048;

/// The version of the interface that all kernels answer.
const INTERFACE: [u32; 3] = [4, 0, 0];

#[repr(C)]
#[derive(Clone, Copy)]
struct Head {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event: u32,
    padding: u32,
    device: u64,
    name: [u8; NAME_BYTES],
    uuid: [u8; 129],
    data: [u8; 7],
}

const _: () = assert!(size_of::<Head>() == 312);

#[repr(C)]
struct Target {
    first_sector: u64,
    sectors: u64,
    status: i32,
    next: u32,
    kind: [u8; 16],
}

const _: () = assert!(size_of::<Target>() == 40);

#[repr(C)]
struct Table {
    head: Head,
    target: Target,
    line: [u8; LINE_BYTES],
}

const _: () = assert!(size_of::<Table>() == 312 + 40 + LINE_BYTES);

impl Head {
    fn new(name: &[u8], size: usize) -> Result<Self> {
        Ok(Self {
            version: INTERFACE,
            data_size: size as u32,
            data_start: size_of::<Head>() as u32,
            target_count: 0,
            open_count: 0,
            flags: 0,
            event: 0,
            padding: 0,
            device: 0,
            name: padded(name)?,
            uuid: [0; 129],
            data: [0; 7],
        })
    }
}

/// A text with at least one NUL behind it.
fn padded<const N: usize>(text: &[u8]) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let room = bytes.get_mut(..text.len());
    room.filter(|_| text.len() < N && !text.contains(&0))
        .ok_or(Errno::NAMETOOLONG)?
        .copy_from_slice(text);
    Ok(bytes)
}

fn call(control: impl AsFd, operation: usize, head: &mut Head) -> Result<()> {
    let at = core::ptr::from_mut(head).cast();
    // SAFETY: the kernel reads and writes `data_size` bytes from here on: all callers but `load` say that of a head alone.
    unsafe { ioctl(control, OPERATION | operation, at) }
}

/// Whether device mapper answers, by the open `/dev/mapper/control`.
pub fn is_there(control: impl AsFd) -> bool {
    let head = Head::new(b"", size_of::<Head>());
    head.and_then(|mut head| call(control, VERSION, &mut head))
        .is_ok()
}

/// Makes a device without a table; tells its major and minor number. EBUSY: there is one of this name.
pub fn create(control: impl AsFd, name: &[u8]) -> Result<(u32, u32)> {
    let mut head = Head::new(name, size_of::<Head>())?;
    call(control, CREATE, &mut head)?;
    // The kernel's new_encode_dev().
    let minor = (head.device & 0xff) | ((head.device >> 12) & 0xf_ff00);
    Ok((((head.device >> 8) & 0xfff) as u32, minor as u32))
}

/// Gives the device its table, one line of `kind` over all its sectors, read-only, and lets it work.
pub fn load(control: impl AsFd, name: &[u8], sectors: u64, kind: &[u8], line: &[u8]) -> Result<()> {
    let size = size_of::<Table>();
    let mut table = Table {
        head: Head::new(name, size)?,
        target: Target {
            first_sector: 0,
            sectors,
            status: 0,
            next: (size - size_of::<Head>()) as u32,
            kind: padded(kind)?,
        },
        line: padded(line)?,
    };
    table.head.target_count = 1;
    table.head.flags = READ_ONLY;
    let at = core::ptr::from_mut(&mut table).cast();
    // SAFETY: the kernel reads and writes `data_size` bytes from here on: the whole struct.
    unsafe { ioctl(&control, OPERATION | LOAD, at) }?;
    // Without the flag that suspends it, this resumes the device, which takes the table that was loaded.
    let mut head = Head::new(name, size_of::<Head>())?;
    call(control, SUSPEND, &mut head)
}

/// Removes the device now, or when its last user is gone.
pub fn remove(control: impl AsFd, name: &[u8]) -> Result<()> {
    let mut head = Head::new(name, size_of::<Head>())?;
    head.flags = DEFERRED;
    call(control, REMOVE, &mut head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lines_that_do_not_fit_are_refused() {
        assert_eq!(padded::<4>(b"abc"), Ok(*b"abc\0"));
        assert_eq!(padded::<4>(b"abcd"), Err(Errno::NAMETOOLONG));
        assert_eq!(padded::<4>(b"a\0"), Err(Errno::NAMETOOLONG));
    }
}
