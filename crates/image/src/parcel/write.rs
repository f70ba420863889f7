//! Writes archives. The trees are services': names in them may be replaced at any moment, so each is opened once and looked at after that.

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, openat, readlinkat, statat,
};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::extents::{self, Extents};
use super::{
    ATTRIBUTE, ATTRIBUTE_IN_BASE64, ATTRIBUTES_LIMIT_BYTES, DEPTH_LIMIT, END, FILES, FILES_LIMIT,
    MANIFEST, MANIFEST_LIMIT_BYTES, PATH_LIMIT_BYTES, TREES,
};
use crate::unpack::ENTRIES_LIMIT;

/// The kernel has no longer lists and values of extended attributes (xattr(7)).
const ATTRIBUTE_LIMIT_BYTES: usize = 64 << 10;

/// Permissions that a file takes along: what makes a program another user's stays behind.
const FILE_MODE: u32 = 0o777;
/// Set-group-id says of a directory whose group new files get, sticky who may remove them.
const DIRECTORY_MODE: u32 = 0o3777;

/// What does not move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Sockets, pipes and devices.
    pub special: u64,
    /// What is mounted inside.
    pub mounts: u64,
    /// Extended attributes of other kinds than `user.*`: labels, capabilities and access lists, whose users are the host's. Also those whose names
    /// are none in the archive, and more than a reader takes.
    pub attributes: u64,
    /// Set-user-id and set-group-id bits of files.
    pub set_id: u64,
    /// What belongs to somebody else than the directory that it is in belongs to.
    pub foreign: u64,
}

/// Why an archive can't be written.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Something in a tree can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Relative to the tree.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Directories are too deep in each other.
    #[error("{} lies deeper than {DEPTH_LIMIT} directories, or has too long a path", path.display())]
    Deep {
        /// Relative to the tree.
        path: PathBuf,
    },
    /// More than what reads archives takes.
    #[error("there is more than {0}, which no archive may have")]
    TooMuch(String),
    /// The archive can't be written.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}

/// An archive that is being written.
pub struct Writer<W: Write> {
    tar: Builder<zstd::Encoder<'static, W>>,
    entries: u64,
    files: usize,
    left_out: LeftOut,
}

impl<W: Write> Writer<W> {
    /// Begins one with its manifest.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn new(to: W, manifest: &[u8]) -> Result<Writer<W>, PackError> {
        if manifest.len() as u64 > MANIFEST_LIMIT_BYTES {
            let most = format!("{MANIFEST_LIMIT_BYTES} bytes of settings and drop-ins");
            return Err(PackError::TooMuch(most));
        }
        let begin = || {
            let mut encoder = zstd::Encoder::new(to, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            encoder.include_checksum(true)?;
            Ok(Builder::new(encoder))
        };
        let mut writer = Writer {
            tar: begin().map_err(PackError::Write)?,
            entries: 0,
            files: 0,
            left_out: LeftOut::default(),
        };
        writer.count()?;
        writer.document(MANIFEST, manifest)?;
        Ok(writer)
    }

    /// Where it goes; what is still being compressed comes there later.
    pub fn sink(&mut self) -> &mut W {
        self.tar.get_mut().get_mut()
    }

    /// Adds a file by its name.
    ///
    /// # Errors
    /// When it can't be read or written.
    pub fn file(&mut self, name: &str, file: &File) -> Result<(), PackError> {
        let path = format!("{FILES}/{name}");
        let found = file.metadata().map_err(|source| PackError::Read {
            path: name.into(),
            source,
        })?;
        if self.files == FILES_LIMIT {
            return Err(PackError::TooMuch(format!("{FILES_LIMIT} images")));
        }
        self.files += 1;
        self.count()?;
        let mut header = plain(found.len());
        let content = Extents::new(file, vec![(0, found.len())]);
        let written = self.tar.append_data(&mut header, path, content);
        written.map_err(PackError::Write)
    }

    /// Counts an entry; the last one that there may be is the archive's end.
    fn count(&mut self) -> Result<(), PackError> {
        self.entries += 1;
        match self.entries < ENTRIES_LIMIT as u64 {
            true => Ok(()),
            false => Err(PackError::TooMuch(format!("{ENTRIES_LIMIT} files"))),
        }
    }

    /// Adds what is in a directory, and what the directory is. What changes meanwhile is taken as it is found.
    ///
    /// # Errors
    /// When something can't be read, or the archive can't be written.
    pub fn tree(&mut self, number: u32, root: BorrowedFd<'_>) -> Result<(), PackError> {
        let unreadable = |source: Errno| PackError::Read {
            path: PathBuf::new(),
            source: source.into(),
        };
        let status = rustix::fs::fstat(root).map_err(unreadable)?;
        let mut tree = Tree {
            writer: self,
            above: PathBuf::from(format!("{TREES}/{number}")),
            device: status.st_dev,
            owner: (status.st_uid, status.st_gid),
            known: HashMap::new(),
        };
        tree.directory(root, Path::new(""), &status, 0)
    }

    /// Ends it; what was left out comes back.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn finish(mut self) -> Result<(W, LeftOut), PackError> {
        let count = format!("{{\"entries\":{}}}\n", self.entries);
        self.document(END, count.as_bytes())?;
        let end = |tar: Builder<zstd::Encoder<'static, W>>| tar.into_inner()?.finish();
        let to = end(self.tar).map_err(PackError::Write)?;
        Ok((to, self.left_out))
    }

    fn document(&mut self, name: &str, content: &[u8]) -> Result<(), PackError> {
        let mut header = plain(content.len() as u64);
        let written = self.tar.append_data(&mut header, name, content);
        written.map_err(PackError::Write)
    }
}

/// The header of what belongs to nobody.
fn plain(length: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(length);
    header
}

/// A tree that is being written.
struct Tree<'w, W: Write> {
    writer: &'w mut Writer<W>,
    above: PathBuf,
    device: u64,
    owner: (u32, u32),
    /// The first names of files that have several.
    known: HashMap<u64, PathBuf>,
}

impl<W: Write> Tree<'_, W> {
    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &Path,
        status: &Stat,
        depth: usize,
    ) -> Result<(), PackError> {
        if depth > DEPTH_LIMIT || path.as_os_str().len() > PATH_LIMIT_BYTES {
            return Err(PackError::Deep { path: path.into() });
        }
        let unreadable = |source: Errno| PackError::Read {
            path: path.into(),
            source: source.into(),
        };
        self.add(path, status, EntryType::Directory, Some(directory))?;
        for name in names(directory).map_err(unreadable)? {
            let inner = path.join(OsStr::from_bytes(name.to_bytes()));
            match self.entry(directory, &name, &inner, depth) {
                // What is gone by now was not there.
                Err(PackError::Read { source, .. }) if is_gone(&source) => {}
                done => done?,
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        above: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        depth: usize,
    ) -> Result<(), PackError> {
        let unreadable = |source: Errno| PackError::Read {
            path: path.into(),
            source: source.into(),
        };
        if path.as_os_str().len() > PATH_LIMIT_BYTES {
            return Err(PackError::Deep { path: path.into() });
        }
        let status = statat(above, name, AtFlags::SYMLINK_NOFOLLOW).map_err(unreadable)?;
        if status.st_dev != self.device {
            self.writer.left_out.mounts += 1;
            return Ok(());
        }
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                let inner = open(above, name, OFlags::DIRECTORY).map_err(unreadable)?;
                let status = rustix::fs::fstat(&inner).map_err(unreadable)?;
                self.directory(inner.as_fd(), path, &status, depth + 1)
            }
            FileType::RegularFile => {
                let file = open(above, name, OFlags::NONBLOCK).map_err(unreadable)?;
                self.file(&File::from(file), path)
            }
            FileType::Symlink => {
                let target = readlinkat(above, name, Vec::new()).map_err(unreadable)?;
                self.link(path, &status, target.to_bytes())
            }
            _ => {
                self.writer.left_out.special += 1;
                Ok(())
            }
        }
    }

    fn file(&mut self, file: &File, path: &Path) -> Result<(), PackError> {
        let unreadable = |source: io::Error| PackError::Read {
            path: path.into(),
            source,
        };
        let status = rustix::fs::fstat(file).map_err(|errno| unreadable(errno.into()))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(unreadable(Errno::STALE.into()));
        }
        if status.st_nlink > 1
            && let Some(first) = self.known.get(&status.st_ino)
        {
            let target = self.above.join(first);
            let mut header = self.header(&status, EntryType::Link);
            return self.append_link(&mut header, path, target.as_os_str().as_bytes());
        }
        let length = u64::try_from(status.st_size).unwrap_or_default();
        let blocks = u64::try_from(status.st_blocks).unwrap_or_default();
        let parts = match blocks.saturating_mul(512) < length {
            true => Some(extents::find(file, length).map_err(|errno| unreadable(errno.into()))?),
            false => None,
        };
        // From here on an error is the archive's: what stands before an entry may not stand before another one.
        self.before(path, &status, Some(file.as_fd()))?;
        self.content(file, path, (&status, length), parts)?;
        if status.st_nlink > 1 {
            self.known.insert(status.st_ino, path.into());
        }
        Ok(())
    }

    /// As much of a file as its status said; of one with holes its parts.
    fn content(
        &mut self,
        file: &File,
        path: &Path,
        (status, length): (&Stat, u64),
        parts: Option<Vec<(u64, u64)>>,
    ) -> Result<(), PackError> {
        let mut header = self.header(status, EntryType::Regular);
        header.set_size(length);
        let behind = match &parts {
            Some(parts) => extents::announce(&mut header, parts, length),
            None => Vec::new(),
        };
        let parts = parts.unwrap_or_else(|| vec![(0, length)]);
        self.writer.count()?;
        let whole = self.above.join(path);
        let content = (&behind[..]).chain(Extents::new(file, parts));
        let written = self.writer.tar.append_data(&mut header, whole, content);
        written.map_err(PackError::Write)
    }

    fn link(&mut self, path: &Path, status: &Stat, target: &[u8]) -> Result<(), PackError> {
        self.before(path, status, None)?;
        let mut header = self.header(status, EntryType::Symlink);
        self.append_link(&mut header, path, target)
    }

    /// A target that is too long for a header comes before it, in GNU's form: it may have any byte.
    fn append_link(
        &mut self,
        header: &mut Header,
        path: &Path,
        target: &[u8],
    ) -> Result<(), PackError> {
        self.writer.count()?;
        let whole = self.above.join(path);
        let append = || {
            if header.set_link_name_literal(target).is_err() {
                let mut long = plain(target.len() as u64 + 1);
                long.set_path("././@LongLink")?;
                long.set_entry_type(EntryType::GNULongLink);
                long.set_cksum();
                self.writer.tar.append(&long, target.chain(&b"\0"[..]))?;
            }
            self.writer.tar.append_data(header, whole, io::empty())
        };
        append().map_err(PackError::Write)
    }

    fn add(
        &mut self,
        path: &Path,
        status: &Stat,
        kind: EntryType,
        opened: Option<BorrowedFd<'_>>,
    ) -> Result<(), PackError> {
        self.before(path, status, opened)?;
        let mut header = self.header(status, kind);
        self.writer.count()?;
        let whole = self.above.join(path);
        let written = self.writer.tar.append_data(&mut header, whole, io::empty());
        written.map_err(PackError::Write)
    }

    fn header(&mut self, status: &Stat, kind: EntryType) -> Header {
        let mode = match kind {
            EntryType::Directory => DIRECTORY_MODE,
            _ => FILE_MODE,
        };
        let mut header = plain(0);
        header.set_entry_type(kind);
        header.set_mode(status.st_mode & mode);
        header.set_uid(status.st_uid.into());
        header.set_gid(status.st_gid.into());
        header.set_mtime(u64::try_from(status.st_mtime).unwrap_or_default());
        header
    }

    /// What stands before an entry: the exact time, and extended attributes.
    fn before(
        &mut self,
        path: &Path,
        status: &Stat,
        opened: Option<BorrowedFd<'_>>,
    ) -> Result<(), PackError> {
        let is_file = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
        let left_out = &mut self.writer.left_out;
        left_out.set_id += u64::from(is_file && status.st_mode & 0o6000 != 0);
        left_out.foreign += u64::from((status.st_uid, status.st_gid) != self.owner);
        let mut records = Vec::new();
        if status.st_mtime >= 0 {
            let time = format!("{}.{:09}", status.st_mtime, status.st_mtime_nsec);
            records.push(("mtime".to_owned(), time.into_bytes()));
        }
        if let Some(opened) = opened {
            let (found, nameless) = attributes(opened).map_err(|source| PackError::Read {
                path: path.into(),
                source: source.into(),
            })?;
            self.writer.left_out.attributes += nameless;
            let mut bytes = 0;
            for (name, value) in found {
                bytes += name.len() + value.len();
                // A name with either of these is none in this form.
                let moves = name.starts_with("user.") && !name.contains(['=', '\n']);
                match moves && bytes <= ATTRIBUTES_LIMIT_BYTES {
                    true if value.contains(&b'\n') => {
                        let value = Base64::encode_string(&value).into_bytes();
                        records.push((format!("{ATTRIBUTE_IN_BASE64}{name}"), value));
                    }
                    true => records.push((format!("{ATTRIBUTE}{name}"), value)),
                    false => self.writer.left_out.attributes += 1,
                }
            }
        }
        let records = records.iter().map(|(key, value)| (key.as_str(), &**value));
        let written = self.writer.tar.append_pax_extensions(records);
        written.map_err(PackError::Write)
    }
}

fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::STALE, Errno::LOOP, Errno::NOTDIR];
    gone.iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn open(above: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let always = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    openat(above, name, flags | always, Mode::empty())
}

/// What a directory has, in the order of names: the same tree gives the same archive.
fn names(directory: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Names and values of extended attributes, and how many more there are whose names are no text, as this form has no other names.
type Attributes = (Vec<(String, Vec<u8>)>, u64);

fn attributes(opened: BorrowedFd<'_>) -> Result<Attributes, Errno> {
    let mut list = vec![0; ATTRIBUTE_LIMIT_BYTES];
    let length = match flistxattr(opened, &mut list[..]) {
        Err(Errno::OPNOTSUPP) => return Ok((Vec::new(), 0)),
        length => length?,
    };
    list.truncate(length);
    let (mut found, mut nameless) = (Vec::new(), 0);
    for name in list
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        let Ok(name) = std::str::from_utf8(name) else {
            nameless += 1;
            continue;
        };
        let mut value = vec![0; ATTRIBUTE_LIMIT_BYTES];
        match fgetxattr(opened, name, &mut value[..]) {
            Err(Errno::NODATA) => continue,
            length => value.truncate(length?),
        }
        found.push((name.to_owned(), value));
    }
    found.sort();
    Ok((found, nameless))
}
