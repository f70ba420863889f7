//! Puts a tree back, below a directory that nobody else can enter until it is whole. Every path is resolved by the kernel below that
//! directory, without links: what the listing says can't lead out.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, ResolveFlags, SeekFrom, Timespec, Timestamps, Uid, XattrFlags,
    chownat, fchmod, fchown, fsetxattr, ftruncate, futimens, linkat, mkdirat, openat, seek,
    symlinkat, utimensat,
};
use rustix::io::Errno;

use super::{Entry, Kind, bytes};
use crate::source::Extent;

const BUFFER_BYTES: usize = 256 << 10;
const BLOCK_BYTES: usize = 4096;

/// Whose everything will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// One user's and group's, whoever it was before.
    One(u32, u32),
    /// As the archive has it: for a service that runs as root and shares what it has out among the users of its image.
    AsListed,
}

/// Why a tree can't be put back.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct PlantError {
    /// Relative to the tree.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Writes a tree into an empty directory, which gets the mode and owner of the tree's own.
///
/// # Errors
/// When something can't be written; part of it is there then.
pub fn plant(
    pool: &File,
    entries: &[Entry],
    to: BorrowedFd<'_>,
    owners: Owners,
) -> Result<(), PlantError> {
    let planter = Planter { pool, to, owners };
    let failed = |entry: &Entry, source: Errno| PlantError {
        path: PathBuf::from(crate::tree::shown(&entry.path)),
        source: source.into(),
    };
    for entry in entries {
        planter
            .make(entry)
            .map_err(|source| failed(entry, source))?;
    }
    // Children first: what they change of a directory's time is over then.
    let directories = entries.iter().filter(|entry| entry.kind == Kind::Directory);
    for entry in directories.rev() {
        planter
            .finish_directory(entry)
            .map_err(|source| failed(entry, source))?;
    }
    Ok(())
}

struct Planter<'p> {
    pool: &'p File,
    to: BorrowedFd<'p>,
    owners: Owners,
}

impl Planter<'_> {
    fn make(&self, entry: &Entry) -> Result<(), Errno> {
        if entry.path.is_empty() {
            return match entry.kind {
                Kind::Directory => Ok(()),
                _ => Err(Errno::NOTDIR),
            };
        }
        let (parent, name) = self.place(&entry.path)?;
        match &entry.kind {
            Kind::Directory => mkdirat(&parent, &name, Mode::RWXU),
            Kind::File(content) => self.file(entry, *content, &parent, &name),
            Kind::Link(target) => {
                symlinkat(text(target)?, &parent, &name)?;
                if let Some((uid, gid)) = self.owner(entry) {
                    let flags = AtFlags::SYMLINK_NOFOLLOW;
                    chownat(&parent, &name, Some(uid), Some(gid), flags)?;
                }
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                utimensat(&parent, &name, &times(entry), flags)
            }
            Kind::Again(of) => {
                let (other, other_name) = self.place(of)?;
                linkat(&other, &other_name, &parent, &name, AtFlags::empty())
            }
        }
    }

    /// The directory that a path is in, and its last name.
    fn place(&self, path: &str) -> Result<(OwnedFd, CString), Errno> {
        let (above, name) = path.rsplit_once('/').unwrap_or((".", path));
        let name = text(name)?;
        if matches!(name.to_bytes(), b"" | b"." | b"..") {
            return Err(Errno::INVAL);
        }
        Ok((self.open(above, OFlags::DIRECTORY)?, name))
    }

    fn open(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = text(path)?;
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let flags = flags | OFlags::CLOEXEC;
        kernel::resolve::open(self.to, path.as_c_str(), flags, Mode::empty(), inside)
    }

    fn file(
        &self,
        entry: &Entry,
        content: Extent,
        parent: &OwnedFd,
        name: &CString,
    ) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = openat(parent, name, flags | OFlags::CLOEXEC, mode)?;
        copy(self.pool, content, &file)?;
        self.what_it_is(entry, file.as_fd(), 0o777)
    }

    fn finish_directory(&self, entry: &Entry) -> Result<(), Errno> {
        let path = if entry.path.is_empty() {
            "."
        } else {
            &entry.path
        };
        let directory = self.open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        self.what_it_is(entry, directory.as_fd(), 0o3777)
    }

    /// The owner before the mode, whose bits a change of owner takes away; the time last.
    fn what_it_is(&self, entry: &Entry, at: BorrowedFd<'_>, most: u32) -> Result<(), Errno> {
        if let Some((uid, gid)) = self.owner(entry) {
            fchown(at, Some(uid), Some(gid))?;
        }
        for (name, value) in &entry.attributes {
            // Others mean something to the kernel.
            if !name.starts_with("user.") {
                return Err(Errno::PERM);
            }
            fsetxattr(at, name.as_str(), value, XattrFlags::empty())?;
        }
        fchmod(at, Mode::from_raw_mode(u32::from(entry.mode) & most))?;
        futimens(at, &times(entry))
    }

    /// None: whoever writes it, who is no root then and gives nothing away.
    fn owner(&self, entry: &Entry) -> Option<(Uid, Gid)> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let (uid, gid) = match self.owners {
            Owners::One(uid, gid) => (uid, gid),
            Owners::AsListed => (entry.uid, entry.gid),
        };
        Some((Uid::from_raw(uid), Gid::from_raw(gid)))
    }
}

fn text(letters: &str) -> Result<CString, Errno> {
    let bytes = bytes(letters).ok_or(Errno::ILSEQ)?;
    CString::new(bytes).map_err(|_| Errno::INVAL)
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.modified.0,
        tv_nsec: entry.modified.1.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// Copies a part of the pool; what is a hole there is one here.
fn copy(pool: &File, content: Extent, to: &OwnedFd) -> Result<(), Errno> {
    let end = content.end().ok_or(Errno::OVERFLOW)?;
    if end > rustix::fs::fstat(pool)?.st_size.cast_unsigned() {
        return Err(Errno::NODATA);
    }
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = content.offset;
    while at < end {
        let data = match seek(pool, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => end,
            // Not every file system knows of holes.
            Err(Errno::INVAL) => at,
            data => data?,
        };
        // A block that is shared with the one before is not skipped in part.
        at = data.min(end);
        let most = usize::try_from(end - at).unwrap_or(BUFFER_BYTES);
        let room = buffer.get_mut(..most.min(BUFFER_BYTES)).unwrap_or_default();
        pool.read_exact_at(room, at).map_err(errno)?;
        put(room, at - content.offset, to)?;
        at += room.len() as u64;
    }
    ftruncate(to, content.length)
}

fn put(bytes: &[u8], mut at: u64, to: &OwnedFd) -> Result<(), Errno> {
    for block in bytes.chunks(BLOCK_BYTES) {
        let mut left = block;
        if block.iter().all(|byte| *byte == 0) {
            left = &[];
        }
        let mut place = at;
        while !left.is_empty() {
            let done = rustix::io::pwrite(to, left, place)?;
            left = left.get(done..).unwrap_or_default();
            place += done as u64;
        }
        at += block.len() as u64;
    }
    Ok(())
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
