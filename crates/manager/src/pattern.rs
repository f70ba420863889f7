//! What clients give for units: names, short names and patterns.

pub(crate) use model::pattern::matches;

/// Does what a client gives, a name or a pattern, mean this unit? A name without a suffix is a service's.
pub(crate) fn means(given: &str, unit: &str) -> bool {
    matches(given, unit) || (!is_pattern(given) && full_name(given) == unit)
}

/// The name of a unit as a client gives it, with its suffix.
pub(crate) fn full_name(given: &str) -> String {
    match given.rsplit_once('.') {
        Some((_, suffix)) if model::UnitKind::from_suffix(suffix).is_some() => given.to_owned(),
        _ => format!("{given}.service"),
    }
}

/// Is this a pattern at all?
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::means;

    #[test]
    fn a_name_without_a_suffix_means_the_service_and_a_pattern_means_what_it_says() {
        for (given, unit, expected) in [
            ("web", "web.service", true),
            ("web.service", "web.service", true),
            ("web.socket", "web.service", false),
            ("web.1", "web.1.service", true),
            ("web*", "web.socket", true),
            ("we?", "web.service", false),
        ] {
            assert_eq!(means(given, unit), expected, "{given} {unit}");
        }
    }
}
