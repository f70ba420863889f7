//! A bounded view of bytes that come from outside: every read names its place and its length, and both are checked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

/// A run of bytes inside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extent {
    /// First byte, counted from the start of the image.
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
}

impl Extent {
    /// One past the last byte; `None` where that is beyond 64 bits.
    #[must_use]
    pub fn end(self) -> Option<u64> {
        self.offset.checked_add(self.length)
    }

    /// Whether two runs share a byte. Runs that do not fit 64 bits share with everything.
    #[must_use]
    pub fn overlaps(self, other: Extent) -> bool {
        match (self.end(), other.end()) {
            (Some(mine), Some(theirs)) => self.offset < theirs && other.offset < mine,
            _ => true,
        }
    }
}

/// Bytes at known places: a file or memory.
pub trait Source {
    /// How many bytes there are.
    fn length(&self) -> u64;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` where the bytes are not all there; else what the file says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Reads a whole run into memory, up to `limit_bytes`.
    ///
    /// # Errors
    /// `InvalidData` where the run is longer than the limit or leaves the source, before anything is allocated.
    fn read_extent(&self, extent: Extent, limit_bytes: u64) -> io::Result<Vec<u8>> {
        let inside = extent.end().is_some_and(|end| end <= self.length());
        if extent.length > limit_bytes || !inside {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let length = usize::try_from(extent.length)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, extent.offset)?;
        Ok(bytes)
    }
}

impl Source for [u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start =
            usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let bytes = start
            .checked_add(buffer.len())
            .and_then(|end| self.get(start..end));
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Source for Vec<u8> {
    fn length(&self) -> u64 {
        self.as_slice().length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_at(buffer, offset)
    }
}

/// A regular file, with the length it had when it was opened.
#[derive(Debug)]
pub struct FileSource<'file> {
    file: &'file File,
    length: u64,
}

impl<'file> FileSource<'file> {
    /// Looks at a regular file.
    ///
    /// # Errors
    /// `InvalidInput` for anything that is not a regular file.
    pub fn new(file: &'file File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an image must be a regular file",
            ));
        }
        Ok(Self {
            file,
            length: metadata.len(),
        })
    }
}

impl Source for FileSource<'_> {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}
