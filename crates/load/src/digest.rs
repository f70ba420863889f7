//! Versions of many files as one number.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::tree::{Stamp, Tree};

/// The first value and the factor of FNV-1a with 64 bits.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// What was seen so far. Other files, or other versions of them, give another number, but for a chance in 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) number: u64,
    /// Every change from now on gives another number.
    pub(crate) is_settled: bool,
}

impl Digest {
    pub(crate) fn new() -> Self {
        Self {
            number: BASIS,
            is_settled: true,
        }
    }

    /// Adds a text; its length keeps it apart from the next one.
    pub(crate) fn add(&mut self, text: &[u8]) {
        self.mix(text);
        self.add_number(text.len() as u64);
    }

    pub(crate) fn add_number(&mut self, number: u64) {
        self.mix(&number.to_le_bytes());
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.number = (self.number ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    pub(crate) fn add_path(&mut self, path: &Path) {
        self.add(path.as_os_str().as_bytes());
    }

    /// Adds what others have seen.
    pub(crate) fn add_digest(&mut self, other: Self) {
        self.add_number(other.number);
        self.is_settled &= other.is_settled;
    }

    /// Adds the version of a file, or that there is none.
    pub(crate) fn add_file(&mut self, path: &Path, tree: &dyn Tree) -> io::Result<()> {
        self.add_path(path);
        let none = Stamp {
            version: 0,
            is_settled: true,
        };
        let stamp = tree.stamp(path)?.unwrap_or(none);
        self.add_number(stamp.version);
        self.is_settled &= stamp.is_settled;
        Ok(())
    }

    /// The number, if it will be another one after a change.
    pub(crate) fn settled(self) -> Option<u64> {
        self.is_settled.then_some(self.number)
    }
}
