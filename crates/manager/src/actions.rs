//! FailureAction= and its kin: what is done to the machine, or to this instance, when a unit says so.

use crate::directories::Directories;
use crate::entry::Entry;
use crate::manager::{Manager, Stage};
use engine::{ExitStatus, Occasion, UnitId};
use kernel::power::Power;
use model::value::{EmergencyAction, Keyword};
use model::{Directive, Key, Unit, key};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use wire::{ExitRequest, Failure, Reduction};

/// Where this instance is, as far as the machine's power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The init of a machine.
    Machine,
    /// The init of a container: its end is the container's.
    Container,
    /// Beside another init.
    Beside,
}

/// How the end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Units are stopped as they want to be.
    InOrder,
    /// Their processes are killed.
    Forced,
    /// Nobody is asked: the machine is switched now.
    AtOnce,
}

const NOT_ALONE: &str = "this instance runs beside another init, which alone may switch the machine: use exit, or name a unit in OnFailure= or \
OnSuccess= that asks that init";
const NOT_OURS: &str = "this instance runs beside another init, which alone may switch the machine: its own command of this name does it";
const DECIDED: &str = "how this instance ends is decided already, and not so";
const NO_USER_SPACE: &str = "user space alone is not restarted: use reboot, or exit";

/// An end that was decided: what becomes of the machine, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    power: Option<Power>,
    manner: Manner,
}

/// What an action means here. None: nothing is asked for.
fn deed(action: EmergencyAction, place: Place) -> Result<Option<End>, &'static str> {
    use EmergencyAction as A;
    use Manner::{AtOnce, Forced, InOrder};
    let (power, manner) = match action {
        A::None => return Ok(None),
        A::SoftReboot | A::SoftRebootForce => return Err(NO_USER_SPACE),
        A::Exit => (None, InOrder),
        A::ExitForce => (None, Forced),
        A::Reboot => (Some(Power::Restart), InOrder),
        A::RebootForce => (Some(Power::Restart), Forced),
        A::RebootImmediate => (Some(Power::Restart), AtOnce),
        A::Poweroff => (Some(Power::Off), InOrder),
        A::PoweroffForce => (Some(Power::Off), Forced),
        A::PoweroffImmediate => (Some(Power::Off), AtOnce),
        A::Kexec => (Some(Power::Kexec), InOrder),
        A::KexecForce => (Some(Power::Kexec), Forced),
        A::Halt => (Some(Power::Halt), InOrder),
        A::HaltForce => (Some(Power::Halt), Forced),
        A::HaltImmediate => (Some(Power::Halt), AtOnce),
    };
    match (power, place) {
        (Some(_), Place::Beside) => Err(NOT_ALONE),
        // The first process of a machine can't end.
        (None, Place::Machine) => Ok(Some(End {
            power: Some(Power::Off),
            manner,
        })),
        (power, _) => Ok(Some(End { power, manner })),
    }
}

/// The directive of an occasion, and its value.
fn asked(unit: &Unit, occasion: Occasion) -> (&'static Key<EmergencyAction>, EmergencyAction) {
    let key = match occasion {
        Occasion::Failed => &key::FAILURE_ACTION,
        Occasion::Succeeded => &key::SUCCESS_ACTION,
        Occasion::StartLimit => &key::START_LIMIT_ACTION,
        Occasion::JobTimeout => &key::JOB_TIMEOUT_ACTION,
    };
    (key, unit.value(key))
}

fn argument(unit: &Unit, occasion: Occasion) -> String {
    match occasion {
        Occasion::JobTimeout => unit.value(&key::JOB_TIMEOUT_REBOOT_ARGUMENT),
        _ => unit.value(&key::REBOOT_ARGUMENT),
    }
}

/// The exit status of the instance: what the unit says, or that of its main process; 255 where a signal ended that. None: this says
/// nothing about it.
fn status(unit: &Unit, occasion: Occasion, main: Option<ExitStatus>) -> Option<u8> {
    let said = match occasion {
        Occasion::Failed => unit.get(&key::FAILURE_ACTION_EXIT_STATUS),
        Occasion::Succeeded => unit.get(&key::SUCCESS_ACTION_EXIT_STATUS),
        Occasion::StartLimit | Occasion::JobTimeout => return None,
    };
    let own = match main {
        Some(ExitStatus::Exited(status)) => Some(status),
        Some(ExitStatus::Killed(_) | ExitStatus::Dumped(_)) => Some(u8::MAX),
        Some(ExitStatus::Unknown) | None => None,
    };
    said.map_or(own, |said| Some(u8::try_from(*said).unwrap_or(u8::MAX)))
}

/// How the instance ends. It is in a file, too, as the manager that decides it need not be the one that gets there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// The exit status.
    pub(crate) status: u8,
    /// A number of [`Power`]; 0: nothing.
    #[serde(default)]
    pub(crate) power: u8,
    /// For the firmware.
    #[serde(default)]
    pub(crate) argument: String,
}

/// Bytes of the file: an argument has 255 at most.
const ENDING_BYTES_MAX: u64 = 4096;

impl Ending {
    /// What a manager of this instance has decided.
    fn read(directories: &Directories) -> io::Result<Option<Ending>> {
        match crate::beginning::text(directories.ending(), ENDING_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => Ok(Some(serde_json::from_str(&text?)?)),
        }
    }

    /// What follows from what was decided before. The first word about the machine counts, whatever the stop that it began makes of other
    /// units; of exit statuses the last one does. None: all stays as it is.
    fn after(
        before: Option<Ending>,
        power: u8,
        status: Option<u8>,
        argument: String,
    ) -> Option<Ending> {
        let Some(before) = before else {
            return Some(Ending {
                status: status.unwrap_or_default(),
                power,
                argument,
            });
        };
        let status = status.unwrap_or(before.status);
        (before.power == power).then_some(Ending { status, ..before })
    }

    /// What is left for the manager to do with the machine, and for the keeper: one of an earlier version, which runs until it is
    /// replaced, would refuse to end with power.
    fn shared_with(&self, takes_power: bool) -> (Option<Power>, Ending) {
        if takes_power {
            return (None, self.clone());
        }
        let plain = Ending {
            status: self.status,
            ..Ending::default()
        };
        (Power::from_number(self.power), plain)
    }

    /// Switches the machine now; returns only where that failed.
    fn switch(&self, power: Power) -> kernel::Errno {
        let argument = std::ffi::CString::new(self.argument.as_str());
        kernel::power::switch(power, &argument.unwrap_or_default())
    }

    fn write(&self, directories: &Directories) -> std::io::Result<()> {
        let (path, beside) = (directories.ending(), directories.runtime.join(".ending"));
        std::fs::write(&beside, serde_json::to_string(self)?)?;
        std::fs::rename(beside, path)
    }
}

impl Directories {
    /// How the instance is to end, where a unit said so.
    pub(crate) fn ending(&self) -> PathBuf {
        self.runtime.join("ending")
    }
}

impl Manager {
    /// Is this the init of a machine, and not only of a container?
    pub(crate) fn is_of_machine(&self) -> bool {
        self.place() == Place::Machine
    }

    fn place(&self) -> Place {
        let is_in_container =
            crate::conditions::is_in_container() || !kernel::namespace::has_first_processes();
        match (self.keeper.init, is_in_container) {
            (false, _) => Place::Beside,
            (true, true) => Place::Container,
            (true, false) => Place::Machine,
        }
    }

    /// Does what a unit says for an occasion, or says why not.
    pub(crate) fn act(&mut self, unit: UnitId, occasion: Occasion) {
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        let (key, action) = asked(&entry.unit, occasion);
        let asked = format!("{}={action}", key.directive().name());
        let argument = argument(&entry.unit, occasion);
        let main = self.engine.snapshot(unit).and_then(|one| one.main_status);
        let status = status(&entry.unit, occasion, main);
        let decided = match deed(action, self.place()) {
            Ok(None) => return,
            Ok(Some(end)) => self
                .decide(end.power, status, argument.clone())
                .map(|()| end)
                .ok_or(DECIDED),
            Err(why) => Err(why),
        };
        match decided {
            Err(why) => {
                let with = match argument.is_empty() {
                    true => String::new(),
                    false => format!(" with the argument {argument}"),
                };
                let text = format!("{asked}{with} is not done: {why}");
                self.log_as(crate::own_log::ERROR, unit, &text);
            }
            Ok(end) => {
                let text = format!("{asked}: that is done now");
                self.log_as(crate::own_log::WARNING, unit, &text);
                self.end_as(end);
            }
        }
    }

    /// The end that a client, or a signal, asks for. Who asks for one without power gets what was decided before.
    pub(crate) fn end_asked_for(&mut self, input: &ExitRequest) -> Result<End, Failure> {
        let word = match input.action.as_str() {
            "" => EmergencyAction::Exit.word(),
            word => word,
        };
        let wrong = |message: &str| Failure::NotSwitched {
            action: word.into(),
            message: message.into(),
        };
        let action = EmergencyAction::from_word(word)
            .filter(|action| *action != EmergencyAction::None)
            .ok_or_else(|| Failure::InvalidParameter {
                parameter: "action".into(),
            })?;
        let place = self.place();
        let deed = deed(action, place).map_err(|why| match why {
            NOT_ALONE => wrong(NOT_OURS),
            why => wrong(why),
        });
        let Some(end) = deed? else {
            return Err(wrong("nothing is asked for"));
        };
        if end.power == Some(Power::Kexec) && !kernel::power::has_next_kernel() {
            return Err(wrong(
                "no kernel is loaded to go on with: `kexec -l` loads one",
            ));
        }
        // Beside another init nothing is decided by a plain end: a unit's word about the exit status may follow.
        if end.power.is_some() {
            let said = self.decide(end.power, None, input.argument.clone());
            said.ok_or_else(|| wrong(DECIDED))?;
        }
        Ok(end)
    }

    /// How the instance ends by what was decided until now: by this manager, by one before it, or by who asked for an end alone.
    pub(crate) fn decided(&self) -> Option<Ending> {
        let is_asked = self.stage == Stage::Stopping;
        let read = || match Ending::read(&self.directories) {
            Ok(decided) => decided,
            Err(error) => {
                let path = self.directories.ending();
                self.log(&format!(
                    "{}, which says how this instance ends, can't be read, and it ends plainly: {error}",
                    path.display()
                ));
                None
            }
        };
        let decided = self.later.ending.clone().or_else(read);
        decided.or_else(|| is_asked.then(Ending::default))
    }

    /// None: it is decided already, and differently.
    fn decide(&mut self, power: Option<Power>, status: Option<u8>, argument: String) -> Option<()> {
        let power = power.map_or(0, |power| power as u8);
        let ending = Ending::after(self.decided(), power, status, argument)?;
        if let Err(error) = ending.write(&self.directories) {
            self.log(&format!(
                "how the instance ends can't be recorded in {}, and is done by this manager alone: {error}",
                self.directories.ending().display()
            ));
        }
        self.later.ending = Some(ending);
        Some(())
    }

    /// What an instance decided that is gone says nothing about this one.
    pub(crate) fn forget_ending(&self) {
        let path = self.directories.ending();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => self.log(&format!(
                "{} of an earlier instance can't be removed, and this one will end as it says: {error}",
                path.display()
            )),
            Ok(()) | Err(_) => {}
        }
    }

    pub(crate) fn end_as(&mut self, End { power, manner }: End) {
        match (manner, power) {
            (Manner::AtOnce, Some(power)) => {
                let errno = self.decided().unwrap_or_default().switch(power);
                self.log(&format!("the machine can't be switched at once: {errno}"));
                self.end();
            }
            (Manner::Forced, _) if self.stage != Stage::Leaving => {
                self.end();
                self.kill_all();
                self.leave();
            }
            // One that has begun goes on as it is.
            _ if self.stage == Stage::Stopping => {}
            _ => self.end_in_order(power),
        }
    }

    /// What the keeper is to do at its end. For one that does not switch the machine that is done here, as all units are stopped; where
    /// it fails the keeper ends as it can.
    pub(crate) fn for_keeper(&self, ending: Ending) -> Ending {
        let (own, plain) = ending.shared_with(self.keeper.power);
        if let Some(power) = own {
            let errno = ending.switch(power);
            self.log(&format!("the machine can't be switched: {errno}"));
        }
        plain
    }

    /// Kills every process of every unit.
    fn kill_all(&self) {
        let Some(cgroups) = &self.cgroups else { return };
        let runs = self.units.values().flat_map(|entry| &entry.runs);
        for path in runs.filter_map(|run| run.cgroup.as_deref()) {
            // What can't be killed so the keeper kills one by one.
            let _killed: bool = cgroups.kill(path);
        }
    }

    /// The actions that are not done here.
    pub(crate) fn undone_actions(&self, entry: &Entry) -> Vec<Reduction> {
        let occasions = [
            Occasion::Failed,
            Occasion::Succeeded,
            Occasion::StartLimit,
            Occasion::JobTimeout,
        ];
        let asked = occasions.map(|occasion| asked(&entry.unit, occasion));
        let asked = asked
            .into_iter()
            .filter(|(_, action)| *action != EmergencyAction::None);
        let undone = asked.filter_map(|(key, action)| {
            let why = deed(action, self.place()).err()?;
            let directive: Directive = key.directive();
            Some(Reduction {
                directive: directive.name().into(),
                reason: why.into(),
            })
        });
        undone.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EmergencyAction as A;

    #[test]
    fn the_machine_is_switched_by_its_own_init_alone() {
        use Manner::{AtOnce, Forced, InOrder};
        use Place::{Beside, Container, Machine};
        let done = |power, manner| Ok(Some(End { power, manner }));
        for (action, place, expected) in [
            (A::None, Machine, Ok(None)),
            (A::Exit, Machine, done(Some(Power::Off), InOrder)),
            (A::ExitForce, Machine, done(Some(Power::Off), Forced)),
            (A::Exit, Container, done(None, InOrder)),
            (A::Exit, Beside, done(None, InOrder)),
            (A::ExitForce, Beside, done(None, Forced)),
            (A::Reboot, Container, done(Some(Power::Restart), InOrder)),
            (
                A::RebootImmediate,
                Machine,
                done(Some(Power::Restart), AtOnce),
            ),
            (A::KexecForce, Machine, done(Some(Power::Kexec), Forced)),
            (A::Reboot, Beside, Err(NOT_ALONE)),
            (A::PoweroffImmediate, Beside, Err(NOT_ALONE)),
            (A::HaltForce, Beside, Err(NOT_ALONE)),
            (A::SoftReboot, Machine, Err(NO_USER_SPACE)),
        ] {
            assert_eq!(deed(action, place), expected, "{action} {place:?}");
        }
    }

    #[test]
    fn the_status_is_the_units_word_or_its_main_process_one() {
        let mut unit = Unit::new("a.service".parse().expect("a name"));
        let killed = Some(ExitStatus::Killed(engine::Signal::KILL));
        let of = |unit: &Unit, occasion, main| status(unit, occasion, main);
        let exited = Some(ExitStatus::Exited(7));
        assert_eq!(of(&unit, Occasion::Failed, exited), Some(7));
        assert_eq!(of(&unit, Occasion::Failed, killed), Some(255));
        assert_eq!(of(&unit, Occasion::Failed, None), None);
        unit.set(&key::FAILURE_ACTION_EXIT_STATUS, 42);
        assert_eq!(of(&unit, Occasion::Failed, killed), Some(42));
        assert_eq!(of(&unit, Occasion::Succeeded, killed), Some(255));
        assert_eq!(of(&unit, Occasion::StartLimit, killed), None);
    }

    #[test]
    fn the_first_word_about_the_machine_counts_and_the_last_exit_status() {
        let ending = |status, power: u8, argument: &str| Ending {
            status,
            power,
            argument: argument.into(),
        };
        let (off, restart) = (Power::Off as u8, Power::Restart as u8);
        let first = Ending::after(None, restart, Some(3), "recovery".into());
        let first = first.expect("nothing stands against it");
        assert_eq!(first, ending(3, restart, "recovery"));
        let after =
            |power, status| Ending::after(Some(first.clone()), power, status, "other".into());
        assert_eq!(after(off, Some(4)), None, "another one");
        assert_eq!(after(0, Some(4)), None, "an end without power");
        assert_eq!(after(restart, None), Some(first.clone()));
        let last = Some(ending(4, restart, "recovery"));
        assert_eq!(after(restart, Some(4)), last);
        // Who asked for an end alone gets that.
        let asked = || Some(Ending::default());
        let plain = Ending::after(asked(), 0, Some(5), String::new());
        assert_eq!(plain, Some(ending(5, 0, "")));
        assert_eq!(Ending::after(asked(), off, None, String::new()), None);
    }

    #[test]
    fn a_keeper_of_before_the_power_ends_plainly_and_the_manager_switches_the_machine() {
        let ending = Ending {
            status: 9,
            power: Power::Off as u8,
            argument: "recovery".into(),
        };
        assert_eq!(ending.shared_with(true), (None, ending.clone()));
        let plain = Ending {
            status: 9,
            ..Ending::default()
        };
        assert_eq!(ending.shared_with(false), (Some(Power::Off), plain.clone()));
        assert_eq!(plain.shared_with(false), (None, plain.clone()));
    }

    #[test]
    fn the_next_manager_knows_how_the_instance_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let directories = Directories {
            runtime: folder.path().to_owned(),
            state: PathBuf::new(),
            config: PathBuf::new(),
            unit_path: Vec::new(),
        };
        let read = || Ending::read(&directories).expect("it can be read");
        assert_eq!(read(), None);
        let ending = Ending {
            status: 9,
            power: 1,
            argument: "recovery".into(),
        };
        ending.write(&directories).expect("a file");
        assert_eq!(read(), Some(ending.clone()));
        // One that can't be written leaves what was decided before as it is.
        std::fs::create_dir(folder.path().join(".ending")).expect("a directory in the way");
        let other = Ending::default().write(&directories);
        other.expect_err("a directory is no file");
        assert_eq!(read(), Some(ending));
        std::fs::write(directories.ending(), "{").expect("a file");
        Ending::read(&directories).expect_err("half of one says nothing");
    }
}
