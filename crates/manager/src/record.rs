//! Records: what is known of each unit, one small file each, replaced atomically before the keeper is told anything.

use crate::run::RunRecord;
use engine::UnitSnapshot;
use model::sorted::Map;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a record that is read back; a transient unit's text is the largest part of one.
const RECORD_BYTES_MAX: u64 = 8 << 20;

/// What outlives the manager about a unit.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The engine's part.
    pub(crate) snapshot: UnitSnapshot,
    /// The runs that are not released.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) runs: Vec<RunRecord>,
    /// The text of a unit made at run time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) transient: Option<TransientRecord>,
    /// A start in spite of directives that are not enforced was allowed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_unenforced: bool,
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

/// A file that is no record, and why.
pub(crate) type Broken = (PathBuf, io::Error);

/// The directory of records.
#[derive(Debug)]
pub(crate) struct Records {
    directory: PathBuf,
    buffer: Vec<u8>,
    /// What each record says, as a number.
    written: Map<Arc<str>, u64>,
}

impl Records {
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        Ok(Self {
            directory,
            buffer: Vec::new(),
            written: Map::new(),
        })
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
        let beside = self.directory.join(format!(".{}", short(name)));
        std::fs::File::create(&beside)?.write_all(&self.buffer)?;
        std::fs::rename(&beside, self.path(name))?;
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
            if path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
            {
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
        self.directory.join(short(unit))
    }
}

fn read(path: &Path) -> io::Result<Record> {
    if std::fs::metadata(path)?.len() > RECORD_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// A file name for a unit: its own, or for the longest ones a shorter that is still its own, as `.json` and a dot go along.
fn short(unit: &str) -> String {
    /// NAME_MAX is 255; the dot and the suffix take six.
    const NAME_BYTES_MAX: usize = 249;
    if unit.len() <= NAME_BYTES_MAX {
        return format!("{unit}.json");
    }
    let head: String = unit.chars().take(200).collect();
    format!(
        "{head}~{:016x}.json",
        crate::directories::hash(unit.as_bytes())
    )
}
