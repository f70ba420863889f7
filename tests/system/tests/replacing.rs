//! `restart --drain`: two runs of a service side by side, whatever happens meanwhile.

use std::fs;
use std::path::Path;

use coracle_system_tests::load::{Pending, ask};
use coracle_system_tests::waiting::{eventually, state};
use coracle_system_tests::{manager, with_units};
use testkit::{Instance, free_port};

/// A web server of which two may be up at once, on a socket of ours, and the file that it takes to be healthy.
struct Web<'a> {
    coracle: &'a Instance,
    port: u16,
}

impl Web<'_> {
    /// Gives `work` one that is up.
    fn with(lines: &str, work: impl FnOnce(&Web)) {
        with_units(&[], |coracle| {
            let web = Web {
                coracle,
                port: free_port(),
            };
            web.write("first", lines);
            let socket = format!("[Socket]\nListenStream=127.0.0.1:{}\n", web.port);
            coracle.unit("web.socket", &socket);
            web.heal();
            coracle.ok(&["start", "web.socket", "web.service"]);
            work(&web);
        });
    }

    fn file(&self) -> String {
        self.coracle.folder().join("healthy").display().to_string()
    }

    fn heal(&self) {
        fs::write(self.file(), "").expect("a file");
    }

    /// Writes the unit as the next run is to have it.
    fn write(&self, word: &str, lines: &str) {
        let (program, file) = (env!("CARGO_BIN_EXE_inhabitant"), self.file());
        let unit = format!(
            "[Service]\nType=notify\nTimeoutStopSec=500ms\nHealthCommand=/usr/bin/test -e {file}\n{lines}\nExecStart={program} web /nowhere 1 {word}\n"
        );
        self.coracle.unit("web.service", &unit);
    }

    /// The next run answers with this word.
    fn renew(&self, word: &str, lines: &str) {
        self.write(word, lines);
        self.coracle.ok(&["daemon-reload"]);
    }

    fn says(&self, name: &str) -> String {
        self.coracle.property("web.service", name)
    }

    fn main(&self) -> String {
        self.says("MainPID")
    }

    fn is_in(&self, name: &str, value: &str) {
        eventually(&format!("{name}={value}"), || {
            (self.says(name) == value).then_some(())
        });
    }

    fn answer(&self) -> String {
        ask(self.port).expect("an answer")
    }

    fn kill_manager(&self) {
        let keeper = self.coracle.process("KeeperPID");
        manager::kill(manager::of(keeper));
    }
}

const SHARES: &str = "ReplaceMode=share\nNotifyAccess=all\nRuntimeDirectory=coracle-test-replacing";

#[test]
fn a_manager_that_dies_finds_both_runs_and_goes_on_with_them() {
    // Whether its directory stays is looked at: no other test has that.
    let shares = SHARES.replace("coracle-test-replacing", "coracle-test-dies");
    Web::with(&shares, |web| {
        // While the next one is on trial.
        let (first, slow) = (web.main(), Pending::begin(web.port));
        web.renew("second", &shares);
        fs::remove_file(web.file()).expect("a file");
        web.coracle
            .ok(&["restart", "--drain=10min", "--no-block", "web"]);
        web.is_in("BesideState", "serving");
        assert_eq!(web.says("ActiveState"), "reloading");
        web.kill_manager();
        assert_eq!(web.says("BesideMainPID"), first);
        assert_eq!(web.says("BesideState"), "serving");
        web.heal();
        web.is_in("BesideState", "draining");
        let second = web.main();
        assert_ne!(second, first);
        // And while the former one drains.
        web.kill_manager();
        assert_eq!(
            [
                web.main(),
                web.says("BesideMainPID"),
                web.says("BesideState")
            ],
            [second.clone(), first.clone(), "draining".to_owned()]
        );
        assert_eq!(web.answer(), "second");
        assert_eq!(slow.end(), "first");
        web.is_in("BesideState", "");
        assert!(!manager::lives(&first) && manager::lives(&second));
        // What is one for both goes with the last.
        assert!(Path::new("/run/coracle-test-dies").exists());
        assert_eq!(web.says("NRestarts"), "0");
    });
}

#[test]
fn what_does_not_come_up_leaves_what_runs_as_it_was() {
    let watched = format!("{SHARES}\nTimeoutStartSec=300ms");
    Web::with(&watched, |web| {
        let (first, slow) = (web.main(), Pending::begin(web.port));
        web.renew("second", &watched);
        fs::remove_file(web.file()).expect("a file");
        let refused = web.coracle.coracle(&["restart", "--drain", "web"]);
        assert_eq!(refused.status, 1, "{}", refused.stderr);
        let why = "what was to replace it did not come up, and the run before goes on";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
        assert_eq!(
            [web.main(), web.says("ActiveState")],
            [first, "active".into()]
        );
        assert_eq!(web.says("BesideState"), "");
        web.heal();
        assert_eq!(slow.end(), "first");
        // It is heard as before.
        web.is_in("StatusText", "answered by first");
        assert_eq!(web.answer(), "first");
        // The next attempt is as good as the first would have been.
        web.coracle.ok(&["restart", "--drain", "web"]);
        assert_eq!(web.answer(), "second");
        web.is_in("BesideState", "");
        // That it stops was said by the former run of itself, where this one is heard.
        assert_eq!(web.says("ActiveState"), "active");
        let log = web.coracle.ok(&["logs", "-u", "web", "--cat"]);
        assert!(!log.contains("is not heard"), "{log}");
    });
}

#[test]
fn the_third_run_waits_until_the_first_has_drained_and_a_stop_ends_both() {
    Web::with(SHARES, |web| {
        let slow = Pending::begin(web.port);
        let first = web.main();
        web.coracle.ok(&["restart", "--drain=10min", "web"]);
        let second = web.main();
        web.coracle
            .ok(&["restart", "--drain=10min", "--no-block", "web"]);
        assert_eq!(
            [web.main(), web.says("BesideMainPID")],
            [second.clone(), first]
        );
        let other = Pending::begin(web.port);
        assert_eq!(slow.end(), "first");
        web.is_in("BesideMainPID", &second);
        let third = web.main();
        assert_ne!(third, second);
        // Neither ends by itself: one has a connection, the other was not asked to.
        let processes = [second, third];
        let stop = web.coracle.ok(&["stop", "web.socket", "web.service"]);
        assert_eq!(stop, "");
        assert!(processes.iter().all(|pid| !manager::lives(pid)));
        drop(other);
    });
}

#[test]
fn what_does_not_end_in_its_time_is_killed_and_a_signal_reaches_both() {
    Web::with(SHARES, |web| {
        let slow = Pending::begin(web.port);
        let first = web.main();
        web.coracle.ok(&["restart", "--drain=10min", "web"]);
        assert_eq!(web.says("BesideMainPID"), first);
        web.coracle
            .ok(&["kill", "-s", "KILL", "--kill-whom=all", "web"]);
        state(web.coracle, "web.service", "failed");
        web.is_in("BesideState", "");
        drop(slow);

        web.coracle.ok(&["start", "web"]);
        let _slow = Pending::begin(web.port);
        let third = web.main();
        web.coracle.ok(&["restart", "--drain=50ms", "web"]);
        web.is_in("BesideState", "");
        assert!(!manager::lives(&third));
        assert_eq!(web.says("ActiveState"), "active");
    });
}

#[test]
fn directories_are_for_one_at_a_time_unless_the_unit_says_otherwise() {
    let alone = "RuntimeDirectory=coracle-test-replacing\nTimeoutStopSec=100ms";
    Web::with(alone, |web| {
        let first = web.main();
        let slow = Pending::begin(web.port);
        web.coracle.ok(&["restart", "--drain=10min", "web"]);
        assert!(!manager::lives(&first));
        assert_eq!(web.says("BesideState"), "");
        let log = web.coracle.ok(&["logs", "-u", "web", "--cat"]);
        assert!(
            log.contains("it is stopped before it starts again, and not replaced"),
            "{log}"
        );
        drop(slow);
        // Both must say it: what runs did not.
        web.renew("second", SHARES);
        let second = web.main();
        web.coracle.ok(&["restart", "--drain=10min", "web"]);
        assert!(!manager::lives(&second));
        assert_eq!(web.says("BesideState"), "");
    });
}
