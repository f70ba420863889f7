//! A content on its way from the fetch worker to its caller, which alone writes the file: frames of a length and so many bytes.
//!
//! So the digest grows with the file while more comes, and is of what was written whatever the worker does.

use std::fs::File;
use std::io::{self, IoSlice, PipeReader, PipeWriter, Read, Write};

use anyhow::{Context as _, Result, bail};
use delivery::fetch::{InFile, Sink};

/// Longest frame, in bytes: as much as is read at once.
const FRAME_MAX_BYTES: u32 = 256 * 1024;
/// What is there is thrown away; the content begins anew.
const RESTART: u32 = u32::MAX;
/// There is no more.
const END: u32 = 0;
/// What waits in the pipe at most, so that neither side waits for each frame of the other.
const PIPE_BYTES: usize = 1 << 20;

/// A pipe for one content.
///
/// # Errors
/// When it can't be made.
pub(super) fn pair() -> Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    // An unprivileged user may have too many of them to get so much: then it is slower.
    rustix::pipe::fcntl_setpipe_size(&reader, PIPE_BYTES).ok();
    Ok((reader, writer))
}

/// The worker's side.
pub(super) struct Outward<'a> {
    pipe: &'a File,
    bytes: u64,
}

impl Outward<'_> {
    /// Goes on after so many bytes.
    pub(super) fn new(pipe: &File, bytes: u64) -> Outward<'_> {
        Outward { pipe, bytes }
    }

    /// Says that this was all.
    ///
    /// # Errors
    /// When nobody hears it.
    pub(super) fn end(mut self) -> Result<()> {
        Ok(self.send(END, &[])?)
    }

    fn send(&mut self, word: u32, bytes: &[u8]) -> io::Result<()> {
        let head = word.to_le_bytes();
        let mut parts = [IoSlice::new(&head), IoSlice::new(bytes)];
        let mut left = &mut parts[..];
        while !left.is_empty() {
            let written = self.pipe.write_vectored(left)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut left, written);
        }
        Ok(())
    }
}

impl Sink for Outward<'_> {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(FRAME_MAX_BYTES as usize) {
            // No more than the limit.
            let length = u32::try_from(part.len()).map_err(io::Error::other)?;
            self.send(length, part)?;
            self.bytes += u64::from(length);
        }
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.bytes = 0;
        self.send(RESTART, &[])
    }
}

/// Takes a content into its file until it ends, or the worker does, which says why by other means.
///
/// # Errors
/// When the file can't be written, or the worker sends what it may not.
pub(super) fn take(mut from: PipeReader, into: &mut InFile<'_>, limit_bytes: u64) -> Result<()> {
    let mut buffer = vec![0; FRAME_MAX_BYTES as usize];
    loop {
        let mut head = [0; 4];
        if !is_filled(&mut from, &mut head)? {
            return Ok(());
        }
        match u32::from_le_bytes(head) {
            END => return Ok(()),
            RESTART => into.restart().context("cannot empty the staging file")?,
            length if length > FRAME_MAX_BYTES => bail!("the fetch worker sends too much at once"),
            length => {
                let frame = buffer.get_mut(..length as usize).unwrap_or_default();
                if !is_filled(&mut from, frame)? {
                    return Ok(());
                }
                if into.bytes() + u64::from(length) > limit_bytes {
                    bail!("the fetch worker sends more than {limit_bytes} bytes");
                }
                into.append(frame)
                    .context("cannot write the staging file")?;
            }
        }
    }
}

/// Reads so much; the worker may end before it is there.
fn is_filled(from: &mut PipeReader, room: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(room) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use delivery::digest::Digest;
    use delivery::fetch::Came;

    use super::*;

    /// What is in the file after what `send` does, and whether it was taken.
    fn taken(before: &[u8], limit_bytes: u64, send: impl FnOnce(&File)) -> (Vec<u8>, Result<()>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(before).unwrap();
        let mut into = InFile::open(&file).unwrap();
        let (reader, writer) = pair().unwrap();
        send(&File::from(std::os::fd::OwnedFd::from(writer)));
        let outcome = take(reader, &mut into, limit_bytes);
        let came = Came { expected: None };
        let fetched = into.finish(came, "").unwrap();
        let mut content = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut content).unwrap();
        assert_eq!(fetched.digest, Digest::of(&content));
        assert_eq!(fetched.bytes, content.len() as u64);
        (content, outcome)
    }

    #[test]
    fn a_content_goes_on_from_what_is_there_or_begins_anew() {
        let long = vec![7; 600_000];
        let (content, outcome) = taken(b"begun ", 1 << 20, |pipe| {
            let mut outward = Outward::new(pipe, 6);
            outward.append(&long).unwrap();
            assert_eq!(outward.bytes(), 600_006);
            outward.end().unwrap();
        });
        outcome.unwrap();
        assert!(content == [&b"begun "[..], &long].concat());
        let (content, outcome) = taken(b"other", 10, |pipe| {
            let mut outward = Outward::new(pipe, 5);
            outward.restart().unwrap();
            outward.append(b"anew").unwrap();
        });
        // The worker ended without a word: what came stays.
        outcome.unwrap();
        assert_eq!(content, b"anew");
    }

    #[test]
    fn a_worker_that_sends_what_it_may_not_is_stopped() {
        let (content, outcome) = taken(b"", 10, |pipe| {
            Outward::new(pipe, 0).append(b"eleven byte").unwrap();
        });
        assert!(outcome.is_err() && content.is_empty());
        let (content, outcome) = taken(b"", 1 << 30, |mut pipe| {
            pipe.write_all(&(FRAME_MAX_BYTES + 1).to_le_bytes())
                .unwrap();
        });
        assert!(outcome.is_err() && content.is_empty());
    }
}
