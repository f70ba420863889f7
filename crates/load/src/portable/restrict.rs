//! A unit put into a profile: what it says itself and may say survives, everything else becomes the profile's.

use std::collections::BTreeSet;

use model::text::Verbatim;
use model::{Directive, Unit, UnitKind};

use crate::portable::grants::is_covered;
use crate::portable::judge::{Named, Part, Scope, Verdict, judge};
use crate::portable::profile::Profile;
use crate::portable::scope::PortableName;
use crate::specifier::{SpecifierContext, Specifiers};

/// Puts a portable's unit into a profile. Of each value the parts that are free, or that a grant answers, stay; where none stays the
/// profile's value takes its place, or none.
#[must_use]
pub fn restrict(
    portable: &PortableName,
    unit: &Unit,
    profile: &Profile,
    granted: &[String],
) -> Unit {
    let scope = Scope {
        portable,
        unit: unit.name(),
        named: Named::Granted(granted),
    };
    let has_profile = unit.kind() == UnitKind::Service;
    let of_profile = profile
        .values()
        .map(|(directive, _)| directive)
        .filter(|_| has_profile);
    let directives: BTreeSet<Directive> = unit
        .iter()
        .map(|(directive, _)| directive)
        .chain(of_profile)
        .collect();
    let mut restricted = unit.clone();
    for directive in directives {
        let base = if has_profile {
            profile.value(directive)
        } else {
            None
        };
        let parts = judge(scope, directive, &settings::print(unit, directive));
        let kept: Vec<&Part> = parts.iter().filter(|part| stays(part, granted)).collect();
        if is_narrowing_filter(directive, &parts) || is_additive(directive) && base.is_some() {
            put_base(&mut restricted, directive, base);
            add_parts(&mut restricted, directive, &kept);
        } else if kept.is_empty() {
            put_base(
                &mut restricted,
                directive,
                if parts.is_empty() && base.is_none() {
                    unit.raw(directive)
                } else {
                    base
                },
            );
        } else if kept.len() < parts.len() {
            restricted.unset(directive);
            add_parts(&mut restricted, directive, &kept);
        }
    }
    restricted.shrink_to_fit();
    restricted
}

fn stays(part: &Part, granted: &[String]) -> bool {
    match &part.verdict {
        Verdict::Free | Verdict::Own(_) => true,
        Verdict::Asks(ask) => is_covered(granted.iter().map(String::as_str), &ask.grant),
        Verdict::Never(_) => false,
    }
}

/// A list of system calls to refuse means nothing without the profile's list of allowed ones before it.
fn is_narrowing_filter(directive: Directive, parts: &[Part]) -> bool {
    directive.name() == "SystemCallFilter"
        && parts.first().is_some_and(|part| part.text.starts_with('~'))
}

/// What a profile shows is there beside what a unit is shown.
fn is_additive(directive: Directive) -> bool {
    matches!(directive.name(), "BindPaths" | "BindReadOnlyPaths")
}

fn put_base(unit: &mut Unit, directive: Directive, base: Option<&model::Value>) {
    match base {
        Some(value) => unit.set_raw(directive, value.clone()),
        None => neutralize(unit, directive),
    }
}

/// Takes a value away. Where no empty assignment does that, the default is said instead, so that a drop-in can say it too.
fn neutralize(unit: &mut Unit, directive: Directive) {
    let row = settings::row(directive);
    let mut emptied = unit.clone();
    let resets = settings::apply_to(&mut emptied, directive, "", &Verbatim).is_ok()
        && !emptied.is_set(directive);
    unit.unset(directive);
    if !resets {
        // Where there is no default text the value stays away, which is what matters.
        drop(settings::apply_to(
            unit,
            directive,
            row.default_text,
            &Verbatim,
        ));
    }
}

fn add_parts(unit: &mut Unit, directive: Directive, parts: &[&Part]) {
    let (name, context) = (unit.name().clone(), SpecifierContext::default());
    // For the doubled `%` of printed values alone.
    let specifiers = Specifiers::new(&name, None, &context);
    for part in parts {
        // A part was printed by the table from a value, so the table takes it; if it did not, less would be allowed, not more.
        let section = directive.room().section_of(unit.kind()).unwrap_or_default();
        drop(settings::apply(
            unit,
            section,
            directive.name(),
            &part.text,
            &specifiers,
        ));
    }
}
