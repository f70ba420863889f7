//! Messages: how they are written, and what is read of one.

/// Bytes of a message that is read; what the bus itself says to a watcher of names is far shorter. Longer ones are skipped.
pub const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// The specification's own limit: what says more is no message.
const SPECIFIED_BYTES_MAX: usize = 128 << 20;
/// What every message begins with: the fixed fields and the length of the others.
pub(crate) const HEAD_BYTES: usize = 16;

/// The bus.
pub(crate) const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

/// Why what came is not of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// It answers the authentication with REJECTED.
    #[error("it does not let this user in")]
    Rejected,
    /// It answers the authentication with no line that the protocol has.
    #[error("its answer to the authentication is not one of a bus")]
    NoBus,
    /// The fixed fields are not those of a message.
    #[error("what it sent is no message")]
    NoMessage,
    /// A field or an argument is not what it should be.
    #[error("a message of it has a field that is cut off, or of another type than it should be")]
    Malformed,
    /// What is asked of it is not taken, or not answered.
    #[error("it does not answer what it is asked")]
    Deaf,
    /// It refuses Hello, by which a connection gets its name.
    #[error("it does not say who we are")]
    NoName,
}

/// How long a message is, by its first [`HEAD_BYTES`] bytes.
pub(crate) fn length(head: &[u8]) -> Result<usize, Defect> {
    let mut reader = Reader::new(head);
    let fixed = reader.take(4)?;
    reader.is_little = match fixed.first() {
        Some(b'l') => true,
        Some(b'B') => false,
        _ => return Err(Defect::NoMessage),
    };
    if fixed.get(3) != Some(&1) {
        return Err(Defect::NoMessage);
    }
    let body = reader.number()? as usize;
    reader.number()?;
    let fields = reader.number()? as usize;
    let whole = HEAD_BYTES
        .checked_add(fields)
        .and_then(|end| end.checked_next_multiple_of(8))
        .and_then(|begin| begin.checked_add(body));
    whole
        .filter(|whole| *whole <= SPECIFIED_BYTES_MAX)
        .ok_or(Defect::NoMessage)
}

/// What the bus said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// The answer to a call.
    Reply {
        to: u32,
        arguments: Vec<Argument<'a>>,
    },
    /// The call failed, by the error's name.
    Failure { to: u32, error: &'a str },
    /// Something happened.
    Signal {
        member: &'a str,
        arguments: Vec<Argument<'a>>,
    },
}

/// An argument of the kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    Text(&'a str),
    Number(u32),
}

#[derive(Default)]
struct Fields<'a> {
    member: Option<&'a str>,
    error: Option<&'a str>,
    reply_to: Option<u32>,
    sender: Option<&'a str>,
    signature: &'a str,
}

/// Reads a whole message; none where somebody else than the bus speaks, or it says nothing that is heard here.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Said<'_>>, Defect> {
    let mut reader = Reader::new(bytes);
    let fixed = reader.take(4)?;
    reader.is_little = fixed.first() == Some(&b'l');
    let kind = fixed.get(1).copied().unwrap_or_default();
    reader.number()?;
    reader.number()?;
    let Some(fields) = read_fields(&mut reader)? else {
        return Ok(None);
    };
    reader.align(8)?;
    if fields.sender != Some(BUS) {
        return Ok(None);
    }
    let needed = |to: Option<u32>| to.ok_or(Defect::Malformed);
    Ok(match kind {
        METHOD_RETURN => Some(Said::Reply {
            to: needed(fields.reply_to)?,
            arguments: arguments(&mut reader, fields.signature)?,
        }),
        ERROR => Some(Said::Failure {
            to: needed(fields.reply_to)?,
            error: fields.error.ok_or(Defect::Malformed)?,
        }),
        SIGNAL => Some(Said::Signal {
            member: fields.member.ok_or(Defect::Malformed)?,
            arguments: arguments(&mut reader, fields.signature)?,
        }),
        _ => None,
    })
}

/// None where there is a field of a kind that the specification has in none: the bus writes no such, but passes it on where others do, who must
/// not end the connection by that.
fn read_fields<'a>(reader: &mut Reader<'a>) -> Result<Option<Fields<'a>>, Defect> {
    let length = reader.number()? as usize;
    let end = reader.at.checked_add(length).ok_or(Defect::Malformed)?;
    let mut fields = Fields::default();
    while reader.at < end {
        reader.align(8)?;
        let code = reader.byte()?;
        let kind = reader.signature()?;
        match (code, kind) {
            (REPLY_SERIAL, "u") => fields.reply_to = Some(reader.number()?),
            (SIGNATURE, "g") => fields.signature = reader.signature()?,
            (MEMBER, "s") => fields.member = Some(reader.text()?),
            (ERROR_NAME, "s") => fields.error = Some(reader.text()?),
            (SENDER, "s") => fields.sender = Some(reader.text()?),
            // All other fields of the specification are of these types; what a later one adds of these is skipped, too.
            (_, "s" | "o") => drop(reader.text()?),
            (_, "u") => drop(reader.number()?),
            (_, "g") => drop(reader.signature()?),
            _ => return Ok(None),
        }
    }
    (reader.at == end)
        .then_some(Some(fields))
        .ok_or(Defect::Malformed)
}

/// Those before the first of another type, which no answer has to what is asked here.
fn arguments<'a>(reader: &mut Reader<'a>, signature: &str) -> Result<Vec<Argument<'a>>, Defect> {
    let mut arguments = Vec::new();
    for kind in signature.bytes() {
        arguments.push(match kind {
            b's' | b'o' => Argument::Text(reader.text()?),
            b'u' => Argument::Number(reader.number()?),
            _ => break,
        });
    }
    Ok(arguments)
}

/// Bytes of a message, aligned as seen from its begin.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    is_little: bool,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            is_little: true,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Defect> {
        let end = self.at.checked_add(count).ok_or(Defect::Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Defect::Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn align(&mut self, to: usize) -> Result<(), Defect> {
        let padding = self.at.next_multiple_of(to) - self.at;
        self.take(padding).map(drop)
    }

    fn byte(&mut self) -> Result<u8, Defect> {
        let byte = self.take(1)?.first();
        byte.copied().ok_or(Defect::Malformed)
    }

    fn number(&mut self) -> Result<u32, Defect> {
        self.align(4)?;
        let bytes = self.take(4)?;
        let bytes = bytes.try_into().map_err(|_| Defect::Malformed)?;
        Ok(match self.is_little {
            true => u32::from_le_bytes(bytes),
            false => u32::from_be_bytes(bytes),
        })
    }

    fn text(&mut self) -> Result<&'a str, Defect> {
        let length = self.number()? as usize;
        self.ended(length)
    }

    fn signature(&mut self) -> Result<&'a str, Defect> {
        let length = usize::from(self.byte()?);
        self.ended(length)
    }

    /// Text with a zero byte behind it.
    fn ended(&mut self, length: usize) -> Result<&'a str, Defect> {
        let text = self.take(length)?;
        if self.byte()? != 0 {
            return Err(Defect::Malformed);
        }
        std::str::from_utf8(text).map_err(|_| Defect::Malformed)
    }
}

/// Writes a call of a method of the bus.
pub(crate) fn call(serial: u32, member: &str, arguments: &[Argument<'_>]) -> Vec<u8> {
    let mut body = Writer::default();
    let mut signature = String::new();
    for argument in arguments {
        match argument {
            Argument::Text(text) => {
                signature.push('s');
                body.text(text);
            }
            Argument::Number(number) => {
                signature.push('u');
                body.number(*number);
            }
        }
    }
    let mut fields = Writer::default();
    for (code, kind, text) in [
        (PATH, "o", BUS_PATH),
        (DESTINATION, "s", BUS),
        (INTERFACE, "s", BUS),
        (MEMBER, "s", member),
    ] {
        fields.align(8);
        fields.0.push(code);
        fields.signature(kind);
        fields.text(text);
    }
    if !signature.is_empty() {
        fields.align(8);
        fields.0.push(SIGNATURE);
        fields.signature("g");
        fields.signature(&signature);
    }
    let mut message = Writer(vec![b'l', METHOD_CALL, 0, 1]);
    for number in [length_of(&body.0), serial, length_of(&fields.0)] {
        message.number(number);
    }
    message.0.extend(fields.0);
    message.align(8);
    message.0.extend(body.0);
    message.0
}

/// Nothing that is written here is longer than a few names: it fits.
fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(length_of(text.as_bytes()));
        self.0.extend(text.bytes().chain([0]));
    }

    fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.bytes().chain([0]));
    }
}

/// Messages of a bus, for tests.
#[cfg(test)]
pub(crate) mod written {
    use super::*;

    pub(crate) fn of_bus(kind: u8, fields: &[(u8, &str, &str)], to: u32, body: &[&str]) -> Vec<u8> {
        let (mut head, mut text) = (Writer::default(), Writer::default());
        body.iter().for_each(|one| text.text(one));
        for (code, kind, value) in fields {
            head.align(8);
            head.0.push(*code);
            head.signature(kind);
            head.text(value);
        }
        if to != 0 {
            head.align(8);
            head.0.push(REPLY_SERIAL);
            head.signature("u");
            head.number(to);
        }
        head.align(8);
        head.0.push(SIGNATURE);
        head.signature("g");
        head.signature(&"s".repeat(body.len()));
        let mut message = Writer(vec![b'l', kind, 0, 1]);
        for number in [length_of(&text.0), 9, length_of(&head.0)] {
            message.number(number);
        }
        message.0.extend(head.0);
        message.align(8);
        message.0.extend(text.0);
        message.0
    }

    pub(crate) fn reply(to: u32, body: &[&str]) -> Vec<u8> {
        of_bus(METHOD_RETURN, &[(SENDER, "s", BUS)], to, body)
    }

    pub(crate) fn failure(to: u32, name: &str) -> Vec<u8> {
        of_bus(
            ERROR,
            &[(SENDER, "s", BUS), (ERROR_NAME, "s", name)],
            to,
            &["why"],
        )
    }

    pub(crate) fn signal(sender: &str, body: &[&str]) -> Vec<u8> {
        signal_with(&[], sender, body)
    }

    /// With these fields, too.
    pub(crate) fn signal_with(more: &[(u8, &str, &str)], sender: &str, body: &[&str]) -> Vec<u8> {
        let fields = [
            (PATH, "o", BUS_PATH),
            (INTERFACE, "s", BUS),
            (MEMBER, "s", "NameOwnerChanged"),
            (SENDER, "s", sender),
        ];
        of_bus(SIGNAL, &[more, &fields].concat(), 0, body)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

    use super::*;

    #[test]
    fn a_call_is_as_long_as_its_head_says_and_as_the_specification_writes_it() {
        let call = call(1, "Hello", &[]);
        assert_eq!(length(&call), Ok(call.len()));
        let expected: &[u8] = b"l\x01\0\x01\0\0\0\0\x01\0\0\0\x6e\0\0\0\
            \x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0\
            \x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0\
            \x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0\
            \x03\x01s\0\x05\0\0\0Hello\0\0\0";
        assert_eq!(call, expected);
    }

    #[test]
    fn only_the_bus_is_heard() {
        let body = ["a.b", "", ":1.2"];
        let said = written::signal(BUS, &body);
        assert_eq!(length(&said), Ok(said.len()));
        let arguments = body.map(Argument::Text).to_vec();
        let member = "NameOwnerChanged";
        assert_eq!(read(&said), Ok(Some(Said::Signal { member, arguments })));
        assert_eq!(read(&written::signal(":1.7", &body)), Ok(None));
    }

    #[test]
    fn fields_that_others_invent_end_nothing() {
        let body = ["a.b", "", ":1.2"];
        for kind in ["as", "v", "a{sv}", "t"] {
            let said = written::signal_with(&[(99, kind, "x")], ":1.7", &body);
            assert_eq!(read(&said), Ok(None), "{kind}");
        }
    }

    #[test]
    fn what_is_cut_off_or_says_lengths_that_are_not_there_is_a_defect() {
        let whole = written::failure(3, "a.b.C");
        for cut in HEAD_BYTES..whole.len() - 12 {
            assert!(read(&whole[..cut]).is_err(), "{cut}");
        }
        for (at, value) in [(0, b'x'), (3, 2), (7, 0xff), (15, 0xff)] {
            let mut bad = whole.clone();
            bad[at] = value;
            assert_eq!(length(&bad), Err(Defect::NoMessage), "{at}");
        }
    }

    proptest::proptest! {
        #[test]
        fn hostile_bytes_are_read_to_an_end(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            length(&bytes).ok();
            read(&bytes).ok();
        }
    }
}
