//! The differences that are meant or not built yet, with the reasons. A case that passes must leave this list.

/// A check, a case of it, and why Coracle does otherwise, or why neither side can run it.
pub(super) const KNOWN: &[(&str, &str, &str)] = &[
    (EXECUTE, "exec-cpuaffinity3.service", "wants a third CPU"),
    (
        EXECUTE,
        "exec-execsearchpath-passenvironment-set.service",
        "PATH=/usr in systemd's own environment is not set for it",
    ),
    (EXECUTE, "exec-execsearchpath-passenvironment.service", PASS),
    (EXECUTE, "exec-passenvironment.service", PASS),
    (EXECUTE, "exec-passenvironment-repeated.service", PASS),
    (EXECUTE, "exec-personality-s390x.service", MACHINE),
    (EXECUTE, "exec-personality-s390.service", MACHINE),
    (EXECUTE, "exec-personality-ppc64.service", MACHINE),
    (EXECUTE, "exec-personality-ppc64le.service", MACHINE),
    (EXECUTE, "exec-personality-aarch64.service", MACHINE),
    (EXECUTE, "exec-personality-loongarch64.service", MACHINE),
    (
        EXECUTE,
        "exec-privatetmp-disconnected-after-and-requires-for-var.service",
        "the container has no var.mount",
    ),
    (EXECUTE, "exec-privatedevices-bind.service", NO_KMSG),
    (
        EXECUTE,
        "exec-privatedevices-disabled-by-prefix.service",
        NO_KMSG,
    ),
    (EXECUTE, "exec-privatedevices-no.service", NO_KMSG),
    (
        EXECUTE,
        "exec-privatedevices-no-capability-sys-rawio.service",
        NO_CAPABILITY,
    ),
    (
        EXECUTE,
        "exec-protectkernelmodules-no-capabilities.service",
        NO_CAPABILITY,
    ),
    (
        EXECUTE,
        "exec-oomscoreadjust-negative.service",
        NO_CAPABILITY,
    ),
    (
        EXECUTE,
        "exec-temporaryfilesystem-options.service",
        "counts the fields of /proc/self/mountinfo as mounts have them that propagate; a service's own mounts don't here",
    ),
    (
        EXECUTE,
        "exec-dynamicuser-fixeduser-adm.service",
        "Debian has a group adm and no such user: both refuse it, Coracle before there is a process",
    ),
    (
        EXECUTE,
        "exec-dynamicuser-statedir-migrate-step1.service (again)",
        "what was a dynamic user's becomes no static user's by itself: an administrator moves it out of /var/lib/private",
    ),
    (
        EXECUTE,
        "exec-specifier-user.service",
        "is for the manager of a user",
    ),
];

const EXECUTE: &str = "test-execute";
const PASS: &str = "PassEnvironment=: the manager has no environment of its own to pass on";
const MACHINE: &str = "is for another architecture";
const NO_KMSG: &str = "a container has no /dev/kmsg";
const NO_CAPABILITY: &str = "a container has not the capability";
