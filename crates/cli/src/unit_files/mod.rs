//! Unit files and the links to them: of an instance, or of a system below a directory.

mod rooted;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use enabling::{Change, Notice, Outcome, Places, Problem, Work};
use load::built_in::{self, UnitTree};
use load::{HostTree, SearchPath, SpecifierContext};
use serde::Serialize;
use wire::Done;
use wire::methods::{Describe, Reload};

pub(crate) use rooted::Rooted;

use crate::context::{Context, full_unit_name};
use crate::failure::hint;
use crate::terminal::{complain, plain, say_json};

/// Where unit files are.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct Root {
    /// Work on the system below this directory, in the directories that systemd has there; no link leads out of it
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

impl Root {
    pub(crate) fn is_given(&self) -> bool {
        self.root.is_some()
    }
}

/// Options of the verbs that change links.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct ChangeOptions {
    #[command(flatten)]
    pub(crate) root: Root,
    /// Until the next reboot only
    #[arg(long)]
    pub(crate) runtime: bool,
    /// Replace links that lead elsewhere
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Don't make the manager read unit files again
    #[arg(long)]
    pub(crate) no_reload: bool,
}

impl ChangeOptions {
    pub(crate) fn options(&self) -> enabling::Options {
        enabling::Options {
            runtime: self.runtime,
            force: self.force,
        }
    }
}

/// The unit files that a verb works on.
pub(crate) struct UnitFiles {
    pub(crate) places: Places,
    specifiers: SpecifierContext,
    tree: UnitTree<Rooted>,
    is_offline: bool,
}

/// A change, for programs.
#[derive(Serialize)]
struct ChangeRow {
    change: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

impl UnitFiles {
    /// Those below `--root`, or those of the instance.
    pub(crate) fn open(context: &Context, root: &Root) -> Result<UnitFiles> {
        let host = SpecifierContext::of_host(&HostTree);
        let Some(root) = &root.root else {
            return Ok(UnitFiles {
                places: own_places(context)?,
                specifiers: host,
                tree: UnitTree(Rooted::open(Path::new("/"))?),
                is_offline: false,
            });
        };
        let tree = Rooted::open(&std::path::absolute(root)?)?;
        let there = SpecifierContext::of_host(&tree);
        Ok(UnitFiles {
            places: Places::reference(),
            // The running host's kernel and name, and what the files of the other system say.
            specifiers: SpecifierContext {
                machine_id: there.machine_id,
                os: there.os,
                ..host
            },
            tree: UnitTree(tree),
            is_offline: true,
        })
    }

    pub(crate) fn work(&self) -> Work<'_> {
        Work::new(&self.places, &self.specifiers, &self.tree)
    }

    pub(crate) fn rooted(&self) -> &Rooted {
        &self.tree.0
    }

    pub(crate) fn tree(&self) -> &UnitTree<Rooted> {
        &self.tree
    }

    /// Makes the changes, tells them, and says whether all went well.
    pub(crate) fn apply(&self, context: &Context, outcome: Outcome) -> Result<bool> {
        let kept = [self.places.config.clone(), self.places.runtime.clone()];
        let (made, applied) = self.rooted().apply(&outcome.changes, &kept);
        let made = outcome.changes.get(..made).unwrap_or_default();
        if context.globals.json {
            let rows: Vec<ChangeRow> = made.iter().map(row).collect();
            say_json(&rows)?;
        } else {
            for change in made {
                context.narrate(&plain(&self.line(change)));
            }
        }
        for notice in &outcome.notices {
            if let Some(line) = self.notice(notice) {
                context.narrate(&plain(&line));
            }
        }
        // What was made before counts, and the manager is to know of it.
        let is_well = outcome.problems.is_empty() && applied.is_ok();
        if let Err(error) = applied {
            crate::failure::tell(&error);
        }
        for problem in outcome.problems {
            crate::failure::tell(&problem.into());
        }
        Ok(is_well)
    }

    fn line(&self, change: &Change) -> String {
        let shown = |path: &Path| self.rooted().shown(path).display().to_string();
        match change {
            Change::Link { at, target } => {
                format!("linked {} → {}", shown(at), target.display())
            }
            Change::Unlink { at } | Change::RemoveTree { at } => format!("removed {}", shown(at)),
        }
    }

    fn notice(&self, notice: &Notice) -> Option<String> {
        let shown = |path: &Path| self.rooted().shown(path).display().to_string();
        match notice {
            Notice::NobodyWants { target, unit } => Some(format!(
                "{target} is not there; when it comes, it starts {}",
                shown(unit)
            )),
            Notice::Masked(path) => Some(format!("{} is masked: left as it is", shown(path))),
            Notice::Dangling(path) => Some(format!("{} leads to a file that is gone", shown(path))),
            Notice::NoAuxiliary(name) => Some(format!("{name}, which belongs to it, is not there")),
        }
    }

    /// What a running manager knows is what the files now say.
    pub(crate) fn reload(&self, context: &Context) -> Result<()> {
        if self.is_offline {
            return Ok(());
        }
        if let Some(mut client) = context.connect_if_running()? {
            for diagnostic in client.call(Reload, &Done {})?.diagnostics {
                complain(&crate::commands::daemon::line(&diagnostic, ""));
            }
        }
        Ok(())
    }

    /// Whether the files are of a system that does not run here.
    pub(crate) fn is_offline(&self) -> bool {
        self.is_offline
    }
}

/// The directories of the instance: those that its manager says it reads, or would read.
fn own_places(context: &Context) -> Result<Places> {
    let directories = &context.directories;
    let path = match context.connect_if_running()? {
        Some(mut client) => {
            let server = client.call(Describe, &Done {})?;
            SearchPath::new(server.unit_path.into_iter().map(PathBuf::from))
        }
        None => {
            let own = SearchPath::own(
                &directories.config,
                &directories.runtime,
                &directories.state,
            );
            let given = std::env::split_paths(&directories.unit_path);
            SearchPath::new(given.filter(|path| path.is_absolute()))
                .followed_by(own.directories().iter().cloned())
                .followed_by([PathBuf::from(built_in::DIRECTORY)])
        }
    };
    Ok(Places::own(path, &directories.config, &directories.runtime))
}

fn row(change: &Change) -> ChangeRow {
    let text = |path: &Path| path.display().to_string();
    match change {
        Change::Link { at, target } => ChangeRow {
            change: "link",
            path: text(at),
            target: Some(text(target)),
        },
        Change::Unlink { at } | Change::RemoveTree { at } => ChangeRow {
            change: "remove",
            path: text(at),
            target: None,
        },
    }
}

/// The unit that a user means; a path becomes one from the root on.
pub(crate) fn name_or_path(text: &str) -> Result<String> {
    if !text.contains('/') {
        return Ok(full_unit_name(text.to_owned()));
    }
    Ok(std::path::absolute(text)?.display().to_string())
}

/// Names of units that a user means.
pub(crate) fn names(texts: &[String]) -> Vec<String> {
    texts
        .iter()
        .map(|text| full_unit_name(text.clone()))
        .collect()
}

/// A problem that ends the verb, with what leads on.
pub(crate) fn ending(problem: Problem) -> anyhow::Error {
    let next = match &problem {
        Problem::NoSuchUnit(_) => "`coracle list-unit-files` shows those that are there",
        Problem::Masked(_) => "`coracle unmask` takes the mask away",
        Problem::Loop(_) => "name the unit that the link leads to, or remove the link",
        Problem::Exists { .. } => "remove it, or replace it with --force",
        _ => return problem.into(),
    };
    hint(problem.to_string(), next)
}
