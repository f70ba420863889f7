//! Standard streams: before the mount namespace, since files are the host's, and before the user changes.

use kernel::rustix::fd::AsRawFd;
use kernel::rustix::fs::{Mode, OFlags, open};
use kernel::rustix::io::write;
use kernel::walk::Place;
use kernel::{AsFd, Errno, OwnedFd, Result};
use plan::frame::Role;
use plan::step::Source;

use crate::state::State;

/// Mode of a log file that is made.
const FILE_MODE: u32 = 0o644;

/// Puts one stream in its place.
pub(super) fn take(state: &State<'_>, target: u8, source: Source<'_>) -> Result<()> {
    let number = i32::from(target);
    match source {
        Source::Inherit => Ok(()),
        Source::Null => kernel::descriptor::place(null()?, number),
        Source::Terminal => {
            let terminal = state.terminal.as_ref().ok_or(Errno::BADF)?;
            kernel::descriptor::place_number(terminal.as_raw_fd(), number)
        }
        Source::Passed => kernel::descriptor::place(state.get(role(target)?)?, number),
        // Streams are set up in order, so an earlier one is in its place already.
        Source::Same { stream } if stream < target => {
            kernel::descriptor::place_number(i32::from(stream), number)
        }
        Source::Same { .. } => Err(Errno::INVAL),
        Source::File { path, flags } => {
            // Logs lie in directories of services, which may have laid links there for who opens them as root.
            let flags = OFlags::from_bits_retain(flags) | OFlags::NOCTTY;
            let place = Place::find(path, |_| None)?;
            let file = place.open_with(flags, Mode::from_raw_mode(FILE_MODE))?;
            kernel::descriptor::place(file, number)
        }
        Source::Data { bytes } => kernel::descriptor::place(data(bytes)?, number),
    }
}

fn role(target: u8) -> Result<Role> {
    match target {
        0 => Ok(Role::Input),
        1 => Ok(Role::Output),
        2 => Ok(Role::Error),
        _ => Err(Errno::INVAL),
    }
}

fn null() -> Result<OwnedFd> {
    open(
        c"/dev/null",
        OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::empty(),
    )
}

/// The bytes in a sealed memory file, read from its start.
fn data(bytes: &[u8]) -> Result<OwnedFd> {
    let file = kernel::memory::memory_file(c"stdin")?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = write(file.as_fd(), rest)?;
        rest = rest.get(written..).ok_or(Errno::IO)?;
    }
    kernel::rustix::fs::seek(&file, kernel::rustix::fs::SeekFrom::Start(0))?;
    kernel::memory::seal(&file)?;
    Ok(file)
}
