//! Following: what is written from now on, as it is written.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::Error;
use super::cursor::{Damage, Found, Reading, Way};
use super::filter::Filter;
use crate::format::Entry;
use crate::format::file::{
    NAMESPACES_DIRECTORY, Namespaces, PORTABLES_DIRECTORY, directories, list,
};

/// Room for what inotify tells at once; what it tells is not looked at, only that it does.
const EVENTS_BYTES: usize = 4096;

/// Open files of all directories and how far each was read.
pub(super) struct Follower {
    root: PathBuf,
    namespaces: Namespaces,
    events: OwnedFd,
    files: BTreeMap<PathBuf, Option<Reading>>,
    shown: u64,
    damage: Damage,
}

impl Follower {
    /// Watches before it looks, so that nothing is written unseen between.
    pub(super) fn begin(
        (root, namespaces): (&Path, &Namespaces),
        after_seqnum: Option<u64>,
        damage: &Damage,
    ) -> Result<Follower, Error> {
        let events = inotify::init(CreateFlags::CLOEXEC).map_err(Error::of(root))?;
        let files = BTreeMap::new();
        let mut follower = Follower {
            root: root.to_owned(),
            namespaces: namespaces.clone(),
            events,
            files,
            shown: after_seqnum.unwrap_or(0),
            damage: Rc::clone(damage),
        };
        follower.find_files()?;
        if after_seqnum.is_none() {
            follower
                .files
                .values_mut()
                .flatten()
                .try_for_each(Reading::skip_to_end)?;
        }
        Ok(follower)
    }

    pub(super) fn go_on(
        mut self,
        filter: &Filter,
        each: &mut dyn FnMut(&Entry) -> bool,
    ) -> Result<(), Error> {
        loop {
            let gone = self.find_files()?;
            for found in self.news()? {
                let shown = self.shown;
                let mut entries = filter.entries(&found).filter(|entry| entry.seqnum > shown);
                if !entries.all(|entry| each(&entry)) {
                    return Ok(());
                }
                self.shown = shown.max(found.batch.next_seqnum().saturating_sub(1));
            }
            // A file that was removed is let go when what it had is shown, not before.
            self.files.retain(|path, _| !gone.contains(path));
            self.wait()?;
        }
    }

    /// Watches every directory and opens the files that are new; a watch that is there already is the same watch. Gives the files
    /// that are open and no longer there.
    fn find_files(&mut self) -> Result<Vec<PathBuf>, Error> {
        let mut present = Vec::new();
        self.watch_or_above(&self.root)?;
        self.watch(&self.root.join(PORTABLES_DIRECTORY))?;
        self.watch(&self.root.join(NAMESPACES_DIRECTORY))?;
        for directory in directories(&self.root, &self.namespaces).map_err(Error::of(&self.root))? {
            self.watch(&directory)?;
            present.extend(
                list(&directory)
                    .map_err(Error::of(&directory))?
                    .into_iter()
                    .map(|file| file.path),
            );
        }
        let gone = self
            .files
            .keys()
            .filter(|path| !present.contains(path))
            .cloned()
            .collect();
        for path in present {
            if let std::collections::btree_map::Entry::Vacant(place) = self.files.entry(path) {
                let reading = Reading::open(place.key(), Way::Forwards, &self.damage)?;
                place.insert(reading);
            }
        }
        Ok(gone)
    }

    /// Watches a directory; while it is not there, what will have it.
    fn watch_or_above(&self, directory: &Path) -> Result<(), Error> {
        if self.watch(directory)? {
            return Ok(());
        }
        if let Some(above) = directory.parent() {
            self.watch_or_above(above)?;
        }
        // It may have come just before the one above was watched.
        self.watch(directory).map(drop)
    }

    /// False where there is no such directory.
    fn watch(&self, directory: &Path) -> Result<bool, Error> {
        let changes = WatchFlags::MODIFY
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.events, directory, changes) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(Error::of(directory)(error)),
        }
    }

    /// What the files have since the last look, in order.
    fn news(&mut self) -> Result<Vec<Found>, Error> {
        let mut news = Vec::new();
        for reading in self.files.values_mut().flatten() {
            while let Some(found) = reading.next(Way::Forwards)? {
                news.push(found);
            }
        }
        news.sort_by_key(|found| found.batch.first_seqnum);
        Ok(news)
    }

    fn wait(&self) -> Result<(), Error> {
        let mut buffer = [MaybeUninit::uninit(); EVENTS_BYTES];
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        match reader.next() {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::of(&self.root)(error)),
        }
    }
}
