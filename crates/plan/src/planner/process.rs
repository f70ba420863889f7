//! The process itself: signals, session, standard streams.

use model::value::{StandardInput, StandardOutput};
use model::{Directive, Key, Unit, key};

use super::Refusal;
use super::draft::{Draft, text};
use crate::step::{Source, Step, TerminalControl};

const O_WRONLY: u32 = 0o1;
const O_RDWR: u32 = 0o2;
const O_CREAT: u32 = 0o100;
const O_TRUNC: u32 = 0o1000;
const O_APPEND: u32 = 0o2000;

/// Signals and session.
pub(super) fn begin(draft: &mut Draft<'_>) {
    let ignore_sigpipe = draft.is_on(&key::IGNORE_SIGPIPE);
    draft.frame(Step::Signals { ignore_sigpipe });
    // What mounts belongs to the keeper's group of processes, which waits at no automount (autofs(5)).
    if draft.unit.kind() != model::UnitKind::Mount {
        draft.frame(Step::Session);
    }
}

/// The three streams. A file that two of them name is opened once, so that neither writes over what the other wrote.
pub(super) fn streams(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let given = draft.value(&key::STANDARD_INPUT_DATA).0;
    let from = match draft.value(&key::STANDARD_INPUT) {
        StandardInput::Null if !given.is_empty() => StandardInput::Data,
        from => from,
    };
    let output = draft.value(&key::STANDARD_OUTPUT);
    let error = draft.value(&key::STANDARD_ERROR);
    let is_input = |stream: &StandardOutput| matches!((&from, stream), (StandardInput::File(one), StandardOutput::File(other)) if one == other);
    let input_flags = if is_input(&output) || is_input(&error) {
        O_RDWR | O_CREAT
    } else {
        0
    };
    terminal(draft, &from, [&output, &error])?;
    input(draft, &from, (&given, input_flags));
    let directive = key::STANDARD_OUTPUT.directive();
    match output {
        _ if is_input(&output) => same(draft, 1, 0, directive),
        StandardOutput::Inherit if goes_both_ways(&from) => same(draft, 1, 0, directive),
        _ => write(draft, 1, &output, directive),
    }
    let directive = key::STANDARD_ERROR.directive();
    match error {
        StandardOutput::Inherit => same(draft, 2, 1, directive),
        StandardOutput::File(_) | StandardOutput::Append(_) | StandardOutput::Truncate(_)
            if error == output =>
        {
            same(draft, 2, 1, directive);
        }
        _ if is_input(&error) => same(draft, 2, 0, directive),
        _ => write(draft, 2, &error, directive),
    }
    Ok(())
}

/// The terminal, where a stream is one or something is to be done to it.
fn terminal(
    draft: &mut Draft<'_>,
    input: &StandardInput,
    outputs: [&StandardOutput; 2],
) -> Result<(), Refusal> {
    let control = match input {
        StandardInput::Tty => TerminalControl::Wait,
        StandardInput::TtyForce => TerminalControl::Force,
        StandardInput::TtyFail => TerminalControl::Fail,
        _ => TerminalControl::None,
    };
    let reset = draft.is_on(&key::TTY_RESET);
    let hang_up = draft.is_on(&key::TTY_VHANGUP);
    let clear = draft.is_on(&key::TTY_VT_DISALLOCATE);
    let is_stream = control != TerminalControl::None || outputs.contains(&&StandardOutput::Tty);
    if !is_stream && !reset && !hang_up && !clear {
        return Ok(());
    }
    let directive = key::TTY_PATH.directive();
    let path = terminal_path(draft.unit).ok_or_else(|| Refusal {
        directive,
        why: "a terminal is a path below /dev, without links that everybody may make".to_owned(),
    })?;
    let path = text(path);
    let step = Step::Terminal {
        path: &path,
        control,
        reset,
        hang_up,
        clear,
        rows: size(draft, &key::TTY_ROWS)?,
        columns: size(draft, &key::TTY_COLUMNS)?,
    };
    draft.push(directive, step);
    Ok(())
}

/// A number of lines or columns, 0 where the unit says none.
fn size(draft: &Draft<'_>, key: &Key<u32>) -> Result<u32, Refusal> {
    let size = draft.unit.get(key).copied().unwrap_or(0);
    if size <= u32::from(u16::MAX) {
        Ok(size)
    } else {
        Err(Refusal {
            directive: key.directive(),
            why: format!("a terminal has at most {} of them", u16::MAX),
        })
    }
}

/// Which terminal a unit has, if it asks for one; none where what it names can't be one. Where everybody may make files, a link could lead
/// anywhere.
pub fn terminal_path(unit: &Unit) -> Option<&str> {
    let path = unit
        .get(&key::TTY_PATH)
        .map_or(CONSOLE, |path| path.as_str());
    let name = path.strip_prefix("/dev/")?;
    let is_plain = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    (is_plain && !name.starts_with("shm/") && !name.starts_with("mqueue/")).then_some(path)
}

const CONSOLE: &str = "/dev/console";

/// Whether it can be written to as well: else what would inherit it goes to the log.
fn goes_both_ways(input: &StandardInput) -> bool {
    !matches!(
        input,
        StandardInput::Null | StandardInput::Data | StandardInput::File(_)
    )
}

fn same(draft: &mut Draft<'_>, target: u8, stream: u8, directive: Directive) {
    let source = Source::Same { stream };
    draft.push(directive, Step::Stream { target, source });
}

fn input(draft: &mut Draft<'_>, from: &StandardInput, (given, file_flags): (&[u8], u32)) {
    let directive = key::STANDARD_INPUT.directive();
    let path;
    let source = match from {
        StandardInput::Null => Source::Null,
        StandardInput::Data => Source::Data { bytes: given },
        StandardInput::File(name) => {
            path = text(name);
            Source::File {
                path: &path,
                flags: file_flags,
            }
        }
        StandardInput::Socket | StandardInput::Descriptor(_) => Source::Passed,
        StandardInput::Tty | StandardInput::TtyForce | StandardInput::TtyFail => Source::Terminal,
    };
    draft.push(directive, Step::Stream { target: 0, source });
}

fn write(draft: &mut Draft<'_>, target: u8, output: &StandardOutput, directive: Directive) {
    let path;
    let source = match output {
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
        StandardOutput::Tty => Source::Terminal,
        StandardOutput::Inherit
        | StandardOutput::Journal
        | StandardOutput::JournalConsole
        | StandardOutput::Kmsg
        | StandardOutput::KmsgConsole => Source::Passed,
        StandardOutput::Socket | StandardOutput::Descriptor(_) => Source::Passed,
    };
    draft.push(directive, Step::Stream { target, source });
}
