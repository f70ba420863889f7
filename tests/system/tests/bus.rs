//! Type=dbus: up when the name is taken on the bus, whoever comes late, goes or comes back.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coracle_system_tests::gate::Gate;
use coracle_system_tests::{manager, waiting};
use testkit::Instance;

const NAME: &str = "org.example.Test";

/// A bus of the test's own.
struct Bus(Child);

impl Bus {
    fn start(folder: &Path) -> Bus {
        let configuration = folder.join("bus.conf");
        let text = format!(
            "<busconfig><listen>{}</listen><auth>EXTERNAL</auth><policy context='default'>\
             <allow own='*'/><allow send_destination='*'/><allow receive_sender='*'/></policy></busconfig>",
            address(folder)
        );
        fs::write(&configuration, text).expect("a configuration");
        let mut bus = Command::new("/usr/bin/dbus-daemon")
            .arg(format!("--config-file={}", configuration.display()))
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address=1"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon, which `cargo xtask setup` installs");
        let mut line = String::new();
        let said = bus.stdout.take().expect("its output");
        BufReader::new(said).read_line(&mut line).expect("a line");
        assert!(line.starts_with("unix:"), "the bus has not begun: {line}");
        Bus(bus)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.0.kill().expect("it is there");
        self.0.wait().expect("it ends");
    }
}

fn address(folder: &Path) -> String {
    format!("unix:path={}", folder.join("bus").display())
}

fn gate(coracle: &Instance, name: &str) -> Gate {
    Gate::at(coracle.folder().join(name))
}

/// An instance that looks for its bus in a folder beside its own.
fn with_bus(work: impl FnOnce(&Instance, &Path) -> Bus) {
    testkit::require_root();
    let (instance, place) = (Instance::new(), tempfile::tempdir().expect("a folder"));
    instance.unit("first.service", "[Service]\nExecStart=sleep 1000\n");
    instance.ok(&["start", "first.service"]);
    let variable = format!("DBUS_SYSTEM_BUS_ADDRESS={}", address(place.path()));
    instance.ok(&["set-environment", &variable]);
    let bus = work(&instance, place.path());
    // The manager has let the bus go before it ends: what it holds is looked at.
    instance.stop();
    drop(bus);
}

/// A service that takes the name.
fn service(coracle: &Instance, lines: &str, gates: &[(&str, &Gate)]) {
    let gates = gates
        .iter()
        .map(|(word, gate)| format!(" {word}={}", gate.path().display()));
    let gates: String = gates.collect();
    let text = format!(
        "[Service]\n{lines}BusName={NAME}\nExecStart={} {NAME}{gates}\n",
        env!("CARGO_BIN_EXE_name_owner")
    );
    coracle.unit("named.service", &text);
    coracle.ok(&["daemon-reload"]);
}

#[test]
fn it_is_up_while_it_has_its_name() {
    with_bus(|coracle, place| {
        let bus = Bus::start(place);
        let (before, until) = (gate(coracle, "before"), gate(coracle, "until"));
        service(
            coracle,
            "Type=dbus\n",
            &[("before", &before), ("until", &until)],
        );
        coracle.ok(&["start", "--no-block", "named.service"]);
        waiting::state(coracle, "named.service", "activating");
        before.open();
        waiting::state(coracle, "named.service", "active");
        assert_eq!(coracle.property("named.service", "SubState"), "running");
        until.open();
        waiting::state(coracle, "named.service", "inactive");
        let why = coracle.ok(&["why", "named.service"]);
        assert!(why.contains("nobody's on the bus any more"), "{why}");
        bus
    });
}

#[test]
fn a_bus_that_is_late_is_told_of_and_waited_for() {
    with_bus(|coracle, place| {
        let before = gate(coracle, "before");
        // What has a name and says no type is of this one.
        service(coracle, "", &[("before", &before)]);
        assert_eq!(coracle.property("named.service", "Type"), "dbus");
        coracle.ok(&["start", "--no-block", "named.service"]);
        let said = waiting::lines(coracle, "named.service", |lines| {
            lines.iter().any(|line| line.contains("message bus"))
        });
        let told = said.iter().find(|line| line.contains("message bus"));
        let told = told.expect("it is told");
        assert!(told.contains(&address(place)), "{told}");
        assert!(told.contains("No such file or directory"), "{told}");
        let bus = Bus::start(place);
        before.open();
        waiting::state(coracle, "named.service", "active");
        bus
    });
}

/// A message of the bus with these texts, in answer to a call where one is named.
fn message(kind: u8, to: Option<u32>, texts: &[&str]) -> Vec<u8> {
    let put = |bytes: &mut Vec<u8>, text: &str| {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(u32::try_from(text.len()).expect("short").to_le_bytes());
        bytes.extend(text.bytes().chain([0]));
    };
    let (mut head, mut body) = (Vec::new(), Vec::new());
    texts.iter().for_each(|text| put(&mut body, text));
    for (code, text) in [(3, "NameOwnerChanged"), (7, "org.freedesktop.DBus")] {
        head.resize(head.len().next_multiple_of(8), 0);
        head.extend([code, 1, b's', 0]);
        put(&mut head, text);
    }
    head.resize(head.len().next_multiple_of(8), 0);
    if let Some(to) = to {
        head.extend([5, 1, b'u', 0]);
        head.extend(to.to_le_bytes());
    }
    head.extend([8, 1, b'g', 0, 3, b's', b's', b's', 0]);
    let mut whole = vec![b'l', kind, 0, 1];
    for number in [body.len(), 1, head.len()] {
        whole.extend(u32::try_from(number).expect("short").to_le_bytes());
    }
    whole.extend(head);
    whole.resize(whole.len().next_multiple_of(8), 0);
    whole.extend(body);
    whole
}

/// Until the client has said this.
fn hear(client: &mut UnixStream, end: &[u8]) {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(end) {
        client.read_exact(&mut byte).expect("more of it");
        said.extend(byte);
    }
}

#[test]
fn a_bus_that_talks_and_closes_is_asked_less_and_less_often() {
    with_bus(|coracle, place| {
        let listener = UnixListener::bind(place.join("bus")).expect("a socket");
        listener.set_nonblocking(true).expect("it is asked");
        let before = gate(coracle, "before");
        service(coracle, "Type=dbus\n", &[("before", &before)]);
        coracle.ok(&["start", "--no-block", "named.service"]);
        let mut moments = Vec::new();
        for _ in 0..5 {
            let (mut client, _) = waiting::eventually("the manager", || listener.accept().ok());
            moments.push(Instant::now());
            client.set_nonblocking(false).expect("it is waited for");
            let patience = Some(Duration::from_secs(60));
            client.set_read_timeout(patience).expect("not for ever");
            hear(&mut client, b"\r\n");
            client.write_all(b"OK 0123\r\n").expect("it is let in");
            hear(&mut client, b"Hello\0\0\0");
            let mut said = message(2, Some(1), &[":1.5", "", ""]);
            said.extend(message(4, None, &["org.example.Other", "", ":1.9"]));
            client.write_all(&said).expect("it hears");
        }
        // 100, 200, 400 and 800 ms.
        let took = moments[4].duration_since(moments[0]).as_millis();
        assert!(took >= 1500, "{took}");
        let told = coracle.ok(&["logs", "-u", "named.service", "--cat"]);
        let told = told.lines().filter(|line| line.contains("message bus"));
        assert_eq!(told.count(), 1);
        drop(listener);
        fs::remove_file(place.join("bus")).expect("it goes");
        let bus = Bus::start(place);
        before.open();
        waiting::state(coracle, "named.service", "active");
        bus
    });
}

#[test]
fn after_a_restart_of_the_bus_and_of_the_manager_names_are_asked_for_anew() {
    with_bus(|coracle, place| {
        let bus = Bus::start(place);
        let before = gate(coracle, "before");
        service(coracle, "Type=dbus\n", &[("before", &before)]);
        coracle.ok(&["start", "--no-block", "named.service"]);
        waiting::state(coracle, "named.service", "activating");
        manager::kill(coracle.process("ManagerPID"));
        before.open();
        waiting::state(coracle, "named.service", "active");
        manager::kill(coracle.process("ManagerPID"));
        assert_eq!(coracle.property("named.service", "ActiveState"), "active");
        // Its name goes with the bus, and the next bus does not know it.
        drop(bus);
        let bus = Bus::start(place);
        waiting::state(coracle, "named.service", "inactive");
        bus
    });
}

#[test]
fn the_owner_is_the_main_process_of_a_service_of_another_type() {
    with_bus(|coracle, place| {
        let bus = Bus::start(place);
        let (before, pid) = (gate(coracle, "before"), coracle.folder().join("pid"));
        let text = format!(
            "[Service]\nType=forking\nGuessMainPID=no\nBusName={NAME}\nExecStart=sh -c '{} {NAME} before={} & echo $! >{}; sleep 1000 &'\n",
            env!("CARGO_BIN_EXE_name_owner"),
            before.path().display(),
            pid.display()
        );
        coracle.unit("named.service", &text.replace('$', "$$"));
        coracle.ok(&["daemon-reload"]);
        coracle.ok(&["start", "named.service"]);
        assert_eq!(coracle.property("named.service", "MainPID"), "0");
        before.open();
        let pid = fs::read_to_string(pid).expect("its number");
        waiting::eventually("the owner is the main process", || {
            (coracle.property("named.service", "MainPID") == pid.trim()).then_some(())
        });
        bus
    });
}
