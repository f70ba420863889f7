//! Sessions in documents, run for real: what a reader would type, and what must be printed.
//!
//! In a block fenced with `console`, a line that begins with `# ` or `$ ` is typed; the lines below it are what it prints. `…` stands
//! for anything within a line; a line that is `…` alone stands for any number of lines.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

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

/// Types an exchange into a shell in `folder`, and compares both streams, as a terminal would show them, with what is expected.
///
/// # Errors
/// When the command fails or prints something else.
pub(crate) fn run(
    exchange: &Exchange,
    folder: &Path,
    environment: &[(&str, String)],
) -> Result<()> {
    eprintln!("# {}", exchange.typed);
    let output = Command::new("/bin/sh")
        .args(["-c", &format!("{{ {}\n}} 2>&1", exchange.typed)])
        .current_dir(folder)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .context("cannot run a shell")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    eprint!("{printed}");
    if !output.status.success() {
        bail!("`{}` ended with {}", exchange.typed, output.status);
    }
    let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
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
}
