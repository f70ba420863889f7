//! What the manager keeps of one unit beside the engine's state.

use crate::record::TransientRecord;
use crate::run::{Run, RunRecord};
use engine::UnitId;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use wire::Failure;

/// A unit in memory.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: UnitId,
    pub(crate) name: model::UnitName,
    /// What the keeper knows it by.
    pub(crate) key: u64,
    /// As its files say.
    pub(crate) unit: Rc<model::Unit>,
    pub(crate) origin: Origin,
    /// Made at run time.
    pub(crate) transient: Option<Box<Transient>>,
    /// Runs that are not released, the oldest first.
    pub(crate) runs: Vec<Run>,
    /// What the planner made of it, until it is loaded again.
    pub(crate) prepared: Option<Rc<crate::planning::Prepared>>,
    /// Why its last start did not work.
    pub(crate) failure: Option<Box<Failure>>,
    /// The condition that kept it from starting when they were tested last.
    pub(crate) unmet: Option<Box<str>>,
    /// What is left of the last run.
    pub(crate) last: Option<Box<Last>>,
    /// Where its log says that it is.
    pub(crate) place: Option<(engine::ActiveState, engine::SubState)>,
    /// Listening sockets, in the order of the unit.
    pub(crate) sockets: Vec<Rc<OwnedFd>>,
    /// Descriptors that it stored, in the order in which they came.
    pub(crate) store: Vec<crate::fd_store::Stored>,
    /// The connection that it serves.
    pub(crate) connection: Option<crate::accept::Connection>,
    /// It was made for a connection.
    pub(crate) is_of_connection: bool,
    /// Programs of others that its control group has for its sake.
    pub(crate) pinned: Vec<crate::filters::PinnedThere>,
    /// Its numbers in sets of the firewall.
    pub(crate) in_sets: Vec<crate::firewall::Held>,
    /// A start in spite of directives that are not enforced was allowed.
    pub(crate) allow_unenforced: bool,
}

/// Where a unit comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) load: LoadState,
    pub(crate) fragment: Option<PathBuf>,
    pub(crate) drop_ins: Vec<PathBuf>,
    pub(crate) diagnostics: Vec<wire::Diagnostic>,
    /// The version of all that it was made of; none where it is to be read again at the next reload.
    pub(crate) version: Option<u64>,
    /// The versions of its own files.
    pub(crate) files: Option<u64>,
    /// Its other names.
    pub(crate) aliases: Vec<String>,
    /// The maker of a transient unit said no Type=.
    pub(crate) is_typeless: bool,
    /// The portable that it belongs to.
    pub(crate) portable: Option<String>,
    /// The profile of its portable, not the unit itself, asks for a pid namespace.
    pub(crate) pids_by_profile: bool,
}

/// What came of loading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LoadState {
    #[default]
    Loaded,
    NotFound,
    Masked,
    BadSetting,
    Error,
}

impl LoadState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::NotFound => "not-found",
            Self::Masked => "masked",
            Self::BadSetting => "bad-setting",
            Self::Error => "error",
        }
    }
}

/// What only a unit made at run time has.
#[derive(Debug, Default)]
pub(crate) struct Transient {
    pub(crate) record: TransientRecord,
    /// Standard input, output and error that the client gave.
    pub(crate) stdio: [Option<Rc<OwnedFd>>; 3],
    /// The processes of a scope that are not taken over yet.
    pub(crate) processes: Vec<Rc<OwnedFd>>,
}

impl Transient {
    /// One whose streams and processes nobody gives.
    pub(crate) fn alone(text: String, command: Vec<String>, collect: bool) -> Transient {
        Transient {
            record: TransientRecord {
                text,
                command,
                collect,
                awaited: false,
            },
            stdio: Default::default(),
            processes: Vec::new(),
        }
    }
}

/// What is left of a run when it is released, and what the current one said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Last {
    pub(crate) run: Option<RunRecord>,
    pub(crate) status_text: Option<String>,
    pub(crate) status_errno: Option<u32>,
    /// The last line of the last probe.
    pub(crate) health_line: Option<String>,
}

impl Last {
    /// The time on processors of the run that is over.
    pub(crate) fn cpu_ns(&self) -> Option<u64> {
        self.run.as_ref()?.over.filter(|ns| *ns > 0)
    }

    /// $INVOCATION_ID of the run that is over.
    pub(crate) fn invocation(&self) -> Option<&str> {
        let run = self.run.as_ref()?;
        Some(run.invocation.as_str())
    }
}

impl Entry {
    /// What a record keeps beside the state, the runs and the words for the log.
    pub(crate) fn said(&self) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(last) = &self.last {
            said.extend(last.status_text.iter().map(|text| format!("status {text}")));
            said.extend(last.health_line.iter().map(|line| format!("health {line}")));
            said.extend(last.status_errno.map(|errno| format!("errno {errno}")));
        }
        said.extend(self.unmet.iter().map(|unmet| format!("unmet {unmet}")));
        let there = self.in_sets.iter().filter(|held| held.trouble.is_none());
        said.extend(there.map(|held| format!("set {}", held.element)));
        let pinned = self.pinned.iter();
        said.extend(pinned.map(|(hook, program)| format!("pinned {hook} {program}")));
        if self.is_of_connection {
            said.push("connection -".to_owned());
        }
        if let Some(failure) = &self.failure {
            let (error, parameters) = failure.parts();
            said.push(format!("failure {error} {parameters}"));
        }
        said
    }

    /// Takes one of these lines back.
    pub(crate) fn take_said(&mut self, kind: &str, text: &str) {
        match kind {
            "status" => self.last_mut().status_text = Some(text.to_owned()),
            "health" => self.last_mut().health_line = Some(text.to_owned()),
            "errno" => self.last_mut().status_errno = text.parse().ok(),
            "unmet" => self.unmet = Some(text.into()),
            "pinned" => {
                let numbers = text.split_once(' ');
                let numbers = numbers
                    .and_then(|(hook, program)| Some((hook.parse().ok()?, program.parse().ok()?)));
                self.pinned.extend(numbers);
            }
            "connection" => self.is_of_connection = true,
            "set" => {
                let element = plan::firewall::Element::read(text);
                self.in_sets
                    .extend(element.map(|element| crate::firewall::Held {
                        element,
                        trouble: None,
                    }));
            }
            "failure" => {
                let parts = text.split_once(' ');
                let failure = parts.map(|(error, parameters)| Failure::of_parts(error, parameters));
                self.failure = failure.map(Box::new);
            }
            _ => {}
        }
    }

    /// A unit that was just loaded.
    pub(crate) fn new(
        id: UnitId,
        name: model::UnitName,
        key: u64,
        unit: Rc<model::Unit>,
        origin: Origin,
    ) -> Self {
        Self {
            id,
            name,
            key,
            unit,
            origin,
            transient: None,
            runs: Vec::new(),
            prepared: None,
            failure: None,
            unmet: None,
            last: None,
            place: Some((engine::ActiveState::Inactive, engine::SubState::Dead)),
            sockets: Vec::new(),
            store: Vec::new(),
            connection: None,
            is_of_connection: false,
            pinned: Vec::new(),
            in_sets: Vec::new(),
            allow_unenforced: false,
        }
    }

    /// The run with this number.
    pub(crate) fn run(&mut self, incarnation: u64) -> Option<&mut Run> {
        self.runs
            .iter_mut()
            .find(|run| run.incarnation == incarnation)
    }

    /// CollectMode=: is it forgotten when it failed, too?
    pub(crate) fn collects_failed(&self) -> bool {
        let mode = self.unit.value(&model::key::COLLECT_MODE);
        mode == model::value::CollectMode::InactiveOrFailed
    }

    /// The newest run.
    pub(crate) fn current_run(&self) -> Option<&Run> {
        self.runs.last()
    }

    pub(crate) fn last_mut(&mut self) -> &mut Last {
        self.last.get_or_insert_default()
    }
}
