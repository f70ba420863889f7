//! One command in a container of each kind, and portable services in a directory, inside of a booted tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use testkit::Instance;

use super::figure::Figure;
use super::sides::{Both, Side, figure};
use super::{BENCH_FOLDER, timing};

const ROUNDS: usize = 20;

/// `/bin/true` in the default sandbox, and as others contain it: nothing of the network or the host's processes to be seen.
pub(super) fn containers() -> Result<Vec<Figure>> {
    let instance = Instance::below(Path::new("/run"));
    let bundle = Bundle::new()?;
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--unshare-all", "--ro-bind", "/", "/", "/bin/true"]);
    let commands = [
        instance.command(&["run", "--quiet", "--profile=default", "--wait", "/bin/true"]),
        bwrap,
        bundle.crun(),
        bundle.podman(),
        Command::new("/bin/true"),
    ];
    let names = ["coracle", "bwrap", "crun", "podman", "fork and exec"];
    let times = timing::alternate(ROUNDS, commands)?;
    let figure = Figure::new("true in a container", "µs");
    Ok(vec![
        names
            .into_iter()
            .zip(&times)
            .fold(figure, |figure, (name, times)| figure.times(name, times)),
    ])
}

/// A bundle of the runtime specification, whose root is this one, seen at a second place.
struct Bundle(tempfile::TempDir);

impl Bundle {
    fn new() -> Result<Bundle> {
        let folder = tempfile::tempdir_in("/run")?;
        let bundle = Bundle(folder);
        fs::create_dir(bundle.root())?;
        timing::once(
            Command::new("mount")
                .args(["--bind", "/"])
                .arg(bundle.root()),
        )?;
        timing::once(
            Command::new("crun")
                .arg("spec")
                .current_dir(bundle.0.path()),
        )?;
        let path = bundle.0.path().join("config.json");
        let mut config: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        for (place, value) in [
            ("/process/terminal", false.into()),
            ("/process/args", vec!["/bin/true"].into()),
        ] {
            *config
                .pointer_mut(place)
                .with_context(|| format!("crun writes no {place}"))? = value;
        }
        fs::write(&path, config.to_string())?;
        // A container's /proc/sys is read-only, and podman would write there.
        fs::write(bundle.settings(), "[containers]\ndefault_sysctls = []\n")?;
        Ok(bundle)
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("rootfs")
    }

    fn settings(&self) -> PathBuf {
        self.0.path().join("containers.conf")
    }

    fn crun(&self) -> Command {
        let mut crun = Command::new("crun");
        crun.args(["--cgroup-manager=disabled", "run", "--bundle"])
            .arg(self.0.path())
            .arg("bench");
        crun
    }

    fn podman(&self) -> Command {
        let mut podman = Command::new("podman");
        // The container's own root is a layer already, on which podman can't lay its own.
        podman
            .arg("--root")
            .arg("/dev/shm/podman")
            .args(["--cgroup-manager=cgroupfs", "run", "--rm"])
            .args(["--network=none", "--cgroups=disabled", "--read-only"])
            .arg("--rootfs")
            .arg(self.root())
            .arg("/bin/true")
            .env("CONTAINERS_CONF", self.settings());
        podman
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        if let Err(error) = timing::once(Command::new("umount").arg(self.root())) {
            eprintln!("bench: {error:#}");
        }
    }
}

/// A portable service in a directory: attached and started by one command.
pub(super) fn portable() -> Result<Vec<Figure>> {
    let both = Both::new();
    let tree = format!("{BENCH_FOLDER}/portable/hello");
    let grant = "--grant=listen:127.0.0.1:8080";
    both.coracle.ok(&["start", "--insecure", &tree, grant]);
    both.coracle.ok(&["detach", "--now", "hello"]);
    let times = both.alternate(ROUNDS, |side| match side {
        Side::Coracle => {
            let time = timing::once(&mut both.coracle.command(&["start", "hello"]))?;
            both.coracle.ok(&["detach", "--now", "hello"]);
            Ok(time)
        }
        Side::Systemd => {
            let portablectl = |verb| {
                let mut command = Command::new("portablectl");
                command.args(["--quiet", "--runtime", "--now", verb, &tree]);
                timing::once(&mut command)
            };
            let time = portablectl("attach")?;
            portablectl("detach")?;
            Ok(time)
        }
    })?;
    Ok(vec![figure(
        "attach and start of a portable in a directory",
        &times,
    )])
}
