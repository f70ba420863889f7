//! `status`: everything about a unit on one screen: state, processes, sandbox, image, grants, last log lines.

use anyhow::Result;
use clap::Args;
use wire::methods::{Describe, Status as StatusMethod};
use wire::{ClientError, Done, Failure, NamesRequest, Storage, UnitStatus};

use super::relations::bullet;
use crate::clock;
use crate::context::Context;
use crate::terminal::{Paint, one_line, say, say_json};
use crate::verbs::Run;

/// The exit statuses of systemctl (LSB init scripts): not running, and no such unit.
const NOT_RUNNING: u8 = 3;
const NO_SUCH_UNIT: u8 = 4;

/// Options of `status`.
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Units, patterns or portables; none: the manager itself
    #[arg(value_name = "UNIT")]
    names: Vec<String>,
    /// How many of the last log lines to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    lines: usize,
    /// Taken, as systemctl has it: there is no pager
    #[arg(long = "no-pager", hide = true)]
    _no_pager: bool,
    /// Taken, as systemctl has it: nothing is cut
    #[arg(short = 'l', long = "full", hide = true)]
    _full: bool,
}

impl Run for Status {
    fn run(self, context: &Context) -> Result<u8> {
        if self.names.is_empty() {
            return overview(context);
        }
        let names = crate::portable::units_of(context, &self.names)?;
        let asked = context
            .connect()?
            .call(StatusMethod, &NamesRequest { names });
        let reply = match asked {
            // Who is not root is told of units in memory alone, and of others by this failure.
            Err(ClientError::Failure(failure @ Failure::NoSuchUnit { .. })) => {
                crate::failure::tell_failure(context, failure);
                return Ok(NO_SUCH_UNIT);
            }
            asked => asked?,
        };
        if context.globals.json {
            say_json(&reply.units)?;
            return Ok(exit_status(&reply.units));
        }
        if reply.units.is_empty() {
            context.narrate("no unit in memory has such a name");
        }
        for (index, unit) in reply.units.iter().enumerate() {
            if index > 0 {
                say("");
            }
            print(context, unit)?;
            let since_us = crate::portable::owner_of(context, &unit.name)?
                .and_then(|portable| crate::portable::show::since_us(&portable));
            super::logs::tail(context, &unit.name, self.lines, since_us)?;
        }
        Ok(exit_status(&reply.units))
    }
}

fn exit_status(units: &[UnitStatus]) -> u8 {
    let one = |unit: &UnitStatus| match (unit.load.as_str(), unit.active.as_str()) {
        ("not-found", _) => NO_SUCH_UNIT,
        (_, "inactive" | "failed") => NOT_RUNNING,
        _ => 0,
    };
    let mut statuses = units.iter().map(one);
    if units.is_empty() {
        return NO_SUCH_UNIT;
    }
    statuses.find(|status| *status != 0).unwrap_or(0)
}

/// The manager's own state.
///
/// # Errors
/// When the manager can't be reached.
pub(crate) fn overview(context: &Context) -> Result<u8> {
    let Some(mut client) = context.connect_if_running()? else {
        say("coracle does not run here yet; the first `coracle start` or `coracle run` starts it");
        return Ok(NOT_RUNNING);
    };
    let server = client.call(Describe, &Done {})?;
    if context.globals.json {
        say_json(&server)?;
        return Ok(0);
    }
    say(&format!(
        "{} coracle {} · {}",
        bullet(if server.failed > 0 {
            "failed"
        } else {
            "active"
        }),
        server.version,
        server.state
    ));
    field("Position", &server.position);
    field("Keeper", &server.keeper_pid.to_string());
    field(
        "Manager",
        &match server.restarts {
            0 => server.pid.to_string(),
            1 => format!("{} (started again once)", server.pid),
            times => format!("{} (started again {times} times)", server.pid),
        },
    );
    field(
        "Units",
        &format!(
            "{} loaded, {} failed, {} jobs",
            server.units, server.failed, server.jobs
        ),
    );
    field(
        "CGroup",
        &server
            .cgroup
            .unwrap_or_else(|| "none: processes are not tracked by control groups".to_owned()),
    );
    field("Runtime", &server.runtime_dir);
    field("State", &server.state_dir);
    field("Config", &server.config_dir);
    for reduction in &server.reductions {
        field(
            "Reduced",
            &format!("{}: {}", reduction.directive, reduction.reason),
        );
    }
    Ok(0)
}

fn field(name: &str, value: &str) {
    say(&format!("{name:>12}: {}", one_line(value)));
}

fn print(context: &Context, unit: &UnitStatus) -> Result<()> {
    say(&format!(
        "{} {} - {}",
        bullet(&unit.active),
        one_line(&unit.name),
        one_line(&unit.description)
    ));
    loaded(unit);
    active(unit);
    unit.causes
        .iter()
        .take(3)
        .for_each(|cause| field("Because", cause));
    service(unit);
    socket(unit);
    timer(unit);
    path(unit);
    automount(unit);
    for other in &unit.triggered_by {
        field("TriggeredBy", other);
    }
    image(context, unit)?;
    sandbox(unit);
    processes(unit);
    for found in &unit.diagnostics {
        crate::terminal::complain(&super::daemon::line(found, &unit.name));
    }
    Ok(())
}

fn loaded(unit: &UnitStatus) {
    let file = unit.fragment.clone().unwrap_or_else(|| {
        if unit.transient {
            "made at run time".to_owned()
        } else {
            "no file".to_owned()
        }
    });
    let reload = if unit.needs_reload {
        "; its files changed: `coracle daemon-reload`"
    } else {
        ""
    };
    field("Loaded", &format!("{} ({file}){reload}", unit.load));
    for drop_in in &unit.drop_ins {
        field("Drop-In", drop_in);
    }
}

fn active(unit: &UnitStatus) {
    let result = if unit.result.is_empty() || unit.result == "success" {
        String::new()
    } else {
        format!(", result: {}", unit.result)
    };
    let since = unit
        .since_realtime_us
        .filter(|time| *time > 0)
        .map(clock::since)
        .unwrap_or_default();
    let state = format!("{} ({}{result})", unit.active, unit.sub);
    let painted = match unit.active.as_str() {
        "active" => Paint::Green.on(&state),
        "failed" => Paint::Red.on(&state),
        _ => state,
    };
    say(&format!("{:>12}: {painted}{since}", "Active"));
    if let Some(job) = &unit.job {
        field("Job", &format!("{} {} ({})", job.id, job.kind, job.state));
    }
    if let Some(condition) = &unit.failed_condition {
        field(
            "Condition",
            &format!("{condition} does not hold, so the unit was not started"),
        );
    }
}

fn service(unit: &UnitStatus) {
    let Some(service) = &unit.service else { return };
    if let Some(pid) = service.main_pid {
        field("Main PID", &pid.to_string());
    }
    if let Some(beside) = &service.beside {
        field("Beside", &former(beside));
    }
    if let Some(exit) = &service.exit {
        field("Exit", &format!("{} ({})", ended(exit), exit.result));
    }
    if let Some(text) = &service.status_text {
        field("Status", &format!("\"{text}\""));
    }
    if let Some(health) = &service.health {
        let since = health
            .since_realtime_us
            .map(clock::since)
            .unwrap_or_default();
        let painted = match health.state.as_str() {
            "healthy" => Paint::Green.on(&health.state),
            "unhealthy" => Paint::Red.on(&health.state),
            state => state.to_owned(),
        };
        let failures = match health.failures {
            0 => String::new(),
            failures => format!(", failures in a row: {failures}"),
        };
        say(&format!("{:>12}: {painted}{since}{failures}", "Health"));
        if let Some(line) = &health.line {
            field("Probe", line);
        }
    }
    if service.restarts > 0 {
        field("Restarts", &service.restarts.to_string());
    }
    if let (Some(user), Some(uid)) = (&service.user, service.uid) {
        field("User", &format!("{user} ({uid})"));
    }
}

/// The run that is replaced, in words.
fn former(beside: &wire::BesideStatus) -> String {
    let what = match beside.state.as_str() {
        "serving" => "the former run serves until this one is up",
        "draining" => "the former run drains",
        _ => "the former run is killed",
    };
    let pid = beside.main_pid.map(|pid| format!(" (PID {pid})"));
    let left = beside
        .deadline_realtime_us
        .map(|at| clock::span(at.saturating_sub(clock::now())));
    let left = left.map(|left| format!(", {left} left"));
    format!(
        "{what}{}{}",
        pid.unwrap_or_default(),
        left.unwrap_or_default()
    )
}

/// How a process ended, in words.
fn ended(exit: &wire::ExitStatus) -> String {
    let signal = || {
        u8::try_from(exit.status).map_or_else(
            |_| exit.status.to_string(),
            |number| model::value::Signal(number).name(),
        )
    };
    match exit.code.as_str() {
        "exited" => {
            let name = u8::try_from(exit.status)
                .ok()
                .filter(|status| *status > 1)
                .and_then(model::tables::exit_status::name);
            let name = name.map(|name| format!("/{name}")).unwrap_or_default();
            format!("exited, status {}{name}", exit.status)
        }
        "killed" => format!("killed by {}", signal()),
        "dumped" => format!("killed by {}, core dumped", signal()),
        _ if exit.pid.is_none() => "the main process did not run".to_owned(),
        _ => "the main process ended while nobody watched it".to_owned(),
    }
}

fn socket(unit: &UnitStatus) {
    for listening in unit.socket.iter().flat_map(|socket| &socket.listen) {
        let open = if listening.open { "" } else { ", closed" };
        field(
            "Listen",
            &format!("{} ({}{open})", listening.address, listening.kind),
        );
    }
    if let Some(socket) = unit.socket.as_ref().filter(|socket| socket.accept) {
        let text = format!(
            "{} accepted, {} served now, {} refused",
            socket.accepted, socket.connections, socket.refused
        );
        field("Connections", &text);
    }
    if !unit.triggers.is_empty() {
        field("Triggers", &unit.triggers.join(" "));
    }
}

fn timer(unit: &UnitStatus) {
    let Some(timer) = &unit.timer else { return };
    let moment = |us: u64| format!("{} ({})", clock::with_weekday(us), clock::from_now(us));
    if let Some(us) = timer.last_realtime_us {
        field("Elapsed", &moment(us));
    }
    match timer.next_us {
        Some(us) => field("Elapses", &moment(us)),
        None if unit.active == "active" => field("Elapses", "not by itself, as it stands"),
        None => {}
    }
}

fn automount(unit: &UnitStatus) {
    let Some(automount) = &unit.automount else {
        return;
    };
    field("Where", &automount.place);
    if automount.idle_us > 0 {
        field("Idle", &clock::span(automount.idle_us));
    }
}

fn path(unit: &UnitStatus) {
    let Some(path) = &unit.path else { return };
    for watched in &path.watches {
        field(
            "Watches",
            &format!("{} ({}=)", watched.path, watched.condition),
        );
    }
    if let Some((what, us)) = path.last_path.as_ref().zip(path.last_realtime_us) {
        let moment = format!("{} ({})", clock::with_weekday(us), clock::from_now(us));
        field("Found", &format!("{what}, {moment}"));
    }
}

fn image(context: &Context, unit: &UnitStatus) -> Result<()> {
    let Some(image) = &unit.image else {
        return Ok(());
    };
    let integrity = image
        .integrity
        .as_ref()
        .map(|text| format!(" · {text}"))
        .unwrap_or_default();
    field("Root", &format!("{}{integrity}", image.path));
    if let Some(portable) = crate::portable::owner_of(context, &unit.name)? {
        for (name, text) in crate::portable::show::lines(&portable) {
            field(name, &text);
        }
        if let Some(said) = crate::portable::show::revoked(context, &portable)? {
            field(
                "Revoked",
                &crate::portable::show::revoked_in_words(&portable, &said),
            );
        }
        let current = portable.versions.get(&portable.current);
        let root = current.and_then(|version| crate::portable::show::root_of(context, version));
        let older =
            root.and_then(|root| crate::portable::show::older(context, &portable, &root, &[unit]));
        if let Some(older) = older {
            field("Outdated", &older);
        }
    }
    Ok(())
}

fn sandbox(unit: &UnitStatus) {
    let Some(sandbox) = &unit.sandbox else { return };
    if sandbox.applied.is_empty() && sandbox.reduced.is_empty() && sandbox.unenforced.is_empty() {
        if unit.service.is_some() {
            field("Sandbox", "none: the unit asks for no restriction");
        }
        return;
    }
    let names: Vec<String> = sandbox
        .applied
        .iter()
        .map(|setting| format!("{}={}", setting.directive, shortened(&setting.value)))
        .collect();
    field(
        "Sandbox",
        &format!(
            "{} restrictions {}, {} reduced, {} not enforced",
            names.len(),
            if is_running(unit) {
                "applied"
            } else {
                "to apply when it starts"
            },
            sandbox.reduced.len(),
            sandbox.unenforced.len()
        ),
    );
    for line in wrapped(&names) {
        say(&format!("{:14}{}", "", one_line(&line)));
    }
    for reduction in &sandbox.reduced {
        field(
            "Reduced",
            &format!("{}= {}", reduction.directive, reduction.reason),
        );
    }
    for missing in &sandbox.unenforced {
        field(
            "Unenforced",
            &format!("{}= {}", missing.directive, missing.reason),
        );
    }
}

/// Whether the sandbox is one that was made.
fn is_running(unit: &UnitStatus) -> bool {
    !matches!(unit.active.as_str(), "inactive" | "failed")
}

/// Longest value shown in the list of restrictions, in characters.
const VALUE_MAX_CHARS: usize = 32;

fn shortened(value: &str) -> String {
    if value.chars().count() <= VALUE_MAX_CHARS {
        return value.to_owned();
    }
    value.chars().take(VALUE_MAX_CHARS).chain(['…']).collect()
}

/// Words in lines of at most 100 characters.
fn wrapped(words: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < 100 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.clone()),
        }
    }
    lines
}

/// What the unit uses now, as far as control groups count it, and the processors' time since its start.
fn resources(unit: &UnitStatus) {
    if let Some(tasks) = unit.tasks {
        field("Tasks", &tasks.to_string());
    }
    if let Some(bytes) = unit.memory_bytes {
        field("Memory", &crate::terminal::size(bytes));
    }
    if let Some(time) = unit.cpu_ns {
        field("CPU", &model::value::TimeSpan(time / 1_000).to_string());
    }
    if let Some(io) = &unit.io {
        let [read, written] = [io.read_bytes, io.write_bytes].map(crate::terminal::size);
        field("IO", &format!("{read} read, {written} written"));
    }
    if let Some(freezer) = unit.freezer.as_deref().filter(|state| *state != "running") {
        field("Freezer", freezer);
    }
    if let Some(traffic) = &unit.traffic {
        let [comes, goes] =
            [traffic.ingress_bytes, traffic.egress_bytes].map(crate::terminal::size);
        field("IP", &format!("{comes} in, {goes} out"));
    }
    for storage in &unit.storage {
        let name = match storage.kind.as_str() {
            "state" => "State",
            "cache" => "Cache",
            _ => "Logs",
        };
        field(name, &held(storage));
    }
}

/// What directories hold, and how much they may.
fn held(storage: &Storage) -> String {
    let most = |most: Option<String>| most.map_or_else(String::new, |most| format!(" of {most}"));
    let plural = if storage.entries == 1 { "" } else { "s" };
    format!(
        "{}{} in {}{} file{plural}",
        crate::terminal::size(storage.bytes),
        most(storage.bytes_max.map(crate::terminal::size)),
        storage.entries,
        most(storage.entries_max.map(|entries| entries.to_string())),
    )
}

fn processes(unit: &UnitStatus) {
    resources(unit);
    if let Some(group) = &unit.cgroup {
        field("CGroup", group);
    }
    for (index, process) in unit.processes.iter().enumerate() {
        let branch = if index + 1 == unit.processes.len() {
            "└─"
        } else {
            "├─"
        };
        let line = format!(
            "{:14}{branch}{} {}",
            "",
            process.pid,
            one_line(&process.command)
        );
        say(line.trim_end());
    }
}
