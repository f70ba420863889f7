//! Random combinations of directives that restrict: an act that no directive of a combination forbids gets with Coracle what it gets with systemd.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, anyhow};
use coracle_system_tests::combinations::{Combination, REACHED, Trial, shrink};
use coracle_system_tests::stage::Stage;
use testkit::Instance;

use super::report::{Report, Row, Verdict};
use super::{UNITS, Wish};
use crate::run;

/// How many there are where nobody says: those that the system tests have.
pub(super) const COUNT: u64 = 500;

/// So many run at once, each with both sides in turns.
const LANES: usize = 4;

/// How a line of a combination begins, how an act does, and why it has with Coracle what it has not with systemd, or the other way round.
const KNOWN: &[(&str, &str, &str)] = &[
    ("RestrictSUIDSGID=", "io-uring", RING),
    ("RestrictAddressFamilies=", "io-uring", RING),
    ("DynamicUser=", "io-uring", RING),
    ("NoExecPaths=", "create", NO_EXEC),
    ("NoExecPaths=", "leave $ROOM/open", NO_EXEC),
    ("NoExecPaths=", "set-id", NO_EXEC),
    ("NoExecPaths=", "change-owner $ROOM/open", NO_EXEC),
    ("NoExecPaths=", "make-device $ROOM/open", NO_EXEC),
    (
        "ProtectClock=",
        "make-device",
        "systemd's list of devices lets nodes be made that it lets nobody open",
    ),
    (
        "StandardInput=data",
        "start",
        "systemd opens /dev/null where there are no data, which DevicePolicy=strict refuses",
    ),
    (
        "PrivateBPF=",
        "start",
        "systemd can't mount its own /sys/fs/bpf where network and processes are private, too",
    ),
    (
        "ProtectClock=",
        "mount-for",
        "the files of the clocks are kept from being written by a mount namespace, which systemd does not make for it",
    ),
    (
        "ProtectHostname=",
        "mount-for",
        "the file with the name is kept from being written by a mount namespace, which systemd does not make for it",
    ),
    (
        "RootEphemeral=",
        "start",
        "the container's own root is made of layers, over which the kernel takes no further ones: it is refused there",
    ),
    ("ProtectControlGroups=", "clone", NO_GROUPS),
    ("ProtectControlGroups=", "make-group", NO_GROUPS),
    ("ProtectControlGroups=", "unshare", NO_GROUPS),
    (
        "PrivatePIDs=",
        "read /proc/$PEER/",
        "in a PID namespace of its own the number is, by chance, that of a process of the service's own",
    ),
    ("ProtectMount=", "", EXTENSION),
    ("ProtectTracing=", "", EXTENSION),
    ("ProtectKeyRing=", "", EXTENSION),
];

const RING: &str = "a filter does not see the calls that go through a ring: systemd leaves this way past its own restriction open";
const NO_EXEC: &str =
    "systemd leaves a path of NoExecPaths= writable below a tree that is read-only";
const NO_GROUPS: &str = "a user namespace leads to a control group namespace, whose groups can be mounted anew: Coracle lets none be made, \
     systemd leaves this way open";
const EXTENSION: &str = "systemd has not got it";

/// The program that makes the acts is built beside this one, and goes along with it.
pub(super) fn prepare(_: &Path) -> Result<()> {
    run::check(run::cargo().args([
        "build",
        "--quiet",
        "--package",
        "coracle-system-tests",
        "--bin",
        "attacker",
    ]))
}

/// Where combinations run, one at a time, with the one side and with the other.
struct Lane<'a> {
    ours: &'a Instance,
    stage: Stage,
    name: usize,
    runs: AtomicU64,
}

impl Lane<'_> {
    fn both(&self, combination: &Combination) -> [Trial; 2] {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let unit = |side: &str| format!("combination-{side}-{}-{run}.service", self.name);
        let attempt = |side, units: &Path, start: &dyn Fn(&str) -> Command| {
            combination.attempt(&self.stage, &unit(side), units, start)
        };
        let theirs = attempt("theirs", Path::new(UNITS), &|unit| {
            let mut command = Command::new("systemctl");
            command.args(["--quiet", "start", unit]);
            command
        });
        let units = self.ours.folder().join("config/units");
        let ours = attempt("ours", &units, &|unit| self.ours.command(&["start", unit]));
        [theirs, ours]
    }

    /// The acts on which the two differ, with what both say; and what Coracle does not stop.
    fn differences(&self, combination: &Combination) -> BTreeMap<String, [String; 2]> {
        let [theirs, ours] = self.both(combination);
        let forbidden = combination.forbidden();
        let mut found = BTreeMap::new();
        if theirs.refused.is_some() != ours.refused.is_some() {
            let said = [theirs.refused, ours.refused];
            let said = said.map(|refused| refused.unwrap_or_else(|| "started".to_owned()));
            return BTreeMap::from([("start".to_owned(), said)]);
        }
        if ours.refused.is_some() {
            return found;
        }
        for (act, outcome) in ours.faults(&forbidden) {
            found.insert(act, ["must fail".to_owned(), outcome]);
        }
        for (act, own) in &ours.outcomes {
            let is_forbidden = forbidden.iter().any(|attack| attack.line == *act);
            let other = theirs.outcomes.get(act).map_or("not tried", String::as_str);
            if !is_forbidden && (own == REACHED) != (other == REACHED) {
                found.insert((*act).to_owned(), [other.to_owned(), own.clone()]);
            }
        }
        found
    }

    fn row(&self, combination: &Combination, left_out: &Mutex<BTreeMap<String, u32>>) -> Row {
        let mut found = self.differences(combination);
        found.retain(|act, _| {
            let known = KNOWN.iter().find(|(start, of, _)| {
                act.starts_with(of) && combination.lines.iter().any(|line| line.starts_with(start))
            });
            if let (Some((start, of, why)), Ok(mut left_out)) = (known, left_out.lock()) {
                *left_out
                    .entry(format!("`{of}` with `{start}`: {why}"))
                    .or_default() += 1;
            }
            known.is_none()
        });
        let case = format!("seed {}", combination.seed);
        let Some((act, [theirs, ours])) = found.first_key_value() else {
            return Row::compared(case, String::new(), String::new());
        };
        let has_it = |lesser: &Combination| self.differences(lesser).contains_key(act);
        let smallest = shrink(combination, &has_it);
        let others: Vec<&str> = found.keys().skip(1).map(String::as_str).collect();
        Row {
            case,
            cells: vec![format!("{act}: {theirs}"), format!("{act}: {ours}")],
            verdict: Verdict::Fail,
            why: format!(
                "the fewest lines that have it: {}; others: {}",
                smallest.lines.join(" / "),
                others.join(", ")
            ),
            is_known: false,
        }
    }
}

pub(super) fn run(wish: &Wish) -> Result<Report> {
    std::fs::create_dir_all(UNITS)?;
    let ours = Instance::below(Path::new("/run"));
    let lane = |name| Lane {
        ours: &ours,
        stage: Stage::in_container(&ours),
        name,
        runs: AtomicU64::new(0),
    };
    let lanes: Vec<Lane> = (0..LANES).map(lane).collect();
    let next = AtomicU64::new(wish.seed);
    let count = wish.count.unwrap_or(COUNT);
    let end = wish.seed.saturating_add(count);
    let (rows, left_out) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for lane in &lanes {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let row = lane.row(&Combination::draw(seed).in_container(), &left_out);
                    if let Ok(mut rows) = rows.lock() {
                        rows.push((seed, row));
                    }
                }
            });
        }
    });
    let failed = |_| anyhow!("a lane of the combinations failed");
    let mut rows = rows.into_inner().map_err(failed)?;
    rows.sort_by_key(|(seed, _)| *seed);
    let count = usize::try_from(count).context("so many combinations")?;
    anyhow::ensure!(rows.len() == count, "a lane of the combinations failed");
    let left_out = left_out
        .into_inner()
        .map_err(|_| anyhow!("a lane failed"))?;
    Ok(Report {
        headings: ["combination", "systemd", "Coracle"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        is_shown_whole: false,
        left_out: left_out
            .into_iter()
            .map(|(what, times)| format!("{what} ({times} times)"))
            .collect(),
    })
}
