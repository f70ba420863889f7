//! `cargo xtask vm`: runs a command in a virtual machine, under a kernel that this machine does not run.

mod images;
mod initramfs;
mod kernel;
mod machine;
mod mkosi;
mod modules;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use self::initramfs::Initramfs;
use self::kernel::Kernel;
use self::machine::Machine;
use crate::peers::Tree;
use crate::{dist, run, setup};

/// Programs of Debian packages that only the machines need.
const PROGRAMS: &[(&str, &str)] = &[
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/bin/busybox", "busybox-static"),
    ("/usr/bin/xz", "xz-utils"),
    ("/usr/sbin/mkfs.ext4", "e2fsprogs"),
];

/// What is asked of a machine.
struct Request {
    kernel: String,
    position: String,
    /// The Debian tree that the machine runs in; without one it has busybox alone.
    tree: Option<String>,
    memory: u32,
    processors: u32,
    limit: Duration,
    files: Vec<(PathBuf, String)>,
    /// A disk that the machine may write.
    scratch: Option<PathBuf>,
    command: Vec<String>,
}

impl Request {
    /// Reads the arguments: options first, the command after `--`.
    fn read(arguments: &[String]) -> Result<Request> {
        let mut request = Request {
            kernel: "6.12".into(),
            position: "test".into(),
            tree: None,
            memory: 1024,
            processors: 2,
            limit: Duration::from_secs(120),
            files: Vec::new(),
            scratch: None,
            command: Vec::new(),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                "--kernel" => request.kernel.clone_from(value()?),
                "--init" => request.position.clone_from(value()?),
                "--tree" => request.tree = Some(value()?.clone()),
                "--memory" => request.memory = value()?.parse().context("--memory takes MiB")?,
                "--processors" => {
                    request.processors = value()?.parse().context("--processors takes a number")?;
                }
                "--limit" => {
                    request.limit =
                        Duration::from_secs(value()?.parse().context("--limit takes seconds")?);
                }
                "--disk" => request.scratch = Some(value()?.into()),
                "--with" => {
                    let (from, to) = value()?
                        .split_once('=')
                        .context("--with takes HOST_FILE=PATH_IN_THE_MACHINE")?;
                    request.files.push((from.into(), to.into()));
                }
                "--" => {
                    request.command = words.by_ref().cloned().collect();
                }
                other => bail!("{other:?} is no option of vm; the command follows after `--`"),
            }
        }
        if !["test", "coracle", "machine", "systemd"].contains(&request.position.as_str()) {
            bail!(
                "--init takes test, coracle, machine or systemd, not {:?}",
                request.position
            );
        }
        if request.position == "systemd" && request.tree.is_none() {
            request.tree = Some("trixie".into());
        }
        if request.command.is_empty() {
            bail!("vm needs a command: cargo xtask vm [OPTIONS] -- COMMAND…");
        }
        Ok(request)
    }
}

/// Runs the command of `arguments` in a machine, and ends with an error where it did not end with status 0.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    run_into(arguments, &mut std::io::stdout())
}

/// The same, with the command's output written to `sink`.
pub(crate) fn run_into(arguments: &[String], sink: &mut (dyn Write + Send)) -> Result<()> {
    let request = Request::read(arguments)?;
    setup::programs(PROGRAMS)?;
    let kernel = Kernel::find(&request.kernel)?;
    let files = run::root().join("dist");
    if !files.join("coracled").exists() {
        dist::run()?;
    }
    let mut initramfs = Initramfs::new();
    initramfs.file("init", &first_process()?)?;
    initramfs.file("vm/report", &first_process()?)?;
    initramfs.file("vm/busybox", Path::new("/bin/busybox"))?;
    for name in ["coracle", "coracled"] {
        initramfs.file(&format!("usr/bin/{name}"), &files.join(name))?;
    }
    for (from, to) in &request.files {
        initramfs.file(to.trim_start_matches('/'), from)?;
    }
    for (name, path) in kernel.modules()? {
        initramfs.file(&format!("vm/modules/{name}"), &path)?;
    }
    initramfs.text("vm/modules/order", kernel.order()?.as_bytes());
    initramfs.text("vm/position", request.position.as_bytes());
    initramfs.text("vm/command", request.command.join("\0").as_bytes());
    let disk = match &request.tree {
        Some(name) => {
            initramfs.text("vm/tree", name.as_bytes());
            Some(Tree::one(name)?.disk()?)
        }
        None => None,
    };
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("initramfs");
    fs::write(&image, initramfs.finish())?;
    let outcome = Machine {
        kernel: kernel.image(),
        initramfs: image,
        disk,
        scratch: request.scratch.clone(),
        memory: request.memory,
        processors: request.processors,
        limit: request.limit,
    }
    .run(folder.path(), sink)?;
    if outcome != 0 {
        bail!("the command ended with status {outcome}");
    }
    Ok(())
}

/// The tier of tests: the checks of `tests/vm`, under every kernel, with Coracle as the first process; and beside Debian's systemd.
pub(crate) fn checks() -> Result<()> {
    dist::run()?;
    first_process()?;
    setup::programs(PROGRAMS)?;
    setup::run()?;
    let folder = tempfile::tempdir()?;
    let files = images::for_coracle(folder.path())?;
    for kernel in kernel::names() {
        eprintln!("vm: kernel {kernel}");
        check(&["--kernel", kernel, "--init", "coracle"], &files, &[])?;
    }
    eprintln!("vm: as the kernel leaves a machine");
    whole_machine(folder.path())?;
    eprintln!("vm: beside systemd");
    let files = images::for_systemd(folder.path())?;
    check(
        &["--init", "systemd", "--memory", "2048", "--limit", "240"],
        &files,
        &["systemd"],
    )
}

/// A machine that Coracle brings up and ends by itself: what its services left on its disk is read here, and the disk must be clean.
fn whole_machine(folder: &Path) -> Result<()> {
    let disk = folder.join("disk");
    // One for the machine, and a file of it that the machine mounts, too.
    let inner = folder.join("inner");
    for (file, bytes) in [(&disk, 32 << 20), (&inner, 4 << 20)] {
        fs::File::create(file)?.set_len(bytes)?;
        run::check(Command::new("mkfs.ext4").arg("-q").arg(file))?;
    }
    let path = disk.display().to_string();
    check(
        &["--init", "machine", "--disk", &path],
        &[(inner, "inner")],
        &["machine"],
    )?;
    for (file, expected) in [("stopped", "in order"), ("farewell", "wanted")] {
        let left = run::output(
            Command::new("debugfs")
                .args(["-R", &format!("cat /{file}")])
                .arg(&disk),
        )?;
        ensure!(
            left.trim() == expected,
            "the service that writes /{file} at the end left {left:?} on the disk"
        );
    }
    let header = run::output(Command::new("dumpe2fs").arg("-h").arg(&disk))?;
    ensure!(
        header.contains("clean") && !header.contains("needs_recovery"),
        "the disk was not unmounted at the end:\n{header}"
    );
    Ok(())
}

/// Runs the checks of these words in a machine with these files below `/vm`.
fn check(options: &[&str], files: &[(PathBuf, &str)], words: &[&str]) -> Result<()> {
    let checks = dist::release_directory()?.join("checks");
    let mut arguments: Vec<String> = options.iter().map(|&word| word.to_owned()).collect();
    let checks = (checks, "checks");
    for (from, name) in files.iter().chain([&checks]) {
        arguments.push("--with".into());
        arguments.push(format!("{}=/vm/{name}", from.display()));
    }
    arguments.extend(["--".into(), "/vm/checks".into()]);
    arguments.extend(words.iter().map(|&word| word.to_owned()));
    run(&arguments)
}

/// Builds the machines' first process, and the checks.
fn first_process() -> Result<PathBuf> {
    run::check(run::cargo().args([
        "build",
        "--release",
        "--quiet",
        "--package",
        "coracle-vm-init",
    ]))?;
    Ok(dist::release_directory()?.join("coracle-vm-init"))
}
