//! Rows: the tests that skip a start.

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "ConditionACPower",
        directive: key::CONDITION_AC_POWER.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the machine runs on mains power."),
        since: said("244"),
        ..Row::FREE
    },
    Row {
        name: "ConditionArchitecture",
        directive: key::CONDITION_ARCHITECTURE.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the machine has this architecture."),
        since: said("201"),
        ..Row::FREE
    },
    Row {
        name: "ConditionCPUFeature",
        directive: key::CONDITION_CPU_FEATURE.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the processor has this feature."),
        since: said("248"),
        ..Row::FREE
    },
    Row {
        name: "ConditionCPUPressure",
        directive: key::CONDITION_CPU_PRESSURE.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the pressure on processors is below a bound."),
        since: said("250"),
        ..Row::FREE
    },
    Row {
        name: "ConditionCPUs",
        directive: key::CONDITION_CPUS.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the number of processors fits."),
        since: said("244"),
        ..Row::FREE
    },
    Row {
        name: "ConditionCapability",
        directive: key::CONDITION_CAPABILITY.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the manager can have this capability."),
        since: said("244"),
        ..Row::FREE
    },
    Row {
        name: "ConditionControlGroupController",
        directive: key::CONDITION_CONTROL_GROUP_CONTROLLER.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where this control group controller is there."),
        since: said("244"),
        ..Row::FREE
    },
    Row {
        name: "ConditionCredential",
        directive: key::CONDITION_CREDENTIAL.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where this credential was handed to the manager."),
        since: said("252"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionDirectoryNotEmpty",
        directive: key::CONDITION_DIRECTORY_NOT_EMPTY.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where this directory is not empty."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionEnvironment",
        directive: key::CONDITION_ENVIRONMENT.directive(),
        value: &CONDITIONS,
        summary: said(
            "Starts the unit only where this environment variable of the manager is set.",
        ),
        since: said("246"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionFileIsExecutable",
        directive: key::CONDITION_FILE_IS_EXECUTABLE.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where this file can be executed."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionFileNotEmpty",
        directive: key::CONDITION_FILE_NOT_EMPTY.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where this file is not empty."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionFirmware",
        directive: key::CONDITION_FIRMWARE.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the machine has this firmware."),
        since: said("249"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionFirstBoot",
        directive: key::CONDITION_FIRST_BOOT.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where this is the first boot of the system."),
        since: said("244"),
        ..Row::FREE
    },
    Row {
        name: "ConditionFraction",
        directive: key::CONDITION_FRACTION.directive(),
        value: &CONDITIONS,
        summary: said(
            "Starts the unit only where this machine falls into a share of all machines.",
        ),
        since: said("261"),
        ..Row::FREE
    },
    Row {
        name: "ConditionGroup",
        directive: key::CONDITION_GROUP.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the manager's user is in this group."),
        since: said("244"),
        ..Row::FREE
    },
    Row {
        name: "ConditionHost",
        directive: key::CONDITION_HOST.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the host has this name or machine id."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionIOPressure",
        directive: key::CONDITION_IO_PRESSURE.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the pressure on disks is below a bound."),
        since: said("250"),
        ..Row::FREE
    },
    Row {
        name: "ConditionKernelCommandLine",
        directive: key::CONDITION_KERNEL_COMMAND_LINE.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the kernel was booted with this option."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionKernelModuleLoaded",
        directive: key::CONDITION_KERNEL_MODULE_LOADED.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where this kernel module is loaded."),
        since: said("258"),
        ..Row::FREE
    },
    Row {
        name: "ConditionKernelVersion",
        directive: key::CONDITION_KERNEL_VERSION.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the kernel's version fits."),
        since: said("244"),
        ..Row::FREE
    },
    Row {
        name: "ConditionMachineTag",
        directive: key::CONDITION_MACHINE_TAG.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the machine has this tag."),
        since: said("261"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionMemory",
        directive: key::CONDITION_MEMORY.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the amount of memory fits."),
        since: said("244"),
        ..Row::FREE
    },
    Row {
        name: "ConditionMemoryPressure",
        directive: key::CONDITION_MEMORY_PRESSURE.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the pressure on memory is below a bound."),
        since: said("250"),
        ..Row::FREE
    },
    Row {
        name: "ConditionNeedsUpdate",
        directive: key::CONDITION_NEEDS_UPDATE.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said(
            "Starts the unit only where this directory must be brought up to date after an update of /usr.",
        ),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionOSRelease",
        directive: key::CONDITION_OS_RELEASE.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the fields of os-release fit."),
        since: said("249"),
        ..Row::FREE
    },
    Row {
        name: "ConditionPathExists",
        directive: key::CONDITION_PATH_EXISTS.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where this path exists."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionPathExistsGlob",
        directive: key::CONDITION_PATH_EXISTS_GLOB.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where a path exists that matches this pattern."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionPathIsDirectory",
        directive: key::CONDITION_PATH_IS_DIRECTORY.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where this path is a directory."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionPathIsEncrypted",
        directive: key::CONDITION_PATH_IS_ENCRYPTED.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where this path is on an encrypted disk."),
        since: said("246"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionPathIsMountPoint",
        directive: key::CONDITION_PATH_IS_MOUNT_POINT.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where this path is a mount point."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionPathIsReadWrite",
        directive: key::CONDITION_PATH_IS_READ_WRITE.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where this path is on a writable file system."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionPathIsSocket",
        directive: key::CONDITION_PATH_IS_SOCKET.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where this path is a socket."),
        since: said("260"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionPathIsSymbolicLink",
        directive: key::CONDITION_PATH_IS_SYMBOLIC_LINK.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Starts the unit only where this path is a symbolic link."),
        since: said("244"),
        ..Row::ASKS
    },
    Row {
        name: "ConditionSecurity",
        directive: key::CONDITION_SECURITY.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where this security technology is on."),
        since: said("244"),
        ..Row::FREE
    },
    Row {
        name: "ConditionUser",
        directive: key::CONDITION_USER.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the manager runs as this user."),
        since: said("244"),
        ..Row::FREE
    },
    Row {
        name: "ConditionVersion",
        directive: key::CONDITION_VERSION.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the version of a program fits."),
        since: said("258"),
        ..Row::FREE
    },
    Row {
        name: "ConditionVirtualization",
        directive: key::CONDITION_VIRTUALIZATION.directive(),
        value: &CONDITIONS,
        summary: said("Starts the unit only where the machine is virtual, or not."),
        since: said("244"),
        ..Row::FREE
    },
];
