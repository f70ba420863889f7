//! Printouts: a unit as the text of a file, and a restriction as a drop-in that makes one unit into another.

use std::collections::BTreeSet;

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
        .collect();
    let mut sections: Vec<(&str, String)> = Vec::new();
    for directive in changed {
        let unprintable = || Unprintable {
            unit: after.name().to_string(),
            directive,
        };
        let section = directive
            .room()
            .section_of(after.kind())
            .ok_or_else(unprintable)?;
        let lines = lines(before, after, section, directive).ok_or_else(unprintable)?;
        match sections.iter_mut().find(|(known, _)| *known == section) {
            Some((_, text)) => text.push_str(&lines),
            None => sections.push((section, lines)),
        }
    }
    sections.sort_by_key(|(section, _)| *section != "Unit");
    let texts: Vec<String> = sections
        .into_iter()
        .map(|(section, lines)| format!("[{section}]\n{lines}"))
        .collect();
    Ok(texts.join("\n"))
}

/// The shortest lines that bring the value about: the value alone, or a reset and the value.
fn lines(before: &Unit, after: &Unit, section: &str, directive: Directive) -> Option<String> {
    let mut values = settings::print(after, directive);
    if after.name().is_template() {
        // What differs from instance to instance is still a specifier there, and so is a doubled `%`.
        values
            .iter_mut()
            .for_each(|value| *value = value.replace("%%", "%"));
    }
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
    let context = SpecifierContext::default();
    let specifiers = Specifiers::new(before.name(), None, &context).leaving_instance();
    let mut unit = before.clone();
    let all_taken = lines.iter().all(|line| {
        survives_syntax(line)
            && settings::apply(&mut unit, section, directive.name(), line, &specifiers).is_ok()
    });
    all_taken && unit.raw(directive) == wanted
}
