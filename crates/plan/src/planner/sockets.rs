//! The role that only makes listening sockets: a step for each, then the end.

use std::net::IpAddr;

use model::value::{BindIpv6Only, ListenAddress, SocketProtocol};
use model::{Directive, Listen, key};

use super::Refusal;
use super::draft::{Draft, text};
use crate::code::ListBuf;
use crate::step::{self, Address, Step};

const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_SEQPACKET: u32 = 5;

/// The kinds that nobody makes yet.
const UNKNOWN: [Directive; 4] = [
    key::LISTEN_NETLINK.directive(),
    key::LISTEN_MESSAGE_QUEUE.directive(),
    key::LISTEN_SPECIAL.directive(),
    key::LISTEN_USB_FUNCTION.directive(),
];

/// All sockets of the unit, numbered in the order in which they are written: so they are handed on.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    for directive in UNKNOWN {
        if draft.unit.is_set(directive) {
            draft.cannot(directive, "this kind of socket is not made in this version")?;
        }
    }
    let unit = draft.unit;
    for (index, listens) in (0..).zip(unit.listens()) {
        match listens {
            Listen::Address(directive, address) => {
                one(draft, directive, kind(directive), address, index)?;
            }
            Listen::Fifo(path) => {
                let address = Address::Fifo { path: &text(path) };
                listen(draft, key::LISTEN_FIFO.directive(), 0, address, index);
            }
        }
    }
    draft.frame(Step::Finish);
    Ok(())
}

fn kind(directive: Directive) -> u32 {
    if directive == key::LISTEN_DATAGRAM.directive() {
        SOCK_DGRAM
    } else if directive == key::LISTEN_SEQUENTIAL_PACKET.directive() {
        SOCK_SEQPACKET
    } else {
        SOCK_STREAM
    }
}

fn one(
    draft: &mut Draft<'_>,
    directive: Directive,
    kind: u32,
    address: &ListenAddress,
    index: u32,
) -> Result<(), Refusal> {
    let path;
    let address = match address {
        ListenAddress::Path(name) => {
            path = text(name);
            Address::Unix { path: &path }
        }
        ListenAddress::Abstract(name) => Address::Abstract {
            name: name.as_bytes(),
        },
        ListenAddress::Port(port) if draft.facts.ipv6 => v6(0, *port, 0),
        ListenAddress::Port(port) => Address::V4 { ip: 0, port: *port },
        ListenAddress::Ip {
            address: IpAddr::V4(ip),
            port,
            ..
        } => Address::V4 {
            ip: ip.to_bits(),
            port: *port,
        },
        ListenAddress::Ip {
            address: IpAddr::V6(ip),
            port,
            interface,
        } => {
            // A number is as good as a name; names are looked up where the socket is made, which this version does not.
            let scope = interface
                .as_deref()
                .map_or(Some(0), |name| name.parse().ok());
            match scope {
                Some(scope) => v6(ip.to_bits(), *port, scope),
                None => {
                    return draft.cannot(
                        directive,
                        "give the interface of a link-local address as a number",
                    );
                }
            }
        }
        ListenAddress::Vsock { .. } => {
            return draft.cannot(directive, "VM sockets are not made in this version");
        }
    };
    listen(draft, directive, kind, address, index);
    Ok(())
}

fn v6<'a>(ip: u128, port: u16, scope: u32) -> Address<'a> {
    Address::V6 {
        high: (ip >> 64) as u64,
        low: ip as u64,
        port,
        scope,
    }
}

fn listen(
    draft: &mut Draft<'_>,
    directive: Directive,
    kind: u32,
    address: Address<'_>,
    index: u32,
) {
    let interface = draft
        .unit
        .get(&key::BIND_TO_DEVICE)
        .filter(|name| !name.is_empty())
        .map(|name| text(name));
    let file = matches!(address, Address::Unix { .. } | Address::Fifo { .. });
    // Links stand for the one socket file of a unit.
    let links: ListBuf = if file {
        draft.value(&key::SYMLINKS).iter().cloned().collect()
    } else {
        ListBuf::default()
    };
    let step = Step::Listen {
        index,
        address,
        kind,
        protocol: protocol(draft, &address),
        backlog: draft.value(&key::BACKLOG),
        options: options(draft, &address, kind),
        interface: interface.as_deref(),
        mode: draft.value(&key::SOCKET_MODE).0,
        directory_mode: draft.value(&key::SOCKET_DIRECTORY_MODE).0,
        owned: draft.unit.is_set(key::SOCKET_USER.directive())
            || draft.unit.is_set(key::SOCKET_GROUP.directive()),
        links: links.list(),
    };
    draft.push(directive, step);
}

fn is_internet(address: &Address<'_>) -> bool {
    matches!(address, Address::V4 { .. } | Address::V6 { .. })
}

fn protocol(draft: &Draft<'_>, address: &Address<'_>) -> u32 {
    match draft.value(&key::SOCKET_PROTOCOL) {
        _ if !is_internet(address) => 0,
        SocketProtocol::Default => 0,
        SocketProtocol::UdpLite => 136,
        SocketProtocol::Sctp => 132,
        SocketProtocol::Mptcp => 262,
    }
}

fn options(draft: &Draft<'_>, address: &Address<'_>, kind: u32) -> u32 {
    let internet = is_internet(address);
    let stream = internet && kind == SOCK_STREAM;
    let local = !internet;
    let switches = [
        (&key::REUSE_PORT, step::OPTION_REUSE_PORT, internet),
        (&key::FREE_BIND, step::OPTION_FREE_BIND, internet),
        (&key::TRANSPARENT, step::OPTION_TRANSPARENT, internet),
        (&key::KEEP_ALIVE, step::OPTION_KEEP_ALIVE, stream),
        (&key::NO_DELAY, step::OPTION_NO_DELAY, stream),
        (
            &key::BROADCAST,
            step::OPTION_BROADCAST,
            internet && kind == SOCK_DGRAM,
        ),
        (&key::PASS_CREDENTIALS, step::OPTION_PASS_CREDENTIALS, local),
        (&key::PASS_SECURITY, step::OPTION_PASS_SECURITY, local),
        (&key::PASS_PACKET_INFO, step::OPTION_PACKET_INFO, internet),
    ];
    let only = match draft.value(&key::BIND_IPV6_ONLY) {
        BindIpv6Only::Default => 0,
        BindIpv6Only::Both => step::OPTION_V6_BOTH,
        BindIpv6Only::Ipv6Only => step::OPTION_V6_ONLY,
    };
    switches
        .iter()
        .filter(|(key, _, fits)| *fits && draft.is_on(key))
        .fold(only, |sum, (_, option, _)| sum | option)
}
