//! Addresses that a socket unit listens on.

use crate::portable::judge::{Scope, Verdict};
use crate::portable::paths::own_or;

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
    let asks = || {
        Verdict::asks(
            format!("listen:{address}{protocol}"),
            format!("listen on {address}{protocol}"),
        )
    };
    if is_below_runtime_directory(address) {
        own_or(scope, address, asks)
    } else {
        asks()
    }
}

/// Elsewhere a service could have laid a trap for who makes the socket, and what it keeps there would be in the way.
fn is_below_runtime_directory(address: &str) -> bool {
    address
        .strip_prefix("/run/")
        .is_some_and(|path| path.contains('/'))
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
