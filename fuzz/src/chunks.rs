//! Lists of chunks and frames of packs, as a server may give them out.

use delivery::chunks::{List, pack};

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
