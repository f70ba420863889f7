//! The archive by which a portable and what it has stored move: tar inside of zstd, which other programs read, too.
//!
//! First comes the manifest, opaque here; then files by name (images); then trees by number, parents before children; last of all an entry
//! that counts the others, so that one that was cut is not taken for a whole one. What is read is hostile, also where it is one's own backup: it
//! is taken apart by a worker that opens nothing ([`read`]), and put back below one directory that it can't leave ([`plant`]).

mod extents;
mod plant;
mod read;
mod write;

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

pub use plant::{Owners, PlantError, plant};
pub(crate) use read::read;
pub use read::read_bytes;
pub use write::{LeftOut, PackError, Writer};

use crate::source::Extent;

/// What an archive begins with, ends with, and how its parts are called.
const MANIFEST: &str = "manifest.json";
const END: &str = "end.json";
const FILES: &str = "files";
const TREES: &str = "trees";

/// How an archive calls an extended attribute, and how one whose value has a line feed, which no reader of this form takes: in base64.
const ATTRIBUTE: &str = "SCHILY.xattr.";
const ATTRIBUTE_IN_BASE64: &str = "CORACLE.xattr.";

/// Directories below directories: a start of the service, which gives them to its user, goes no deeper.
const DEPTH_LIMIT: usize = 60;

/// The longest path in a tree, and the longest target of a link: the kernel's (path_resolution(7)).
const PATH_LIMIT_BYTES: usize = 4095;

/// Largest manifest: the texts of some hundred drop-ins.
const MANIFEST_LIMIT_BYTES: u64 = 8 << 20;

/// Extended attributes of one path, in bytes.
const ATTRIBUTES_LIMIT_BYTES: usize = 64 << 10;

/// Files by name: the image and what is laid over it.
const FILES_LIMIT: usize = 64;

/// Names are bytes, and JSON has letters: each byte is the letter of its number.
fn letters(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// And back; nothing where a letter is no byte.
fn bytes(letters: &str) -> Option<Vec<u8>> {
    let byte = |letter| u8::try_from(u32::from(letter)).ok();
    letters.chars().map(byte).collect()
}

/// What a path of a tree is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Directory,
    /// Its content is in the pool.
    File(Extent),
    /// A symbolic link.
    Link(String),
    /// Another name of the file at this path.
    Again(String),
}

/// One path of a tree; the first one is the tree's own directory, and has no letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    path: String,
    mode: u16,
    uid: u32,
    gid: u32,
    /// Seconds and nanoseconds.
    modified: (i64, u32),
    /// Names and values of extended attributes.
    attributes: Vec<(String, Vec<u8>)>,
    kind: Kind,
}

/// What an archive holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Contents {
    /// As it was written.
    pub manifest: String,
    /// Where files are in the pool.
    pub files: BTreeMap<String, Extent>,
    /// Trees by their numbers.
    pub trees: BTreeMap<u32, Vec<Entry>>,
    /// Bytes that the files take on a disk.
    pub files_room: u64,
    /// Bytes that the trees take, without what a disk needs for their names.
    pub trees_room: BTreeMap<u32, u64>,
}

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    /// It can't be read.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// It is another kind of file.
    #[error(
        "it is none of the archives that `coracle export` and `coracle backup` write: those are tar in zstd and begin with {MANIFEST}"
    )]
    None,
    /// It was cut.
    #[error("it ends before its end: what brought it here was cut")]
    Cut,
    /// A path that leads out, or what does not move.
    #[error("{path} {what}")]
    Entry {
        /// Its path, without control characters.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// Something comes behind what says that it is whole.
    #[error("it goes on behind its end, as no archive that Coracle wrote does")]
    Behind,
    /// A limit.
    #[error("it has more than {0}")]
    TooMuch(String),
    /// The pool can't be written.
    #[error("cannot write what came out of it")]
    Write(#[source] io::Error),
}

#[cfg(test)]
mod tests;
