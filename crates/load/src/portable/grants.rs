//! Grants: the names of consents, and which consent answers which request. A grant is `name` or `name:value`.

/// The grant that answers everything that may be asked for.
pub const SUPERPRIVILEGED: &str = "superprivileged";

/// Whether one consent answers one request: the same; or the name alone for every value; or a port for each address with that port; or
/// a path for everything below it; or writing for reading.
#[must_use]
pub fn covers(granted: &str, asked: &str) -> bool {
    if granted == asked || granted == SUPERPRIVILEGED {
        return true;
    }
    let (name, value) = split(granted);
    let (asked_name, Some(asked_value)) = split(asked) else {
        return false;
    };
    match value {
        None => name == asked_name,
        Some(value) => match (name, asked_name) {
            ("listen", "listen") => covers_address(value, asked_value),
            ("path", "path" | "path-read-only" | "watch") => is_below(value, asked_value),
            ("path-read-only", "path-read-only" | "watch") | ("watch", "watch") => {
                is_below(value, asked_value)
            }
            _ => false,
        },
    }
}

/// Whether a set of consents answers a request.
pub fn is_covered<'a>(granted: impl IntoIterator<Item = &'a str>, asked: &str) -> bool {
    granted.into_iter().any(|grant| covers(grant, asked))
}

fn split(grant: &str) -> (&str, Option<&str>) {
    match grant.split_once(':') {
        Some((name, value)) => (name, Some(value)),
        None => (grant, None),
    }
}

/// `8080` answers `127.0.0.1:8080` and `[::]:8080`, but no path or name that ends like them.
fn covers_address(port: &str, address: &str) -> bool {
    let number = port.split('/').next().unwrap_or_default();
    let is_port = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let host = address
        .strip_suffix(port)
        .and_then(|host| host.strip_suffix(':'));
    is_port && host.is_some_and(is_ip_address)
}

fn is_ip_address(host: &str) -> bool {
    let v6 = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    match v6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

fn is_below(path: &str, asked: &str) -> bool {
    let path = path.trim_end_matches('/');
    let is_plain = !asked.split('/').any(|part| part == "..");
    is_plain
        && asked
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
