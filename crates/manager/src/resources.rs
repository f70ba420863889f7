//! Resource control: which controller each setting needs, and the files that a unit's group gets before its first process.

use crate::manager::Manager;
use engine::UnitId;
use wire::Failure;

/// Settings by the controller of version 2 that applies them.
pub(crate) const CONTROLLERS: &[(&str, &[&str])] = &[
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

impl Manager {
    /// Bounds the group of a unit, before a process is in it.
    ///
    /// # Errors
    /// A bound that the kernel does not take: the start ends with it.
    pub(crate) fn bound_group(&mut self, unit: UnitId) -> Result<(), Failure> {
        let (Some(entry), Some(cgroups)) = (self.units.get(&unit), &mut self.cgroups) else {
            return Ok(());
        };
        let files = plan::resources::group_files(&entry.unit, &self.facts);
        if files.is_empty() {
            return Ok(());
        }
        let name = entry.name.to_string();
        cgroups
            .bound(&name, &files)
            .map_err(|(file, error)| Failure::Refused {
                unit: name.clone(),
                directive: file.directive.name().into(),
                message: match file.name {
                    "" => format!(
                        "can't be applied: control groups don't get the controller that it needs: {error}"
                    ),
                    name => format!(
                        "can't be applied: its control group does not take {:?} as {name}: {error}",
                        file.text
                    ),
                },
            })
    }
}
