//! Rows: [Service] alone.

use model::key;

use crate::row::{Row, later};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "BusName",
        directive: key::BUS_NAME.directive(),
        value: &TEXT,
        summary: "Names the bus name that a service of Type=dbus takes.",
        bus: "s",
        status: later::SERVICES,
        ..Row::ASKS
    },
    Row {
        name: "BusPolicy",
        directive: key::BUS_POLICY.directive(),
        value: &WORDS,
        summary: "Did set the policy of a bus endpoint.",
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "ExecCondition",
        directive: key::EXEC_CONDITION.directive(),
        value: &EXEC_COMMANDS,
        summary: "Runs commands that decide whether the service starts at all.",
        since: "243",
        bus: "a(sasbttttuii)",
        ..Row::FREE
    },
    Row {
        name: "ExecReload",
        directive: key::EXEC_RELOAD.directive(),
        value: &EXEC_COMMANDS,
        summary: "Runs commands that make the service read its configuration again.",
        bus: "a(sasbttttuii)",
        ..Row::FREE
    },
    Row {
        name: "ExecReloadPost",
        directive: key::EXEC_RELOAD_POST.directive(),
        value: &EXEC_COMMANDS,
        summary: "Runs commands after a reload.",
        since: "259",
        bus: "a(sasbttttuii)",
        status: later::SERVICES,
        ..Row::FREE
    },
    Row {
        name: "ExecStart",
        directive: key::EXEC_START.directive(),
        value: &EXEC_COMMANDS,
        summary: "Runs the service's program.",
        bus: "a(sasbttttuii)",
        ..Row::FREE
    },
    Row {
        name: "ExecStartPost",
        directive: key::SERVICE_EXEC_START_POST.directive(),
        value: &EXEC_COMMANDS,
        summary: "Runs commands once the service has started.",
        bus: "a(sasbttttuii)",
        ..Row::FREE
    },
    Row {
        name: "ExecStartPre",
        directive: key::SERVICE_EXEC_START_PRE.directive(),
        value: &EXEC_COMMANDS,
        summary: "Runs commands before the service's program.",
        bus: "a(sasbttttuii)",
        ..Row::FREE
    },
    Row {
        name: "ExecStop",
        directive: key::EXEC_STOP.directive(),
        value: &EXEC_COMMANDS,
        summary: "Runs commands that stop the service.",
        bus: "a(sasbttttuii)",
        ..Row::FREE
    },
    Row {
        name: "ExecStopPost",
        directive: key::SERVICE_EXEC_STOP_POST.directive(),
        value: &EXEC_COMMANDS,
        summary: "Runs commands after the service has ended, however that was.",
        bus: "a(sasbttttuii)",
        ..Row::FREE
    },
    Row {
        name: "ExitType",
        directive: key::EXIT_TYPE.directive(),
        value: &EXIT_TYPE,
        default_text: "main",
        summary: "Says whose exit ends the service.",
        since: "250",
        bus: "s",
        status: later::SERVICES,
        ..Row::FREE
    },
    Row {
        name: "FailureAction",
        directive: key::SERVICE_FAILURE_ACTION.directive(),
        value: &EMERGENCY_ACTION,
        default_text: "none",
        summary: "Is the place where FailureAction= of [Unit] was.",
        since: "236",
        status: later::UNITS,
        stands_for: &[key::FAILURE_ACTION.directive()],
        ..Row::NEVER
    },
    Row {
        name: "FileDescriptorStoreMax",
        directive: key::FILE_DESCRIPTOR_STORE_MAX.directive(),
        value: &COUNT,
        summary: "Says how many descriptors the manager keeps for the service.",
        since: "219",
        bus: "u",
        status: later::SERVICES,
        ..Row::FREE
    },
    Row {
        name: "FileDescriptorStorePreserve",
        directive: key::FILE_DESCRIPTOR_STORE_PRESERVE.directive(),
        value: &DESCRIPTOR_PRESERVE,
        default_text: "restart",
        summary: "Says whether kept descriptors outlive a stop.",
        since: "254",
        bus: "s",
        status: later::SERVICES,
        ..Row::FREE
    },
    Row {
        name: "GuessMainPID",
        directive: key::GUESS_MAIN_PID.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: "Says whether the main process of a forking service is guessed.",
        bus: "b",
        status: later::SERVICES,
        ..Row::FREE
    },
    Row {
        name: "LUOSession",
        directive: key::LUO_SESSION.directive(),
        value: &TEXT,
        summary: "Names a session that survives a live update of the kernel.",
        since: "262",
        bus: "as",
        status: later::SERVICES,
        ..Row::NEVER
    },
    Row {
        name: "NonBlocking",
        directive: key::NON_BLOCKING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Makes the sockets that are handed over non-blocking.",
        bus: "b",
        ..Row::FREE
    },
    Row {
        name: "NotifyAccess",
        directive: key::NOTIFY_ACCESS.directive(),
        value: &NOTIFY_ACCESS,
        default_text: "none",
        summary: "Says whose notifications are taken.",
        weight: 1000,
        bus: "s",
        ..Row::FREE
    },
    Row {
        name: "OOMPolicy",
        directive: key::SERVICE_OOM_POLICY.directive(),
        value: &OOM_POLICY,
        default_text: "stop",
        summary: "Says what follows when the kernel kills for lack of memory.",
        since: "243",
        bus: "s",
        status: later::CONTROL_GROUPS,
        ..Row::FREE
    },
    Row {
        name: "OpenFile",
        directive: key::OPEN_FILE.directive(),
        value: &OPEN_FILES,
        summary: "Opens a file for the service.",
        since: "253",
        bus: "a(sst)",
        status: later::SERVICES,
        ..Row::NEVER
    },
    Row {
        name: "PermissionsStartOnly",
        directive: key::PERMISSIONS_START_ONLY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Did leave the user and the sandbox to the main command alone.",
        status: later::SERVICES,
        ..Row::NEVER
    },
    Row {
        name: "PIDFile",
        directive: key::PID_FILE.directive(),
        value: &PLAIN_PATH,
        summary: "Names the file with the main process of a forking service.",
        bus: "s",
        status: later::SERVICES,
        ..Row::ASKS
    },
    Row {
        name: "RebootArgument",
        directive: key::SERVICE_REBOOT_ARGUMENT.directive(),
        value: &TEXT,
        summary: "Is the place where RebootArgument= of [Unit] was.",
        since: "229",
        status: later::UNITS,
        stands_for: &[key::REBOOT_ARGUMENT.directive()],
        ..Row::NEVER
    },
    Row {
        name: "RefreshOnReload",
        directive: key::REFRESH_ON_RELOAD.directive(),
        value: &REFRESH_ON_RELOAD,
        summary: "Says what of the running service a reload brings up to date.",
        since: "260",
        bus: "as",
        status: later::SERVICES,
        ..Row::FREE
    },
    Row {
        name: "ReloadSignal",
        directive: key::RELOAD_SIGNAL.directive(),
        value: &SIGNAL,
        default_text: "SIGHUP",
        summary: "Names the signal that makes a service of Type=notify-reload reload.",
        since: "253",
        bus: "i",
        ..Row::FREE
    },
    Row {
        name: "RemainAfterExit",
        directive: key::REMAIN_AFTER_EXIT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Leaves the service active after its processes have ended.",
        bus: "b",
        ..Row::FREE
    },
    Row {
        name: "Restart",
        directive: key::RESTART.directive(),
        value: &RESTART,
        default_text: "no",
        summary: "Says after which ends the service is started again.",
        bus: "s",
        ..Row::FREE
    },
    Row {
        name: "RestartForceExitStatus",
        directive: key::RESTART_FORCE_EXIT_STATUS.directive(),
        value: &EXIT_STATUS_SET,
        summary: "Lists ends after which the service is started again in any case.",
        since: "215",
        bus: "(aiai)",
        ..Row::FREE
    },
    Row {
        name: "RestartMaxDelaySec",
        directive: key::RESTART_MAX_DELAY_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "infinity",
        summary: "Sets the longest pause before a restart, where pauses grow.",
        since: "254",
        bus: "t",
        ..Row::FREE
    },
    Row {
        name: "RestartMode",
        directive: key::RESTART_MODE.directive(),
        value: &RESTART_MODE,
        default_text: "normal",
        summary: "Says whether an automatic restart passes through the failed state.",
        since: "254",
        bus: "s",
        ..Row::FREE
    },
    Row {
        name: "RestartPreventExitStatus",
        directive: key::RESTART_PREVENT_EXIT_STATUS.directive(),
        value: &EXIT_STATUS_SET,
        summary: "Lists ends after which the service is not started again.",
        since: "189",
        bus: "(aiai)",
        ..Row::FREE
    },
    Row {
        name: "RestartRandomizedDelaySec",
        directive: key::RESTART_RANDOMIZED_DELAY_SEC.directive(),
        value: &TIME_SPAN,
        summary: "Adds a random time to the pause before a restart.",
        since: "262",
        bus: "t",
        status: later::SERVICES,
        ..Row::FREE
    },
    Row {
        name: "RestartSec",
        directive: key::RESTART_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "100ms",
        summary: "Sets the pause before a restart.",
        bus: "t",
        ..Row::FREE
    },
    Row {
        name: "RestartSteps",
        directive: key::RESTART_STEPS.directive(),
        value: &COUNT,
        summary: "Says in how many steps the pause grows to its longest.",
        since: "254",
        bus: "u",
        ..Row::FREE
    },
    Row {
        name: "RootDirectoryStartOnly",
        directive: key::ROOT_DIRECTORY_START_ONLY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: "Leaves the root directory to the main command alone.",
        bus: "b",
        status: later::SERVICES,
        ..Row::NEVER
    },
    Row {
        name: "RuntimeMaxSec",
        directive: key::SERVICE_RUNTIME_MAX_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "infinity",
        summary: "Bounds how long the service runs.",
        since: "229",
        bus: "t",
        ..Row::FREE
    },
    Row {
        name: "RuntimeRandomizedExtraSec",
        directive: key::SERVICE_RUNTIME_RANDOMIZED_EXTRA_SEC.directive(),
        value: &TIME_SPAN,
        summary: "Adds a random time to RuntimeMaxSec=.",
        since: "250",
        bus: "t",
        status: later::SERVICES,
        ..Row::FREE
    },
    Row {
        name: "Sockets",
        directive: key::SOCKETS.directive(),
        value: &UNIT_LIST,
        summary: "Names the socket units whose descriptors the service gets.",
        ..Row::ASKS
    },
    Row {
        name: "StartLimitAction",
        directive: key::SERVICE_START_LIMIT_ACTION.directive(),
        value: &EMERGENCY_ACTION,
        default_text: "none",
        summary: "Is the place where StartLimitAction= of [Unit] was.",
        since: "229",
        status: later::UNITS,
        stands_for: &[key::START_LIMIT_ACTION.directive()],
        ..Row::NEVER
    },
    Row {
        name: "StartLimitBurst",
        directive: key::SERVICE_START_LIMIT_BURST.directive(),
        value: &COUNT,
        default_text: "5",
        summary: "Is the place where StartLimitBurst= of [Unit] was.",
        since: "229",
        stands_for: &[key::START_LIMIT_BURST.directive()],
        ..Row::FREE
    },
    Row {
        name: "StartLimitInterval",
        directive: key::SERVICE_START_LIMIT_INTERVAL.directive(),
        value: &TIME_SPAN,
        default_text: "10s",
        summary: "Is the old name of StartLimitIntervalSec= of [Unit].",
        stands_for: &[key::START_LIMIT_INTERVAL_SEC.directive()],
        ..Row::FREE
    },
    Row {
        name: "SuccessExitStatus",
        directive: key::SUCCESS_EXIT_STATUS.directive(),
        value: &EXIT_STATUS_SET,
        summary: "Lists exit statuses and signals that count as success.",
        since: "189",
        bus: "(aiai)",
        ..Row::FREE
    },
    Row {
        name: "SysVStartPriority",
        directive: key::SYSV_START_PRIORITY.directive(),
        value: &SIGNED,
        summary: "Did order old boot scripts.",
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "TimeoutAbortSec",
        directive: key::TIMEOUT_ABORT_SEC.directive(),
        value: &TIMEOUT,
        summary: "Bounds how long the service takes to end after a missed watchdog.",
        since: "243",
        bus: "t",
        ..Row::FREE
    },
    Row {
        name: "TimeoutSec",
        directive: key::SERVICE_TIMEOUT_SEC.directive(),
        value: &TIMEOUT,
        summary: "Sets TimeoutStartSec= and TimeoutStopSec= at once.",
        stands_for: &[
            key::TIMEOUT_START_SEC.directive(),
            key::SERVICE_TIMEOUT_STOP_SEC.directive(),
        ],
        ..Row::FREE
    },
    Row {
        name: "TimeoutStartFailureMode",
        directive: key::TIMEOUT_START_FAILURE_MODE.directive(),
        value: &TIMEOUT_FAILURE_MODE,
        default_text: "terminate",
        summary: "Says how a service that did not start in time is ended.",
        since: "246",
        bus: "s",
        ..Row::FREE
    },
    Row {
        name: "TimeoutStartSec",
        directive: key::TIMEOUT_START_SEC.directive(),
        value: &TIMEOUT,
        default_text: "1min 30s",
        summary: "Bounds how long the service takes to start.",
        since: "188",
        bus: "t",
        ..Row::FREE
    },
    Row {
        name: "TimeoutStopFailureMode",
        directive: key::TIMEOUT_STOP_FAILURE_MODE.directive(),
        value: &TIMEOUT_FAILURE_MODE,
        default_text: "terminate",
        summary: "Says how a service that did not stop in time is ended.",
        since: "246",
        bus: "s",
        ..Row::FREE
    },
    Row {
        name: "TimeoutStopSec",
        directive: key::SERVICE_TIMEOUT_STOP_SEC.directive(),
        value: &TIMEOUT,
        default_text: "1min 30s",
        summary: "Bounds how long the service takes to stop.",
        since: "188",
        bus: "t",
        ..Row::FREE
    },
    Row {
        name: "Type",
        directive: key::SERVICE_TYPE.directive(),
        value: &SERVICE_TYPE,
        default_text: "simple",
        summary: "Says when the service counts as started.",
        bus: "s",
        ..Row::FREE
    },
    Row {
        name: "USBFunctionDescriptors",
        directive: key::USB_FUNCTION_DESCRIPTORS.directive(),
        value: &PLAIN_PATH,
        summary: "Names the descriptors of a USB gadget.",
        since: "227",
        bus: "s",
        status: later::SERVICES,
        ..Row::NEVER
    },
    Row {
        name: "USBFunctionStrings",
        directive: key::USB_FUNCTION_STRINGS.directive(),
        value: &PLAIN_PATH,
        summary: "Names the strings of a USB gadget.",
        since: "227",
        bus: "s",
        status: later::SERVICES,
        ..Row::NEVER
    },
    Row {
        name: "WatchdogSec",
        directive: key::WATCHDOG_SEC.directive(),
        value: &TIME_SPAN,
        summary: "Says how often the service must show that it is alive.",
        bus: "t",
        status: later::SERVICES,
        ..Row::FREE
    },
];
