//! Signals and exit statuses.

use std::fmt;

use crate::{
    tables::{exit_status, signals},
    text::{Expand, Form, ParseError, TextForm, split_words},
};

/// A signal by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(pub u8);

impl Signal {
    /// SIGHUP.
    pub const HUP: Signal = Signal(1);
    /// SIGINT.
    pub const INT: Signal = Signal(2);
    /// SIGABRT.
    pub const ABRT: Signal = Signal(6);
    /// SIGKILL.
    pub const KILL: Signal = Signal(9);
    /// SIGPIPE.
    pub const PIPE: Signal = Signal(13);
    /// SIGTERM.
    pub const TERM: Signal = Signal(15);
    /// SIGCONT.
    pub const CONT: Signal = Signal(18);

    /// The signal of a name, with or without `SIG`, or of a number.
    pub fn from_name(name: &str) -> Option<Signal> {
        signals::number(name).map(Signal)
    }

    /// The name, `SIGTERM` or `SIGRTMIN+1`.
    pub fn name(self) -> String {
        signals::name(self.0)
    }
}

impl Default for Signal {
    fn default() -> Signal {
        Signal::TERM
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl TextForm for Signal {
    fn parse_with(text: &str, _: &dyn Expand) -> Result<Signal, ParseError> {
        Signal::from_name(text).ok_or_else(|| ParseError::not_a(text, "a signal such as SIGTERM"))
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.name()]
    }
}

/// Exit codes and signals.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ExitStatusSet {
    /// Exit codes, sorted.
    pub codes: Vec<u8>,
    /// Signals, sorted.
    pub signals: Vec<Signal>,
}

impl ExitStatusSet {
    /// Whether an exit code is in it.
    pub fn has_code(&self, code: u8) -> bool {
        self.codes.binary_search(&code).is_ok()
    }

    /// Whether a signal is in it.
    pub fn has_signal(&self, signal: Signal) -> bool {
        self.signals.binary_search(&signal).is_ok()
    }

    fn tidy(&mut self) {
        crate::order::sort(&mut self.codes);
        self.codes.dedup();
        crate::order::sort(&mut self.signals);
        self.signals.dedup();
    }

    fn take(&mut self, word: &str) -> bool {
        let range = word
            .split_once('-')
            .and_then(|(first, last)| Some((first.parse::<u8>().ok()?, last.parse::<u8>().ok()?)));
        if let Some((first, last)) = range {
            self.codes.extend(first..=last);
            return first <= last;
        }
        if let Some(code) = word.parse::<u8>().ok().or_else(|| exit_status::code(word)) {
            self.codes.push(code);
            return true;
        }
        let signal =
            Signal::from_name(word).filter(|_| !word.starts_with(|c: char| c.is_ascii_digit()));
        self.signals.extend(signal);
        signal.is_some()
    }
}

impl TextForm for ExitStatusSet {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<ExitStatusSet, ParseError> {
        let mut set = ExitStatusSet::default();
        for word in split_words(text)? {
            if !set.take(&word) {
                expand.wrong_item(ParseError::not_a(&word, "an exit status or a signal"))?;
            }
        }
        set.tidy();
        Ok(set)
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        let codes = self.codes.iter().map(u8::to_string);
        let words: Vec<String> = codes
            .chain(self.signals.iter().map(|signal| signal.name()))
            .collect();
        if words.is_empty() {
            Vec::new()
        } else {
            vec![words.join(" ")]
        }
    }

    fn is_unset(&self) -> bool {
        self.codes.is_empty() && self.signals.is_empty()
    }

    fn append(&mut self, later: ExitStatusSet) {
        self.codes.extend(later.codes);
        self.signals.extend(later.signals);
        self.tidy();
    }
}
