//! `[user@]host[:port]`, several between commas.

use anyhow::Result;

use crate::failure::hint;
use crate::terminal::one_line;

/// Hosts of one call: a typing error, or a list that somebody else wrote, is not to start a thousand connections.
const HOSTS_MAX: usize = 256;

/// Where ssh is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// As it was written: what the host is called in all that is told of it.
    pub(crate) text: String,
    /// `user@host`, as ssh takes it.
    pub(crate) destination: String,
    pub(crate) port: Option<u16>,
}

/// Reads a list.
///
/// # Errors
/// When one of them could be anything else than a host.
pub(crate) fn parse(list: &str) -> Result<Vec<Address>> {
    let mut all: Vec<Address> = Vec::new();
    for text in list.split(',') {
        let address = one(text).ok_or_else(|| {
            hint(
                format!("-H: {:?} is no host", one_line(text)),
                "hosts are written [user@]host[:port], several between commas; an IPv6 address with a port stands in brackets",
            )
        })?;
        if all.contains(&address) {
            return Err(hint(
                format!("-H: {text} is named twice"),
                "name each host once",
            ));
        }
        all.push(address);
    }
    if all.len() > HOSTS_MAX {
        return Err(hint(
            format!("-H: {} hosts are more than {HOSTS_MAX}", all.len()),
            "call it several times",
        ));
    }
    Ok(all)
}

fn one(text: &str) -> Option<Address> {
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, text),
    };
    let (host, port) = host_and_port(rest)?;
    // ssh would take what begins with a dash for an option, and expands the others in commands of its configuration.
    let is_fine = |part: &str| {
        let is_fine = |letter: char| letter.is_alphanumeric() || ".-_:%+@".contains(letter);
        !part.is_empty() && !part.starts_with('-') && part.chars().all(is_fine)
    };
    if !is_fine(host) || host.contains('@') || !user.is_none_or(is_fine) {
        return None;
    }
    Some(Address {
        text: text.to_owned(),
        destination: user.map_or_else(|| host.to_owned(), |user| format!("{user}@{host}")),
        port,
    })
}

/// A bare IPv6 address has colons of its own, and so no port.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let number = |port: &str| port.parse().ok().filter(|port| *port != 0);
    if let Some(rest) = text.strip_prefix('[') {
        return match rest.split_once(']')? {
            (host, "") => Some((host, None)),
            (host, port) => Some((host, Some(number(port.strip_prefix(':')?)?))),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Some((host, Some(number(port)?))),
        _ => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(list: &str) -> String {
        let show = |address: &Address| match address.port {
            Some(port) => format!("{} {port}", address.destination),
            None => address.destination.clone(),
        };
        parse(list).map_or_else(
            |error| error.to_string(),
            |all| all.iter().map(show).collect::<Vec<_>>().join("|"),
        )
    }

    #[test]
    fn hosts_have_users_and_ports() {
        assert_eq!(check("web"), "web");
        assert_eq!(
            check("root@web:2222,db.example"),
            "root@web 2222|db.example"
        );
        assert_eq!(check("[::1]:22,fe80::1%eth0"), "::1 22|fe80::1%eth0");
        assert_eq!(check("a@realm@web"), "a@realm@web");
    }

    #[test]
    fn what_ssh_could_take_for_something_else_is_no_host() {
        for bad in [
            "-oProxyCommand=touch /x",
            "-oProxyCommand=x@web",
            "root@-oProxyCommand=x",
            "",
            "a,,b",
            "web:",
            "web:0",
            "web:70000",
            "@web",
            "root@",
            "we b",
            "web\n",
            "$(id)",
            "`id`@web",
            "web;id",
            "[::1",
            "[::1]22",
            "ssh://web",
        ] {
            assert!(check(bad).ends_with(" is no host"), "{bad}: {}", check(bad));
        }
        assert_eq!(check("a,b,a"), "-H: a is named twice");
    }
}
