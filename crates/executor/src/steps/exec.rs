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
    // One place for LISTEN_PID, one for the end.
    if longest + 2 <= USUAL_TEXTS {
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
    let mut own_id = [0; 40];
    let own_id = if state.frame.passed() > 0 {
        Some(listen_pid(&mut own_id)?)
    } else {
        None
    };
    let environment = state.frame.environment.iter().chain(own_id);
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

/// Only here the process knows its own number, which a service compares before it takes descriptors.
fn listen_pid(room: &mut [u8; 40]) -> Result<&CStr> {
    const NAME: &[u8] = b"LISTEN_PID=";
    let own = kernel::rustix::process::getpid().as_raw_nonzero().get();
    let mut digits = Digits::new();
    let digits = digits.unsigned(own.unsigned_abs().into());
    let end = NAME.len() + digits.len();
    room.get_mut(..NAME.len())
        .ok_or(Errno::OVERFLOW)?
        .copy_from_slice(NAME);
    room.get_mut(NAME.len()..end)
        .ok_or(Errno::OVERFLOW)?
        .copy_from_slice(digits);
    CStr::from_bytes_until_nul(room).map_err(|_| Errno::OVERFLOW)
}
