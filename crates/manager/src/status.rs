//! What the manager knows of a unit, for clients.

use crate::clock::as_realtime_us;
use crate::entry::Entry;
use crate::manager::Manager;
use crate::pattern;
use crate::release::commands_of;
use crate::run::{Run, role_name};
use engine::{Main, Relation, State, UnitId};
use model::{UnitKind, key};
use std::borrow::Cow;
use wire::listing::{Listed, UnitLine};
use wire::{
    CatReply, Failure, HealthStatus, ImageStatus, JobSummary, ListJobsReply, ListUnitsRequest,
    Listening, Process, SandboxStatus, ServiceStatus, Setting, StatusReply, TimerStatus, UnitFile,
    UnitStatus,
};

/// Bytes of a unit in the list, as most are.
const LINE_BYTES: usize = 192;
/// Processes listed of one unit.
const PROCESSES_MAX: usize = 1000;
/// Bytes of a command line that is shown.
const COMMAND_BYTES_MAX: u64 = 4096;

impl Manager {
    /// The units that names and patterns mean, each once, loaded where they are named in full.
    pub(crate) fn select(&mut self, names: &[String]) -> Result<Vec<UnitId>, Failure> {
        self.select_for(names, true)
    }

    /// The same, where a name in full must be that of a unit that is there.
    pub(crate) fn select_existing(&mut self, names: &[String]) -> Result<Vec<UnitId>, Failure> {
        let found = self.select(names)?;
        let missing = found.iter().find_map(|id| {
            let entry = self.units.get(id)?;
            let named = names
                .iter()
                .any(|name| pattern::full_name(name) == entry.name.as_str());
            (named && entry.origin.load == crate::entry::LoadState::NotFound)
                .then(|| entry.name.to_string())
        });
        let Some(unit) = missing else {
            return Ok(found);
        };
        self.forget_missing(names);
        Err(Failure::NoSuchUnit { unit })
    }

    /// The same for anybody: who is not root makes the manager read no files and remember no names.
    pub(crate) fn select_for(
        &mut self,
        names: &[String],
        loads: bool,
    ) -> Result<Vec<UnitId>, Failure> {
        let mut found = Vec::new();
        for name in names {
            if pattern::is_pattern(name) {
                found.extend(
                    self.sorted()
                        .filter(|entry| pattern::matches(name, entry.name.as_str()))
                        .map(|entry| entry.id),
                );
            } else if loads {
                found.push(self.find_or_load(name)?);
            } else {
                let known = self.find(name)?;
                found.push(known.ok_or_else(|| Failure::NoSuchUnit {
                    unit: pattern::full_name(name),
                })?);
            }
        }
        if names.is_empty() {
            found.extend(self.sorted().map(|entry| entry.id));
        }
        let mut seen = model::sorted::Set::new();
        found.retain(|id| seen.insert(*id));
        Ok(found)
    }

    /// The units in memory by name, without those that are only named by others and not there.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = &Entry> {
        let by_name = self.engine.units();
        by_name.filter_map(|id| Some(&**self.units.get(&id)?))
    }

    pub(crate) fn status(&mut self, names: &[String], all: bool) -> Result<StatusReply, Failure> {
        let ids = self.select_for(names, all)?;
        let mut units: Vec<UnitStatus> = ids
            .into_iter()
            .filter_map(|id| self.status_of(id, all))
            .collect();
        if !all {
            units.iter_mut().for_each(redact);
        }
        self.forget_missing(names);
        Ok(StatusReply { units })
    }

    /// Units that were only asked for and are not there need no place in memory.
    pub(crate) fn forget_missing(&mut self, names: &[String]) {
        for name in names {
            if let Ok(Some(id)) = self.find(name)
                && self
                    .units
                    .get(&id)
                    .is_some_and(|entry| entry.origin.load == crate::entry::LoadState::NotFound)
            {
                self.inputs.push_back(engine::Input::Forget(id));
            }
        }
        self.advance();
    }

    /// Everything about one unit; the words of a command only for `all`.
    pub(crate) fn status_of(&self, id: UnitId, all: bool) -> Option<UnitStatus> {
        let entry = self.units.get(&id)?;
        let state = self.engine.state(id)?;
        let snapshot = self.engine.snapshot(id)?;
        let (stamps, unit, kind) = (snapshot.stamps, &entry.unit, entry.name.kind());
        let run = entry.current_run();
        let cgroup = self.group_of(entry);
        let used = self.used_by(entry);
        let storage = self.storage_of(entry);
        let (failed, runs) = (matches!(state, State::Failed { .. }), run.is_some());
        Some(UnitStatus {
            name: entry.name.to_string(),
            aliases: entry.origin.aliases.clone(),
            description: description(entry, all).into_owned(),
            documentation: documentation(unit),
            load: entry.origin.load.name().into(),
            diagnostics: entry.origin.diagnostics.clone(),
            active: state.active().name().into(),
            sub: state.sub().name().into(),
            result: result_of(state, snapshot.last_result).into(),
            fragment: entry
                .origin
                .fragment
                .as_ref()
                .map(|path| path.to_string_lossy().into_owned()),
            drop_ins: entry
                .origin
                .drop_ins
                .iter()
                .map(|path| path.to_string_lossy().into_owned())
                .collect(),
            transient: entry.transient.is_some(),
            needs_reload: self.needs_reload(entry),
            job: self.job_of(entry),
            causes: crate::causes::sentences(&self.engine.cause(id)),
            since_realtime_us: as_realtime_us(stamps.change),
            inactive_exit_realtime_us: as_realtime_us(stamps.inactive_exit),
            active_enter_realtime_us: as_realtime_us(stamps.active_enter),
            active_exit_realtime_us: as_realtime_us(stamps.active_exit),
            inactive_enter_realtime_us: as_realtime_us(stamps.inactive_enter),
            failed_condition: (entry.unmet.as_deref().map(str::to_owned))
                .filter(|_| !runs && !failed),
            triggers: self.related(id, Relation::Triggers, false),
            triggered_by: self.related(id, Relation::Triggers, true),
            service: (kind == UnitKind::Service)
                .then(|| self.service_status(entry, state, snapshot.restarts)),
            socket: (kind == UnitKind::Socket).then(|| self.socket_status(entry)),
            timer: (kind == UnitKind::Timer).then(|| timer_status(state)),
            path: (kind == UnitKind::Path).then(|| crate::triggered::path_status(entry, state)),
            automount: (kind == UnitKind::Automount).then(|| self.automount_status(entry)),
            sandbox: self.sandbox_status(entry),
            image: self.image_status(entry),
            processes: cgroup
                .as_deref()
                .map(|path| self.processes_in(path))
                .unwrap_or_default(),
            tasks: used.tasks,
            memory_bytes: used.memory_bytes,
            memory_peak_bytes: used.memory_peak_bytes,
            memory_swap_bytes: used.memory_swap_bytes,
            io: used.io,
            freezer: used.freezer,
            slice: model::slice::of(unit).map(|slice| slice.to_string()),
            cpu_ns: cgroup
                .as_deref()
                .and_then(|path| self.cgroups.as_ref()?.cpu_ns(path))
                .or(entry.last.as_ref().and_then(|last| last.cpu_ns())),
            traffic: cgroup.as_deref().and_then(|path| self.traffic_of(path)),
            storage,
            cgroup,
        })
    }

    /// The path of the group of a unit's run, or of a slice, where it has one.
    fn group_of(&self, entry: &Entry) -> Option<String> {
        if let Some(run) = entry.current_run() {
            return run.cgroup.clone();
        }
        let cgroups = self.cgroups.as_ref()?;
        if entry.name.kind() != UnitKind::Slice {
            return None;
        }
        cgroups.whole(entry)?;
        let group = model::slice::group(&entry.name);
        Some(match group.as_str() {
            "" => cgroups.root(),
            group => format!("{}/{group}", cgroups.root()),
        })
    }

    fn service_status(&self, entry: &Entry, state: &State, restarts: u32) -> ServiceStatus {
        let run = entry.current_run();
        let serials = match state {
            State::Service(service) => (
                main_serial(&service.main),
                service.control.map(|control| control.serial),
            ),
            _ => (None, None),
        };
        let last = entry.last.as_deref();
        let control = process(run, serials.1);
        let user = run.and_then(|run| run.user.as_ref());
        let deadline = state.end().and_then(as_realtime_us);
        ServiceStatus {
            kind: crate::show::service_type(&entry.unit),
            main_pid: process(run, serials.0).and_then(crate::run::RunProcess::visible_pid),
            control_pid: control.and_then(crate::run::RunProcess::visible_pid),
            control_step: control.map(|control| role_name(control.role).into()),
            status_text: last.and_then(|last| last.status_text.clone()),
            status_errno: last.and_then(|last| i32::try_from(last.status_errno?).ok()),
            invocation_id: run
                .map(Run::invocation_text)
                .or_else(|| last?.invocation().map(str::to_owned))
                .filter(|id| !id.is_empty()),
            restarts,
            exit: self.exit_of(entry.id),
            commands: run
                .map(Run::record)
                .or_else(|| last?.run.clone())
                .map(|run| commands_of(&entry.unit, &run))
                .unwrap_or_default(),
            user: user.map(|user| user.name.clone()),
            uid: user.map(|user| user.uid),
            gid: user.map(|user| user.gid),
            stored_descriptors: 0,
            deadline_realtime_us: deadline,
            health: health_status(state, last),
            beside: self.beside_status(entry),
        }
    }

    fn sandbox_status(&self, entry: &Entry) -> Option<SandboxStatus> {
        let unit = &entry.unit;
        let settings = unit.iter().map(|(directive, _)| directive);
        let restricting: Vec<_> = settings
            .filter(|directive| settings::row(*directive).is_sandboxing())
            .filter(|directive| !is_off(unit, *directive))
            .collect();
        let (reduced, unenforced) = (self.reductions_of(entry), crate::planning::unenforced(unit));
        if restricting.is_empty() && reduced.is_empty() {
            return None;
        }
        let weak = |name: &str| {
            reduced
                .iter()
                .chain(&unenforced)
                .any(|one| one.directive == name)
        };
        let applied = restricting
            .into_iter()
            .filter(|directive| !weak(directive.name()));
        let applied = applied.map(|directive| Setting {
            directive: directive.name().into(),
            value: crate::show::printed(unit, directive),
        });
        Some(SandboxStatus {
            applied: applied.collect(),
            reduced,
            unenforced,
            allow_unenforced: entry.allow_unenforced,
        })
    }

    fn image_status(&self, entry: &Entry) -> Option<ImageStatus> {
        let image = entry.unit.get(&key::ROOT_IMAGE);
        let running = entry.current_run().and_then(|run| run.root.as_deref());
        let path = running.or_else(|| crate::image::root(&entry.unit))?;
        let path = path.to_owned();
        let mounted = match entry.current_run() {
            Some(run) => self.mounts.root(run.image_keys()),
            None => self.mounts.root([path.as_str()].into_iter()),
        };
        Some(ImageStatus {
            is_image: image.is_some(),
            mounted: mounted.is_some(),
            integrity: mounted.and_then(|mounted| mounted.integrity.clone()),
            portable: entry
                .origin
                .portable
                .as_deref()
                .and_then(|name| crate::portable::record(&self.directories, name)),
            path,
        })
    }

    /// The names of the units at one end of a relation, sorted.
    fn related(&self, id: UnitId, relation: Relation, named_by: bool) -> Vec<String> {
        let others = self.engine.relations(id, relation, named_by);
        let name = |other| self.engine.unit_name(other).map(str::to_owned);
        let mut names: Vec<String> = others.into_iter().filter_map(name).collect();
        model::order::sort(&mut names);
        names
    }

    fn processes_in(&self, path: &str) -> Vec<Process> {
        let Some(cgroups) = &self.cgroups else {
            return Vec::new();
        };
        cgroups
            .processes(path)
            .into_iter()
            .take(PROCESSES_MAX)
            .map(|pid| Process {
                pid,
                command: command_line(pid),
                group: String::new(),
            })
            .collect()
    }

    pub(crate) fn job_of(&self, entry: &Entry) -> Option<JobSummary> {
        let job = self.engine.job(entry.id)?;
        let state = if job.running { "running" } else { "waiting" };
        let kind = job.kind.name();
        let cause = crate::causes::sentences(&engine::Chain::from_links(&job.cause))
            .into_iter()
            .next();
        Some(JobSummary {
            id: u64::from(job.id.0),
            unit: entry.name.to_string(),
            kind: kind.into(),
            state: state.into(),
            cause,
            waits_for: Vec::new(),
        })
    }

    /// The unit's job, with those that come first.
    pub(crate) fn job_in_order(&self, entry: &Entry) -> Option<JobSummary> {
        let before = self.engine.waits_for(entry.id).into_iter();
        let before = before.filter_map(|unit| self.engine.job(unit));
        Some(JobSummary {
            waits_for: before.map(|job| u64::from(job.id.0)).collect(),
            ..self.job_of(entry)?
        })
    }

    pub(crate) fn list_jobs(&self, names: &[String]) -> ListJobsReply {
        let wanted = |entry: &&Entry| {
            names.is_empty()
                || names
                    .iter()
                    .any(|name| pattern::means(name, entry.name.as_str()))
        };
        let mut jobs: Vec<JobSummary> = self
            .sorted()
            .filter(wanted)
            .filter_map(|entry| self.job_in_order(entry))
            .collect();
        model::order::sort_by_key(&mut jobs, |job| job.id);
        ListJobsReply { jobs }
    }

    /// The list of units as an answer, its final NUL included; none where it can't be said in JSON.
    pub(crate) fn list_units(&self, input: &ListUnitsRequest, all: bool) -> Option<Vec<u8>> {
        let others = self.mounts_without_units(input);
        let lines = || {
            let wanted = self.sorted().filter(|entry| self.is_listed(entry, input));
            let known = wanted.filter_map(|entry| self.line(entry, all));
            crate::listed_mounts::merged(known, others.iter().cloned())
        };
        let units = wire::listing::Each(lines);
        let mut bytes = Vec::with_capacity(self.units.len() * LINE_BYTES);
        wire::request::write_reply(&mut bytes, &Listed { units }, false).ok()?;
        Some(bytes)
    }

    /// Is the unit one of those that a list is to have?
    fn is_listed(&self, entry: &Entry, input: &ListUnitsRequest) -> bool {
        let Some(state) = self.engine.state(entry.id) else {
            return false;
        };
        let active = state.active().name();
        let states = [active, state.sub().name(), entry.origin.load.name()];
        let is_shown = input.all
            || !input.states.is_empty()
            || active != "inactive"
            || self.engine.job(entry.id).is_some();
        is_shown
            && crate::listed_mounts::is_meant(
                input,
                entry.name.as_str(),
                entry.name.kind(),
                &states,
            )
    }

    fn line<'a>(&'a self, entry: &'a Entry, all: bool) -> Option<UnitLine<'a>> {
        let state = self.engine.state(entry.id)?;
        let main = match state {
            State::Service(service) => main_serial(&service.main),
            _ => None,
        };
        let listen = if entry.name.kind() == UnitKind::Socket {
            listening(entry)
        } else {
            Vec::new()
        };
        Some(UnitLine {
            name: entry.name.as_str().into(),
            description: description(entry, all),
            load: entry.origin.load.name().into(),
            active: state.active().name().into(),
            sub: state.sub().name().into(),
            job: self.job_of(entry),
            main_pid: process(entry.current_run(), main)
                .and_then(crate::run::RunProcess::visible_pid),
            listen: listen.into_iter().map(|one| one.address).collect(),
            triggers: self.related(entry.id, Relation::Triggers, false),
        })
    }

    /// The texts of units as they are on disk; of one made at run time, as a file would have it.
    pub(crate) fn cat(&mut self, names: &[String]) -> Result<CatReply, Failure> {
        let mut files = Vec::new();
        for id in self.select_existing(names)? {
            let Some(entry) = self.units.get(&id) else {
                continue;
            };
            let unit = entry.name.to_string();
            if entry.transient.is_some() {
                files.push(UnitFile {
                    unit,
                    path: String::new(),
                    text: crate::transient::print(entry),
                });
                continue;
            }
            for path in entry.origin.fragment.iter().chain(&entry.origin.drop_ins) {
                let text = crate::loading::read_text(path).map_err(|error| Failure::BadUnit {
                    unit: unit.clone(),
                    message: format!("{} can't be read: {error}", path.display()),
                })?;
                files.push(UnitFile {
                    unit: unit.clone(),
                    path: path.to_string_lossy().into_owned(),
                    text,
                });
            }
        }
        Ok(CatReply { files })
    }
}

/// What only root may see goes.
fn redact(unit: &mut UnitStatus) {
    unit.processes
        .iter_mut()
        .for_each(|process| process.command.clear());
    unit.diagnostics.clear();
    if let Some(service) = &mut unit.service {
        service.commands.clear();
        service.status_text = None;
        if let Some(health) = &mut service.health {
            health.line = None;
        }
    }
    if let Some(image) = &mut unit.image {
        image.portable = None;
    }
}

/// What a unit says of itself. The command of one made at run time says more than everybody may see.
pub(crate) fn description(entry: &Entry, all: bool) -> Cow<'_, str> {
    let given = entry
        .unit
        .get(&key::DESCRIPTION)
        .filter(|text| !text.is_empty());
    let transient = || {
        let command = &entry.transient.as_ref()?.record.command;
        Some(format!("[run] {}", command.join(" "))).filter(|_| all && !command.is_empty())
    };
    let place = || model::mount::place(&entry.unit).map(Cow::Owned);
    match given {
        Some(text) => Cow::Borrowed(text.as_str()),
        None => transient()
            .map(Cow::Owned)
            .or_else(place)
            .unwrap_or(Cow::Borrowed(entry.name.as_str())),
    }
}

pub(crate) fn result_of(state: &State, last: engine::UnitResult) -> &'static str {
    match state {
        State::Failed { result, .. } | State::AutoRestart { result, .. } => result.name(),
        State::Service(run) => run.result.name(),
        State::Socket(run) => run.result.name(),
        State::Dead
        | State::Cleaning(_)
        | State::Reached { .. }
        | State::Plugged { .. }
        | State::Timer(_)
        | State::Path(_) => last.name(),
        State::Automount(run) => run.result.name(),
    }
}

pub(crate) fn main_serial(main: &Main) -> Option<u32> {
    match main {
        Main::Process(process) => Some(process.serial),
        Main::None | Main::Ended(_) => None,
    }
}

/// What the probes of a service say; nothing where it is not asked.
fn health_status(state: &State, last: Option<&crate::entry::Last>) -> Option<HealthStatus> {
    let State::Service(run) = state else {
        return None;
    };
    let health = run.health.as_ref()?;
    Some(HealthStatus {
        state: health.health.name().into(),
        since_realtime_us: as_realtime_us(health.since),
        failures: health.failures,
        line: last.and_then(|last| last.health_line.clone()),
    })
}

fn documentation(unit: &model::Unit) -> Vec<String> {
    let words = unit.get(&key::DOCUMENTATION).into_iter();
    words
        .flat_map(|words| words.iter().map(ToString::to_string))
        .collect()
}

fn process(run: Option<&Run>, serial: Option<u32>) -> Option<&crate::run::RunProcess> {
    let (run, serial) = (run?, serial?);
    run.processes
        .iter()
        .find(|process| process.serial == serial)
}

pub(crate) fn timer_status(state: &State) -> TimerStatus {
    let State::Timer(run) = state else {
        return TimerStatus::default();
    };
    let next = run.next.unwrap_or_default();
    let by_span = next.monotonic.and_then(as_realtime_us);
    TimerStatus {
        next_realtime_us: next.realtime_us,
        next_monotonic_us: next.monotonic.map(|at| at.0),
        next_us: next.realtime_us.into_iter().chain(by_span).min(),
        last_realtime_us: run.last_trigger.map(|last| last.realtime_us),
        last_monotonic_us: run
            .last_trigger
            .and_then(|last| last.monotonic)
            .map(|at| at.0),
    }
}

/// What a socket unit listens on.
pub(crate) fn listening(entry: &Entry) -> Vec<Listening> {
    let unit = &entry.unit;
    let open = !entry.sockets.is_empty();
    let listens = unit.listens().into_iter().map(|one| Listening {
        kind: one.directive().name().trim_start_matches("Listen").into(),
        address: one.address(),
        open,
    });
    listens.collect()
}

/// Does a directive say what holds without it? The empty list is something that is said.
fn is_off(unit: &model::Unit, directive: model::Directive) -> bool {
    let said = settings::print(unit, directive).join(" ");
    !said.is_empty() && said == settings::row(directive).default_text
}

fn command_line(pid: u32) -> String {
    let words = crate::beginning::text(format!("/proc/{pid}/cmdline"), COMMAND_BYTES_MAX);
    let text = words
        .unwrap_or_default()
        .trim_end_matches('\0')
        .replace('\0', " ");
    if !text.is_empty() {
        return text;
    }
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("[{}]", name.trim_end())
}
