//! Building an image of a tree of 100 MB.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use testkit::Instance;

use super::figure::{Figure, Times};
use super::timing;

const ROUNDS: usize = 7;

/// The tree: some large files and many small ones, as a system's root has them.
const LARGE: (usize, usize) = (10, 8 << 20);
const SMALL: (usize, usize) = (2_000, 10_000);

/// `coracle build` of a directory of 100 MB, signed: at most two seconds on two processors.
pub(super) fn build() -> Result<Vec<Figure>> {
    let instance = Instance::new();
    let folder = instance.folder().join("building");
    let root = folder.join("root");
    tree(&root).context("cannot make the tree")?;
    instance.ok(&["keygen", &folder.to_string_lossy()]);
    let key = folder.join("signing.key").to_string_lossy().into_owned();
    let root = root.to_string_lossy().into_owned();
    let image = folder.join("image.psi").to_string_lossy().into_owned();
    let mut figures = Vec::new();
    for (what, format, most) in [
        ("build of a 100 MB tree", "erofs", Some(2_000_000.0)),
        ("build of a 100 MB tree as squashfs", "squashfs", None),
    ] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            let words = [
                "build", &root, "--key", &key, "--format", format, "-o", &image,
            ];
            times.push(timing::once(&mut instance.command(&words))?);
        }
        let figure = Figure::new(what, "µs").times("coracle", &Times::new(times));
        figures.push(match most {
            Some(most) => figure.at_most(most),
            None => figure,
        });
    }
    Ok(figures)
}

fn tree(root: &Path) -> Result<()> {
    let units = root.join("usr/lib/systemd/system");
    fs::create_dir_all(&units)?;
    fs::write(root.join("usr/lib/os-release"), "ID=large\nVERSION_ID=1\n")?;
    fs::write(
        units.join("large.service"),
        "[Service]\nExecStart=/usr/large/0\n",
    )?;
    let mut words = Words(1);
    for (folder, (count, length)) in [("usr/large", LARGE), ("usr/small", SMALL)] {
        for number in 0..count {
            let path = root.join(folder).join(if count > 100 {
                format!("{}", number / 50)
            } else {
                String::new()
            });
            fs::create_dir_all(&path)?;
            fs::write(path.join(number.to_string()), words.bytes(length))?;
        }
    }
    Ok(())
}

/// Words rather than zeros or noise: what compresses is to be compressed.
pub(super) struct Words(pub(super) u64);

impl Words {
    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut next = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as u32
        };
        (0..length / 4)
            .flat_map(|_| (next() & 0x0f0f_3f3f).to_le_bytes())
            .collect()
    }
}
