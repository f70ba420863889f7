//! Records: what is known of each unit, one small file each, replaced atomically before the keeper is told anything.

use crate::run::RunRecord;
use engine::UnitSnapshot;
use model::sorted::Map;
use rustix::fs::{CWD, Mode, OFlags, openat, renameat};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a record that is read back; a transient unit's text is the largest part of one.
const RECORD_BYTES_MAX: u64 = 8 << 20;

/// What outlives the manager about a unit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The engine's part.
    pub(crate) snapshot: UnitSnapshot,
    /// The runs that are not released, and the last one that is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) runs: Vec<RunRecord>,
    /// What was said of it and by it, a kind and a text each ([`crate::entry::Entry::said`]): one field, as each is much code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) said: Vec<String>,
    /// The text of a unit made at run time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transient: Option<TransientRecord>,
    /// A start in spite of directives that are not enforced was allowed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_unenforced: bool,
    /// The keeper's number of it, where that is not the hash of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<u64>,
}

/// A unit made at run time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TransientRecord {
    /// Its text, as a unit file would have it.
    pub(crate) text: String,
    /// The command, taken literally.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    /// Forget it also when it failed.
    #[serde(default)]
    pub(crate) collect: bool,
    /// A client waits for its end. After a change of managers it comes back to hear of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) awaited: bool,
}

impl crate::manager::Manager {
    /// What is on record of a unit.
    pub(crate) fn record_of(&self, id: engine::UnitId) -> Option<Record> {
        let entry = self.units.get(&id)?;
        let last = entry.last.as_ref().and_then(|last| last.run.clone());
        let mut said = entry.said();
        self.own_log.words_of(entry.name.as_str(), &mut said);
        Some(Record {
            snapshot: self.engine.snapshot(id)?,
            runs: last
                .into_iter()
                .chain(entry.runs.iter().map(crate::run::Run::record))
                .collect(),
            transient: entry
                .transient
                .as_ref()
                .map(|transient| transient.record.clone()),
            said,
            allow_unenforced: entry.allow_unenforced,
            key: Some(entry.key)
                .filter(|key| *key != crate::directories::hash(entry.name.as_str().as_bytes())),
        })
    }
}

/// A file that is no record, and why.
pub(crate) type Broken = (PathBuf, io::Error);

/// The directory of records.
#[derive(Debug)]
pub(crate) struct Records {
    directory: PathBuf,
    /// The same, found once: each start replaces a record or two.
    opened: OwnedFd,
    buffer: Vec<u8>,
    /// What each record says, as a number.
    written: Map<Arc<str>, u64>,
    /// The last one could not be written, which was said.
    pub(crate) is_failing: bool,
}

impl Records {
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            opened: openat(CWD, &directory, flags, Mode::empty())?,
            directory,
            buffer: Vec::new(),
            written: Map::new(),
            is_failing: false,
        })
    }

    /// Where they are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a record beside the old one and renames it, unless it says nothing new. The directory is in memory, so nothing is
    /// synced.
    pub(crate) fn write(&mut self, record: &Record) -> io::Result<()> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, record)?;
        let name = &record.snapshot.name;
        let content = crate::directories::hash(&self.buffer);
        if self.written.get(name) == Some(&content) {
            return Ok(());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let beside = openat(&self.opened, BESIDE, flags, Mode::from_raw_mode(0o666))?;
        std::fs::File::from(beside).write_all(&self.buffer)?;
        renameat(&self.opened, BESIDE, &self.opened, file_name(name))?;
        self.written.insert(Arc::clone(name), content);
        Ok(())
    }

    /// Removes a record; one that is not there is fine.
    pub(crate) fn remove(&mut self, unit: &str) -> io::Result<()> {
        if self.written.remove(unit).is_none() {
            return Ok(());
        }
        match std::fs::remove_file(self.path(unit)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// All records, and the files that are none. What a manager before us had half written goes: nothing rested on it yet.
    pub(crate) fn read_all(&mut self) -> io::Result<(Vec<Record>, Vec<Broken>)> {
        let (mut records, mut broken) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name == BESIDE) {
                std::fs::remove_file(&path)?;
                continue;
            }
            match read(&path) {
                Ok(record) => {
                    // Its content is not known as a number: the next change writes it.
                    self.written.insert(Arc::clone(&record.snapshot.name), 0);
                    records.push(record);
                }
                Err(error) => broken.push((path, error)),
            }
        }
        model::order::sort_by(&mut records, |one, other| {
            one.snapshot.name.cmp(&other.snapshot.name)
        });
        Ok((records, broken))
    }

    fn path(&self, unit: &str) -> PathBuf {
        self.directory.join(file_name(unit))
    }
}

fn read(path: &Path) -> io::Result<Record> {
    if std::fs::metadata(path)?.len() > RECORD_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// What a record is written to before it has its name: no unit is called so, as none has that suffix.
const BESIDE: &str = ".new";

/// A unit's own file name, which no other unit has: the longest ones leave no room for a suffix, and do not look like the others.
fn file_name(unit: &str) -> String {
    const SUFFIX: &str = ".json";
    /// NAME_MAX.
    const NAME_BYTES_MAX: usize = 255;
    if unit.len() + SUFFIX.len() <= NAME_BYTES_MAX {
        format!("{unit}{SUFFIX}")
    } else {
        unit.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn what_was_half_written_goes_and_a_unit_that_begins_with_a_dot_stays() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join(file_name(".hidden.service"));
        for path in [&kept, &folder.path().join(BESIDE)] {
            std::fs::write(path, "{").unwrap();
        }
        let mut records = Records::open(folder.path().into()).unwrap();
        let (read, broken) = records.read_all().unwrap();
        let broken: Vec<&PathBuf> = broken.iter().map(|(path, _)| path).collect();
        assert_eq!((read.len(), broken), (0, vec![&kept]));
        assert!(kept.exists() && !folder.path().join(BESIDE).exists());
    }

    #[test]
    fn the_longest_names_have_files_of_their_own() {
        let name = |length: usize, last: &str| format!("{}{last}.service", "a".repeat(length - 9));
        for length in [249, 250, 251, 255] {
            let (one, other) = (file_name(&name(length, "x")), file_name(&name(length, "y")));
            assert!(one != other && one.len() <= 255, "{one} {other}");
        }
        assert_ne!(file_name(&name(250, "x")), file_name(&name(251, "x")));
    }
}
