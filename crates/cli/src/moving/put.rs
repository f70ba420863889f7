//! Puts what an archive has into the directories of a portable: written beside them first, exchanged when all is whole.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use delivery::moving::{Exchange, Former};
use delivery::portables::{Held, Portable};
use image::parcel::{Owners, plant};
use kernel::walk::Place;

use super::arrived::Arrived;
use super::manifest::DropIn;
use super::places;
use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::portable::{purge, records};

/// One directory that is whole, beside its place.
struct Ready {
    public: String,
    exchange: Exchange,
    /// Nothing was there, or a start of the portable made it: then it is the portable's.
    is_own: bool,
}

/// Directories that are whole and not in their places yet. Those that never get there go again.
pub(crate) struct Planted<'c> {
    context: &'c Context,
    name: String,
    ready: Vec<Ready>,
    stage: Stage,
}

/// What whoever comes next is told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing yet.
    Silent,
    /// What is written, so that it is removed.
    Written,
    /// That the directories are exchanged.
    Exchanging,
    /// That the whole portable is replaced: whoever turns back does so with all of it.
    Replacing,
}

impl Planted<'_> {
    /// Writes the trees of an archive beside the places that they will have.
    ///
    /// # Errors
    /// When one is of no directory that a portable may have, or can't be written.
    pub(crate) fn write<'c>(
        context: &'c Context,
        arrived: &Arrived,
        known: Option<&Portable>,
        is_dynamic: bool,
        is_roots: bool,
    ) -> Result<Planted<'c>> {
        let name = arrived.manifest.name.clone();
        let mut planted = Planted {
            context,
            name,
            ready: Vec::new(),
            stage: Stage::Silent,
        };
        for directory in &arrived.manifest.directories {
            let (public, tree) = (directory.path.as_str(), directory.tree);
            let real = places::real(public, is_dynamic).ok_or_else(|| {
                hint(
                    format!("the archive has {public:?}, which is no directory of services"),
                    "nothing was changed; ask whoever made it",
                )
            })?;
            planted.plan(tree, public, &real, known)?;
        }
        if known.is_some() {
            records(context).begin_writing(&planted.name, &planted.exchanges())?;
            planted.stage = Stage::Written;
        }
        for (number, directory) in arrived.manifest.directories.iter().enumerate() {
            planted.plant(arrived, number, directory.tree, is_roots)?;
        }
        for one in &planted.ready {
            delivery::moving::sync(&one.exchange.beside)
                .with_context(|| format!("cannot write {}", one.public))?;
        }
        Ok(planted)
    }

    /// Where a directory is to be, and is written before that.
    fn plan(
        &mut self,
        tree: u32,
        public: &str,
        real: &Path,
        known: Option<&Portable>,
    ) -> Result<()> {
        let base = places::base(real).context("it has no home")?;
        let beside = base.join(format!(".coracle-{}-{tree}", self.name));
        let was_there = real.symlink_metadata().is_ok();
        let made = |known| delivery::purge::is_made(real, known, &purge::places(self.context));
        self.ready.push(Ready {
            public: public.to_owned(),
            exchange: Exchange {
                path: real.to_owned(),
                beside,
            },
            is_own: !was_there || known.is_some_and(made),
        });
        Ok(())
    }

    fn plant(&self, arrived: &Arrived, number: usize, tree: u32, is_roots: bool) -> Result<()> {
        let ready = self.ready.get(number).context("it was not planned")?;
        let (public, Exchange { path, beside }) = (&ready.public, &ready.exchange);
        let entries = arrived.contents.trees.get(&tree);
        let entries = entries.with_context(|| format!("the archive lacks what was in {public}"))?;
        let owners = owners(path, public, is_roots);
        let base = beside.parent().context("it has no home")?;
        let is_private = base.ends_with("private");
        make(base, if is_private { 0o700 } else { 0o755 })?;
        // What a try left that was cut.
        delivery::purge::remove(beside)?;
        make(beside, 0o700)?;
        let directory = places::open(beside)?.context("it is gone")?;
        plant(&arrived.pool, entries, directory.as_fd(), owners).or_hint(
            || format!("cannot write what is to be in {public}"),
            "nothing was changed; see that there is room for it beside what is there, and say it again",
        )
    }

    /// Refuses directories that are not the portable's here.
    ///
    /// # Errors
    /// When one is not.
    pub(crate) fn check_own(&self, portable: &Portable) -> Result<()> {
        let is_own = |one: &&Ready| portable.directories.contains(&one.public);
        match self.ready.iter().find(|one| !is_own(one)) {
            None => Ok(()),
            Some(one) => Err(hint(
                format!("{} is not a directory of {} here", one.public, self.name),
                "it has none of that name any more, or the host had one before it: move that away first",
            )),
        }
    }

    /// Puts all of them into their places. Until [`Planted::settle`] what was there can come back.
    ///
    /// # Errors
    /// When one can't be moved; then all that was there is there.
    pub(crate) fn exchange(&mut self) -> Result<()> {
        let records = records(self.context);
        for one in &self.ready {
            self.make_way(&one.exchange.path)?;
        }
        let is_replacing = self.stage == Stage::Replacing;
        let exchanged = match is_replacing {
            true => records.go_forth(&self.name),
            false => {
                self.stage = Stage::Exchanging;
                records.exchange(&self.name, &self.exchanges())
            }
        };
        if let Err(error) = exchanged {
            if !is_replacing {
                records.turn_back(&self.name)?;
                records.end_exchange(&self.name)?;
            }
            return Err(error).or_hint(
                || format!("what {} has stored stays as it was", self.name),
                "a directory that is a mount point can't be replaced: unmount it, or copy into it by hand",
            );
        }
        for one in self.ready.iter().filter(|one| one.is_own) {
            self.mark(&one.exchange.path)?;
        }
        Ok(())
    }

    /// Notes all that is replaced of a portable, so that it can come back; what is written here goes with that note from now on.
    ///
    /// # Errors
    /// When it can't be noted.
    pub(crate) fn begin_replacement(&mut self, held: &Held, former: Former) -> Result<()> {
        let places = purge::places(self.context);
        let paths = self.ready.iter().map(|one| &one.exchange.path);
        let made = paths.filter(|path| delivery::purge::is_made(path, &former.record, &places));
        let made = made.cloned().collect();
        held.begin_replacement(&self.exchanges(), Former { made, ..former })?;
        self.stage = Stage::Replacing;
        Ok(())
    }

    fn exchanges(&self) -> Vec<Exchange> {
        self.ready.iter().map(|one| one.exchange.clone()).collect()
    }

    /// Puts back what was there.
    ///
    /// # Errors
    /// When it can't be moved.
    pub(crate) fn turn_back(&self) -> Result<()> {
        let records = records(self.context);
        records.turn_back(&self.name)?;
        for one in self.ready.iter().filter(|one| one.is_own) {
            if one.exchange.path.symlink_metadata().is_ok() {
                self.mark(&one.exchange.path)?;
            }
        }
        records.end_exchange(&self.name)?;
        Ok(())
    }

    /// What was there goes.
    ///
    /// # Errors
    /// When it can't be removed.
    pub(crate) fn settle(self) -> Result<()> {
        let records = records(self.context);
        records.approve(&self.name)?;
        records.end_exchange(&self.name)?;
        Ok(())
    }

    /// Makes the directories on the way to a place, as a start would.
    fn make_way(&self, path: &Path) -> Result<()> {
        let marks = marks(self.context, &self.name)?;
        let text = CString::new(path.as_os_str().as_bytes())?;
        let mode = |name: &[u8]| Some(if name == b"private" { 0o700 } else { 0o755 });
        Place::find_making(&text, mode, |parent, name, depth| {
            kernel::mark::set(&marks, &text, depth, (parent, name))
        })
        .with_context(|| format!("cannot make the way to {}", path.display()))?;
        Ok(())
    }

    fn mark(&self, path: &Path) -> Result<()> {
        mark(self.context, &self.name, path)
    }
}

impl Drop for Planted<'_> {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Silent | Stage::Written) {
            return;
        }
        for one in &self.ready {
            // The next try removes it.
            delivery::purge::remove(&one.exchange.beside).ok();
        }
        if self.stage == Stage::Written {
            // And so does whoever comes next, by the note.
            records(self.context).end_exchange(&self.name).ok();
        }
    }
}

/// Notes that a directory is the portable's, so that a purge takes it along.
///
/// # Errors
/// When it can't be noted.
pub(crate) fn mark(context: &Context, name: &str, path: &Path) -> Result<()> {
    let marks = marks(context, name)?;
    let text = CString::new(path.as_os_str().as_bytes())?;
    let place = places::place(path)?;
    kernel::mark::set(&marks, &text, usize::MAX, (&place.parent, place.name()))
        .with_context(|| format!("cannot note that {} is new", path.display()))
}

fn marks(context: &Context, name: &str) -> Result<CString> {
    let own = &context.directories.state;
    let marks = own.join("portables").join(name).join("made");
    Ok(CString::new(marks.as_os_str().as_bytes())?)
}

/// Where a drop-in is below a directory of units.
pub(crate) fn drop_in_path(home: &Path, drop_in: &DropIn) -> PathBuf {
    home.join(format!("{}.d", drop_in.unit)).join(&drop_in.name)
}

/// Who has what is there now has what takes its place. Where nothing is there, a start of the service gives root's directory to its user, with
/// all that is in it. Configuration is root's.
fn owners(real: &Path, public: &str, is_roots: bool) -> Owners {
    if places::is_configuration(public) {
        return Owners::One(0, 0);
    }
    if is_roots {
        return Owners::AsListed;
    }
    match real.symlink_metadata() {
        Ok(found) => Owners::One(found.uid(), found.gid()),
        Err(_) => Owners::One(0, 0),
    }
}

fn make(path: &Path, mode: u32) -> Result<()> {
    let made = std::fs::DirBuilder::new().mode(mode).create(path);
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make {}", PathBuf::from(path).display()))
        }
        _ => Ok(()),
    }
}
