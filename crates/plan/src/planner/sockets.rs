//! The role that only makes listening sockets: a step for each, then the end.

use std::net::IpAddr;

use model::value::{ListenAddress, NetlinkListen, SocketProtocol};
use model::{Directive, Listen, key};

use super::Refusal;
use super::draft::{Draft, number, text};
use super::socket_options::{self, Family, Kind};
use crate::code::ListBuf;
use crate::step::{Address, QueueSize, Setting, SettingsBuf, Step};

const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;
const SOCK_SEQPACKET: u32 = 5;

/// All sockets of the unit, numbered in the order in which they are written: so they are handed on.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let unit = draft.unit;
    for (index, listens) in (0..).zip(unit.listens()) {
        let directive = listens.directive();
        match listens {
            Listen::Address(_, address) => one(draft, directive, address, index)?,
            Listen::Fifo(path) => {
                let address = Address::Fifo { path: &text(path) };
                listen(draft, directive, (0, 0), address, index);
            }
            Listen::Queue(name) => {
                let size = queue_size(draft)?;
                let address = Address::Queue {
                    name: &text(name),
                    size,
                };
                listen(draft, directive, (0, 0), address, index);
            }
            Listen::Netlink(netlink) => self::netlink(draft, netlink, index)?,
            Listen::Special(path) => {
                let address = Address::Special {
                    path: &text(path),
                    writable: draft.is_on(&key::WRITABLE),
                };
                listen(draft, directive, (0, 0), address, index);
            }
            Listen::UsbFunction(_) => {
                draft.cannot(directive, "this kind of socket is not made in this version")?;
            }
        }
    }
    draft.frame(Step::Finish);
    Ok(())
}

/// Both, or as the host is set.
fn queue_size(draft: &mut Draft<'_>) -> Result<Option<QueueSize>, Refusal> {
    let unit = draft.unit;
    let messages = unit.get(&key::MESSAGE_QUEUE_MAX_MESSAGES).copied();
    let bytes = unit.get(&key::MESSAGE_QUEUE_MESSAGE_SIZE).copied();
    match (messages, bytes) {
        (Some(messages), Some(bytes)) => Ok(Some(QueueSize { messages, bytes })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            let directive = key::MESSAGE_QUEUE_MAX_MESSAGES.directive();
            draft.cannot(directive, "it needs MessageQueueMessageSize= beside it")?;
            Ok(None)
        }
        (None, Some(_)) => {
            let directive = key::MESSAGE_QUEUE_MESSAGE_SIZE.directive();
            draft.cannot(directive, "it needs MessageQueueMaxMessages= beside it")?;
            Ok(None)
        }
    }
}

fn netlink(draft: &mut Draft<'_>, netlink: &NetlinkListen, index: u32) -> Result<(), Refusal> {
    let directive = key::LISTEN_NETLINK.directive();
    let Some(protocol) = netlink.protocol() else {
        return draft.cannot(directive, "there is no such family");
    };
    let address = Address::Netlink {
        groups: netlink.group,
    };
    listen(draft, directive, (SOCK_RAW, protocol), address, index);
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
    address: &ListenAddress,
    index: u32,
) -> Result<(), Refusal> {
    let path;
    let name;
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
        } => match interface.as_deref().map(|name| (name, name.parse().ok())) {
            None => v6(ip.to_bits(), *port, 0),
            Some((_, Some(scope))) => v6(ip.to_bits(), *port, scope),
            Some((interface, None)) => {
                name = text(interface);
                Address::V6 {
                    high: (ip.to_bits() >> 64) as u64,
                    low: ip.to_bits() as u64,
                    port: *port,
                    scope: 0,
                    interface: Some(&name),
                }
            }
        },
        ListenAddress::Vsock { cid, port } => Address::Vsock {
            cid: *cid,
            port: *port,
        },
    };
    let protocol = protocol(draft, &address);
    listen(
        draft,
        directive,
        (kind(directive), protocol),
        address,
        index,
    );
    Ok(())
}

fn v6<'a>(ip: u128, port: u16, scope: u32) -> Address<'a> {
    Address::V6 {
        high: (ip >> 64) as u64,
        low: ip as u64,
        port,
        scope,
        interface: None,
    }
}

fn listen(
    draft: &mut Draft<'_>,
    directive: Directive,
    (kind, protocol): (u32, u32),
    address: Address<'_>,
    index: u32,
) {
    let file = matches!(address, Address::Unix { .. } | Address::Fifo { .. });
    // Links stand for the one socket file of a unit.
    let links: ListBuf = if file {
        draft.value(&key::SYMLINKS).iter().cloned().collect()
    } else {
        ListBuf::default()
    };
    let settings = settings(draft, &address, kind, protocol);
    let step = Step::Listen {
        index,
        address,
        kind,
        protocol,
        backlog: draft.value(&key::BACKLOG),
        settings: settings.settings(),
        mode: draft.value(&key::SOCKET_MODE).0,
        directory_mode: draft.value(&key::SOCKET_DIRECTORY_MODE).0,
        owned: draft.unit.is_set(key::SOCKET_USER.directive())
            || draft.unit.is_set(key::SOCKET_GROUP.directive()),
        links: links.list(),
    };
    draft.push(directive, step);
}

fn protocol(draft: &Draft<'_>, address: &Address<'_>) -> u32 {
    let is_internet = matches!(address, Address::V4 { .. } | Address::V6 { .. });
    match draft.value(&key::SOCKET_PROTOCOL) {
        _ if !is_internet => 0,
        SocketProtocol::Default => 0,
        SocketProtocol::UdpLite => 136,
        SocketProtocol::Sctp => IPPROTO_SCTP,
        SocketProtocol::Mptcp => 262,
    }
}

/// It has no options of TCP.
const IPPROTO_SCTP: u32 = 132;

fn settings(draft: &Draft<'_>, address: &Address<'_>, kind: u32, protocol: u32) -> SettingsBuf {
    let unit = draft.unit;
    let family = match address {
        Address::V4 { .. } => Family::V4,
        Address::V6 { .. } => Family::V6,
        Address::Unix { .. } | Address::Abstract { .. } => Family::Unix,
        Address::Netlink { .. } => Family::Netlink,
        Address::Vsock { .. } => Family::Vsock,
        Address::Fifo { .. } => return of_pipe(draft),
        Address::Queue { .. } | Address::Special { .. } => return SettingsBuf::default(),
    };
    let mut settings = socket_options::of(
        unit,
        Kind {
            family,
            tcp: matches!(family, Family::V4 | Family::V6)
                && kind == SOCK_STREAM
                && protocol != IPPROTO_SCTP,
            datagrams: kind == SOCK_DGRAM,
        },
    );
    if matches!(address, Address::Unix { .. }) {
        attributes(draft, &mut settings);
    }
    settings
}

fn of_pipe(draft: &Draft<'_>) -> SettingsBuf {
    let mut settings = SettingsBuf::default();
    if let Some(size) = draft.unit.get(&key::PIPE_SIZE).filter(|size| size.0 > 0) {
        let bytes = u32::try_from(size.0).unwrap_or(u32::MAX);
        let directive = key::PIPE_SIZE.directive();
        settings.push(Some(number(directive)), Setting::PipeSize { bytes });
    }
    attributes(draft, &mut settings);
    settings
}

/// XAttrEntryPoint=: what the file has beside its mode.
fn attributes(draft: &Draft<'_>, settings: &mut SettingsBuf) {
    let directive = key::XATTR_ENTRY_POINT.directive();
    for word in draft.value(&key::XATTR_ENTRY_POINT).iter() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let setting = Setting::Attribute {
            name: &text(name),
            value: value.as_bytes(),
        };
        settings.push(Some(number(directive)), setting);
    }
}
