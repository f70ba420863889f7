//! Rows: memory and tasks.

use model::key;

use crate::row::{Row, later, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "DefaultMemoryLow",
        directive: key::DEFAULT_MEMORY_LOW.directive(),
        value: &AMOUNT,
        summary: said("Did set the default of MemoryLow= of children."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "DefaultMemoryMin",
        directive: key::DEFAULT_MEMORY_MIN.directive(),
        value: &AMOUNT,
        summary: said("Did set the default of MemoryMin= of children."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "DefaultStartupMemoryLow",
        directive: key::DEFAULT_STARTUP_MEMORY_LOW.directive(),
        value: &AMOUNT,
        summary: said("Did set the default of StartupMemoryLow= of children."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "ManagedOOMMemoryPressure",
        directive: key::MANAGED_OOM_MEMORY_PRESSURE.directive(),
        value: &MANAGED_OOM,
        default_text: "auto",
        summary: said("Says whether the user-space memory killer acts on memory pressure."),
        since: said("247"),
        bus: said("s"),
        status: later::MEMORY_KILLER,
        ..Row::NEVER
    },
    Row {
        name: "ManagedOOMMemoryPressureDurationSec",
        directive: key::MANAGED_OOM_MEMORY_PRESSURE_DURATION_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Says how long memory pressure lasts before the killer acts."),
        since: said("257"),
        bus: said("t"),
        status: later::MEMORY_KILLER,
        ..Row::NEVER
    },
    Row {
        name: "ManagedOOMMemoryPressureLimit",
        directive: key::MANAGED_OOM_MEMORY_PRESSURE_LIMIT.directive(),
        value: &PERCENT,
        summary: said("Says how much memory pressure is too much."),
        since: said("247"),
        bus: said("u"),
        status: later::MEMORY_KILLER,
        ..Row::NEVER
    },
    Row {
        name: "ManagedOOMPreference",
        directive: key::MANAGED_OOM_PREFERENCE.directive(),
        value: &MANAGED_OOM_PREFERENCE,
        default_text: "none",
        summary: said("Says how gladly the memory killer of user space takes the unit."),
        since: said("248"),
        bus: said("s"),
        status: later::MEMORY_KILLER,
        ..Row::NEVER
    },
    Row {
        name: "ManagedOOMSwap",
        directive: key::MANAGED_OOM_SWAP.directive(),
        value: &MANAGED_OOM,
        default_text: "auto",
        summary: said("Says whether the user-space memory killer acts on the use of swap."),
        since: said("247"),
        bus: said("s"),
        status: later::MEMORY_KILLER,
        ..Row::NEVER
    },
    Row {
        name: "MemoryAccounting",
        directive: key::MEMORY_ACCOUNTING.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said("Counts the unit's memory."),
        since: said("208"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "MemoryHigh",
        directive: key::MEMORY_HIGH.directive(),
        value: &AMOUNT,
        default_text: "infinity",
        summary: said("Slows the unit down above this much memory."),
        since: said("231"),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "MemoryLimit",
        directive: key::MEMORY_LIMIT.directive(),
        value: &AMOUNT,
        default_text: "infinity",
        summary: said("Did bound the unit's memory; MemoryMax= does."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "MemoryLow",
        directive: key::MEMORY_LOW.directive(),
        value: &AMOUNT,
        summary: said("Protects this much of the unit's memory while others can give some."),
        since: said("240"),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "MemoryMax",
        directive: key::MEMORY_MAX.directive(),
        value: &AMOUNT,
        default_text: "infinity",
        summary: said("Bounds the unit's memory."),
        since: said("231"),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "MemoryMin",
        directive: key::MEMORY_MIN.directive(),
        value: &AMOUNT,
        summary: said("Protects this much of the unit's memory in any case."),
        since: said("240"),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "MemoryPressureThresholdSec",
        directive: key::MEMORY_PRESSURE_THRESHOLD_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Says how much stalling on memory is worth telling the service."),
        since: said("254"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "MemoryPressureWatch",
        directive: key::MEMORY_PRESSURE_WATCH.directive(),
        value: &PRESSURE_WATCH,
        default_text: "auto",
        summary: said("Tells the service of memory pressure."),
        since: said("254"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "MemorySwapMax",
        directive: key::MEMORY_SWAP_MAX.directive(),
        value: &AMOUNT,
        default_text: "infinity",
        summary: said("Bounds the unit's swap."),
        since: said("232"),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "MemoryZSwapMax",
        directive: key::MEMORY_ZSWAP_MAX.directive(),
        value: &AMOUNT,
        default_text: "infinity",
        summary: said("Bounds the unit's compressed swap."),
        since: said("253"),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "MemoryZSwapWriteback",
        directive: key::MEMORY_ZSWAP_WRITEBACK.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said("Says whether compressed swap is written out."),
        since: said("256"),
        may_reduce: true,
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "OOMRules",
        directive: key::OOM_RULES.directive(),
        value: &WORDS,
        summary: said("Names rule sets for the memory killer of user space."),
        since: said("261"),
        bus: said("as"),
        status: later::MEMORY_KILLER,
        ..Row::NEVER
    },
    Row {
        name: "StartupMemoryHigh",
        directive: key::STARTUP_MEMORY_HIGH.directive(),
        value: &AMOUNT,
        default_text: "infinity",
        summary: said("Is MemoryHigh= while the system starts and stops."),
        since: said("231"),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "StartupMemoryLow",
        directive: key::STARTUP_MEMORY_LOW.directive(),
        value: &AMOUNT,
        summary: said("Is MemoryLow= while the system starts and stops."),
        since: said("240"),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "StartupMemoryMax",
        directive: key::STARTUP_MEMORY_MAX.directive(),
        value: &AMOUNT,
        default_text: "infinity",
        summary: said("Is MemoryMax= while the system starts and stops."),
        since: said("231"),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
    Row {
        name: "StartupMemorySwapMax",
        directive: key::STARTUP_MEMORY_SWAP_MAX.directive(),
        value: &AMOUNT,
        default_text: "infinity",
        summary: said("Is MemorySwapMax= while the system starts and stops."),
        since: said("232"),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "StartupMemoryZSwapMax",
        directive: key::STARTUP_MEMORY_ZSWAP_MAX.directive(),
        value: &AMOUNT,
        default_text: "infinity",
        summary: said("Is MemoryZSwapMax= while the system starts and stops."),
        since: said("253"),
        may_reduce: true,
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "TasksAccounting",
        directive: key::TASKS_ACCOUNTING.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said("Counts the unit's tasks."),
        since: said("227"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "TasksMax",
        directive: key::TASKS_MAX.directive(),
        value: &AMOUNT,
        default_text: "infinity",
        summary: said("Bounds the unit's tasks."),
        since: said("227"),
        may_reduce: true,
        bus: said("t"),
        ..Row::ASKS
    },
];
