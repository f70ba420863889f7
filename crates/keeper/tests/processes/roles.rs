//! What this program is when the keeper starts it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::fd::OwnedFd;

/// The label that makes the executor of this test program, which has no other arguments.
pub(crate) const CHILD_LABEL: &str = "keeper-test-child";

pub(crate) enum Role {
    Keeper,
    /// Manager or log: gives its channel to the test that waits at this socket.
    Relay(&'static str),
    Child,
}

pub(crate) fn role(arguments: &[OsString]) -> Option<Role> {
    let text = |index: usize| arguments.get(index).and_then(|argument| argument.to_str());
    match (text(0), text(1)) {
        (Some(CHILD_LABEL), None) => Some(Role::Child),
        (_, Some("keeper")) => Some(Role::Keeper),
        (_, Some("manager")) => Some(Role::Relay("manager")),
        (_, Some("log")) => Some(Role::Relay("log")),
        _ => None,
    }
}

pub(crate) fn play(role: Role, arguments: Vec<OsString>) -> ExitCode {
    match role {
        Role::Keeper => {
            let executor = std::fs::read("/proc/self/exe").unwrap().leak();
            keeper::run(arguments.into_iter().skip(2).collect(), executor)
        }
        Role::Relay(name) => relay(name, &arguments),
        Role::Child => child(),
    }
}

/// Gives the channel and the arguments to the test, then ends with the status that the test sends; without one, with 0.
fn relay(name: &str, arguments: &[OsString]) -> ExitCode {
    let place = arguments
        .iter()
        .position(|argument| argument == "--runtime-dir")
        .unwrap();
    let socket = PathBuf::from(&arguments[place + 1]).join(name);
    let channel = kernel::descriptor::take_inherited(3).unwrap();
    let Ok(mut test) = UnixStream::connect(socket) else {
        // No one waits any more: the tests were ended from outside. Then the keeper is to end as well.
        let end = keeper::protocol::Command::Shutdown {
            leave_children: false,
            timeout_ms: 0,
            status: 1,
            power: 0,
            argument: b"",
        };
        keeper::client::Channel::new(channel)
            .send(&end, &[])
            .unwrap();
        return ExitCode::SUCCESS;
    };
    let said: Vec<String> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let environment = std::env::vars()
        .map(|(name, _)| name)
        .collect::<Vec<_>>()
        .join(",");
    let line = format!(
        "{} | {} | {environment}",
        std::process::id(),
        said.join(" ")
    );
    kernel::message::send(&test, line.as_bytes(), &[channel.as_fd()]).unwrap();
    let mut status = [0];
    match test.read(&mut status) {
        Ok(1) => ExitCode::from(status[0]),
        _ => ExitCode::SUCCESS,
    }
}

/// Does what the plan says, word by word.
fn child() -> ExitCode {
    let mut plan = String::new();
    std::fs::File::from(inherited(3))
        .read_to_string(&mut plan)
        .unwrap();
    let mut report = std::fs::File::from(inherited(4));
    let mut words = plan.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "exit" => return ExitCode::from(words.next().unwrap().parse::<u8>().unwrap()),
            "say" => report.write_all(words.next().unwrap().as_bytes()).unwrap(),
            "pid" => writeln!(report, "pid {}", std::process::id()).unwrap(),
            "descriptors" => report.write_all(descriptors().as_bytes()).unwrap(),
            "limits" => write!(
                report,
                "{:?}",
                kernel::process::limit(kernel::process::LIMIT_OPEN_FILES).unwrap()
            )
            .unwrap(),
            "status" => report.write_all(signals().as_bytes()).unwrap(),
            "cgroup" => report
                .write_all(&std::fs::read("/proc/self/cgroup").unwrap())
                .unwrap(),
            // An orphan of the keeper: it ends when the other end of descriptor 5 is closed.
            "orphan" => orphan(&mut report, words.next().unwrap().parse().unwrap()),
            "ready" => report.write_all(b"ready").unwrap(),
            "closed" => drop(std::mem::replace(
                &mut report,
                std::fs::File::open("/dev/null").unwrap(),
            )),
            "wait" => loop {
                std::thread::park();
            },
            "die" => std::process::abort(),
            other => panic!("no such word: {other}"),
        }
    }
    ExitCode::SUCCESS
}

fn inherited(number: i32) -> OwnedFd {
    kernel::descriptor::take_inherited(number).unwrap()
}

fn orphan(report: &mut std::fs::File, status: i32) {
    let go = std::fs::File::open("/proc/self/fd/5").unwrap();
    match kernel::process::fork_alone(0).unwrap() {
        kernel::process::Forked::Parent(pid, _) => {
            writeln!(report, "orphan {}", pid.as_raw_nonzero()).unwrap()
        }
        kernel::process::Forked::Child => {
            let ended = rustix::io::read(&go, &mut [0u8; 1]);
            kernel::process::exit_group(if ended == Ok(0) { status } else { 99 })
        }
    }
}

/// The numbers that are open, without the one that lists them.
fn descriptors() -> String {
    let mut numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    numbers.sort_unstable();
    format!("{numbers:?}")
}

fn signals() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .filter(|line| line.starts_with("SigBlk"))
        .collect()
}
