//! A verb on another host, beside what ssh alone takes to get there and back.

use std::process::Command;

use anyhow::Result;
use testkit::{Instance, Ssh};

use super::figure::{Figure, Times};
use super::timing;
use crate::setup;

const ROUNDS: usize = 20;
/// Hosts that are asked at once, and rounds of that.
const HOSTS: usize = 20;
const FEW: usize = 5;

/// `coracle -H` on one host beside `ssh HOST true`, and on twenty beside as many at once of that. All are this machine, whose processors
/// make both sides of each handshake.
pub(super) fn hosts() -> Result<Vec<Figure>> {
    setup::programs(&[
        ("/usr/bin/ssh", "openssh-client"),
        ("/usr/sbin/sshd", "openssh-server"),
    ])?;
    let (coracle, ssh) = (Instance::new(), Ssh::new());
    let hosts: Vec<_> = (0..HOSTS).map(|_| ssh.host(&coracle)).collect();
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    let alone = |name: &str| {
        let (host, port) = name.rsplit_once(':').unwrap_or((name, "22"));
        format!("ssh -p {port} {host} true")
    };
    let shell = |line: String| {
        let mut command = Command::new("sh");
        command.args(["-c", &line]);
        testkit::surround(&mut command, &ssh.command(&coracle, &[]));
        command
    };
    let verb = |list: &str| ssh.command(&coracle, &["-H", list, "--parallel=20", "timespan", "5s"]);
    let first = names.first().copied().unwrap_or_default();
    let [ours, theirs] = timing::alternate(ROUNDS, [verb(first), shell(alone(first))])?;
    let all: String = names.iter().map(|name| alone(name) + " & ").collect();
    let (mut many, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..FEW {
        many.push(timing::once(&mut verb(&names.join(",")))?);
        plain.push(timing::once(&mut shell(format!("{all} wait")))?);
    }
    Ok(vec![
        Figure::new("a verb on another host", "µs")
            .times("coracle -H", &ours)
            .times("ssh true", &theirs),
        Figure::new("a verb on 20 other hosts at once", "µs")
            .times("coracle -H", &Times::new(many))
            .times("ssh true", &Times::new(plain)),
    ])
}
