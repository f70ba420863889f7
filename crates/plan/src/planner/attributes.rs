//! Limits and scheduling attributes of the process.

use model::facts::KernelVersion;
use model::value::{
    CpuAffinity, CpuSet, IoSchedulingClass, MemoryThp, NumaPolicy, ResourceLimit, SchedulingPolicy,
};
use model::{Key, key};

use super::Refusal;
use super::draft::Draft;
use crate::step::{HugePages, Step};

/// The kernel's number of each limit (getrlimit(2)).
const LIMITS: [(&Key<ResourceLimit>, u32); 16] = [
    (&key::LIMIT_CPU, 0),
    (&key::LIMIT_FSIZE, 1),
    (&key::LIMIT_DATA, 2),
    (&key::LIMIT_STACK, 3),
    (&key::LIMIT_CORE, 4),
    (&key::LIMIT_RSS, 5),
    (&key::LIMIT_NPROC, 6),
    (&key::LIMIT_NOFILE, 7),
    (&key::LIMIT_MEMLOCK, 8),
    (&key::LIMIT_AS, 9),
    (&key::LIMIT_LOCKS, 10),
    (&key::LIMIT_SIGPENDING, 11),
    (&key::LIMIT_MSGQUEUE, 12),
    (&key::LIMIT_NICE, 13),
    (&key::LIMIT_RTPRIO, 14),
    (&key::LIMIT_RTTIME, 15),
];

/// All of them.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    scheduling(draft)?;
    memory(draft);
    pages(draft)?;
    nodes(draft)?;
    for (key, resource) in LIMITS {
        if let Some(&limit) = draft.unit.get(key) {
            one_limit(draft, key, resource, limit)?;
        }
    }
    draft.push(
        key::UMASK.directive(),
        Step::Umask {
            mask: draft.value(&key::UMASK).0,
        },
    );
    Ok(())
}

/// Without the right to raise hard limits, the manager's own are the ceiling.
fn one_limit(
    draft: &mut Draft<'_>,
    key: &Key<ResourceLimit>,
    resource: u32,
    asked: ResourceLimit,
) -> Result<(), Refusal> {
    let may_raise = draft
        .facts
        .capabilities
        .contains(model::tables::capabilities::SYS_RESOURCE);
    let ceiling = draft
        .facts
        .limits
        .get(resource as usize)
        .map_or(u64::MAX, |(_, hard)| *hard);
    let mut limit = asked;
    if !may_raise && asked.hard > ceiling {
        let why = format!("only up to {ceiling}: raising hard limits needs CAP_SYS_RESOURCE here");
        // More than is possible is no weaker sandbox, so what is possible is given; the table still has to allow it.
        draft.cannot(key.directive(), &why)?;
        limit = ResourceLimit {
            soft: asked.soft.min(ceiling),
            hard: ceiling,
        };
    }
    draft.push(
        key.directive(),
        Step::Limit {
            resource,
            soft: limit.soft,
            hard: limit.hard,
        },
    );
    Ok(())
}

fn memory(draft: &mut Draft<'_>) {
    if let Some(filter) = draft.unit.get(&key::COREDUMP_FILTER) {
        draft.push(
            key::COREDUMP_FILTER.directive(),
            Step::CoredumpFilter {
                mask: filter.0.into(),
            },
        );
    }
    if let Some(slack) = draft.unit.get(&key::TIMER_SLACK_NSEC) {
        draft.push(
            key::TIMER_SLACK_NSEC.directive(),
            Step::TimerSlack {
                nanoseconds: slack.0,
            },
        );
    }
    if let Some(domain) = personality(draft) {
        draft.push(key::PERSONALITY.directive(), Step::Personality { domain });
    }
}

/// MemoryKSM= and MemoryTHP=.
fn pages(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if let Some(&merge) = draft.unit.get(&key::MEMORY_KSM) {
        let directive = key::MEMORY_KSM.directive();
        let why = "the kernel merges no pages: that needs Linux 6.4 with CONFIG_KSM";
        if draft.can(draft.facts.memory_merge, directive, why)? {
            draft.push(directive, Step::MemoryMerge { merge });
        }
    }
    let pages = match draft.value(&key::MEMORY_THP) {
        MemoryThp::Inherit => return Ok(()),
        MemoryThp::Disable => HugePages::Never,
        MemoryThp::Madvise => HugePages::Advised,
        MemoryThp::System => HugePages::Any,
    };
    let directive = key::MEMORY_THP.directive();
    let is_known = pages != HugePages::Advised || draft.facts.kernel >= ADVISED_SINCE;
    let why = "keeping those that are asked for needs Linux 6.18";
    if draft.can(is_known, directive, why)? {
        draft.push(directive, Step::HugePages { pages });
    }
    Ok(())
}

/// The first kernel that can disable huge pages but for those that are asked for.
const ADVISED_SINCE: KernelVersion = KernelVersion::new(6, 18);

/// NUMAPolicy= with NUMAMask=.
fn nodes(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let Some(policy) = draft.unit.get(&key::NUMA_POLICY) else {
        return Ok(());
    };
    let directive = key::NUMA_POLICY.directive();
    // The kernel's MPOL_ numbers, and whether nodes must, may or can't be named (set_mempolicy(2)).
    let (mode, needs, takes) = match policy {
        NumaPolicy::Default => (0, false, false),
        NumaPolicy::Preferred => (1, false, true),
        NumaPolicy::Bind => (2, true, true),
        NumaPolicy::Interleave => (3, true, true),
        NumaPolicy::Local => (4, false, false),
    };
    let mask = draft
        .unit
        .get(&key::NUMA_MASK)
        .map(mask)
        .unwrap_or_default();
    if needs && mask.is_empty() {
        return Err(Refusal {
            directive,
            why: "it needs nodes: NUMAMask= says which".to_owned(),
        });
    }
    let why = "the kernel knows no memory nodes";
    if draft.can(draft.facts.memory_nodes, directive, why)? {
        let nodes = if takes { mask.as_slice() } else { &[] };
        draft.push(directive, Step::MemoryPolicy { mode, nodes });
    }
    Ok(())
}

/// A bit for each number.
fn mask(set: &CpuSet) -> Vec<u8> {
    let Some(last) = set.0.iter().copied().max() else {
        return Vec::new();
    };
    let mut mask = vec![0u8; (usize::from(last) / 64 + 1) * 8];
    for &number in &set.0 {
        if let Some(byte) = mask.get_mut(usize::from(number) / 8) {
            *byte |= 1 << (number % 8);
        }
    }
    mask
}

/// The execution domain that Personality= asks for; the native machine is the domain 0.
pub(super) fn personality(draft: &Draft<'_>) -> Option<u32> {
    const PER_LINUX32: u32 = 8;
    let asked = draft.unit.get(&key::PERSONALITY)?;
    let narrow = matches!(
        (asked.as_str(), draft.facts.architecture),
        ("x86", "x86-64") | ("arm", "arm64")
    );
    Some(if narrow { PER_LINUX32 } else { 0 })
}

fn scheduling(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if let Some(score) = draft
        .unit
        .get(&key::OOM_SCORE_ADJUST)
        .map(|score| i32::from(score.0))
    {
        let directive = key::OOM_SCORE_ADJUST.directive();
        let may_lower = draft
            .facts
            .capabilities
            .contains(model::tables::capabilities::SYS_RESOURCE);
        if draft.can(
            score >= 0 || may_lower,
            directive,
            "lowering the score needs CAP_SYS_RESOURCE here",
        )? {
            draft.push(directive, Step::OomScore { adjust: score });
        }
    }
    if let Some(nice) = draft.unit.get(&key::NICE) {
        draft.push(
            key::NICE.directive(),
            Step::Nice {
                value: nice.0.into(),
            },
        );
    }
    policy(draft);
    if draft.unit.is_set(key::IO_SCHEDULING_CLASS.directive())
        || draft.unit.is_set(key::IO_SCHEDULING_PRIORITY.directive())
    {
        let class = match draft.value(&key::IO_SCHEDULING_CLASS) {
            IoSchedulingClass::Realtime => 1,
            IoSchedulingClass::Idle => 3,
            // A priority alone means the class that has priorities.
            IoSchedulingClass::None | IoSchedulingClass::BestEffort => 2,
        };
        let level = draft.value(&key::IO_SCHEDULING_PRIORITY);
        draft.push(
            key::IO_SCHEDULING_CLASS.directive(),
            Step::IoPriority { class, level },
        );
    }
    affinity(draft)
}

fn policy(draft: &mut Draft<'_>) {
    let keys = [
        key::CPU_SCHEDULING_POLICY.directive(),
        key::CPU_SCHEDULING_PRIORITY.directive(),
        key::CPU_SCHEDULING_RESET_ON_FORK.directive(),
    ];
    if !keys.iter().any(|directive| draft.unit.is_set(*directive)) {
        return;
    }
    let policy = draft.value(&key::CPU_SCHEDULING_POLICY);
    let number = match policy {
        SchedulingPolicy::Other => 0,
        SchedulingPolicy::Fifo => 1,
        SchedulingPolicy::RoundRobin => 2,
        SchedulingPolicy::Batch => 3,
        SchedulingPolicy::Idle => 5,
        SchedulingPolicy::Ext => 7,
    };
    let realtime = matches!(
        policy,
        SchedulingPolicy::Fifo | SchedulingPolicy::RoundRobin
    );
    // The kernel takes 1 to 99 for these and nothing but 0 for the others.
    let priority = if realtime {
        draft.value(&key::CPU_SCHEDULING_PRIORITY).clamp(1, 99)
    } else {
        0
    };
    let reset_on_fork = draft.is_on(&key::CPU_SCHEDULING_RESET_ON_FORK);
    draft.push(
        key::CPU_SCHEDULING_POLICY.directive(),
        Step::Scheduling {
            policy: number,
            priority,
            reset_on_fork,
        },
    );
}

/// The processors of the nodes of NUMAMask=.
fn of_nodes(draft: &Draft<'_>) -> Result<CpuSet, String> {
    let nodes = draft.unit.value(&key::NUMA_MASK);
    let mut processors = CpuSet::default();
    for node in &nodes.0 {
        let known = draft.facts.node_processors.iter();
        let of_node = known.clone().find(|(number, _)| number == node);
        let (_, of_node) = of_node.ok_or_else(|| format!("there is no memory node {node} here"))?;
        processors.0.extend(&of_node.0);
    }
    if processors.0.is_empty() {
        return Err("numa needs nodes with processors: NUMAMask= says which".to_owned());
    }
    Ok(processors)
}

fn affinity(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let directive = key::CPU_AFFINITY.directive();
    let Some(affinity) = draft.unit.get(&key::CPU_AFFINITY) else {
        return Ok(());
    };
    let processors = match affinity {
        CpuAffinity::Any => return Ok(()),
        CpuAffinity::Cpus(processors) => processors.clone(),
        CpuAffinity::Numa => match of_nodes(draft) {
            Ok(processors) => processors,
            Err(why) => return draft.cannot(directive, &why),
        },
    };
    let mut mask = mask(&processors);
    // No processor at all is the kernel's to refuse.
    if mask.is_empty() {
        mask = vec![0; 8];
    }
    draft.push(directive, Step::Affinity { mask: &mask });
    Ok(())
}
