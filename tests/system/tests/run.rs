//! `coracle run`: transient services, their streams and their exit statuses.

use coracle_system_tests::with_units;

#[test]
fn the_exit_status_of_the_command_is_ours_when_we_wait() {
    with_units(&[], |coracle| {
        assert_eq!(coracle.coracle(&["run", "--wait", "/bin/true"]).status, 0);
        assert_eq!(
            coracle
                .coracle(&["run", "--wait", "/bin/sh", "-c", "exit 7"])
                .status,
            7
        );
        assert_eq!(
            coracle
                .coracle(&["run", "--wait", "/bin/sh", "-c", "kill -9 $$"])
                .status,
            137
        );
    });
}

#[test]
fn an_interrupt_stops_the_service_that_is_waited_for() {
    use rustix::process::{Pid, Signal, kill_process};
    use std::io::{BufRead, BufReader};
    with_units(&[], |coracle| {
        for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
            let script = "echo runs; exec sleep infinity";
            let mut waiting = coracle
                .command(&["run", "--pipe", "-u", "it", "/bin/sh", "-c", script])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("the command starts");
            let mut line = String::new();
            BufReader::new(waiting.stdout.take().expect("a pipe"))
                .read_line(&mut line)
                .expect("a line");
            assert_eq!(line, "runs\n");
            kill_process(Pid::from_child(&waiting), signal).expect("it takes a signal");
            assert_eq!(waiting.wait().expect("it ends").code(), Some(status));
            assert_eq!(coracle.coracle(&["is-active", "it"]).stdout, "inactive\n");
        }
    });
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_left_of_it() {
    with_units(
        &[("a.service", "[Service]\nExecStart=/bin/true\n")],
        |coracle| {
            for (arguments, status, words) in [
                (&["-p", "Nicee=1", "true"][..], 1, "did you mean Nice=?"),
                (
                    &["-p", "Nice=loud", "true"],
                    1,
                    "Nice=loud: \"loud\" is not a priority",
                ),
                (&["-p", "Nice", "true"], 1, "no Directive=value"),
                (
                    &["-p", "ListenStream=1", "true"],
                    1,
                    "a service unit has no such directive",
                ),
                (&["--unit=a", "true"], 1, "a.service exists already"),
                (
                    &["--unit=a.socket", "true"],
                    1,
                    "only a service runs a command",
                ),
                (&["--unit=a/b", "true"], 1, "not the name of a unit"),
                (&["--profile=nope", "true"], 1, "there is no profile"),
                (&["--wait", "--uid=nobody-here", "true"], 1, "nobody-here"),
                (
                    &["--wait", "/nonexistent"],
                    203,
                    "No such file or directory",
                ),
                (&["--wait", "-p", "Type=notify", "true"], 1, "ready"),
                (&["/nonexistent"], 1, "No such file or directory"),
                (&[], 1, "no command is given"),
                (&["-t", "true"], 1, "--pty is for terminals"),
                (&["-T", "true"], 2, "unexpected argument '-T'"),
                (&["--typo", "true"], 2, "unexpected argument '--typo'"),
                (&["--slice=a.service", "true"], 1, "is not a slice"),
            ] {
                let done = coracle.coracle(&[&["run"][..], arguments].concat());
                assert_eq!(done.status, status, "{arguments:?}: {done:#?}");
                assert!(done.stderr.contains(words), "{arguments:?}: {done:#?}");
                assert_eq!(done.stdout, "", "{arguments:?}");
            }
            // What comes after the command, or after `--`, is the command's.
            for words in [
                &["run", "--pipe", "echo", "--wait", "-t"][..],
                &["run", "--pipe", "--", "echo", "--wait", "-t"],
            ] {
                assert_eq!(coracle.ok(words), "--wait -t\n");
            }
            let said = coracle.coracle(&["run", "--pipe", "-E", "NOT_SET_HERE", "true"]);
            assert!(said.status == 0 && said.stderr.contains("NOT_SET_HERE is not set here"));
            let quiet = coracle.coracle(&["run", "--quiet", "true"]);
            assert_eq!((quiet.status, quiet.stdout.as_str()), (0, ""));
            assert!(
                !quiet.stderr.contains("running as unit"),
                "{}",
                quiet.stderr
            );
            let units = coracle.ok(&["list-units", "--all"]);
            assert!(!units.contains("a.socket"), "{units}");
        },
    );
}

#[test]
fn a_line_without_effect_is_told() {
    with_units(&[], |coracle| {
        let told = coracle.coracle(&["run", "--wait", "-p", "UtmpIdentifier=a", "true"]);
        assert_eq!(told.status, 0, "{told:#?}");
        let words = "UtmpIdentifier= has no effect";
        assert!(told.stderr.contains(words), "{told:#?}");
    });
}

#[test]
fn a_pipe_passes_any_bytes_and_arguments_are_taken_literally() {
    use std::io::Write;
    with_units(&[], |coracle| {
        let bytes: Vec<u8> = (0..3_000_000_u32)
            .map(|number| (number % 251) as u8)
            .collect();
        let mut through = coracle
            .command(&["run", "--pipe", "cat"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut input = through.stdin.take().expect("a pipe");
        let copy = bytes.clone();
        let writer = std::thread::spawn(move || input.write_all(&copy));
        let output = through.wait_with_output().expect("it ends");
        writer.join().expect("the writer").expect("all is taken");
        assert!(output.status.success() && output.stdout == bytes);
        let literal = "$HOME %n ${X} \\x41 ; 'quoted'";
        assert_eq!(
            coracle.ok(&["run", "--pipe", "/bin/echo", literal]),
            format!("{literal}\n")
        );
    });
}

#[test]
fn a_pipe_connects_our_streams() {
    with_units(&[], |coracle| {
        assert_eq!(
            coracle.ok(&["run", "--pipe", "/bin/echo", "through the pipe"]),
            "through the pipe\n"
        );
    });
}

#[test]
fn properties_and_variables_reach_the_service() {
    with_units(&[], |coracle| {
        let printed = coracle.ok(&[
            "run",
            "--pipe",
            "-p",
            "UMask=0027",
            "-E",
            "COLOUR=50% blue",
            "/bin/sh",
            "-c",
            "umask; echo $COLOUR",
        ]);
        assert_eq!(printed, "0027\n50% blue\n");
    });
}

#[test]
fn the_default_profile_leaves_no_network_no_capabilities_and_no_root() {
    with_units(&[], |coracle| {
        let script = "id -u; grep CapBnd /proc/self/status; ls /sys/class/net; touch /etc/x 2>&1; ls /home 2>&1; ls /proc | grep -c '^[0-9]'";
        let printed = coracle.ok(&[
            "run",
            "--profile=default",
            "--pipe",
            "/bin/sh",
            "-c",
            script,
        ]);
        let lines: Vec<&str> = printed.lines().collect();
        assert_ne!(lines[0], "0");
        assert!(lines[1].ends_with("0000000000000000"), "{printed}");
        assert_eq!(lines[2], "lo");
        assert!(
            lines[3].contains("Read-only file system") || lines[3].contains("Permission denied"),
            "{printed}"
        );
    });
}

#[test]
fn a_refused_run_lets_go_of_its_streams() {
    with_units(&[], |coracle| {
        for property in ["RootMStack=/nonexistent", "BindPaths=/nonexistent"] {
            // Reads both streams to their ends, which come when nobody holds them any more.
            let said = coracle.coracle(&["run", "--pipe", "-p", property, "/bin/true"]);
            assert_ne!(said.status, 0, "{}", said.stderr);
        }
    });
}
