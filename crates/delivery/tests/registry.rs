//! Registries: who asks is told to nobody else, and what comes is what its digest says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use coracle_delivery::credential::{Credential, Login, Secret};
use coracle_delivery::digest::Digest;
use coracle_delivery::fetch::{
    Access, Error, Fetched, Handed, Limits, Request, Roots, fetch, hand_over,
};
use coracle_delivery::place::Origin;
use coracle_delivery::registry::{Manifest, Referrers, referrers_tag};

/// An answer: status, headers, body.
type Answer = (u16, Vec<(String, String)>, Vec<u8>);

/// What came: method and path, the login, the body.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    login: Option<String>,
    body: Vec<u8>,
}

/// A server that lives as long as the test.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(answer: impl Fn(&Asked, &str) -> Answer + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, own) = (Arc::clone(&asked), address.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                if let Some(one) = request(&stream) {
                    seen.lock().unwrap().push(one.clone());
                    let (status, headers, body) = answer(&one, &own);
                    let mut head = format!(
                        "HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {}\r\n",
                        body.len()
                    );
                    for (name, value) in headers {
                        head.push_str(&format!("{name}: {value}\r\n"));
                    }
                    stream.write_all(format!("{head}\r\n").as_bytes()).ok();
                    if !one.line.starts_with("HEAD") {
                        stream.write_all(&body).ok();
                    }
                }
            }
        });
        Server { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn request(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut login, mut length, mut chunked) = (String::new(), None, 0, false);
    reader.read_line(&mut line).ok()?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        let value = value.trim().to_owned();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => login = Some(value),
            "content-length" => length = value.parse().unwrap(),
            "transfer-encoding" => chunked = true,
            _ => {}
        }
    }
    assert!(!chunked, "the length is known");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = line.trim_end_matches(" HTTP/1.1\r\n").to_owned();
    (!line.is_empty()).then_some(Asked { line, login, body })
}

fn asking(server: &Server, rest: &str, login: Option<Login>) -> Request {
    let credential = login.map(|login| Credential {
        origin: Origin::of(&format!("http://{}", server.address)).unwrap(),
        login: Some(login),
        identity: None,
    });
    Request {
        url: format!("oci://{}/{rest}", server.address),
        roots: Roots::System,
        limits: Limits::default(),
        access: Access {
            credential,
            ..Access::default()
        },
    }
}

fn password() -> Option<Login> {
    Some(Login::Password {
        user: "me".to_owned(),
        password: Secret::new("secret".to_owned()),
    })
}

fn fetched(request: &Request) -> Result<(Fetched, Vec<u8>), Error> {
    let (mut staging, state) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let fetched = fetch(request, &staging, &state, &mut |_| {})?;
    let mut content = Vec::new();
    std::io::Seek::rewind(&mut staging).unwrap();
    staging.read_to_end(&mut content).unwrap();
    Ok((fetched, content))
}

fn plain(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    (status, Vec::new(), body.into())
}

const IMAGE: &[u8] = b"the image";

fn manifest() -> Vec<u8> {
    let image = (Digest::of(IMAGE), IMAGE.len() as u64);
    serde_json::to_vec(&Manifest::of_image(("boat", "1"), image, true)).unwrap()
}

/// A registry that wants a token, and has its blobs elsewhere.
fn with_tokens(elsewhere: String) -> Server {
    Server::start(move |asked, own| {
        let path = asked.line.split(' ').nth(1).unwrap_or_default();
        if path.starts_with("/token?service=reg&scope=repository%3Aboat%3Apull") {
            return match asked.login.as_deref() {
                Some("Basic bWU6c2VjcmV0") => plain(200, r#"{"access_token": "t0k"}"#),
                _ => plain(401, ""),
            };
        }
        if asked.login.as_deref() != Some("Bearer t0k") {
            let challenge = format!(
                r#"Bearer realm="http://{own}/token",service="reg",scope="repository:boat:pull""#
            );
            return (
                401,
                vec![("WWW-Authenticate".into(), challenge)],
                Vec::new(),
            );
        }
        match path {
            "/v2/boat/manifests/1.0" => plain(200, manifest()),
            path if path.contains("/blobs/") => {
                let place = format!("http://{elsewhere}/cdn");
                (307, vec![("Location".into(), place)], Vec::new())
            }
            _ => plain(404, ""),
        }
    })
}

#[test]
fn a_token_is_asked_for_with_the_login_and_neither_goes_elsewhere() {
    let elsewhere = Server::start(|_, _| plain(200, IMAGE));
    let registry = with_tokens(elsewhere.address.clone());
    let (found, content) = fetched(&asking(&registry, "boat:1.0", password())).unwrap();
    assert_eq!(
        (found.digest, content.as_slice()),
        (Digest::of(IMAGE), IMAGE)
    );
    let asked = elsewhere.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].login, None);
    let denied = fetched(&asking(&registry, "boat:1.0", None)).unwrap_err();
    assert!(
        denied.to_string().contains("wants to know who asks"),
        "{denied}"
    );
}

#[test]
fn a_login_does_not_go_to_another_host_that_a_registry_names() {
    let thief = Server::start(|_, _| plain(200, r#"{"token": "any"}"#));
    let port = thief.address.rsplit(':').next().unwrap().to_owned();
    // The same machine under another name, and another server of it.
    for host in ["localhost", "127.0.0.1"] {
        let realm = format!("http://{host}:{port}/token");
        let registry = Server::start(move |_, _| {
            let challenge = format!(r#"Bearer realm="{realm}",service="s""#);
            (
                401,
                vec![("WWW-Authenticate".into(), challenge)],
                Vec::new(),
            )
        });
        fetched(&asking(&registry, "boat", password())).unwrap_err();
        assert!(
            thief.asked().iter().all(|one| one.login.is_none()),
            "{:?}",
            thief.asked()
        );
        assert!(
            registry
                .asked()
                .iter()
                .all(|one| one.login.as_deref() != Some("Basic bWU6c2VjcmV0"))
        );
    }
    assert!(!thief.asked().is_empty());
}

#[test]
fn what_comes_is_what_its_digest_says_and_no_larger_than_it_may_be() {
    let (real, own) = (manifest(), Digest::of(&manifest()));
    let bad = Server::start(move |asked, _| match asked.line.as_str() {
        line if line.contains("/blobs/") => plain(200, &b"another"[..]),
        line if line.ends_with("/manifests/other") => plain(200, "{}"),
        line if line.ends_with("/manifests/huge") => plain(200, vec![b' '; (4 << 20) + 1]),
        line if line.contains("/manifests/sha256:") => plain(200, [&real[..], b" "].concat()),
        _ => plain(200, real.clone()),
    });
    for (rest, expected) in [
        (
            "boat:1".to_owned(),
            "sends something else than it announced",
        ),
        ("boat:other".to_owned(), "damaged or of another kind"),
        ("boat:huge".to_owned(), "larger than"),
        (format!("boat@{own}"), "is not what its digest says"),
        ("boat:1#channel".to_owned(), "no channel"),
    ] {
        let said = fetched(&asking(&bad, &rest, None)).unwrap_err().to_string();
        assert!(said.contains(expected), "{rest}: {said}");
    }
}

#[test]
fn the_index_of_a_channel_is_found_by_what_refers_to_the_image() {
    for knows_referrers in [true, false] {
        let index = b"the index";
        let image: Manifest = serde_json::from_slice(&manifest()).unwrap();
        let channel =
            Manifest::of_channel(7, (Digest::of(index), 9), image.descriptor(&manifest()));
        let channel_text = serde_json::to_vec(&channel).unwrap();
        let mut list = Referrers::default();
        list.add(channel.descriptor(&channel_text));
        let list = serde_json::to_vec(&list).unwrap();
        let (of_image, of_channel) = (Digest::of(&manifest()), Digest::of(&channel_text));
        let documents: BTreeMap<String, Vec<u8>> = [
            ("manifests/latest".to_owned(), manifest()),
            (format!("manifests/{of_channel}"), channel_text),
            match knows_referrers {
                true => (format!("referrers/{of_image}"), list),
                false => (format!("manifests/{}", referrers_tag(&of_image)), list),
            },
            (format!("blobs/{}", Digest::of(index)), index.to_vec()),
        ]
        .into();
        let registry = Server::start(move |asked, _| {
            let path = asked.line.rsplit("/v2/boat/").next().unwrap_or_default();
            documents
                .get(path)
                .map_or_else(|| plain(404, ""), |found| plain(200, found.clone()))
        });
        let (_, content) = fetched(&asking(&registry, "boat#channel", None)).unwrap();
        assert_eq!(content, index);
    }
}

#[test]
fn a_blob_is_handed_over_once_and_to_nobody_else() {
    let registry = Server::start(|asked, own| match asked.line.as_str() {
        line if line.starts_with("HEAD") => plain(404, ""),
        line if line.starts_with("POST") && line.contains("/evil/") => {
            let place = "http://127.0.0.1:1/upload".to_owned();
            (202, vec![("Location".into(), place)], Vec::new())
        }
        line if line.starts_with("POST") => {
            let place = format!("http://{own}/v2/boat/blobs/uploads/7?state=x");
            (202, vec![("Location".into(), place)], Vec::new())
        }
        _ => plain(201, ""),
    });
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(IMAGE).unwrap();
    let blob = Handed::Blob(Digest::of(IMAGE), IMAGE.len() as u64);
    hand_over(&asking(&registry, "boat", None), &blob, &file).unwrap();
    let last = registry.asked().pop().unwrap();
    let hex = Digest::of(IMAGE).hex();
    assert_eq!(
        last.line,
        format!("PUT /v2/boat/blobs/uploads/7?state=x&digest=sha256%3A{hex}")
    );
    assert_eq!(last.body, IMAGE);
    let said = hand_over(&asking(&registry, "evil", None), &blob, &file).unwrap_err();
    assert!(said.to_string().contains("another server"), "{said}");
}
