//! What grows on its way: compressed files and files with holes.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::Kind;
use crate::Verdict::{Harmless, Refused};
use crate::forge::{Forge, sparse};

/// What zstd(1) makes of these bytes.
fn compressed(bytes: &[u8], more: &[&str]) -> Vec<u8> {
    let child = Command::new("zstd")
        .args(["-q", "-c"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("this test asks zstd, which must be installed (Debian: zstd)");
    let mut stdin = child.stdin.take().expect("its input");
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).expect("it reads"));
    let output = child.wait_with_output().expect("its end");
    writer.join().expect("its end");
    assert!(output.status.success());
    output.stdout
}

/// A frame of so many gigabytes of nothing that does not say so: blocks of one byte that is repeated (RFC 8878).
fn bomb(gigabytes: u64) -> Vec<u8> {
    const BLOCK_BYTES: u64 = 128 << 10;
    // A window of 128 KiB.
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    for _ in 0..gigabytes << 30 >> BLOCK_BYTES.trailing_zeros() {
        let header = (BLOCK_BYTES as u32) << 3 | 1 << 1;
        bytes.extend(&header.to_le_bytes()[..3]);
        bytes.push(0);
    }
    bytes.extend([1, 0, 0]);
    bytes
}

/// What follows `attach` for a compressed file.
fn file(forge: &Forge<'_>, bytes: &[u8]) -> Vec<String> {
    vec![forge.file("forged.psi.zst", bytes)]
}

const DAMAGED: &[&str] = &["can't be decompressed", "fetch it again"];

pub const KINDS: &[Kind] = &[
    (
        "a frame that says it is larger than all disks",
        |forge| {
            file(
                forge,
                &[
                    0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
                    1, 0, 0,
                ],
            )
        },
        Refused(&["is an image of ", "--max-size"]),
    ),
    (
        "a frame that does not say it is larger than what is allowed",
        |forge| {
            let mut words = file(forge, &bomb(1));
            words.extend(["--max-size".to_owned(), "16M".to_owned()]);
            words
        },
        Refused(&["can't be decompressed", "--max-size"]),
    ),
    (
        "a frame that says less than it has",
        |forge| {
            let mut bytes = bomb(1);
            // A single segment of 4096 bytes, by its own word.
            bytes.splice(4..6, [0x60, 0, 0x0f]);
            file(forge, &bytes)
        },
        Refused(DAMAGED),
    ),
    (
        "a window of two gigabytes",
        |forge| file(forge, &[0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0]),
        Refused(DAMAGED),
    ),
    (
        "frames in frames",
        |forge| file(forge, &compressed(&compressed(&forge.good().0, &[]), &[])),
        Refused(&["this is no image"]),
    ),
    (
        "half a frame",
        |forge| {
            let mut bytes = compressed(&forge.good().0, &[]);
            bytes.truncate(bytes.len() / 2);
            file(forge, &bytes)
        },
        Refused(DAMAGED),
    ),
    (
        "a frame with a wrong check sum",
        |forge| {
            let mut bytes = compressed(&forge.good().0, &["--check"]);
            *bytes.last_mut().expect("a byte") ^= 1;
            file(forge, &bytes)
        },
        Refused(DAMAGED),
    ),
    (
        "a frame of nothing",
        |forge| file(forge, &compressed(b"", &[])),
        Refused(&["this is no image"]),
    ),
    (
        "something behind the frame",
        |forge| {
            let mut bytes = compressed(&forge.good().0, &[]);
            bytes.extend(b"and more");
            file(forge, &bytes)
        },
        Refused(DAMAGED),
    ),
    (
        "another frame behind the frame",
        |forge| {
            let mut bytes = compressed(&forge.good().0, &[]);
            bytes.extend(compressed(&[0; 512], &[]));
            // As long as the table says, the rest is nobody's.
            file(forge, &bytes)
        },
        Harmless(|_| {}),
    ),
    (
        "a frame to be skipped without end",
        |forge| {
            file(
                forge,
                &[0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff, 0, 0],
            )
        },
        Refused(&["this is no image"]),
    ),
    (
        "another compression",
        |forge| file(forge, b"\xfd7zXZ\0\0\0"),
        Refused(&["this is no image"]),
    ),
    (
        "a hole of eight terabytes",
        |forge| {
            let path = forge.path("forged.psi");
            sparse(&path, &forge.good().0, 8 << 40);
            vec![path.display().to_string()]
        },
        Refused(&["is an image of ", "--max-size"]),
    ),
    (
        "a hole that is larger than what is allowed",
        |forge| {
            let path = forge.path("forged.psi");
            sparse(&path, &forge.good().0, 32 << 20);
            ["--max-size", "16M"].iter().fold(
                vec![path.display().to_string()],
                |mut words, word| {
                    words.push((*word).to_owned());
                    words
                },
            )
        },
        Refused(&[
            "is an image of 33554432 bytes, and 16777216 are allowed",
            "--max-size",
        ]),
    ),
];
