//! Benches (being written).
use anyhow::Result;
pub(crate) fn run(_names: &[String]) -> Result<()> { Ok(()) }
