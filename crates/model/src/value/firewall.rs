//! Sets of the firewall that hold numbers of units.

use super::words::{Item, list};
use crate::text::{Expand, Form, ParseError};

/// Which of a unit's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NftSource {
    /// The number of its control group.
    Cgroup,
    /// The number of its user.
    User,
    /// The number of its group.
    Group,
}

impl NftSource {
    const ALL: [(NftSource, &'static str); 3] = [
        (NftSource::Cgroup, "cgroup"),
        (NftSource::User, "user"),
        (NftSource::Group, "group"),
    ];
}

/// A family of tables, by the kernel's `NFPROTO_` number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NftFamily(pub u8);

/// Families by name (linux/netfilter.h).
const FAMILIES: [(u8, &str); 6] = [
    (1, "inet"),
    (2, "ip"),
    (3, "arp"),
    (5, "netdev"),
    (7, "bridge"),
    (10, "ip6"),
];

/// Longest name of a table or a set, in bytes: `NFT_NAME_MAXLEN` with its zero.
const NAME_BYTES_MAX: usize = 255;

/// One set, and what of the unit it holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NftSet {
    /// What it holds.
    pub source: NftSource,
    /// The family of its table.
    pub family: NftFamily,
    /// Its table.
    pub table: String,
    /// Its name.
    pub set: String,
}

impl NftSet {
    fn read(text: &str) -> Option<NftSet> {
        let mut fields = text.split(':');
        let (source, family) = (fields.next()?, fields.next()?);
        let (source, _) = NftSource::ALL
            .into_iter()
            .find(|(_, name)| *name == source)?;
        let (family, _) = FAMILIES.into_iter().find(|(_, name)| *name == family)?;
        let (table, set) = (fields.next()?, fields.next()?);
        (is_name(table) && is_name(set) && fields.next().is_none()).then(|| NftSet {
            source,
            family: NftFamily(family),
            table: table.to_owned(),
            set: set.to_owned(),
        })
    }
}

/// Names as nft(8) reads them without quotes.
fn is_name(text: &str) -> bool {
    let is_inner =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'\\' | b'_' | b'.');
    text.len() <= NAME_BYTES_MAX
        && text
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic())
        && text.bytes().all(is_inner)
}

impl std::fmt::Display for NftSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let source = NftSource::ALL.iter().find(|(one, _)| *one == self.source);
        let family = FAMILIES.iter().find(|(one, _)| *one == self.family.0);
        let (source, family) = (
            source.map_or("", |(_, name)| name),
            family.map_or("", |(_, name)| name),
        );
        write!(f, "{source}:{family}:{}:{}", self.table, self.set)
    }
}

impl std::str::FromStr for NftSet {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<NftSet, ParseError> {
        NftSet::read(text)
            .ok_or_else(|| ParseError::not_a(text, "a set such as user:inet:filter:services"))
    }
}

impl Item for NftSet {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<NftSet, ParseError> {
        expand.expand(text)?.parse()
    }

    fn print_item(&self, form: Form) -> String {
        form.part(&self.to_string()).into_owned()
    }
}

list! {
    /// Sets of the firewall.
    NftSets of NftSet, words
}

#[cfg(test)]
mod tests {
    use super::NftSet;

    #[test]
    fn sets_are_read_field_by_field_and_print_as_they_were() {
        for text in [
            "cgroup:inet:filter:services",
            "user:ip6:a_1:b/c",
            "group:netdev:t:s",
        ] {
            assert_eq!(
                text.parse::<NftSet>()
                    .map(|set| set.to_string())
                    .ok()
                    .as_deref(),
                Some(text)
            );
        }
        let long = format!("user:inet:t:{}", "s".repeat(256));
        for text in [
            "",
            "user:inet:t",
            "user:inet:t:s:x",
            "uid:inet:t:s",
            "user:inet6:t:s",
            "user:inet::s",
            "user:inet:t:1s",
            "user:inet:t:s\u{e4}",
            &long,
        ] {
            assert!(text.parse::<NftSet>().is_err(), "{text}");
        }
    }
}
