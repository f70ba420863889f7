//! The review of an image's units: everything they ask for, everything that is refused.

use std::collections::BTreeSet;
use std::path::Path;

use model::{Directive, UnitName};
use syntax::Severity;

use crate::loader::{LoadState, Loaded, load_text_as_template};
use crate::portable::grants::is_covered;
use crate::portable::judge::{Named, Part, Scope, Verdict, judge, name_grant};
use crate::portable::scope::{
    PortableName, allowed_kind, is_of_every_host, is_reserved, is_reserved_word,
};
use crate::specifier::SpecifierContext;

/// A unit file of an image.
#[derive(Debug, Clone, Copy)]
pub struct UnitText<'a> {
    /// The file's name.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// Something that needs the administrator's consent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The grant that answers it, with its value: `listen:8080`.
    pub grant: String,
    /// The unit that asks.
    pub unit: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The directive's name.
    pub directive: &'static str,
    /// What it says there.
    pub value: String,
    /// In plain words, to follow “asks to”.
    pub words: String,
}

/// Something that no consent makes good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct Refusal {
    /// The unit, or the file.
    pub unit: String,
    /// The line, counted from 1; 0 where the whole file is meant.
    pub line: u32,
    /// The directive's name, empty where the whole file is meant.
    pub directive: &'static str,
    /// Why; a whole clause.
    pub reason: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.unit)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.directive.is_empty() {
            write!(f, ": {}=", self.directive)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// A directory of the host that a unit takes for the portable's own, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// The directory.
    pub directory: String,
    /// The unit.
    pub unit: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The directive's name.
    pub by: &'static str,
}

/// What the units of an image say.
#[derive(Debug, Clone, Default)]
pub struct Review {
    /// What they ask for, sorted by grant.
    pub requests: Vec<Request>,
    /// The directories of the host that are its own unless the host has had them before.
    pub claims: Vec<Claim>,
    /// Why the image can't be attached; empty if it can.
    pub refusals: Vec<Refusal>,
    /// The units as they were read, in the order given.
    pub units: Vec<Loaded>,
}

impl Review {
    /// The grants that answer everything, sorted, each once.
    #[must_use]
    pub fn grants(&self) -> BTreeSet<&str> {
        self.requests
            .iter()
            .map(|request| request.grant.as_str())
            .collect()
    }

    /// Asks for the directories that somebody else has had before: a name alone makes nobody their owner.
    pub fn ask_for_taken(&mut self, is_taken: impl Fn(&str) -> bool) {
        let taken = self
            .claims
            .iter()
            .filter(|claim| is_taken(&claim.directory));
        let requests = taken.map(|claim| Request {
            grant: format!("path:{}", claim.directory),
            unit: claim.unit.clone(),
            line: claim.line,
            directive: claim.by,
            value: claim.directory.clone(),
            words: format!("take over the host's {}", claim.directory),
        });
        self.requests.extend(requests);
        self.requests.sort();
        self.requests.dedup();
    }

    /// What a set of grants leaves open: empty if a version asks for no more than was granted.
    #[must_use]
    pub fn beyond(&self, granted: &[String]) -> Vec<&Request> {
        let is_open =
            |request: &&Request| !is_covered(granted.iter().map(String::as_str), &request.grant);
        self.requests.iter().filter(is_open).collect()
    }
}

/// Most unit files of one image: a large suite has some ten.
const MAX_UNITS: usize = 256;

/// Judges all units of an image.
#[must_use]
pub fn review(portable: &PortableName, units: &[UnitText], context: &SpecifierContext) -> Review {
    let mut review = Review::default();
    if units.len() > MAX_UNITS {
        review.refuse(
            portable.as_str(),
            format!(
                "the image has {} unit files, more than {MAX_UNITS}",
                units.len()
            ),
        );
        return review;
    }
    if is_reserved(portable) {
        review.refuse(
            portable.as_str(),
            "this name is the host's; a portable can't have it",
        );
    }
    let names: Vec<&str> = units.iter().map(|text| text.name).collect();
    for text in units {
        review.add(portable, &names, text, context);
    }
    review.requests.sort();
    review.requests.dedup();
    review.claims.sort();
    review.claims.dedup();
    review
}

/// The portable's units that would hide or share a name with a unit that the host has, by the unit itself or by its template.
pub fn shadowed(review: &Review, is_on_host: impl Fn(&UnitName) -> bool) -> Vec<&UnitName> {
    let names = review.units.iter().map(|loaded| loaded.unit.name());
    names
        .filter(|name| {
            is_on_host(name)
                || name
                    .template()
                    .is_some_and(|template| is_on_host(&template))
        })
        .collect()
}

impl Review {
    fn refuse(&mut self, unit: &str, reason: impl Into<String>) {
        let unit = unit
            .chars()
            .filter(|character| !character.is_control())
            .collect();
        self.refusals.push(Refusal {
            unit,
            line: 0,
            directive: "",
            reason: reason.into(),
        });
    }

    fn add(
        &mut self,
        portable: &PortableName,
        names: &[&str],
        text: &UnitText,
        context: &SpecifierContext,
    ) {
        let name = match own_name(portable, text.name) {
            Ok(name) => name,
            Err(reason) => return self.refuse(text.name, reason),
        };
        if !portable.owns_unit(&name) {
            self.ask_for_name(portable, &name);
        }
        let loaded = load_text_as_template(&name, Path::new(text.name), text.bytes, context);
        match unusable(&loaded, text) {
            Some(reason) => self.refuse(text.name, reason),
            None => {
                self.refuse_open(&loaded);
                self.judge_unit(portable, names, &loaded, text);
            }
        }
        self.units.push(loaded);
    }

    /// By PORTABLE_PREFIXES= an image has units that look like somebody else's; nobody's but the administrator's word makes them its own.
    fn ask_for_name(&mut self, portable: &PortableName, unit: &UnitName) {
        self.requests.push(Request {
            grant: name_grant(unit.as_str()),
            unit: unit.to_string(),
            line: 1,
            directive: "",
            value: unit.to_string(),
            words: format!("have a unit that is called {unit}, not as {portable} is"),
        });
    }

    /// A restriction that can't be read is not left out: nobody knows how much of it was meant to hold.
    fn refuse_open(&mut self, loaded: &Loaded) {
        let restricting = loaded
            .ignored
            .iter()
            .filter(|ignored| settings::row(ignored.directive).is_sandboxing());
        self.refusals.extend(restricting.map(|ignored| Refusal {
            unit: loaded.unit.name().to_string(),
            line: ignored.line,
            directive: ignored.directive.name(),
            reason: format!(
                "{}; it restricts the service, so the line can't be ignored",
                ignored.reason
            ),
        }));
    }

    fn judge_unit(
        &mut self,
        portable: &PortableName,
        names: &[&str],
        loaded: &Loaded,
        text: &UnitText,
    ) {
        let scope = Scope {
            portable,
            unit: loaded.unit.name(),
            named: Named::Here(names),
        };
        for (directive, _) in loaded.unit.iter() {
            for part in judge(scope, directive, &settings::print(&loaded.unit, directive)) {
                let line = line_of(loaded, directive, &part, text);
                self.take(loaded.unit.name(), line, directive, part);
            }
        }
    }

    fn take(&mut self, unit: &UnitName, line: u32, directive: Directive, part: Part) {
        let (unit, directive) = (unit.to_string(), directive.name());
        match part.verdict {
            Verdict::Free => {}
            Verdict::Own(directories) => {
                self.claims
                    .extend(directories.into_iter().map(|name| Claim {
                        directory: name,
                        unit: unit.clone(),
                        line,
                        by: directive,
                    }));
            }
            Verdict::Never(reason) => self.refusals.push(Refusal {
                unit,
                line,
                directive,
                reason,
            }),
            Verdict::Asks(ask) => {
                self.requests.push(Request {
                    grant: ask.grant,
                    unit,
                    line,
                    directive,
                    value: part.text,
                    words: ask.words,
                });
            }
        }
    }
}

/// Checks a file's name: a unit of the portable's, of a kind that an image may have.
fn own_name(portable: &PortableName, file: &str) -> Result<UnitName, String> {
    let name: UnitName = file.parse().map_err(|_| {
        "this is no unit's name; an image brings units only, and no drop-ins".to_owned()
    })?;
    if !allowed_kind(name.kind()) {
        return Err(format!("an image can't bring a {} unit", name.kind()));
    }
    if is_of_every_host(&name) {
        return Err("every host has a unit of this name".to_owned());
    }
    if !portable.owns_unit(&name) && is_reserved_word(name.prefix()) {
        return Err("this name is the host's; a portable can't have it".to_owned());
    }
    Ok(name)
}

/// Why a unit can't be judged.
fn unusable(loaded: &Loaded, text: &UnitText) -> Option<String> {
    if loaded.state != LoadState::Loaded {
        let cause = loaded
            .diagnostics
            .iter()
            .find(|finding| finding.severity == Severity::Error);
        return Some(cause.map_or_else(|| "it can't be read".to_owned(), ToString::to_string));
    }
    let is_open = loaded.unit.name().is_template()
        && !loaded.ignored.is_empty()
        && names_instance(text.bytes);
    is_open.then(|| "it has ignored lines, of which nobody can say what they mean for an instance; mend them".to_owned())
}

/// Whether any value may differ from instance to instance.
fn names_instance(bytes: &[u8]) -> bool {
    bytes
        .windows(2)
        .any(|pair| matches!(pair, [b'%', b'i' | b'I' | b'n' | b'N' | b'f']))
}

/// Of the lines that had a say the one that holds the part's text; else the last.
fn line_of(loaded: &Loaded, directive: Directive, part: &Part, text: &UnitText) -> u32 {
    let source = String::from_utf8_lossy(text.bytes);
    let holds = |line: u32| {
        let index = usize::try_from(line).unwrap_or_default().saturating_sub(1);
        source
            .lines()
            .nth(index)
            .is_some_and(|line| line.contains(&part.text))
    };
    let lines: Vec<u32> = loaded
        .origins
        .of(directive)
        .map(|origin| origin.line)
        .collect();
    lines
        .iter()
        .copied()
        .find(|line| holds(*line))
        .or(lines.last().copied())
        .unwrap_or_default()
}
