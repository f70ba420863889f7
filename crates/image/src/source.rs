//! A bounded view of bytes that come from outside: every read names its place and its length, and both are checked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::crew::Crew;

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

    /// Who hashes beside the thread that reads, where there is somebody.
    fn crew(&self) -> Option<&Crew> {
        None
    }

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
    crew: Option<&'file Crew>,
}

impl<'file> FileSource<'file> {
    /// Looks at a regular file.
    ///
    /// # Errors
    /// `InvalidInput` for anything that is not a regular file.
    pub fn new(file: &'file File) -> io::Result<Self> {
        // fstat(2) as such: workers may not make the calls that look up paths.
        let status = rustix::fs::fstat(file)?;
        if !FileType::from_raw_mode(status.st_mode).is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "an image must be a regular file",
            ));
        }
        Ok(Self {
            file,
            length: u64::try_from(status.st_size).unwrap_or_default(),
            crew: None,
        })
    }

    /// The same, whose bytes are hashed by these threads, too.
    pub(crate) fn hashed_by(self, crew: &'file Crew) -> Self {
        Self {
            crew: Some(crew),
            ..self
        }
    }
}

impl Source for FileSource<'_> {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn crew(&self) -> Option<&Crew> {
        self.crew
    }
}

/// A block device, whose length the caller knows: a worker may not ask for it.
pub(crate) struct DeviceSource<'file> {
    file: &'file File,
    length: u64,
}

impl<'file> DeviceSource<'file> {
    pub(crate) fn new(file: &'file File, length: u64) -> Self {
        Self { file, length }
    }
}

impl Source for DeviceSource<'_> {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

/// A run of a source, read from its start to its end or anywhere between.
pub(crate) struct ExtentReader<'source, S: ?Sized> {
    source: &'source S,
    extent: Extent,
    position: u64,
}

impl<'source, S: Source + ?Sized> ExtentReader<'source, S> {
    pub(crate) fn new(source: &'source S, extent: Extent) -> Self {
        Self {
            source,
            extent,
            position: 0,
        }
    }
}

impl<S: Source + ?Sized> io::Read for ExtentReader<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.extent.length.saturating_sub(self.position);
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let offset = self
            .extent
            .offset
            .checked_add(self.position)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        self.source
            .read_at(buffer.get_mut(..length).unwrap_or_default(), offset)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl<S: Source + ?Sized> io::Seek for ExtentReader<'_, S> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let position = match to {
            io::SeekFrom::Start(offset) => Some(offset),
            io::SeekFrom::Current(by) => self.position.checked_add_signed(by),
            io::SeekFrom::End(by) => self.extent.length.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
