//! Partition tables, and what they lead to.

use coracle_system_tests::images::By;
use image::discoverable::{self, Purpose};
use image::guid::Guid;

use crate::Kind;
use crate::Verdict::Refused;
use crate::forge::{
    Disk, ENTRY_FIRST, ENTRY_FLAGS, ENTRY_ID, ENTRY_LABEL, ENTRY_LAST, HEADER_COUNT,
    HEADER_ENTRIES, HEADER_ENTRY_BYTES, HEADER_OWN, HEADER_SIZE, disk, labelled, of_kinds,
};

const MANY: [u8; 8] = [0xff; 8];

/// A table of the older kind, of entries: type, first sector, sectors.
fn old(entries: &[(u8, u32, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; 64 << 10];
    for (place, (kind, first, count)) in entries.iter().enumerate() {
        let at = 446 + 16 * place;
        bytes[at + 4] = *kind;
        bytes[at + 8..at + 12].copy_from_slice(&first.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&count.to_le_bytes());
    }
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// A disk of which nobody signed anything, as its table is refused before.
fn parts(purposes: &[Purpose]) -> Disk {
    let parts: Vec<(Purpose, Guid, &[u8])> = purposes
        .iter()
        .zip(1..)
        .map(|(purpose, number)| (*purpose, Guid::from_bytes([number; 16]), &[0_u8; 4096][..]))
        .collect();
    disk(&parts)
}

/// The type of a partition for this processor.
fn native(purpose: Purpose) -> Guid {
    let native = discoverable::native().expect("a processor of the specification");
    discoverable::kind(purpose, native).expect("a type")
}

/// What a partition is called.
fn id(disk: &Disk, number: usize) -> Guid {
    let entry = disk.raw_entry(number);
    Guid::from_disk(entry[ENTRY_ID..ENTRY_ID + 16].try_into().expect("sixteen"))
}

fn foreign() -> Guid {
    let other = if discoverable::native() == Some("riscv64") {
        "x86-64"
    } else {
        "riscv64"
    };
    discoverable::kind(Purpose::Root, other).expect("a type")
}

pub const KINDS: &[Kind] = &[
    (
        "partitions that overlap",
        |forge| {
            forge.changed(|disk| {
                let last = disk.number(1, ENTRY_FIRST);
                disk.entry(0, ENTRY_LAST, &last.to_le_bytes());
            })
        },
        Refused(&["partitions 1 and 2 overlap"]),
    ),
    (
        "a partition in another one",
        |forge| {
            forge.changed(|disk| {
                let first = disk.number(0, ENTRY_FIRST) + 1;
                disk.entry(1, ENTRY_FIRST, &first.to_le_bytes());
                disk.entry(1, ENTRY_LAST, &first.to_le_bytes());
            })
        },
        Refused(&["partitions 1 and 2 overlap"]),
    ),
    (
        "a partition that ends before it begins",
        |forge| forge.changed(|disk| disk.entry(0, ENTRY_LAST, &1_u64.to_le_bytes())),
        Refused(&["partition 1 is damaged: it ends before it begins"]),
    ),
    (
        "a partition without an end",
        |forge| forge.changed(|disk| disk.entry(0, ENTRY_LAST, &MANY)),
        Refused(&["partition 1 is damaged: it lies beyond 64 bits"]),
    ),
    (
        "a partition of all numbers that there are",
        |forge| {
            forge.changed(|disk| {
                disk.entry(0, ENTRY_FIRST, &[0; 8]);
                disk.entry(0, ENTRY_LAST, &MANY);
            })
        },
        Refused(&["partition 1 is damaged: it ends before it begins"]),
    ),
    (
        "a partition past the disk",
        |forge| {
            forge.changed(|disk| {
                let last = disk.number(0, ENTRY_LAST) + (1 << 40);
                disk.entry(0, ENTRY_LAST, &last.to_le_bytes());
            })
        },
        Refused(&["partition 1 is damaged: it lies outside the usable space"]),
    ),
    (
        "a partition over its own table",
        |forge| forge.changed(|disk| disk.entry(0, ENTRY_FIRST, &1_u64.to_le_bytes())),
        Refused(&["partition 1 is damaged: it lies outside the usable space"]),
    ),
    (
        "entries without number",
        |forge| forge.changed(|disk| disk.header(HEADER_COUNT, &MANY[..4])),
        Refused(&["the partition table is damaged: number of entries"]),
    ),
    (
        "no entries",
        |forge| forge.changed(|disk| disk.header(HEADER_COUNT, &[0; 4])),
        Refused(&["the partition table is damaged: number of entries"]),
    ),
    (
        "entries of no bytes",
        |forge| forge.changed(|disk| disk.header(HEADER_ENTRY_BYTES, &[0; 4])),
        Refused(&["the partition table is damaged: size of an entry"]),
    ),
    (
        "entries of two gigabytes",
        |forge| {
            forge.changed(|disk| disk.header(HEADER_ENTRY_BYTES, &0x8000_0000_u32.to_le_bytes()))
        },
        Refused(&["the partition table is damaged: size of an entry"]),
    ),
    (
        "entries past the disk",
        |forge| forge.changed(|disk| disk.header(HEADER_ENTRIES, &(1_u64 << 40).to_le_bytes())),
        Refused(&["the partition table is damaged: position of the entries"]),
    ),
    (
        "entries past every disk",
        |forge| forge.changed(|disk| disk.header(HEADER_ENTRIES, &MANY)),
        Refused(&["the partition table is damaged: position of the entries"]),
    ),
    (
        "entries over the header",
        |forge| forge.changed(|disk| disk.header(HEADER_ENTRIES, &1_u64.to_le_bytes())),
        Refused(&["the partition table is damaged: position of the entries"]),
    ),
    (
        "a header of four gigabytes",
        |forge| forge.changed(|disk| disk.header(HEADER_SIZE, &MANY[..4])),
        Refused(&["the partition table is damaged: header size"]),
    ),
    (
        "a header of four bytes",
        |forge| forge.changed(|disk| disk.header(HEADER_SIZE, &4_u32.to_le_bytes())),
        Refused(&["the partition table is damaged: header size"]),
    ),
    (
        "a header that is elsewhere",
        |forge| forge.changed(|disk| disk.header(HEADER_OWN, &2_u64.to_le_bytes())),
        Refused(&["the partition table is damaged: own position"]),
    ),
    (
        "another revision",
        |forge| forge.changed(|disk| disk.header(8, &2_u32.to_le_bytes())),
        Refused(&["the partition table is damaged: revision"]),
    ),
    (
        "a wrong check sum of the header",
        |forge| forge.changed(|disk| disk.put(512 + 56, &[9])),
        Refused(&["the partition table is damaged: header checksum"]),
    ),
    (
        "a wrong check sum of the entries",
        |forge| forge.changed(|disk| disk.put(1024 + ENTRY_LABEL, b"x")),
        Refused(&["the partition table is damaged: checksum of the entries"]),
    ),
    (
        "another table at the end",
        |forge| forge.changed(Disk::shorten_backup),
        Refused(&["the table at the end of the image is another one than that at its beginning"]),
    ),
    (
        "a table at the end alone",
        |forge| forge.changed(|disk| disk.put(512, &[0; 512])),
        Refused(&["one that protects a GPT, but there is no GPT"]),
    ),
    (
        "half an image",
        |forge| forge.changed(|disk| disk.0.truncate(disk.0.len() / 2)),
        Refused(&["the image is shorter than its table says"]),
    ),
    (
        "an image without its last sector",
        |forge| forge.changed(|disk| disk.0.truncate(disk.0.len() - 512)),
        Refused(&["the image is shorter than its table says"]),
    ),
    (
        "a hybrid table",
        |forge| {
            forge.changed(|disk| {
                disk.put(
                    446 + 16,
                    &[0, 0, 0, 0, 0x83, 0, 0, 0, 64, 0, 0, 0, 8, 0, 0, 0],
                )
            })
        },
        Refused(&["the first sector is no protective MBR"]),
    ),
    (
        "a hybrid table without protection",
        |forge| {
            forge.changed(|disk| {
                disk.put(446, &[0, 0, 0, 0, 0x83, 0, 0, 0, 64, 0, 0, 0, 8, 0, 0, 0])
            })
        },
        Refused(&["the first sector is no protective MBR"]),
    ),
    (
        "a first sector of nothing",
        |forge| forge.changed(|disk| disk.put(0, &[0; 512])),
        Refused(&["the first sector is no protective MBR"]),
    ),
    (
        "tables for two sizes of sectors",
        |forge| {
            forge.changed(|disk| {
                let header = disk.0[512..1024].to_vec();
                disk.put(4096, &header);
            })
        },
        Refused(&["sectors of 512 and of 4096 bytes: ambiguous"]),
    ),
    (
        "two partitions of one identifier",
        |forge| {
            forge.changed(|disk| {
                let id = disk.raw_entry(0)[ENTRY_ID..ENTRY_FIRST].to_vec();
                disk.entry(1, ENTRY_ID, &id);
            })
        },
        Refused(&["partitions 1 and 2 have the same identifier"]),
    ),
    (
        "a partition without identifier",
        |forge| forge.changed(|disk| disk.entry(0, ENTRY_ID, &[0; 16])),
        Refused(&["partition 1 is damaged: it has no identifier"]),
    ),
    (
        "a label with control characters",
        |forge| forge.changed(|disk| disk.entry(0, ENTRY_LABEL, &[0x1b, 0])),
        Refused(&["partition 1 is damaged: its label is no text"]),
    ),
    (
        "a label of half characters",
        |forge| forge.changed(|disk| disk.entry(0, ENTRY_LABEL, &[0, 0xd8, b'x', 0])),
        Refused(&["partition 1 is damaged: its label is no text"]),
    ),
    (
        "two roots",
        |forge| vec![forge.file("forged.psi", &parts(&[Purpose::Root, Purpose::Root]).0)],
        Refused(&["two root partitions of the same version, labelled \"\" and \"\": ambiguous"]),
    ),
    (
        "two roots of one version whose labels differ",
        |forge| {
            let (root, nothing) = (native(Purpose::Root), [0; 4096]);
            let id = |number| Guid::from_bytes([number; 16]);
            let parts = [(root, id(1), &nothing[..]), (root, id(2), &nothing[..])];
            let disk = labelled(&parts, &["boat_1.0", "boat_1.00"]);
            vec![forge.file("forged.psi", &disk.0)]
        },
        Refused(&[
            r#"two root partitions of the same version, labelled "boat_1.0" and "boat_1.00""#,
        ]),
    ),
    (
        "a newer root with the hash tree and the signature of the older one",
        |forge| {
            let good = forge.good();
            let mut newer = good.part(0).to_vec();
            newer[4_000] ^= 1;
            let parts = [
                (native(Purpose::Root), id(&good, 0), good.part(0)),
                (native(Purpose::Root), Guid::from_bytes([9; 16]), &newer[..]),
                (native(Purpose::Verity), id(&good, 1), good.part(1)),
                (native(Purpose::Signature), id(&good, 2), good.part(2)),
            ];
            let disk = labelled(&parts, &["boat_1", "boat_2", "boat_1", "boat_1"]);
            vec![forge.file("forged.psi", &disk.0)]
        },
        Refused(&["root hash"]),
    ),
    (
        "more roots than anybody looks into",
        |forge| vec![forge.file("forged.psi", &parts(&[Purpose::Root; 17]).0)],
        Refused(&["the image has 17 root partitions, of which at most 16 are looked into"]),
    ),
    (
        "two hash trees",
        |forge| {
            vec![forge.file(
                "forged.psi",
                &parts(&[Purpose::Root, Purpose::Verity, Purpose::Verity]).0,
            )]
        },
        Refused(&["two verity partitions of the same version"]),
    ),
    (
        "two signatures",
        |forge| {
            let all = [
                Purpose::Root,
                Purpose::Verity,
                Purpose::Signature,
                Purpose::Signature,
            ];
            vec![forge.file("forged.psi", &parts(&all).0)]
        },
        Refused(&["two verity signature partitions of the same version"]),
    ),
    (
        "two partitions for anything",
        |forge| {
            vec![forge.file(
                "forged.psi",
                &parts(&[Purpose::Generic, Purpose::Generic]).0,
            )]
        },
        Refused(&["more than one Linux partition"]),
    ),
    (
        "a signature of nothing",
        |forge| vec![forge.file("forged.psi", &parts(&[Purpose::Root, Purpose::Signature]).0)],
        Refused(&["a verity signature partition, but no verity partition"]),
    ),
    (
        "a root for another processor",
        |forge| {
            vec![forge.file(
                "forged.psi",
                &of_kinds(&[(foreign(), Guid::from_bytes([1; 16]), &[0; 4096])]).0,
            )]
        },
        Refused(&["no root partition for this processor (but for "]),
    ),
    (
        "a root that is to be left alone",
        |forge| {
            forge.changed(|disk| {
                disk.entry(0, ENTRY_FLAGS, &(1_u64 << 63).to_le_bytes());
                disk.mirror();
            })
        },
        Refused(&["no root partition for this processor"]),
    ),
    (
        "a table and a file system",
        |forge| forge.changed(|disk| disk.put(0, b"hsqs")),
        Refused(&["looks like GPT and like squashfs: ambiguous"]),
    ),
    (
        "a table and a disk of the older kind in FAT",
        |forge| forge.changed(|disk| disk.put(54, b"FAT16   ")),
        Refused(&["looks like GPT and like vfat: ambiguous"]),
    ),
    (
        "a root of two kinds",
        |forge| {
            let mut root = forge.good().part(0).to_vec();
            root[..4].copy_from_slice(b"hsqs");
            vec![forge.file(
                "forged.psi",
                &disk(&[(Purpose::Root, Guid::from_bytes([1; 16]), &root)]).0,
            )]
        },
        Refused(&["the root partition looks like squashfs and like erofs: ambiguous"]),
    ),
    (
        "an erofs with another superblock behind",
        |forge| {
            let mut root = forge.good().part(0).to_vec();
            root.resize(root.len().max(0x1_1000), 0);
            root[0x1_0040..0x1_0048].copy_from_slice(b"_BHRfS_M");
            vec![forge.file(
                "forged.psi",
                &disk(&[(Purpose::Root, Guid::from_bytes([1; 16]), &root)]).0,
            )]
        },
        Refused(&["the root partition looks like erofs and like btrfs: ambiguous"]),
    ),
    (
        "a root that is encrypted",
        |forge| {
            let mut root = vec![0; 8192];
            root[..6].copy_from_slice(b"LUKS\xba\xbe");
            vec![forge.file(
                "forged.psi",
                &disk(&[(Purpose::Root, Guid::from_bytes([1; 16]), &root)]).0,
            )]
        },
        Refused(&["the root partition holds LUKS"]),
    ),
    (
        "a root of nothing",
        |forge| vec![forge.file("forged.psi", &parts(&[Purpose::Root]).0)],
        Refused(&["the root partition holds no known file system"]),
    ),
    (
        "a root that can be written to",
        |forge| {
            let mut root = vec![0; 8192];
            root[1080..1082].copy_from_slice(&[0x53, 0xef]);
            vec![forge.file("forged.psi", &forge.signed(&root).0)]
        },
        Refused(&["file systems of kind ext4 are not mounted from images here"]),
    ),
    (
        "a signature of two megabytes",
        |forge| {
            let (root, text) = (forge.good().part(0).to_vec(), vec![b' '; 2 << 20]);
            let parts = [
                (Purpose::Root, Guid::from_bytes([1; 16]), &*root),
                (Purpose::Verity, Guid::from_bytes([2; 16]), &[0; 4096][..]),
                (Purpose::Signature, Guid::from_bytes([3; 16]), &*text),
            ];
            vec![forge.file("forged.psi", &disk(&parts).0)]
        },
        Refused(&["the signature partition is damaged: it is larger than a mebibyte"]),
    ),
    (
        "a signature that is no text",
        |forge| forge.changed(|disk| disk.within(2, 0, &[0xff])),
        Refused(&["the signature partition is damaged: it is no text"]),
    ),
    (
        "something behind a signature",
        |forge| {
            forge.changed(|disk| {
                let last = disk.part(2).len() - 1;
                disk.within(2, last, b"x");
            })
        },
        Refused(&["the signature partition is damaged: something follows its text"]),
    ),
    (
        "an old table that overlaps",
        |forge| vec![forge.file("forged.raw", &old(&[(0x83, 8, 16), (0x82, 16, 16)]))],
        Refused(&["partitions 1 and 2 of the MBR overlap"]),
    ),
    (
        "an old table past the disk",
        |forge| vec![forge.file("forged.raw", &old(&[(0x83, 8, u32::MAX)]))],
        Refused(&["partition 1 of the MBR is damaged: it lies beyond the image's end"]),
    ),
    (
        "an old table over itself",
        |forge| vec![forge.file("forged.raw", &old(&[(0x83, 0, 16)]))],
        Refused(&["partition 1 of the MBR is damaged: it begins at the table itself"]),
    ),
    (
        "an old table of two roots",
        |forge| vec![forge.file("forged.raw", &old(&[(0x83, 8, 8), (0x83, 16, 8)]))],
        Refused(&["more than one Linux partition"]),
    ),
    (
        "an old table that leads to itself",
        // An extended partition is a list, whose end its maker decides on.
        |forge| vec![forge.file("forged.raw", &old(&[(0x05, 1, 8), (0x0f, 16, 8)]))],
        Refused(&["no root partition for this processor"]),
    ),
    (
        "a good image that nobody signed in an old table",
        |forge| {
            let root = forge.good().part(0).to_vec();
            let mut bytes = old(&[(0x83, 8, (root.len() / 512) as u32)]);
            bytes.resize(4096, 0);
            bytes.extend(root);
            vec![forge.file("forged.raw", &bytes)]
        },
        Refused(&["not signed", "ask its maker for a signed one"]),
    ),
    (
        "a good image of somebody unknown",
        |forge| vec![forge.file("forged.psi", &forge.sign(&forge.good(), By::Unknown).0)],
        Refused(&["\"Unknown Maker\"", "not trusted"]),
    ),
];
