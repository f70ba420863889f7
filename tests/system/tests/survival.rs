//! The manager is killed at any moment, again and again: services go on and serve, and no exit status, readiness, restart,
//! connection or log line is lost, nothing runs twice, and nothing is left.

use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coracle_system_tests::manager::{self, Moments};
use coracle_system_tests::stage::control_groups;
use coracle_system_tests::{waiting, with_units};
use rustix::process::{Pid, Signal, kill_process};
use testkit::Instance;

/// Kills in one run of the tests; `CORACLE_KILLS` asks for more.
fn kills() -> u64 {
    std::env::var("CORACLE_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(300)
}

/// The longest life of a manager between two kills, in milliseconds: from before its first answer to well after it.
const LIFE_MS: u64 = 60;

/// This program as a service: one of the helpers below.
fn helper(name: &str) -> String {
    let own = std::env::current_exe().expect("the path of this program");
    format!("{} --exact {name} --ignored --nocapture", own.display())
}

/// Answers every connection, or the first alone.
fn serve(once: bool) {
    let listener = UnixListener::from(kernel::descriptor::take_inherited(3).expect("a socket"));
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut line = [0; 5];
        // Who goes away before it asked is served as well.
        if stream.read_exact(&mut line).is_ok() {
            stream.write_all(b"pong\n").ok();
        }
        if once {
            return;
        }
    }
}

#[test]
#[ignore = "a helper of another test, run by it as a service"]
fn helper_that_serves() {
    serve(false);
}

#[test]
#[ignore = "a helper of another test, run by it as a service"]
fn helper_that_serves_once() {
    serve(true);
}

#[test]
#[ignore = "a helper of another test, run by it as a service"]
fn helper_that_is_ready_after_a_while() {
    let path = std::env::var("NOTIFY_SOCKET").expect("a socket for notifications");
    std::thread::sleep(Duration::from_millis(Moments::new().below(LIFE_MS)));
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(b"READY=1", path).expect("somebody holds it");
    std::thread::sleep(Duration::from_secs(1000));
}

/// Asks a server at a path and reads its answer to the end.
fn ask(path: &std::path::Path) -> String {
    let mut stream = UnixStream::connect(path).expect("the socket is open all the time");
    stream.write_all(b"ping\n").expect("the question goes out");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

const WRITER: &str = "[Service]\nLogRateLimitBurst=0\nExecStart=/bin/sh -c 'i=0; while [ -e @DIR@/go ]; do i=$((i+1)); echo line $i; sleep 0.01; done; exec sleep infinity'\n";
const LEDGER: &str = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nLogRateLimitBurst=0\nExecStart=/bin/sh -c 'echo started; exit 3'\nRestart=always\nRestartSec=20ms\n";
const SOCKET: &str =
    "[Socket]\nListenStream=@DIR@/@NAME@.sock\nTriggerLimitIntervalSec=0\nRemoveOnStop=yes\n";

fn units(coracle: &Instance) {
    let directory = coracle.folder().display().to_string();
    let socket = |name: &str| SOCKET.replace("@NAME@", name).replace("@DIR@", &directory);
    let service = |name: &str| {
        format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={}\n",
            helper(name)
        )
    };
    coracle.unit("writer.service", &WRITER.replace("@DIR@", &directory));
    coracle.unit("ledger.service", LEDGER);
    coracle.unit("web.socket", &socket("web"));
    coracle.unit("web.service", &service("helper_that_serves"));
    coracle.unit("lazy.socket", &socket("lazy"));
    coracle.unit("lazy.service", &service("helper_that_serves_once"));
    let ready = helper("helper_that_is_ready_after_a_while");
    coracle.unit(
        "note@.service",
        &format!("[Service]\nType=notify\nNotifyAccess=all\nExecStart={ready}\n"),
    );
    std::fs::write(coracle.folder().join("go"), "").expect("a file");
}

/// Kills one manager after the other, each at a moment of its life that the seed says.
fn kill_again_and_again(keeper: Pid) {
    let mut moments = Moments::new();
    for _ in 0..kills() {
        let manager = manager::of(keeper);
        std::thread::sleep(Duration::from_micros(moments.below(LIFE_MS * 1000)));
        manager::kill(manager);
    }
}

/// Does `work` again and again with a rising number until told to stop; answers how often.
fn again_and_again(stop: &AtomicBool, mut work: impl FnMut(usize)) -> usize {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        work(number);
    }
    number
}

/// A command that waits for its unit: its exit status comes back, and it ran once.
fn run_and_wait(coracle: &Instance, number: usize) {
    let ledger = coracle.folder().join("ledger");
    let status = number % 100;
    let script = format!("echo {number} >> {}; exit {status}", ledger.display());
    let ended = coracle.coracle(&["run", "--wait", "--collect", "/bin/sh", "-c", &script]);
    assert_eq!(ended.status, status as i32, "{number}: {ended:?}");
}

/// A service that becomes ready some time: the command that started it returns then, and not before.
fn start_and_stop_noted(coracle: &Instance, number: usize) {
    let unit = format!("note@{number}.service");
    coracle.ok(&["start", &unit]);
    assert_eq!(coracle.property(&unit, "ActiveState"), "active");
    coracle.ok(&["stop", &unit]);
}

#[test]
fn nothing_is_lost_when_the_manager_is_killed_again_and_again() {
    with_units(&[], |coracle| {
        units(coracle);
        coracle.ok(&["start", "writer", "ledger", "web.socket", "lazy.socket"]);
        assert_eq!(ask(&coracle.folder().join("web.sock")), "pong\n");
        let keeper = coracle.process("KeeperPID");
        let main = coracle.property("web.service", "MainPID");
        let before = manager::descriptors(keeper);
        let stop = AtomicBool::new(false);
        let (runs, served) = std::thread::scope(|scope| {
            let load = |work: fn(&Instance, usize)| {
                let stop = &stop;
                move || again_and_again(stop, |number| work(coracle, number))
            };
            let runs = scope.spawn(load(run_and_wait));
            let noted = scope.spawn(load(start_and_stop_noted));
            let served = scope.spawn(load(|coracle, _| {
                assert_eq!(ask(&coracle.folder().join("web.sock")), "pong\n");
            }));
            let lazy = scope.spawn(load(|coracle, _| {
                assert_eq!(ask(&coracle.folder().join("lazy.sock")), "pong\n");
            }));
            kill_again_and_again(keeper);
            stop.store(true, Ordering::Relaxed);
            let all = [runs, noted, lazy, served].map(|one| one.join().expect("the load is well"));
            println!("runs, readiness, activations, answers: {all:?}");
            (all[0], all[3])
        });
        assert!(served > 0);
        assert_eq!(coracle.property("web.service", "MainPID"), main);
        check_runs(coracle, runs);
        check_restarts(coracle);
        check_lines(coracle);
        check_nothing_is_left(coracle, keeper, &before);
    });
}

/// Every run left its number once.
fn check_runs(coracle: &Instance, runs: usize) {
    let ledger = std::fs::read_to_string(coracle.folder().join("ledger")).expect("the ledger");
    let numbers: Vec<usize> = ledger
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    assert!(
        runs > 0 && numbers.iter().copied().eq(1..=runs),
        "{runs}: {numbers:?}"
    );
}

/// Each restart that is counted is a start that left its line, and the other way round.
fn check_restarts(coracle: &Instance) {
    coracle.ok(&["stop", "ledger"]);
    let restarts: usize = coracle
        .property("ledger.service", "NRestarts")
        .parse()
        .expect("a number");
    assert!(restarts > 0);
    let started = |lines: &[String]| lines.iter().filter(|line| *line == "started").count();
    let lines = waiting::lines(coracle, "ledger.service", |lines| {
        started(lines) >= restarts
    });
    let starts = started(&lines);
    // The last restart may have been stopped before it was one.
    assert!(
        starts == restarts || starts == restarts + 1,
        "{starts} starts, {restarts} restarts"
    );
}

/// The writer's lines are all there, in their order, up to its last.
fn check_lines(coracle: &Instance) {
    std::fs::remove_file(coracle.folder().join("go")).expect("the file");
    waiting::eventually("the end of the writing", || {
        let main = coracle.property("writer.service", "MainPID");
        let name = std::fs::read_to_string(format!("/proc/{main}/comm")).ok()?;
        (name.trim() == "sleep").then_some(())
    });
    coracle.ok(&["stop", "writer"]);
    let numbers = |lines: &[String]| -> Vec<usize> {
        lines
            .iter()
            .filter_map(|line| line.strip_prefix("line ")?.parse().ok())
            .collect()
    };
    let count = numbers(&waiting::lines(coracle, "writer.service", |_| true)).len();
    let lines = waiting::lines(coracle, "writer.service", |lines| {
        numbers(lines).len() >= count
    });
    let numbers = numbers(&lines);
    assert!(!numbers.is_empty());
    assert!(
        numbers.iter().copied().eq(1..=numbers.len()),
        "lines are lost, doubled or out of order: {:?}",
        numbers.windows(2).find(|pair| pair[1] != pair[0] + 1)
    );
}

/// What the keeper holds, the groups and the records are those of the units that are up.
fn check_nothing_is_left(coracle: &Instance, keeper: Pid, before: &[String]) {
    coracle.ok(&["stop", "web.socket", "lazy.socket", "web", "lazy", "note@*"]);
    let root = coracle.control_group();
    waiting::eventually("the end of all groups", || {
        manager::groups(&root).is_empty().then_some(())
    });
    let after = waiting::eventually("the end of all descriptors", || {
        let after = manager::descriptors(keeper);
        (after.len() <= before.len()).then_some(after)
    });
    assert!(
        after.iter().all(|one| before.contains(one)),
        "{after:#?}, before: {before:#?}"
    );
    let notify = names(&coracle.folder().join("run/notify"));
    assert!(notify.is_empty(), "{notify:?}");
    // A run whose client was answered by a manager that died at once stays for as long as its client may come back.
    waiting::eventually("the end of all records of runs", || {
        let left = names(&coracle.folder().join("run/units"));
        let mut left = left.iter();
        (!left.any(|name| name.contains("run-") || name.starts_with('.'))).then_some(())
    });
}

/// The names in a directory.
fn names(directory: &std::path::Path) -> Vec<String> {
    std::fs::read_dir(directory)
        .expect("the directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn what_a_manager_was_about_to_make_when_it_was_killed_goes_with_it() {
    with_units(&[], |coracle| {
        units(coracle);
        coracle.ok(&["start", "note@1"]);
        let run = coracle.folder().join("run");
        std::fs::write(run.join("units/.new"), "{\"snap").expect("half a record");
        let nobodys = UnixDatagram::bind(run.join("notify/0123456789abcdef"));
        drop(nobodys.expect("a socket of a run that is on no record"));
        let group = control_groups().join(coracle.control_group().trim_start_matches('/'));
        std::fs::create_dir(group.join("empty.service")).expect("a group of no run");
        std::fs::create_dir_all(group.join("nobodys.service/7")).expect("a run on no record");
        let mut nobodys = Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("a process");
        let procs = group.join("nobodys.service/7/cgroup.procs");
        std::fs::write(procs, nobodys.id().to_string()).expect("it is in the group");
        manager::kill(coracle.process("ManagerPID"));
        assert_eq!(coracle.property("note@1.service", "ActiveState"), "active");
        assert_eq!(nobodys.wait().expect("its end").signal(), Some(9));
        waiting::eventually("the end of the groups of no run", || {
            let left = names(&group);
            (!left
                .iter()
                .any(|name| name == "empty.service" || name == "nobodys.service"))
            .then_some(())
        });
        assert_eq!(names(&run.join("notify")).len(), 1);
        let records = names(&run.join("units"));
        assert!(
            records.iter().all(|name| !name.starts_with('.')),
            "{records:?}"
        );
        coracle.ok(&["restart", "note@1"]);
    });
}

/// Makes `child` the main process on the record of `a.service`, as a manager does that heard MAINPID=.
fn name_main_process(record: &std::path::Path, child: u64) {
    let text = std::fs::read_to_string(record).expect("the record");
    let mut record_of: serde_json::Value = serde_json::from_str(&text).expect("a record");
    let processes = record_of
        .pointer_mut("/runs/0/processes")
        .expect("processes");
    let mut named = processes[0].clone();
    (named["serial"], named["pid"]) = (2.into(), child.into());
    processes.as_array_mut().expect("a list").push(named);
    for serial in ["main/Process/serial", "last_serial"] {
        let place = format!("/snapshot/state/Service/{serial}");
        *record_of.pointer_mut(&place).expect("a serial") = 2.into();
    }
    std::fs::write(record, record_of.to_string()).expect("the record is written");
}

#[test]
fn a_main_process_that_a_manager_had_no_time_to_have_watched_is_watched_by_the_next_one() {
    let unit = "[Service]\nExecStart=/bin/sh -c 'sleep 1000 & exec sleep 2000'\n";
    with_units(&[("a.service", unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        let main = coracle.property("a.service", "MainPID");
        let root = control_groups().join(coracle.control_group().trim_start_matches('/'));
        let child = waiting::eventually("its child", || {
            let all = std::fs::read_to_string(root.join("a.service/1/cgroup.procs")).ok()?;
            all.lines().find(|pid| **pid != main)?.parse().ok()
        });
        let (keeper, manager) = (coracle.process("KeeperPID"), coracle.process("ManagerPID"));
        // What is stopped starts no manager meanwhile.
        kill_process(keeper, Signal::STOP).expect("the keeper stops");
        manager::kill(manager);
        name_main_process(&coracle.folder().join("run/units/a.service.json"), child);
        kill_process(keeper, Signal::CONT).expect("the keeper goes on");
        assert_eq!(coracle.property("a.service", "MainPID"), child.to_string());
        assert_eq!(coracle.property("a.service", "ActiveState"), "active");
        let child = Pid::from_raw(child as i32).expect("a process id");
        kill_process(child, Signal::TERM).expect("the child ends");
        waiting::eventually("the end of the service", || {
            (coracle.property("a.service", "ActiveState") == "inactive").then_some(())
        });
    });
}

#[test]
fn keeper_and_manager_are_replaced_on_request_and_nothing_is_lost() {
    with_units(&[], |coracle| {
        units(coracle);
        coracle.ok(&["start", "web.socket", "lazy.socket", "note@1"]);
        assert_eq!(ask(&coracle.folder().join("web.sock")), "pong\n");
        let (keeper, manager) = (coracle.process("KeeperPID"), coracle.process("ManagerPID"));
        let held = manager::descriptors(keeper);
        let main = |unit: &str| coracle.property(unit, "MainPID");
        let mains = (main("web.service"), main("note@1.service"));
        coracle.ok(&["daemon-reexec"]);
        waiting::eventually("another manager", || {
            (coracle.process("ManagerPID") != manager).then_some(())
        });
        assert_eq!(coracle.process("KeeperPID"), keeper);
        // What it was executed with says that it took over from another.
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", keeper.as_raw_pid()));
        assert!(line.expect("its arguments").contains("--resume-fd"));
        assert_eq!((main("web.service"), main("note@1.service")), mains);
        // The log process is replaced, too: for a moment there are fewer.
        waiting::eventually("the same descriptors", || {
            (manager::descriptors(keeper) == held).then_some(())
        });
        assert_eq!(ask(&coracle.folder().join("web.sock")), "pong\n");
        assert_eq!(ask(&coracle.folder().join("lazy.sock")), "pong\n");
        coracle.ok(&["kill", "--signal=KILL", "note@1"]);
        waiting::eventually("the exit status", || {
            (coracle.property("note@1.service", "ExecMainStatus") == "9").then_some(())
        });
    });
}
