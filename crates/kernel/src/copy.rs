//! A copy of a tree as it is, for who may change the copy: no link is followed, no mount is crossed, and there is an end to it.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, SeekFrom, Stat, Timespec,
    Timestamps, Uid, XattrFlags, chownat, copy_file_range, fchmod, fchown, fgetxattr, flistxattr,
    fsetxattr, fstat, fstatvfs, ftruncate, futimens, ioctl_ficlone, linkat, mkdirat, mknodat,
    openat, readlinkat_raw, seek, statat, symlinkat, utimensat,
};
use rustix::io::{read, write};

use crate::{AsFd, BorrowedFd, Errno, OwnedFd, Result};

/// Directories below each other, of which two descriptors are open for each.
const DEPTH_MAX: u32 = 128;
/// Bytes of an extended attribute, or of all their names; the kernel has no more (xattr(7)). A link's target is shorter.
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes of the entries of a directory that are read at once, in the frame of each directory.
const ENTRIES_BYTES: usize = 4 << 10;

/// Where it ends.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files, directories and links.
    pub entries: u64,
    /// Bytes of data, also where the file system shares them.
    pub bytes: u64,
}

impl Limits {
    /// No more bytes than half of what is free where the copy goes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn leaving_half(self, to: impl AsFd) -> Result<Self> {
        let there = fstatvfs(to)?;
        let free = there.f_bavail.saturating_mul(there.f_frsize);
        Ok(Self {
            bytes: self.bytes.min(free / 2),
            ..self
        })
    }
}

/// Copies what is in a directory, and what the directory is, to an empty one. Names of one file stay so: `links` is another empty directory
/// on the copy's file system, which holds the copies of such files under names of its own.
///
/// # Errors
/// EDQUOT where there is more than the limits, ELOOP where directories are nested too deep, else the kernel's. Part of the copy is there then.
pub fn tree(from: impl AsFd, to: impl AsFd, links: impl AsFd, limits: Limits) -> Result<()> {
    let mut copy = Copy {
        links: links.as_fd(),
        left: limits,
        buffer: [0; BUFFER_BYTES],
    };
    copy.directory(from.as_fd(), to.as_fd(), 0)
}

struct Copy<'fd> {
    links: BorrowedFd<'fd>,
    left: Limits,
    buffer: [u8; BUFFER_BYTES],
}

impl Copy<'_> {
    fn directory(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> Result<()> {
        if depth == DEPTH_MAX {
            return Err(Errno::LOOP);
        }
        // Another description of it: where one is in a directory is not the caller's concern.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = openat(from, c".", flags, Mode::empty())?;
        let mut room = [MaybeUninit::uninit(); ENTRIES_BYTES];
        let mut entries = RawDir::new(&listed, &mut room);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                self.entry(listed.as_fd(), to, entry.file_name(), depth)?;
            }
        }
        self.what_it_is(listed.as_fd(), to, &fstat(&listed)?)
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        depth: u32,
    ) -> Result<()> {
        self.left.entries = self.left.entries.checked_sub(1).ok_or(Errno::DQUOT)?;
        let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(status.st_mode);
        if kind == FileType::Directory {
            mkdirat(to, name, Mode::RWXU)?;
            let made = open(to, name, OFlags::RDONLY | OFlags::DIRECTORY)?;
            return match open(from, name, OFlags::RDONLY | OFlags::DIRECTORY) {
                // What is mounted there stays where it is.
                Err(Errno::XDEV) => of(&made, &status),
                inner => self.directory(inner?.as_fd(), made.as_fd(), depth + 1),
            };
        }
        if status.st_nlink == 1 {
            return self.leaf(from, to, name, &status, kind);
        }
        let mut room = [0; 34];
        let known = link_name(&status, &mut room)?;
        match linkat(self.links, known, to, name, AtFlags::empty()) {
            Err(Errno::NOENT) => {
                self.leaf(from, to, name, &status, kind)?;
                linkat(to, name, self.links, known, AtFlags::empty())
            }
            linked => linked,
        }
    }

    /// What has nothing in it.
    fn leaf(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        status: &Stat,
        kind: FileType,
    ) -> Result<()> {
        match kind {
            FileType::RegularFile => return self.file(from, to, name),
            FileType::Symlink => {
                let length = readlinkat_raw(from, name, &mut self.buffer[..])?;
                let target = text(&mut self.buffer, length)?;
                symlinkat(target, to, name)?;
            }
            _ => mknodat(to, name, kind, Mode::empty(), status.st_rdev)?,
        }
        let (user, group) = owner(status);
        chownat(to, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
        if kind != FileType::Symlink {
            // Nobody but this process's user has been there: it is what was made here.
            rustix::fs::chmodat(to, name, mode(status), AtFlags::empty())?;
        }
        utimensat(to, name, &times(status), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn file(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        let from = open(from, name, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let status = fstat(&from)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(Errno::STALE);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let to = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
        if ioctl_ficlone(&to, &from).is_ok() {
            self.take(size(&status))?;
        } else {
            self.data(&from, &to, &status)?;
        }
        self.what_it_is(from.as_fd(), to.as_fd(), &status)
    }

    /// The data of a file; holes stay holes.
    fn data(&mut self, from: &OwnedFd, to: &OwnedFd, status: &Stat) -> Result<()> {
        let mut at = 0;
        loop {
            let start = match seek(from, SeekFrom::Data(at)) {
                Err(Errno::NXIO) => break,
                start => start?,
            };
            let end = seek(from, SeekFrom::Hole(start))?;
            self.take(end.saturating_sub(start))?;
            self.range(from, to, start, end)?;
            at = end;
        }
        // A hole at its end.
        ftruncate(to, size(status))
    }

    fn range(&mut self, from: &OwnedFd, to: &OwnedFd, mut at: u64, end: u64) -> Result<()> {
        while at < end {
            let (mut read, mut written) = (at, at);
            let length = usize::try_from(end - at).unwrap_or(usize::MAX);
            let copied = copy_file_range(from, Some(&mut read), to, Some(&mut written), length);
            match copied {
                // The kernel can't between these two, or the file is shorter now.
                Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) | Ok(0) => {
                    return self.by_hand(from, to, at, end);
                }
                copied => at += copied? as u64,
            }
        }
        Ok(())
    }

    fn by_hand(&mut self, from: &OwnedFd, to: &OwnedFd, mut at: u64, end: u64) -> Result<()> {
        seek(from, SeekFrom::Start(at))?;
        seek(to, SeekFrom::Start(at))?;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX);
            let room = self.buffer.get_mut(..length.min(BUFFER_BYTES));
            let length = read(from, room.unwrap_or_default())?;
            let mut bytes = self.buffer.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            at += bytes.len() as u64;
            while !bytes.is_empty() {
                let count = write(to, bytes)?;
                bytes = bytes.get(count..).ok_or(Errno::IO)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: u64) -> Result<()> {
        self.left.bytes = self.left.bytes.checked_sub(bytes).ok_or(Errno::DQUOT)?;
        Ok(())
    }

    /// Whose it is, its attributes, and its mode, which a change of the owner would take bits from.
    fn what_it_is(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        status: &Stat,
    ) -> Result<()> {
        let (user, group) = owner(status);
        fchown(to, Some(user), Some(group))?;
        // A change of the owner takes capabilities from a file, too: none comes after this.
        self.attributes(from, to)?;
        mode_and_times(to, status)
    }

    fn attributes(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
        let mut names = [0; ENTRIES_BYTES];
        let length = match flistxattr(from, &mut names) {
            Err(Errno::OPNOTSUPP) => return Ok(()),
            length => length?,
        };
        let names = names.get(..length).unwrap_or_default();
        for name in names.split_inclusive(|&byte| byte == 0) {
            let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL)?;
            let length = match fgetxattr(from, name, &mut self.buffer[..]) {
                Err(Errno::NODATA) => continue,
                length => length?,
            };
            let value = self.buffer.get(..length).unwrap_or_default();
            fsetxattr(to, name, value, XattrFlags::empty())?;
        }
        Ok(())
    }
}

fn open(folder: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let inside = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV | ResolveFlags::BENEATH;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    crate::resolve::open(folder, name, flags, Mode::empty(), inside)
}

/// What the kernel wrote, with a NUL after it.
fn text(buffer: &mut [u8], length: usize) -> Result<&CStr> {
    *buffer.get_mut(length).ok_or(Errno::NAMETOOLONG)? = 0;
    let bytes = buffer.get(..=length).ok_or(Errno::NAMETOOLONG)?;
    CStr::from_bytes_with_nul(bytes).map_err(|_| Errno::INVAL)
}

/// Owner, mode and times.
fn of(made: impl AsFd, status: &Stat) -> Result<()> {
    let (user, group) = owner(status);
    fchown(&made, Some(user), Some(group))?;
    mode_and_times(made, status)
}

fn mode_and_times(made: impl AsFd, status: &Stat) -> Result<()> {
    fchmod(&made, mode(status))?;
    futimens(&made, &times(status))
}

fn owner(status: &Stat) -> (Uid, Gid) {
    (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid))
}

fn mode(status: &Stat) -> Mode {
    Mode::from_raw_mode(status.st_mode & 0o7777)
}

fn size(status: &Stat) -> u64 {
    u64::try_from(status.st_size).unwrap_or_default()
}

fn times(status: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    Timestamps {
        last_access: time(status.st_atime, status.st_atime_nsec as _),
        last_modification: time(status.st_mtime, status.st_mtime_nsec as _),
    }
}

/// A file's name among the links: its device and its number.
fn link_name<'room>(status: &Stat, room: &'room mut [u8; 34]) -> Result<&'room CStr> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let (device, file) = (status.st_dev, status.st_ino);
    let nibbles = |number: u64| (0..16).rev().map(move |place| (number >> (4 * place)) & 15);
    let places = room.iter_mut().take(33);
    let digits = nibbles(device)
        .chain(nibbles(file))
        .map(|nibble| DIGITS.get(nibble as usize));
    for (place, digit) in places.zip(digits) {
        *place = *digit.ok_or(Errno::INVAL)?;
    }
    CStr::from_bytes_until_nul(room).map_err(|_| Errno::INVAL)
}

#[cfg(all(test, feature = "std"))]
mod tests;
