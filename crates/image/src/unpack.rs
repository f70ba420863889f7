//! Reads container images: the layers of an OCI layout, or of what `docker save` wrote, laid over each other without a file being
//! made. What it reads is hostile: it runs in a worker, and its caller checks what comes out.
//!
//! Contents go into one file, the pool, one behind the other; paths, modes and links into a listing behind them.

mod blobs;
pub(crate) mod layer;
mod oci;
pub(crate) mod stream;

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::rc::Rc;

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

pub use oci::{Configuration, HealthCheck};

pub(crate) use blobs::Blobs;

use crate::source::Extent;

/// Paths of one image; as many as can be written.
pub(crate) const ENTRIES_LIMIT: usize = 1_000_000;

/// The listing of them all, in bytes of JSON.
pub(crate) const LISTING_LIMIT_BYTES: u64 = 1 << 30;

/// What is to be unpacked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Bytes that may come out in all, whatever goes in.
    pub limit_bytes: u64,
    /// Which image, where there are several: a tag, a name with a tag, or a digest.
    pub reference: Option<String>,
    /// Whether it is one archive of a root's files, and no container image.
    pub plain: bool,
    /// The processor as container images call it: `amd64`.
    pub architecture: String,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Directory,
    /// Content in the pool; names of one file have its number in common.
    File {
        content: Extent,
        number: u64,
    },
    Link {
        target: String,
    },
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) mode: u16,
    /// Names and values of extended attributes.
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
    pub(crate) kind: Kind,
}

/// Everything that was unpacked, parents before children.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<(PathBuf, Listed)>,
    pub(crate) configuration: Configuration,
    /// What the image is called where it comes from.
    pub(crate) reference: Option<String>,
}

/// Why a container image is refused.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It can't be read.
    #[error("cannot read {what}")]
    Read {
        /// Which part.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is none.
    #[error(
        "it is no container image: an OCI layout has index.json, what `docker save` writes has manifest.json"
    )]
    NoImage,
    /// One of its documents is not what it should be.
    #[error("{what} is damaged or none of this kind")]
    Document {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A part that others name.
    #[error("{0} is named and not there")]
    Missing(String),
    /// Bytes that are not what they are called by.
    #[error("{what} is not what it is called by: {expected} was expected, {found} is there")]
    Digest {
        /// Which.
        what: String,
        /// By its name.
        expected: String,
        /// Really.
        found: String,
    },
    /// None is for this machine, or several are.
    #[error("{0}")]
    Choice(String),
    /// A path that leads out, or a file that images do not hold.
    #[error("{path} in layer {layer} {what}")]
    Entry {
        /// Its path, without control characters.
        path: String,
        /// Which layer, counted from one.
        layer: usize,
        /// What is wrong.
        what: String,
    },
    /// A limit.
    #[error("it has more than {0}")]
    TooMuch(String),
    /// A kind of compression.
    #[error("{0} is compressed in a way that is not known here (gzip and zstd are)")]
    Compression(String),
    /// The pool can't be written.
    #[error("cannot write what was unpacked")]
    Write(#[source] io::Error),
}

/// Unpacks an image into the pool; the listing's place in it comes back.
pub(crate) fn unpack(blobs: &mut Blobs<'_>, order: &Order) -> Result<Extent, UnpackError> {
    let image = oci::find(blobs, order)?;
    let mut tree = layer::Tree::default();
    for (index, one) in image.layers.iter().enumerate() {
        layer::apply(&mut tree, blobs, one, index + 1)?;
    }
    list(blobs, tree, image)
}

/// Writes the listing into the pool.
fn list(
    blobs: &mut Blobs<'_>,
    tree: layer::Tree,
    image: oci::Image,
) -> Result<Extent, UnpackError> {
    let listing = Listing {
        entries: tree.entries.into_iter().collect(),
        configuration: image.configuration,
        reference: image.reference,
    };
    let bytes = serde_json::to_vec(&listing).map_err(|source| UnpackError::Document {
        what: "the listing".into(),
        source,
    })?;
    blobs.pool.put(&bytes).map_err(UnpackError::Write)
}

/// The same from an archive or a layout's directory.
pub(crate) fn unpack_from(from: &File, pool: &File, order: &Order) -> Result<Extent, UnpackError> {
    let read = |source: rustix::io::Errno| UnpackError::Read {
        what: "it".into(),
        source: source.into(),
    };
    let kind = FileType::from_raw_mode(rustix::fs::fstat(from).map_err(read)?.st_mode);
    if order.plain {
        let mut blobs = Blobs::of_root(from, pool, order.limit_bytes);
        let mut tree = layer::Tree::default();
        layer::apply(&mut tree, &mut blobs, &oci::Layer::default(), 1)?;
        return list(&mut blobs, tree, oci::Image::default());
    }
    let mut blobs = match kind {
        FileType::Directory => Blobs::of_directory(from.as_fd(), pool, order.limit_bytes),
        _ => Blobs::of_archive(from, pool, order.limit_bytes)?,
    };
    unpack(&mut blobs, order)
}

/// Writes what comes out of a compressed file.
pub(crate) fn decompress_all(from: &File, to: &File, limit_bytes: u64) -> io::Result<u64> {
    let budget = Rc::new(Cell::new(limit_bytes));
    let mut stream = stream::Bounded::new(stream::decompress(from)?, budget);
    io::copy(&mut stream, &mut io::BufWriter::with_capacity(1 << 18, to))
}

/// Unpacks bytes that a fuzzer made, into memory.
///
/// # Errors
/// Where memory can't be had: what is wrong with the bytes is no error here.
#[doc(hidden)]
pub fn unpack_bytes(bytes: &[u8]) -> io::Result<()> {
    let memory = || rustix::fs::memfd_create("fuzz", rustix::fs::MemfdFlags::CLOEXEC);
    let (archive, pool) = (File::from(memory()?), File::from(memory()?));
    std::os::unix::fs::FileExt::write_all_at(&archive, bytes, 0)?;
    let order = Order {
        limit_bytes: 1 << 20,
        reference: None,
        plain: false,
        architecture: "amd64".into(),
    };
    if let Ok(mut blobs) = Blobs::of_archive(&archive, &pool, order.limit_bytes) {
        drop(unpack(&mut blobs, &order));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
