//! What the control group of a unit bounds: settings to the files of cgroup v2 and their text (Linux, Documentation/admin-guide/cgroup-v2.rst).

use model::value::{
    Amount, CpuSet, DeviceAmounts, OomPolicy, Percent, PressureWatch, TimeSpan, Weight,
};
use model::{Directive, Facts, Key, Unit, key};

/// One file of a unit's control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFile {
    /// Which directive asks for it.
    pub directive: Directive,
    /// Its name, such as `memory.max`; empty where the controller alone is asked for.
    pub name: &'static str,
    /// What is written; after the numbers of the device, where it is of one.
    pub text: String,
    /// The block device, or a place in a file system on one.
    pub device: Option<String>,
}

/// When bounds hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// While the machine comes up or goes down: Startup…=, and where that says nothing what holds always.
    #[default]
    Startup,
    /// Else.
    Always,
}

/// What a processor's quota may be at least, in µs: the kernel refuses less.
const QUOTA_MIN_US: u64 = 1_000;
/// The kernel's bounds of the period, in µs.
const PERIOD_US: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;

/// What a file says in a group that nobody bounded.
const UNBOUNDED: &[(&str, &str)] = &[
    ("memory.min", "0"),
    ("memory.low", "0"),
    ("memory.high", "max"),
    ("memory.max", "max"),
    ("memory.swap.max", "max"),
    ("memory.zswap.max", "max"),
    ("memory.zswap.writeback", "1"),
    ("memory.oom.group", "0"),
    ("pids.max", "max"),
    ("cpu.weight", "100"),
    ("cpu.idle", "0"),
    ("cpu.max", "max 100000"),
    ("cpuset.cpus", "\n"),
    ("cpuset.mems", "\n"),
    ("io.latency", "target=0"),
    ("io.max", "rbps=max wbps=max riops=max wiops=max"),
];

/// What of memory, tasks, processors, nodes and devices a unit's settings bound, in the order in which the files are written.
pub fn group_files(unit: &Unit, facts: &Facts, when: When) -> Vec<GroupFile> {
    let mut files = Files {
        unit,
        when,
        found: Vec::new(),
    };
    files.memory(facts);
    files.accounting();
    files.processors();
    files.devices();
    files.found
}

/// Does a unit bound anything only while the machine comes up or goes down?
pub fn has_startup(unit: &Unit) -> bool {
    let mut set = unit.iter();
    set.any(|(directive, _)| directive.name().starts_with("Startup"))
}

/// The files that differ where a unit's settings changed; what is bounded no more gets what it has in a group that nobody bounded.
pub fn changed_files(old: &[GroupFile], new: &[GroupFile]) -> Vec<GroupFile> {
    let same_place =
        |one: &GroupFile, other: &GroupFile| (one.name, &one.device) == (other.name, &other.device);
    let freed = old.iter().filter(|one| {
        let stays = new.iter().any(|other| same_place(one, other));
        !stays && !one.name.is_empty()
    });
    let freed = freed.filter_map(|one| {
        let (_, text) = UNBOUNDED.iter().find(|(name, _)| *name == one.name)?;
        Some(GroupFile {
            text: (*text).to_owned(),
            ..one.clone()
        })
    });
    let set = new.iter().filter(|one| !old.contains(one)).cloned();
    freed.chain(set).collect()
}

struct Files<'a> {
    unit: &'a Unit,
    when: When,
    found: Vec<GroupFile>,
}

impl Files<'_> {
    fn add(&mut self, directive: Directive, name: &'static str, text: String) {
        self.found.push(GroupFile {
            directive,
            name,
            text,
            device: None,
        });
    }

    /// The value that holds now, and whose it is.
    fn value<T: model::Setting>(
        &self,
        always: &Key<T>,
        startup: Option<&Key<T>>,
    ) -> Option<(Directive, T)> {
        let startup = startup.filter(|_| self.when == When::Startup);
        let keys = startup.into_iter().chain([always]);
        keys.filter_map(|key| Some((key.directive(), self.unit.get(key)?.clone())))
            .next()
    }

    fn memory(&mut self, facts: &Facts) {
        let bytes = facts.memory_bytes;
        for (always, startup, name, whole) in [
            (&key::MEMORY_MIN, None, "memory.min", bytes),
            (
                &key::MEMORY_LOW,
                Some(&key::STARTUP_MEMORY_LOW),
                "memory.low",
                bytes,
            ),
            (
                &key::MEMORY_HIGH,
                Some(&key::STARTUP_MEMORY_HIGH),
                "memory.high",
                bytes,
            ),
            (
                &key::MEMORY_MAX,
                Some(&key::STARTUP_MEMORY_MAX),
                "memory.max",
                bytes,
            ),
            (
                &key::MEMORY_SWAP_MAX,
                Some(&key::STARTUP_MEMORY_SWAP_MAX),
                "memory.swap.max",
                bytes,
            ),
            (
                &key::MEMORY_ZSWAP_MAX,
                Some(&key::STARTUP_MEMORY_ZSWAP_MAX),
                "memory.zswap.max",
                bytes,
            ),
            (&key::TASKS_MAX, None, "pids.max", facts.tasks_max),
        ] {
            let value = self.value(always, startup);
            if let Some((directive, amount)) = value
                && let Some(text) = amount_text(amount, whole)
            {
                self.add(directive, name, text);
            }
        }
        if let Some((directive, writes)) = self.value(&key::MEMORY_ZSWAP_WRITEBACK, None) {
            self.add(
                directive,
                "memory.zswap.writeback",
                u8::from(writes).to_string(),
            );
        }
        self.out_of_memory();
    }

    /// What is only stopped needs the controller, too: it counts whom the kernel kills.
    fn out_of_memory(&mut self) {
        for policy in [&key::SERVICE_OOM_POLICY, &key::SCOPE_OOM_POLICY] {
            let text = match self.unit.get(policy) {
                Some(OomPolicy::Kill) => "1",
                Some(OomPolicy::Stop) => "0",
                Some(OomPolicy::Continue) | None => continue,
            };
            self.add(policy.directive(), "memory.oom.group", text.to_owned());
        }
    }

    fn accounting(&mut self) {
        for setting in [
            &key::MEMORY_ACCOUNTING,
            &key::TASKS_ACCOUNTING,
            &key::IO_ACCOUNTING,
        ] {
            if self.unit.get(setting) == Some(&true) {
                self.add(setting.directive(), "", String::new());
            }
        }
    }

    fn processors(&mut self) {
        match self.value(&key::CPU_WEIGHT, Some(&key::STARTUP_CPU_WEIGHT)) {
            Some((directive, Weight::Share(share))) => {
                self.add(directive, "cpu.weight", share.to_string());
            }
            Some((directive, Weight::Idle)) => self.add(directive, "cpu.idle", "1".into()),
            None => {}
        }
        if let Some((directive, quota)) = self.value(&key::CPU_QUOTA, None) {
            let text = quota_text(quota, self.unit.value(&key::CPU_QUOTA_PERIOD_SEC));
            self.add(directive, "cpu.max", text);
        }
        for (always, startup, name) in [
            (
                &key::ALLOWED_CPUS,
                &key::STARTUP_ALLOWED_CPUS,
                "cpuset.cpus",
            ),
            (
                &key::ALLOWED_MEMORY_NODES,
                &key::STARTUP_ALLOWED_MEMORY_NODES,
                "cpuset.mems",
            ),
        ] {
            if let Some((directive, set)) = self.value(always, Some(startup)) {
                self.add(directive, name, set_text(&set));
            }
        }
    }

    fn devices(&mut self) {
        if let Some((directive, Weight::Share(share))) =
            self.value(&key::IO_WEIGHT, Some(&key::STARTUP_IO_WEIGHT))
        {
            self.add(directive, "io.weight", format!("default {share}"));
        }
        for (setting, name, field) in [
            (&key::IO_DEVICE_WEIGHT, "io.weight", ""),
            (&key::IO_DEVICE_LATENCY_TARGET_SEC, "io.latency", "target="),
            (&key::IO_READ_BANDWIDTH_MAX, "io.max", "rbps="),
            (&key::IO_WRITE_BANDWIDTH_MAX, "io.max", "wbps="),
            (&key::IO_READ_IOPS_MAX, "io.max", "riops="),
            (&key::IO_WRITE_IOPS_MAX, "io.max", "wiops="),
        ] {
            let amounts = self.unit.get(setting).cloned().unwrap_or_default();
            self.of_devices(setting.directive(), name, field, &amounts);
        }
    }

    fn of_devices(
        &mut self,
        directive: Directive,
        name: &'static str,
        field: &str,
        amounts: &DeviceAmounts,
    ) {
        for one in &amounts.0 {
            let amount = match one.amount {
                u64::MAX => "max".to_owned(),
                amount => amount.to_string(),
            };
            self.found.push(GroupFile {
                directive,
                name,
                text: format!("{field}{amount}"),
                device: Some(one.device.clone()),
            });
        }
    }
}

/// A kind of pressure that a service may watch, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// `MEMORY`, `CPU`, `IO`: how its variables begin.
    pub name: &'static str,
    /// The file of its control group.
    pub file: &'static str,
    /// What it writes into the file; none: it is told not to watch.
    pub trigger: Option<String>,
    /// Which directive says so.
    pub directive: Directive,
}

/// How long processes have to wait in that time, in µs, unless the unit says otherwise.
const THRESHOLD_US: u64 = 200_000;
/// How long a watch looks back, in µs.
const WINDOW_US: u64 = 2_000_000;

/// What a service is told of pressure.
pub fn pressures(unit: &Unit) -> Vec<Pressure> {
    let kinds = [
        (
            "MEMORY",
            "memory.pressure",
            &key::MEMORY_PRESSURE_WATCH,
            &key::MEMORY_PRESSURE_THRESHOLD_SEC,
            key::MEMORY_ACCOUNTING.directive(),
        ),
        (
            "CPU",
            "cpu.pressure",
            &key::CPU_PRESSURE_WATCH,
            &key::CPU_PRESSURE_THRESHOLD_SEC,
            key::CPU_WEIGHT.directive(),
        ),
        (
            "IO",
            "io.pressure",
            &key::IO_PRESSURE_WATCH,
            &key::IO_PRESSURE_THRESHOLD_SEC,
            key::IO_ACCOUNTING.directive(),
        ),
    ];
    let mut found = Vec::new();
    for (name, file, watch, threshold, accounting) in kinds {
        let threshold = unit
            .get(threshold)
            .map_or(THRESHOLD_US, |span| span.micros());
        let threshold = threshold.min(WINDOW_US);
        let trigger = match unit.value(watch) {
            PressureWatch::Skip => continue,
            PressureWatch::Auto if !unit.is_set(accounting) => continue,
            PressureWatch::No => None,
            // The kernel reads to the zero.
            PressureWatch::Yes | PressureWatch::Auto => {
                Some(format!("some {threshold} {WINDOW_US}\0"))
            }
        };
        found.push(Pressure {
            name,
            file,
            trigger,
            directive: watch.directive(),
        });
    }
    found
}

/// Bytes or tasks; nothing where nothing is said.
fn amount_text(amount: Amount, whole: u64) -> Option<String> {
    match amount {
        Amount::Exactly(number) => Some(number.to_string()),
        Amount::Share(share) => {
            let part = u128::from(whole) * u128::from(share.permyriad) / 10_000;
            Some(part.to_string())
        }
        Amount::Infinity => Some("max".into()),
        Amount::Unset => None,
    }
}

/// Time on processors in each period, both in µs: 200% is the time of two.
fn quota_text(quota: Percent, period: TimeSpan) -> String {
    let period = period.micros().clamp(*PERIOD_US.start(), *PERIOD_US.end());
    let time = u128::from(period) * u128::from(quota.permyriad) / 10_000;
    let time = time.max(u128::from(QUOTA_MIN_US));
    format!("{time} {period}")
}

/// Numbers and ranges between commas.
fn set_text(set: &CpuSet) -> String {
    use model::TextForm as _;
    set.print_lines(model::Form::Plain)
        .join(",")
        .replace(' ', ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: impl FnOnce(&mut Unit)) -> Vec<String> {
        let mut unit = Unit::new("web.service".parse().expect("a name"));
        of(&mut unit);
        let facts = Facts {
            memory_bytes: 1 << 30,
            tasks_max: 1_000,
            ..Facts::default()
        };
        group_files(&unit, &facts, When::Always)
            .iter()
            .map(|file| match &file.device {
                Some(device) => format!("{}={device} {}", file.name, file.text),
                None => format!("{}={}", file.name, file.text),
            })
            .collect()
    }

    #[test]
    fn what_is_bounded_no_more_is_freed_and_what_stays_is_not_written() {
        let of = |set: &dyn Fn(&mut Unit)| {
            let mut unit = Unit::new("web.service".parse().expect("a name"));
            set(&mut unit);
            group_files(&unit, &Facts::default(), When::Always)
        };
        let old = of(&|unit| {
            unit.set(&key::MEMORY_MAX, Amount::Exactly(1 << 20));
            unit.set(&key::TASKS_MAX, Amount::Exactly(9));
        });
        let new = of(&|unit| {
            unit.set(&key::TASKS_MAX, Amount::Exactly(9));
            unit.set(&key::MEMORY_HIGH, Amount::Exactly(1 << 20));
        });
        let changed = changed_files(&old, &new);
        let changed: Vec<_> = changed
            .iter()
            .map(|file| (file.name, &*file.text))
            .collect();
        assert_eq!(changed, [("memory.max", "max"), ("memory.high", "1048576")]);
    }

    #[test]
    fn a_value_for_the_startup_holds_in_place_of_the_other_and_only_then() {
        let mut unit = Unit::new("web.service".parse().expect("a name"));
        unit.set(&key::CPU_WEIGHT, Weight::Share(20));
        unit.set(&key::STARTUP_CPU_WEIGHT, Weight::Share(500));
        unit.set(&key::STARTUP_IO_WEIGHT, Weight::Share(30));
        assert!(has_startup(&unit));
        for (when, expected) in [
            (When::Startup, &["500", "default 30"][..]),
            (When::Always, &["20"]),
        ] {
            let files = group_files(&unit, &Facts::default(), when);
            let texts: Vec<&str> = files.iter().map(|file| &*file.text).collect();
            assert_eq!(texts, expected, "{when:?}");
        }
    }

    #[test]
    fn devices_have_lines_of_their_own() {
        let amounts = |amount| {
            let device = "/dev/vdb".to_owned();
            DeviceAmounts(vec![model::value::DeviceAmount { device, amount }])
        };
        let found = files(|unit| {
            unit.set(&key::IO_WEIGHT, Weight::Share(50));
            unit.set(&key::IO_DEVICE_WEIGHT, amounts(7));
            unit.set(&key::IO_DEVICE_LATENCY_TARGET_SEC, amounts(25_000));
            unit.set(&key::IO_READ_BANDWIDTH_MAX, amounts(1_000_000));
            unit.set(&key::IO_WRITE_IOPS_MAX, amounts(u64::MAX));
        });
        let wanted = [
            "io.weight=default 50",
            "io.weight=/dev/vdb 7",
            "io.latency=/dev/vdb target=25000",
            "io.max=/dev/vdb rbps=1000000",
            "io.max=/dev/vdb wiops=max",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn pressure_is_watched_where_it_is_asked_for_or_accounted() {
        let of = |set: &dyn Fn(&mut Unit)| {
            let mut unit = Unit::new("web.service".parse().expect("a name"));
            set(&mut unit);
            let found = pressures(&unit).into_iter();
            found.map(|one| (one.name, one.trigger)).collect::<Vec<_>>()
        };
        assert_eq!(of(&|_| {}), []);
        let found = of(&|unit| {
            unit.set(&key::MEMORY_PRESSURE_WATCH, PressureWatch::Yes);
            unit.set(
                &key::MEMORY_PRESSURE_THRESHOLD_SEC,
                TimeSpan::from_millis(70),
            );
            unit.set(&key::CPU_PRESSURE_WATCH, PressureWatch::No);
            unit.set(&key::IO_ACCOUNTING, true);
        });
        let io = Some("some 200000 2000000\0".to_owned());
        let wanted = [
            ("MEMORY", Some("some 70000 2000000\0".to_owned())),
            ("CPU", None),
            ("IO", io),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_unit_without_limits_needs_no_file() {
        assert!(files(|_| {}).is_empty());
    }

    #[test]
    fn amounts_shares_and_no_bound_are_what_the_kernel_reads() {
        let found = files(|unit| {
            unit.set(&key::MEMORY_HIGH, Amount::Share(Percent::new(50)));
            unit.set(&key::MEMORY_MAX, Amount::Exactly(64 << 20));
            unit.set(&key::MEMORY_SWAP_MAX, Amount::Infinity);
            unit.set(&key::TASKS_MAX, Amount::Share(Percent::new(10)));
        });
        let wanted = [
            "memory.high=536870912",
            "memory.max=67108864",
            "memory.swap.max=max",
            "pids.max=100",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_quota_is_time_in_a_period_within_the_kernels_bounds() {
        let quota = |percent, period| {
            files(|unit| {
                unit.set(&key::CPU_QUOTA, Percent::new(percent));
                unit.set(&key::CPU_QUOTA_PERIOD_SEC, period);
            })
        };
        assert_eq!(
            quota(20, TimeSpan::from_millis(100)),
            ["cpu.max=20000 100000"]
        );
        assert_eq!(
            quota(200, TimeSpan::from_millis(10)),
            ["cpu.max=20000 10000"]
        );
        assert_eq!(quota(1, TimeSpan::from_millis(0)), ["cpu.max=1000 1000"]);
        assert_eq!(
            quota(50, TimeSpan::from_millis(9_000)),
            ["cpu.max=500000 1000000"]
        );
    }

    #[test]
    fn weights_and_sets_have_files_of_their_own() {
        let found = files(|unit| {
            unit.set(&key::CPU_WEIGHT, Weight::Idle);
            unit.set(&key::ALLOWED_CPUS, CpuSet(vec![0, 1, 2, 5]));
            unit.set(&key::MEMORY_ACCOUNTING, true);
        });
        assert_eq!(found, ["=", "cpu.idle=1", "cpuset.cpus=0-2,5"]);
    }
}
