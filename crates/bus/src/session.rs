//! One connection: authentication, who we are, and then names that are watched.

use crate::message::{Argument, Defect, HEAD_BYTES, MESSAGE_BYTES_MAX, Said, call, length, read};
use std::collections::BTreeMap;
use std::mem::take;

/// Bytes that a bus has yet to take, and calls that it has yet to answer: who says more and more of a name, and hears nothing, is left.
const OUTPUT_BYTES_MAX: usize = 4 << 20;
const ASKED_MAX: usize = 16_384;
/// Lines of the authentication are short.
const LINE_BYTES_MAX: usize = 512;

/// What the bus says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Who owns it now, by the name of the connection; none where nobody does.
    Owner {
        /// The name.
        name: String,
        /// The connection.
        owner: Option<String>,
    },
    /// The process of an owner, as [`Session::ask_process`] asked.
    Process {
        /// The name.
        name: String,
        /// The process's number.
        pid: u32,
    },
    /// The bus does not tell who owns the name.
    Refused {
        /// The name.
        name: String,
        /// Its error's name.
        error: String,
    },
    /// The answer to [`Session::own`]: the name is ours.
    Owned,
}

#[derive(Debug)]
enum State {
    /// OK is to come.
    Authenticating,
    /// The answer to the first call is to come; names are asked for then.
    Greeting {
        serial: u32,
    },
    Open,
}

/// What was asked, and of which name.
#[derive(Debug)]
enum Asked {
    Watch(String),
    Owner(String),
    Process(String),
    Own,
}

/// The client's side of a connection.
#[derive(Debug)]
pub struct Session {
    state: State,
    received: Vec<u8>,
    /// Bytes to come that are of a message too long to be read.
    skipped: usize,
    to_send: Vec<u8>,
    last_serial: u32,
    asked: BTreeMap<u32, Asked>,
    /// Names to ask for as soon as the bus says who we are.
    waiting: Vec<String>,
    /// A name to take then.
    owns: Option<String>,
}

impl Session {
    /// Begins as this user (the EXTERNAL mechanism: the socket tells the bus who we are).
    #[must_use]
    pub fn new(uid: u32) -> Self {
        let uid = uid.to_string();
        let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        Self {
            state: State::Authenticating,
            received: Vec::new(),
            skipped: 0,
            to_send: format!("\0AUTH EXTERNAL {hex}\r\n").into_bytes(),
            last_serial: 0,
            asked: BTreeMap::new(),
            waiting: Vec::new(),
            owns: None,
        }
    }

    /// What is to be sent.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.to_send
    }

    /// So much of it was.
    pub fn sent(&mut self, count: usize) {
        self.to_send.drain(..count.min(self.to_send.len()));
    }

    /// Events of this name from now on, and as the first one who owns it now.
    pub fn watch(&mut self, name: &str) {
        if !matches!(self.state, State::Open) {
            return self.waiting.push(name.into());
        }
        let rule = rule(name);
        self.ask(
            "AddMatch",
            &[Argument::Text(&rule)],
            Asked::Watch(name.into()),
        );
        self.ask(
            "GetNameOwner",
            &[Argument::Text(name)],
            Asked::Owner(name.into()),
        );
    }

    /// No events of this name any more, but those on their way.
    pub fn unwatch(&mut self, name: &str) {
        self.waiting.retain(|waiting| waiting != name);
        if matches!(self.state, State::Open) {
            let rule = rule(name);
            self.call("RemoveMatch", &[Argument::Text(&rule)]);
        }
    }

    /// Asks which process a name's owner is.
    pub fn ask_process(&mut self, name: &str, owner: &str) {
        let asked = Asked::Process(name.into());
        self.ask(
            "GetConnectionUnixProcessID",
            &[Argument::Text(owner)],
            asked,
        );
    }

    /// Takes a name; answered where it becomes ours at once.
    pub fn own(&mut self, name: &str) {
        /// Where somebody has it, we don't wait for it.
        const DO_NOT_QUEUE: u32 = 4;
        if !matches!(self.state, State::Open) {
            self.owns = Some(name.into());
            return;
        }
        let arguments = [Argument::Text(name), Argument::Number(DO_NOT_QUEUE)];
        self.ask("RequestName", &arguments, Asked::Own);
    }

    fn ask(&mut self, member: &str, arguments: &[Argument<'_>], asked: Asked) {
        let serial = self.call(member, arguments);
        self.asked.insert(serial, asked);
    }

    fn call(&mut self, member: &str, arguments: &[Argument<'_>]) -> u32 {
        // Zero is no serial.
        self.last_serial = self.last_serial.checked_add(1).unwrap_or(1);
        self.to_send
            .extend(call(self.last_serial, member, arguments));
        self.last_serial
    }

    /// Takes what came.
    ///
    /// # Errors
    /// Where it is not of a bus, or the bus does not let us in: the connection is over.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Defect> {
        let rest = bytes.get(self.skipped..).unwrap_or_default();
        self.skipped = self.skipped.saturating_sub(bytes.len());
        self.received.extend(rest);
        let mut events = Vec::new();
        if matches!(self.state, State::Authenticating) && !self.authenticate()? {
            return Ok(events);
        }
        while let Some(message) = self.next()? {
            if let Some(said) = read(&message)? {
                self.hear(said, &mut events)?;
            }
        }
        if self.to_send.len() > OUTPUT_BYTES_MAX || self.asked.len() > ASKED_MAX {
            return Err(Defect::Deaf);
        }
        Ok(events)
    }

    /// True when the bus has let us in.
    fn authenticate(&mut self) -> Result<bool, Defect> {
        let Some(end) = self.received.iter().position(|byte| *byte == b'\n') else {
            let is_short = self.received.len() <= LINE_BYTES_MAX;
            return is_short.then_some(false).ok_or(Defect::NoBus);
        };
        let line: Vec<u8> = self.received.drain(..=end).collect();
        if line.starts_with(b"REJECTED") {
            return Err(Defect::Rejected);
        }
        if !line.starts_with(b"OK ") || !line.ends_with(b"\r\n") {
            return Err(Defect::NoBus);
        }
        self.to_send.extend(b"BEGIN\r\n");
        let serial = self.call("Hello", &[]);
        self.state = State::Greeting { serial };
        Ok(true)
    }

    /// The next whole message that is not too long.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Defect> {
        loop {
            let Some(head) = self.received.get(..HEAD_BYTES) else {
                return Ok(None);
            };
            let length = length(head)?;
            if length > MESSAGE_BYTES_MAX {
                self.skipped = length.saturating_sub(self.received.len());
                self.received.drain(..length.min(self.received.len()));
            } else if self.received.len() < length {
                return Ok(None);
            } else {
                return Ok(Some(self.received.drain(..length).collect()));
            }
        }
    }

    fn hear(&mut self, said: Said<'_>, events: &mut Vec<Event>) -> Result<(), Defect> {
        if let State::Greeting { serial } = self.state {
            match said {
                Said::Reply { to, .. } if to == serial => self.open(),
                Said::Failure { to, .. } if to == serial => return Err(Defect::NoName),
                _ => {}
            }
            return Ok(());
        }
        match said {
            Said::Signal {
                member: "NameOwnerChanged",
                arguments,
            } => {
                if let [Argument::Text(name), _, Argument::Text(new)] = arguments[..] {
                    events.push(owner(name, new));
                }
            }
            Said::Signal { .. } => {}
            Said::Reply { to, arguments } => {
                let asked = self.asked.remove(&to);
                events.extend(asked.and_then(|asked| answered(asked, &arguments)));
            }
            Said::Failure { to, error } => {
                let asked = self.asked.remove(&to);
                events.extend(asked.and_then(|asked| failed(asked, error)));
            }
        }
        Ok(())
    }

    fn open(&mut self) {
        self.state = State::Open;
        for name in take(&mut self.waiting) {
            self.watch(&name);
        }
        if let Some(name) = self.owns.take() {
            self.own(&name);
        }
    }
}

/// Which signals are sent to us. A name of a bus has no quotation mark in it; what is no name is refused by the bus.
fn rule(name: &str) -> String {
    format!(
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',\
         interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{}'",
        name.replace('\'', "")
    )
}

fn owner(name: &str, owner: &str) -> Event {
    Event::Owner {
        name: name.into(),
        owner: Some(owner)
            .filter(|owner| !owner.is_empty())
            .map(Into::into),
    }
}

fn answered(asked: Asked, arguments: &[Argument<'_>]) -> Option<Event> {
    match (asked, arguments.first()?) {
        (Asked::Owner(name), Argument::Text(new)) => Some(owner(&name, new)),
        (Asked::Process(name), Argument::Number(pid)) => Some(Event::Process { name, pid: *pid }),
        // 1 and 4 of RequestName: it is ours, or was before.
        (Asked::Own, Argument::Number(1 | 4)) => Some(Event::Owned),
        _ => None,
    }
}

fn failed(asked: Asked, error: &str) -> Option<Event> {
    match asked {
        Asked::Owner(name) if error == "org.freedesktop.DBus.Error.NameHasNoOwner" => {
            Some(owner(&name, ""))
        }
        Asked::Watch(name) | Asked::Owner(name) => Some(Event::Refused {
            name,
            error: error.into(),
        }),
        // The owner is gone already, which is told.
        Asked::Process(_) | Asked::Own => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::message::{BUS, written};

    /// A session that is open and has asked for `a.b`: by the calls 2 and 3.
    fn opened() -> Session {
        let mut session = Session::new(0);
        session.watch("a.b");
        assert_eq!(session.output(), b"\0AUTH EXTERNAL 30\r\n");
        session.sent(usize::MAX);
        assert_eq!(session.receive(b"OK 0123").unwrap(), []);
        assert_eq!(session.output(), b"");
        assert_eq!(session.receive(b"4567\r\n").unwrap(), []);
        assert!(session.output().starts_with(b"BEGIN\r\nl"));
        session.sent(usize::MAX);
        assert_eq!(session.receive(&written::reply(1, &[":1.5"])).unwrap(), []);
        session
    }

    fn owned(owner: Option<&str>) -> Event {
        Event::Owner {
            name: "a.b".into(),
            owner: owner.map(Into::into),
        }
    }

    #[test]
    fn who_owns_a_name_is_told_at_first_and_at_each_change() {
        let mut session = opened();
        let asked = String::from_utf8_lossy(session.output()).into_owned();
        assert!(asked.contains("arg0='a.b'") && asked.contains("GetNameOwner"));
        let mut said = written::reply(2, &[]);
        said.extend(written::failure(
            3,
            "org.freedesktop.DBus.Error.NameHasNoOwner",
        ));
        said.extend(written::signal(BUS, &["a.b", "", ":1.9"]));
        said.extend(written::signal(BUS, &["a.b", ":1.9", ""]));
        // Byte by byte, as a socket may give it.
        let mut events = Vec::new();
        for byte in said {
            events.extend(session.receive(&[byte]).unwrap());
        }
        assert_eq!(events, [owned(None), owned(Some(":1.9")), owned(None)]);
        let refused = session.receive(&written::failure(3, "a.Denied")).unwrap();
        assert_eq!(refused, [], "it was answered already");
    }

    #[test]
    fn a_refusal_is_told_by_the_errors_name() {
        let mut session = opened();
        let told = session.receive(&written::failure(2, "a.Denied")).unwrap();
        let (name, error) = ("a.b".into(), "a.Denied".into());
        assert_eq!(told, [Event::Refused { name, error }]);
    }

    #[test]
    fn what_others_send_is_not_heard_and_what_is_too_long_is_not_held() {
        let mut session = opened();
        let long = "x".repeat(2 * MESSAGE_BYTES_MAX);
        let mut said = written::signal(":1.66", &[&long, "", ":1.66"]);
        said.extend(written::signal(":1.66", &["a.b", "", ":1.66"]));
        said.extend(written::signal(BUS, &["a.b", "", ":1.9"]));
        let mut events = Vec::new();
        for part in said.chunks(1000) {
            events.extend(session.receive(part).unwrap());
            assert!(session.received.len() < 2000);
        }
        assert_eq!(events, [owned(Some(":1.9"))]);
    }

    #[test]
    fn who_tells_of_owners_and_answers_nothing_is_left() {
        for is_read in [false, true] {
            let mut session = opened();
            let said = written::signal(BUS, &["a.b", "", ":1.9"]);
            let mut count = 0;
            let end = loop {
                session.ask_process("a.b", ":1.9");
                if is_read {
                    session.sent(usize::MAX);
                }
                match session.receive(&said) {
                    Ok(_) => count += 1,
                    Err(defect) => break defect,
                }
                assert!(count <= ASKED_MAX, "{is_read}");
            };
            assert_eq!(end, Defect::Deaf);
        }
    }

    #[test]
    fn who_is_no_bus_is_left() {
        for (said, defect) in [
            (&b"REJECTED EXTERNAL\r\n"[..], Defect::Rejected),
            (b"HTTP/1.1 400 Bad Request\r\n", Defect::NoBus),
            (&[b'x'; LINE_BYTES_MAX + 1], Defect::NoBus),
        ] {
            assert_eq!(Session::new(1000).receive(said), Err(defect));
        }
        assert_eq!(opened().receive(&[0; 16]), Err(Defect::NoMessage));
    }
}
