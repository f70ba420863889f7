//! Private sources and policies: who is told a credential, who is not, and where redirects, proxies and rates come in.

// A failed call fails the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use coracle_delivery as delivery;
use delivery::credential::{Credential, Identity, Login, Secret};
use delivery::fetch::{Access, Error, Fetched, Limits, Proxy, Request, Roots, fetch};
use delivery::place::{Origin, Place};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const CA: &[u8] = include_bytes!("certificates/ca.crt");
const KEY: &[u8] = include_bytes!("certificates/server.key");
const SERVER: &[u8] = include_bytes!("certificates/server.crt");
const BODY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

/// Answers each connection with the next of these; told are the heads that came.
fn server(answers: Vec<String>) -> (u16, Receiver<String>) {
    server_on(
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
        answers,
    )
}

fn server_on(listener: TcpListener, answers: Vec<String>) -> (u16, Receiver<String>) {
    let port = listener.local_addr().unwrap().port();
    let (heads, told) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            heads.send(head(&mut stream)).ok();
            stream.write_all(answer.as_bytes()).ok();
        }
    });
    (port, told)
}

fn head(stream: &mut impl Read) -> String {
    let (mut head, mut reader) = (String::new(), BufReader::with_capacity(1, stream));
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            break;
        }
    }
    head.to_ascii_lowercase()
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

fn run(url: &str, access: Access) -> Result<Fetched, Error> {
    let request = Request {
        url: url.to_owned(),
        roots: Roots::Only(CA.to_vec()),
        limits: Limits {
            total: Duration::from_secs(20),
            idle: Duration::from_secs(5),
            retries: 0,
            ..Limits::default()
        },
        access,
    };
    let (staging, state) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    fetch(&request, &staging, &state, &mut |_| ())
}

fn words(outcome: Result<Fetched, Error>) -> String {
    let mut told = String::new();
    let error = outcome.unwrap_err();
    let mut next: Option<&dyn std::error::Error> = Some(&error);
    while let Some(cause) = next {
        told.push_str(&format!("{cause}: "));
        next = cause.source();
    }
    told
}

fn credential(url: &str, login: Option<Login>, identity: Option<Identity>) -> Access {
    Access {
        credential: Some(Credential {
            origin: Origin::of(url).unwrap(),
            login,
            identity,
        }),
        ..Access::default()
    }
}

fn token() -> Option<Login> {
    Some(Login::Token(Secret::new("t0ken".to_owned())))
}

#[test]
fn a_token_goes_to_its_server_and_to_nobody_whom_that_one_names() {
    let (other, others) = server(vec![BODY.to_owned()]);
    let (own, owns) = server(vec![
        redirect("/there"),
        redirect(&format!("http://127.0.0.1:{other}/x")),
    ]);
    let url = format!("http://127.0.0.1:{own}/boat.psi");
    assert_eq!(run(&url, credential(&url, token(), None)).unwrap().bytes, 5);
    for _ in 0..2 {
        let head = owns.recv().unwrap();
        assert!(head.contains("authorization: bearer t0ken\r\n"), "{head}");
    }
    let head = others.recv().unwrap();
    assert!(
        !head.contains("authorization") && !head.contains("t0ken"),
        "{head}"
    );
}

#[test]
fn a_name_and_a_password_are_sent_as_basic_and_never_to_another_port_or_host() {
    let login = || {
        Some(Login::Password {
            user: "me".to_owned(),
            password: Secret::new("pass".to_owned()),
        })
    };
    let (port, heads) = server(vec![BODY.to_owned(), BODY.to_owned()]);
    let url = format!("http://127.0.0.1:{port}/boat.psi");
    run(&url, credential(&url, login(), None)).unwrap();
    assert!(
        heads
            .recv()
            .unwrap()
            .contains("authorization: basic bwu6cgfzcw==\r\n")
    );
    run(&url, credential("http://127.0.0.1:1/", login(), None)).unwrap();
    assert!(!heads.recv().unwrap().contains("authorization"));
}

#[test]
fn what_a_server_says_of_a_refused_token_has_no_token_in_it() {
    let (port, _heads) = server(vec![
        "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ]);
    let url = format!("http://127.0.0.1:{port}/boat.psi");
    let told = words(run(&url, credential(&url, token(), None)));
    assert!(
        told.contains("answers with status 401") && !told.contains("t0ken"),
        "{told}"
    );
}

/// An https server; whether a client's certificate is asked for. Told is whether one came.
fn https(asks: bool, answers: Vec<String>) -> (u16, Receiver<bool>) {
    let chain = vec![CertificateDer::from_pem_slice(SERVER).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(CA).unwrap())
        .unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let verifier = if asks {
        verifier
    } else {
        verifier.allow_unauthenticated()
    };
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (came, told) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            head(&mut stream);
            came.send(stream.conn.peer_certificates().is_some()).ok();
            stream.write_all(answer.as_bytes()).ok();
            stream.conn.send_close_notify();
            stream.flush().ok();
        }
    });
    (port, told)
}

#[test]
fn a_clients_certificate_is_shown_to_its_server_alone() {
    let identity = || {
        Some(Identity {
            chain: String::from_utf8(SERVER.to_vec()).unwrap(),
            key: Secret::new(String::from_utf8(KEY.to_vec()).unwrap()),
        })
    };
    let (other, others) = https(false, vec![BODY.to_owned()]);
    let (own, owns) = https(
        true,
        vec![redirect(&format!("https://127.0.0.1:{other}/x"))],
    );
    let url = format!("https://127.0.0.1:{own}/boat.psi");
    run(&url, credential(&url, None, identity())).unwrap();
    assert!(owns.recv().unwrap());
    assert!(
        !others.recv().unwrap(),
        "a stranger was shown the certificate"
    );
    // Who has none is not served.
    let (own, _owns) = https(true, vec![BODY.to_owned()]);
    let told = words(run(
        &format!("https://127.0.0.1:{own}/x"),
        Access::default(),
    ));
    assert!(told.contains("does not answer"), "{told}");
    // What is no key is told without what is in it.
    let broken = Identity {
        chain: String::from_utf8(SERVER.to_vec()).unwrap(),
        key: Secret::new("s3cret".to_owned()),
    };
    let told = words(run(&url, credential(&url, None, Some(broken))));
    assert!(
        told.contains("there is no key in PEM") && !told.contains("s3cret"),
        "{told}"
    );
}

#[test]
fn a_redirect_to_where_the_policy_allows_nothing_is_not_followed() {
    let place = |text: String| Place::try_from(text).unwrap();
    let (other, others) = server(vec![BODY.to_owned()]);
    let to = format!("http://127.0.0.1:{other}/x");
    let (own, _owns) = server(vec![redirect(&to), redirect(&to)]);
    let url = format!("http://127.0.0.1:{own}/boat.psi");
    let mut access = Access {
        allowed: Some(vec![place(format!("http://127.0.0.1:{own}/"))]),
        ..Access::default()
    };
    let told = words(run(&url, access.clone()));
    assert!(
        told.contains("where the policy allows no fetching from"),
        "{told}"
    );
    assert!(others.try_recv().is_err(), "it was asked");
    access.allowed.as_mut().unwrap().push(place(to));
    run(&url, access).unwrap();
}

/// A proxy that connects one client, and tells whom that asked for.
fn tunnel() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, told) = channel();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let head = head(&mut client);
        let to = head.split(' ').nth(1).unwrap().to_owned();
        let server = TcpStream::connect(&to).unwrap();
        asked.send(head).ok();
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        let (mut from_client, mut to_server) =
            (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
        std::io::copy(&mut { server }, &mut client).ok();
    });
    (port, told)
}

#[test]
fn a_proxy_is_asked_for_the_way_and_told_no_credential() {
    let (port, _heads) = https(false, vec![BODY.to_owned()]);
    let (proxy, asked) = tunnel();
    let url = format!("https://localhost:{port}/boat.psi");
    let mut access = credential(&url, token(), None);
    access.proxy = Some(Proxy {
        address: format!("http://127.0.0.1:{proxy}"),
        none_for: Vec::new(),
        login: None,
    });
    run(&url, access).unwrap();
    let head = asked.recv().unwrap();
    assert!(
        head.starts_with(&format!("connect localhost:{port} ")),
        "{head}"
    );
    assert!(!head.contains("t0ken"), "{head}");
    // One that is not there is no reason to go without; a host that is reached without it is.
    let (port, _heads) = server(vec![BODY.to_owned()]);
    let url = format!("http://localhost:{port}/boat.psi");
    let gone = |none_for: &[&str]| Access {
        proxy: Some(Proxy {
            address: "http://127.0.0.1:1".to_owned(),
            none_for: none_for.iter().map(|host| (*host).to_owned()).collect(),
            login: None,
        }),
        ..Access::default()
    };
    assert!(words(run(&url, gone(&[]))).contains("does not answer"));
    run(&url, gone(&["localhost"])).unwrap();
}

/// One that connects nobody.
const WHO: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_proxy_is_told_the_name_and_the_password_that_are_for_it_and_nobody_behind_it_is() {
    let login = |password: &str| Login::Password {
        user: "m:e".to_owned(),
        password: Secret::new(password.to_owned()),
    };
    let access = |port: u16, login| Access {
        proxy: Some(Proxy {
            address: format!("http://127.0.0.1:{port}"),
            none_for: Vec::new(),
            login,
        }),
        ..Access::default()
    };
    let (port, heads) = server(vec![BODY.to_owned()]);
    let url = format!("http://localhost:{port}/boat.psi");
    let (proxy, asked) = server(vec![WHO.to_owned()]);
    let told = words(run(&url, access(proxy, None)));
    assert!(told.contains("asks for a name and a password"), "{told}");
    assert!(!asked.recv().unwrap().contains("authorization"));
    let (proxy, _asked) = server(vec![WHO.to_owned()]);
    let told = words(run(&url, access(proxy, Some(login("wr0ng")))));
    assert!(
        told.contains("does not take the name and the password"),
        "{told}"
    );
    assert!(!told.contains("wr0ng") && !told.contains("m:e"), "{told}");
    assert!(heads.try_recv().is_err(), "the server was asked");

    let (proxy, asked) = tunnel();
    run(&url, access(proxy, Some(login("s3:cr@t/")))).unwrap();
    let head = asked.recv().unwrap();
    // As heads are told here, in small letters: "m:e:s3:cr@t/" in base64.
    let basic = "proxy-authorization: basic bTplOnMzOmNyQHQv".to_ascii_lowercase();
    assert!(head.contains(&basic), "{head}");
    assert!(!heads.recv().unwrap().contains("authorization"));
}

#[test]
fn a_credential_for_this_machine_is_told_to_no_proxy() {
    for host in ["127.0.0.1", "127.0.0.2"] {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let (port, heads) = server_on(listener, vec![BODY.to_owned()]);
        let (proxy, asked) = server(vec![BODY.to_owned()]);
        let url = format!("http://{host}:{port}/boat.psi");
        let mut access = credential(&url, token(), None);
        access.proxy = Some(Proxy {
            address: format!("http://127.0.0.1:{proxy}"),
            none_for: Vec::new(),
            login: None,
        });
        run(&url, access).unwrap();
        assert!(asked.try_recv().is_err(), "{host}: the proxy was asked");
        assert!(heads.recv().unwrap().contains("bearer t0ken"), "{host}");
    }
}

#[test]
fn of_where_a_redirect_led_nothing_is_told_that_would_let_others_in() {
    let answer = |head: &str| format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
    for (last, phrase) in [
        ("404 No\r\nContent-Length: 0", "status 404"),
        ("200 OK\r\nContent-Length: x", "does not answer"),
        ("200 OK\r\nContent-Length: 99999999999999", "is larger than"),
    ] {
        let (other, _others) = server(vec![answer(last)]);
        let there = format!("http://127.0.0.1:{other}/x");
        let (own, _owns) = server(vec![redirect(&format!("{there}?signature=s3cret"))]);
        let told = words(run(
            &format!("http://127.0.0.1:{own}/boat.psi?query"),
            Access::default(),
        ));
        assert!(
            told.contains(&there) && told.contains(phrase) && !told.contains("s3cret"),
            "{told}"
        );
    }
    for to in ["http://127.0.0.1:1/x?s3cret", "gopher://127.0.0.1/x?s3cret"] {
        let (own, _owns) = server(vec![redirect(to)]);
        let url = format!("http://127.0.0.1:{own}/boat.psi?query");
        let told = words(run(&url, Access::default()));
        assert!(
            told.contains("127.0.0.1") && !told.contains("s3cret"),
            "{told}"
        );
    }
    // What was asked for is told whole.
    let (own, _owns) = server(vec![answer("404 No\r\nContent-Length: 0")]);
    let url = format!("http://127.0.0.1:{own}/boat.psi?query");
    assert!(words(run(&url, Access::default())).contains(&url));
}

#[test]
fn a_rate_holds_for_the_whole_transfer() {
    let body = "x".repeat(300_000);
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n{body}");
    let (port, _heads) = server(vec![answer]);
    let begin = Instant::now();
    let access = Access {
        rate_bytes: Some(600_000),
        ..Access::default()
    };
    let fetched = run(&format!("http://127.0.0.1:{port}/boat.psi"), access).unwrap();
    assert!(fetched.bytes == 300_000 && begin.elapsed() >= Duration::from_millis(500));
}
