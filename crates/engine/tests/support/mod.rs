//! Units as text, effects as text: what the golden tests and the simulator share.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;

use coracle_engine::*;

/// Reads units: a line `unit NAME` and below it, indented, `key value` lines; see `set`.
pub(crate) fn parse_units(text: &str) -> Vec<UnitConfig> {
    let mut units: Vec<UnitConfig> = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        match line.split_once(' ') {
            Some(("unit", name)) => units.push(new_unit(name)),
            _ => set(units.last_mut().expect("a unit first"), line),
        }
    }
    units.iter_mut().for_each(|unit| {
        unit.relations.sort();
        if let Kind::Target = unit.kind {
            imply_target_order(unit);
        }
    });
    units
}

fn imply_target_order(unit: &mut UnitConfig) {
    let mut relations = unit.relations.to_vec();
    for (relation, name) in unit.relations.iter() {
        if matches!(
            relation,
            Relation::Requires | Relation::Wants | Relation::BindsTo
        ) {
            relations.push((Relation::TargetAfter, name.clone()));
        }
    }
    relations.sort();
    unit.relations = relations.into();
}

fn new_unit(name: &str) -> UnitConfig {
    if name.ends_with(".service") {
        return UnitConfig::service(name, ServiceType::Simple);
    }
    if name.ends_with(".scope") {
        let mut scope = ServiceConfig::new(ServiceType::Simple);
        (scope.takes_over, scope.exits_as_group) = (true, true);
        scope.start = CommandList::default();
        return UnitConfig {
            kind: Kind::Service(Arc::new(scope)),
            ..UnitConfig::target(name)
        };
    }
    match name.rsplit_once('.') {
        Some((stem, "socket")) => UnitConfig::socket(name, &format!("{stem}.service")),
        Some((stem, "timer")) => UnitConfig::timer(name, &format!("{stem}.service")),
        Some((stem, "automount")) => UnitConfig::automount(name, &format!("{stem}.mount")),
        Some((_, "device")) => UnitConfig {
            kind: Kind::Device,
            job_running_timeout: Micros::seconds(90),
            ..UnitConfig::target(name)
        },
        Some((stem, "path")) => UnitConfig::path(name, &format!("{stem}.service")),
        _ => UnitConfig::target(name),
    }
}

pub(crate) fn relate(unit: &mut UnitConfig, relation: Relation, name: &str) {
    let mut relations = unit.relations.to_vec();
    relations.push((relation, name.into()));
    relations.sort();
    relations.dedup();
    unit.relations = relations.into();
}

fn set(unit: &mut UnitConfig, line: &str) {
    let (key, value) = line
        .split_once('=')
        .unwrap_or_else(|| panic!("not an assignment: {line}"));
    let relation = match key {
        "Requires" => Relation::Requires,
        "Requisite" => Relation::Requisite,
        "Wants" => Relation::Wants,
        "BindsTo" => Relation::BindsTo,
        "PartOf" => Relation::PartOf,
        "Upholds" => Relation::Upholds,
        "Conflicts" => Relation::Conflicts,
        "Before" => Relation::Before,
        "After" => Relation::After,
        "OnFailure" => Relation::OnFailure,
        "OnSuccess" => Relation::OnSuccess,
        "PropagatesReloadTo" => Relation::PropagatesReloadTo,
        "PropagatesStopTo" => Relation::PropagatesStopTo,
        _ => return set_other(unit, key, value),
    };
    value
        .split(' ')
        .for_each(|name| relate(unit, relation, name));
}

fn set_other(unit: &mut UnitConfig, key: &str, value: &str) {
    match key {
        "Condition" => unit.conditions = value == "yes",
        "AllowIsolate" => unit.allow_isolate = value == "yes",
        "IgnoreOnIsolate" => unit.ignore_on_isolate = value == "yes",
        "RefuseManualStart" => unit.refuse_manual_start = value == "yes",
        "RefuseManualStop" => unit.refuse_manual_stop = value == "yes",
        "StopWhenUnneeded" => unit.stop_when_unneeded = value == "yes",
        "TimeoutCleanSec" => unit.timeout_clean = seconds(value),
        "FailureAction" => unit.acts.failed = value == "yes",
        "SuccessAction" => unit.acts.succeeded = value == "yes",
        "StartLimitAction" => unit.acts.start_limit = value == "yes",
        "JobTimeoutAction" => unit.acts.job_timeout = value == "yes",
        "JobTimeoutSec" => unit.job_timeout = seconds(value),
        "StartLimitBurst" => unit.start_limit.burst = value.parse().unwrap(),
        "Load" => {
            unit.load = if value == "masked" {
                Load::Masked
            } else {
                Load::NotFound
            }
        }
        "Accept" => accept(unit, value),
        "Slice" => {
            unit.slice = Some(value.into());
            relate(unit, Relation::Requires, value);
            relate(unit, Relation::After, value);
        }
        "Concurrency" => unit.concurrency = Some(Box::new(concurrency(value))),
        _ => match &mut unit.kind {
            Kind::Service(service) => set_service(Arc::make_mut(service), key, value),
            Kind::Socket(socket) => set_socket(Arc::make_mut(socket), key, value),
            Kind::Timer(timer) => set_timer(Arc::make_mut(timer), key, value),
            Kind::Automount(automount) if key == "TimeoutIdleSec" => {
                Arc::make_mut(automount).idle = seconds(value);
            }
            Kind::Path(path) if key == "TriggerLimitBurst" => {
                Arc::make_mut(path).trigger_limit.burst = value.parse().unwrap();
            }
            _ => panic!("unknown key {key}"),
        },
    }
}

/// `Concurrency=hard/soft/activating`, `-` for what is not bounded.
fn concurrency(value: &str) -> Concurrency {
    let mut numbers = value.split('/').map(|number| number.parse().ok());
    let mut next = || numbers.next().unwrap();
    Concurrency {
        hard: next(),
        soft: next(),
        activating: next(),
    }
}

/// `Accept=2/1`: two connections, one of each source.
fn accept(unit: &mut UnitConfig, value: &str) {
    let (max, per_source) = value.split_once('/').unwrap();
    unit.relations = Box::default();
    let Kind::Socket(socket) = &mut unit.kind else {
        panic!("only sockets accept");
    };
    Arc::make_mut(socket).accept = Some(AcceptConfig {
        max_connections: max.parse().unwrap(),
        max_per_source: per_source.parse().unwrap(),
    });
}

fn set_socket(socket: &mut SocketConfig, key: &str, value: &str) {
    match key {
        "SendSIGKILL" => socket.kill.send_sigkill = value == "yes",
        "DeferTrigger" if value == "patient" => socket.defer = DeferTrigger::Patient,
        "DeferTrigger" => socket.defer = DeferTrigger::Yes,
        "DeferTriggerMaxSec" => socket.defer_max = seconds(value),
        "PollLimitBurst" => socket.poll_limit.burst = value.parse().unwrap(),
        "TriggerLimitBurst" => socket.trigger_limit.burst = value.parse().unwrap(),
        "ExecStartPre" => socket.start_pre = commands(value),
        "ExecStopPost" => socket.stop_post = commands(value),
        _ => panic!("unknown key {key}"),
    }
}

fn set_timer(timer: &mut TimerConfig, key: &str, value: &str) {
    match key {
        "RemainAfterElapse" => timer.remain_after_elapse = value == "yes",
        "OnUnitActiveSec" => timer.follows_unit = true,
        _ => panic!("unknown key {key}"),
    }
}

fn set_service(service: &mut ServiceConfig, key: &str, value: &str) {
    match key {
        "Type" => {
            service.service_type = match value {
                "simple" => ServiceType::Simple,
                "exec" => ServiceType::Exec,
                "oneshot" => ServiceType::Oneshot,
                "forking" => ServiceType::Forking,
                "dbus" => ServiceType::Dbus,
                "notify" => ServiceType::Notify,
                "notify-reload" => ServiceType::NotifyReload,
                _ => panic!("unknown type {value}"),
            }
        }
        "PIDFile" => service.pid_file = value == "yes",
        "ExitType" => service.exits_as_group = value == "cgroup",
        "WatchdogSec" => service.watchdog = seconds(value),
        key if key.starts_with("Health") => set_health(service, key, value),
        "ExecReloadPost" => service.reload_post = commands(value),
        "RestartRandomizedDelaySec" => service.restart_jitter = seconds(value),
        "RuntimeRandomizedExtraSec" => service.runtime_jitter = seconds(value),
        "ReplaceMode" => service.overlaps = value == "share",
        "DrainTimeoutSec" => service.drain = seconds(value),
        "RemainAfterExit" => service.remain_after_exit = value == "yes",
        "ExecCondition" => service.condition = commands(value),
        "ExecStartPre" => service.start_pre = commands(value),
        "ExecStart" => service.start = commands(value),
        "ExecStartPost" => service.start_post = commands(value),
        "ExecReload" => service.reload = commands(value),
        "ExecStop" => service.stop = commands(value),
        "ExecStopPost" => service.stop_post = commands(value),
        "Restart" => service.restart = restart(value),
        "RestartMode" => service.restart_direct = value == "direct",
        "RestartMaxDelaySec" => service.restart_max_delay = seconds(value),
        "RestartSec" => service.restart_delay = seconds(value),
        "TimeoutStartSec" => service.timeout_start = seconds(value),
        "TimeoutStopSec" => service.timeout_stop = seconds(value),
        "TimeoutStartFailureMode" => service.start_failure = failure(value),
        "TimeoutStopFailureMode" => service.stop_failure = failure(value),
        "RuntimeMaxSec" => service.runtime_max = seconds(value),
        "RestartPreventExitStatus" => service.restart_prevent = statuses(value),
        "RestartForceExitStatus" => service.restart_force = statuses(value),
        "OOMPolicy" => {
            service.oom = match value {
                "continue" => OomPolicy::Continue,
                "kill" => OomPolicy::Kill,
                _ => OomPolicy::Stop,
            }
        }
        "SuccessExitStatus" => service.success = statuses(value),
        "SendSIGKILL" => service.kill.send_sigkill = value == "yes",
        "KillMode" => {
            service.kill.mode = match value {
                "control-group" => KillMode::ControlGroup,
                "mixed" => KillMode::Mixed,
                "process" => KillMode::Process,
                _ => KillMode::None,
            }
        }
        _ => panic!("unknown key {key}"),
    }
}

fn set_health(service: &mut ServiceConfig, key: &str, value: &str) {
    let health = service.health.get_or_insert_with(|| {
        Box::new(HealthConfig {
            connections: 0,
            interval: Micros::seconds(30),
            timeout: Micros::seconds(30),
            start_period: Micros(0),
            retries: 3,
            on_failure: HealthFailure::None,
            ready: true,
        })
    });
    match key {
        "HealthCommand" => service.health_commands = commands(value),
        "HealthTCP" => health.connections = 1,
        "HealthIntervalSec" => health.interval = seconds(value),
        "HealthTimeoutSec" => health.timeout = seconds(value),
        "HealthStartPeriodSec" => health.start_period = seconds(value),
        "HealthRetries" => health.retries = value.parse().unwrap(),
        "HealthReady" => health.ready = value == "yes",
        "HealthOnFailure" => {
            health.on_failure = match value {
                "none" => HealthFailure::None,
                "kill" => HealthFailure::Kill,
                "restart" => HealthFailure::Restart,
                _ => HealthFailure::Stop,
            }
        }
        _ => panic!("unknown key {key}"),
    }
}

fn statuses(value: &str) -> StatusSet {
    let statuses = value
        .split(' ')
        .map(|status| status.parse().unwrap())
        .collect();
    StatusSet {
        statuses,
        signals: Box::default(),
    }
}

fn failure(value: &str) -> TimeoutFailure {
    match value {
        "terminate" => TimeoutFailure::Terminate,
        "abort" => TimeoutFailure::Abort,
        "kill" => TimeoutFailure::Kill,
        _ => panic!("unknown failure mode {value}"),
    }
}

fn restart(value: &str) -> Restart {
    match value {
        "no" => Restart::No,
        "always" => Restart::Always,
        "on-success" => Restart::OnSuccess,
        "on-failure" => Restart::OnFailure,
        "on-abnormal" => Restart::OnAbnormal,
        "on-abort" => Restart::OnAbort,
        _ => panic!("unknown restart {value}"),
    }
}

/// `a b -c`: three commands, the failure of the third ignored.
fn commands(value: &str) -> CommandList {
    CommandList(
        value
            .split_whitespace()
            .map(|word| Command {
                ignore_failure: word.starts_with('-'),
            })
            .collect(),
    )
}

fn seconds(value: &str) -> Micros {
    if value == "infinity" {
        Micros::INFINITY
    } else {
        Micros((value.parse::<f64>().unwrap() * 1e6) as u64)
    }
}

fn print_automount(engine: &Engine, action: &Action) -> String {
    let name = |unit: &UnitId| engine.unit_name(*unit).unwrap_or("?").to_owned();
    match action {
        Action::SetAutomount { unit, device, .. } => {
            format!("{}: sets its file system, device {device:?}", name(unit))
        }
        Action::UnsetAutomount { unit, waits, .. } => {
            format!("{}: takes its file system out, with {waits:?}", name(unit))
        }
        Action::AnswerAutomount {
            unit, waits, well, ..
        } => format!("{}: answers {waits:?} well={well}", name(unit)),
        Action::ExpireAutomount { unit, .. } => format!("{}: is anybody there?", name(unit)),
        other => panic!("not about an automount: {other:?}"),
    }
}

fn print_connection(engine: &Engine, action: &Action) -> String {
    let name = |unit: &UnitId| engine.unit_name(*unit).unwrap_or("?").to_owned();
    match action {
        Action::TakeConnection { unit, number } => {
            format!("{}: takes connection {number}", name(unit))
        }
        Action::RefuseConnection { unit, number } => {
            format!("{}: refuses connection {number}", name(unit))
        }
        Action::ReleaseConnection(unit) => format!("{}: lets its connection go", name(unit)),
        other => panic!("not about a connection: {other:?}"),
    }
}

/// An effect as one line; nothing for the bookkeeping ones.
pub(crate) fn print_effect(engine: &Engine, effect: &Effect) -> Option<String> {
    let name = |unit: UnitId| engine.unit_name(unit).unwrap_or("?").to_owned();
    Some(match &effect.action {
        Action::Spawn(spawn) => {
            let key = spawn.process;
            let result = spawn
                .result
                .map(|result| format!(" after {}", result.name()))
                .unwrap_or_default();
            format!(
                "{}: {} spawns #{} {:?} {}{result}",
                name(key.unit),
                key.incarnation,
                key.serial,
                spawn.role,
                spawn.index
            )
        }
        Action::Signal {
            unit,
            target,
            signal,
            ..
        } => format!("{}: signal {} to {target:?}", name(*unit), signal.0),
        Action::Track { process, pid } => format!(
            "{}: tracks pid {pid} as #{}",
            name(process.unit),
            process.serial
        ),
        Action::FindMain { unit, waits, .. } => {
            let waits = if *waits { " and waits" } else { "" };
            format!("{}: looks for the main process{waits}", name(*unit))
        }
        Action::WatchEmpty { unit, .. } => format!("{}: watch for the last process", name(*unit)),
        Action::Probe { process, index } => format!(
            "{}: {} probes #{} {index}",
            name(process.unit),
            process.incarnation,
            process.serial
        ),
        Action::EndProbe { unit, late } => {
            let why = if *late { ", as it is late" } else { "" };
            format!("{}: waits for no answer{why}", name(*unit))
        }
        Action::TestConditions(unit) => format!("{}: test conditions", name(*unit)),
        Action::TakeOver { unit, .. } => format!("{}: take over", name(*unit)),
        Action::Act { unit, occasion } => format!("{}: act as {occasion:?}", name(*unit)),
        Action::OpenSockets { unit, .. } => format!("{}: open sockets", name(*unit)),
        Action::CloseSockets { unit, .. } => format!("{}: close sockets", name(*unit)),
        Action::WatchSockets { unit, .. } => format!("{}: watch sockets", name(*unit)),
        Action::UnwatchSockets(unit) => format!("{}: unwatch sockets", name(*unit)),
        Action::TakeConnection { .. }
        | Action::RefuseConnection { .. }
        | Action::ReleaseConnection(_) => print_connection(engine, &effect.action),
        Action::FlushSockets(unit) => format!("{}: flush sockets", name(*unit)),
        Action::ReckonTimer { unit, .. } => format!("{}: reckon its moment", name(*unit)),
        Action::WatchTimer { unit, at, .. } => format!("{}: watch for {at:?}", name(*unit)),
        Action::UnwatchTimer(unit) => format!("{}: unwatch its moment", name(*unit)),
        Action::WatchPath { unit, watch, .. } => format!("{}: watch {watch:?}", name(*unit)),
        Action::UnwatchPath(unit) => format!("{}: watch nothing", name(*unit)),
        Action::SetAutomount { .. }
        | Action::UnsetAutomount { .. }
        | Action::AnswerAutomount { .. }
        | Action::ExpireAutomount { .. } => print_automount(engine, &effect.action),
        Action::StampTimer(unit) => format!("{}: keep the moment", name(*unit)),
        Action::Clean { unit, what } => format!("{}: cleans {what}", name(*unit)),
        Action::EndCleaning(unit) => format!("{}: ends its cleaning", name(*unit)),
        Action::WakeAt(Some(at)) => format!("wake at {at}"),
        Action::WakeAt(None) => "wake never".to_owned(),
        Action::JobQueued {
            request,
            job: Some(job),
        } => format!("request {request}: job {}", job.0),
        Action::JobQueued { request, job: None } => format!("request {request}: nothing to do"),
        Action::Refused { request, why } => format!("request {request} refused: {why}"),
        Action::JobDone {
            job,
            unit,
            kind,
            result,
        } => format!("job {} {} {}: {result:?}", job.0, kind.name(), name(*unit)),
        Action::StateChanged(_) => return None,
        Action::Release {
            unit,
            incarnation,
            kept,
        } => {
            let kept = kept.map(|kept| format!(" but {kept}")).unwrap_or_default();
            format!("{}: release {incarnation}{kept}", name(*unit))
        }
        Action::Removed(unit) => format!("unit {} removed", unit.0),
        Action::Log { text, .. } => format!("log: {text}"),
    })
}

/// The state as `active (running)`.
pub(crate) fn print_state(engine: &Engine, unit: UnitId) -> String {
    let state = engine.state(unit).expect("a unit");
    let result = match state {
        State::Failed { result, .. } => format!(" {}", result.name()),
        _ => String::new(),
    };
    format!("{} ({}){result}", state.active().name(), state.sub().name())
}
