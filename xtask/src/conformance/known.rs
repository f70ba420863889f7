//! The differences that are meant or not built yet, with the reasons. A case that passes must leave this list.

/// A check, a case of it, and why Coracle does otherwise, or why neither side can run it.
pub(super) const KNOWN: &[(&str, &str, &str)] = &[
    (
        EXECUTE,
        "exec-cpuaffinity3.service",
        "wants a third CPU: `machine` has it",
    ),
    (
        EXECUTE,
        "exec-execsearchpath-passenvironment-set.service",
        "PATH=/usr in systemd's own environment is not set for it",
    ),
    (
        EXECUTE,
        "exec-passenvironment-absent.service",
        "wants a manager without the variables that the other cases are for",
    ),
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
        "exec-dynamicuser-fixeduser-adm.service",
        "Debian has a group adm and no such user: both refuse it, Coracle before there is a process",
    ),
    (
        EXECUTE,
        "exec-specifier.service",
        "an instance that is not the default one has its credentials (%d) at a place of its own",
    ),
    (
        EXECUTE,
        "exec-specifier-user.service",
        "is for the manager of a user",
    ),
    (
        PARSERS,
        "span: +1",
        "systemd takes a sign; nobody writes one",
    ),
    (PARSERS, "span: 18446744073709551614us", SIGNED),
    (PARSERS, "span: 584542y", SIGNED),
    (
        PARSERS,
        "span: 3.14159265358979h",
        "both cut long fractions, at another digit",
    ),
    (PARSERS, "escape as a path: /..", DOTS),
    (PARSERS, "escape as a path: /../a", DOTS),
    (PARSERS, "escape as a path: /../B", DOTS),
    (PARSERS, "escape as a path: //../_ ", DOTS),
    (PARSERS, "mangle: /../_ ", DOTS),
    (PARSERS, r"unescape: \\x00", NO_TEXT),
    (PARSERS, r"unescape a path: \\x00", NO_TEXT),
    (PARSERS, r"unescape: \\xff", NO_TEXT),
    (PARSERS, r"unescape a path: \\xff", NO_TEXT),
    (
        "unit-files",
        "linked although it would be found",
        "systemd, told of another root, makes a link over the unit by which it is found no more; nothing is to be done",
    ),
    (PARSERS, "unit name: a@b.slice", TEMPLATE),
    (PARSERS, "unit name: a@b.scope", TEMPLATE),
    (PARSERS, "unit name: a@b.mount", TEMPLATE),
    (
        TIMES,
        "after @1743294590 in Europe/Dublin: 3,1..2,1:0",
        LOST_DAY,
    ),
    (
        TIMES,
        "after @1743900000 in Africa/Casablanca: 02,03:30",
        LOST_DAY,
    ),
    (TIMES, "moment: 2012-11-31", NO_DAY),
    (TIMES, "moment: 2012-02-30", NO_DAY),
    (
        TIMES,
        "moment: 2012-11-23 23:59:60",
        "systemd takes it for the next minute; no clock shows such a second",
    ),
    (
        TIMES,
        "moment: 9999-12-30 23:59 UTC",
        "the library for times ends some hours earlier",
    ),
    (
        TIMES,
        "moment: 2012-1-2723:05:30.123456 Europe/London",
        "systemd needs no space between day and hour",
    ),
    (
        "packages",
        "chrony, chrony.service: values",
        "systemd takes CAP_SYSLOG away when it loads ProtectKernelLogs=, Coracle when it plans the start",
    ),
];

const PARSERS: &str = "parsers";
const SIGNED: &str = "systemd counts with a sign, and so half as far";
const DOTS: &str = "a path with two dots for a part is refused: what it means depends on links";
const NO_TEXT: &str = "bytes that are no text are refused";
const TEMPLATE: &str = "kinds without templates are told when the unit is loaded, not by the name";

const TIMES: &str = "times";
const LOST_DAY: &str = "where winter is what deviates from the standard time, systemd loses the rest of the day that skips an hour";
const NO_DAY: &str =
    "systemd counts on into the next month; a day that there is not is refused here";

const EXECUTE: &str = "test-execute";
const MACHINE: &str = "is for another architecture";
const NO_KMSG: &str = "a container has no /dev/kmsg: `machine` has it";
const NO_CAPABILITY: &str = "a container has not the capability: `machine` has it";
