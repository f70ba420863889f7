//! Where the content of an image's files comes from, and how it is read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::source::Extent;

/// Where a file's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// A file on this host.
    Path(PathBuf),
    /// Bytes made here.
    Bytes(Vec<u8>),
    /// A run of the manifest's pool.
    Pool(Extent),
}

impl Content {
    /// Where it is, for messages: on this host, or at its path in the image.
    pub(crate) fn place<'a>(&'a self, inside: &'a Path) -> &'a Path {
        match self {
            Content::Path(path) => path,
            Content::Bytes(_) | Content::Pool(_) => inside,
        }
    }
}

/// Content that is being read.
pub(crate) enum Opened<'m> {
    File(io::Take<File>),
    Bytes(&'m [u8]),
    Pool { pool: &'m File, left: Extent },
}

impl Read for Opened<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Opened::File(file) => file.read(buffer),
            Opened::Bytes(bytes) => bytes.read(buffer),
            Opened::Pool { pool, left } => {
                let most = usize::try_from(left.length).unwrap_or(usize::MAX);
                let most = most.min(buffer.len());
                let buffer = buffer.get_mut(..most).unwrap_or_default();
                let done = pool.read_at(buffer, left.offset)?;
                left.offset += done as u64;
                left.length -= done as u64;
                Ok(done)
            }
        }
    }
}
