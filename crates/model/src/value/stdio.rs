//! Where standard input, output and error go.

use super::normalize_path;
use crate::text::{Expand, Form, ParseError, TextForm};

/// Standard input.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum StandardInput {
    /// `/dev/null`.
    #[default]
    Null,
    /// The terminal; waits until it is free.
    Tty,
    /// The terminal, taken by force.
    TtyForce,
    /// The terminal; fails when it is not free.
    TtyFail,
    /// The bytes of StandardInputText= and StandardInputData=.
    Data,
    /// A file.
    File(String),
    /// The socket that started the unit.
    Socket,
    /// A descriptor by name, of a socket unit.
    Descriptor(String),
}

/// Standard output or error.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum StandardOutput {
    /// As standard input, or for standard error as standard output.
    Inherit,
    /// `/dev/null`.
    Null,
    /// The terminal.
    Tty,
    /// The log.
    #[default]
    Journal,
    /// The log and the console.
    JournalConsole,
    /// The kernel's log.
    Kmsg,
    /// The kernel's log and the console.
    KmsgConsole,
    /// A file, written from its beginning.
    File(String),
    /// A file, appended to.
    Append(String),
    /// A file, cut to nothing first.
    Truncate(String),
    /// The socket that started the unit.
    Socket,
    /// A descriptor by name, of a socket unit.
    Descriptor(String),
}

fn file(path: &str, expand: &dyn Expand) -> Result<String, ParseError> {
    normalize_path(&expand.expand(path)?)
}

fn descriptor(text: &str, default: &str, expand: &dyn Expand) -> Result<String, ParseError> {
    let name = text.strip_prefix("fd:").unwrap_or(default);
    let name = expand.expand(name)?;
    let fits = name.len() <= 255
        && name
            .chars()
            .all(|c| c.is_ascii_graphic() && c != ':' || c == ' ');
    if fits && !name.is_empty() {
        Ok(name)
    } else {
        Err(ParseError::not_a(&name, "a descriptor's name"))
    }
}

impl TextForm for StandardInput {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<StandardInput, ParseError> {
        Ok(match text {
            "null" => StandardInput::Null,
            "tty" => StandardInput::Tty,
            "tty-force" => StandardInput::TtyForce,
            "tty-fail" => StandardInput::TtyFail,
            "data" => StandardInput::Data,
            "socket" => StandardInput::Socket,
            _ if text == "fd" || text.starts_with("fd:") => {
                StandardInput::Descriptor(descriptor(text, "stdin", expand)?)
            }
            _ => match text.strip_prefix("file:") {
                Some(path) => StandardInput::File(file(path, expand)?),
                None => {
                    return Err(ParseError::not_a(
                        text,
                        "a source of standard input such as null or file:/path",
                    ));
                }
            },
        })
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        vec![match self {
            StandardInput::Null => "null".to_owned(),
            StandardInput::Tty => "tty".to_owned(),
            StandardInput::TtyForce => "tty-force".to_owned(),
            StandardInput::TtyFail => "tty-fail".to_owned(),
            StandardInput::Data => "data".to_owned(),
            StandardInput::File(path) => format!("file:{}", form.part(path)),
            StandardInput::Socket => "socket".to_owned(),
            StandardInput::Descriptor(name) => format!("fd:{}", form.part(name)),
        }]
    }
}

impl StandardOutput {
    fn from_path(text: &str, expand: &dyn Expand) -> Result<StandardOutput, ParseError> {
        match text.split_once(':') {
            Some(("file", path)) => file(path, expand).map(StandardOutput::File),
            Some(("append", path)) => file(path, expand).map(StandardOutput::Append),
            Some(("truncate", path)) => file(path, expand).map(StandardOutput::Truncate),
            _ => Err(ParseError::not_a(
                text,
                "a place for output such as journal, null or append:/path",
            )),
        }
    }
}

impl TextForm for StandardOutput {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<StandardOutput, ParseError> {
        Ok(match text {
            "inherit" => StandardOutput::Inherit,
            "null" => StandardOutput::Null,
            "tty" => StandardOutput::Tty,
            // syslog is an old name of the same thing.
            "journal" | "syslog" => StandardOutput::Journal,
            "journal+console" | "syslog+console" => StandardOutput::JournalConsole,
            "kmsg" => StandardOutput::Kmsg,
            "kmsg+console" => StandardOutput::KmsgConsole,
            "socket" => StandardOutput::Socket,
            _ if text == "fd" || text.starts_with("fd:") => {
                StandardOutput::Descriptor(descriptor(text, "stdout", expand)?)
            }
            _ => StandardOutput::from_path(text, expand)?,
        })
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        vec![match self {
            StandardOutput::Inherit => "inherit".to_owned(),
            StandardOutput::Null => "null".to_owned(),
            StandardOutput::Tty => "tty".to_owned(),
            StandardOutput::Journal => "journal".to_owned(),
            StandardOutput::JournalConsole => "journal+console".to_owned(),
            StandardOutput::Kmsg => "kmsg".to_owned(),
            StandardOutput::KmsgConsole => "kmsg+console".to_owned(),
            StandardOutput::File(path) => format!("file:{}", form.part(path)),
            StandardOutput::Append(path) => format!("append:{}", form.part(path)),
            StandardOutput::Truncate(path) => format!("truncate:{}", form.part(path)),
            StandardOutput::Socket => "socket".to_owned(),
            StandardOutput::Descriptor(name) => format!("fd:{}", form.part(name)),
        }]
    }
}
