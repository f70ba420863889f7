//! Rows: a service's processes: users, environment, credentials, scheduling.

use model::key;

use crate::row::{Row, later, said};
use crate::types::*;

pub(super) const ROWS: &[Row] = &[
    Row {
        name: "Capabilities",
        directive: key::CAPABILITIES.directive(),
        value: &TEXT,
        summary: said("Did set capabilities in a form that is gone."),
        status: later::GONE,
        ..Row::NEVER
    },
    Row {
        name: "CoredumpFilter",
        directive: key::COREDUMP_FILTER.directive(),
        value: &COREDUMP_FILTER,
        default_text: "0x33",
        summary: said("Says which memory a core dump has."),
        since: said("246"),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "CPUAffinity",
        directive: key::CPU_AFFINITY.directive(),
        value: &CPU_AFFINITY,
        summary: said("Says on which processors the service runs."),
        may_reduce: true,
        bus: said("ay"),
        ..Row::FREE
    },
    Row {
        name: "CPUSchedulingPolicy",
        directive: key::CPU_SCHEDULING_POLICY.directive(),
        value: &SCHEDULING_POLICY,
        default_text: "other",
        summary: said("Sets the class of the processor's scheduler."),
        may_reduce: true,
        bus: said("i"),
        ..Row::ASKS
    },
    Row {
        name: "CPUSchedulingPriority",
        directive: key::CPU_SCHEDULING_PRIORITY.directive(),
        value: &COUNT,
        summary: said("Sets the realtime priority."),
        may_reduce: true,
        bus: said("i"),
        ..Row::ASKS
    },
    Row {
        name: "CPUSchedulingResetOnFork",
        directive: key::CPU_SCHEDULING_RESET_ON_FORK.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Takes raised scheduling back from children."),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "Environment",
        directive: key::ENVIRONMENT.directive(),
        value: &ENVIRONMENT_LIST,
        summary: said("Sets environment variables."),
        bus: said("as"),
        ..Row::FREE
    },
    Row {
        name: "EnvironmentFile",
        directive: key::ENVIRONMENT_FILE.directive(),
        value: &ENVIRONMENT_FILES,
        summary: said("Reads environment variables from a file at each start."),
        ..Row::NEVER
    },
    Row {
        name: "ExecSearchPath",
        directive: key::EXEC_SEARCH_PATH.directive(),
        value: &SEARCH_PATH,
        summary: said("Says where programs without a path are looked for."),
        since: said("250"),
        bus: said("as"),
        ..Row::FREE
    },
    Row {
        name: "Group",
        directive: key::GROUP.directive(),
        value: &ACCOUNT,
        summary: said("Sets the group of the service's processes."),
        bus: said("s"),
        ..Row::ASKS
    },
    Row {
        name: "IgnoreSIGPIPE",
        directive: key::IGNORE_SIGPIPE.directive(),
        value: &BOOL,
        default_text: "yes",
        summary: said("Makes the service's processes ignore SIGPIPE."),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "ImportCredential",
        directive: key::IMPORT_CREDENTIAL.directive(),
        value: &IMPORT_CREDENTIALS,
        summary: said("Passes credentials of the manager on by pattern."),
        since: said("254"),
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "IOSchedulingClass",
        directive: key::IO_SCHEDULING_CLASS.directive(),
        value: &IO_SCHEDULING_CLASS,
        default_text: "none",
        summary: said("Sets the class of disk access."),
        may_reduce: true,
        bus: said("i"),
        ..Row::ASKS
    },
    Row {
        name: "IOSchedulingPriority",
        directive: key::IO_SCHEDULING_PRIORITY.directive(),
        value: &COUNT,
        default_text: "4",
        summary: said("Sets the priority of disk access within its class."),
        may_reduce: true,
        bus: said("i"),
        ..Row::ASKS
    },
    Row {
        name: "LoadCredential",
        directive: key::LOAD_CREDENTIAL.directive(),
        value: &LOAD_CREDENTIALS,
        summary: said("Hands a file's content to the service as a credential."),
        since: said("247"),
        bus: said("a(ss)"),
        ..Row::ASKS
    },
    Row {
        name: "LoadCredentialEncrypted",
        directive: key::LOAD_CREDENTIAL_ENCRYPTED.directive(),
        value: &LOAD_CREDENTIALS,
        summary: said("Hands a file's content to the service as a credential after decrypting it."),
        since: said("247"),
        bus: said("a(ss)"),
        ..Row::ASKS
    },
    Row {
        name: "MemoryKSM",
        directive: key::MEMORY_KSM.directive(),
        value: &TRISTATE,
        default_text: "no",
        summary: said("Lets the kernel merge equal pages of the service."),
        since: said("254"),
        may_reduce: true,
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "MemoryTHP",
        directive: key::MEMORY_THP.directive(),
        value: &MEMORY_THP,
        default_text: "inherit",
        summary: said("Says whether the service has huge pages."),
        since: said("260"),
        may_reduce: true,
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "Nice",
        directive: key::NICE.directive(),
        value: &NICE,
        default_text: "0",
        summary: said("Sets the priority of the service's processes."),
        may_reduce: true,
        bus: said("i"),
        ..Row::ASKS
    },
    Row {
        name: "NUMAMask",
        directive: key::NUMA_MASK.directive(),
        value: &CPU_SET,
        summary: said("Says on which memory nodes the policy works."),
        since: said("243"),
        may_reduce: true,
        bus: said("ay"),
        ..Row::ASKS
    },
    Row {
        name: "NUMAPolicy",
        directive: key::NUMA_POLICY.directive(),
        value: &NUMA_POLICY,
        default_text: "default",
        summary: said("Says on which memory nodes pages are placed."),
        since: said("243"),
        may_reduce: true,
        bus: said("i"),
        ..Row::ASKS
    },
    Row {
        name: "OOMScoreAdjust",
        directive: key::OOM_SCORE_ADJUST.directive(),
        value: &OOM_SCORE,
        default_text: "0",
        summary: said("Says how gladly the kernel kills the service for lack of memory."),
        may_reduce: true,
        bus: said("i"),
        ..Row::ASKS
    },
    Row {
        name: "PAMName",
        directive: key::PAM_NAME.directive(),
        value: &TEXT,
        summary: said("Opens a PAM session for the service."),
        bus: said("s"),
        status: later::PAM,
        ..Row::NEVER
    },
    Row {
        name: "PassEnvironment",
        directive: key::PASS_ENVIRONMENT.directive(),
        value: &WORDS,
        summary: said("Passes environment variables of the manager on."),
        since: said("228"),
        bus: said("as"),
        ..Row::NEVER
    },
    Row {
        name: "Personality",
        directive: key::PERSONALITY.directive(),
        value: &ARCHITECTURE,
        summary: said("Sets the execution domain, which uname(2) shows."),
        since: said("209"),
        bus: said("s"),
        ..Row::FREE
    },
    Row {
        name: "SetCredential",
        directive: key::SET_CREDENTIAL.directive(),
        value: &SET_CREDENTIALS,
        summary: said("Hands a text to the service as a credential."),
        since: said("247"),
        bus: said("a(say)"),
        ..Row::FREE
    },
    Row {
        name: "SetCredentialEncrypted",
        directive: key::SET_CREDENTIAL_ENCRYPTED.directive(),
        value: &SET_CREDENTIALS,
        summary: said("Hands a text to the service as a credential after decrypting it."),
        since: said("247"),
        bus: said("a(say)"),
        ..Row::ASKS
    },
    Row {
        name: "SetLoginEnvironment",
        directive: key::SET_LOGIN_ENVIRONMENT.directive(),
        value: &BOOL,
        default_text: "no",
        summary: said("Sets HOME, LOGNAME and SHELL as a login would."),
        since: said("255"),
        bus: said("b"),
        ..Row::FREE
    },
    Row {
        name: "SupplementaryGroups",
        directive: key::SUPPLEMENTARY_GROUPS.directive(),
        value: &ACCOUNTS,
        summary: said("Adds groups to the service's processes."),
        weight: 200,
        bus: said("as"),
        ..Row::ASKS
    },
    Row {
        name: "TimerSlackNSec",
        directive: key::TIMER_SLACK_NSEC.directive(),
        value: &NANOSECONDS,
        summary: said("Says how late the service's timers may elapse."),
        bus: said("t"),
        ..Row::FREE
    },
    Row {
        name: "UMask",
        directive: key::UMASK.directive(),
        value: &FILE_MODE,
        default_text: "0022",
        summary: said("Says which permissions new files don't get."),
        weight: 100,
        bus: said("u"),
        ..Row::RESTRICTS
    },
    Row {
        name: "UnsetEnvironment",
        directive: key::UNSET_ENVIRONMENT.directive(),
        value: &WORDS,
        summary: said("Takes environment variables away."),
        since: said("235"),
        bus: said("as"),
        ..Row::FREE
    },
    Row {
        name: "User",
        directive: key::USER.directive(),
        value: &ACCOUNT,
        summary: said("Sets the user of the service's processes."),
        weight: 2000,
        bus: said("s"),
        ..Row::ASKS
    },
    Row {
        name: "UtmpIdentifier",
        directive: key::UTMP_IDENTIFIER.directive(),
        value: &TEXT,
        summary: said("Names the entry in utmp."),
        bus: said("s"),
        status: later::UTMP,
        ..Row::NEVER
    },
    Row {
        name: "UtmpMode",
        directive: key::UTMP_MODE.directive(),
        value: &UTMP_MODE,
        summary: said("Says what kind of entry utmp gets."),
        since: said("225"),
        bus: said("s"),
        status: later::UTMP,
        ..Row::NEVER
    },
    Row {
        name: "WorkingDirectory",
        directive: key::WORKING_DIRECTORY.directive(),
        value: &WORKING_DIRECTORY,
        summary: said("Sets the directory that the service starts in."),
        bus: said("s"),
        ..Row::FREE
    },
];
