//! File systems as the kernel's own tools and the kernel itself read them.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::*;
use crate::manifest::Manifest;
use crate::source::{Extent, FileSource};
use crate::tree::{self, Files};

/// A tree with everything that images hold.
fn tree(root: &Path) {
    fs::create_dir_all(root.join("usr/lib/many")).unwrap();
    fs::create_dir_all(root.join("empty")).unwrap();
    for size in [
        0,
        1,
        2047,
        4000,
        4064,
        4065,
        4095,
        4096,
        4097,
        70_000,
        1 << 20,
    ] {
        let bytes: Vec<u8> = (0..size).map(|at: usize| (at * 31 % 251) as u8).collect();
        fs::write(root.join(format!("usr/{size}")), bytes).unwrap();
    }
    for number in 0..700 {
        fs::write(
            root.join(format!("usr/lib/many/a-rather-long-name-{number}")),
            "x",
        )
        .unwrap();
    }
    fs::hard_link(root.join("usr/4097"), root.join("usr/lib/same")).unwrap();
    fs::hard_link(root.join("usr/4097"), root.join("again")).unwrap();
    symlink("usr/lib", root.join("lib")).unwrap();
    symlink(format!("/{}", "x/".repeat(1000)), root.join("long")).unwrap();
    fs::set_permissions(root.join("usr/1"), fs::Permissions::from_mode(0o4711)).unwrap();
    for (path, name, value) in [
        ("usr/70000", "user.note", &b"some words"[..]),
        ("usr/70000", "user.empty", b""),
        ("usr/1", "user.long", &[7; 3000]),
        ("empty", "user.of-a-directory", b"x"),
    ] {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(root.join(path), name, value, flags).unwrap();
    }
}

fn written(root: &Path) -> std::fs::File {
    let manifest = Manifest::of_directory(root).unwrap();
    let file = tempfile::tempfile().unwrap();
    let length = write(&manifest, 1_700_000_000, &file, &|_, _| {}).unwrap();
    assert_eq!(length % BLOCK_BYTES, 0);
    file.set_len(length).unwrap();
    file
}

/// Every path below a root with what matters of it.
fn picture(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(path) = left.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let mut line = format!(
            "{} {:o}",
            path.strip_prefix(root).unwrap().display(),
            metadata.mode()
        );
        if metadata.is_dir() {
            left.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else {
            line += &format!(" {} names", metadata.nlink());
        }
        if metadata.is_symlink() {
            line += &format!(" -> {}", path.read_link().unwrap().display());
        } else {
            let mut names = vec![0; 65536];
            let length = rustix::fs::listxattr(&path, names.as_mut_slice()).unwrap();
            let mut names: Vec<&[u8]> = names[..length].split(|byte| *byte == 0).collect();
            names.sort();
            for name in names.into_iter().filter(|name| name.starts_with(b"user.")) {
                let mut value = vec![0; 65536];
                let length = rustix::fs::getxattr(&path, name, value.as_mut_slice()).unwrap();
                line += &format!(" {}={:?}", String::from_utf8_lossy(name), &value[..length]);
            }
        }
        if metadata.is_file() {
            let digest = crate::verify::digest(&fs::read(&path).unwrap()).unwrap();
            line += &format!(" {} {digest}", metadata.len());
        }
        lines.push(line);
    }
    lines.sort();
    lines
}

#[test]
fn the_tools_of_the_file_system_find_nothing_wrong() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let file = written(dir.path());
    let image = tempfile::NamedTempFile::new().unwrap();
    std::io::copy(&mut &file_at_start(&file), &mut image.as_file()).unwrap();
    let said = Command::new("fsck.erofs")
        .arg("--extract")
        .arg(image.path())
        .output()
        .unwrap();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
}

fn file_at_start(file: &std::fs::File) -> std::fs::File {
    use std::io::Seek;
    let mut file = file.try_clone().unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn the_kernel_finds_in_it_what_went_in() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = written(dir.path());
    let layout = crate::dissect::dissect(&FileSource::new(&file).unwrap()).unwrap();
    let trust = crate::verify::Trust::Insecure;
    let verified = crate::verify::verify(&file, &layout, &trust).unwrap();
    let mount = crate::mount::mount(&file, &verified).unwrap();
    let there = format!(
        "/proc/self/fd/{}/",
        std::os::fd::AsRawFd::as_raw_fd(&mount.as_fd())
    );
    assert_eq!(picture(Path::new(&there)), picture(dir.path()));
    let time = Path::new(&there).join("usr/1").metadata().unwrap().mtime();
    assert_eq!(time, 1_700_000_000);
}

#[test]
fn it_is_read_without_mounting() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path());
    let file = written(dir.path());
    let mut bytes = Vec::new();
    file_at_start(&file).read_to_end(&mut bytes).unwrap();
    let root = Extent {
        offset: 0,
        length: bytes.len() as u64,
    };
    let reader = Reader::open(&bytes, root).unwrap();
    assert_eq!(
        reader
            .text("lib/many/a-rather-long-name-699", 10)
            .unwrap()
            .unwrap(),
        "x"
    );
    assert_eq!(reader.entries("lib/../lib/many").unwrap().len(), 700);
    assert!(matches!(
        reader.text("usr/70000", 10),
        Err(tree::TreeError::File { .. })
    ));
    assert_eq!(reader.text("long", 10).unwrap(), None);
    assert_eq!(reader.place("usr/0").unwrap(), tree::Place::Empty);
    assert_eq!(reader.place("empty").unwrap(), tree::Place::Empty);
    assert_eq!(reader.place("lib").unwrap(), tree::Place::Taken);
    assert_eq!(reader.place("no").unwrap(), tree::Place::Missing);
}

#[test]
fn what_becomes_shorter_while_it_is_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("log"), [0; 10_000]).unwrap();
    let manifest = Manifest::of_directory(dir.path()).unwrap();
    let layout = super::layout::plan(&manifest).unwrap();
    fs::write(dir.path().join("log"), [0; 9]).unwrap();
    let error = super::write::write_layout(
        &manifest,
        &layout,
        0,
        &tempfile::tempfile().unwrap(),
        &|_, _| {},
    );
    assert!(matches!(error.unwrap_err(), ErofsError::Shrunk(_)));
}
