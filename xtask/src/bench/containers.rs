//! One command in a container of each kind, and portable services in a directory, inside of a booted tree.

use std::fs;
use std::path::Path;
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
    let folder = tempfile::tempdir_in("/run")?;
    let bundle = folder.path();
    bundle_for_crun(bundle)?;
    let mut crun = Command::new("crun");
    crun.args(["--cgroup-manager=disabled", "run", "--bundle"])
        .arg(bundle)
        .arg("bench");
    let mut podman = Command::new("podman");
    podman.args([
        "--cgroup-manager=cgroupfs",
        "run",
        "--rm",
        "--network=none",
        "--cgroups=disabled",
        "--read-only",
        "--rootfs",
        "/",
        "/bin/true",
    ]);
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--unshare-all", "--ro-bind", "/", "/", "/bin/true"]);
    let commands = [
        instance.command(&["run", "--quiet", "--profile=default", "--wait", "/bin/true"]),
        bwrap,
        crun,
        podman,
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

/// A bundle of the runtime specification: crun writes it, for this root and this command.
fn bundle_for_crun(bundle: &Path) -> Result<()> {
    timing::once(Command::new("crun").arg("spec").current_dir(bundle))?;
    let path = bundle.join("config.json");
    let mut config: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
    *config.pointer_mut("/root/path").context("a root")? = "/".into();
    *config.pointer_mut("/root/readonly").context("a root")? = true.into();
    *config
        .pointer_mut("/process/terminal")
        .context("a process")? = false.into();
    *config.pointer_mut("/process/args").context("a process")? = vec!["/bin/true"].into();
    fs::write(&path, config.to_string())?;
    Ok(())
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
