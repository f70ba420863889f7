//! Sessions in documents, run for real: what a reader would type, and what must be printed.
//!
//! In a block fenced with `console`, a line that begins with `# ` or `$ ` is typed; the lines below it are what it prints. `…` stands
//! for anything within a line; a line that is `…` alone stands for any number of lines. Everything runs on a terminal of its own, as a
//! reader would see it, and where a printed line is a question with its answer, `… [y/N] y`, the answer is typed when it is asked.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// What a question ends with (`coracle` asks only like this).
const QUESTION: &str = " [y/N] ";

/// One typed line and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) typed: String,
    pub(crate) printed: Vec<String>,
}

/// The exchanges in all `console` blocks of a page.
pub(crate) fn exchanges(page: &str) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```console" => inside = true,
            "```" => inside = false,
            _ if !inside => {}
            _ => match line.strip_prefix("# ").or_else(|| line.strip_prefix("$ ")) {
                Some(typed) => exchanges.push(Exchange {
                    typed: typed.to_owned(),
                    printed: Vec::new(),
                }),
                None => exchanges
                    .last_mut()
                    .into_iter()
                    .for_each(|exchange| exchange.printed.push(line.to_owned())),
            },
        }
    }
    exchanges
}

impl Exchange {
    /// What the reader answers to the questions, in order.
    fn answers(&self) -> Vec<String> {
        let answer = |line: &String| {
            line.split_once(QUESTION)
                .map(|(_, answer)| answer.to_owned())
        };
        self.printed.iter().filter_map(answer).collect()
    }
}

/// Types an exchange into a shell in `folder`, and compares what its terminal shows with what is expected.
///
/// # Errors
/// When the command fails or prints something else.
pub(crate) fn run(
    exchange: &Exchange,
    folder: &Path,
    environment: &[(&str, String)],
) -> Result<()> {
    eprintln!("# {}", exchange.typed);
    let mut child = on_a_terminal(&exchange.typed, folder, environment)?;
    let bytes = converse(&mut child, &exchange.answers())?;
    let status = child.wait()?;
    let lines = shown(&String::from_utf8_lossy(&bytes));
    lines.iter().for_each(|line| eprintln!("{line}"));
    if !status.success() {
        bail!("`{}` ended with {status}", exchange.typed);
    }
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    let expected: Vec<&str> = exchange
        .printed
        .iter()
        .map(|line| line.trim_end())
        .collect();
    if !lines_match(&expected, &lines) {
        bail!(
            "`{}` should print\n{}\nand printed\n{}",
            exchange.typed,
            expected.join("\n"),
            lines.join("\n")
        );
    }
    Ok(())
}

/// A shell on a terminal of its own, by script(1), which every Debian system has.
fn on_a_terminal(typed: &str, folder: &Path, environment: &[(&str, String)]) -> Result<Child> {
    Command::new("script")
        .args(["--quiet", "--return", "--command", typed, "/dev/null"])
        .current_dir(folder)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run script(1)")
}

/// Reads what the terminal shows to its end, and types each answer after its question.
fn converse(child: &mut Child, answers: &[String]) -> Result<Vec<u8>> {
    let mut input = child.stdin.take().context("script has an input")?;
    let mut output = child.stdout.take().context("script has an output")?;
    let (mut seen, mut answered) = (Vec::new(), 0);
    let mut buffer = [0; 4096];
    loop {
        let count = output.read(&mut buffer)?;
        if count == 0 {
            return Ok(seen);
        }
        seen.extend(buffer.iter().take(count));
        let asked = String::from_utf8_lossy(&seen).matches(QUESTION).count();
        while answered < asked {
            let answer = answers
                .get(answered)
                .context("a question that the page does not have")?;
            writeln!(input, "{answer}")?;
            answered += 1;
        }
    }
}

/// The lines that remain visible on a terminal: colours gone, lines that were drawn over as they were last.
fn shown(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    let line = |line: &str| without_sequences(line.rsplit('\r').next().unwrap_or(line));
    text.lines().map(line).collect()
}

/// Removes control sequences (ECMA-48: `ESC [`, parameters, a final byte from `@` to `~`).
fn without_sequences(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| ('@'..='~').contains(&letter));
        plain.push_str(end.and_then(|end| part.get(end + 1..)).unwrap_or_default());
    }
    plain
}

fn lines_match(expected: &[&str], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((&"…", rest)) => (0..=lines.len())
            .any(|skipped| lines_match(rest, lines.get(skipped..).unwrap_or_default())),
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, others)| line_matches(first, line) && lines_match(rest, others)),
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let mut parts = expected.split('…');
    let Some(mut rest) = parts.next().and_then(|start| line.strip_prefix(start)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_gives_what_is_typed_and_what_is_printed() {
        let page = "text\n```console\n# one\nout\n$ two\n```\n# heading\n";
        let typed: Vec<String> = exchanges(page)
            .into_iter()
            .map(|exchange| format!("{}→{}", exchange.typed, exchange.printed.join("|")))
            .collect();
        assert_eq!(typed, ["one→out", "two→"]);
    }

    #[test]
    fn an_ellipsis_stands_for_anything_within_a_line_or_for_lines() {
        assert!(line_matches("started in … ms", "started in 14 ms"));
        assert!(!line_matches("started in … ms", "started in 14 s"));
        assert!(lines_match(&["a", "…", "z"], &["a", "b", "c", "z"]));
        assert!(!lines_match(&["a", "z"], &["a", "b", "z"]));
        assert!(lines_match(&["…"], &[]));
    }

    #[test]
    fn what_is_drawn_over_and_coloured_is_as_a_reader_sees_it() {
        assert_eq!(
            shown("10 %\r50 %\r\x1b[2K\x1b[1mdone\x1b[0m\r\nnext\r\n"),
            ["done", "next"]
        );
    }

    #[test]
    fn questions_are_answered_on_a_terminal_and_other_words_fail() {
        let exchange = |printed: &str| Exchange {
            typed: "test -t 0 && printf 'ok? [y/N] ' && read answer && echo said $answer".into(),
            printed: printed.lines().map(str::to_owned).collect(),
        };
        let here = Path::new("/");
        run(&exchange("ok? [y/N] y\nsaid y"), here, &[]).unwrap();
        assert!(run(&exchange("ok? [y/N] n\nsaid y"), here, &[]).is_err());
    }
}
