//! What is already there of a content, and what is known of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use super::FromStart;
use super::sink::Sink;

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

/// A content while it grows.
pub(super) struct Staged<'a> {
    sink: &'a mut dyn Sink,
    state: &'a File,
    known: Known,
}

impl<'a> Staged<'a> {
    /// Goes on with what is there if it is of the same address and can be asked for again.
    pub(super) fn open(
        sink: &'a mut dyn Sink,
        state: &'a File,
        url: &str,
    ) -> io::Result<Staged<'a>> {
        let known = read_state(state).filter(|known| known.url == url && known.validator.is_some());
        let fresh = known.is_none();
        let known = known.unwrap_or_else(|| Known {
            url: url.to_owned(),
            ..Known::default()
        });
        let mut staged = Staged { sink, state, known };
        if fresh {
            staged.restart()?;
        }
        Ok(staged)
    }

    /// Throws away what is there.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.known.validator = None;
        self.known.total_bytes = None;
        self.state.set_len(0)?;
        self.sink.restart()
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
        self.sink.append(bytes)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sink.bytes()
    }

    pub(super) fn known(&self) -> &Known {
        &self.known
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
