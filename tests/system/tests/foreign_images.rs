//! What other tools make of a portable's tree: started as it is where the administrator vouches for it, and refused where nobody does.

use std::fs;
use std::path::{Path, PathBuf};

use coracle_system_tests::own_images::{Shop, run};
use coracle_system_tests::with_units;
use image::discoverable::Purpose;
use testkit::Instance;

const UNIT: &str = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/bin/dash -c :\n";

fn tree(shop: &Shop) -> PathBuf {
    shop.tree(
        "tree",
        true,
        &[
            ("usr/lib/systemd/system/boat.service", UNIT.trim_end()),
            ("etc/machine-id", ""),
        ],
    )
}

/// A table of old with a file system in its second entry.
fn old_table(shop: &Shop, root: &Path) -> PathBuf {
    const SECTOR: usize = 512;
    const BEGIN: u32 = 2048;
    const LINUX: u8 = 0x83;
    let content = fs::read(root).expect("a file system");
    let sectors = content.len().div_ceil(SECTOR);
    let begin = SECTOR * BEGIN as usize;
    let mut disk = vec![0; begin + sectors * SECTOR];
    let entry = 446 + 16;
    disk[entry + 4] = LINUX;
    disk[entry + 8..][..4].copy_from_slice(&BEGIN.to_le_bytes());
    disk[entry + 12..][..4].copy_from_slice(&(sectors as u32).to_le_bytes());
    disk[510..][..2].copy_from_slice(&[0x55, 0xaa]);
    disk[begin..][..content.len()].copy_from_slice(&content);
    let path = shop.path("old.raw");
    fs::write(&path, disk).expect("a file");
    path
}

/// Nobody vouches for it, so it is refused, and then the administrator does.
fn check(coracle: &Instance, image: &Path) {
    let path = image.display().to_string();
    let refused = coracle.coracle(&["start", &path]);
    assert!(
        refused.status != 0 && refused.stderr.contains("the image is not signed"),
        "{path}: {refused:?}"
    );
    assert!(!coracle.ok(&["list"]).contains("boat"), "{path}");
    coracle.ok(&["start", "--insecure", &path]);
    assert_eq!(
        coracle.property("boat.service", "ActiveState"),
        "active",
        "{path}"
    );
    coracle.ok(&["purge", "--forget", "boat"]);
}

#[test]
fn what_is_read_only_is_a_portable_once_the_administrator_vouches_for_it() {
    let shop = Shop::new();
    let tree = tree(&shop);
    with_units(&[], |coracle| {
        for kind in ["squashfs", "erofs"] {
            let root = shop.image(kind, &tree, &format!("{kind}.raw"));
            check(coracle, &root);
            check(coracle, &old_table(&shop, &root));
            let parts = [(Purpose::Root, [1; 16], 0, root.as_path())];
            check(coracle, &shop.disk("disk.raw", &parts));
        }
    });
}

/// Whoever vouches for it.
fn refused(coracle: &Instance, path: &str, why: &str) {
    let refused = coracle.coracle(&["start", "--insecure", path]);
    assert!(
        refused.status != 0 && refused.stderr.contains(why),
        "{path}: {refused:?}"
    );
}

/// The kernel trusts what it reads of them, so they are for units that the administrator wrote, whoever vouches for an image that came in.
#[test]
fn what_can_be_written_to_is_started_by_a_unit_of_the_administrators_own_alone() {
    let shop = Shop::new();
    let tree = tree(&shop);
    with_units(&[], |coracle| {
        for kind in ["ext4", "btrfs", "xfs"] {
            let image = shop.image(kind, &tree, &format!("{kind}.raw"));
            let path = image.display().to_string();
            let why = format!("this is {kind}: of images that come in only");
            refused(coracle, &path, &why);
            // The others would take a lot of room.
            if kind == "ext4" {
                let parts = [(Purpose::Root, [1; 16], 0, image.as_path())];
                for table in [shop.disk("disk.raw", &parts), old_table(&shop, &image)] {
                    let table = table.display().to_string();
                    refused(coracle, &table, "file systems of kind ext4 are not mounted");
                }
            }
            assert!(!coracle.ok(&["list"]).contains("boat"), "{kind}");
            coracle.unit("raft.service", &format!("{UNIT}RootImage={path}\n"));
            coracle.ok(&["daemon-reload"]);
            coracle.ok(&["start", "raft"]);
            assert_eq!(
                coracle.property("raft.service", "ActiveState"),
                "active",
                "{kind}"
            );
            coracle.ok(&["stop", "raft"]);
        }
    });
}

/// A file system that is mounted for as long as the value lives.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[&self.0.display().to_string()]);
    }
}

#[test]
fn a_subvolume_is_a_root_as_a_directory_is() {
    let shop = Shop::new();
    let tree = tree(&shop);
    let empty = shop.path("empty");
    fs::create_dir(&empty).expect("a folder");
    let file = shop.image("btrfs", &empty, "btrfs");
    let place = shop.path("place");
    fs::create_dir(&place).expect("a folder");
    let (file, at) = (file.display().to_string(), place.display().to_string());
    run("mount", &["-o", "loop", &file, &at]);
    let mounted = Mounted(place.clone());
    let volume = format!("{at}/boat_1");
    run("btrfs", &["-q", "subvolume", "create", &volume]);
    run("cp", &["-a", &format!("{}/.", tree.display()), &volume]);
    let snapshot = format!("{at}/snapshot");
    run(
        "btrfs",
        &["-q", "subvolume", "snapshot", "-r", &volume, &snapshot],
    );
    with_units(&[], |coracle| {
        for path in [&volume, &snapshot] {
            coracle.ok(&["start", path]);
            assert_eq!(coracle.property("boat.service", "ActiveState"), "active");
            coracle.ok(&["purge", "--forget", "boat"]);
            let root = format!("RootDirectory={path}");
            let words = ["run", "--wait", "--pipe", "--quiet", "-p", &root];
            let script = [
                "/usr/bin/dash",
                "-c",
                "read -r word < /etc/os-release || read -r word < /usr/lib/os-release; echo $word",
            ];
            assert_eq!(coracle.ok(&[&words[..], &script].concat()), "ID=boat\n");
        }
    });
    drop(mounted);
}
