//! The addresses of a socket unit in the order in which they were written, over all `Listen…=` lists: services get their sockets so.

use crate::value::{ListenAddress, NetlinkListen, Paths};
use crate::{Directive, Key, Unit, key};

/// All directives that name an address; an empty assignment to one of them takes back all.
pub const LISTENS: [Directive; 8] = [
    key::LISTEN_STREAM.directive(),
    key::LISTEN_DATAGRAM.directive(),
    key::LISTEN_SEQUENTIAL_PACKET.directive(),
    key::LISTEN_FIFO.directive(),
    key::LISTEN_MESSAGE_QUEUE.directive(),
    key::LISTEN_NETLINK.directive(),
    key::LISTEN_SPECIAL.directive(),
    key::LISTEN_USB_FUNCTION.directive(),
];

/// One address of a socket unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen<'a> {
    /// ListenStream=, ListenDatagram= or ListenSequentialPacket=
    Address(Directive, &'a ListenAddress),
    /// ListenFIFO=
    Fifo(&'a str),
    /// ListenMessageQueue=
    Queue(&'a str),
    /// ListenNetlink=
    Netlink(&'a NetlinkListen),
    /// ListenSpecial=
    Special(&'a str),
    /// ListenUSBFunction=
    UsbFunction(&'a str),
}

/// A kind whose values are paths.
type Named = (Key<Paths>, for<'a> fn(&'a str) -> Listen<'a>);

const NAMED: [Named; 4] = [
    (key::LISTEN_FIFO, |path| Listen::Fifo(path)),
    (key::LISTEN_MESSAGE_QUEUE, |path| Listen::Queue(path)),
    (key::LISTEN_SPECIAL, |path| Listen::Special(path)),
    (key::LISTEN_USB_FUNCTION, |path| Listen::UsbFunction(path)),
];

impl Unit {
    /// The sockets and pipes that the unit listens on, in the order of their lines; those of units that were not written as lines by kind.
    pub fn listens(&self) -> Vec<Listen<'_>> {
        let mut rest: Vec<(Directive, Vec<Listen<'_>>)> = LISTENS
            .into_iter()
            .map(|directive| (directive, self.listens_of(directive)))
            .collect();
        let mut ordered = Vec::new();
        for written in self.listen_order() {
            let list = rest.iter_mut().find(|(directive, _)| directive == written);
            ordered.extend(
                list.filter(|(_, list)| !list.is_empty())
                    .map(|(_, list)| list.remove(0)),
            );
        }
        ordered.extend(rest.into_iter().flat_map(|(_, list)| list));
        ordered
    }

    fn listens_of(&self, directive: Directive) -> Vec<Listen<'_>> {
        let addresses = [
            &key::LISTEN_STREAM,
            &key::LISTEN_DATAGRAM,
            &key::LISTEN_SEQUENTIAL_PACKET,
        ];
        let named = NAMED.iter().find(|(key, _)| key.directive() == directive);
        if let Some((key, listen)) = named {
            let paths = self.get(key).into_iter();
            return paths
                .flat_map(|paths| paths.iter())
                .map(|path| listen(path))
                .collect();
        }
        if directive == key::LISTEN_NETLINK.directive() {
            let families = self.get(&key::LISTEN_NETLINK).into_iter();
            return families
                .flat_map(|families| families.iter())
                .map(Listen::Netlink)
                .collect();
        }
        let known = addresses
            .into_iter()
            .find(|key| key.directive() == directive);
        let list = known.and_then(|key| self.get(key)).into_iter();
        list.flat_map(|list| list.iter())
            .map(|address| Listen::Address(directive, address))
            .collect()
    }
}

impl Listen<'_> {
    /// The directive that asks for it.
    #[must_use]
    pub const fn directive(&self) -> Directive {
        match self {
            Listen::Address(directive, _) => *directive,
            Listen::Fifo(_) => key::LISTEN_FIFO.directive(),
            Listen::Queue(_) => key::LISTEN_MESSAGE_QUEUE.directive(),
            Listen::Netlink(_) => key::LISTEN_NETLINK.directive(),
            Listen::Special(_) => key::LISTEN_SPECIAL.directive(),
            Listen::UsbFunction(_) => key::LISTEN_USB_FUNCTION.directive(),
        }
    }

    /// What is listened on, as it is written.
    #[must_use]
    pub fn address(&self) -> String {
        match self {
            Listen::Address(_, address) => address.to_string(),
            Listen::Fifo(path)
            | Listen::Queue(path)
            | Listen::Special(path)
            | Listen::UsbFunction(path) => (*path).to_owned(),
            Listen::Netlink(netlink) => format!("{} {}", netlink.family, netlink.group),
        }
    }

    /// The file in the file system that is made for it.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        match self {
            Listen::Address(_, ListenAddress::Path(path)) => Some(path),
            Listen::Fifo(path) => Some(path),
            Listen::Address(..)
            | Listen::Queue(_)
            | Listen::Netlink(_)
            | Listen::Special(_)
            | Listen::UsbFunction(_) => None,
        }
    }
}
