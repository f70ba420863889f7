//! Images made by hand: what is found, what is refused.

use proptest::prelude::*;

use super::*;
use crate::discoverable;
use crate::gpt::{self, Planned, plan};
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
    laid_out(planned, parts.iter().map(|(.., content)| *content))
}

/// A disk with a GPT of these partitions, with these contents.
fn laid_out<'a>(
    planned: impl Iterator<Item = Planned>,
    contents: impl Iterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let plan = plan(Guid::from_bytes([7; 16]), &planned.collect::<Vec<_>>()).unwrap();
    let mut bytes = plan.head.clone();
    for (partition, content) in plan.table.partitions.iter().zip(contents) {
        bytes.resize(partition.extent.offset as usize, 0);
        bytes.extend(content);
    }
    bytes.resize(plan.tail_offset as usize, 0);
    bytes.extend(&plan.tail);
    bytes
}

/// What a survey finds, or the refusal.
fn check_survey(bytes: &[u8], expected: &str) {
    let found = match survey(bytes) {
        Ok(disk) => {
            let parts = disk.claim().parts.iter().map(|part| {
                let content = part.content.map_or("nothing", Content::name);
                let flags = [(part.read_only, " read-only"), (part.grows, " grows")];
                let flags = flags.iter().filter(|(is_set, _)| *is_set);
                let flags: String = flags.map(|(_, word)| *word).collect();
                let Extent { offset, length } = part.extent;
                format!("{} {content} {offset}+{length}{flags}", part.purpose.name())
            });
            format!(
                "{:?}: {}",
                disk.claim().shape,
                parts.collect::<Vec<_>>().join(", ")
            )
        }
        Err(error) => format!("refused: {error}"),
    };
    assert_eq!(found, expected);
}

/// A GPT with these types, flags and contents.
fn table(parts: &[(Guid, u64, &[u8])]) -> Vec<u8> {
    let planned = (1..)
        .zip(parts)
        .map(|(id, (kind, flags, content))| Planned {
            kind: *kind,
            id: Guid::from_bytes([id; 16]),
            flags: *flags,
            label: String::new(),
            length: content.len().next_multiple_of(4096) as u64,
        });
    laid_out(planned, parts.iter().map(|(.., content)| *content))
}

fn kind(purpose: Purpose) -> Guid {
    discoverable::kind(purpose, discoverable::native().unwrap()).unwrap()
}

#[test]
fn a_survey_finds_every_partition_that_is_for_this_processor() {
    let foreign = if discoverable::native() == Some("arm64") {
        "x86-64"
    } else {
        "arm64"
    };
    let foreign = discoverable::kind(Purpose::Root, foreign).unwrap();
    check_survey(
        &table(&[
            (foreign, 0, b"hsqs"),
            (kind(Purpose::Root), gpt::FLAG_GROWS, b"hsqs"),
            (kind(Purpose::Usr), gpt::FLAG_READ_ONLY, b"XFSB"),
            (kind(Purpose::UsrVerity), 0, b"verity"),
            (kind(Purpose::Home), gpt::FLAG_NO_AUTO, b"hsqs"),
            (kind(Purpose::Srv), 0, b"hsqs"),
            (kind(Purpose::Var), 0, b"text"),
            (kind(Purpose::Swap), 0, b""),
            (kind(Purpose::Generic), 0, b"XFSB"),
            (Guid::from_bytes([9; 16]), 0, b"XFSB"),
        ]),
        "Gpt: root squashfs 24576+4096 grows, /usr xfs 28672+4096 read-only, /usr verity nothing 32768+4096, \
         srv squashfs 40960+4096, var nothing 45056+4096, swap nothing 49152+512",
    );
    check_survey(
        &table(&[
            (kind(Purpose::Esp), 0, b"text"),
            (kind(Purpose::Generic), 0, b"XFSB"),
        ]),
        "Gpt: EFI system nothing 20480+4096, root xfs 24576+4096",
    );
    check_survey(b"hsqs and then some", "Bare: root squashfs 0+18");
}

#[test]
fn what_a_survey_could_take_for_two_things_is_refused() {
    let generic = (kind(Purpose::Generic), 0, b"XFSB".as_slice());
    check_survey(
        &table(&[generic, generic]),
        "refused: the image has more than one Linux partition",
    );
    let srv = (kind(Purpose::Srv), 0, b"XFSB".as_slice());
    check_survey(
        &table(&[(kind(Purpose::Root), 0, b"hsqs"), srv, srv]),
        "refused: the image has more than one srv partition",
    );
    let mut disk = table(&[(kind(Purpose::Root), 0, b"hsqs")]);
    disk[..4].copy_from_slice(b"XFSB");
    check_survey(
        &disk,
        "refused: the image looks like GPT and like xfs: ambiguous",
    );
    let mut two = vec![0; 0x2_0000];
    two[..4].copy_from_slice(b"hsqs");
    two[0x1_0040..0x1_0048].copy_from_slice(b"_BHRfS_M");
    check_survey(
        &two,
        "refused: the image looks like squashfs and like btrfs: ambiguous",
    );
    check_survey(
        &table(&[
            (kind(Purpose::Root), 0, b"hsqs"),
            (kind(Purpose::Home), 0, &two),
        ]),
        "refused: the home partition looks like squashfs and like btrfs: ambiguous",
    );
    check_survey(
        &table(&[
            (kind(Purpose::Usr), 0, b"hsqs"),
            (kind(Purpose::UsrSignature), 0, b"{}"),
        ]),
        "refused: the image has a /usr verity signature partition, but no /usr verity partition for it",
    );
}

/// A partition to be: purpose, label, flags, first byte of its identifier, content.
type Version<'a> = (Purpose, &'a str, u64, u8, &'a [u8]);

fn versions(parts: &[Version<'_>]) -> Vec<u8> {
    let planned = parts
        .iter()
        .map(|(purpose, label, flags, id, content)| Planned {
            kind: kind(*purpose),
            id: Guid::from_bytes([*id; 16]),
            flags: *flags,
            label: (*label).to_owned(),
            length: content.len().next_multiple_of(4096) as u64,
        });
    laid_out(planned, parts.iter().map(|(.., content)| *content))
}

/// The label of the root that is taken, and the identifiers of what goes with it.
fn check_versions(parts: &[Version<'_>], expected: &str) {
    let found = match dissect(versions(parts).as_slice()) {
        Ok(layout) => {
            let layout = layout.claim();
            let hash = layout.root_hash.map(|hash| {
                let (root, verity) = hash.partition_ids();
                format!(" {}+{}", root.bytes()[0], verity.bytes()[0])
            });
            format!(
                "{}{}{}",
                layout.label.as_deref().unwrap_or_default(),
                hash.unwrap_or_default(),
                layout.signature.as_ref().map_or("", |_| " signed")
            )
        }
        Err(error) => format!("refused: {error}"),
    };
    assert_eq!(found, expected);
}

#[test]
fn of_several_roots_the_newest_by_its_label_is_taken() {
    let root = |label, flags, id| (Purpose::Root, label, flags, id, b"hsqs".as_slice());
    check_versions(
        &[root("r_9", 0, 1), root("r_10", 0, 2), root("r_2", 0, 3)],
        "r_10",
    );
    check_versions(&[root("r_1~rc1", 0, 1), root("r_1", 0, 2)], "r_1");
    check_versions(&[root("Debian_1", 0, 1), root("zebra_0", 0, 2)], "zebra_0");
    check_versions(&[root("r_1", 0, 1), root("", 0, 2)], "r_1");
    // What is used by name only, and what waits for a version, is none.
    check_versions(
        &[root("r_1", 0, 1), root("r_2", gpt::FLAG_NO_AUTO, 2)],
        "r_1",
    );
    check_versions(&[root("Debian_1", 0, 1), root("_empty", 0, 2)], "Debian_1");
    check_versions(
        &[root("_empty", 0, 1)],
        "refused: the image has no root partition for this processor",
    );
    // A newest one that is nothing is not passed over; an older one may be half written.
    let nothing = (Purpose::Root, "r_2", 0, 2, b"nothing".as_slice());
    check_versions(
        &[root("r_1", 0, 1), nothing],
        "refused: the root partition holds no known file system",
    );
    check_versions(&[root("r_3", 0, 1), nothing], "r_3");
    let many: Vec<Version<'_>> = (1..=17).map(|id| root("r_1", 0, id)).collect();
    check_versions(
        &many,
        "refused: the image has 17 root partitions, of which at most 16 are looked into",
    );
}

#[test]
fn what_protects_the_newest_root_is_the_newest_too_and_the_signature_is_that_of_its_hash() {
    let hash = |root: u8, verity: u8| {
        let (root, verity) = (Guid::from_bytes([root; 16]), Guid::from_bytes([verity; 16]));
        let hash = RootHash::from_partition_ids(root, verity);
        format!(r#"{{"rootHash":"{hash}","signature":"aaaa"}}"#)
    };
    let (old, new) = (hash(1, 3), hash(2, 4));
    let root = |label, id| (Purpose::Root, label, 0, id, b"hsqs".as_slice());
    let verity = |label, id| (Purpose::Verity, label, 0, id, b"verity".as_slice());
    let all = [
        root("r_1", 1),
        root("r_2", 2),
        verity("r_1_verity", 3),
        verity("r_2_verity", 4),
    ];
    let with = |first: &[u8], second: &[u8]| {
        let signatures = [
            (Purpose::Signature, "s_1", 0, 5, first),
            (Purpose::Signature, "s_2", 0, 6, second),
        ];
        let parts: Vec<Version<'_>> = all.into_iter().chain(signatures).collect();
        let found = versions(&parts);
        dissect(found.as_slice()).map(|layout| layout.claim().signature.clone())
    };
    check_versions(&all, "r_2 2+4");
    assert_eq!(
        with(old.as_bytes(), new.as_bytes()).unwrap(),
        Some(new.clone())
    );
    assert_eq!(
        with(new.as_bytes(), old.as_bytes()).unwrap(),
        Some(new.clone())
    );
    // The one for another root hash is handed on, to be refused where it is checked.
    assert_eq!(with(b"{}", old.as_bytes()).unwrap(), Some(old.clone()));
    assert_eq!(with(&[0xff], new.as_bytes()).unwrap(), Some(new));
    let half = with(old.as_bytes(), &[0xff]).unwrap_err();
    assert_eq!(
        half.to_string(),
        "the signature partition is damaged: it is no text"
    );
}

#[test]
fn an_mbr_with_one_linux_partition_has_a_root() {
    let mut disk = vec![0; 4096];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[446 + 4] = 0x83;
    disk[446 + 8] = 4;
    disk[446 + 12] = 4;
    disk[2048..2052].copy_from_slice(b"hsqs");
    check_survey(&disk, "Mbr: root squashfs 2048+2048");
    check(&disk, "squashfs root 2048+2048");
    disk[..4].copy_from_slice(b"hsqs");
    check_survey(
        &disk,
        "refused: the image looks like MBR and like squashfs: ambiguous",
    );
}

#[test]
fn of_several_linux_partitions_of_an_mbr_the_one_with_the_boot_flag_is_the_root() {
    let with = |states: [u8; 2]| {
        let mut disk = vec![0; 8192];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        for (at, state) in states.into_iter().enumerate() {
            let entry = &mut disk[446 + at * 16..][..16];
            entry[0] = state;
            entry[4] = 0x83;
            entry[8] = 4 + 4 * at as u8;
            entry[12] = 4;
        }
        disk[2048..2052].copy_from_slice(b"XFSB");
        disk[4096..4100].copy_from_slice(b"hsqs");
        disk
    };
    check_survey(&with([0, 0x80]), "Mbr: root squashfs 4096+2048");
    check_survey(&with([0x80, 0]), "Mbr: root xfs 2048+2048");
    for ambiguous in [[0, 0], [0x80, 0x80]] {
        check_survey(
            &with(ambiguous),
            "refused: the image has more than one Linux partition",
        );
    }
}

#[test]
fn file_systems_for_the_other_processor_whose_programs_run_here_are_taken_where_there_are_none_for_this_one()
 {
    let Some(secondary) = discoverable::secondary() else {
        return;
    };
    let other = |purpose| discoverable::kind(purpose, secondary).unwrap();
    let all = [
        (other(Purpose::Root), 0, &b"hsqs"[..]),
        (other(Purpose::Verity), 0, b"verity"),
        (kind(Purpose::Verity), 0, b"verity"),
        (other(Purpose::Usr), 0, b"XFSB"),
    ];
    check_survey(
        &table(&all),
        "Gpt: root squashfs 20480+4096, verity nothing 24576+4096, /usr xfs 32768+4096",
    );
    let own_root = [&all[..], &[(kind(Purpose::Root), 0, b"XFSB")]].concat();
    check_survey(
        &table(&own_root),
        "Gpt: root xfs 36864+4096, verity nothing 28672+4096, /usr xfs 32768+4096",
    );
    let hidden = (kind(Purpose::Root), gpt::FLAG_NO_AUTO, &b"XFSB"[..]);
    check_survey(&table(&[all[0], hidden]), "Gpt: root squashfs 20480+4096");
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
        r#"refused: the image has two root partitions of the same version, labelled "hello_1.0" and "hello_1.0": ambiguous"#,
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
    let mut bare = vec![0; 4096];
    bare[1080..1082].copy_from_slice(&[0x53, 0xef]);
    check(
        &bare,
        "refused: this is ext4: of images that come in only squashfs and erofs are mounted, as the kernel's readers of the others are not made for hostile bytes; RootImage= of a unit of the administrator's own takes it",
    );
    check(
        b"just text",
        "refused: this is no image: neither a partition table nor a file system of a known kind",
    );
    check(
        b"",
        "refused: this is no image: neither a partition table nor a file system of a known kind",
    );
    let mut luks = vec![0; 4096];
    luks[..6].copy_from_slice(b"LUKS\xba\xbe");
    check(
        &image(&[(Purpose::Root, 1, &luks)]),
        "refused: the root partition holds LUKS, which is not mounted from images",
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
    let tail = plan.tail_offset as usize;
    bytes[tail..].copy_from_slice(&plan.tail);
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
