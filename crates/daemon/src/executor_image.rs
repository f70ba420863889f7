//! The executor, carried inside: the file that every start executes from a sealed copy.

/// The whole program file.
pub(crate) static EXECUTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/coracle-executor"));
