//! Installs what tests, demo and benches need, from the machine's own Debian packages.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::run;

/// A program that must be there, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("/usr/bin/cc", "gcc"),
    ("/usr/include/stdlib.h", "libc6-dev"),
    ("/usr/bin/musl-gcc", "musl-tools"),
    ("/usr/bin/bwrap", "bubblewrap"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/strace", "strace"),
    ("/usr/bin/curl", "curl"),
    ("/bin/ip", "iproute2"),
    ("/usr/bin/git", "git"),
    ("/usr/bin/script", "bsdutils"),
    ("/usr/bin/ssh", "openssh-client"),
    // Tests start their own on loopback.
    ("/usr/sbin/sshd", "openssh-server"),
    ("/usr/bin/docker-registry", "docker-registry"),
    ("/usr/bin/redis-cli", "redis-tools"),
    ("/usr/bin/dbus-daemon", "dbus-daemon"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/veritysetup", "cryptsetup-bin"),
    ("/usr/bin/mksquashfs", "squashfs-tools"),
    ("/usr/bin/mkfs.erofs", "erofs-utils"),
    ("/usr/sbin/mkfs.ext4", "e2fsprogs"),
    ("/usr/sbin/mkfs.xfs", "xfsprogs"),
    ("/usr/sbin/mkfs.btrfs", "btrfs-progs"),
    ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates"),
];

/// Installs what every command needs.
pub(crate) fn run() -> Result<()> {
    programs(PROGRAMS)
}

/// Installs the packages of missing programs; does nothing, and needs no root, where all are there.
pub(crate) fn programs(programs: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = programs
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
    let quiet = Quiet::new(&missing)?;
    let installed = run::check(
        apt()
            .args(["-q", "-q", "-y", "--no-install-recommends", "install"])
            .args(&missing)
            // One line for each package, three times over, tells nobody anything; what goes wrong is on standard error.
            .stdout(Stdio::null()),
    );
    quiet.end()?;
    installed
}

/// What has a service of its own, and the units that would start it.
const SERVERS: &[(&str, &[&str])] = &[
    ("openssh-server", &["ssh.service", "ssh.socket"]),
    ("docker-registry", &["docker-registry.service"]),
];

/// As long as it is there, packages that are installed start no services (invoke-rc.d(8)); afterwards nothing starts those at boot.
struct Quiet {
    units: Vec<&'static str>,
    policy: Option<&'static Path>,
}

impl Quiet {
    fn new(packages: &[&str]) -> Result<Self> {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        let servers = SERVERS.iter().filter(|(name, _)| packages.contains(name));
        let units: Vec<&str> = servers
            .flat_map(|(_, units)| units.iter().copied())
            .collect();
        if units.is_empty() || policy.exists() {
            return Ok(Self {
                units,
                policy: None,
            });
        }
        std::fs::write(policy, "#!/bin/sh\nexit 101\n")?;
        std::fs::set_permissions(policy, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            units,
            policy: Some(policy),
        })
    }

    fn end(self) -> Result<()> {
        if let Some(policy) = self.policy {
            std::fs::remove_file(policy)?;
        }
        let systemctl = Path::new("/usr/bin/systemctl");
        if self.units.is_empty() || !systemctl.exists() {
            return Ok(());
        }
        let mut disable = Command::new(systemctl);
        disable.args(["--root=/", "--quiet", "disable"]);
        run::check(disable.args(&self.units).stderr(Stdio::null()))
    }
}

/// Unpacks packages, without installing them, into `tree` below `folder`.
///
/// # Errors
/// When a package can't be fetched or unpacked.
pub(crate) fn unpack(packages: &[&str], folder: &Path) -> Result<()> {
    let mut download = apt();
    download
        .args(["-q", "-q", "-o", "APT::Sandbox::User=root", "download"])
        .args(packages)
        .current_dir(folder);
    if run::check(&mut download).is_err() {
        // The lists are old or missing: packages that are all installed need none.
        run::check(apt().args(["-q", "-q", "update"]))?;
        run::check(&mut download)?;
    }
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|ending| ending == "deb") {
            run::check(
                Command::new("dpkg-deb")
                    .arg("-x")
                    .arg(&file)
                    .arg(folder.join("tree")),
            )?;
        }
    }
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
