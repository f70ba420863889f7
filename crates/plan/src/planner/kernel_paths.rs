//! Files of the kernel that Protect directives close: tunables, modules, logs, control groups, the clock, the host name.

use model::value::{ProcSubset, ProtectControlGroups, ProtectHostname};
use model::{Directive, Key, key};

use super::Refusal;
use super::draft::Draft;
use super::mounts::{Cover, NO_DEVICES, NO_EXEC, NO_SUID, READ_ONLY};

const TUNABLES: [&str; 14] = [
    "/proc/acpi",
    "/proc/apm",
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/latency_stats",
    "/proc/mtrr",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/timer_stats",
    "/sys",
    "/sys/kernel/debug",
];
/// They tell addresses of the kernel's memory, or all of its content.
const SECRETS: [&str; 2] = ["/proc/kallsyms", "/proc/kcore"];
const MODULES: [&str; 2] = ["/lib/modules", "/usr/lib/modules"];
const LOGS: [&str; 2] = ["/dev/kmsg", "/proc/kmsg"];
const CLOCKS: [&str; 2] = ["/dev/rtc", "/dev/rtc0"];
const HOST_NAMES: [&str; 2] = ["/proc/sys/kernel/domainname", "/proc/sys/kernel/hostname"];

/// All of them.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if draft.is_on(&key::PROTECT_KERNEL_TUNABLES) {
        let directive = key::PROTECT_KERNEL_TUNABLES.directive();
        for path in there(draft, &TUNABLES) {
            draft.mounts.read_only(path, true, true, Some(directive));
        }
        // Control groups have a directive of their own.
        draft
            .mounts
            .read_only("/sys/fs/cgroup", false, true, Some(directive));
        hide(draft, &SECRETS, directive);
    }
    close(draft, &key::PROTECT_KERNEL_MODULES, &MODULES);
    close(draft, &key::PROTECT_KERNEL_LOGS, &LOGS);
    close(draft, &key::PROTECT_CLOCK, &CLOCKS);
    // A private name may be changed.
    if matches!(draft.value(&key::PROTECT_HOSTNAME), ProtectHostname::Yes(_)) {
        for path in there(draft, &HOST_NAMES) {
            draft
                .mounts
                .read_only(path, true, true, Some(key::PROTECT_HOSTNAME.directive()));
        }
    }
    control_groups(draft)
}

fn close(draft: &mut Draft<'_>, key: &Key<bool>, paths: &[&'static str]) {
    if draft.is_on(key) {
        hide(draft, paths, key.directive());
    }
}

fn hide(draft: &mut Draft<'_>, paths: &[&'static str], directive: Directive) {
    for path in there(draft, paths) {
        draft
            .mounts
            .cover(path, Cover::Inaccessible, 0, true, Some(directive));
    }
}

/// Without what is not there anyway: a /proc with processes alone, a /dev with pseudo-devices alone.
fn there(draft: &Draft<'_>, paths: &[&'static str]) -> Vec<&'static str> {
    let only_pids = draft.value(&key::PROC_SUBSET) == ProcSubset::Pid;
    let few_devices = draft.is_on(&key::PRIVATE_DEVICES);
    let gone = |path: &str| {
        (only_pids && path.starts_with("/proc/")) || (few_devices && path.starts_with("/dev/"))
    };
    paths.iter().copied().filter(|path| !gone(path)).collect()
}

fn control_groups(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    const PLACE: &str = "/sys/fs/cgroup";
    let directive = Some(key::PROTECT_CONTROL_GROUPS.directive());
    let mode = draft.value(&key::PROTECT_CONTROL_GROUPS);
    if matches!(
        mode,
        ProtectControlGroups::Private | ProtectControlGroups::Strict
    ) && draft.facts.namespaces.cgroup
    {
        let set = NO_SUID
            | NO_DEVICES
            | NO_EXEC
            | if mode == ProtectControlGroups::Strict {
                READ_ONLY
            } else {
                0
            };
        draft.mounts.replace(PLACE, Cover::Cgroups, set, directive);
    } else if mode != ProtectControlGroups::No {
        draft.mounts.read_only(PLACE, true, true, directive);
    }
    Ok(())
}
