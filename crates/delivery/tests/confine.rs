//! What the fetch worker can do once it is confined, and what no longer. As root, because only root's worker has something
//! to lose; elsewhere it fails.

// A failed call fails the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::Command;

use coracle_delivery as delivery;
use delivery::fetch::{Limits, Request, Roots, Sink, confine, fetch_into};
use rustix::process::Pid;

/// Set in the process that a test confines.
const WORKER: &str = "DELIVERY_TEST_WORKER";
/// Set in the process that attacks: `confined` or `free`, an abstract socket's name, and a process of the host.
const ATTACKER: &str = "DELIVERY_TEST_ATTACKER";

/// Not a test of its own: the confined process of the other.
#[test]
fn worker() {
    let Ok(url) = std::env::var(WORKER) else {
        return;
    };
    let (mut taken, state) = (Taken::default(), tempfile::tempfile().unwrap());
    confine(1000).unwrap();
    for path in ["/etc/passwd", "/proc/self/status", "/proc", "/tmp"] {
        assert!(std::fs::metadata(path).is_err(), "{path}");
    }
    assert!(std::fs::read_dir("/").is_err());
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
    // Name servers are asked by UDP.
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let request = Request {
        url,
        roots: Roots::System,
        access: Default::default(),
        limits: Limits {
            retries: 0,
            ..Limits::default()
        },
    };
    fetch_into(&request, &mut taken, &state, &mut |_| {}).unwrap();
    assert_eq!(taken.0.len(), 3);
}

/// A content in memory: in the product somebody who is not confined takes it.
#[derive(Default)]
struct Taken(Vec<u8>);

impl Sink for Taken {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> std::io::Result<()> {
        self.0.clear();
        Ok(())
    }
}

/// What a hijacked worker would try, each with whether it worked.
fn attacks(socket: &str, victim: Pid, pidfd: &OwnedFd, before: &File) -> Vec<(&'static str, bool)> {
    let listening = SocketAddr::from_abstract_name(socket).unwrap();
    let family = |family| rustix::net::socket(family, rustix::net::SocketType::DGRAM, None).is_ok();
    vec![
        (
            "read a secret of the host",
            std::fs::read("/etc/shadow").is_ok(),
        ),
        ("list what is there", std::fs::read_dir("/etc").is_ok()),
        (
            "write a file",
            std::fs::write("/tmp/coracle-confine-test", "x").is_ok(),
        ),
        (
            "open a file again by its descriptor",
            File::open(format!("/proc/self/fd/{}", before.as_raw_fd())).is_ok(),
        ),
        (
            "reach an abstract socket",
            UnixStream::connect_addr(&listening).is_ok(),
        ),
        (
            "make a socket of the host's",
            family(rustix::net::AddressFamily::UNIX),
        ),
        (
            "talk to the kernel by netlink",
            family(rustix::net::AddressFamily::NETLINK),
        ),
        ("listen", TcpListener::bind("127.0.0.1:0").is_ok()),
        (
            "take another process's descriptor",
            rustix::process::pidfd_getfd(pidfd, 0, rustix::process::PidfdGetfdFlags::empty())
                .is_ok(),
        ),
        (
            "watch another process",
            rustix::process::pidfd_open(victim, rustix::process::PidfdFlags::empty()).is_ok(),
        ),
        (
            "send a signal",
            rustix::process::kill_process(victim, rustix::process::Signal::CONT).is_ok(),
        ),
        (
            "start a program",
            Command::new("/bin/true").status().is_ok(),
        ),
        (
            "start a thread",
            std::thread::Builder::new().spawn(|| ()).is_ok(),
        ),
    ]
}

/// Not a test of its own: the process that attacks, confined or not.
#[test]
fn attacker() {
    let Ok(words) = std::env::var(ATTACKER) else {
        return;
    };
    let [state, socket, victim] = *words.split(' ').collect::<Vec<_>>() else {
        panic!("{words}");
    };
    let victim = Pid::from_raw(victim.parse().unwrap()).unwrap();
    let pidfd = rustix::process::pidfd_open(victim, rustix::process::PidfdFlags::empty()).unwrap();
    let before = tempfile::tempfile().unwrap();
    if state == "confined" {
        assert_eq!(confine(1000).unwrap(), []);
    }
    for (attack, worked) in attacks(socket, victim, &pidfd, &before) {
        assert_eq!(worked, state == "free", "{state}: {attack}");
    }
    // What it holds is still its own.
    (&before).write_all(b"held").unwrap();
}

#[test]
fn every_attack_works_without_the_confinement_and_fails_with_it() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root");
    let name = format!("coracle-confine-test-{}", std::process::id());
    let listener =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mut victim = Command::new("/bin/sleep").arg("infinity").spawn().unwrap();
    for state in ["free", "confined"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attacker", "--nocapture"])
            .env(ATTACKER, format!("{state} {name} {}", victim.id()))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{state}: {} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    drop(listener);
    std::fs::remove_file("/tmp/coracle-confine-test").unwrap();
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
