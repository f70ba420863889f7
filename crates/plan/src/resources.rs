//! What the control group of a unit bounds: settings to the files of cgroup v2 and their text (Linux, Documentation/admin-guide/cgroup-v2.rst).

use model::value::{Amount, CpuSet, Percent, TimeSpan, Weight};
use model::{Directive, Facts, Unit, key};

/// One file of a unit's control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFile {
    /// Which directive asks for it.
    pub directive: Directive,
    /// Its name, such as `memory.max`; empty where the controller alone is asked for.
    pub name: &'static str,
    /// What is written.
    pub text: String,
}

/// What a processor's quota may be at least, in µs: the kernel refuses less.
const QUOTA_MIN_US: u64 = 1_000;
/// The kernel's bounds of the period, in µs.
const PERIOD_US: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;

/// What of memory, tasks, processors and nodes a unit's settings bound, in the order in which the files are written.
pub fn group_files(unit: &Unit, facts: &Facts) -> Vec<GroupFile> {
    let mut files = Vec::new();
    let mut add = |directive, name, text| {
        files.push(GroupFile {
            directive,
            name,
            text,
        });
    };
    for (setting, name, whole) in [
        (&key::MEMORY_MIN, "memory.min", facts.memory_bytes),
        (&key::MEMORY_LOW, "memory.low", facts.memory_bytes),
        (&key::MEMORY_HIGH, "memory.high", facts.memory_bytes),
        (&key::MEMORY_MAX, "memory.max", facts.memory_bytes),
        (&key::MEMORY_SWAP_MAX, "memory.swap.max", facts.memory_bytes),
        (&key::TASKS_MAX, "pids.max", facts.tasks_max),
    ] {
        if let Some(text) = unit
            .get(setting)
            .and_then(|amount| amount_text(*amount, whole))
        {
            add(setting.directive(), name, text);
        }
    }
    for setting in [&key::MEMORY_ACCOUNTING, &key::TASKS_ACCOUNTING] {
        if unit.get(setting) == Some(&true) {
            add(setting.directive(), "", String::new());
        }
    }
    match unit.get(&key::CPU_WEIGHT) {
        Some(Weight::Share(share)) => {
            add(key::CPU_WEIGHT.directive(), "cpu.weight", share.to_string());
        }
        Some(Weight::Idle) => add(key::CPU_WEIGHT.directive(), "cpu.idle", "1".into()),
        None => {}
    }
    if let Some(quota) = unit.get(&key::CPU_QUOTA) {
        let text = quota_text(*quota, unit.value(&key::CPU_QUOTA_PERIOD_SEC));
        add(key::CPU_QUOTA.directive(), "cpu.max", text);
    }
    for (setting, name) in [
        (&key::ALLOWED_CPUS, "cpuset.cpus"),
        (&key::ALLOWED_MEMORY_NODES, "cpuset.mems"),
    ] {
        if let Some(set) = unit.get(setting) {
            add(setting.directive(), name, set_text(set));
        }
    }
    files
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
        group_files(&unit, &facts)
            .iter()
            .map(|file| format!("{}={}", file.name, file.text))
            .collect()
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
