//! The main job from beginning to end, with checks: a signed service travels from an https address into a sandbox, answers requests
//! while the manager is killed, and leaves nothing behind.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testkit::{HttpsServer, Instance, Picture};

use crate::{dist, run, setup, transcript};

/// Ports of the demo: the image server and the demo's service, as README.md has them.
const SERVER_PORT: u16 = 8443;
const SERVICE: &str = "127.0.0.1:8080";

/// Where services and managers leave files: all of it is looked at before and after.
const PLACES: &[&str] = &["/etc", "/run", "/var/cache", "/var/lib", "/var/log"];

/// Kills of the manager while requests go on.
const KILLS: usize = 20;

/// Does what README.md shows, then kills the manager under load, then purges and compares.
pub(crate) fn run() -> Result<()> {
    run::need_root("the demo")?;
    if std::env::var_os(testkit::DIST).is_none() {
        dist::run()?;
    }
    let instance = Instance::new();
    let roots: Vec<&Path> = PLACES.iter().map(Path::new).collect();
    let before = Picture::take(&roots);
    hello(&instance)?;
    foreign(&instance)?;
    let group = instance.control_group();
    instance.stop();
    let mut left = before.left_behind(&Picture::take(&roots));
    // Other instances may run beside this one, in control groups of their own.
    left.retain(|thing| !thing.contains("/coracle-") || thing.contains(&group));
    ensure!(left.is_empty(), "the demo left something behind: {left:#?}");
    eprintln!("demo: done, and nothing is left");
    Ok(())
}

/// The session of README.md with the service in `examples/hello`.
fn hello(instance: &Instance) -> Result<()> {
    let folder = instance.folder().join("work");
    fs::create_dir_all(&folder)?;
    build_hello(&folder)?;
    let _server = HttpsServer::start(&folder, &folder, SERVER_PORT);
    let page = fs::read_to_string(run::root().join("README.md"))?;
    let environment = environment(instance)?;
    let exchanges = transcript::exchanges(&page);
    ensure!(!exchanges.is_empty(), "README.md has no session");
    for exchange in exchanges {
        transcript::run(&exchange, &folder, &environment)?;
        if exchange.typed.starts_with("coracle status") {
            kill_the_manager(instance)?;
        }
    }
    Ok(())
}

/// What a reader's shell would have: the commands in the search path, and this instance's directories.
fn environment(instance: &Instance) -> Result<Vec<(&'static str, String)>> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folder = instance
        .folder()
        .to_str()
        .context("the instance's folder has a plain name")?;
    Ok(vec![
        ("PATH", format!("{}:{path}", instance.dist().display())),
        ("CORACLE_RUNTIME_DIR", format!("{folder}/run")),
        ("CORACLE_STATE_DIR", format!("{folder}/state")),
        ("CORACLE_CONFIG_DIR", format!("{folder}/config")),
    ])
}

/// Builds the example and lays its files where the README's commands find them.
fn build_hello(folder: &Path) -> Result<()> {
    run::check(run::cargo().args(["build", "--release", "--quiet", "-p", "hello"]))?;
    fs::copy(
        dist::release_directory()?.join("hello"),
        folder.join("hello"),
    )?;
    for file in ["hello.service", "hello.socket"] {
        fs::copy(
            run::root().join("examples/hello").join(file),
            folder.join(file),
        )?;
    }
    Ok(())
}

/// An unsigned image of the example, allowed by its digest, for benches.
///
/// # Errors
/// When it can't be built.
pub(crate) fn hello_image(folder: &Path) -> Result<PathBuf> {
    build_hello(folder)?;
    fatten(&folder.join("hello"))?;
    let image = folder.join("hello_1.0.psi");
    let coracle = run::root().join("dist/coracle");
    let mut build = Command::new(coracle);
    build.args([
        "build",
        "--program",
        "hello",
        "--unit",
        "hello.service",
        "--unit",
        "hello.socket",
        "--image-version",
        "1.0",
        "-o",
        "hello_1.0.psi",
    ]);
    run::check(build.current_dir(folder))?;
    Ok(image)
}

/// The example as a portable service in a directory, `portable/hello` below `folder`, with what others than Coracle expect there; the
/// program itself is beside it.
///
/// # Errors
/// When it can't be built.
pub(crate) fn portable_tree(folder: &Path) -> Result<()> {
    build_hello(folder)?;
    let tree = folder.join("portable/hello");
    for directory in [
        "etc",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "var/tmp",
        "usr/bin",
        "usr/lib/systemd/system",
    ] {
        fs::create_dir_all(tree.join(directory))?;
    }
    for empty in ["etc/resolv.conf", "etc/machine-id"] {
        fs::write(tree.join(empty), "")?;
    }
    fs::copy(folder.join("hello"), tree.join("usr/bin/hello"))?;
    fs::copy(
        run::root().join("examples/hello/os-release"),
        tree.join("usr/lib/os-release"),
    )?;
    for unit in ["hello.service", "hello.socket"] {
        fs::copy(
            folder.join(unit),
            tree.join("usr/lib/systemd/system").join(unit),
        )?;
    }
    Ok(())
}

/// Makes the program as large as a real one: bytes that do not compress, behind its end, where no one reads them.
fn fatten(program: &Path) -> Result<()> {
    const SIZE: usize = 3_700_000;
    let mut bytes = fs::read(program)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while bytes.len() < SIZE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    Ok(fs::write(program, bytes)?)
}

/// Requests go on while the manager is killed again and again; none may fail.
fn kill_the_manager(instance: &Instance) -> Result<()> {
    let (stop, served, failed) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let counter = if request().is_ok() { &served } else { &failed };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        let outcome = (0..KILLS).try_for_each(|_| kill_once(instance));
        stop.store(true, Ordering::Relaxed);
        outcome
    });
    outcome?;
    let (served, failed) = (served.into_inner(), failed.into_inner());
    eprintln!("demo: {KILLS} kills of the manager, {served} requests served, {failed} failed");
    if failed > 0 || served == 0 {
        bail!(
            "{failed} of {} requests failed while the manager was killed",
            served + failed
        );
    }
    Ok(())
}

/// Kills the manager and waits until another one answers.
fn kill_once(instance: &Instance) -> Result<()> {
    let manager = pidfd_open(instance.process("ManagerPID"), PidfdFlags::empty())?;
    pidfd_send_signal(&manager, Signal::KILL)?;
    ensure!(
        instance.property("hello.service", "ActiveState") == "active",
        "hello.service is not active after the manager was killed"
    );
    Ok(())
}

fn request() -> Result<()> {
    let mut stream = TcpStream::connect(SERVICE)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(
        answer.starts_with("HTTP/1.1 200"),
        "the service answered {:?}",
        answer.lines().next()
    );
    Ok(())
}

/// A program that nobody here wrote, redis from Debian's packages, through the same door: it keeps its data over a restart.
fn foreign(instance: &Instance) -> Result<()> {
    let folder = instance.folder().join("redis");
    fs::create_dir_all(&folder)?;
    setup::unpack(&["redis-server", "redis-tools"], &folder)?;
    let unit = run::root().join("examples/redis/redis.service");
    let mut build = instance.command(&[
        "build",
        "--program",
        "tree/usr/bin/redis-server",
        "--image-version",
        "7",
        "-o",
        "redis.psi",
        "--unit",
    ]);
    run::check(build.arg(unit).current_dir(&folder))?;
    run::check(
        instance
            .command(&["start", "--insecure", "redis.psi"])
            .current_dir(&folder),
    )?;
    ensure!(
        redis(&["set", "greeting", "hello"])? == "OK",
        "redis does not take a value"
    );
    ensure!(redis(&["save"])? == "OK", "redis does not save");
    instance.ok(&["restart", "redis"]);
    ensure!(
        redis(&["get", "greeting"])? == "hello",
        "redis lost a value over a restart"
    );
    instance.ok(&["purge", "--forget", "redis"]);
    ensure!(
        !Path::new("/var/lib/private/redis-demo").exists()
            && !Path::new("/run/redis-demo").exists(),
        "redis left a directory behind"
    );
    eprintln!("demo: redis from Debian ran without a network, kept its data, and is gone");
    Ok(())
}

fn redis(words: &[&str]) -> Result<String> {
    let answer = run::output(
        Command::new("redis-cli")
            .args(["-s", "/run/redis-demo/redis.sock"])
            .args(words),
    )?;
    Ok(answer.trim().to_owned())
}
