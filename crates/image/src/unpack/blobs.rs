//! The named parts of a container image: files of a directory, or of an archive.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::OFlags;

use super::layer::{self, clean};
use super::stream::{Bounded, Budget, Compression, Filled, decompress};
use super::{ENTRIES_LIMIT, UnpackError};
use crate::source::Extent;
use crate::tree::Root;

/// The largest document, in bytes: what registries take.
const DOCUMENT_LIMIT_BYTES: u64 = 4 << 20;

/// Links in an archive that lead to one part.
const LINKS_LIMIT: usize = 8;

/// The file that takes what is unpacked.
pub(crate) struct Pool<'p> {
    pub(crate) file: &'p File,
    end: u64,
}

impl Pool<'_> {
    /// Copies all of a stream to the end.
    pub(crate) fn copy(&mut self, from: &mut dyn Read) -> io::Result<Extent> {
        let mut to = self.file;
        to.seek(SeekFrom::Start(self.end))?;
        let length = io::copy(from, &mut io::BufWriter::with_capacity(1 << 18, to))?;
        let offset = self.end;
        self.end += length;
        Ok(Extent { offset, length })
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<Extent> {
        let mut to = self.file;
        to.seek(SeekFrom::Start(self.end))?;
        to.write_all(bytes)?;
        let (offset, length) = (self.end, bytes.len() as u64);
        self.end += length;
        Ok(Extent { offset, length })
    }
}

/// Where parts are.
enum Place<'b> {
    Directory(Root<'b>),
    /// An archive that is itself what is wanted.
    Root(&'b File),
    Archive {
        file: &'b File,
        names: BTreeMap<String, Part>,
    },
}

/// A part in an archive.
enum Part {
    File(Extent),
    Link(String),
}

/// All parts, the pool, and what may still come out of them.
pub(crate) struct Blobs<'b> {
    place: Place<'b>,
    pub(crate) pool: Pool<'b>,
    budget: Budget,
}

impl<'b> Blobs<'b> {
    /// The files of a layout's directory.
    pub(crate) fn of_directory(root: BorrowedFd<'b>, pool: &'b File, limit_bytes: u64) -> Self {
        Self {
            place: Place::Directory(Root(root)),
            pool: Pool { file: pool, end: 0 },
            budget: Rc::new(Cell::new(limit_bytes)),
        }
    }

    /// One archive of a root's files.
    pub(crate) fn of_root(archive: &'b File, pool: &'b File, limit_bytes: u64) -> Self {
        Self {
            place: Place::Root(archive),
            pool: Pool { file: pool, end: 0 },
            budget: Rc::new(Cell::new(limit_bytes)),
        }
    }

    /// The files of an archive; one that is compressed comes out into the pool first.
    pub(crate) fn of_archive(
        archive: &'b File,
        pool: &'b File,
        limit_bytes: u64,
    ) -> Result<Self, UnpackError> {
        let read = |source| UnpackError::Read {
            what: "the archive".into(),
            source,
        };
        let budget: Budget = Rc::new(Cell::new(limit_bytes));
        let mut pool = Pool { file: pool, end: 0 };
        let mut first = [0; 6];
        let is_whole = archive.read_at(&mut first, 0).map_err(read)? == first.len();
        let (file, all) = if is_whole && Compression::of(&first) != Compression::None {
            let stream = decompress(Piece::all(archive)).map_err(read)?;
            let mut stream = Bounded::new(stream, Rc::clone(&budget));
            let all = pool.copy(&mut stream).map_err(read)?;
            (pool.file, all)
        } else {
            (archive, Piece::all(archive).left)
        };
        let names = names(Piece {
            file: file.into(),
            left: all,
        })?;
        Ok(Self {
            place: Place::Archive { file, names },
            pool,
            budget,
        })
    }

    /// A part as it is, nothing where it is not there.
    pub(crate) fn open(&self, name: &str) -> Result<Option<Piece<'b>>, UnpackError> {
        match &self.place {
            Place::Directory(root) => {
                let found = root.open(name, OFlags::empty());
                let found = found.map_err(|error| UnpackError::Read {
                    what: layer::shown(name),
                    source: io::Error::other(error),
                })?;
                Ok(found.map(Piece::owned))
            }
            Place::Root(file) => Ok(Some(Piece::all(file))),
            Place::Archive { file, names } => {
                let mut name = name;
                for _ in 0..LINKS_LIMIT {
                    match names.get(name) {
                        Some(Part::File(left)) => {
                            return Ok(Some(Piece {
                                file: (*file).into(),
                                left: *left,
                            }));
                        }
                        Some(Part::Link(target)) => name = target,
                        None => break,
                    }
                }
                Ok(None)
            }
        }
    }

    /// A layer's stream, whatever it is compressed with.
    pub(crate) fn layer(&self, name: &str) -> Result<Bounded<Box<dyn Read + 'b>>, UnpackError> {
        let piece = self.open(name)?;
        let piece = piece.ok_or_else(|| UnpackError::Missing(layer::shown(name)))?;
        let stream = decompress(piece).map_err(|source| UnpackError::Read {
            what: layer::shown(name),
            source,
        })?;
        Ok(Bounded::new(stream, Rc::clone(&self.budget)))
    }

    /// Copies a file of a layer into the pool, with the holes that it may have.
    pub(crate) fn take(&mut self, file: &mut dyn Read) -> io::Result<Extent> {
        let mut filled = Filled::new(file, Rc::clone(&self.budget));
        self.pool.copy(&mut filled)
    }

    /// A document's bytes, nothing where it is not there.
    pub(crate) fn document(&self, name: &str) -> Result<Option<Vec<u8>>, UnpackError> {
        let Some(piece) = self.open(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = piece.take(DOCUMENT_LIMIT_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|source| UnpackError::Read {
            what: layer::shown(name),
            source,
        })?;
        if bytes.len() as u64 > DOCUMENT_LIMIT_BYTES {
            return Err(UnpackError::TooMuch(format!(
                "{DOCUMENT_LIMIT_BYTES} bytes in {}",
                layer::shown(name)
            )));
        }
        Ok(Some(bytes))
    }
}

/// A file, borrowed or not.
pub(crate) enum Held<'b> {
    Borrowed(&'b File),
    Owned(File),
}

impl<'b> From<&'b File> for Held<'b> {
    fn from(file: &'b File) -> Self {
        Held::Borrowed(file)
    }
}

/// A run of a file, read by its place: nobody else's reads move it.
pub(crate) struct Piece<'b> {
    file: Held<'b>,
    left: Extent,
}

impl<'b> Piece<'b> {
    /// To the file's end, wherever that is.
    fn all(file: &'b File) -> Self {
        Self {
            file: file.into(),
            left: Extent {
                offset: 0,
                length: u64::MAX,
            },
        }
    }

    fn owned(file: File) -> Self {
        Self {
            file: Held::Owned(file),
            left: Extent {
                offset: 0,
                length: u64::MAX,
            },
        }
    }
}

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match &self.file {
            Held::Borrowed(file) => file,
            Held::Owned(file) => file,
        };
        let most = usize::try_from(self.left.length).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let done = file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.left.offset)?;
        self.left.offset += done as u64;
        self.left.length -= done as u64;
        Ok(done)
    }
}

/// Where the files of an archive are in it.
fn names(archive: Piece<'_>) -> Result<BTreeMap<String, Part>, UnpackError> {
    let start = archive.left.offset;
    let error = |source| UnpackError::Read {
        what: "the archive".into(),
        source,
    };
    let mut names = BTreeMap::new();
    let mut reader = tar::Archive::new(archive);
    for entry in reader.entries().map_err(error)? {
        let entry = entry.map_err(error)?;
        let Some(path) =
            clean(&entry.path_bytes()).and_then(|path| path.into_os_string().into_string().ok())
        else {
            return Err(UnpackError::Choice(format!(
                "{} in the archive is no path inside it",
                layer::shown(&String::from_utf8_lossy(&entry.path_bytes()))
            )));
        };
        let kind = entry.header().entry_type();
        if kind.is_file() {
            let offset = start.saturating_add(entry.raw_file_position());
            names.insert(
                path,
                Part::File(Extent {
                    offset,
                    length: entry.size(),
                }),
            );
        } else if kind.is_symlink() || kind.is_hard_link() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let target = target_of(&path, &target, kind.is_symlink());
            names.insert(path, Part::Link(target));
        }
        if names.len() > ENTRIES_LIMIT {
            return Err(UnpackError::TooMuch(format!("{ENTRIES_LIMIT} files")));
        }
    }
    Ok(names)
}

/// Where a link of an archive leads: a name that may not be there.
fn target_of(path: &str, target: &[u8], is_relative: bool) -> String {
    let start = if is_relative {
        Path::new(path).parent()
    } else {
        None
    };
    let mut parts: Vec<String> = Vec::new();
    let text = String::from_utf8_lossy(target);
    let above = start.and_then(Path::to_str).unwrap_or_default();
    for part in above.split('/').chain(text.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name.to_owned()),
        }
    }
    parts.join("/")
}
