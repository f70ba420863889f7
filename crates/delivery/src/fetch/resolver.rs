//! Names to addresses without the C library, which in a static program cannot do it.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::dns::{self, Answer, Kind};
use super::host::{Host, Resolv, in_hosts};

/// How long one server may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often each server is asked.
const ATTEMPTS: u32 = 2;
const DNS_PORT: u16 = 53;
/// Most addresses that are tried.
const ADDRESSES_MAX: usize = 8;

/// Asks the host's files and its name servers.
#[derive(Debug)]
pub(super) struct HostResolver {
    pub(super) host: Host,
    pub(super) port: u16,
}

impl HostResolver {
    pub(super) fn new() -> HostResolver {
        HostResolver {
            host: Host::get().clone(),
            port: DNS_PORT,
        }
    }

    /// The addresses of a name, IPv4 first: a host without IPv6 is more common than one without IPv4.
    pub(super) fn addresses(&self, name: &str, until: Instant) -> io::Result<Vec<IpAddr>> {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        let listed = in_hosts(&self.host.hosts, name);
        if !listed.is_empty() {
            return Ok(listed);
        }
        if name.eq_ignore_ascii_case("localhost")
            || name.to_ascii_lowercase().ends_with(".localhost")
        {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        self.asked(&Resolv::parse(&self.host.resolv), name, until)
    }

    fn asked(&self, resolv: &Resolv, name: &str, until: Instant) -> io::Result<Vec<IpAddr>> {
        for candidate in resolv.candidates(name) {
            let asked = [Kind::V4, Kind::V6].map(|kind| self.ask(resolv, &candidate, kind, until));
            let addresses: Vec<IpAddr> = asked.iter().flatten().flatten().copied().collect();
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            // There are name servers that fail at one kind and know the other. Nothing is known only where both say so.
            asked.into_iter().collect::<io::Result<Vec<_>>>()?;
        }
        Ok(Vec::new())
    }

    /// Asks each server until one answers.
    fn ask(
        &self,
        resolv: &Resolv,
        name: &str,
        kind: Kind,
        until: Instant,
    ) -> io::Result<Vec<IpAddr>> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for server in (0..ATTEMPTS).flat_map(|_| &resolv.servers) {
            let left = until
                .saturating_duration_since(Instant::now())
                .min(ANSWER_TIMEOUT);
            if left.is_zero() {
                break;
            }
            match exchange(SocketAddr::new(*server, self.port), name, kind, left) {
                Ok(Answer::Addresses(addresses)) => return Ok(addresses),
                Ok(Answer::NoName) => return Ok(Vec::new()),
                Ok(Answer::Truncated | Answer::Failed) => {
                    last = io::Error::other("the name server failed")
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn exchange(server: SocketAddr, name: &str, kind: Kind, timeout: Duration) -> io::Result<Answer> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidInput, "this name cannot be asked for");
    let question = dns::question(random_id()?, name, kind).ok_or_else(wrong)?;
    match over_udp(server, &question, kind, timeout)? {
        Answer::Truncated => over_tcp(server, &question, kind, timeout),
        answer => Ok(answer),
    }
}

fn random_id() -> io::Result<u16> {
    let mut bytes = [0; 2];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u16::from_ne_bytes(bytes))
}

/// Connected, so that only the server's own answers arrive; others are passed over until the time is up.
fn over_udp(
    server: SocketAddr,
    question: &[u8],
    kind: Kind,
    timeout: Duration,
) -> io::Result<Answer> {
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.send(question)?;
    let until = Instant::now() + timeout;
    let mut message = vec![0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut message)?;
        if let Some(answer) = dns::answer(question, message.get(..length).unwrap_or_default(), kind)
        {
            return Ok(answer);
        }
    }
}

fn over_tcp(
    server: SocketAddr,
    question: &[u8],
    kind: Kind,
    timeout: Duration,
) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length)).min(dns::MESSAGE_MAX_BYTES)];
    stream.read_exact(&mut message)?;
    dns::answer(question, &message, kind)
        .ok_or_else(|| io::Error::other("the name server answered something else"))
}

impl Resolver for HostResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let name = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let default = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default);
        let until = Instant::now() + (*timeout.after).min(Duration::from_secs(60));
        let addresses = self.addresses(name, until).map_err(ureq::Error::Io)?;
        let mut resolved = self.empty();
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            resolved.push(SocketAddr::new(address, port));
        }
        if resolved.is_empty() {
            Err(ureq::Error::HostNotFound)
        } else {
            Ok(resolved)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name server on loopback that answers every A question with one address; the first two answers are another's and
    /// a truncated one, the third comes over TCP.
    fn server(truncated: bool) -> (HostResolver, std::thread::JoinHandle<()>) {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        let tcp = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let host = Host {
            resolv: "nameserver 127.0.0.1\n".into(),
            hosts: "192.0.2.9 known\n".into(),
            bundle: Vec::new(),
        };
        let worker = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            for _ in 0..2 {
                let (length, peer) = udp.recv_from(&mut buffer).unwrap();
                let question = buffer[..length].to_vec();
                let stranger: Vec<u8> = question.iter().map(|byte| !byte).collect();
                udp.send_to(&stranger, peer).unwrap();
                udp.send_to(&reply(&question, truncated), peer).unwrap();
                if truncated {
                    let (mut stream, _) = tcp.accept().unwrap();
                    let mut asked = vec![0; length + 2];
                    stream.read_exact(&mut asked).unwrap();
                    let answer = reply(&asked[2..], false);
                    let count = u16::try_from(answer.len()).unwrap();
                    stream
                        .write_all(&[&count.to_be_bytes(), answer.as_slice()].concat())
                        .unwrap();
                }
            }
        });
        (HostResolver { host, port }, worker)
    }

    fn reply(question: &[u8], truncated: bool) -> Vec<u8> {
        let mut message = question.to_vec();
        let is_a = question[question.len() - 3] == 1;
        message[2..4].copy_from_slice(&(if truncated { 0x8380_u16 } else { 0x8180 }).to_be_bytes());
        if is_a && !truncated {
            message[7] = 1;
            message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
        }
        message
    }

    #[test]
    fn a_server_that_fails_at_one_kind_of_address_is_believed_about_the_other() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        let host = Host {
            resolv: "nameserver 127.0.0.1\n".into(),
            ..Host::default()
        };
        let worker = std::thread::spawn(move || {
            let mut buffer = [0; 512];
            // The question for IPv6 is asked as often as there are attempts.
            for _ in 0..=ATTEMPTS {
                let (length, peer) = udp.recv_from(&mut buffer).unwrap();
                let mut answer = reply(&buffer[..length], false);
                if answer.len() == length {
                    answer[3] |= 2;
                }
                udp.send_to(&answer, peer).unwrap();
            }
        });
        let resolver = HostResolver { host, port };
        let found = resolver.addresses("example.org", Instant::now() + Duration::from_secs(10));
        assert_eq!(found.unwrap(), ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        worker.join().unwrap();
    }

    fn check(truncated: bool) {
        let (resolver, worker) = server(truncated);
        let until = Instant::now() + Duration::from_secs(10);
        assert_eq!(
            resolver.addresses("example.org", until).unwrap(),
            ["192.0.2.1".parse::<IpAddr>().unwrap()]
        );
        worker.join().unwrap();
    }

    #[test]
    fn a_name_server_is_asked_and_strangers_answers_are_passed_over() {
        check(false);
    }

    #[test]
    fn a_truncated_answer_is_asked_for_over_tcp() {
        check(true);
    }

    #[test]
    fn literals_known_hosts_and_localhost_need_no_server() {
        let host = Host {
            hosts: "192.0.2.9 known\n".into(),
            ..Host::default()
        };
        let resolver = HostResolver { host, port: 1 };
        let found = |name| {
            resolver
                .addresses(name, Instant::now())
                .unwrap()
                .first()
                .unwrap()
                .to_string()
        };
        assert_eq!(found("192.0.2.3"), "192.0.2.3");
        assert_eq!(found("[::1]"), "::1");
        assert_eq!(found("known"), "192.0.2.9");
        assert_eq!(found("a.localhost"), "127.0.0.1");
    }
}
