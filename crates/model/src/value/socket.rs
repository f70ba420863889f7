//! What sockets listen on.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    normalize_path,
    words::{Item, list},
};
use crate::text::{Expand, Form, ParseError, TextForm, split_words};

/// An address that a socket is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A socket in the file system.
    Path(String),
    /// A name in the abstract namespace, without the `@`.
    Abstract(String),
    /// A port on every address: IPv6 and IPv4 where the host has IPv6, else IPv4.
    Port(u16),
    /// An IP address with a port.
    Ip {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The network interface of a link-local address.
        interface: Option<String>,
    },
    /// A VM socket; no number of its own for "any".
    Vsock {
        /// The context id; `u32::MAX` is any.
        cid: u32,
        /// The port.
        port: u32,
    },
}

/// Longest path or abstract name, in bytes: `sun_path` without its NUL.
pub const MAX_SUN_PATH_BYTES: usize = 107;

impl ListenAddress {
    fn read(text: &str) -> Result<ListenAddress, ParseError> {
        let wrong = || ParseError::not_a(text, "a socket address");
        if text.starts_with('/') {
            let path = normalize_path(text)?;
            return if path.len() <= MAX_SUN_PATH_BYTES {
                Ok(ListenAddress::Path(path))
            } else {
                Err(wrong())
            };
        }
        if let Some(name) = text.strip_prefix('@') {
            let fits = !name.is_empty() && name.len() <= MAX_SUN_PATH_BYTES;
            return if fits {
                Ok(ListenAddress::Abstract(name.to_owned()))
            } else {
                Err(wrong())
            };
        }
        let vsock = text.strip_prefix("vsock:").map(ListenAddress::vsock);
        vsock
            .or_else(|| {
                text.parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .map(|port| Some(ListenAddress::Port(port)))
            })
            .unwrap_or_else(|| ListenAddress::ip(text))
            .ok_or_else(wrong)
    }

    fn vsock(text: &str) -> Option<ListenAddress> {
        let (cid, port) = text.split_once(':')?;
        let number = |text: &str| {
            if text.is_empty() {
                Some(u32::MAX)
            } else {
                text.parse().ok()
            }
        };
        Some(ListenAddress::Vsock {
            cid: number(cid)?,
            port: number(port)?,
        })
    }

    fn ip(text: &str) -> Option<ListenAddress> {
        let (text, interface) = text
            .split_once('%')
            .map_or((text, None), |(text, name)| (text, Some(name)));
        let (address, port) = text.rsplit_once(':')?;
        let address = match address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(v6) => IpAddr::V6(v6.parse::<Ipv6Addr>().ok()?),
            None => IpAddr::V4(address.parse::<Ipv4Addr>().ok()?),
        };
        let named = interface.is_none_or(|name| {
            (1..=15).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
        });
        let port = port.parse().ok().filter(|port| *port > 0 && named)?;
        Some(ListenAddress::Ip {
            address,
            port,
            interface: interface.map(str::to_owned),
        })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Path(path) => f.write_str(path),
            ListenAddress::Abstract(name) => write!(f, "@{name}"),
            ListenAddress::Port(port) => port.fmt(f),
            ListenAddress::Ip {
                address,
                port,
                interface,
            } => {
                match address {
                    IpAddr::V4(address) => write!(f, "{address}:{port}")?,
                    IpAddr::V6(address) => write!(f, "[{address}]:{port}")?,
                }
                interface.iter().try_for_each(|name| write!(f, "%{name}"))
            }
            ListenAddress::Vsock { cid, port } => {
                let number = |n: u32| {
                    if n == u32::MAX {
                        String::new()
                    } else {
                        n.to_string()
                    }
                };
                write!(f, "vsock:{}:{}", number(*cid), number(*port))
            }
        }
    }
}

impl Item for ListenAddress {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<ListenAddress, ParseError> {
        ListenAddress::read(&expand.expand(text)?)
    }

    fn print_item(&self, form: Form) -> String {
        form.part(&self.to_string()).into_owned()
    }
}

list! {
    /// Addresses, one per line.
    ListenAddresses of ListenAddress, lines
}

/// A netlink family with a multicast group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NetlinkListen {
    /// The family by name.
    pub family: String,
    /// The group.
    pub group: u32,
}

impl NetlinkListen {
    /// The kernel's number of the family (netlink(7)).
    #[must_use]
    pub fn protocol(&self) -> Option<u32> {
        let known = NETLINK.iter().find(|(name, _)| *name == self.family);
        known.map(|(_, number)| *number)
    }
}

const NETLINK: [(&str, u32); 16] = [
    ("route", 0),
    ("firewall", 3),
    ("inet-diag", 4),
    ("nflog", 5),
    ("xfrm", 6),
    ("selinux", 7),
    ("iscsi", 8),
    ("audit", 9),
    ("fib-lookup", 10),
    ("connector", 11),
    ("netfilter", 12),
    ("ip6-fw", 13),
    ("dnrtmsg", 14),
    ("kobject-uevent", 15),
    ("scsitransport", 18),
    ("rdma", 20),
];

impl Item for NetlinkListen {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<NetlinkListen, ParseError> {
        let wrong = || ParseError::not_a(text, "a netlink family with a group");
        let mut words = split_words(&expand.expand(text)?)?.into_iter();
        let family = words
            .next()
            .filter(|family| NETLINK.iter().any(|(name, _)| name == family))
            .ok_or_else(wrong)?;
        let group = words
            .next()
            .map_or(Some(0), |group| group.parse().ok())
            .ok_or_else(wrong)?;
        if words.next().is_some() {
            Err(wrong())
        } else {
            Ok(NetlinkListen { family, group })
        }
    }

    fn print_item(&self, _: Form) -> String {
        format!("{} {}", self.family, self.group)
    }
}

list! {
    /// Netlink families, one per line.
    Netlink of NetlinkListen, lines
}

/// Whether the host name is kept from the unit, and which one it sees instead.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum ProtectHostname {
    /// The host's, and it can be changed.
    #[default]
    No,
    /// One in a namespace of its own, which can't be changed.
    Yes(Option<String>),
    /// One in a namespace of its own, which can be changed.
    Private(Option<String>),
}

impl TextForm for ProtectHostname {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<ProtectHostname, ParseError> {
        let (word, name) = text
            .split_once(':')
            .map_or((text, None), |(word, name)| (word, Some(name)));
        let name = name
            .filter(|name| !name.is_empty())
            .map(|name| expand.expand(name))
            .transpose()?;
        if name.as_deref().is_some_and(|name| !is_hostname(name)) {
            return Err(ParseError::not_a(text, "a host name"));
        }
        match (word, crate::text::parse_bool(word)) {
            (_, Some(false)) if name.is_none() => Ok(ProtectHostname::No),
            (_, Some(true)) => Ok(ProtectHostname::Yes(name)),
            ("private", _) => Ok(ProtectHostname::Private(name)),
            _ => Err(ParseError::not_a(
                text,
                "no, yes or private, perhaps with :NAME",
            )),
        }
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        let with = |word: &str, name: &Option<String>| {
            name.as_ref().map_or(word.to_owned(), |name| {
                format!("{word}:{}", form.part(name))
            })
        };
        vec![match self {
            ProtectHostname::No => "no".to_owned(),
            ProtectHostname::Yes(name) => with("yes", name),
            ProtectHostname::Private(name) => with("private", name),
        }]
    }
}

/// Longest host name that the kernel keeps, in bytes.
pub const MAX_HOSTNAME_BYTES: usize = 64;

fn is_hostname(name: &str) -> bool {
    let label = |label: &str| {
        let inner = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        !label.is_empty() && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= MAX_HOSTNAME_BYTES && name.split('.').all(label)
}
