//! Acts on processes: other ones, new ones, their namespaces and their privileges.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::call::Arg::{B, Given, N, W};
use crate::call::{Arg, BUFFER_BYTES, Buffer, Errno, call};
use crate::{Act, Outcome, Refusal, argument, seen};

pub(crate) const ACTS: &[Act] = &[
    ("am-root", |_| seen(rustix::process::geteuid().is_root())),
    ("be-there", |_| Ok(())),
    ("clone", |given| clone(argument(given, 0)?)),
    ("clone3", |given| clone3(argument(given, 0)?)),
    ("enter", |given| enter(argument(given, 0)?)),
    ("execute", execute),
    ("execute-copy", |given| execute_copy(argument(given, 0)?)),
    ("execute-memory", |_| execute_memory()),
    ("exhaust-processes", |given| {
        exhaust_processes(argument(given, 0)?)
    }),
    ("raise-ambient", |_| raise_ambient()),
    ("see", |given| see(argument(given, 0)?)),
    ("take-descriptor", take_descriptor),
    ("unshare", |given| unshare(argument(given, 0)?)),
    ("wait", |_| Ok(call(libc::SYS_pause, &[], &[]).map(drop)?)),
];

/// Namespaces by the names of their files, with their flags.
const NAMESPACES: &[(&str, i32)] = &[
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("ipc", libc::CLONE_NEWIPC),
    ("mnt", libc::CLONE_NEWNS),
    ("net", libc::CLONE_NEWNET),
    ("pid", libc::CLONE_NEWPID),
    ("time", 0x80),
    ("user", libc::CLONE_NEWUSER),
    ("uts", libc::CLONE_NEWUTS),
];

fn flag(kind: &str) -> Result<i64, Refusal> {
    let known = NAMESPACES.iter().find(|(name, _)| *name == kind);
    let flag = known.map(|(_, flag)| i64::from(*flag));
    flag.ok_or_else(|| Refusal::NotTried(format!("there is no namespace {kind:?}")))
}

fn unshare(kind: &str) -> Outcome {
    Ok(call(libc::SYS_unshare, &[N(flag(kind)?)], &[]).map(drop)?)
}

fn clone(kind: &str) -> Outcome {
    let flags = N(flag(kind)? | i64::from(libc::SIGCHLD));
    child(libc::SYS_clone, &[flags, N(0), N(0), N(0), N(0)])
}

fn clone3(kind: &str) -> Outcome {
    // Flags, three places for numbers, and the signal at the end.
    let structure = [
        flag(kind)? as u32,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        libc::SIGCHLD as u32,
    ];
    child(libc::SYS_clone3, &[W(&structure), N(64)])
}

/// Makes a child that ends at once, and waits for it.
fn child(number: i64, arguments: &[Arg<'_>]) -> Outcome {
    let process = call(number, arguments, &[])?;
    if process == 0 {
        call(libc::SYS_exit_group, &[N(0)], &[])?;
    }
    Ok(call(libc::SYS_wait4, &[N(process), N(0), N(0), N(0)], &[]).map(drop)?)
}

/// Does some work in a child, and returns the signal that ended it, if one did.
pub(crate) fn apart(work: impl FnOnce() -> u8) -> Result<Option<i32>, Refusal> {
    let signal = i64::from(libc::SIGCHLD);
    let process = call(libc::SYS_clone, &[N(signal), N(0), N(0), N(0), N(0)], &[])?;
    if process == 0 {
        call(libc::SYS_exit_group, &[N(work().into())], &[])?;
    }
    let status = Buffer::new([0; BUFFER_BYTES]);
    call(libc::SYS_wait4, &[N(process), B(&status), N(0), N(0)], &[])?;
    let [low, ..] = status.get();
    let signal = i32::from(low & 0x7f);
    Ok((signal != 0).then_some(signal))
}

/// Enters the namespace that it is in.
fn enter(kind: &str) -> Outcome {
    let file = File::open(format!("/proc/self/ns/{kind}"))?;
    let descriptor = N(file.as_raw_fd().into());
    Ok(call(libc::SYS_setns, &[descriptor, N(flag(kind)?)], &[]).map(drop)?)
}

/// Becomes another program.
fn execute(given: &[String]) -> Outcome {
    let words = given.iter().skip(1);
    Err(Command::new(argument(given, 0)?).args(words).exec().into())
}

/// Becomes a copy of itself at another place.
fn execute_copy(place: &str) -> Outcome {
    fs::copy("/proc/self/exe", place)?;
    Err(Command::new(place).arg("be-there").exec().into())
}

/// Becomes a copy of itself that no file system has.
fn execute_memory() -> Outcome {
    let flags = rustix::fs::MemfdFlags::empty();
    let error = |error: rustix::io::Errno| Refusal::By(Errno(error.raw_os_error()));
    let memory = rustix::fs::memfd_create("attack", flags).map_err(error)?;
    let mut memory = File::from(memory);
    memory.write_all(&fs::read("/proc/self/exe")?)?;
    let place = format!("/proc/self/fd/{}", memory.as_raw_fd());
    Err(Command::new(place).arg("be-there").exec().into())
}

/// Starts so many processes, which wait until they are ended.
fn exhaust_processes(number: &str) -> Outcome {
    let start = |_| Command::new("/proc/self/exe").arg("wait").spawn();
    let number = number.parse().unwrap_or_default();
    let started: Vec<std::io::Result<_>> = (0..number).map(start).collect();
    let mut refused = Ok(());
    for one in started {
        match one {
            Ok(mut process) => {
                process.kill()?;
                process.wait()?;
            }
            Err(error) => refused = Err(error.into()),
        }
    }
    refused
}

/// Finds a process among all that there are.
fn see(process: &str) -> Outcome {
    let mut all = fs::read_dir("/proc")?.filter_map(Result::ok);
    seen(all.any(|entry| entry.file_name() == process))
}

/// Takes another process's first descriptor.
fn take_descriptor(given: &[String]) -> Outcome {
    let process = call(libc::SYS_pidfd_open, &[Given(0), N(0)], given)?;
    Ok(call(libc::SYS_pidfd_getfd, &[N(process), N(0), N(0)], &[]).map(drop)?)
}

/// Hands the privilege of administration on to programs that have none of their own.
fn raise_ambient() -> Outcome {
    const ADMINISTRATION: i64 = 21;
    const BIT: u32 = 1 << ADMINISTRATION;
    let header: &[u32] = &[0x2008_0522];
    // Effective, permitted and inheritable, of the lower capabilities and the higher ones.
    call(libc::SYS_capset, &[W(header), W(&[BIT, BIT, BIT])], &[])?;
    let (raise, operation) = (
        N(libc::PR_CAP_AMBIENT.into()),
        N(libc::PR_CAP_AMBIENT_RAISE.into()),
    );
    Ok(call(
        libc::SYS_prctl,
        &[raise, operation, N(ADMINISTRATION), N(0), N(0)],
        &[],
    )
    .map(drop)?)
}
