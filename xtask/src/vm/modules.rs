//! The modules that machines need, with what they need themselves, in an order in which they can be loaded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run;

/// What machines need and a kernel may have as modules.
pub(super) const WANTED: &[&str] = &[
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "virtio_net",
    "virtio_rng",
    "ext4",
    "quota_v2",
    "squashfs",
    "erofs",
    "overlay",
    "fuse",
    "autofs4",
    "loop",
    "dm_mod",
    "dm_verity",
    "dm_crypt",
    "dm_integrity",
    "xts",
    "aes_generic",
    "hmac",
    "authenc",
    "nf_tables",
    "nft_compat",
    "veth",
    "bridge",
    "dummy",
    "crc32c_generic",
    "sha256_generic",
];

/// The modules of a kernel's tree.
struct Modules {
    /// File by name, with `-` read as `_`.
    files: BTreeMap<String, PathBuf>,
    /// Names of what is in the kernel itself.
    builtin: Vec<String>,
}

/// Copies the wanted modules of `tree`, decompressed, into `target`; returns their files' names, each after those that it needs.
pub(super) fn collect(tree: &Path, target: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(target)?;
    let mut files = BTreeMap::new();
    find(&tree.join("kernel"), &mut files)?;
    let builtin = fs::read_to_string(tree.join("modules.builtin"))
        .context("the kernel's package lists no built-in modules")?
        .lines()
        .map(name_of)
        .collect();
    let modules = Modules { files, builtin };
    let mut order = Vec::new();
    for name in WANTED {
        modules.add(name, target, &mut order)?;
    }
    Ok(order)
}

impl Modules {
    /// Adds a module after those that it needs.
    fn add(&self, name: &str, target: &Path, order: &mut Vec<String>) -> Result<()> {
        let file = format!("{name}.ko");
        if order.contains(&file) || self.builtin.iter().any(|found| found == name) {
            return Ok(());
        }
        let Some(source) = self.files.get(name) else {
            bail!("the kernel has no module {name}, and has it not built in");
        };
        let copy = target.join(&file);
        if source.extension().is_some_and(|ending| ending == "xz") {
            let output = fs::File::create(&copy)?;
            run::check(Command::new("xz").arg("-dc").arg(source).stdout(output))?;
        } else {
            fs::copy(source, &copy)?;
        }
        for needed in dependencies(&fs::read(&copy)?) {
            self.add(&needed, target, order)?;
        }
        order.push(file);
        Ok(())
    }
}

/// What a module says that it needs: the entry `depends=` of its section `.modinfo`.
fn dependencies(bytes: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    bytes
        .windows(KEY.len())
        .position(|window| window == KEY)
        .and_then(|at| bytes.get(at + KEY.len()..)?.split(|byte| *byte == 0).next())
        .map(|list| {
            String::from_utf8_lossy(list)
                .split(',')
                .filter(|name| !name.is_empty())
                .map(|name| name.replace('-', "_"))
                .collect()
        })
        .unwrap_or_default()
}

fn find(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find(&entry.path(), files)?;
        } else {
            files.insert(name_of(&entry.path().to_string_lossy()), entry.path());
        }
    }
    Ok(())
}

/// `kernel/drivers/md/dm-verity.ko.xz` is `dm_verity`.
fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}
