//! One process of a unit is started: its run's things are made, its plan is bound, and the keeper is asked.

use crate::link::NewProcess;
use crate::manager::{Manager, OpenReport};
use crate::namespaces::Joining;
use crate::planning::Prepared;
use crate::poll::Token;
use crate::run::{Run, RunProcess, RunUser, role_number};
use engine::{Cause, ExitStatus, Input, ProcessKey, Relation, Role, Spawn, Target, UnitId};
use model::mount::{self, Change};
use model::value::{ExecCommand, ExecCommands};
use model::{Key, Unit, UnitKind, key};
use plan::{Bindings, Passed, SpawnPlan};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use wire::Failure;

/// What a start passes on to the executor, beside the plan.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    pub(crate) passed: Vec<Passed>,
    pub(crate) descriptors: Vec<Rc<OwnedFd>>,
}

impl Handed {
    pub(crate) fn push(&mut self, role: plan::Role, name: &str, descriptor: Rc<OwnedFd>) {
        self.passed.push(Passed {
            role,
            name: name.into(),
        });
        self.descriptors.push(descriptor);
    }
}

impl Manager {
    /// Starts a process, or tells the engine why not.
    pub(crate) fn start_process(&mut self, spawn: Spawn) {
        let unit = spawn.process.unit;
        match self.try_start(&spawn) {
            Ok(Started::Asked) => {
                self.dirty.insert(unit);
            }
            Ok(Started::Waits) => {}
            Err(failure) if spawn.role == Role::Health => {
                self.probe_not_begun(spawn.process, &failure.to_string());
                self.inputs.push_back(Input::SpawnFailed(spawn.process));
            }
            Err(failure) => {
                self.log_as(crate::own_log::ERROR, unit, &failure.to_string());
                if let Some(entry) = self.units.get_mut(&unit) {
                    entry.failure = Some(Box::new(failure));
                }
                self.inputs.push_back(Input::SpawnFailed(spawn.process));
            }
        }
    }

    /// Goes on with a start that waited. One that its unit waits for no more, as a stop without signals has ended it meanwhile, never was; the
    /// engine hears that of each, so that no run can wait for its end.
    pub(crate) fn start_that_waited(&mut self, spawn: Spawn) {
        if self.is_awaited(spawn.process) {
            self.start_process(spawn);
        } else if !self.is_asked(spawn.process) {
            self.inputs.push_back(Input::SpawnFailed(spawn.process));
        }
    }

    /// Is this process one that its run still waits for?
    fn is_awaited(&self, process: ProcessKey) -> bool {
        let serials = self.serials_of(process.unit, process.incarnation, Target::All);
        serials.contains(&process.serial) || self.is_probing(process)
    }

    fn try_start(&mut self, spawn: &Spawn) -> Result<Started, Failure> {
        let unit = spawn.process.unit;
        // A manager that came back hears of an end before it knows all that there is, and what follows is asked for twice.
        if self.is_asked(spawn.process) {
            return Ok(Started::Asked);
        }
        if self.keeper.adopt_only
            && matches!(spawn.role, Role::Condition | Role::StartPre | Role::Main)
        {
            return Err(Failure::NotNow {
                state: self.state_name().into(),
            });
        }
        self.check_startable(unit, false)?;
        // What runs is stopped in order.
        if matches!(spawn.role, Role::Condition | Role::StartPre | Role::Main) {
            self.check_not_revoked(unit)?;
        }
        let whole = self.prepared(unit)?;
        let prepared = Prepared::of(Rc::clone(&whole), spawn.role);
        if !self.image_is_ready(spawn, &prepared)? {
            return Ok(Started::Waits);
        }
        self.begin_run(spawn.process, &whole)?;
        let is_ready = self.sets_are_ready(spawn)
            && self.pid_file_is_ready(spawn)
            && self.shared_is_ready(spawn, &prepared);
        if !is_ready || !self.credentials_are_ready(spawn)? {
            self.keep_group(unit, spawn.process.incarnation.0)?;
            return Ok(Started::Waits);
        }
        let joining = self.shared_by(spawn, &prepared);
        let files = self.file_environment(spawn)?;
        let handed = self.hand_over(spawn, &prepared, &joining)?;
        let plan = self.bind(spawn, &prepared, (&handed, &joining, files))?;
        self.bound_group(unit)?;
        self.watch_memory(unit, spawn.process.incarnation.0);
        self.delegate_group(unit, spawn.process.incarnation.0)?;
        self.ask_keeper(spawn, &prepared, plan, (handed, joining.told != 0))
            .map_err(|error| self.internal(unit, "ask for a process", &error))?;
        Ok(Started::Asked)
    }

    /// Was the keeper asked for it by us, and has not told how that went?
    fn is_asked(&mut self, process: ProcessKey) -> bool {
        let run = self.run_mut(process.unit, process.incarnation);
        let known = run.and_then(|run| run.process(process.serial));
        known.is_some_and(|known| known.report.is_some())
    }

    /// Makes what a new run has: its number, its user, its notification socket.
    fn begin_run(&mut self, process: ProcessKey, prepared: &Prepared) -> Result<(), Failure> {
        let (unit, incarnation) = (process.unit, process.incarnation.0);
        let Some(entry) = self.units.get_mut(&unit) else {
            return Ok(());
        };
        if entry.run(incarnation).is_some() {
            return Ok(());
        }
        entry.last = None;
        let inherits_notify = entry.runs.iter().any(|run| run.notify.is_some());
        self.place_group(unit)?;
        // Once for all commands of the run: what is counted goes on, and what the host no longer has is no reason not to stop.
        self.filter_group(unit)?;
        let Some(entry) = self.units.get_mut(&unit) else {
            return Ok(());
        };
        let asked = Rc::clone(&entry.unit);
        let user = self.resolve_user(unit)?;
        self.provide_host_files(&asked)
            .map_err(|error| self.internal(unit, "copy the host's files for it", &error))?;
        let owner = user.as_ref().map_or((0, 0), |user| (user.uid, user.gid));
        let notify = self
            .open_notify(unit, incarnation, owner)
            .map_err(|error| self.internal(unit, "make its notification socket", &error))?;
        let mut run = Run {
            incarnation,
            user,
            notify,
            inherits_notify,
            root: crate::image::root(&asked).map(str::to_owned),
            images: {
                let wishes = prepared.plan.images().iter();
                let keys = wishes.map(|wish| crate::image::image_key(process, wish));
                keys.filter(|key| !key.starts_with('/')).collect()
            },
            trigger: self.trigger_environment(unit),
            ..Run::default()
        };
        if let Err(errno) =
            rustix::rand::getrandom(&mut run.invocation, rustix::rand::GetRandomFlags::empty())
        {
            return Err(self.internal(unit, "make an invocation id", &errno.into()));
        }
        if let Some(entry) = self.units.get_mut(&unit) {
            run.cgroup = self
                .cgroups
                .as_ref()
                .map(|cgroups| cgroups.path(entry.name.as_str(), incarnation));
            entry.runs.push(run);
        }
        self.renew_sets(unit);
        Ok(())
    }

    /// What waits has its group already: else that of the unit would go with the run before, and what restricts it with that.
    pub(crate) fn keep_group(&self, unit: UnitId, incarnation: u64) -> Result<(), Failure> {
        let Some(cgroups) = &self.cgroups else {
            return Ok(());
        };
        let made = cgroups.make(&self.name_of(unit), incarnation).map(drop);
        made.map_err(|error| self.internal(unit, "make a control group", &error))
    }

    /// The bytes of the plan for this start.
    fn bind(
        &self,
        spawn: &Spawn,
        prepared: &Prepared,
        (handed, joining, file_environment): (&Handed, &Joining, Vec<String>),
    ) -> Result<Vec<u8>, Failure> {
        let unit = spawn.process.unit;
        let internal = |what: &str| Failure::Internal {
            message: format!("{what} of {unit:?} is not there"),
        };
        let entry = self.units.get(&unit).ok_or_else(|| internal("the entry"))?;
        let run = entry
            .runs
            .iter()
            .find(|run| run.incarnation == spawn.process.incarnation.0)
            .ok_or_else(|| internal("the run"))?;
        let commands = commands(&entry.unit, spawn.role);
        let command = commands
            .get(usize::from(spawn.index))
            .ok_or_else(|| internal("the command"))?;
        let user = run.user.clone().unwrap_or_default();
        let bindings = Bindings {
            uid: user.uid,
            gid: user.gid,
            groups: user.groups.clone(),
            user: run.user.as_ref().map(plan_user),
            invocation: run.invocation,
            temporary: run.temporary,
            joined: joining.joined,
            told: joining.told,
            descriptors: handed.passed.clone(),
            beside: spawn.role != Role::Main,
            command: Some(command),
            manager_environment: self
                .environment
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            file_environment,
            start_environment: [
                crate::environment::passed(&entry.unit, self.keeper.pid).map_err(|error| {
                    Failure::Refused {
                        unit: entry.name.to_string(),
                        directive: "PassEnvironment".into(),
                        message: format!(
                            "the variables that the instance was started with can't be read: {error}"
                        ),
                    }
                })?,
                start_environment(spawn, run),
                watchdog_environment(spawn.role, &entry.unit),
                run.trigger.clone(),
                credentials_environment(spawn.role, &prepared.plan),
                self.monitored(unit),
                self.remote_environment(unit),
                self.pressure_environment(spawn.process),
            ]
            .concat(),
            credentials: self.credentials_of(spawn, entry)?,
            marks: self.marks_for(entry),
            missing_images: self.missing_images(spawn.process, prepared),
        };
        prepared
            .plan
            .bind(&bindings)
            .map_err(|error| Failure::Refused {
                unit: entry.name.to_string(),
                directive: exec_directive(spawn.role).into(),
                message: error.to_string(),
            })
    }

    fn credentials_of(
        &self,
        spawn: &Spawn,
        entry: &crate::entry::Entry,
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let Some((found, _)) = self.aside.fetches.read.get(&spawn.process) else {
            return Ok(Vec::new());
        };
        found.clone().map_err(|wrong| Failure::Refused {
            unit: entry.name.to_string(),
            directive: wrong.directive.into(),
            message: wrong.message,
        })
    }

    /// Variables about the unit whose end started this one by its OnFailure= or OnSuccess=.
    fn monitored(&self, unit: UnitId) -> Vec<String> {
        let chain = self.engine.cause(unit);
        let followed = chain.links().iter().find_map(|cause| match cause {
            Cause::Followed {
                unit,
                relation: Relation::OnFailure | Relation::OnSuccess,
            } => Some(Arc::clone(unit)),
            _ => None,
        });
        let Some(name) = followed else {
            return Vec::new();
        };
        let mut variables = vec![format!("MONITOR_UNIT={name}")];
        let ended = self.engine.id(&name);
        if let Some(snapshot) = ended.and_then(|ended| self.engine.snapshot(ended)) {
            let result = match &snapshot.state {
                engine::State::Failed { result, .. } => *result,
                _ => snapshot.last_result,
            };
            variables.push(format!("MONITOR_SERVICE_RESULT={}", result.name()));
            variables.extend(ending("MONITOR_", snapshot.main_status));
        }
        let last = ended.and_then(|ended| self.units.get(&ended)?.last.as_ref());
        let invocation = last.and_then(|last| last.invocation());
        variables.extend(invocation.map(|id| format!("MONITOR_INVOCATION_ID={id}")));
        variables
    }

    fn ask_keeper(
        &mut self,
        spawn: &Spawn,
        prepared: &Prepared,
        plan: Vec<u8>,
        (handed, tells): (Handed, bool),
    ) -> std::io::Result<()> {
        let process = spawn.process;
        let Some(child) = self.child_key(process) else {
            return Ok(());
        };
        let name = self.name_of(process.unit);
        let plan = kernel::memory::sealed_file(c"plan", &plan)?;
        let (ours, theirs) = report_pair(prepared.plan.has_stub())?;
        let cgroup = self.birthplace(process, spawn.role)?;
        let report = self.watch_report(process, Rc::clone(&ours))?;
        self.link.spawn(NewProcess {
            key: child,
            role: role_number(spawn.role),
            label: name,
            new_pid_namespace: prepared.plan.pid_namespace(),
            plan,
            cgroup,
            report: theirs,
            child: handed.descriptors,
            kept: ours,
        });
        if let Some(run) = self.run_mut(process.unit, process.incarnation) {
            let mut asked = RunProcess::asked(process, spawn.role, spawn.index);
            asked.report = Some(report);
            asked.tells = tells;
            run.known_empty = false;
            // Of those that asked before the last is enough.
            (run.processes).retain(|known| known.role != Role::Health || known.ended.is_none());
            run.processes.retain(|known| known.serial != process.serial);
            run.processes.push(asked);
        }
        Ok(())
    }

    /// Listens to what an executor reports.
    pub(crate) fn watch_report(
        &mut self,
        process: ProcessKey,
        socket: Rc<OwnedFd>,
    ) -> Result<u32, kernel::Errno> {
        let number = self.poll.number();
        self.poll.watch(&*socket, Token::Report(number))?;
        self.reports.insert(number, OpenReport { process, socket });
        Ok(number)
    }

    /// A failure that is none of the unit's.
    pub(crate) fn internal(&self, unit: UnitId, action: &str, error: &std::io::Error) -> Failure {
        let name = self.name_of(unit);
        Failure::Internal {
            message: format!("cannot {action} for {name}: {error}"),
        }
    }
}

/// What became of a wish for a process.
enum Started {
    /// The keeper is asked.
    Asked,
    /// An image is being mounted first, a number put into the firewall's sets, or a socket asked.
    Waits,
}

/// A pair of sockets for an executor's report, ours first.
pub(crate) fn report_pair(names_senders: bool) -> Result<(Rc<OwnedFd>, OwnedFd), kernel::Errno> {
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    if names_senders {
        kernel::socket::set_pass_credentials(&ours, true)?;
    }
    Ok((Rc::new(ours), theirs))
}

/// The commands of a role.
pub(crate) fn commands(unit: &Unit, role: Role) -> ExecCommands {
    let of = |key: &Key<ExecCommands>| unit.get(key).cloned().unwrap_or_default();
    if unit.kind() == UnitKind::Socket {
        return match role {
            Role::StartPre => of(&key::SOCKET_EXEC_START_PRE),
            Role::StartPost => of(&key::SOCKET_EXEC_START_POST),
            Role::Stop => of(&key::EXEC_STOP_PRE),
            Role::StopPost => of(&key::SOCKET_EXEC_STOP_POST),
            Role::Condition | Role::Main | Role::Reload | Role::ReloadPost | Role::Health => {
                ExecCommands::default()
            }
        };
    }
    if matches!(unit.kind(), UnitKind::Mount | UnitKind::Swap) {
        return match role {
            Role::StartPre => mount::preparation(unit),
            Role::Main => mount::commands(unit, Change::Make),
            Role::Reload => mount::commands(unit, Change::Remake),
            Role::Stop => mount::commands(unit, Change::TakeOut),
            Role::Condition
            | Role::StartPost
            | Role::ReloadPost
            | Role::StopPost
            | Role::Health => ExecCommands::default(),
        };
    }
    match role {
        Role::Condition => of(&key::EXEC_CONDITION),
        Role::StartPre => of(&key::SERVICE_EXEC_START_PRE),
        Role::Main => of(&key::EXEC_START),
        Role::StartPost => of(&key::SERVICE_EXEC_START_POST),
        Role::Reload => of(&key::EXEC_RELOAD),
        Role::ReloadPost => of(&key::EXEC_RELOAD_POST),
        Role::Health => of(&key::HEALTH_COMMAND),
        Role::Stop => of(&key::EXEC_STOP),
        Role::StopPost => of(&key::SERVICE_EXEC_STOP_POST),
    }
}

/// The command of a process, as a list of words.
pub(crate) fn argv(unit: &Unit, role: Role, index: u16) -> Vec<String> {
    commands(unit, role)
        .get(usize::from(index))
        .map(|command: &ExecCommand| command.argv.clone())
        .unwrap_or_default()
}

pub(crate) fn exec_directive(role: Role) -> &'static str {
    match role {
        Role::Condition => "ExecCondition",
        Role::StartPre => "ExecStartPre",
        Role::Main => "ExecStart",
        Role::StartPost => "ExecStartPost",
        Role::Reload => "ExecReload",
        Role::ReloadPost => "ExecReloadPost",
        Role::Health => "HealthCommand",
        Role::Stop => "ExecStop",
        Role::StopPost => "ExecStopPost",
    }
}

fn plan_user(user: &RunUser) -> plan::User {
    plan::User {
        name: user.name.clone(),
        home: user.home.clone(),
        shell: user.shell.clone(),
        group: user.group.clone(),
    }
}

/// Variables that say what is going on: the main process, and how it ended.
fn start_environment(spawn: &Spawn, run: &Run) -> Vec<String> {
    let mut variables = Vec::new();
    if spawn.role != Role::Main
        && let Some(main) = run
            .processes
            .iter()
            .rev()
            .find(|one| one.role == Role::Main && one.ended.is_none())
        && let Some(pid) = main.visible_pid()
    {
        variables.push(format!("MAINPID={pid}"));
    }
    if let Some(result) = spawn.result {
        variables.push(format!("SERVICE_RESULT={}", result.name()));
    }
    variables.extend(ending("", spawn.main_status));
    variables
}

/// How often the main process must say that it is alive; the executor adds its number (sd_watchdog_enabled(3)).
fn watchdog_environment(role: Role, unit: &Unit) -> Vec<String> {
    let span = crate::notify::watchdog_us(unit).filter(|_| role == Role::Main);
    let line = span.map(|us| format!("WATCHDOG_USEC={us}"));
    line.into_iter().collect()
}

/// What stops a service is not told of its credentials, as the reference has it.
fn credentials_environment(role: Role, plan: &SpawnPlan) -> Vec<String> {
    let directory = match role {
        Role::Stop | Role::StopPost => None,
        Role::Condition
        | Role::StartPre
        | Role::Main
        | Role::StartPost
        | Role::Reload
        | Role::ReloadPost
        | Role::Health => plan.credentials_directory(),
    };
    let line = directory.map(|path| format!("CREDENTIALS_DIRECTORY={path}"));
    line.into_iter().collect()
}

/// How a main process ended, as variables; nothing where nobody knows.
fn ending(prefix: &str, status: Option<ExitStatus>) -> Vec<String> {
    let (code, status) = match status {
        Some(ExitStatus::Exited(status)) => ("exited", status.to_string()),
        Some(ExitStatus::Killed(signal)) => ("killed", crate::signals::short_name(signal.0)),
        Some(ExitStatus::Dumped(signal)) => ("dumped", crate::signals::short_name(signal.0)),
        Some(ExitStatus::Unknown) | None => return Vec::new(),
    };
    vec![
        format!("{prefix}EXIT_CODE={code}"),
        format!("{prefix}EXIT_STATUS={status}"),
    ]
}
