//! Writes squashfs root file systems, and reads from them without mounting.

mod read;

pub(crate) use read::Reader;

use std::collections::BTreeMap;
use std::io::{self, Seek, Write};
use std::path::Path;

use backhand::compression::Compressor;
use backhand::kind::{self, Kind};
use backhand::{BackhandError, FilesystemCompressor, FilesystemWriter, NodeHeader};

use crate::manifest::{Attributes, Entry, Manifest};
use crate::tree;
use crate::verity::BLOCK_BYTES;

/// Reads what attaching needs of bytes that a fuzzer made.
#[doc(hidden)]
pub fn read_bytes(bytes: &[u8]) {
    tree::read_bytes(bytes, Reader::open);
}

/// Why a file system was not written.
#[derive(Debug, thiserror::Error)]
pub enum SquashfsError {
    /// The library's reason.
    #[error("the squashfs file system cannot be written")]
    Write(#[from] BackhandError),
    /// The file's reason.
    #[error("the squashfs file system cannot be written")]
    File(#[from] io::Error),
    /// What this writer has no way to say.
    #[error("{0}, which the squashfs files made here can't hold: leave --format=squashfs away")]
    Unsupported(String),
}

fn refuse_attributes(path: &Path, attributes: &Attributes) -> Result<(), SquashfsError> {
    let Some(name) = attributes.keys().next() else {
        return Ok(());
    };
    Err(SquashfsError::Unsupported(format!(
        "/{} has the extended attribute {}",
        path.display(),
        String::from_utf8_lossy(name)
    )))
}

/// Writes a file system: zstd, every owner root, every time `epoch_s`, whole verity blocks. The same manifest gives the same bytes.
/// Returns its length.
pub(crate) fn write<W: Write + Seek>(
    manifest: &Manifest,
    epoch_s: u32,
    mut to: W,
) -> Result<u64, SquashfsError> {
    let mut writer = FilesystemWriter::default();
    writer.set_kind(Kind::from_const(kind::LE_V4_0).map_err(io::Error::other)?);
    writer.set_compressor(FilesystemCompressor::new(Compressor::Zstd, None)?);
    writer.set_time(epoch_s);
    writer.set_root_mode(0o755);
    writer.set_only_root_id();
    writer.set_no_padding();
    let mut inodes = BTreeMap::new();
    for (path, entry) in manifest.iter() {
        let header = |mode: u16| NodeHeader::new(mode, 0, 0, epoch_s);
        match entry {
            Entry::Directory { mode, attributes } => {
                refuse_attributes(path, attributes)?;
                writer.push_dir(path, header(*mode))?;
            }
            Entry::Link { target } => writer.push_symlink(target, path, header(0o777))?,
            Entry::File(file) => {
                refuse_attributes(path, &file.attributes)?;
                let shared = file.inode.and_then(|inode| inodes.insert(inode, path));
                if let Some(first) = shared {
                    return Err(SquashfsError::Unsupported(format!(
                        "/{} and /{} are two names of one file",
                        first.display(),
                        path.display()
                    )));
                }
                let (content, _) = manifest.open(&file.content)?;
                writer.push_file(content, path, header(file.mode))?;
            }
        }
    }
    let (_, length) = writer.write(&mut to)?;
    let padded = length.next_multiple_of(BLOCK_BYTES);
    to.seek(io::SeekFrom::Start(length))?;
    io::copy(&mut io::Read::take(io::repeat(0), padded - length), &mut to)?;
    to.flush()?;
    Ok(padded)
}
