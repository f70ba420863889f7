//! Socket address families by the kernel's numbers (linux/socket.h).

/// The number of a family's name.
pub fn number(name: &str) -> Option<u16> {
    let name = if name == "AF_LOCAL" { "AF_UNIX" } else { name };
    FAMILIES
        .iter()
        .position(|known| *known == name)
        .and_then(|at| u16::try_from(at).ok())
}

/// The name of a family, its number where it has none.
pub fn name(number: u16) -> String {
    FAMILIES
        .get(usize::from(number))
        .map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// AF_UNIX.
pub const UNIX: u16 = 1;
/// AF_INET.
pub const INET: u16 = 2;
/// AF_INET6.
pub const INET6: u16 = 10;
/// AF_NETLINK.
pub const NETLINK: u16 = 16;
/// AF_PACKET.
pub const PACKET: u16 = 17;
/// AF_VSOCK.
pub const VSOCK: u16 = 40;

/// The names; the place is the number.
pub static FAMILIES: &[&str] = &[
    "AF_UNSPEC",
    "AF_UNIX",
    "AF_INET",
    "AF_AX25",
    "AF_IPX",
    "AF_APPLETALK",
    "AF_NETROM",
    "AF_BRIDGE",
    "AF_ATMPVC",
    "AF_X25",
    "AF_INET6",
    "AF_ROSE",
    "AF_DECnet",
    "AF_NETBEUI",
    "AF_SECURITY",
    "AF_KEY",
    "AF_NETLINK",
    "AF_PACKET",
    "AF_ASH",
    "AF_ECONET",
    "AF_ATMSVC",
    "AF_RDS",
    "AF_SNA",
    "AF_IRDA",
    "AF_PPPOX",
    "AF_WANPIPE",
    "AF_LLC",
    "AF_IB",
    "AF_MPLS",
    "AF_CAN",
    "AF_TIPC",
    "AF_BLUETOOTH",
    "AF_IUCV",
    "AF_RXRPC",
    "AF_ISDN",
    "AF_PHONET",
    "AF_IEEE802154",
    "AF_CAIF",
    "AF_ALG",
    "AF_NFC",
    "AF_VSOCK",
    "AF_KCM",
    "AF_QIPCRTR",
    "AF_SMC",
    "AF_XDP",
    "AF_MCTP",
];
