//! Addresses, prefixes and ports.

use std::net::IpAddr;

use super::words::{Item, list};
use crate::text::{Expand, Form, ParseError};

/// An IP network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpPrefix {
    /// The address, with the bits after the prefix zero.
    pub address: IpAddr,
    /// How many bits count.
    pub length: u8,
}

impl IpPrefix {
    /// Makes a prefix; the other bits of the address are cleared.
    pub fn new(address: IpAddr, length: u8) -> Option<IpPrefix> {
        let address = match address {
            IpAddr::V4(v4) if length <= 32 => IpAddr::V4(
                (u32::from(v4) & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)).into(),
            ),
            IpAddr::V6(v6) if length <= 128 => IpAddr::V6(
                (u128::from(v6) & u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0))
                    .into(),
            ),
            _ => return None,
        };
        Some(IpPrefix { address, length })
    }

    fn read(text: &str) -> Option<IpPrefix> {
        let (address, length) = text
            .split_once('/')
            .map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().ok()?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        IpPrefix::new(
            address,
            length.map_or(Some(whole), |length| length.parse().ok())?,
        )
    }
}

/// What a word stands for in an address list.
fn named(word: &str) -> Option<&'static [&'static str]> {
    Some(match word {
        "any" => &["0.0.0.0/0", "::/0"],
        "localhost" => &["127.0.0.0/8", "::1/128"],
        "link-local" => &["169.254.0.0/16", "fe80::/64"],
        "multicast" => &["224.0.0.0/4", "ff00::/8"],
        _ => return None,
    })
}

impl std::fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Networks; the words any, localhost, link-local and multicast stand for theirs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct IpPrefixes(pub Vec<IpPrefix>);

impl crate::text::TextForm for IpPrefixes {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<IpPrefixes, ParseError> {
        let mut prefixes = Vec::new();
        for word in crate::text::split_words(text)? {
            match (named(&word), IpPrefix::read(&word)) {
                (Some(names), _) => {
                    prefixes.extend(names.iter().filter_map(|name| IpPrefix::read(name)))
                }
                (None, Some(prefix)) => prefixes.push(prefix),
                (None, None) => {
                    expand.wrong_item(ParseError::not_a(&word, "an IP address or network"))?
                }
            }
        }
        Ok(IpPrefixes(prefixes))
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        let words: Vec<String> = self.0.iter().map(IpPrefix::to_string).collect();
        if words.is_empty() {
            Vec::new()
        } else {
            vec![words.join(" ")]
        }
    }

    fn is_unset(&self) -> bool {
        self.0.is_empty()
    }

    fn append(&mut self, later: IpPrefixes) {
        self.0.extend(later.0);
    }
}

/// Which ports may be bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SocketBindRule {
    /// `ipv4` or `ipv6`; both when empty.
    pub family: String,
    /// `tcp` or `udp`; both when empty.
    pub protocol: String,
    /// First and last port; `None` is any.
    pub ports: Option<(u16, u16)>,
}

impl SocketBindRule {
    fn read(text: &str) -> Option<SocketBindRule> {
        let mut rule = SocketBindRule::default();
        let mut fields = text.split(':').peekable();
        if let Some(family) = fields.next_if(|field| matches!(*field, "ipv4" | "ipv6")) {
            rule.family = family.to_owned();
        }
        if let Some(protocol) = fields.next_if(|field| matches!(*field, "tcp" | "udp")) {
            rule.protocol = protocol.to_owned();
        }
        match fields.next() {
            None if !text.is_empty() => return Some(rule),
            Some("any") => {}
            Some(ports) => {
                let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
                let ports = (first.parse().ok()?, last.parse().ok()?);
                rule.ports = Some(ports).filter(|(first, last)| *first > 0 && first <= last);
                rule.ports?;
            }
            None => return None,
        }
        fields.next().is_none().then_some(rule)
    }
}

impl Item for SocketBindRule {
    fn parse_item(text: &str, _: &dyn Expand) -> Result<SocketBindRule, ParseError> {
        SocketBindRule::read(text)
            .ok_or_else(|| ParseError::not_a(text, "a rule such as ipv4:tcp:8000-8010"))
    }

    fn print_item(&self, _: Form) -> String {
        let ports = match self.ports {
            None => "any".to_owned(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let fields = [self.family.as_str(), self.protocol.as_str(), ports.as_str()];
        fields
            .into_iter()
            .filter(|field| !field.is_empty())
            .collect::<Vec<_>>()
            .join(":")
    }
}

list! {
    /// Rules on binding, one per line.
    SocketBindRules of SocketBindRule, lines
}
