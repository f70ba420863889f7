//! Patches: how an image comes from another one, as stretches that are copied from that one and stretches that are packed after a part
//! of it, as zstd's `--patch-from` does with the whole of it.
//!
//! That part is 8 MiB at most and lies where the chunks around have come from, so that neither side needs more memory for a larger
//! image: who unpacks has that part, 2 MiB of the image and nothing else; who packs has some 100 MiB for each core.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use zstd::zstd_safe::CParameter;

use super::list::List;
use super::several;

/// The first line of a patch.
const KIND: &[u8] = b"coracle-patch 1\n";
/// Where in the old image, how much of it, how much of the new one, how much in the patch: 64 and three times 32 bits.
const RECORD_BYTES: usize = 20;
/// How much of the new image is packed as one.
const STRETCH_MAX_BYTES: u32 = 2 << 20;
/// How much of the old one it may refer to.
const BEFORE_MAX_BYTES: u32 = 8 << 20;
/// What is the same for at least so long is copied.
const COPY_MIN_BYTES: u64 = 256 * 1024;
/// What is copied by one record at most: its length has 32 bits.
const COPY_MAX_BYTES: u64 = 1 << 30;
/// How much longer than its stretch a frame can be.
const EXTRA_MAX_BYTES: u32 = 4096;
/// What a frame may have the reader keep in memory, as a power of two: the stretch.
const WINDOW_MAX_LOG: u32 = 21;
/// As the whole image is compressed: the levels above take ten times as long.
const LEVEL: i32 = 12;
/// So that all of what is before is found, as powers of two: where the table has fewer places than there are bytes, what came first is lost.
const WINDOW_LOG: u32 = 24;
const TABLE_LOG: u32 = 24;
/// Bytes copied at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    old_place: u64,
    old_bytes: u32,
    bytes: u32,
    packed_bytes: u32,
}

impl Stretch {
    fn print(&self) -> [u8; RECORD_BYTES] {
        let mut record = [0; RECORD_BYTES];
        let place = self.old_place.to_le_bytes();
        let lengths = [self.old_bytes, self.bytes, self.packed_bytes];
        let lengths = lengths.into_iter().flat_map(u32::to_le_bytes);
        for (to, from) in record.iter_mut().zip(place.into_iter().chain(lengths)) {
            *to = from;
        }
        record
    }

    fn parse(record: &[u8; RECORD_BYTES]) -> Stretch {
        let number = |start: usize, length: usize| {
            let bytes = record.iter().skip(start).take(length).rev();
            bytes.fold(0_u64, |all, byte| all << 8 | u64::from(*byte))
        };
        // Four bytes are no more than 32 bits.
        let short = |start| u32::try_from(number(start, 4)).unwrap_or(u32::MAX);
        Stretch {
            old_place: number(0, 8),
            old_bytes: short(8),
            bytes: short(12),
            packed_bytes: short(16),
        }
    }

    fn is_copy(&self) -> bool {
        self.packed_bytes == 0
    }

    fn check(&self, left_bytes: u64) -> io::Result<()> {
        let is_within = if self.is_copy() {
            self.old_bytes == self.bytes
        } else {
            self.bytes <= STRETCH_MAX_BYTES
                && self.old_bytes <= BEFORE_MAX_BYTES
                && self.packed_bytes <= self.bytes + EXTRA_MAX_BYTES
        };
        match is_within && self.bytes > 0 && u64::from(self.bytes) <= left_bytes {
            true => Ok(()),
            false => Err(wrong("a stretch of it is longer than it may be")),
        }
    }
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// An image and how it is cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    /// The file.
    pub image: &'a File,
    /// Its chunks.
    pub list: &'a List,
}

/// Writes what makes the new image of the old one.
///
/// # Errors
/// When one of the three files can't be read or written.
pub fn write(old: Cut<'_>, new: Cut<'_>, patch: &mut dyn Write) -> io::Result<()> {
    patch.write_all(KIND)?;
    let (stretches, mut place) = (plan(old.list, new.list), 0_u64);
    let placed: Vec<(u64, Stretch)> = stretches
        .into_iter()
        .map(|stretch| {
            let start = place;
            place += u64::from(stretch.bytes);
            (start, stretch)
        })
        .collect();
    several::in_order(
        &placed,
        &|(place, stretch)| packed(old.image, new.image, *place, stretch),
        &mut |(_, stretch), frame: Vec<u8>| {
            let packed_bytes = u32::try_from(frame.len()).map_err(io::Error::other)?;
            let record = Stretch {
                packed_bytes,
                ..*stretch
            };
            patch.write_all(&record.print())?;
            patch.write_all(&frame)
        },
    )
}

/// A stretch as a frame; none where it is copied.
fn packed(old: &File, new: &File, place: u64, stretch: &Stretch) -> io::Result<Vec<u8>> {
    if stretch.is_copy() {
        return Ok(Vec::new());
    }
    let before = part(old, stretch.old_place, stretch.old_bytes)?;
    let bytes = part(new, place, stretch.bytes)?;
    let mut frame = Vec::new();
    let mut encoder = zstd::stream::write::Encoder::with_ref_prefix(&mut frame, LEVEL, &before)?;
    encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    encoder.set_parameter(CParameter::HashLog(TABLE_LOG))?;
    encoder.set_parameter(CParameter::ChainLog(TABLE_LOG))?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    encoder.include_contentsize(true)?;
    encoder.write_all(&bytes)?;
    encoder.finish()?;
    Ok(frame)
}

fn part(file: &File, place: u64, bytes: u32) -> io::Result<Vec<u8>> {
    let mut part = vec![0; bytes as usize];
    file.read_exact_at(&mut part, place)?;
    Ok(part)
}

/// Which stretches are copied and which are packed; what is packed is not known to be that yet but by a length that is not 0.
fn plan(old: &List, new: &List) -> Vec<Stretch> {
    let mut places: BTreeMap<_, u64> = BTreeMap::new();
    for chunk in old.chunks() {
        places.entry(chunk.digest).or_insert(chunk.place);
    }
    let old_bytes = old.image_bytes();
    let (mut plan, mut open) = (Vec::new(), Open::default());
    let mut rest = new.chunks();
    while let Some(first) = rest.first() {
        let found = places.get(&first.digest).copied();
        // How long old and new go on to be the same.
        let run: u64 = found.map_or(0, |place| {
            let is_next =
                |(chunk, at): &(&super::Chunk, u64)| places.get(&chunk.digest) == Some(at);
            let at = |chunk: &super::Chunk| place + (chunk.place - first.place);
            let run = rest
                .iter()
                .map(|chunk| (chunk, at(chunk)))
                .take_while(is_next);
            run.map(|(chunk, _)| u64::from(chunk.bytes)).sum()
        });
        let mut taken = 0;
        if run >= COPY_MIN_BYTES {
            open.close(old_bytes, &mut plan);
            let place = found.unwrap_or_default();
            copies(place, run, &mut plan);
            open.came_from(place + run, 0);
            taken = run;
        } else {
            open.add(first.bytes, found, old_bytes, &mut plan);
        }
        let is_taken = |chunk: &super::Chunk| chunk.place < first.place + taken;
        let count = rest.iter().take_while(|chunk| is_taken(chunk)).count();
        rest = rest.get(count.max(1)..).unwrap_or_default();
    }
    open.close(old_bytes, &mut plan);
    plan
}

fn copies(mut place: u64, mut bytes: u64, plan: &mut Vec<Stretch>) {
    while bytes > 0 {
        let one = bytes.min(COPY_MAX_BYTES);
        // No more than 1 GiB.
        let length = u32::try_from(one).unwrap_or(u32::MAX);
        plan.push(Stretch {
            old_place: place,
            old_bytes: length,
            bytes: length,
            packed_bytes: 0,
        });
        (place, bytes) = (place + one, bytes - one);
    }
}

/// A stretch to pack, as long as it grows.
#[derive(Default)]
struct Open {
    bytes: u32,
    /// Where in the old image it seems to begin, by the last chunk that is from there: the one before it, else one in it.
    begins: u64,
    is_placed: bool,
}

impl Open {
    /// What comes next follows what is at this place of the old image, after so many bytes of the stretch.
    fn came_from(&mut self, place: u64, after: u32) {
        self.begins = place.saturating_sub(u64::from(after));
        self.is_placed = true;
    }

    fn add(&mut self, bytes: u32, found: Option<u64>, old_bytes: u64, plan: &mut Vec<Stretch>) {
        if self.bytes + bytes > STRETCH_MAX_BYTES {
            self.close(old_bytes, plan);
        }
        if let Some(place) = found.filter(|_| !self.is_placed) {
            self.came_from(place, self.bytes);
        }
        self.bytes += bytes;
        if let Some(place) = found {
            // A later stretch goes on from here.
            let next = place + u64::from(bytes);
            let drifted = next.saturating_sub(u64::from(self.bytes));
            self.begins = self.begins / 2 + drifted / 2;
        }
    }

    fn close(&mut self, old_bytes: u64, plan: &mut Vec<Stretch>) {
        if self.bytes == 0 {
            return;
        }
        let spare = u64::from(BEFORE_MAX_BYTES - self.bytes) / 2;
        let latest = old_bytes.saturating_sub(BEFORE_MAX_BYTES.into());
        let start = self.begins.saturating_sub(spare).min(latest);
        let length = (old_bytes - start).min(BEFORE_MAX_BYTES.into());
        plan.push(Stretch {
            old_place: start,
            // No more than 8 MiB.
            old_bytes: u32::try_from(length).unwrap_or(BEFORE_MAX_BYTES),
            bytes: self.bytes,
            packed_bytes: u32::MAX,
        });
        self.begins += u64::from(self.bytes);
        (self.bytes, self.is_placed) = (0, false);
    }
}

/// Makes the new image, of this length, of the old one. Whether it is the one that was meant is for the caller to see.
///
/// # Errors
/// When it is no patch, one of another image, or a file can't be read or written.
pub fn apply(patch: &mut dyn Read, old: &File, new: &File, image_bytes: u64) -> io::Result<()> {
    let mut kind = [0; KIND.len()];
    patch.read_exact(&mut kind)?;
    if kind != *KIND {
        return Err(wrong("it is of another kind"));
    }
    let mut place = 0;
    while place < image_bytes {
        let mut record = [0; RECORD_BYTES];
        patch.read_exact(&mut record)?;
        let stretch = Stretch::parse(&record);
        stretch.check(image_bytes - place)?;
        if stretch.is_copy() {
            copy(old, new, (stretch.old_place, place), stretch.bytes.into())?;
        } else {
            let mut frame = vec![0; stretch.packed_bytes as usize];
            patch.read_exact(&mut frame)?;
            let before = part(old, stretch.old_place, stretch.old_bytes)?;
            new.write_all_at(&unpacked(&frame, &before, stretch.bytes)?, place)?;
        }
        place += u64::from(stretch.bytes);
    }
    match patch.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(wrong("there is more than that")),
    }
}

fn unpacked(frame: &[u8], before: &[u8], bytes: u32) -> io::Result<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::with_ref_prefix(frame, before)?;
    decoder.window_log_max(WINDOW_MAX_LOG)?;
    let mut stretch = Vec::with_capacity(bytes as usize + 1);
    decoder
        .take(u64::from(bytes) + 1)
        .read_to_end(&mut stretch)?;
    match stretch.len() == bytes as usize {
        true => Ok(stretch),
        false => Err(wrong("a stretch has another length than it says")),
    }
}

fn copy(old: &File, new: &File, (mut from, mut to): (u64, u64), mut bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    while bytes > 0 {
        let count = bytes.min(BUFFER_BYTES as u64);
        let some = buffer.get_mut(..count as usize).unwrap_or_default();
        old.read_exact_at(some, from)?;
        new.write_all_at(some, to)?;
        (from, to, bytes) = (from + count, to + count, bytes - count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::cut::tests::noise;
    use super::super::local;
    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn list(bytes: &[u8]) -> List {
        local::cut_of(&mut &*bytes).unwrap()
    }

    fn made(old: &[u8], new: &[u8]) -> Vec<u8> {
        let (old_list, new_list, mut patch) = (list(old), list(new), Vec::new());
        let (old, new) = (file(old), file(new));
        let old = Cut {
            image: &old,
            list: &old_list,
        };
        let new = Cut {
            image: &new,
            list: &new_list,
        };
        write(old, new, &mut patch).unwrap();
        patch
    }

    fn applied(patch: &[u8], old: &[u8], bytes: usize) -> io::Result<Vec<u8>> {
        let new = tempfile::tempfile().unwrap();
        apply(&mut &*patch, &file(old), &new, bytes as u64)?;
        part(&new, 0, u32::try_from(bytes).unwrap())
    }

    #[test]
    fn an_image_comes_from_another_one_and_what_changed_alone_is_in_the_patch() {
        let old = noise(1, 9_000_000);
        let mut new = old.clone();
        new.splice(5_000_000..5_000_000, noise(2, 40_000));
        for at in (1_000_000..2_000_000).step_by(5_000) {
            new[at] ^= 1;
        }
        new.truncate(8_500_000);
        let patch = made(&old, &new);
        assert!(
            (40_000..60_000).contains(&patch.len()),
            "{} bytes",
            patch.len()
        );
        assert!(applied(&patch, &old, new.len()).unwrap() == new);
        // From nothing, and to nothing.
        assert!(applied(&made(b"", &new), b"", new.len()).unwrap() == new);
        assert_eq!(applied(&made(&old, b""), &old, 0).unwrap(), b"");
    }

    #[test]
    fn a_patch_that_lies_makes_nothing_beyond_what_it_may() {
        let (old, new) = (noise(1, 3_000_000), noise(2, 1_000_000));
        let patch = made(&old, &new);
        for (what, patch, bytes) in [
            ("cut", &patch[..patch.len() - 1], new.len()),
            ("shorter", &patch, new.len() - 1),
            ("longer", &patch, new.len() + 1),
            ("kind", &patch[1..], new.len()),
            ("empty", b"", new.len()),
            ("more", &[&patch[..], b"x"].concat(), new.len()),
        ] {
            assert!(applied(patch, &old, bytes).is_err(), "{what}");
        }
        let record = |old_place, old_bytes, bytes, packed_bytes| {
            let stretch = Stretch {
                old_place,
                old_bytes,
                bytes,
                packed_bytes,
            };
            assert_eq!(Stretch::parse(&stretch.print()), stretch);
            [KIND, &stretch.print(), &vec![0; 100]].concat()
        };
        let bomb = zstd::bulk::compress(&vec![0; 100 << 20], 19).unwrap();
        let length = u32::try_from(bomb.len()).unwrap();
        let bomb = [
            &record(0, 0, 1_000_000, length)[..KIND.len() + RECORD_BYTES],
            &bomb,
        ]
        .concat();
        for (what, patch) in [
            ("from beyond the end", record(2_999_999, 2, 2, 0)),
            ("from nowhere", record(u64::MAX, 1, 1, 0)),
            ("no bytes", record(0, 0, 0, 0)),
            ("another length", record(0, 2, 1, 0)),
            ("too long", record(0, 0, STRETCH_MAX_BYTES + 1, 50)),
            ("too much before", record(0, BEFORE_MAX_BYTES + 1, 5, 50)),
            ("too much packed", record(0, 0, 5, u32::MAX)),
            ("no frame", record(0, 0, 5, 50)),
            ("bomb", bomb),
        ] {
            assert!(applied(&patch, &old, 1_000_000).is_err(), "{what}");
        }
    }
}
