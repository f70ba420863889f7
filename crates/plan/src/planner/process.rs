//! The process itself: signals, session, standard streams.

use model::value::{StandardInput, StandardOutput};
use model::{Directive, key};

use super::Refusal;
use super::draft::{Draft, text};
use crate::step::{Source, Step};

const O_WRONLY: u32 = 0o1;
const O_CREAT: u32 = 0o100;
const O_TRUNC: u32 = 0o1000;
const O_APPEND: u32 = 0o2000;

/// Signals and session.
pub(super) fn begin(draft: &mut Draft<'_>) {
    let ignore_sigpipe = draft.is_on(&key::IGNORE_SIGPIPE);
    draft.frame(Step::Signals { ignore_sigpipe });
    draft.frame(Step::Session);
}

/// The three streams.
pub(super) fn streams(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    input(draft)?;
    let output = draft.value(&key::STANDARD_OUTPUT);
    let inherits_input = !matches!(
        draft.value(&key::STANDARD_INPUT),
        StandardInput::Null | StandardInput::Data
    );
    let same = if inherits_input {
        Source::Same { stream: 0 }
    } else {
        Source::Null
    };
    write(draft, 1, &output, same, key::STANDARD_OUTPUT.directive())?;
    let error = draft.value(&key::STANDARD_ERROR);
    write(
        draft,
        2,
        &error,
        Source::Same { stream: 1 },
        key::STANDARD_ERROR.directive(),
    )
}

fn input(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let directive = key::STANDARD_INPUT.directive();
    let (mut bytes, path);
    let source = match draft.value(&key::STANDARD_INPUT) {
        StandardInput::Null => Source::Null,
        StandardInput::Data => {
            bytes = draft.value(&key::STANDARD_INPUT_TEXT).0;
            bytes.extend(draft.value(&key::STANDARD_INPUT_DATA).0);
            Source::Data { bytes: &bytes }
        }
        StandardInput::File(name) => {
            path = text(&name);
            Source::File {
                path: &path,
                flags: 0,
            }
        }
        StandardInput::Socket | StandardInput::Descriptor(_) => Source::Passed,
        StandardInput::Tty | StandardInput::TtyForce | StandardInput::TtyFail => {
            return draft.cannot(directive, NO_TERMINAL);
        }
    };
    draft.push(directive, Step::Stream { target: 0, source });
    Ok(())
}

const NO_TERMINAL: &str = "services get no terminal in this version";

fn write(
    draft: &mut Draft<'_>,
    target: u8,
    output: &StandardOutput,
    same: Source<'_>,
    directive: Directive,
) -> Result<(), Refusal> {
    let path;
    let source = match output {
        StandardOutput::Inherit => same,
        StandardOutput::Null => Source::Null,
        StandardOutput::File(name) => {
            path = text(name);
            Source::File {
                path: &path,
                flags: O_WRONLY | O_CREAT,
            }
        }
        StandardOutput::Append(name) => {
            path = text(name);
            Source::File {
                path: &path,
                flags: O_WRONLY | O_CREAT | O_APPEND,
            }
        }
        StandardOutput::Truncate(name) => {
            path = text(name);
            Source::File {
                path: &path,
                flags: O_WRONLY | O_CREAT | O_TRUNC,
            }
        }
        StandardOutput::Tty => return draft.cannot(directive, NO_TERMINAL),
        StandardOutput::Journal
        | StandardOutput::JournalConsole
        | StandardOutput::Kmsg
        | StandardOutput::KmsgConsole => Source::Passed,
        StandardOutput::Socket | StandardOutput::Descriptor(_) => Source::Passed,
    };
    draft.push(directive, Step::Stream { target, source });
    Ok(())
}
