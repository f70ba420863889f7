//! Disks as values, policies as text: what is mounted, and what is refused.

use super::*;
use crate::guid::Guid;
use crate::probe::FileSystem;

/// A disk of these partitions; flags `r` and `g`, and what each holds.
fn disk(shape: Shape, parts: &[(Purpose, &str, Option<Content>)]) -> Disk {
    let parts = parts
        .iter()
        .zip(1..)
        .map(|((purpose, flags, content), number)| Part {
            purpose: *purpose,
            extent: Extent {
                offset: u64::from(number) << 20,
                length: 1 << 20,
            },
            content: *content,
            encryption: None,
            text: matches!(purpose, Purpose::Signature | Purpose::UsrSignature)
                .then(|| "{}".into()),
            id: Guid::from_bytes([number; 16]),
            label: None,
            read_only: flags.contains('r'),
            grows: flags.contains('g'),
            architecture: None,
        });
    Disk {
        shape,
        length: 1 << 30,
        parts: parts.collect(),
        others: None,
    }
}

const EXT4: Option<Content> = Some(Content::FileSystem(FileSystem::Ext4));
const EROFS: Option<Content> = Some(Content::FileSystem(FileSystem::Erofs));
const LUKS: Option<Content> = Some(Content::Foreign(Foreign::Luks));

fn check_known(disk: &Disk, policy: &str, root: Known, expected: &str) {
    let policy = ImagePolicy(policy.to_owned());
    let wish = Wish {
        policy: &policy,
        root,
        usr: Known::default(),
    };
    let said = match choose(disk, &wish) {
        Err(error) => error.to_string(),
        Ok(choices) => {
            let words = choices.iter().map(|choice| {
                let choice = match choice {
                    Chosen::Open(choice) => choice,
                    Chosen::Locked(locked) => {
                        let flags = [(locked.read_only, " ro"), (locked.has_integrity, " intact")];
                        let flags = flags.iter().filter(|(is_set, _)| *is_set);
                        let flags: String = flags.map(|(_, word)| *word).collect();
                        return format!("{} locked{flags}", locked.at);
                    }
                };
                let flags = [
                    (choice.read_only, " ro"),
                    (choice.may_be_signed, " signed"),
                    (choice.may_be_unsigned, " unsigned"),
                ];
                let flags = flags.iter().filter(|(is_set, _)| *is_set);
                let flags: String = flags.map(|(_, word)| *word).collect();
                format!("{} {}{flags}", choice.at, choice.layout.file_system.name())
            });
            words.collect::<Vec<_>>().join(", ")
        }
    };
    assert_eq!(said, expected, "{}", policy.0);
}

fn check(disk: &Disk, policy: &str, expected: &str) {
    check_known(disk, policy, Known::default(), expected);
}

fn signed() -> Disk {
    disk(
        Shape::Gpt,
        &[
            (Purpose::Root, "r", EROFS),
            (Purpose::Verity, "r", None),
            (Purpose::Signature, "r", None),
        ],
    )
}

#[test]
fn what_a_policy_lets_be_used_is_mounted_where_it_belongs() {
    let whole = disk(
        Shape::Gpt,
        &[
            (Purpose::Var, "", EXT4),
            (Purpose::Root, "", EXT4),
            (Purpose::Usr, "r", EXT4),
            (Purpose::Home, "", EXT4),
            (Purpose::Swap, "", None),
        ],
    );
    check(
        &whole,
        ImagePolicy::OF_ROOTS,
        "/ ext4 unsigned, /usr ext4 ro unsigned, /home ext4 unsigned, /var ext4 unsigned",
    );
    check(
        &whole,
        ImagePolicy::OF_EXTENSIONS,
        "/ ext4 unsigned, /usr ext4 ro unsigned",
    );
    check(&whole, "root=unprotected", "/ ext4 unsigned");
    check(
        &whole,
        "-",
        "the image has no root and no /usr partition for this processor that its policy lets be used",
    );
    check(
        &whole,
        "~",
        "the image policy does not allow it: the root file system must not be there",
    );
    check(
        &whole,
        "=open:swap=absent",
        "the image policy does not allow it: the swap partition must not be there",
    );
    check(
        &whole,
        "=open:esp=unused",
        "the image policy does not allow it: the EFI system partition is not there",
    );
    check(
        &whole,
        "root=open:srv=unprotected",
        "the image policy does not allow it: the srv partition is not there",
    );
}

#[test]
fn protection_is_as_strong_as_the_policy_wants() {
    check(&signed(), "*", "/ erofs ro signed unsigned");
    check(&signed(), "root=signed", "/ erofs ro signed");
    check(&signed(), "root=verity", "/ erofs ro unsigned");
    check(&signed(), "root=unprotected", "/ erofs ro unsigned");
    check(
        &signed(),
        "root=verity+signed",
        "/ erofs ro signed unsigned",
    );
    check(&signed(), "=open:root=verity", "/ erofs ro unsigned");
    check(
        &signed(),
        "root=unprotected:root-verity=absent",
        "the image policy does not allow it: the verity partition must not be there",
    );
    let hashed = disk(
        Shape::Gpt,
        &[(Purpose::Root, "", EROFS), (Purpose::Verity, "", None)],
    );
    check(&hashed, "root=verity+signed+absent", "/ erofs ro unsigned");
    check(
        &hashed,
        "root=verity+signed",
        "the image policy does not allow it: the verity signature partition is not there",
    );
    check(
        &hashed,
        "root=signed",
        "the image policy does not allow it: the root file system is not signed",
    );
    let open = disk(Shape::Gpt, &[(Purpose::Root, "", EXT4)]);
    check(&open, "root=unprotected+verity+absent", "/ ext4 unsigned");
    check(
        &open,
        "root=unprotected+verity",
        "the image policy does not allow it: the verity partition is not there",
    );
    check(
        &open,
        "root=verity+signed",
        "the image policy does not allow it: the root file system has no verity data",
    );
    check(
        &open,
        "root=encrypted",
        "the image policy does not allow it: the root file system is not encrypted",
    );
}

#[test]
fn what_is_encrypted_is_opened_where_the_policy_lets_it() {
    let locked = |flags, encryption| {
        let mut disk = disk(Shape::Gpt, &[(Purpose::Root, flags, LUKS)]);
        disk.parts[0].encryption = encryption;
        disk
    };
    let header = |has_integrity| {
        Some(Encryption::Luks2(crate::luks::Header {
            cipher: "aes-xts-plain64".into(),
            has_integrity,
        }))
    };
    let plain = locked("", header(false));
    for policy in ["*", ImagePolicy::OF_ROOTS, "root=encrypted"] {
        check(&plain, policy, "/ locked");
    }
    let intact = locked("r", header(true));
    for policy in ["*", "root=encrypted", "root=encryptedwithintegrity"] {
        check(&intact, policy, "/ locked ro intact");
    }
    let forbids =
        |is: &str| format!("the image policy does not allow it: the root file system {is}");
    for policy in ["root=unprotected", "root=verity+signed"] {
        check(&plain, policy, &forbids("is encrypted"));
    }
    check(
        &plain,
        "root=encryptedwithintegrity",
        &forbids("is encrypted without integrity"),
    );
    check(
        &plain,
        "root=encrypted+read-only-on",
        &forbids("is not marked read-only"),
    );
    check(
        &plain,
        "root=unused+unprotected",
        "the image has no root and no /usr partition for this processor that its policy lets be used",
    );
    check(
        &locked("", Some(Encryption::Refused("it is LUKS version 1".into()))),
        "*",
        "the root file system is encrypted, and can't be opened: it is LUKS version 1",
    );
    let hashed = Known {
        root_hash: Some("0".repeat(64).parse().unwrap()),
        ..Known::default()
    };
    check_known(
        &plain,
        "*",
        hashed,
        "a root hash is given for the root file system, but there is no verity data for it",
    );
}

#[test]
fn flags_and_kinds_are_as_the_policy_wants() {
    let one = disk(Shape::Gpt, &[(Purpose::Root, "r", EXT4)]);
    check(
        &one,
        "root=read-only-on+growfs-off+ext4",
        "/ ext4 ro unsigned",
    );
    let is = "the image policy does not allow it: the root file system";
    check(
        &one,
        "root=read-only-off",
        &format!("{is} is marked read-only"),
    );
    check(
        &one,
        "root=growfs-on",
        &format!("{is} is not marked as one that grows"),
    );
    check(
        &one,
        "root=erofs",
        &format!("{is} holds a file system of another kind"),
    );
    let bare = disk(Shape::Bare, &[(Purpose::Root, "", EXT4)]);
    check(
        &bare,
        "root=read-only-on",
        &format!("{is} is not marked read-only"),
    );
    check(
        &bare,
        "root=read-only-off:home=encrypted",
        "/ ext4 unsigned",
    );
    check(&bare, "root=verity+unprotected", "/ ext4 unsigned");
}

/// A disk whose partitions have these labels.
fn labelled(parts: &[(Purpose, &str, Option<Content>)], labels: &[&str]) -> Disk {
    let mut disk = disk(Shape::Gpt, parts);
    for (part, label) in disk.parts.iter_mut().zip(labels) {
        part.label = Some((*label).to_owned());
    }
    disk
}

#[test]
fn of_versions_the_newest_is_mounted_or_the_one_that_the_root_hash_names() {
    let parts = [
        (Purpose::Root, "r", EROFS),
        (Purpose::Root, "r", EXT4),
        (Purpose::Verity, "r", None),
        (Purpose::Verity, "r", None),
    ];
    let two = labelled(&parts, &["b_2", "b_1", "b_2", "b_1"]);
    check(&two, "root=verity", "/ erofs ro unsigned");
    let known = |first: u8, second: u8| Known {
        root_hash: Some(RootHash::from_partition_ids(
            Guid::from_bytes([first; 16]),
            Guid::from_bytes([second; 16]),
        )),
        ..Known::default()
    };
    check_known(&two, "root=verity", known(1, 3), "/ erofs ro unsigned");
    check_known(&two, "root=verity", known(2, 4), "/ ext4 ro unsigned");
    let (ones, twos, threes) = ("01".repeat(16), "02".repeat(16), "03".repeat(16));
    let fives = "05".repeat(16);
    check_known(
        &two,
        "root=verity",
        known(5, 5),
        &format!(
            "the root hash is to be {fives}{fives}, the partitions are named after {ones}{threes}"
        ),
    );
    check_known(
        &two,
        "root=verity",
        known(2, 5),
        &format!(
            "the root hash is to be {twos}{fives}, the partitions are named after {twos}{threes}"
        ),
    );
    let same = labelled(&parts, &["b_2", "b_2", "b_2", "b_1"]);
    check(
        &same,
        "*",
        r#"the image has two root partitions of the same version, labelled "b_2" and "b_2": ambiguous"#,
    );
    check_known(&same, "*", known(2, 3), "/ ext4 ro unsigned");
    let same = labelled(&parts, &["b_2", "b_1", "b-2", "b_02"]);
    check(&same, "*", "/ erofs ro unsigned");
    let same = labelled(&parts, &["b_2", "b_1", "b_2", "b_02"]);
    check(
        &same,
        "*",
        r#"the image has two verity partitions of the same version, labelled "b_2" and "b_02": ambiguous"#,
    );
}

#[test]
fn a_root_hash_from_outside_must_be_the_images() {
    let known = |first: u8, second: u8, aside: Option<u64>, must_be_signed: bool| {
        let (one, two) = (
            Guid::from_bytes([first; 16]),
            Guid::from_bytes([second; 16]),
        );
        Known {
            root_hash: Some(RootHash::from_partition_ids(one, two)),
            signature: must_be_signed.then(|| b"der".to_vec()),
            must_be_signed,
            verity_aside_bytes: aside,
        }
    };
    check_known(
        &signed(),
        "*",
        known(1, 2, None, false),
        "/ erofs ro signed unsigned",
    );
    check_known(&signed(), "*", known(1, 2, None, true), "/ erofs ro signed");
    let (ones, twos, threes) = ("01".repeat(16), "02".repeat(16), "03".repeat(16));
    check_known(
        &signed(),
        "*",
        known(3, 2, None, false),
        &format!(
            "the root hash is to be {threes}{twos}, the partitions are named after {ones}{twos}"
        ),
    );
    let bare = disk(Shape::Bare, &[(Purpose::Root, "", EXT4)]);
    check_known(
        &bare,
        "*",
        known(1, 2, None, false),
        "a root hash is given for the root file system, but there is no verity data for it",
    );
    check_known(
        &bare,
        "root=verity",
        known(1, 2, Some(8192), false),
        "/ ext4 ro unsigned",
    );
    check_known(
        &signed(),
        "*",
        known(1, 2, Some(8192), false),
        "RootVerity= is for an image that is one file system: this one has partitions, and its verity data among them",
    );
}
