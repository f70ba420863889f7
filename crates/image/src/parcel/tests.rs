//! What moves comes out as it went in, and what is made to do harm does not come out.

use super::*;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{XattrFlags, getxattr, setxattr};
use tar::{EntryType, Header};

const LIMIT_BYTES: u64 = 64 << 20;

fn opened(bytes: &[u8]) -> Result<(File, Contents), ParcelError> {
    let (archive, pool) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    std::os::unix::fs::FileExt::write_all_at(&archive, bytes, 0).unwrap();
    let listing = read(&archive, &pool, LIMIT_BYTES, false)?;
    let contents = Contents::read(&pool, listing).unwrap();
    Ok((pool, contents))
}

fn packed(tree: &Path) -> (Vec<u8>, LeftOut) {
    let mut writer = Writer::new(Vec::new(), b"{}").unwrap();
    writer.tree(0, File::open(tree).unwrap().as_fd()).unwrap();
    writer.finish().unwrap()
}

fn planted(bytes: &[u8]) -> tempfile::TempDir {
    let (pool, contents) = opened(bytes).unwrap();
    let to = tempfile::tempdir().unwrap();
    let directory = File::open(to.path()).unwrap();
    let owners = Owners::AsListed;
    plant(&pool, &contents.trees[&0], directory.as_fd(), owners).unwrap();
    to
}

#[test]
fn a_tree_is_the_same_after_its_way() {
    let from = tempfile::tempdir().unwrap();
    let path = |name: &str| from.path().join(name);
    let odd = OsStr::from_bytes(b"odd\n\xff name");
    fs::create_dir_all(path("a/b")).unwrap();
    fs::write(path("a/file"), "content").unwrap();
    fs::write(path("a/b").join(odd), vec![7; 300_000]).unwrap();
    fs::hard_link(path("a/file"), path("a/b/again")).unwrap();
    let long = format!("./x//{}", "y/".repeat(80));
    symlink(&long, path("long")).unwrap();
    symlink("/etc/shadow", path("link")).unwrap();
    fs::create_dir(path(&"d".repeat(200))).unwrap();
    fs::write(path(&"d".repeat(200)).join("e".repeat(200)), "deep").unwrap();
    fs::set_permissions(path("a/file"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(path("a"), fs::Permissions::from_mode(0o2751)).unwrap();
    let sparse = File::create(path("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 20 << 20).unwrap();
    let value = b"two\nlines\0";
    let has_attributes = setxattr(path("a/file"), "user.odd", value, XattrFlags::empty()).is_ok();
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000, 7);
    File::open(path("a/file"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    let (bytes, left_out) = packed(from.path());
    assert_eq!(left_out.special, 1);
    assert!(bytes.len() < 100_000, "{} bytes for holes", bytes.len());

    let to = planted(&bytes);
    let path = |name: &str| to.path().join(name);
    let file = path("a/file").metadata().unwrap();
    assert_eq!(fs::read(path("a/b/again")).unwrap(), b"content");
    assert_eq!(path("a/b/again").metadata().unwrap().ino(), file.ino());
    assert_eq!(
        (file.mode() & 0o7777, file.modified().unwrap()),
        (0o640, time)
    );
    assert_eq!(path("a").metadata().unwrap().mode() & 0o7777, 0o2751);
    assert_eq!(fs::read(path("a/b").join(odd)).unwrap(), vec![7; 300_000]);
    assert_eq!(fs::read_link(path("long")).unwrap(), Path::new(&long));
    assert_eq!(
        fs::read_link(path("link")).unwrap(),
        Path::new("/etc/shadow")
    );
    let deep = path(&"d".repeat(200)).join("e".repeat(200));
    assert_eq!(fs::read(deep).unwrap(), b"deep");
    let sparse = path("sparse").metadata().unwrap();
    assert_eq!(sparse.len(), 40 << 20);
    assert!(
        sparse.blocks() * 512 < 1 << 20,
        "{} blocks",
        sparse.blocks()
    );
    assert_eq!(
        fs::read(path("sparse")).unwrap()[20 << 20..][..6],
        *b"middle"
    );
    if has_attributes {
        let mut found = vec![0; 64];
        let length = getxattr(path("a/file"), "user.odd", &mut found[..]).unwrap();
        assert_eq!(found[..length], value[..]);
    }
    assert!(!path("socket").exists());
    // The same tree, the same bytes.
    assert_eq!(packed(from.path()).0, bytes);
}

/// One entry of an archive that somebody made to do harm.
struct Odd {
    path: &'static [u8],
    kind: EntryType,
    link: &'static str,
    mode: u32,
}

const fn odd(path: &'static str, kind: EntryType, link: &'static str) -> Odd {
    Odd {
        path: path.as_bytes(),
        kind,
        link,
        mode: 0o6755,
    }
}

fn archive(entries: &[Odd], end: &str) -> Vec<u8> {
    let to = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let mut tar = tar::Builder::new(to);
    let mut put = |odd: &Odd, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..odd.path.len()].copy_from_slice(odd.path);
        header.set_entry_type(odd.kind);
        header.set_mode(odd.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_link_name_literal(odd.link).unwrap();
        header.set_cksum();
        tar.append(&header, content).unwrap();
    };
    put(&odd("manifest.json", EntryType::Regular, ""), b"{}");
    for entry in entries {
        put(entry, b"");
    }
    if !end.is_empty() {
        put(&odd("end.json", EntryType::Regular, ""), end.as_bytes());
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn check(entries: &[Odd], expected: &str) {
    let end = format!("{{\"entries\":{}}}\n", entries.len() + 1);
    let said = opened(&archive(entries, &end));
    let said = said.map_or_else(|error| error.to_string(), |_| String::new());
    assert!(
        said.contains(expected) && said.is_empty() == expected.is_empty(),
        "{said}"
    );
}

#[test]
fn what_leads_out_or_does_not_move_is_refused() {
    use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};
    let root = || odd("trees/0", Directory, "");
    check(&[root(), odd("trees/0/a", Regular, "")], "");
    for path in ["../x", "/etc/x", "trees/0/../../x", "trees/0/a/../b"] {
        check(&[root(), odd(path, Regular, "")], "leads out");
    }
    check(&[odd("trees/0/a", Regular, "")], "no directory");
    check(
        &[odd("trees/0", Symlink, "/etc")],
        "no directory, as a tree is",
    );
    check(
        &[
            root(),
            odd("trees/0/a", Symlink, "/etc"),
            odd("trees/0/a/b", Regular, ""),
        ],
        "lies below what is no directory",
    );
    for kind in [Block, Char, Fifo] {
        check(&[root(), odd("trees/0/a", kind, "")], "nothing else moves");
    }
    let twice = || odd("trees/0/a", Regular, "");
    check(&[root(), twice(), twice()], "is there twice");
    check(
        &[root(), odd("trees/0/a", Symlink, "b"), twice()],
        "is there twice",
    );
    for target in ["/etc/shadow", "trees/1/a", "trees/0/../a", "trees/0/later"] {
        check(
            &[root(), odd("trees/0/a", Link, target)],
            "is a hard link to no file",
        );
    }
    check(&[odd("trees/x/a", Regular, "")], "without a number");
    check(&[odd("manifest.json", Regular, "")], "is there twice");
    check(
        &[odd("other", Regular, "")],
        "nothing that these archives have",
    );
    check(&[odd("files/a", Symlink, "/etc/shadow")], "is no file");
}

#[test]
fn nothing_comes_out_with_another_users_rights() {
    use EntryType::{Directory, Regular};
    let entries = [odd("trees/0", Directory, ""), odd("trees/0/a", Regular, "")];
    let to = planted(&archive(&entries, "{\"entries\":3}\n"));
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
    assert_eq!(mode(&to.path().join("a")), 0o755);
    assert_eq!(mode(to.path()), 0o2755);
}

#[test]
fn what_was_cut_or_is_something_else_is_told() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("a"), vec![1; 100_000]).unwrap();
    let whole = packed(from.path()).0;
    for length in [20, whole.len() / 2, whole.len() - 1] {
        let said = opened(&whole[..length]).unwrap_err();
        assert!(
            matches!(said, ParcelError::Cut | ParcelError::None),
            "{said}"
        );
    }
    let said = |bytes: &[u8]| opened(bytes).unwrap_err().to_string();
    assert!(said(&archive(&[], "")).contains("was cut"));
    assert!(said(&archive(&[], "{\"entries\":7}\n")).contains("counts other"));
    for other in [&b""[..], b"text", &[0; 2048], b"\x28\xb5\x2f\xfdrest"] {
        assert!(said(other).contains("none of the archives"), "{other:?}");
    }
}

#[test]
fn what_goes_on_behind_its_end_is_refused() {
    let from = tempfile::tempdir().unwrap();
    let whole = packed(from.path()).0;
    let tar = zstd::decode_all(&whole[..]).unwrap();
    let said = |tar: &[u8]| {
        let bytes = zstd::encode_all(tar, 1).unwrap();
        opened(&bytes).map_or_else(|error| error.to_string(), |_| String::new())
    };
    assert_eq!(said(&[&tar[..], &[0; 4096]].concat()), "");
    assert!(said(&[&tar[..], &[0; 4096], b"x"].concat()).contains("goes on behind its end"));
    // An entry in place of the two blocks of zeros.
    let mut header = Header::new_gnu();
    header.set_path("trees/0/later").unwrap();
    header.set_size(0);
    header.set_cksum();
    let cut = &tar[..tar.len() - 1024];
    let more = [cut, header.as_bytes(), &[0; 1024]].concat();
    assert!(said(&more).contains("goes on behind its end"));
}

#[test]
fn a_file_of_many_parts_comes_out_as_it_was() {
    let from = tempfile::tempdir().unwrap();
    let file = File::create(from.path().join("parts")).unwrap();
    file.set_len(60 << 20).unwrap();
    for part in 0..60_u64 {
        let place = (part << 20) + part * 7;
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", place).unwrap();
    }
    fs::set_permissions(
        from.path().join("parts"),
        fs::Permissions::from_mode(0o4750),
    )
    .unwrap();
    let to = planted(&packed(from.path()).0);
    let read = |folder: &Path| fs::read(folder.join("parts")).unwrap();
    assert!(read(from.path()) == read(to.path()));
    let found = to.path().join("parts").metadata().unwrap();
    assert_eq!(found.mode() & 0o7777, 0o750);
}

#[test]
fn attributes_that_no_reader_takes_stay_and_are_counted() {
    let from = tempfile::tempdir().unwrap();
    let path = from.path().join("a");
    fs::write(&path, "content").unwrap();
    let set = |name: &str, value: &[u8]| setxattr(&path, name, value, XattrFlags::empty());
    if set("user.fine", b"1").is_err() {
        return;
    }
    set("user.two\nlines", b"1").unwrap();
    set("user.a=b", b"1").unwrap();
    // The kernel takes any bytes for a name, and this form only text.
    let name = std::ffi::CString::new(&b"user.\xff"[..]).unwrap();
    setxattr(&path, &name, b"1", XattrFlags::empty()).unwrap();
    let (bytes, left_out) = packed(from.path());
    assert_eq!(left_out.attributes, 3);
    let to = planted(&bytes);
    let mut value = [0; 8];
    let to = to.path().join("a");
    assert_eq!(getxattr(&to, "user.fine", &mut value[..]).unwrap(), 1);
    assert!(getxattr(&to, "user.a=b", &mut value[..]).is_err());
}

#[test]
fn more_than_the_limit_is_refused_also_as_holes() {
    let from = tempfile::tempdir().unwrap();
    let file = File::create(from.path().join("holes")).unwrap();
    file.set_len(LIMIT_BYTES + 1).unwrap();
    let said = opened(&packed(from.path()).0).unwrap_err();
    let why = std::error::Error::source(&said).unwrap().to_string();
    assert!(why.contains("--max-size"), "{said}: {why}");
}

#[test]
fn a_listing_that_a_worker_made_up_leads_nowhere() {
    let (pool, to) = (tempfile::tempfile().unwrap(), tempfile::tempdir().unwrap());
    let directory = File::open(to.path()).unwrap();
    symlink("/", to.path().join("link")).unwrap();
    let try_it = |path: &str, kind: Kind| {
        let entry = Entry {
            path: path.to_owned(),
            mode: 0o755,
            uid: 0,
            gid: 0,
            modified: (0, 0),
            attributes: Vec::new(),
            kind,
        };
        plant(&pool, &[entry], directory.as_fd(), Owners::AsListed).is_err()
    };
    for path in [
        "../x",
        "/x",
        "link/tmp/x",
        "a/../x",
        "..",
        ".",
        "a/",
        "\u{100}",
    ] {
        assert!(try_it(path, Kind::Directory), "{path}");
    }
    let outside = Extent {
        offset: u64::MAX - 1,
        length: 1,
    };
    assert!(try_it("file", Kind::File(outside)));
    assert!(try_it("again", Kind::Again("link/etc/passwd".into())));
}

#[test]
fn who_measures_writes_no_contents_and_says_how_much_room_they_take() {
    let from = tempfile::tempdir().unwrap();
    fs::write(from.path().join("a"), vec![7; 10_000]).unwrap();
    let sparse = File::create(from.path().join("b")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    let (bytes, _) = packed(from.path());
    let (archive, pool) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    std::os::unix::fs::FileExt::write_all_at(&archive, &bytes, 0).unwrap();
    let listing = read(&archive, &pool, 2 << 30, true).unwrap();
    let contents = Contents::read(&pool, listing).unwrap();
    assert_eq!(contents.trees_room.get(&0), Some(&(3 * 4096)));
    assert!(pool.metadata().unwrap().blocks() * 512 < 10_000);
}
