//! Services that must say that they are alive: whether they are heard, and what becomes of those that fall silent.

use coracle_system_tests::{manager, waiting, with_units};
use testkit::Instance;

/// Says that it is alive each 50 milliseconds for as long as the file that it is told is there, and writes down what it was told of its
/// watchdog, once for each start.
const SPEAKER: &str = "use IO::Socket::UNIX; my $to = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET}); open F, q(>>), qq($ARGV[0].told); print F qq($ENV{WATCHDOG_USEC} ), ($ENV{WATCHDOG_PID} == $$ ? q(me) : q(other)), qq(\\n); close F; while (1) { $to->send(q(WATCHDOG=1)) if -e $ARGV[0]; select undef, undef, undef, 0.05 }";

fn speaker(coracle: &Instance, name: &str, lines: &str) {
    let folder = coracle.folder().display();
    std::fs::write(coracle.folder().join("speaker.pl"), SPEAKER).expect("the program");
    let text =
        format!("[Service]\nExecStart=/usr/bin/perl {folder}/speaker.pl {folder}/alive\n{lines}");
    coracle.unit(name, &text);
    std::fs::write(coracle.folder().join("alive"), "").expect("a file");
}

#[test]
fn who_says_that_it_is_alive_goes_on_whatever_becomes_of_managers_and_who_falls_silent_is_ended() {
    with_units(&[], |coracle| {
        speaker(coracle, "a.service", "WatchdogSec=1\n");
        coracle.ok(&["start", "a"]);
        let main = coracle.property("a.service", "MainPID");
        for _ in 0..3 {
            let old = coracle.process("ManagerPID");
            manager::kill(old);
            waiting::eventually("the next manager", || {
                (coracle.coracle(&["is-active", "a"]).status == 0).then_some(())
            });
        }
        // For longer than it may be silent.
        let begin = std::time::Instant::now();
        waiting::eventually("a second and a half", || {
            assert_eq!(coracle.property("a.service", "MainPID"), main);
            (begin.elapsed().as_millis() > 1500).then_some(())
        });
        assert_eq!(
            std::fs::read_to_string(coracle.folder().join("alive.told")).expect("what it was told"),
            "1000000 me\n"
        );
        std::fs::remove_file(coracle.folder().join("alive")).expect("it was there");
        waiting::state(coracle, "a.service", "failed");
        assert_eq!(coracle.property("a.service", "Result"), "watchdog");
        assert_eq!(coracle.property("a.service", "ExecMainStatus"), "6");
    });
}

#[test]
fn a_service_that_fell_silent_is_started_again_where_only_that_counts() {
    with_units(&[], |coracle| {
        speaker(
            coracle,
            "a.service",
            "WatchdogSec=200ms\nRestart=on-watchdog\nRestartSec=1ms\nKillMode=mixed\n",
        );
        std::fs::remove_file(coracle.folder().join("alive")).expect("it was there");
        coracle.ok(&["start", "a"]);
        waiting::eventually("another run", || {
            (coracle.property("a.service", "NRestarts") != "0").then_some(())
        });
        std::fs::write(coracle.folder().join("alive"), "").expect("a file");
        waiting::state(coracle, "a.service", "active");
        coracle.ok(&["stop", "a"]);
        assert_eq!(coracle.property("a.service", "Result"), "success");
    });
}
