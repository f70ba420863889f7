//! Lines that wait in a file of the runtime directory, in their order. It lies in memory, so nothing is synced and nothing blocks.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of lines that may wait: some nine thousand of the usual length.
const WAITING_BYTES_MAX: u64 = 1 << 20;
/// Bytes that are read at once; a line has fewer ([`super::TEXT_BYTES_MAX`]).
const FRONT_BYTES_MAX: usize = 64 << 10;

/// Was there room for a line?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    None,
}

/// See the room.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    file: File,
    waiting_bytes_max: u64,
    end: u64,
    /// Where the first line begins that waits.
    line: u64,
    /// Bytes of that line that are gone already.
    begun: usize,
}

/// The number of a line; none has the line that voids another.
fn number(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    let (_, rest) = line.split_once(super::NUMBER)?;
    rest.split('\x1f').next()?.parse().ok()
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path)
}

impl Spool {
    /// Goes on behind the line of this number; answers the number of the last line, too. A line that was being written is cut off: it
    /// is on record elsewhere, as nothing was done that rests on it.
    pub(crate) fn open(path: &Path, said: u64) -> io::Result<(Self, Option<u64>)> {
        let mut file = open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let (mut line, mut end, mut last) = (0, 0, None);
        for one in text.split_inclusive(|byte| *byte == b'\n') {
            if !one.ends_with(b"\n") {
                break;
            }
            end += one.len() as u64;
            let number = number(one);
            last = number.or(last);
            if number.is_some_and(|number| number <= said) {
                line = end;
            }
        }
        file.set_len(end)?;
        let spool = Self {
            path: path.into(),
            file,
            waiting_bytes_max: WAITING_BYTES_MAX,
            end,
            line,
            begun: 0,
        };
        Ok((spool, last))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.line == self.end
    }

    /// Keeps a line of which so many bytes are gone already; only the first one that waits has some.
    pub(crate) fn append(&mut self, line: &[u8], begun: usize) -> io::Result<Room> {
        // What is begun is to come to its end, however much there is.
        let after = self.end - self.line + line.len() as u64;
        if after > self.waiting_bytes_max && begun == 0 {
            return Ok(Room::None);
        }
        if self.line > self.waiting_bytes_max {
            self.rewrite()?;
        }
        if let Err(error) = self.file.write_all_at(line, self.end) {
            // A part of it would be before the next manager as if it were whole, where the next line is shorter.
            self.file.set_len(self.end)?;
            return Err(error);
        }
        self.end += line.len() as u64;
        self.begun += begun;
        Ok(Room::Enough)
    }

    /// The lines that wait, as many as are read at once, and how many bytes of them are gone.
    pub(crate) fn front(&mut self) -> io::Result<(Vec<u8>, usize)> {
        let waiting = usize::try_from(self.end - self.line).unwrap_or(usize::MAX);
        let mut lines = vec![0; waiting.min(FRONT_BYTES_MAX)];
        self.file.read_exact_at(&mut lines, self.line)?;
        let whole = lines.iter().rposition(|byte| *byte == b'\n');
        lines.truncate(whole.map_or(0, |place| place + 1));
        Ok((lines, self.begun))
    }

    /// So many bytes of the front are gone; answers the number of the last whole line among them.
    pub(crate) fn passed(&mut self, lines: &[u8], gone: usize) -> Option<u64> {
        let gone = lines.get(..gone).unwrap_or(lines);
        let whole = gone.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |place| place + 1);
        self.line += whole as u64;
        self.begun = gone.len() - whole;
        let whole = gone.get(..whole).unwrap_or_default();
        let mut lines = whole.rsplit(|byte| *byte == b'\n');
        lines.find_map(number)
    }

    /// What was begun went to where nobody hears it.
    pub(crate) fn begin_line_again(&mut self) {
        self.begun = 0;
    }

    /// Nothing waits any more.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        if self.end > 0 {
            self.file.set_len(0)?;
        }
        (self.line, self.end, self.begun) = (0, 0, 0);
        Ok(())
    }

    /// Leaves out what is gone; a death at any moment leaves the old file or the new one.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut waiting = vec![0; usize::try_from(self.end - self.line).unwrap_or_default()];
        self.file.read_exact_at(&mut waiting, self.line)?;
        let beside = self.path.with_extension("new");
        if let Err(error) = std::fs::write(&beside, &waiting) {
            // What there is of it would take the room that is wanted.
            std::fs::remove_file(&beside)?;
            return Err(error);
        }
        let file = open(&beside)?;
        std::fs::rename(&beside, &self.path)?;
        (self.file, self.end, self.line) = (file, waiting.len() as u64, 0);
        Ok(())
    }

    /// The device that has no room for a byte, see full(4).
    #[cfg(test)]
    pub(crate) fn on_full_disk(mut self) -> Self {
        self.file = File::options().write(true).open("/dev/full").expect("it");
        self
    }

    #[cfg(test)]
    pub(crate) fn with_room(mut self, bytes: u64) -> Self {
        self.waiting_bytes_max = bytes;
        self
    }
}
