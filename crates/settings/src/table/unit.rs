//! Rows: [Unit] but for its tests.

use model::key;

use crate::row::{Row, later, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "After",
        directive: key::AFTER.directive(),
        value: &UNIT_LIST,
        summary: said("Starts the unit after others and stops it before them."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "AllowIsolate",
        directive: key::ALLOW_ISOLATE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Allows the unit to be started with everything else stopped."),
        since: said("201"),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "Before",
        directive: key::BEFORE.directive(),
        value: &UNIT_LIST,
        summary: said("Starts the unit before others and stops it after them."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "BindTo",
        directive: key::BIND_TO.directive(),
        value: &UNIT_LIST,
        summary: said("Is the old name of BindsTo=."),
        stands_for: &(&[key::BINDS_TO.directive()] as &[_]),
        ..Row::ASKS
    },
    Row {
        name: "BindsTo",
        directive: key::BINDS_TO.directive(),
        value: &UNIT_LIST,
        summary: said("Requires units and stops when they stop for any reason."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "CollectMode",
        directive: key::COLLECT_MODE.directive(),
        value: &COLLECT_MODE,
        default_text: "inactive",
        summary: said("Says whether a failed unit is forgotten when nobody needs it."),
        since: said("236"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "Conflicts",
        directive: key::CONFLICTS.directive(),
        value: &UNIT_LIST,
        summary: said("Stops other units when this one starts, and the other way round."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "DefaultDependencies",
        directive: key::DEFAULT_DEPENDENCIES.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said("Adds the dependencies that units of this kind usually have."),
        since: said("201"),
        bus: said("b"),
        ..Row::ASKS
    },
    Row {
        name: "Description",
        directive: key::DESCRIPTION.directive(),
        value: &TEXT,
        summary: said("Says what the unit is, for people."),
        since: said("201"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "Documentation",
        directive: key::DOCUMENTATION.directive(),
        value: &WORDS,
        summary: said("Says where to read more."),
        since: said("201"),
        bus: said("as"),
        ..Row::FREE
    },
    Row {
        name: "FailureAction",
        directive: key::FAILURE_ACTION.directive(),
        value: &EMERGENCY_ACTION,
        default_text: "none",
        summary: said("Says what happens to the machine when the unit fails."),
        since: said("236"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "FailureActionExitStatus",
        directive: key::FAILURE_ACTION_EXIT_STATUS.directive(),
        value: &COUNT,
        summary: said("Sets the exit status of the manager after FailureAction=exit."),
        since: said("240"),
        bus: said("i"),
        ..Row::NEVER
    },
    Row {
        name: "IgnoreOnIsolate",
        directive: key::IGNORE_ON_ISOLATE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Leaves the unit running when another is isolated."),
        since: said("201"),
        bus: said("b"),
        ..Row::NEVER
    },
    Row {
        name: "IgnoreOnSnapshot",
        directive: key::IGNORE_ON_SNAPSHOT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Did leave the unit out of snapshots."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "JobRunningTimeoutSec",
        directive: key::JOB_RUNNING_TIMEOUT_SEC.directive(),
        value: &TIMEOUT,
        default_text: "infinity",
        summary: said("Bounds how long a job of the unit runs."),
        since: said("201"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "JobTimeoutAction",
        directive: key::JOB_TIMEOUT_ACTION.directive(),
        value: &EMERGENCY_ACTION,
        default_text: "none",
        summary: said("Says what happens to the machine when a job takes too long."),
        since: said("240"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "JobTimeoutRebootArgument",
        directive: key::JOB_TIMEOUT_REBOOT_ARGUMENT.directive(),
        value: &REBOOT_ARGUMENT,
        summary: said("Is the argument of a reboot because of a job."),
        since: said("240"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "JobTimeoutSec",
        directive: key::JOB_TIMEOUT_SEC.directive(),
        value: &TIMEOUT,
        default_text: "infinity",
        summary: said("Bounds how long a job of the unit waits and runs."),
        since: said("201"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "JoinsNamespaceOf",
        directive: key::JOINS_NAMESPACE_OF.directive(),
        value: &UNIT_LIST,
        summary: said("Shares the private network, IPC or temporary files of another unit."),
        since: said("209"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "OnFailure",
        directive: key::ON_FAILURE.directive(),
        value: &UNIT_LIST,
        summary: said("Starts units when this one fails."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "OnFailureIsolate",
        directive: key::ON_FAILURE_ISOLATE.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Is the old form of OnFailureJobMode=isolate."),
        ..Row::NEVER
    },
    Row {
        name: "OnFailureJobMode",
        directive: key::ON_FAILURE_JOB_MODE.directive(),
        value: &JOB_MODE,
        default_text: "replace",
        summary: said("Sets the job mode of OnFailure=."),
        since: said("209"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "OnSuccess",
        directive: key::ON_SUCCESS.directive(),
        value: &UNIT_LIST,
        summary: said("Starts units when this one ends well."),
        since: said("249"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "OnSuccessJobMode",
        directive: key::ON_SUCCESS_JOB_MODE.directive(),
        value: &JOB_MODE,
        default_text: "fail",
        summary: said("Sets the job mode of OnSuccess=."),
        since: said("209"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "PartOf",
        directive: key::PART_OF.directive(),
        value: &UNIT_LIST,
        summary: said("Stops and restarts the unit with others."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "PropagateReloadFrom",
        directive: key::PROPAGATE_RELOAD_FROM.directive(),
        value: &UNIT_LIST,
        summary: said("Is the old name of ReloadPropagatedFrom=."),
        stands_for: &(&[key::RELOAD_PROPAGATED_FROM.directive()] as &[_]),
        ..Row::ASKS
    },
    Row {
        name: "PropagateReloadTo",
        directive: key::PROPAGATE_RELOAD_TO.directive(),
        value: &UNIT_LIST,
        summary: said("Is the old name of PropagatesReloadTo=."),
        stands_for: &(&[key::PROPAGATES_RELOAD_TO.directive()] as &[_]),
        ..Row::ASKS
    },
    Row {
        name: "PropagatesReloadTo",
        directive: key::PROPAGATES_RELOAD_TO.directive(),
        value: &UNIT_LIST,
        summary: said("Reloads others when this unit is reloaded."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "PropagatesStopTo",
        directive: key::PROPAGATES_STOP_TO.directive(),
        value: &UNIT_LIST,
        summary: said("Stops others when this unit is stopped."),
        since: said("249"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "RebootArgument",
        directive: key::REBOOT_ARGUMENT.directive(),
        value: &REBOOT_ARGUMENT,
        summary: said("Is the argument of a reboot because of the unit."),
        since: said("229"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "RefuseManualStart",
        directive: key::REFUSE_MANUAL_START.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Refuses to be started by a person."),
        since: said("201"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "RefuseManualStop",
        directive: key::REFUSE_MANUAL_STOP.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Refuses to be stopped by a person."),
        since: said("201"),
        bus: said("b"),
        ..Row::ASKS
    },
    Row {
        name: "ReloadPropagatedFrom",
        directive: key::RELOAD_PROPAGATED_FROM.directive(),
        value: &UNIT_LIST,
        summary: said("Reloads the unit when others are reloaded."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "Requires",
        directive: key::REQUIRES.directive(),
        value: &UNIT_LIST,
        summary: said("Starts other units too and fails when they fail."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "RequiresMountsFor",
        directive: key::REQUIRES_MOUNTS_FOR.directive(),
        value: &PATHS,
        summary: said("Requires the mounts that a path needs."),
        since: said("201"),
        bus: said("as"),
        ..Row::FREE
    },
    Row {
        name: "RequiresOverridable",
        directive: key::REQUIRES_OVERRIDABLE.directive(),
        value: &UNIT_LIST,
        summary: said("Is an old form of Requires=."),
        stands_for: &(&[key::REQUIRES.directive()] as &[_]),
        ..Row::ASKS
    },
    Row {
        name: "Requisite",
        directive: key::REQUISITE.directive(),
        value: &UNIT_LIST,
        summary: said("Fails unless other units are already active."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "RequisiteOverridable",
        directive: key::REQUISITE_OVERRIDABLE.directive(),
        value: &UNIT_LIST,
        summary: said("Is an old form of Requisite=."),
        stands_for: &(&[key::REQUISITE.directive()] as &[_]),
        ..Row::ASKS
    },
    Row {
        name: "SourcePath",
        directive: key::SOURCE_PATH.directive(),
        value: &PLAIN_PATH,
        summary: said("Names the file that the unit was made from."),
        since: said("201"),
        bus: said("s"),
        status: later::UNITS,
        ..Row::FREE
    },
    Row {
        name: "StartLimitAction",
        directive: key::START_LIMIT_ACTION.directive(),
        value: &EMERGENCY_ACTION,
        default_text: "none",
        summary: said("Says what happens to the machine when the start limit is hit."),
        since: said("229"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "StartLimitBurst",
        directive: key::START_LIMIT_BURST.directive(),
        value: &COUNT,
        default_text: "5",
        summary: said("Says how many starts are allowed in one interval."),
        since: said("229"),
        bus: said("u"),
        ..Row::FREE
    },
    Row {
        name: "StartLimitInterval",
        directive: key::START_LIMIT_INTERVAL.directive(),
        value: &TIME_SPAN,
        default_text: "10s",
        summary: said("Is the old name of StartLimitIntervalSec=."),
        stands_for: &(&[key::START_LIMIT_INTERVAL_SEC.directive()] as &[_]),
        ..Row::FREE
    },
    Row {
        name: "StartLimitIntervalSec",
        directive: key::START_LIMIT_INTERVAL_SEC.directive(),
        value: &TIME_SPAN,
        default_text: "10s",
        summary: said("Sets the interval of the start limit; 0 switches it off."),
        since: said("229"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "StopPropagatedFrom",
        directive: key::STOP_PROPAGATED_FROM.directive(),
        value: &UNIT_LIST,
        summary: said("Stops the unit when others are stopped."),
        since: said("249"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "StopWhenUnneeded",
        directive: key::STOP_WHEN_UNNEEDED.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Stops the unit when nobody needs it any more."),
        since: said("201"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "SuccessAction",
        directive: key::SUCCESS_ACTION.directive(),
        value: &EMERGENCY_ACTION,
        default_text: "none",
        summary: said("Says what happens to the machine when the unit ends well."),
        since: said("236"),
        bus: said("s"),
        ..Row::NEVER
    },
    Row {
        name: "SuccessActionExitStatus",
        directive: key::SUCCESS_ACTION_EXIT_STATUS.directive(),
        value: &COUNT,
        summary: said("Sets the exit status of the manager after SuccessAction=exit."),
        since: said("240"),
        bus: said("i"),
        ..Row::NEVER
    },
    Row {
        name: "SurviveFinalKillSignal",
        directive: key::SURVIVE_FINAL_KILL_SIGNAL.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Leaves the unit's processes alone at the last kill of a shutdown."),
        since: said("255"),
        bus: said("b"),
        status: later::UNITS,
        ..Row::NEVER
    },
    Row {
        name: "Upholds",
        directive: key::UPHOLDS.directive(),
        value: &UNIT_LIST,
        summary: said("Keeps other units running while this one is active."),
        since: said("249"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "Wants",
        directive: key::WANTS.directive(),
        value: &UNIT_LIST,
        summary: said("Starts other units too, and doesn't mind when they fail."),
        since: said("201"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "WantsMountsFor",
        directive: key::WANTS_MOUNTS_FOR.directive(),
        value: &PATHS,
        summary: said("Wants the mounts that a path needs."),
        since: said("256"),
        bus: said("as"),
        ..Row::FREE
    },
];
