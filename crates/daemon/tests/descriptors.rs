//! Descriptors that strangers pass along: closing one can take as long as its maker likes (SO_LINGER, a FUSE server that does not
//! answer), and nobody else may wait for that.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails says so"
)]

mod support;

use rustix::net::sockopt::set_socket_linger;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};
use support::Instance;
use wire::methods as call;
use wire::{JobRequest, ListUnitsRequest};

/// How long a close would take, and how long everything else may.
const LINGER: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(100);

/// A connection whose last close waits: nobody reads what is under way. Ours is not the last: a process that ends does not wait.
fn lingering() -> ManuallyDrop<TcpStream> {
    let address = std::env::var("TRAP").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    while stream.write(&[0; 1 << 16]).is_ok() {}
    set_socket_linger(&stream, Some(LINGER)).unwrap();
    ManuallyDrop::new(stream)
}

/// The other ends of lingering connections; they stay open, and nothing is read from them, as long as this value lives.
struct Trap {
    listener: TcpListener,
    held: Vec<TcpStream>,
}

impl Trap {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            listener,
            held: Vec::new(),
        }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    fn hold(&mut self, count: usize) {
        for _ in 0..count {
            self.held.push(self.listener.accept().unwrap().0);
        }
    }
}

/// Copies this program to where others may execute it, and lets them through to the instance.
fn helper(instance: &Instance) -> std::path::PathBuf {
    std::fs::set_permissions(instance.path("."), std::fs::Permissions::from_mode(0o755)).unwrap();
    let helper = instance.path("helper");
    std::fs::copy(std::env::current_exe().unwrap(), &helper).unwrap();
    helper
}

/// Runs a helper as a service, with these lines more in its unit, until it has ended and a trap holds what it passed along.
fn serve(instance: &Instance, test: &str, lines: &str) -> Trap {
    let mut trap = Trap::new();
    let text = format!(
        "[Service]\n{lines}Environment=TRAP={}\nExecStart={} --ignored --exact {test}\n",
        trap.address(),
        helper(instance).display(),
    );
    instance.unit("trapper.service", &text);
    instance.start_unit("trapper");
    trap.hold(1);
    instance.await_state("trapper", "inactive/dead");
    trap
}

fn assert_answers(instance: &Instance) {
    let begin = Instant::now();
    // What was closed before the first call is closed before the second at the latest.
    for _ in 0..2 {
        let request = ListUnitsRequest::default();
        instance.client().call(call::ListUnits, &request).unwrap();
    }
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
}

/// Not a test: the stranger of the next one.
#[test]
#[ignore = "a helper of another test, run by it as another user"]
fn helper_that_passes_descriptors_to_the_api() {
    let path = std::env::var_os("API").unwrap();
    let request = b"{\"method\":\"io.coracle.Manager.ListUnits\",\"parameters\":{}}\0";
    // They get the lower numbers, so that they are closed before the connections: then the manager's are the last.
    let traps = [lingering(), lingering()];
    let [one, other] = traps.each_ref().map(|trap| trap.as_fd());
    let mut polite = UnixStream::connect(&path).unwrap();
    kernel::message::send(&polite, request, &[one]).unwrap();
    let mut byte = [1];
    while byte != [0] {
        polite.read_exact(&mut byte).unwrap();
    }
    let hasty = UnixStream::connect(&path).unwrap();
    for _ in 0..3 {
        kernel::message::send(&hasty, request, &[other]).unwrap();
    }
    let crowd = UnixStream::connect(&path).unwrap();
    kernel::message::send(&crowd, b"x", &vec![other; 253]).unwrap();
    // Now all are closed, in the order of their numbers.
    std::process::exit(0);
}

#[test]
fn a_stranger_who_passes_descriptors_holds_nobody_up() {
    let instance = Instance::start();
    let mut trap = Trap::new();
    let status = std::process::Command::new(helper(&instance))
        .args([
            "--ignored",
            "--exact",
            "helper_that_passes_descriptors_to_the_api",
        ])
        .env("API", instance.path("run/api"))
        .env("TRAP", trap.address())
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .status()
        .unwrap();
    trap.hold(2);
    assert!(status.success());
    assert_answers(&instance);
}

/// Not a test: the service of the next one.
#[test]
#[ignore = "a helper of another test, run by it as a service"]
fn helper_that_passes_descriptors_to_the_manager() {
    let socket = UnixDatagram::unbound().unwrap();
    socket
        .connect(std::env::var_os("NOTIFY_SOCKET").unwrap())
        .unwrap();
    let trap = lingering();
    // The last ones are still in the queue when the service has ended.
    for _ in 0..4 {
        kernel::message::send(&socket, b"STATUS=hello", &[trap.as_fd()]).unwrap();
    }
}

#[test]
fn a_service_that_passes_descriptors_with_its_notifications_holds_nobody_up() {
    let instance = Instance::start();
    let _trap = serve(
        &instance,
        "helper_that_passes_descriptors_to_the_manager",
        "NotifyAccess=all\n",
    );
    assert_answers(&instance);
    instance.exit();
}

/// Not a test: the service of the next one.
#[test]
#[ignore = "a helper of another test, run by it as a service"]
fn helper_that_passes_descriptors_to_the_log() {
    let trap = lingering();
    // Where the kernel can refuse it (since Linux 6.16), it does.
    match kernel::message::send(std::io::stdout(), b"caught\n", &[trap.as_fd()]) {
        Ok(_) | Err(kernel::Errno::PERM) => {}
        Err(errno) => panic!("{errno}"),
    }
}

#[test]
fn a_service_that_passes_descriptors_into_its_output_does_not_stop_the_log() {
    let instance = Instance::start();
    let _trap = serve(&instance, "helper_that_passes_descriptors_to_the_log", "");
    let begin = Instant::now();
    let outcome = instance.run(&[], &["/bin/echo", "still here"]).unwrap();
    support::eventually("the line of another service", || {
        instance
            .log(&outcome.unit)
            .contains(&"still here".to_owned())
            .then_some(())
    });
    assert!(begin.elapsed() < PATIENCE);
    instance.exit();
}

/// Not a test: the client of the next one.
#[test]
#[ignore = "a helper of another test, run by it as another process"]
fn helper_that_passes_descriptors_to_sockets() {
    let datagram = UnixDatagram::unbound().unwrap();
    datagram
        .connect(std::env::var_os("DATAGRAM").unwrap())
        .unwrap();
    let stream = UnixStream::connect(std::env::var_os("STREAM").unwrap()).unwrap();
    let traps = [lingering(), lingering()];
    let [one, other] = traps.each_ref().map(|trap| trap.as_fd());
    kernel::message::send(&datagram, b"caught", &[one]).unwrap();
    kernel::message::send(&stream, b"caught", &[other]).unwrap();
    // Now all are closed, and what is under way is in the queues of the sockets.
    std::process::exit(0);
}

/// Sockets at which clients have left what takes long to close. Their service runs, and reads none of it, until it comes to a gate.
fn with_traps(lines: &str) -> (Instance, Trap) {
    let instance = Instance::start();
    let text =
        format!("[Socket]\nListenDatagram=@DIR@/datagram\nListenStream=@DIR@/stream\n{lines}");
    instance.unit("trapped.socket", &text);
    let gate = instance.path("gate");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &gate,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let text = "[Service]\nExecStart=/bin/cat @DIR@/gate\n";
    instance.unit("trapped.service", text);
    instance.start_unit("trapped.socket");
    let mut trap = Trap::new();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "helper_that_passes_descriptors_to_sockets",
        ])
        .env("DATAGRAM", instance.path("datagram"))
        .env("STREAM", instance.path("stream"))
        .env("TRAP", trap.address())
        .status()
        .unwrap();
    assert!(status.success());
    trap.hold(2);
    instance.await_state("trapped.service", "active/running");
    (instance, trap)
}

#[test]
fn a_client_that_passes_descriptors_to_a_socket_that_is_flushed_holds_nobody_up() {
    let (instance, _trap) = with_traps("FlushPending=yes\n");
    let begin = Instant::now();
    let gate = instance.path("gate");
    drop(std::fs::File::options().write(true).open(gate).unwrap());
    instance.await_state("trapped.service", "inactive/dead");
    instance.await_state("trapped.socket", "active/listening");
    assert_answers(&instance);
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    instance.exit();
}

#[test]
fn a_client_that_passes_descriptors_to_a_socket_that_is_closed_holds_nobody_up() {
    let (instance, _trap) = with_traps("");
    let begin = Instant::now();
    let request = JobRequest {
        names: vec!["trapped.socket".into(), "trapped.service".into()],
        ..JobRequest::default()
    };
    instance.client().call(call::StopUnit, &request).unwrap();
    instance.await_state("trapped.socket", "inactive/dead");
    // Who closes last is the keeper, which starts this one.
    instance.run(&[], &["/bin/true"]).unwrap();
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    instance.exit();
}

/// Makes a unit's record that of one that is down: its manager had no time to close its sockets.
fn record_as_down(instance: &Instance, unit: &str) {
    let path = instance.path(&format!("run/units/{unit}.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    *record.pointer_mut("/snapshot/state").unwrap() = "Dead".into();
    std::fs::write(&path, record.to_string()).unwrap();
}

#[test]
fn a_client_that_passes_descriptors_to_a_socket_that_a_dead_manager_left_open_holds_nobody_up() {
    const SIGSTOP: i32 = 19;
    let (instance, _trap) = with_traps("");
    let begin = Instant::now();
    let manager = i32::try_from(instance.manager()).unwrap();
    kernel::process::kill(manager, SIGSTOP).unwrap();
    record_as_down(&instance, "trapped.socket");
    // The service ends, so that nobody but the keeper has the sockets.
    let gate = instance.path("gate");
    drop(std::fs::File::options().write(true).open(gate).unwrap());
    support::kill(manager.unsigned_abs());
    instance.await_state("trapped.service", "inactive/dead");
    instance.await_state("trapped.socket", "inactive/dead");
    instance.run(&[], &["/bin/true"]).unwrap();
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    instance.exit();
}
