//! Fetching from servers on loopback that cut, lie, stall and redirect.

// A failed call fails the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coracle_delivery as delivery;
use delivery::digest::Digest;
use delivery::fetch::{Error, Limits, PostError, Request, Roots, fetch, post};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const CA: &[u8] = include_bytes!("certificates/ca.crt");
const KEY: &[u8] = include_bytes!("certificates/server.key");
const SERVER: &[u8] = include_bytes!("certificates/server.crt");

/// What the server does with one request: the request's head goes in, bytes go out, and the connection closes.
type Answer = Box<dyn Fn(&str, &mut dyn Write) + Send>;

/// A server that answers one request after the other, and remembers what was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn http(answers: Vec<Answer>) -> Server {
        Server::start(None, answers)
    }

    fn https(certificate: &'static [u8], answers: Vec<Answer>) -> Server {
        let chain = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        Server::start(
            Some(Arc::new(
                builder
                    .with_no_client_auth()
                    .with_single_cert(chain, key)
                    .unwrap(),
            )),
            answers,
        )
    }

    fn start(tls: Option<Arc<rustls::ServerConfig>>, answers: Vec<Answer>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        std::thread::spawn(move || {
            for answer in answers {
                let Ok((stream, _)) = listener.accept() else {
                    return;
                };
                match &tls {
                    // A client that does not like the certificate goes away: that is its answer.
                    Some(tls) => {
                        let connection = rustls::ServerConnection::new(Arc::clone(tls)).unwrap();
                        serve(
                            &mut rustls::StreamOwned::new(connection, stream),
                            &answer,
                            &record,
                        );
                    }
                    None => serve(&mut { stream }, &answer, &record),
                }
            }
        });
        Server { port, asked }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/hello.psi", self.port)
    }

    /// The value of a header in each request.
    fn headers(&self, name: &str) -> Vec<String> {
        let value = |head: &String| {
            let line = head
                .lines()
                .find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
            line.and_then(|line| line.split_once(": "))
                .map_or("-".to_owned(), |(_, value)| value.to_owned())
        };
        self.asked.lock().unwrap().iter().map(value).collect()
    }
}

fn serve<S: Read + Write>(stream: &mut S, answer: &Answer, record: &Mutex<Vec<String>>) {
    let mut head = String::new();
    let mut reader = BufReader::new(&mut *stream);
    while !head.ends_with("\r\n\r\n") {
        match reader.read_line(&mut head) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    record.lock().unwrap().push(head.clone());
    answer(&head, stream);
    // The client may be gone already.
    stream.flush().ok();
}

fn content() -> Vec<u8> {
    (0..300_000_u32)
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn say(text: String) -> Answer {
    Box::new(move |_, out| out.write_all(text.as_bytes()).unwrap_or_default())
}

/// The content from where it is asked for, cut after `count` bytes.
fn part(etag: &'static str, count: usize) -> Answer {
    Box::new(move |head, out| {
        let all = content();
        let start = head.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("range: bytes=")
                .map(|rest| rest.trim_end_matches('-').parse::<usize>().unwrap())
        });
        let same = head.to_lowercase().contains(&format!("if-range: {etag}"));
        let (status, place, start) = match start {
            Some(start) if same => (
                "206 Partial Content",
                format!(
                    "Content-Range: bytes {start}-{}/{}\r\n",
                    all.len() - 1,
                    all.len()
                ),
                start,
            ),
            _ => ("200 OK", String::new(), 0),
        };
        let rest = &all[start..];
        let head = format!(
            "HTTP/1.1 {status}\r\nETag: {etag}\r\n{place}Content-Length: {}\r\n\r\n",
            rest.len()
        );
        out.write_all(head.as_bytes()).unwrap_or_default();
        out.write_all(&rest[..count.min(rest.len())])
            .unwrap_or_default();
    })
}

struct Place {
    staging: File,
    state: File,
}

impl Place {
    fn new() -> Place {
        Place {
            staging: tempfile::tempfile().unwrap(),
            state: tempfile::tempfile().unwrap(),
        }
    }

    fn bytes(&self) -> u64 {
        self.staging.metadata().unwrap().len()
    }

    /// Fetches and says in words what came of it, the port left out.
    fn fetch(&self, url: &str, change: impl FnOnce(&mut Request)) -> String {
        let limits = Limits {
            idle: Duration::from_secs(10),
            retries: 2,
            ..Limits::default()
        };
        let mut request = Request {
            url: url.to_owned(),
            roots: Roots::Only(CA.to_vec()),
            access: Default::default(),
            limits,
        };
        change(&mut request);
        let mut last = 0;
        let result = fetch(&request, &self.staging, &self.state, &mut |progress| {
            assert!(
                progress.bytes >= last || progress.bytes == 0,
                "progress went back"
            );
            last = progress.bytes;
        });
        match result {
            Ok(fetched) => {
                assert_eq!(fetched.digest, Digest::of(&content()));
                assert_eq!(
                    (fetched.bytes, self.bytes()),
                    (content().len() as u64, content().len() as u64)
                );
                "whole".to_owned()
            }
            Err(error) => words(&error, url),
        }
    }
}

fn words(error: &Error, url: &str) -> String {
    let mut text = error.to_string().replace(url, "URL");
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

#[test]
fn a_content_comes_over_http_and_https() {
    let server = Server::http(vec![part("\"a\"", usize::MAX)]);
    assert_eq!(Place::new().fetch(&server.url("http"), |_| {}), "whole");
    let server = Server::https(SERVER, vec![part("\"a\"", usize::MAX)]);
    assert_eq!(Place::new().fetch(&server.url("https"), |_| {}), "whole");
    assert_eq!(server.headers("accept-encoding"), ["identity"]);
}

#[test]
fn a_webhook_is_told_over_https_where_its_server_is_trusted_and_nothing_is_said_to_another() {
    let server = || {
        let taken: Answer = Box::new(|_, out| {
            out.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .unwrap_or_default()
        });
        Server::https(SERVER, vec![taken])
    };
    // The server reads no body: `post` itself is tested with one.
    let told = |server: &Server, roots: &[u8]| {
        let roots = Roots::Only(roots.to_vec());
        post(&server.url("https"), b"", &roots, Duration::from_secs(30))
    };
    let trusted = server();
    told(&trusted, CA).unwrap();
    assert!(trusted.asked.lock().unwrap()[0].starts_with("POST /hello.psi HTTP/1.1\r\n"));
    let another = server();
    let refused = told(&another, include_bytes!("certificates/other.crt")).unwrap_err();
    assert!(matches!(refused, PostError::Server { .. }), "{refused}");
    assert_eq!(another.asked.lock().unwrap().len(), 0);
}

#[test]
fn what_has_no_length_is_whole_when_it_ends_as_it_should() {
    let all = content();
    let chunked: Answer = Box::new(move |_, out| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            all.len()
        );
        out.write_all(&[head.as_bytes(), &all, b"\r\n0\r\n\r\n"].concat())
            .unwrap_or_default();
    });
    assert_eq!(
        Place::new().fetch(&Server::http(vec![chunked]).url("http"), |_| {}),
        "whole"
    );
}

#[test]
fn a_server_that_the_roots_do_not_vouch_for_is_not_asked() {
    for (certificate, other_root, expected) in [
        (SERVER, true, "UnknownIssuer"),
        (
            include_bytes!("certificates/misnamed.crt").as_slice(),
            false,
            "not valid for",
        ),
        (
            include_bytes!("certificates/expired.crt").as_slice(),
            false,
            "not valid now, and this machine's clock says 20",
        ),
    ] {
        let server = Server::https(certificate, vec![part("\"a\"", usize::MAX)]);
        let other = include_bytes!("certificates/other.crt").to_vec();
        let said = Place::new().fetch(&server.url("https"), |request| {
            if other_root {
                request.roots = Roots::Only(other);
            }
        });
        assert!(
            said.starts_with("URL ") && said.contains(expected),
            "{said}"
        );
        assert_eq!(server.asked.lock().unwrap().len(), 0);
    }
    let said = Place::new().fetch("https://127.0.0.1:1/x", |request| {
        request.roots = Roots::Only(b"none".to_vec())
    });
    assert_eq!(
        said,
        "there are no certificates to trust servers by: the given file has none"
    );
}

#[test]
fn cut_connections_are_resumed_where_they_were_cut() {
    let server = Server::https(
        SERVER,
        vec![
            part("\"a\"", 500_000),
            part("\"a\"", 300_000),
            part("\"a\"", usize::MAX),
        ],
    );
    assert_eq!(Place::new().fetch(&server.url("https"), |_| {}), "whole");
    assert_eq!(
        server.headers("range"),
        ["-", "bytes=500000-", "bytes=800000-"]
    );
}

#[test]
fn a_later_try_goes_on_from_what_an_earlier_one_left() {
    let place = Place::new();
    let first = Server::http(vec![part("\"a\"", 500_000)]);
    let url = first.url("http");
    let said = place.fetch(&url, |request| request.limits.retries = 0);
    assert!(
        said.starts_with("URL does not answer")
            || said.starts_with("the connection to URL was cut"),
        "{said}"
    );
    let kept = place.bytes();
    assert!(kept > 0);
    // The same address: a listener on the same port.
    let listener = TcpListener::bind(("127.0.0.1", first.port)).unwrap();
    let answer = part("\"a\"", usize::MAX);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&asked);
    let worker =
        std::thread::spawn(move || serve(&mut listener.accept().unwrap().0, &answer, &record));
    assert_eq!(place.fetch(&url, |_| {}), "whole");
    worker.join().unwrap();
    assert!(
        asked.lock().unwrap()[0]
            .to_lowercase()
            .contains(&format!("range: bytes={kept}-"))
    );
}

#[test]
fn a_content_that_changed_meanwhile_is_fetched_anew() {
    let server = Server::http(vec![part("\"old\"", 500_000), part("\"new\"", usize::MAX)]);
    assert_eq!(Place::new().fetch(&server.url("http"), |_| {}), "whole");
    assert_eq!(server.headers("if-range"), ["-", "\"old\""]);
}

#[test]
fn a_connection_that_stands_still_is_told_with_its_cause() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let stands: Answer = Box::new(move |_, out| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1200000\r\n\r\nabc";
        out.write_all(head.as_bytes()).unwrap();
        out.flush().unwrap();
        // Until the other end has given up.
        held.lock().unwrap().recv().ok();
    });
    let server = Server::http(vec![stands]);
    let place = Place::new();
    let request = Request {
        url: server.url("http"),
        roots: Roots::Only(CA.to_vec()),
        access: Default::default(),
        limits: Limits {
            idle: Duration::from_millis(200),
            retries: 0,
            ..Limits::default()
        },
    };
    // The first try has brought three bytes, so that there is a second one, which nobody answers.
    let error = fetch(&request, &place.staging, &place.state, &mut |_| {}).unwrap_err();
    drop(release);
    assert!(matches!(error, Error::Cut { .. }), "{error}");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(cause.contains("timeout"), "{cause}");
}

#[test]
fn parts_that_do_not_fit_are_refused_and_nothing_of_them_is_kept() {
    for (place, what) in [
        (
            "Content-Range: bytes 7-1199999/1200000\r\n",
            "another part than was asked for",
        ),
        (
            "Content-Range: bytes 500000-1199999/1200001\r\n",
            "a part of something of another size",
        ),
        ("", "a part without its place"),
    ] {
        let lie = say(format!(
            "HTTP/1.1 206 Partial Content\r\n{place}Content-Length: 5\r\n\r\nabcde"
        ));
        let server = Server::http(vec![part("\"a\"", 500_000), lie]);
        let staged = Place::new();
        let said = staged.fetch(&server.url("http"), |_| {});
        assert_eq!(
            said,
            format!("URL sends something else than it announced: {what}")
        );
        assert_eq!(staged.bytes(), 0);
    }
}

#[test]
fn more_than_the_limit_is_refused_announced_or_not() {
    let place = Place::new();
    let server = Server::http(vec![part("\"a\"", usize::MAX)]);
    let said = place.fetch(&server.url("http"), |request| {
        request.limits.size_max_bytes = 1000
    });
    assert_eq!(said, "URL is larger than 1000 bytes");
    let endless: Answer = Box::new(|_, out| {
        let mut result = out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while result.is_ok() {
            result = out.write_all(b"a\r\n0123456789\r\n");
        }
    });
    let said = place.fetch(&Server::http(vec![endless]).url("http"), |request| {
        request.limits.size_max_bytes = 1000
    });
    assert_eq!(said, "URL is larger than 1000 bytes");
    assert_eq!(place.bytes(), 0);
}

#[test]
fn a_server_that_stalls_or_drips_ends_in_time() {
    let stall: Answer = Box::new(|_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            .unwrap_or_default();
        std::thread::park_timeout(Duration::from_secs(20));
    });
    let begin = Instant::now();
    let said = Place::new().fetch(&Server::http(vec![stall]).url("http"), |request| {
        request.limits.idle = Duration::from_millis(200);
        request.limits.retries = 0;
    });
    assert!(
        said.contains("cut") || said.contains("does not answer"),
        "{said}"
    );
    let drip: Answer = Box::new(|_, out| {
        let mut result = out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        while result.is_ok() {
            result = out.write_all(b"x").and_then(|()| out.flush());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let said = Place::new().fetch(&Server::http(vec![drip]).url("http"), |request| {
        request.limits.total = Duration::from_secs(1)
    });
    assert!(said.starts_with("URL took longer than 1 seconds"), "{said}");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn redirects_are_followed_so_far_and_no_further() {
    let there = Server::https(SERVER, vec![part("\"a\"", usize::MAX)]);
    let to = |url: String| {
        say(format!(
            "HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    let server = Server::http(vec![to("/other".into()), to(there.url("https"))]);
    assert_eq!(Place::new().fetch(&server.url("http"), |_| {}), "whole");
    assert!(server.asked.lock().unwrap()[1].starts_with("GET /other "));

    let circle = Server::http((0..4).map(|_| to("/hello.psi".into())).collect());
    let said = Place::new().fetch(&circle.url("http"), |request| request.limits.redirects = 3);
    assert_eq!(said, "URL redirects more than 3 times");

    let down = Server::https(SERVER, vec![to("http://127.0.0.1/x".into())]);
    let said = Place::new().fetch(&down.url("https"), |_| {});
    assert_eq!(
        said,
        "http://127.0.0.1/x cannot be fetched: a redirect from https to http is not followed"
    );
}

#[test]
fn what_is_not_there_is_said_at_once_and_a_servers_own_trouble_is_waited_for() {
    let gone = || say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into());
    assert_eq!(
        Place::new().fetch(&Server::http(vec![gone()]).url("http"), |_| {}),
        "URL answers with status 404"
    );
    let busy = || say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".into());
    let server = Server::http(vec![busy(), busy(), part("\"a\"", usize::MAX)]);
    assert_eq!(Place::new().fetch(&server.url("http"), |_| {}), "whole");

    let lasting = Server::http(vec![busy(), busy(), busy()]);
    let said = Place::new().fetch(&lasting.url("http"), |request| request.limits.retries = 2);
    assert_eq!(said, "URL answers with status 503");
}

#[test]
fn the_longest_time_that_can_be_said_is_none_that_runs_out() {
    let server = Server::http(vec![part("\"a\"", usize::MAX)]);
    let said = Place::new().fetch(&server.url("http"), |request| {
        request.limits.total = Duration::MAX
    });
    assert_eq!(said, "whole");
}

#[test]
fn nonsense_is_no_answer() {
    for text in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    ] {
        let server = Server::http(vec![
            say(text.into()),
            say(text.into()),
            say(text.into()),
            say(text.into()),
        ]);
        let said = Place::new().fetch(&server.url("http"), |_| {});
        assert!(
            said.starts_with("URL does not answer") || said.contains("the length is no number"),
            "{said}"
        );
    }
    let refused = TcpStream::connect("127.0.0.1:1").is_err();
    assert!(
        refused
            && Place::new()
                .fetch("http://127.0.0.1:1/x", |_| {})
                .starts_with("URL does not answer")
    );
}
