//! The two kinds of payload: a batch of lines with the progress of the stream that they came from, and the
//! opening of a file, which repeats what a reader or a restarted log process must know.

use super::parts::{PartReader, PartWriter};
use super::{Entry, Fields};

const KIND_BATCH: u8 = 1;
const KIND_OPENING: u8 = 2;

/// A payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Lines.
    Batch(Batch),
    /// First in every file.
    Opening(Opening),
}

/// Lines that were read at one moment from one origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Number of the first line; the others follow.
    pub first_seqnum: u64,
    /// When they were read, microseconds since the epoch.
    pub realtime_us: u64,
    /// When they were read, microseconds since boot.
    pub monotonic_us: u64,
    /// What is the same for all of them.
    pub origin: Fields,
    /// How far this brings the stream.
    pub progress: Option<Progress>,
    /// The lines.
    pub lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// 0–7.
    pub priority: u8,
    /// Fields of its own.
    pub fields: Fields,
    /// The text.
    pub message: Vec<u8>,
}

/// How far a stream was read: on file together with what was read, before it is taken from the socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The stream ([`stream_id`]).
    pub stream: u64,
    /// Counts the batches of the stream.
    pub number: u64,
    /// Bytes that this batch takes from the socket.
    pub taken: u32,
    /// The unfinished line of before is in `lines`, or was left out on purpose; nothing of it is kept.
    pub finished: bool,
    /// Bytes of a line that is not finished, after those that are kept.
    pub unfinished: Vec<u8>,
    /// Nothing follows.
    pub ended: bool,
    /// The number of the last line, in a stream whose lines are numbered; else zero.
    pub word: u64,
}

/// Flags of a progress.
const FINISHED: u8 = 1;
const ENDED: u8 = 1 << 1;
const NUMBERED: u8 = 1 << 2;

/// What a file begins with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opening {
    /// Fields of every entry in the file: `_BOOT_ID`, `_MACHINE_ID`, `_HOSTNAME`.
    pub fields: Fields,
    /// Number of the next line.
    pub next_seqnum: u64,
    /// The streams that were open when the file was begun.
    pub streams: Vec<Progress>,
}

/// A stream's number: FNV-1a of the name under which the keeper holds it. Names carry an invocation id, so two
/// streams share a number by a chance of one in 2⁶⁴.
#[must_use]
pub fn stream_id(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Payload {
    /// The bytes of a frame's payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = PartWriter::default();
        match self {
            Payload::Batch(batch) => write_batch(&mut writer, batch),
            Payload::Opening(opening) => write_opening(&mut writer, opening),
        }
        writer.bytes
    }

    /// Reads a payload; `None` for a kind that is not known or bytes that do not fit it.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Payload> {
        let mut reader = PartReader::new(payload);
        let value = match reader.u8()? {
            KIND_BATCH => Payload::Batch(read_batch(&mut reader)?),
            KIND_OPENING => Payload::Opening(read_opening(&mut reader)?),
            _ => return None,
        };
        reader.end(value)
    }
}

fn write_batch(writer: &mut PartWriter, batch: &Batch) {
    writer.u8(KIND_BATCH);
    writer.u64(batch.first_seqnum);
    writer.u64(batch.realtime_us);
    writer.u64(batch.monotonic_us);
    writer.fields(&batch.origin);
    writer.list(batch.progress.as_slice(), write_progress);
    writer.list(&batch.lines, |writer, line| {
        writer.u8(line.priority);
        writer.fields(&line.fields);
        writer.bytes(&line.message);
    });
}

fn read_batch(reader: &mut PartReader<'_>) -> Option<Batch> {
    Some(Batch {
        first_seqnum: reader.u64()?,
        realtime_us: reader.u64()?,
        monotonic_us: reader.u64()?,
        origin: reader.fields()?,
        progress: reader.list(read_progress)?.pop(),
        lines: reader.list(|reader| {
            Some(Line {
                priority: reader.u8()?,
                fields: reader.fields()?,
                message: reader.bytes()?.to_vec(),
            })
        })?,
    })
}

fn write_progress(writer: &mut PartWriter, progress: &Progress) {
    writer.u64(progress.stream);
    writer.u64(progress.number);
    writer.u32(progress.taken);
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    writer.u8(flag(progress.finished, FINISHED)
        | flag(progress.ended, ENDED)
        | flag(progress.word > 0, NUMBERED));
    writer.bytes(&progress.unfinished);
    if progress.word > 0 {
        writer.u64(progress.word);
    }
}

fn read_progress(reader: &mut PartReader<'_>) -> Option<Progress> {
    let (stream, number, taken, flags) =
        (reader.u64()?, reader.u64()?, reader.u32()?, reader.u8()?);
    let unfinished = reader.bytes()?.to_vec();
    let word = if flags & NUMBERED != 0 {
        reader.u64()?
    } else {
        0
    };
    Some(Progress {
        stream,
        number,
        taken,
        finished: flags & FINISHED != 0,
        unfinished,
        ended: flags & ENDED != 0,
        word,
    })
}

fn write_opening(writer: &mut PartWriter, opening: &Opening) {
    writer.u8(KIND_OPENING);
    writer.fields(&opening.fields);
    writer.u64(opening.next_seqnum);
    writer.list(&opening.streams, write_progress);
}

fn read_opening(reader: &mut PartReader<'_>) -> Option<Opening> {
    Some(Opening {
        fields: reader.fields()?,
        next_seqnum: reader.u64()?,
        streams: reader.list(read_progress)?,
    })
}

impl Batch {
    /// Number after the last line.
    #[must_use]
    pub fn next_seqnum(&self) -> u64 {
        self.first_seqnum.saturating_add(self.lines.len() as u64)
    }

    /// The lines as entries, with the fields of the file that they are in.
    pub fn entries<'a>(
        &'a self,
        file: &'a Fields,
    ) -> impl DoubleEndedIterator<Item = Entry> + ExactSizeIterator + 'a {
        self.lines
            .iter()
            .enumerate()
            .map(move |(index, line)| Entry {
                seqnum: self.first_seqnum.saturating_add(index as u64),
                realtime_us: self.realtime_us,
                monotonic_us: self.monotonic_us,
                fields: fields(line, &self.origin, file),
            })
    }
}

fn fields(line: &Line, origin: &Fields, file: &Fields) -> Fields {
    let mut fields = vec![
        ("MESSAGE".to_owned(), line.message.clone()),
        (
            "PRIORITY".to_owned(),
            line.priority.to_string().into_bytes(),
        ),
    ];
    fields.extend(line.fields.iter().chain(origin).chain(file).cloned());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Batch {
        Batch {
            first_seqnum: 7,
            realtime_us: 1,
            monotonic_us: 2,
            origin: vec![("_PID".into(), b"12".to_vec())],
            progress: Some(Progress {
                stream: 9,
                number: 3,
                taken: 10,
                finished: true,
                unfinished: b"ab".to_vec(),
                ended: true,
                word: 1 << 40,
            }),
            lines: vec![
                Line {
                    priority: 6,
                    fields: vec![("UNIT".into(), b"a.service".to_vec())],
                    message: b"one".to_vec(),
                },
                Line {
                    priority: 3,
                    fields: vec![],
                    message: vec![0xff, 0],
                },
            ],
        }
    }

    #[test]
    fn a_batch_comes_back_as_it_was() {
        let payload = Payload::Batch(sample());
        assert_eq!(Payload::decode(&payload.encode()), Some(payload));
    }

    #[test]
    fn an_opening_comes_back_as_it_was() {
        let opening = Opening {
            fields: vec![("_BOOT_ID".into(), b"x".to_vec())],
            next_seqnum: 4,
            streams: sample().progress.into_iter().collect(),
        };
        let payload = Payload::Opening(opening);
        assert_eq!(Payload::decode(&payload.encode()), Some(payload));
    }

    #[test]
    fn no_shortened_lengthened_or_damaged_payload_is_trusted_beyond_its_bytes() {
        let bytes = Payload::Batch(sample()).encode();
        for end in 0..bytes.len() {
            assert_eq!(Payload::decode(&bytes[..end]), None, "{end}");
        }
        assert_eq!(Payload::decode(&[bytes.as_slice(), b"x"].concat()), None);
        for place in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] = value;
                let _any = Payload::decode(&damaged);
            }
        }
    }

    #[test]
    fn entries_are_numbered_and_carry_the_fields_of_batch_and_file() {
        let batch = sample();
        let file = vec![("_BOOT_ID".to_owned(), b"b".to_vec())];
        let entries: Vec<Entry> = batch.entries(&file).collect();
        assert_eq!(
            (entries[0].seqnum, entries[1].seqnum, batch.next_seqnum()),
            (7, 8, 9)
        );
        assert_eq!(entries[0].text("UNIT").unwrap(), "a.service");
        assert_eq!(entries[1].priority(), Some(3));
        assert_eq!(entries[1].text("_PID").unwrap(), "12");
        assert_eq!(entries[1].text("_BOOT_ID").unwrap(), "b");
    }
}
