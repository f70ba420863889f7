//! Partition tables (GPT, UEFI specification 2.10 chapter 5): the reader trusts nothing, the writer decides nothing by chance.

mod crc;
mod read;
mod write;

pub use read::{GptError, read};
pub use write::{Plan, Planned, WriteError, plan};

use crate::guid::Guid;
use crate::source::Extent;

/// One used entry of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub kind: Guid,
    /// Its own identifier.
    pub id: Guid,
    /// Attribute bits.
    pub flags: u64,
    /// Its label.
    pub label: String,
    /// Where it lies, in bytes.
    pub extent: Extent,
}

/// A whole table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Bytes per logical block: 512 or 4096.
    pub sector_bytes: u64,
    /// The disk's own identifier.
    pub disk: Guid,
    /// The used entries, in table order.
    pub partitions: Vec<Partition>,
}

/// Bit 60 of the flags: not to be written to.
pub const FLAG_READ_ONLY: u64 = 1 << 60;

/// Bit 63 of the flags: not to be used unless it is asked for by name.
pub const FLAG_NO_AUTO: u64 = 1 << 63;

/// Bit 59 of the flags: its file system is to fill it.
pub const FLAG_GROWS: u64 = 1 << 59;

/// Length of a label on disk: 36 UTF-16 code units.
const LABEL_BYTES: usize = 72;

/// Length of the part of a header that is defined.
const HEADER_BYTES: u32 = 92;

/// First bytes of a header.
const MAGIC: &[u8; 8] = b"EFI PART";

/// The only revision there is.
const REVISION: u32 = 0x0001_0000;

#[cfg(test)]
mod tests;
