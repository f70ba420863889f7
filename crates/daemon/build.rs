//! Builds the executor, a program without a C library, so that `coracled` can carry it inside.
//!
//! A cargo of its own: the executor needs other compiler flags, another profile and other features of the same crates.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a build that can't go on ends with a panic: cargo shows it"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What the executor is made of, seen from this crate.
const SOURCES: [&str; 10] = [
    "../executor/src",
    "../executor/Cargo.toml",
    "../executor/freestanding.toml",
    "../executor/abort.ld",
    "../kernel/src",
    "../kernel/Cargo.toml",
    "../plan/src",
    "../plan/Cargo.toml",
    "../../Cargo.toml",
    "build.rs",
];

/// "Some tens of kilobytes": it is mapped at every start.
const MAX_BYTES: usize = 128 * 1024;

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let target = variable("TARGET");
    build(&out, &target);
    let made = out
        .join("executor")
        .join(&target)
        .join("release/coracle-executor");
    let image =
        fs::read(&made).unwrap_or_else(|error| panic!("cannot read {}: {error}", made.display()));
    check(&image);
    fs::write(out.join("coracle-executor"), image).expect("OUT_DIR is writable");
}

fn build(out: &Path, target: &str) {
    let mut cargo = Command::new(variable("CARGO"));
    // What the outer cargo (or clippy, by its wrapper) says about this build doesn't hold for the inner one.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let outer = name.starts_with("CARGO_")
            && !matches!(
                &*name,
                "CARGO_HOME" | "CARGO_MAKEFLAGS" | "CARGO_NET_OFFLINE"
            );
        if outer || name.starts_with("RUSTC") || name == "RUSTFLAGS" {
            cargo.env_remove(&*name);
        }
    }
    let status = cargo
        .args([
            "build",
            "--quiet",
            "--config",
            "../executor/freestanding.toml",
            "--package",
            "coracle-executor",
            "--bin",
            "coracle-executor",
        ])
        .args([
            "--no-default-features",
            "--features",
            "freestanding",
            "--release",
            "--target",
            target,
            "--target-dir",
        ])
        .arg(out.join("executor"))
        .status()
        .unwrap_or_else(|error| panic!("cannot run cargo for the executor: {error}"));
    assert!(status.success(), "the executor does not build");
}

/// The kernel must need nothing but the file itself.
fn check(image: &[u8]) {
    assert!(image.starts_with(b"\x7fELF"), "the executor is no ELF file");
    assert!(
        image.len() <= MAX_BYTES,
        "the executor has {} bytes",
        image.len()
    );
    let word = |at: usize, bytes: usize| {
        (0..bytes).fold(0usize, |sum, byte| {
            sum | usize::from(image[at + byte]) << (8 * byte)
        })
    };
    let (headers, size, count) = (word(32, 8), word(54, 2), word(56, 2));
    for kind in (0..count).map(|index| word(headers + index * size, 4)) {
        assert!(
            kind != 2 && kind != 3,
            "the executor needs a dynamic linker"
        );
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo gives {name}: {error}"))
}
