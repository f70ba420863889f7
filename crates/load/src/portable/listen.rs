//! Addresses that a socket unit listens on.

use crate::portable::judge::{Scope, Verdict};
use crate::portable::paths::is_own;

/// ListenStream= and ListenSequentialPacket=.
pub(crate) fn stream(scope: Scope, address: &str) -> Verdict {
    listen(scope, address, "")
}

/// ListenDatagram=: its ports are another kind, and are granted as `listen:53/udp`.
pub(crate) fn datagram(scope: Scope, address: &str) -> Verdict {
    listen(scope, address, "/udp")
}

/// ListenFIFO=.
pub(crate) fn fifo(scope: Scope, path: &str) -> Verdict {
    listen(scope, path, "")
}

fn listen(scope: Scope, address: &str, protocol: &str) -> Verdict {
    let is_path = address.starts_with('/');
    let protocol = if is_path || address.starts_with('@') {
        ""
    } else {
        protocol
    };
    Verdict::free_if(is_path && is_own(scope, address), || {
        Verdict::asks(
            format!("listen:{address}{protocol}"),
            format!("listen on {address}{protocol}"),
        )
    })
}

/// ListenNetlink=.
pub(crate) fn netlink(_: Scope, family: &str) -> Verdict {
    Verdict::asks(
        format!("netlink:{family}"),
        format!("listen to the kernel's {family} messages"),
    )
}

/// SocketBindAllow=.
pub(crate) fn bind_allow(_: Scope, rule: &str) -> Verdict {
    Verdict::asks(format!("bind:{rule}"), format!("bind to {rule}"))
}
