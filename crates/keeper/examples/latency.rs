//! Prints what a start through the keeper costs beside a plain fork and exec, with a program of 120 bytes.
//!
//! `cargo run --release -p coracle-keeper --example latency`. This program is the keeper, the manager that measures, and a
//! log process that only waits.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement for people"
)]

extern crate coracle_keeper as keeper;

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use keeper::client::{Channel, SpawnDescriptors};
use keeper::protocol::{ChildKey, Command, Event, Spawn};
use kernel::process::TextList;
use kernel::spawn::{Request, Stack, lone_argument};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};

const ROUNDS: u64 = 500;

/// An x86-64 ELF file that calls exit(0).
static TINY: [u8; 132] = tiny();

const fn tiny() -> [u8; 132] {
    let mut file = [0; 132];
    // e_ident, ET_EXEC, EM_X86_64, version, entry 0x400078, headers at 64, sizes; then PT_LOAD, read and execute, at 0x400000.
    let parts: [(usize, &[u8]); 12] = [
        (0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]),
        (16, &[2, 0, 0x3e, 0, 1]),
        (24, &[0x78, 0, 0x40]),
        (32, &[64]),
        (52, &[64, 0, 56, 0, 1]),
        (64, &[1, 0, 0, 0, 5]),
        (82, &[0x40]),
        (90, &[0x40]),
        (96, &[132]),
        (104, &[132]),
        (113, &[0x10]),
        // xor edi, edi; mov eax, 60; syscall
        (120, &[0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]),
    ];
    let mut part = 0;
    while part < parts.len() {
        let mut byte = 0;
        while byte < parts[part].1.len() {
            file[parts[part].0 + byte] = parts[part].1[byte];
            byte += 1;
        }
        part += 1;
    }
    file
}

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.get(1).and_then(|role| role.to_str()) {
        Some("keeper") => keeper::run(arguments.into_iter().skip(2).collect(), &TINY),
        Some("manager") => measure(Channel::inherited().unwrap()),
        Some("log") => drop(await_event(&mut Channel::inherited().unwrap(), |_| false)),
        _ => {
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .arg("keeper")
                .status();
            assert!(status.unwrap().success());
        }
    }
}

fn measure(mut channel: Channel) {
    channel.send(&Command::Inventory, &[]).unwrap();
    await_event(&mut channel, |event| matches!(event, Event::InventoryEnd)).unwrap();
    report(
        "plain clone3(CLONE_VFORK), exec, wait",
        (0..ROUNDS).map(|_| vfork()).collect(),
    );
    report(
        "plain fork, exec, wait",
        (0..ROUNDS).map(|_| fork()).collect(),
    );
    let rounds: Vec<(u64, u64)> = (1..=ROUNDS)
        .map(|command| through_keeper(&mut channel, command))
        .collect();
    report(
        "keeper: asked until started",
        rounds.iter().map(|round| round.0).collect(),
    );
    report(
        "keeper: asked until its end is known",
        rounds.iter().map(|round| round.1).collect(),
    );
    let before = Instant::now();
    flood(&mut channel);
    println!(
        "keeper: 1000 at once                    {:>7} µs",
        before.elapsed().as_micros()
    );
    channel
        .send(
            &Command::Shutdown {
                leave_children: false,
                timeout_ms: 1000,
                status: 0,
                power: 0,
                argument: b"",
            },
            &[],
        )
        .unwrap();
}

fn report(what: &str, mut times_us: Vec<u64>) {
    times_us.sort_unstable();
    println!(
        "{what:<40}{:>7} µs ({} at best)",
        times_us[times_us.len() / 2],
        times_us[0]
    );
}

fn us_since(before: Instant) -> u64 {
    u64::try_from(before.elapsed().as_micros()).unwrap()
}

fn tiny_file() -> OwnedFd {
    kernel::memory::sealed_executable(c"tiny", &TINY).unwrap()
}

fn vfork() -> u64 {
    let (file, mut stack) = (tiny_file(), Stack::new().unwrap());
    let (mut arguments, mut environment) = ([core::ptr::null(); 2], [core::ptr::null(); 1]);
    let request = Request {
        program: file.as_fd(),
        arguments: lone_argument(c"tiny", &mut arguments).unwrap(),
        environment: TextList::new(core::iter::empty(), &mut environment).unwrap(),
        descriptors: &[],
        first_descriptor: 3,
        cgroup: None,
        new_pid_namespace: false,
        open_files: None,
        numbers_below: None,
    };
    let before = Instant::now();
    let child = kernel::spawn::spawn(&request, &mut stack, &mut []).unwrap();
    kernel::wait::wait(&child.pidfd).unwrap();
    us_since(before)
}

fn fork() -> u64 {
    let file = tiny_file();
    let (mut arguments, mut environment) = ([core::ptr::null(); 2], [core::ptr::null(); 1]);
    let arguments = lone_argument(c"tiny", &mut arguments).unwrap();
    let environment = TextList::new(core::iter::empty(), &mut environment).unwrap();
    let before = Instant::now();
    match kernel::process::fork_alone(0).unwrap() {
        kernel::process::Forked::Child => {
            let failure = kernel::process::execute(&file, arguments, environment);
            kernel::process::exit_group(failure.raw_os_error())
        }
        kernel::process::Forked::Parent(_, pidfd) => {
            drop((kernel::wait::wait(&pidfd).unwrap(), file))
        }
    }
    us_since(before)
}

/// As the manager does it: plan, report pipe, two streams.
fn ask(channel: &mut Channel, command: u64, plan: &OwnedFd) -> OwnedFd {
    let (report, write_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let request = Spawn {
        key: ChildKey {
            unit: 1,
            incarnation: 1,
            command,
        },
        role: 0,
        new_pid_namespace: false,
        own_executor: false,
        cgroup: false,
        kept: 0,
        label: b"tiny",
    };
    let child = [write_end.as_fd(), write_end.as_fd()];
    let kept = [report.as_fd()];
    let with = SpawnDescriptors {
        executor: None,
        plan: plan.as_fd(),
        cgroup: None,
        report: write_end.as_fd(),
        child: &child,
        kept: &kept,
    };
    channel.spawn(request, with).unwrap();
    report
}

fn through_keeper(channel: &mut Channel, command: u64) -> (u64, u64) {
    let plan = kernel::memory::sealed_file(c"plan", &[0; 4096]).unwrap();
    let before = Instant::now();
    let report = ask(channel, command, &plan);
    await_event(channel, |event| matches!(event, Event::Spawned { .. })).unwrap();
    let started = us_since(before);
    await_event(channel, |event| matches!(event, Event::Exited { .. })).unwrap();
    let ended = us_since(before);
    drop(report);
    let key = ChildKey {
        unit: 1,
        incarnation: 1,
        command,
    };
    channel.send(&Command::Reap { key }, &[]).unwrap();
    (started, ended)
}

fn flood(channel: &mut Channel) {
    let plan = kernel::memory::sealed_file(c"plan", &[0; 4096]).unwrap();
    for command in 0..1000 {
        drop(ask(channel, 10_000 + command, &plan));
    }
    for _ in 0..1000 {
        let mut ended = ChildKey::default();
        await_event(channel, |event| match event {
            Event::Exited { key, .. } => {
                ended = *key;
                true
            }
            _ => false,
        })
        .unwrap();
        channel.send(&Command::Reap { key: ended }, &[]).unwrap();
    }
}

/// Waits for an event that passes; `None` when the channel is closed.
fn await_event(channel: &mut Channel, mut passes: impl FnMut(&Event<'_>) -> bool) -> Option<()> {
    loop {
        match channel.receive() {
            Ok(Some((event, _))) if passes(&event) => return Some(()),
            Ok(Some(_)) => {}
            Ok(None) => {
                let room = if channel.flush().ok()? {
                    PollFlags::IN
                } else {
                    PollFlags::IN | PollFlags::OUT
                };
                poll(&mut [PollFd::new(&*channel, room)], None).unwrap();
            }
            Err(_) => return None,
        }
    }
}
