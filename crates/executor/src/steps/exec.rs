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

/// The names of descriptors without those of missing files; the planner lets files have no longer ones, and the rest is the service's own.
const NAMES_BYTES: usize = 32 << 10;

/// What stands in place of the lines about descriptors, where files are missing. An empty line is none.
#[derive(Clone, Copy)]
struct Listening<'a> {
    count: &'a CStr,
    names: &'a CStr,
}

/// Returns only when it failed.
pub(super) fn take(state: &State<'_>) -> Result<()> {
    if state.opened.are_fewer() {
        without_missing(state)
    } else {
        choose(state, None)
    }
}

/// A frame of its own, likewise.
#[inline(never)]
fn without_missing(state: &State<'_>) -> Result<()> {
    let (mut count_room, mut names_room) = ([0; 40], [0; NAMES_BYTES]);
    let handed = state.frame.passed();
    let there = handed + state.opened.there;
    let mut listening = Listening {
        count: c"",
        names: c"",
    };
    if there > 0 {
        let there = u32::try_from(there).map_err(|_| Errno::OVERFLOW)?;
        listening.count = numbered(LISTEN_FDS, there, &mut count_room)?;
        let mut lines = state.frame.environment.iter();
        let names = lines.find_map(|line| line.to_bytes().strip_prefix(LISTEN_FDNAMES));
        let is_there = |place: usize| match place.checked_sub(handed) {
            Some(file) => !state.opened.is_missing(file),
            None => true,
        };
        listening.names = kept(names.unwrap_or_default(), is_there, &mut names_room)?;
    }
    choose(state, Some(listening))
}

const LISTEN_FDS: &[u8] = b"LISTEN_FDS=";
const LISTEN_FDNAMES: &[u8] = b"LISTEN_FDNAMES=";

/// The line of those names that are kept.
fn kept<'a>(
    names: &[u8],
    is_there: impl Fn(usize) -> bool,
    room: &'a mut [u8; NAMES_BYTES],
) -> Result<&'a CStr> {
    let mut end = 0;
    let mut add = |bytes: &[u8]| {
        let place = room.get_mut(end..end + bytes.len());
        place.ok_or(Errno::TOOBIG)?.copy_from_slice(bytes);
        end += bytes.len();
        Ok::<(), Errno>(())
    };
    add(LISTEN_FDNAMES)?;
    let names = names.split(|byte| *byte == b':').enumerate();
    let mut names = names.filter(|(place, _)| is_there(*place));
    if let Some((_, first)) = names.next() {
        add(first)?;
    }
    for (_, name) in names {
        add(b":")?;
        add(name)?;
    }
    CStr::from_bytes_until_nul(room).map_err(|_| Errno::TOOBIG)
}

fn choose(state: &State<'_>, listening: Option<Listening<'_>>) -> Result<()> {
    let longest = state
        .frame
        .arguments
        .iter()
        .count()
        .max(state.frame.environment.iter().count());
    // A place each for SYSTEMD_EXEC_PID, LISTEN_PID and WATCHDOG_PID, one for the end.
    if longest + 4 <= USUAL_TEXTS {
        execute::<USUAL_TEXTS>(state, listening)
    } else {
        execute_many(state, listening)
    }
}

/// A frame of its own, so that the usual start doesn't pay for it.
#[inline(never)]
fn execute_many(state: &State<'_>, listening: Option<Listening<'_>>) -> Result<()> {
    execute::<MAX_TEXTS>(state, listening)
}

#[inline(never)]
fn execute<const N: usize>(state: &State<'_>, replaced: Option<Listening<'_>>) -> Result<()> {
    let (mut argument_room, mut environment_room) = (
        [core::ptr::null::<c_char>(); N],
        [core::ptr::null::<c_char>(); N],
    );
    let (mut started, mut listening, mut watched) = ([0; 40], [0; 40], [0; 40]);
    let started = own_number(b"SYSTEMD_EXEC_PID=", &mut started)?;
    let listening = if state.frame.passed() + state.opened.there > 0 {
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
    let environment = state.frame.environment.iter().map(|line| match replaced {
        Some(by) if line.to_bytes().starts_with(LISTEN_FDS) => by.count,
        Some(by) if line.to_bytes().starts_with(LISTEN_FDNAMES) => by.names,
        _ => line,
    });
    let environment = environment.filter(|line| !line.is_empty()).chain(own);
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
    numbered(name, own.unsigned_abs(), room)
}

fn numbered<'a>(name: &[u8], number: u32, room: &'a mut [u8; 40]) -> Result<&'a CStr> {
    let mut digits = Digits::new();
    let digits = digits.unsigned(number.into());
    let end = name.len() + digits.len();
    room.get_mut(..name.len())
        .ok_or(Errno::OVERFLOW)?
        .copy_from_slice(name);
    room.get_mut(name.len()..end)
        .ok_or(Errno::OVERFLOW)?
        .copy_from_slice(digits);
    CStr::from_bytes_until_nul(room).map_err(|_| Errno::OVERFLOW)
}
