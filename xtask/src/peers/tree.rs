//! Trees of Debian suites, made once below `.cache/peers` and again when what they are made of changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{debian, run, setup};

/// What every tree holds.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "systemd-container",
    "systemd-tests",
    // What systemd checks and opens images with.
    "libcryptsetup12",
    "cryptsetup-bin",
    // Without it, systemd mounts no image from a device.
    "udev",
    // What systemd-repart makes images with.
    "systemd-repart",
    "e2fsprogs",
    "squashfs-tools",
    "erofs-utils",
    "dbus",
    "libnss-systemd",
    "crun",
    "podman",
    "bubblewrap",
    "iproute2",
    "strace",
];

/// Raised when a tree is made otherwise from the same packages.
const RECIPE: &str = "1";

/// Programs that only trees and their containers need.
const PROGRAMS: &[(&str, &str)] = &[
    ("/usr/bin/mmdebstrap", "mmdebstrap"),
    ("/usr/bin/systemd-nspawn", "systemd-container"),
];

/// Runs what the host left in /peer, and ends the container with its exit status.
const UNIT: &str = "\
[Unit]
Description=What the host asked for
ConditionPathExists=/peer/command
After=multi-user.target
SuccessAction=exit
FailureAction=exit

[Service]
Type=oneshot
ExecStart=/bin/sh /peer/command
StandardOutput=file:/peer/output
StandardError=inherit
";

/// A tree's name, where its packages come from, and the systemd in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    pub(crate) name: &'static str,
    suite: &'static str,
    pub(crate) systemd: &'static str,
    packages: fn() -> Vec<&'static str>,
}

/// What the name of a tree of services is.
pub(crate) const SERVICES: &str = "services";

/// What the name of the tree is in which mkosi makes images.
pub(crate) const MKOSI: &str = "mkosi";

/// What mkosi(1) makes images with.
const MAKER: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "systemd-repart",
    "mkosi",
    "apt",
    "debian-archive-keyring",
    "erofs-utils",
    "openssl",
];

const TREES: &[Tree] = &[
    Tree {
        name: "trixie",
        suite: "trixie",
        systemd: "257",
        packages: || PACKAGES.to_vec(),
    },
    Tree {
        name: "sid",
        suite: "sid",
        systemd: "262",
        packages: || PACKAGES.to_vec(),
    },
    Tree {
        name: SERVICES,
        suite: "trixie",
        systemd: "257",
        packages: crate::services::packages,
    },
    Tree {
        name: MKOSI,
        suite: "trixie",
        systemd: "257",
        packages: || MAKER.to_vec(),
    },
];

impl Tree {
    /// The trees of these names; all peers where none is given.
    pub(crate) fn named(names: &[String]) -> Result<Vec<Tree>> {
        if names.is_empty() {
            let peers = TREES
                .iter()
                .filter(|tree| ![SERVICES, MKOSI].contains(&tree.name));
            return Ok(peers.copied().collect());
        }
        names.iter().map(|name| Tree::one(name)).collect()
    }

    pub(crate) fn one(name: &str) -> Result<Tree> {
        let tree = TREES.iter().find(|tree| tree.name == name);
        tree.copied().with_context(|| {
            format!("there is no tree {name:?}: trees are trixie, sid, services and mkosi")
        })
    }

    /// The tree as a file system that a machine has on its disk, made where it is older than the tree.
    pub(crate) fn disk(&self) -> Result<PathBuf> {
        let root = self.make()?;
        setup::programs(&[("/usr/bin/mksquashfs", "squashfs-tools")])?;
        let disk = self.cached("squashfs");
        let staging = self.cached("squashfs.new");
        let made = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
        if made(&disk).is_ok_and(|disk| made(&self.cached("recipe")).is_ok_and(|tree| disk > tree))
        {
            return Ok(disk);
        }
        eprintln!("peers: packing {}", self.name);
        run::check(
            Command::new("mksquashfs")
                .arg(&root)
                .arg(&staging)
                .args(["-quiet", "-no-progress", "-noappend", "-comp", "zstd"])
                .args(["-Xcompression-level", "1"]),
        )?;
        fs::rename(&staging, &disk)?;
        Ok(disk)
    }

    /// A file that belongs to this tree, below the cache.
    fn cached(&self, ending: &str) -> PathBuf {
        run::root().join(format!(".cache/peers/{}.{ending}", self.name))
    }

    /// The tree's root directory, made where it is not there or was made by another recipe.
    ///
    /// # Errors
    /// Without root, and when Debian's mirror can't be reached.
    pub(crate) fn make(&self) -> Result<PathBuf> {
        run::need_root("making a tree of Debian")?;
        setup::programs(PROGRAMS)?;
        let cache = run::root().join(".cache/peers");
        let root = cache.join(self.name);
        let packages = (self.packages)();
        let recipe = format!("{RECIPE} {}\n{UNIT}", packages.join(" "));
        let stamp = self.cached("recipe");
        if root.exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == recipe) {
            return Ok(root);
        }
        let staging = cache.join(format!("{}.new", self.name));
        fs::create_dir_all(&cache)?;
        for old in [&staging, &root] {
            if old.exists() {
                fs::remove_dir_all(old)
                    .with_context(|| format!("cannot remove {}", old.display()))?;
            }
        }
        eprintln!("peers: making {} with systemd {}", self.name, self.systemd);
        run::check(
            // What it mounts goes with its namespace, also when it is killed.
            Command::new("unshare")
                .args(["--mount", "--propagation=private", "mmdebstrap"])
                .args(["--quiet", "--variant=minbase"])
                .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
                .arg(format!("--include={}", packages.join(",")))
                .arg(self.suite)
                .arg(&staging)
                .arg(debian::mirror()?),
        )
        .with_context(|| format!("cannot make the tree of {}", self.name))?;
        self.check_version(&staging)?;
        install_unit(&staging)?;
        fs::rename(&staging, &root)?;
        fs::write(&stamp, recipe)?;
        Ok(root)
    }

    /// A suite moves on: numbers of another version must not be printed under this one's.
    fn check_version(&self, root: &Path) -> Result<()> {
        let said = run::output(
            Command::new("chroot")
                .arg(root)
                .args(["systemctl", "--version"]),
        )?;
        let version = said.split_whitespace().nth(1).unwrap_or_default();
        if version != self.systemd {
            bail!(
                "{} has systemd {version} now, and this names {}: see TREES in xtask/src/peers/tree.rs",
                self.name,
                self.systemd
            );
        }
        Ok(())
    }
}

fn install_unit(root: &Path) -> Result<()> {
    let units = root.join("etc/systemd/system");
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants)?;
    fs::write(units.join("peer-command.service"), UNIT)?;
    std::os::unix::fs::symlink(
        "../peer-command.service",
        wants.join("peer-command.service"),
    )?;
    Ok(())
}
