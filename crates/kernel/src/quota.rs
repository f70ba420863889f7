//! Project quotas: which project a file counts for, and what a project may hold (ioctl `FS_IOC_FSGETXATTR`, quotactl_fd(2), Linux 5.14).

use core::ffi::CStr;
use core::ops::RangeInclusive;

use linux_raw_sys::general as sys;
use rustix::fd::AsRawFd;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr, fstat};

use crate::descriptor::ioctl;
use crate::syscall::syscall;
use crate::{AsFd, Errno, Result};

/// The projects that are made for directories of services, here as by the reference. All others are somebody else's.
pub const OURS: RangeInclusive<u32> = 0x8000_0000..=0xffff_fffe;

/// Where root notes at a directory which project it gave it. Who owns the directory can change its project, and not this (xattr(7)).
const RECORD: &CStr = c"trusted.coracle.project";
const RECORD_BYTES: usize = 4 + 8 + 16;

/// The ioctl numbers are the same on all machines that Coracle knows (<linux/fs.h>).
const GET_ATTRIBUTES: usize = 0x801c_581f;
const SET_ATTRIBUTES: usize = 0x401c_5820;
/// `FS_XFLAG_PROJINHERIT`: what is made in a directory counts for its project.
const INHERITED: u32 = 0x200;
/// `PRJQUOTA` of <linux/quota.h>.
const PROJECTS: usize = 2;
const GET_QUOTA: usize = 0x80_0007;
const SET_QUOTA: usize = 0x80_0008;
/// `Q_XGETQSTATV` of <linux/dqblk_xfs.h>, which all file systems answer.
const GET_STATE: usize = 0x5808;
/// `QIF_BLIMITS | QIF_ILIMITS`
const LIMITS: u32 = 1 | 4;
/// `FS_QUOTA_PDQ_ACCT` and `FS_QUOTA_PDQ_ENFD`
const COUNTS: u16 = 1 << 4;
const BOUNDS: u16 = 1 << 5;
/// Space is bounded in blocks of this size.
const BLOCK_BYTES: u64 = 1024;

/// `struct fsxattr`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Attributes {
    flags: u32,
    extent_bytes: u32,
    extents: u32,
    project: u32,
    copy_extent_bytes: u32,
    room: [u8; 8],
}

/// `struct if_dqblk`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Quota {
    space_hard: u64,
    space_soft: u64,
    space: u64,
    entries_hard: u64,
    entries_soft: u64,
    entries: u64,
    space_time: u64,
    entries_time: u64,
    valid: u32,
}

/// What a file system does about projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// It counts what each project holds.
    pub counts: bool,
    /// It refuses what is beyond a limit.
    pub bounds: bool,
}

/// The most that a project may hold; 0 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Bytes, of which the kernel knows whole kibibytes.
    pub bytes: u64,
    /// Files and directories.
    pub entries: u64,
}

/// What a project holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes.
    pub bytes: u64,
    /// Files and directories.
    pub entries: u64,
    /// The most of both.
    pub limits: Limits,
}

/// The project that root gave a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Its number.
    pub number: u32,
    /// The start for which all that is in the directory was last put into the project.
    pub visit: [u8; 16],
}

impl Given {
    /// The inode says which directory it is about: a copy of that may come with the record.
    fn bytes(self, inode: u64) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        let (number, rest) = bytes.split_at_mut(4);
        let (place, visit) = rest.split_at_mut(8);
        number.copy_from_slice(&self.number.to_le_bytes());
        place.copy_from_slice(&inode.to_le_bytes());
        visit.copy_from_slice(&self.visit);
        bytes
    }

    fn of(bytes: &[u8; RECORD_BYTES], inode: u64) -> Option<Self> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (place, visit) = rest.split_first_chunk()?;
        let given = Self {
            number: u32::from_le_bytes(*number),
            visit: *visit.first_chunk()?,
        };
        let is_here = u64::from_le_bytes(*place) == inode;
        (is_here && OURS.contains(&given.number)).then_some(given)
    }
}

/// The project that root gave a directory, whatever its owner made of that since; none where it gave none.
pub fn given(directory: impl AsFd) -> Result<Option<Given>> {
    let mut bytes = [0; RECORD_BYTES];
    match fgetxattr(&directory, RECORD, &mut bytes) {
        Ok(RECORD_BYTES) => Ok(Given::of(&bytes, fstat(&directory)?.st_ino)),
        // No record of ours.
        Ok(_) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Notes which project root gives a directory.
pub fn give(directory: impl AsFd, given: Given) -> Result<()> {
    let bytes = given.bytes(fstat(&directory)?.st_ino);
    fsetxattr(directory, RECORD, &bytes, XattrFlags::empty())
}

/// What the file system of an open file does about projects.
///
/// # Errors
/// ENOSYS or ESRCH, among others, where it knows none.
pub fn abilities(file: impl AsFd) -> Result<Abilities> {
    // `struct fs_quota_statv` begins with its version, which is asked for, and is shorter than this.
    let mut answer = [0u64; 32];
    if let Some(first) = answer.first_mut() {
        *first = u64::from_ne_bytes([1, 0, 0, 0, 0, 0, 0, 0]);
    }
    // SAFETY: the kernel writes one `struct fs_quota_statv`, for which there is room, aligned as it is.
    unsafe { command(file, GET_STATE, 0, answer.as_mut_ptr().cast()) }?;
    let [_, _, low, high, ..] = answer.first().copied().unwrap_or_default().to_ne_bytes();
    let flags = u16::from_ne_bytes([low, high]);
    Ok(Abilities {
        counts: flags & COUNTS != 0,
        bounds: flags & BOUNDS != 0,
    })
}

/// The project that an open file or directory counts for; 0 for none.
pub fn project(file: impl AsFd) -> Result<u32> {
    attributes(file).map(|found| found.project)
}

/// Whether what is made in an open directory counts for its project. Of such a one statfs(2) tells what the project may hold, and not what the
/// file system has.
pub fn is_inherited(directory: impl AsFd) -> Result<bool> {
    attributes(directory).map(|found| found.flags & INHERITED != 0)
}

/// Has a file count for a project, or a directory and what will be made in it.
pub fn set_project(file: impl AsFd, project: u32, inherited: bool) -> Result<()> {
    let mut wanted = attributes(&file)?;
    let before = (wanted.project, wanted.flags);
    wanted.project = project;
    if inherited {
        wanted.flags |= INHERITED;
    }
    if (wanted.project, wanted.flags) == before {
        return Ok(());
    }
    let place = (&raw mut wanted).cast();
    // SAFETY: the kernel reads one `struct fsxattr` there.
    unsafe { ioctl(file, SET_ATTRIBUTES, place) }
}

/// What a project holds on the file system of an open file.
pub fn usage(file: impl AsFd, project: u32) -> Result<Usage> {
    let found = quota(file, project)?;
    Ok(Usage {
        bytes: found.space,
        entries: found.entries,
        limits: Limits {
            bytes: found.space_hard.saturating_mul(BLOCK_BYTES),
            entries: found.entries_hard,
        },
    })
}

/// Bounds a project on the file system of an open file.
pub fn limit(file: impl AsFd, project: u32, limits: Limits) -> Result<()> {
    let found = quota(&file, project)?;
    let mut wanted = Quota {
        space_hard: limits.bytes.div_ceil(BLOCK_BYTES),
        entries_hard: limits.entries,
        valid: LIMITS,
        ..Quota::default()
    };
    if (wanted.space_hard, wanted.entries_hard) == (found.space_hard, found.entries_hard) {
        return Ok(());
    }
    // SAFETY: the kernel reads one `struct if_dqblk` there.
    unsafe { command(file, SET_QUOTA, project, (&raw mut wanted).cast()) }
}

/// Takes the limits from the project that root gave a directory. One that its owner put it into is somebody else's.
///
/// # Errors
/// The kernel's, where there are limits and they stay.
pub fn lift(directory: impl AsFd) -> Result<()> {
    match given(&directory)? {
        Some(given) => limit(directory, given.number, Limits::default()),
        None => Ok(()),
    }
}

fn quota(file: impl AsFd, project: u32) -> Result<Quota> {
    let mut found = Quota::default();
    // SAFETY: the kernel writes one `struct if_dqblk` there.
    let answer = unsafe { command(file, GET_QUOTA, project, (&raw mut found).cast()) };
    match answer {
        // Nothing was ever counted for it.
        Err(Errno::NOENT) => Ok(Quota::default()),
        answer => answer.map(|()| found),
    }
}

fn attributes(file: impl AsFd) -> Result<Attributes> {
    let mut found = Attributes::default();
    // SAFETY: the kernel writes one `struct fsxattr` there.
    unsafe { ioctl(file, GET_ATTRIBUTES, (&raw mut found).cast()) }?;
    Ok(found)
}

/// # Safety
///
/// `place` must be what the command reads or writes.
unsafe fn command(file: impl AsFd, command: usize, project: u32, place: *mut u8) -> Result<()> {
    let number = file.as_fd().as_raw_fd() as isize as usize;
    let command = command << 8 | PROJECTS;
    let arguments = [number, command, project as usize, place as usize, 0, 0];
    // SAFETY: the caller vouches for `place`; nothing is closed or mapped.
    unsafe { syscall(sys::__NR_quotactl_fd, arguments) }.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_about_one_directory_and_a_number_of_ours() {
        let given = Given {
            number: 0x8000_0007,
            visit: [9; 16],
        };
        let bytes = given.bytes(12);
        assert_eq!(Given::of(&bytes, 12), Some(given));
        assert_eq!(Given::of(&bytes, 13), None);
        let foreign = Given { number: 7, ..given };
        assert_eq!(Given::of(&foreign.bytes(12), 12), None);
    }
}
