//! The manager is killed at any moment, again and again: services go on, and no exit status, restart or log line is lost.

use coracle_system_tests::with_units;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testkit::Instance;

/// Kills in one run of the tests; `CORACLE_KILLS` asks for more.
fn kills() -> usize {
    std::env::var("CORACLE_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(300)
}

fn kill(coracle: &Instance) {
    let manager = pidfd_open(coracle.process("ManagerPID"), PidfdFlags::empty())
        .expect("the manager's process");
    pidfd_send_signal(&manager, Signal::KILL).expect("the manager takes a signal");
}

#[test]
fn nothing_is_lost_when_the_manager_is_killed_again_and_again() {
    let writer = "[Service]\nExecStart=/bin/sh -c 'i=0; while :; do i=$((i+1)); echo line $i; read -t 0.01 x < /dev/zero || :; done'\n".replace("read -t 0.01 x < /dev/zero || :", "sleep 0.01");
    let ledger = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sh -c 'echo started; exit 3'\nRestart=always\nRestartSec=20ms\n";
    with_units(
        &[
            ("writer.service", &writer),
            ("ledger.service", ledger),
            (
                "steady.service",
                "[Service]\nExecStart=/bin/sleep infinity\n",
            ),
        ],
        |coracle| {
            coracle.ok(&["start", "writer", "ledger", "steady"]);
            let main = coracle.property("steady.service", "MainPID");
            for round in 0..kills() {
                kill(coracle);
                assert_eq!(
                    coracle.property("steady.service", "MainPID"),
                    main,
                    "round {round}"
                );
            }
            coracle.ok(&["stop", "writer", "ledger"]);
            assert_eq!(coracle.property("steady.service", "ActiveState"), "active");
            let lines = coracle.ok(&["logs", "-u", "writer.service", "--cat"]);
            let numbers: Vec<usize> = lines
                .lines()
                .filter_map(|line| line.strip_prefix("line ")?.parse().ok())
                .collect();
            assert!(!numbers.is_empty());
            assert!(
                numbers.iter().copied().eq(1..=numbers.len()),
                "lines are lost, doubled or out of order: {:?}",
                numbers.windows(2).find(|pair| pair[1] != pair[0] + 1)
            );
            let started = coracle
                .ok(&["logs", "-u", "ledger.service", "--cat"])
                .lines()
                .filter(|line| *line == "started")
                .count();
            let restarts: usize = coracle
                .property("ledger.service", "NRestarts")
                .parse()
                .expect("a number");
            assert!(
                started.abs_diff(restarts + 1) <= 1,
                "{started} starts and {restarts} restarts"
            );
        },
    );
}

#[test]
fn the_manager_is_replaced_on_request_and_the_keeper_stays() {
    with_units(
        &[("a.service", "[Service]\nExecStart=/bin/sleep infinity\n")],
        |coracle| {
            coracle.ok(&["start", "a"]);
            let (keeper, manager, main) = (
                coracle.process("KeeperPID"),
                coracle.process("ManagerPID"),
                coracle.property("a.service", "MainPID"),
            );
            coracle.ok(&["daemon-reexec"]);
            assert_eq!(coracle.process("KeeperPID"), keeper);
            assert_ne!(coracle.process("ManagerPID"), manager);
            assert_eq!(coracle.property("a.service", "MainPID"), main);
        },
    );
}
