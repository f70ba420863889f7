//! Units that tell of others' failures (`coracle-notify@.service`): who has one by default, and how they, and the others that run this
//! program, find this instance.

use crate::directories::Directories;
use crate::manager::Manager;
use load::built_in::OF_COMMANDS;
use load::notify::{self, Notify};
use model::value::{Paths, UnitList};
use model::{Unit, UnitKind, key};
use std::path::PathBuf;

/// What tellers and those they tell of are given beside their files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Telling {
    /// Services without an OnFailure= of their own have a teller.
    every_service: bool,
    /// Where `coracle` is: beside this program.
    programs: Option<PathBuf>,
    /// The variables by which it knows this instance; none for the host's own.
    variables: Vec<(&'static str, String)>,
}

impl Telling {
    pub(crate) fn new(directories: &Directories) -> Self {
        let own = std::env::current_exe().ok();
        let all = [
            ("CORACLE_RUNTIME_DIR", &directories.runtime),
            ("CORACLE_STATE_DIR", &directories.state),
            ("CORACLE_CONFIG_DIR", &directories.config),
        ];
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        Self {
            every_service: false,
            programs: own.and_then(|own| own.parent().map(PathBuf::from)),
            variables: all
                .into_iter()
                .filter(|_| !directories.are_default())
                .map(|(name, path)| (name, text(path)))
                .collect(),
        }
    }

    /// What a unit's files leave open.
    fn complete(&self, unit: &mut Unit) {
        if unit.kind() != UnitKind::Service {
            return;
        }
        let is_teller = notify::is_teller(unit.name());
        if is_teller || OF_COMMANDS.contains(&unit.name().as_str()) {
            self.furnish(unit);
        }
        if is_teller {
            silence(unit);
        } else if self.every_service && !unit.is_set(key::ON_FAILURE.directive()) {
            let teller = notify::teller(unit.name());
            if let Some(teller) = teller {
                unit.set(&key::ON_FAILURE, UnitList(vec![teller]));
            }
        }
    }

    fn furnish(&self, unit: &mut Unit) {
        if let Some(programs) = &self.programs
            && !unit.is_set(key::EXEC_SEARCH_PATH.directive())
        {
            let programs = programs.to_string_lossy().into_owned();
            unit.set(&key::EXEC_SEARCH_PATH, Paths(vec![programs]));
        }
        let mut environment = unit.value(&key::ENVIRONMENT);
        for (name, value) in &self.variables {
            if environment.get(name).is_none() {
                environment.set(name, value);
            }
        }
        if !self.variables.is_empty() {
            unit.set(&key::ENVIRONMENT, environment);
        }
    }
}

/// Whatever drop-in for all services names them: nothing tells of what tells, and so on without end.
fn silence(teller: &mut Unit) {
    for key in [&key::ON_FAILURE, &key::ON_SUCCESS] {
        let mut list = teller.value(key);
        list.0.retain(|name| !notify::is_teller(name));
        teller.set(key, list);
    }
}

impl Manager {
    /// Reads who has a teller by default; answers whether that is another word than before.
    pub(crate) fn look_who_tells(&mut self) -> bool {
        let directory = &self.directories.config;
        let every_service = match Notify::read(directory) {
            Ok(notify) => {
                let file = directory.join(notify::FILE);
                for complaint in &notify.complaints {
                    self.log(&format!("{}: {complaint}", file.display()));
                }
                notify.every_service
            }
            Err(error) => {
                let file = directory.join(notify::FILE);
                self.log(&format!(
                    "{} can't be read, and what it said before holds: {error}",
                    file.display()
                ));
                self.aside.telling.every_service
            }
        };
        let now = Telling {
            every_service,
            ..Telling::new(&self.directories)
        };
        let before = std::mem::replace(&mut self.aside.telling, now);
        before.every_service != every_service
    }

    /// A unit's files with what is this instance's to say.
    pub(crate) fn completed(&self, mut unit: Unit) -> Unit {
        self.aside.telling.complete(&mut unit);
        unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn unit(name: &str, on_failure: Option<&[&str]>) -> Unit {
        let mut unit = Unit::new(name.parse().expect("a name"));
        if let Some(names) = on_failure {
            let names = names.iter().map(|name| name.parse().expect("a name"));
            unit.set(&key::ON_FAILURE, UnitList(names.collect()));
        }
        unit
    }

    fn check(every_service: bool, name: &str, own: Option<&[&str]>, expected: &[&str]) {
        let telling = Telling {
            every_service,
            ..Telling::default()
        };
        let mut unit = unit(name, own);
        telling.complete(&mut unit);
        let list = unit.value(&key::ON_FAILURE).0;
        let names: Vec<&str> = list.iter().map(model::UnitName::as_str).collect();
        assert_eq!(names, expected, "{every_service} {name} {own:?}");
    }

    #[test]
    fn every_service_without_an_on_failure_of_its_own_has_a_teller_where_that_is_said() {
        let web = "coracle-notify@web.service.service";
        check(true, "web.service", None, &[web]);
        check(false, "web.service", None, &[]);
        check(true, "web.socket", None, &[]);
        check(
            true,
            "web.service",
            Some(&["page.service"]),
            &["page.service"],
        );
        check(true, &format!("{}.service", "n".repeat(240)), None, &[]);
    }

    #[test]
    fn of_what_upgrades_and_scrubs_is_told_as_of_any_other() {
        for name in ["coracle-upgrade.service", "coracle-scrub.service"] {
            let teller = format!("coracle-notify@{name}.service");
            check(true, name, None, &[&teller]);
            check(false, name, Some(&[&teller]), &[&teller]);
        }
    }

    #[test]
    fn nothing_tells_of_what_tells() {
        let teller = "coracle-notify@web.service.service";
        let next = "coracle-notify@coracle-notify@web.service.service.service";
        check(true, teller, None, &[]);
        check(
            false,
            teller,
            Some(&[next, "page.service"]),
            &["page.service"],
        );
    }

    #[test]
    fn tellers_find_the_instance_that_they_are_of() {
        let directories = |runtime: &str| Directories {
            runtime: runtime.into(),
            state: "/state".into(),
            config: "/config".into(),
            unit_path: Vec::new(),
        };
        let teller = "coracle-notify@web.service.service";
        let mut of_host = unit(teller, None);
        Telling::new(&directories("/run/coracle")).complete(&mut of_host);
        assert!(of_host.value(&key::ENVIRONMENT).0.is_empty());
        let own = std::env::current_exe().expect("a program");
        let programs = own.parent().map(Path::to_string_lossy).expect("a folder");
        assert_eq!(of_host.value(&key::EXEC_SEARCH_PATH).0, [programs]);
        for name in [teller, "coracle-upgrade.service", "coracle-scrub.service"] {
            let mut of_another = unit(name, None);
            Telling::new(&directories("/runtime")).complete(&mut of_another);
            let environment = of_another.value(&key::ENVIRONMENT);
            assert_eq!(environment.get("CORACLE_RUNTIME_DIR"), Some("/runtime"));
            assert_eq!(environment.get("CORACLE_CONFIG_DIR"), Some("/config"));
        }
    }
}
