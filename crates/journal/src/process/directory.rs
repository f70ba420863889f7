//! One directory of log files and the file in it that is being written.

use model::sorted::Map;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::format::Fields;
use crate::format::batch::{Batch, Opening, Payload, Progress};
use crate::format::file::{CLOCK_BACK_MAX_US, HEADER, HEADER_BYTES, LogFile, has_header, list};
use crate::format::frame::{PAYLOAD_MAX_BYTES, behind_damage, read_at, seal};

/// Log files are for root and the readers' group.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// What a new file needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Fields of every entry: boot, machine, host name.
    pub(crate) fields: Fields,
    /// The group that may read.
    pub(crate) reader_group: Option<u32>,
}

/// The file being written and what its streams have come to.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    place: LogFile,
    file: File,
    end: u64,
    /// What the file began with; it is no reason to close it.
    begun_bytes: u64,
    streams: Map<u64, Progress>,
    /// The youngest entry.
    latest_us: u64,
    unsynced: bool,
}

/// What is on file.
#[derive(Debug, Default)]
struct Recovered {
    opening: Opening,
    streams: Map<u64, Progress>,
    next_seqnum: u64,
    latest_us: u64,
    end: u64,
}

impl Directory {
    /// Goes on with the newest file of a directory, its torn tail cut, or begins one: in an empty directory, after a
    /// reboot (its streams are gone), and where the newest is not of this format.
    pub(crate) fn open(
        path: &Path,
        setting: &Setting,
        next_seqnum: u64,
        now_us: u64,
    ) -> io::Result<Directory> {
        make_directory(path, setting)?;
        let Some(place) = list(path)?.pop() else {
            return Directory::begin(path, setting, next_seqnum, now_us, Map::new());
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&place.path)?;
        let found = recover(&file)?;
        if !has_header(&file)? || boot(&found.opening.fields) != boot(&setting.fields) {
            return Directory::begin(path, setting, next_seqnum, now_us, Map::new());
        }
        if file.metadata()?.len() > found.end {
            file.set_len(found.end)?;
        }
        Ok(Directory {
            path: path.to_owned(),
            place,
            file,
            end: found.end,
            begun_bytes: HEADER_BYTES,
            streams: found.streams,
            latest_us: found.latest_us,
            unsynced: true,
        })
    }

    /// Writes a new file beside and renames it, so that no file is ever seen without its opening.
    fn begin(
        path: &Path,
        setting: &Setting,
        next_seqnum: u64,
        now_us: u64,
        streams: Map<u64, Progress>,
    ) -> io::Result<Directory> {
        make_directory(path, setting)?;
        let place = LogFile::new(path, next_seqnum, now_us);
        let beside = path.join("new.tmp");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&beside)?;
        set_group(&file, setting)?;
        let opening = Opening {
            fields: setting.fields.clone(),
            next_seqnum,
            streams: streams.values().cloned().collect(),
        };
        let bytes = [HEADER.as_slice(), &opening_frames(opening, now_us)].concat();
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        std::fs::rename(&beside, &place.path)?;
        File::open(path)?.sync_all()?;
        Ok(Directory {
            path: path.to_owned(),
            place,
            file,
            end: bytes.len() as u64,
            begun_bytes: bytes.len() as u64,
            streams,
            latest_us: 0,
            unsynced: false,
        })
    }

    /// Closes the file and begins the next with what the streams have come to.
    pub(crate) fn rotate(
        &mut self,
        setting: &Setting,
        next_seqnum: u64,
        now_us: u64,
    ) -> io::Result<()> {
        self.sync()?;
        *self = Directory::begin(
            &self.path,
            setting,
            next_seqnum,
            now_us,
            self.streams.clone(),
        )?;
        Ok(())
    }

    /// Whether the file is due to be closed: too large, too old, removed by a purge, or the clock went back.
    pub(crate) fn is_due(&self, now_us: u64, max_bytes: u64, max_age_us: u64) -> io::Result<bool> {
        let old = now_us.saturating_sub(self.place.created_us) > max_age_us;
        let back = now_us.saturating_add(CLOCK_BACK_MAX_US) < self.latest_us;
        let large = self.end.saturating_sub(self.begun_bytes) > max_bytes;
        Ok(large || old || back || self.file.metadata()?.nlink() == 0)
    }

    /// Appends a batch as one frame; after an error the file is as before.
    pub(crate) fn append(&mut self, batch: Batch) -> io::Result<()> {
        let realtime_us = batch.realtime_us;
        let payload = Payload::Batch(batch);
        let frame = seal(&payload.encode());
        if let Err(error) = self.file.write_all_at(&frame, self.end) {
            self.file.set_len(self.end)?;
            return Err(error);
        }
        self.end += frame.len() as u64;
        self.latest_us = self.latest_us.max(realtime_us);
        self.unsynced = true;
        if let Payload::Batch(Batch {
            progress: Some(progress),
            ..
        }) = payload
        {
            advance(&mut self.streams, progress);
        }
        Ok(())
    }

    /// How far a stream of this directory is.
    pub(crate) fn progress(&self, stream: u64) -> Option<&Progress> {
        self.streams.get(&stream)
    }

    /// Forgets an unfinished line that could not be stored.
    pub(crate) fn forget_unfinished(&mut self, stream: u64) {
        if let Some(progress) = self.streams.get_mut(&stream) {
            progress.unfinished.clear();
        }
    }

    /// Forgets a stream that the keeper let go of.
    pub(crate) fn forget(&mut self, stream: u64) {
        self.streams.remove(&stream);
    }

    /// Whether something may be lost in a power cut.
    pub(crate) fn is_unsynced(&self) -> bool {
        self.unsynced
    }

    /// Brings everything to the disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.unsynced) {
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// The file being written.
    pub(crate) fn file_path(&self) -> &Path {
        &self.place.path
    }
}

/// The frames that a file begins with: one, unless the unfinished lines of many streams are too long for it. Then each of these
/// follows in a batch of its own.
fn opening_frames(mut opening: Opening, now_us: u64) -> Vec<u8> {
    let whole = Payload::Opening(opening.clone()).encode();
    if whole.len() <= PAYLOAD_MAX_BYTES {
        return seal(&whole);
    }
    let mut unfinished = Vec::new();
    for stream in opening
        .streams
        .iter_mut()
        .filter(|stream| !stream.unfinished.is_empty())
    {
        let batch = Batch {
            first_seqnum: opening.next_seqnum,
            realtime_us: now_us,
            progress: Some(Progress {
                finished: true,
                ..stream.clone()
            }),
            ..Batch::default()
        };
        stream.unfinished.clear();
        unfinished.push(seal(&Payload::Batch(batch).encode()));
    }
    [
        seal(&Payload::Opening(opening).encode()),
        unfinished.concat(),
    ]
    .concat()
}

/// The number after the last entry on file in a directory.
pub(crate) fn next_seqnum(path: &Path) -> io::Result<u64> {
    match list(path)?.pop() {
        Some(newest) => Ok(recover(&File::open(&newest.path)?)?
            .next_seqnum
            .max(newest.first_seqnum)),
        None => Ok(1),
    }
}

fn recover(file: &File) -> io::Result<Recovered> {
    let mut found = Recovered {
        end: HEADER_BYTES,
        next_seqnum: 1,
        ..Recovered::default()
    };
    loop {
        let Some(frame) = read_at(file, found.end)? else {
            // What lies behind a damage is kept: only a torn tail is cut.
            match behind_damage(file, found.end)? {
                Some(place) => found.end = place,
                None => break,
            }
            continue;
        };
        match Payload::decode(&frame.payload) {
            Some(Payload::Batch(batch)) => {
                found.next_seqnum = batch.next_seqnum();
                found.latest_us = found.latest_us.max(batch.realtime_us);
                batch
                    .progress
                    .into_iter()
                    .for_each(|progress| advance(&mut found.streams, progress));
            }
            Some(Payload::Opening(opening)) => {
                found.next_seqnum = opening.next_seqnum;
                found.streams = opening
                    .streams
                    .iter()
                    .map(|progress| (progress.stream, progress.clone()))
                    .collect();
                found.opening = opening;
            }
            None => {}
        }
        found.end = frame.end;
    }
    found.streams.retain(|_, progress| !progress.ended);
    Ok(found)
}

fn advance(streams: &mut Map<u64, Progress>, progress: Progress) {
    let kept = streams.entry(progress.stream).or_default();
    let mut unfinished = if progress.finished {
        Vec::new()
    } else {
        std::mem::take(&mut kept.unfinished)
    };
    unfinished.extend_from_slice(&progress.unfinished);
    *kept = Progress {
        unfinished,
        ..progress
    };
}

fn boot(fields: &Fields) -> Option<&[u8]> {
    fields
        .iter()
        .find(|(name, _)| name == "_BOOT_ID")
        .map(|(_, value)| value.as_slice())
}

fn make_directory(path: &Path, setting: &Setting) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, DIRECTORY_MODE);
    builder.recursive(true).create(path)?;
    set_group(&File::open(path)?, setting)
}

fn set_group(file: &File, setting: &Setting) -> io::Result<()> {
    match setting.reader_group {
        Some(group) => std::os::unix::fs::fchown(file, None, Some(group)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::batch::Line;

    fn setting(boot: &str) -> Setting {
        Setting {
            fields: vec![("_BOOT_ID".into(), boot.into())],
            reader_group: None,
        }
    }

    fn batch(seqnum: u64, message: &str, progress: Option<Progress>) -> Batch {
        let line = Line {
            priority: 6,
            fields: vec![],
            message: message.into(),
        };
        Batch {
            first_seqnum: seqnum,
            lines: vec![line],
            progress,
            ..Batch::default()
        }
    }

    fn progress(number: u64, finished: bool, unfinished: &str) -> Option<Progress> {
        Some(Progress {
            stream: 9,
            number,
            taken: 3,
            finished,
            unfinished: unfinished.into(),
            ..Progress::default()
        })
    }

    #[test]
    fn a_reopened_directory_goes_on_where_it_was() {
        let home = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(home.path(), &setting("b"), 5, 1).unwrap();
        directory
            .append(batch(5, "one", progress(0, true, "ab")))
            .unwrap();
        directory
            .append(batch(6, "two", progress(1, false, "cd")))
            .unwrap();
        let again = Directory::open(home.path(), &setting("b"), 7, 2).unwrap();
        assert_eq!(again.place, directory.place);
        assert_eq!(again.progress(9).unwrap().unfinished, b"abcd");
        assert_eq!(again.progress(9).unwrap().number, 1);
        assert_eq!(next_seqnum(home.path()).unwrap(), 7);
    }

    #[test]
    fn unfinished_lines_of_more_streams_than_a_frame_holds_come_into_the_next_file() {
        const STREAMS: u64 = 100;
        let home = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(home.path(), &setting("b"), 1, 1).unwrap();
        let line = "x".repeat(crate::stream::LINE_MAX_BYTES);
        for stream in 0..STREAMS {
            let progress = Progress {
                stream,
                ..progress(7, true, &line).unwrap()
            };
            let batch = Batch {
                first_seqnum: 1,
                progress: Some(progress),
                ..Batch::default()
            };
            directory.append(batch).unwrap();
        }
        directory.rotate(&setting("b"), 3, 2).unwrap();
        directory.append(batch(3, "news", None)).unwrap();
        let again = Directory::open(home.path(), &setting("b"), 4, 3).unwrap();
        assert_eq!(again.place, directory.place);
        for stream in 0..STREAMS {
            let known = again.progress(stream).unwrap();
            assert_eq!((known.number, known.unfinished.len()), (7, line.len()));
        }
        assert_eq!(next_seqnum(home.path()).unwrap(), 4);
        assert!(!directory.is_due(3, 1 << 20, 1 << 20).unwrap());
    }

    #[test]
    fn a_torn_tail_is_cut_wherever_it_tore() {
        let home = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(home.path(), &setting("b"), 1, 1).unwrap();
        directory
            .append(batch(1, "one", progress(0, true, "")))
            .unwrap();
        let whole = directory.end;
        directory
            .append(batch(2, "two", progress(1, true, "")))
            .unwrap();
        let bytes = std::fs::read(directory.file_path()).unwrap();
        for end in whole..directory.end {
            std::fs::write(
                directory.file_path(),
                &bytes[..usize::try_from(end).unwrap()],
            )
            .unwrap();
            let mut again = Directory::open(home.path(), &setting("b"), 2, 2).unwrap();
            assert_eq!(
                (again.end, again.progress(9).unwrap().number),
                (whole, 0),
                "cut at {end}"
            );
            again.append(batch(2, "two again", None)).unwrap();
            assert_eq!(next_seqnum(home.path()).unwrap(), 3);
        }
    }

    #[test]
    fn a_damage_in_the_middle_takes_nothing_that_lies_behind_it() {
        let home = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(home.path(), &setting("b"), 1, 1).unwrap();
        let first = directory.end;
        for number in 1..=3 {
            directory
                .append(batch(number, "text", progress(number, true, "")))
                .unwrap();
        }
        let path = directory.file_path().to_owned();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[usize::try_from(first).unwrap() + 20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let mut again = Directory::open(home.path(), &setting("b"), 4, 2).unwrap();
        assert_eq!(again.progress(9).unwrap().number, 3);
        again.append(batch(4, "more", None)).unwrap();
        assert_eq!(again.file_path(), path);
        assert!(std::fs::read(&path).unwrap().starts_with(&bytes));
        assert_eq!(next_seqnum(home.path()).unwrap(), 5);
    }

    #[test]
    fn a_clock_that_goes_back_begins_a_new_file() {
        let home = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(home.path(), &setting("b"), 1, 1).unwrap();
        let hour_us = 3_600_000_000;
        let at = |seqnum, realtime_us| Batch {
            realtime_us,
            ..batch(seqnum, "text", None)
        };
        directory.append(at(1, hour_us)).unwrap();
        assert!(
            !directory
                .is_due(hour_us - 1_000_000, u64::MAX, u64::MAX)
                .unwrap()
        );
        assert!(directory.is_due(hour_us / 2, u64::MAX, u64::MAX).unwrap());
        let again = Directory::open(home.path(), &setting("b"), 2, hour_us / 2).unwrap();
        assert!(again.is_due(hour_us / 2, u64::MAX, u64::MAX).unwrap());
    }

    #[test]
    fn the_next_file_knows_the_streams_of_the_last() {
        let home = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(home.path(), &setting("b"), 1, 1).unwrap();
        directory
            .append(batch(1, "one", progress(4, true, "half")))
            .unwrap();
        assert!(directory.is_due(1, 10, 10).unwrap());
        directory.rotate(&setting("b"), 2, 3).unwrap();
        assert!(!directory.is_due(3, 10_000, 10).unwrap());
        let again = Directory::open(home.path(), &setting("b"), 2, 4).unwrap();
        assert_eq!(again.place.first_seqnum, 2);
        assert_eq!(
            (
                again.progress(9).unwrap().number,
                again.progress(9).unwrap().unfinished.as_slice()
            ),
            (4, b"half".as_slice())
        );
        assert_eq!(list(home.path()).unwrap().len(), 2);
    }

    #[test]
    fn a_new_boot_begins_a_new_file_without_streams() {
        let home = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(home.path(), &setting("b"), 1, 1).unwrap();
        directory
            .append(batch(1, "one", progress(4, true, "half")))
            .unwrap();
        let again = Directory::open(home.path(), &setting("c"), 2, 4).unwrap();
        assert_eq!(again.progress(9), None);
        assert_eq!(list(home.path()).unwrap().len(), 2);
    }

    #[test]
    fn a_file_that_was_purged_under_us_is_due() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::open(&home.path().join("x"), &setting("b"), 1, 1).unwrap();
        std::fs::remove_dir_all(home.path().join("x")).unwrap();
        assert!(directory.is_due(1, 10_000, 10).unwrap());
    }
}
