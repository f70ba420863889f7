//! Rows: [Service] alone.

use model::key;

use crate::row::{Row, later, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "BusName",
        directive: key::BUS_NAME.directive(),
        value: &BUS_NAME,
        summary: said("Names the bus name that a service of Type=dbus takes."),
        bus: said("s"),
        ..Row::ASKS
    },
    Row {
        name: "BusPolicy",
        directive: key::BUS_POLICY.directive(),
        value: &WORDS,
        summary: said("Did set the policy of a bus endpoint."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "ExecCondition",
        directive: key::EXEC_CONDITION.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands that decide whether the service starts at all."),
        since: said("243"),
        bus: said("a(sasbttttuii)"),
        ..Row::FREE
    },
    Row {
        name: "ExecReload",
        directive: key::EXEC_RELOAD.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands that make the service read its configuration again."),
        bus: said("a(sasbttttuii)"),
        ..Row::FREE
    },
    Row {
        name: "ExecReloadPost",
        directive: key::EXEC_RELOAD_POST.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands after a reload."),
        since: said("259"),
        bus: said("a(sasbttttuii)"),
        ..Row::FREE
    },
    Row {
        name: "ExecStart",
        directive: key::EXEC_START.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs the service's program."),
        bus: said("a(sasbttttuii)"),
        ..Row::FREE
    },
    Row {
        name: "ExecStartPost",
        directive: key::SERVICE_EXEC_START_POST.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands once the service has started."),
        bus: said("a(sasbttttuii)"),
        ..Row::FREE
    },
    Row {
        name: "ExecStartPre",
        directive: key::SERVICE_EXEC_START_PRE.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands before the service's program."),
        bus: said("a(sasbttttuii)"),
        ..Row::FREE
    },
    Row {
        name: "ExecStop",
        directive: key::EXEC_STOP.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands that stop the service."),
        bus: said("a(sasbttttuii)"),
        ..Row::FREE
    },
    Row {
        name: "ExecStopPost",
        directive: key::SERVICE_EXEC_STOP_POST.directive(),
        value: &EXEC_COMMANDS,
        summary: said("Runs commands after the service has ended, however that was."),
        bus: said("a(sasbttttuii)"),
        ..Row::FREE
    },
    Row {
        name: "ExitType",
        directive: key::EXIT_TYPE.directive(),
        value: &EXIT_TYPE,
        default_text: "main",
        summary: said("Says whose exit ends the service."),
        since: said("250"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "FailureAction",
        directive: key::SERVICE_FAILURE_ACTION.directive(),
        value: &EMERGENCY_ACTION,
        default_text: "none",
        summary: said("Is the place where FailureAction= of [Unit] was."),
        since: said("236"),
        stands_for: &(&[key::FAILURE_ACTION.directive()] as &[_]),
        ..Row::NEVER
    },
    Row {
        name: "FileDescriptorStoreMax",
        directive: key::FILE_DESCRIPTOR_STORE_MAX.directive(),
        value: &COUNT,
        summary: said("Says how many descriptors the manager keeps for the service."),
        since: said("219"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "FileDescriptorStorePreserve",
        directive: key::FILE_DESCRIPTOR_STORE_PRESERVE.directive(),
        value: &DESCRIPTOR_PRESERVE,
        default_text: "restart",
        summary: said("Says whether kept descriptors outlive a stop."),
        since: said("254"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "GuessMainPID",
        directive: key::GUESS_MAIN_PID.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said("Says whether the main process of a forking service is guessed."),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "LUOSession",
        directive: key::LUO_SESSION.directive(),
        value: &TEXT,
        summary: said("Names a session that survives a live update of the kernel."),
        since: said("262"),
        bus: said("as"),
        status: later::SERVICES,
        ..Row::NEVER
    },
    Row {
        name: "NonBlocking",
        directive: key::NON_BLOCKING.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Makes the sockets that are handed over non-blocking."),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "NotifyAccess",
        directive: key::NOTIFY_ACCESS.directive(),
        value: &NOTIFY_ACCESS,
        default_text: "none",
        summary: said("Says whose notifications are taken."),
        weight: 1000,
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "OOMPolicy",
        directive: key::SERVICE_OOM_POLICY.directive(),
        value: &OOM_POLICY,
        default_text: "stop",
        summary: said("Says what follows when the kernel kills for lack of memory."),
        since: said("243"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "OpenFile",
        directive: key::OPEN_FILE.directive(),
        value: &OPEN_FILES,
        summary: said("Opens a file for the service."),
        since: said("253"),
        bus: said("a(sst)"),
        ..Row::NEVER
    },
    Row {
        name: "PermissionsStartOnly",
        directive: key::PERMISSIONS_START_ONLY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Did leave the user and the sandbox to the main command alone."),
        ..Row::NEVER
    },
    Row {
        name: "PIDFile",
        directive: key::PID_FILE.directive(),
        value: &PID_FILE_PATH,
        summary: said("Names the file with the main process of a service."),
        bus: said("s"),
        ..Row::ASKS
    },
    Row {
        name: "RebootArgument",
        directive: key::SERVICE_REBOOT_ARGUMENT.directive(),
        value: &REBOOT_ARGUMENT,
        summary: said("Is the place where RebootArgument= of [Unit] was."),
        since: said("229"),
        stands_for: &(&[key::REBOOT_ARGUMENT.directive()] as &[_]),
        ..Row::NEVER
    },
    Row {
        name: "RefreshOnReload",
        directive: key::REFRESH_ON_RELOAD.directive(),
        value: &REFRESH_ON_RELOAD,
        summary: said("Says what of the running service a reload brings up to date."),
        since: said("260"),
        bus: said("as"),
        status: later::SERVICES,
        ..Row::FREE
    },
    Row {
        name: "ReloadSignal",
        directive: key::RELOAD_SIGNAL.directive(),
        value: &SIGNAL,
        default_text: "SIGHUP",
        summary: said("Names the signal that makes a service of Type=notify-reload reload."),
        since: said("253"),
        bus: said("i"),
        ..Row::FREE
    },
    Row {
        name: "RemainAfterExit",
        directive: key::REMAIN_AFTER_EXIT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Leaves the service active after its processes have ended."),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "Restart",
        directive: key::RESTART.directive(),
        value: &RESTART,
        default_text: "no",
        summary: said("Says after which ends the service is started again."),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "RestartForceExitStatus",
        directive: key::RESTART_FORCE_EXIT_STATUS.directive(),
        value: &EXIT_STATUS_SET,
        summary: said("Lists ends after which the service is started again in any case."),
        since: said("215"),
        bus: said("(aiai)"),
        ..Row::FREE
    },
    Row {
        name: "RestartMaxDelaySec",
        directive: key::RESTART_MAX_DELAY_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "infinity",
        summary: said("Sets the longest pause before a restart, where pauses grow."),
        since: said("254"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "RestartMode",
        directive: key::RESTART_MODE.directive(),
        value: &RESTART_MODE,
        default_text: "normal",
        summary: said("Says whether an automatic restart passes through the failed state."),
        since: said("254"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "RestartPreventExitStatus",
        directive: key::RESTART_PREVENT_EXIT_STATUS.directive(),
        value: &EXIT_STATUS_SET,
        summary: said("Lists ends after which the service is not started again."),
        since: said("189"),
        bus: said("(aiai)"),
        ..Row::FREE
    },
    Row {
        name: "RestartRandomizedDelaySec",
        directive: key::RESTART_RANDOMIZED_DELAY_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Adds a random time to the pause before a restart."),
        since: said("262"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "RestartSec",
        directive: key::RESTART_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "100ms",
        summary: said("Sets the pause before a restart."),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "RestartSteps",
        directive: key::RESTART_STEPS.directive(),
        value: &COUNT,
        summary: said("Says in how many steps the pause grows to its longest."),
        since: said("254"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "RootDirectoryStartOnly",
        directive: key::ROOT_DIRECTORY_START_ONLY.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Leaves the root directory to the main command alone."),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "RuntimeMaxSec",
        directive: key::SERVICE_RUNTIME_MAX_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "infinity",
        summary: said("Bounds how long the service runs."),
        since: said("229"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "RuntimeRandomizedExtraSec",
        directive: key::SERVICE_RUNTIME_RANDOMIZED_EXTRA_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Adds a random time to RuntimeMaxSec=."),
        since: said("250"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "Sockets",
        directive: key::SOCKETS.directive(),
        value: &UNIT_LIST,
        summary: said("Names the socket units whose descriptors the service gets."),
        ..Row::ASKS
    },
    Row {
        name: "StartLimitAction",
        directive: key::SERVICE_START_LIMIT_ACTION.directive(),
        value: &EMERGENCY_ACTION,
        default_text: "none",
        summary: said("Is the place where StartLimitAction= of [Unit] was."),
        since: said("229"),
        stands_for: &(&[key::START_LIMIT_ACTION.directive()] as &[_]),
        ..Row::NEVER
    },
    Row {
        name: "StartLimitBurst",
        directive: key::SERVICE_START_LIMIT_BURST.directive(),
        value: &COUNT,
        default_text: "5",
        summary: said("Is the place where StartLimitBurst= of [Unit] was."),
        since: said("229"),
        stands_for: &(&[key::START_LIMIT_BURST.directive()] as &[_]),
        ..Row::FREE
    },
    Row {
        name: "StartLimitInterval",
        directive: key::SERVICE_START_LIMIT_INTERVAL.directive(),
        value: &TIME_SPAN,
        default_text: "10s",
        summary: said("Is the old name of StartLimitIntervalSec= of [Unit]."),
        stands_for: &(&[key::START_LIMIT_INTERVAL_SEC.directive()] as &[_]),
        ..Row::FREE
    },
    Row {
        name: "SuccessExitStatus",
        directive: key::SUCCESS_EXIT_STATUS.directive(),
        value: &EXIT_STATUS_SET,
        summary: said("Lists exit statuses and signals that count as success."),
        since: said("189"),
        bus: said("(aiai)"),
        ..Row::FREE
    },
    Row {
        name: "SysVStartPriority",
        directive: key::SYSV_START_PRIORITY.directive(),
        value: &SIGNED,
        summary: said("Did order old boot scripts."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "TimeoutAbortSec",
        directive: key::TIMEOUT_ABORT_SEC.directive(),
        value: &TIMEOUT,
        summary: said("Bounds how long the service takes to end after a missed watchdog."),
        since: said("243"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "TimeoutSec",
        directive: key::SERVICE_TIMEOUT_SEC.directive(),
        value: &TIMEOUT,
        summary: said("Sets TimeoutStartSec= and TimeoutStopSec= at once."),
        stands_for: &(&[
            key::TIMEOUT_START_SEC.directive(),
            key::SERVICE_TIMEOUT_STOP_SEC.directive(),
        ] as &[_]),
        ..Row::FREE
    },
    Row {
        name: "TimeoutStartFailureMode",
        directive: key::TIMEOUT_START_FAILURE_MODE.directive(),
        value: &TIMEOUT_FAILURE_MODE,
        default_text: "terminate",
        summary: said("Says how a service that did not start in time is ended."),
        since: said("246"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "TimeoutStartSec",
        directive: key::TIMEOUT_START_SEC.directive(),
        value: &TIMEOUT,
        default_text: "1min 30s",
        summary: said("Bounds how long the service takes to start."),
        since: said("188"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "TimeoutStopFailureMode",
        directive: key::TIMEOUT_STOP_FAILURE_MODE.directive(),
        value: &TIMEOUT_FAILURE_MODE,
        default_text: "terminate",
        summary: said("Says how a service that did not stop in time is ended."),
        since: said("246"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "TimeoutStopSec",
        directive: key::SERVICE_TIMEOUT_STOP_SEC.directive(),
        value: &TIMEOUT,
        default_text: "1min 30s",
        summary: said("Bounds how long the service takes to stop."),
        since: said("188"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "Type",
        directive: key::SERVICE_TYPE.directive(),
        value: &SERVICE_TYPE,
        default_text: "simple",
        summary: said("Says when the service counts as started."),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "USBFunctionDescriptors",
        directive: key::USB_FUNCTION_DESCRIPTORS.directive(),
        value: &PLAIN_PATH,
        summary: said("Names the descriptors of a USB gadget."),
        since: said("227"),
        bus: said("s"),
        status: later::USB,
        ..Row::NEVER
    },
    Row {
        name: "USBFunctionStrings",
        directive: key::USB_FUNCTION_STRINGS.directive(),
        value: &PLAIN_PATH,
        summary: said("Names the strings of a USB gadget."),
        since: said("227"),
        bus: said("s"),
        status: later::USB,
        ..Row::NEVER
    },
    Row {
        name: "WatchdogSec",
        directive: key::WATCHDOG_SEC.directive(),
        value: &TIME_SPAN,
        summary: said("Says how often the service must show that it is alive."),
        bus: said("t"),
        ..Row::FREE
    },
];
