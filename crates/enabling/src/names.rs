//! Which names may stand for which.

use model::{UnitKind, UnitName};

/// Of which kinds a unit may have other names.
pub(crate) fn may_alias(kind: UnitKind) -> bool {
    matches!(
        kind,
        UnitKind::Service
            | UnitKind::Socket
            | UnitKind::Target
            | UnitKind::Device
            | UnitKind::Timer
            | UnitKind::Path
    )
}

/// Of which kinds there are templates.
pub(crate) fn may_template(kind: UnitKind) -> bool {
    matches!(
        kind,
        UnitKind::Service | UnitKind::Socket | UnitKind::Target | UnitKind::Timer | UnitKind::Path
    )
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Form {
    Plain,
    Template,
    Instance,
}

fn form(name: &UnitName) -> Form {
    if name.is_template() {
        Form::Template
    } else if name.instance().is_some() {
        Form::Instance
    } else {
        Form::Plain
    }
}

/// Whether a link called `alias` may lead to a unit.
pub(crate) fn is_alias(alias: &UnitName, unit: &UnitName) -> bool {
    let (from, to) = (form(alias), form(unit));
    let is_carried = from == Form::Instance && to == Form::Template;
    let is_same_instance = from != Form::Instance || alias.instance() == unit.instance();
    may_alias(alias.kind())
        && alias.kind() == unit.kind()
        && (is_carried || (from == to && is_same_instance))
}

/// Whether a link called `link` in a directory of wanted units stands for a unit. In that of a template, the instance comes with it.
pub(crate) fn stands_for(link: &UnitName, unit: &UnitName, in_template: bool) -> bool {
    link == unit
        || (unit.is_template() && link.template().as_ref() == Some(unit))
        || (in_template && link.is_template() && unit.template().as_ref() == Some(link))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_what_it_can_be() {
        let alias = |from: &str, to: &str| is_alias(&from.parse().unwrap(), &to.parse().unwrap());
        for (from, to) in [
            ("a.service", "b.service"),
            ("a@.service", "b@.service"),
            ("a@i.service", "b@.service"),
            ("a@i.service", "b@i.service"),
        ] {
            assert!(alias(from, to), "{from} {to}");
        }
        for (from, to) in [
            ("a.service", "b.socket"),
            ("a.mount", "b.mount"),
            ("a.service", "b@.service"),
            ("a@.service", "b.service"),
            ("a@.service", "b@i.service"),
            ("a@i.service", "b@j.service"),
        ] {
            assert!(!alias(from, to), "{from} {to}");
        }
    }
}
