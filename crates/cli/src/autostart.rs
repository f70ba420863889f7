//! Starts `coracled` where none runs: by a fixed path, with a clean environment, outside the caller's login session.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::context::{DEFAULT_RUNTIME, Directories};
use crate::failure::WithHint;

/// How long the first answer of a new instance may take, in seconds: a cold disk is slow, a broken host slower, and generators, which
/// run before, have 90.
const READY_TIMEOUT_S: i64 = 120;

/// Longest message of a new instance that is read in full, in bytes: two paths and a sentence.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// Where a host's own systemd says that it is the init (sd_booted(3)).
const SYSTEMD_RUNS: &str = "/run/systemd/system";
const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";

/// What an instance is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For its own sake, by the host's init: default.target starts.
    Boot,
    /// For what a command asks: nothing else starts.
    Command,
}

/// Starts an instance and returns when it answers.
///
/// # Errors
/// When `coracled` is not beside this file, ends at once, or does not become ready in time.
pub(crate) fn start(directories: &Directories, purpose: Purpose) -> Result<()> {
    let program = daemon_path()?;
    fs::create_dir_all(&directories.runtime).or_hint(
        || format!("cannot make {}", directories.runtime.display()),
        "become root, or name a directory of your own with --runtime-dir",
    )?;
    // Whoever changes a portable may be about to ask for the instance: what waits for that one must not have the turn.
    crate::portable::detach_after_reboot(directories)?;
    let turn = Turn::take(&directories.runtime)?;
    if UnixStream::connect(directories.runtime.join("api")).is_ok() {
        // Whose turn was before ours started it.
        return Ok(());
    }
    let ready = directories
        .runtime
        .join(format!("ready-{}", std::process::id()));
    let socket = UnixDatagram::bind(&ready)
        .with_context(|| format!("cannot listen on {}", ready.display()))?;
    let launched = launch(&program, (directories, purpose), &ready);
    let outcome = launched.and_then(|child| wait(&socket, child));
    fs::remove_file(&ready).ok();
    drop(turn);
    let pause = || std::thread::sleep(PAUSE);
    if outcome.as_ref().is_err_and(is_of_another) && answers(&directories.runtime, pause) {
        return Ok(());
    }
    outcome.or_hint(
        || format!("cannot start {}", program.display()),
        "run it by hand to see what it says",
    )
}

/// Somebody else, such as the host's init, started one at the same moment: the manager's words of it.
fn is_of_another(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains(wire::ANOTHER_RUNS)
}

/// Whether the instance that is there answers: it may be coming up.
fn answers(runtime: &Path, mut pause: impl FnMut()) -> bool {
    const TRIES: u32 = 250;
    (0..TRIES).any(|_| {
        let answers = UnixStream::connect(runtime.join("api")).is_ok();
        if !answers {
            pause();
        }
        answers
    })
}

/// Between two looks for an instance that is coming up.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Commands that find no instance at the same moment start one after the other, so that one of them starts it and the others find it.
/// (An instance that is there already would refuse a second one anyway.)
struct Turn {
    path: PathBuf,
    _locked: fs::File,
}

impl Turn {
    fn take(runtime: &Path) -> Result<Turn> {
        let path = runtime.join("starting");
        loop {
            let file = fs::File::create(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            flock(&file, FlockOperation::LockExclusive)
                .with_context(|| format!("cannot lock {}", path.display()))?;
            // Whose turn was before may have taken the file along: then the lock is on nothing.
            let (ours, named) = (file.metadata()?, path.symlink_metadata());
            if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
                return Ok(Turn {
                    path,
                    _locked: file,
                });
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// `coracled` lies beside the command; a path from the environment would let somebody choose what root runs.
pub(crate) fn daemon_path() -> Result<PathBuf> {
    let ours = fs::read_link("/proc/self/exe")?;
    let path = ours
        .parent()
        .map(|folder| folder.join("coracled"))
        .unwrap_or_default();
    if !path.exists() {
        bail!(
            "there is no {}: install both files into one directory",
            path.display()
        );
    }
    Ok(path)
}

fn launch(
    program: &Path,
    (directories, purpose): (&Directories, Purpose),
    ready: &Path,
) -> Result<Child> {
    let mut command = if Path::new(SYSTEMD_RUNS).is_dir()
        && Path::new(SYSTEMD_RUN).exists()
        && directories.runtime == Path::new(DEFAULT_RUNTIME)
    {
        let mut command = Command::new(SYSTEMD_RUN);
        command.args([
            "--quiet",
            "--collect",
            "--unit=coracle",
            "--property=Delegate=yes",
            // Services outlive a keeper that is killed.
            "--property=KillMode=process",
        ]);
        command
            .arg(format!("--setenv=NOTIFY_SOCKET={}", ready.display()))
            .arg("--")
            .arg(program);
        command
    } else {
        let mut command = Command::new("/proc/self/exe");
        command.args(["worker", "detach"]).arg(program);
        command
    };
    add_directories(&mut command, directories);
    if purpose == Purpose::Command {
        command.arg("--on-demand");
    }
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("NOTIFY_SOCKET", ready);
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command.spawn()?)
}

/// The options by which `coracled` and its parts know their instance.
pub(crate) fn add_directories(command: &mut Command, directories: &Directories) {
    for (option, path) in [
        ("--runtime-dir", &directories.runtime),
        ("--state-dir", &directories.state),
        ("--config-dir", &directories.config),
    ] {
        command.arg(option).arg(path);
    }
    if !directories.unit_path.as_os_str().is_empty() {
        command.arg("--unit-path").arg(&directories.unit_path);
    }
}

/// Waits for READY=1, or for the end of what should have sent it.
fn wait(socket: &UnixDatagram, mut child: Child) -> Result<()> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("the process has no id")?;
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let timeout = Timespec {
        tv_sec: READY_TIMEOUT_S,
        tv_nsec: 0,
    };
    loop {
        let mut sources = [
            PollFd::new(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN),
        ];
        if poll(&mut sources, Some(&timeout))? == 0 {
            bail!("it is not ready after {READY_TIMEOUT_S} s");
        }
        let [message, ended] = sources.map(|source| !source.revents().is_empty());
        if message && is_ready(socket)? {
            return Ok(());
        }
        if ended && !message {
            let status = child.wait()?;
            if !status.success() {
                bail!("it ended with {status}");
            }
            return wait_for_message(socket);
        }
    }
}

/// A launcher that ended well has handed over; the message still comes.
fn wait_for_message(socket: &UnixDatagram) -> Result<()> {
    socket.set_read_timeout(Some(std::time::Duration::from_secs(
        READY_TIMEOUT_S.unsigned_abs(),
    )))?;
    while !is_ready(socket)? {}
    Ok(())
}

/// Reads one message of sd_notify's protocol.
///
/// # Errors
/// When it says that the instance gives up, with its reason.
fn is_ready(socket: &UnixDatagram) -> Result<bool> {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let length = socket.recv(&mut buffer)?;
    let message = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
    let said = |word: &str| message.lines().any(|line| line == word);
    if said("STOPPING=1") {
        let mut lines = message.lines();
        let reason = lines.find_map(|line| line.strip_prefix("STATUS="));
        bail!("{}", reason.unwrap_or("it gives up and does not say why"));
    }
    Ok(said("READY=1"))
}

/// `worker detach PROGRAM…`: leaves the caller's session and control group, then becomes the program.
///
/// # Errors
/// When the session can't be left or the program can't be executed.
pub(crate) fn detach(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> Result<()> {
    rustix::process::setsid().context("cannot leave the session")?;
    let program = arguments.next().context("no program to become")?;
    leave_control_groups();
    Err(Command::new(&program).args(arguments).exec())
        .with_context(|| format!("cannot execute {}", program.display()))
}

/// Moves to the top of every hierarchy, so that the end of a login ends nothing here. Where that is not allowed, the instance lives
/// where it was started, and its own description shows that control group.
fn leave_control_groups() {
    let Ok(mounts) = fs::read("/proc/self/mountinfo") else {
        return;
    };
    // Whoever can mount can write bytes into it that are no text.
    let mounts = String::from_utf8_lossy(&mounts);
    for line in mounts.lines().filter(|line| line.contains(" - cgroup")) {
        let Some(mount) = line.split(' ').nth(4) else {
            continue;
        };
        let procs = fs::OpenOptions::new()
            .write(true)
            .open(Path::new(mount).join("cgroup.procs"));
        if let Ok(mut procs) = procs {
            procs.write_all(b"0").ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    use super::*;

    /// Whether somebody waits for the lock on a file (proc_locks(5)).
    fn is_waited_for(inode: u64) -> bool {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        let place = format!(":{inode} ");
        locks
            .lines()
            .any(|line| line.contains("-> FLOCK") && line.contains(&place))
    }

    #[test]
    fn an_instance_that_comes_up_meanwhile_is_as_good() {
        let runtime = tempfile::tempdir().unwrap();
        let path = runtime.path().join("api");
        let mut api = None;
        assert!(!answers(runtime.path(), || {}));
        assert!(answers(runtime.path(), || {
            api = Some(std::os::unix::net::UnixListener::bind(&path).unwrap());
        }));
        let other = anyhow::anyhow!("{} /run/coracle", wire::ANOTHER_RUNS);
        assert!(is_of_another(&other.context("cannot start")));
        assert!(!is_of_another(&anyhow::anyhow!("it ended with 1")));
    }

    #[test]
    fn who_waited_for_a_turn_has_it_alone_though_the_one_before_took_the_file_along() {
        let runtime = tempfile::tempdir().unwrap();
        let first = Turn::take(runtime.path()).unwrap();
        let inode = first.path.metadata().unwrap().ino();
        let (taken, is_taken) = channel();
        let (end, ends) = channel::<()>();
        let path = runtime.path().to_owned();
        let second = std::thread::spawn(move || {
            let turn = Turn::take(&path).unwrap();
            taken.send(()).unwrap();
            ends.recv().ok();
            drop(turn);
        });
        let until = Instant::now() + Duration::from_secs(30);
        while !is_waited_for(inode) {
            assert!(Instant::now() < until, "nobody waits for the turn");
            std::thread::yield_now();
        }
        drop(first);
        is_taken.recv().unwrap();
        let file = fs::File::open(runtime.path().join("starting")).unwrap();
        let third = flock(&file, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(third, Err(rustix::io::Errno::WOULDBLOCK));
        drop(end);
        second.join().unwrap();
    }
}
