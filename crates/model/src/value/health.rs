//! Where a service is asked whether it works.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::text::{Expand, Form, ParseError, TextForm};

/// Bytes of a path that is asked for; a request fits into one packet.
const PATH_BYTES_MAX: usize = 1024;

/// A port of the service's own loopback: whoever asks is the manager, to whom what restricts the service's network is no restriction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HealthAddress(pub SocketAddr);

impl Default for HealthAddress {
    fn default() -> HealthAddress {
        HealthAddress((Ipv4Addr::LOCALHOST, 0).into())
    }
}

impl HealthAddress {
    /// `port`, `localhost:port`, `127.0.0.1:port` or `[::1]:port`.
    fn read(text: &str, usual: Option<u16>) -> Result<HealthAddress, ParseError> {
        let wrong = || ParseError::not_a(text, "a port, or a loopback address with a port");
        let port = |text: &str| text.parse().ok().filter(|port| *port > 0).ok_or_else(wrong);
        let (host, port) = match (text.rsplit_once(':'), usual) {
            (Some((host, number)), _) if !number.ends_with(']') => (host, port(number)?),
            (_, Some(usual)) => (text, usual),
            (None, None) => ("localhost", port(text)?),
            (Some(_), None) => return Err(wrong()),
        };
        let inner = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let address: IpAddr = match (host, inner) {
            ("localhost", _) => Ipv4Addr::LOCALHOST.into(),
            (_, Some(inner)) => IpAddr::V6(inner.parse().map_err(|_| wrong())?),
            (host, None) => IpAddr::V4(host.parse().map_err(|_| wrong())?),
        };
        if address.is_loopback() {
            Ok(HealthAddress((address, port).into()))
        } else {
            Err(wrong())
        }
    }
}

impl TextForm for HealthAddress {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<HealthAddress, ParseError> {
        HealthAddress::read(&expand.expand(text)?, None)
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        vec![form.part(&self.0.to_string()).into_owned()]
    }
}

/// What is asked for by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HealthUrl {
    /// Who is asked.
    pub address: HealthAddress,
    /// With a slash in front, and with the query.
    pub path: String,
}

impl Default for HealthUrl {
    fn default() -> HealthUrl {
        HealthUrl {
            address: HealthAddress::default(),
            path: "/".to_owned(),
        }
    }
}

impl HealthUrl {
    fn read(text: &str) -> Result<HealthUrl, ParseError> {
        let wrong = || ParseError::not_a(text, "a URL such as http://localhost:8080/health");
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let address = HealthAddress::read(host, Some(80))?;
        let path = if path.is_empty() { "/" } else { path };
        // What could end the line of the request, or its path.
        let is_plain = path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if is_plain && path.len() <= PATH_BYTES_MAX {
            Ok(HealthUrl {
                address,
                path: path.to_owned(),
            })
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for HealthUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address.0, self.path)
    }
}

impl TextForm for HealthUrl {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<HealthUrl, ParseError> {
        HealthUrl::read(&expand.expand(text)?)
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        vec![form.part(&self.to_string()).into_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_is_asked() {
        let check = |text: &str| {
            HealthAddress::read(text, None).map_or("no".into(), |one| one.0.to_string())
        };
        for (text, expected) in [
            ("8080", "127.0.0.1:8080"),
            ("localhost:1", "127.0.0.1:1"),
            ("127.0.0.2:65535", "127.0.0.2:65535"),
            ("[::1]:80", "[::1]:80"),
            ("0", "no"),
            ("65536", "no"),
            ("::1:80", "no"),
            ("[::1]", "no"),
            ("[127.0.0.1]:80", "no"),
            ("10.0.0.1:80", "no"),
            ("0.0.0.0:80", "no"),
            ("example.org:80", "no"),
            ("localhost", "no"),
            ("", "no"),
        ] {
            assert_eq!(check(text), expected, "{text}");
        }
    }

    #[test]
    fn a_url_is_plain_http_and_ends_no_line() {
        let check = |text: &str| HealthUrl::read(text).map_or("no".into(), |one| one.to_string());
        for (text, expected) in [
            ("http://localhost", "http://127.0.0.1:80/"),
            ("http://[::1]", "http://[::1]:80/"),
            ("http://[::1]:81/a?b=c", "http://[::1]:81/a?b=c"),
            (
                "http://localhost:8080/health",
                "http://127.0.0.1:8080/health",
            ),
            ("https://localhost/", "no"),
            ("localhost:80/", "no"),
            ("http://user@localhost/", "no"),
            ("http://192.168.0.1/", "no"),
            ("http://localhost/a b", "no"),
            ("http://localhost/a\r\nHost: x", "no"),
            ("http://localhost/#a", "no"),
        ] {
            assert_eq!(check(text), expected, "{text}");
        }
        let long = format!("http://localhost/{}", "a".repeat(PATH_BYTES_MAX));
        assert_eq!(check(&long), "no");
    }
}
