//! Executes the service: the end of this program.

use core::ffi::{CStr, c_char};

use kernel::process::TextList;
use kernel::{Errno, Result};

use crate::state::State;
use crate::steps::proc_file::Digits;

/// Texts that fit without touching much of the stack; nearly every service needs fewer.
const USUAL_TEXTS: usize = 128;
/// The most arguments or environment lines: with a pointer each, 256 KiB of stack.
const MAX_TEXTS: usize = 32 * 1024;

/// Returns only when it failed.
pub(super) fn take(state: &State<'_>) -> Result<()> {
    let longest = state
        .frame
        .arguments
        .iter()
        .count()
        .max(state.frame.environment.iter().count());
    // A place each for SYSTEMD_EXEC_PID, LISTEN_PID and WATCHDOG_PID, one for the end.
    if longest + 4 <= USUAL_TEXTS {
        execute::<USUAL_TEXTS>(state)
    } else {
        execute_many(state)
    }
}

/// A frame of its own, so that the usual start doesn't pay for it.
#[inline(never)]
fn execute_many(state: &State<'_>) -> Result<()> {
    execute::<MAX_TEXTS>(state)
}

#[inline(never)]
fn execute<const N: usize>(state: &State<'_>) -> Result<()> {
    let (mut argument_room, mut environment_room) = (
        [core::ptr::null::<c_char>(); N],
        [core::ptr::null::<c_char>(); N],
    );
    let (mut started, mut listening, mut watched) = ([0; 40], [0; 40], [0; 40]);
    let started = own_number(b"SYSTEMD_EXEC_PID=", &mut started)?;
    let listening = if state.frame.passed() > 0 {
        Some(own_number(b"LISTEN_PID=", &mut listening)?)
    } else {
        None
    };
    let mut variables = state.frame.environment.iter();
    let is_watched = variables.any(|line| line.to_bytes().starts_with(b"WATCHDOG_USEC="));
    let watched = if is_watched {
        Some(own_number(b"WATCHDOG_PID=", &mut watched)?)
    } else {
        None
    };
    let own = core::iter::once(started).chain(listening).chain(watched);
    let environment = state.frame.environment.iter().chain(own);
    let environment = TextList::new(environment, &mut environment_room).ok_or(Errno::TOOBIG)?;
    let arguments =
        TextList::new(state.frame.arguments.iter(), &mut argument_room).ok_or(Errno::TOOBIG)?;
    let program = state.program.ok_or(Errno::NOENT)?;
    Err(kernel::process::execute_path(
        program,
        arguments,
        environment,
    ))
}

/// Only here the process knows its own number. A service compares it before it takes descriptors, and to learn whether it was started
/// itself or by another process of the unit.
fn own_number<'a>(name: &[u8], room: &'a mut [u8; 40]) -> Result<&'a CStr> {
    let own = kernel::rustix::process::getpid().as_raw_nonzero().get();
    let mut digits = Digits::new();
    let digits = digits.unsigned(own.unsigned_abs().into());
    let end = name.len() + digits.len();
    room.get_mut(..name.len())
        .ok_or(Errno::OVERFLOW)?
        .copy_from_slice(name);
    room.get_mut(name.len()..end)
        .ok_or(Errno::OVERFLOW)?
        .copy_from_slice(digits);
    CStr::from_bytes_until_nul(room).map_err(|_| Errno::OVERFLOW)
}
