//! Images made by hand: what is found, what is refused.

use proptest::prelude::*;

use super::*;
use crate::gpt::{Planned, plan};
use crate::guid::Guid;

/// A partition to be: purpose, first byte of its identifier, content.
type Part<'a> = (Purpose, u8, &'a [u8]);

fn image(parts: &[Part<'_>]) -> Vec<u8> {
    let planned = parts.iter().map(|(purpose, id, content)| Planned {
        kind: discoverable::kind(*purpose, discoverable::native().unwrap()).unwrap(),
        id: Guid::from_bytes([*id; 16]),
        flags: gpt::FLAG_READ_ONLY,
        label: "hello_1.0".into(),
        length: content.len().next_multiple_of(4096) as u64,
    });
    let plan = plan(Guid::from_bytes([7; 16]), &planned.collect::<Vec<_>>()).unwrap();
    let mut bytes = plan.head.clone();
    for (partition, (_, _, content)) in plan.table.partitions.iter().zip(parts) {
        bytes.resize(partition.extent.offset as usize, 0);
        bytes.extend(*content);
    }
    bytes.resize(plan.tail_offset as usize, 0);
    bytes.extend(&plan.tail);
    bytes
}

/// What is found, or the refusal.
fn check(bytes: &[u8], expected: &str) {
    let found = match dissect(bytes) {
        Ok(layout) => {
            let layout = layout.claim();
            let part = |name: &str, extent: Option<Extent>| {
                extent.map(|e| format!(" {name} {}+{}", e.offset, e.length))
            };
            let root = part("root", Some(layout.root)).unwrap();
            let verity = part("verity", layout.verity).unwrap_or_default();
            let signature = layout
                .signature
                .as_ref()
                .map(|text| format!(" signature {text}"))
                .unwrap_or_default();
            format!("{}{root}{verity}{signature}", layout.file_system.name())
        }
        Err(error) => format!("refused: {error}"),
    };
    assert_eq!(found, expected);
}

#[test]
fn a_whole_image_and_its_poorer_relatives_are_taken_apart() {
    let root: Part = (Purpose::Root, 1, b"hsqs");
    let verity: Part = (Purpose::Verity, 2, b"verity");
    let signature: Part = (Purpose::Signature, 3, b"{}");
    check(
        &image(&[root, verity, signature]),
        "squashfs root 20480+4096 verity 24576+4096 signature {}",
    );
    check(
        &image(&[root, verity]),
        "squashfs root 20480+4096 verity 24576+4096",
    );
    check(&image(&[root]), "squashfs root 20480+4096");
    check(b"hsqs and then some", "squashfs root 0+18");
}

#[test]
fn file_systems_are_known_by_their_magic_numbers() {
    let at = |offset: usize, magic: &[u8]| {
        let mut content = vec![0; 0x2_0000];
        content[offset..offset + magic.len()].copy_from_slice(magic);
        image(&[(Purpose::Root, 1, &content)])
    };
    check(
        &at(1024, &[0xe2, 0xe1, 0xf5, 0xe0]),
        "erofs root 20480+131072",
    );
    check(&at(1080, &[0x53, 0xef]), "ext4 root 20480+131072");
    check(&at(0, b"XFSB"), "xfs root 20480+131072");
    check(&at(0x10040, b"_BHRfS_M"), "btrfs root 20480+131072");
    check(
        &at(0, b"nothing"),
        "refused: the root partition holds no known file system",
    );
}

#[test]
fn what_is_ambiguous_or_incomplete_is_refused() {
    let root: Part = (Purpose::Root, 1, b"hsqs");
    let twin: Part = (Purpose::Root, 4, b"hsqs");
    let signature: Part = (Purpose::Signature, 3, b"{}");
    check(
        &image(&[root, twin]),
        "refused: the image has more than one root partition",
    );
    check(
        &image(&[root, signature]),
        "refused: the image has a verity signature partition, but no verity partition for it",
    );
    check(
        &image(&[]),
        "refused: the image has no root partition for this processor",
    );
    let mut two = vec![0; 4096];
    two[..4].copy_from_slice(b"hsqs");
    two[1080..1082].copy_from_slice(&[0x53, 0xef]);
    check(
        &image(&[(Purpose::Root, 1, &two)]),
        "refused: the root partition looks like squashfs and like ext4: ambiguous",
    );
    check(
        b"just text",
        "refused: this is no image: neither a GPT partition table nor a squashfs or erofs file system",
    );
    check(
        b"",
        "refused: this is no image: neither a GPT partition table nor a squashfs or erofs file system",
    );
}

#[test]
fn a_foreign_processors_image_says_whose_it_is() {
    let other = if discoverable::native() == Some("arm64") {
        "x86-64"
    } else {
        "arm64"
    };
    let mut bytes = image(&[(Purpose::Root, 1, b"hsqs")]);
    let kind = discoverable::kind(Purpose::Root, other).unwrap().to_disk();
    let planned = Planned {
        kind: Guid::from_disk(kind),
        id: Guid::from_bytes([1; 16]),
        flags: 0,
        label: String::new(),
        length: 4096,
    };
    let plan = plan(Guid::from_bytes([7; 16]), &[planned]).unwrap();
    bytes[..plan.head.len()].copy_from_slice(&plan.head);
    check(
        &bytes,
        &format!("refused: the image has no root partition for this processor (but for {other})"),
    );
}

#[test]
fn a_signature_partition_is_text_and_small() {
    let with = |signature: &[u8]| {
        image(&[
            (Purpose::Root, 1, b"hsqs"),
            (Purpose::Verity, 2, b"verity"),
            (Purpose::Signature, 3, signature),
        ])
    };
    check(
        &with(b"{}\0\0x"),
        "refused: the signature partition is damaged: something follows its text",
    );
    check(
        &with(&[0xff, 0xfe]),
        "refused: the signature partition is damaged: it is no text",
    );
    let large = vec![b' '; SIGNATURE_LIMIT_BYTES as usize + 1];
    check(
        &with(&large),
        "refused: the signature partition is damaged: it is larger than a mebibyte",
    );
}

proptest! {
    #[test]
    fn random_and_flipped_bytes_never_panic(edits in prop::collection::vec((0usize..36864, any::<u8>()), 0..20), cut in 0usize..60000) {
        let mut bytes = image(&[(Purpose::Root, 1, b"hsqs"), (Purpose::Verity, 2, b"v"), (Purpose::Signature, 3, b"{}")]);
        for (at, byte) in edits {
            bytes[at] = byte;
        }
        bytes.truncate(cut);
        if let Ok(layout) = dissect(bytes.as_slice()) {
            prop_assert!(layout.claim().root.end().unwrap() <= bytes.len() as u64);
        }
    }
}
