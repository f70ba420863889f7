//! What sockets are told, by what they are: options that make no sense for a kind are not set.

use model::value::{BindIpv6Only, ByteSize, SocketTimestamping, TimeSpan};
use model::{Directive, Key, Unit, key};

use super::draft::{number, text};
use crate::step::{Setting, SettingsBuf};

const SOL_IP: u32 = 0;
const SOL_SOCKET: u32 = 1;
const SOL_TCP: u32 = 6;
const SOL_IPV6: u32 = 41;
const SOL_NETLINK: u32 = 270;

/// The kinds that are told different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6, which may take IPv4 too.
    V6,
    /// Sockets of this host.
    Unix,
    Netlink,
    /// Sockets of virtual machines.
    Vsock,
}

/// A socket that is told something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) family: Family,
    /// It speaks TCP, or what takes its options.
    pub(super) tcp: bool,
    pub(super) datagrams: bool,
}

struct Wishes<'a> {
    unit: &'a Unit,
    settings: SettingsBuf,
}

impl Wishes<'_> {
    fn bytes(&mut self, directive: Directive, (level, name): (u32, u32), value: &[u8]) {
        let setting = Setting::Option {
            level,
            name,
            forced: None,
            value,
        };
        self.settings.push(Some(number(directive)), setting);
    }

    fn number(&mut self, directive: Directive, option: (u32, u32), value: i32) {
        self.bytes(directive, option, &value.to_ne_bytes());
    }

    fn switch(&mut self, key: &Key<bool>, option: (u32, u32)) {
        if self.unit.value(key) {
            self.number(key.directive(), option, 1);
        }
    }

    /// A number that is said, unless it says that nothing is to be set.
    fn said(&mut self, key: &Key<i32>, option: (u32, u32)) {
        if let Some(value) = self.unit.get(key).filter(|value| **value >= 0) {
            self.number(key.directive(), option, *value);
        }
    }

    /// Whole seconds; less than one is one, as none would be something else.
    fn seconds(&mut self, key: &Key<TimeSpan>, option: (u32, u32)) {
        let span = self.unit.get(key).copied();
        let meant = span.filter(|span| *span != TimeSpan::ZERO && *span != TimeSpan::INFINITY);
        if let Some(span) = meant {
            let seconds = span.micros().div_ceil(1_000_000);
            let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
            self.number(key.directive(), option, seconds);
        }
    }

    /// The size of a buffer: first beyond the limit of the host, which takes a privilege.
    fn buffer(&mut self, key: &Key<ByteSize>, name: u32, forced: u32) {
        let Some(size) = self.unit.get(key).filter(|size| size.0 > 0) else {
            return;
        };
        // The kernel doubles it in a number with a sign.
        let bytes = i32::try_from(size.0).unwrap_or(i32::MAX).min(i32::MAX / 2);
        let setting = Setting::Option {
            level: SOL_SOCKET,
            name,
            forced: Some(forced),
            value: &bytes.to_ne_bytes(),
        };
        self.settings.push(Some(number(key.directive())), setting);
    }

    fn interface(&mut self) {
        const SO_BINDTODEVICE: u32 = 25;
        let name = self.unit.get(&key::BIND_TO_DEVICE);
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            let option = (SOL_SOCKET, SO_BINDTODEVICE);
            let directive = key::BIND_TO_DEVICE.directive();
            self.bytes(directive, option, text(name).as_bytes_with_nul());
        }
    }

    fn internet(&mut self, v6: bool) {
        const SO_REUSEADDR: u32 = 2;
        const SO_REUSEPORT: u32 = 15;
        const IP_TOS: u32 = 1;
        const IP_TTL: u32 = 2;
        const IP_PKTINFO: u32 = 8;
        const IP_FREEBIND: u32 = 15;
        const IP_TRANSPARENT: u32 = 19;
        const IPV6_UNICAST_HOPS: u32 = 16;
        const IPV6_V6ONLY: u32 = 26;
        const IPV6_RECVPKTINFO: u32 = 49;
        const IPV6_TCLASS: u32 = 67;
        const IPV6_TRANSPARENT: u32 = 75;
        const IPV6_FREEBIND: u32 = 78;
        // A restarted service gets its port back although old connections linger.
        let again = Setting::Option {
            level: SOL_SOCKET,
            name: SO_REUSEADDR,
            forced: None,
            value: &1i32.to_ne_bytes(),
        };
        self.settings.push(None, again);
        let by_family = |v4, six| if v6 { (SOL_IPV6, six) } else { (SOL_IP, v4) };
        let only = match self.unit.value(&key::BIND_IPV6_ONLY) {
            BindIpv6Only::Default => None,
            BindIpv6Only::Both => Some(0),
            BindIpv6Only::Ipv6Only => Some(1),
        };
        if let Some(only) = only.filter(|_| v6) {
            let directive = key::BIND_IPV6_ONLY.directive();
            self.number(directive, (SOL_IPV6, IPV6_V6ONLY), only);
        }
        self.switch(&key::REUSE_PORT, (SOL_SOCKET, SO_REUSEPORT));
        self.switch(&key::FREE_BIND, by_family(IP_FREEBIND, IPV6_FREEBIND));
        let transparent = by_family(IP_TRANSPARENT, IPV6_TRANSPARENT);
        self.switch(&key::TRANSPARENT, transparent);
        self.switch(
            &key::PASS_PACKET_INFO,
            by_family(IP_PKTINFO, IPV6_RECVPKTINFO),
        );
        if let Some(tos) = self.unit.get(&key::IP_TOS).copied() {
            let directive = key::IP_TOS.directive();
            self.number(directive, (SOL_IP, IP_TOS), i32::from(tos.0));
            if v6 {
                self.number(directive, (SOL_IPV6, IPV6_TCLASS), i32::from(tos.0));
            }
        }
        // An IPv6 socket sends IPv4, too.
        self.said(&key::IP_TTL, (SOL_IP, IP_TTL));
        if v6 {
            self.said(&key::IP_TTL, (SOL_IPV6, IPV6_UNICAST_HOPS));
        }
    }

    fn tcp(&mut self) {
        const SO_KEEPALIVE: u32 = 9;
        const TCP_NODELAY: u32 = 1;
        const TCP_KEEPIDLE: u32 = 4;
        const TCP_KEEPINTVL: u32 = 5;
        const TCP_KEEPCNT: u32 = 6;
        const TCP_DEFER_ACCEPT: u32 = 9;
        const TCP_CONGESTION: u32 = 13;
        self.switch(&key::KEEP_ALIVE, (SOL_SOCKET, SO_KEEPALIVE));
        self.seconds(&key::KEEP_ALIVE_TIME_SEC, (SOL_TCP, TCP_KEEPIDLE));
        self.seconds(&key::KEEP_ALIVE_INTERVAL_SEC, (SOL_TCP, TCP_KEEPINTVL));
        if let Some(probes) = self.unit.get(&key::KEEP_ALIVE_PROBES).copied() {
            let probes = i32::try_from(probes).unwrap_or(i32::MAX);
            let directive = key::KEEP_ALIVE_PROBES.directive();
            if probes > 0 {
                self.number(directive, (SOL_TCP, TCP_KEEPCNT), probes);
            }
        }
        self.switch(&key::NO_DELAY, (SOL_TCP, TCP_NODELAY));
        self.seconds(&key::DEFER_ACCEPT_SEC, (SOL_TCP, TCP_DEFER_ACCEPT));
        let congestion = self.unit.get(&key::TCP_CONGESTION);
        if let Some(name) = congestion.filter(|name| !name.is_empty()) {
            let directive = key::TCP_CONGESTION.directive();
            self.bytes(directive, (SOL_TCP, TCP_CONGESTION), text(name).as_bytes());
        }
    }

    /// What is said of who sends, and what they may send along.
    fn senders(&mut self, family: Family) {
        const SO_PASSCRED: u32 = 16;
        const SO_PASSSEC: u32 = 34;
        const SO_PASSPIDFD: u32 = 76;
        const SO_PASSRIGHTS: u32 = 83;
        const NETLINK_PKTINFO: u32 = 3;
        self.switch(&key::PASS_CREDENTIALS, (SOL_SOCKET, SO_PASSCRED));
        self.switch(&key::PASS_SECURITY, (SOL_SOCKET, SO_PASSSEC));
        if family == Family::Netlink {
            self.switch(&key::PASS_PACKET_INFO, (SOL_NETLINK, NETLINK_PKTINFO));
            return;
        }
        self.switch(&key::PASS_PIDFD, (SOL_SOCKET, SO_PASSPIDFD));
        if !self.unit.value(&key::ACCEPT_FILE_DESCRIPTORS) {
            let directive = key::ACCEPT_FILE_DESCRIPTORS.directive();
            self.number(directive, (SOL_SOCKET, SO_PASSRIGHTS), 0);
        }
    }

    fn all(&mut self) {
        const SO_SNDBUF: u32 = 7;
        const SO_RCVBUF: u32 = 8;
        const SO_PRIORITY: u32 = 12;
        const SO_TIMESTAMP: u32 = 29;
        const SO_SNDBUFFORCE: u32 = 32;
        const SO_RCVBUFFORCE: u32 = 33;
        const SO_TIMESTAMPNS: u32 = 35;
        const SO_MARK: u32 = 36;
        self.buffer(&key::RECEIVE_BUFFER, SO_RCVBUF, SO_RCVBUFFORCE);
        self.buffer(&key::SEND_BUFFER, SO_SNDBUF, SO_SNDBUFFORCE);
        let stamps = match self.unit.value(&key::TIMESTAMPING) {
            SocketTimestamping::Off => None,
            SocketTimestamping::Microseconds => Some(SO_TIMESTAMP),
            SocketTimestamping::Nanoseconds => Some(SO_TIMESTAMPNS),
        };
        if let Some(name) = stamps {
            self.number(key::TIMESTAMPING.directive(), (SOL_SOCKET, name), 1);
        }
        self.said(&key::MARK, (SOL_SOCKET, SO_MARK));
        // After the type of service, which sets it, too.
        self.said(&key::SOCKET_PRIORITY, (SOL_SOCKET, SO_PRIORITY));
    }
}

/// What a socket of this kind is told, in the order of telling.
pub(super) fn of(unit: &Unit, kind: Kind) -> SettingsBuf {
    const SO_BROADCAST: u32 = 6;
    let mut wishes = Wishes {
        unit,
        settings: SettingsBuf::default(),
    };
    match kind.family {
        Family::V4 | Family::V6 => wishes.internet(kind.family == Family::V6),
        Family::Unix | Family::Netlink => wishes.senders(kind.family),
        Family::Vsock => {}
    }
    if kind.tcp {
        wishes.tcp();
    }
    if kind.datagrams && matches!(kind.family, Family::V4 | Family::V6) {
        wishes.switch(&key::BROADCAST, (SOL_SOCKET, SO_BROADCAST));
    }
    wishes.all();
    wishes.interface();
    wishes.settings
}

/// What a connection in the file system, or an abstract one, does not have from its listening socket.
#[must_use]
pub fn connection_settings(unit: &Unit) -> SettingsBuf {
    let kind = Kind {
        family: Family::Unix,
        tcp: false,
        datagrams: false,
    };
    of(unit, kind)
}
