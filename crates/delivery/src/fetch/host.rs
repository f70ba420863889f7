//! What this host says about names and roots, read once: `/etc/hosts`, `/etc/resolv.conf`, the bundle of certificates.

use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;

/// Largest of these files that is read, in bytes: bundles of certificates are some 250 kB.
const FILE_MAX_BYTES: u64 = 8 << 20;
/// Most name servers that are asked: as resolv.conf(5).
const SERVERS_MAX: usize = 3;
/// Most domains that are searched: as resolv.conf(5).
const DOMAINS_MAX: usize = 6;

/// The files' content.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    /// `/etc/hosts`.
    pub(super) hosts: String,
    /// `/etc/resolv.conf`.
    pub(super) resolv: String,
    /// The system's certificates in PEM; empty where there is no bundle.
    pub(super) bundle: Vec<u8>,
}

static HOST: OnceLock<Host> = OnceLock::new();

impl Host {
    /// The host's files. A worker reads them before it confines itself, after which they are out of its sight.
    pub(super) fn get() -> &'static Host {
        HOST.get_or_init(|| Host {
            hosts: text("/etc/hosts"),
            resolv: text("/etc/resolv.conf"),
            bundle: model::tables::host_files::CERTIFICATE_BUNDLES
                .iter()
                .map(|path| bytes(path))
                .find(|bundle| !bundle.is_empty())
                .unwrap_or_default(),
        })
    }
}

/// A file that is not there says nothing; what then cannot be resolved or trusted is the error.
fn bytes(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(Path::new(path))
        .and_then(|file| file.take(FILE_MAX_BYTES).read_to_end(&mut bytes));
    if read.is_ok() { bytes } else { Vec::new() }
}

fn text(path: &str) -> String {
    String::from_utf8_lossy(&bytes(path)).into_owned()
}

/// The addresses that `/etc/hosts` has for a name.
pub(super) fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for line in hosts.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        let address: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
        if words.any(|word| word.eq_ignore_ascii_case(name)) {
            addresses.extend(address);
        }
    }
    addresses
}

/// `/etc/resolv.conf`: whom to ask and which domains to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolv {
    pub(super) servers: Vec<IpAddr>,
    pub(super) domains: Vec<String>,
    pub(super) dots: usize,
}

impl Resolv {
    pub(super) fn parse(text: &str) -> Resolv {
        let mut resolv = Resolv {
            servers: Vec::new(),
            domains: Vec::new(),
            dots: 1,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolv.servers.extend(words.next().and_then(server)),
                Some("search" | "domain") => {
                    resolv.domains = words.take(DOMAINS_MAX).map(str::to_owned).collect()
                }
                Some("options") => resolv.dots = words.find_map(dots).unwrap_or(resolv.dots),
                _ => {}
            }
        }
        resolv.servers.truncate(SERVERS_MAX);
        if resolv.servers.is_empty() {
            resolv.servers.push(IpAddr::from([127, 0, 0, 1]));
        }
        resolv
    }

    /// The names to ask for, in order: as it is first where it has enough dots.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let mut names: Vec<String> = self
            .domains
            .iter()
            .map(|domain| format!("{name}.{domain}"))
            .collect();
        let enough = name.matches('.').count() >= self.dots;
        names.insert(if enough { 0 } else { names.len() }, name.to_owned());
        names
    }
}

/// A zone (`fe80::1%eth0`) is left out: such a server is on a link that only the host's own resolver knows.
fn server(word: &str) -> Option<IpAddr> {
    word.parse().ok()
}

fn dots(word: &str) -> Option<usize> {
    word.strip_prefix("ndots:")?
        .parse()
        .ok()
        .map(|dots: usize| dots.min(15))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_text_in_these_files_is_read_within_the_limits(text in "((nameserver|search|options|domain|ndots:|127\\.0\\.0\\.1|::1|#)?[ \t\n]?\\PC{0,6}){0,30}") {
            let resolv = Resolv::parse(&text);
            assert!((1..=SERVERS_MAX).contains(&resolv.servers.len()));
            assert!(resolv.domains.len() <= DOMAINS_MAX && resolv.dots <= 15);
            assert!(resolv.candidates("a.b").len() <= DOMAINS_MAX + 1);
            in_hosts(&text, "a");
        }
    }

    #[test]
    fn hosts_has_addresses_for_any_name_on_the_line() {
        let hosts =
            "127.0.0.1 localhost\n# 1.1.1.1 no\n192.0.2.7\tone Two # three\n::1 two\nbad two\n";
        let found = |name| {
            in_hosts(hosts, name)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(found("two"), "192.0.2.7 ::1");
        assert_eq!(found("three"), "");
        assert_eq!(found("LOCALHOST"), "127.0.0.1");
    }

    #[test]
    fn resolv_conf_says_whom_to_ask_and_for_what() {
        let resolv = Resolv::parse(
            "nameserver 192.0.2.1\nnameserver bad\nsearch a.org b.org\noptions edns0 ndots:2\n",
        );
        assert_eq!(resolv.servers, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(
            resolv.candidates("www.x"),
            ["www.x.a.org", "www.x.b.org", "www.x"]
        );
        assert_eq!(resolv.candidates("www.x.y")[0], "www.x.y");
        assert_eq!(resolv.candidates("x."), ["x."]);
        assert_eq!(
            Resolv::parse("").servers,
            ["127.0.0.1".parse::<IpAddr>().unwrap()]
        );
    }
}
