//! The manager dies at moments that chance would take long to find, and is replaced on request: nothing is lost, and nothing is left.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use coracle_system_tests::gate::Gate;
use coracle_system_tests::stage::control_groups;
use coracle_system_tests::{manager, waiting, with_units};
use rustix::process::{Pid, Signal, kill_process};
use testkit::Instance;

/// A service that is an inhabitant in this role, with a ledger of its name.
fn inhabitant(coracle: &Instance, role: &str, name: &str) -> String {
    let (program, folder) = (env!("CARGO_BIN_EXE_inhabitant"), coracle.folder().display());
    format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={program} {role} {folder}/{name}.ledger 1\n"
    )
}

/// Asks a server with a word, and reads its answer to the end.
fn ask(coracle: &Instance, name: &str) -> String {
    let path = coracle.folder().join(format!("{name}.sock"));
    let mut stream = UnixStream::connect(path).expect("the socket is open all the time");
    stream.write_all(b"ping").expect("the question goes out");
    stream.shutdown(Shutdown::Write).expect("its end goes out");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn units(coracle: &Instance) {
    for (name, role) in [("web", "serve"), ("lazy", "serve-once")] {
        let path = coracle.folder().join(format!("{name}.sock"));
        let text = format!(
            "[Socket]\nListenStream={}\nTriggerLimitIntervalSec=0\n",
            path.display()
        );
        coracle.unit(&format!("{name}.socket"), &text);
        coracle.unit(&format!("{name}.service"), &inhabitant(coracle, role, name));
    }
    let note = inhabitant(coracle, "note", "note@%i");
    coracle.unit("note@.service", &format!("{note}Type=notify\n"));
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
fn a_manager_that_can_write_no_record_goes_on_and_catches_up() {
    with_units(&[], |coracle| {
        units(coracle);
        let manager = coracle.process("ManagerPID");
        let records = coracle.folder().join("run/units");
        // No file can be written where a directory is.
        std::fs::create_dir(records.join(".new")).expect("a directory in the way");
        coracle.ok(&["start", "note@1"]);
        let process = coracle.property("note@1.service", "MainPID");
        assert_eq!(coracle.process("ManagerPID"), manager);
        waiting::eventually("what is wrong, in the log", || {
            let said = coracle.ok(&["logs"]);
            // What happened to its slice comes before.
            said.contains("cannot record what happens to ")
                .then_some(())
        });
        std::fs::remove_dir(records.join(".new")).expect("it is out of the way");
        waiting::eventually("a record", || {
            let found = names(&records);
            found
                .iter()
                .any(|name| name.contains("note@1"))
                .then_some(())
        });
        manager::kill(manager);
        assert_eq!(coracle.property("note@1.service", "MainPID"), process);
        coracle.ok(&["stop", "note@1"]);
    });
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
            let all =
                std::fs::read_to_string(root.join("system.slice/a.service/1/cgroup.procs")).ok()?;
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
        assert!(ask(coracle, "web").starts_with("ping "));
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
        assert!(ask(coracle, "web").starts_with("ping "));
        assert!(ask(coracle, "lazy").starts_with("ping "));
        coracle.ok(&["kill", "--signal=KILL", "note@1"]);
        waiting::eventually("the exit status", || {
            (coracle.property("note@1.service", "ExecMainStatus") == "9").then_some(())
        });
    });
}

#[test]
fn who_asked_for_a_restart_if_it_runs_waits_for_its_end_over_the_managers_death() {
    let unit = "[Service]\nExecStart=/bin/sleep 1000\nExecStop=/bin/sh -c 'read line <@DIR@/go'\n";
    with_units(&[], |coracle| {
        let folder = coracle.folder().display().to_string();
        let gate = Gate::at(coracle.folder().join("go"));
        coracle.unit("slow.service", &unit.replace("@DIR@", &folder));
        for word in ["try-restart", "restart"] {
            coracle.ok(&["start", "slow"]);
            let before = coracle.property("slow.service", "MainPID");
            let asked = coracle.command(&[word, "slow"]).spawn();
            let mut asked = asked.expect("the command starts");
            waiting::state(coracle, "slow.service", "deactivating");
            manager::kill(coracle.process("ManagerPID"));
            // The client is there before this one, or at the same time.
            let state = coracle.property("slow.service", "ActiveState");
            assert_eq!(state, "deactivating");
            waiting::eventually("the client asks the next manager", || {
                let clients = std::fs::read_to_string("/proc/net/unix").expect("the sockets");
                let api = coracle.folder().join("run/api").display().to_string();
                // Its state is "connected".
                let mut own = clients.lines().filter(|line| line.ends_with(&api));
                own.any(|line| line.split_whitespace().nth(5) == Some("03"))
                    .then_some(())
            });
            let still = asked.try_wait().expect("its state");
            assert!(
                still.is_none(),
                "{word} ended before it was done: {still:?}"
            );
            gate.open();
            assert!(asked.wait().expect("its end").success(), "{word}");
            let after = coracle.property("slow.service", "MainPID");
            assert!(
                after != before && !manager::lives(&before) && manager::lives(&after),
                "{word}: {before}, then {after}: {}",
                coracle.ok(&["status", "slow"])
            );
            let stop = coracle.command(&["stop", "slow"]).spawn();
            gate.open();
            assert!(stop.expect("it starts").wait().expect("its end").success());
        }
    });
}

#[test]
fn a_socket_whose_file_asks_for_more_by_now_goes_on_with_what_it_has() {
    with_units(&[], |coracle| {
        units(coracle);
        coracle.ok(&["start", "web.socket"]);
        let folder = coracle.folder().display().to_string();
        let more =
            format!("[Socket]\nListenStream={folder}/web.sock\nListenStream={folder}/2.sock\n");
        coracle.unit("web.socket", &more);
        coracle.ok(&["daemon-reload"]);
        manager::kill(coracle.process("ManagerPID"));
        let property = coracle.property("web.socket", "ActiveState");
        assert_eq!(
            property,
            "active",
            "{}",
            coracle.ok(&["status", "web.socket"])
        );
        assert!(ask(coracle, "web").starts_with("ping"));
        coracle.ok(&["stop", "web.socket", "web"]);
        coracle.ok(&["start", "web.socket"]);
        let both = UnixStream::connect(coracle.folder().join("2.sock"));
        both.expect("the next start makes what the file asks for");
    });
}
