//! Units as text, planned and started.
#![allow(dead_code)] // Each test file uses its part of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test's machinery fails as tests do.

use std::os::fd::OwnedFd;

use model::text::Verbatim;
use model::value::{ExecCommand, Privileges};
use model::{Facts, Position, Unit};
use plan::{Bindings, Passed, Role, Situation, SpawnPlan, User};

use crate::harness::{Outcome, launch};

/// What a portable's service gets without asking.
pub(crate) const PROFILE: &str = "CapabilityBoundingSet=
DynamicUser=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
MountAPIVFS=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateIPC=yes
PrivateMounts=yes
PrivateNetwork=yes
PrivatePIDs=yes
PrivateTmp=yes
PrivateUsers=yes
ProcSubset=pid
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
UMask=0077";

/// The user that every test's service has, if it has one.
pub(crate) const SERVICE_UID: u32 = 61_234;

/// A service unit.
pub(crate) struct Service {
    unit: Unit,
    stub: bool,
    privileges: Privileges,
    invocation: [u8; 16],
}

/// A unit of these lines in its own section.
pub(crate) fn unit(name: &str, section: &str, lines: &str) -> Unit {
    let mut unit = Unit::new(name.parse().unwrap());
    for line in lines.lines() {
        let (directive, value) = line.split_once('=').unwrap();
        settings::apply(&mut unit, section, directive, value, &Verbatim)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    unit
}

impl Service {
    pub(crate) fn new(lines: &str) -> Self {
        let unit = unit("test.service", "Service", lines);
        static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let number = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut invocation = [0; 16];
        invocation[..8].copy_from_slice(&u64::from(std::process::id()).to_be_bytes());
        invocation[8..].copy_from_slice(&number.to_be_bytes());
        Self {
            unit,
            stub: false,
            privileges: Privileges::Unit,
            invocation,
        }
    }

    pub(crate) fn with_stub(mut self) -> Self {
        self.stub = true;
        self
    }

    pub(crate) fn prefixed(mut self, privileges: Privileges) -> Self {
        self.privileges = privileges;
        self
    }

    pub(crate) fn plan(&self) -> SpawnPlan {
        let facts = Facts::default();
        plan::plan(&self.unit, &facts, &situation(self.stub)).unwrap()
    }

    pub(crate) fn private_tmp(&self) -> [String; 2] {
        plan::private_tmp(&self.invocation)
    }

    /// The bytes for one start of a shell command.
    pub(crate) fn bind(&self, plan: &SpawnPlan, command: &[&str]) -> Vec<u8> {
        let mut command = ExecCommand::new(command[0], &command[1..]);
        command.no_env = true;
        command.privileges = self.privileges;
        let descriptors = plan
            .roles()
            .into_iter()
            .map(|role| Passed {
                role,
                name: String::new(),
            })
            .collect();
        let user = User {
            name: "test".into(),
            home: "/".into(),
            shell: "/bin/sh".into(),
            group: "test".into(),
        };
        let has_user = plan.explain().iter().any(|line| line.starts_with("user: "));
        let uid = if has_user { SERVICE_UID } else { 0 };
        let bindings = Bindings {
            uid,
            gid: uid,
            user: Some(user),
            invocation: self.invocation,
            command: Some(&command),
            descriptors,
            start_environment: plan
                .credentials_directory()
                .map(|path| format!("CREDENTIALS_DIRECTORY={path}"))
                .into_iter()
                .collect(),
            ..Bindings::default()
        };
        plan.bind(&bindings).unwrap()
    }

    pub(crate) fn run(&self, command: &str) -> Outcome {
        let outcome = self.run_beside(command);
        for path in self.private_tmp() {
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    panic!("{path}: {error}")
                }
                Ok(()) | Err(_) => {}
            }
        }
        outcome
    }

    /// One of several commands of a run, whose directories stay.
    pub(crate) fn run_beside(&self, command: &str) -> Outcome {
        assert!(
            kernel::rustix::process::geteuid().is_root(),
            "these tests need root: run them again as root"
        );
        let plan = self.plan();
        let bytes = self.bind(&plan, &["/bin/sh", "-c", command]);
        let (output, writer) = std::io::pipe().unwrap();
        let writer = OwnedFd::from(writer);
        let passed = plan.roles().into_iter().map(|role| {
            assert!(matches!(role, Role::Output | Role::Error));
            writer.try_clone().unwrap()
        });
        let passed: Vec<OwnedFd> = passed.collect();
        drop(writer);
        launch(&bytes, passed, output, plan.pid_namespace())
    }
}

fn situation(stub: bool) -> Situation<'static> {
    Situation {
        position: Position::Beside,
        runtime_dir: "/run/coracle-test",
        credentials_root: "/run/credentials",
        notify_socket: None,
        stub,
        may_take_over: &|_| true,
        quota_trouble: &|_, _| None,
        may_reduce: &|_| false,
    }
}

/// Makes the sockets of a socket unit.
pub(crate) fn sockets(lines: &str) -> Outcome {
    let unit = unit("test.socket", "Socket", lines);
    let plan = plan::plan_sockets(&unit, &Facts::default(), &situation(false)).unwrap();
    let bytes = plan.bind(&Bindings::default()).unwrap();
    let (output, writer) = std::io::pipe().unwrap();
    drop(writer);
    launch(&bytes, Vec::new(), output, false)
}
