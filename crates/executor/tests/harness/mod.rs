//! Runs the real executor with hand-made plans, as root, and tells what was seen.

#![allow(dead_code)] // Each test file uses its part of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // A test's machinery fails as tests do.

pub(crate) mod roots;

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use kernel::message::{Descriptors, ReceiveOptions, receive};
use kernel::process::TextList;
use kernel::spawn::{Request, Stack, lone_argument, spawn};
use kernel::wait::Ending;
use plan::Step;
use plan::code::{ListBuf, Writer};
use plan::frame::{Frame, Role};
use plan::report::Report;
use plan::step::{Asked, Source};

/// The executor, built once as it is shipped.
static EXECUTOR: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("freestanding");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let status = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .args([
            "build",
            "--quiet",
            "--config",
            "freestanding.toml",
            "--bin",
            "coracle-executor",
            "--no-default-features",
        ])
        .args([
            "--features",
            "freestanding",
            "--release",
            "--target",
            &target,
            "--target-dir",
        ])
        .arg(&folder)
        .status()
        .unwrap();
    assert!(status.success(), "the executor does not build");
    folder.join(target).join("release/coracle-executor")
});

/// What a start needs beside its steps.
pub(crate) struct Start {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) marks: Vec<String>,
    pub(crate) passed: Vec<(Role, OwnedFd)>,
    pub(crate) credentials: Vec<(&'static std::ffi::CStr, Vec<u8>)>,
    pub(crate) new_pid_namespace: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) ending: Ending,
    /// What the service wrote to its standard output and error.
    pub(crate) output: String,
    pub(crate) reports: Vec<Report>,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Process id that the kernel gave for each report's sender, and of the executor itself.
    pub(crate) senders: Vec<u32>,
    pub(crate) pid: u32,
}

/// A shell command as the service.
pub(crate) fn shell(command: &str) -> Start {
    Start {
        uid: 0,
        gid: 0,
        groups: Vec::new(),
        program: "/bin/sh",
        arguments: vec!["sh".into(), "-c".into(), command.into()],
        marks: Vec::new(),
        environment: vec!["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into()],
        passed: Vec::new(),
        credentials: Vec::new(),
        new_pid_namespace: false,
    }
}

impl Start {
    /// Takes these steps, and around them those that every start has.
    pub(crate) fn run(self, steps: &[Step<'_>]) -> Outcome {
        assert!(
            kernel::rustix::process::geteuid().is_root(),
            "these tests need root: run them again as root"
        );
        let frame_steps = [
            Step::Signals {
                ignore_sigpipe: true,
            },
            Step::Stream {
                target: 1,
                source: Source::Passed,
            },
            Step::Stream {
                target: 2,
                source: Source::Same { stream: 1 },
            },
            Step::Descriptors,
            Step::Program,
            Step::Exec,
        ];
        let ends = steps.contains(&Step::Finish);
        let mut all: Vec<Step<'_>> = frame_steps
            .into_iter()
            .filter(|step| !ends || step.rank() < Step::Descriptors.rank())
            .collect();
        all.extend_from_slice(steps);
        all.sort_by_key(Step::rank);
        self.run_exactly(&all)
    }

    /// The same, with a step of the test's own for standard error.
    pub(crate) fn run_with_error(self, steps: &[Step<'_>]) -> Outcome {
        let mut all = vec![
            Step::Stream {
                target: 1,
                source: Source::Passed,
            },
            Step::Descriptors,
            Step::Program,
            Step::Exec,
        ];
        all.extend_from_slice(steps);
        all.sort_by_key(Step::rank);
        self.run_exactly(&all)
    }

    /// Takes exactly these steps; [`Role::Output`] is a pipe.
    pub(crate) fn run_exactly(mut self, steps: &[Step<'_>]) -> Outcome {
        let (output, writer) = std::io::pipe().unwrap();
        self.passed.push((Role::Output, writer.into()));
        let bytes = self.encode(steps);
        let passed = self.passed.into_iter().map(|(_, descriptor)| descriptor);
        launch(&bytes, passed.collect(), output, self.new_pid_namespace)
    }

    fn encode(&self, steps: &[Step<'_>]) -> Vec<u8> {
        let mut writer = Writer::default();
        steps.iter().for_each(|&step| {
            writer.put(&Asked {
                step,
                directive: step.rank().into(),
            })
        });
        let groups: Vec<u8> = self
            .groups
            .iter()
            .flat_map(|group| group.to_le_bytes())
            .collect();
        let roles: Vec<u8> = self.passed.iter().map(|(role, _)| role.tag()).collect();
        let (programs, arguments) = (
            ListBuf::from_iter([self.program]),
            ListBuf::from_iter(&self.arguments),
        );
        let environment = ListBuf::from_iter(&self.environment);
        let mut credentials = Writer::default();
        for (name, value) in &self.credentials {
            credentials.put(name);
            credentials.put(&value.as_slice());
        }
        Frame {
            uid: self.uid,
            gid: self.gid,
            groups: &groups,
            invocation: *b"0123456789abcdef",
            temporary: *b"0123456789abcdef",
            roles: &roles,
            credentials: &credentials.bytes,
            programs: programs.list(),
            arguments: arguments.list(),
            environment: environment.list(),
            marks: ListBuf::from_iter(&self.marks).list(),
            steps: &writer.bytes,
        }
        .encode()
    }
}

/// Starts the executor with an encoded plan and waits for its end.
pub(crate) fn launch(
    plan: &[u8],
    passed: Vec<OwnedFd>,
    mut output: std::io::PipeReader,
    new_pid_namespace: bool,
) -> Outcome {
    use kernel::rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    let (report, report_end) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    kernel::socket::set_pass_credentials(&report, true).unwrap();
    let child = start(plan, &report_end, &passed, new_pid_namespace);
    drop((report_end, passed));
    let mut outcome = Outcome {
        ending: Ending::Exited(-1),
        output: String::new(),
        reports: Vec::new(),
        descriptors: Vec::new(),
        senders: Vec::new(),
        pid: child.pid.as_raw_nonzero().get().unsigned_abs(),
    };
    read_reports(&report, &mut outcome);
    let mut bytes = Vec::new();
    output.read_to_end(&mut bytes).unwrap();
    outcome.output = String::from_utf8_lossy(&bytes).into_owned();
    outcome.ending = kernel::wait::wait(&child.pidfd).unwrap().ending;
    outcome
}

/// Starts it as the keeper does.
pub(crate) fn start(
    plan: &[u8],
    report: &OwnedFd,
    passed: &[OwnedFd],
    new_pid_namespace: bool,
) -> kernel::spawn::Child {
    let plan = kernel::memory::sealed_file(c"plan", plan).unwrap();
    let program = File::open(&*EXECUTOR).unwrap();
    let mut descriptors = vec![plan.as_fd(), report.as_fd()];
    descriptors.extend(passed.iter().map(AsFd::as_fd));
    let (mut room, mut none) = ([std::ptr::null(); 2], [std::ptr::null()]);
    let request = Request {
        program: program.as_fd(),
        arguments: lone_argument(c"executor", &mut room).unwrap(),
        environment: TextList::new(std::iter::empty::<&CStr>(), &mut none).unwrap(),
        descriptors: &descriptors,
        first_descriptor: plan::frame::PLAN_DESCRIPTOR,
        cgroup: None,
        new_pid_namespace,
        open_files: None,
        numbers_below: None,
    };
    // As with the keeper, one at a time: until it executes, the child has this process's memory.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock();
    spawn(&request, &mut Stack::new().unwrap(), &mut [0; 64]).unwrap()
}

/// Reads until every end of the socket is closed, which exec does.
fn read_reports(report: &OwnedFd, outcome: &mut Outcome) {
    let mut bytes = [0; 64];
    let mut descriptors = Descriptors::default();
    loop {
        let received = receive(
            report,
            &mut bytes,
            &mut descriptors,
            ReceiveOptions {
                peek: false,
                wait: true,
            },
        )
        .unwrap();
        if received.bytes == 0 {
            return;
        }
        outcome
            .reports
            .push(Report::decode(&bytes[..received.bytes]).unwrap());
        outcome.senders.push(
            received
                .credentials
                .map_or(0, |credentials| credentials.pid),
        );
        outcome
            .descriptors
            .extend(std::iter::from_fn(|| descriptors.take()));
    }
}

impl Outcome {
    /// Asserts success and gives the output without the last line's end.
    #[track_caller]
    pub(crate) fn said(&self) -> &str {
        assert_eq!(
            (self.ending, self.reports.as_slice()),
            (Ending::Exited(0), &[][..]),
            "{}",
            self.output
        );
        self.output.trim_end()
    }

    /// Asserts that a step failed, with its exit status.
    #[track_caller]
    pub(crate) fn failed_at(&self, step: &str, errno: kernel::Errno) {
        let [Report::Failure(failure)] = self.reports.as_slice() else {
            panic!("{self:?}")
        };
        assert_eq!(
            (failure.step_name(), failure.errno),
            (step, errno.raw_os_error()),
            "{self:?}"
        );
        assert_eq!(self.ending, Ending::Exited(failure.exit_status.into()));
    }
}

/// A text for a step.
pub(crate) fn text(text: impl AsRef<str>) -> CString {
    CString::new(text.as_ref()).unwrap()
}
