//! From the typed unit to what the engine needs of it.

use std::sync::Arc;

use model::mount::Change;
use model::value::{ExecCommands, ExitStatusSet, TimeSpan};
use model::{Unit, UnitKind, key, value};

use crate::automount::AutomountConfig;
use crate::config::{
    AcceptConfig, Acts, Command, CommandList, Concurrency, DeferTrigger, JobMode, KillConfig,
    KillMode, Kind, Load, OomPolicy, RateLimit, Restart, ServiceConfig, ServiceType, SocketConfig,
    StatusSet, Table, TimeoutFailure, UnitConfig,
};
use crate::id::{Micros, Signal};
use crate::path::PathConfig;
use crate::service::health::{HealthConfig, HealthFailure};
use crate::timer::TimerConfig;

/// A service is not asked more often: a round may be a process.
const HEALTH_INTERVAL_MIN: Micros = Micros(100_000);

impl From<&Unit> for UnitConfig {
    fn from(unit: &Unit) -> UnitConfig {
        let kind = kind(unit);
        UnitConfig {
            name: unit.name().as_str().into(),
            load: Load::Loaded,
            slice: model::slice::of(unit).map(|slice| slice.as_str().into()),
            concurrency: concurrency(unit),
            relations: crate::relate::relations(unit, &kind),
            kind,
            conditions: unit
                .iter()
                .any(|(directive, _)| is_condition(directive.name()))
                || unit.kind() == UnitKind::Mount,
            refuse_manual_start: unit.value(&key::REFUSE_MANUAL_START),
            refuse_manual_stop: unit.value(&key::REFUSE_MANUAL_STOP)
                || [model::slice::ROOT, model::mount::ROOT].contains(&unit.name().as_str()),
            allow_isolate: unit.value(&key::ALLOW_ISOLATE),
            ignore_on_isolate: unit
                .get(&key::IGNORE_ON_ISOLATE)
                .copied()
                .unwrap_or(stays_on_isolate(unit.kind())),
            stop_when_unneeded: unit.value(&key::STOP_WHEN_UNNEEDED),
            job_timeout: span(unit.value(&key::JOB_TIMEOUT_SEC)),
            job_running_timeout: running_timeout(unit),
            timeout_clean: timeout(unit.value(&key::TIMEOUT_CLEAN_SEC)),
            start_limit: start_limit(unit),
            acts: acts(unit),
            on_failure_mode: on_failure_mode(unit),
            on_success_mode: job_mode(unit.value(&key::ON_SUCCESS_JOB_MODE)),
        }
    }
}

fn is_condition(name: &str) -> bool {
    name.starts_with("Condition") || name.starts_with("Assert")
}

fn stays_on_isolate(kind: UnitKind) -> bool {
    !matches!(
        kind,
        UnitKind::Service | UnitKind::Target | UnitKind::Socket | UnitKind::Timer | UnitKind::Path
    )
}

fn kind(unit: &Unit) -> Kind {
    if let Some(reason) = model::support::unsupported(unit) {
        return Kind::Unsupported(reason);
    }
    match unit.kind() {
        UnitKind::Service => service_kind(unit),
        UnitKind::Socket => Kind::Socket(Arc::new(socket(unit))),
        UnitKind::Timer => Kind::Timer(Arc::new(timer(unit))),
        UnitKind::Path => Kind::Path(Arc::new(PathConfig::from(unit))),
        UnitKind::Automount => Kind::Automount(Arc::new(AutomountConfig::from(unit))),
        UnitKind::Scope => Kind::Service(Arc::new(scope(unit))),
        UnitKind::Mount => {
            let time = unit.value(&key::MOUNT_TIMEOUT_SEC);
            Kind::Service(Arc::new(entry(unit, Table::Mounts, time)))
        }
        UnitKind::Swap => {
            let time = unit.value(&key::SWAP_TIMEOUT_SEC);
            Kind::Service(Arc::new(entry(unit, Table::Swaps, time)))
        }
        UnitKind::Device => Kind::Device,
        UnitKind::Target | UnitKind::Slice => Kind::Target,
    }
}

/// A device is not waited for without end (DefaultDeviceTimeoutSec= of systemd-system.conf(5)).
fn running_timeout(unit: &Unit) -> Micros {
    const DEVICE: Micros = Micros::seconds(90);
    match unit.get(&key::JOB_RUNNING_TIMEOUT_SEC) {
        None if unit.kind() == UnitKind::Device => DEVICE,
        _ => span(unit.value(&key::JOB_RUNNING_TIMEOUT_SEC)),
    }
}

/// A scope is a service whose processes somebody else started: it is up for as long as there are any.
fn scope(unit: &Unit) -> ServiceConfig {
    let time = timeout(unit.value(&key::SCOPE_TIMEOUT_STOP_SEC));
    ServiceConfig {
        exits_as_group: true,
        takes_over: true,
        oom: oom(unit, &key::SCOPE_OOM_POLICY),
        start: CommandList::default(),
        timeout_stop: time,
        timeout_abort: time,
        runtime_max: timeout(unit.value(&key::SCOPE_RUNTIME_MAX_SEC)),
        runtime_jitter: span(unit.value(&key::SCOPE_RUNTIME_RANDOMIZED_EXTRA_SEC)),
        kill: kill(unit),
        ..ServiceConfig::new(ServiceType::Simple)
    }
}

/// Who has its group for itself decides by itself what follows.
fn oom(unit: &Unit, said: &model::Key<value::OomPolicy>) -> OomPolicy {
    let is_delegated = unit.value(&key::DELEGATE) != value::Delegate::No;
    match unit.get(said) {
        None if is_delegated => OomPolicy::Continue,
        Some(value::OomPolicy::Continue) => OomPolicy::Continue,
        Some(value::OomPolicy::Kill) => OomPolicy::Kill,
        Some(value::OomPolicy::Stop) | None => OomPolicy::Stop,
    }
}

/// A mount or a swap is a service whose commands change a table of the kernel's.
fn entry(unit: &Unit, table: Table, time: TimeSpan) -> ServiceConfig {
    let time = timeout(time);
    let commands = |change| list(Some(&model::mount::commands(unit, change)));
    ServiceConfig {
        table: Some(table),
        remain_after_exit: true,
        start_pre: list(Some(&model::mount::preparation(unit))),
        start: commands(Change::Make),
        reload: commands(Change::Remake),
        stop: commands(Change::TakeOut),
        timeout_start: time,
        timeout_stop: time,
        timeout_abort: time,
        kill: kill(unit),
        ..ServiceConfig::new(ServiceType::Oneshot)
    }
}

fn concurrency(unit: &Unit) -> Option<Box<Concurrency>> {
    let found = Concurrency {
        hard: unit.get(&key::CONCURRENCY_HARD_MAX).copied(),
        soft: unit.get(&key::CONCURRENCY_SOFT_MAX).copied(),
        activating: unit.get(&key::ACTIVATING_CONCURRENCY_MAX).copied(),
    };
    (found != Concurrency::default()).then(|| Box::new(found))
}

fn service_kind(unit: &Unit) -> Kind {
    let service_type = match value::ServiceType::of(unit) {
        value::ServiceType::Exec => ServiceType::Exec,
        value::ServiceType::Oneshot => ServiceType::Oneshot,
        value::ServiceType::Notify => ServiceType::Notify,
        value::ServiceType::NotifyReload => ServiceType::NotifyReload,
        value::ServiceType::Forking => ServiceType::Forking,
        value::ServiceType::Dbus => ServiceType::Dbus,
        value::ServiceType::Simple | value::ServiceType::Idle => ServiceType::Simple,
    };
    let no_command = unit.value(&key::EXEC_START).0.is_empty();
    if no_command && service_type != ServiceType::Oneshot {
        return Kind::Unsupported("it has no ExecStart=.");
    }
    Kind::Service(Arc::new(service(unit, service_type)))
}

fn service(unit: &Unit, service_type: ServiceType) -> ServiceConfig {
    let no_command = unit.value(&key::EXEC_START).0.is_empty();
    ServiceConfig {
        service_type,
        pid_file: unit.is_set(key::PID_FILE.directive()),
        exits_as_group: unit.value(&key::EXIT_TYPE) == value::ExitType::Cgroup,
        takes_over: false,
        table: None,
        remain_after_exit: unit.value(&key::REMAIN_AFTER_EXIT) || no_command,
        condition: list(unit.get(&key::EXEC_CONDITION)),
        start_pre: list(unit.get(&key::SERVICE_EXEC_START_PRE)),
        start: list(unit.get(&key::EXEC_START)),
        start_post: list(unit.get(&key::SERVICE_EXEC_START_POST)),
        reload: list(unit.get(&key::EXEC_RELOAD)),
        reload_post: list(unit.get(&key::EXEC_RELOAD_POST)),
        stop: list(unit.get(&key::EXEC_STOP)),
        stop_post: list(unit.get(&key::SERVICE_EXEC_STOP_POST)),
        restart: restart(unit.value(&key::RESTART)),
        restart_direct: unit.value(&key::RESTART_MODE) == value::RestartMode::Direct,
        restart_delay: span(unit.value(&key::RESTART_SEC)),
        oom: oom(unit, &key::SERVICE_OOM_POLICY),
        restart_steps: unit.value(&key::RESTART_STEPS),
        restart_max_delay: span(unit.value(&key::RESTART_MAX_DELAY_SEC)),
        restart_jitter: span(unit.value(&key::RESTART_RANDOMIZED_DELAY_SEC)),
        restart_prevent: statuses(unit.get(&key::RESTART_PREVENT_EXIT_STATUS)),
        restart_force: statuses(unit.get(&key::RESTART_FORCE_EXIT_STATUS)),
        success: statuses(unit.get(&key::SUCCESS_EXIT_STATUS)),
        timeout_start: timeout_start(unit, service_type),
        timeout_stop: timeout_stop(unit),
        timeout_abort: unit
            .get(&key::TIMEOUT_ABORT_SEC)
            .map_or_else(|| timeout_stop(unit), |abort| timeout(*abort)),
        runtime_max: timeout(unit.value(&key::SERVICE_RUNTIME_MAX_SEC)),
        runtime_jitter: span(unit.value(&key::SERVICE_RUNTIME_RANDOMIZED_EXTRA_SEC)),
        watchdog: timeout(unit.value(&key::WATCHDOG_SEC)),
        health_commands: list(unit.get(&key::HEALTH_COMMAND)),
        health: health(unit, service_type),
        start_failure: failure(unit.value(&key::TIMEOUT_START_FAILURE_MODE)),
        stop_failure: failure(unit.value(&key::TIMEOUT_STOP_FAILURE_MODE)),
        reload_signal: Signal(unit.value(&key::RELOAD_SIGNAL).0),
        kill: kill(unit),
        overlaps: model::replacing::hindrance(unit).is_none(),
        drain: span(unit.value(&key::DRAIN_TIMEOUT_SEC)),
    }
}

fn socket(unit: &Unit) -> SocketConfig {
    let accepts = unit.value(&key::ACCEPT);
    // Each connection is an event where they are accepted, and else only the first.
    let limit = |interval: TimeSpan, burst: Option<&u32>, many, few| RateLimit {
        interval: span(interval),
        burst: burst.copied().unwrap_or(if accepts { many } else { few }),
    };
    SocketConfig {
        service: socket_service(unit),
        accept: accepts.then(|| AcceptConfig {
            max_connections: unit.value(&key::MAX_CONNECTIONS),
            max_per_source: unit.value(&key::MAX_CONNECTIONS_PER_SOURCE),
        }),
        poll_limit: limit(
            unit.value(&key::POLL_LIMIT_INTERVAL_SEC),
            unit.get(&key::POLL_LIMIT_BURST),
            150,
            15,
        ),
        flush_pending: unit.value(&key::FLUSH_PENDING),
        defer: match unit.value(&key::DEFER_TRIGGER) {
            value::DeferTrigger::Yes if !accepts => DeferTrigger::Yes,
            value::DeferTrigger::Patient if !accepts => DeferTrigger::Patient,
            _ => DeferTrigger::No,
        },
        defer_max: timeout(unit.value(&key::DEFER_TRIGGER_MAX_SEC)),
        trigger_limit: limit(
            unit.value(&key::SOCKET_TRIGGER_LIMIT_INTERVAL_SEC),
            unit.get(&key::SOCKET_TRIGGER_LIMIT_BURST),
            200,
            20,
        ),
        start_pre: list(unit.get(&key::SOCKET_EXEC_START_PRE)),
        start_post: list(unit.get(&key::SOCKET_EXEC_START_POST)),
        stop_pre: list(unit.get(&key::EXEC_STOP_PRE)),
        stop_post: list(unit.get(&key::SOCKET_EXEC_STOP_POST)),
        timeout: timeout(unit.value(&key::SOCKET_TIMEOUT_SEC)),
        kill: kill(unit),
    }
}

fn socket_service(unit: &Unit) -> Arc<str> {
    if unit.value(&key::ACCEPT) {
        let template = unit.name().connection_template();
        return template.map_or_else(|_| "".into(), |name| name.as_str().into());
    }
    triggered(unit, &key::SERVICE)
}

/// The unit that this key names, or else the service of the same name.
pub(crate) fn triggered(unit: &Unit, key: &model::Key<value::UnitReference>) -> Arc<str> {
    let named = unit.get(key).and_then(|reference| reference.0.clone());
    match named.or_else(|| unit.name().with_kind(UnitKind::Service).ok()) {
        Some(name) => name.as_str().into(),
        None => "".into(),
    }
}

fn timer(unit: &Unit) -> TimerConfig {
    let has_any = |key| {
        let spans: Option<&value::TimerSpans> = unit.get(key);
        spans.is_some_and(|spans| !spans.0.is_empty())
    };
    TimerConfig {
        unit: triggered(unit, &key::TIMER_UNIT),
        remain_after_elapse: unit.value(&key::REMAIN_AFTER_ELAPSE),
        follows_unit: has_any(&key::ON_UNIT_ACTIVE_SEC) || has_any(&key::ON_UNIT_INACTIVE_SEC),
    }
}

fn list(commands: Option<&ExecCommands>) -> CommandList {
    let commands = commands.into_iter().flat_map(|commands| commands.0.iter());
    CommandList(
        commands
            .map(|command| Command {
                ignore_failure: command.ignore_failure,
            })
            .collect(),
    )
}

fn statuses(set: Option<&ExitStatusSet>) -> StatusSet {
    let Some(set) = set else {
        return StatusSet::default();
    };
    StatusSet {
        statuses: set.codes.iter().copied().collect(),
        signals: set.signals.iter().map(|signal| Signal(signal.0)).collect(),
    }
}

pub(crate) fn span(span: TimeSpan) -> Micros {
    Micros(span.micros())
}

/// A timeout, where 0 means none.
pub(crate) fn timeout(time: TimeSpan) -> Micros {
    if time.micros() == 0 {
        Micros::INFINITY
    } else {
        span(time)
    }
}

fn timeout_start(unit: &Unit, service_type: ServiceType) -> Micros {
    let given = unit
        .get(&key::TIMEOUT_START_SEC)
        .or_else(|| unit.get(&key::SERVICE_TIMEOUT_SEC));
    match given {
        Some(given) => timeout(*given),
        None if service_type == ServiceType::Oneshot => Micros::INFINITY,
        None => timeout(unit.value(&key::TIMEOUT_START_SEC)),
    }
}

fn timeout_stop(unit: &Unit) -> Micros {
    let given = unit
        .get(&key::SERVICE_TIMEOUT_STOP_SEC)
        .or_else(|| unit.get(&key::SERVICE_TIMEOUT_SEC));
    given.copied().map_or_else(
        || timeout(unit.value(&key::SERVICE_TIMEOUT_STOP_SEC)),
        timeout,
    )
}

/// The current names before the legacy ones, in `[Unit]` before `[Service]`.
fn start_limit(unit: &Unit) -> RateLimit {
    let intervals = [
        &key::START_LIMIT_INTERVAL_SEC,
        &key::START_LIMIT_INTERVAL,
        &key::SERVICE_START_LIMIT_INTERVAL,
    ];
    let interval = intervals.into_iter().find_map(|key| unit.get(key)).copied();
    let bursts = [&key::START_LIMIT_BURST, &key::SERVICE_START_LIMIT_BURST];
    let burst = bursts.into_iter().find_map(|key| unit.get(key)).copied();
    RateLimit {
        interval: span(interval.unwrap_or_else(|| unit.value(&key::START_LIMIT_INTERVAL_SEC))),
        burst: burst.unwrap_or_else(|| unit.value(&key::START_LIMIT_BURST)),
    }
}

fn kill(unit: &Unit) -> KillConfig {
    let signal = unit.value(&key::KILL_SIGNAL).0;
    KillConfig {
        mode: match unit.value(&key::KILL_MODE) {
            value::KillMode::ControlGroup => KillMode::ControlGroup,
            value::KillMode::Mixed => KillMode::Mixed,
            value::KillMode::Process => KillMode::Process,
            value::KillMode::None => KillMode::None,
        },
        signal: Signal(signal),
        restart_signal: Signal(
            unit.get(&key::RESTART_KILL_SIGNAL)
                .map_or(signal, |signal| signal.0),
        ),
        final_signal: Signal(unit.value(&key::FINAL_KILL_SIGNAL).0),
        watchdog_signal: Signal(unit.value(&key::WATCHDOG_SIGNAL).0),
        send_sigkill: unit.value(&key::SEND_SIGKILL),
        send_sighup: unit.value(&key::SEND_SIGHUP),
    }
}

/// How it is asked whether it works; what ends is not asked.
fn health(unit: &Unit, service_type: ServiceType) -> Option<Box<HealthConfig>> {
    let is_set = |directive| u16::from(unit.is_set(directive));
    let connections = is_set(key::HEALTH_HTTP.directive()) + is_set(key::HEALTH_TCP.directive());
    let has_any = connections > 0 || unit.is_set(key::HEALTH_COMMAND.directive());
    if !has_any || service_type == ServiceType::Oneshot {
        return None;
    }
    Some(Box::new(HealthConfig {
        connections,
        interval: span(unit.value(&key::HEALTH_INTERVAL_SEC)).max(HEALTH_INTERVAL_MIN),
        timeout: timeout(unit.value(&key::HEALTH_TIMEOUT_SEC)),
        start_period: span(unit.value(&key::HEALTH_START_PERIOD_SEC)),
        retries: unit.value(&key::HEALTH_RETRIES),
        on_failure: match unit.value(&key::HEALTH_ON_FAILURE) {
            value::HealthOnFailure::None => HealthFailure::None,
            value::HealthOnFailure::Kill => HealthFailure::Kill,
            value::HealthOnFailure::Restart => HealthFailure::Restart,
            value::HealthOnFailure::Stop => HealthFailure::Stop,
        },
        ready: unit.value(&key::HEALTH_READY),
    }))
}

fn restart(restart: value::Restart) -> Restart {
    match restart {
        value::Restart::No => Restart::No,
        value::Restart::Always => Restart::Always,
        value::Restart::OnSuccess => Restart::OnSuccess,
        value::Restart::OnFailure => Restart::OnFailure,
        value::Restart::OnAbnormal => Restart::OnAbnormal,
        value::Restart::OnAbort => Restart::OnAbort,
        value::Restart::OnWatchdog => Restart::OnWatchdog,
    }
}

fn failure(mode: value::TimeoutFailureMode) -> TimeoutFailure {
    match mode {
        value::TimeoutFailureMode::Terminate => TimeoutFailure::Terminate,
        value::TimeoutFailureMode::Abort => TimeoutFailure::Abort,
        value::TimeoutFailureMode::Kill => TimeoutFailure::Kill,
    }
}

fn acts(unit: &Unit) -> Acts {
    let is_set = |action: &model::Key<value::EmergencyAction>| {
        unit.value(action) != value::EmergencyAction::None
    };
    Acts {
        failed: is_set(&key::FAILURE_ACTION),
        succeeded: is_set(&key::SUCCESS_ACTION),
        start_limit: is_set(&key::START_LIMIT_ACTION),
        job_timeout: is_set(&key::JOB_TIMEOUT_ACTION),
    }
}

/// The old name counts where the other is not there.
fn on_failure_mode(unit: &Unit) -> JobMode {
    match unit.get(&key::ON_FAILURE_JOB_MODE) {
        None if unit.value(&key::ON_FAILURE_ISOLATE) => JobMode::Isolate,
        mode => job_mode(mode.copied().unwrap_or_default()),
    }
}

fn job_mode(mode: value::JobMode) -> JobMode {
    match mode {
        value::JobMode::Replace => JobMode::Replace,
        value::JobMode::Fail => JobMode::Fail,
        value::JobMode::Lenient => JobMode::Lenient,
        value::JobMode::Isolate => JobMode::Isolate,
        value::JobMode::IgnoreDependencies => JobMode::IgnoreDependencies,
        value::JobMode::IgnoreRequirements => JobMode::IgnoreRequirements,
        value::JobMode::ReplaceIrreversibly => JobMode::ReplaceIrreversibly,
        value::JobMode::Flush => JobMode::Flush,
        value::JobMode::RestartDependencies => JobMode::RestartDependencies,
        value::JobMode::Triggering => JobMode::Triggering,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Relation;
    use model::UnitName;

    fn unit(name: &str) -> Unit {
        Unit::new(UnitName::new(name).unwrap())
    }

    #[test]
    fn a_bare_service_has_the_defaults_of_its_type() {
        let mut bare = unit("web.service");
        bare.set(
            &key::EXEC_START,
            ExecCommands(vec![value::ExecCommand::new("/bin/true", &[])]),
        );
        let config = UnitConfig::from(&bare);
        assert_eq!(
            config.kind,
            Kind::Service(Arc::new(ServiceConfig::new(ServiceType::Simple)))
        );
        assert_eq!(
            config.start_limit,
            RateLimit {
                interval: Micros::seconds(10),
                burst: 5
            }
        );
    }

    #[test]
    fn a_service_with_credentials_is_up_when_its_program_was_executed() {
        let mut secret = unit("web.service");
        secret.set(
            &key::EXEC_START,
            ExecCommands(vec![value::ExecCommand::new("/bin/true", &[])]),
        );
        let credential = value::SetCredential {
            name: "key".to_owned(),
            data: "secret".to_owned(),
        };
        secret.set(&key::SET_CREDENTIAL, [credential].into_iter().collect());
        let kind = |service_type| Kind::Service(Arc::new(ServiceConfig::new(service_type)));
        assert_eq!(UnitConfig::from(&secret).kind, kind(ServiceType::Exec));
        secret.set(&key::SERVICE_TYPE, value::ServiceType::Simple);
        assert_eq!(UnitConfig::from(&secret).kind, kind(ServiceType::Simple));
    }

    #[test]
    fn a_socket_comes_before_the_service_of_its_name() {
        let config = UnitConfig::from(&unit("web@1.socket"));
        assert!(
            config
                .relations
                .contains(&(Relation::Triggers, "web@1.service".into()))
        );
        assert!(
            config
                .relations
                .contains(&(Relation::Before, "web@1.service".into()))
        );
    }

    #[test]
    fn an_automount_comes_before_its_mount_and_goes_with_all_mounts() {
        let mut automount = unit("srv-data.automount");
        automount.set(&key::TIMEOUT_IDLE_SEC, TimeSpan::from_secs(5));
        let config = UnitConfig::from(&automount);
        let has = |relation, name: &str| config.relations.contains(&(relation, name.into()));
        assert!(has(Relation::Triggers, "srv-data.mount"));
        assert!(has(Relation::Before, "srv-data.mount"));
        assert!(
            has(Relation::Before, "umount.target") && has(Relation::Conflicts, "umount.target")
        );
        assert!(has(Relation::After, "local-fs-pre.target"));
        assert!(has(Relation::Before, "local-fs.target") && config.ignore_on_isolate);
        let Kind::Automount(own) = config.kind else {
            panic!("{config:?}")
        };
        assert_eq!(own.idle, Micros::seconds(5));
    }

    #[test]
    fn a_device_is_waited_for_and_not_without_end() {
        let config = UnitConfig::from(&unit("a.device"));
        assert_eq!(config.kind, Kind::Device);
        assert_eq!(config.job_running_timeout, Micros::seconds(90));
        assert!(config.ignore_on_isolate && config.relations.is_empty());
    }
}
