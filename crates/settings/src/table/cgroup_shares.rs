//! Rows: processors and disks.

use model::key;

use crate::row::{Row, later, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "AllowedCPUs",
        directive: key::ALLOWED_CPUS.directive(),
        value: &CPU_SET,
        summary: said("Says on which processors the unit runs."),
        since: said("244"),
        may_reduce: true,
        bus: said("ay"),
        ..Row::ASKS
    },
    Row {
        name: "AllowedMemoryNodes",
        directive: key::ALLOWED_MEMORY_NODES.directive(),
        value: &CPU_SET,
        summary: said("Says on which memory nodes the unit's pages are."),
        since: said("244"),
        may_reduce: true,
        bus: said("ay"),
        ..Row::ASKS
    },
    Row {
        name: "BlockIOAccounting",
        directive: key::BLOCK_IO_ACCOUNTING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Did count disk access; IOAccounting= is its successor."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "BlockIODeviceWeight",
        directive: key::BLOCK_IO_DEVICE_WEIGHT.directive(),
        value: &DEVICE_WEIGHTS,
        summary: said("Did weigh disk access by device; IODeviceWeight= does."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "BlockIOReadBandwidth",
        directive: key::BLOCK_IO_READ_BANDWIDTH.directive(),
        value: &DEVICE_AMOUNTS,
        summary: said("Did bound reading; IOReadBandwidthMax= does."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "BlockIOWeight",
        directive: key::BLOCK_IO_WEIGHT.directive(),
        value: &WEIGHT,
        summary: said("Did weigh disk access; IOWeight= does."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "BlockIOWriteBandwidth",
        directive: key::BLOCK_IO_WRITE_BANDWIDTH.directive(),
        value: &DEVICE_AMOUNTS,
        summary: said("Did bound writing; IOWriteBandwidthMax= does."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "CPUAccounting",
        directive: key::CPU_ACCOUNTING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Did count processor time, which is always counted now."),
        status: later::GONE,
        ..Row::FREE
    },
    Row {
        name: "CPUPressureThresholdSec",
        directive: key::CPU_PRESSURE_THRESHOLD_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Says how much stalling on processors is worth telling the service."),
        since: said("261"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "CPUPressureWatch",
        directive: key::CPU_PRESSURE_WATCH.directive(),
        value: &PRESSURE_WATCH,
        default_text: "auto",
        summary: said("Tells the service of processor pressure."),
        since: said("261"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "CPUQuota",
        directive: key::CPU_QUOTA.directive(),
        value: &PERCENT,
        summary: said("Bounds the unit's processor time, 100% being one processor."),
        since: said("213"),
        may_reduce: true,
        ..Row::FREE
    },
    Row {
        name: "CPUQuotaPeriodSec",
        directive: key::CPU_QUOTA_PERIOD_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "100ms",
        summary: said("Sets the period over which CPUQuota= is measured."),
        since: said("242"),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "CPUSetPartition",
        directive: key::CPUSET_PARTITION.directive(),
        value: &TEXT,
        summary: said("Makes the unit's processors a partition of their own."),
        since: said("261"),
        bus: said("s"),
        status: later::CONTROL_GROUPS,
        ..Row::NEVER
    },
    Row {
        name: "CPUShares",
        directive: key::CPU_SHARES.directive(),
        value: &WEIGHT,
        summary: said("Did weigh processor time; CPUWeight= does."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "CPUWeight",
        directive: key::CPU_WEIGHT.directive(),
        value: &WEIGHT,
        default_text: "100",
        summary: said("Weighs the unit's processor time against its siblings'."),
        since: said("232"),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "IOAccounting",
        directive: key::IO_ACCOUNTING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Counts disk access."),
        since: said("230"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "IODeviceLatencyTargetSec",
        directive: key::IO_DEVICE_LATENCY_TARGET_SEC.directive(),
        value: &DEVICE_LATENCIES,
        summary: said("Sets a target for the latency of a disk."),
        since: said("240"),
        may_reduce: true,
        bus: said("a(st)"),
        ..Row::ASKS
    },
    Row {
        name: "IODeviceWeight",
        directive: key::IO_DEVICE_WEIGHT.directive(),
        value: &DEVICE_WEIGHTS,
        summary: said("Weighs disk access by device."),
        since: said("230"),
        may_reduce: true,
        bus: said("a(st)"),
        ..Row::ASKS
    },
    Row {
        name: "IOPressureThresholdSec",
        directive: key::IO_PRESSURE_THRESHOLD_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Says how much stalling on disks is worth telling the service."),
        since: said("261"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "IOPressureWatch",
        directive: key::IO_PRESSURE_WATCH.directive(),
        value: &PRESSURE_WATCH,
        default_text: "auto",
        summary: said("Tells the service of disk pressure."),
        since: said("261"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "IOReadBandwidthMax",
        directive: key::IO_READ_BANDWIDTH_MAX.directive(),
        value: &DEVICE_AMOUNTS,
        summary: said("Bounds the bytes read from a disk per second."),
        since: said("230"),
        may_reduce: true,
        bus: said("a(st)"),
        ..Row::FREE
    },
    Row {
        name: "IOReadIOPSMax",
        directive: key::IO_READ_IOPS_MAX.directive(),
        value: &DEVICE_AMOUNTS,
        summary: said("Bounds the reads from a disk per second."),
        since: said("230"),
        may_reduce: true,
        bus: said("a(st)"),
        ..Row::FREE
    },
    Row {
        name: "IOWeight",
        directive: key::IO_WEIGHT.directive(),
        value: &WEIGHT,
        default_text: "100",
        summary: said("Weighs disk access against the unit's siblings."),
        since: said("230"),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "IOWriteBandwidthMax",
        directive: key::IO_WRITE_BANDWIDTH_MAX.directive(),
        value: &DEVICE_AMOUNTS,
        summary: said("Bounds the bytes written to a disk per second."),
        since: said("230"),
        may_reduce: true,
        bus: said("a(st)"),
        ..Row::FREE
    },
    Row {
        name: "IOWriteIOPSMax",
        directive: key::IO_WRITE_IOPS_MAX.directive(),
        value: &DEVICE_AMOUNTS,
        summary: said("Bounds the writes to a disk per second."),
        since: said("230"),
        may_reduce: true,
        bus: said("a(st)"),
        ..Row::FREE
    },
    Row {
        name: "StartupAllowedCPUs",
        directive: key::STARTUP_ALLOWED_CPUS.directive(),
        value: &CPU_SET,
        summary: said("Is AllowedCPUs= while the system starts and stops."),
        since: said("244"),
        may_reduce: true,
        bus: said("ay"),
        ..Row::ASKS
    },
    Row {
        name: "StartupAllowedMemoryNodes",
        directive: key::STARTUP_ALLOWED_MEMORY_NODES.directive(),
        value: &CPU_SET,
        summary: said("Is AllowedMemoryNodes= while the system starts and stops."),
        since: said("244"),
        may_reduce: true,
        bus: said("ay"),
        ..Row::ASKS
    },
    Row {
        name: "StartupBlockIOWeight",
        directive: key::STARTUP_BLOCK_IO_WEIGHT.directive(),
        value: &WEIGHT,
        summary: said("Did weigh disk access at start; StartupIOWeight= does."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "StartupCPUShares",
        directive: key::STARTUP_CPU_SHARES.directive(),
        value: &WEIGHT,
        summary: said("Did weigh processor time at start; StartupCPUWeight= does."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "StartupCPUWeight",
        directive: key::STARTUP_CPU_WEIGHT.directive(),
        value: &WEIGHT,
        summary: said("Is CPUWeight= while the system starts and stops."),
        since: said("232"),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "StartupIOWeight",
        directive: key::STARTUP_IO_WEIGHT.directive(),
        value: &WEIGHT,
        summary: said("Is IOWeight= while the system starts and stops."),
        since: said("230"),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
];
