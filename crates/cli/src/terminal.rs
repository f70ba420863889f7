//! The terminal: colour only where someone looks, questions only where someone answers, control bytes never raw.

use std::io::{BufRead, BufWriter, IsTerminal, Write};

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

/// Writes many lines of data, and asks only once what standard output is.
pub(crate) fn say_all<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) {
    let mut out = BufWriter::new(anstream::stdout().lock());
    let write_all = || {
        for line in lines {
            writeln!(out, "{}", line.as_ref())?;
        }
        out.flush()
    };
    if let Err(error) = write_all() {
        no_output(&error);
    }
}

/// Writes whole lines of data to standard output, at once.
pub(crate) fn say_text(text: &str) {
    let mut out = anstream::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        no_output(&error);
    }
}

/// Writes a value to standard output as JSON. What a terminal could act upon is said by its number, which JSON has for it.
///
/// # Errors
/// When the value can't be said in JSON.
pub(crate) fn say_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    if !text.lines().all(is_harmless) {
        text = harmless_json(&text);
    }
    text.push('\n');
    say_text(&text);
    Ok(())
}

/// JSON escapes the first 32 control characters itself; there are more.
fn harmless_json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter != '\n' && (letter.is_control() || misleads(letter)) {
            let mut room = [0; 2];
            let units = letter.encode_utf16(&mut room);
            shown.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(letter);
        }
    }
    shown
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
            letter if letter.is_control() || misleads(letter) => {
                shown.extend(letter.escape_unicode())
            }
            letter => shown.push(letter),
        }
    }
    shown
}

/// Whether a terminal shows a text as it is, on one line. Only ASCII is: most is, and that is soon seen.
pub(crate) fn is_harmless(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The same on one line: what has a place of its own, in a question, a listing or a field, begins no other line.
pub(crate) fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in plain(text).chars() {
        match letter {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            letter => shown.push(letter),
        }
    }
    shown
}

/// What reorders or hides what a reader sees: the explicit marks of the Unicode Bidirectional Algorithm, line and paragraph separators,
/// and letters without a form, which make two names look like one. Joiners stay: some scripts need them.
fn misleads(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
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

/// So many directories, as people say it.
pub(crate) fn directories(count: usize) -> String {
    match count {
        1 => "1 directory".to_owned(),
        count => format!("{count} directories"),
    }
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
    fn one_is_said_as_one() {
        assert_eq!(
            [0, 1, 2].map(directories),
            ["0 directories", "1 directory", "2 directories"]
        );
    }

    #[test]
    fn what_hides_is_shown_and_what_has_one_line_keeps_it() {
        assert_eq!(
            plain("a\u{61c}b\u{200b}c\u{2028}d\u{e0041}e\u{ad}"),
            "a\\u{61c}b\\u{200b}c\\u{2028}d\\u{e0041}e\\u{ad}"
        );
        assert_eq!(
            plain("e\u{301} \u{645}\u{200c}\u{6cc}"),
            "e\u{301} \u{645}\u{200c}\u{6cc}"
        );
        assert_eq!(
            one_line("read /x\n\tgranted\u{1b}"),
            "read /x\\n\\tgranted\\u{1b}"
        );
    }

    #[test]
    fn json_holds_nothing_that_a_terminal_acts_upon_and_means_the_same() {
        let said = "\u{9b}2J\u{7f}\u{1b}[2J\u{202e}\u{e0041}é";
        let json = harmless_json(&serde_json::to_string_pretty(&[said]).unwrap());
        assert!(!json.contains(['\u{9b}', '\u{7f}', '\u{1b}', '\u{202e}', '\u{e0041}']));
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [said]);
    }

    #[test]
    fn sizes_have_one_decimal() {
        assert_eq!(
            [size(999), size(3_140_000), size(2_000_000_000)],
            ["999 B", "3.1 MB", "2.0 GB"]
        );
    }
}
