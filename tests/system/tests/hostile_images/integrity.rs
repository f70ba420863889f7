//! Hash trees, root hashes, signatures and certificates, and versions of old.

use std::process::Command;

use coracle_system_tests::images::By;
use image::discoverable::Purpose;
use image::guid::Guid;

use crate::Kind;
use crate::Verdict::Refused;
use crate::forge::{Disk, ENTRY_ID, Forge, RELEASE, UNIT, disk, find};

/// Fields of a hash tree's first block.
const VERSION: usize = 8;
const ALGORITHM: usize = 32;
const BLOCK_BYTES: usize = 64;
const DATA_BLOCKS: usize = 72;
const SALT_BYTES: usize = 80;

/// The good image with another text for a signature.
fn with_text(forge: &Forge<'_>, text: &str) -> Vec<String> {
    forge.changed(|disk| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(disk.part(2).len(), 0);
        disk.within(2, 0, &bytes);
    })
}

fn text(disk: &Disk) -> String {
    let text = String::from_utf8_lossy(disk.part(2)).into_owned();
    text.trim_end_matches('\0').to_owned()
}

/// Another image of the same maker.
fn other(forge: &Forge<'_>) -> Disk {
    let image = forge.workshop.tree(
        "ID=ship\nVERSION_ID=1\n",
        By::Trusted,
        &[("ship.service", UNIT)],
        |_| {},
    );
    Disk(std::fs::read(image).expect("an image"))
}

/// The good image, signed with a certificate that openssl(1) made by these lines.
fn signed_by(forge: &Forge<'_>, name: &str, lines: &[&str]) -> Vec<String> {
    for line in lines {
        let done = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(forge.path(""))
            .output();
        let done = done.expect("this test asks openssl, which must be installed (Debian: openssl)");
        assert!(done.status.success(), "{line}: {done:?}");
    }
    let key = forge.path(&format!("{name}.key")).display().to_string();
    let image = forge.file("forged.psi", &forge.good().0);
    forge.coracle.ok(&["sign", &image, "--key", &key]);
    vec![image]
}

pub const KINDS: &[Kind] = &[
    (
        "a hash tree of another version",
        |forge| forge.changed(|disk| disk.within(1, VERSION, &[2])),
        Refused(&["no dm-verity superblock of version 1"]),
    ),
    (
        "a hash tree of nothing",
        |forge| forge.changed(|disk| disk.within(1, 0, &[0; 4096])),
        Refused(&["no dm-verity superblock of version 1"]),
    ),
    (
        "a hash tree of a weak hash",
        |forge| forge.changed(|disk| disk.within(1, ALGORITHM, b"sha1\0\0")),
        Refused(&["unsupported dm-verity hash algorithm"]),
    ),
    (
        "a hash tree of blocks of no bytes",
        |forge| forge.changed(|disk| disk.within(1, BLOCK_BYTES, &[0; 8])),
        Refused(&["unsupported dm-verity block size"]),
    ),
    (
        "a hash tree of blocks of two gigabytes",
        |forge| forge.changed(|disk| disk.within(1, BLOCK_BYTES, &[0, 0, 0, 0x80])),
        Refused(&["unsupported dm-verity block size"]),
    ),
    (
        "a hash tree over everything",
        |forge| forge.changed(|disk| disk.within(1, DATA_BLOCKS, &[0xff; 8])),
        Refused(&["the hash tree covers ", "the root partition has "]),
    ),
    (
        "a hash tree over a part",
        |forge| forge.changed(|disk| disk.within(1, DATA_BLOCKS, &1_u64.to_le_bytes())),
        Refused(&["the hash tree covers 4096 bytes, the root partition has "]),
    ),
    (
        "a hash tree over nothing",
        |forge| forge.changed(|disk| disk.within(1, DATA_BLOCKS, &[0; 8])),
        Refused(&["the hash tree covers 0 bytes, the root partition has "]),
    ),
    (
        "a salt of 64 kilobytes",
        |forge| forge.changed(|disk| disk.within(1, SALT_BYTES, &[0xff; 2])),
        Refused(&["unsupported dm-verity salt"]),
    ),
    (
        "another salt",
        |forge| forge.changed(|disk| disk.within(1, SALT_BYTES, &[1])),
        Refused(&["the stored hash tree is not that of the data"]),
    ),
    (
        "a hash tree without room",
        |forge| {
            let good = forge.good();
            let (root, hashes) = (good.part(0).to_vec(), good.part(1)[..4096].to_vec());
            let parts = [
                (Purpose::Root, Guid::from_bytes([1; 16]), &*root),
                (Purpose::Verity, Guid::from_bytes([2; 16]), &*hashes),
                (Purpose::Signature, Guid::from_bytes([3; 16]), good.part(2)),
            ];
            vec![
                forge.file("forged.psi", &disk(&parts).0),
                "--insecure".to_owned(),
            ]
        },
        Refused(&["too small for its hash tree"]),
    ),
    (
        "one bit of the data",
        |forge| {
            forge.changed(|disk| {
                let at = find(disk.part(0), b"ExecStart=");
                disk.within(0, at, b"F");
            })
        },
        Refused(&["the stored hash tree is not that of the data"]),
    ),
    (
        "one bit of the tree",
        |forge| forge.changed(|disk| disk.within(1, 4096, &[0x55])),
        Refused(&["the stored hash tree is not that of the data"]),
    ),
    (
        "one bit of the data where nobody asks for a signature",
        |forge| {
            let mut words = forge.changed(|disk| {
                let at = find(disk.part(0), b"ExecStart=");
                disk.within(0, at, b"F");
            });
            words.push("--insecure".to_owned());
            words
        },
        Refused(&["the stored hash tree is not that of the data"]),
    ),
    (
        "names of another root hash",
        |forge| {
            forge.changed(|disk| {
                disk.entry(0, ENTRY_ID, &[9; 16]);
                disk.mirror();
            })
        },
        Refused(&[
            "the signature is over root hash ",
            "the partitions are named after 09090909",
        ]),
    ),
    (
        "the signature of another image",
        |forge| with_text(forge, &text(&other(forge))),
        Refused(&["the signature is over root hash "]),
    ),
    (
        "the signature of another image, under the hash of this one",
        |forge| {
            let (own, foreign) = (text(&forge.good()), text(&other(forge)));
            let hash = |text: &str| {
                let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
                value["rootHash"].as_str().expect("a hash").to_owned()
            };
            with_text(forge, &foreign.replace(&hash(&foreign), &hash(&own)))
        },
        Refused(&["the signature is wrong"]),
    ),
    (
        "the root of another image",
        |forge| {
            let (own, foreign) = (forge.good(), other(forge));
            let parts = [
                (
                    Purpose::Root,
                    Guid::from_bytes(
                        own.raw_entry(0)[ENTRY_ID..ENTRY_ID + 16]
                            .try_into()
                            .expect("16"),
                    ),
                    foreign.part(0),
                ),
                (
                    Purpose::Verity,
                    Guid::from_bytes(
                        own.raw_entry(1)[ENTRY_ID..ENTRY_ID + 16]
                            .try_into()
                            .expect("16"),
                    ),
                    foreign.part(1),
                ),
                (Purpose::Signature, Guid::from_bytes([3; 16]), own.part(2)),
            ];
            vec![forge.file("forged.psi", &disk(&parts).0)]
        },
        Refused(&["forged.psi is refused", "the partitions are named after"]),
    ),
    (
        "no signature",
        |forge| {
            let good = forge.good();
            let parts = [(Purpose::Root, Guid::from_bytes([1; 16]), good.part(0))];
            vec![forge.file("forged.psi", &disk(&parts).0)]
        },
        Refused(&["the image is not signed", "ask its maker for a signed one"]),
    ),
    (
        "a signature that is empty",
        |forge| with_text(forge, ""),
        Refused(&["not the JSON object that it should be"]),
    ),
    (
        "a signature that is deep",
        |forge| with_text(forge, &"[".repeat(3000)),
        Refused(&["not the JSON object that it should be"]),
    ),
    (
        "a signature without words",
        |forge| {
            with_text(
                forge,
                &format!(
                    "{{\"rootHash\":\"{}\",\"signature\":\"%\"}}",
                    "0".repeat(64)
                ),
            )
        },
        Refused(&["the signature is damaged: it is not Base64"]),
    ),
    (
        "a signature that is no structure",
        |forge| {
            with_text(
                forge,
                &format!(
                    "{{\"rootHash\":\"{}\",\"signature\":\"AAAA\"}}",
                    "0".repeat(64)
                ),
            )
        },
        Refused(&["the signature is damaged: it is no PKCS#7 structure"]),
    ),
    (
        "a signature without end",
        // Of no stated length in all its parts (BER), as deep as the partition allows.
        |forge| {
            with_text(
                forge,
                &format!(
                    "{{\"rootHash\":\"{}\",\"signature\":\"{}\"}}",
                    "0".repeat(64),
                    "MIAw".repeat(700)
                ),
            )
        },
        Refused(&["the signature is damaged: it is no PKCS#7 structure"]),
    ),
    (
        "a root hash that is none",
        |forge| with_text(forge, "{\"rootHash\":\"../../etc\",\"signature\":\"AAAA\"}"),
        Refused(&["not a root hash: 64 hexadecimal digits"]),
    ),
    (
        "a certificate that has expired",
        |forge| {
            let words = signed_by(
                forge,
                "old",
                &[
                    "req -newkey rsa:2048 -nodes -keyout old.key -out old.csr -subj /CN=Old",
                    "x509 -req -in old.csr -signkey old.key -days -1 -out old.crt",
                ],
            );
            forge
                .coracle
                .ok(&["trust", "add", &forge.path("old.crt").display().to_string()]);
            words
        },
        Refused(&[
            "the certificate of \"Old\" expired",
            "valid now and for signing code",
        ]),
    ),
    (
        "a certificate of a trusted authority that is for servers",
        |forge| {
            let words = signed_by(
                forge,
                "web",
                &[
                    "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=Authority",
                    "req -newkey rsa:2048 -nodes -keyout web.key -out web.csr -subj /CN=Web",
                    "x509 -req -in web.csr -CA ca.crt -CAkey ca.key -out web.crt -days 30 -CAcreateserial",
                ],
            );
            forge
                .coracle
                .ok(&["trust", "add", &forge.path("ca.crt").display().to_string()]);
            // The same key for servers only; the signature has the one that may sign, of the same name and number.
            std::fs::write(
                forge.path("use.ext"),
                "extendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n",
            )
            .expect("a file");
            let serial = Command::new("openssl")
                .args(["x509", "-in", "web.crt", "-noout", "-serial"])
                .current_dir(forge.path(""))
                .output()
                .expect("openssl");
            let serial = String::from_utf8_lossy(&serial.stdout)
                .trim()
                .replace("serial=", "0x");
            for line in [
                format!(
                    "x509 -req -in web.csr -CA ca.crt -CAkey ca.key -out served.crt -days 30 -set_serial {serial} -extfile use.ext"
                ),
                "x509 -in web.crt -outform DER -out web.der".to_owned(),
                "x509 -in served.crt -outform DER -out served.der".to_owned(),
            ] {
                let done = Command::new("openssl")
                    .args(line.split(' '))
                    .current_dir(forge.path(""))
                    .output()
                    .expect("openssl");
                assert!(done.status.success(), "{line}: {done:?}");
            }
            swap_certificate(forge, &words[0]);
            words
        },
        Refused(&["lacks codeSigning"]),
    ),
    (
        "a version of old",
        |forge| {
            let coracle = forge.coracle;
            let newer = forge.workshop.tree(
                "ID=boat\nVERSION_ID=2\n",
                By::Trusted,
                &[("boat.service", UNIT)],
                |_| {},
            );
            coracle.ok(&["attach", &newer]);
            coracle.ok(&["purge", "boat"]);
            let older =
                forge
                    .workshop
                    .tree(RELEASE, By::Trusted, &[("boat.service", UNIT)], |_| {});
            vec![forge.file("boat.psi", &std::fs::read(older).expect("an image"))]
        },
        Refused(&["boat 1 is not installed", "--allow-downgrade"]),
    ),
    (
        "another maker's version",
        |forge| {
            let coracle = forge.coracle;
            coracle.ok(&["purge", "--forget", "boat"]);
            coracle.ok(&["attach", &forge.file("good.psi", &forge.good().0)]);
            coracle.ok(&["purge", "boat"]);
            let certificate = forge.workshop.key(By::Unknown).replace(".key", ".crt");
            coracle.ok(&["trust", "add", &certificate]);
            let newer = forge.workshop.tree(
                "ID=boat\nVERSION_ID=3\n",
                By::Unknown,
                &[("boat.service", UNIT)],
                |_| {},
            );
            vec![forge.file("boat.psi", &std::fs::read(newer).expect("an image"))]
        },
        Refused(&["boat 3 is not installed", "--accept-signer="]),
    ),
];

/// Puts the certificate for servers where the one for anything is in the image's signature.
fn swap_certificate(forge: &Forge<'_>, image: &str) {
    let mut disk = Disk(std::fs::read(image).expect("an image"));
    let mut value: serde_json::Value = serde_json::from_str(&text(&disk)).expect("JSON");
    let read = |name: &str| std::fs::read(forge.path(name)).expect("a file");
    let (from, to) = (read("web.der"), read("served.der"));
    let structure = decode(value["signature"].as_str().expect("text"));
    let at = find(&structure, &from);
    let swapped = relength(&structure, at, from.len(), &to);
    value["signature"] = encode(&swapped).into();
    value["certificateFingerprint"] = serde_json::Value::Null;
    value
        .as_object_mut()
        .expect("an object")
        .remove("certificateFingerprint");
    let mut bytes = value.to_string().into_bytes();
    bytes.resize(disk.part(2).len(), 0);
    disk.within(2, 0, &bytes);
    std::fs::write(image, disk.0).expect("an image");
}

/// Replaces a part of a DER structure, and what is around it says how long it is then.
fn relength(der: &[u8], at: usize, length: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = [&der[..at], with, &der[at + length..]].concat();
    let grown = with.len() as i64 - length as i64;
    // All that lies around it has its length in two bytes, as it is of some hundred to some ten thousand bytes.
    let mut place = 0;
    while place + 4 <= at {
        assert_eq!(bytes[place + 1], 0x82, "a length of two bytes");
        let own = i64::from(u16::from_be_bytes([bytes[place + 2], bytes[place + 3]]));
        bytes[place + 2..place + 4].copy_from_slice(&((own + grown) as u16).to_be_bytes());
        place = inner(der, place + 4, at);
    }
    bytes
}

/// The beginning of the element at this place or after it that reaches beyond `at`.
fn inner(der: &[u8], mut place: usize, at: usize) -> usize {
    while place < at {
        let (head, length) = match der[place + 1] {
            short @ 0..=0x7f => (2, usize::from(short)),
            0x81 => (3, usize::from(der[place + 2])),
            _ => (
                4,
                usize::from(u16::from_be_bytes([der[place + 2], der[place + 3]])),
            ),
        };
        if place + head + length > at {
            return place;
        }
        place += head + length;
    }
    place
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn decode(text: &str) -> Vec<u8> {
    let values = text.bytes().filter(|byte| *byte != b'=');
    let values: Vec<u32> = values
        .map(|byte| {
            ALPHABET
                .iter()
                .position(|letter| *letter == byte)
                .expect("Base64") as u32
        })
        .collect();
    let mut bytes = Vec::new();
    for four in values.chunks(4) {
        let all = four
            .iter()
            .enumerate()
            .fold(0, |all, (place, value)| all | value << (18 - 6 * place));
        bytes.extend(&all.to_be_bytes()[1..four.len()]);
    }
    bytes
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let all = three.iter().enumerate().fold(0_u32, |all, (place, byte)| {
            all | u32::from(*byte) << (16 - 8 * place)
        });
        for place in 0..4 {
            let letter = ALPHABET[(all >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= three.len() { letter } else { '=' });
        }
    }
    text
}
