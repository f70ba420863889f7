//! From the inherited descriptors to the loop over the steps, and the report of the step that failed.

use core::ffi::CStr;

use kernel::{AsFd, Errno, Result};
use plan::frame::{Frame, PLAN_DESCRIPTOR, REPORT_DESCRIPTOR};
use plan::report::{Failure, HEAD_BYTES, RECORD_BYTES, Report};
use plan::step::Asked;

use crate::head::Head;
use crate::state::State;
use crate::steps;

/// The status of an executor that can't even read its plan.
const EXCEPTION: u8 = 255;

/// Takes the plan at descriptor 3 to its end. Returns only with a failure's exit status, or 0 after a role without exec.
pub fn run() -> i32 {
    // Nothing that this process is may be looked at or traced by the service that it is about to become.
    if kernel::process::set_dumpable(false).is_err() {
        return i32::from(EXCEPTION);
    }
    let Ok(report) = kernel::descriptor::take_inherited(REPORT_DESCRIPTOR) else {
        return i32::from(EXCEPTION);
    };
    match read_plan().and_then(|frame| State::new(frame, report.as_fd())) {
        Ok(mut state) => {
            // The state has moved it out of the way of the numbers that the service gets.
            drop(report);
            take_steps(&mut state)
        }
        Err(errno) => tell(report, unreadable(errno)),
    }
}

fn unreadable(errno: Errno) -> Failure {
    Failure {
        position: 0,
        step: 0,
        exit_status: EXCEPTION,
        directive: plan::NO_DIRECTIVE,
        errno: errno.raw_os_error(),
    }
}

fn read_plan() -> Result<Frame<'static>> {
    let file = kernel::descriptor::take_inherited(PLAN_DESCRIPTOR)?;
    let bytes = kernel::memory::map_sealed(&file)?;
    if bytes.len() > plan::frame::MAX_PLAN_BYTES {
        return Err(Errno::FBIG);
    }
    Frame::decode(bytes).map_err(|_| Errno::PROTO)
}

fn take_steps(state: &mut State<'static>) -> i32 {
    for (position, asked) in state.frame.steps().enumerate() {
        let Ok(asked) = asked else {
            return fail(state, position, None, Errno::PROTO);
        };
        match steps::take(state, &asked.step) {
            Ok(()) => {}
            Err(_) if state.finished.is_some() => break,
            Err(errno) => return fail(state, position, Some(asked), errno),
        }
    }
    // Only a role without exec comes here, or a stub whose payload has ended.
    state.finished.unwrap_or(0)
}

fn fail(state: &State<'_>, position: usize, asked: Option<Asked<'_>>, errno: Errno) -> i32 {
    let failure = Failure {
        position: u16::try_from(position).unwrap_or(u16::MAX),
        step: asked.map_or(0, |asked| asked.step.tag()),
        exit_status: asked.map_or(EXCEPTION, |asked| asked.step.exit_status()),
        directive: state
            .blamed
            .or(asked.map(|asked| asked.directive))
            .unwrap_or(plan::NO_DIRECTIVE),
        errno: errno.raw_os_error(),
    };
    match state.program {
        Some(program) if failure.lacks_interpreter() => tell_with_head(state, failure, program),
        _ => tell(&state.report, failure),
    }
}

/// What the program begins with names what the kernel looked for. Behind a filter nothing is opened or read any more, which it may answer with our
/// end: then nobody would be told that the service was not executed.
#[inline(never)]
fn tell_with_head(state: &State<'_>, failure: Failure, program: &CStr) -> i32 {
    let now;
    let head = match &state.head {
        Some(head) => head,
        None => {
            now = Head::of(program);
            &now
        }
    };
    let mut message = [0; RECORD_BYTES + HEAD_BYTES];
    let (record, room) = message.split_at_mut(RECORD_BYTES);
    record.copy_from_slice(&Report::Failure(failure).encode());
    let bytes = head.bytes();
    if let Some(room) = room.get_mut(..bytes.len()) {
        room.copy_from_slice(bytes);
    }
    let message = message
        .get(..RECORD_BYTES + bytes.len())
        .unwrap_or_default();
    send(&state.report, failure, message)
}

fn tell(report: impl AsFd, failure: Failure) -> i32 {
    send(report, failure, &Report::Failure(failure).encode())
}

/// The manager may be gone; the exit status tells the kind of step in any case.
fn send(report: impl AsFd, failure: Failure, message: &[u8]) -> i32 {
    match kernel::message::send(report, message, &[]) {
        Ok(_) | Err(_) => i32::from(failure.exit_status),
    }
}
