//! One run of a unit: what exists outside for it, and what of that a record keeps.

use engine::{ExitStatus, ProcessKey, Role};
use model::value::{Keyword, NotifyAccess};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;

/// A run that is not released yet.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) incarnation: u64,
    /// $INVOCATION_ID
    pub(crate) invocation: [u8; 16],
    /// Who its processes are.
    pub(crate) user: Option<RunUser>,
    /// The path of its control group below the mount.
    pub(crate) cgroup: Option<String>,
    /// RootImage= or RootDirectory= when it began: the unit may name another one since.
    pub(crate) root: Option<String>,
    /// What tells its other images, or a root of which more is wanted than its path says, from those of others.
    pub(crate) images: Vec<String>,
    /// The namespaces that its processes have in common.
    pub(crate) shared: crate::namespaces::Shared,
    /// What its directories for temporary files are named by, where they are those of a unit that it joins.
    pub(crate) temporary: Option<[u8; 16]>,
    /// What its processes are told of what started it.
    pub(crate) trigger: Vec<String>,
    /// Its mount namespace, which ends after its end is told.
    pub(crate) mounts: Option<OwnedFd>,
    /// What EnvironmentFile= had for its last command, for those of its probes.
    pub(crate) file_environment: Option<Vec<String>>,
    /// The inotify watch on its control group.
    pub(crate) watch: Option<i32>,
    /// The token of its notification socket.
    pub(crate) notify: Option<u32>,
    /// How many of its unit the kernel had killed for lack of memory when that was last looked at; none where nobody counts.
    pub(crate) oom_kills: Option<u64>,
    /// The inotify watch on that count, which is that of the unit's later runs, too.
    pub(crate) memory_watch: Option<i32>,
    /// The path of that socket was an earlier run's, which lived then: what is heard there may be that one's.
    pub(crate) inherits_notify: bool,
    /// NOTIFYACCESS=: who is heard instead of those of NotifyAccess=.
    pub(crate) access: Option<NotifyAccess>,
    /// Every process that was asked for, in order.
    pub(crate) processes: Vec<RunProcess>,
    /// The engine wants to hear when its control group is empty.
    pub(crate) wants_empty: bool,
    /// Its control group was seen empty, and nothing was started in it since.
    pub(crate) known_empty: bool,
    /// It was said that what it stores is not all kept.
    pub(crate) stored_in_vain: bool,
}

/// The user and groups of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunUser {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
    pub(crate) shell: String,
    /// Name of the group; empty where it has none.
    #[serde(default)]
    pub(crate) group: String,
    /// The number is a dynamic one, whose lock the keeper holds.
    pub(crate) dynamic: bool,
}

/// A process of a run.
#[derive(Debug)]
pub(crate) struct RunProcess {
    pub(crate) serial: u32,
    pub(crate) role: Role,
    pub(crate) index: u16,
    /// As this host sees it; known once it is spawned.
    pub(crate) pid: Option<u32>,
    /// The service's own process where the child is a stub in a pid namespace.
    pub(crate) payload: Option<u32>,
    pub(crate) pidfd: Option<OwnedFd>,
    pub(crate) started_us: u64,
    pub(crate) ended: Option<(ExitStatus, u64)>,
    /// The token of its report.
    pub(crate) report: Option<u32>,
    /// It makes namespaces that others are to be in, and has not told of them.
    pub(crate) tells: bool,
}

/// What a record keeps of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) incarnation: u64,
    pub(crate) invocation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<RunUser>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) images: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) temporary: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) trigger: Vec<String>,
    #[serde(default)]
    pub(crate) notify: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) inherits_notify: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oom_kills: Option<u64>,
    /// Only of one that is released: its nanoseconds on processors, or 0 where nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) over: Option<u64>,
    #[serde(default)]
    pub(crate) processes: Vec<ProcessRecord>,
}

/// What a record keeps of a process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ProcessRecord {
    pub(crate) serial: u32,
    pub(crate) role: Role,
    pub(crate) index: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<u32>,
    pub(crate) started_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<(ExitStatus, u64)>,
}

impl Run {
    /// The process with this serial.
    pub(crate) fn process(&mut self, serial: u32) -> Option<&mut RunProcess> {
        self.processes
            .iter_mut()
            .find(|process| process.serial == serial)
    }

    /// Is there no process in its control group? Asked of the kernel until it once says so: what was asked for and is not born yet
    /// will be in the group, so then the answer is for this moment only.
    pub(crate) fn is_empty(&mut self, cgroups: &crate::cgroup::Cgroups) -> bool {
        if self.known_empty {
            return true;
        }
        let path = self.cgroup.as_deref();
        let is_empty = path.is_none_or(|path| !cgroups.is_populated(path));
        let all_ended = self.processes.iter().all(|process| process.ended.is_some());
        self.known_empty = is_empty && all_ended;
        is_empty
    }

    /// What its images are told from others by, the root's among them; a plain root has its path.
    pub(crate) fn image_keys(&self) -> impl Iterator<Item = &str> {
        let images = self.images.iter().map(String::as_str);
        images.chain(self.root.as_deref())
    }

    /// Does any process live that the keeper told us of?
    pub(crate) fn has_live_process(&self) -> bool {
        self.processes
            .iter()
            .any(|process| process.pid.is_some() && process.ended.is_none())
    }

    pub(crate) fn invocation_text(&self) -> String {
        hex(&self.invocation)
    }

    pub(crate) fn record(&self) -> RunRecord {
        RunRecord {
            incarnation: self.incarnation,
            invocation: self.invocation_text(),
            user: self.user.clone(),
            cgroup: self.cgroup.clone(),
            root: self.root.clone(),
            images: self.images.clone(),
            temporary: self.temporary.as_ref().map(|id| hex(id)),
            trigger: self.trigger.clone(),
            notify: self.notify.is_some(),
            inherits_notify: self.inherits_notify,
            oom_kills: self.oom_kills,
            access: self.access.map(|access| access.word().to_owned()),
            over: None,
            processes: self.processes.iter().map(RunProcess::record).collect(),
        }
    }

    pub(crate) fn restore(record: RunRecord) -> Self {
        Self {
            incarnation: record.incarnation,
            invocation: unhex(&record.invocation),
            user: record.user,
            cgroup: record.cgroup,
            root: record.root,
            images: record.images,
            temporary: record.temporary.as_deref().map(unhex),
            trigger: record.trigger,
            inherits_notify: record.inherits_notify,
            oom_kills: record.oom_kills,
            access: record
                .access
                .and_then(|name| NotifyAccess::from_word(&name)),
            processes: record
                .processes
                .into_iter()
                .map(RunProcess::restore)
                .collect(),
            ..Self::default()
        }
    }
}

impl RunProcess {
    /// A process that is about to be asked for.
    pub(crate) fn asked(key: ProcessKey, role: Role, index: u16) -> Self {
        let started_us = crate::clock::realtime_us();
        let serial = key.serial;
        Self {
            serial,
            role,
            index,
            pid: None,
            payload: None,
            pidfd: None,
            started_us,
            ended: None,
            report: None,
            tells: false,
        }
    }

    /// The process that people mean: the service's own, not the stub's.
    pub(crate) fn visible_pid(&self) -> Option<u32> {
        self.payload.or(self.pid)
    }

    /// The payload's end, where `status` is a stub's that is not reaped yet. A service that takes such a name gains nothing: it could
    /// as well end by that signal.
    pub(crate) fn unveiled(&self, status: ExitStatus) -> ExitStatus {
        // Looking costs something, and only these statuses can stand for a signal.
        let (ExitStatus::Exited(129..), Some(pid)) = (status, self.pid) else {
            return status;
        };
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        match plan::report::Epitaph::read(name.trim_end()) {
            Some(end) if status == ExitStatus::Exited(128 + end.signal) => {
                let signal = engine::Signal(end.signal);
                if end.dumped {
                    ExitStatus::Dumped(signal)
                } else {
                    ExitStatus::Killed(signal)
                }
            }
            _ => status,
        }
    }

    fn record(&self) -> ProcessRecord {
        ProcessRecord {
            serial: self.serial,
            role: self.role,
            index: self.index,
            pid: self.pid,
            payload: self.payload,
            started_us: self.started_us,
            ended: self.ended,
        }
    }

    fn restore(record: ProcessRecord) -> Self {
        Self {
            serial: record.serial,
            role: record.role,
            index: record.index,
            pid: record.pid,
            payload: record.payload,
            pidfd: None,
            started_us: record.started_us,
            ended: record.ended,
            report: None,
            // Nobody remembers whether it did.
            tells: true,
        }
    }
}

impl RunRecord {
    /// What its directories for temporary files are named by, where it had joined another run.
    pub(crate) fn temporary(&self) -> Option<[u8; 16]> {
        self.temporary.as_deref().map(unhex)
    }

    /// What its paths are named by.
    pub(crate) fn invocation(&self) -> [u8; 16] {
        unhex(&self.invocation)
    }

    /// The main process, the last of them where there were several.
    pub(crate) fn main(&self) -> Option<&ProcessRecord> {
        let mut mains = self.processes.iter().rev();
        mains.find(|process| process.role == Role::Main)
    }
}

impl ProcessRecord {
    /// As that of the process itself.
    pub(crate) fn visible_pid(&self) -> Option<u32> {
        self.payload.or(self.pid)
    }
}

/// Is the process a child of that one (proc_pid_status(5))?
pub(crate) fn is_child(pid: u32, parent: u32) -> bool {
    let parent = format!("PPid:\t{parent}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| status.lines().any(|line| line == parent))
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> [u8; 16] {
    u128::from_str_radix(text, 16)
        .unwrap_or_default()
        .to_be_bytes()
}

/// What an exit of the keeper's is to the engine.
pub(crate) fn exit_status(exit: keeper::protocol::Exit) -> ExitStatus {
    use keeper::protocol::Exit;
    let signal = |number: i32| engine::Signal(u8::try_from(number).unwrap_or_default());
    match exit {
        Exit::Code(code) => ExitStatus::Exited(u8::try_from(code & 0xff).unwrap_or_default()),
        Exit::Killed {
            signal: number,
            dumped: false,
        } => ExitStatus::Killed(signal(number)),
        Exit::Killed {
            signal: number,
            dumped: true,
        } => ExitStatus::Dumped(signal(number)),
        Exit::Unknown => ExitStatus::Unknown,
    }
}

/// An end as clients see it.
pub(crate) fn exit_message(status: ExitStatus, result: &str) -> wire::ExitStatus {
    let (code, number) = match status {
        ExitStatus::Exited(status) => ("exited", i32::from(status)),
        ExitStatus::Killed(signal) => ("killed", i32::from(signal.0)),
        ExitStatus::Dumped(signal) => ("dumped", i32::from(signal.0)),
        ExitStatus::Unknown => ("unknown", 0),
    };
    wire::ExitStatus {
        code: code.into(),
        status: number,
        result: result.into(),
        ..wire::ExitStatus::default()
    }
}

/// The name of a step as clients see it.
pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Condition => "condition",
        Role::StartPre => "start-pre",
        Role::Main => "main",
        Role::StartPost => "start-post",
        Role::Reload => "reload",
        Role::ReloadPost => "reload-post",
        Role::Health => "health",
        Role::Stop => "stop",
        Role::StopPost => "stop-post",
    }
}

/// The number of a role in the keeper's inventory.
pub(crate) fn role_number(role: Role) -> u32 {
    match role {
        Role::Condition => 1,
        Role::StartPre => 2,
        Role::Main => 3,
        Role::StartPost => 4,
        Role::Reload => 5,
        Role::ReloadPost => 8,
        Role::Health => 9,
        Role::Stop => 6,
        Role::StopPost => 7,
    }
}
