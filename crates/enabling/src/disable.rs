//! disable, reenable, unmask: the verbs that take links away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use model::UnitName;

use crate::change::{Change, Notice, Problem};
use crate::draft::Look;
use crate::find::{Lost, Mode, Pool, Search, unreadable};
use crate::{Options, Work};

/// Names, and paths, whose links go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marked(BTreeSet<String>);

impl Marked {
    /// Says whether it was not marked yet.
    pub(crate) fn add(&mut self, name: &str) -> bool {
        self.0.insert(name.to_owned())
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

impl Work<'_> {
    /// Takes all links to units away, whoever made them.
    ///
    /// # Errors
    /// When a name is none, or leads nowhere in a way that says nothing of its links.
    pub fn disable(&mut self, names: &[String], options: Options) -> Result<(), Problem> {
        let mut pool = Pool::default();
        for name in names {
            let known = UnitName::new(name).map_err(|_| Problem::BadName(name.clone()))?;
            let at = pool.add(known, None, false);
            // Of a unit that is gone, links may be left.
            let end = match self.traverse(&mut pool, at, Search::LOAD) {
                Ok(end) => end,
                Err(Lost::Missing) => continue,
                Err(lost) => return Err(lost.problem(name)),
            };
            let section = pool.0.get(end).map(|info| &info.section);
            self.outcome.has_rules |=
                section.is_some_and(|section| section.has_rules() || section.has_also());
        }
        let marked = self.mark(&mut pool)?;
        self.remove_marked(marked, options.runtime)
    }

    /// Disables units, then enables them: only what their files say now is left.
    ///
    /// # Errors
    /// Those of both.
    pub fn reenable(&mut self, names: &[String], options: Options) -> Result<(), Problem> {
        let plain: Vec<String> = names
            .iter()
            .filter_map(|name| name.rsplit('/').next())
            .map(str::to_owned)
            .collect();
        self.disable(&plain, options)?;
        self.enable(names, options)
    }

    /// Takes masks away, and links to what was masked.
    ///
    /// # Errors
    /// When a name is none; then nothing is done.
    pub fn unmask(&mut self, names: &[String], options: Options) -> Result<(), Problem> {
        let mut masks = Vec::new();
        for name in names {
            UnitName::new(name).map_err(|_| Problem::BadName(name.clone()))?;
            let at = self.places.target(options.runtime).join(name);
            let followed = self.draft.followed(&at);
            if followed.map_err(|error| unreadable(&at, error))? == Look::Empty {
                masks.push(at);
            }
        }
        let mut marked = Marked::default();
        for at in masks {
            self.unlink(&at);
            if self.places.follows_paths {
                marked.add(&at.to_string_lossy());
            }
        }
        self.remove_marked(marked, options.runtime)
    }

    /// What goes when the units of a pool are disabled, with those that come along.
    pub(crate) fn mark(&mut self, pool: &mut Pool) -> Result<Marked, Problem> {
        let mut marked = Marked::default();
        while let Some(at) = pool.next() {
            let found = self.traverse(pool, at, Search::LOAD);
            let Some(info) = pool.0.get(at) else { break };
            match found {
                Err(Lost::Dangling) => self.outcome.notices.push(Notice::Dangling(info.place())),
                Err(Lost::Missing) if info.is_auxiliary => {}
                Err(Lost::Missing) => {
                    let missing = Problem::NoSuchUnit(info.name.to_string());
                    self.outcome.problems.push(missing);
                }
                Err(lost) => return Err(lost.problem(info.name.as_str())),
                Ok(_) if info.mode == Some(Mode::Masked) => {
                    self.outcome.notices.push(Notice::Masked(info.place()));
                    continue;
                }
                Ok(_) if info.mode != Some(Mode::Regular) => continue,
                Ok(_) => {}
            }
            marked.add(info.name.as_str());
        }
        Ok(marked)
    }

    /// Takes away the links that are marked, or lead to what is; again as long as that marks more.
    pub(crate) fn remove_marked(
        &mut self,
        mut marked: Marked,
        runtime: bool,
    ) -> Result<(), Problem> {
        if marked.0.is_empty() {
            return Ok(());
        }
        let directory = self.places.target(runtime).to_owned();
        while self.sweep(&directory, &mut marked)? {}
        Ok(())
    }

    fn sweep(&mut self, directory: &Path, marked: &mut Marked) -> Result<bool, Problem> {
        let entries = self.draft.entries(directory);
        let entries = entries.map_err(|error| unreadable(directory, error))?;
        let mut again = false;
        for named in entries {
            let at = directory.join(&named.name);
            if !named.is_link {
                again |= self.sweep(&at, marked)?;
            } else if UnitName::new(&named.name).is_ok() && self.is_marked(&at, marked) {
                self.unlink(&at);
                again |= marked.add(&at.to_string_lossy());
            }
        }
        Ok(again)
    }

    /// A link that leads in a circle leads to nothing that is marked.
    fn is_marked(&self, at: &Path, marked: &Marked) -> bool {
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let leads = || {
            let end: Option<PathBuf> = self.draft.resolve(at).ok();
            end.is_some_and(|end| marked.has(&end.to_string_lossy()) || marked.has(&name(&end)))
        };
        matches!(self.draft.link(at), Ok(Some(_))) && (marked.has(&name(at)) || leads())
    }

    pub(crate) fn unlink(&mut self, at: &Path) {
        self.draft.take(at);
        self.outcome
            .changes
            .push(Change::Unlink { at: at.to_owned() });
    }
}
