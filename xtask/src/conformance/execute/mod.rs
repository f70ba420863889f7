//! systemd's own units that test what a service is executed with, from the package systemd-tests of the tree, under both sides.

mod prepare;
mod table;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use settings::{Status, TABLE};
use testkit::Instance;

pub(super) use self::table::Case;
use super::UNITS;
use super::report::{Report, Row, Verdict};
use super::systemd::{Said, ask, said};

/// Where the package puts them.
const THEIRS: &str = "/usr/lib/systemd/tests/testdata/test-execute";

/// Ends what does not end, in seconds; the slowest unit takes two.
const LIMIT: &str = "20";

/// How many lines of its log tell why a unit failed.
const LOG_LINES: &str = "6";

/// What the manager says of a run, in the order in which it is asked.
const PROPERTIES: &str = "LoadState,Result,ExecMainCode,ExecMainStatus";

enum Side {
    Coracle(Instance),
    Systemd,
}

/// Whether a container lacks what a case needs, and a machine with three processors has it.
pub(super) fn wants_machine(case: &Case) -> bool {
    const WANT: [&str; 7] = [
        "exec-cpuaffinity3.service",
        "exec-privatedevices-bind.service",
        "exec-privatedevices-disabled-by-prefix.service",
        "exec-privatedevices-no.service",
        "exec-privatedevices-no-capability-sys-rawio.service",
        "exec-protectkernelmodules-no-capabilities.service",
        "exec-oomscoreadjust-negative.service",
    ];
    WANT.contains(&case.unit.as_str())
}

pub(super) fn run(is_wanted: impl Fn(&Case) -> bool) -> Result<Report> {
    let mut cases = table::cases()?;
    cases.retain(is_wanted);
    fs::create_dir_all(UNITS)?;
    for entry in fs::read_dir(THEIRS).context("the tree has no package systemd-tests")? {
        let entry = entry?;
        fs::copy(entry.path(), Path::new(UNITS).join(entry.file_name()))?;
    }
    prepare::drop_ins(Path::new(UNITS))?;
    prepare::programs()?;
    prepare::manager_environment()?;
    hold(&cases)?;
    let theirs = outcomes(&cases, &Side::Systemd)?;
    let instance = Instance::below(Path::new("/run"));
    let mut first = instance.first_process(
        prepare::MANAGER_VARIABLES.iter().copied(),
        &["--unit-path", UNITS],
    );
    let ours = outcomes(&cases, &Side::Coracle(instance));
    first.wait()?;
    let ours = ours?;
    Ok(Report {
        headings: ["unit", "expected", "systemd", "Coracle"]
            .map(str::to_owned)
            .to_vec(),
        rows: cases
            .iter()
            .enumerate()
            .zip(theirs.into_iter().zip(ours))
            .map(|((index, case), (theirs, ours))| {
                let mut row = row(case, theirs, ours);
                if cases.iter().take(index).any(|one| one.unit == case.unit) {
                    row.case.push_str(" (again)");
                }
                row
            })
            .collect(),
        is_shown_whole: true,
        left_out: Vec::new(),
    })
}

/// systemd forgets how a unit ended that nothing refers to: a target that runs refers to all.
fn hold(cases: &[Case]) -> Result<()> {
    let mut target = "[Unit]\n".to_owned();
    for case in cases {
        target.push_str(&format!("After={}\n", case.unit));
    }
    fs::write(Path::new(UNITS).join("conformance.target"), target)?;
    ask("systemctl", &["daemon-reload"])?;
    ask("systemctl", &["start", "conformance.target"])?;
    Ok(())
}

/// How each case ended, in the order of the table: some go on with what an earlier one has left.
fn outcomes(cases: &[Case], side: &Side) -> Result<Vec<Outcome>> {
    let mut found = Vec::new();
    let mut test = "";
    for case in cases {
        if case.test != test {
            prepare::clean()?;
            test = &case.test;
        }
        prepare::make_ready(case)?;
        found.push(side.outcome(case)?);
    }
    prepare::clean()?;
    Ok(found)
}

struct Outcome {
    ended: String,
    /// What the command that started it complained about.
    complaint: String,
}

impl Side {
    fn command(&self, words: &[&str]) -> Command {
        match self {
            Side::Systemd => {
                let mut command = Command::new("timeout");
                command.args([LIMIT, "systemctl"]).args(words);
                command
            }
            Side::Coracle(instance) => {
                let whole = [&["--unit-path", UNITS], words].concat();
                let mut command = Command::new("timeout");
                command.arg(LIMIT);
                testkit::executed(command, &instance.command(&whole))
            }
        }
    }

    fn outcome(&self, case: &Case) -> Result<Outcome> {
        let unit = case.unit.as_str();
        if !Path::new(UNITS).join(&case.file).exists() {
            return Ok(Outcome {
                ended: "not in this package".to_owned(),
                complaint: String::new(),
            });
        }
        said(&mut self.command(&["start", "--wait", unit]))?;
        let shown = said(&mut self.command(&["show", "-p", PROPERTIES, unit]))?;
        for verb in ["stop", "reset-failed"] {
            said(&mut self.command(&[verb, unit]))?;
        }
        Ok(Outcome {
            ended: ending(case, &shown),
            complaint: self.log(unit)?,
        })
    }
}

impl Side {
    /// The last words of a unit and of its manager.
    fn log(&self, unit: &str) -> Result<String> {
        let told = match self {
            Side::Systemd => ask("journalctl", &["-u", unit, "-o", "cat", "-n", LOG_LINES])?,
            Side::Coracle(_) => said(&mut self.command(&["logs", "-u", unit, "-n", LOG_LINES]))?,
        };
        let lines: Vec<&str> = told.stdout.lines().map(str::trim).collect();
        Ok(lines.join(" / "))
    }
}

/// The end of a run in the words of the table.
fn ending(case: &Case, shown: &Said) -> String {
    let property = |name: &str| {
        let mut lines = shown.stdout.lines();
        lines
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
    };
    let (result, status) = (property("Result"), property("ExecMainStatus"));
    if case.expected.starts_with("result=") {
        return format!("result={result}");
    }
    match property("ExecMainCode") {
        // siginfo_t's si_code: CLD_EXITED, CLD_KILLED, CLD_DUMPED.
        "1" if status == "0" && result != "success" => format!("0, but {result}"),
        "1" => status.to_owned(),
        "2" | "3" => status
            .parse()
            .map_or_else(|_| status.to_owned(), model::tables::signals::name),
        _ if property("LoadState") != "loaded" => property("LoadState").to_owned(),
        _ => format!("no process ({result})"),
    }
}

fn row(case: &Case, theirs: Outcome, ours: Outcome) -> Row {
    // systemd's test looks at the main process alone; what else failed is to fail with both.
    let main = ours.ended.split(',').next() == Some(&case.expected);
    let (verdict, why) = if ours.ended == case.expected || (main && ours.ended == theirs.ended) {
        (Verdict::Pass, String::new())
    } else if ours.ended == theirs.ended {
        (
            Verdict::NotRun,
            format!("{} ({})", theirs.complaint, case.guards),
        )
    } else {
        (Verdict::Fail, unbuilt(case).unwrap_or(ours.complaint))
    };
    Row {
        case: case.unit.clone(),
        cells: vec![case.expected.clone(), theirs.ended, ours.ended],
        verdict,
        why,
        is_known: false,
    }
}

/// The directives of the unit that are read and have no effect yet.
fn unbuilt(case: &Case) -> Option<String> {
    let reason = |name: &str| {
        let rows = TABLE.iter().filter(|row| row.name == name);
        rows.clone().all(|row| !row.works()).then_some(())?;
        rows.filter_map(|row| match row.status {
            Status::ParsedOnly(reason) | Status::Rejected(reason) => {
                Some(format!("{name}=: {reason}"))
            }
            Status::Works => None,
        })
        .next()
    };
    let reasons: Vec<String> = case.directives.split(' ').filter_map(reason).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}
