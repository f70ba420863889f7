//! Builds the two files that are shipped and checks that they are static and small.

mod c_library;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use self::c_library::CLibrary;
use crate::run;

/// What SPECIFICATION.md promises of the resident file, in bytes. No start executes it; what it costs in memory is measured by itself.
const CORACLED_MAX_BYTES: u64 = 2_800_000;

/// `e_phoff`, `e_phentsize`, `e_phnum` of an ELF64 header, and the type of a program header that asks for an interpreter (elf(5)).
const PHOFF: usize = 32;
const PHENTSIZE: usize = 54;
const PHNUM: usize = 56;
const PT_INTERP: u32 = 3;

/// Builds `dist/coracle` and `dist/coracled`.
pub(crate) fn run() -> Result<()> {
    let library = CLibrary::find()?;
    let dist = run::root().join("dist");
    fs::create_dir_all(&dist)?;
    let mut sizes = Vec::new();
    // One after the other: built together, each would get the features that the other one asks of the same crate.
    for (package, name) in [("coracle-daemon", "coracled"), ("coracle-cli", "coracle")] {
        let built = build(&library, package, name)?;
        let target = dist.join(name);
        let staged = dist.join(format!(".{name}.new"));
        fs::copy(&built, &staged).with_context(|| format!("cannot copy {}", built.display()))?;
        fs::rename(&staged, &target)?;
        let size = check_static(&target)?;
        let megabytes = size as f64 / 1e6;
        eprintln!("dist: {} · {megabytes:.2} MB · static", target.display());
        sizes.push((name, size));
    }
    for (name, size) in sizes.into_iter().filter(|(name, _)| *name == "coracled") {
        if size > CORACLED_MAX_BYTES {
            bail!("{name} has {size} bytes, more than the {CORACLED_MAX_BYTES} that are promised");
        }
    }
    Ok(())
}

/// Builds one file, and returns where cargo has put it.
fn build(library: &CLibrary, package: &str, name: &str) -> Result<PathBuf> {
    let target_directory = target_directory().join("dist");
    fs::create_dir_all(&target_directory)?;
    let map = target_directory.join(format!("{name}.map"));
    let mut cargo = run::cargo();
    cargo
        .args(["build", "--release", "--quiet", "--package", package])
        .args(["--target", &library.target, "--target-dir"])
        .arg(&target_directory)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            library.flags(&map, name == "coracled")?.join("\x1f"),
        )
        // The C code in crates is compiled for the library that it is linked with.
        .env(
            format!("CC_{}", library.target.replace('-', "_")),
            "musl-gcc",
        );
    run::check(&mut cargo)?;
    library.check_calls(&map)?;
    Ok(target_directory
        .join(&library.target)
        .join("release")
        .join(name))
}

/// Where cargo puts the release files of a build without our flags: `.cargo/config.toml` names the target, so the host's triple is part of the path.
pub(crate) fn release_directory() -> Result<PathBuf> {
    let version = run::output(
        std::process::Command::new("rustc")
            .arg("-vV")
            .current_dir(run::root()),
    )?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?;
    Ok(target_directory().join(host).join("release"))
}

fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| run::root().join("target"), PathBuf::from)
}

/// Returns the size of an ELF file in bytes, or why it is not a static one.
fn check_static(path: &Path) -> Result<u64> {
    let bytes = fs::read(path)?;
    if bytes.get(..5) != Some(b"\x7fELF\x02") {
        bail!("{} is not a 64-bit ELF file", path.display());
    }
    let table = number(&bytes, PHOFF, 8)?;
    let (size, count) = (number(&bytes, PHENTSIZE, 2)?, number(&bytes, PHNUM, 2)?);
    for index in 0..count {
        if number(&bytes, table + index * size, 4)? == PT_INTERP as usize {
            bail!(
                "{} is not static: it asks for an interpreter",
                path.display()
            );
        }
    }
    Ok(bytes.len() as u64)
}

/// The little-endian number of `width` bytes at `offset`.
fn number(bytes: &[u8], offset: usize, width: usize) -> Result<usize> {
    let field = bytes
        .get(offset..offset + width)
        .context("the ELF file is cut off")?;
    Ok(field
        .iter()
        .rev()
        .fold(0, |value, byte| (value << 8) | usize::from(*byte)))
}
