//! Every verb as an administrator types it: what it prints where, and its exit status.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use coracle_system_tests::typed::check;
use coracle_system_tests::waiting::await_states;
use coracle_system_tests::with_units;
use testkit::{Finished, Instance};

const FOREVER: &str = "[Unit]\nDescription=Goes on\n[Service]\nExecStart=/bin/sleep infinity\n";
const BAD: &str = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit 9'\n";

#[test]
fn exit_statuses_are_those_of_systemctl() {
    let alone = format!("[Unit]\nRefuseManualStart=yes\n{FOREVER}");
    let units = [
        ("a.service", FOREVER),
        ("bad.service", BAD),
        ("with.service", alone.as_str()),
    ];
    with_units(&units, |coracle| {
        check(coracle, &["is-active", "a"], 3, &["inactive"]);
        check(coracle, &["reload", "a"], 3, &["!has no way to reload"]);
        check(coracle, &["start", "with"], 4, &["!only together with"]);
        check(coracle, &["isolate", "a.service"], 4, &["!AllowIsolate="]);
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
        // None of its processes got it, as all of them are none.
        coracle.ok(&["kill", "a"]);
    });
}

/// A scope's processes are somebody else's children.
#[test]
fn a_signal_reaches_scopes_and_all_that_is_in_a_slice() {
    let within = "[Service]\nSlice=a-b.slice\nExecStart=/bin/sleep infinity\n";
    with_units(
        &[("a.service", FOREVER), ("b.service", within)],
        |coracle| {
            coracle.ok(&["start", "a", "b"]);
            let mut scope = coracle
                .command(&["run", "-q", "--scope", "--unit=c", "sleep", "infinity"])
                .spawn()
                .unwrap();
            await_states(coracle, "c.scope", "active running");
            coracle.ok(&["kill", "-s", "KILL", "c.scope"]);
            assert_eq!(scope.wait().unwrap().signal(), Some(9));
            coracle.ok(&["kill", "-s", "KILL", "a.slice"]);
            await_states(coracle, "b.service", "failed failed");
            assert_eq!(coracle.property("a.service", "ActiveState"), "active");
            check(
                coracle,
                &["kill", "default.target"],
                1,
                &["!default.target has no such process"],
            );
        },
    );
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
    testkit::surround(&mut nobody, &command);
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
