//! The start of a command, plain and with the whole default profile, beside bwrap and a bare fork and exec; and a restart beside a first start.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use testkit::Instance;

use super::figure::Times;
use super::sides::HARDENED;
use super::{Figure, timing};

const ROUNDS: usize = 200;

/// A file system in memory, as a host's /run is, whatever this machine has there.
const IN_MEMORY: &str = "/dev/shm";

/// `coracle run --wait /bin/true` against `bwrap --unshare-all`: at most 0.6 of its time.
pub(super) fn plain() -> Result<Vec<Figure>> {
    against_bwrap(
        &["run", "--quiet", "--wait", "/bin/true"],
        "run --wait /bin/true",
        0.6,
    )
}

/// The same with the seventeen restrictions that `run` has beside systemd, and with every directive of the default profile: at most 0.8 of
/// bwrap's time.
pub(super) fn sandboxed() -> Result<Vec<Figure>> {
    let properties: Vec<String> = HARDENED
        .lines()
        .map(|line| format!("--property={line}"))
        .collect();
    let mut restricted = vec!["run", "--quiet"];
    restricted.extend(properties.iter().map(String::as_str));
    restricted.extend(["--wait", "/bin/true"]);
    let profile = ["run", "--quiet", "--profile=default", "--wait", "/bin/true"];
    let mut found = against_bwrap(&restricted, "the same, 17 restrictions", 0.8)?;
    found.extend(against_bwrap(
        &profile,
        "the same, whole default profile",
        0.8,
    )?);
    Ok(found)
}

fn against_bwrap(arguments: &[&str], work: &str, share: f64) -> Result<Vec<Figure>> {
    let instance = Instance::below(Path::new(IN_MEMORY));
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--unshare-all", "--ro-bind", "/", "/", "/bin/true"]);
    let commands = [
        command_of(&instance, arguments),
        bwrap,
        Command::new("/bin/true"),
    ];
    let [ours, bwrap, floor] = timing::alternate(ROUNDS, commands)?;
    Ok(vec![
        Figure::new(work, "µs")
            .times("coracle", &ours)
            .times("bwrap --unshare-all", &bwrap)
            .times("fork and exec", &floor)
            .share_of("bwrap --unshare-all", share),
    ])
}

/// A command of an instance that runs already, as on a host with one: it names the instance by its runtime directory alone. One that is
/// told of other directories, too, asks the manager first whether it has the same.
fn command_of(instance: &Instance, arguments: &[&str]) -> Command {
    instance.ok(&["list-units"]);
    command_beside(instance, arguments)
}

/// The same of one that is known to run.
pub(super) fn command_beside(instance: &Instance, arguments: &[&str]) -> Command {
    let mut command = instance.command(arguments);
    for variable in ["CORACLE_STATE_DIR", "CORACLE_CONFIG_DIR"] {
        command.env_remove(variable);
    }
    command
}

/// Instances, each with one first start, and restarts of each.
const INSTANCES: usize = 40;
const RESTARTS: usize = 5;

/// What has no state yet and can be ended at once, whatever its number is.
const SERVICE: &str = "[Unit]\nDefaultDependencies=no\nStartLimitIntervalSec=0\n[Service]\nType=exec\nKillSignal=SIGKILL\nExecStart=/bin/sleep infinity\n";

/// The first start of a service with every directive of the default profile, in an instance that has started nothing before; then
/// restarts, which find ready what does not change: at most 0.65 of its time, although each ends a service, too.
pub(super) fn restart() -> Result<Vec<Figure>> {
    let (mut first, mut again) = (Vec::new(), Vec::new());
    let lines = profile();
    for _ in 0..INSTANCES {
        let instance = Instance::below(Path::new(IN_MEMORY));
        instance.unit("a.service", &format!("{SERVICE}{lines}"));
        first.push(timing::once(&mut command_of(
            &instance,
            &["start", "--quiet", "a.service"],
        ))?);
        for _ in 0..RESTARTS {
            again.push(timing::once(&mut command_of(
                &instance,
                &["restart", "--quiet", "a.service"],
            ))?);
        }
    }
    Ok(vec![
        Figure::new("restart, whole default profile", "µs")
            .times("coracle restart", &Times::new(again))
            .times("coracle start, the first", &Times::new(first))
            .share_of("coracle start, the first", 0.65),
    ])
}

/// The lines of the default profile, as the command shows them of a unit that has them.
fn profile() -> String {
    let made = Instance::below(Path::new(IN_MEMORY));
    made.ok(&[
        "run",
        "--profile=default",
        "--unit=probe.service",
        "--property=RemainAfterExit=yes",
        "/bin/true",
    ]);
    let text = made.ok(&["cat", "probe.service"]);
    let own = ["RemainAfterExit=", "ExecStart=", "Standard", "["];
    let lines = text
        .lines()
        .skip_while(|line| *line != "[Service]")
        .filter(|line| !own.iter().any(|begin| line.starts_with(begin)) && !line.starts_with('#'));
    lines.map(|line| format!("{line}\n")).collect()
}
