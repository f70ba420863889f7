//! Content of a file that somebody else may be writing: so many bytes as were announced before it, whatever becomes of the file meanwhile. What is
//! one byte longer or shorter would move the headers behind it, and its writer could say what those are.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::vec::IntoIter;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

/// What tar counts in.
const BLOCK_BYTES: u64 = 512;

/// Parts of one file between holes. What is behind the last of so many is one part, whose holes are read as zeros: the list is in memory.
const EXTENTS_LIMIT: usize = 1 << 16;

/// Where something is, and how much.
type Extent = (u64, u64);

/// Parts of a file, one behind the other. What is missing is zeros.
pub(super) struct Extents<'f> {
    file: &'f File,
    rest: IntoIter<Extent>,
    now: Extent,
}

impl<'f> Extents<'f> {
    pub(super) fn new(file: &'f File, extents: Vec<Extent>) -> Extents<'f> {
        Extents {
            file,
            rest: extents.into_iter(),
            now: (0, 0),
        }
    }
}

impl Read for Extents<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.1 == 0 {
            match self.rest.next() {
                Some(next) => self.now = next,
                None => return Ok(0),
            }
        }
        let (offset, left) = self.now;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let most = most.min(buffer.len());
        let room = buffer.get_mut(..most).unwrap_or_default();
        let mut done = self.file.read_at(room, offset)?;
        if done == 0 {
            room.fill(0);
            done = most;
        }
        self.now = (offset + done as u64, left - done as u64);
        Ok(done)
    }
}

/// What of a file of this length is no hole, each part from one block of the archive to another.
pub(super) fn find(file: &File, length: u64) -> Result<Vec<Extent>, Errno> {
    let mut found: Vec<Extent> = Vec::new();
    let mut at = 0;
    while at < length {
        let begin = match seek(file, SeekFrom::Data(at)) {
            Err(Errno::NXIO) => break,
            // Not every file system knows its holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            begin => begin?.max(at),
        };
        let end = match seek(file, SeekFrom::Hole(begin)) {
            _ if found.len() + 1 == EXTENTS_LIMIT => length,
            Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => length,
            end => end?.max(begin + 1),
        };
        let begin = (begin / BLOCK_BYTES * BLOCK_BYTES).max(at);
        let end = end
            .checked_next_multiple_of(BLOCK_BYTES)
            .unwrap_or(length)
            .min(length);
        if begin < end {
            found.push((begin, end - begin));
        }
        at = end.max(at);
        if begin >= length {
            break;
        }
    }
    Ok(found)
}

/// Bytes of all parts.
pub(super) fn sum(extents: &[Extent]) -> u64 {
    extents.iter().fold(0, |sum, (_, length)| sum + length)
}

/// Makes a header that of a file with holes (GNU's old form, which every tar reads); what does not fit into it comes back, and stands behind it.
pub(super) fn announce(header: &mut Header, extents: &[Extent], length: u64) -> Vec<u8> {
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(sum(extents));
    // Where the last part ends is where the file does.
    let end = (length, 0);
    let mut all = extents.iter().copied().chain([end]).peekable();
    let mut behind = Vec::new();
    let Some(first) = header.as_gnu_mut() else {
        return behind;
    };
    first.set_real_size(length);
    fill(&mut first.sparse, &mut all);
    first.set_is_extended(all.peek().is_some());
    while all.peek().is_some() {
        let mut next = GnuExtSparseHeader::new();
        fill(next.sparse_mut(), &mut all);
        next.set_is_extended(all.peek().is_some());
        behind.extend_from_slice(next.as_bytes());
    }
    behind
}

fn fill(places: &mut [GnuSparseHeader], all: &mut impl Iterator<Item = Extent>) {
    for (place, (offset, length)) in places.iter_mut().zip(all) {
        place.set_offset(offset);
        place.set_length(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn with_holes(parts: u64) -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(parts * (1 << 20)).unwrap();
        for part in 0..parts {
            file.write_all_at(b"data", part * (1 << 20) + 5).unwrap();
        }
        file
    }

    #[test]
    fn a_file_that_changes_meanwhile_gives_what_was_announced() {
        let file = with_holes(40);
        let length = file.metadata().unwrap().len();
        let extents = find(&file, length).unwrap();
        assert_eq!(extents.len(), 40);
        let announced = sum(&extents);
        for change in [0, 1 << 20, length * 2] {
            file.set_len(change).unwrap();
            (&file).write_all(b"more").unwrap();
            let mut bytes = Vec::new();
            Extents::new(&file, extents.clone())
                .read_to_end(&mut bytes)
                .unwrap();
            assert_eq!(bytes.len() as u64, announced, "{change}");
        }
    }

    #[test]
    fn parts_are_between_blocks_and_never_behind_the_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        file.write_all_at(b"x", (1 << 20) - 1).unwrap();
        let length = (1 << 20) - 100;
        let extents = find(&file, length).unwrap();
        let (offset, count) = extents[0];
        assert_eq!((extents.len(), offset % BLOCK_BYTES), (1, 0));
        assert_eq!(offset + count, length);
        assert_eq!(find(&file, 0).unwrap(), []);
        let holes = tempfile::tempfile().unwrap();
        holes.set_len(1 << 20).unwrap();
        assert_eq!(find(&holes, 1 << 20).unwrap(), []);
    }
}
