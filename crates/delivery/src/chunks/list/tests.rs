//! Lists that contradict themselves, and what is asked for by those that do not.

use super::*;

/// A list of chunks of 10,000 bytes: each by the first byte of its digest and its length in the pack.
fn list(chunks: &[(u8, u32)]) -> List {
    let mut list = List::default();
    for (digest, packed) in chunks {
        list.push(Digest([*digest; 32]), 10_000, *packed);
    }
    list
}

fn check(bytes: &[u8], image_bytes: u64, pack_bytes: u64, expected: &str) {
    let said = match List::parse(bytes, image_bytes, pack_bytes) {
        Ok(list) => format!("{} chunks", list.chunks().len()),
        Err(error) => error.what,
    };
    assert_eq!(said, expected);
}

#[test]
fn a_list_is_printed_and_read_back() {
    let list = list(&[(1, 100), (2, 10_064), (1, 0), (3, 7)]);
    assert_eq!(List::parse(&list.print(), 40_000, 10_171), Ok(list.clone()));
    check(KIND, 0, 0, "0 chunks");
    assert!(List::parse_cut(&list.print(), 40_000).is_err());
    assert_eq!(List::parse_cut(&list.print_cut(), 40_000), Ok(list));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let other_sizes = "it is of files of other sizes than the channel index says";
    let good = list(&[(1, 100), (2, 100)]).print();
    check(&good, 20_000, 200, "2 chunks");
    check(&good, 20_001, 200, other_sizes);
    check(&good, 20_000, 199, other_sizes);
    check(b"", 0, 0, "it is of another kind");
    check(&good[1..], 20_000, 200, "it is of another kind");
    let cut = "it was cut, or has too many chunks";
    check(&good[..good.len() - 1], 20_000, 200, cut);
    check(&good[..good.len() - RECORD_BYTES], 20_000, 200, other_sizes);
    let many = [KIND, &vec![1; (CHUNKS_MAX + 1) * RECORD_BYTES]].concat();
    check(&many, 1, 1, cut);
    let of = |chunks| list(chunks).print();
    check(&of(&[(1, 0)]), 10_000, 0, "chunk 0 is nowhere in the pack");
    check(&of(&[(1, 5), (1, 5)]), 20_000, 10, "chunk 1 is there twice");
    let grows = "chunk 0 grows when it is packed";
    check(&of(&[(1, 10_065)]), 10_000, 10_065, grows);
    check(&of(&[(1, u32::MAX)]), 10_000, u64::from(u32::MAX), grows);
}

#[test]
fn chunks_have_the_lengths_of_chunks() {
    for (bytes, what) in [
        (0, "chunk 0 has 0 bytes"),
        (MIN_BYTES as u32 - 1, "chunk 0 has 8191 bytes"),
        (MAX_BYTES as u32 + 1, "chunk 0 has 131073 bytes"),
        (u32::MAX, "chunk 0 has 4294967295 bytes"),
    ] {
        let mut list = List::default();
        list.push(Digest([1; 32]), bytes, 5);
        list.push(Digest([2; 32]), 1, 5);
        check(&list.print(), list.image_bytes(), 10, what);
    }
    // The same chunk of another length.
    let mut list = List::default();
    for (bytes, packed) in [(9_000, 5), (9_001, 0)] {
        list.push(Digest([1; 32]), bytes, packed);
    }
    check(&list.print(), 18_001, 5, "chunk 1 is there twice");
}

#[test]
fn near_ranges_are_one_request_and_far_ones_are_not() {
    let mut chunks = vec![
        (0, 4_000),
        (1, 5_000),
        (0, 0),
        (2, 4_000),
        (3, 4_000),
        (4, 9_000),
    ];
    chunks.push((5, 4_000));
    let list = list(&chunks);
    let of = |wanted: &[usize]| {
        let stretches = list.stretches(wanted).into_iter();
        let words: Vec<String> = stretches
            .map(|one| format!("{:?}={:?}", one.chunks, one.packed))
            .collect();
        words.join(" ")
    };
    assert_eq!(of(&[]), "");
    assert_eq!(of(&[0, 4]), "0..1=0..4000 4..5=13000..17000");
    assert_eq!(of(&[0, 3]), "0..4=0..13000");
    assert_eq!(of(&[0, 2, 6]), "0..1=0..4000 6..7=26000..30000");
    assert_eq!(of(&[99]), "");
    let stretches = list.stretches(&[0, 4]);
    assert_eq!(List::cost_bytes(&stretches), 8_000 + 2 * REQUEST_BYTES);
}

#[test]
fn no_worker_needs_what_another_one_brings() {
    let chunks: Vec<(u8, u32)> = (0..200).map(|number| (number, 5_000)).collect();
    let list = list(&chunks);
    // A gap of 13 chunks of 10,000 bytes is more than a chunk may refer back over, one of 11 is not.
    let far: Vec<usize> = (0..20).chain(33..60).chain(80..90).collect();
    let shares = list.shares(&far, 3);
    assert_eq!(shares.concat(), far);
    let begins: Vec<usize> = shares.iter().map(|share| share[0]).collect();
    assert_eq!(begins, [0, 33, 80]);
    let near: Vec<usize> = (0..20).chain(31..60).collect();
    assert_eq!(list.shares(&near, 4).len(), 1);
    assert!(list.shares(&[], 4).is_empty());
}
