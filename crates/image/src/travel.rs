//! Images that travel compressed: one zstd stream around the whole file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::build::Progress;

/// What zstd is asked to do: the same bytes for the same image, some 15 MB a second.
const LEVEL: i32 = 12;

/// The first bytes of a zstd stream.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The longest header of a frame, with the magic number.
const HEADER_LIMIT_BYTES: usize = 18;

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

/// How much comes out of the first frame of a compressed file, where that says so (RFC 8878, 3.1.1.1). No more than a claim.
///
/// # Errors
/// When it can't be read.
pub fn stated_length(file: &File) -> io::Result<Option<u64>> {
    let mut header = [0; HEADER_LIMIT_BYTES];
    let done = std::os::unix::fs::FileExt::read_at(file, &mut header, 0)?;
    Ok(stated(header.get(..done).unwrap_or_default()))
}

fn stated(header: &[u8]) -> Option<u64> {
    let (descriptor, rest) = header.strip_prefix(&MAGIC)?.split_first()?;
    let is_single = descriptor & 0x20 != 0;
    let length = match descriptor >> 6 {
        0 => usize::from(is_single),
        more => 1 << more,
    };
    let dictionary = match descriptor & 3 {
        3 => 4,
        short => usize::from(short),
    };
    let start = usize::from(!is_single) + dictionary;
    let bytes = rest.get(start..start + length)?;
    let number = bytes
        .iter()
        .rev()
        .fold(0, |all, byte| all << 8 | u64::from(*byte));
    match length {
        0 => None,
        // One byte would say less than 256.
        2 => Some(number + 256),
        _ => Some(number),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_states_what_comes_out_of_it_in_each_form_or_nothing() {
        for length in [0_usize, 1, 255, 256, 257, 65_791, 65_792, 1 << 20] {
            let bytes = vec![7; length];
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.set_pledged_src_size(Some(length as u64)).unwrap();
            encoder.include_contentsize(true).unwrap();
            encoder.write_all(&bytes).unwrap();
            let whole = encoder.finish().unwrap();
            assert_eq!(stated(&whole), Some(length as u64));
            for cut in 0..5 {
                assert_eq!(stated(&whole[..cut]), None);
            }
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_contentsize(false).unwrap();
            encoder.write_all(&bytes).unwrap();
            assert_eq!(stated(&encoder.finish().unwrap()), None);
        }
        let eight = [
            0x28, 0xb5, 0x2f, 0xfd, 0xc3, 0, 1, 2, 3, 4, 0, 0, 0, 0, 1, 0, 0, 0,
        ];
        assert_eq!(stated(&eight), Some(1 << 32));
        assert_eq!(stated(b"hello, hello"), None);
    }
}
