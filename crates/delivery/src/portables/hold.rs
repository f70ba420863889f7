//! One portable held for a change: from reading its record to writing or removing it, no other command changes it.
//!
//! The portable's own directory is locked, so that the lock leaves no file behind. It is taken before the lock on the state, never after.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::{Error, Extension, Portable, Portables};
use crate::digest::Digest;
use crate::files::{
    FileError, entries, failed, lock, make_directory, remove_if_empty, remove_if_there,
    remove_tree, replace, replace_link, sync_parent,
};

/// A portable that nobody else changes until this is dropped. Whether it is known yet, [`Held::get`] says.
#[derive(Debug)]
pub struct Held {
    records: Portables,
    name: String,
    /// Its directory.
    lock: File,
    /// While directories are claimed, nobody else claims any.
    claiming: Option<File>,
}

impl Portables {
    /// Holds a portable for a change; waits for another command that does.
    ///
    /// # Errors
    /// When the name cannot be a portable's, or its directory can't be made or locked.
    pub fn hold(&self, name: &str) -> Result<Held, Error> {
        let file = self.file(name)?;
        let directory = file.parent().unwrap_or(&self.state);
        loop {
            let opened = self.open(directory)?;
            flock(&opened, FlockOperation::LockExclusive)
                .map_err(|errno| failed("lock", directory)(errno.into()))?;
            // Who held it before may have removed it: then the lock is on nothing.
            if is_still_there(&opened, directory)? {
                return Ok(Held {
                    records: self.clone(),
                    name: name.to_owned(),
                    lock: opened,
                    claiming: None,
                });
            }
        }
    }

    /// Nobody removes a directory between its making and its opening.
    fn open(&self, directory: &Path) -> Result<File, FileError> {
        let _lock = lock(&self.state)?;
        if !directory.exists() {
            make_directory(directory)?;
            // What is synced in it later is found under its name only then.
            sync_parent(directory)?;
        }
        File::open(directory).map_err(failed("open", directory))
    }
}

pub(super) fn is_still_there(opened: &File, directory: &Path) -> Result<bool, FileError> {
    let unreadable = failed("look at", directory);
    let ours = match opened.metadata() {
        Ok(ours) => ours,
        Err(error) => return Err(unreadable(error)),
    };
    match directory.symlink_metadata() {
        Ok(found) => Ok((found.dev(), found.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(unreadable(error)),
    }
}

impl Held {
    pub(crate) fn records(&self) -> &Portables {
        &self.records
    }

    /// The record as it is, and stays.
    ///
    /// # Errors
    /// As [`Portables::get`].
    pub fn get(&self) -> Result<Option<Portable>, Error> {
        self.records.get(&self.name)
    }

    /// Checks that what was decided from a record read before it was held still stands.
    ///
    /// # Errors
    /// [`Error::Changed`] when another command wrote or removed it since.
    pub fn check_unchanged(&self, since: Option<&Portable>) -> Result<(), Error> {
        if self.get()?.as_ref() == since {
            return Ok(());
        }
        Err(Error::Changed {
            name: self.name.clone(),
        })
    }

    /// Makes sure that no other portable got one of the directories that this one is to have, and that none gets one until this is dropped: of
    /// two that were decided on at the same moment, one is first.
    ///
    /// # Errors
    /// [`Error::DirectoryTaken`] when another one was.
    pub fn claim(&mut self, portable: &Portable) -> Result<(), Error> {
        let folder = self.records.folder();
        let opened = File::open(&folder).map_err(failed("open", &folder))?;
        flock(&opened, FlockOperation::LockExclusive)
            .map_err(|errno| failed("lock", &folder)(errno.into()))?;
        let had = self
            .get()?
            .map(|known| known.directories)
            .unwrap_or_default();
        let new: Vec<&String> = portable.directories.difference(&had).collect();
        // At a boot nobody wants a new one, and nobody need read the records of all others.
        let others = match new.is_empty() {
            true => Vec::new(),
            false => self.records.list()?,
        };
        for other in others.into_iter().filter(|other| other.name != self.name) {
            let mut new = new.iter().copied();
            if let Some(directory) = new.find(|directory| other.directories.contains(*directory)) {
                return Err(Error::DirectoryTaken {
                    directory: directory.clone(),
                    owner: other.name,
                });
            }
        }
        self.claiming = Some(opened);
        Ok(())
    }

    /// Writes the record, atomically, and raises the remembered line to its current version.
    ///
    /// # Errors
    /// When it cannot be written, or is another portable's.
    pub fn put(&self, portable: &Portable) -> Result<(), Error> {
        if portable.name != self.name {
            return Err(Error::Name {
                name: portable.name.clone(),
            });
        }
        let path = self.records.file(&self.name)?;
        let _lock = lock(&self.records.state)?;
        // The floor first: after a power cut between the two, an older version is refused, not let in.
        self.records.raise(portable)?;
        let content = serde_json::to_vec_pretty(portable).map_err(|source| Error::Damaged {
            path: path.clone(),
            source: source.into(),
        })?;
        Ok(replace(&path, &content, 0o600)?)
    }

    /// Gives the images of extensions the names that they came with, beside the record: links into the store. Those of others go when
    /// [`Held::drop_other_links`] is called.
    ///
    /// # Errors
    /// When one can't be made.
    pub fn link_extensions(
        &self,
        extensions: &[Extension],
        place: impl Fn(&Digest) -> PathBuf,
    ) -> Result<(), Error> {
        for extension in extensions {
            if let Some(digest) = &extension.image {
                let link = self.records.extension_link(&self.name, &extension.file);
                make_directory(link.parent().unwrap_or(&self.records.state))?;
                replace_link(&place(digest), &link)?;
            }
        }
        Ok(())
    }

    /// Removes the names of extensions that are no longer laid over the portable.
    ///
    /// # Errors
    /// When one can't be removed.
    pub fn drop_other_links(&self, extensions: &[Extension]) -> Result<(), Error> {
        let any = self.records.extension_link(&self.name, "any");
        let folder = any.parent().unwrap_or(&self.records.state);
        for link in entries(folder)? {
            let file = link.file_name().unwrap_or_default();
            let is_kept =
                |extension: &Extension| extension.image.is_some() && *extension.file == *file;
            if !extensions.iter().any(is_kept) {
                remove_if_there(&link)?;
            }
        }
        Ok(remove_if_empty(folder)?)
    }

    /// Removes the record; what is remembered stays.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> Result<(), Error> {
        let path = self.records.file(&self.name)?;
        let seen = self.get()?.and_then(|portable| portable.channel);
        let _lock = lock(&self.records.state)?;
        // First: after a power cut between the two, an old index is refused, not believed.
        if seen.is_some() {
            self.records.remember_channel(&self.name, seen)?;
        }
        remove_if_there(&path)?;
        // Also where a power cut came between the two before.
        remove_tree(path.parent().unwrap_or(&self.records.state))?;
        remove_if_empty(&self.records.folder())?;
        Ok(sync_parent(&self.records.folder())?)
    }

    /// What holding it made goes again where nothing was written. After a removal the directory of that name is another's, who holds it
    /// by now and has not written anything yet.
    fn tidy(&self) -> Result<(), Error> {
        let path = self.records.file(&self.name)?;
        let directory = path.parent().unwrap_or(&self.records.state);
        let _lock = lock(&self.records.state)?;
        if is_still_there(&self.lock, directory)? {
            remove_if_empty(directory)?;
        }
        Ok(remove_if_empty(&self.records.folder())?)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // An empty directory is no portable; the next removal takes it along.
        self.tidy().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::portable;
    use super::*;

    #[test]
    fn who_removed_it_takes_nothing_from_who_holds_it_next() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        let wanted = portable("1.0", b"a");
        let removed = records.hold("hello").unwrap();
        // As a removal does before it lets go.
        std::fs::remove_dir_all(state.path().join("portables")).unwrap();
        let mut next = records.hold("hello").unwrap();
        drop(removed);
        next.claim(&wanted).unwrap();
        next.put(&wanted).unwrap();
        assert_eq!(records.get("hello").unwrap(), Some(wanted));
    }

    #[test]
    fn a_change_waits_for_a_removal_and_does_not_write_the_record_back() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        let of_old = portable("1.0", b"a");
        records.hold("hello").unwrap().put(&of_old).unwrap();
        for _ in 0..50 {
            let removal = records.hold("hello").unwrap();
            std::thread::scope(|scope| {
                let change = scope.spawn(|| {
                    let held = records.hold("hello").unwrap();
                    let refused = held.check_unchanged(Some(&of_old));
                    (held.get().unwrap(), refused.is_err())
                });
                removal.remove().unwrap();
                assert_eq!(change.join().unwrap(), (None, true));
            });
            assert!(!state.path().join("portables").exists());
            let held = records.hold("hello").unwrap();
            held.check_unchanged(None).unwrap();
            held.put(&of_old).unwrap();
        }
    }

    #[test]
    fn changes_of_many_at_once_are_all_there_in_the_end() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        let change = |key: usize| {
            let held = records.hold("hello").unwrap();
            let known = held.get().unwrap();
            let mut changed = known.unwrap_or_else(|| portable("1.0", b"a"));
            changed.settings.insert(key.to_string(), Vec::new());
            held.put(&changed).unwrap();
        };
        std::thread::scope(|scope| {
            for key in 0..16 {
                scope.spawn(move || change(key));
            }
        });
        assert_eq!(records.get("hello").unwrap().unwrap().settings.len(), 16);
    }

    #[test]
    fn of_many_that_claim_a_directory_at_the_same_moment_one_has_it() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        let install = |name: &str| {
            let mut wanted = portable("1.0", b"a");
            wanted.name = name.into();
            wanted.directories.insert("/var/lib/shared".into());
            wanted.directories.insert(format!("/var/lib/{name}"));
            let mut held = records.hold(name).unwrap();
            held.claim(&wanted).map(|()| held.put(&wanted).unwrap())
        };
        let names: Vec<String> = (0..16).map(|number| format!("p{number}")).collect();
        let outcomes: Vec<Result<(), Error>> = std::thread::scope(|scope| {
            let all: Vec<_> = names
                .iter()
                .map(|name| scope.spawn(|| install(name)))
                .collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let known = records.list().unwrap();
        assert_eq!(known.len(), 1);
        for (name, outcome) in names.iter().zip(outcomes) {
            match outcome {
                Ok(()) => assert_eq!(*name, known[0].name),
                Err(Error::DirectoryTaken { directory, owner }) => {
                    assert_eq!((&*directory, &owner), ("/var/lib/shared", &known[0].name));
                }
                Err(error) => panic!("{error}"),
            }
        }
        install(&known[0].name).unwrap();
    }

    #[test]
    fn one_is_held_for_itself_alone_and_leaves_nothing_where_nothing_is_written() {
        let state = tempfile::tempdir().unwrap();
        let records = Portables::new(state.path());
        let held = records.hold("hello").unwrap();
        let _other = records.hold("other").unwrap();
        let foreign = Portable {
            name: "other".into(),
            ..portable("1.0", b"a")
        };
        assert!(matches!(held.put(&foreign), Err(Error::Name { .. })));
        drop((held, _other));
        assert_eq!(crate::files::entries(state.path()).unwrap().len(), 0);
        assert!(records.hold("../hello").is_err());
    }
}
