//! The verb on several hosts at once: what each says under its name, then one table. One that is dead holds up nobody.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::Value;

use super::address::Address;
use super::errand::Errand;
use super::session::{self, End, Side, Sink};
use super::signals::Signals;
use super::ssh::{Manner, NOT_REACHED};
use super::{bootstrap, failed};
use crate::context::Globals;
use crate::listing;
use crate::terminal::{complain, plain, say, say_json};

/// Bytes of a line before it is shown without its end, and of what is kept for `--json`.
const LINE_MAX_BYTES: usize = 64 << 10;
const KEPT_MAX_BYTES: usize = 64 << 20;

/// What came of it on one host.
#[derive(Debug, Serialize)]
struct Row {
    host: String,
    /// `done`, `failed`, `refused`, `no coracle`, `not reached`, `lost` or `interrupted`.
    state: &'static str,
    /// The verb's exit status, where it has ended.
    status: Option<u8>,
    milliseconds: u64,
    /// Why, where the verb did not come to its end.
    why: Option<String>,
    /// What the verb wrote: as JSON where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<String>,
}

/// Runs it and tells what came of it; the exit status is 0 where all have succeeded, 255 where a host was not reached or was lost or has
/// refused, else 1.
pub(super) fn run(
    hosts: &[Address],
    globals: &Globals,
    errand: Errand,
    (signals, manner, at_once): (&Signals, Manner, usize),
) -> Result<u8> {
    let next = AtomicUsize::new(0);
    let rows: Mutex<Vec<(usize, Row)>> = Mutex::default();
    let width = hosts.iter().map(|host| host.text.chars().count()).max();
    let work = || {
        while let index = next.fetch_add(1, Ordering::SeqCst)
            && let Some(host) = hosts.get(index)
        {
            let sink = Named::new(host, globals, width.unwrap_or_default());
            let row = one(host, globals, &errand, (signals, manner), sink);
            let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.push((index, row));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..at_once.min(hosts.len()) {
            scope.spawn(work);
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(index, _)| *index);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    tell(&rows, globals)?;
    Ok(match signals.ending() {
        Some(number) => 128_u8.saturating_add(number),
        None => rows.iter().map(exit_status).max().unwrap_or_default(),
    })
}

fn exit_status(row: &Row) -> u8 {
    match row.status {
        Some(0) => 0,
        Some(_) => 1,
        None => NOT_REACHED,
    }
}

fn one(
    host: &Address,
    globals: &Globals,
    errand: &Errand,
    (signals, manner): (&Signals, Manner),
    mut sink: Named,
) -> Row {
    let began = Instant::now();
    let once = |sink: &mut Named| {
        let subscribed = signals.subscribe()?;
        if let Some(number) = signals.ending() {
            return Ok(End::Interrupted(number));
        }
        let side = Side {
            manner,
            errand,
            signals: subscribed,
            passes_input: false,
        };
        session::run(host, side, sink)
    };
    // What goes wrong with one host is that host's.
    let once = |sink: &mut Named| {
        let ended: Result<End> = once(sink);
        ended.unwrap_or_else(|error| End::Lost(format!("{error:#}")))
    };
    let mut end = once(&mut sink);
    if end == End::Missing && globals.bootstrap {
        let subscribed = signals.subscribe().map_err(anyhow::Error::from);
        let installed =
            subscribed.and_then(|signals| bootstrap::install(host, manner, &signals, &mut sink));
        end = match installed {
            Ok(None) => once(&mut sink),
            Ok(Some(status)) => End::Interrupted(status),
            Err(error) => End::Refused(format!("{error:#}"), String::new()),
        };
    }
    sink.finish();
    let (state, status) = match &end {
        End::Ended(0) => ("done", Some(0)),
        End::Ended(status) => ("failed", Some(*status)),
        End::Refused(..) => ("refused", None),
        End::Missing => ("no coracle", None),
        End::NotReached(_) => ("not reached", None),
        End::Lost(_) => ("lost", None),
        End::Interrupted(_) => ("interrupted", None),
    };
    let is_told = !matches!(end, End::Ended(_) | End::Interrupted(_));
    let (output, errors) = sink.kept();
    Row {
        host: host.text.clone(),
        state,
        status,
        milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        why: is_told.then(|| failed(host, end).to_string()),
        output,
        errors,
    }
}

/// The table is narration: standard output is what the hosts said.
fn tell(rows: &[Row], globals: &Globals) -> Result<()> {
    if globals.json {
        return say_json(rows);
    }
    for row in rows.iter().filter_map(|row| row.why.as_deref()) {
        complain(&plain(row));
    }
    if !globals.quiet {
        let columns: &[listing::Column<Row>] = &[
            ("HOST", |row| Cow::Borrowed(&row.host)),
            ("STATE", |row| Cow::Borrowed(row.state)),
            ("STATUS", |row| {
                let status = row.status.map(|status| status.to_string());
                status.map_or(Cow::Borrowed("-"), Cow::Owned)
            }),
            ("TIME", |row| format!("{} ms", row.milliseconds).into()),
        ];
        let (title, lines) = listing::lines(rows, columns);
        complain(&title);
        lines.iter().for_each(|line| complain(line));
    }
    Ok(())
}

/// What a host says, a line at a time, under its name; or kept, for `--json`.
struct Named {
    name: String,
    quiet: bool,
    keeps: bool,
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Named {
    fn new(host: &Address, globals: &Globals, width: usize) -> Named {
        Named {
            name: format!("{:width$}", host.text),
            quiet: globals.quiet,
            keeps: globals.json,
            output: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// What had no end of line.
    fn finish(&mut self) {
        if self.keeps {
            return;
        }
        if !self.output.is_empty() {
            say(&named(&self.name, &std::mem::take(&mut self.output)));
        }
        if !self.errors.is_empty() {
            complain(&named(&self.name, &std::mem::take(&mut self.errors)));
        }
    }

    fn kept(self) -> (Option<Value>, Option<String>) {
        if !self.keeps {
            return (None, None);
        }
        let text = || String::from_utf8_lossy(&self.output).into_owned();
        let output = serde_json::from_slice(&self.output).unwrap_or_else(|_| text().into());
        (
            Some(output),
            Some(String::from_utf8_lossy(&self.errors).into_owned()),
        )
    }
}

impl Sink for Named {
    fn output(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.extend_from_slice(bytes);
        if !self.keeps {
            lines_of(&mut self.output).for_each(|line| say(&named(&self.name, &line)));
        } else if self.output.len() > KEPT_MAX_BYTES {
            bail!(
                "{} writes more than {KEPT_MAX_BYTES} bytes: leave out --json",
                self.name.trim()
            );
        }
        Ok(())
    }

    fn errors(&mut self, bytes: &[u8]) {
        self.errors.extend_from_slice(bytes);
        if !self.keeps {
            lines_of(&mut self.errors).for_each(|line| complain(&named(&self.name, &line)));
        }
        self.errors.truncate(KEPT_MAX_BYTES);
    }

    fn note(&mut self, line: &str) {
        if !self.quiet {
            complain(&format!("{}  {line}", self.name));
        }
    }
}

/// Whole lines, without their ends; what has none yet stays. A carriage return is the end of a bar that is drawn again.
fn lines_of(bytes: &mut Vec<u8>) -> impl Iterator<Item = Vec<u8>> {
    let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => bytes.drain(..=last).collect(),
        None if bytes.len() > LINE_MAX_BYTES => std::mem::take(bytes),
        None => Vec::new(),
    };
    let mut lines: Vec<Vec<u8>> = whole
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    // After the last end of a line there is nothing.
    lines.pop_if(|line| line.is_empty());
    lines.into_iter()
}

/// A line of a host: one may not speak in another's name, nor to the terminal.
fn named(name: &str, line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    format!(
        "{name}  {}",
        plain(
            anstream::adapter::strip_str(&text)
                .to_string()
                .trim_end_matches('\r')
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_stand_under_their_host() {
        let mut bytes = b"one\n\ntw".to_vec();
        let lines = |bytes: &mut Vec<u8>| -> Vec<String> {
            lines_of(bytes).map(|line| named("web", &line)).collect()
        };
        assert_eq!(lines(&mut bytes), ["web  one", "web  "]);
        assert_eq!(bytes, b"tw");
        bytes.extend("o\x1b[31m\x07\u{202e}\n".as_bytes());
        assert_eq!(lines(&mut bytes), ["web  two\\u{202e}"]);
        let mut long = vec![b'x'; LINE_MAX_BYTES + 1];
        assert_eq!(lines_of(&mut long).count(), 1);
        assert!(long.is_empty());
    }
}
