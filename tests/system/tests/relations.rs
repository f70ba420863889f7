//! What ties units is told as it is: the tree, the reasons, the time, the graph, the picture.

use coracle_system_tests::waiting::lines;
use coracle_system_tests::with_units;
use testkit::Instance;

const UNITS: &[(&str, &str)] = &[
    (
        "all.target",
        "[Unit]\nWants=web.service mid.target\nAfter=web.service\n",
    ),
    ("mid.target", "[Unit]\nRequires=slow.service\n"),
    (
        "web.service",
        "[Unit]\nRequires=db.service\nAfter=db.service\n[Service]\nExecStart=/bin/sleep infinity\n",
    ),
    (
        "db.service",
        "[Service]\nType=notify\nExecStart=/bin/sh -c 'echo no disk for the tables; exit 3'\n",
    ),
    (
        "slow.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 0.3\n",
    ),
];

fn json(coracle: &Instance, words: &[&str]) -> serde_json::Value {
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&coracle.ok(&words)).expect("JSON")
}

#[test]
fn the_tree_shows_what_a_target_needs_and_who_needs_a_service() {
    with_units(UNITS, |coracle| {
        assert_eq!(
            coracle.ok(&["list-dependencies", "all.target"]),
            "○ all.target\n○ ├─mid.target\n○ │ └─slow.service\n○ └─web.service\n"
        );
        assert_eq!(
            coracle.ok(&[
                "list-dependencies",
                "--plain",
                "--all",
                "--type=service",
                "web"
            ]),
            "web.service\n  db.service\n"
        );
        assert_eq!(
            coracle.ok(&[
                "list-dependencies",
                "--plain",
                "--reverse",
                "--all",
                "db.service"
            ]),
            "db.service\n  web.service\n    all.target\n"
        );
        let after = coracle.ok(&["list-dependencies", "--plain", "--after", "web.service"]);
        assert!(after.contains("\n  db.service\n"), "{after}");
        let before = coracle.ok(&["list-dependencies", "--plain", "--before", "db.service"]);
        assert!(before.contains("\n  web.service\n"), "{before}");
        // Properties have it at both ends, as implied as said.
        for (unit, property, expected) in [
            ("db.service", "RequiredBy", "web.service"),
            ("web.service", "WantedBy", "all.target"),
            ("mid.target", "Requires", "slow.service"),
        ] {
            assert_eq!(
                coracle.property(unit, property),
                expected,
                "{unit} {property}"
            );
        }
        let none = coracle.coracle(&["list-dependencies", "gone.service"]);
        assert!(
            none.status != 0 && none.stderr.contains("gone.service"),
            "{}",
            none.stderr
        );
    });
}

#[test]
fn a_failure_is_explained_down_to_what_failed_first() {
    with_units(UNITS, |coracle| {
        assert_ne!(coracle.coracle(&["start", "web.service"]).status, 0);
        lines(coracle, "db.service", |lines| {
            lines.iter().any(|line| line == "no disk for the tables")
        });
        let told = coracle.ok(&["why", "web.service"]);
        for part in [
            "web.service is inactive",
            "it has not been up since the instance was started",
            "to blame: db.service",
            "db.service is failed",
            "because the main process of db.service exited with status 3",
            "no disk for the tables",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let told = json(coracle, &["why", "web.service"]);
        assert_eq!(told[1]["unit"], "db.service");
        assert_eq!(told[1]["result"], "exit-code");
        // What runs is told with who wants it.
        coracle.ok(&["start", "mid.target"]);
        let told = coracle.ok(&["why", "slow"]);
        assert!(
            told.contains("because mid.target needs it (Requires=)"),
            "{told}"
        );
        assert!(
            told.contains("and that because start of mid.target was asked for"),
            "{told}"
        );
        assert!(told.contains("up and needed by mid.target"), "{told}");
        let none = coracle.coracle(&["why", "gone*"]);
        assert!(
            none.status != 0 && none.stderr.contains("no unit in memory"),
            "{}",
            none.stderr
        );
    });
}

#[test]
fn time_is_told_by_unit_by_chain_and_as_a_picture() {
    with_units(UNITS, |coracle| {
        coracle.ok(&["start", "mid.target"]);
        let blame = json(coracle, &["blame"]);
        assert_eq!(blame[0]["unit"], "slow.service");
        let took = blame[0]["us"].as_u64().expect("a number");
        assert!((300_000..60_000_000).contains(&took), "{took}");
        let chain = json(coracle, &["critical-chain", "mid.target"]);
        assert_eq!(chain[0]["unit"], "mid.target");
        assert_eq!(chain[1]["unit"], "slow.service");
        assert_eq!(chain[1]["took_us"], took);
        let picture = coracle.ok(&["plot"]);
        assert!(
            picture.starts_with("<svg ") && picture.ends_with("</svg>\n"),
            "{picture}"
        );
        assert!(picture.contains(">slow.service<tspan"), "{picture}");
        assert!(picture.contains(">mid.target<"), "{picture}");
        assert!(!coracle.ok(&["plot", "--no-targets"]).contains("mid.target"));
        let graph = coracle.ok(&["dot", "--require", "mid.target"]);
        assert!(
            graph.contains("\"mid.target\" -> \"slow.service\" [color=\"#1b1b1b\"];"),
            "{graph}"
        );
        assert!(!graph.contains("web.service"), "{graph}");
    });
}

#[test]
fn a_job_that_waits_says_for_which() {
    let units = [
        (
            "first.service",
            "[Service]\nType=oneshot\nExecStart=/bin/sleep infinity\n",
        ),
        (
            "second.service",
            "[Unit]\nAfter=first.service\nWants=first.service\n[Service]\nType=oneshot\nExecStart=/bin/true\n",
        ),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "--no-block", "second.service"]);
        let jobs = json(coracle, &["list-jobs"]);
        let number = |unit: &str| {
            let jobs = jobs.as_array().expect("jobs");
            let job = jobs.iter().find(|job| job["unit"] == unit);
            job.expect("a job")["id"].clone()
        };
        let (first, second) = (number("first.service"), number("second.service"));
        let told = coracle.ok(&["list-jobs", "--after", "second.service"]);
        assert_eq!(
            told,
            format!(
                "job {second}: start second.service (waiting)\n  waits for job {first}: start first.service (running)\n"
            )
        );
        let told = coracle.ok(&["list-jobs", "--before", "first.service"]);
        assert!(
            told.ends_with(&format!(
                "  comes before job {second}: start second.service (waiting)\n"
            )),
            "{told}"
        );
        let told = coracle.ok(&["why", "second.service"]);
        assert!(
            told.contains("its job waits for those of first.service"),
            "{told}"
        );
    });
}

#[test]
fn a_stop_waits_for_who_came_later() {
    let later = "[Unit]\nAfter=early.service\n[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sleep infinity\n";
    let units = [
        (
            "early.service",
            "[Service]\nExecStart=/bin/sleep infinity\n",
        ),
        ("later.service", later),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "early.service", "later.service"]);
        coracle.ok(&["stop", "--no-block", "later.service", "early.service"]);
        let told = coracle.ok(&["why", "early.service"]);
        assert!(
            told.contains("its job waits for those of later.service"),
            "{told}"
        );
        let told = coracle.ok(&["why", "later.service"]);
        assert!(!told.contains("its job waits"), "{told}");
        coracle.ok(&["kill", "--kill-whom=control", "later.service"]);
    });
}
