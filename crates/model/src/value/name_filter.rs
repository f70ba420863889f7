//! Names that are let through, or not.

use crate::text::{Expand, Form, ParseError, TextForm, split_words};

/// Names of things that the host may or may not have, such as network interfaces and kinds of file systems. The first assignment decides
/// whether it is a list of the allowed or of the denied; one of the other kind takes its names away.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct NameFilter {
    /// The listed ones are those let through; otherwise those denied.
    pub allow: bool,
    /// The names, sorted.
    pub names: Vec<String>,
}

/// A name that nothing has.
const NOTHING: &str = ".";

impl NameFilter {
    fn read(text: &str, expand: &dyn Expand) -> Result<(bool, Vec<String>), ParseError> {
        let (inverted, names) = text
            .strip_prefix('~')
            .map_or((false, text), |names| (true, names));
        let mut found = Vec::new();
        for word in split_words(names)? {
            let name = expand.expand(&word)?;
            if name.starts_with('~') {
                // It would turn the line round where it came to stand first.
                expand.wrong_item(ParseError::not_a(&name, "a name"))?;
            } else {
                found.push(name);
            }
        }
        Ok((inverted, found))
    }

    /// Joins one more line of `RestrictFileSystems=`, in which groups stand for their members.
    ///
    /// # Errors
    /// A group that is none.
    pub fn assign_file_systems(
        value: &mut Option<NameFilter>,
        text: &str,
        expand: &dyn Expand,
    ) -> Result<(), ParseError> {
        if text.is_empty() {
            *value = None;
            return Ok(());
        }
        let (inverted, names) = NameFilter::read(text, expand)?;
        let mut members = Vec::new();
        for name in names {
            match crate::tables::file_systems::group(&name) {
                Some(group) => members.extend(group.into_iter().map(str::to_owned)),
                None if name.starts_with('@') => {
                    expand.wrong_item(ParseError::not_a(&name, "a group of file systems"))?;
                }
                None => members.push(name),
            }
        }
        let filter = value.get_or_insert_with(|| NameFilter {
            allow: !inverted,
            names: Vec::new(),
        });
        let adds = inverted != filter.allow;
        filter.change(adds, members);
        Ok(())
    }

    fn change(&mut self, add: bool, names: Vec<String>) {
        self.names.retain(|known| !names.contains(known));
        if add {
            self.names.extend(names);
        }
        crate::order::sort(&mut self.names);
        self.names.dedup();
    }
}

impl TextForm for NameFilter {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<NameFilter, ParseError> {
        let (inverted, names) = NameFilter::read(text, expand)?;
        let mut filter = NameFilter {
            allow: !inverted,
            names: Vec::new(),
        };
        filter.change(true, names);
        Ok(filter)
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        let names: Vec<_> = self.names.iter().map(|name| form.word(name)).collect();
        // An empty line would let everything through.
        if self.allow && names.is_empty() && form == Form::UnitFile {
            return vec![NOTHING.to_owned(), format!("~{NOTHING}")];
        }
        let sign = if self.allow { "" } else { "~" };
        vec![format!("{sign}{}", names.join(" "))]
    }

    fn assign(value: &mut Option<Self>, text: &str, expand: &dyn Expand) -> Result<(), ParseError> {
        match value {
            _ if text.is_empty() => *value = None,
            Some(filter) => {
                let (inverted, names) = NameFilter::read(text, expand)?;
                filter.change(inverted != filter.allow, names);
            }
            None => *value = Some(Self::parse_with(text, expand)?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::NameFilter;
    use crate::text::{Form, TextForm as _, Verbatim};

    fn after(lines: &[&str]) -> Option<String> {
        let mut value = None;
        for line in lines {
            NameFilter::assign(&mut value, line, &Verbatim).expect("names");
        }
        value.map(|filter: NameFilter| filter.print_lines(Form::Plain).concat())
    }

    #[test]
    fn what_lets_nothing_through_is_written_so_and_no_name_turns_a_line_round() {
        let read = |lines: &[&str]| {
            let mut value = None;
            for line in lines {
                NameFilter::assign(&mut value, line, &Verbatim).expect("names");
            }
            value
        };
        let nothing = read(&["eth0", "~eth0"]).expect("a filter");
        assert!(nothing.allow && nothing.names.is_empty());
        let printed = nothing.print_lines(Form::UnitFile);
        let lines: Vec<&str> = printed.iter().map(String::as_str).collect();
        assert_eq!(read(&lines), Some(nothing));
        let mut value = None;
        assert!(NameFilter::assign(&mut value, "eth0 ~lo", &Verbatim).is_err());
    }

    #[test]
    fn the_first_line_decides_and_later_ones_add_or_take_away() {
        assert_eq!(after(&["eth1 eth0"]).as_deref(), Some("eth0 eth1"));
        assert_eq!(after(&["eth0 eth1", "~eth0"]).as_deref(), Some("eth1"));
        assert_eq!(after(&["~eth0", "~lo"]).as_deref(), Some("~eth0 lo"));
        assert_eq!(after(&["~eth0 lo", "lo"]).as_deref(), Some("~eth0"));
        assert_eq!(after(&["eth0", ""]), None);
        assert_eq!(after(&["eth0", "", "~lo"]).as_deref(), Some("~lo"));
    }
}
