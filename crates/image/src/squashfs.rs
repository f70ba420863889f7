//! Writes squashfs root file systems, and reads from them without mounting.

mod read;

pub(crate) use read::Reader;

use std::io::{self, Seek, Write};

use backhand::compression::Compressor;
use backhand::kind::{self, Kind};
use backhand::{BackhandError, FilesystemCompressor, FilesystemWriter, NodeHeader};

use crate::manifest::{Content, Entry, Manifest};
use crate::verity::BLOCK_BYTES;

/// Why a file system was not written.
#[derive(Debug, thiserror::Error)]
pub enum SquashfsError {
    /// The library's reason.
    #[error("the squashfs file system cannot be written")]
    Write(#[from] BackhandError),
    /// The file's reason.
    #[error("the squashfs file system cannot be written")]
    File(#[from] io::Error),
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
    for (path, entry) in manifest.iter() {
        let header = |mode: u16| NodeHeader::new(mode, 0, 0, epoch_s);
        match entry {
            Entry::Directory { mode } => writer.push_dir(path, header(*mode))?,
            Entry::Link { target } => writer.push_symlink(target, path, header(0o777))?,
            Entry::File {
                mode,
                content: Content::Bytes(bytes),
            } => {
                writer.push_file(io::Cursor::new(bytes.clone()), path, header(*mode))?;
            }
            Entry::File {
                mode,
                content: Content::Path(from),
            } => {
                writer.push_file_from_path(from, path, header(*mode))?;
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
