//! The calls that fit into no other room: signals, forgetting failures, plans, sandboxes, the server itself.

use crate::entry::Entry;
use crate::environment::BYTES_MAX;
use crate::manager::Manager;
use crate::run::{Run, RunProcess};
use crate::status::main_serial;
use engine::{Input, JobKind, Signal, State, Target, UnitId};
use model::{UnitKind, UnitName, slice};
use std::iter::successors;
use std::os::fd::OwnedFd;
use wire::{
    ExplainReply, Failure, JobRequest, KillRequest, PlanStep, Reduction, SandboxReply, ServerReply,
    Setting, TakenBackRequest,
};

/// A socket that goes down with its service is asked after it: alone it could not be up again beside a service that is up without it.
pub(crate) fn comes_late((name, found): &(String, Result<(UnitId, JobKind), Failure>)) -> bool {
    let goes_down = matches!(
        found,
        Ok((
            _,
            JobKind::Stop | JobKind::Restart | JobKind::TryRestart | JobKind::Replace
        ))
    );
    goes_down && name.ends_with(".socket")
}

impl Manager {
    /// Reloads what can be reloaded, restarts the rest.
    pub(crate) fn reload_or_restart(
        &mut self,
        client: u32,
        input: JobRequest,
    ) -> Result<(), Failure> {
        self.queue_each(client, Self::reload_or_restart_kind, input)
    }

    fn reload_or_restart_kind(&self, unit: UnitId) -> JobKind {
        if self.engine.can_reload(unit) {
            JobKind::ReloadOrStart
        } else {
            JobKind::Restart
        }
    }

    pub(crate) fn kill(&mut self, input: &KillRequest) -> Result<(), Failure> {
        let number = crate::signals::by_name(&input.signal).ok_or_else(|| Failure::BadSignal {
            signal: input.signal.clone(),
        })?;
        let target = match input.whom.as_str() {
            "" | "all" => Target::All,
            "main" => Target::Main,
            "control" => Target::Control,
            _ => {
                return Err(Failure::InvalidParameter {
                    parameter: format!("whom: {:?} is none of all, main, control", input.whom),
                });
            }
        };
        // Elsewhere no name means all units; nobody means that here.
        if input.names.is_empty() {
            return Err(Failure::InvalidParameter {
                parameter: "names".into(),
            });
        }
        let mut meant = Vec::new();
        for unit in self.select_existing(&input.names)? {
            meant.extend(self.signalled_with(unit, target)?);
        }
        for unit in meant {
            self.inputs.push_back(Input::Kill {
                unit,
                target,
                signal: Signal(number),
            });
        }
        Ok(())
    }

    /// The units that have the processes which are meant by a unit: itself, or those in the slice that it is. All of what is down are
    /// none, which is no failure, as with the reference; a process that is named and not there is one.
    fn signalled_with(&self, unit: UnitId, target: Target) -> Result<Vec<UnitId>, Failure> {
        let none = || Failure::NoProcess {
            unit: self.name_of(unit),
        };
        let entry = self.units.get(&unit).ok_or_else(none)?;
        let has_runs = matches!(
            entry.name.kind(),
            UnitKind::Service | UnitKind::Scope | UnitKind::Socket
        );
        match (entry.name.kind(), target) {
            (UnitKind::Slice, Target::All) => Ok(self.in_slice(&entry.name)),
            (_, Target::All) if has_runs => Ok(vec![unit]),
            _ if !self.serials(unit, target).is_empty() => Ok(vec![unit]),
            _ => Err(none()),
        }
    }

    /// The units in a slice and in the slices in it.
    fn in_slice(&self, name: &UnitName) -> Vec<UnitId> {
        let is_inside = |entry: &Entry| {
            let around = successors(slice::of(&entry.unit), slice::parent);
            around.into_iter().any(|slice| slice == *name)
        };
        let all = self.units.iter().filter(|(_, entry)| is_inside(entry));
        all.map(|(id, _)| *id).collect()
    }

    pub(crate) fn reset_failed(&mut self, names: &[String]) -> Result<(), Failure> {
        let units = self.select_existing(names)?;
        for unit in units {
            self.inputs.push_back(Input::ResetFailed(unit));
        }
        self.advance();
        Ok(())
    }

    /// A version of a unit was taken back: whoever reads its log is to know why, and whom its OnFailure= names is to do something about it.
    pub(crate) fn tell_taken_back(&mut self, input: &TakenBackRequest) -> Result<(), Failure> {
        for unit in self.select_existing(std::slice::from_ref(&input.unit))? {
            self.log_about(unit, &input.text);
            if input.follows {
                self.inputs.push_back(Input::TakenBack(unit));
            }
        }
        self.advance();
        Ok(())
    }

    /// The plan by which a unit would be started now.
    pub(crate) fn explain(&mut self, name: &str) -> Result<ExplainReply, Failure> {
        let named = [name.to_owned()];
        let found = self.select_existing(&named)?;
        let entry = found
            .first()
            .and_then(|id| self.units.get(id))
            .ok_or_else(|| Failure::NoSuchUnit { unit: name.into() })?;
        let unit = entry.name.to_string();
        let is_socket = entry.name.kind() == model::UnitKind::Socket;
        let plan = if is_socket {
            self.make_socket_plan(entry)
        } else {
            self.make_plan(entry)
        };
        let unenforced = crate::planning::unenforced(&entry.unit);
        let programs = crate::filters::programs_of(&entry.unit, &self.filters);
        let both = plan.and_then(|plan| Ok((plan, programs?)));
        Ok(match both {
            Ok((plan, programs)) => ExplainReply {
                unit,
                steps: steps(&plan)
                    .into_iter()
                    .chain(programs.iter().map(program_step))
                    .collect(),
                reductions: plan
                    .reductions()
                    .iter()
                    .map(crate::planning::reduction)
                    .collect(),
                refusals: unenforced,
            },
            Err(refusal) => {
                let refusal = Reduction {
                    directive: refusal.directive.name().into(),
                    reason: refusal.why,
                };
                ExplainReply {
                    unit,
                    refusals: std::iter::once(refusal).chain(unenforced).collect(),
                    ..ExplainReply::default()
                }
            }
        })
    }

    /// Lets in who waited for a sandbox that is made now; true if somebody was answered.
    pub(crate) fn let_in(&mut self) -> bool {
        let (waiting, mut answered) = (std::mem::take(&mut self.entering), false);
        for (client, name) in waiting {
            if !self.connections.contains_key(&client) {
                continue;
            }
            if let Err(failure) = self.enter_sandbox(client, &name)
                && let Some(connection) = self.connections.get_mut(&client)
            {
                connection.refuse(&failure);
            }
            if self.entering.iter().all(|(waiting, _)| *waiting != client) {
                answered = true;
                self.serve_waiting(client);
            }
        }
        answered
    }

    /// What is needed to enter a running service's sandbox, with its main process's descriptor. As long as the executor is at work the
    /// sandbox is not one yet, and the client waits.
    pub(crate) fn enter_sandbox(&mut self, client: u32, name: &str) -> Result<(), Failure> {
        let id = self.find(name)?.ok_or_else(|| Failure::NoSuchUnit {
            unit: crate::pattern::full_name(name),
        })?;
        let prepared = self.prepared(id)?;
        let entry = self
            .units
            .get(&id)
            .ok_or_else(|| Failure::NoSuchUnit { unit: name.into() })?;
        let none = || Failure::NoProcess {
            unit: entry.name.to_string(),
        };
        let run = entry.current_run().ok_or_else(none)?;
        let process = self.main_of(id, run).ok_or_else(none)?;
        if process.report.is_some() {
            self.entering.push((client, name.to_owned()));
            return Ok(());
        }
        let pid = process.visible_pid().ok_or_else(none)?;
        let pidfd = held_process(process, prepared.plan.has_stub()).ok_or_else(none)?;
        let environment = environment_of(pid, &pidfd).ok_or_else(none)?;
        let user = run.user.as_ref();
        let on_host = |path: &String| {
            let cgroups = self.cgroups.as_ref()?;
            Some(cgroups.on_host(path).to_string_lossy().into_owned())
        };
        let root = entry
            .unit
            .get(&model::key::ROOT_IMAGE)
            .or_else(|| entry.unit.get(&model::key::ROOT_DIRECTORY))
            .or_else(|| entry.unit.get(&model::key::ROOT_MSTACK));
        let setting = |directive: model::Directive| Setting {
            directive: directive.name().into(),
            value: crate::show::printed(&entry.unit, directive),
        };
        let reply = SandboxReply {
            unit: entry.name.to_string(),
            main_pid: pid,
            pidfd: 0,
            invocation_id: run.invocation_text(),
            cgroup: run.cgroup.as_ref().and_then(on_host),
            uid: user.map(|user| user.uid),
            gid: user.map(|user| user.gid),
            groups: user.map(|user| user.groups.clone()).unwrap_or_default(),
            environment,
            working_directory: Some(crate::show::printed(
                &entry.unit,
                model::key::WORKING_DIRECTORY.directive(),
            ))
            .filter(|text| !text.is_empty()),
            root: root.map(|path| path.path.clone()),
            steps: steps(&prepared.plan),
            settings: entry
                .unit
                .iter()
                .map(|(directive, _)| setting(directive))
                .collect(),
        };
        if let Some(connection) = self.connections.get_mut(&client) {
            connection.reply_with(&reply, vec![pidfd]);
        }
        Ok(())
    }

    fn main_of<'a>(&self, unit: UnitId, run: &'a Run) -> Option<&'a RunProcess> {
        let Some(State::Service(service)) = self.engine.state(unit) else {
            return None;
        };
        let main = main_serial(&service.main)?;
        run.processes.iter().find(|process| process.serial == main)
    }

    /// The manager and its host.
    pub(crate) fn describe(&self) -> ServerReply {
        let facts = &self.facts;
        let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
        let named = [
            ("kernel", facts.kernel.to_string()),
            ("cgroup", format!("{:?}", facts.cgroup.kind).to_lowercase()),
            ("controllers", facts.cgroup.controllers.join(" ")),
            ("user-namespaces", yes(facts.namespaces.user)),
            ("network-namespaces", yes(facts.namespaces.net)),
            ("landlock", facts.landlock_abi.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        ServerReply {
            version: env!("CARGO_PKG_VERSION").into(),
            position: self.position().to_string(),
            state: self.state_name().into(),
            pid: std::process::id(),
            keeper_pid: self.keeper.pid,
            restarts: self.keeper.restarts,
            runtime_dir: self.directories.runtime.to_string_lossy().into_owned(),
            state_dir: self.directories.state.to_string_lossy().into_owned(),
            config_dir: self.directories.config.to_string_lossy().into_owned(),
            unit_path: self
                .loader
                .path()
                .directories()
                .iter()
                .map(|path| path.to_string_lossy().into_owned())
                .collect(),
            cgroup: self.cgroups.as_ref().map(crate::cgroup::Cgroups::root),
            facts: model::order::map(named),
            reductions: self.host_reductions(),
            units: self.units.len() as u64,
            failed: self.engine.failed() as u64,
            jobs: self.engine.jobs().count() as u64,
        }
    }

    fn host_reductions(&self) -> Vec<Reduction> {
        let mut found = Vec::new();
        let mut missing = |directive: &str, reason: &str| {
            found.push(Reduction {
                directive: directive.into(),
                reason: reason.into(),
            })
        };
        if self.cgroups.is_none() {
            missing(
                "ControlGroup",
                "there is no control group hierarchy of version 2 that can be written: only known processes are tracked",
            );
        }
        for controller in ["cpu", "memory", "io", "pids"] {
            if self
                .cgroups
                .as_ref()
                .is_some_and(|cgroups| !cgroups.has_controller(controller))
            {
                missing(
                    controller,
                    "the controller is not available in version 2: its limits are not applied",
                );
            }
        }
        found
    }
}

/// The steps of a plan as people read them.
pub(crate) fn steps(plan: &plan::SpawnPlan) -> Vec<PlanStep> {
    let lines = plan.explain();
    plan.steps()
        .zip(lines)
        .map(|(asked, line)| PlanStep {
            step: plan::Step::name_of(asked.step.tag())
                .unwrap_or_default()
                .into(),
            text: line.split("  [").next().unwrap_or_default().to_owned(),
            directive: model::Directive::from_index(usize::from(asked.directive))
                .map(|directive| directive.name().to_owned())
                .unwrap_or_default(),
        })
        .collect()
}

/// A program of the unit's control group, as a step: it is attached before the first one of the plan.
fn program_step(program: &plan::ebpf::GroupProgram) -> PlanStep {
    PlanStep {
        step: "GroupProgram".into(),
        text: program.explain(),
        directive: program.directive.name().into(),
    }
}

/// The process that people mean: the keeper's own child, or the stub's. One whose stub never told of it was killed before it was one.
fn held_process(process: &RunProcess, has_stub: bool) -> Option<OwnedFd> {
    match process.payload {
        None if has_stub => None,
        Some(payload) => {
            let stub = process.pid?;
            crate::cgroup::held(payload, |pid| crate::run::is_child(pid, stub))
        }
        None => process.pidfd.as_ref()?.try_clone().ok(),
    }
}

/// The environment of a process that lives. An executor that is killed closes its report, too, some time before it has ended: what
/// has no executable any more has given up its memory, and its descriptors after that (`do_exit` of the kernel).
fn environment_of(pid: u32, pidfd: &OwnedFd) -> Option<Vec<String>> {
    let bytes = crate::beginning::read(format!("/proc/{pid}/environ"), BYTES_MAX);
    let bytes = bytes.unwrap_or_default();
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    // What was read may be of another process of that number.
    if kernel::process::has_ended(pidfd) {
        return None;
    }
    let all = bytes.split(|byte| *byte == 0).filter(|one| !one.is_empty());
    Some(
        all.map(|one| String::from_utf8_lossy(one).into_owned())
            .collect(),
    )
}
