//! Where a content goes as it comes: into a file, or to somebody who has that.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;

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

/// A file that grows, and its digest with it, which another thread makes. Nobody else may write to the file meanwhile, or the digest is of
/// something else.
pub struct InFile<'a> {
    file: &'a File,
    hashing: Hashing,
    bytes: u64,
}

impl<'a> InFile<'a> {
    /// Begins with what is in the file already.
    ///
    /// # Errors
    /// When that can't be read.
    pub fn open(file: &'a File) -> Result<InFile<'a>, Error> {
        let (hasher, bytes) = hash_of(file).map_err(Error::staging("read"))?;
        Ok(InFile {
            file,
            hashing: Hashing::begin(hasher).map_err(Error::staging("hash"))?,
            bytes,
        })
    }

    /// What it is, once all of it came. Where it has to have a digest and has another one, nothing of it stays.
    ///
    /// # Errors
    /// [`Error::Lie`] then.
    pub fn finish(self, came: Came, request_url: &str) -> Result<Fetched, Error> {
        let hasher = self.hashing.end().map_err(Error::staging("hash"))?;
        let (digest, bytes) = hasher.finish();
        if came.expected.is_some_and(|expected| expected != digest) {
            // The next try must not go on from it.
            self.file.set_len(0).map_err(Error::staging("empty"))?;
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
        self.hashing.update(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.hashing.restart()?;
        self.bytes = 0;
        self.file.set_len(0)
    }
}

fn hash_of(file: &File) -> io::Result<(Hasher, u64)> {
    let mut hasher = Hasher::default();
    let mut reader = FromStart { file, place: 0 };
    let (mut buffer, mut bytes) = (vec![0; CHUNK_BYTES], 0);
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            return Ok((hasher, bytes));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        bytes += count as u64;
    }
}

/// A hash in the making: what comes next is read and written while this is still at what came before, which costs as much time.
struct Hashing {
    to_thread: SyncSender<Part>,
    used: Receiver<Vec<u8>>,
    thread: JoinHandle<Hasher>,
}

enum Part {
    Next(Vec<u8>),
    Restart,
}

/// Parts that wait to be hashed: who reads and writes is held up by the disk at times, and this thread need not be.
const PARTS_WAITING: usize = 2;

impl Hashing {
    /// Goes on from there.
    fn begin(mut hasher: Hasher) -> io::Result<Hashing> {
        let (to_thread, parts) = mpsc::sync_channel(PARTS_WAITING);
        let (give_back, used) = mpsc::channel();
        let thread = std::thread::Builder::new().spawn(move || {
            for part in parts {
                match part {
                    Part::Next(bytes) => {
                        hasher.update(&bytes);
                        // Nobody takes it back any more where all has come.
                        drop(give_back.send(bytes));
                    }
                    Part::Restart => hasher = Hasher::default(),
                }
            }
            hasher
        })?;
        Ok(Hashing {
            to_thread,
            used,
            thread,
        })
    }

    fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut room = self.used.try_recv().unwrap_or_default();
        room.clear();
        room.extend_from_slice(bytes);
        self.send(Part::Next(room))
    }

    fn restart(&mut self) -> io::Result<()> {
        self.send(Part::Restart)
    }

    fn send(&mut self, part: Part) -> io::Result<()> {
        self.to_thread.send(part).map_err(|_| ended())
    }

    fn end(self) -> io::Result<Hasher> {
        drop(self.to_thread);
        self.thread.join().map_err(|_| ended())
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that hashes it ended")
}
