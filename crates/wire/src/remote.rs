//! What `coracle -H` and `coracle stdio` on another host say to each other: one stream carries the request, the files that the host
//! lacks, the standard streams, signals and the end.
//!
//! The host greets with [`GREETING`]; from then on there are frames in both directions: a kind, a length (four bytes, the highest first)
//! and so many bytes.

use serde::{Deserialize, Serialize};

/// The line with which the host begins. What a login shell writes before it is skipped.
pub const GREETING: &[u8] = b"coracle stdio 1\n";
/// Bytes that may come before the greeting: a host's message of the day, and then some.
pub const NOISE_MAX_BYTES: usize = 64 << 10;
/// Bytes in one frame. The largest is a request, and the kernel takes two megabytes of arguments.
pub const FRAME_MAX_BYTES: usize = 2 << 20;
/// Bytes of a stream in one frame.
pub const CHUNK_BYTES: usize = 32 << 10;
/// Bytes of standard input that may be under way: more is sent when the verb has taken some.
pub const INPUT_WINDOW_BYTES: usize = 1 << 20;
/// Files that one request brings.
pub const FILES_MAX: usize = 64;
/// Bytes of one file: the largest image that comes in anywhere.
pub const FILE_MAX_BYTES: u64 = 16 << 30;

/// Bytes of a frame before its payload.
const HEADER_BYTES: usize = 5;

/// The verb that is to be run, and what comes with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its words, without the name of the command.
    pub words: Vec<Word>,
    /// Files that words name.
    pub files: Vec<File>,
    /// The terminal that the verb gets; none: it gets pipes.
    pub terminal: Option<Terminal>,
    /// Somebody types, or something comes, on its standard input.
    pub has_input: bool,
    /// Seconds after which either side lets the other know that it lives; after six times as many it is given up.
    pub beat_s: u16,
}

/// A word of the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// The word; where it ends in a file's path, what stands before that.
    pub text: String,
    /// The file in [`Request::files`] whose path comes here.
    pub file: Option<usize>,
}

/// A file of the asking side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its name, without directories.
    pub name: String,
    /// SHA-256 of its content, as hexadecimal digits.
    pub digest: String,
    /// In bytes.
    pub length: u64,
    /// Of a compressed file: digest and length of what comes out of it. Who has that needs nothing else.
    pub content: Option<(String, u64)>,
    /// The asking side can say by which chunks it is cut, and send some of them alone.
    #[serde(default)]
    pub has_parts: bool,
}

/// A terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// What it understands (terminfo(5)).
    pub kind: String,
    /// Rows and columns.
    pub size: (u16, u16),
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// To the host, first of all, once.
    Request(Box<Request>),
    /// To the host: the next bytes of the files that it lacks, one after the other.
    Content(Vec<u8>),
    /// To the host: for standard input.
    Input(Vec<u8>),
    /// To the host: nothing more comes on standard input.
    InputEnd,
    /// To the host: the terminal has this many rows and columns now.
    Window(u16, u16),
    /// To the host: the verb is to have this signal.
    Signal(u8),
    /// To the host: how a file is cut, as it asked; nothing: it has to come whole.
    Parts(u32, Vec<u8>),
    /// Both ways: the sender lives.
    Beat,
    /// From the host: it lacks these files; with none, the verb begins.
    Needs(Vec<usize>),
    /// From the host, before it says what it lacks: it has other files that may have much of these.
    AsksParts(Vec<usize>),
    /// From the host: of a file it lacks these ranges alone, each a place and a length.
    NeedsParts(usize, Vec<(u64, u64)>),
    /// From the host: standard output.
    Output(Vec<u8>),
    /// From the host: standard error.
    Errors(Vec<u8>),
    /// From the host: the verb took so many bytes of input.
    Taken(u32),
    /// From the host: it does not run the verb. What, and what to do next.
    Refused(String, String),
    /// From the host: the verb's exit status. Nothing comes after it.
    Ended(u8),
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than any.
    #[error("a frame of {0} bytes is longer than any may be")]
    TooLong(usize),
    /// Of no known kind, or its payload is not what its kind has.
    #[error("a frame of kind {0} is not what this version understands")]
    Unknown(u8),
}

impl Frame {
    /// As it goes over the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Records of texts and numbers always have a JSON form.
        let json = |value: serde_json::Result<Vec<u8>>| value.unwrap_or_default();
        let (kind, payload) = match self {
            Frame::Request(request) => (1, json(serde_json::to_vec(request))),
            Frame::Content(bytes) => (2, bytes.clone()),
            Frame::Input(bytes) => (3, bytes.clone()),
            Frame::InputEnd => (4, Vec::new()),
            Frame::Window(rows, columns) => {
                (5, [rows.to_be_bytes(), columns.to_be_bytes()].concat())
            }
            Frame::Signal(number) => (6, vec![*number]),
            Frame::Beat => (7, Vec::new()),
            Frame::Needs(files) => (8, json(serde_json::to_vec(files))),
            Frame::Output(bytes) => (9, bytes.clone()),
            Frame::Errors(bytes) => (10, bytes.clone()),
            Frame::Taken(bytes) => (11, bytes.to_be_bytes().to_vec()),
            Frame::Refused(what, next) => (12, json(serde_json::to_vec(&(what, next)))),
            Frame::Ended(status) => (13, vec![*status]),
            Frame::AsksParts(files) => (14, json(serde_json::to_vec(files))),
            Frame::Parts(file, list) => (15, [&file.to_be_bytes()[..], list].concat()),
            Frame::NeedsParts(file, ranges) => (16, json(serde_json::to_vec(&(file, ranges)))),
        };
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut bytes = vec![kind];
        bytes.extend(length.to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    fn of(kind: u8, payload: &[u8]) -> Option<Frame> {
        Some(match (kind, payload) {
            (1, text) => Frame::Request(serde_json::from_slice(text).ok()?),
            (2, bytes) => Frame::Content(bytes.to_vec()),
            (3, bytes) => Frame::Input(bytes.to_vec()),
            (4, []) => Frame::InputEnd,
            (5, &[a, b, c, d]) => {
                Frame::Window(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            }
            (6, &[number]) => Frame::Signal(number),
            (7, []) => Frame::Beat,
            (8, text) => Frame::Needs(serde_json::from_slice(text).ok()?),
            (9, bytes) => Frame::Output(bytes.to_vec()),
            (10, bytes) => Frame::Errors(bytes.to_vec()),
            (11, bytes) => Frame::Taken(u32::from_be_bytes(bytes.try_into().ok()?)),
            (12, text) => {
                let (what, next) = serde_json::from_slice(text).ok()?;
                Frame::Refused(what, next)
            }
            (13, &[status]) => Frame::Ended(status),
            (14, text) => Frame::AsksParts(serde_json::from_slice(text).ok()?),
            (15, bytes) => {
                let (file, list) = bytes.split_first_chunk::<4>()?;
                Frame::Parts(u32::from_be_bytes(*file), list.to_vec())
            }
            (16, text) => {
                let (file, ranges) = serde_json::from_slice(text).ok()?;
                Frame::NeedsParts(file, ranges)
            }
            _ => return None,
        })
    }
}

/// What has come and is not used yet.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Looks for the greeting and forgets what came up to its end; false while it has not come.
    ///
    /// # Errors
    /// When more came than may come before it.
    pub fn greeting(&mut self) -> Result<bool, FrameError> {
        let mut windows = self.bytes.windows(GREETING.len());
        if let Some(place) = windows.position(|bytes| bytes == GREETING) {
            self.bytes.drain(..place + GREETING.len());
            return Ok(true);
        }
        match self.bytes.len() {
            length if length > NOISE_MAX_BYTES => Err(FrameError::TooLong(length)),
            _ => Ok(false),
        }
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// When what comes is none.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((&[kind, a, b, c, d], rest)) = self.bytes.split_first_chunk::<HEADER_BYTES>()
        else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > FRAME_MAX_BYTES {
            return Err(FrameError::TooLong(length));
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = Frame::of(kind, payload).ok_or(FrameError::Unknown(kind))?;
        self.bytes.drain(..HEADER_BYTES + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames() -> impl Strategy<Value = Frame> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..300);
        let word = (any::<String>(), proptest::option::of(0..9_usize));
        let words = proptest::collection::vec(word, 0..6);
        let request = words.prop_map(|words| {
            let words = words.into_iter().map(|(text, file)| Word { text, file });
            Frame::Request(Box::new(Request {
                words: words.collect(),
                ..Request::default()
            }))
        });
        prop_oneof![
            request,
            bytes().prop_map(Frame::Content),
            bytes().prop_map(Frame::Input),
            Just(Frame::InputEnd),
            any::<(u16, u16)>().prop_map(|(rows, columns)| Frame::Window(rows, columns)),
            any::<u8>().prop_map(Frame::Signal),
            Just(Frame::Beat),
            proptest::collection::vec(any::<usize>(), 0..9).prop_map(Frame::Needs),
            bytes().prop_map(Frame::Output),
            bytes().prop_map(Frame::Errors),
            any::<u32>().prop_map(Frame::Taken),
            any::<(String, String)>().prop_map(|(what, next)| Frame::Refused(what, next)),
            any::<u8>().prop_map(Frame::Ended),
            proptest::collection::vec(any::<usize>(), 0..9).prop_map(Frame::AsksParts),
            (any::<u32>(), bytes()).prop_map(|(file, list)| Frame::Parts(file, list)),
            (
                any::<usize>(),
                proptest::collection::vec(any::<(u64, u64)>(), 0..9)
            )
                .prop_map(|(file, ranges)| Frame::NeedsParts(file, ranges)),
        ]
    }

    proptest! {
        #[test]
        fn frames_arrive_as_they_were_sent_however_they_are_cut(
            sent in proptest::collection::vec(frames(), 0..8),
            noise in "[a-z\n]{0,80}",
            cut in 1..40_usize,
        ) {
            let mut stream = [noise.as_bytes(), GREETING].concat();
            sent.iter().for_each(|frame| stream.extend(frame.encode()));
            let (mut inbox, mut greeted, mut came) = (Inbox::default(), false, Vec::new());
            for part in stream.chunks(cut) {
                inbox.push(part);
                greeted = greeted || inbox.greeting().unwrap();
                while greeted && let Some(frame) = inbox.next_frame().unwrap() {
                    came.push(frame);
                }
            }
            prop_assert_eq!(came, sent);
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let next = |bytes: &[u8]| {
            let mut inbox = Inbox::default();
            inbox.push(bytes);
            inbox.next_frame()
        };
        assert_eq!(next(&[9, 0, 0, 0]), Ok(None));
        assert_eq!(next(&[9, 0, 0, 0, 1]), Ok(None));
        assert_eq!(next(&[0, 0, 0, 0, 0]), Err(FrameError::Unknown(0)));
        assert_eq!(next(&[13, 0, 0, 0, 0]), Err(FrameError::Unknown(13)));
        assert_eq!(next(&[1, 0, 0, 0, 1, b'{']), Err(FrameError::Unknown(1)));
        let long = next(&[9, 0x7f, 0, 0, 0]);
        assert_eq!(long, Err(FrameError::TooLong(0x7f00_0000)));
        let mut inbox = Inbox::default();
        inbox.push(&vec![b'x'; NOISE_MAX_BYTES + 1]);
        assert!(inbox.greeting().is_err());
    }
}
