//! Where a content goes as it comes: into a file, or to somebody who has that.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::{Came, Error, Fetched, FromStart};
use crate::digest::Hasher;

/// Bytes of what is there read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What takes a content, in order.
pub trait Sink {
    /// How much of it is there.
    fn bytes(&self) -> u64;

    /// Takes what comes next.
    ///
    /// # Errors
    /// When it can't be taken.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Throws away what is there.
    ///
    /// # Errors
    /// When it can't be thrown away.
    fn restart(&mut self) -> io::Result<()>;
}

/// A file that grows, and its digest with it. Nobody else may write to the file meanwhile, or the digest is of something else.
pub struct InFile<'a> {
    file: &'a File,
    hasher: Hasher,
    bytes: u64,
}

impl<'a> InFile<'a> {
    /// Begins with what is in the file already.
    ///
    /// # Errors
    /// When that can't be read.
    pub fn open(file: &'a File) -> Result<InFile<'a>, Error> {
        let mut own = InFile {
            file,
            hasher: Hasher::default(),
            bytes: 0,
        };
        own.hash_what_is_there().map_err(Error::staging("read"))?;
        Ok(own)
    }

    fn hash_what_is_there(&mut self) -> io::Result<()> {
        let mut reader = FromStart {
            file: self.file,
            place: 0,
        };
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(buffer.get(..count).unwrap_or_default());
            self.bytes += count as u64;
        }
    }

    /// What it is, once all of it came. Where it has to have a digest and has another one, nothing of it stays.
    ///
    /// # Errors
    /// [`Error::Lie`] then.
    pub fn finish(mut self, came: Came, request_url: &str) -> Result<Fetched, Error> {
        let (digest, bytes) = self.hasher.clone().finish();
        if came.expected.is_some_and(|expected| expected != digest) {
            // The next try must not go on from it.
            self.restart().map_err(Error::staging("empty"))?;
            return Err(Error::Lie {
                url: request_url.to_owned(),
                what: "a blob is not what its digest says",
            });
        }
        Ok(Fetched { digest, bytes })
    }
}

impl Sink for InFile<'_> {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.bytes)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.hasher = Hasher::default();
        self.bytes = 0;
        self.file.set_len(0)
    }
}
