//! Every verb as an administrator types it: what it prints where, and its exit status.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use coracle_system_tests::with_units;
use testkit::{Finished, Instance};

const FOREVER: &str = "[Unit]\nDescription=Goes on\n[Service]\nExecStart=/bin/sleep infinity\n";
const BAD: &str = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 9'\n";

/// Runs a command and checks its exit status and that each of `words` is on the right stream: those with `!` on standard error.
#[track_caller]
fn check(coracle: &Instance, arguments: &[&str], status: i32, words: &[&str]) -> Finished {
    let done = coracle.coracle(arguments);
    assert_eq!(done.status, status, "{arguments:?}: {done:#?}");
    for word in words {
        let (stream, word) = match word.strip_prefix('!') {
            Some(word) => (&done.stderr, word),
            None => (&done.stdout, *word),
        };
        assert!(
            stream.contains(word),
            "{arguments:?}: no {word:?} in {done:#?}"
        );
    }
    done
}

fn json(done: &Finished) -> serde_json::Value {
    serde_json::from_str(&done.stdout).expect("standard output is JSON")
}

#[test]
fn exit_statuses_are_those_of_systemctl() {
    with_units(&[("a.service", FOREVER), ("bad.service", BAD)], |coracle| {
        check(coracle, &["is-active", "a"], 3, &["inactive"]);
        check(coracle, &["start", "a"], 0, &[]);
        check(coracle, &["is-active", "a"], 0, &["active"]);
        check(coracle, &["is-active", "nobody"], 4, &["inactive"]);
        check(
            coracle,
            &["is-active", "nobody", "a"],
            0,
            &["inactive\nactive"],
        );
        check(coracle, &["is-failed", "a"], 1, &["active"]);
        check(coracle, &["is-failed", "nobody"], 4, &[]);
        check(coracle, &["status", "a"], 0, &["active (running)"]);
        check(coracle, &["status", "nobody"], 4, &["not-found"]);
        check(
            coracle,
            &["start", "nobody"],
            5,
            &["!there is no unit nobody.service"],
        );
        check(coracle, &["stop", "nobody"], 5, &[]);
        check(
            coracle,
            &["start", "bad"],
            1,
            &["!exited with status 9", "!Hint:"],
        );
        check(coracle, &["is-failed", "bad"], 0, &["failed"]);
        check(coracle, &["status", "bad"], 3, &["exited, status 9"]);
        check(coracle, &["start", "--wait", "bad"], 1, &[]);
        check(
            coracle,
            &["show", "nobody", "-p", "LoadState"],
            0,
            &["LoadState=not-found"],
        );
        check(
            coracle,
            &["cat", "nobody"],
            1,
            &["!there is no unit nobody.service"],
        );
        check(
            coracle,
            &["kill", "nobody"],
            1,
            &["!there is no unit nobody.service"],
        );
        check(
            coracle,
            &["reset-failed", "nobody"],
            1,
            &["!there is no unit"],
        );
        check(coracle, &["reset-failed", "bad"], 0, &[]);
        check(coracle, &["is-failed", "bad"], 1, &["inactive"]);
        check(coracle, &["reload", "bad"], 3, &["!bad.service"]);
        check(coracle, &["frobnicate"], 2, &["!frobnicate"]);
    });
}

#[test]
fn a_masked_unit_is_not_started_and_says_how_to_unmask_it() {
    with_units(&[], |coracle| {
        let mask = coracle.folder().join("config/units/m.service");
        std::os::unix::fs::symlink("/dev/null", mask).expect("a mask");
        check(
            coracle,
            &["start", "m"],
            1,
            &["!m.service is masked", "!Hint: remove the mask"],
        );
    });
}

#[test]
fn a_misspelt_unit_is_answered_with_the_nearest_name() {
    with_units(&[("gateway.service", FOREVER)], |coracle| {
        for verb in ["start", "stop", "restart", "cat", "kill", "verify"] {
            let done = coracle.coracle(&[verb, "gatewya"]);
            assert!(
                done.stderr.contains("did you mean gateway.service?"),
                "{verb}: {done:#?}"
            );
        }
        check(
            coracle,
            &["start", "gateway.servce"],
            5,
            &["!did you mean gateway.service?"],
        );
        check(coracle, &["statsu", "gateway"], 2, &["!status"]);
        check(
            coracle,
            &["run", "-p", "Nicee=1", "true"],
            1,
            &["!did you mean Nice=?"],
        );
        check(
            coracle,
            &["explain", "RestrictNamespace"],
            1,
            &["!did you mean RestrictNamespaces=?"],
        );
    });
}

#[test]
fn what_was_only_asked_for_is_not_listed_afterwards() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        for verb in [
            "start",
            "stop",
            "status",
            "show",
            "cat",
            "kill",
            "is-active",
        ] {
            assert!(
                !coracle
                    .coracle(&[verb, "ghost"])
                    .stdout
                    .contains("ghost.service loaded")
            );
        }
        let listed = check(coracle, &["list-units", "--all"], 0, &["basic.target"]);
        assert!(!listed.stdout.contains("ghost"), "{}", listed.stdout);
    });
}

#[test]
fn several_units_and_patterns_are_taken_by_every_verb() {
    let units = [
        ("a1.service", FOREVER),
        ("a2.service", FOREVER),
        ("b.service", FOREVER),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "a1", "a2.service", "b"]);
        check(coracle, &["is-active", "a*"], 0, &["active\nactive\n"]);
        check(
            coracle,
            &["show", "-p", "Id", "--value", "a?.service"],
            0,
            &["a1.service\n\na2.service"],
        );
        check(
            coracle,
            &["cat", "a[12].service"],
            0,
            &["a1.service", "a2.service"],
        );
        let listed = check(
            coracle,
            &["list-units", "a*"],
            0,
            &["a1.service", "a2.service"],
        );
        assert!(!listed.stdout.contains("b.service"));
        check(coracle, &["list-units", "b"], 0, &["b.service"]);
        coracle.ok(&["restart", "a*"]);
        coracle.ok(&["kill", "-s", "CONT", "a*"]);
        coracle.ok(&["stop", "a*"]);
        check(
            coracle,
            &["is-active", "a1", "a2", "b"],
            0,
            &["inactive\ninactive\nactive\n"],
        );
        check(coracle, &["start", "nobody", "a1"], 5, &["!nobody.service"]);
        assert_eq!(coracle.property("a1.service", "ActiveState"), "active");
    });
}

#[test]
fn a_state_that_no_unit_can_have_is_refused_with_those_that_one_can() {
    with_units(&[], |coracle| {
        let words = [
            "!\"foo\" is no state",
            "!not-found",
            "!reloading",
            "!auto-restart",
        ];
        check(coracle, &["list-units", "--state=failed,foo"], 1, &words);
        check(coracle, &["list-units", "--state=failed,running"], 0, &[]);
    });
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
fn variables_for_services_are_set_shown_and_unset_and_only_root_reads_them() {
    use std::os::unix::fs::PermissionsExt;
    with_units(&[], |coracle| {
        coracle.ok(&["set-environment", "COLOUR=blue", "TWO=2 words"]);
        check(
            coracle,
            &["show-environment"],
            0,
            &["COLOUR=blue\nTWO=2 words\n"],
        );
        assert_eq!(
            coracle.ok(&["run", "--pipe", "/bin/sh", "-c", "echo $COLOUR"]),
            "blue\n"
        );
        check(coracle, &["set-environment", "1X=2"], 1, &["!1X=2"]);
        coracle.ok(&["unset-environment", "COLOUR", "TWO=other"]);
        assert_eq!(coracle.ok(&["show-environment"]), "TWO=2 words\n");
        let kept = coracle.folder().join("run/environment");
        let mode = fs::metadata(kept).expect("the record").permissions().mode();
        assert_eq!(mode & 0o077, 0);
        coracle.ok(&["daemon-reexec"]);
        assert_eq!(coracle.ok(&["show-environment"]), "TWO=2 words\n");
    });
}

#[test]
fn a_changed_file_is_told_and_read_by_a_reload_which_tells_what_is_wrong() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        coracle.unit("a.service", &format!("{FOREVER}Nicee=1\nNice=2\n"));
        check(coracle, &["status", "a"], 0, &["its files changed"]);
        check(
            coracle,
            &["daemon-reload"],
            0,
            &["!warning:", "!Nicee", "!did you mean Nice=?"],
        );
        assert_eq!(coracle.property("a.service", "Nice"), "2");
        assert_eq!(coracle.property("a.service", "NeedDaemonReload"), "no");
    });
}

#[test]
fn a_signal_reaches_the_processes_that_are_meant() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        check(
            coracle,
            &["kill", "-s", "NOPE", "a"],
            1,
            &["!NOPE", "!Hint:"],
        );
        check(
            coracle,
            &["kill", "--kill-whom=nobody", "a"],
            2,
            &["!all, main, control"],
        );
        check(
            coracle,
            &["kill", "--kill-whom=control", "a"],
            1,
            &["!no such process"],
        );
        coracle.ok(&["kill", "-s", "9", "--kill-whom=main", "a"]);
        let ended = coracle.coracle(&["start", "--wait", "--no-autostart", "nobody"]);
        assert_eq!(ended.status, 5);
        // The stop waits until the unit is down, however that came.
        coracle.ok(&["stop", "a"]);
        check(coracle, &["status", "a"], 3, &["killed by SIGKILL"]);
        check(coracle, &["kill", "a"], 1, &["!a.service"]);
    });
}

/// Runs a command as a user who owns nothing.
fn as_nobody(coracle: &Instance, arguments: &[&str]) -> Finished {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let command = coracle.command(arguments);
    // The files may lie where nobody else can go.
    let copy = coracle.folder().join("coracle");
    // By a process of its own: a file that this one, or a child that another test just forked, has open for writing can't be executed.
    let copied = std::process::Command::new("cp")
        .args([command.get_program(), copy.as_os_str()])
        .status();
    assert!(copied.expect("cp").success());
    for path in [coracle.folder(), &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let mut nobody = std::process::Command::new(copy);
    nobody
        .args(command.get_args())
        .uid(65534)
        .gid(65534)
        .stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        nobody.env(name, value.unwrap_or_default());
    }
    let output = nobody.output().expect("it starts");
    Finished {
        status: output.status.code().expect("an exit status"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_stranger_sees_states_and_is_told_what_is_for_root() {
    let secret = "[Service]\nEnvironment=PASSWORD=shibboleth\nExecStart=/bin/sh -c 'echo shibboleth; exec sleep infinity' shibboleth\n";
    with_units(&[("a.service", secret)], |coracle| {
        coracle.ok(&["start", "a"]);
        for (arguments, status) in [
            (&["list-units"][..], 0),
            (&["status", "a"], 0),
            (&["is-active", "a"], 0),
            (&["is-active", "nobody"], 4),
            (&["show", "a"], 0),
            (&["status"], 0),
            (&["status", "nobody"], 4),
            (&["stop", "a"], 4),
            (&["start", "a"], 4),
            (&["kill", "a"], 4),
            (&["cat", "a"], 4),
            (&["show-environment"], 4),
            (&["run", "true"], 4),
            (&["daemon-reload"], 4),
            (&["daemon-exit"], 4),
            (&["explain", "--plan", "a"], 4),
            (&["logs", "-u", "a"], 4),
        ] {
            let done = as_nobody(coracle, arguments);
            assert_eq!(done.status, status, "{arguments:?}: {done:#?}");
            let both = [done.stdout.as_str(), done.stderr.as_str()].concat();
            assert!(!both.contains("shibboleth"), "{arguments:?}: {both}");
            if status == 4 && arguments[0] != "is-active" {
                assert!(both.contains("Hint:"), "{arguments:?}: {both}");
            }
        }
        assert_eq!(coracle.property("a.service", "ActiveState"), "active");
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
fn the_end_of_the_instance_is_awaited_and_the_next_one_starts_afresh() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        for _ in 0..3 {
            coracle.ok(&["start", "a"]);
            check(coracle, &["status"], 0, &["Keeper"]);
            assert_eq!(
                coracle
                    .ok(&["show", "-p", "ManagerRestarts", "--value"])
                    .trim(),
                "0"
            );
            check(coracle, &["daemon-exit"], 0, &[]);
            check(coracle, &["is-active", "a"], 3, &["inactive"]);
        }
        check(coracle, &["daemon-exit"], 0, &[]);
        check(
            coracle,
            &["--no-autostart", "start", "a"],
            1,
            &["!no manager runs", "!Hint:"],
        );
        coracle.ok(&["start", "a"]);
    });
}

#[test]
fn lines_that_are_written_later_are_followed_until_the_reader_goes() {
    let talk = "[Service]\nType=oneshot\nExecStart=/bin/echo spoken\n";
    with_units(&[("talk.service", talk)], |coracle| {
        coracle.ok(&["start", "talk"]);
        let mut follower = coracle
            .command(&[
                "logs", "-f", "-u", "talk", "--cat", "-n", "1", "-g", "spoken",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::from(File::create("/dev/null").expect("/dev/null")))
            .spawn()
            .expect("the command starts");
        let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
        let mut heard = 0;
        while heard < 3 {
            let line = lines.next().expect("a line").expect("text");
            if line == "spoken" {
                heard += 1;
                coracle.ok(&["start", "talk"]);
            }
        }
        drop(lines);
        coracle.ok(&["start", "talk"]);
        assert!(!follower.wait().expect("it ends").success());
    });
}

#[test]
fn habits_and_slips_are_met_with_what_was_meant() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        check(coracle, &["start", "a"], 0, &[]);
        check(coracle, &["logs", "--no-pager", "a"], 0, &[]);
        check(
            coracle,
            &["status", "-l", "--no-pager", "a"],
            0,
            &["active"],
        );
        check(coracle, &["kill", "--kill-whom=x", "a"], 2, &["!control"]);
        check(coracle, &["start", "--wait", "--no-block", "a"], 2, &[]);
        check(
            coracle,
            &["list-units", "-t", "foo"],
            1,
            &["!\"foo\" is no kind"],
        );
        let help = check(coracle, &["attach", "-h"], 0, &["--grant"]);
        assert!(!help.stdout.contains("--wait"), "{}", help.stdout);
        let escaped = "!there is no unit a\\x20b.service";
        check(coracle, &["start", "a b"], 5, &[escaped, "!is taken for"]);
        check(coracle, &["status", "/dev/none"], 3, &["dev-none.device"]);
        check(
            coracle,
            &["status", "/none/a b"],
            4,
            &["none-a\\x20b.mount"],
        );
        fs::create_dir(coracle.folder().join("tree")).expect("a folder");
        for (word, hint) in [("tree", "`coracle start ./tree`"), (".", "`coracle build`")] {
            let mut command = coracle.command(&["start", word]);
            let output = command.current_dir(coracle.folder()).output();
            let said = String::from_utf8(output.expect("it starts").stderr).expect("text");
            assert!(said.contains(hint), "{said}");
        }
        let only = check(
            coracle,
            &["list-units", "-q", "a.service"],
            0,
            &["a.service"],
        );
        assert!(!only.stdout.contains("DESCRIPTION"), "{}", only.stdout);
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
