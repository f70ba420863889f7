//! Debian's cloud kernels, fetched once: the image, and of the modules those that machines need.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::modules;
use crate::debian::Suite;
use crate::run;

/// A kernel's name here, and the suite whose newest cloud kernel it is.
const KERNELS: &[(&str, &str)] = &[("6.1", "bookworm"), ("6.12", "trixie")];

/// Raised when what is kept of a kernel changes, so that what was kept before is made anew.
const RECIPE: &str = "1";

/// The names of all kernels.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KERNELS.iter().map(|(name, _)| *name)
}

/// A kernel that is ready to boot.
pub(super) struct Kernel {
    folder: PathBuf,
}

impl Kernel {
    /// Takes a kernel from `.cache/vm`, or fetches it.
    pub(super) fn find(name: &str) -> Result<Kernel> {
        let Some((_, suite)) = KERNELS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = KERNELS.iter().map(|(known, _)| *known).collect();
            bail!(
                "there is no kernel {name:?}: it is one of {}",
                known.join(", ")
            );
        };
        let cache = run::root().join(".cache/vm");
        let folder = cache.join(name);
        let recipe = format!("{RECIPE} {suite} {}", modules::WANTED.join(" "));
        if fs::read_to_string(folder.join("recipe")).is_ok_and(|found| found == recipe) {
            return Ok(Kernel { folder });
        }
        eprintln!("vm: fetching {suite}'s cloud kernel");
        let staging = cache.join(format!("{name}.new"));
        for old in [&staging, &folder] {
            remove(old)?;
        }
        fetch(suite, &staging)?;
        fs::write(staging.join("recipe"), recipe)?;
        fs::rename(&staging, &folder)?;
        Ok(Kernel { folder })
    }

    /// The file to boot.
    pub(super) fn image(&self) -> PathBuf {
        self.folder.join("vmlinuz")
    }

    /// Names of the modules' files in the order in which they can be loaded, one a line.
    pub(super) fn order(&self) -> Result<String> {
        fs::read_to_string(self.folder.join("order")).context("the kernel's cache is damaged")
    }

    /// The modules' names and files.
    pub(super) fn modules(&self) -> Result<Vec<(String, PathBuf)>> {
        Ok(self
            .order()?
            .lines()
            .map(|name| (name.to_owned(), self.folder.join("modules").join(name)))
            .collect())
    }
}

/// Downloads a suite's cloud kernel, and keeps of it what machines need.
fn fetch(suite: &'static str, folder: &Path) -> Result<()> {
    let packages = folder.join("packages");
    fs::create_dir_all(&packages)?;
    let files = folder.join("files");
    let lists = Suite::open(suite, &packages)?;
    let package = lists.stands_for("linux-image-cloud-amd64")?;
    lists.unpack(&package, &files)?;
    let version = package
        .strip_prefix("linux-image-")
        .with_context(|| format!("{package} is no kernel's package"))?;
    fs::rename(
        files.join(format!("boot/vmlinuz-{version}")),
        folder.join("vmlinuz"),
    )
    .with_context(|| format!("{package} has no kernel"))?;
    let tree = ["lib/modules", "usr/lib/modules"]
        .iter()
        .map(|place| files.join(place).join(version))
        .find(|tree| tree.exists())
        .with_context(|| format!("{package} has no modules"))?;
    let order = modules::collect(&tree, &folder.join("modules"))?;
    fs::write(folder.join("order"), order.join("\n"))?;
    remove(&files)?;
    remove(&packages)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
