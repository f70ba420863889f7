//! Figures that are kept: `docs/bench/DATE.json`, with what the machine was.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::figure::Figure;
use crate::run;

/// What was measured on one day.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    machine: Machine,
    benches: Vec<Entry>,
}

/// What numbers depend on.
#[derive(Debug, Serialize, Deserialize)]
struct Machine {
    kernel: String,
    processor: String,
    processors: usize,
    /// In MB.
    memory: u64,
    /// The commit that was measured.
    commit: String,
}

/// One bench, and which tree's systemd it ran beside.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    bench: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beside: Option<String>,
    figures: Vec<Figure>,
}

impl Record {
    /// The record of today as far as there is one, on this machine as it is now.
    pub(super) fn of_today() -> Result<Record> {
        let machine = Machine::here()?;
        let benches = match fs::read_to_string(path()?) {
            Ok(text) => {
                let earlier: Record =
                    serde_json::from_str(&text).context("today's record is damaged: remove it")?;
                earlier.benches
            }
            Err(_) => Vec::new(),
        };
        Ok(Record { machine, benches })
    }

    /// Takes in a bench's figures, instead of earlier ones of the same.
    pub(super) fn take(&mut self, bench: &str, beside: Option<&str>, figures: Vec<Figure>) {
        let entry = Entry {
            bench: bench.to_owned(),
            beside: beside.map(str::to_owned),
            figures,
        };
        let same = |one: &&mut Entry| one.bench == entry.bench && one.beside == entry.beside;
        match self.benches.iter_mut().find(same) {
            Some(earlier) => *earlier = entry,
            None => self.benches.push(entry),
        }
    }

    /// Writes the file.
    pub(super) fn write(&self) -> Result<()> {
        let path = path()?;
        fs::create_dir_all(path.parent().context("the file is in a folder")?)?;
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }
}

fn path() -> Result<std::path::PathBuf> {
    let date = run::output(Command::new("date").arg("+%F"))?;
    let name = format!("{}.json", date.trim());
    Ok(run::root().join("docs/bench").join(name))
}

impl Machine {
    fn here() -> Result<Machine> {
        let field = |path: &str, name: &str| -> Result<String> {
            let text = fs::read_to_string(path)?;
            let line = text.lines().find(|line| line.starts_with(name));
            let (_, value) = line
                .and_then(|line| line.split_once(':'))
                .with_context(|| format!("{path} has no {name}"))?;
            Ok(value.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal")?;
        let kilobytes: u64 = memory.trim_end_matches(" kB").parse()?;
        let commit = run::output(
            Command::new("git")
                .args(["describe", "--always", "--dirty"])
                .current_dir(run::root()),
        )?;
        Ok(Machine {
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            processor: field("/proc/cpuinfo", "model name")?,
            processors: std::thread::available_parallelism()?.get(),
            memory: kilobytes / 1000,
            commit: commit.trim().to_owned(),
        })
    }
}
