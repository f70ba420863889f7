//! A machine that was left by the kernel as it leaves all: Coracle mounts, names, reads fstab, asks for logins, and ends it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::coracle;

/// What the verb says, once it succeeds.
fn said(words: &[&str]) -> Result<String> {
    let output = coracle(words)?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn property(unit: &str, property: &str) -> Result<String> {
    said(&["show", "-p", property, "--value", "--", unit])
}

/// Writes a unit of the administrator's.
fn unit(name: &str, text: &str) -> Result<()> {
    fs::write(Path::new("/etc/coracle/units").join(name), text)
        .with_context(|| format!("cannot write {name}"))
}

/// Type and options of what is mounted there.
fn mounted(place: &str) -> Result<(String, String)> {
    let table = fs::read_to_string("/proc/mounts")?;
    let mut lines = table
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let found = lines.rfind(|words| words.get(1) == Some(&place));
    match found.as_deref() {
        Some([_, _, kind, options, ..]) => Ok(((*kind).to_owned(), (*options).to_owned())),
        _ => anyhow::bail!("nothing is mounted at {place}: {table}"),
    }
}

pub(crate) fn file_systems() -> Result<()> {
    for (place, kind) in [
        ("/proc", "proc"),
        ("/sys", "sysfs"),
        ("/dev", "devtmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
        ("/run", "tmpfs"),
        ("/sys/fs/cgroup", "cgroup2"),
        ("/sys/fs/bpf", "bpf"),
        ("/sys/kernel/security", "securityfs"),
    ] {
        let (found, options) = mounted(place)?;
        ensure!(found == kind, "{place} is {found}");
        ensure!(options.contains("nosuid"), "{place}: {options}");
    }
    Ok(())
}

pub(crate) fn identity() -> Result<()> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
    ensure!(name.trim() == "boat", "{name}");
    let id = fs::read_to_string("/etc/machine-id")?;
    let digits = id.trim().bytes().filter(u8::is_ascii_hexdigit).count();
    ensure!(digits == 32, "{id}");
    let flags = fs::read_to_string("/sys/class/net/lo/flags")?;
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16)?;
    ensure!(flags & 1 == 1, "the loopback interface is down");
    Ok(())
}

pub(crate) fn fstab() -> Result<()> {
    let (kind, options) = mounted("/srv/data")?;
    ensure!(
        kind == "ext4" && options.contains("noatime"),
        "{kind} {options}"
    );
    let (kind, _) = mounted("/srv/memory")?;
    ensure!(kind == "tmpfs", "{kind}");
    ensure!(mounted("/srv/never").is_err(), "noauto was mounted");
    for unit in ["srv-data.mount", "srv-memory.mount", "local-fs.target"] {
        let state = property(unit, "ActiveState")?;
        ensure!(state == "active", "{unit} is {state}");
    }
    let path = property("srv-data.mount", "FragmentPath")?;
    ensure!(path == "/run/coracle/generated/srv-data.mount", "{path}");
    // A new line is a new unit once the files are read again.
    let table = fs::read_to_string("/etc/fstab")?;
    fs::write(
        "/etc/fstab",
        format!("{table}late /srv/late tmpfs noauto 0 0\n"),
    )?;
    said(&["daemon-reload"])?;
    said(&["start", "srv-late.mount"])?;
    mounted("/srv/late").map(drop)
}

pub(crate) fn automount() -> Result<()> {
    let state = |unit| property(unit, "ActiveState");
    let (kind, _) = mounted("/srv/lazy")?;
    ensure!(kind == "autofs", "before anybody comes it is {kind}");
    let before = (state("srv-lazy.automount")?, state("srv-lazy.mount")?);
    ensure!(before == ("active".into(), "inactive".into()), "{before:?}");
    fs::write("/srv/lazy/file", "first")?;
    let (kind, _) = mounted("/srv/lazy")?;
    ensure!(kind == "tmpfs", "{kind} is there for the first who comes");
    let after = state("srv-lazy.mount")?;
    ensure!(after == "active", "srv-lazy.mount is {after}");
    Ok(())
}

/// The machine's console is a serial line. Its login program is not there, and says so; the unit is asked for all the same.
pub(crate) fn logins() -> Result<()> {
    let wanted = said(&["list-dependencies", "--plain", "getty.target"])?;
    ensure!(wanted.contains("serial-getty@ttyS0.service"), "{wanted}");
    let terminal = property("serial-getty@ttyS0.service", "TTYPath")?;
    ensure!(terminal == "/dev/ttyS0", "{terminal}");
    Ok(())
}

pub(crate) fn running() -> Result<()> {
    let output = coracle(&["is-system-running", "--wait"])?;
    let state = String::from_utf8(output.stdout)?;
    let failed = said(&["list-units", "--state=failed"])?;
    ensure!(state.trim() == "running", "{state}{failed}");
    let target = property("default.target", "ActiveState")?;
    ensure!(target == "active", "{target}");
    Ok(())
}

pub(crate) fn anew() -> Result<()> {
    unit(
        "stays.service",
        "[Service]\nExecStart=/bin/sleep infinity\n",
    )?;
    said(&["start", "stays.service"])?;
    let before = property("stays.service", "MainPID")?;
    said(&["daemon-reexec"])?;
    let after = property("stays.service", "MainPID")?;
    ensure!(before == after && after != "0", "{before} {after}");
    let (_, line) = (
        mounted("/srv/data")?,
        fs::read_to_string("/proc/1/cmdline")?,
    );
    ensure!(line.contains("coracled"), "{line:?}");
    Ok(())
}

pub(crate) fn isolated() -> Result<()> {
    unit(
        "alone.target",
        "[Unit]\nAllowIsolate=yes\nRequires=kept.service\n",
    )?;
    unit("kept.service", "[Service]\nExecStart=/bin/sleep infinity\n")?;
    said(&["isolate", "alone"])?;
    for (unit, expected) in [
        ("kept.service", "active"),
        ("stays.service", "inactive"),
        ("srv-data.mount", "active"),
    ] {
        let state = property(unit, "ActiveState")?;
        ensure!(state == expected, "{unit} is {state}");
    }
    said(&["default"])?;
    let state = property("kept.service", "ActiveState")?;
    ensure!(state == "inactive", "kept.service is {state}");
    Ok(())
}

/// It writes when it is stopped, which is before its file system is unmounted; and a loop device holds on to that. Another is wanted at the end
/// alone, when all that is a unit is down.
pub(crate) fn last() -> Result<()> {
    unit(
        "farewell.service",
        "[Unit]\nDefaultDependencies=no\nAfter=final.target\nBefore=poweroff.target\n[Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c 'test -s /srv/data/stopped || mount -t ext4 /dev/vda /srv/data; test ! -s /srv/data/farewell && echo wanted > /srv/data/farewell'\n\
         [Install]\nWantedBy=poweroff.target\n",
    )?;
    said(&["enable", "farewell.service"])?;
    unit(
        "last.service",
        "[Unit]\nRequiresMountsFor=/srv/data\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n\
         ExecStop=/bin/sh -c 'sleep 1; echo in order > /srv/data/stopped'\n",
    )?;
    said(&["start", "last.service"])?;
    let script = "cp /vm/inner /srv/data/image && mkdir -p /srv/inner && \
                  mount -o loop /srv/data/image /srv/inner && echo kept > /srv/inner/file";
    let status = Command::new("/bin/sh").args(["-c", script]).status()?;
    ensure!(status.success(), "a file system in a file can't be mounted");
    mounted("/srv/inner").map(drop)
}
