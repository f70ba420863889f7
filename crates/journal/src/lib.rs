//! Capture, store and query the logs of services.
//!
//! The log process ([`process`]) reads streams that the keeper holds and appends what it read to files
//! ([`format`], described in `docs/internals/log-format.md`); the command reads those files ([`query`]).
//! Nothing here knows what a unit is beyond its name.

pub mod format;
pub mod process;
pub mod query;
pub mod stream;
pub mod time;

mod crc;
