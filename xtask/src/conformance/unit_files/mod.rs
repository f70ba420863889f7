//! Links: the same verbs on two copies of the same tree, by `systemctl --root` and by `coracle --root`.

mod cases;
mod generated;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use self::cases::CASES;
use super::report::{Report, Row, Verdict};
use super::systemd::{Said, said};

/// How many trees are made up.
const GENERATED: usize = 600;

/// A tree, and what is done to it.
struct Case {
    name: String,
    /// `PATH: TEXT`, with `|` for line ends, or `PATH -> TARGET`.
    tree: Vec<String>,
    /// Verbs with their words.
    verbs: Vec<String>,
    /// Units whose state is asked at the end.
    asked: Vec<String>,
}

/// A side: how it is asked.
struct Side {
    program: std::path::PathBuf,
    before: &'static [&'static str],
}

pub(super) fn run() -> Result<Report> {
    let dist = std::env::var_os(testkit::DIST).context("there are no files to compare")?;
    let theirs = Side {
        program: "systemctl".into(),
        before: &[],
    };
    let ours = Side {
        program: Path::new(&dist).join("coracle"),
        before: &[],
    };
    let written = CASES.iter().map(Case::read);
    let mut cases: Vec<Case> = written.collect::<Result<_>>()?;
    cases.extend(generated::cases(GENERATED));
    let mut rows = Vec::new();
    for case in &cases {
        let outcomes = (case.outcome(&theirs)?, case.outcome(&ours)?);
        let mut row = Row::compared(case.name.clone(), outcomes.0, outcomes.1);
        if row.verdict != Verdict::Pass {
            row.why = case.tree.join("; ");
        }
        rows.push(row);
    }
    Ok(Report {
        headings: ["case", "systemd", "Coracle"].map(str::to_owned).to_vec(),
        rows,
        is_shown_whole: false,
        left_out: vec![
            "what is listed as the preset of instances: systemd's list, unlike its verbs, does not know of rules that name instances".to_owned(),
            "preset files with a rule that has no pattern: systemd ends with an assertion".to_owned(),
        ],
    })
}

impl Case {
    /// A case as it is written: its name, then lines of the tree, then verbs after `$`, then units after `?`.
    fn read(text: &&str) -> Result<Case> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let mut case = Case {
            name: lines.next().context("a case has a name")?.to_owned(),
            tree: Vec::new(),
            verbs: Vec::new(),
            asked: Vec::new(),
        };
        for line in lines {
            if let Some(verb) = line.strip_prefix("$ ") {
                case.verbs.push(verb.to_owned());
            } else if let Some(units) = line.strip_prefix("? ") {
                case.asked
                    .extend(units.split_whitespace().map(str::to_owned));
            } else {
                case.tree.push(line.to_owned());
            }
        }
        Ok(case)
    }

    fn outcome(&self, side: &Side) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        for directory in ["etc/systemd/system", "usr/lib/systemd/system", "run"] {
            fs::create_dir_all(root.join(directory))?;
        }
        for line in &self.tree {
            plant(root, line).with_context(|| format!("{}: {line}", self.name))?;
        }
        let mut told = Vec::new();
        for verb in &self.verbs {
            let words: Vec<&str> = verb.split_whitespace().collect();
            let status = side.ask(root, &words)?.status;
            told.push(format!("{verb}: {status}"));
        }
        told.extend(picture(root, root)?);
        for unit in &self.asked {
            let said = side.ask(root, &["is-enabled", unit])?;
            told.push(format!("{unit}: {} {}", said.stdout.trim(), said.status));
        }
        let listed = side.ask(root, &["list-unit-files", "--quiet"])?;
        let lines = listed.stdout.lines();
        let mut listed: Vec<String> = lines.filter_map(listed_line).collect();
        listed.sort();
        told.extend(listed);
        Ok(told.join("\n"))
    }
}

/// A line of a listing, without what makes it a table.
fn listed_line(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [unit, state, preset] = words.as_slice() else {
        return None;
    };
    let is_instance = unit.contains('@') && !unit.contains("@.");
    let preset = if is_instance { "" } else { preset };
    (*unit != "UNIT").then(|| format!("{unit} {state} {preset}"))
}

impl Side {
    fn ask(&self, root: &Path, words: &[&str]) -> Result<Said> {
        let mut command = Command::new(&self.program);
        command.args(self.before).args(words);
        said(command.arg("--root").arg(root))
    }
}

fn plant(root: &Path, line: &str) -> Result<()> {
    let (path, text) = line
        .split_once(": ")
        .or_else(|| line.split_once(" -> "))
        .or_else(|| line.strip_suffix(':').map(|path| (path, "")))
        .context("neither a file nor a link")?;
    let at = root.join(path);
    fs::create_dir_all(at.parent().context("a path has a parent")?)?;
    if line.contains(" -> ") {
        return Ok(symlink(text, at)?);
    }
    let lines = text.replace('|', "\n");
    let end = if lines.is_empty() { "" } else { "\n" };
    Ok(fs::write(at, lines + end)?)
}

/// Every file and link of a tree. Directories that are empty count for nothing: systemd makes some before it knows that it needs them.
fn picture(root: &Path, directory: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let shown = path.strip_prefix(root)?.display().to_string();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(picture(root, &path)?);
        } else if kind.is_symlink() {
            found.push(format!("{shown} -> {}", fs::read_link(&path)?.display()));
        } else {
            found.push(shown);
        }
    }
    Ok(found)
}
