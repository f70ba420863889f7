//! Frames: `length u32 · checksum u32 · payload · length u32`, all little-endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::crc::crc32c;

/// Bytes around a payload.
pub const FRAME_OVERHEAD_BYTES: u64 = 12;
/// Largest payload in bytes: one chunk of a stream with the most fields that a line may have is far below.
pub const PAYLOAD_MAX_BYTES: usize = 4 << 20;

/// A payload and where the frame after it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The payload.
    pub payload: Vec<u8>,
    /// Offset of the frame's first byte.
    pub start: u64,
    /// Offset after the frame's last byte.
    pub end: u64,
}

/// Puts a payload into a frame.
#[must_use]
pub fn seal(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    let mut frame = Vec::with_capacity(payload.len() + 12);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&checksum(length, payload));
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&length);
    frame
}

/// The length is part of the checksum: zeros, which a file grown by a lost write is full of, are no frame.
fn checksum(length: [u8; 4], payload: &[u8]) -> [u8; 4] {
    let crc = crc32c(payload) ^ u32::from_le_bytes(length).rotate_left(16) ^ 0x4c4f_4746;
    crc.to_le_bytes()
}

/// The frame that begins at `start`; `None` where there is no whole one.
///
/// # Errors
/// When the file cannot be read.
pub fn read_at(file: &File, start: u64) -> io::Result<Option<Frame>> {
    let Some([a, b, c, d, sum @ ..]) = exact::<8>(file, start)? else {
        return Ok(None);
    };
    let length = [a, b, c, d];
    let size = u32::from_le_bytes(length) as usize;
    if size > PAYLOAD_MAX_BYTES {
        return Ok(None);
    }
    let mut payload = vec![0; size + 4];
    if !fill(file, &mut payload, start + 8)? {
        return Ok(None);
    }
    let whole = payload.split_off(size) == length && checksum(length, &payload) == sum;
    let end = start + size as u64 + FRAME_OVERHEAD_BYTES;
    Ok(whole.then_some(Frame {
        payload,
        start,
        end,
    }))
}

/// The frame that ends at `end`, not before `floor`; `None` where there is no whole one.
///
/// # Errors
/// When the file cannot be read.
pub fn read_before(file: &File, end: u64, floor: u64) -> io::Result<Option<Frame>> {
    let Some(place) = end.checked_sub(4).filter(|place| *place >= floor) else {
        return Ok(None);
    };
    let Some(length) = exact::<4>(file, place)? else {
        return Ok(None);
    };
    let size = u64::from(u32::from_le_bytes(length)) + FRAME_OVERHEAD_BYTES;
    match end.checked_sub(size).filter(|start| *start >= floor) {
        Some(start) => Ok(read_at(file, start)?.filter(|frame| frame.end == end)),
        None => Ok(None),
    }
}

/// Where the frames begin that can be read behind a damage at `place`: found from the end of the file backwards, so only where the
/// end is whole. `None` at a tail that is torn or still being written.
///
/// # Errors
/// When the file cannot be read.
pub fn behind_damage(file: &File, place: u64) -> io::Result<Option<u64>> {
    let mut first = file.metadata()?.len();
    while let Some(frame) = read_before(file, first, place)? {
        first = frame.start;
    }
    let is_there = first > place && read_at(file, first)?.is_some();
    Ok(is_there.then_some(first))
}

/// Where the frames end that can be read before a damage somewhere below `place`: found from `floor` forwards.
///
/// # Errors
/// When the file cannot be read.
pub fn before_damage(file: &File, place: u64, floor: u64) -> io::Result<Option<u64>> {
    let mut end = floor;
    while let Some(frame) = read_at(file, end)?.filter(|frame| frame.end < place) {
        end = frame.end;
    }
    Ok((end > floor).then_some(end))
}

fn exact<const N: usize>(file: &File, place: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    Ok(fill(file, &mut bytes, place)?.then_some(bytes))
}

fn fill(file: &File, bytes: &mut [u8], place: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, place) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn frames_are_read_from_both_ends() {
        let bytes = [seal(b"one"), seal(b""), seal(b"three")].concat();
        let file = file(&bytes);
        let mut place = 0;
        for expected in [b"one".as_slice(), b"", b"three"] {
            let frame = read_at(&file, place).unwrap().unwrap();
            assert_eq!(frame.payload, expected);
            place = frame.end;
        }
        assert_eq!(place, bytes.len() as u64);
        for expected in [b"three".as_slice(), b"", b"one"] {
            let frame = read_before(&file, place, 0).unwrap().unwrap();
            assert_eq!(frame.payload, expected);
            place = frame.start;
        }
        assert_eq!(read_before(&file, 0, 0).unwrap(), None);
    }

    #[test]
    fn what_is_before_and_behind_a_damage_is_found() {
        let frames = [seal(b"one"), seal(b"two"), seal(b"three")];
        let whole = frames.concat();
        let (first, second) = (frames[0].len(), frames[0].len() + frames[1].len());
        for place in first..second {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            let file = file(&damaged);
            assert_eq!(
                behind_damage(&file, first as u64).unwrap(),
                Some(second as u64)
            );
            assert_eq!(
                before_damage(&file, second as u64, 0).unwrap(),
                Some(first as u64)
            );
        }
        let torn = file(&whole[..whole.len() - 1]);
        assert_eq!(behind_damage(&torn, second as u64).unwrap(), None);
        assert_eq!(
            behind_damage(&file(&whole), whole.len() as u64).unwrap(),
            None
        );
    }

    #[test]
    fn no_torn_or_damaged_frame_is_read() {
        let whole = seal(b"payload");
        for end in 0..whole.len() {
            assert_eq!(
                read_at(&file(&whole[..end]), 0).unwrap(),
                None,
                "cut at {end}"
            );
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            assert_eq!(
                read_at(&file(&damaged), 0).unwrap(),
                None,
                "damaged at {place}"
            );
        }
        assert_eq!(read_at(&file(&[0; 64]), 0).unwrap(), None, "zeros");
    }
}
