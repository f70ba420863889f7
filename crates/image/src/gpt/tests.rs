//! The writer against an independent reader, the reader against an independent writer, and both against damage.

use proptest::prelude::*;

use super::*;
use crate::source::Source;

fn planned(label: &str, length: u64, byte: u8) -> Planned {
    Planned {
        kind: Guid::from_u128(0x4f68bce3_e8cd_4db1_96e7_fbcaf984b709),
        id: Guid::from_bytes([byte; 16]),
        flags: FLAG_READ_ONLY,
        label: label.into(),
        length,
    }
}

/// A whole image with two empty partitions.
fn image() -> Vec<u8> {
    let disk = Guid::from_bytes([9; 16]);
    let plan = plan(
        disk,
        &[planned("hello_1.0", 8192, 1), planned("hello_1.0", 4096, 2)],
    )
    .unwrap();
    let mut bytes = plan.head.clone();
    bytes.resize(plan.tail_offset as usize, 0);
    bytes.extend(&plan.tail);
    assert_eq!(bytes.len() as u64, plan.length());
    assert_eq!(read(bytes.as_slice()).unwrap(), plan.table);
    bytes
}

/// One line per partition, or the refusal.
fn check(bytes: &[u8], expected: &str) {
    let found = match read(bytes) {
        Ok(table) => table
            .partitions
            .iter()
            .map(|p| format!("{} {}+{}", p.label, p.extent.offset, p.extent.length))
            .collect::<Vec<_>>()
            .join(", "),
        Err(error) => format!("refused: {error}"),
    };
    assert_eq!(found, expected);
}

/// Changes the table and makes its checksums right again, as a hostile maker would.
fn forged(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = image();
    change(&mut bytes);
    let entries = crc::crc32(&bytes[1024..1024 + 16384]).to_le_bytes();
    bytes[512 + 88..512 + 92].copy_from_slice(&entries);
    bytes[512 + 16..512 + 20].fill(0);
    let header = crc::crc32(&bytes[512..512 + 92]).to_le_bytes();
    bytes[512 + 16..512 + 20].copy_from_slice(&header);
    bytes
}

#[test]
fn what_is_written_is_read_again() {
    check(&image(), "hello_1.0 20480+8192, hello_1.0 28672+4096");
}

#[test]
fn another_implementation_reads_what_is_written() {
    let cursor = std::io::Cursor::new(image());
    let disk = gpt::GptConfig::new()
        .only_valid_headers(true)
        .open_from_device(cursor)
        .unwrap();
    assert!(
        disk.backup_header().is_ok(),
        "the backup header is right too"
    );
    let first = &disk.partitions()[&1];
    assert_eq!(
        (first.first_lba, first.last_lba, first.name.as_str()),
        (40, 55, "hello_1.0")
    );
    assert_eq!(first.part_guid.as_bytes(), &[1; 16]);
}

#[test]
fn what_another_implementation_writes_for_large_sectors_is_read() {
    let device = std::io::Cursor::new(vec![0; 4096 * 64]);
    let mut device = device;
    gpt::mbr::ProtectiveMBR::with_lb_size(63)
        .overwrite_lba0(&mut device)
        .unwrap();
    let config = gpt::GptConfig::new().writable(true);
    let config = config.logical_block_size(gpt::disk::LogicalBlockSize::Lb4096);
    let mut disk = config.create_from_device(device, None).unwrap();
    disk.add_partition("data", 8192, gpt::partition_types::LINUX_FS, 0, None)
        .unwrap();
    let bytes = disk.write().unwrap().into_inner();
    let table = read(bytes.as_slice()).unwrap();
    assert_eq!(table.sector_bytes, 4096);
    assert_eq!(table.partitions[0].label, "data");
    assert_eq!(table.partitions[0].extent.length, 8192);
}

#[test]
fn wrong_checksums_are_refused() {
    let mut bytes = image();
    bytes[512 + 57] ^= 1;
    check(
        &bytes,
        "refused: the partition table is damaged: header checksum",
    );
    let mut bytes = image();
    bytes[1024 + 20] ^= 1;
    check(
        &bytes,
        "refused: the partition table is damaged: checksum of the entries",
    );
}

#[test]
fn overlapping_and_twin_partitions_are_refused() {
    let bytes = forged(|b| b[1024 + 128 + 32] = 50);
    check(&bytes, "refused: partitions 1 and 2 overlap");
    let bytes = forged(|b| b[1024 + 128 + 16..1024 + 128 + 32].fill(1));
    check(
        &bytes,
        "refused: partitions 1 and 2 have the same identifier",
    );
}

#[test]
fn partitions_outside_the_usable_space_are_refused() {
    let outside = "refused: partition 1 is damaged: it lies outside the usable space";
    check(&forged(|b| b[1024 + 32] = 2), outside);
    check(&forged(|b| b[1024 + 42] = 1), outside);
    let backwards = "refused: partition 1 is damaged: it ends before it begins";
    check(&forged(|b| b[1024 + 33] = 1), backwards);
    let endless = "refused: partition 1 is damaged: it lies beyond 64 bits";
    check(&forged(|b| b[1024 + 40..1024 + 48].fill(0xff)), endless);
}

#[test]
fn huge_counts_are_refused_before_anything_is_allocated() {
    let count = forged(|b| b[512 + 80..512 + 84].fill(0xff));
    check(
        &count,
        "refused: the partition table is damaged: number of entries",
    );
    let size = forged(|b| b[512 + 84..512 + 88].fill(0xff));
    check(
        &size,
        "refused: the partition table is damaged: size of an entry",
    );
    let place = forged(|b| b[512 + 72..512 + 80].fill(0xff));
    check(
        &place,
        "refused: the partition table is damaged: position of the entries",
    );
}

#[test]
fn a_truncated_image_is_refused() {
    let bytes = image();
    check(
        &bytes[..bytes.len() - 512],
        "refused: the partition table is damaged: the image is shorter than its table says",
    );
    check(&bytes[..600], "refused: no GPT partition table");
    check(&[], "refused: no GPT partition table");
}

#[test]
fn a_label_with_control_characters_is_refused() {
    let bytes = forged(|b| b[1024 + 56] = 0x1b);
    check(
        &bytes,
        "refused: partition 1 is damaged: its label is no text",
    );
}

#[test]
fn an_image_that_also_says_it_is_an_mbr_disk_is_refused() {
    let mut bytes = image();
    bytes[446 + 16 + 4] = 0x83;
    check(
        &bytes,
        "refused: the partition table is damaged: the first sector is no protective MBR",
    );
}

#[test]
fn another_table_at_the_end_is_refused_and_one_that_nobody_can_read_is_not() {
    let whole = image();
    let header = whole.len() - 512;
    let resealed = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = whole.clone();
        change(&mut bytes[header..]);
        bytes[header + 16..header + 20].fill(0);
        let sum = crc::crc32(&bytes[header..header + 92]).to_le_bytes();
        bytes[header + 16..header + 20].copy_from_slice(&sum);
        bytes
    };
    let refused = "refused: the table at the end of the image is another one than that at its beginning: ambiguous";
    // The disk's identifier, the entries' number and their sum.
    for at in [56, 80, 88] {
        check(&resealed(&|header| header[at] ^= 1), refused);
    }
    let same = resealed(&|_| {});
    assert_eq!(same, whole);
    for damage in [0, 12, 56] {
        let mut bytes = whole.clone();
        bytes[header + damage] ^= 1;
        assert!(read(bytes.as_slice()).is_ok(), "{damage}");
    }
}

#[test]
fn two_tables_for_two_sector_sizes_are_refused() {
    let mut bytes = image();
    bytes[4096..4104].copy_from_slice(MAGIC);
    check(
        &bytes,
        "refused: two partition tables, for sectors of 512 and of 4096 bytes: ambiguous",
    );
}

proptest! {
    #[test]
    fn bits_that_flip_in_the_table_are_refused_or_change_nothing(at in 0usize..1024 + 16384, bit in 0u8..8) {
        let mut bytes = image();
        bytes[at] ^= 1 << bit;
        if let Ok(table) = read(bytes.as_slice()) {
            prop_assert_eq!(table, read(image().as_slice()).unwrap());
        }
    }

    #[test]
    fn a_forged_table_never_panics_and_never_leaves_the_image(
        edits in prop::collection::vec((512usize..1024 + 512, any::<u8>()), 1..12)
    ) {
        let bytes = forged(|b| edits.iter().for_each(|(at, byte)| b[*at] = *byte));
        if let Ok(table) = read(bytes.as_slice()) {
            for partition in table.partitions {
                prop_assert!(partition.extent.end().unwrap() <= bytes.length());
            }
        }
    }
}
