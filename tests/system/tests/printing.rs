//! What commands print for scripts and for people: JSON, properties, unit files, manual pages, times.

use std::fs;

use coracle_system_tests::typed::check;
use coracle_system_tests::with_units;
use testkit::Finished;

const FOREVER: &str = "[Unit]\nDescription=Goes on\n[Service]\nExecStart=/bin/sleep infinity\n";

fn json(done: &Finished) -> serde_json::Value {
    serde_json::from_str(&done.stdout).expect("standard output is JSON")
}

#[test]
fn a_command_that_runs_is_told_as_one_json_value() {
    with_units(&[], |coracle| {
        let words = ["run", "--json", "--unit=goes", "/bin/sleep", "infinity"];
        let ran = json(&check(coracle, &words, 0, &[]));
        assert_eq!(
            (&ran["unit"], &ran["result"]),
            (&"goes.service".into(), &"done".into())
        );
        let main = coracle.property("goes.service", "MainPID");
        assert_eq!(ran["main_pid"].to_string(), main);
        let invocation = coracle.property("goes.service", "InvocationID");
        assert_eq!(ran["invocation_id"], invocation.as_str());
        for extra in [&[][..], &["--collect"]] {
            let mut words = vec!["run", "--json", "--wait"];
            words.extend(extra);
            words.extend(["/bin/sh", "-c", "exit 7"]);
            let ran = json(&check(coracle, &words, 7, &[]));
            assert_eq!(ran["exit"]["status"], 7, "{ran}");
            assert_eq!(ran["exit"]["result"], "exit-code", "{ran}");
            assert!(
                ran["main_pid"].is_u64() && ran["invocation_id"].is_string(),
                "{ran}"
            );
        }
        let words = ["run", "--json", "--pipe", "/bin/true"];
        check(coracle, &words, 1, &["!--json and --pipe"]);
    });
}

#[test]
fn every_listing_is_one_json_value_on_standard_output() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        coracle.ok(&["set-environment", "COLOUR=blue"]);
        for arguments in [
            vec!["list-units"],
            vec!["list-jobs"],
            vec!["list"],
            vec!["trust", "list"],
            vec!["status", "a"],
            vec!["status"],
            vec!["show", "a"],
            vec!["cat", "a"],
            vec!["show-environment"],
            vec!["explain", "--plan", "a"],
            vec!["explain"],
            vec!["explain", "Nice", "ProtectHome"],
            vec!["verify", "a", "a.service"],
        ] {
            let mut whole = arguments.clone();
            whole.push("--json");
            let value = json(&check(coracle, &whole, 0, &[]));
            assert!(value.is_array() || value.is_object(), "{arguments:?}");
        }
        let units = json(&coracle.coracle(&["list-units", "a.service", "--json"]));
        assert_eq!(units[0]["name"], "a.service");
        assert_eq!(units[0]["active"], "active");
    });
}

#[test]
fn properties_are_printed_in_the_order_and_the_form_that_scripts_read() {
    let unit = "[Service]\nExecStart=/bin/sleep infinity\nEnvironment=A=b=c\nRestart=on-failure\n";
    with_units(&[("a.service", unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        check(
            coracle,
            &["show", "a", "-p", "SubState", "-p", "Id"],
            0,
            &["SubState=running\nId=a.service\n"],
        );
        check(
            coracle,
            &["show", "a", "-p", "SubState,Id", "--value"],
            0,
            &["running\na.service\n"],
        );
        assert_eq!(coracle.property("a.service", "Environment"), "A=b=c");
        assert_eq!(coracle.property("a.service", "Restart"), "on-failure");
        check(coracle, &["show", "-p", "Version"], 0, &["Version="]);
    });
}

#[test]
fn a_transient_unit_is_printed_as_a_file_would_have_it() {
    with_units(&[], |coracle| {
        coracle.ok(&[
            "run",
            "-u",
            "t",
            "-p",
            "Nice=3",
            "-E",
            "A=b",
            "/bin/sleep",
            "infinity",
        ]);
        let printed = coracle.ok(&["cat", "t"]);
        for line in [
            "[Service]",
            "Nice=3",
            "Environment=A=b",
            "ExecStart=:/bin/sleep infinity",
        ] {
            assert!(
                printed.lines().any(|found| found == line),
                "no {line} in {printed}"
            );
        }
        let copy = coracle.folder().join("config/units/copy.service");
        fs::write(copy, printed).expect("a unit file");
        check(coracle, &["verify", "copy"], 0, &[]);
    });
}

#[test]
fn manual_pages_and_completions_come_from_the_definitions() {
    with_units(&[], |coracle| {
        let pages = coracle.folder().join("man");
        coracle.ok(&["man", "--output", pages.to_str().expect("a path")]);
        let status = coracle.ok(&["man", "status"]);
        assert!(status.contains(".TH coracle-status 1"), "{status}");
        assert!(coracle.ok(&["man"]).contains(".TH coracle 1"));
        check(coracle, &["man", "frobnicate"], 1, &["!there is no verb"]);
        check(coracle, &["help"], 0, &["Usage: coracle"]);
        check(coracle, &["help", "logs"], 0, &["what services wrote"]);
        let whole = fs::read_to_string(pages.join("coracle.1")).expect("coracle.1");
        let run = fs::read_to_string(pages.join("coracle-run.1")).expect("coracle-run.1");
        assert!(whole.contains(".TH coracle 1") && run.contains("transient service"));
        for verb in ["start", "logs", "trust", "explain", "daemon\\-exit"] {
            assert!(whole.contains(verb), "coracle.1 does not name {verb}");
        }
        let script = coracle.folder().join("completion");
        fs::write(&script, coracle.ok(&["completion", "bash"])).expect("a file");
        let checked = std::process::Command::new("bash")
            .arg("-n")
            .arg(&script)
            .status();
        assert!(checked.expect("bash").success());
    });
}

#[test]
fn texts_about_time_are_told_without_a_manager_and_by_the_zone_of_the_caller() {
    with_units(&[], |coracle| {
        let asked = |words: &[&str]| {
            let mut command = coracle.command(&[&["--json"], words].concat());
            let output = command
                .env("TZ", "Europe/Berlin")
                .output()
                .expect("it starts");
            serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("JSON")
        };
        let base = "--base-time=2025-03-29 12:00";
        let calendar = asked(&["calendar", "--iterations=2", base, "2:30", "25:00"]);
        assert_eq!(calendar[0]["normalized"], "*-*-* 02:30:00");
        assert_eq!(
            calendar[0]["elapses"][0]["local"],
            "Mon 2025-03-31 02:30:00 CEST"
        );
        assert_eq!(
            calendar[0]["elapses"][1]["realtime_us"],
            1_743_467_400_000_000_u64
        );
        let error = calendar[1]["error"].as_str().unwrap_or_default();
        assert!(error.contains("\"25:00\" tells no time"), "{error}");
        let moment = asked(&["timestamp", "2012-11-23 11:12:13.5 CET"]);
        assert_eq!(moment[0]["realtime_us"], 1_353_665_533_500_000_u64);
        assert_eq!(moment[0]["local"], "Fri 2012-11-23 11:12:13.500000 CET");
        check(
            coracle,
            &["timespan", "1h 90s", "x"],
            1,
            &["1h 1min 30s", "!\"x\" is no span"],
        );
        let said = check(
            coracle,
            &["calendar", "Mon 2024-03-05"],
            0,
            &["never", "another day"],
        );
        assert!(said.stderr.is_empty(), "{}", said.stderr);
        assert!(
            !coracle.folder().join("run/api").exists(),
            "a manager was started"
        );
    });
}
