//! The parent process of everything: it starts, watches, holds descriptors and restarts the manager.
//!
//! It parses no text and decides nothing. All its memory is sized at start.

pub mod protocol;
