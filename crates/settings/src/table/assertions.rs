//! Rows: the tests that fail a start.

use model::key;

use crate::row::{Row, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "AssertACPower",
        directive: key::ASSERT_AC_POWER.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the machine runs on mains power."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertArchitecture",
        directive: key::ASSERT_ARCHITECTURE.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the machine has this architecture."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertCPUFeature",
        directive: key::ASSERT_CPU_FEATURE.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the processor has this feature."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertCPUPressure",
        directive: key::ASSERT_CPU_PRESSURE.directive(),
        value: &CONDITIONS,
        summary: said(
            "Fails the start of the unit unless the pressure on processors is below a bound.",
        ),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertCPUs",
        directive: key::ASSERT_CPUS.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the number of processors fits."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertCapability",
        directive: key::ASSERT_CAPABILITY.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the manager can have this capability."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertControlGroupController",
        directive: key::ASSERT_CONTROL_GROUP_CONTROLLER.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless this control group controller is there."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertCredential",
        directive: key::ASSERT_CREDENTIAL.directive(),
        value: &CONDITIONS,
        summary: said(
            "Fails the start of the unit unless this credential was handed to the manager.",
        ),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertDirectoryNotEmpty",
        directive: key::ASSERT_DIRECTORY_NOT_EMPTY.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Fails the start of the unit unless this directory is not empty."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertEnvironment",
        directive: key::ASSERT_ENVIRONMENT.directive(),
        value: &CONDITIONS,
        summary: said(
            "Fails the start of the unit unless this environment variable of the manager is set.",
        ),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertFileIsExecutable",
        directive: key::ASSERT_FILE_IS_EXECUTABLE.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Fails the start of the unit unless this file can be executed."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertFileNotEmpty",
        directive: key::ASSERT_FILE_NOT_EMPTY.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Fails the start of the unit unless this file is not empty."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertFirstBoot",
        directive: key::ASSERT_FIRST_BOOT.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless this is the first boot of the system."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertFraction",
        directive: key::ASSERT_FRACTION.directive(),
        value: &CONDITIONS,
        summary: said(
            "Fails the start of the unit unless this machine falls into a share of all machines.",
        ),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertGroup",
        directive: key::ASSERT_GROUP.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the manager's user is in this group."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertHost",
        directive: key::ASSERT_HOST.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the host has this name or machine id."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertIOPressure",
        directive: key::ASSERT_IO_PRESSURE.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the pressure on disks is below a bound."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertKernelCommandLine",
        directive: key::ASSERT_KERNEL_COMMAND_LINE.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the kernel was booted with this option."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertKernelModuleLoaded",
        directive: key::ASSERT_KERNEL_MODULE_LOADED.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless this kernel module is loaded."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertKernelVersion",
        directive: key::ASSERT_KERNEL_VERSION.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the kernel's version fits."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertMachineTag",
        directive: key::ASSERT_MACHINE_TAG.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the machine has this tag."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertMemory",
        directive: key::ASSERT_MEMORY.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the amount of memory fits."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertMemoryPressure",
        directive: key::ASSERT_MEMORY_PRESSURE.directive(),
        value: &CONDITIONS,
        summary: said(
            "Fails the start of the unit unless the pressure on memory is below a bound.",
        ),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertNeedsUpdate",
        directive: key::ASSERT_NEEDS_UPDATE.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said(
            "Fails the start of the unit unless this directory must be brought up to date after an update of /usr.",
        ),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertOSRelease",
        directive: key::ASSERT_OS_RELEASE.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the fields of os-release fit."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertPathExists",
        directive: key::ASSERT_PATH_EXISTS.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Fails the start of the unit unless this path exists."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertPathExistsGlob",
        directive: key::ASSERT_PATH_EXISTS_GLOB.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said(
            "Fails the start of the unit unless a path exists that matches this pattern.",
        ),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertPathIsDirectory",
        directive: key::ASSERT_PATH_IS_DIRECTORY.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Fails the start of the unit unless this path is a directory."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertPathIsEncrypted",
        directive: key::ASSERT_PATH_IS_ENCRYPTED.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Fails the start of the unit unless this path is on an encrypted disk."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertPathIsMountPoint",
        directive: key::ASSERT_PATH_IS_MOUNT_POINT.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Fails the start of the unit unless this path is a mount point."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertPathIsReadWrite",
        directive: key::ASSERT_PATH_IS_READ_WRITE.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Fails the start of the unit unless this path is on a writable file system."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertPathIsSocket",
        directive: key::ASSERT_PATH_IS_SOCKET.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Fails the start of the unit unless this path is a socket."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertPathIsSymbolicLink",
        directive: key::ASSERT_PATH_IS_SYMBOLIC_LINK.directive(),
        value: &CONDITIONS_ON_PATHS,
        summary: said("Fails the start of the unit unless this path is a symbolic link."),
        since: said("218"),
        ..Row::ASKS
    },
    Row {
        name: "AssertSecurity",
        directive: key::ASSERT_SECURITY.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless this security technology is on."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertUser",
        directive: key::ASSERT_USER.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the manager runs as this user."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertVersion",
        directive: key::ASSERT_VERSION.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the version of a program fits."),
        since: said("218"),
        ..Row::FREE
    },
    Row {
        name: "AssertVirtualization",
        directive: key::ASSERT_VIRTUALIZATION.directive(),
        value: &CONDITIONS,
        summary: said("Fails the start of the unit unless the machine is virtual, or not."),
        since: said("218"),
        ..Row::FREE
    },
];
