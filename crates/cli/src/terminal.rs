//! The terminal: colour only where someone looks, questions only where someone answers, control bytes never raw.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Result, bail};

/// Longest answer to a question, in bytes.
const ANSWER_MAX_BYTES: u64 = 1024;

/// A colour or weight; without a terminal, or with `NO_COLOR`, nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paint {
    Bold,
    Dim,
    Green,
    Red,
    Yellow,
}

impl Paint {
    /// `text` between the sequences of this paint; `anstream` removes them where they don't belong.
    pub(crate) fn on(self, text: &str) -> String {
        let number = match self {
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Green => "32",
            Paint::Red => "31",
            Paint::Yellow => "33",
        };
        format!("\x1b[{number}m{text}\x1b[0m")
    }
}

/// Writes a line of data to standard output; what can't be written ends the command: see [`no_output`].
pub(crate) fn say(line: &str) {
    if let Err(error) = writeln!(anstream::stdout(), "{line}") {
        no_output(&error);
    }
}

/// The exit status of a program that SIGPIPE ended, as a shell sees it.
const BROKEN_PIPE: i32 = 128 + 13;

/// Ends the command: without a word where the reader went away, as a broken pipe would; with the cause where data would be lost.
pub(crate) fn no_output(error: &std::io::Error) -> ! {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        std::process::exit(BROKEN_PIPE);
    }
    complain(&format!(
        "{} cannot write to standard output: {error}",
        Paint::Red.on("Error:")
    ));
    std::process::exit(1);
}

/// Writes a line of narration to standard error; nobody can be told where that fails.
pub(crate) fn complain(line: &str) {
    writeln!(anstream::stderr(), "{line}").ok();
}

/// `text` with every control byte shown as an escape, except line feeds and tabs: for words from images, units, logs and peers.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\t' => shown.push(letter),
            letter if letter.is_control() || is_direction_mark(letter) => {
                shown.extend(letter.escape_unicode())
            }
            letter => shown.push(letter),
        }
    }
    shown
}

/// Marks that reorder what a reader sees (Unicode Bidirectional Algorithm, explicit formatting characters).
fn is_direction_mark(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a question could be answered: both the question's and the answer's side are a terminal.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks on the terminal; only `y` and `yes` mean yes.
///
/// # Errors
/// When the answer can't be read.
pub(crate) fn ask(question: &str) -> Result<bool> {
    let mut out = anstream::stderr();
    write!(out, "{question} [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    let mut input = std::io::Read::take(std::io::stdin().lock(), ANSWER_MAX_BYTES);
    if input.read_line(&mut answer)? == 0 {
        bail!("the question was not answered");
    }
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// A size in bytes, as people read it.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: &[(&str, u64)] = &[("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    UNITS.iter().find(|(_, unit)| bytes >= *unit).map_or_else(
        || format!("{bytes} B"),
        |(name, unit)| format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_bytes_and_direction_marks_are_shown_not_sent() {
        assert_eq!(
            plain("a\x1b[31mb\u{202e}c\nd"),
            "a\\u{1b}[31mb\\u{202e}c\nd"
        );
    }

    #[test]
    fn sizes_have_one_decimal() {
        assert_eq!(
            [size(999), size(3_140_000), size(2_000_000_000)],
            ["999 B", "3.1 MB", "2.0 GB"]
        );
    }
}
