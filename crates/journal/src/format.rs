//! The journal's files: names of fields, frames, and what an entry is.

/// One entry: its number, its times and its fields by the journal's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// `__SEQNUM`: counts over all directories of one log process.
    pub seqnum: u64,
    /// `__REALTIME_TIMESTAMP`, microseconds since the epoch.
    pub realtime_us: u64,
    /// `__MONOTONIC_TIMESTAMP`, microseconds since boot.
    pub monotonic_us: u64,
    /// Names and values; values are bytes.
    pub fields: Vec<(String, Vec<u8>)>,
}
