//! What images are made of: chunks that end where their content says so, so that two images share what they have in common,
//! wherever it lies in them.
//!
//! A version is published with a list of its chunks and a pack, one file that has each of them once, compressed. Who has other
//! images asks for those ranges of the pack alone that none of these has. Nothing here is believed: of each chunk the digest is
//! looked at before it is used, and of the image when it is all there.

pub mod cut;
pub mod list;
pub mod local;
pub mod pack;
pub mod patch;
mod several;

pub use list::{Chunk, List, ListError};
