//! Records of which directories and links of the host were made for whom. They lie where no service writes, and say it of the file itself
//! (its inode and when it was made), so that nobody gets a mark by putting something else under its name, on any file system.

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, StatxFlags, mkdirat, statx, symlinkat, unlinkat,
};

#[cfg(feature = "std")]
use rustix::fs::readlinkat_raw;

use crate::walk::Place;
use crate::{AsFd, Errno, OwnedFd, Result};
use core::ffi::CStr;

/// Name of the record of a path: sixteen digits and what it is.
const NAME_BYTES: usize = 17;
/// Inode, seconds and nanoseconds.
const IDENTITY_BYTES: usize = 16 + 16 + 8;
/// Others that put their record in the place of ours at the same moment.
const TRIES: u32 = 8;

/// Notes that what has this name in a directory, the first `depth` names of the path, was made just now.
///
/// # Errors
/// The kernel's, where it can't be noted.
pub fn set(records: &CStr, path: &CStr, depth: usize, (parent, name): Made<'_>) -> Result<()> {
    let made = Identity::of(parent, name)?.ok_or(Errno::NOTDIR)?;
    let records = make_records(records)?;
    let record = made.record(path.to_bytes(), depth).name();
    for _ in 0..TRIES {
        match symlinkat(text(&made.digits)?, &records, text(&record)?) {
            Err(Errno::EXIST) => {}
            done => return done,
        }
        // It is about what had the name before.
        match unlinkat(&records, text(&record)?, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::EXIST)
}

/// A directory, and the name in it.
pub type Made<'a> = (&'a OwnedFd, &'a CStr);

fn make_records(path: &CStr) -> Result<OwnedFd> {
    let place = Place::find(path, |_| Some(0o700))?;
    match mkdirat(&place.parent, place.name(), Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    place.open_with(OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

/// Whether what is at a path is what is noted there.
///
/// # Errors
/// The kernel's, where it can't be found out.
#[cfg(feature = "std")]
pub fn has(records: &std::path::Path, path: &std::path::Path) -> Result<bool> {
    use std::os::unix::ffi::OsStrExt;
    let to_text = |path: &std::path::Path| {
        std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)
    };
    match has_noted(&to_text(records)?, &to_text(path)?) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        known => known,
    }
}

#[cfg(feature = "std")]
fn has_noted(records: &CStr, path: &CStr) -> Result<bool> {
    let place = Place::find(path, |_| None)?;
    let Some(found) = Identity::of(&place.parent, place.name())? else {
        return Ok(false);
    };
    let records = Place::find(records, |_| None)?;
    let records = records.open_with(OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
    for record in found.record(path.to_bytes(), usize::MAX).all() {
        let mut room = [core::mem::MaybeUninit::uninit(); IDENTITY_BYTES + 1];
        match readlinkat_raw(&records, text(&record.name())?, &mut room) {
            Ok((noted, _)) if noted == text(&found.digits)?.to_bytes() => return Ok(true),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(false)
}

/// What no other directory or link has: an inode is used again, but not by something that was made at the same moment.
struct Identity {
    is_link: bool,
    digits: [u8; IDENTITY_BYTES + 1],
}

impl Identity {
    /// None where it is neither a directory nor a link. A file system that keeps no time of birth has zero for it.
    fn of(parent: impl AsFd, name: &CStr) -> Result<Option<Self>> {
        let asked = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::BTIME;
        let found = statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, asked)?;
        let is_link = match FileType::from_raw_mode(u32::from(found.stx_mode)) {
            FileType::Directory => false,
            FileType::Symlink => true,
            _ => return Ok(None),
        };
        let is_dated = found.stx_mask & StatxFlags::BTIME.bits() != 0;
        let born = if is_dated {
            (found.stx_btime.tv_sec, found.stx_btime.tv_nsec)
        } else {
            (0, 0)
        };
        let mut digits = [0; IDENTITY_BYTES + 1];
        let (inode, rest) = digits.split_at_mut(16);
        let (seconds, nanoseconds) = rest.split_at_mut(16);
        write(inode, found.stx_ino);
        write(seconds, born.0.cast_unsigned());
        write(nanoseconds.split_at_mut(8).0, born.1.into());
        Ok(Some(Self { is_link, digits }))
    }

    /// The record's name.
    fn record(&self, path: &[u8], depth: usize) -> Record {
        let names = || {
            path.split(|&byte| byte == b'/')
                .filter(|name| !name.is_empty() && *name != b".")
                .take(depth)
        };
        let is_private = |name: &&[u8]| *name == b"private";
        let kind = match (self.is_link, names().any(|name| is_private(&name))) {
            (true, _) => Kind::Link,
            (false, true) => Kind::Private,
            (false, false) => Kind::Public,
        };
        let public = names().filter(|name| !is_private(name));
        let bytes = public.flat_map(|name| name.iter().chain(b"/"));
        // FNV-1a. Where two paths have the same, one of them counts as what nobody has noted: it stays.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Record { hash, kind }
    }
}

/// What a record is about: a path without `private`, as a directory moves there and back, and what was made there.
#[derive(Clone, Copy)]
struct Record {
    hash: u64,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public = b'd' as isize,
    Private = b'p' as isize,
    Link = b'l' as isize,
}

impl Record {
    fn name(self) -> [u8; NAME_BYTES + 1] {
        let mut name = [0; NAME_BYTES + 1];
        let (digits, kind) = name.split_at_mut(16);
        write(digits, self.hash);
        if let Some(kind) = kind.first_mut() {
            *kind = self.kind as u8;
        }
        name
    }

    /// Those that what is at its path now may have.
    #[cfg(feature = "std")]
    fn all(self) -> impl Iterator<Item = Self> {
        let kinds = [Kind::Public, Kind::Private, Kind::Link].into_iter();
        let is_link = self.kind == Kind::Link;
        kinds
            .filter(move |kind| (*kind == Kind::Link) == is_link)
            .map(move |kind| Self { kind, ..self })
    }
}

/// Writes the lowest digits, sixteen values each.
fn write(room: &mut [u8], mut number: u64) {
    for digit in room.iter_mut().rev() {
        let value = (number & 15) as u8;
        *digit = if value < 10 {
            b'0' + value
        } else {
            b'a' + value - 10
        };
        number >>= 4;
    }
}

fn text(bytes: &[u8]) -> Result<&CStr> {
    CStr::from_bytes_with_nul(bytes).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test's own files")]

    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn c(path: &Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).unwrap()
    }

    fn note(records: &Path, path: &Path) {
        let place = Place::find(&c(path), |_| None).unwrap();
        let made = (&place.parent, place.name());
        set(&c(records), &c(path), usize::MAX, made).unwrap();
    }

    #[test]
    fn what_was_made_is_known_wherever_it_moves_and_what_took_its_place_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (records, public) = (root.join("to/records"), root.join("boat"));
        let private = root.join("private/boat");
        fs::create_dir_all(root.join("private")).unwrap();
        assert_eq!(has(&records, &public), Ok(false));
        fs::create_dir(&public).unwrap();
        assert_eq!(has(&records, &public), Ok(false));
        note(&records, &public);
        assert_eq!(has(&records, &public), Ok(true));
        // The link that takes its place below its public name has a record of its own.
        fs::rename(&public, &private).unwrap();
        symlink("private/boat", &public).unwrap();
        assert_eq!(has(&records, &public), Ok(false));
        note(&records, &public);
        assert_eq!(has(&records, &public), Ok(true));
        assert_eq!(has(&records, &private), Ok(true));
        // The public name is a directory again, for one in it.
        fs::remove_file(&public).unwrap();
        fs::create_dir(&public).unwrap();
        note(&records, &public);
        fs::rename(&private, root.join("kept")).unwrap();
        fs::create_dir(&private).unwrap();
        note(&records, &private);
        assert_eq!(
            (has(&records, &public), has(&records, &private)),
            (Ok(true), Ok(true))
        );
        fs::remove_dir(&public).unwrap();
        symlink("private/boat", &public).unwrap();
        note(&records, &public);
        // Another directory, another link and a file.
        fs::rename(&private, root.join("moved")).unwrap();
        fs::create_dir(&private).unwrap();
        fs::rename(&public, root.join("link")).unwrap();
        symlink("private/boat", &public).unwrap();
        assert_eq!(has(&records, &private), Ok(false));
        assert_eq!(has(&records, &public), Ok(false));
        assert_eq!(has(&records, &root.join("moved")), Ok(false));
        fs::remove_file(&public).unwrap();
        fs::write(&public, "").unwrap();
        assert_eq!(has(&records, &public), Ok(false));
        // A record is replaced.
        note(&records, &private);
        assert_eq!(has(&records, &private), Ok(true));
    }

    #[test]
    fn a_directory_on_the_way_has_the_record_of_its_own_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let records = root.join("records");
        let depth = root.components().count();
        let path = root.join("boat/inner");
        let made = std::cell::Cell::new(0);
        let place = Place::find_making(
            &c(&path),
            |_| Some(0o755),
            |parent, name, at| {
                assert_eq!(at, depth);
                made.set(made.get() + 1);
                set(&c(&records), &c(&path), at, (parent, name))
            },
        );
        assert_eq!((place.unwrap().name(), made.get()), (c"inner", 1));
        assert_eq!(has(&records, &root.join("boat")), Ok(true));
        // What can't be noted is not made.
        let refused = Place::find_making(
            &c(&root.join("other/inner")),
            |_| Some(0o755),
            |_, _, _| Err(Errno::NOSPC),
        );
        assert_eq!(refused.err(), Some(Errno::NOSPC));
        assert!(!root.join("other").exists());
    }
}
