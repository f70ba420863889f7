//! What only a machine with Coracle as PID 1 and the controllers of cgroup v2 can show, or one with Debian's systemd; runs inside one
//! (`cargo xtask test vm`).

#![allow(
    clippy::print_stdout,
    reason = "what it prints is the test's report, on the host's terminal"
)]

mod foreign;
mod groups;
mod layers;
mod machine;
mod quotas;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

/// A check's name and what it does.
type Check = (&'static str, fn() -> Result<()>);

const CHECKS: &[Check] = &[
    ("coracle_is_the_first_process", first_process),
    ("every_controller_is_there", controllers),
    ("tasks_end_where_they_are_bounded", tasks),
    ("memory_ends_where_it_is_bounded", memory),
    ("a_quota_holds_a_busy_loop_back", quota),
    ("a_set_of_processors_is_kept", processors),
    (
        "weights_divide_between_services_and_slices",
        groups::weights,
    ),
    ("what_a_slice_bounds_holds_for_all_in_it", groups::slices),
    ("bounds_change_while_a_service_runs", groups::live),
    (
        "what_follows_lack_of_memory_is_as_the_unit_says",
        groups::out_of_memory,
    ),
    (
        "who_is_frozen_does_nothing_until_it_may_or_is_stopped",
        groups::freezer,
    ),
    (
        "a_service_bounds_groups_of_its_own_and_not_itself",
        groups::delegation,
    ),
    (
        "other_bounds_hold_while_the_machine_comes_up",
        groups::startup,
    ),
    ("what_the_kernel_does_not_take_ends_the_start", refusal),
    ("the_whole_default_profile_has_no_reduction", profile),
    ("files_are_opened_on_the_listed_file_systems_only", files),
    ("what_was_counted_outlives_the_manager", counters),
    ("a_profile_of_apparmor_is_taken_or_ends_the_start", apparmor),
    ("directories_hold_what_they_may", quotas::directories),
    ("who_is_bounded_stays_in_the_project", quotas::projects),
    ("nobody_gets_at_the_project_of_another", quotas::numbers),
    ("what_is_too_deep_to_be_counted_is_told", quotas::depth),
    ("a_disk_gives_no_more_than_it_may", groups::disks),
    ("what_directories_hold_is_shown", quotas::accounting),
    ("nothing_is_left_of_a_quota", quotas::nothing_left),
    ("a_timer_elapses_when_the_clock_is_set", clock),
    ("a_day_is_over_when_the_clock_says_so", day),
    ("an_image_is_checked_by_the_kernel_when_it_is_read", verity),
    ("layers_are_a_root_with_and_without_changes", layers::stack),
    ("a_throw_away_root_is_new_each_time", layers::ephemeral),
    ("an_orphan_is_reaped_by_the_first_process", orphan),
    ("nothing_is_left_of_a_run", nothing_left),
];

/// On a machine whose first process is systemd.
const BESIDE_SYSTEMD: &[Check] = &[
    ("systemd_reads_and_validates_our_image", foreign::dissected),
    (
        "systemd_checks_our_image_by_its_root_hash",
        foreign::root_image,
    ),
    ("nobody_runs_what_was_changed", foreign::changed),
    ("portablectl_attaches_and_runs_our_image", foreign::portable),
    (
        "what_repart_signed_runs_once_its_maker_is_trusted",
        foreign::signed_by_repart,
    ),
    (
        "a_portable_of_mkosi_runs_once_its_maker_is_trusted",
        foreign::portable_of_mkosi,
    ),
    (
        "what_is_encrypted_is_opened_with_its_key_alone",
        foreign::encrypted,
    ),
    (
        "what_cryptsetup_encrypted_is_opened_with_a_credential",
        foreign::encrypted_by_cryptsetup,
    ),
    ("no_device_is_left_of_an_image", foreign::nothing_stays),
];

/// On a machine that Coracle brings up by itself, and ends.
const WHOLE_MACHINE: &[Check] = &[
    ("the_kernels_file_systems_are_there", machine::file_systems),
    ("the_machine_has_its_name_and_id", machine::identity),
    ("the_table_of_file_systems_is_units", machine::fstab),
    (
        "a_line_with_automount_is_mounted_for_the_first_who_comes",
        machine::automount,
    ),
    ("each_console_has_a_login", machine::logins),
    ("the_whole_is_up", machine::running),
    ("a_new_manager_and_keeper_lose_nothing", machine::anew),
    ("a_target_alone_stops_all_else", machine::isolated),
    ("what_is_stopped_at_the_end_is_ready", machine::last),
];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    if let [_, word] = words.as_slice() {
        // The list beside systemd, or those of both whose names have the word in them.
        let both = CHECKS.iter().chain(BESIDE_SYSTEMD).copied();
        let named = both.filter(|(name, _)| name.contains(word.as_str()));
        return match word.as_str() {
            "systemd" => all(BESIDE_SYSTEMD),
            "machine" => all(WHOLE_MACHINE),
            _ => all(&named.collect::<Vec<_>>()),
        };
    }
    if let [_, act, path] = words.as_slice() {
        return quotas::attempt(act, &fs::File::open(path)?);
    }
    all(CHECKS)
}

fn all(checks: &[Check]) -> Result<()> {
    let mut failed = 0;
    for (name, check) in checks {
        match check() {
            Ok(()) => println!("{name} ... ok"),
            Err(error) => {
                failed += 1;
                println!("{name} ... FAILED: {error:#}");
            }
        }
    }
    ensure!(!checks.is_empty(), "there are no such checks");
    ensure!(failed == 0, "{failed} of {} checks failed", checks.len());
    Ok(())
}

/// Runs the command with these words, and returns what it said.
fn coracle(words: &[&str]) -> Result<Output> {
    Command::new("coracle")
        .args(words)
        .output()
        .context("cannot run coracle")
}

/// Runs a shell line as a transient unit with these properties; its output and exit status.
fn run(properties: &[&str], line: &str) -> Result<(String, i32)> {
    let mut words = vec!["run", "--quiet", "--wait", "--pipe"];
    for property in properties {
        words.extend(["-p", property]);
    }
    words.extend(["sh", "-c", line]);
    let output = coracle(&words)?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        String::from_utf8_lossy(&text).into_owned(),
        output.status.code().context("coracle was killed")?,
    ))
}

fn first_process() -> Result<()> {
    let line = fs::read_to_string("/proc/1/cmdline")?;
    ensure!(line.contains("coracled"), "process 1 is {line:?}");
    Ok(())
}

fn controllers() -> Result<()> {
    let status = String::from_utf8(coracle(&["status"])?.stdout)?;
    ensure!(status.contains("Position: init"), "{status}");
    ensure!(!status.contains("Reduced:"), "{status}");
    Ok(())
}

const FORKS: &str = "for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; echo all; kill $(jobs -p)";

fn tasks() -> Result<()> {
    let (free, _) = run(&[], FORKS)?;
    ensure!(free.contains("all"), "without a bound: {free}");
    let (bounded, _) = run(&["TasksMax=5"], FORKS)?;
    ensure!(bounded.contains("can't fork"), "with one: {bounded}");
    Ok(())
}

/// A shell that keeps sixty megabytes in a variable.
const HOARD: &str = "x=$(head -c 60000000 /dev/zero | tr '\\0' a); echo ${#x}";

fn memory() -> Result<()> {
    let (free, status) = run(&[], HOARD)?;
    ensure!(
        free.contains("60000000"),
        "without a bound: {status} {free}"
    );
    let (bounded, status) = run(&["MemoryMax=20M", "MemorySwapMax=0"], HOARD)?;
    ensure!(
        status == 137 && !bounded.contains("60000000"),
        "with one: {status} {bounded}"
    );
    Ok(())
}

/// A loop of two seconds that tells how often it was held back.
const BUSY: &str = "end=$(($(date +%s)+2)); while [ $(date +%s) -le $end ]; do :; done; grep nr_throttled /sys/fs/cgroup/coracle/system.slice/run-*/cpu.stat";

fn quota() -> Result<()> {
    let (held, status) = run(&["CPUQuota=10%"], BUSY)?;
    let times: u32 = held
        .split_whitespace()
        .last()
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{status} {held}"))?;
    ensure!(times > 5, "held back {times} times only");
    Ok(())
}

fn processors() -> Result<()> {
    let (list, _) = run(
        &["AllowedCPUs=1"],
        "grep Cpus_allowed_list /proc/self/status",
    )?;
    ensure!(list.trim_end().ends_with("\t1"), "{list:?}");
    Ok(())
}

/// Starts a timer with these lines for a service that leaves a file, sets the clock by so many seconds, and waits for the file.
fn elapses(name: &str, lines: &str, seconds: i64) -> Result<()> {
    let units = Path::new("/etc/coracle/units");
    let left = format!("/run/{name}");
    fs::create_dir_all(units)?;
    fs::write(
        units.join(format!("{name}.timer")),
        format!("[Timer]\nAccuracySec=1us\n{lines}\n"),
    )?;
    fs::write(
        units.join(format!("{name}.service")),
        format!("[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo ran > {left}'\n"),
    )?;
    let timer = format!("{name}.timer");
    let started = coracle(&["start", &timer])?;
    ensure!(started.status.success(), "{started:?}");
    ensure!(!Path::new(&left).exists(), "it elapsed at once");
    let now = clock_gettime(ClockId::Realtime);
    let then = Timespec {
        tv_sec: now.tv_sec + seconds,
        ..now
    };
    clock_settime(ClockId::Realtime, then)?;
    let begin = std::time::Instant::now();
    while !Path::new(&left).exists() {
        ensure!(begin.elapsed().as_secs() < 20, "it did not elapse");
        std::thread::yield_now();
    }
    coracle(&["stop", &timer])?;
    Ok(())
}

fn clock() -> Result<()> {
    elapses("set", "OnClockChange=yes", -3600)
}

fn day() -> Result<()> {
    elapses("day", "OnCalendar=daily", 86_400)
}

fn refusal() -> Result<()> {
    let (said, status) = run(&["AllowedCPUs=77"], "echo ran")?;
    ensure!(
        status == 1 && said.contains("AllowedCPUs=") && !said.contains("ran\n"),
        "{status} {said}"
    );
    Ok(())
}

fn profile() -> Result<()> {
    let output = coracle(&["run", "--wait", "--profile=default", "true"])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.success() && !said.contains("reduced"),
        "{said}"
    );
    Ok(())
}

fn files() -> Result<()> {
    const LOOK: &str = "echo ran; read line < /proc/version; echo $line";
    let (free, _) = run(&[], LOOK)?;
    ensure!(free.contains("Linux version"), "without a list: {free}");
    // What sets up the sandbox writes to /proc all the same.
    for line in [
        "RestrictFileSystems=~proc",
        "RestrictFileSystems=tmpfs ramfs",
    ] {
        let (said, _) = run(&[line, "OOMScoreAdjust=5"], LOOK)?;
        let refused = said.contains("ran\n") && said.contains("Operation not permitted");
        ensure!(refused && !said.contains("Linux version"), "{line}: {said}");
    }
    let (said, status) = run(&["RestrictFileSystems=proc sysfs @network"], LOOK)?;
    ensure!(
        status != 0 && !said.contains("ran\n"),
        "a program is executed where no file may be opened: {status} {said}"
    );
    let (said, _) = run(
        &[
            "RestrictFileSystems=@known",
            "RestrictFileSystems=~@network",
        ],
        LOOK,
    )?;
    ensure!(said.contains("Linux version"), "all are listed: {said}");
    Ok(())
}

/// The next manager makes anew what tells its keeper's executor from other files, and nothing else.
fn counters() -> Result<()> {
    let show = |property: &str| -> Result<u64> {
        let output = coracle(&["show", "-p", property, "--value", "counted"])?.stdout;
        let text = String::from_utf8(output)?;
        text.trim()
            .parse()
            .with_context(|| format!("{property}={text:?}"))
    };
    let words = "run --unit=counted -p Type=exec -p IPAccounting=yes -p RestrictFileSystems=~proc";
    let mut words: Vec<&str> = words.split(' ').collect();
    words.extend([
        "-p",
        "ExecStartPre=/bin/sh -c \"ip link set lo up && ping -c 3 127.0.0.1\"",
        "sleep",
        "600",
    ]);
    let output = coracle(&words)?;
    ensure!(output.status.success(), "{output:?}");
    let before = show("IPEgressPackets")?;
    ensure!(before >= 3, "{before} packets");
    let manager = coracle(&["show", "-p", "ManagerPID", "--value"])?.stdout;
    let manager = String::from_utf8(manager)?;
    let killed = Command::new("kill").args(["-9", manager.trim()]).status()?;
    ensure!(killed.success(), "manager {manager:?}");
    let after = show("IPEgressPackets")?;
    coracle(&["stop", "counted"])?;
    ensure!(after >= before, "{before} packets, and then {after}");
    Ok(())
}

fn verity() -> Result<()> {
    let hash = fs::read_to_string("/vm/roothash")?;
    let with = |hash: &str| {
        let hash = format!("RootHash={}", hash.trim());
        let image = "RootImage=/vm/web.raw";
        let look = "while read -r line; do echo $line; done < /proc/self/mountinfo";
        run(&[image, "RootImagePolicy=root=verity", &hash], look)
    };
    let (said, status) = with(&hash)?;
    ensure!(
        status == 0 && said.contains("squashfs /dev/dm-"),
        "with the right hash: {status} {said}"
    );
    let (said, status) = with(&"0".repeat(64))?;
    ensure!(
        status != 0 && !said.contains("squashfs"),
        "with a wrong one: {status} {said}"
    );
    Ok(())
}

fn apparmor() -> Result<()> {
    let folder = "/sys/kernel/security";
    let mounted = Command::new("mount")
        .args(["-t", "securityfs", "none", folder])
        .status()?;
    // The first process may have mounted it.
    ensure!(
        mounted.success() || Path::new(folder).join("apparmor").exists(),
        "no {folder}"
    );
    // Nothing compiles profiles here; a namespace has one of its own.
    fs::create_dir(Path::new(folder).join("apparmor/policy/namespaces/boat"))?;
    let output = coracle(&[
        "run",
        "--unit=labelled",
        "-p",
        "AppArmorProfile=:boat:unconfined",
        "sleep",
        "600",
    ])?;
    ensure!(output.status.success(), "{output:?}");
    let pid = coracle(&["show", "-p", "MainPID", "--value", "labelled"])?.stdout;
    let pid = String::from_utf8(pid)?;
    let label = fs::read_to_string(format!("/proc/{}/attr/current", pid.trim()))?;
    coracle(&["stop", "labelled"])?;
    ensure!(label.contains(":boat:"), "the label is {label:?}");
    let (said, status) = run(&["AppArmorProfile=absent"], "echo ran")?;
    ensure!(
        status != 0 && said.contains("AppArmorProfile=") && !said.contains("ran\n"),
        "{status} {said}"
    );
    let (said, _) = run(&["AppArmorProfile=-absent"], "echo ran")?;
    ensure!(said.contains("ran\n"), "{said}");
    Ok(())
}

fn orphan() -> Result<()> {
    // A child of the check's own, outside any unit, that leaves a child of its own behind.
    let output = Command::new("sh")
        .args(["-c", "sh -c 'true & echo $!' "])
        .output()?;
    let pid = String::from_utf8(output.stdout)?.trim().to_owned();
    let stat = Path::new("/proc").join(&pid).join("stat");
    for _ in 0..500 {
        if !stat.exists() {
            return Ok(());
        }
        std::thread::yield_now();
        // The first process has this machine's other work to do: a command of its own is a moment for it.
        coracle(&["is-active", "multi-user.target"])?;
    }
    anyhow::bail!(
        "process {pid} is there still: {}",
        fs::read_to_string(stat)?
    )
}

fn nothing_left() -> Result<()> {
    for _ in 0..500 {
        let groups = fs::read_dir("/sys/fs/cgroup/coracle/system.slice")?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("run-"))
            .count();
        if groups == 0 {
            return Ok(());
        }
        coracle(&["list-units"])?;
    }
    anyhow::bail!("groups of transient units stay")
}
