//! `cargo xtask conformance`: the same cases for Coracle and for a real systemd, in a container that it has booted.
//!
//! A case on which the two differ is a mistake of ours, unless `known.rs` says why it is so.

mod combinations;
mod credentials;
mod environment;
mod execute;
mod exposure;
mod jobs;
mod known;
mod ours;
mod packages;
mod page;
mod parsers;
mod policies;
mod random;
mod report;
mod systemd;
mod times;
mod unit_files;
mod users;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};

pub(crate) use self::page::PAGE;
use self::report::Report;
use crate::peers::{Container, Tree};
use crate::{dist, run, vm};

/// A check.
#[derive(Clone, Copy)]
struct Check {
    name: &'static str,
    /// Where both sides run.
    place: Place,
    /// What it puts into the folder beforehand.
    prepare: fn(&Path) -> Result<()>,
    /// Its work, which runs there.
    work: fn(&Wish) -> Result<Report>,
}

/// Where the systemd that is compared with has booted.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Container,
    Machine,
}

const CHECKS: &[Check] = &[
    Check {
        name: "test-execute",
        place: Place::Container,
        prepare: |_| Ok(()),
        work: |_| execute::run(|_| true),
    },
    Check {
        name: "machine",
        place: Place::Machine,
        prepare: |_| Ok(()),
        work: |_| execute::run(execute::wants_machine),
    },
    Check {
        name: "parsers",
        place: Place::Container,
        prepare: |_| Ok(()),
        work: |_| parsers::run(),
    },
    Check {
        name: "times",
        place: Place::Container,
        prepare: |_| Ok(()),
        work: times::run,
    },
    Check {
        name: "policies",
        place: Place::Container,
        prepare: |_| Ok(()),
        work: policies::run,
    },
    Check {
        name: COMBINATIONS,
        place: Place::Container,
        prepare: combinations::prepare,
        work: combinations::run,
    },
    Check {
        name: "jobs",
        place: Place::Container,
        prepare: |_| Ok(()),
        work: jobs::run,
    },
    Check {
        name: "credentials",
        place: Place::Container,
        prepare: |_| Ok(()),
        work: |_| credentials::run(),
    },
    Check {
        name: "unit-files",
        place: Place::Container,
        prepare: |_| Ok(()),
        work: |_| unit_files::run(),
    },
    Check {
        name: "users",
        place: Place::Container,
        prepare: |_| Ok(()),
        work: |_| users::run(),
    },
    Check {
        name: "environment",
        place: Place::Container,
        prepare: |_| Ok(()),
        work: |_| environment::run(),
    },
    Check {
        name: "packages",
        place: Place::Container,
        prepare: packages::prepare,
        work: |_| packages::run(),
    },
];

/// The tree whose systemd is the reference.
const REFERENCE: &str = "sid";

/// What a check needs, and where it leaves its report, is in this directory there.
const FOLDER: &str = "/conformance";

/// Where systemd looks for units that are gone at its end; an instance of ours takes them from there, too.
const UNITS: &str = "/run/systemd/system";

/// How many calendar expressions, and how many image policies, are made where nobody says.
const CASES: usize = 2_000;

/// The first of what is drawn from seeds, where nobody names another.
const SEED: u64 = 1;

/// The check of them.
const COMBINATIONS: &str = "combinations";

/// What is to be compared, and with whom.
#[derive(Debug)]
struct Wish {
    tree: Tree,
    names: Vec<String>,
    /// How many calendar expressions and image policies are made.
    cases: usize,
    /// The first seed, and how many there are, where that is not as many as the check has by itself.
    seed: u64,
    count: Option<u64>,
}

impl Wish {
    /// The command's words: names of checks, `--cases NUMBER`, `--seed NUMBER`, `--count NUMBER`, `--beside TREE`.
    fn read(words: &[String]) -> Result<Wish> {
        let mut wish = Wish {
            tree: Tree::one(REFERENCE)?,
            names: Vec::new(),
            cases: CASES,
            seed: SEED,
            count: None,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--beside" => {
                    wish.tree = Tree::one(words.next().context("--beside needs a tree's name")?)?;
                }
                "--cases" => {
                    let value = words.next().context("--cases needs a number")?;
                    wish.cases = value.parse().context("--cases takes a number")?;
                }
                "--seed" => wish.seed = number("--seed", words.next())?,
                "--count" => wish.count = Some(number("--count", words.next())?),
                name => wish.names.push(name.to_owned()),
            }
        }
        Ok(wish)
    }

    fn checks(&self) -> Result<Vec<Check>> {
        if self.names.is_empty() {
            return Ok(CHECKS.to_vec());
        }
        self.names.iter().map(|name| check(name)).collect()
    }

    /// Whether what differs is a mistake of ours: another version of systemd is only looked at.
    fn is_reference(&self) -> bool {
        self.tree.name == REFERENCE
    }
}

fn number(option: &str, value: Option<&String>) -> Result<u64> {
    let value = value.and_then(|value| value.parse().ok());
    value.with_context(|| format!("{option} needs a number"))
}

fn check(name: &str) -> Result<Check> {
    let known: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    let found = CHECKS.iter().find(|check| check.name == name).copied();
    found.with_context(|| format!("there is no check {name:?}; there are {}", known.join(", ")))
}

/// Runs the named checks, or all, and writes what they found into the page. What differs from the reference and is not known is an
/// error; what another version does otherwise than that is told.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let wish = Wish::read(words)?;
    let unexplained = compare(&wish, page::write)?;
    if unexplained > 0 && wish.is_reference() {
        bail!(
            "{unexplained} cases differ from systemd: mend them, or say why in xtask/src/conformance/known.rs"
        );
    }
    Ok(())
}

/// The checks of the tier of tests, which a fresh machine makes in four minutes with the tree that it needs first. What is left out
/// fetches forty packages, or, as jobs, still finds what is to be mended.
const SHORT: [&str; 9] = [
    "test-execute",
    "parsers",
    "times",
    "policies",
    COMBINATIONS,
    "credentials",
    "users",
    "environment",
    "unit-files",
];

/// The tier of tests: the page stays as it is.
pub(crate) fn short() -> Result<()> {
    let wish = Wish::read(&SHORT.map(str::to_owned))?;
    let unexplained = compare(&wish, |_, _, _| Ok(()))?;
    if unexplained > 0 {
        bail!(
            "{unexplained} cases differ from systemd, as is told above: `cargo xtask conformance` writes them down"
        );
    }
    Ok(())
}

/// `--seed NUMBER --count NUMBER`: what such combinations of directives forbid fails in each; with `--beside TREE`, what they let through is
/// compared with that tree's systemd.
pub(crate) fn combine(words: &[String]) -> Result<()> {
    let wish = Wish::read(words)?;
    if let Some(name) = wish.names.first() {
        bail!(
            "{name} is no option of combinations, which takes --seed NUMBER, --count NUMBER and --beside TREE"
        );
    }
    if words.iter().all(|word| word != "--beside") {
        return crate::test::combinations(wish.seed, wish.count.unwrap_or(combinations::COUNT));
    }
    let wish = Wish {
        names: vec![COMBINATIONS.to_owned()],
        ..wish
    };
    let unexplained = compare(&wish, |_, _, _| Ok(()))?;
    if unexplained > 0 {
        bail!("{unexplained} combinations differ from systemd, as is told above");
    }
    Ok(())
}

/// Runs the checks of a wish, tells what each found, hands its report on, and returns how many cases differ that are not known to.
fn compare(wish: &Wish, keep: impl Fn(&str, Tree, &Report) -> Result<()>) -> Result<usize> {
    run::need_root("comparing with systemd")?;
    let checks = wish.checks()?;
    let dist = files()?;
    let mut unexplained = 0;
    for check in checks {
        let (name, begin) = (check.name, Instant::now());
        let report = match check.place {
            Place::Container => in_container(wish, check, &dist)?,
            Place::Machine => in_machine(wish, check, &dist)?,
        };
        let report = report.explained(name, wish.is_reference());
        println!(
            "{name}: {} · {} s",
            report.counts(),
            begin.elapsed().as_secs()
        );
        for row in report.unexplained() {
            println!("{name}: {}", row.line());
            unexplained += 1;
        }
        keep(name, wish.tree, &report)?;
    }
    Ok(unexplained)
}

/// The release files, or those that the caller has built.
fn files() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os(testkit::DIST) {
        return fs::canonicalize(&given)
            .with_context(|| format!("there is no {}", Path::new(&given).display()));
    }
    dist::run()?;
    Ok(run::root().join("dist"))
}

/// Runs one check where this process is, in a peer's container, and leaves its report for who started that: `NAME` and the words of
/// the wish.
pub(crate) fn inside(words: &[String]) -> Result<()> {
    let wish = Wish::read(words)?;
    let name = wish.names.first().context("no check is named")?;
    let report = serde_json::to_string(&(check(name)?.work)(&wish)?)?;
    Ok(fs::write(report_in(Path::new(FOLDER)), report)?)
}

/// What a process of a drawn service does: `FOLDER UNIT ROLE WORD…`.
pub(crate) fn act(words: &[String]) -> Result<ExitCode> {
    jobs::act(words)
}

fn report_in(folder: &Path) -> PathBuf {
    folder.join("report.json")
}

/// The command that runs a check where a tree's systemd has booted: this program is static, and so goes along.
fn command(wish: &Wish, check: Check, program: &str, dist: &str) -> String {
    let count = wish.count.map(|count| format!("--count {count}"));
    let count = count.unwrap_or_default();
    format!(
        "{}={dist} '{program}' conformance-inside {} --cases {} --seed {} {count} --beside {}\n",
        testkit::DIST,
        check.name,
        wish.cases,
        wish.seed,
        wish.tree.name
    )
}

/// Runs one check in a tree's container.
fn in_container(wish: &Wish, check: Check, dist: &Path) -> Result<Report> {
    let program = std::env::current_exe()?;
    let programs = program.parent().context("this program is in no folder")?;
    let file = program.file_name().context("this program has no name")?;
    let folder = tempfile::tempdir()?;
    (check.prepare)(folder.path())?;
    let program = format!("/xtask/{}", file.display());
    let mut container = Container::of(wish.tree)?.with_own_network();
    // What other checks expect is said of a container without.
    if check.name == COMBINATIONS {
        container = container.with_bpf();
    }
    let finished = container
        .bind(programs, "/xtask")
        .bind(dist, "/dist")
        .bind(folder.path(), FOLDER)
        .run(&command(wish, check, &program, "/dist"))?;
    print!("{}", finished.output);
    if finished.status != 0 {
        bail!("the check ended with status {}", finished.status);
    }
    let report = fs::read_to_string(report_in(folder.path()))?;
    serde_json::from_str(&report).context("the check left no report")
}

/// Runs one check in a virtual machine with a tree's systemd as its init. The report is all that comes out of it.
fn in_machine(wish: &Wish, check: Check, dist: &Path) -> Result<Report> {
    const PROGRAM: &str = "/vm/xtask";
    let mut words: Vec<String> = ["--tree", wish.tree.name, "--init", "systemd"]
        .map(str::to_owned)
        .to_vec();
    words.extend(["--processors", "3", "--memory", "2048", "--limit", "900"].map(str::to_owned));
    let mut files = vec![(std::env::current_exe()?, PROGRAM.to_owned())];
    for name in ["coracle", "coracled"] {
        files.push((dist.join(name), format!("/vm/dist/{name}")));
    }
    for (from, to) in files {
        words.extend(["--with".to_owned(), format!("{}={to}", from.display())]);
    }
    let run = command(wish, check, PROGRAM, "/vm/dist");
    let script = format!("mkdir -p {FOLDER} && {{ {run} }} >&2 && cat {FOLDER}/report.json");
    words.extend(["--", "sh", "-c", &script].map(str::to_owned));
    let mut told = Vec::new();
    let outcome = vm::run_into(&words, &mut told);
    let told = String::from_utf8_lossy(&told);
    // Before it is what the check said on its standard error, which goes the same way.
    let start = told.rfind("{\"headings\"").unwrap_or(told.len());
    let (said, report) = told.split_at(start);
    print!("{said}");
    outcome?;
    serde_json::from_str(report).context("the check left no report")
}
