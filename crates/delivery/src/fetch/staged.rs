//! What is already there of a content, and what is known of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use super::FromStart;
use crate::digest::{Digest, Hasher};

/// Largest state file that is read, in bytes: an address and two short headers.
const STATE_MAX_BYTES: u64 = 32 * 1024;
/// Longest validator that is kept, in bytes.
const VALIDATOR_MAX_BYTES: usize = 1024;

/// What a resumed fetch must know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The address that was asked for.
    pub(super) url: String,
    /// The strong ETag, or the date of the last change.
    pub(super) validator: Option<String>,
    /// The announced size.
    pub(super) total_bytes: Option<u64>,
}

/// The staging file while it grows; the digest grows with it.
pub(super) struct Staged<'a> {
    file: &'a File,
    state: &'a File,
    known: Known,
    hasher: Hasher,
    bytes: u64,
}

impl<'a> Staged<'a> {
    /// Goes on with what is there if it is of the same address and can be asked for again.
    pub(super) fn open(file: &'a File, state: &'a File, url: &str) -> io::Result<Staged<'a>> {
        let known = read_state(state).filter(|known| known.url == url && known.validator.is_some());
        let fresh = known.is_none();
        let known = known.unwrap_or_else(|| Known {
            url: url.to_owned(),
            ..Known::default()
        });
        let mut staged = Staged {
            file,
            state,
            known,
            hasher: Hasher::default(),
            bytes: 0,
        };
        if fresh {
            staged.restart()?;
        } else {
            staged.hash_what_is_there()?;
        }
        Ok(staged)
    }

    fn hash_what_is_there(&mut self) -> io::Result<()> {
        let mut reader = FromStart {
            file: self.file,
            place: 0,
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(buffer.get(..count).unwrap_or_default());
            self.bytes += count as u64;
        }
    }

    /// Throws away what is there.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.hasher = Hasher::default();
        self.bytes = 0;
        self.known.validator = None;
        self.known.total_bytes = None;
        self.state.set_len(0)?;
        self.file.set_len(0)
    }

    /// Notes what the server says of the content that comes now.
    pub(super) fn note(
        &mut self,
        validator: Option<String>,
        total_bytes: Option<u64>,
    ) -> io::Result<()> {
        self.known.validator = validator.filter(|text| text.len() <= VALIDATOR_MAX_BYTES);
        self.known.total_bytes = total_bytes;
        let text = serde_json::to_vec(&self.known).map_err(io::Error::other)?;
        self.state.set_len(0)?;
        self.state.write_all_at(&text, 0)
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.bytes)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    pub(super) fn digest(self) -> io::Result<(Digest, u64)> {
        self.file.sync_data()?;
        Ok(self.hasher.finish())
    }
}

/// A state that cannot be read is none: the fetch begins anew.
fn read_state(state: &File) -> Option<Known> {
    let mut text = Vec::new();
    FromStart {
        file: state,
        place: 0,
    }
    .take(STATE_MAX_BYTES)
    .read_to_end(&mut text)
    .ok()?;
    serde_json::from_slice(&text).ok()
}
