//! Which C library the release is linked with, and the compiler's flags for it.
//!
//! Rust's musl target is used where it is installed. Where only the GNU target is, its standard library is linked with Debian's
//! musl: the functions that it calls are few, and have the same signatures, constants and structures in both libraries. Which
//! they are is written down in `c_functions.txt`, and a release that calls another one is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run;

/// The reviewed functions of the C library, one per line.
const REVIEWED: &str = include_str!("c_functions.txt");

/// How a release is compiled and linked.
pub(super) struct CLibrary {
    /// The compiler's target.
    pub(super) target: String,
    /// The folder of Debian's musl, where the standard library is the GNU target's.
    borrowed: Option<PathBuf>,
}

impl CLibrary {
    /// Takes Rust's musl target where it is installed, else Debian's musl.
    pub(super) fn find() -> Result<Self> {
        let version = rustc(&["-vV"])?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("rustc -vV names no host")?;
        let machine = host.split('-').next().unwrap_or_default();
        let target = format!("{machine}-unknown-linux-musl");
        let libraries = rustc(&["--print", "target-libdir", "--target", &target])?;
        if Path::new(libraries.trim()).exists() {
            return Ok(Self {
                target,
                borrowed: None,
            });
        }
        let folder = PathBuf::from(format!("/usr/lib/{machine}-linux-musl"));
        if !folder.join("libc.a").exists() {
            bail!(
                "no musl to link the release with: run `cargo xtask setup`, or `rustup target add {target}`"
            );
        }
        Ok(Self {
            target: host.to_owned(),
            borrowed: Some(folder),
        })
    }

    /// The compiler's flags. `map` is where the linker writes which file needs which function; for a resident file small comes first.
    pub(super) fn flags(&self, map: &Path, is_resident: bool) -> Result<Vec<String>> {
        let script = run::root().join("crates/executor/abort.ld");
        let mut flags: Vec<String> = [
            "-Ctarget-feature=+crt-static",
            // Fixed addresses: tables of pointers stay shared pages of the file. The stack, the heap and mappings keep their
            // random places.
            "-Crelocation-model=static",
            "-Cforce-unwind-tables=no",
            "-Clink-arg=-Wl,--no-eh-frame-hdr",
            "-Clink-arg=-Wl,-O2",
        ]
        .map(str::to_owned)
        .into();
        flags.push(format!("-Clink-arg=-Wl,-T,{}", script.display()));
        if is_resident {
            flags.push("-Cllvm-args=-enable-machine-outliner=always".to_owned());
        }
        if let Some(folder) = &self.borrowed {
            flags.extend(["--cfg".to_owned(), "c_library=\"musl\"".to_owned()]);
            flags.push(format!("-Lnative={}", folder.display()));
            flags.push("-Clink-arg=-nostartfiles".to_owned());
            for start in ["crt1.o", "crti.o", "crtn.o"] {
                flags.push(format!("-Clink-arg={}", folder.join(start).display()));
            }
            for name in missing_aliases(&folder.join("libc.a"))? {
                let plain = name.trim_end_matches("64");
                flags.push(format!("-Clink-arg=-Wl,--defsym={name}={plain}"));
            }
            flags.push(format!("-Clink-arg=-Wl,--Map={},--cref", map.display()));
            if self.target.starts_with("x86_64") {
                // The compiler brings its own linker for this target, which makes one of functions that are the same.
                flags.push("-Clink-arg=-Wl,--icf=all".to_owned());
            }
        }
        Ok(flags)
    }

    /// Refuses a release whose Rust code calls a function of the C library that nobody has reviewed.
    pub(super) fn check_calls(&self, map: &Path) -> Result<()> {
        if self.borrowed.is_none() {
            return Ok(());
        }
        let text =
            fs::read_to_string(map).with_context(|| format!("cannot read {}", map.display()))?;
        let reviewed: BTreeSet<&str> = reviewed().collect();
        let called = calls(&text);
        if called.is_empty() {
            bail!("{} names no function of the C library", map.display());
        }
        let unknown: Vec<&str> = called.difference(&reviewed).copied().collect();
        if !unknown.is_empty() {
            bail!(
                "the standard library calls functions that are not in xtask/src/dist/c_functions.txt: {}. Compare their signatures, \
                 constants and structures in both C libraries, then add them",
                unknown.join(" ")
            );
        }
        Ok(())
    }
}

fn rustc(arguments: &[&str]) -> Result<String> {
    run::output(
        std::process::Command::new("rustc")
            .args(arguments)
            .current_dir(run::root()),
    )
}

fn reviewed() -> impl Iterator<Item = &'static str> {
    REVIEWED
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
}

/// Names with 64 at the end that a musl since 1.2.4 no longer has for linking: there the plain names are the same functions.
fn missing_aliases(archive: &Path) -> Result<Vec<&'static str>> {
    let bytes = fs::read(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    // The archive's index, its first member, has the names one behind the other, each with a NUL.
    let index = String::from_utf8_lossy(bytes.get(..INDEX_BYTES.min(bytes.len())).unwrap_or(&[]))
        .into_owned();
    let names: BTreeSet<&str> = index.split('\0').collect();
    Ok(reviewed()
        .filter(|name| name.ends_with("64") && !names.contains(name))
        .collect())
}

/// More than the index of any C library.
const INDEX_BYTES: usize = 1 << 20;

/// The functions of `libc.a` that Rust code calls, from the linker's table of cross references: a line with the function and the
/// file that has it, then indented lines with the files that need it.
fn calls(map: &str) -> BTreeSet<&str> {
    let table = map.split("Cross Reference Table").nth(1).unwrap_or("");
    let mut found = BTreeSet::new();
    let mut current = None;
    for line in table.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some(name), Some(file)) => current = file.contains("/libc.a(").then_some(name),
            (Some(file), None) if file.contains(".rcgu.o") || file.contains(".rlib(") => {
                found.extend(current);
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "\
Cross Reference Table

Symbol                  File
open64                  /usr/lib/x86_64-linux-musl/libc.a(open.lo)
                        /target/deps/coracled-1.rcgu.o
__syscall_ret           /usr/lib/x86_64-linux-musl/libc.a(syscall_ret.lo)
                        /usr/lib/x86_64-linux-musl/libc.a(open.lo)
malloc                  /usr/lib/x86_64-linux-musl/libc.a(lite_malloc.lo)
                        /usr/lib/gcc/x86_64-linux-gnu/12/libgcc_eh.a(unwind-dw2.o)
                        /target/deps/coracled-1.rcgu.o
memcpy                  /target/deps/coracled-1.rcgu.o
                        /usr/lib/x86_64-linux-musl/libc.a(open.lo)
";

    #[test]
    fn only_what_rust_code_asks_of_the_c_library_is_a_call() {
        assert_eq!(calls(MAP), BTreeSet::from(["malloc", "open64"]));
    }

    #[test]
    fn the_reviewed_functions_are_sorted_and_named_once() {
        let names: Vec<&str> = reviewed().collect();
        assert!(names.is_sorted(), "not sorted: {names:?}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
