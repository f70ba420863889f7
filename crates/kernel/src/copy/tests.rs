//! Copies beside what they were made of.
#![allow(clippy::unwrap_used)] // A test's own files.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::string::ToString;

use rustix::fs::CWD;

use super::*;

const ENOUGH: Limits = Limits {
    entries: 100,
    bytes: 1 << 20,
};

fn copy(from: &Path, to: &Path, limits: Limits) -> Result<()> {
    let links = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::create_dir(to).unwrap();
    let [from, to, links] = [from, to, links.path()].map(|path| File::open(path).unwrap());
    tree(from, to, links, limits)
}

#[test]
fn a_copy_is_what_the_tree_is_and_no_more() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::write(from.join("a/b/file"), "words").unwrap();
    fs::hard_link(from.join("a/b/file"), from.join("also")).unwrap();
    symlink("/etc/passwd", from.join("link")).unwrap();
    let sparse = File::create(from.join("sparse")).unwrap();
    sparse.write_at(b"end", 3 << 30).unwrap();
    sparse.set_len(4 << 30).unwrap();
    mknodat(CWD, from.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::write(from.join("program"), "x").unwrap();
    chown(from.join("program"), Some(61_234), Some(61_235)).unwrap();
    fs::set_permissions(from.join("program"), fs::Permissions::from_mode(0o6711)).unwrap();
    fs::set_permissions(from.join("a"), fs::Permissions::from_mode(0o1770)).unwrap();
    let value = b"v";
    rustix::fs::setxattr(
        from.join("program"),
        "user.some",
        value,
        XattrFlags::empty(),
    )
    .unwrap();
    copy(&from, &to, ENOUGH).unwrap();
    for name in [
        "", "a", "a/b", "a/b/file", "also", "link", "sparse", "pipe", "program",
    ] {
        let [one, other] = [&from, &to].map(|top| top.join(name).symlink_metadata().unwrap());
        let what = |found: &fs::Metadata| {
            let owner = (found.uid(), found.gid());
            let time = (found.mtime(), found.mtime_nsec());
            (
                found.mode(),
                owner,
                time,
                found.is_file().then_some(found.len()),
            )
        };
        assert_eq!(what(&one), what(&other), "{name}");
    }
    assert_eq!(fs::read_to_string(to.join("also")).unwrap(), "words");
    let inode = |name: &str| to.join(name).metadata().unwrap().ino();
    assert_eq!(inode("also"), inode("a/b/file"));
    assert_eq!(
        fs::read_link(to.join("link")).unwrap(),
        Path::new("/etc/passwd")
    );
    assert!(to.join("sparse").metadata().unwrap().blocks() * 512 < 1 << 20);
    let mut end = [0; 3];
    let sparse = File::open(to.join("sparse")).unwrap();
    sparse.read_exact_at(&mut end, 3 << 30).unwrap();
    assert_eq!(&end, b"end");
    let mut found = [0; 8];
    let length = rustix::fs::getxattr(to.join("program"), "user.some", &mut found).unwrap();
    assert_eq!(found.get(..length), Some(&value[..]));
}

#[test]
fn a_copy_ends_where_it_is_too_much() {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let from = folder.path().join("from");
    fs::create_dir(&from).unwrap();
    for number in 0..10 {
        fs::write(from.join(number.to_string()), [b'x'; 100]).unwrap();
    }
    let limited = |name: &str, entries, bytes| {
        copy(&from, &folder.path().join(name), Limits { entries, bytes })
    };
    assert_eq!(limited("few", 9, 1000), Err(Errno::DQUOT));
    assert_eq!(limited("small", 10, 999), Err(Errno::DQUOT));
    assert_eq!(limited("enough", 10, 1000), Ok(()));
    let mut deep = from;
    for _ in 0..DEPTH_MAX {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let top = folder.path().join("from");
    assert_eq!(
        copy(
            &top,
            &folder.path().join("deep"),
            Limits {
                entries: 1000,
                ..ENOUGH
            }
        ),
        Err(Errno::LOOP)
    );
}
