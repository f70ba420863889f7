//! Entry of `coracled`: by its first argument this file is the keeper, the manager or the log process.

mod arguments;
mod log;

use anyhow::Context;
use arguments::Arguments;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// The C library's own takes a mapping from the kernel and gives it back for every handful of pages; this one keeps what it has.
#[global_allocator]
static ALLOCATOR: kernel::allocator::Kept<dlmalloc::GlobalDlmalloc> =
    kernel::allocator::Kept::new(dlmalloc::GlobalDlmalloc);

/// The program that every spawned child executes first; made by this crate's build script.
static EXECUTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/coracle-executor"));

const USAGE: &str = "\
Usage: coracled [--runtime-dir DIR] [--state-dir DIR] [--config-dir DIR] [--unit-path DIRS]

Runs an instance of Coracle in the foreground. `coracle` starts it by itself where none runs.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("coracled: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Nobody but root writes to what root makes, whatever mask of file modes the caller had.
const FILE_MODE_MASK: u32 = 0o022;

fn run() -> anyhow::Result<()> {
    kernel::rustix::process::umask(kernel::rustix::fs::Mode::from_raw_mode(FILE_MODE_MASK));
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let role = words
        .first()
        .and_then(|word| word.to_str())
        .unwrap_or_default()
        .to_owned();
    match role.as_str() {
        "manager" => manager(words.split_off(1)),
        "log" => log::run(&Arguments::read(words.split_off(1))?),
        "keeper" => keeper(words.split_off(1)),
        init::END => Err(init::end(&words.split_off(1))).context("the machine can't be switched"),
        "--version" | "-V" => say(concat!("coracled ", env!("CARGO_PKG_VERSION"), "\n")),
        "--help" | "-h" => say(USAGE),
        _ => {
            init::begin();
            keeper(words)
        }
    }
}

/// Arguments of the keeper's own, which it gives to its successor, go through as they are.
fn keeper(words: Vec<OsString>) -> anyhow::Result<()> {
    ::keeper::run(arguments::complete(words)?, EXECUTOR)
}

fn manager(words: Vec<OsString>) -> anyhow::Result<()> {
    let arguments = Arguments::read(words)?;
    let keeper = arguments::channel()
        .context("the manager is started by the keeper, with its channel as descriptor 3")?;
    let options = ::manager::Options {
        directories: arguments.directories,
        keeper,
        adopt_only: arguments.adopt_only,
        on_demand: arguments.on_demand,
        ready: arguments.ready,
    };
    ::manager::run(options).context("the manager ends")
}

/// Standard output is what was asked for.
fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")
}

/// Standard error is for whoever started us; there may be no one.
fn complain(text: &str) {
    use std::io::Write;
    match std::io::stderr().write_all(text.as_bytes()) {
        Ok(()) | Err(_) => {}
    }
}

/// Refuses an argument that is none.
fn unknown(word: &OsStr) -> anyhow::Error {
    anyhow::anyhow!(
        "unknown argument {}: see coracled --help",
        word.to_string_lossy()
    )
}
