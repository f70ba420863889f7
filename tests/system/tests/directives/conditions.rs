//! What is tried before a start: it goes on or it ends, as the host is.

use coracle_system_tests::observations::{Files, Observation, units};

/// A unit of which a test says no, without which it starts.
const ONE: Files = &[(
    "$U.service",
    "[Unit]\nLINE\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n",
)];
/// The start is left out, and nobody is told that it failed.
const SKIPPED: &str = "coracle start $U 2> /dev/null; echo $? $(coracle is-active $U)";

/// Of a condition and an assertion that never hold; the last one is a condition alone.
macro_rules! unmet {
    ($($both:literal)*; $condition:literal) => {
        pub(crate) const OBSERVATIONS: &[Observation] = &[
            $(units(concat!("Condition", $both), ONE, SKIPPED, "0 inactive"),)*
            $(units(concat!("Assert", $both), ONE, SKIPPED, "1 inactive"),)*
            units(concat!("Condition", $condition), ONE, SKIPPED, "0 inactive"),
        ];
    };
}

unmet! {
    "ACPower=false"
    "Architecture=m68k"
    "CPUFeature=nonexistent"
    "CPUPressure=!100%"
    "CPUs=<1"
    "Capability=!CAP_CHOWN"
    "ControlGroupController=cpuacct"
    "Credential=nonexistent"
    "DirectoryNotEmpty=/nonexistent"
    "Environment=NONEXISTENT"
    "FileIsExecutable=/etc/os-release"
    "FileNotEmpty=/dev/null"
    "FirstBoot=yes"
    "Fraction=0%"
    "Group=65533"
    "Host=nonexistent"
    "IOPressure=!100%"
    "KernelCommandLine=coracle.nonexistent"
    "KernelModuleLoaded=nonexistent"
    "KernelVersion=<1"
    "MachineTag=nonexistent"
    "Memory=<1"
    "MemoryPressure=!100%"
    "NeedsUpdate=!/proc"
    "OSRelease=ID=nonexistent"
    "PathExists=/nonexistent"
    "PathExistsGlob=/nonexistent*"
    "PathIsDirectory=/bin/sh"
    "PathIsEncrypted=/proc"
    "PathIsMountPoint=/usr/bin"
    "PathIsReadWrite=/nonexistent"
    "PathIsSocket=/usr"
    "PathIsSymbolicLink=/usr"
    "Security=nonexistent"
    "User=daemon"
    "Version=systemd <1"
    "Virtualization=nonexistent";
    "Firmware=nonexistent"
}
