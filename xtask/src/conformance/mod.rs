//! `cargo xtask conformance`: the same cases for Coracle and for a real systemd, in a container that it has booted.
//!
//! A case on which the two differ is a mistake of ours, unless `known.rs` says why it is so.

mod execute;
mod known;
mod ours;
mod packages;
mod page;
mod parsers;
mod report;
mod systemd;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) use self::page::PAGE;
use self::report::Report;
use crate::peers::{Container, Tree};
use crate::{dist, run};

/// A check's name, what it puts into the folder beforehand, and its work, which runs in the container.
type Check = (
    &'static str,
    fn(&Path) -> Result<()>,
    fn() -> Result<Report>,
);

const CHECKS: &[Check] = &[
    ("test-execute", |_| Ok(()), execute::run),
    ("parsers", |_| Ok(()), parsers::run),
    ("packages", packages::prepare, packages::run),
];

/// The tree whose systemd is the reference.
const REFERENCE: &str = "sid";

/// What a check needs, and where it leaves its report, is in this directory there.
const FOLDER: &str = "/conformance";

/// Where systemd looks for units that are gone at its end; an instance of ours takes them from there, too.
const UNITS: &str = "/run/systemd/system";

/// Runs the named checks, or all, and writes what they found into the page.
pub(crate) fn run(names: &[String]) -> Result<()> {
    run::need_root("comparing with systemd")?;
    let dist = files()?;
    let mut unexplained = 0;
    for (name, prepare, _) in chosen(names)? {
        let tree = Tree::one(REFERENCE)?;
        let report = in_container(tree, (name, prepare), &dist)?.explained(name);
        println!("{name}: {}", report.counts());
        for row in report.unexplained() {
            println!("{name}: {}", row.line());
            unexplained += 1;
        }
        page::write(name, tree, &report)?;
    }
    if unexplained > 0 {
        bail!(
            "{unexplained} cases differ from systemd: mend them, or say why in xtask/src/conformance/known.rs"
        );
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<Check>> {
    if names.is_empty() {
        return Ok(CHECKS.to_vec());
    }
    let check = |name: &String| {
        let known: Vec<&str> = CHECKS.iter().map(|(check, ..)| *check).collect();
        let found = CHECKS.iter().find(|(check, ..)| check == name).copied();
        found.with_context(|| format!("there is no check {name:?}; there are {}", known.join(", ")))
    };
    names.iter().map(check).collect()
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

/// Runs one check where this process is, in a peer's container, and leaves its report for who started that.
pub(crate) fn inside(name: &str) -> Result<()> {
    let (.., work) = CHECKS
        .iter()
        .find(|(check, ..)| *check == name)
        .with_context(|| format!("there is no check {name:?}"))?;
    let report = serde_json::to_string(&work()?)?;
    Ok(fs::write(report_in(Path::new(FOLDER)), report)?)
}

fn report_in(folder: &Path) -> PathBuf {
    folder.join("report.json")
}

/// Runs one check in a tree's container: this program is static, and so goes along.
fn in_container(
    tree: Tree,
    (name, prepare): (&str, fn(&Path) -> Result<()>),
    dist: &Path,
) -> Result<Report> {
    let program = std::env::current_exe()?;
    let programs = program.parent().context("this program is in no folder")?;
    let file = program.file_name().context("this program has no name")?;
    let folder = tempfile::tempdir()?;
    prepare(folder.path())?;
    let finished = Container::of(tree)?
        .with_own_network()
        .bind(programs, "/xtask")
        .bind(dist, "/dist")
        .bind(folder.path(), FOLDER)
        .run(&format!(
            "{}=/dist exec '/xtask/{}' conformance-inside {name}\n",
            testkit::DIST,
            file.display()
        ))?;
    print!("{}", finished.output);
    if finished.status != 0 {
        bail!("the check ended with status {}", finished.status);
    }
    let report = fs::read_to_string(report_in(folder.path()))?;
    serde_json::from_str(&report).context("the check left no report")
}
