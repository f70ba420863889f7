//! The batches of one directory, forwards or backwards.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Error;
use crate::format::Fields;
use crate::format::batch::{Batch, Payload};
use crate::format::file::{
    CLOCK_BACK_MAX_US, HEADER_BYTES, LogFile, Namespaces, directories, has_header, list,
};
use crate::format::frame::{Frame, before_damage, behind_damage, read_at, read_before};

/// A batch and the fields of the file that it is in.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) batch: Batch,
    pub(super) file_fields: Rc<Fields>,
}

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Forwards,
    Backwards,
}

/// Files that could not be read in full, met on the way.
pub(super) type Damage = Rc<RefCell<BTreeSet<PathBuf>>>;

/// A place in a directory.
#[derive(Debug)]
pub(super) struct Cursor {
    way: Way,
    /// Files still to read, in the order of reading.
    files: VecDeque<LogFile>,
    current: Option<Reading>,
    damage: Damage,
}

/// A file being read.
#[derive(Debug)]
pub(super) struct Reading {
    path: PathBuf,
    file: File,
    fields: Rc<Fields>,
    /// Where the frame begins that is read next, or ends.
    place: u64,
    damage: Damage,
}

impl Cursor {
    /// Files whose last entry is older than `since_us` are left out.
    pub(super) fn open(
        directory: &Path,
        way: Way,
        since_us: Option<u64>,
        damage: Damage,
    ) -> Result<Cursor, Error> {
        let mut files: VecDeque<LogFile> = list(directory).map_err(Error::of(directory))?.into();
        if let Some(since) = since_us {
            files.retain(|file| !ends_before(&file.path, since));
        }
        if way == Way::Backwards {
            files.make_contiguous().reverse();
        }
        Ok(Cursor {
            way,
            files,
            current: None,
            damage,
        })
    }

    /// The next batch that has lines.
    pub(super) fn next(&mut self) -> Result<Option<Found>, Error> {
        loop {
            if let Some(found) = self.next_in_file()? {
                return Ok(Some(found));
            }
            let Some(file) = self.files.pop_front() else {
                return Ok(None);
            };
            self.current = Reading::open(&file.path, self.way, &self.damage)?;
        }
    }

    fn next_in_file(&mut self) -> Result<Option<Found>, Error> {
        match &mut self.current {
            Some(reading) => reading.next(self.way),
            None => Ok(None),
        }
    }
}

impl Reading {
    /// `None` for a file that vanished meanwhile, or that is of another format: that counts as damage.
    pub(super) fn open(path: &Path, way: Way, damage: &Damage) -> Result<Option<Reading>, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::of(path)(error)),
        };
        let reading = Reading::prepare(path, file, way, damage).map_err(Error::of(path))?;
        if reading.is_none() {
            damage.borrow_mut().insert(path.to_owned());
        }
        Ok(reading)
    }

    fn prepare(path: &Path, file: File, way: Way, damage: &Damage) -> io::Result<Option<Reading>> {
        let first = if has_header(&file)? {
            read_at(&file, HEADER_BYTES)?
        } else {
            None
        };
        let Some(Payload::Opening(opening)) = first
            .as_ref()
            .and_then(|frame| Payload::decode(&frame.payload))
        else {
            return Ok(None);
        };
        let place = match way {
            Way::Forwards => HEADER_BYTES,
            Way::Backwards => end_of_frames(&file)?,
        };
        Ok(Some(Reading {
            path: path.to_owned(),
            file,
            fields: Rc::new(opening.fields),
            place,
            damage: Rc::clone(damage),
        }))
    }

    /// The next batch that has lines in this file.
    pub(super) fn next(&mut self, way: Way) -> Result<Option<Found>, Error> {
        while let Some(frame) = self.frame(way).map_err(Error::of(&self.path))? {
            self.place = if way == Way::Forwards {
                frame.end
            } else {
                frame.start
            };
            if let Some(Payload::Batch(batch)) = Payload::decode(&frame.payload)
                && !batch.lines.is_empty()
            {
                return Ok(Some(Found {
                    batch,
                    file_fields: Rc::clone(&self.fields),
                }));
            }
        }
        Ok(None)
    }

    /// The next frame; behind a damage the next one that is whole.
    fn frame(&mut self, way: Way) -> io::Result<Option<Frame>> {
        let at = |place| match way {
            Way::Forwards => read_at(&self.file, place),
            Way::Backwards => read_before(&self.file, place, HEADER_BYTES),
        };
        if let Some(frame) = at(self.place)? {
            return Ok(Some(frame));
        }
        let beyond = match way {
            Way::Forwards => behind_damage(&self.file, self.place)?,
            Way::Backwards if self.place > HEADER_BYTES => {
                before_damage(&self.file, self.place, HEADER_BYTES)?
            }
            Way::Backwards => None,
        };
        let Some(place) = beyond else {
            return Ok(None);
        };
        self.damage.borrow_mut().insert(self.path.clone());
        at(place)
    }

    /// Skips what is there.
    pub(super) fn skip_to_end(&mut self) -> Result<(), Error> {
        self.place = end_of_frames(&self.file).map_err(Error::of(&self.path))?;
        Ok(())
    }
}

/// Whether the last entry of a file is older than `since_us`. A file that can't say so counts as one that is not.
fn ends_before(path: &Path, since_us: u64) -> bool {
    let last = || {
        let file = File::open(path).ok()?;
        let end = file.metadata().ok()?.len();
        let frame = read_before(&file, end, HEADER_BYTES).ok()??;
        match Payload::decode(&frame.payload)? {
            Payload::Batch(batch) => Some(batch.realtime_us),
            Payload::Opening(_) => None,
        }
    };
    last().is_some_and(|last| last.saturating_add(CLOCK_BACK_MAX_US) < since_us)
}

/// Where the last whole frame ends: usually the file's end, otherwise found from the front.
fn end_of_frames(file: &File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    if read_before(file, length, HEADER_BYTES)?.is_some() {
        return Ok(length);
    }
    let mut end = HEADER_BYTES;
    while let Some(frame) = read_at(file, end)? {
        end = frame.end;
    }
    Ok(end)
}

/// Files that do not end with a whole frame, the newest of each directory left out.
pub(super) fn damaged(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut damaged = Vec::new();
    for directory in directories(root, &Namespaces::All).map_err(Error::of(root))? {
        let mut files = list(&directory).map_err(Error::of(&directory))?;
        files.pop();
        for path in files.into_iter().map(|file| file.path) {
            if !is_whole(&path).map_err(Error::of(&path))? {
                damaged.push(path);
            }
        }
    }
    Ok(damaged)
}

fn is_whole(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let mut end = HEADER_BYTES;
    while let Some(frame) = read_at(&file, end)? {
        end = frame.end;
    }
    Ok(has_header(&file)? && end == file.metadata()?.len())
}
