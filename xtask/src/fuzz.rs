//! `cargo xtask fuzz`: hostile bytes for every parser, with libFuzzer's coverage, from the corpus that is kept in `fuzz/corpus`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{run, setup};

/// What counts the branches that an input takes (clang, SanitizerCoverage); the compiler's own passes do it.
const COVERAGE: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Longest input, in bytes: what is longer than a parser's limits only costs time.
const INPUT_MAX: &str = "65536";

/// An input may take this long, in seconds.
const INPUT_TIME: &str = "5";

/// Files that the corpus keeps for each target.
const CORPUS_FILES: usize = 16;

/// In MB.
const MEMORY_MAX: &str = "1024";

/// Which targets, and for how long in all.
struct Wish {
    seconds: u64,
    names: Vec<String>,
    /// Whether what is found goes to the corpus, as little of it as covers the same.
    is_kept: bool,
    /// Where the inputs come from; 0 is another place each time.
    seed: u32,
}

/// Runs the named targets, or all, for `--seconds` in sum; `--keep` takes what they found into the corpus.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let mut wish = Wish {
        seconds: 60,
        names: Vec::new(),
        is_kept: false,
        seed: 0,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let value = words.next().context("--seconds needs a number")?;
                wish.seconds = value.parse().context("--seconds takes a number")?;
            }
            "--keep" => wish.is_kept = true,
            "--seed" => {
                let value = words.next().context("--seed needs a number")?;
                wish.seed = value.parse().context("--seed takes a number")?;
            }
            name => wish.names.push(name.to_owned()),
        }
    }
    fuzz(&wish)
}

/// The tier of tests: one minute in all, the same inputs each time, so that a change is judged by what it did.
pub(crate) fn short() -> Result<()> {
    run(&["--seed".to_owned(), "1".to_owned()])
}

fn fuzz(wish: &Wish) -> Result<()> {
    setup::programs(&[("/usr/bin/g++", "g++")])?;
    let program = build()?;
    let all = names()?;
    if let Some(unknown) = wish.names.iter().find(|name| !all.contains(name)) {
        bail!(
            "there is no target {unknown:?}; there are {}",
            all.join(", ")
        );
    }
    let chosen: Vec<&String> = all
        .iter()
        .filter(|name| wish.names.is_empty() || wish.names.contains(name))
        .collect();
    let seconds = (wish.seconds / chosen.len() as u64).max(1);
    for name in chosen {
        one(&program, name, seconds, wish)?;
    }
    Ok(())
}

/// Leaves the smallest files: they are where each run begins, and it finds the others again.
fn shorten(folder: &Path) -> Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.metadata()?.len(), entry.path()));
    }
    files.sort();
    for (_, path) in files.iter().skip(CORPUS_FILES) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// The folders of the corpus are the targets' names.
fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(corpus())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn corpus() -> PathBuf {
    run::root().join("fuzz/corpus")
}

fn build() -> Result<PathBuf> {
    let target = run::root().join("target/fuzz");
    run::check(
        run::cargo()
            .args(["build", "--release", "--quiet", "--target-dir"])
            .arg(&target)
            .current_dir(run::root().join("fuzz"))
            .env("RUSTFLAGS", COVERAGE),
    )?;
    let folder = target.join(format!(
        "{}-unknown-linux-gnu/release",
        std::env::consts::ARCH
    ));
    Ok(folder.join("coracle-fuzz"))
}

/// What is found anew is written beside the build's files; the corpus stays as it is unless it is to be kept.
fn one(program: &Path, name: &str, seconds: u64, wish: &Wish) -> Result<()> {
    let found = run::root().join("target/fuzz/found").join(name);
    let own = corpus().join(name);
    fs::create_dir_all(&found)?;
    let artifacts = format!("{}/", run::root().join("target/fuzz").display());
    let libfuzzer = |options: &[&str], folders: &[&Path]| {
        let mut command = Command::new(program);
        command
            .env("CORACLE_FUZZ_TARGET", name)
            .arg(format!("-artifact_prefix={artifacts}{name}-"))
            .arg(format!("-max_len={INPUT_MAX}"))
            .arg(format!("-timeout={INPUT_TIME}"))
            .arg(format!("-rss_limit_mb={MEMORY_MAX}"))
            .arg(format!("-seed={}", wish.seed))
            .args(["-print_final_stats=0", "-verbosity=0"])
            .args(options)
            .args(folders);
        command
    };
    let time = format!("-max_total_time={seconds}");
    let output = libfuzzer(&[&time], &[&found, &own])
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        bail!(
            "fuzz: {name} met an input that breaks a promise, {artifacts}{name}-*: it becomes a test, and then a file of fuzz/corpus/{name}"
        );
    }
    if wish.is_kept {
        let smaller = run::root().join("target/fuzz/smaller").join(name);
        fs::create_dir_all(&smaller)?;
        run::check(&mut libfuzzer(&["-merge=1"], &[&smaller, &own, &found]))?;
        shorten(&smaller)?;
        fs::remove_dir_all(&own)?;
        fs::rename(&smaller, &own)?;
    }
    eprintln!("fuzz: {name} · {seconds} s · nothing broke");
    Ok(())
}
