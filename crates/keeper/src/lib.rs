//! The parent process of everything: it starts, watches, holds descriptors and restarts the manager.
//!
//! It parses no text and decides nothing. All its memory is sized at start: it allocates only before its loop and when it
//! executes itself anew. If it is killed, services live on (nothing here ties them to it); what only it held is lost.

mod child;
pub mod client;
mod clock;
mod ending;
mod held;
mod incoming;
mod keeper;
mod outgoing;
pub mod protocol;
mod reaper;
mod resume;
mod signals;
mod slots;
mod starter;
mod supervised;
mod window;

use std::ffi::{CString, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStringExt;

use kernel::{Errno, OwnedFd};
use rustix::fs::{Mode, OFlags};

use crate::keeper::{CHILDREN_MAX, HELD_MAX, Keeper};
use crate::resume::{Inventory, ResumeError};
use crate::window::Window;

/// Descriptors beyond children and held ones: channels, epoll, those of a message being carried out.
const SPARE_DESCRIPTORS: u64 = 1024;

/// Where the executables' descriptors are: above the numbers that most children see, so that a spawn need not move them, and
/// below 64, from where on the kernel allocates a larger table for every child. The [`window::Window`] comes next.
const ASIDE: i32 = 32;

/// Why the keeper could not begin or go on.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("an argument holds a NUL")]
    Argument,
    #[error("there are more than {} arguments", starter::ARGUMENTS_MAX - 8)]
    Arguments,
    #[error("cannot {action}")]
    System {
        action: &'static str,
        #[source]
        source: Errno,
    },
    #[error(transparent)]
    Resume(#[from] ResumeError),
}

fn doing(action: &'static str) -> impl Fn(Errno) -> Failure {
    move |source| Failure::System { action, source }
}

/// Is the keeper, until its end.
///
/// All paths in the arguments must be absolute. `arguments` are those behind `coracled keeper`; they go on to `coracled manager` and `coracled log` as they are, except
/// for what the keeper says to its own successor. `executor` is the program that every spawned child runs first.
pub fn run(arguments: Vec<OsString>, executor: &'static [u8]) -> ! {
    match begin(arguments, executor).and_then(|mut keeper| {
        let status = keeper.run().map_err(doing("wait for events"))?;
        if let Some(source) = keeper.become_the_end() {
            complain(&doing("become what ends the machine")(source));
        }
        match keeper.switch_power() {
            Some(source) => Err(doing("switch the machine's power")(source)),
            None => Ok(status),
        }
    }) {
        Ok(status) => std::process::exit(i32::from(status)),
        Err(failure) => {
            complain(&failure);
            std::process::exit(1)
        }
    }
}

/// To whoever started the keeper; there may be no one.
fn complain(failure: &Failure) {
    let mut text = format!("coracled keeper: {failure}");
    let mut source = std::error::Error::source(failure);
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text.push('\n');
    match std::io::stderr().write_all(text.as_bytes()) {
        Ok(()) | Err(_) => {}
    }
}

fn begin(arguments: Vec<OsString>, executor: &'static [u8]) -> Result<Keeper, Failure> {
    kernel::signal::set_mask(signals::taken()).map_err(doing("block signals"))?;
    kernel::signal::reset_dispositions().map_err(doing("reset signals"))?;
    kernel::process::set_subreaper(true).map_err(doing("become a subreaper"))?;
    kernel::process::set_name(c"coracle-keeper").map_err(doing("set the process's name"))?;
    let (arguments, resumed) = resume::split(arguments);
    let inventory = resumed.map(Inventory::read).transpose()?;
    if inventory.is_none() {
        // What the caller left open would be held as long as this process, and a pipe's reader would wait for it.
        kernel::descriptor::close_range(3, u32::MAX)
            .map_err(doing("close inherited descriptors"))?;
    }
    // So that no file system stays busy for as long as this process lives.
    rustix::process::chdir(c"/").map_err(doing("enter the root directory"))?;
    let before = kernel::process::limit(kernel::process::LIMIT_OPEN_FILES)
        .map_err(doing("read the limit of descriptors"))?;
    let open_files = match &inventory {
        Some(inventory) => inventory.open_files()?,
        None => before,
    };
    raise_open_files(before).map_err(doing("raise the limit of descriptors"))?;
    let executor = kernel::memory::sealed_executable(c"coracle-executor", executor)
        .map_err(doing("keep the executor in memory"))?;
    let program = own_program().map_err(doing("open the keeper's own executable"))?;
    let aside = |file: OwnedFd| {
        kernel::descriptor::duplicate_from(file, ASIDE).map_err(doing("move a descriptor"))
    };
    let (program, executor) = (aside(program)?, aside(executor)?);
    let window = Window::new(ASIDE).map_err(doing("take descriptors' numbers"))?;
    let files = (program, executor);
    let mut keeper = Keeper::new(texts(arguments)?, files, open_files, window)
        .map_err(doing("prepare the loop"))?;
    if let Some(inventory) = inventory {
        inventory.restore(&mut keeper)?;
        // What ended while no one looked.
        keeper.reap_orphans();
    }
    Ok(keeper)
}

fn texts(arguments: Vec<OsString>) -> Result<Vec<CString>, Failure> {
    // Room for the program's name, the role, and what the keeper adds.
    if arguments.len() > starter::ARGUMENTS_MAX - 8 {
        return Err(Failure::Arguments);
    }
    arguments
        .into_iter()
        .map(|argument| CString::new(argument.into_vec()).map_err(|_| Failure::Argument))
        .collect()
}

/// As many as the tables hold where that is permitted, else as many as the hard limit lets; what does not fit then is refused
/// to the manager one by one.
fn raise_open_files((_, hard): (u64, u64)) -> kernel::Result<()> {
    let wanted = (CHILDREN_MAX + HELD_MAX) as u64 + SPARE_DESCRIPTORS;
    let set = |soft: u64, hard: u64| {
        kernel::process::set_limit(kernel::process::LIMIT_OPEN_FILES, soft, hard)
    };
    if hard >= wanted {
        return set(wanted, hard);
    }
    set(wanted, wanted).or_else(|_| set(hard, hard))
}

/// As an open file: the name may be replaced by an upgrade, this stays. Without /proc, by the name it was started with.
fn own_program() -> kernel::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open(c"/proc/self/exe", flags, Mode::empty()).or_else(|errno| {
        let name = std::env::args_os().next().ok_or(errno)?;
        rustix::fs::open(name, flags, Mode::empty())
    })
}
