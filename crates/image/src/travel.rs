//! Images that travel compressed: one zstd stream around the whole file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::build::Progress;

/// What zstd is asked to do: the same bytes for the same image, some 15 MB a second.
const LEVEL: i32 = 12;

/// The first bytes of a zstd stream.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Why an image was not compressed.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}")]
pub struct CompressError {
    /// The compressed file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Whether a file is compressed, by its first bytes.
///
/// # Errors
/// When it can't be read.
pub fn is_compressed(file: &File) -> io::Result<bool> {
    let mut first = [0; MAGIC.len()];
    let done = std::os::unix::fs::FileExt::read_at(file, &mut first, 0)?;
    Ok(done == first.len() && first == MAGIC)
}

/// Compresses an image into a file that appears whole or not at all. Returns its length.
///
/// # Errors
/// See [`CompressError`].
pub fn compress(image: &Path, to: &Path, progress: &Progress<'_>) -> Result<u64, CompressError> {
    let error = |source| CompressError {
        path: to.into(),
        source,
    };
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let beside = to.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = write(image, &beside, progress).and_then(|length| {
        fs::rename(&beside, to)?;
        Ok(length)
    });
    written.map_err(|failure| {
        // What is half-written is worth nothing, and the first failure is the one to tell.
        drop(fs::remove_file(&beside));
        error(failure)
    })
}

fn write(image: &Path, to: &Path, progress: &Progress<'_>) -> io::Result<u64> {
    let mut from = File::open(image)?;
    let length = from.metadata()?.len();
    let file = File::create_new(to)?;
    let mut encoder = zstd::Encoder::new(io::BufWriter::new(&file), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(length))?;
    let (mut buffer, mut done) = (vec![0; 1 << 20], 0);
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        encoder.write_all(buffer.get(..read).unwrap_or_default())?;
        done += read as u64;
        progress("compressing", done, length);
    }
    encoder.finish()?.flush()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}
