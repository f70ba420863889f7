//! Properties by the names that `systemctl show` has for them.

use crate::entry::Entry;
use crate::manager::Manager;
use model::value::TimeSpan;
use model::{Directive, Unit, key};
use std::collections::BTreeMap;
use wire::{Failure, ShowReply, ShowRequest, UnitProperties, UnitStatus};

/// Properties that everybody may see.
const PUBLIC: &[&str] = &[
    "Id",
    "Names",
    "Description",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "MainPID",
    "UnitFileState",
    "InvocationID",
    "NRestarts",
    "HealthState",
    "ActiveEnterTimestamp",
    "InactiveEnterTimestamp",
    "Triggers",
    "TriggeredBy",
    "Version",
    "KeeperPID",
    "ManagerPID",
    "SystemState",
];

impl Manager {
    pub(crate) fn show(&mut self, input: &ShowRequest, all: bool) -> Result<ShowReply, Failure> {
        let mut units = Vec::new();
        if input.names.is_empty() {
            units.push(UnitProperties {
                unit: String::new(),
                properties: self.own_properties(),
            });
        } else {
            for id in self.select_for(&input.names, all)? {
                let (Some(status), Some(entry)) = (self.status_of(id, all), self.units.get(&id))
                else {
                    continue;
                };
                let mut properties = properties(&status, entry, &self.cgroup_text(&status));
                let related = self.related_to(id).into_iter();
                properties.extend(related.map(|(name, units)| (name.into(), units.join(" "))));
                units.push(UnitProperties {
                    unit: status.name.clone(),
                    properties,
                });
            }
        }
        self.forget_missing(&input.names);
        for unit in &mut units {
            unit.properties.retain(|name, _| {
                let asked = input.properties.is_empty()
                    || input.properties.iter().any(|wanted| wanted == name);
                asked && (all || PUBLIC.contains(&name.as_str()))
            });
        }
        Ok(ShowReply { units })
    }

    fn cgroup_text(&self, status: &UnitStatus) -> String {
        status.cgroup.clone().unwrap_or_default()
    }

    fn own_properties(&self) -> BTreeMap<String, String> {
        let jobs = self
            .units
            .keys()
            .filter(|id| self.engine.job(**id).is_some())
            .count();
        let environment: Vec<String> = self
            .environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let path: Vec<String> = self
            .loader
            .path()
            .directories()
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect();
        let own = [
            ("Version", env!("CARGO_PKG_VERSION").to_owned()),
            ("SystemState", self.state_name().to_owned()),
            ("KeeperPID", self.keeper.pid.to_string()),
            ("ManagerPID", std::process::id().to_string()),
            ("ManagerRestarts", self.keeper.restarts.to_string()),
            ("NNames", self.units.len().to_string()),
            ("NFailedUnits", self.engine.failed().to_string()),
            ("NJobs", jobs.to_string()),
            ("Environment", environment.join(" ")),
            ("UnitPath", path.join(" ")),
            (
                "ControlGroup",
                self.cgroups
                    .as_ref()
                    .map(crate::cgroup::Cgroups::root)
                    .unwrap_or_default(),
            ),
            (
                "RuntimeDirectory",
                self.directories.runtime.to_string_lossy().into_owned(),
            ),
        ];
        model::order::map(own.map(|(name, value)| (name.to_owned(), value)))
    }
}

/// A directive's value as a unit file would say it; several lines are joined by blanks.
pub(crate) fn printed(unit: &Unit, directive: Directive) -> String {
    let text = settings::print(unit, directive).join(" ");
    if text.is_empty() {
        settings::row(directive).default_text.to_owned()
    } else {
        text
    }
}

/// Type=, also of a service that does not say it.
pub(crate) fn service_type(unit: &Unit) -> String {
    let mut said = Unit::new(unit.name().clone());
    said.set(&key::SERVICE_TYPE, model::value::ServiceType::of(unit));
    printed(&said, key::SERVICE_TYPE.directive())
}

fn properties(status: &UnitStatus, entry: &Entry, cgroup: &str) -> BTreeMap<String, String> {
    let set = entry.unit.iter();
    let mut found = model::order::map(
        set.map(|(directive, _)| (directive.name().to_owned(), printed(&entry.unit, directive))),
    );
    let mut put = |name: &str, value: String| drop(found.insert(name.into(), value));
    let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
    put("Id", status.name.clone());
    put(
        "Names",
        std::iter::once(status.name.clone())
            .chain(status.aliases.iter().cloned())
            .collect::<Vec<_>>()
            .join(" "),
    );
    put("Description", status.description.clone());
    put("LoadState", status.load.clone());
    put("ActiveState", status.active.clone());
    put("SubState", status.sub.clone());
    put("Result", status.result.clone());
    put("FragmentPath", status.fragment.clone().unwrap_or_default());
    put("DropInPaths", status.drop_ins.join(" "));
    put("Transient", yes(status.transient));
    put("NeedDaemonReload", yes(status.needs_reload));
    put("ConditionResult", yes(status.failed_condition.is_none()));
    put("ControlGroup", cgroup.to_owned());
    put("Triggers", status.triggers.join(" "));
    put("TriggeredBy", status.triggered_by.join(" "));
    put(
        "Job",
        status
            .job
            .as_ref()
            .map(|job| job.id.to_string())
            .unwrap_or_default(),
    );
    put("StateChangeTimestamp", time(status.since_realtime_us));
    put(
        "InactiveExitTimestamp",
        time(status.inactive_exit_realtime_us),
    );
    put(
        "ActiveEnterTimestamp",
        time(status.active_enter_realtime_us),
    );
    put("ActiveExitTimestamp", time(status.active_exit_realtime_us));
    put(
        "InactiveEnterTimestamp",
        time(status.inactive_enter_realtime_us),
    );
    resource_properties(status, &mut found);
    storage_properties(status, &mut found);
    service_properties(status, &mut found);
    trigger_properties(status, entry, &mut found);
    found
}

/// What control groups count.
fn resource_properties(status: &UnitStatus, found: &mut BTreeMap<String, String>) {
    let mut put = |name: &str, value: String| drop(found.insert(name.into(), value));
    put("TasksCurrent", number(status.tasks));
    put("MemoryCurrent", number(status.memory_bytes));
    put("CPUUsageNSec", number(status.cpu_ns));
    put("MemoryPeak", number(status.memory_peak_bytes));
    put("MemorySwapCurrent", number(status.memory_swap_bytes));
    let io = status.io.as_ref();
    put("IOReadBytes", number(io.map(|io| io.read_bytes)));
    put("IOWriteBytes", number(io.map(|io| io.write_bytes)));
    put("IOReadOperations", number(io.map(|io| io.read_operations)));
    put(
        "IOWriteOperations",
        number(io.map(|io| io.write_operations)),
    );
    put(
        "FreezerState",
        status.freezer.clone().unwrap_or_else(|| "running".into()),
    );
    put("Slice", status.slice.clone().unwrap_or_default());
    let traffic = status.traffic.as_ref();
    put(
        "IPIngressBytes",
        number(traffic.map(|all| all.ingress_bytes)),
    );
    put(
        "IPIngressPackets",
        number(traffic.map(|all| all.ingress_packets)),
    );
    put("IPEgressBytes", number(traffic.map(|all| all.egress_bytes)));
    put(
        "IPEgressPackets",
        number(traffic.map(|all| all.egress_packets)),
    );
}

/// What the unit's directories hold, and what they may.
fn storage_properties(status: &UnitStatus, found: &mut BTreeMap<String, String>) {
    for storage in &status.storage {
        let name = match storage.kind.as_str() {
            "state" => "StateDirectoryQuotaUsage",
            "cache" => "CacheDirectoryQuotaUsage",
            _ => "LogsDirectoryQuotaUsage",
        };
        let most = storage.bytes_max.unwrap_or(u64::MAX);
        found.insert(name.into(), format!("{} {most}", storage.bytes));
    }
}

fn socket_properties(status: &UnitStatus, found: &mut BTreeMap<String, String>) {
    let Some(socket) = &status.socket else {
        return;
    };
    for (name, count) in [
        ("NAccepted", socket.accepted),
        ("NConnections", socket.connections),
        ("NRefused", socket.refused),
    ] {
        found.insert(name.into(), count.to_string());
    }
}

fn trigger_properties(status: &UnitStatus, entry: &Entry, found: &mut BTreeMap<String, String>) {
    if entry.name.kind() == model::UnitKind::Service {
        let stored = entry.store.len().to_string();
        found.insert("NFileDescriptorStore".into(), stored);
    }
    path_properties(status, found);
    socket_properties(status, found);
    let Some(timer) = &status.timer else {
        return;
    };
    let starts = status.triggers.first().cloned().unwrap_or_default();
    let spans = [
        &key::ON_ACTIVE_SEC,
        &key::ON_BOOT_SEC,
        &key::ON_STARTUP_SEC,
        &key::ON_UNIT_ACTIVE_SEC,
        &key::ON_UNIT_INACTIVE_SEC,
    ];
    let spans = spans.into_iter().flat_map(|key| {
        let all = entry.unit.get(key).into_iter().flat_map(|all| all.iter());
        all.map(|span| format!("{{ {}={span} }}", key.directive().name()))
    });
    let dates = entry.unit.get(&key::ON_CALENDAR);
    let dates = dates.into_iter().flat_map(|all| all.iter());
    let dates = dates.map(|date| format!("{{ OnCalendar={date} }}"));
    for (name, value) in [
        ("Unit", starts),
        ("TimersMonotonic", spans.collect::<Vec<_>>().join(" ")),
        ("TimersCalendar", dates.collect::<Vec<_>>().join(" ")),
        ("NextElapseUSecRealtime", time(timer.next_realtime_us)),
        ("NextElapseUSecMonotonic", span(timer.next_monotonic_us)),
        ("LastTriggerUSec", time(timer.last_realtime_us)),
        ("LastTriggerUSecMonotonic", span(timer.last_monotonic_us)),
    ] {
        found.insert(name.into(), value);
    }
}

fn path_properties(status: &UnitStatus, found: &mut BTreeMap<String, String>) {
    let Some(path) = &status.path else { return };
    let watches = path.watches.iter();
    let watches = watches.map(|one| format!("{} ({})", one.path, one.condition));
    found.insert("Paths".into(), watches.collect::<Vec<_>>().join(" "));
    let starts = status.triggers.first().cloned();
    found.insert("Unit".into(), starts.unwrap_or_default());
}

/// A time since the boot as words; what never comes is `infinity`.
fn span(us: Option<u64>) -> String {
    us.map_or(TimeSpan::INFINITY, TimeSpan).to_string()
}

fn service_properties(status: &UnitStatus, found: &mut BTreeMap<String, String>) {
    let Some(service) = &status.service else {
        return;
    };
    let exit = service.exit.clone().unwrap_or_default();
    // waitid(2): CLD_EXITED, CLD_KILLED, CLD_DUMPED.
    let code = match exit.code.as_str() {
        "exited" => 1,
        "killed" => 2,
        "dumped" => 3,
        _ => 0,
    };
    let main = service.main_pid.or(exit.pid).unwrap_or_default();
    health_properties(service, found);
    beside_properties(service, found);
    for (name, value) in [
        ("Type", service.kind.clone()),
        ("MainPID", service.main_pid.unwrap_or_default().to_string()),
        (
            "ControlPID",
            service.control_pid.unwrap_or_default().to_string(),
        ),
        ("ExecMainPID", main.to_string()),
        ("ExecMainCode", code.to_string()),
        ("ExecMainStatus", exit.status.to_string()),
        ("ExecMainStartTimestamp", time(exit.started_realtime_us)),
        ("ExecMainExitTimestamp", time(exit.ended_realtime_us)),
        (
            "StatusText",
            service.status_text.clone().unwrap_or_default(),
        ),
        (
            "StatusErrno",
            service.status_errno.unwrap_or_default().to_string(),
        ),
        (
            "InvocationID",
            service.invocation_id.clone().unwrap_or_default(),
        ),
        ("NRestarts", service.restarts.to_string()),
        (
            "NFileDescriptorStore",
            service.stored_descriptors.to_string(),
        ),
        (
            "UID",
            service
                .uid
                .map_or_else(|| "[not set]".into(), |uid| uid.to_string()),
        ),
        (
            "GID",
            service
                .gid
                .map_or_else(|| "[not set]".into(), |gid| gid.to_string()),
        ),
    ] {
        found.insert(name.into(), value);
    }
}

/// Under names of ours, where a run is beside the current one.
fn beside_properties(service: &wire::ServiceStatus, found: &mut BTreeMap<String, String>) {
    let Some(beside) = &service.beside else {
        return;
    };
    let pid = beside.main_pid.unwrap_or_default();
    for (name, value) in [
        ("BesideState", beside.state.clone()),
        ("BesideMainPID", pid.to_string()),
        ("BesideDeadline", time(beside.deadline_realtime_us)),
    ] {
        found.insert(name.into(), value);
    }
}

/// Under names of ours, where the service is asked.
fn health_properties(service: &wire::ServiceStatus, found: &mut BTreeMap<String, String>) {
    let Some(health) = &service.health else {
        return;
    };
    for (name, value) in [
        ("HealthState", health.state.clone()),
        ("HealthTimestamp", time(health.since_realtime_us)),
        ("HealthFailures", health.failures.to_string()),
        ("HealthLine", health.line.clone().unwrap_or_default()),
    ] {
        found.insert(name.into(), value);
    }
}

/// Microseconds since 1970; clients that want words for it have the time zone.
fn time(moment: Option<u64>) -> String {
    moment
        .map(|moment| format!("@{moment}"))
        .unwrap_or_default()
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "[not set]".into(), |value| value.to_string())
}
