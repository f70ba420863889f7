//! Questions to and answers from a name server (RFC 1035), as much of it as addresses need. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest answer that is read, in bytes: what TCP can carry.
pub(super) const MESSAGE_MAX_BYTES: usize = 65535;
/// Most addresses taken from one answer.
const ADDRESSES_MAX: usize = 16;
/// Most compression pointers followed in one name: more is a loop.
const POINTERS_MAX: usize = 32;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Kind::V4 => TYPE_A,
            Kind::V6 => TYPE_AAAA,
        }
    }
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// These addresses; none when the name has none of the kind.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoName,
    /// The rest came not: ask again over TCP.
    Truncated,
    /// The server failed or refused: ask another.
    Failed,
}

/// A question; `None` for a name that cannot be asked for.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    for word in [id, 0x0100, 1, 0, 0, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.extend(encoded_name(name)?);
    message.extend_from_slice(&kind.number().to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    Some(message)
}

fn encoded_name(name: &str) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut bytes = Vec::new();
    for label in name.split('.') {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

/// Reads an answer to a question that [`question`] made; `None` if it is no answer to it.
pub(super) fn answer(question: &[u8], message: &[u8], kind: Kind) -> Option<Answer> {
    let header = message.get(..12)?;
    let id_and_counts = question.get(..2)? == header.get(..2)?;
    let [flags, questions, answers] = [2, 4, 6].map(|place| word(message, place));
    let (flags, questions, answers) = (flags?, questions?, answers?);
    let asked = question.get(12..)?;
    let repeated = message.get(12..12 + asked.len())?;
    if !id_and_counts
        || flags & 0x8000 == 0
        || questions != 1
        || !repeated.eq_ignore_ascii_case(asked)
    {
        return None;
    }
    Some(match flags & 0xf {
        _ if flags & 0x0200 != 0 => Answer::Truncated,
        0 => records(message, 12 + asked.len(), answers, kind)
            .map_or(Answer::Failed, Answer::Addresses),
        3 => Answer::NoName,
        _ => Answer::Failed,
    })
}

/// All records of a kind. Whose they are is not compared: a server that follows aliases gives the aliases' too, and one
/// that lies could as well lie in the name.
fn records(message: &[u8], mut place: usize, count: u16, kind: Kind) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for _ in 0..count {
        place = after_name(message, place)?;
        let (record, class, length) = (
            word(message, place)?,
            word(message, place + 2)?,
            word(message, place + 8)?,
        );
        let data = message.get(place + 10..place + 10 + usize::from(length))?;
        if record == kind.number() && class == CLASS_IN && addresses.len() < ADDRESSES_MAX {
            addresses.push(address(data)?);
        }
        place += 10 + usize::from(length);
    }
    Some(addresses)
}

fn address(data: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(data).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    v4.or_else(|_| <[u8; 16]>::try_from(data).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes))))
        .ok()
}

/// Where a name ends: at its zero, or at the pointer that ends it.
fn after_name(message: &[u8], mut place: usize) -> Option<usize> {
    for _ in 0..POINTERS_MAX + 128 {
        let length = *message.get(place)?;
        match length {
            0 => return Some(place + 1),
            0xc0.. => return Some(place + 2),
            1..=63 => place += usize::from(length) + 1,
            _ => return None,
        }
    }
    None
}

fn word(message: &[u8], place: usize) -> Option<u16> {
    let bytes = message.get(place..place + 2)?;
    bytes.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with an alias and two addresses.
    fn sample(question: &[u8]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2..4].copy_from_slice(&0x8180_u16.to_be_bytes());
        message[6..8].copy_from_slice(&3_u16.to_be_bytes());
        message.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'x', 0xc0, 12]);
        for last in [1, 2] {
            message.extend_from_slice(&[
                1, b'x', 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, last,
            ]);
        }
        message
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_answer_is_read_within_the_limits(edits in proptest::collection::vec((0..120_usize, 0..=255_u8), 0..12), cut in 0..120_usize) {
            let asked = asked();
            let mut message = sample(&asked);
            for (place, byte) in edits {
                if let Some(old) = message.get_mut(place) {
                    *old = byte;
                }
            }
            message.truncate(cut);
            if let Some(Answer::Addresses(found)) = answer(&asked, &message, Kind::V4) {
                assert!(found.len() <= ADDRESSES_MAX);
            }
        }
    }

    fn asked() -> Vec<u8> {
        question(0x1234, "Example.org.", Kind::V4).unwrap()
    }

    #[test]
    fn a_question_is_as_the_standard_has_it() {
        assert_eq!(
            asked(),
            b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01"
        );
        for name in ["", "a..b", &"x".repeat(64), &"ab.".repeat(100)] {
            assert_eq!(question(1, name, Kind::V4), None, "{name}");
        }
    }

    #[test]
    fn addresses_are_found_behind_an_alias() {
        let expected = ["192.0.2.1", "192.0.2.2"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        assert_eq!(
            answer(&asked(), &sample(&asked()), Kind::V4),
            Some(Answer::Addresses(expected))
        );
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        for place in [0, 1, 2, 5, 14, 22, 26] {
            let mut message = sample(&asked());
            message[place] ^= if place == 2 { 0x80 } else { 1 };
            assert_eq!(answer(&asked(), &message, Kind::V4), None, "{place}");
        }
    }

    #[test]
    fn failures_are_told_apart() {
        for (flags, expected) in [
            (0x8183_u16, Answer::NoName),
            (0x8182, Answer::Failed),
            (0x8380, Answer::Truncated),
        ] {
            let mut message = sample(&asked());
            message[2..4].copy_from_slice(&flags.to_be_bytes());
            assert_eq!(answer(&asked(), &message, Kind::V4), Some(expected));
        }
    }

    #[test]
    fn no_damaged_answer_does_harm() {
        let whole = sample(&asked());
        for end in 0..whole.len() {
            let found = answer(&asked(), &whole[..end], Kind::V4);
            assert!(
                matches!(found, None | Some(Answer::Failed)),
                "{end}: {found:?}"
            );
        }
        for place in 0..whole.len() {
            for value in [0, 0x3f, 0x40, 0xc0, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] = value;
                let _any = answer(&asked(), &damaged, Kind::V4);
            }
        }
    }
}
