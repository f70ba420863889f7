//! Trees in good file systems whose files are not what one looks for.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};

use crate::Kind;
use crate::Verdict::{Harmless, Refused};
use crate::forge::{Forge, RELEASE, UNIT, UNITS};

fn node(path: &Path, kind: FileType, device: (u32, u32)) {
    drop(fs::remove_file(path));
    let device = makedev(device.0, device.1);
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o644), device).expect("a node");
}

fn unit(root: &Path) -> std::path::PathBuf {
    root.join(UNITS).join("boat.service")
}

fn release(root: &Path) -> std::path::PathBuf {
    root.join("usr/lib/os-release")
}

fn write(path: &Path, bytes: &[u8]) {
    drop(fs::remove_file(path));
    fs::write(path, bytes).expect("a file");
}

fn link(target: &str, path: &Path) {
    drop(fs::remove_file(path));
    symlink(target, path).expect("a link");
}

/// What is attached is the one unit, and nothing else.
fn only_boat(forge: &Forge<'_>) {
    let names = fs::read_dir(forge.coracle.folder().join("state/attached"))
        .expect("a folder")
        .flatten();
    let mut names: Vec<String> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, [".owners", "boat.service", "boat.service.d"]);
}

const UNIT_KIND: &[&str] =
    &["usr/lib/systemd/system/boat.service in the image is not a regular file"];
const RELEASE_KIND: &[&str] = &["usr/lib/os-release in the image is not a regular file"];

pub const KINDS: &[Kind] = &[
    (
        "a unit that is a pipe",
        |forge| forge.packed(|root| node(&unit(root), FileType::Fifo, (0, 0))),
        Refused(UNIT_KIND),
    ),
    (
        "a unit that is a disk",
        |forge| forge.packed(|root| node(&unit(root), FileType::BlockDevice, (7, 0))),
        Refused(&["boat.service"]),
    ),
    (
        "a unit that is a device without end",
        |forge| forge.packed(|root| node(&unit(root), FileType::CharacterDevice, (1, 5))),
        Refused(&["boat.service"]),
    ),
    (
        "a unit that is a socket",
        |forge| {
            forge.packed(|root| {
                fs::remove_file(unit(root)).expect("a file");
                drop(UnixListener::bind(unit(root)).expect("a socket"));
            })
        },
        Refused(&["boat.service"]),
    ),
    (
        "a unit that is a directory",
        |forge| {
            forge.packed(|root| {
                fs::remove_file(unit(root)).expect("a file");
                fs::create_dir(unit(root)).expect("a folder");
            })
        },
        Refused(UNIT_KIND),
    ),
    (
        "a unit that is a link to a file of the host",
        |forge| forge.packed(|root| link("/../../../../etc/passwd", &unit(root))),
        Refused(&["boat"]),
    ),
    (
        "a unit that is a link to itself",
        |forge| forge.packed(|root| link("boat.service", &unit(root))),
        Refused(&["boat.service"]),
    ),
    (
        "a unit that is a link by way of a process",
        |forge| forge.packed(|root| link("/proc/self/fd/0", &unit(root))),
        Refused(&["boat"]),
    ),
    (
        "a unit of a megabyte",
        |forge| forge.packed(|root| write(&unit(root), &vec![b'#'; 1 << 20])),
        Refused(&["boat.service in the image is too large"]),
    ),
    (
        "a unit of a hole",
        |forge| {
            forge.packed(|root| {
                fs::File::create(unit(root))
                    .expect("a file")
                    .set_len(1 << 26)
                    .expect("a length");
            })
        },
        Refused(&["boat.service in the image is too large"]),
    ),
    (
        "a unit that is no text",
        |forge| forge.packed(|root| write(&unit(root), &[0xff; 40])),
        Refused(&["boat.service in the image is no UTF-8 text"]),
    ),
    (
        "a unit with an end within",
        |forge| forge.packed(|root| write(&unit(root), b"[Service]\nExecStart=/bin/x\0y\n")),
        Refused(&["boat"]),
    ),
    (
        "a directory of units that is a link out",
        |forge| {
            forge.packed(|root| {
                fs::remove_dir_all(root.join(UNITS)).expect("a folder");
                symlink("../../../../../../etc/systemd/system", root.join(UNITS)).expect("a link");
            })
        },
        Refused(&["boat"]),
    ),
    (
        "a directory of units that is a link to itself",
        |forge| {
            forge.packed(|root| {
                fs::remove_dir_all(root.join(UNITS)).expect("a folder");
                symlink("system", root.join(UNITS)).expect("a link");
            })
        },
        Refused(&["usr/lib/systemd/system"]),
    ),
    (
        "nine thousand units",
        |forge| {
            forge.packed(|root| {
                for number in 0..9000 {
                    fs::write(root.join(UNITS).join(format!("boat-{number}.service")), "")
                        .expect("a file");
                }
            })
        },
        Refused(&["the image has too many "]),
    ),
    (
        "six hundred units",
        |forge| {
            forge.packed(|root| {
                for number in 0..600 {
                    fs::write(
                        root.join(UNITS).join(format!("boat-{number}.service")),
                        UNIT,
                    )
                    .expect("a file");
                }
            })
        },
        Refused(&["the image has too many unit files"]),
    ),
    (
        "units outside of the prefix",
        |forge| {
            forge.packed(|root| {
                for name in [
                    "ssh.service",
                    "boatswain.service",
                    "boat",
                    "boat.service.bak",
                    "-.slice",
                    "boat@\\x2f.service.wants",
                ] {
                    fs::write(root.join(UNITS).join(name), UNIT).expect("a file");
                }
            })
        },
        Harmless(only_boat),
    ),
    (
        "names that are no text",
        |forge| {
            forge.packed(|root| {
                use std::os::unix::ffi::OsStrExt;
                for name in [
                    &b"boat-\xff.service"[..],
                    b"boat-\x1b[2J.service",
                    b"boat- .service",
                    b"boat-\n.service",
                ] {
                    fs::write(
                        root.join(UNITS).join(std::ffi::OsStr::from_bytes(name)),
                        UNIT,
                    )
                    .expect("a file");
                }
            })
        },
        Harmless(only_boat),
    ),
    (
        "drop-ins for units of others",
        |forge| {
            forge.packed(|root| {
                for name in ["ssh.service.d", "service.d", "boatswain.service.d"] {
                    fs::create_dir(root.join(UNITS).join(name)).expect("a folder");
                    fs::write(
                        root.join(UNITS).join(name).join("x.conf"),
                        "[Service]\nUser=root\n",
                    )
                    .expect("a file");
                }
            })
        },
        Harmless(only_boat),
    ),
    (
        "a drop-in that is a pipe",
        |forge| {
            forge.packed(|root| {
                let folder = root.join(UNITS).join("boat.service.d");
                fs::create_dir(&folder).expect("a folder");
                node(&folder.join("x.conf"), FileType::Fifo, (0, 0));
            })
        },
        Refused(&["x.conf in the image is not a regular file"]),
    ),
    (
        "an os-release that is a pipe",
        |forge| forge.packed(|root| node(&release(root), FileType::Fifo, (0, 0))),
        Refused(RELEASE_KIND),
    ),
    (
        "an os-release that is a device without end",
        |forge| forge.packed(|root| node(&release(root), FileType::CharacterDevice, (1, 5))),
        Refused(&["os-release"]),
    ),
    (
        "an os-release that is a directory",
        |forge| {
            forge.packed(|root| {
                fs::remove_file(release(root)).expect("a file");
                fs::create_dir(release(root)).expect("a folder");
            })
        },
        Refused(RELEASE_KIND),
    ),
    (
        "an os-release that is a link to the host's",
        |forge| forge.packed(|root| link("/../../../../usr/lib/os-release", &release(root))),
        Refused(&["os-release"]),
    ),
    (
        "an os-release that is a link to itself",
        |forge| forge.packed(|root| link("os-release", &release(root))),
        Refused(&["os-release"]),
    ),
    (
        "an os-release of a megabyte",
        |forge| forge.packed(|root| write(&release(root), &vec![b'#'; 1 << 20])),
        Refused(&["os-release in the image is too large"]),
    ),
    (
        "an os-release that is no text",
        |forge| forge.packed(|root| write(&release(root), &[0xff; 40])),
        Refused(&["os-release in the image is no UTF-8 text"]),
    ),
    (
        "no os-release",
        |forge| forge.packed(|root| fs::remove_file(release(root)).expect("a file")),
        Refused(&["neither etc/os-release nor usr/lib/os-release"]),
    ),
    (
        "an os-release without a name",
        |forge| forge.packed(|root| write(&release(root), b"VERSION_ID=1\n")),
        Refused(&["names no portable"]),
    ),
    (
        "a name that leads up",
        |forge| forge.packed(|root| write(&release(root), b"ID=..\nVERSION_ID=1\n")),
        Refused(&["os-release: ID=.. can't name a portable"]),
    ),
    (
        "a name that is a path",
        |forge| forge.packed(|root| write(&release(root), b"ID=../../boat\n")),
        Refused(&["can't name a portable"]),
    ),
    (
        "a name that is longer than a name can be",
        |forge| {
            forge.packed(|root| {
                write(
                    &release(root),
                    format!("ID={}\n", "b".repeat(300)).as_bytes(),
                )
            })
        },
        Refused(&["can't name a portable"]),
    ),
    (
        "a version that leads up",
        |forge| forge.packed(|root| write(&release(root), b"ID=boat\nVERSION_ID=../../../x\n")),
        Refused(&["os-release: VERSION_ID=../../../x can't name a portable"]),
    ),
    (
        "prefixes that lead up",
        |forge| forge.packed(|root| write(&release(root), b"ID=boat\nPORTABLE_PREFIXES=../ssh\n")),
        Refused(&["os-release: PORTABLE_PREFIXES=../ssh can't name a portable"]),
    ),
    (
        "attributes of the overlay's and of capabilities",
        |forge| {
            forge.packed(|root| {
                // cap_sys_admin=ep, for whoever runs it.
                let capabilities = [
                    1, 0, 0, 2, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ];
                for (name, value) in [
                    ("security.capability", &capabilities[..]),
                    ("trusted.overlay.metacopy", b""),
                    ("trusted.overlay.redirect", b"/../../etc/shadow"),
                ] {
                    setxattr(root.join("bin/x"), name, value, XattrFlags::empty())
                        .expect("an attribute");
                }
                setxattr(
                    root.join("usr"),
                    "trusted.overlay.opaque",
                    b"y",
                    XattrFlags::empty(),
                )
                .expect("an attribute");
            })
        },
        Harmless(only_boat),
    ),
    (
        "names of one file",
        |forge| {
            forge.packed(|root| {
                // What is changed of one is changed of all, and none is in a place that is asked for twice.
                fs::hard_link(unit(root), release(root).with_file_name("linked")).expect("a name");
                fs::hard_link(unit(root), root.join(UNITS).join("ssh.service")).expect("a name");
            })
        },
        Harmless(only_boat),
    ),
    (
        "the unit of another portable in every place",
        |forge| {
            forge.packed(|root| {
                for place in [
                    "etc/systemd/system",
                    "usr/local/lib/systemd/system",
                    "lib/systemd/system",
                ] {
                    fs::create_dir_all(root.join(place)).expect("a folder");
                    fs::write(
                        root.join(place).join("boat.service"),
                        "[Service]\nExecStart=+/bin/x\n",
                    )
                    .expect("a file");
                }
                write(&release(root), RELEASE.as_bytes());
            })
        },
        Refused(&["boat.service", "ExecStart="]),
    ),
];
