//! The batches of one directory, forwards or backwards.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Error;
use crate::format::Fields;
use crate::format::batch::{Batch, Payload};
use crate::format::file::{HEADER_BYTES, LogFile, directories, has_header, list};
use crate::format::frame::{Frame, read_at, read_before};

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

/// A place in a directory.
#[derive(Debug)]
pub(super) struct Cursor {
    way: Way,
    /// Files still to read, in the order of reading.
    files: VecDeque<LogFile>,
    current: Option<Reading>,
}

/// A file being read.
#[derive(Debug)]
pub(super) struct Reading {
    path: PathBuf,
    file: File,
    fields: Rc<Fields>,
    /// Where the frame begins that is read next, or ends.
    place: u64,
}

impl Cursor {
    /// Files that were closed before `since_us` are left out.
    pub(super) fn open(directory: &Path, way: Way, since_us: Option<u64>) -> Result<Cursor, Error> {
        let mut files: VecDeque<LogFile> = list(directory).map_err(Error::of(directory))?.into();
        while files
            .get(1)
            .zip(since_us)
            .is_some_and(|(next, since)| next.created_us <= since)
        {
            files.pop_front();
        }
        if way == Way::Backwards {
            files.make_contiguous().reverse();
        }
        Ok(Cursor {
            way,
            files,
            current: None,
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
            self.current = Reading::open(&file.path, self.way)?;
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
    /// `None` for a file that vanished meanwhile, or that is of another format.
    pub(super) fn open(path: &Path, way: Way) -> Result<Option<Reading>, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::of(path)(error)),
        };
        Reading::prepare(path, file, way).map_err(Error::of(path))
    }

    fn prepare(path: &Path, file: File, way: Way) -> io::Result<Option<Reading>> {
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

    fn frame(&self, way: Way) -> io::Result<Option<Frame>> {
        match way {
            Way::Forwards => read_at(&self.file, self.place),
            Way::Backwards => read_before(&self.file, self.place, HEADER_BYTES),
        }
    }

    /// Skips what is there.
    pub(super) fn skip_to_end(&mut self) -> Result<(), Error> {
        self.place = end_of_frames(&self.file).map_err(Error::of(&self.path))?;
        Ok(())
    }
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
    for directory in directories(root).map_err(Error::of(root))? {
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
