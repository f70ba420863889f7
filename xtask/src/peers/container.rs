//! Boots a tree's systemd in a container, runs a script there, and leaves nothing of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use super::Tree;

/// How much of the console is shown of a container that failed, in bytes from its end.
const CONSOLE_SHOWN: usize = 4_000;

/// A tree that is ready to boot. What is written in it goes with the container.
pub(crate) struct Container {
    root: PathBuf,
    /// Further directories of this machine: where they are, and where they are in the container.
    binds: Vec<(PathBuf, String)>,
    has_own_network: bool,
    /// Capabilities and system calls beyond those that containers have: each a list between commas.
    allowed: Vec<[&'static str; 2]>,
}

/// What a script left.
pub(crate) struct Finished {
    pub(crate) status: i32,
    pub(crate) output: String,
}

impl Container {
    /// Makes the tree where it is not there yet.
    pub(crate) fn of(tree: Tree) -> Result<Container> {
        Ok(Container {
            root: tree.make()?,
            binds: Vec::new(),
            has_own_network: false,
            allowed: Vec::new(),
        })
    }

    /// Shows a directory of this machine inside.
    #[must_use]
    pub(crate) fn bind(mut self, from: &Path, to: &str) -> Container {
        self.binds.push((from.to_path_buf(), to.to_owned()));
        self
    }

    /// What is done to networks inside stays there.
    #[must_use]
    pub(crate) fn with_own_network(mut self) -> Container {
        self.has_own_network = true;
        self
    }

    /// Programs can be loaded for control groups inside.
    #[must_use]
    pub(crate) fn with_bpf(self) -> Container {
        self.allowing("CAP_BPF,CAP_PERFMON", "bpf")
    }

    /// Has these capabilities and system calls, too.
    #[must_use]
    pub(crate) fn allowing(mut self, capabilities: &'static str, calls: &'static str) -> Container {
        self.allowed.push([capabilities, calls]);
        self
    }

    /// Boots, runs the shell script once multi-user.target is reached, and returns its output and exit status.
    ///
    /// # Errors
    /// When the container does not come up; the end of its console is shown.
    pub(crate) fn run(&self, script: &str) -> Result<Finished> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("command"), script)?;
        fs::write(folder.path().join("output"), "")?;
        let group = Group::make()?;
        let console = fs::File::create(folder.path().join("console"))?;
        let status = self
            .nspawn(&group, "--boot")
            .arg(format!("--bind={}:/peer", folder.path().display()))
            .arg("--console=read-only")
            .stdin(Stdio::null())
            .stdout(console.try_clone()?)
            .stderr(console)
            .status()
            .context("cannot run systemd-nspawn")?;
        let output = fs::read_to_string(folder.path().join("output"))?;
        // Where the container did not come up, nothing but the console says why.
        if !status.success() && output.is_empty() {
            let text = fs::read(folder.path().join("console"))?;
            let from = text.len().saturating_sub(CONSOLE_SHOWN);
            eprintln!(
                "{}",
                String::from_utf8_lossy(text.get(from..).unwrap_or_default())
            );
        }
        let Some(status) = status.code() else {
            bail!("systemd-nspawn ended with {status}: the container's console is above");
        };
        Ok(Finished { status, output })
    }

    /// Runs a command without booting anything.
    ///
    /// # Errors
    /// When the container does not come up, or the command fails; what it printed is the error.
    pub(crate) fn execute(&self, words: &[String]) -> Result<()> {
        let group = Group::make()?;
        let output = self
            .nspawn(&group, "--as-pid2")
            .arg("--console=pipe")
            .args(words)
            .stdin(Stdio::null())
            .output()
            .context("cannot run systemd-nspawn")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("it ended with {}: {said}", output.status);
        }
        Ok(())
    }

    /// A shell enters the control group and becomes systemd-nspawn, which makes groups of its own below the one it is in, and which
    /// does not outlive this process.
    fn nspawn(&self, group: &Group, first: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""])
            .arg(&group.path)
            .args(["setpriv", "--pdeathsig", "KILL"])
            .args([
                "systemd-nspawn",
                "--quiet",
                first,
                "--register=no",
                "--keep-unit",
            ])
            .args([
                "--volatile=overlay",
                "--link-journal=no",
                // As on a host; crun and podman don't start without.
                "--system-call-filter=@keyring",
                "--capability=CAP_NET_ADMIN",
            ])
            .arg(format!("--machine=peer-{}", group.name))
            .arg(format!("--directory={}", self.root.display()))
            .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        for [capabilities, calls] in &self.allowed {
            command.arg(format!("--capability={capabilities}"));
            command.arg(format!("--system-call-filter={calls}"));
        }
        if self.has_own_network {
            command.arg("--private-network");
        }
        for (from, to) in &self.binds {
            command.arg(format!("--bind={}:{to}", from.display()));
        }
        command
    }
}

/// What the groups' names begin with; then come the number of the process that made it and one of its own.
const PREFIX: &str = "coracle-container-";

/// A control group of version 2 for one container, gone with this value.
struct Group {
    /// No other container's.
    name: String,
    path: PathBuf,
    /// Where systemd-nspawn makes one of the same name: the hierarchy of version 1 that systemd tracks processes in, if there is one.
    twin: Option<PathBuf>,
}

impl Group {
    fn make() -> Result<Group> {
        let table = testkit::mount_table();
        let mount_of = |is_it: &dyn Fn(&str) -> bool| {
            let mut mounts = table.lines().filter_map(|line| line.split_once(" - "));
            let (place, _) = mounts.find(|(_, kind)| is_it(kind))?;
            place.split(' ').nth(4).map(Path::new)
        };
        let mount = mount_of(&|kind| kind.starts_with("cgroup2 "))
            .context("no control groups of version 2 are mounted here")?;
        let first = mount_of(&|kind| kind.starts_with("cgroup ") && kind.contains("name=systemd"));
        static GROUPS: AtomicU32 = AtomicU32::new(0);
        let number = GROUPS.fetch_add(1, Ordering::Relaxed);
        let own = format!("{}-{number}", std::process::id());
        let name = format!("{PREFIX}{own}");
        for mount in [Some(mount), first].into_iter().flatten() {
            sweep(mount)?;
        }
        let path = mount.join(&name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Group {
            name: own,
            path,
            twin: first.map(|mount| mount.join(&name)),
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let twin = self.twin.iter().filter(|twin| twin.exists());
        for group in twin.chain([&self.path]) {
            if let Err(error) = remove(group) {
                eprintln!("peers: {} stays: {error}", group.display());
            }
        }
    }
}

/// Removes what was left by a process that was killed.
fn sweep(mount: &Path) -> Result<()> {
    for entry in fs::read_dir(mount)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(PREFIX);
        let maker = maker.and_then(|rest| rest.split('-').next());
        if let Some(maker) = maker
            && !Path::new("/proc").join(maker).exists()
        {
            // What is killed needs a moment to end; the group that is still busy then goes the next time.
            let kill = entry.path().join("cgroup.kill");
            if kill.exists() {
                fs::write(kill, "1")?;
            }
            if let Err(error) = remove(&entry.path()) {
                eprintln!("peers: the group {name} of an earlier run stays: {error}");
            }
        }
    }
    Ok(())
}

/// Removes a group and those below it, which the container's end has emptied.
fn remove(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
