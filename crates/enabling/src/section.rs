//! The `[Install]` section of a unit, read by itself: nothing else of a unit counts when it is enabled.

use load::{SpecifierContext, Specifiers};
use model::{Expand, UnitName};
use syntax::words::{Mode, split};

use crate::change::Problem;
use crate::names::may_alias;

/// What enabling a unit means, as it is written: specifiers are not replaced yet, but in Also= and DefaultInstance=.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) aliases: Vec<String>,
    pub(crate) wanted_by: Vec<String>,
    pub(crate) required_by: Vec<String>,
    pub(crate) upheld_by: Vec<String>,
    pub(crate) also: Vec<String>,
    pub(crate) default_instance: Option<String>,
}

impl Section {
    /// Whether it asks for a link.
    pub(crate) fn has_rules(&self) -> bool {
        let lists = [
            &self.aliases,
            &self.wanted_by,
            &self.required_by,
            &self.upheld_by,
        ];
        lists.iter().any(|list| !list.is_empty())
    }

    /// Adds what a file says of `unit`; returns the units that are enabled along.
    ///
    /// # Errors
    /// When a value of Also= or DefaultInstance= is none.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        unit: &UnitName,
        context: &SpecifierContext,
    ) -> Result<Vec<UnitName>, Problem> {
        let document = syntax::parse(unit.as_str(), bytes);
        let mut along = Vec::new();
        let lines = document
            .assignments()
            .filter(|(section, ..)| *section == "Install");
        for (_, _, line) in lines {
            self.assign(
                (line.name.as_str(), line.value.as_str()),
                unit,
                context,
                &mut along,
            )?;
        }
        Ok(along)
    }

    fn assign(
        &mut self,
        (name, value): (&str, &str),
        unit: &UnitName,
        context: &SpecifierContext,
        along: &mut Vec<UnitName>,
    ) -> Result<(), Problem> {
        match name {
            "Alias" if may_alias(unit.kind()) => extend(&mut self.aliases, value),
            "WantedBy" => extend(&mut self.wanted_by, value),
            "RequiredBy" => extend(&mut self.required_by, value),
            "UpheldBy" => extend(&mut self.upheld_by, value),
            "Also" => {
                for word in words(value).unwrap_or_default() {
                    let name = self.expand(&word, unit, context)?;
                    let known = UnitName::new(&name).map_err(|_| Problem::BadName(name.clone()))?;
                    self.also.push(name);
                    along.push(known);
                }
            }
            "DefaultInstance" => self.set_default_instance(value, unit, context)?,
            _ => {}
        }
        Ok(())
    }

    /// A unit that is an instance has its own, and a plain one can have none.
    fn set_default_instance(
        &mut self,
        value: &str,
        unit: &UnitName,
        context: &SpecifierContext,
    ) -> Result<(), Problem> {
        if !unit.is_template() {
            return Ok(());
        }
        let instance = self.expand(value, unit, context)?;
        if instance.is_empty() {
            self.default_instance = None;
        } else if unit.with_instance(&instance).is_ok() {
            self.default_instance = Some(instance);
        }
        Ok(())
    }

    /// The unit that a template stands for: its default instance, where it has one.
    pub(crate) fn instance_of(&self, unit: &UnitName) -> UnitName {
        let instance = self
            .default_instance
            .as_ref()
            .filter(|_| unit.is_template());
        let instantiated = instance.and_then(|instance| unit.with_instance(instance).ok());
        instantiated.unwrap_or_else(|| unit.clone())
    }

    /// A value with its specifiers replaced: those that names are made of, and those of the host. Others stay as they are written.
    ///
    /// # Errors
    /// When one has no value on this host.
    pub(crate) fn expand(
        &self,
        value: &str,
        unit: &UnitName,
        context: &SpecifierContext,
    ) -> Result<String, Problem> {
        const KNOWN: &str = "ijnNpaAbBHlmMoqvwWgGuU%";
        let instance = self.instance_of(unit);
        let specifiers = Specifiers::new(&instance, None, context);
        let mut expanded = String::new();
        let mut rest = value;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            let letter = after.chars().next();
            match letter.filter(|letter| KNOWN.contains(*letter)) {
                Some(letter) => {
                    let one = specifiers.expand(&format!("%{letter}"));
                    expanded.push_str(&one.map_err(|error| Problem::Value {
                        unit: unit.to_string(),
                        value: value.to_owned(),
                        reason: error.to_string(),
                    })?);
                    rest = after.get(letter.len_utf8()..).unwrap_or_default();
                }
                None => {
                    expanded.push('%');
                    rest = after;
                }
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
    }
}

/// A list that grows, and that an empty value empties. A value that can't be split counts for nothing.
fn extend(list: &mut Vec<String>, value: &str) {
    match words(value) {
        Some(_) if value.is_empty() => list.clear(),
        Some(words) => list.extend(words),
        None => {}
    }
}

fn words(value: &str) -> Option<Vec<String>> {
    let words = split(value, Mode::NAMES).ok()?;
    let text = |word: syntax::words::Word| String::from_utf8(word.value).ok();
    words.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(unit: &str, text: &str) -> Section {
        let mut section = Section::default();
        let text = format!("[Install]\n{text}");
        let name = unit.parse().unwrap();
        section
            .read(text.as_bytes(), &name, &SpecifierContext::default())
            .unwrap();
        section
    }

    #[test]
    fn lists_grow_and_an_empty_value_empties_them() {
        let section = read(
            "a.service",
            "WantedBy=x.target y.target\nWantedBy=\nWantedBy=z.target\nAlias=b.service\n",
        );
        assert_eq!(section.wanted_by, ["z.target"]);
        assert_eq!(section.aliases, ["b.service"]);
        assert!(section.has_rules());
        assert!(!read("a.service", "Also=b.service\n").has_rules());
    }

    #[test]
    fn a_default_instance_is_for_templates_and_may_be_taken_back() {
        assert_eq!(
            read("a@.service", "DefaultInstance=x\n").default_instance,
            Some("x".to_owned())
        );
        for (unit, text) in [
            ("a@.service", "DefaultInstance=x\nDefaultInstance=\n"),
            ("a@i.service", "DefaultInstance=x\n"),
            ("a.service", "DefaultInstance=x\n"),
            ("a@.service", "DefaultInstance=x/y\n"),
        ] {
            assert_eq!(read(unit, text).default_instance, None, "{unit} {text}");
        }
    }

    #[test]
    fn specifiers_are_those_of_names() {
        let context = SpecifierContext {
            host_name: "boat".to_owned(),
            ..SpecifierContext::default()
        };
        let section = read("web-a@.service", "DefaultInstance=q\n");
        let unit = "web-a@.service".parse().unwrap();
        let expand = |text| section.expand(text, &unit, &context).unwrap();
        assert_eq!(
            expand("%p %j %i %n %N"),
            "web-a a q web-a@q.service web-a@q"
        );
        assert_eq!(expand("%H %% %I %Z"), "boat % %I %Z");
    }
}
