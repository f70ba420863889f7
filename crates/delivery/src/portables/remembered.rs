//! What outlives a portable: its name, who signed it, and its highest version, a line for each in `<state>/remembered`; and what was seen of its
//! channel, in `<state>/remembered-channels`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::version::compare;

use super::{Error, Portable, Portables};
use crate::channel::Seen;
use crate::digest::Digest;
use crate::files::{lock, read_if_there, remove_if_there, replace};

/// Largest file of remembered lines: some ten thousand portables.
const REMEMBERED_MAX_BYTES: u64 = 4 << 20;

/// The one line that is kept after a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The portable's name.
    pub name: String,
    /// The pinned signer's fingerprint.
    pub signer: Option<Digest>,
    /// The highest version ever installed.
    pub highest: String,
}

impl Portables {
    fn remembered_file(&self) -> PathBuf {
        self.state.join("remembered")
    }

    pub(super) fn raise(&self, portable: &Portable) -> Result<(), Error> {
        let known = self.remembered(&portable.name)?;
        let highest = known
            .map(|line| line.highest)
            .filter(|highest| compare(highest, &portable.current).is_gt());
        let line = Remembered {
            name: portable.name.clone(),
            signer: portable.signer.as_ref().map(|signer| signer.fingerprint),
            highest: highest.unwrap_or_else(|| portable.current.clone()),
        };
        self.write_lines(&portable.name, Some(line))
    }

    /// What is remembered of a name.
    ///
    /// # Errors
    /// As [`Portables::get`].
    pub fn remembered(&self, name: &str) -> Result<Option<Remembered>, Error> {
        Ok(self.lines()?.into_iter().find(|line| line.name == name))
    }

    /// Drops what is remembered of a name (`--forget`).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forget(&self, name: &str) -> Result<(), Error> {
        let _lock = lock(&self.state)?;
        self.remember_channel(name, None)?;
        self.write_lines(name, None)
    }

    fn channels_file(&self) -> PathBuf {
        self.state.join("remembered-channels")
    }

    /// What was seen of the channel of a portable that is not here any more, while who signed it is the one whose channel it was: an old index
    /// is refused also after a purge.
    ///
    /// # Errors
    /// As [`Portables::get`].
    pub fn remembered_channel(&self, name: &str) -> Result<Option<Seen>, Error> {
        let pinned = self.remembered(name)?.and_then(|line| line.signer);
        let seen = self.channels()?.remove(name);
        Ok(seen.filter(|seen| {
            let both = seen.signer.as_ref().zip(pinned.as_ref());
            both.is_some_and(|(one, other)| one == other || seen.is_one_maker(one, other))
        }))
    }

    fn channels(&self) -> Result<BTreeMap<String, Seen>, Error> {
        let path = self.channels_file();
        let Some(content) = read_if_there(&path, REMEMBERED_MAX_BYTES)? else {
            return Ok(BTreeMap::new());
        };
        serde_json::from_slice(&content).map_err(|source| Error::Damaged {
            path,
            source: source.into(),
        })
    }

    pub(super) fn remember_channel(&self, name: &str, seen: Option<Seen>) -> Result<(), Error> {
        let mut all = self.channels()?;
        let before = all.clone();
        match seen {
            Some(seen) => all.insert(name.to_owned(), seen),
            None => all.remove(name),
        };
        if all == before {
            return Ok(());
        }
        let path = self.channels_file();
        if all.is_empty() {
            remove_if_there(&path)?;
            return Ok(());
        }
        let content = serde_json::to_vec(&all).map_err(|source| Error::Damaged {
            path: path.clone(),
            source: source.into(),
        })?;
        Ok(replace(&path, &content, 0o600)?)
    }

    fn lines(&self) -> Result<Vec<Remembered>, Error> {
        let path = self.remembered_file();
        let content = read_if_there(&path, REMEMBERED_MAX_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        let lines: Option<Vec<Remembered>> = text.lines().map(Remembered::read).collect();
        lines.ok_or_else(|| Error::Damaged {
            path,
            source: "a line is not NAME SIGNER VERSION".into(),
        })
    }

    pub(super) fn write_lines(&self, name: &str, line: Option<Remembered>) -> Result<(), Error> {
        let mut lines = self.lines()?;
        lines.retain(|other| other.name != name);
        lines.extend(line);
        lines.sort_by(|a, b| a.name.cmp(&b.name));
        let path = self.remembered_file();
        if lines.is_empty() {
            remove_if_there(&path)?;
            return Ok(());
        }
        let text: String = lines.iter().map(Remembered::print).collect();
        Ok(replace(&path, text.as_bytes(), 0o600)?)
    }
}

impl Remembered {
    fn read(line: &str) -> Option<Remembered> {
        let mut words = line.splitn(3, ' ');
        let name = words.next()?.to_owned();
        let signer = match words.next()? {
            "-" => None,
            digest => Some(digest.parse().ok()?),
        };
        Some(Remembered {
            name,
            signer,
            highest: words.next()?.to_owned(),
        })
    }

    fn print(&self) -> String {
        let signer = self
            .signer
            .map_or_else(|| "-".to_owned(), |signer| signer.to_string());
        format!(
            "{} {signer} {}\n",
            self.name,
            self.highest.replace('\n', " ")
        )
    }
}
