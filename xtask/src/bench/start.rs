//! The start of a command, plain and with the whole default profile, beside bwrap and a bare fork and exec.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use testkit::Instance;

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

/// The same with every directive of the default profile: at most 1.2 of bwrap's time.
pub(super) fn sandboxed() -> Result<Vec<Figure>> {
    against_bwrap(
        &["run", "--quiet", "--profile=default", "--wait", "/bin/true"],
        "the same, whole default profile",
        1.2,
    )
}

fn against_bwrap(arguments: &[&str], work: &str, share: f64) -> Result<Vec<Figure>> {
    let instance = Instance::below(Path::new(IN_MEMORY));
    let mut bwrap = Command::new("bwrap");
    bwrap.args(["--unshare-all", "--ro-bind", "/", "/", "/bin/true"]);
    let commands = [
        instance.command(arguments),
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
