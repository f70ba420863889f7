//! One value of one directive: free, asked for, or refused.

use model::{Directive, UnitKind, UnitName};

use crate::portable::grants::is_covered;
use crate::portable::rules::{Rule, rule};
use crate::portable::scope::PortableName;

/// What an image may do with one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It only describes or narrows the service, or is its own.
    Free,
    /// It is in these directories, which are its own unless the host has had them before.
    Own(Vec<String>),
    /// It needs consent.
    Asks(Ask),
    /// No consent makes it good; the reason.
    Never(String),
}

/// A consent that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// The grant's name, with its value.
    pub(crate) grant: String,
    /// What is asked, in words that follow “asks to”.
    pub(crate) words: String,
}

/// A part of a directive's value that is judged by itself, as it is written in a unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// A whole right-hand side, or one word of it.
    pub(crate) text: String,
    /// What is said of it.
    pub(crate) verdict: Verdict,
}

/// Whose value is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) portable: &'a PortableName,
    pub(crate) unit: &'a UnitName,
    pub(crate) named: Named<'a>,
}

/// Units of the same image that are called otherwise than the portable.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named<'a> {
    /// All units of the image.
    Here(&'a [&'a str]),
    /// What was granted: those that the image has were asked for.
    Granted(&'a [String]),
}

impl Scope<'_> {
    /// Whether a unit is of the same image.
    pub(crate) fn has_unit(&self, name: &UnitName) -> bool {
        let is_here = |name: &str| match self.named {
            Named::Here(names) => names.contains(&name),
            Named::Granted(grants) => {
                is_covered(grants.iter().map(String::as_str), &name_grant(name))
            }
        };
        let template = name.template();
        self.portable.owns_unit(name)
            || is_here(name.as_str())
            || template.is_some_and(|template| is_here(template.as_str()))
    }
}

/// The grant that lets an image have a unit of this name.
pub(crate) fn name_grant(unit: &str) -> String {
    format!("name:{unit}")
}

impl Verdict {
    pub(crate) fn asks(grant: impl Into<String>, words: impl Into<String>) -> Self {
        Verdict::Asks(Ask {
            grant: grant.into(),
            words: words.into(),
        })
    }

    pub(crate) fn never(reason: impl Into<String>) -> Self {
        Verdict::Never(reason.into())
    }

    /// Free if it holds, else the other.
    pub(crate) fn free_if(holds: bool, otherwise: impl FnOnce() -> Self) -> Self {
        if holds { Verdict::Free } else { otherwise() }
    }
}

impl Scope<'_> {
    pub(crate) fn kind(&self) -> UnitKind {
        self.unit.kind()
    }
}

/// Judges the right-hand sides of a directive (as the table prints them) part by part.
pub(crate) fn judge(scope: Scope, directive: Directive, lines: &[String]) -> Vec<Part> {
    let rule = rule(directive, scope.kind());
    lines
        .iter()
        .flat_map(|line| judge_line(scope, directive, &rule, line))
        .collect()
}

fn judge_line(scope: Scope, directive: Directive, rule: &Rule, printed: &str) -> Vec<Part> {
    let whole = |verdict| {
        vec![Part {
            text: printed.to_owned(),
            verdict,
        }]
    };
    let line = plain(printed);
    let line = line.as_str();
    match rule {
        Rule::Free => whole(Verdict::Free),
        Rule::Never(reason) => whole(Verdict::never(*reason)),
        // To say what holds anyway asks for nothing.
        Rule::Asks if line == settings::row(directive).default_text => whole(Verdict::Free),
        Rule::Asks => whole(asks_by_name(directive, line)),
        Rule::Dial(dial) => whole(Verdict::free_if(dial.free.contains(&line), || {
            Verdict::asks(dial.grant, dial.words)
        })),
        Rule::Line(judge) => whole(judge(scope, line)),
        // A `~` at the start of a line turns all of it round.
        Rule::Words(judge) if line.starts_with('~') => whole(judge(scope, line)),
        Rule::Words(judge) => split(printed)
            .into_iter()
            .map(|(word, text)| Part {
                verdict: judge(scope, &plain(&word)),
                text,
            })
            .collect(),
    }
}

/// Printed values double what would be a specifier.
fn plain(printed: &str) -> String {
    printed.replace("%%", "%")
}

/// What has no shorter name is granted by the directive's own name and value.
fn asks_by_name(directive: Directive, line: &str) -> Verdict {
    let name = directive.name();
    Verdict::asks(
        format!("setting:{name}={line}"),
        format!("set {name}={line}"),
    )
}

/// The words of a line with their written form; an unreadable line is one word, but it was printed by the table, so it is readable.
fn split(line: &str) -> Vec<(String, String)> {
    let whole = || vec![(line.to_owned(), line.to_owned())];
    let Ok(words) = syntax::words::split(line, syntax::words::Mode::EXEC) else {
        return whole();
    };
    let written = |word: &syntax::words::Word| {
        Some((
            word.as_str()?.to_owned(),
            line.get(word.span.clone())?.to_owned(),
        ))
    };
    words
        .iter()
        .map(written)
        .collect::<Option<_>>()
        .unwrap_or_else(whole)
}
