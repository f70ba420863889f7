//! Resource control: which controller each setting needs, and the files that a run's group gets before its first process.

/// Settings by the controller of version 2 that applies them.
const CONTROLLERS: &[(&str, &[&str])] = &[
    (
        "cpu",
        &[
            "CPUWeight",
            "StartupCPUWeight",
            "CPUQuota",
            "CPUQuotaPeriodSec",
            "CPUShares",
            "StartupCPUShares",
        ],
    ),
    (
        "cpuset",
        &[
            "AllowedCPUs",
            "StartupAllowedCPUs",
            "AllowedMemoryNodes",
            "StartupAllowedMemoryNodes",
            "CPUSetPartition",
        ],
    ),
    (
        "io",
        &[
            "IOWeight",
            "StartupIOWeight",
            "IODeviceWeight",
            "IOReadBandwidthMax",
            "IOWriteBandwidthMax",
            "IOReadIOPSMax",
            "IOWriteIOPSMax",
            "IODeviceLatencyTargetSec",
            "IOAccounting",
        ],
    ),
    (
        "memory",
        &[
            "MemoryMin",
            "MemoryLow",
            "MemoryHigh",
            "MemoryMax",
            "MemorySwapMax",
            "MemoryZSwapMax",
            "MemoryZSwapWriteback",
            "MemoryAccounting",
            "StartupMemoryLow",
            "StartupMemoryHigh",
            "StartupMemoryMax",
            "DefaultMemoryMin",
            "DefaultMemoryLow",
            "MemoryLimit",
        ],
    ),
    ("pids", &["TasksMax", "TasksAccounting"]),
];

/// The controller that a setting needs; none for what is no limit of a controller's.
pub(crate) fn controller_of(directive: &str) -> Option<&'static str> {
    CONTROLLERS
        .iter()
        .find(|(_, names)| names.contains(&directive))
        .map(|(controller, _)| *controller)
}
