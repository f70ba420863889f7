//! Programs of a unit's control group: they are told before a start, and what the unit no longer names goes with the next one.

use coracle_system_tests::stage::Stage;
use coracle_system_tests::{manager, with_units};

#[test]
fn a_plan_tells_the_programs_of_the_control_group() {
    let unit = "[Service]
IPAddressDeny=any
DevicePolicy=closed
BPFProgram=connect4:/sys/fs/bpf/mine
ExecStart=/bin/true
";
    with_units(&[("web.service", unit)], |coracle| {
        let plan = coracle.ok(&["explain", "--plan", "web"]);
        let mut lines: Vec<&str> = plan
            .lines()
            .filter(|line| line.contains("GroupProgram"))
            .collect();
        lines
            .iter_mut()
            .for_each(|line| *line = line.split_once("control group, ").expect("words").1);
        let starts = [
            "device asks a program of ",
            "ingress asks a program of ",
            "egress asks a program of ",
            "connect4 asks the program that is pinned at \"/sys/fs/bpf/mine\"",
        ];
        let ends = [
            "DevicePolicy=",
            "IPAddressDeny=",
            "IPAddressDeny=",
            "BPFProgram=",
        ];
        assert_eq!(lines.len(), starts.len(), "{plan}");
        for ((line, start), end) in lines.iter().zip(starts).zip(ends) {
            let told = line.strip_prefix("before any process: ").expect("when");
            assert!(told.starts_with(start) && told.ends_with(end), "{line}");
        }
    });
}

#[test]
fn a_pinned_program_that_a_unit_no_longer_names_is_taken_away_at_the_next_start() {
    with_units(&[], |coracle| {
        let stage = Stage::new(coracle);
        // What stays behind of the first run keeps its control group, and that its programs.
        let unit = |line: &str| {
            let text = format!(
                "[Service]\nType=oneshot\nKillMode=none\n{line}\nExecStart=/bin/sh -c 'sleep 600 & echo $! >> $ROOM/left'\nExecStart=-/bin/sh -c '$ROOM/attacker send 127.0.0.1:9 > $ROOM/said'\n"
            );
            coracle.unit("web.service", &stage.fill(&text));
            coracle.ok(&["daemon-reload"]);
            coracle.ok(&["start", "web"]);
            std::fs::read_to_string(stage.room().join("said")).expect("it was said")
        };
        assert_eq!(unit("BPFProgram=egress:$PINNED"), "EPERM\n");
        assert_eq!(unit("BPFProgram=egress:$PINNED"), "EPERM\n");
        manager::kill(coracle.process("ManagerPID"));
        assert_eq!(unit("# none"), "reached\n");
        let left = std::fs::read_to_string(stage.room().join("left")).expect("processes");
        for process in left.lines() {
            let number = process
                .parse()
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            manager::kill(number.expect("a process"));
        }
    });
}
