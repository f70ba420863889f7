//! A small https server on loopback that gives out the files of one folder, with ranges, as any static host would.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long a client may be silent.
const IDLE: Duration = Duration::from_secs(10);

/// A running server; it ends when the value is dropped.
pub struct HttpsServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpsServer {
    /// Makes a certificate for 127.0.0.1 in `keys` (`ca.crt` is what a client trusts) and serves `folder`.
    ///
    /// # Panics
    /// When openssl is not there, or the port is taken.
    #[must_use]
    pub fn start(folder: &Path, keys: &Path, port: u16) -> HttpsServer {
        let config = Arc::new(config(keys));
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let (folder, stopped) = (folder.to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || serve(&listener, &config, &folder, &stopped));
        HttpsServer {
            address,
            stop,
            thread: Some(thread),
        }
    }

    /// The address of a file.
    #[must_use]
    pub fn url(&self, file: &str) -> String {
        format!("https://{}/{file}", self.address)
    }
}

impl Drop for HttpsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // The accepting thread looks at the flag after each connection: this is one.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends well");
        }
    }
}

fn config(keys: &Path) -> ServerConfig {
    let (key, certificate) = (keys.join("server.key"), keys.join("ca.crt"));
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
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(std::process::Stdio::null())
        .status();
    assert!(
        status.expect("openssl is installed").success(),
        "openssl makes a certificate"
    );
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

fn serve(listener: &TcpListener, config: &Arc<ServerConfig>, folder: &Path, stop: &AtomicBool) {
    for stream in listener.incoming() {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        // A client that breaks off is its own business.
        if let Err(error) = answer(stream, config, folder) {
            eprintln!("test server: {error}");
        }
    }
}

fn answer(stream: TcpStream, config: &Arc<ServerConfig>, folder: &Path) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let mut request = String::new();
    let mut range = None;
    stream.read_line(&mut request)?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? <= 2 {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some((from, to)) = line
            .strip_prefix("range: bytes=")
            .and_then(|range| range.trim().split_once('-'))
        {
            range = from.parse().ok().map(|from| (from, to.parse().ok()));
        }
    }
    let path = request
        .split(' ')
        .nth(1)
        .unwrap_or("/")
        .trim_start_matches('/');
    reply(stream.get_mut(), &folder.join(path), range)?;
    let stream = stream.get_mut();
    stream.conn.send_close_notify();
    stream.flush()
}

/// Gives out a file, or what lies in it from a byte up to another one, that included.
fn reply(
    out: &mut impl Write,
    path: &PathBuf,
    range: Option<(usize, Option<usize>)>,
) -> std::io::Result<()> {
    let Ok(mut file) = fs::File::open(path) else {
        return out.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    };
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let total = content.len();
    let (from, to) = range.unwrap_or_default();
    let end = to.map_or(total, |last| last.saturating_add(1).min(total));
    let rest = content.get(from..end).unwrap_or_default();
    let status = match range {
        Some(_) => format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{total}",
            end.saturating_sub(1)
        ),
        None => "200 OK".to_owned(),
    };
    write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"{total}\"\r\nAccept-Ranges: bytes\r\nConnection: close\r\n\r\n",
        rest.len()
    )?;
    out.write_all(rest)
}
