//! Options of a listening socket: before it is bound, since most of them take part in that.

use kernel::rustix::net::sockopt;
use kernel::{Errno, OwnedFd, Result};
use plan::Step;
use plan::step::{self, Address};

/// Sets what the step asks for.
pub(super) fn set(socket: &OwnedFd, step: &Step<'_>) -> Result<()> {
    let Step::Listen {
        address,
        options,
        interface,
        ..
    } = *step
    else {
        return Err(Errno::INVAL);
    };
    let asked = |option| options & option != 0;
    let internet = matches!(address, Address::V4 { .. } | Address::V6 { .. });
    if internet {
        // A restarted service gets its port back although old connections linger.
        sockopt::set_socket_reuseaddr(socket, true)?;
    }
    if matches!(address, Address::V6 { .. })
        && (asked(step::OPTION_V6_ONLY) || asked(step::OPTION_V6_BOTH))
    {
        sockopt::set_ipv6_v6only(socket, asked(step::OPTION_V6_ONLY))?;
    }
    let v6 = matches!(address, Address::V6 { .. });
    type Setter = fn(&OwnedFd, bool) -> Result<()>;
    let setters: [(u32, Setter); 8] = [
        (step::OPTION_REUSE_PORT, |socket, _| {
            sockopt::set_socket_reuseport(socket, true)
        }),
        (step::OPTION_FREE_BIND, |socket, v6| {
            if v6 {
                sockopt::set_ipv6_freebind(socket, true)
            } else {
                sockopt::set_ip_freebind(socket, true)
            }
        }),
        (step::OPTION_TRANSPARENT, |socket, v6| {
            kernel::listening::set_transparent(socket, v6)
        }),
        (step::OPTION_KEEP_ALIVE, |socket, _| {
            sockopt::set_socket_keepalive(socket, true)
        }),
        (step::OPTION_NO_DELAY, |socket, _| {
            sockopt::set_tcp_nodelay(socket, true)
        }),
        (step::OPTION_BROADCAST, |socket, _| {
            sockopt::set_socket_broadcast(socket, true)
        }),
        (step::OPTION_PASS_CREDENTIALS, |socket, _| {
            sockopt::set_socket_passcred(socket, true)
        }),
        (step::OPTION_PASS_SECURITY, |socket, _| {
            kernel::listening::set_pass_security(socket)
        }),
    ];
    for (_, setter) in setters.iter().filter(|(option, _)| asked(*option)) {
        setter(socket, v6)?;
    }
    if asked(step::OPTION_PACKET_INFO) && internet {
        kernel::listening::set_packet_information(socket, v6)?;
    }
    interface.map_or(Ok(()), |name| {
        kernel::listening::bind_to_interface(socket, name)
    })
}
