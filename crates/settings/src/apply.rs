//! Assignments into a typed unit, and back out of it.

use model::{Directive, Expand, Form, ParseError, Unit};

use crate::row;

/// Longest value, in bytes: longer ones are a mistake or an attack.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// Says why an assignment was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The section has no such directive.
    #[error("[{section}] has no {name}=")]
    Unknown {
        /// The section.
        section: String,
        /// The name.
        name: String,
    },
    /// The value is none of the directive's.
    #[error("{0}")]
    Wrong(#[from] ParseError),
    /// The value has a line end or a NUL, which no line of a unit file can carry.
    #[error("the value has a line end or a NUL in it")]
    Unprintable,
    /// The value is longer than [`MAX_VALUE_BYTES`].
    #[error("the value is longer than {MAX_VALUE_BYTES} bytes")]
    TooLong,
}

/// Takes one assignment of a unit file. `expand` replaces specifiers in the parts that have them, and hears of wrong items
/// of lists. An error leaves the unit as it was.
pub fn apply(
    unit: &mut Unit,
    section: &str,
    name: &str,
    raw: &str,
    expand: &dyn Expand,
) -> Result<(), ValueError> {
    match Directive::find(section, name) {
        Some(directive) => apply_to(unit, directive, raw, expand),
        None => Err(ValueError::Unknown {
            section: section.to_owned(),
            name: name.to_owned(),
        }),
    }
}

/// The same, with the directive looked up.
pub fn apply_to(
    unit: &mut Unit,
    directive: Directive,
    raw: &str,
    expand: &dyn Expand,
) -> Result<(), ValueError> {
    if raw.len() > MAX_VALUE_BYTES {
        return Err(ValueError::TooLong);
    }
    if raw.contains(BREAKS) {
        return Err(ValueError::Unprintable);
    }
    let row = row(directive);
    if let Some(family) = family_of_test(directive).filter(|_| raw.is_empty()) {
        reset_tests(unit, family);
    }
    let own = [directive];
    let targets = if row.stands_for.is_empty() {
        &own[..]
    } else {
        *row.stands_for
    };
    for target in targets {
        let mut value = unit.unset(*target);
        let result = row.value.assign(&mut value, raw, &OneLine(expand));
        if let Some(value) = value {
            unit.set_raw(*target, value);
        }
        result?;
        note_listen(unit, *target, raw);
    }
    Ok(())
}

/// What the names of the two families of tests begin with.
pub const TESTS: [&str; 2] = ["Condition", "Assert"];

/// What the names of a unit's tests of the same family begin with: they are one list, which an empty assignment to any of them ends.
pub fn family_of_test(directive: Directive) -> Option<&'static str> {
    let is_of_unit = directive.room() == model::Room::Unit;
    TESTS
        .into_iter()
        .find(|begin| is_of_unit && directive.name().starts_with(begin))
}

/// The conditions of a unit are one list, whatever they test, and so are its assertions.
fn reset_tests(unit: &mut Unit, family: &str) {
    let set = unit.iter().map(|(other, _)| other);
    let of_family: Vec<Directive> = set
        .filter(|other| family_of_test(*other) == Some(family))
        .collect();
    for other in of_family {
        drop(unit.unset(other));
    }
}

/// The addresses of a socket are one list over several directives.
fn note_listen(unit: &mut Unit, directive: Directive, raw: &str) {
    if !model::listen::LISTENS.contains(&directive) {
        return;
    }
    if raw.is_empty() {
        unit.clear_listens();
    } else {
        unit.note_listen(directive);
    }
}

/// What would end a line of a unit file, or a string of the kernel.
const BREAKS: [char; 3] = ['\n', '\r', '\0'];

/// Refuses specifiers that would bring a line end in: what is printed must stay one line.
struct OneLine<'a>(&'a dyn Expand);

impl Expand for OneLine<'_> {
    fn expand(&self, part: &str) -> Result<String, ParseError> {
        let expanded = self.0.expand(part)?;
        match expanded.contains(BREAKS) && !part.contains(BREAKS) {
            true => Err(ParseError::new(
                "a specifier stands for text with a line end or a NUL",
            )),
            false => Ok(expanded),
        }
    }

    fn is_zone(&self, name: &str) -> bool {
        self.0.is_zone(name)
    }

    fn wrong_item(&self, problem: ParseError) -> Result<(), ParseError> {
        self.0.wrong_item(problem)
    }
}

/// Returns a directive to its default, as its empty assignment would where that resets.
pub fn reset(unit: &mut Unit, directive: Directive) {
    drop(unit.unset(directive));
}

/// Prints a directive as the right-hand sides of a unit file; none when it is not set.
pub fn print(unit: &Unit, directive: Directive) -> Vec<String> {
    unit.raw(directive)
        .map(|value| row(directive).value.print(value, Form::UnitFile))
        .unwrap_or_default()
}
