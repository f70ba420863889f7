//! What is said of units while the log takes nothing: it is in the log afterwards, once each and in order, whoever was killed meanwhile.

use coracle_system_tests::{manager, waiting, with_units};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use testkit::Instance;

/// A process that is stopped until the value is dropped, so that a test that fails leaves none that never ends.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: Pid) -> Stopped {
        signal(pid, Signal::STOP);
        let stopped = Stopped(pid);
        waiting::eventually("the process has stopped", || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid()));
            state
                .is_ok_and(|state| state.contains(") T "))
                .then_some(())
        });
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

fn signal(pid: Pid, signal: Signal) {
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("the process is there");
    pidfd_send_signal(&process, signal).expect("it takes a signal");
}

/// More words than fit into the stream: two for each unit, of which the kernel keeps a few hundred.
const UNITS: usize = 400;

/// Begins with these names of units that fail, and waits for their ends.
fn fail(coracle: &Instance, numbers: std::ops::Range<usize>) {
    let names: Vec<String> = numbers
        .map(|number| format!("fails@{number}.service"))
        .collect();
    let mut words = vec!["start"];
    words.extend(names.iter().map(String::as_str));
    assert_eq!(coracle.coracle(&words).status, 1);
}

/// What the log says of all of them by now.
fn told(coracle: &Instance) -> Vec<String> {
    let printed = coracle.ok(&["logs", "--cat"]);
    let lines = printed.lines().filter(|line| line.starts_with("fails@"));
    lines.map(str::to_owned).collect()
}

fn check(kills: bool) {
    let unit = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=/bin/false\n";
    with_units(&[("fails@.service", unit)], |coracle| {
        let keeper = coracle.process("KeeperPID");
        let log = manager::supervised(keeper, "log");
        let stopped = Stopped::new(log);
        fail(coracle, 0..UNITS / 2);
        if kills {
            manager::kill(manager::of(keeper));
        }
        fail(coracle, UNITS / 2..UNITS);
        if kills {
            manager::kill(manager::of(keeper));
        }
        coracle.ok(&["list-units"]);
        drop(stopped);
        let mut found = waiting::eventually("all words", || {
            Some(told(coracle)).filter(|found| found.len() >= 2 * UNITS)
        });
        // Nothing comes twice, and nothing comes after this.
        fail(coracle, UNITS..UNITS + 1);
        waiting::eventually("the last word", || {
            found = told(coracle);
            let last = format!("fails@{UNITS}.service: failed with result 'exit-code'");
            found.contains(&last).then_some(())
        });
        let mut expected: Vec<String> = (0..=UNITS)
            .flat_map(|number| {
                [
                    "main process exited, code=exited, status=1",
                    "failed with result 'exit-code'",
                ]
                .map(|word| format!("fails@{number}.service: {word}"))
            })
            .collect();
        let place = |line: &String| found.iter().position(|one| one == line);
        for pair in expected.chunks(2) {
            assert!(place(&pair[0]) < place(&pair[1]), "{pair:?} in {found:#?}");
        }
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    });
}

#[test]
fn what_is_said_while_the_log_is_stopped_is_heard_when_it_goes_on() {
    check(false);
}

#[test]
fn what_is_said_while_the_log_is_stopped_outlives_the_managers_death() {
    check(true);
}
