//! What the fetch worker can do once it is confined, and what no longer. As root, because only root's worker has something
//! to lose; elsewhere it fails.

// A failed call fails the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::TcpListener;

use coracle_delivery as delivery;
use delivery::fetch::{Limits, Request, Roots, confine, fetch};

/// Set in the process that a test confines.
const WORKER: &str = "DELIVERY_TEST_WORKER";

/// Not a test of its own: the confined process of the other.
#[test]
fn worker() {
    let Ok(url) = std::env::var(WORKER) else {
        return;
    };
    let (staging, state) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    confine(1000).unwrap();
    for path in ["/etc/passwd", "/proc/self/status", "/proc", "/tmp"] {
        assert!(std::fs::metadata(path).is_err(), "{path}");
    }
    assert_eq!(std::fs::read_dir("/").unwrap().count(), 0);
    assert!(std::fs::write("/x", "").is_err());
    assert!(rustix::thread::set_thread_uid(rustix::process::Uid::ROOT).is_err());
    assert!(
        rustix::mount::mount(
            "none",
            "/",
            "tmpfs",
            rustix::mount::MountFlags::empty(),
            None
        )
        .is_err()
    );
    let request = Request {
        url,
        roots: Roots::System,
        limits: Limits {
            retries: 0,
            ..Limits::default()
        },
    };
    assert_eq!(
        fetch(&request, &staging, &state, &mut |_| {})
            .unwrap()
            .bytes,
        3
    );
}

#[test]
fn a_confined_worker_fetches_and_can_do_nothing_else() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "http://localhost:{}/x",
        listener.local_addr().unwrap().port()
    );
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 512];
        assert!(stream.read(&mut asked).unwrap() > 0);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
            .unwrap();
    });
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", "worker", "--nocapture"])
        .env(WORKER, url)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    server.join().unwrap();
}
