//! The host's file system as a tree: files, links, what is no file, limits.
#![allow(
    clippy::unwrap_used,
    reason = "a test that can't make its own files must fail"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use coracle_load as load;
use load::{Content, HostTree, Tree};

#[test]
fn the_host_tree_tells_files_masks_and_strange_things_apart() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("a.service"), "[Unit]\n").unwrap();
    symlink("a.service", at("b.service")).unwrap();
    symlink("/dev/null", at("c.service")).unwrap();
    symlink("gone", at("d.service")).unwrap();
    symlink("e.service", at("e.service")).unwrap();
    fs::create_dir(at("f.service")).unwrap();
    let _listener = UnixListener::bind(at("g.service")).unwrap();
    let tree = HostTree;
    assert_eq!(tree.entries(directory.path()).unwrap().len(), 7);
    assert!(tree.entries(&at("nowhere")).unwrap().is_empty());
    assert!(tree.entries(&at("a.service")).unwrap().is_empty());
    let bytes = Content::Bytes(b"[Unit]\n".to_vec());
    assert_eq!(tree.read(&at("a.service"), 7).unwrap(), bytes);
    assert_eq!(tree.read(&at("a.service"), 6).unwrap(), Content::TooLarge);
    assert_eq!(tree.read(&at("b.service"), 7).unwrap(), bytes);
    assert_eq!(tree.read(&at("c.service"), 7).unwrap(), Content::Null);
    assert_eq!(tree.read(&at("d.service"), 7).unwrap(), Content::Missing);
    assert!(
        tree.read(&at("e.service"), 7).is_err(),
        "a link to itself is an error, and not an endless loop"
    );
    assert_eq!(tree.read(&at("f.service"), 7).unwrap(), Content::NotAFile);
    assert_eq!(tree.read(&at("g.service"), 7).unwrap(), Content::NotAFile);
    assert_eq!(
        tree.link(&at("b.service")).unwrap().unwrap().to_str(),
        Some("a.service")
    );
    assert_eq!(tree.link(&at("a.service")).unwrap(), None);
    assert_eq!(tree.link(&at("nowhere")).unwrap(), None);
}
