//! What there is to tell of a unit. All of it is bounded, and nothing of it is trusted: lines and descriptions are whatever somebody wrote.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use journal::query::{Filter, Logs, Namespaces};
use model::UnitName;
use serde::Serialize;
use wire::methods::Status;
use wire::{NamesRequest, UnitStatus};

use crate::context::Context;
use crate::failure::tell;
use crate::terminal::one_line;

/// How long is waited for the last lines: until no more come.
const LOG_PATIENCE: Duration = Duration::from_secs(3);
const LOG_PAUSE: Duration = Duration::from_millis(150);
/// Longest text of a line in bytes, for mail servers that take no line of a thousand.
const TEXT_MAX_BYTES: usize = 800;
/// Most variables about what ended.
const VARIABLES_MAX: usize = 32;
const VARIABLE_PREFIX: &str = "MONITOR_";

/// What is told.
#[derive(Serialize, Debug, Default)]
pub(crate) struct Facts {
    /// One line about it all, by the name that chats know.
    pub(super) text: String,
    pub(super) unit: String,
    pub(super) host: String,
    pub(super) description: String,
    pub(super) active_state: String,
    pub(super) sub_state: String,
    pub(super) result: String,
    /// `exited`, `killed`, `dumped`; empty where no process ended.
    pub(super) exit_code: String,
    /// The exit status, or the signal.
    pub(super) exit_status: String,
    /// The variables about what ended, as OnFailure= hands them over.
    pub(super) monitor: BTreeMap<String, String>,
    /// The last lines of its log, the newest last.
    pub(super) log: Vec<String>,
}

impl Facts {
    /// What the manager, the log and our own variables say; who can't be asked is told on standard error, and the rest counts.
    pub(super) fn of(context: &Context, unit: &UnitName, lines: usize) -> Facts {
        let host = rustix::system::uname();
        let status = status(context, unit).unwrap_or_else(|error| {
            tell(&error.context(format!("the manager does not tell how {unit} is")));
            UnitStatus::default()
        });
        let log = log(context, unit, lines).unwrap_or_else(|error| {
            tell(&error.context(format!("the log of {unit} cannot be read")));
            Vec::new()
        });
        Facts {
            unit: unit.to_string(),
            host: line(host.nodename().to_bytes()),
            description: line(status.description.as_bytes()),
            active_state: status.active.clone(),
            sub_state: status.sub.clone(),
            log,
            ..Facts::default()
        }
        .with_end(&status, std::env::vars_os())
    }

    /// How it ended: by the variables, as the unit may have been started again since; else by the manager.
    fn with_end(
        mut self,
        status: &UnitStatus,
        variables: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Facts {
        self.monitor = variables
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .map(|(name, value)| (line(name.as_bytes()), line(value.as_encoded_bytes())))
            .take(VARIABLES_MAX)
            .collect();
        let exit = status.service.as_ref().and_then(|one| one.exit.as_ref());
        let own = |name: &str, other: Option<String>| {
            let said = self.monitor.get(&format!("{VARIABLE_PREFIX}{name}"));
            said.cloned().or(other).unwrap_or_default()
        };
        let result = own("SERVICE_RESULT", Some(status.result.clone()));
        let code = own("EXIT_CODE", exit.map(|exit| exit.code.clone()));
        let number = own("EXIT_STATUS", exit.map(|exit| exit.status.to_string()));
        (self.result, self.exit_code, self.exit_status) = (result, code, number);
        self.text = self.summary();
        self
    }

    fn summary(&self) -> String {
        let Facts { unit, host, .. } = self;
        let state = match self.active_state.as_str() {
            "" => "in an unknown state",
            state => state,
        };
        let mut text = format!("{unit} on {host} is {state}, result: {}", self.result);
        if !self.exit_code.is_empty() {
            text.push_str(&format!(" ({} {})", self.exit_code, self.exit_status));
        }
        text
    }
}

fn status(context: &Context, unit: &UnitName) -> anyhow::Result<UnitStatus> {
    let client = context.connect_if_running()?;
    let names = vec![unit.to_string()];
    let mut client = client.ok_or_else(|| anyhow::anyhow!("no manager runs"))?;
    let reply = client.call(Status, &NamesRequest { names })?;
    let mut units = reply.units.into_iter();
    units
        .next()
        .ok_or_else(|| anyhow::anyhow!("it is not in memory"))
}

fn log(context: &Context, unit: &UnitName, lines: usize) -> anyhow::Result<Vec<String>> {
    let filter = Filter {
        units: vec![unit.to_string()],
        ..Filter::default()
    };
    let files = Logs::new(&context.directories.state.join("journal")).of(Namespaces::All);
    let until = Instant::now() + LOG_PATIENCE;
    let mut entries = files.last(&filter, lines)?;
    // The log process writes beside the manager, which told us before all of it may have been written.
    while lines > 0 && Instant::now() < until {
        std::thread::sleep(LOG_PAUSE);
        let before = std::mem::replace(&mut entries, files.last(&filter, lines)?);
        if !entries.is_empty() && entries == before {
            break;
        }
    }
    Ok(entries.iter().map(|entry| line(entry.message())).collect())
}

/// Bytes as one line of text: what is no UTF-8 is replaced, control characters are shown as escapes, and what is too long is cut.
pub(super) fn line(bytes: &[u8]) -> String {
    let bytes = bytes.get(..TEXT_MAX_BYTES).unwrap_or(bytes);
    let mut shown = one_line(&String::from_utf8_lossy(bytes));
    let fits = |end: &usize| shown.is_char_boundary(*end);
    let end = (0..=shown.len().min(TEXT_MAX_BYTES)).rev().find(fits);
    shown.truncate(end.unwrap_or(0));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_bytes_become_one_line_of_text() {
        for (bytes, expected) in [
            (&b"plain words"[..], "plain words"),
            (b"two\nlines\r\n", "two\\nlines\\u{d}\\n"),
            (b"\x1b[2J\x07\x00", "\\u{1b}[2J\\u{7}\\u{0}"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            ("\u{202e}gpj".as_bytes(), "\\u{202e}gpj"),
        ] {
            assert_eq!(line(bytes), expected);
        }
        for long in [
            vec![b'a'; 10_000],
            vec![7; 10_000],
            "ä".repeat(9_000).into_bytes(),
        ] {
            let line = line(&long);
            assert!(line.len() <= TEXT_MAX_BYTES && line.len() > TEXT_MAX_BYTES - 8);
        }
    }

    #[test]
    fn the_variables_count_more_than_what_the_unit_has_become_since() {
        let status = UnitStatus {
            active: "activating".into(),
            result: "success".into(),
            ..UnitStatus::default()
        };
        let variables = [
            ("MONITOR_SERVICE_RESULT", "exit-code"),
            ("MONITOR_EXIT_CODE", "exited"),
            ("MONITOR_EXIT_STATUS", "7\nBcc: x"),
            ("SECRET", "not told"),
        ];
        let facts = || Facts {
            unit: "web.service".into(),
            host: "box".into(),
            active_state: "activating".into(),
            ..Facts::default()
        };
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let ended = facts().with_end(&status, variables.into_iter());
        assert_eq!(
            ended.text,
            "web.service on box is activating, result: exit-code (exited 7\\nBcc: x)"
        );
        assert_eq!(ended.monitor.len(), 3);
        let runs = facts().with_end(&status, std::iter::empty());
        assert_eq!(
            runs.text,
            "web.service on box is activating, result: success"
        );
    }
}
