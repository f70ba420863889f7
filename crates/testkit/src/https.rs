//! A small https server on loopback that gives out the files of one folder, with ranges, as any static host would; or that does what
//! bad ones do.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(10);

/// Between two bytes of a server that drips.
const DRIP: Duration = Duration::from_millis(50);

/// How a server is today: what it does with each request for a file whose name has the word that is said with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Mood {
    /// It gives out files.
    #[default]
    Fair,
    /// It closes the connection after so many bytes of the content, without a word.
    Cut(usize),
    /// It says nothing more after so many bytes, and keeps the connection.
    Stall(usize),
    /// It sends byte by byte, with pauses.
    Drip,
    /// It announces so many bytes more, or less, than there are, and sends what there is.
    Miscounts(i64),
    /// It answers each range with another one.
    OtherRange,
    /// It knows no ranges.
    NoRanges,
    /// It leads elsewhere; an empty address leads to itself.
    Redirect(String),
    /// It has trouble.
    Status(u16),
    /// It sends this instead.
    Instead(Vec<u8>),
    /// It asks for this header.
    Asks(String),
}

/// What the threads of a server share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    sent_bytes: AtomicU64,
    mood: Mutex<(Mood, String)>,
    heads: Mutex<Vec<String>>,
}

/// A running server; it ends when the value is dropped.
pub struct HttpsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What a server's certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Papers {
    /// As it should be.
    Good,
    /// It was good once.
    Expired,
    /// It will be good in 2100: as all are where the clock stands far before them.
    Early,
    /// It is another host's.
    OfAnother,
}

impl HttpsServer {
    /// Makes a certificate for 127.0.0.1 and localhost in `keys` (`ca.crt` is what a client trusts) and serves `folder`.
    ///
    /// # Panics
    /// When openssl is not there, or the port is taken.
    #[must_use]
    pub fn start(folder: &Path, keys: &Path, port: u16) -> HttpsServer {
        HttpsServer::with(folder, keys, port, Papers::Good)
    }

    /// The same with another certificate.
    ///
    /// # Panics
    /// As [`HttpsServer::start`].
    #[must_use]
    pub fn with(folder: &Path, keys: &Path, port: u16, papers: Papers) -> HttpsServer {
        let config = Arc::new(config(keys, papers));
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let (folder, own) = (folder.to_owned(), Arc::clone(&shared));
        let thread = std::thread::spawn(move || serve(&listener, &config, &folder, &own));
        HttpsServer {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// From now on it does this with files whose name has this word.
    pub fn set_mood(&self, mood: Mood, word: &str) {
        let mut now = self
            .shared
            .mood
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *now = (mood, word.to_owned());
    }

    /// How many bytes of contents were sent so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::SeqCst)
    }

    /// The heads of the requests so far, in small letters; they are forgotten.
    #[must_use]
    pub fn take_heads(&self) -> Vec<String> {
        let mut heads = self
            .shared
            .heads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut heads)
    }

    /// The address of a file.
    #[must_use]
    pub fn url(&self, file: &str) -> String {
        format!("https://{}/{file}", self.address)
    }
}

impl Drop for HttpsServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // The accepting thread looks at the flag after each connection: this is one.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends well");
        }
    }
}

/// What the fetch tests have, too: good for a hundred years, but for what is wrong with each.
const ROOT: &[u8] = include_bytes!("../../delivery/tests/certificates/ca.crt");
const KEY: &[u8] = include_bytes!("../../delivery/tests/certificates/server.key");
const EXPIRED: &[u8] = include_bytes!("../../delivery/tests/certificates/expired.crt");
const OF_ANOTHER: &[u8] = include_bytes!("../../delivery/tests/certificates/misnamed.crt");

fn config(keys: &Path, papers: Papers) -> ServerConfig {
    let (key, certificate) = (keys.join("server.key"), keys.join("server.crt"));
    let copy = |bad: &[u8]| {
        for (path, bytes) in [
            (&key, KEY),
            (&certificate, bad),
            (&keys.join("ca.crt"), ROOT),
        ] {
            fs::write(path, bytes).expect("a file of the server's");
        }
    };
    match papers {
        Papers::Good => make(&key, keys),
        Papers::Early => make_early(keys),
        Papers::Expired => copy(EXPIRED),
        Papers::OfAnother => copy(OF_ANOTHER),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_file(&certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&key).expect("a key");
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS");
    builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate belong together")
}

/// The words of openssl-ca(1) for a certificate of any time, which openssl-req(1) learned later.
const ANY_TIME: &str = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\nx509_extensions=what\n\
    [any]\ncommonName=supplied\n[what]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=IP:127.0.0.1\n[req]\ndistinguished_name=none\n[none]\n";

/// The same of another time.
fn make_early(keys: &Path) {
    for (name, text) in [("openssl.cnf", ANY_TIME), ("index", ""), ("serial", "01\n")] {
        fs::write(keys.join(name), text).expect("a file of openssl's");
    }
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=127.0.0.1 -config openssl.cnf -keyout server.key -out request";
    let sign = "ca -batch -config openssl.cnf -selfsign -keyfile server.key -in request -out server.crt -notext -startdate 21000101000000Z -enddate 21090101000000Z";
    for words in [request, sign] {
        let made = Command::new("openssl")
            .args(words.split(' '))
            .current_dir(keys)
            .output();
        let made = made.expect("openssl is installed");
        assert!(made.status.success(), "{made:?}");
    }
    fs::copy(keys.join("server.crt"), keys.join("ca.crt")).expect("a root");
}

/// A key and its certificate, which is its own root.
fn make(key: &Path, keys: &Path) {
    let certificate = keys.join("ca.crt");
    let status = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
        ])
        .args([
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(&certificate)
        .stderr(std::process::Stdio::null())
        .status();
    assert!(
        status.expect("openssl is installed").success(),
        "openssl makes a certificate"
    );
    fs::copy(&certificate, keys.join("server.crt")).expect("the same for the server");
}

fn serve(listener: &TcpListener, config: &Arc<ServerConfig>, folder: &Path, shared: &Arc<Shared>) {
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            if shared.stop.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            scope.spawn(move || {
                // A client that breaks off is its own business.
                if let Err(error) = answer(stream, config, folder, shared) {
                    eprintln!("test server: {error}");
                }
            });
        }
    });
}

/// A request.
struct Asked {
    path: String,
    head: String,
    range: Option<(usize, Option<usize>)>,
}

fn read(stream: &mut impl BufRead) -> std::io::Result<Asked> {
    let mut request = String::new();
    stream.read_line(&mut request)?;
    let mut head = request.to_ascii_lowercase();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? <= 2 {
            break;
        }
        head.push_str(&line.to_ascii_lowercase());
    }
    let range = head
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes="));
    let range = range.and_then(|range| range.trim().split_once('-'));
    let range = range.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok())));
    let path = request.split(' ').nth(1).unwrap_or("/");
    Ok(Asked {
        path: path.trim_start_matches('/').to_owned(),
        head,
        range,
    })
}

fn answer(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    folder: &Path,
    shared: &Shared,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let asked = read(&mut stream)?;
    let (mood, word) = shared
        .mood
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let mood = if asked.path.contains(&word) {
        mood
    } else {
        Mood::Fair
    };
    let mut heads = shared.heads.lock().unwrap_or_else(PoisonError::into_inner);
    heads.push(asked.head.clone());
    drop(heads);
    let out = stream.get_mut();
    if reply(out, &folder.join(&asked.path), (&asked, &mood), shared)? == Ending::Abrupt {
        return Ok(());
    }
    let stream = stream.get_mut();
    stream.conn.send_close_notify();
    stream.flush()
}

#[derive(PartialEq, Eq)]
enum Ending {
    Proper,
    Abrupt,
}

/// Gives out a file, or what lies in it from a byte up to another one, that included; or what the mood makes of it.
fn reply(
    out: &mut StreamOwned<ServerConnection, TcpStream>,
    path: &PathBuf,
    (asked, mood): (&Asked, &Mood),
    shared: &Shared,
) -> std::io::Result<Ending> {
    let nothing = |out: &mut StreamOwned<_, _>, head: &str| {
        write!(
            out,
            "HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        Ok(Ending::Proper)
    };
    match mood {
        Mood::Status(status) => return nothing(out, &format!("{status} Trouble")),
        Mood::Redirect(to) if to.is_empty() => {
            return nothing(out, &format!("302 Found\r\nLocation: /{}", asked.path));
        }
        Mood::Redirect(to) => return nothing(out, &format!("302 Found\r\nLocation: {to}")),
        Mood::Asks(header) if !asked.head.contains(&header.to_ascii_lowercase()) => {
            return nothing(out, "401 Who are you");
        }
        _ => {}
    }
    let content = match (mood, fs::File::open(path)) {
        (Mood::Instead(bytes), _) => bytes.clone(),
        (_, Err(_)) => return nothing(out, "404 Not Found"),
        (_, Ok(mut file)) => {
            let mut content = Vec::new();
            file.read_to_end(&mut content)?;
            content
        }
    };
    let total = content.len();
    let range = asked.range.filter(|_| *mood != Mood::NoRanges);
    let (from, to) = range.unwrap_or_default();
    let end = to.map_or(total, |last| last.saturating_add(1).min(total));
    let rest = content.get(from..end).unwrap_or_default();
    let told_from = if *mood == Mood::OtherRange {
        from + 1
    } else {
        from
    };
    let status = match range {
        Some(_) => format!(
            "206 Partial Content\r\nContent-Range: bytes {told_from}-{}/{total}",
            end.saturating_sub(1)
        ),
        None => "200 OK".to_owned(),
    };
    let length = match mood {
        Mood::Miscounts(more) => rest.len().saturating_add_signed(*more as isize),
        _ => rest.len(),
    };
    write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: \"{total}\"\r\nAccept-Ranges: bytes\r\nConnection: close\r\n\r\n"
    )?;
    let sent = |bytes: usize| {
        shared.sent_bytes.fetch_add(bytes as u64, Ordering::SeqCst);
    };
    match mood {
        Mood::Cut(after) | Mood::Stall(after) => {
            let some = rest.get(..*after).unwrap_or(rest);
            out.write_all(some)?;
            out.flush()?;
            sent(some.len());
            if matches!(mood, Mood::Stall(_)) {
                // Until the client goes, or this server does.
                loop {
                    if shared.stop.load(Ordering::SeqCst) || is_gone(out) {
                        break;
                    }
                }
            }
            return Ok(Ending::Abrupt);
        }
        Mood::Drip => {
            for byte in rest {
                out.write_all(&[*byte])?;
                out.flush()?;
                sent(1);
                std::thread::sleep(DRIP);
                if shared.stop.load(Ordering::SeqCst) {
                    break;
                }
            }
        }
        _ => {
            out.write_all(rest)?;
            sent(rest.len());
        }
    }
    Ok(Ending::Proper)
}

/// Whether the client has gone, after a moment.
fn is_gone(out: &mut StreamOwned<ServerConnection, TcpStream>) -> bool {
    let waits = out.sock.set_read_timeout(Some(DRIP));
    let read = out.sock.peek(&mut [0]);
    let is_waiting = |error: &std::io::Error| {
        matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        )
    };
    waits.is_err() || matches!(read, Ok(0)) || read.is_err_and(|error| !is_waiting(&error))
}
