//! Images of an administrator's own for the tests, made by the tools of their file systems and laid out by our own writer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::discoverable::{self, Purpose};
use image::gpt::{self, Planned};
use image::guid::Guid;
use tempfile::TempDir;
use testkit::{Finished, Instance};

use crate::images::furnish;

/// Where only root can change anything, which is asked of such images.
pub struct Shop(TempDir);

impl Default for Shop {
    fn default() -> Self {
        Self::new()
    }
}

impl Shop {
    /// An empty one.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    pub fn new() -> Shop {
        let folder = tempfile::Builder::new()
            .prefix("coracle-shop-")
            .tempdir_in("/run");
        Shop(folder.expect("a folder"))
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A tree of these files, with a shell and an os-release where it is to be a root.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn tree(&self, name: &str, is_root: bool, files: &[(&str, &str)]) -> PathBuf {
        let root = self.path(name);
        fs::create_dir_all(&root).expect("a folder");
        if is_root {
            furnish(&root);
            for folder in ["usr/lib", "mnt", "opt"] {
                fs::create_dir_all(root.join(folder)).expect("a folder");
            }
            fs::write(root.join("usr/lib/os-release"), "ID=boat\nVERSION_ID=1\n").expect("a file");
        }
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, format!("{text}\n")).expect("a file");
        }
        root
    }

    /// A file system of this kind with a tree.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn image(&self, kind: &str, tree: &Path, name: &str) -> PathBuf {
        let image = self.path(name);
        let (tree, file) = (tree.display().to_string(), image.display().to_string());
        match kind {
            "squashfs" => run(
                "mksquashfs",
                &[&tree, &file, "-quiet", "-no-progress", "-noappend"],
            ),
            "erofs" => run("mkfs.erofs", &["--quiet", &file, &tree]),
            "ext4" => {
                run("truncate", &["-s", "16M", &file]);
                run("mkfs.ext4", &["-q", "-d", &tree, &file]);
            }
            "btrfs" => {
                run("truncate", &["-s", "128M", &file]);
                run("mkfs.btrfs", &["-q", "--rootdir", &tree, &file]);
            }
            "xfs" => {
                run("truncate", &["-s", "320M", &file]);
                run("mkfs.xfs", &["-q", &file]);
                let place = self.path("place").display().to_string();
                run("mkdir", &["-p", &place]);
                run("mount", &["-o", "loop", &file, &place]);
                run("cp", &["-a", &format!("{tree}/."), &place]);
                run("umount", &[&place]);
            }
            other => panic!("nobody makes {other}"),
        }
        image
    }

    /// A GPT with these partitions: purpose, identifier, flags, content.
    ///
    /// # Panics
    /// When it can't be written.
    pub fn disk(&self, name: &str, parts: &[(Purpose, [u8; 16], u64, &Path)]) -> PathBuf {
        let native = discoverable::native().expect("a processor of the specification");
        let contents: Vec<Vec<u8>> = parts
            .iter()
            .map(|(.., path)| fs::read(path).expect("a file"))
            .collect();
        let planned: Vec<Planned> = parts
            .iter()
            .zip(&contents)
            .map(|((purpose, id, flags, _), content)| Planned {
                kind: discoverable::kind(*purpose, native).expect("a type"),
                id: Guid::from_bytes(*id),
                flags: *flags,
                label: String::new(),
                length: content.len() as u64,
            })
            .collect();
        let plan = gpt::plan(Guid::from_bytes([7; 16]), &planned).expect("a plan");
        let mut bytes = plan.head.clone();
        for (partition, content) in plan.table.partitions.iter().zip(contents) {
            let offset = usize::try_from(partition.extent.offset).expect("an offset");
            bytes.resize(offset, 0);
            bytes.extend(content);
        }
        bytes.resize(usize::try_from(plan.tail_offset).expect("an offset"), 0);
        bytes.extend(&plan.tail);
        let path = self.path(name);
        fs::write(&path, bytes).expect("an image");
        path
    }

    /// Verity data beside an image, and the root hash.
    ///
    /// # Panics
    /// When they can't be made.
    pub fn verity(&self, image: &Path, name: &str) -> (PathBuf, String) {
        self.verity_of(image, name, &[])
    }

    /// The same of blocks of other sizes.
    ///
    /// # Panics
    /// When they can't be made.
    pub fn verity_of(&self, image: &Path, name: &str, sizes: &[&str]) -> (PathBuf, String) {
        let hashes = self.path(name);
        let output = Command::new("veritysetup")
            .arg("format")
            .args(sizes)
            .args([image, &hashes])
            .output()
            .expect("veritysetup");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = said.lines().find(|line| line.starts_with("Root hash:"));
        let hash = line.and_then(|line| line.split_whitespace().last());
        (hashes, hash.unwrap_or_else(|| panic!("{said}")).to_owned())
    }
}

/// Runs a tool that must succeed.
///
/// # Panics
/// When it fails.
pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// Runs a script in a service with these lines.
///
/// # Panics
/// When the command does not start.
#[must_use]
pub fn script_in(coracle: &Instance, lines: &[&str], script: &str) -> Finished {
    let mut words = vec!["run", "--pipe", "--wait", "--collect", "--quiet"];
    words.extend(lines.iter().flat_map(|line| ["-p", *line]));
    words.extend(["/usr/bin/dash", "-c", script]);
    coracle.coracle(&words)
}

/// What it says on its own standard output, or why it is refused.
///
/// # Panics
/// When the command does not start.
#[must_use]
pub fn see(coracle: &Instance, lines: &[&str], script: &str) -> String {
    let said = script_in(coracle, lines, script);
    let text = if said.stdout.trim().is_empty() {
        said.stderr
    } else {
        said.stdout
    };
    text.trim().to_owned()
}

/// What the tests ask first: a word of the tree.
pub const WORD: &str = "read -r word < /word; echo $word";
