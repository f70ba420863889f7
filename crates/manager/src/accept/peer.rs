//! Who connected: the name of the instance, the source that is limited, and what the service is told.

use kernel::Errno;
use rustix::net::{
    AddressFamily, Ipv6Addr, SocketAddrAny, SocketAddrUnix, SocketAddrV4, SocketAddrV6,
    getpeername, getsockname, sockopt,
};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

/// Both ends of a connection.
pub(super) struct Peer {
    cookie: u64,
    ends: Ends,
}

enum Ends {
    Internet {
        local: SocketAddr,
        remote: SocketAddr,
    },
    Local {
        /// The peer's process and user, as far as they have numbers here.
        who: Option<(u32, u32)>,
        /// The number that no other process has had since the boot.
        process: Option<u64>,
        /// Its name, if it has one.
        address: Option<String>,
    },
    Machine {
        local: (u32, u32),
        remote: (u32, u32),
    },
}

impl Peer {
    /// # Errors
    /// Where the peer is gone already.
    pub(super) fn of(connection: &OwnedFd) -> Result<Self, Errno> {
        let remote = getpeername(connection)?.ok_or(Errno::NOTCONN)?;
        let local = getsockname(connection)?;
        let family = local.address_family();
        let ends = if family == AddressFamily::UNIX {
            local_ends(connection, &remote)
        } else if family == AddressFamily::VSOCK {
            Ends::Machine {
                local: machine(&local)?,
                remote: machine(&remote)?,
            }
        } else {
            Ends::Internet {
                local: internet(&local)?,
                remote: internet(&remote)?,
            }
        };
        Ok(Self {
            cookie: sockopt::socket_cookie(connection)?,
            ends,
        })
    }

    /// What stands after the `@` of the instance that serves the connection with this number.
    pub(super) fn instance(&self, number: u32) -> String {
        let head = format!("{number}-{}", self.cookie);
        match &self.ends {
            Ends::Internet { local, remote } => {
                format!("{head}-{}-{}", plain(local), plain(remote))
            }
            Ends::Local {
                who: Some((pid, uid)),
                process,
                ..
            } => {
                let process = process.map_or_else(String::new, |number| format!("_{number}"));
                format!("{head}-{pid}{process}-{uid}")
            }
            Ends::Local { who: None, .. } => format!("{head}-unknown"),
            Ends::Machine { local, remote } => {
                format!("{head}-{}:{}-{}:{}", local.0, local.1, remote.0, remote.1)
            }
        }
    }

    /// Connections of one source are limited together.
    pub(super) fn source(&self) -> String {
        match &self.ends {
            Ends::Internet { remote, .. } => remote.ip().to_string(),
            Ends::Local {
                who: Some((_, uid)),
                ..
            } => format!("UID {uid}"),
            Ends::Local { who: None, .. } => "unknown users".into(),
            Ends::Machine { remote, .. } => format!("vsock:{}", remote.0),
        }
    }

    /// What the service is told of its peer.
    pub(super) fn environment(&self) -> Vec<String> {
        let (address, port) = match &self.ends {
            Ends::Internet { remote, .. } => (
                Some(remote.ip().to_string()),
                Some(u32::from(remote.port())),
            ),
            Ends::Local { address, .. } => (address.clone(), None),
            Ends::Machine { remote, .. } => (Some(format!("vsock:{}", remote.0)), Some(remote.1)),
        };
        let address = address.map(|address| format!("REMOTE_ADDR={address}"));
        let port = port.map(|port| format!("REMOTE_PORT={port}"));
        address.into_iter().chain(port).collect()
    }
}

/// Without the brackets that a unit's name can't have.
fn plain(address: &SocketAddr) -> String {
    format!("{}:{}", address.ip(), address.port())
}

fn internet(address: &SocketAddrAny) -> Result<SocketAddr, Errno> {
    if let Ok(v4) = SocketAddrV4::try_from(address.clone()) {
        return Ok(v4.into());
    }
    let v6 = SocketAddrV6::try_from(address.clone())?;
    // IPv4 through a socket of IPv6 is IPv4.
    Ok(SocketAddr::new(canonical(*v6.ip()), v6.port()))
}

fn canonical(address: Ipv6Addr) -> IpAddr {
    address
        .to_ipv4_mapped()
        .map_or(IpAddr::V6(address), IpAddr::V4)
}

fn local_ends(connection: &OwnedFd, remote: &SocketAddrAny) -> Ends {
    let who = kernel::socket::peer_credentials(connection).ok();
    // No number: it is in a namespace that is not below ours.
    let who = who.filter(|who| who.pid > 0).map(|who| (who.pid, who.uid));
    let pidfd = kernel::socket::peer_pidfd(connection).ok();
    let name = SocketAddrUnix::try_from(remote.clone()).ok();
    let path = name.as_ref().and_then(|name| {
        name.path()
            .map(|path| path.to_string_lossy().into_owned())
            .or_else(|| {
                let name = name.abstract_name()?;
                Some(format!("@{}", String::from_utf8_lossy(name)))
            })
    });
    Ends::Local {
        who,
        process: pidfd.and_then(|pidfd| kernel::process::identity(&pidfd)),
        // A peer chooses its name: control bytes are not for environments.
        address: path.filter(|path| path.len() > 1 && !path.chars().any(char::is_control)),
    }
}

fn machine(address: &SocketAddrAny) -> Result<(u32, u32), Errno> {
    let address = kernel::machine::MachineAddress::of(address).ok_or(Errno::AFNOSUPPORT)?;
    Ok((address.cid, address.port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn of(ends: Ends) -> (String, String, Vec<String>) {
        let peer = Peer { cookie: 17, ends };
        (peer.instance(3), peer.source(), peer.environment())
    }

    #[test]
    fn instances_are_named_by_number_cookie_and_addresses() {
        let address = |text: &str| text.parse().expect("an address");
        let found = of(Ends::Internet {
            local: address("10.0.0.1:80"),
            remote: address("10.0.0.2:4711"),
        });
        let variables = ["REMOTE_ADDR=10.0.0.2", "REMOTE_PORT=4711"].map(str::to_owned);
        let (name, source) = ("3-17-10.0.0.1:80-10.0.0.2:4711", "10.0.0.2");
        assert_eq!(found, (name.into(), source.into(), variables.into()));
        let (name, source, _) = of(Ends::Internet {
            local: address("[::1]:80"),
            remote: address("[fe80::2]:4711"),
        });
        assert_eq!(
            (name.as_str(), source.as_str()),
            ("3-17-::1:80-fe80::2:4711", "fe80::2")
        );
        assert_eq!(
            canonical("::ffff:10.0.0.1".parse().expect("an address")),
            IpAddr::from([10, 0, 0, 1])
        );
        let (name, source, variables) = of(Ends::Machine {
            local: (2, 80),
            remote: (3, 4711),
        });
        assert_eq!(
            (name.as_str(), source.as_str()),
            ("3-17-2:80-3:4711", "vsock:3")
        );
        assert_eq!(variables, ["REMOTE_ADDR=vsock:3", "REMOTE_PORT=4711"]);
    }

    #[test]
    fn local_peers_are_known_by_process_and_user() {
        let (own, _other) = UnixStream::pair().expect("sockets");
        let peer = Peer::of(&own.into()).expect("a peer");
        let (instance, pid) = (peer.instance(0), std::process::id());
        let uid = rustix::process::getuid().as_raw();
        assert!(
            instance.starts_with(&format!("0-{}-{pid}", peer.cookie))
                && instance.ends_with(&format!("-{uid}")),
            "{instance}"
        );
        assert_eq!(peer.source(), format!("UID {uid}"));
        assert!(peer.environment().is_empty());
        let ends = Ends::Local {
            who: None,
            process: None,
            address: Some("@name".into()),
        };
        let (name, _, variables) = of(ends);
        assert_eq!(name, "3-17-unknown");
        assert_eq!(variables, ["REMOTE_ADDR=@name"]);
    }
}
