//! Limits on resources where control groups have no controllers: processes are tracked all the same, and what is not applied is shown.

use coracle_system_tests::stage::control_groups;
use coracle_system_tests::{manager, waiting, with_units};

/// Each controller, with a unit's lines that need it.
const LIMITS: &[(&str, &[&str])] = &[
    ("memory", &["MemoryMax=100M", "MemoryHigh=50M"]),
    ("cpu", &["CPUQuota=50%", "CPUWeight=20"]),
    ("io", &["IOWeight=50"]),
    ("pids", &["TasksMax=50"]),
];

#[test]
fn every_limit_is_applied_or_shown_as_reduced_with_its_reason() {
    let lines: Vec<&str> = LIMITS
        .iter()
        .flat_map(|(_, lines)| lines.iter().copied())
        .collect();
    let unit = format!(
        "[Service]\nExecStart=/bin/sleep infinity\n{}\n",
        lines.join("\n")
    );
    with_units(&[("a.service", &unit)], |coracle| {
        let started = coracle.coracle(&["start", "a"]);
        assert_eq!(started.status, 0, "{started:?}");
        let told = coracle.ok(&["status", "a"]);
        let host = coracle.ok(&["status"]);
        let root = control_groups().join(coracle.control_group().trim_start_matches('/'));
        let usable = std::fs::read_to_string(root.join("cgroup.subtree_control")).expect("a group");
        for (controller, lines) in LIMITS {
            let reduced = !usable.split_whitespace().any(|one| one == *controller);
            for line in *lines {
                let directive = line.split('=').next().expect("a name");
                let words = format!(
                    "{directive}= the {controller} controller of control groups is not available here"
                );
                assert_eq!(told.contains(&words), reduced, "{line}: {told}");
                assert_eq!(
                    started.stderr.contains(&words),
                    reduced,
                    "{}",
                    started.stderr
                );
            }
            let words = format!("{controller}: the controller is not available");
            assert_eq!(host.contains(&words), reduced, "{host}");
        }
    });
}

#[test]
fn processes_are_tracked_without_controllers_and_none_escapes_a_stop() {
    let script = "sleep 1000 & setsid sleep 1000 & (setsid sh -c \"sleep 1000 & exec sleep 1000\" &) ; exec sleep 1000";
    let unit = format!("[Service]\nExecStart=/bin/sh -c '{script}'\n");
    with_units(&[("a.service", &unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        let root = coracle.control_group();
        let group = control_groups()
            .join(root.trim_start_matches('/'))
            .join("system.slice/a.service/1");
        // Shells and setsid on their way to what they execute are processes, too.
        let sleeps = |pid: &String| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim() == "sleep")
        };
        let processes = waiting::eventually("five processes that sleep", || {
            let text = std::fs::read_to_string(group.join("cgroup.procs")).ok()?;
            let all: Vec<String> = text.lines().map(str::to_owned).collect();
            (all.len() == 5 && all.iter().all(sleeps)).then_some(all)
        });
        let told = coracle.ok(&["status", "a"]);
        assert!(
            processes.iter().all(|pid| told.contains(pid.as_str())),
            "{told}"
        );
        coracle.ok(&["stop", "a"]);
        // Clients have their answers before the groups go.
        waiting::eventually("the end of the groups", || {
            manager::groups(&root).is_empty().then_some(())
        });
        assert!(processes.iter().all(|pid| !manager::lives(pid)));
    });
}
