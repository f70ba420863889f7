//! Streams that end where a limit is, and what is told of them: their digest, and how much came out.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use sha2::{Digest, Sha256};

/// The largest window that zstd may ask for: 128 MiB, what its own program takes without being told.
const WINDOW_LOG_MAX: u32 = 27;

/// What may still come out of everything together.
pub(crate) type Budget = Rc<Cell<u64>>;

/// A stream that takes from a budget.
pub(crate) struct Bounded<R> {
    inner: R,
    budget: Budget,
}

impl<R> Bounded<R> {
    pub(crate) fn new(inner: R, budget: Budget) -> Self {
        Self { inner, budget }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let done = self.inner.read(buffer)?;
        charge(&self.budget, done as u64)?;
        Ok(done)
    }
}

fn charge(budget: &Budget, bytes: u64) -> io::Result<()> {
    let left = budget.get().checked_sub(bytes);
    // What is read one past the end is an end, too.
    budget.set(left.unwrap_or_default());
    left.map(drop).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            "more comes out than the limit allows (--max-size)",
        )
    })
}

/// A file above a stream that takes from the budget. What the file has and the stream has not, such as the holes of a sparse one,
/// is taken here.
pub(crate) struct Filled<R> {
    inner: R,
    budget: Budget,
}

impl<R> Filled<R> {
    pub(crate) fn new(inner: R, budget: Budget) -> Self {
        Self { inner, budget }
    }
}

impl<R: Read> Read for Filled<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let before = self.budget.get();
        let done = self.inner.read(buffer)?;
        let taken = before.saturating_sub(self.budget.get());
        charge(&self.budget, (done as u64).saturating_sub(taken))?;
        Ok(done)
    }
}

/// A stream whose digest is known at its end.
pub(crate) struct Digesting<R> {
    inner: R,
    digest: Sha256,
}

impl<R: Read> Digesting<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            digest: Sha256::new(),
        }
    }

    /// Reads what is left and says what all of it was.
    pub(crate) fn finish(mut self) -> io::Result<String> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(crate::hex::encode(&self.digest.finalize()))
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let done = self.inner.read(buffer)?;
        self.digest.update(buffer.get(..done).unwrap_or_default());
        Ok(done)
    }
}

/// What a stream is compressed with, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    /// Known by name alone.
    Other(&'static str),
}

impl Compression {
    pub(crate) fn of(first: &[u8]) -> Compression {
        match first {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            [b'B', b'Z', b'h', ..] => Compression::Other("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Compression::Other("xz"),
            _ => Compression::None,
        }
    }
}

/// What comes out of a stream, whatever it is compressed with.
pub(crate) fn decompress<'r>(mut inner: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let mut first = Vec::new();
    inner.by_ref().take(6).read_to_end(&mut first)?;
    let compression = Compression::of(&first);
    let whole = io::Cursor::new(first).chain(inner);
    Ok(match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(whole)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
        Compression::Other(name) => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("it is compressed with {name}; gzip and zstd are known here"),
            ));
        }
    })
}
