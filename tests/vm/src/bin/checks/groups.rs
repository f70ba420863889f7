//! What control groups share out and bound, where they have all controllers: in slices, live, by device, handed over, frozen.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::{coracle, run};

const TOP: &str = "/sys/fs/cgroup/coracle";

/// Runs the command with these words, which must go well; what it printed.
fn ok(words: &[&str]) -> Result<String> {
    let output = coracle(words)?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Waits until it is so, but not for ever.
fn until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !is_so()? {
        ensure!(begin.elapsed() < Duration::from_secs(30), "{what}");
    }
    Ok(())
}

/// Processor time of a unit, in milliseconds.
fn used_ms(unit: &str) -> Result<u64> {
    let text = ok(&["show", "-p", "CPUUsageNSec", "--value", unit])?;
    let ns: u64 = text.parse().with_context(|| format!("{unit}: {text:?}"))?;
    Ok(ns / 1_000_000)
}

const SPIN: [&str; 3] = ["sh", "-c", "while :; do :; done"];

fn spin(unit: &str, properties: &[&str]) -> Result<()> {
    let unit = format!("--unit={unit}");
    let mut words = vec!["run", "-q", &unit, "-p", "AllowedCPUs=0"];
    for property in properties {
        words.extend(["-p", property]);
    }
    words.extend(SPIN);
    ok(&words).map(drop)
}

/// One to four, between services and between slices.
pub(crate) fn weights() -> Result<()> {
    for (light, heavy) in [
        (&["CPUWeight=100"][..], &["CPUWeight=400"][..]),
        (&["Slice=light.slice"], &["Slice=heavy.slice"]),
    ] {
        let units = Path::new("/etc/coracle/units");
        fs::create_dir_all(units)?;
        fs::write(units.join("light.slice"), "[Slice]\nCPUWeight=100\n")?;
        fs::write(units.join("heavy.slice"), "[Slice]\nCPUWeight=400\n")?;
        ok(&["daemon-reload"])?;
        spin("light", light)?;
        spin("heavy", heavy)?;
        until("two seconds of both", || {
            Ok(used_ms("light")? + used_ms("heavy")? > 2_000)
        })?;
        let (light, heavy) = (used_ms("light")?, used_ms("heavy")?);
        ok(&["stop", "light", "heavy"])?;
        ensure!(
            (light * 5 / 2..light * 6).contains(&heavy),
            "{light} ms and {heavy} ms"
        );
    }
    Ok(())
}

/// What a slice bounds holds for all that is in it together.
pub(crate) fn slices() -> Result<()> {
    let units = Path::new("/etc/coracle/units");
    fs::create_dir_all(units)?;
    fs::write(units.join("few.slice"), "[Slice]\nTasksMax=6\n")?;
    fs::write(
        units.join("bare.slice"),
        "[Slice]\nDisableControllers=pids\n",
    )?;
    ok(&["daemon-reload"])?;
    const FORKS: &str = "for i in 1 2 3 4 5 6 7; do sleep 60 & done; echo all; kill $(jobs -p)";
    let (said, _) = run(&["Slice=few.slice"], FORKS)?;
    ensure!(said.contains("can't fork"), "in a slice: {said}");
    let (said, _) = run(&["Slice=few-inner.slice"], FORKS)?;
    ensure!(said.contains("can't fork"), "in a slice of a slice: {said}");
    let output = coracle(&[
        "run",
        "--wait",
        "-p",
        "Slice=bare.slice",
        "-p",
        "TasksMax=5",
        "true",
    ])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.success() && said.contains("DisableControllers= of bare.slice"),
        "{said}"
    );
    Ok(())
}

/// A bound changes while a service runs, and comes back with the unit.
pub(crate) fn live() -> Result<()> {
    let units = Path::new("/etc/coracle/units");
    fs::create_dir_all(units)?;
    let text = "[Service]\nMemoryHigh=1G\nExecStart=/bin/sleep 600\n";
    fs::write(units.join("live.service"), text)?;
    ok(&["daemon-reload"])?;
    ok(&["start", "live"])?;
    let read = |file: &str| -> Result<String> {
        let path = format!("{TOP}/system.slice/live.service/{file}");
        Ok(fs::read_to_string(path)?.trim().to_owned())
    };
    ok(&[
        "set-property",
        "live",
        "MemoryMax=64M",
        "MemoryHigh=infinity",
    ])?;
    ensure!(read("memory.max")? == "67108864", "{}", read("memory.max")?);
    ensure!(read("memory.high")? == "max", "{}", read("memory.high")?);
    ok(&["set-property", "--runtime", "live", "CPUWeight=300"])?;
    ensure!(read("cpu.weight")? == "300", "{}", read("cpu.weight")?);
    ok(&["restart", "live"])?;
    ensure!(read("memory.max")? == "67108864", "after a restart");
    ok(&["revert", "live"])?;
    ok(&["daemon-reload"])?;
    ensure!(
        read("memory.max")? == "max",
        "reverted: {}",
        read("memory.max")?
    );
    ensure!(read("memory.high")? == "1073741824", "reverted");
    let current = ok(&["show", "-p", "MemoryCurrent", "--value", "live"])?;
    ensure!(current.parse::<u64>().is_ok(), "MemoryCurrent={current}");
    ok(&["stop", "live"]).map(drop)
}

/// Frozen is who does nothing more, until it may or is stopped.
pub(crate) fn freezer() -> Result<()> {
    spin("cold", &[])?;
    ok(&["freeze", "cold"])?;
    let state = || ok(&["show", "-p", "FreezerState", "--value", "cold"]);
    until("it is frozen", || Ok(state()? == "frozen"))?;
    let before = used_ms("cold")?;
    ok(&["status", "cold"])?;
    let after = used_ms("cold")?;
    ensure!(before == after, "{before} ms, and then {after} ms");
    ok(&["thaw", "cold"])?;
    until("it goes on", || Ok(used_ms("cold")? > after))?;
    ok(&["freeze", "cold"])?;
    let begin = Instant::now();
    ok(&["stop", "cold"])?;
    ensure!(
        begin.elapsed() < Duration::from_secs(20),
        "a frozen one is not stopped"
    );
    Ok(())
}

/// Two megabytes at a megabyte in a second.
pub(crate) fn disks() -> Result<()> {
    let file = "/var/lib/bounded/read";
    fs::write(file, vec![0; 2 << 20])?;
    rustix::fs::sync();
    let line = format!("echo 3 > /proc/sys/vm/drop_caches; cat {file} > /dev/null");
    let timed = |properties: &[&str]| -> Result<Duration> {
        let begin = Instant::now();
        let (said, status) = run(properties, &line)?;
        ensure!(status == 0, "{properties:?}: {status} {said}");
        Ok(begin.elapsed())
    };
    let free = timed(&[])?;
    let bounded = timed(&["IOReadBandwidthMax=/var/lib/bounded 1M"])?;
    fs::remove_file(file)?;
    ensure!(
        bounded > free + Duration::from_millis(900),
        "{free:?} without a bound, {bounded:?} with one"
    );
    let (said, status) = run(&["IOReadBandwidthMax=/run 1M"], "echo ran")?;
    ensure!(
        status != 0 && said.contains("IOReadBandwidthMax=") && !said.contains("ran\n"),
        "{status} {said}"
    );
    Ok(())
}

/// A service without privileges bounds groups of its own.
pub(crate) fn delegation() -> Result<()> {
    const OWN: &str = "group=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup); group=${group%/inner}; \
        cat $group/cgroup.controllers; mkdir $group/own && echo +pids > $group/cgroup.subtree_control && echo 3 > $group/own/pids.max && cat $group/own/pids.max; \
        echo max > ${group%/*}/pids.max || echo out of reach; echo 7 > $group/pids.max || echo its own bound, too";
    let (said, _) = run(
        &[
            "User=1234",
            "Delegate=pids memory",
            "DelegateSubgroup=inner",
            "TasksMax=50",
        ],
        OWN,
    )?;
    ensure!(
        said.contains("memory pids\n") && said.contains("\n3\n"),
        "{said}"
    );
    ensure!(
        said.contains("out of reach") && said.contains("its own bound, too"),
        "{said}"
    );
    Ok(())
}

/// Only until all that is to run at boot has come up.
pub(crate) fn startup() -> Result<()> {
    // This check is a part of what comes up.
    let (said, _) = run(
        &["CPUWeight=50", "StartupCPUWeight=700"],
        "cat /sys/fs/cgroup$(dirname $(sed -n 's/^0:://p' /proc/self/cgroup))/cpu.weight",
    )?;
    ensure!(said.trim() == "700", "{said}");
    Ok(())
}

/// The kernel kills a process for lack of memory: what follows is as the unit says.
pub(crate) fn out_of_memory() -> Result<()> {
    let units = Path::new("/etc/coracle/units");
    fs::create_dir_all(units)?;
    for policy in ["continue", "stop", "kill"] {
        let mark = format!("/run/after-{policy}");
        let text = format!(
            "[Service]\nMemoryMax=32M\nMemorySwapMax=0\nOOMPolicy={policy}\n\
             ExecStart=/bin/sh -c 'tail /dev/zero; echo $? > {mark}; sleep 600'\n\
             ExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT > {mark}-stopped'\n"
        );
        fs::write(units.join(format!("oom-{policy}.service")), text)?;
    }
    ok(&["daemon-reload"])?;
    ok(&["start", "oom-continue", "oom-stop", "oom-kill"])?;
    let show = |unit: &str, property: &str| ok(&["show", "-p", property, "--value", unit]);
    for policy in ["stop", "kill"] {
        let unit = format!("oom-{policy}");
        until("the end of what has no memory", || {
            Ok(show(&unit, "ActiveState")? == "failed")
        })?;
        let result = show(&unit, "Result")?;
        ensure!(result == "oom-kill", "{unit}: {result}");
    }
    ensure!(
        fs::read_to_string("/run/after-stop-stopped")?.trim() == "oom-kill",
        "it was not stopped as it should be"
    );
    ensure!(
        !Path::new("/run/after-kill").exists(),
        "a process was left by OOMPolicy=kill"
    );
    until("the process that was killed", || {
        Ok(Path::new("/run/after-continue").exists())
    })?;
    until("the word of it", || {
        Ok(ok(&["logs", "-u", "oom-continue", "--cat"])?.contains("no memory left"))
    })?;
    let state = show("oom-continue", "ActiveState")?;
    ensure!(state == "active", "{state}");
    ok(&["stop", "oom-continue"]).map(drop)
}
