//! File systems that are signed, so that the kernel and who reads for `inspect` come to see them.

use crate::Kind;
use crate::Verdict::Refused;
use crate::forge::{Forge, find};

/// Where an erofs says what it is, and fields of that.
const EROFS: usize = 1024;
const COMPATIBLE: usize = EROFS + 8;
const BLOCK_BITS: usize = EROFS + 12;
const ROOT: usize = EROFS + 14;
const META: usize = EROFS + 40;
const INCOMPATIBLE: usize = EROFS + 80;

/// Bytes of an entry of a directory of erofs, and where its name is said to be.
const ENTRY: usize = 12;
const NAME: usize = 8;

/// The erofs of the good image after a change, without its check sum; signed.
fn erofs(forge: &Forge<'_>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
    let mut bytes = forge.good().part(0).to_vec();
    bytes[COMPATIBLE] &= !1;
    change(&mut bytes);
    forge.around(&bytes)
}

/// Where the entry of a name is in an erofs; its directory begins with the entry of itself.
fn entry(bytes: &[u8], name: &str) -> usize {
    let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let names =
        (0..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(name.as_bytes()));
    for at in names {
        for start in (at.saturating_sub(4096)..at).filter(|start| start + ENTRY <= bytes.len()) {
            let first = number(start + NAME);
            let is_directory = first > 0
                && first % ENTRY == 0
                && start + first <= at
                && bytes[start + first] == b'.';
            if !is_directory {
                continue;
            }
            let count = first / ENTRY;
            let is_it = |place: &usize| {
                let own = start + place * ENTRY;
                let is_there = start + number(own + NAME) == at;
                // The last name ends where something else begins.
                let is_whole = match place + 1 == count {
                    true => !bytes
                        .get(at + name.len())
                        .is_some_and(u8::is_ascii_alphanumeric),
                    false => number(own + ENTRY + NAME) == number(own + NAME) + name.len(),
                };
                is_there && is_whole
            };
            if let Some(place) = (0..count).find(is_it) {
                return start + place * ENTRY;
            }
        }
    }
    panic!("no entry of {name}");
}

/// Where the inode of an entry is.
fn inode(bytes: &[u8], entry: usize) -> usize {
    let number = u64::from_le_bytes(bytes[entry..entry + 8].try_into().expect("eight"));
    let meta = u32::from_le_bytes(bytes[META..META + 4].try_into().expect("four"));
    number as usize * 32 + meta as usize * 4096
}

/// A squashfs of which nothing is compressed, after a change; signed.
fn squashfs(forge: &Forge<'_>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
    let mut bytes = forge.system("squashfs", &forge.tree(|_| {}));
    change(&mut bytes);
    forge.around(&bytes)
}

const MOUNT: &[&str] = &[
    "cannot mount the image: reading the file system",
    "as its maker made it",
];
const READ: &[&str] = &["cannot read ", " in the image"];

pub const KINDS: &[Kind] = &[
    (
        "an erofs whose root is elsewhere",
        |forge| erofs(forge, |bytes| bytes[ROOT..ROOT + 2].fill(0xff)),
        Refused(MOUNT),
    ),
    (
        "an erofs whose root is a file",
        |forge| {
            erofs(forge, |bytes| {
                let number = bytes[entry(bytes, "os-release")..][..2].to_vec();
                bytes[ROOT..ROOT + 2].copy_from_slice(&number);
            })
        },
        Refused(MOUNT),
    ),
    (
        "an erofs of inodes past its end",
        |forge| erofs(forge, |bytes| bytes[META..META + 4].fill(0xff)),
        Refused(MOUNT),
    ),
    (
        "an erofs of blocks of half the memory",
        |forge| erofs(forge, |bytes| bytes[BLOCK_BITS] = 31),
        Refused(MOUNT),
    ),
    (
        "an erofs of the future",
        |forge| {
            erofs(forge, |bytes| {
                bytes[INCOMPATIBLE..INCOMPATIBLE + 4].fill(0xff)
            })
        },
        Refused(MOUNT),
    ),
    (
        "an erofs with a wrong check sum",
        |forge| {
            let mut bytes = forge.good().part(0).to_vec();
            bytes[EROFS + 4] ^= 1;
            forge.around(&bytes)
        },
        Refused(MOUNT),
    ),
    (
        "an erofs whose directory is itself",
        |forge| {
            erofs(forge, |bytes| {
                let (above, below) = (entry(bytes, "systemd"), entry(bytes, "system"));
                let number = bytes[above..above + 8].to_vec();
                bytes[below..below + 8].copy_from_slice(&number);
            })
        },
        Refused(&[
            "cannot read usr/lib/systemd/system in the image",
            "(os error 40)",
        ]),
    ),
    (
        "an erofs whose directory is its root",
        |forge| {
            erofs(forge, |bytes| {
                let below = entry(bytes, "system");
                let number = bytes[ROOT..ROOT + 2].to_vec();
                bytes[below..below + 8].fill(0);
                bytes[below..below + 2].copy_from_slice(&number);
            })
        },
        Refused(&[
            "cannot read usr/lib/systemd/system in the image",
            "(os error 40)",
        ]),
    ),
    (
        "an erofs whose name is a path",
        |forge| {
            erofs(forge, |bytes| {
                let at = find(bytes, b"boat.service");
                bytes[at..at + 12].copy_from_slice(b"boat/service");
            })
        },
        Refused(READ),
    ),
    (
        "an erofs whose name leads up",
        |forge| {
            erofs(forge, |bytes| {
                let at = find(bytes, b"boat.service");
                bytes[at..at + 12].copy_from_slice(b"../e.service");
            })
        },
        Refused(READ),
    ),
    (
        "an erofs whose name has an end within",
        |forge| {
            erofs(forge, |bytes| {
                let at = find(bytes, b"boat.service");
                bytes[at + 4] = 0;
            })
        },
        Refused(&["boat"]),
    ),
    (
        "an erofs whose file is called like what is above it",
        |forge| {
            let mut bytes = forge.system(
                "erofs",
                &forge.tree(|root| {
                    std::fs::rename(
                        root.join("usr/lib/systemd/system/boat.service"),
                        root.join("usr/lib/systemd/system/ab"),
                    )
                    .expect("a name");
                }),
            );
            bytes[COMPATIBLE] &= !1;
            let at = find(&bytes, b"...ab") + 3;
            bytes[at..at + 2].copy_from_slice(b"..");
            forge.around(&bytes)
        },
        Refused(&["boat"]),
    ),
    (
        "an erofs whose names are past their block",
        |forge| {
            erofs(forge, |bytes| {
                let at = entry(bytes, "boat.service");
                bytes[at + NAME..at + NAME + 2].fill(0xff);
            })
        },
        Refused(READ),
    ),
    (
        "an erofs whose names go back",
        |forge| {
            erofs(forge, |bytes| {
                let at = entry(bytes, "boat.service");
                bytes[at + NAME..at + NAME + 2].copy_from_slice(&[1, 0]);
            })
        },
        Refused(READ),
    ),
    (
        "an erofs of a directory of eight exabytes",
        |forge| {
            erofs(forge, |bytes| {
                let at = inode(bytes, entry(bytes, "system"));
                let wide = bytes[at] & 1 == 1;
                let size = if wide { 8 } else { 4 };
                bytes[at + 8..at + 8 + size].fill(0x7f);
            })
        },
        Refused(READ),
    ),
    (
        "an erofs of a file of eight exabytes",
        |forge| {
            erofs(forge, |bytes| {
                let at = inode(bytes, entry(bytes, "boat.service"));
                let wide = bytes[at] & 1 == 1;
                let size = if wide { 8 } else { 4 };
                bytes[at + 8..at + 8 + size].fill(0x7f);
            })
        },
        Refused(&["boat.service in the image"]),
    ),
    (
        "an erofs of a file that is elsewhere",
        |forge| {
            erofs(forge, |bytes| {
                let at = inode(bytes, entry(bytes, "boat.service"));
                // Plain, in blocks that are not there.
                bytes[at] &= 1;
                bytes[at + 16..at + 20].fill(0x7f);
            })
        },
        Refused(READ),
    ),
    (
        "an erofs of an inode of no kind",
        |forge| {
            erofs(forge, |bytes| {
                let at = inode(bytes, entry(bytes, "boat.service"));
                bytes[at + 4..at + 6].fill(0);
            })
        },
        Refused(READ),
    ),
    (
        "an erofs of an inode of another version",
        |forge| {
            erofs(forge, |bytes| {
                let at = inode(bytes, entry(bytes, "boat.service"));
                bytes[at] |= 0x0e;
            })
        },
        Refused(READ),
    ),
    (
        "an erofs of attributes without end",
        |forge| {
            erofs(forge, |bytes| {
                let at = inode(bytes, entry(bytes, "boat.service"));
                bytes[at + 2..at + 4].fill(0xff);
            })
        },
        Refused(&["boat.service", "the file contains a NUL byte"]),
    ),
    (
        "a squashfs of inodes without number",
        |forge| squashfs(forge, |bytes| bytes[4..8].fill(0xff)),
        Refused(MOUNT),
    ),
    (
        "a squashfs of blocks of four gigabytes",
        |forge| squashfs(forge, |bytes| bytes[12..16].fill(0xff)),
        Refused(MOUNT),
    ),
    (
        "a squashfs of a compression that there is not",
        |forge| squashfs(forge, |bytes| bytes[20..22].fill(0xff)),
        Refused(MOUNT),
    ),
    (
        "a squashfs of another version",
        |forge| squashfs(forge, |bytes| bytes[28] = 9),
        Refused(MOUNT),
    ),
    (
        "a squashfs of eight exabytes",
        |forge| squashfs(forge, |bytes| bytes[40..48].fill(0x7f)),
        Refused(MOUNT),
    ),
    (
        "a squashfs whose root is elsewhere",
        |forge| squashfs(forge, |bytes| bytes[32..40].fill(0x7f)),
        Refused(MOUNT),
    ),
    (
        "a squashfs whose inodes are elsewhere",
        |forge| squashfs(forge, |bytes| bytes[64..72].fill(0x7f)),
        Refused(MOUNT),
    ),
    (
        "a squashfs whose directories are elsewhere",
        |forge| squashfs(forge, |bytes| bytes[72..80].fill(0x7f)),
        Refused(MOUNT),
    ),
    (
        "a squashfs of fragments without number",
        |forge| squashfs(forge, |bytes| bytes[16..20].fill(0xff)),
        Refused(MOUNT),
    ),
    (
        "a squashfs whose directory is its root",
        |forge| {
            squashfs(forge, |bytes| {
                let root = bytes[32..34].to_vec();
                let at = find(bytes, b"\x05\0system") + 2;
                bytes[at - 8..at - 6].copy_from_slice(&root);
            })
        },
        Refused(&["boat"]),
    ),
    (
        "a squashfs whose name is a path",
        |forge| {
            squashfs(forge, |bytes| {
                let at = find(bytes, b"boat.service");
                bytes[at..at + 12].copy_from_slice(b"boat/service");
            })
        },
        Refused(READ),
    ),
    (
        "a squashfs whose name leads up",
        |forge| {
            squashfs(forge, |bytes| {
                let at = find(bytes, b"boat.service");
                bytes[at..at + 12].copy_from_slice(b"../e.service");
            })
        },
        Refused(READ),
    ),
    (
        "a squashfs whose name has an end within",
        |forge| {
            squashfs(forge, |bytes| {
                let at = find(bytes, b"boat.service");
                bytes[at + 4] = 0;
            })
        },
        Refused(&["boat"]),
    ),
    (
        "a squashfs whose name is longer than a name can be",
        |forge| {
            squashfs(forge, |bytes| {
                let at = find(bytes, b"boat.service");
                bytes[at - 2..at].fill(0xff);
            })
        },
        Refused(&["boat"]),
    ),
    (
        "a squashfs of entries without number",
        |forge| {
            squashfs(forge, |bytes| {
                let at = find(bytes, b"boat.service");
                bytes[at - 20..at - 16].fill(0xff);
            })
        },
        Refused(&["boat"]),
    ),
];
