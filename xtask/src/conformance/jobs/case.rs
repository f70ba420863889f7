//! A case: units and what is done to them, as text that both sides get.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Unit,
    Service,
}

/// A unit without DefaultDependencies=; each further line can be left out.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) lines: Vec<(Section, String)>,
}

/// What is done: words of a command, or the gate is moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Open,
    Close,
    /// A verb, options, and names of units.
    Command(Vec<String>),
}

#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) seed: u64,
    pub(super) units: Vec<Unit>,
    pub(super) deeds: Vec<Deed>,
}

/// What a line has in place of the program that plays a part.
pub(super) const ACTOR: &str = "actor";

/// Who names all others.
pub(super) const KEEPER: &str = "keeper.target";

/// What a line's names and programs are where it is played.
pub(super) struct Cast<'a> {
    /// Before each unit's name: no two plays have the same units.
    pub(super) prefix: &'a str,
    pub(super) folder: &'a Path,
    pub(super) program: &'a Path,
}

impl Cast<'_> {
    pub(super) fn name(&self, unit: &str) -> String {
        format!("{}{unit}", self.prefix)
    }

    fn line(&self, unit: &Unit, line: &str) -> String {
        let Some((key, value)) = line.split_once('=') else {
            return line.to_owned();
        };
        let words: Vec<String> = value
            .split(' ')
            .map(|word| match word {
                ACTOR => format!(
                    "{} conformance-actor {} {}",
                    self.program.display(),
                    self.folder.display(),
                    unit.name
                ),
                word if is_name(word) => self.name(word),
                word => word.to_owned(),
            })
            .collect();
        format!("{key}={}", words.join(" "))
    }

    fn text(&self, unit: &Unit) -> String {
        let mut text = "[Unit]\nDefaultDependencies=no\n".to_owned();
        for section in [Section::Unit, Section::Service] {
            if section == Section::Service && unit.name.ends_with(".service") {
                text.push_str("[Service]\n");
            }
            for (_, line) in unit.lines.iter().filter(|(of, _)| *of == section) {
                text.push_str(&self.line(unit, line));
                text.push('\n');
            }
        }
        text
    }

    /// The files of the units, and of one that is up all the time and names the others, since systemd forgets who is down and named by nobody.
    pub(super) fn write(&self, case: &Case, into: &Path) -> Result<()> {
        let names: Vec<String> = case
            .units
            .iter()
            .map(|unit| self.name(&unit.name))
            .collect();
        let text = format!(
            "[Unit]\nDefaultDependencies=no\nIgnoreOnIsolate=yes\nAfter={}\n",
            names.join(" ")
        );
        fs::write(into.join(self.name(KEEPER)), text)?;
        for unit in &case.units {
            fs::write(into.join(self.name(&unit.name)), self.text(unit))?;
        }
        Ok(())
    }
}

pub(super) fn is_name(word: &str) -> bool {
    word.ends_with(".service") || word.ends_with(".target")
}

impl Case {
    /// The pairs of units of which the second comes after the first.
    pub(super) fn order(&self) -> Vec<(&str, &str)> {
        let mut pairs = Vec::new();
        for unit in &self.units {
            for (_, line) in &unit.lines {
                if let Some(other) = line.strip_prefix("After=") {
                    pairs.push((other, unit.name.as_str()));
                } else if let Some(other) = line.strip_prefix("Before=") {
                    pairs.push((unit.name.as_str(), other));
                }
            }
        }
        pairs
    }

    pub(super) fn has_line(&self, start: &str) -> bool {
        let mut lines = self.units.iter().flat_map(|unit| &unit.lines);
        lines.any(|(_, line)| line.starts_with(start))
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Open => f.write_str("the gate opens"),
            Deed::Close => f.write_str("the gate closes"),
            Deed::Command(words) => f.write_str(&words.join(" ")),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for unit in &self.units {
            let lines: Vec<&str> = unit.lines.iter().map(|(_, line)| line.as_str()).collect();
            write!(f, "{}: {} / ", unit.name, lines.join(" "))?;
        }
        let deeds: Vec<String> = self.deeds.iter().map(Deed::to_string).collect();
        f.write_str(&deeds.join("; "))
    }
}
