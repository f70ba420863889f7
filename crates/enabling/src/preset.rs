//! systemd.preset(5): which units are enabled by those who made the system.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::UnitName;
use model::pattern::matches;

use crate::change::Problem;
use crate::disable::Marked;
use crate::draft::Look;
use crate::enable::Making;
use crate::find::{Mode, Pool, Search, unreadable};
use crate::{Options, Work};

/// What a preset says of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is enabled; a template in these instances, where there are any.
    Enable(Vec<UnitName>),
    /// It is disabled.
    Disable,
    /// It stays as it is.
    Ignore,
}

impl Decision {
    /// The word of listings.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Decision::Enable(_) => "enabled",
            Decision::Disable => "disabled",
            Decision::Ignore => "ignored",
        }
    }
}

/// What of the presets is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// All.
    #[default]
    Full,
    /// Units are enabled, none is disabled.
    EnableOnly,
    /// Units are disabled, none is enabled.
    DisableOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Enable,
    Disable,
    Ignore,
}

#[derive(Debug)]
struct Rule {
    action: Action,
    pattern: String,
    instances: Vec<String>,
}

/// The rules of all preset files, the first that fits decides.
#[derive(Debug, Default)]
pub struct Presets(Vec<Rule>);

impl Presets {
    /// Adds the rules of a file; lines that are none are passed over.
    pub fn add(&mut self, text: &str) {
        let lines = text.lines().map(str::trim);
        self.0.extend(lines.filter_map(rule));
    }

    /// What is said of a unit; one that no rule names is enabled.
    #[must_use]
    pub fn of(&self, unit: &UnitName) -> Decision {
        let fits = |rule: &&Rule| rule.instances_of(unit).is_some();
        let Some(rule) = self.0.iter().find(fits) else {
            return Decision::Enable(Vec::new());
        };
        match rule.action {
            Action::Enable => Decision::Enable(rule.instances_of(unit).unwrap_or_default()),
            Action::Disable => Decision::Disable,
            Action::Ignore => Decision::Ignore,
        }
    }
}

fn rule(line: &str) -> Option<Rule> {
    let (word, rest) = line.split_once([' ', '\t'])?;
    let action = match word {
        "enable" => Action::Enable,
        "disable" => Action::Disable,
        "ignore" => Action::Ignore,
        _ => return None,
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let pattern = words.next()?;
    let instances = if action == Action::Enable {
        words.collect()
    } else {
        Vec::new()
    };
    Some(Rule {
        action,
        pattern,
        instances,
    })
}

impl Rule {
    /// None where the rule is not about the unit; of a template the instances that it names.
    fn instances_of(&self, unit: &UnitName) -> Option<Vec<UnitName>> {
        let fits = |name: &UnitName| matches(&self.pattern, name.as_str());
        if self.instances.is_empty() {
            return fits(unit).then(Vec::new);
        }
        match unit.template() {
            Some(template) => {
                let is_named = self
                    .instances
                    .iter()
                    .any(|one| Some(one.as_str()) == unit.instance());
                (fits(&template) && is_named).then(Vec::new)
            }
            None if unit.is_template() && fits(unit) => {
                let named = self.instances.iter();
                Some(
                    named
                        .filter_map(|one| unit.with_instance(one).ok())
                        .collect(),
                )
            }
            None => None,
        }
    }
}

impl Work<'_> {
    /// Reads the preset files: sorted by their names over all directories, of equally named ones the strongest.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn presets(&self) -> Result<Presets, Problem> {
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        for directory in &self.places.presets {
            let entries = self.draft.entries(directory);
            for one in entries.map_err(|error| unreadable(directory, error))? {
                if one.name.ends_with(".preset") {
                    let path = directory.join(&one.name);
                    files.entry(one.name).or_insert(path);
                }
            }
        }
        let mut presets = Presets::default();
        for path in files.values() {
            let look = self.draft.followed(path);
            if let Look::File(bytes) = look.map_err(|error| unreadable(path, error))? {
                presets.add(&String::from_utf8_lossy(&bytes));
            }
        }
        Ok(presets)
    }

    /// Enables or disables units as the presets say.
    ///
    /// # Errors
    /// When a unit is not there, or can't be read.
    pub fn preset(
        &mut self,
        names: &[String],
        scope: Scope,
        options: Options,
    ) -> Result<(), Problem> {
        let presets = self.presets()?;
        let (mut plus, mut minus) = (Pool::default(), Pool::default());
        for name in names {
            match self.decide(name, &presets, (&mut plus, &mut minus)) {
                Ok(()) => {}
                Err(problem @ Problem::Unreadable { .. }) => return Err(problem),
                Err(problem) => self.outcome.problems.push(problem),
            }
        }
        self.execute((plus, minus), scope, options)
    }

    /// The same for every unit that is there; one that can't be enabled is passed over.
    ///
    /// # Errors
    /// When a directory can't be read.
    pub fn preset_all(&mut self, scope: Scope, options: Options) -> Result<(), Problem> {
        let presets = self.presets()?;
        let (mut plus, mut minus) = (Pool::default(), Pool::default());
        let mut known = std::collections::BTreeSet::new();
        for directory in self.places.path.directories().to_vec() {
            let entries = self.draft.entries(&directory);
            for one in entries.map_err(|error| unreadable(&directory, error))? {
                if UnitName::new(&one.name).is_ok() && known.insert(one.name.clone()) {
                    let decided = self.decide(&one.name, &presets, (&mut plus, &mut minus));
                    if let Err(problem @ Problem::Unreadable { .. }) = decided {
                        return Err(problem);
                    }
                }
            }
        }
        self.execute((plus, minus), scope, options)
    }

    fn decide(
        &self,
        name: &str,
        presets: &Presets,
        (plus, minus): (&mut Pool, &mut Pool),
    ) -> Result<(), Problem> {
        let mut pool = Pool::default();
        let at = self.discover(&mut pool, name, Search::FOLLOW)?;
        let Some(info) = pool.0.get(at).filter(|info| info.name.as_str() == name) else {
            return Ok(());
        };
        if plus.find(&info.name).is_some() || minus.find(&info.name).is_some() {
            return Ok(());
        }
        match presets.of(&info.name) {
            Decision::Enable(instances) if instances.is_empty() => {
                self.discover_own(plus, name, Search::LOAD)?;
            }
            Decision::Enable(instances) => {
                for instance in instances {
                    self.discover_own(plus, instance.as_str(), Search::LOAD)?;
                }
            }
            Decision::Disable => {
                self.discover(minus, name, Search::FOLLOW)?;
            }
            Decision::Ignore => {}
        }
        Ok(())
    }

    fn execute(
        &mut self,
        (mut plus, mut minus): (Pool, Pool),
        scope: Scope,
        options: Options,
    ) -> Result<(), Problem> {
        if scope != Scope::EnableOnly {
            let marked: Marked = self.mark(&mut minus)?;
            self.remove_marked(marked, options.runtime)?;
        }
        if scope != Scope::DisableOnly {
            // What can't be used is nobody's to preset.
            plus.0
                .retain(|info| info.mode != Some(Mode::Masked) || info.is_auxiliary);
            let making = Making {
                options,
                is_preset: true,
            };
            self.apply(&mut plus, Search::APPLY, making)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, unit: &str) -> String {
        let mut presets = Presets::default();
        presets.add(text);
        match presets.of(&unit.parse().unwrap()) {
            Decision::Enable(instances) if !instances.is_empty() => {
                let names: Vec<&str> = instances.iter().map(UnitName::as_str).collect();
                names.join(" ")
            }
            other => other.word().to_owned(),
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_a_unit_that_none_names_is_enabled() {
        let rules =
            "# a comment\n; another\nnonsense\ndisable a*.service\nenable ab.service\nignore c.*\n";
        for (unit, word) in [
            ("a.service", "disabled"),
            ("ab.service", "disabled"),
            ("a.socket", "enabled"),
            ("c.mount", "ignored"),
        ] {
            assert_eq!(of(rules, unit), word, "{unit}");
        }
    }

    #[test]
    fn a_rule_with_instances_is_about_them_and_their_template() {
        let rules = "enable t@.service x y\ndisable *\n";
        assert_eq!(of(rules, "t@.service"), "t@x.service t@y.service");
        assert_eq!(of(rules, "t@x.service"), "enabled");
        assert_eq!(of(rules, "t@z.service"), "disabled");
        assert_eq!(of(rules, "u@.service"), "disabled");
    }
}
