//! One keeper in a directory of its own, and what a test says to it and hears from it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command as Program, Stdio};
use std::time::{Duration, Instant};

use keeper::client::{Channel, SpawnDescriptors};
use keeper::protocol::{ChildKey, ChildState, Class, Command, Event, Exit, Spawn};

use crate::roles::CHILD_LABEL;

/// Longer than anything here takes on a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// An event in a form that a test can keep and compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Hello {
        restarts: u32,
        init: bool,
        adopt_only: bool,
    },
    Spawned(u64, u32),
    SpawnFailed(u64, i32),
    Exited(u64, Exit),
    Child {
        command: u64,
        pid: u32,
        state: ChildState,
        watched: bool,
    },
    Held(Class, String),
    InventoryEnd,
    Signal(i32),
    Refused(i32),
}

impl Heard {
    fn new(event: &Event<'_>) -> Self {
        match *event {
            Event::Hello {
                restarts,
                init,
                adopt_only,
                ..
            } => Self::Hello {
                restarts,
                init,
                adopt_only,
            },
            Event::Spawned { key, pid, .. } => Self::Spawned(key.command, pid),
            Event::SpawnFailed { key, errno, .. } => Self::SpawnFailed(key.command, errno),
            Event::Exited { key, exit, .. } => Self::Exited(key.command, exit),
            Event::Child {
                key,
                pid,
                state,
                watched,
                ..
            } => Self::Child {
                command: key.command,
                pid,
                state,
                watched,
            },
            Event::Held { class, name } => {
                Self::Held(class, String::from_utf8(name.to_vec()).unwrap())
            }
            Event::InventoryEnd => Self::InventoryEnd,
            Event::SignalReceived { signal } => Self::Signal(signal),
            Event::Refused { errno, .. } => Self::Refused(errno),
        }
    }
}

/// A process that gave its channel to the test.
pub(crate) struct Client {
    pub(crate) channel: Channel,
    pub(crate) pid: i32,
    pub(crate) arguments: String,
    pub(crate) environment: String,
    leash: UnixStream,
}

impl Client {
    fn accept(listener: &UnixListener) -> Self {
        wait_readable(listener.as_fd(), "a process that the keeper starts");
        let (leash, _) = listener.accept().unwrap();
        wait_readable(leash.as_fd(), "its first words");
        let (mut buffer, mut descriptors) = ([0; 4096], kernel::message::Descriptors::default());
        let received =
            kernel::message::receive(&leash, &mut buffer, &mut descriptors, Default::default())
                .unwrap();
        let line = String::from_utf8(buffer[..received.bytes].to_vec()).unwrap();
        let [pid, arguments, environment] =
            line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let channel = Channel::new(descriptors.take().unwrap());
        Self {
            channel,
            pid: pid.parse().unwrap(),
            arguments: arguments.into(),
            environment: environment.into(),
            leash,
        }
    }

    pub(crate) fn hear(&mut self) -> (Heard, Vec<OwnedFd>) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some((event, descriptors)) = self.channel.receive().expect("the channel is open")
            {
                let heard = Heard::new(&event);
                return (heard, std::iter::from_fn(|| descriptors.take()).collect());
            }
            assert!(Instant::now() < until, "waited too long for an event");
            wait_readable(self.channel.as_fd(), "an event");
        }
    }

    pub(crate) fn expect(&mut self, expected: Heard) -> Vec<OwnedFd> {
        let (heard, descriptors) = self.hear();
        assert_eq!(heard, expected);
        descriptors
    }

    pub(crate) fn send(&mut self, command: Command<'_>, descriptors: &[BorrowedFd<'_>]) {
        self.channel.send(&command, descriptors).unwrap();
    }

    /// Asks for a child that does what `plan` says; answers where its report comes out.
    pub(crate) fn spawn(&mut self, command: u64, plan: &str, child: &[BorrowedFd<'_>]) -> File {
        self.spawn_with(command, plan, child, false, None)
    }

    pub(crate) fn spawn_with(
        &mut self,
        command: u64,
        plan: &str,
        child: &[BorrowedFd<'_>],
        new_pid_namespace: bool,
        cgroup: Option<BorrowedFd<'_>>,
    ) -> File {
        let plan = text_file(plan);
        let (report, write_end) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let request = Spawn {
            key: key(command),
            role: 7,
            new_pid_namespace,
            own_executor: false,
            cgroup: false,
            kept: 0,
            label: CHILD_LABEL.as_bytes(),
        };
        let kept = [report.as_fd()];
        let descriptors = SpawnDescriptors {
            executor: None,
            plan: plan.as_fd(),
            cgroup,
            report: write_end.as_fd(),
            child,
            kept: &kept,
        };
        self.channel.spawn(request, descriptors).unwrap();
        File::from(report)
    }

    /// The answer to a spawn.
    pub(crate) fn spawned(&mut self, command: u64) -> (u32, OwnedFd) {
        match self.hear() {
            (Heard::Spawned(heard, pid), mut descriptors) if heard == command => {
                (pid, descriptors.remove(0))
            }
            (other, _) => panic!("expected the start of {command}, heard {other:?}"),
        }
    }

    pub(crate) fn introduce(&mut self) -> Vec<Heard> {
        self.send(Command::Inventory, &[]);
        let mut all = Vec::new();
        loop {
            match self.hear().0 {
                Heard::InventoryEnd => return all,
                other => all.push(other),
            }
        }
    }

    /// Kills the process; its channel here closes too.
    pub(crate) fn kill(self) {
        kernel::process::kill(self.pid, 9).unwrap();
    }

    /// Lets the process exit with that status.
    pub(crate) fn exit(mut self, status: u8) {
        self.leash.write_all(&[status]).unwrap();
    }
}

pub(crate) fn key(command: u64) -> ChildKey {
    ChildKey {
        unit: 11,
        incarnation: 5,
        command,
    }
}

pub(crate) fn text_file(text: &str) -> OwnedFd {
    let file = kernel::memory::memory_file(c"plan").unwrap();
    rustix::io::write(&file, text.as_bytes()).unwrap();
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).unwrap();
    file
}

pub(crate) fn wait_readable(descriptor: BorrowedFd<'_>, what: &str) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let patience = Timespec {
        tv_sec: PATIENCE.as_secs() as i64,
        tv_nsec: 0,
    };
    let ready = poll(
        &mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)],
        Some(&patience),
    )
    .unwrap();
    assert_eq!(ready, 1, "waited too long for {what}");
}

/// All that comes out of a report until its write end is closed.
pub(crate) fn read_all(mut report: File) -> String {
    let mut text = String::new();
    loop {
        match read_some(&mut report) {
            more if more.is_empty() => return text,
            more => text.push_str(&more),
        }
    }
}

/// The next words of a report.
pub(crate) fn read_some(report: &mut File) -> String {
    wait_readable(report.as_fd(), "a report");
    let mut bytes = [0; 4096];
    let count = report.read(&mut bytes).unwrap();
    String::from_utf8(bytes[..count].to_vec()).unwrap()
}

pub(crate) struct World {
    directory: std::path::PathBuf,
    managers: UnixListener,
    logs: UnixListener,
    pub(crate) keeper: Child,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::start(|_| ())
    }

    /// With the keeper as the first process of a pid namespace.
    pub(crate) fn as_init() -> Self {
        Self::start(|program| {
            let own = program.get_program().to_owned();
            let arguments: Vec<_> = program.get_args().map(ToOwned::to_owned).collect();
            let mut wrapped = Program::new("unshare");
            wrapped
                .args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"])
                .arg(own)
                .args(arguments);
            *program = wrapped;
        })
    }

    fn start(change: impl FnOnce(&mut Program)) -> Self {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!(
            "coracle-keeper-test-{}-{number}",
            std::process::id()
        ));
        std::fs::create_dir(&directory).unwrap();
        let managers = UnixListener::bind(directory.join("manager")).unwrap();
        let logs = UnixListener::bind(directory.join("log")).unwrap();
        let mut program = Program::new(std::fs::read_link("/proc/self/exe").unwrap());
        program.arg("keeper").arg("--runtime-dir").arg(&directory);
        change(&mut program);
        let keeper = program
            .env("LEAKED", "1")
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Self {
            directory,
            managers,
            logs,
            keeper,
        }
    }

    /// The next manager that the keeper starts.
    pub(crate) fn manager(&self) -> Client {
        Client::accept(&self.managers)
    }

    /// The next manager, introduced: what it heard first, and the inventory.
    pub(crate) fn next_manager(&self) -> (Client, Vec<Heard>) {
        let mut manager = self.manager();
        assert!(matches!(manager.hear().0, Heard::Hello { .. }));
        let inventory = manager.introduce();
        (manager, inventory)
    }

    pub(crate) fn log(&self) -> Client {
        Client::accept(&self.logs)
    }

    /// Ends the keeper with all its children and waits for it.
    pub(crate) fn end(mut self, mut manager: Client) -> i32 {
        manager.send(
            Command::Shutdown {
                leave_children: false,
                timeout_ms: 5_000,
                status: 42,
                power: 0,
                argument: b"",
            },
            &[],
        );
        let status = self.keeper.wait().unwrap();
        status.code().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A failed test leaves a keeper: all that it started is in its process group or was killed by its end.
        if let Ok(None) = self.keeper.try_wait() {
            let group = self.keeper.id() as i32;
            assert!(kernel::process::kill(-group, 9).is_ok());
            assert!(self.keeper.wait().is_ok());
        }
        drop(std::fs::remove_dir_all(&self.directory));
    }
}
