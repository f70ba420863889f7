//! The default profile as text.

use load::portable::Profile;

/// Its directives, each with its value as unit files write it.
///
/// # Panics
/// Never: the name is a unit's.
#[must_use]
pub fn profile() -> Vec<(String, String)> {
    let profile = Profile::default();
    let name = model::UnitName::new("profile.service").expect("a unit's name");
    let mut unit = model::Unit::new(name);
    for (directive, value) in profile.values() {
        unit.set_raw(directive, value.clone());
    }
    let line = |directive: model::Directive| {
        (
            directive.name().to_owned(),
            settings::print(&unit, directive).join(" "),
        )
    };
    profile
        .values()
        .map(|(directive, _)| line(directive))
        .collect()
}
