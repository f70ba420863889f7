//! Reads and writes partition tables (GPT), with the types of the Discoverable Partitions Specification.
use crate::guid::Guid;
use crate::source::{Extent, Source};

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

/// Why a table is refused.
#[derive(Debug, thiserror::Error)]
pub enum GptError {
    /// No header at either sector size.
    #[error("no GPT partition table")]
    Missing,
}

/// Reads a table.
///
/// # Errors
/// Whatever is not exactly as the UEFI specification has it.
pub fn read<S: Source + ?Sized>(_source: &S) -> Result<Table, GptError> {
    todo!()
}
