//! The words between a worker and its caller: a length, then JSON.

use std::fs::File;
use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest word: an image's unit files and a little more.
const WORD_LIMIT_BYTES: usize = 16 << 20;

/// Sends one word.
pub(super) fn send<T: Serialize>(mut channel: &File, word: &T) -> io::Result<()> {
    let json = serde_json::to_vec(word)?;
    let length = u32::try_from(json.len())
        .ok()
        .filter(|_| json.len() <= WORD_LIMIT_BYTES);
    let length = length.ok_or(io::ErrorKind::FileTooLarge)?;
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend(json);
    channel.write_all(&frame)
}

/// Receives one word.
pub(super) fn receive<T: DeserializeOwned>(mut channel: &File) -> io::Result<T> {
    let mut length = [0; 4];
    channel.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > WORD_LIMIT_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut json = vec![0; length];
    channel.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}
