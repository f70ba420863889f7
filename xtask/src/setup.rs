//! Installs what tests, demo and benches need, from the machine's own Debian packages.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::run;

/// A program that must be there, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("/usr/bin/cc", "gcc"),
    ("/usr/include/stdlib.h", "libc6-dev"),
    ("/usr/bin/bwrap", "bubblewrap"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/strace", "strace"),
    ("/usr/bin/redis-cli", "redis-tools"),
    ("/usr/sbin/veritysetup", "cryptsetup-bin"),
    ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates"),
];

/// Installs the missing packages; does nothing, and needs no root, where all are there.
pub(crate) fn run() -> Result<()> {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(path, _)| !Path::new(path).exists())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    run::need_root("installing Debian packages")?;
    eprintln!("setup: installing {}", missing.join(" "));
    run::check(apt().args(["-q", "-q", "update"]))?;
    run::check(
        apt()
            .args(["-q", "-q", "-y", "--no-install-recommends", "install"])
            .args(&missing),
    )
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
