//! Printouts: a unit as the text of a file, and a restriction as a drop-in that makes one unit into another.

use std::collections::BTreeSet;

use model::listen::LISTENS;
use model::{Directive, Unit, Value};

use crate::specifier::{SpecifierContext, Specifiers};

/// A value that no line of a drop-in brings about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{directive} of {unit} can't be written down again as it was read; write it without specifiers"
)]
pub struct Unprintable {
    /// The unit.
    pub unit: String,
    /// The directive.
    pub directive: Directive,
}

/// Prints a unit as the text of a file.
///
/// What a review has judged is this, and not the bytes that it was read from: in those are lines that mean nothing now and could mean
/// something to a later version, or on a host with another name.
pub fn as_unit_text(unit: &Unit) -> Result<String, Unprintable> {
    as_drop_in(&Unit::new(unit.name().clone()), unit)
}

/// Prints what makes `before` into `after`: read after `before`'s own files, the outcome is `after`. Each directive's lines are tried,
/// so what is returned holds.
pub fn as_drop_in(before: &Unit, after: &Unit) -> Result<String, Unprintable> {
    let all = before
        .iter()
        .chain(after.iter())
        .map(|(directive, _)| directive);
    let changed: BTreeSet<Directive> = all
        .filter(|directive| before.raw(*directive) != after.raw(*directive))
        .filter(|directive| !LISTENS.contains(directive))
        .collect();
    let mut sections: Vec<(&str, String)> = Vec::new();
    if let Some(lines) = listen_lines(before, after)? {
        sections.push(("Socket", lines));
    }
    for family in settings::TESTS {
        if let Some(lines) = test_lines(before, after, &changed, family)? {
            add(&mut sections, "Unit", lines);
        }
    }
    let others = changed
        .iter()
        .copied()
        .filter(|directive| settings::family_of_test(*directive).is_none());
    for directive in others {
        let unprintable = || Unprintable {
            unit: after.name().to_string(),
            directive,
        };
        let section = directive
            .room()
            .section_of(after.kind())
            .ok_or_else(unprintable)?;
        let lines = lines(before, after, section, directive).ok_or_else(unprintable)?;
        add(&mut sections, section, lines);
    }
    sections.sort_by_key(|(section, _)| *section != "Unit");
    let texts: Vec<String> = sections
        .into_iter()
        .map(|(section, lines)| format!("[{section}]\n{lines}"))
        .collect();
    Ok(texts.join("\n"))
}

fn add<'a>(sections: &mut Vec<(&'a str, String)>, section: &'a str, lines: String) {
    match sections.iter_mut().find(|(known, _)| *known == section) {
        Some((_, text)) => text.push_str(&lines),
        None => sections.push((section, lines)),
    }
}

/// The lines of all addresses of a socket, which are one list over several directives; none where nothing changes.
fn listen_lines(before: &Unit, after: &Unit) -> Result<Option<String>, Unprintable> {
    let differs = |directive: &Directive| before.raw(*directive) != after.raw(*directive);
    let Some(changed) = LISTENS.into_iter().find(differs) else {
        return Ok(None);
    };
    let mut rest: Vec<(Directive, Vec<String>)> = LISTENS
        .into_iter()
        .map(|directive| (directive, values(after, directive)))
        .collect();
    let mut lines: Vec<(Directive, String)> = Vec::new();
    if LISTENS
        .into_iter()
        .any(|directive| before.is_set(directive))
    {
        lines.push((changed, String::new()));
    }
    for written in after.listen_order() {
        let left = rest
            .iter_mut()
            .find(|(directive, left)| directive == written && !left.is_empty());
        lines.extend(left.map(|(directive, left)| (*directive, left.remove(0))));
    }
    let unordered = rest
        .into_iter()
        .flat_map(|(directive, left)| left.into_iter().map(move |line| (directive, line)));
    lines.extend(unordered);
    let outcome = applied(before, &lines, "Socket");
    if outcome.is_none_or(|unit| {
        LISTENS
            .into_iter()
            .any(|one| unit.raw(one) != after.raw(one))
    }) {
        return Err(Unprintable {
            unit: after.name().to_string(),
            directive: changed,
        });
    }
    Ok(Some(text(&lines)))
}

/// The lines of all conditions, or all assertions, which are one list over many directives; none where nothing changes.
fn test_lines(
    before: &Unit,
    after: &Unit,
    changed: &BTreeSet<Directive>,
    family: &str,
) -> Result<Option<String>, Unprintable> {
    let of_family = |directive: &Directive| settings::family_of_test(*directive) == Some(family);
    let Some(first) = changed.iter().copied().find(of_family) else {
        return Ok(None);
    };
    let written = |directive: Directive| {
        let values = values(after, directive).into_iter();
        values.map(move |line| (directive, line))
    };
    let of_after = after.iter().map(|(directive, _)| directive);
    let added: Vec<_> = changed
        .iter()
        .copied()
        .filter(of_family)
        .flat_map(written)
        .collect();
    let anew: Vec<_> = std::iter::once((first, String::new()))
        .chain(of_after.filter(of_family).flat_map(written))
        .collect();
    let is_same = |unit: Unit| {
        let all = unit.iter().chain(after.iter());
        all.map(|(directive, _)| directive)
            .filter(of_family)
            .all(|directive| unit.raw(directive) == after.raw(directive))
    };
    let lines = [added, anew]
        .into_iter()
        .find(|lines| applied(before, lines, "Unit").is_some_and(is_same))
        .ok_or_else(|| Unprintable {
            unit: after.name().to_string(),
            directive: first,
        })?;
    Ok(Some(text(&lines)))
}

fn text(lines: &[(Directive, String)]) -> String {
    lines
        .iter()
        .map(|(directive, line)| format!("{}={line}\n", directive.name()))
        .collect()
}

/// A directive's right-hand sides as a file has them.
fn values(unit: &Unit, directive: Directive) -> Vec<String> {
    let mut values = settings::print(unit, directive);
    if unit.name().is_template() {
        // What differs from instance to instance is still a specifier there, and so is a doubled `%`.
        values
            .iter_mut()
            .for_each(|value| *value = value.replace("%%", "%"));
    }
    values
}

/// The shortest lines that bring the value about: the value alone, or a reset and the value.
fn lines(before: &Unit, after: &Unit, section: &str, directive: Directive) -> Option<String> {
    let values = values(after, directive);
    let plain = values.clone();
    let reset = std::iter::once(String::new()).chain(values).collect();
    let tried = [plain, reset].into_iter().find(|lines: &Vec<String>| {
        leads_to(before, lines, section, directive, after.raw(directive))
    })?;
    Some(
        tried
            .iter()
            .map(|line| format!("{}={line}\n", directive.name()))
            .collect(),
    )
}

/// Whether a line of a file would be read as this value and nothing more.
fn survives_syntax(line: &str) -> bool {
    let text = format!("[S]\nN={line}\nN=\n");
    let document = syntax::parse("", text.as_bytes());
    let read: Vec<&str> = document
        .assignments()
        .map(|(_, _, assignment)| assignment.value.as_str())
        .collect();
    read == [line, ""]
}

fn leads_to(
    before: &Unit,
    lines: &[String],
    section: &str,
    directive: Directive,
    wanted: Option<&Value>,
) -> bool {
    let lines: Vec<_> = lines.iter().map(|line| (directive, line.clone())).collect();
    applied(before, &lines, section).is_some_and(|unit| unit.raw(directive) == wanted)
}

/// The unit with these lines read after its own; none if one of them is not taken.
fn applied(before: &Unit, lines: &[(Directive, String)], section: &str) -> Option<Unit> {
    let context = SpecifierContext::default();
    let specifiers = Specifiers::new(before.name(), None, &context).leaving_instance();
    let mut unit = before.clone();
    let all_taken = lines.iter().all(|(directive, line)| {
        survives_syntax(line)
            && settings::apply(&mut unit, section, directive.name(), line, &specifiers).is_ok()
    });
    (all_taken && specifiers.take_dropped().is_empty()).then_some(unit)
}
