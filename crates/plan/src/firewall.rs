//! NFTSet=: the numbers of a unit that sets of the firewall hold, and the messages that put them there and take them away
//! (Linux, include/uapi/linux/netfilter/nf_tables.h; netlink(7)).

use model::Unit;
use model::key;
use model::value::{NftSet, NftSource};

/// The numbers of a unit's run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Numbers {
    /// Of its control group: the inode of its directory.
    pub cgroup: Option<u64>,
    /// Of its user, where it has one of its own.
    pub user: Option<u32>,
    /// Of its group.
    pub group: Option<u32>,
}

/// A number that a set is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The set.
    pub set: NftSet,
    /// The number; none where the unit has none of this kind.
    pub number: Option<u64>,
}

/// What the sets that a unit names are to hold.
pub fn elements(unit: &Unit, numbers: &Numbers) -> Vec<Element> {
    let sets = unit.get(&key::NFT_SET).into_iter().flatten();
    let of = |source| match source {
        NftSource::Cgroup => numbers.cgroup,
        NftSource::User => numbers.user.map(u64::from),
        NftSource::Group => numbers.group.map(u64::from),
    };
    sets.map(|set| Element {
        set: set.clone(),
        number: of(set.source),
    })
    .collect()
}

const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const CREATE: u16 = 0x400;

/// `NFNL_MSG_BATCH_BEGIN` and its end.
const BEGIN: u16 = 0x10;
const END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
/// `NFT_MSG_NEWSETELEM`.
const ADD: u16 = SUBSYSTEM << 8 | 12;
/// `NFT_MSG_DELSETELEM`.
const REMOVE: u16 = SUBSYSTEM << 8 | 14;

const NESTED: u16 = 1 << 15;
/// `NFTA_SET_ELEM_LIST_TABLE`, `_SET` and `_ELEMENTS`.
const TABLE: u16 = 1;
const SET: u16 = 2;
const ELEMENTS: u16 = 3 | NESTED;
/// `NFTA_LIST_ELEM`, `NFTA_SET_ELEM_KEY` and `NFTA_DATA_VALUE`.
const ELEMENT: u16 = 1 | NESTED;
const KEY: u16 = 1 | NESTED;
const VALUE: u16 = 1;

/// `NLMSG_ERROR`: an error number, or 0 for done.
const ANSWER: u16 = 2;
const HEADER_BYTES: usize = 16;

impl Element {
    /// Puts the number into its set, or takes it away; a number that is there already may be put again. The sets' types are
    /// `cgroupsv2` of 8 bytes, `uid` and `gid` of 4, all in the machine's order. Nothing without a number.
    fn message(&self, add: bool, sequence: u32) -> Option<Vec<u8>> {
        let number = self.number?;
        let key = match self.set.source {
            NftSource::Cgroup => number.to_ne_bytes().to_vec(),
            NftSource::User | NftSource::Group => {
                u32::try_from(number).ok()?.to_ne_bytes().to_vec()
            }
        };
        let key = attribute(KEY, &attribute(VALUE, &key));
        let name = |text: &str| [text.as_bytes(), &[0]].concat();
        let content = [
            attribute(TABLE, &name(&self.set.table)),
            attribute(SET, &name(&self.set.set)),
            attribute(ELEMENTS, &attribute(ELEMENT, &key)),
        ]
        .concat();
        let (kind, flags) = if add {
            (ADD, REQUEST | ACKNOWLEDGE | CREATE)
        } else {
            (REMOVE, REQUEST | ACKNOWLEDGE)
        };
        Some(part(
            kind,
            flags,
            sequence,
            (self.set.family.0, 0),
            &content,
        ))
    }
}

/// The transaction that puts numbers into sets, or takes them away, each with whether it is put: all of them or none. The answer to the
/// first has the sequence number 1, that to the second 2; one about the whole has 0.
pub fn transaction<'a>(changes: impl Iterator<Item = (&'a Element, bool)>) -> Vec<u8> {
    let mut bytes = part(BEGIN, REQUEST, 0, (0, SUBSYSTEM), &[]);
    for ((element, add), sequence) in changes.zip(1..) {
        bytes.extend(element.message(add, sequence).unwrap_or_default());
    }
    bytes.extend(part(END, REQUEST, 0, (0, SUBSYSTEM), &[]));
    bytes
}

/// An attribute, filled up to four bytes.
fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    // Names have at most 255 bytes, so that no length is beyond its field.
    let length = u16::try_from(4 + content.len()).unwrap_or(u16::MAX);
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A message with netfilter's own header.
fn part(
    kind: u16,
    flags: u16,
    sequence: u32,
    (family, resource): (u8, u16),
    content: &[u8],
) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + 4 + content.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    // The port is the socket's own.
    bytes.extend([0; 4]);
    bytes.extend([family, 0]);
    bytes.extend(resource.to_be_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// What the kernel answers: to which sequence number, and 0 for done or an error number; none where the bytes are no answer.
pub fn answer(bytes: &[u8]) -> Option<(u32, i32)> {
    let kind = bytes.get(4..6)?.try_into().ok()?;
    let sequence = bytes.get(8..12)?.try_into().ok()?;
    let error = bytes.get(HEADER_BYTES..HEADER_BYTES + 4)?.try_into().ok()?;
    let error = i32::from_ne_bytes(error).wrapping_neg();
    (u16::from_ne_bytes(kind) == ANSWER).then(|| (u32::from_ne_bytes(sequence), error))
}

/// As records have it: the set and the number.
impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.number {
            Some(number) => write!(f, "{} {number}", self.set),
            None => write!(f, "{}", self.set),
        }
    }
}

impl Element {
    /// Reads what was recorded.
    pub fn read(text: &str) -> Option<Element> {
        let (set, number) = text.split_once(' ')?;
        Some(Element {
            set: set.parse().ok()?,
            number: Some(number.parse().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Element, Numbers, answer, elements, transaction};
    use model::{TextForm, Unit, key};

    fn unit(text: &str) -> Unit {
        let mut unit = Unit::new("web.service".parse().expect("a name"));
        let sets = model::value::NftSets::parse(text).expect("sets");
        unit.set(&key::NFT_SET, sets);
        unit
    }

    #[test]
    fn each_set_holds_the_number_of_its_kind_and_records_keep_it() {
        let unit = unit("cgroup:inet:f:a user:ip:f:b group:ip6:f:c");
        let numbers = Numbers {
            cgroup: Some(1 << 40),
            user: Some(7),
            group: None,
        };
        let found = elements(&unit, &numbers);
        let texts: Vec<_> = found.iter().map(Element::to_string).collect();
        assert_eq!(
            texts,
            [
                "cgroup:inet:f:a 1099511627776",
                "user:ip:f:b 7",
                "group:ip6:f:c"
            ]
        );
        assert_eq!(Element::read(&texts[0]).as_ref(), Some(&found[0]));
        assert_eq!(Element::read(&texts[2]), None);
        assert_eq!(found[2].message(true, 1), None);
    }

    /// The messages of a transaction.
    fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let length = u32::from_ne_bytes(bytes[..4].try_into().expect("four bytes"));
            let (message, rest) = bytes.split_at(length as usize);
            found.push(message);
            bytes = rest;
        }
        found
    }

    #[test]
    fn a_transaction_has_a_message_for_each_element() {
        let numbers = Numbers {
            user: Some(1000),
            group: Some(7),
            ..Numbers::default()
        };
        let found = elements(
            &unit("user:inet:filter:services group:inet:filter:services"),
            &numbers,
        );
        let bytes = transaction([(&found[0], true), (&found[1], false)].into_iter());
        let messages = messages(&bytes);
        // Begin; header, table, set and the nest of list, element, key and value; end.
        let lengths: Vec<usize> = messages.iter().map(|message| message.len()).collect();
        assert_eq!(lengths, [20, 20 + 12 + 16 + 20, 20 + 12 + 16 + 20, 20]);
        let (put, removal) = (messages[1], messages[2]);
        assert_eq!(put[..12], [68, 0, 0, 0, 12, 10, 5, 4, 1, 0, 0, 0]);
        assert_eq!(put[16], 1, "the family");
        assert_eq!(put[64..68], 1000_u32.to_ne_bytes());
        assert_eq!(removal[..12], [68, 0, 0, 0, 14, 10, 5, 0, 2, 0, 0, 0]);
        assert_eq!(removal[64..68], 7_u32.to_ne_bytes());
    }

    #[test]
    fn answers_are_error_numbers() {
        let mut bytes = [0; 36];
        bytes[4] = 2;
        bytes[8] = 9;
        assert_eq!(answer(&bytes), Some((9, 0)));
        bytes[16..20].copy_from_slice(&(-2_i32).to_ne_bytes());
        assert_eq!(answer(&bytes), Some((9, 2)));
        assert_eq!(answer(&bytes[..19]), None);
        bytes[4] = 3;
        assert_eq!(answer(&bytes), None);
    }
}
