//! What only a machine with Coracle as PID 1 and the controllers of cgroup v2 can show; runs inside one (`cargo xtask test vm`).

#![allow(
    clippy::print_stdout,
    reason = "what it prints is the test's report, on the host's terminal"
)]

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
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
    ("what_the_kernel_does_not_take_ends_the_start", refusal),
    ("the_whole_default_profile_has_no_reduction", profile),
    ("files_are_opened_on_the_listed_file_systems_only", files),
    ("what_was_counted_outlives_the_manager", counters),
    ("a_profile_of_apparmor_is_taken_or_ends_the_start", apparmor),
    ("directories_hold_what_they_may", directories),
    ("who_is_bounded_stays_in_the_project", projects),
    ("what_directories_hold_is_shown", accounting),
    ("nothing_is_left_of_a_quota", no_quota_left),
    ("a_timer_elapses_when_the_clock_is_set", clock),
    ("a_day_is_over_when_the_clock_says_so", day),
    ("an_image_is_checked_by_the_kernel_when_it_is_read", verity),
    ("an_orphan_is_reaped_by_the_first_process", orphan),
    ("nothing_is_left_of_a_run", nothing_left),
];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    if let [_, act, path] = words.as_slice() {
        return attempt(act, &fs::File::open(path)?);
    }
    let mut failed = 0;
    for (name, check) in CHECKS {
        match check() {
            Ok(()) => println!("{name} ... ok"),
            Err(error) => {
                failed += 1;
                println!("{name} ... FAILED: {error:#}");
            }
        }
    }
    ensure!(failed == 0, "{failed} of {} checks failed", CHECKS.len());
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
const BUSY: &str = "end=$(($(date +%s)+2)); while [ $(date +%s) -le $end ]; do :; done; grep nr_throttled /sys/fs/cgroup/coracle/run-*/cpu.stat";

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

/// What a service tries that would rather not be bounded.
fn attempt(act: &str, file: &fs::File) -> Result<()> {
    match act {
        "leave" => kernel::quota::set_project(file, 7, false)?,
        "lift" => {
            let number = kernel::quota::project(file)?;
            kernel::quota::limit(file, number, kernel::quota::Limits::default())?;
        }
        _ => anyhow::bail!("{act:?} is no act"),
    }
    Ok(())
}

/// A file system with quotas of projects, where the units' state directories are.
const BOUNDED: &str = "/var/lib/bounded";

fn mount_bounded() -> Result<()> {
    if Path::new(BOUNDED).join("lost+found").exists() {
        return Ok(());
    }
    fs::create_dir_all(BOUNDED)?;
    let mounted = Command::new("mount")
        .args(["-t", "ext4", "-o", "loop,prjquota", "/vm/bounded", BOUNDED])
        .status()?;
    ensure!(mounted.success(), "cannot mount /vm/bounded");
    // Dynamic users have their directories elsewhere.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create("/var/lib/private/bounded")?;
    fs::create_dir(Path::new(BOUNDED).join("private"))?;
    let mounted = Command::new("mount")
        .args([
            "--bind",
            "/var/lib/bounded/private",
            "/var/lib/private/bounded",
        ])
        .status()?;
    ensure!(mounted.success(), "cannot mount it again");
    Ok(())
}

/// Writes a mebibyte in pieces, says what is in the way, and how much there is.
const FILL: &str = "dd if=/dev/zero of=$STATE_DIRECTORY/file bs=16k count=64 2>&1; stat -c 'bytes %s' $STATE_DIRECTORY/file";

fn is_stopped(said: &str) -> bool {
    let told = said.contains("quota exceeded") || said.contains("No space left");
    told && !said.contains("bytes 1048576")
}

fn directories() -> Result<()> {
    mount_bounded()?;
    // Where the file system can't, that is said.
    let (said, status) = run(
        &["StateDirectory=unbounded", "StateDirectoryQuota=256K"],
        FILL,
    )?;
    ensure!(
        status == 0 && said.contains("bytes 1048576"),
        "on the root file system: {status} {said}"
    );
    let output = coracle(&[
        "run",
        "--wait",
        "-p",
        "StateDirectory=unbounded",
        "-p",
        "StateDirectoryQuota=256K",
        "true",
    ])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        said.contains("reduced: ") && said.contains("StateDirectoryQuota="),
        "{said}"
    );
    for who in ["User=root", "User=1234", "DynamicUser=yes"] {
        let name = who.replace('=', "-");
        let directory = format!("StateDirectory=bounded/{name}");
        let directory = directory.as_str();
        let (free, _) = run(&[who, directory], FILL)?;
        ensure!(
            free.contains("bytes 1048576"),
            "{who} without a quota: {free}"
        );
        // What was there before counts.
        for quota in ["256K", "5%"] {
            let quota = format!("StateDirectoryQuota={quota}");
            let more = FILL.replace("/file", "/more");
            let (said, _) = run(&[who, directory, &quota], &more)?;
            ensure!(is_stopped(&said), "{who} with {quota}: {said}");
            let (said, _) = run(
                &[who, directory, &quota],
                "rm $STATE_DIRECTORY/*; echo one > $STATE_DIRECTORY/small; cat $STATE_DIRECTORY/small",
            )?;
            ensure!(said.contains("one"), "{who} with {quota} and room: {said}");
            let (said, _) = run(&[who, directory, &quota], FILL)?;
            ensure!(is_stopped(&said), "{who} with {quota}, again: {said}");
        }
        let (free, _) = run(&[who, directory, "StateDirectoryQuota=off"], FILL)?;
        ensure!(free.contains("bytes 1048576"), "{who}, lifted: {free}");
    }
    // Two directories share what they may.
    let (said, _) = run(
        &[
            "StateDirectory=bounded/one bounded/two",
            "StateDirectoryQuota=512K",
        ],
        "for d in one two; do dd if=/dev/zero of=/var/lib/bounded/$d/file bs=16k count=20 2>&1; done",
    )?;
    ensure!(
        said.contains("quota exceeded") || said.contains("No space left"),
        "two directories: {said}"
    );
    Ok(())
}

fn projects() -> Result<()> {
    mount_bounded()?;
    const LEAVE: &str = "rm -f $STATE_DIRECTORY/file; echo > $STATE_DIRECTORY/file; /vm/checks leave $STATE_DIRECTORY/file && echo left";
    let unit = ["User=1234", "StateDirectory=bounded/leave"];
    let (free, _) = run(&unit, LEAVE)?;
    ensure!(free.contains("left"), "without a bound: {free}");
    for line in ["StateDirectoryAccounting=yes", "StateDirectoryQuota=1M"] {
        let (said, _) = run(&[unit[0], unit[1], line], LEAVE)?;
        ensure!(
            !said.contains("left") && said.contains("Operation not permitted"),
            "with {line}: {said}"
        );
    }
    // Root could lift what bounds it.
    const LIFT: &str = "/vm/checks lift $STATE_DIRECTORY && echo lifted";
    let unit = ["User=root", "StateDirectory=bounded/lift"];
    let (said, _) = run(&[unit[0], unit[1], "StateDirectoryQuota=1M"], LIFT)?;
    ensure!(
        !said.contains("lifted") && said.contains("Operation not permitted"),
        "root with one: {said}"
    );
    let (free, _) = run(&unit, LIFT)?;
    ensure!(free.contains("lifted"), "root without one: {free}");
    // A directory that somebody has put into a project of theirs stays there.
    fs::create_dir(Path::new(BOUNDED).join("foreign"))?;
    let file = fs::File::open(Path::new(BOUNDED).join("foreign"))?;
    kernel::quota::set_project(&file, 77, true)?;
    let output = coracle(&[
        "run",
        "--wait",
        "-p",
        "StateDirectory=bounded/foreign",
        "-p",
        "StateDirectoryQuota=1M",
        "true",
    ])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(
        said.contains("reduced: ") && said.contains("project 77"),
        "{said}"
    );
    ensure!(kernel::quota::project(&file)? == 77, "it was taken");
    Ok(())
}

fn accounting() -> Result<()> {
    mount_bounded()?;
    let unit = [
        "run",
        "--unit=counted",
        "-p",
        "StateDirectory=bounded/counted",
        "-p",
        "StateDirectoryAccounting=yes",
        "-p",
        "Type=oneshot",
        "-p",
        "RemainAfterExit=yes",
        "sh",
        "-c",
        "dd if=/dev/zero of=$STATE_DIRECTORY/file bs=16k count=20",
    ];
    let output = coracle(&unit)?;
    ensure!(output.status.success(), "{output:?}");
    let said = String::from_utf8(coracle(&["status", "counted"])?.stdout)?;
    ensure!(
        said.contains("State:") && said.contains(" in 2 files"),
        "{said}"
    );
    let used = coracle(&[
        "show",
        "--value",
        "-p",
        "StateDirectoryQuotaUsage",
        "counted",
    ])?
    .stdout;
    let used = String::from_utf8(used)?;
    coracle(&["stop", "counted"])?;
    let bytes: u64 = used
        .split(' ')
        .next()
        .unwrap_or_default()
        .parse()
        .with_context(|| used.clone())?;
    ensure!((327_680..400_000).contains(&bytes), "{used}");
    Ok(())
}

fn no_quota_left() -> Result<()> {
    mount_bounded()?;
    let text = "[Service]\nType=oneshot\nExecStart=/bin/true\nStateDirectory=bounded/left\nStateDirectoryQuota=1M\n";
    fs::write("/etc/systemd/system/bounded-left.service", text)?;
    for words in [["daemon-reload", ""], ["start", "bounded-left"]] {
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        let output = coracle(&words)?;
        ensure!(output.status.success(), "{output:?}");
    }
    let directory = Path::new(BOUNDED).join("left");
    let number = kernel::quota::project(fs::File::open(&directory)?)?;
    ensure!(kernel::quota::OURS.contains(&number), "project {number}");
    let most = || -> Result<u64> {
        Ok(kernel::quota::usage(fs::File::open(BOUNDED)?, number)?
            .limits
            .bytes)
    };
    ensure!(most()? == 1 << 20, "the limit is {}", most()?);
    let output = coracle(&["clean", "--what=state", "bounded-left"])?;
    ensure!(output.status.success() && !directory.exists(), "{output:?}");
    ensure!(most()? == 0, "the limit is still {}", most()?);
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
        let groups = fs::read_dir("/sys/fs/cgroup/coracle")?
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
