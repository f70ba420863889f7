//! What the directories of a service may hold: quotas of projects, on a file system that has them.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{coracle, run};

/// What a service tries that would rather not be bounded.
pub(crate) fn attempt(act: &str, file: &fs::File) -> Result<()> {
    match act {
        "leave" => kernel::quota::set_project(file, 7, false)?,
        "lift" => {
            let number = kernel::quota::project(file)?;
            kernel::quota::limit(file, number, kernel::quota::Limits::default())?;
        }
        _ => {
            let number = act.parse().with_context(|| format!("{act:?} is no act"))?;
            kernel::quota::set_project(file, number, true)?;
        }
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

pub(crate) fn directories() -> Result<()> {
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

pub(crate) fn projects() -> Result<()> {
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

/// A unit that has set its directory to another one's number.
pub(crate) fn numbers() -> Result<()> {
    mount_bounded()?;
    let victim = Path::new(BOUNDED).join("victim");
    let lines = [
        "User=1234",
        "StateDirectory=bounded/victim",
        "StateDirectoryQuota=1M",
    ];
    run(&lines, "true")?;
    let number = kernel::quota::project(fs::File::open(&victim)?)?;
    let most = || -> Result<u64> {
        Ok(kernel::quota::usage(fs::File::open(BOUNDED)?, number)?
            .limits
            .bytes)
    };
    ensure!(most()? == 1 << 20, "the limit is {}", most()?);
    let thief = Path::new(BOUNDED).join("thief");
    let text =
        "[Service]\nType=oneshot\nExecStart=/bin/true\nUser=1235\nStateDirectory=bounded/thief\n";
    fs::write("/etc/systemd/system/bounded-thief.service", text)?;
    coracle(&["daemon-reload"])?;
    let take = format!(
        "mkdir -p $STATE_DIRECTORY/sub; /vm/checks 0 $STATE_DIRECTORY/sub && /vm/checks {number} $STATE_DIRECTORY && echo taken"
    );
    let unit = ["User=1235", "StateDirectory=bounded/thief"];
    let lines = [
        "StateDirectoryQuota=off",
        "StateDirectoryAccounting=yes",
        "StateDirectoryQuota=256K",
    ];
    let fill = FILL.replace("/file", "/sub/file");
    for line in lines {
        // A directory that root gave no project yet, and one that has one.
        for _ in 0..2 {
            let (said, _) = run(&unit, &take)?;
            ensure!(said.contains("taken"), "{line}: {said}");
            let (said, _) = run(&[unit[0], unit[1], line], &fill)?;
            ensure!(most()? == 1 << 20, "{line}: the limit is {}", most()?);
            let own = kernel::quota::project(fs::File::open(&thief)?)?;
            let is_off = line.ends_with("off");
            ensure!(is_off || own != number, "{line}: it keeps the number");
            // What it had made before it was bounded, counts.
            let is_bound = line.ends_with('K');
            ensure!(is_stopped(&said) == is_bound, "{line}: {said}");
        }
    }
    run(&unit, &take)?;
    let output = coracle(&["clean", "--what=state", "bounded-thief"])?;
    ensure!(output.status.success() && !thief.exists(), "{output:?}");
    ensure!(most()? == 1 << 20, "cleaned: the limit is {}", most()?);
    Ok(())
}

pub(crate) fn depth() -> Result<()> {
    mount_bounded()?;
    let unit = ["User=1234", "StateDirectory=bounded/deep"];
    let deeper = "cd $STATE_DIRECTORY; while [ -d d ]; do cd d; done; mkdir d";
    let all = "cd $STATE_DIRECTORY; for i in $(seq 64); do mkdir d; cd d; done; echo made";
    let bound = "StateDirectoryQuota=1M";
    let (said, _) = run(&unit, all)?;
    ensure!(said.contains("made"), "{said}");
    let (said, status) = run(&[unit[0], unit[1], bound], deeper)?;
    ensure!(status == 0, "64 directories: {said}");
    let (said, status) = run(&[unit[0], unit[1], bound], "true")?;
    let told = [
        "StateDirectoryQuota=",
        "/var/lib/bounded/deep",
        "more than 64",
    ];
    ensure!(
        status != 0 && told.iter().all(|word| said.contains(word)),
        "65 directories: {status} {said}"
    );
    Ok(())
}

pub(crate) fn accounting() -> Result<()> {
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

pub(crate) fn nothing_left() -> Result<()> {
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
