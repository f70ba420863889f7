//! Slices and scopes: a tree of units and of control groups, and processes that somebody else started.

use std::path::PathBuf;
use std::process::Stdio;

use coracle_system_tests::stage::control_groups;
use coracle_system_tests::{manager, waiting, with_units};
use testkit::Instance;

const STAYS: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

fn stays_in(slice: &str) -> String {
    format!("{STAYS}Slice={slice}\n")
}

fn group(coracle: &Instance, name: &str) -> PathBuf {
    let root = coracle.control_group();
    control_groups()
        .join(root.trim_start_matches('/'))
        .join(name)
}

fn is_active(coracle: &Instance, unit: &str) -> bool {
    coracle.coracle(&["is-active", "-q", "--", unit]).status == 0
}

#[test]
fn slices_start_with_what_is_in_them_and_stop_it_with_them() {
    let units = [
        ("a.service", STAYS.to_owned()),
        ("b.service", stays_in("x-y.slice")),
        ("c.service", stays_in("x.slice")),
        ("d@.service", STAYS.to_owned()),
    ];
    let units: Vec<(&str, &str)> = units.iter().map(|(name, text)| (*name, &**text)).collect();
    with_units(&units, |coracle| {
        coracle.ok(&["start", "a", "b", "c", "d@1"]);
        for slice in [
            "-.slice",
            "system.slice",
            "x.slice",
            "x-y.slice",
            "system-d.slice",
        ] {
            assert!(is_active(coracle, slice), "{slice}");
        }
        for path in [
            "system.slice/a.service/1",
            "x.slice/x-y.slice/b.service/1",
            "x.slice/c.service/1",
            "system.slice/system-d.slice/d@1.service/1",
        ] {
            let procs = std::fs::read_to_string(group(coracle, path).join("cgroup.procs"));
            assert_eq!(procs.expect(path).lines().count(), 1, "{path}");
        }
        coracle.ok(&["stop", "x.slice"]);
        for unit in ["b", "c", "x.slice", "x-y.slice"] {
            assert!(!is_active(coracle, unit), "{unit}");
        }
        assert!(is_active(coracle, "a"));
        waiting::eventually("the end of its group", || {
            (!group(coracle, "x.slice").exists()).then_some(())
        });
        let refused = coracle.coracle(&["stop", "--", "-.slice"]);
        assert_ne!(refused.status, 0, "{refused:?}");
        assert!(is_active(coracle, "a"));
    });
}

#[test]
fn what_runs_stays_in_its_group_where_its_slice_changes() {
    with_units(&[("a.service", &stays_in("x.slice"))], |coracle| {
        coracle.ok(&["start", "a"]);
        coracle.unit("a.service", &stays_in("y.slice"));
        coracle.ok(&["daemon-reload"]);
        let run = group(coracle, "x.slice/a.service/1");
        manager::kill(coracle.process("ManagerPID"));
        let shown = coracle.ok(&["show", "-p", "ControlGroup", "--value", "a"]);
        assert!(shown.trim().ends_with("/x.slice/a.service/1"), "{shown}");
        assert!(run.exists());
        coracle.ok(&["restart", "a"]);
        assert!(group(coracle, "y.slice/a.service/2").exists());
        waiting::eventually("the end of its former group", || {
            (!run.exists()).then_some(())
        });
    });
}

#[test]
fn a_scope_is_bounded_by_the_file_of_its_slice_however_new_that_is() {
    with_units(&[], |coracle| {
        let start = |unit: &str| {
            let mut command = coracle.command(&["run", "-q", "--scope", "--slice=new.slice"]);
            let command = command.arg(unit).args(["sleep", "infinity"]);
            command.spawn().expect("it starts")
        };
        let mut first = start("--unit=first");
        waiting::await_states(coracle, "first.scope", "active running");
        assert_eq!(coracle.property("new.slice", "FragmentPath"), "");
        let file = coracle.folder().join("config/units/new.slice");
        std::fs::write(&file, "[Slice]\nTasksMax=20\n").expect("a file");
        let mut second = start("--unit=second");
        waiting::await_states(coracle, "second.scope", "active running");
        assert_eq!(coracle.property("new.slice", "TasksMax"), "20");
        coracle.ok(&["stop", "new.slice"]);
        for one in [&mut first, &mut second] {
            one.wait().expect("it ends");
        }
    });
}

#[test]
fn a_scope_outlives_the_manager_and_is_stopped_with_all_that_is_in_it() {
    with_units(&[], |coracle| {
        let mut command =
            coracle.command(&["run", "-q", "--scope", "--unit=far", "--slice=x.slice"]);
        let mut child = command
            .args(["sh", "-c", "(setsid sleep 1000 &); exec sleep 1000"])
            .stdin(Stdio::null())
            .spawn()
            .expect("the command starts");
        let procs = group(coracle, "x.slice/far.scope/1/cgroup.procs");
        let sleeps = |pid: &str| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim() == "sleep")
        };
        waiting::eventually("two processes that sleep", || {
            let text = std::fs::read_to_string(&procs).ok()?;
            (text.lines().count() == 2 && text.lines().all(sleeps)).then_some(())
        });
        manager::kill(coracle.process("ManagerPID"));
        assert!(is_active(coracle, "far.scope"));
        let told = coracle.ok(&["status", "far.scope"]);
        assert!(told.contains(&child.id().to_string()), "{told}");
        coracle.ok(&["stop", "far.scope"]);
        child.wait().expect("it ended");
        assert!(!is_active(coracle, "far.scope"));
    });
}

#[test]
fn a_scope_ends_with_its_last_process_and_needs_one() {
    with_units(&[("a.scope", "[Scope]\nTimeoutStopSec=1s\n")], |coracle| {
        let ended = coracle.coracle(&[
            "run",
            "-q",
            "--scope",
            "sh",
            "-c",
            "grep -o '/run-[0-9a-f]*.scope/' /proc/self/cgroup; exit 7",
        ]);
        assert_eq!(ended.status, 7, "{ended:?}");
        let name = ended.stdout.trim().trim_matches('/');
        waiting::eventually("the end of the scope", || {
            (!is_active(coracle, name)).then_some(())
        });
        let refused = coracle.coracle(&["start", "a.scope"]);
        assert_ne!(refused.status, 0, "{refused:?}");
        assert!(refused.stderr.contains("run --scope"), "{refused:?}");
        let other = coracle.coracle(&["run", "--scope", "--unit=b.service", "true"]);
        assert_ne!(other.status, 0, "{other:?}");
    });
}

#[test]
fn what_bounds_a_unit_is_set_while_it_runs_and_told_where_it_does_not_hold() {
    let unit = "[Service]\nExecStart=/bin/sleep infinity\n";
    with_units(&[("ok.service", unit)], |coracle| {
        coracle.ok(&["start", "ok"]);
        let set = coracle
            .coracle(&["set-property", "ok", "CPUWeight=50"])
            .ok();
        assert_eq!(coracle.property("ok.service", "CPUWeight"), "50");
        let file = "config/units/ok.service.d/50-CPUWeight.conf";
        let text = std::fs::read_to_string(coracle.folder().join(file)).expect("a drop-in");
        assert_eq!(text, "[Service]\nCPUWeight=50\n");
        // What a start would tell, this tells, too: it depends on the host whether that is anything.
        let reduced = "reduced: ok.service: CPUWeight=";
        let restart = coracle.coracle(&["restart", "ok"]).ok();
        assert_eq!(
            set.stderr.contains(reduced),
            restart.stderr.contains(reduced),
            "{} {}",
            set.stderr,
            restart.stderr
        );
        for (line, why) in [
            ("Type=oneshot", "nothing that can be changed while"),
            (
                "DelegateSubgroup=../up",
                "not the name of one control group",
            ),
            ("MemoryMax=much", "MemoryMax=much"),
        ] {
            let refused = coracle.coracle(&["set-property", "ok", line]);
            assert!(
                refused.status != 0 && refused.stderr.contains(why),
                "{}",
                refused.stderr
            );
        }
    });
}
