//! Words for numbers of the kernel.

use crate::Text;
use crate::step::Quota;

const NAMESPACES: [(u32, &str); 8] = [
    (0x0002_0000, "mounts"),
    (0x0200_0000, "control groups"),
    (0x0400_0000, "host name"),
    (0x0800_0000, "ipc"),
    (0x1000_0000, "users"),
    (0x2000_0000, "processes"),
    (0x4000_0000, "network"),
    (0x0000_0080, "clocks"),
];

const LIMITS: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

const ATTRIBUTES: [(u64, &str, &str); 4] = [
    (1, "read-only", "writable"),
    (2, "nosuid", "suid"),
    (4, "nodev", "dev"),
    (8, "noexec", "exec"),
];

/// A text without bytes that a terminal could act on.
pub(super) fn shown(text: Text<'_>) -> String {
    text.to_string_lossy()
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

pub(super) fn namespaces(kinds: u32) -> String {
    let names: Vec<&str> = NAMESPACES
        .iter()
        .filter(|(kind, _)| kinds & kind != 0)
        .map(|(_, name)| *name)
        .collect();
    names.join(", ")
}

pub(super) fn capabilities(set: u64) -> String {
    let all = model::value::CapabilitySet::FULL.0;
    let missing = all & !set;
    let names = |set: u64| {
        model::value::CapabilitySet(set & all)
            .names()
            .collect::<Vec<_>>()
            .join(" ")
    };
    match (set & all, missing) {
        (0, _) => "none".to_owned(),
        (_, 0) => "all".to_owned(),
        _ if missing.count_ones() < set.count_ones() => format!("all but {}", names(missing)),
        _ => names(set),
    }
}

pub(super) fn limit(resource: u32) -> &'static str {
    LIMITS.get(resource as usize).copied().unwrap_or("?")
}

pub(super) fn bounds(soft: u64, hard: u64) -> String {
    let word = |limit: u64| {
        if limit == u64::MAX {
            "infinity".to_owned()
        } else {
            limit.to_string()
        }
    };
    if soft == hard {
        word(soft)
    } else {
        format!("{}, up to {}", word(soft), word(hard))
    }
}

pub(super) fn attributes(set: u64, clear: u64) -> String {
    let on = ATTRIBUTES
        .iter()
        .filter(|(bit, ..)| set & bit != 0)
        .map(|(_, on, _)| *on);
    let off = ATTRIBUTES
        .iter()
        .filter(|(bit, ..)| clear & bit != 0)
        .map(|(.., off)| *off);
    on.chain(off).map(|word| format!(", {word}")).collect()
}

/// What a directory may hold, as the end of a sentence.
pub(super) fn quota(quota: &Quota) -> String {
    match quota {
        Quota::Unsaid => String::new(),
        Quota::Lifted => ", without a limit from before".into(),
        Quota::Counted => ", counted".into(),
        Quota::Bytes { most } => format!(", at most {most} bytes"),
        Quota::Share { permyriad } => format!(
            ", at most {} of its file system",
            model::value::Percent {
                permyriad: *permyriad
            }
        ),
    }
}

/// How a file is opened, by `O_` flags; nothing where it is for reading and writing.
pub(super) fn opening(flags: u32) -> &'static str {
    const READ_ONLY: u32 = 0;
    const ACCESS: u32 = 0o3;
    const TRUNCATE: u32 = 0o1000;
    const APPEND: u32 = 0o2000;
    match flags {
        flags if flags & ACCESS == READ_ONLY => " for reading",
        flags if flags & APPEND != 0 => " for appending",
        flags if flags & TRUNCATE != 0 => ", which is emptied",
        _ => "",
    }
}
