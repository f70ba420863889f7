//! Versions change under load: nobody is turned away, and who is being served is served to the end.

use std::fs;
use std::time::Duration;

use coracle_system_tests::images::{By, Web, Workshop, with_workshop};
use coracle_system_tests::load::{Load, Pending, ask};
use coracle_system_tests::waiting::eventually;
use testkit::{Instance, free_port};

/// Clients at once; each question is a connection of its own.
const CLIENTS: u32 = 16;
/// Between two questions of a client: together they ask 2,000 times in a second.
const PACE: Duration = Duration::from_millis(8);

/// Units of a version beside its description.
struct Lines<'a> {
    socket: &'a str,
    service: &'a str,
    /// What the server is: one connection after the other, or many at once.
    role: &'a str,
}

/// A maker of ferries, whose server answers with the version.
struct Maker<'a> {
    coracle: &'a Instance,
    workshop: &'a Workshop<'a>,
    web: String,
}

impl Maker<'_> {
    fn publish(&self, version: &str, lines: &Lines) {
        let Lines {
            socket,
            service,
            role,
        } = lines;
        let folder = self.coracle.folder().join(format!("ferry-{version}"));
        fs::create_dir(&folder).expect("a folder");
        let program = env!("CARGO_BIN_EXE_inhabitant");
        let service = format!(
            "[Unit]\nDescription=ferry {version}\n[Service]\nExecStart=/usr/bin/inhabitant {role} /nowhere 1 {version}\n{service}\n"
        );
        let socket = format!("[Unit]\nDescription=landing of {version}\n[Socket]\n{socket}\n");
        let [socket, service] =
            [("ferry.socket", socket), ("ferry.service", service)].map(|(name, text)| {
                let path = folder.join(name);
                fs::write(&path, text).expect("a unit file");
                path.display().to_string()
            });
        let image = self.workshop.built(
            &format!("ferry_{version}.psi"),
            By::Trusted,
            &[
                "--program",
                program,
                "--name",
                "ferry",
                "--image-version",
                version,
                "--unit",
                &socket,
                "--unit",
                &service,
            ],
        );
        let key = self.workshop.key(By::Trusted);
        self.coracle
            .ok(&["publish", &image, &self.web, "--key", &key]);
    }
}

fn with_maker(work: impl FnOnce(&Instance, &Maker, &Web)) {
    with_workshop(|coracle, workshop| {
        let web = Web::of(coracle);
        let maker = Maker {
            coracle,
            workshop,
            web: web.folder.display().to_string(),
        };
        work(coracle, &maker, &web);
    });
}

fn start(coracle: &Instance, web: &Web, port: u16) {
    let grant = format!("--grant=listen:127.0.0.1:{port}");
    let url = web.server.url("ferry.psi");
    coracle.ok(&["start", &url, "--ca", &web.ca, &grant]);
}

fn upgrade(coracle: &Instance, web: &Web) {
    coracle.ok(&["upgrade", "ferry", "--ca", &web.ca, "--healthy-for", "1"]);
}

#[test]
fn an_upgrade_and_a_rollback_turn_nobody_away_where_the_socket_is_the_same() {
    with_maker(|coracle, maker, web| {
        let port = free_port();
        let socket = format!("ListenStream=127.0.0.1:{port}");
        let lines = Lines {
            socket: &socket,
            service: "Type=exec\nReplaceMode=hand-over",
            role: "http",
        };
        maker.publish("1.0", &lines);
        start(coracle, web, port);
        let opened = coracle.property("ferry.socket", "ActiveEnterTimestamp");
        let load = Load::begin(port, 2, Duration::from_millis(4));
        load.is_served_by("1.0");
        maker.publish("1.1", &lines);
        upgrade(coracle, web);
        load.is_served_by("1.1");
        coracle.ok(&["rollback", "ferry"]);
        load.is_served_by("1.0");
        assert!(load.end().0 >= 300);
        assert_eq!(
            coracle.property("ferry.socket", "ActiveEnterTimestamp"),
            opened
        );
        assert_eq!(
            coracle.property("ferry.socket", "Description"),
            "landing of 1.0"
        );

        // Another socket is another one, and opened anew.
        let socket = format!("{socket}\nBacklog=64");
        let lines = Lines {
            socket: &socket,
            ..lines
        };
        maker.publish("1.2", &lines);
        upgrade(coracle, web);
        assert_ne!(
            coracle.property("ferry.socket", "ActiveEnterTimestamp"),
            opened
        );
        assert_eq!(ask(port).expect("an answer"), "1.2");
    });
}

/// Until no run is beside the current one.
fn is_alone(coracle: &Instance) {
    eventually("the end of the former run", || {
        let state = coracle.property("ferry.service", "BesideState");
        state.is_empty().then_some(())
    });
}

#[test]
fn the_next_version_starts_beside_the_one_that_is_up_which_finishes_what_it_is_at() {
    with_maker(|coracle, maker, web| {
        let port = free_port();
        let socket = format!("ListenStream=127.0.0.1:{port}");
        let lines = Lines {
            socket: &socket,
            service: "Type=notify",
            role: "web",
        };
        maker.publish("1.0", &lines);
        start(coracle, web, port);
        let load = Load::begin(port, CLIENTS, PACE);
        load.is_served_by("1.0");
        let main = || coracle.property("ferry.service", "MainPID");
        let beside = |name| coracle.property("ferry.service", name);
        let (first, slow) = (main(), Pending::begin(port));
        maker.publish("1.1", &lines);
        upgrade(coracle, web);
        // The old one has a connection, so it is there.
        assert_ne!(main(), first);
        assert_eq!(
            [beside("BesideState"), beside("BesideMainPID")],
            ["draining".to_owned(), first]
        );
        let status = coracle.ok(&["status", "ferry.service"]);
        assert!(status.contains("the former run drains (PID "), "{status}");
        load.is_served_by("1.1");
        assert_eq!(slow.end(), "1.0");
        is_alone(coracle);

        let slow = Pending::begin(port);
        coracle.ok(&["rollback", "ferry"]);
        load.is_served_by("1.0");
        assert_eq!(beside("BesideState"), "draining");
        assert_eq!(slow.end(), "1.1");
        is_alone(coracle);
        let (count, _) = load.end();
        assert!(count > 1000);
    });
}

#[test]
fn a_version_that_never_works_does_not_end_the_one_that_does() {
    with_maker(|coracle, maker, web| {
        let port = free_port();
        let socket = format!("ListenStream=127.0.0.1:{port}");
        let lines = Lines {
            socket: &socket,
            service: "Type=notify",
            role: "web",
        };
        maker.publish("1.0", &lines);
        start(coracle, web, port);
        let load = Load::begin(port, CLIENTS, PACE);
        load.is_served_by("1.0");
        let run = || coracle.property("ferry.service", "InvocationID");
        let (first, slow) = (run(), Pending::begin(port));
        // A role that is none ends with a failure.
        let sick = "Type=notify\nTimeoutStartSec=1500ms\nHealthCommand=/usr/bin/inhabitant sick /nowhere 1";
        maker.publish(
            "1.1",
            &Lines {
                service: sick,
                ..lines
            },
        );
        let refused = coracle.coracle(&["upgrade", "ferry", "--ca", &web.ca, "--healthy-for", "1"]);
        assert_eq!(refused.status, 1, "{}", refused.stderr);
        assert!(
            refused
                .stderr
                .contains("ferry 1.1 is taken back, 1.0 comes again"),
            "{}",
            refused.stderr
        );
        assert_eq!(run(), first);
        assert_eq!(
            coracle.property("ferry.service", "Description"),
            "ferry 1.0"
        );
        load.is_served_by("1.0");
        assert_eq!(slow.end(), "1.0");
        load.end();
        // Whoever was asked whether it works meanwhile is not waited for until a time-out.
        coracle.ok(&["stop", "ferry.socket", "ferry.service"]);
        let state = coracle.property("ferry.service", "ActiveState");
        assert_eq!(state, "inactive");
    });
}

#[test]
fn a_version_that_is_sick_is_not_taken_for_the_one_that_answers_at_the_same_socket() {
    with_maker(|coracle, maker, web| {
        let port = free_port();
        let socket = format!("ListenStream=127.0.0.1:{port}");
        // It asks at the socket that both have.
        let service = format!(
            "Type=notify\nPrivateNetwork=no\nTimeoutStartSec=8\nHealthHTTP=http://127.0.0.1:{port}/"
        );
        let lines = Lines {
            socket: &socket,
            service: &service,
            role: "web",
        };
        maker.publish("1.0", &lines);
        let (listen, url) = (
            format!("--grant=listen:127.0.0.1:{port}"),
            web.server.url("ferry.psi"),
        );
        let words = ["start", &url, "--ca", &web.ca, &listen, "--grant=network"];
        coracle.ok(&words);
        let property = |name| coracle.property("ferry.service", name);
        let (first, slow) = (property("InvocationID"), Pending::begin(port));
        maker.publish(
            "1.1",
            &Lines {
                role: "sick-web",
                ..lines
            },
        );
        let words = ["upgrade", "ferry", "--ca", &web.ca, "--healthy-for", "1"];
        let refused = coracle.coracle(&words);
        assert_eq!(refused.status, 1, "{}", refused.stderr);
        let back = "ferry 1.1 is taken back, 1.0 comes again";
        assert!(refused.stderr.contains(back), "{}", refused.stderr);
        // It was held for moments, and never ended; who was being served is served to the end.
        assert_eq!(property("InvocationID"), first);
        assert_eq!(slow.end(), "1.0");
        assert_eq!(ask(port).expect("an answer"), "1.0");
        // One that is well takes its place by the same probe.
        maker.publish("1.2", &lines);
        coracle.ok(&words);
        assert_eq!(ask(port).expect("an answer"), "1.2");
        assert_ne!(property("InvocationID"), first);
        // What the manager watches of the host for those with its network goes with it.
        coracle.ok(&["purge", "ferry"]);
    });
}
