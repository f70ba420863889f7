//! Lists of chunks, frames of packs and patches, as a server may give them out.

use std::fs::File;
use std::io::Write as _;

use delivery::chunks::{List, pack, patch as patches};
use rustix::fs::{MemfdFlags, memfd_create};

/// A list of chunks, of whatever files it would be right for: it prints as it was, what is asked for lies in the pack, in order and without
/// overlaps, and no worker gets a chunk twice or not at all. And a frame of a pack, which never unpacks beyond its chunk.
pub fn chunks(bytes: &[u8]) {
    let records = bytes.get(17..).unwrap_or_default().as_chunks::<40>().0;
    let sum = |at: usize| -> u64 {
        let number =
            |record: &[u8; 40]| u32::from_le_bytes(std::array::from_fn(|i| record[at + i]));
        records.iter().map(|record| u64::from(number(record))).sum()
    };
    if let Ok(list) = List::parse(bytes, sum(32), sum(36)) {
        assert_eq!(list.print(), bytes, "printing is not the same");
        let all = 0..list.chunks().len();
        let is_wanted = |number: &usize| {
            let chunk = &list.chunks()[*number];
            chunk.packed_bytes > 0 && chunk.digest.0[0].is_multiple_of(2)
        };
        let wanted: Vec<usize> = all.filter(is_wanted).collect();
        let mut end = 0;
        for stretch in list.stretches(&wanted) {
            assert!(stretch.packed.start >= end, "ranges overlap");
            assert!(
                stretch.packed.start < stretch.packed.end,
                "a range is empty"
            );
            end = stretch.packed.end;
        }
        assert!(end <= sum(36), "a range is beyond the pack");
        assert_eq!(list.shares(&wanted, 4).concat(), wanted, "a chunk is lost");
    }
    let length = bytes.first().map_or(0, |first| usize::from(*first) * 100);
    if let Ok(chunk) = pack::unpack(bytes.get(1..).unwrap_or_default(), b"before", length) {
        assert_eq!(chunk.len(), length, "it is of another length");
    }
}

/// A patch of a small image: what it makes never gets longer than what is asked for.
pub fn patch(bytes: &[u8]) {
    const OLD_BYTES: usize = 4096;
    let file = |name| memfd_create(name, MemfdFlags::empty()).map(File::from);
    let (Ok(mut old), Ok(new)) = (file("old"), file("new")) else {
        return;
    };
    if old.write_all(&[7; OLD_BYTES]).is_err() {
        return;
    }
    for length in [50, 76, 1_000_000] {
        let made = patches::apply(&mut { bytes }, &old, &new, length);
        let long = new.metadata().map_or(0, |found| found.len());
        assert!(
            long <= 1_000_000 && (made.is_err() || long >= length),
            "{long} bytes"
        );
    }
}
