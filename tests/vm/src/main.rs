//! `/init` of the test machines that `cargo xtask vm` boots: prepares the machine, then is or starts what was asked for.
//!
//! Entered as `/init` it mounts the kernel's file systems, loads modules and hands over to the position under test. Entered as
//! `/vm/report` (by itself, or by a unit of the init under test) it runs the command and tells output and exit status to the host.

mod prepare;
mod report;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Where the host put what this machine is for.
const FOLDER: &str = "/vm";

/// The unit that runs the command under an init that reads units. Output goes to the host, so that of the unit is the console's.
const UNIT: &str = "\
[Unit]
Description=The command of this test machine
DefaultDependencies=no
After=multi-user.target
IgnoreOnIsolate=yes

[Service]
Type=oneshot
ExecStart=/vm/report
StandardOutput=null
StandardError=null
";

fn main() {
    let name = std::env::args_os().next().unwrap_or_default();
    let outcome = if Path::new(&name).ends_with("report") {
        report::run()
    } else {
        init()
    };
    if let Err(error) = outcome {
        report::complain(&error);
        // PID 1 may not end: the kernel would panic, and the reason scroll away.
        report::power_off();
    }
}

/// Prepares the machine and hands it over.
fn init() -> Result<()> {
    let position = std::fs::read_to_string("/vm/position").context("cannot read /vm/position")?;
    if position.trim() == "machine" {
        return machine();
    }
    prepare::kernel_file_systems()?;
    prepare::modules()?;
    if Path::new("/vm/tree").exists() {
        prepare::enter_tree()?;
    } else {
        prepare::enter_memory()?;
        prepare::busybox()?;
    }
    match position.trim() {
        "test" => report::run(),
        "coracle" => {
            write_unit("/etc/systemd/system")?;
            become_init("/usr/bin/coracled", &[])
        }
        "systemd" => {
            write_unit("/etc/systemd/system")?;
            // Without udev nobody says that the console is there, and the login on it would wait for that.
            std::os::unix::fs::symlink(
                "/dev/null",
                "/etc/systemd/system/serial-getty@ttyS0.service",
            )?;
            // A tree that was made a moment ago needs no caches anew, which takes half a minute here (systemd-update-done.service(8)).
            for stamp in ["/etc/.updated", "/var/.updated"] {
                std::fs::write(stamp, "").with_context(|| format!("cannot write {stamp}"))?;
            }
            become_init("/lib/systemd/systemd", &["systemd.unit=multi-user.target"])
        }
        other => bail!("/vm/position names {other:?}, which is none of test, coracle, systemd"),
    }
}

/// Coracle finds the machine as the kernel leaves it: nothing is mounted, nothing has a name, and there is a table of file systems.
fn machine() -> Result<()> {
    prepare::modules()?;
    prepare::enter_bare_memory()?;
    prepare::busybox()?;
    write_unit("/etc/coracle/units")?;
    std::fs::write("/etc/fstab", FSTAB).context("cannot write /etc/fstab")?;
    std::fs::write("/etc/hostname", "boat\n").context("cannot write /etc/hostname")?;
    become_init("/usr/bin/coracled", &[])
}

/// The disk that the host gave, and a file system in memory.
const FSTAB: &str = "\
/dev/vda  /srv/data    ext4   noatime                0 2
memory    /srv/memory  tmpfs  size=1m,nofail         0 0
/dev/vdz  /srv/never   ext4   noauto                 0 0
memory    /srv/lazy    tmpfs  size=1m,x-systemd.automount  0 0
";

/// Writes the unit of the command where the init under test finds it, wanted by its boot target.
fn write_unit(folder: &str) -> Result<()> {
    let folder = Path::new(folder);
    let wants = folder.join("multi-user.target.wants");
    std::fs::create_dir_all(&wants)?;
    std::fs::write(folder.join("vm-command.service"), UNIT)?;
    std::os::unix::fs::symlink("../vm-command.service", wants.join("vm-command.service"))
        .context("cannot link vm-command.service into multi-user.target.wants")
}

/// Replaces this process by the init under test.
fn become_init(program: &str, arguments: &[&str]) -> Result<()> {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    let error = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", report::PATH)
        .env("TERM", "linux")
        .exec();
    Err(error).with_context(|| format!("cannot become {program}"))
}
