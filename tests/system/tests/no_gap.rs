//! Versions change under load: nobody is turned away, and who is being served is served to the end.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use coracle_system_tests::images::{By, Web, Workshop, with_workshop};
use coracle_system_tests::load::{Load, Pending, ask};
use coracle_system_tests::waiting::eventually;
use testkit::{Finished, Instance, free_port};

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

/// A portable whose server answers with its version; 1.0 is up.
struct Ferry<'a> {
    coracle: &'a Instance,
    workshop: &'a Workshop<'a>,
    web: &'a Web,
    port: u16,
    /// Those of 1.0.
    lines: Lines<'a>,
}

impl Ferry<'_> {
    fn publish(&self, version: &str, lines: &Lines) {
        let image = self.built(version, lines);
        let key = self.workshop.key(By::Trusted);
        let to = self.web.folder.display().to_string();
        self.coracle.ok(&["publish", &image, &to, "--key", &key]);
    }

    /// The image of a version.
    fn built(&self, version: &str, lines: &Lines) -> String {
        let Lines {
            socket,
            service,
            role,
        } = lines;
        let folder = self.coracle.folder().join(format!("ferry-{version}"));
        fs::create_dir(&folder).expect("a folder");
        let program = program(self.coracle);
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
        self.workshop.built(
            &format!("ferry_{version}.psi"),
            By::Trusted,
            &[
                "--program",
                &program,
                "--name",
                "ferry",
                "--image-version",
                version,
                "--unit",
                &socket,
                "--unit",
                &service,
            ],
        )
    }

    /// Many clients, who are served by 1.0.
    fn load(&self, clients: u32, pace: Duration) -> Load {
        let load = Load::begin(self.port, clients, pace);
        load.is_served_by("1.0");
        load
    }

    fn upgraded(&self) -> Finished {
        let words = ["upgrade", "ferry", "--ca", &self.web.ca];
        self.coracle
            .coracle(&[&words[..], &["--healthy-for", "1"]].concat())
    }

    fn upgrade(&self) {
        let upgraded = self.upgraded();
        assert_eq!(upgraded.status, 0, "{upgraded:?}");
    }

    /// An upgrade to 1.1, which does not work.
    fn upgrade_is_taken_back(&self) {
        let refused = self.upgraded();
        assert_eq!(refused.status, 1, "{}", refused.stderr);
        let back = "ferry 1.1 is taken back, 1.0 comes again";
        assert!(refused.stderr.contains(back), "{}", refused.stderr);
    }

    /// A property of the service.
    fn property(&self, name: &str) -> String {
        self.coracle.property("ferry.service", name)
    }

    /// Until no run is beside the current one.
    fn is_alone(&self) {
        eventually("the end of the former run", || {
            self.property("BesideState").is_empty().then_some(())
        });
    }
}

/// The server without what a debugger wants of it, which is most of it, and would be packed and fetched with each version.
fn program(coracle: &Instance) -> String {
    let path = coracle.folder().join("inhabitant").display().to_string();
    if !Path::new(&path).exists() {
        let words = ["--strip-all", "-o", &path, env!("CARGO_BIN_EXE_inhabitant")];
        let status = Command::new("strip").args(words).status();
        assert!(status.expect("strip(1)").success());
    }
    path
}

/// Publishes 1.0 with a socket at this port, and starts it with what it is granted beside that.
fn with_ferry(
    port: u16,
    (role, service): (&str, &str),
    grants: &[&str],
    work: impl FnOnce(&Ferry),
) {
    with_workshop(|coracle, workshop| {
        let web = Web::of(coracle);
        let socket = format!("ListenStream=127.0.0.1:{port}");
        let ferry = Ferry {
            coracle,
            workshop,
            web: &web,
            port,
            lines: Lines {
                socket: &socket,
                service,
                role,
            },
        };
        ferry.publish("1.0", &ferry.lines);
        let listen = format!("--grant=listen:127.0.0.1:{port}");
        let url = web.server.url("ferry.psi");
        let words = ["start", &url, "--ca", &web.ca, &listen];
        coracle.ok(&[&words[..], grants].concat());
        work(&ferry);
    });
}

#[test]
fn an_upgrade_and_a_rollback_turn_nobody_away_where_the_socket_is_the_same() {
    let service = "Type=exec\nReplaceMode=hand-over";
    with_ferry(free_port(), ("http", service), &[], |ferry| {
        let coracle = ferry.coracle;
        let opened = coracle.property("ferry.socket", "ActiveEnterTimestamp");
        let load = ferry.load(2, Duration::from_millis(4));
        ferry.publish("1.1", &ferry.lines);
        ferry.upgrade();
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
        let socket = format!("{}\nBacklog=64", ferry.lines.socket);
        let lines = Lines {
            socket: &socket,
            ..ferry.lines
        };
        ferry.publish("1.2", &lines);
        ferry.upgrade();
        assert_ne!(
            coracle.property("ferry.socket", "ActiveEnterTimestamp"),
            opened
        );
        assert_eq!(ask(ferry.port).expect("an answer"), "1.2");
    });
}

#[test]
fn the_next_version_starts_beside_the_one_that_is_up_which_finishes_what_it_is_at() {
    with_ferry(free_port(), ("web", "Type=notify"), &[], |ferry| {
        let load = ferry.load(CLIENTS, PACE);
        let (first, slow) = (ferry.property("MainPID"), Pending::begin(ferry.port));
        ferry.publish("1.1", &ferry.lines);
        ferry.upgrade();
        // The old one has a connection, so it is there.
        assert_ne!(ferry.property("MainPID"), first);
        assert_eq!(
            ["BesideState", "BesideMainPID"].map(|name| ferry.property(name)),
            ["draining".to_owned(), first]
        );
        let status = ferry.coracle.ok(&["status", "ferry.service"]);
        assert!(status.contains("the former run drains (PID "), "{status}");
        load.is_served_by("1.1");
        assert_eq!(slow.end(), "1.0");
        ferry.is_alone();

        let slow = Pending::begin(ferry.port);
        ferry.coracle.ok(&["rollback", "ferry"]);
        load.is_served_by("1.0");
        assert_eq!(ferry.property("BesideState"), "draining");
        assert_eq!(slow.end(), "1.1");
        ferry.is_alone();
        let (count, _) = load.end();
        assert!(count > 1000);
    });
}

#[test]
fn a_reattach_of_a_file_now_turns_nobody_away_either() {
    with_ferry(free_port(), ("web", "Type=notify"), &[], |ferry| {
        let coracle = ferry.coracle;
        let load = ferry.load(2, Duration::from_millis(4));
        let (first, slow) = (ferry.property("MainPID"), Pending::begin(ferry.port));
        let image = ferry.built("1.1", &ferry.lines);
        let refused = coracle.coracle(&["reattach", &image, "--now", "--drain", "soon"]);
        assert!(
            refused.stderr.contains("--drain=soon is no time"),
            "{refused:?}"
        );
        assert_eq!(ferry.property("Description"), "ferry 1.0");
        coracle.ok(&["reattach", &image, "--now"]);
        load.is_served_by("1.1");
        assert_eq!(
            ["BesideState", "BesideMainPID"].map(|name| ferry.property(name)),
            ["draining".to_owned(), first]
        );
        assert_eq!(slow.end(), "1.0");
        ferry.is_alone();
        let slow = Pending::begin(ferry.port);
        let image = ferry.built("1.2", &ferry.lines);
        // Who does not end in time is ended.
        coracle.ok(&["reattach", &image, "--now", "--drain", "0"]);
        load.is_served_by("1.2");
        ferry.is_alone();
        drop(slow);
        load.end();
    });
}

#[test]
fn a_version_that_never_works_does_not_end_the_one_that_does() {
    with_ferry(free_port(), ("web", "Type=notify"), &[], |ferry| {
        let load = ferry.load(CLIENTS, PACE);
        let run = || ferry.property("InvocationID");
        let (first, slow) = (run(), Pending::begin(ferry.port));
        // A role that is none ends with a failure.
        let sick = Lines {
            service: "Type=notify\nTimeoutStartSec=1500ms\nHealthCommand=/usr/bin/inhabitant sick /nowhere 1",
            ..ferry.lines
        };
        ferry.publish("1.1", &sick);
        ferry.upgrade_is_taken_back();
        assert_eq!(run(), first);
        assert_eq!(ferry.property("Description"), "ferry 1.0");
        load.is_served_by("1.0");
        assert_eq!(slow.end(), "1.0");
        load.end();
        // Whoever was asked whether it works meanwhile is not waited for until a time-out.
        ferry.coracle.ok(&["stop", "ferry.socket", "ferry.service"]);
        assert_eq!(ferry.property("ActiveState"), "inactive");
    });
}

#[test]
fn a_version_that_is_sick_is_not_taken_for_the_one_that_answers_at_the_same_socket() {
    let port = free_port();
    // It asks at the socket that both have.
    let service = format!(
        "Type=notify\nPrivateNetwork=no\nTimeoutStartSec=8\nHealthHTTP=http://127.0.0.1:{port}/"
    );
    with_ferry(port, ("web", &service), &["--grant=network"], |ferry| {
        let run = || ferry.property("InvocationID");
        let (first, slow) = (run(), Pending::begin(port));
        let sick = Lines {
            role: "sick-web",
            ..ferry.lines
        };
        ferry.publish("1.1", &sick);
        ferry.upgrade_is_taken_back();
        // It was held for moments, and never ended; who was being served is served to the end.
        assert_eq!(run(), first);
        assert_eq!(slow.end(), "1.0");
        assert_eq!(ask(port).expect("an answer"), "1.0");
        // One that is well takes its place by the same probe.
        ferry.publish("1.2", &ferry.lines);
        ferry.upgrade();
        assert_eq!(ask(port).expect("an answer"), "1.2");
        assert_ne!(run(), first);
        // What the manager watches of the host for those with its network goes with it.
        ferry.coracle.ok(&["purge", "ferry"]);
    });
}
