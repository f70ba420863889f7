//! What is no image at all.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::Kind;
use crate::Verdict::Refused;
use crate::forge::Forge;

fn node(forge: &Forge<'_>, kind: FileType, device: (u32, u32)) -> Vec<String> {
    let path = forge.path("forged.psi");
    drop(fs::remove_file(&path));
    mknodat(
        CWD,
        &path,
        kind,
        Mode::from_raw_mode(0o644),
        makedev(device.0, device.1),
    )
    .expect("a node");
    vec![path.display().to_string()]
}

const NO_FILE: &[&str] = &["is no file that an image could be in"];
const NO_IMAGE: &[&str] = &[
    "is no image that can be read",
    "this is no image",
    "`coracle build` makes images",
];

pub const KINDS: &[Kind] = &[
    (
        "a pipe that nobody writes into",
        |forge| node(forge, FileType::Fifo, (0, 0)),
        Refused(NO_FILE),
    ),
    (
        "a device without end",
        |forge| node(forge, FileType::CharacterDevice, (1, 5)),
        Refused(NO_FILE),
    ),
    (
        "a device that answers nobody",
        |forge| node(forge, FileType::CharacterDevice, (200, 200)),
        Refused(&["cannot open "]),
    ),
    (
        "a link to itself",
        |forge| {
            let path = forge.path("forged.psi");
            drop(fs::remove_file(&path));
            symlink("forged.psi", &path).expect("a link");
            vec![path.display().to_string()]
        },
        Refused(&["cannot read "]),
    ),
    (
        "a link to memory",
        |forge| {
            let path = forge.path("forged.psi");
            drop(fs::remove_file(&path));
            symlink("/proc/self/mem", &path).expect("a link");
            vec![path.display().to_string()]
        },
        Refused(&["cannot "]),
    ),
    (
        "a file of nothing",
        |forge| vec![forge.file("forged.psi", b"")],
        Refused(NO_IMAGE),
    ),
    (
        "a file of one byte",
        |forge| vec![forge.file("forged.psi", b"h")],
        Refused(NO_IMAGE),
    ),
    (
        "a file of text",
        |forge| vec![forge.file("forged.psi", b"[Service]\nExecStart=/bin/x\n")],
        Refused(NO_IMAGE),
    ),
    (
        "a megabyte of zeros",
        |forge| vec![forge.file("forged.psi", &[0; 1 << 20])],
        Refused(NO_IMAGE),
    ),
    (
        "a file system of another kind",
        |forge| {
            let mut bytes = vec![0; 0x1_0000];
            bytes[0x8001..0x8006].copy_from_slice(b"CD001");
            vec![forge.file("forged.raw", &bytes)]
        },
        Refused(NO_IMAGE),
    ),
];
