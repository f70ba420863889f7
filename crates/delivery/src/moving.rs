//! State that came from elsewhere takes the place of what is there: all directories of a portable or none, also where the power fails.
//!
//! New directories are whole and beside the old ones before the record of the exchange is written; from then on the new ones count. Whoever finds
//! the record goes on with it. It says which directory is the new one by its inode, and which the old: two names are exchanged in one, and nobody
//! knows of a name whether that was done.
//!
//! Where the whole portable is replaced, the record has what it was, too ([`Former`]), and as long as the new one is not proven that is what counts:
//! whoever finds it turns back.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::files::{
    FileError, failed, make_open_directory, read_if_there, remove_if_empty, remove_if_there,
    rename, replace, step, sync_parent,
};
use crate::portables::{Error, Held, Portable, Portables};
use crate::purge;

/// Largest record: some ten directories, and of a portable that is replaced its record and its drop-ins, which have bounds of their own.
const RECORD_MAX_BYTES: u64 = 32 << 20;
/// Everybody may read what administrators write for units.
const DROP_IN_MODE: u32 = 0o644;

/// A directory, and what is beside it: the new one before the exchange, the old one after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Where it is to be.
    pub path: PathBuf,
    /// Where it was written.
    pub beside: PathBuf,
}

/// What is recorded of one: the inode of what is to be at its path, and that of what was there before; none where that is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    #[serde(flatten)]
    places: Exchange,
    inode: Option<u64>,
    before: Option<u64>,
}

/// What a portable was that another one takes the place of: all that is needed to have it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// Its record.
    pub record: Portable,
    /// Whether its units were attached.
    pub attached: bool,
    /// What ran of it.
    pub ran: Vec<String>,
    /// The boot that it ran in: in another one nothing of that runs any more.
    pub boot: String,
    /// Drop-ins as they were; none where there was no such file.
    pub drop_ins: Vec<(PathBuf, Option<String>)>,
    /// Those of its directories that a start of it made.
    pub made: Vec<PathBuf>,
}

/// What counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    /// The new ones.
    Forth,
    /// What was there, unless the new ones are proven.
    Trial(Box<Former>),
    /// What was there.
    Back(Option<Box<Former>>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    directories: Vec<Noted>,
    stage: Stage,
}

impl Record {
    fn begin(all: &[Exchange], stage: Stage) -> Result<Record, FileError> {
        check_apart(all)?;
        let noted = |places: &Exchange| {
            Ok(Noted {
                inode: inode(&places.beside)?,
                before: inode(&places.path)?,
                places: places.clone(),
            })
        };
        let directories = all.iter().map(noted).collect::<Result<_, FileError>>()?;
        Ok(Record { directories, stage })
    }

    fn former(self) -> Option<Former> {
        match self.stage {
            Stage::Trial(former) | Stage::Back(Some(former)) => Some(*former),
            Stage::Forth | Stage::Back(None) => None,
        }
    }

    fn put(&self, is_back: bool) -> Result<(), FileError> {
        self.directories.iter().try_for_each(|one| {
            let wanted = if is_back { one.before } else { one.inode };
            put(&one.places, wanted)
        })
    }
}

impl Portables {
    fn exchange_file(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(self.portable_folder(name)?.join("exchange.json"))
    }

    /// Notes which directories are about to be written beside what is there, so that what is cut leaves nothing of them.
    ///
    /// # Errors
    /// As [`Portables::exchange`].
    pub fn begin_writing(&self, name: &str, all: &[Exchange]) -> Result<(), Error> {
        self.note_exchange(name, &Record::begin(all, Stage::Back(None))?)
    }

    /// Puts new directories in their places. What was there is beside them until [`Portables::end_exchange`]; [`Portables::turn_back`] puts it back.
    /// The portable is held, or being upgraded, by the caller.
    ///
    /// # Errors
    /// When a directory can't be moved. Nothing is moved then, or whoever comes next goes on.
    pub fn exchange(&self, name: &str, all: &[Exchange]) -> Result<(), Error> {
        let record = Record::begin(all, Stage::Forth)?;
        self.note_exchange(name, &record)?;
        Ok(record.put(false)?)
    }

    /// Puts the directories of a replacement in their places.
    ///
    /// # Errors
    /// When one can't be moved.
    pub fn go_forth(&self, name: &str) -> Result<(), Error> {
        match self.noted(name)? {
            Some(record) => Ok(record.put(false)?),
            None => Ok(()),
        }
    }

    /// Removes the drop-ins that the former one had; they are noted, and those that come are written next.
    ///
    /// # Errors
    /// When one can't be removed.
    pub fn remove_drop_ins(&self, name: &str) -> Result<(), Error> {
        let former = self.former(name)?;
        let all = former.into_iter().flat_map(|former| former.drop_ins);
        for (path, _) in all.filter(|(_, text)| text.is_some()) {
            put_drop_in(&path, None)?;
        }
        Ok(())
    }

    /// The new one is proven: from now on it is what counts.
    ///
    /// # Errors
    /// When it can't be noted; the former one counts then.
    pub fn approve(&self, name: &str) -> Result<(), Error> {
        let Some(record) = self.noted(name)? else {
            return Ok(());
        };
        let stage = Stage::Forth;
        self.note_exchange(name, &Record { stage, ..record })
    }

    /// Whether an exchange was begun and not ended.
    ///
    /// # Errors
    /// When the name cannot be a portable's.
    pub fn is_exchanging(&self, name: &str) -> Result<bool, Error> {
        Ok(self.exchange_file(name)?.symlink_metadata().is_ok())
    }

    /// What a portable was, where its replacement was begun, and neither approved nor taken back to the end.
    ///
    /// # Errors
    /// When the record can't be read.
    pub fn former(&self, name: &str) -> Result<Option<Former>, Error> {
        Ok(self.noted(name)?.and_then(Record::former))
    }

    /// Puts back what was there before an exchange, and what the portable was before a replacement: its directories, drop-ins and record. Done
    /// again, it changes nothing. Not to be called by who holds the portable: it is held here.
    ///
    /// # Errors
    /// As [`Portables::exchange`].
    pub fn turn_back(&self, name: &str) -> Result<(), Error> {
        let Some(record) = self.noted(name)? else {
            return Ok(());
        };
        let directories = record.directories.clone();
        let former = record.former();
        let stage = Stage::Back(former.clone().map(Box::new));
        let record = Record { directories, stage };
        self.note_exchange(name, &record)?;
        record.put(true)?;
        if let Some(former) = former {
            for (path, text) in &former.drop_ins {
                put_drop_in(path, text.as_deref())?;
            }
            self.hold(name)?.put(&former.record)?;
        }
        Ok(())
    }

    /// Goes on with an exchange that was begun, back where nobody approved it, and removes what nobody needs any more. Says whether there was one.
    ///
    /// # Errors
    /// When a directory can't be moved or removed.
    pub fn end_exchange(&self, name: &str) -> Result<bool, Error> {
        if self.former(name)?.is_some() {
            self.turn_back(name)?;
        }
        if let Some(record) = self.noted(name)? {
            record.put(record.stage != Stage::Forth)?;
            for one in &record.directories {
                let beside = &one.places.beside;
                for path in [beside.clone(), crate::files::beside(beside)] {
                    purge::remove(&path).map_err(|error| failed("remove", &path)(error.source))?;
                }
            }
        }
        let file = self.exchange_file(name)?;
        let was_there = remove_if_there(&file)?;
        if was_there {
            sync_parent(&file)?;
        }
        Ok(was_there)
    }

    fn noted(&self, name: &str) -> Result<Option<Record>, Error> {
        let path = self.exchange_file(name)?;
        let Some(content) = read_if_there(&path, RECORD_MAX_BYTES)? else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&content).map_err(|source| Error::Damaged {
            path,
            source: source.into(),
        })?;
        Ok(Some(record))
    }

    fn note_exchange(&self, name: &str, record: &Record) -> Result<(), Error> {
        let path = self.exchange_file(name)?;
        let content = serde_json::to_vec_pretty(record).map_err(|source| Error::Damaged {
            path: path.clone(),
            source: source.into(),
        })?;
        Ok(replace(&path, &content, 0o600)?)
    }
}

impl Held {
    /// Notes what a portable is before anything of it is replaced; from here to [`Portables::approve`] that is what counts. Nothing is moved yet:
    /// [`Portables::go_forth`] does that, once nothing of it runs. As it is held, no change of it is lost where it comes back.
    ///
    /// # Errors
    /// When it is not what it was, directories are in each other, or it can't be noted.
    pub fn begin_replacement(&self, all: &[Exchange], former: Former) -> Result<(), Error> {
        self.check_unchanged(Some(&former.record))?;
        let name = former.record.name.clone();
        let record = Record::begin(all, Stage::Trial(Box::new(former)))?;
        self.records().note_exchange(&name, &record)
    }
}

/// A drop-in as it was.
fn put_drop_in(path: &Path, text: Option<&str>) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(path);
    match text {
        Some(text) => {
            make_open_directory(folder)?;
            sync_parent(folder)?;
            replace(path, text.as_bytes(), DROP_IN_MODE)
        }
        None => {
            if remove_if_there(path)? {
                sync_parent(path)?;
            }
            remove_if_empty(folder)
        }
    }
}

/// Of two directories of which one is in the other, or is the other, nobody could say any more what is to be where.
fn check_apart(all: &[Exchange]) -> Result<(), FileError> {
    let paths = || all.iter().flat_map(|one| [&one.path, &one.beside]);
    for (number, path) in paths().enumerate() {
        let other = paths().enumerate();
        let mut others = other.filter(|(other, _)| *other != number);
        if others.any(|(_, other)| path.starts_with(other)) {
            let why = io::Error::new(
                io::ErrorKind::InvalidInput,
                "another directory that is replaced is there, or around it",
            );
            return Err(failed("replace", path)(why));
        }
    }
    Ok(())
}

fn inode(path: &Path) -> Result<Option<u64>, FileError> {
    match path.symlink_metadata() {
        Ok(found) => Ok(Some(found.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// Puts the wanted directory into its place; done again, it changes nothing.
fn put(places: &Exchange, wanted: Option<u64>) -> Result<(), FileError> {
    let Exchange { path, beside } = places;
    let there = inode(path)?;
    if there == wanted {
        return Ok(());
    }
    let aside = crate::files::beside(beside);
    match (there, wanted) {
        (_, None) => rename(path, beside)?,
        (Some(_), Some(_)) if inode(beside)? == wanted => swap(beside, path)?,
        (None, Some(_)) if inode(beside)? == wanted => rename(beside, path)?,
        // Where the kernel can't swap two names it takes three steps; they were cut, and what was put aside is what counts.
        (_, Some(_)) if inode(&aside)? == wanted => {
            if there.is_some() {
                rename(path, beside)?;
            }
            rename(&aside, path)?;
        }
        _ => {
            let gone = io::Error::new(
                io::ErrorKind::NotFound,
                "neither it nor what is beside it is what was written",
            );
            return Err(failed("replace", path)(gone));
        }
    }
    sync_parent(path)
}

fn swap(one: &Path, other: &Path) -> Result<(), FileError> {
    let swapped = step().and_then(|()| {
        renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(io::Error::from)
    });
    match swapped {
        // Not every file system can. In between nothing is there, and who comes next puts the new one there.
        Err(error)
            if [Errno::INVAL, Errno::NOSYS]
                .iter()
                .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) =>
        {
            let aside = crate::files::beside(one);
            rename(other, &aside)?;
            rename(one, other)?;
            rename(&aside, one)
        }
        swapped => swapped.map_err(failed("replace", other)),
    }
}

/// Makes a directory's content last: everything of its file system, which is one call for all files.
///
/// # Errors
/// The kernel's.
pub fn sync(directory: &Path) -> io::Result<()> {
    step()?;
    Ok(rustix::fs::syncfs(fs::File::open(directory)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::power::{Trouble, trouble_at_each_step};

    /// Two directories, one of which has nothing in its place yet.
    fn world() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("state/portables/boat")).unwrap();
        for (place, content) in [("old", "old"), (".new-0", "new"), (".new-1", "new")] {
            let place = folder.path().join(place);
            fs::create_dir(&place).unwrap();
            fs::write(place.join("file"), content).unwrap();
        }
        folder
    }

    fn records(folder: &Path) -> Portables {
        Portables::new(&folder.join("state"))
    }

    fn all(folder: &Path) -> Vec<Exchange> {
        // No link is on the way of what is removed.
        let folder = folder.canonicalize().unwrap();
        let all = [("old", ".new-0"), ("fresh", ".new-1")];
        let all = all.map(|(path, beside)| Exchange {
            path: folder.join(path),
            beside: folder.join(beside),
        });
        all.to_vec()
    }

    fn content(folder: &Path) -> [String; 2] {
        let read = |path: &str| fs::read_to_string(folder.join(path).join("file"));
        [read("old"), read("fresh")].map(Result::unwrap_or_default)
    }

    fn is_tidy(folder: &Path) -> bool {
        all(folder).iter().all(|one| !one.beside.exists())
    }

    #[test]
    fn the_new_is_there_whole_and_the_old_can_come_back() {
        let folder = world();
        let (records, folder) = (records(folder.path()), folder.path());
        records.exchange("boat", &all(folder)).unwrap();
        assert_eq!(content(folder), ["new", "new"]);
        records.turn_back("boat").unwrap();
        assert_eq!(content(folder), ["old", ""]);
        assert!(records.end_exchange("boat").unwrap());
        assert_eq!(content(folder), ["old", ""]);
        assert!(is_tidy(folder));
        assert!(!records.end_exchange("boat").unwrap());
    }

    #[test]
    fn directories_in_each_other_are_refused_before_anything_is_noted() {
        let folder = world();
        let (records, folder) = (records(folder.path()), folder.path());
        let [one, other] = all(folder).try_into().unwrap();
        let inner = Exchange {
            path: one.path.join("inner"),
            ..other.clone()
        };
        let same_beside = Exchange {
            beside: one.beside.clone(),
            ..other
        };
        for wrong in [inner, same_beside, one.clone()] {
            assert!(records.exchange("boat", &[one.clone(), wrong]).is_err());
            assert_eq!(content(folder), ["old", ""]);
            assert!(!records.end_exchange("boat").unwrap());
        }
    }

    #[test]
    fn after_trouble_at_any_step_there_is_the_old_or_the_new_and_never_both() {
        for trouble in [Trouble::PowerCut, Trouble::FullDisk] {
            let act = |folder: &Path| {
                let records = records(folder);
                records.exchange("boat", &all(folder))?;
                records.end_exchange("boat")
            };
            trouble_at_each_step(trouble, world, act, |folder, done| {
                records(folder).end_exchange("boat").unwrap();
                let found = content(folder);
                let is_new = found == ["new", "new"];
                assert!(is_new || !done && found == ["old", ""], "{found:?}");
                assert!(!is_new || is_tidy(folder));
            });
        }
    }

    #[test]
    fn where_two_names_cant_be_exchanged_in_one_what_is_missing_is_put_there() {
        let folder = world();
        let (records, folder) = (records(folder.path()), folder.path());
        let all = all(folder);
        let record = Record::begin(&all, Stage::Forth).unwrap();
        records.note_exchange("boat", &record).unwrap();
        fs::rename(&all[0].path, crate::files::beside(&all[0].beside)).unwrap();
        assert!(records.end_exchange("boat").unwrap());
        assert_eq!(content(folder), ["new", "new"]);
        assert!(!crate::files::beside(&all[0].beside).exists());
    }

    #[test]
    fn a_swap_that_was_cut_goes_back_from_wherever_it_was() {
        for steps in 0..=3 {
            let folder = world();
            let (records, folder) = (records(folder.path()), folder.path());
            let all = all(folder);
            let record = Record::begin(&all, Stage::Forth).unwrap();
            records.note_exchange("boat", &record).unwrap();
            let aside = crate::files::beside(&all[0].beside);
            let swap = [
                (&all[0].path, &aside),
                (&all[0].beside, &all[0].path),
                (&aside, &all[0].beside),
            ];
            for (from, to) in &swap[..steps] {
                fs::rename(from, to).unwrap();
            }
            for _ in 0..2 {
                records.turn_back("boat").unwrap();
                assert_eq!(content(folder), ["old", ""]);
            }
            records.end_exchange("boat").unwrap();
            assert_eq!(content(folder), ["old", ""]);
            assert!(is_tidy(folder) && !aside.exists());
        }
    }

    /// The same world, in which the portable has a record and a drop-in.
    fn inhabited() -> tempfile::TempDir {
        let folder = world();
        let held = records(folder.path()).hold("boat").unwrap();
        held.put(&boat("1")).unwrap();
        put_drop_in(&drop_in(folder.path(), "old"), Some("old")).unwrap();
        folder
    }

    fn boat(version: &str) -> Portable {
        let mut boat = Portable::new("boat".to_owned(), crate::portables::Trust::Signed);
        boat.current = version.to_owned();
        boat
    }

    fn drop_in(folder: &Path, name: &str) -> PathBuf {
        folder
            .join("config/boat.service.d")
            .join(format!("{name}.conf"))
    }

    fn begin(folder: &Path) -> Result<(), Error> {
        let drop_ins = [("old", Some("old")), ("new", None)];
        let drop_ins =
            drop_ins.map(|(name, text)| (drop_in(folder, name), text.map(str::to_owned)));
        let former = Former {
            record: boat("1"),
            attached: true,
            ran: vec!["boat.service".to_owned()],
            boot: "this".to_owned(),
            drop_ins: drop_ins.to_vec(),
            made: Vec::new(),
        };
        let held = records(folder).hold("boat")?;
        held.begin_replacement(&all(folder), former)
    }

    /// All of it that a command does: what was there is noted, all is replaced, and then it is proven.
    fn take_its_place(folder: &Path) -> Result<(), Error> {
        begin(folder)?;
        let records = records(folder);
        records.hold("boat")?.put(&boat("2"))?;
        records.go_forth("boat")?;
        put_drop_in(&drop_in(folder, "old"), None)?;
        put_drop_in(&drop_in(folder, "new"), Some("new")).map_err(Error::from)
    }

    fn replace_all(folder: &Path) -> Result<(), Error> {
        take_its_place(folder)?;
        records(folder).approve("boat")?;
        records(folder).end_exchange("boat").map(drop)
    }

    /// Whether it is the new one; panics where it is neither.
    #[track_caller]
    fn is_new(folder: &Path) -> bool {
        let version = records(folder).get("boat").unwrap().unwrap().current;
        let texts = ["old", "new"].map(|name| fs::read_to_string(drop_in(folder, name)).ok());
        let texts = texts.each_ref().map(Option::as_deref);
        let content = content(folder);
        match (
            version.as_str(),
            texts,
            content.each_ref().map(String::as_str),
        ) {
            ("1", [Some("old"), None], ["old", ""]) => false,
            ("2", [None, Some("new")], ["new", "new"]) => true,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn after_trouble_at_any_step_of_a_replacement_there_is_the_former_or_the_new_one_whole() {
        for trouble in [Trouble::PowerCut, Trouble::FullDisk] {
            let mut outcomes = std::collections::BTreeSet::new();
            trouble_at_each_step(trouble, inhabited, replace_all, |folder, done| {
                let known = records(folder);
                let is_begun = known.former("boat").unwrap().is_some();
                known.end_exchange("boat").unwrap();
                let is_new = is_new(folder);
                assert!(is_new || !done);
                // What was noted is what comes back, and nothing else.
                assert!(!(is_begun && is_new));
                assert!(known.former("boat").unwrap().is_none());
                outcomes.insert((is_begun, is_new));
            });
            assert_eq!(outcomes.len(), 3, "{outcomes:?}");
        }
    }

    #[test]
    fn after_trouble_at_any_step_on_the_way_back_the_former_one_comes_back_all_the_same() {
        for trouble in [Trouble::PowerCut, Trouble::FullDisk] {
            let before = || {
                let folder = inhabited();
                take_its_place(folder.path()).unwrap();
                assert!(is_new(folder.path()));
                folder
            };
            let back = |folder: &Path| records(folder).end_exchange("boat");
            trouble_at_each_step(trouble, before, back, |folder, _| {
                records(folder).end_exchange("boat").unwrap();
                assert!(!is_new(folder));
                let beside = all(folder).into_iter().map(|one| one.beside);
                assert!(beside.into_iter().all(|path| !path.exists()));
            });
        }
    }

    #[test]
    fn what_was_changed_since_it_was_looked_at_is_not_replaced() {
        let folder = inhabited();
        let folder = folder.path();
        records(folder)
            .hold("boat")
            .unwrap()
            .put(&boat("1.5"))
            .unwrap();
        assert!(matches!(begin(folder), Err(Error::Changed { .. })));
        assert!(!records(folder).end_exchange("boat").unwrap());
    }
}
