//! What is tried before a start: it goes on or it ends, as the host is.

use coracle_system_tests::observations::{Files, Observation, units};

/// A unit of which a test says no, without which it starts.
const ONE: Files = &[(
    "$U.service",
    "[Unit]\nLINE\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
)];
/// The start is left out, and nobody is told that it failed.
const SKIPPED: &str = "coracle start $U 2> /dev/null; echo $? $(coracle is-active $U)";

pub(crate) const OBSERVATIONS: &[Observation] = &[
    units(
        "ConditionDirectoryNotEmpty=/nonexistent",
        ONE,
        SKIPPED,
        "0 inactive",
    ),
    units(
        "ConditionFileIsExecutable=/etc/os-release",
        ONE,
        SKIPPED,
        "0 inactive",
    ),
    units(
        "ConditionFileNotEmpty=/dev/null",
        ONE,
        SKIPPED,
        "0 inactive",
    ),
    units("ConditionHost=nonexistent", ONE, SKIPPED, "0 inactive"),
    units(
        "ConditionKernelCommandLine=coracle.nonexistent",
        ONE,
        SKIPPED,
        "0 inactive",
    ),
    units(
        "ConditionPathExists=/nonexistent",
        ONE,
        SKIPPED,
        "0 inactive",
    ),
    units(
        "ConditionPathIsDirectory=/bin/sh",
        ONE,
        SKIPPED,
        "0 inactive",
    ),
    units(
        "ConditionPathIsMountPoint=/usr/bin",
        ONE,
        SKIPPED,
        "0 inactive",
    ),
    units("ConditionPathIsSocket=/usr", ONE, SKIPPED, "0 inactive"),
    units(
        "ConditionPathIsSymbolicLink=/usr",
        ONE,
        SKIPPED,
        "0 inactive",
    ),
    units("ConditionUser=daemon", ONE, SKIPPED, "0 inactive"),
    units(
        "AssertDirectoryNotEmpty=/nonexistent",
        ONE,
        SKIPPED,
        "1 inactive",
    ),
    units(
        "AssertFileIsExecutable=/etc/os-release",
        ONE,
        SKIPPED,
        "1 inactive",
    ),
    units("AssertFileNotEmpty=/dev/null", ONE, SKIPPED, "1 inactive"),
    units("AssertHost=nonexistent", ONE, SKIPPED, "1 inactive"),
    units(
        "AssertKernelCommandLine=coracle.nonexistent",
        ONE,
        SKIPPED,
        "1 inactive",
    ),
    units("AssertPathExists=/nonexistent", ONE, SKIPPED, "1 inactive"),
    units("AssertPathIsDirectory=/bin/sh", ONE, SKIPPED, "1 inactive"),
    units(
        "AssertPathIsMountPoint=/usr/bin",
        ONE,
        SKIPPED,
        "1 inactive",
    ),
    units("AssertPathIsSocket=/usr", ONE, SKIPPED, "1 inactive"),
    units("AssertPathIsSymbolicLink=/usr", ONE, SKIPPED, "1 inactive"),
    units("AssertUser=daemon", ONE, SKIPPED, "1 inactive"),
];
