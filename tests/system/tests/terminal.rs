//! What reaches who reads: colours on a terminal and nowhere else, no control byte of a unit, and no word to a reader that went away.

use std::fs::OpenOptions;

use coracle_system_tests::with_units;

const FOREVER: &str = "[Unit]\nDescription=Goes on\n[Service]\nExecStart=/bin/sleep infinity\n";

#[test]
fn a_reader_that_goes_away_ends_the_command_without_a_word_and_a_full_disk_with_one() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        coracle.ok(&["run", "--pipe", "--wait", "true"]);
        for arguments in [
            &["list-units", "--all"][..],
            &["status", "a"],
            &["show", "a"],
            &["cat", "a"],
            &["logs"],
            &["explain"],
            &["-h"],
            &["completion", "bash"],
        ] {
            let (reader, writer) = std::io::pipe().expect("a pipe");
            drop(reader);
            let output = coracle
                .command(arguments)
                .stdout(writer)
                .output()
                .expect("it starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(
                !said.contains("panicked") && !said.contains("Error"),
                "{arguments:?}: {said}"
            );
            if arguments == ["-h"] {
                continue;
            }
            let full = OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .expect("/dev/full");
            let output = coracle
                .command(arguments)
                .stdout(full)
                .output()
                .expect("it starts");
            let said = String::from_utf8_lossy(&output.stderr);
            let is_empty = arguments == ["logs"] && output.status.success();
            assert!(
                is_empty || (output.status.code() == Some(1) && said.contains("No space left")),
                "{arguments:?}: {said}"
            );
        }
    });
}

/// What a command shows on a terminal.
fn on_terminal(mut command: std::process::Command) -> String {
    use std::io::Read;
    let (mut ours, theirs) = coracle_system_tests::terminal::pair();
    command
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdout(theirs);
    let mut child = command.spawn().expect("it starts");
    drop(command);
    let mut shown = Vec::new();
    // The other end hangs up with EIO.
    ours.read_to_end(&mut shown).ok();
    child.wait().expect("it ends");
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn a_terminal_gets_colours_unless_it_is_told_not_to() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        let coloured = on_terminal(coracle.command(&["status", "a"]));
        assert!(
            coloured.contains("\x1b[32m") && coloured.contains("a.service"),
            "{coloured:?}"
        );
        let mut plain = std::process::Command::new("/usr/bin/env");
        let command = coracle.command(&["status", "a"]);
        plain.arg("NO_COLOR=1");
        let shown = on_terminal(testkit::executed(plain, &command));
        assert!(
            !shown.contains('\x1b') && shown.contains("a.service"),
            "{shown:?}"
        );
    });
}

#[test]
fn nothing_is_coloured_that_does_not_go_to_a_terminal() {
    with_units(&[("a.service", FOREVER)], |coracle| {
        coracle.ok(&["start", "a"]);
        for arguments in [
            &["status", "a"][..],
            &["list-units"],
            &["explain", "Nice"],
            &["start", "nobody"],
        ] {
            let done = coracle.coracle(arguments);
            assert!(
                !done.stdout.contains('\x1b') && !done.stderr.contains('\x1b'),
                "{arguments:?}"
            );
        }
    });
}

#[test]
fn control_bytes_of_units_and_services_are_shown_not_sent() {
    let unit = "[Unit]\nDescription=bell \u{7} and \u{1b}[31m red\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/printf '\\033[2Jcleared\\007\\n'\n";
    with_units(&[("a.service", unit)], |coracle| {
        coracle.ok(&["start", "a"]);
        for arguments in [
            &["status", "a"][..],
            &["list-units", "--all"],
            &["cat", "a"],
            &["show", "a"],
            &["logs", "-u", "a"],
        ] {
            let done = coracle.coracle(arguments).ok();
            let raw = done
                .stdout
                .bytes()
                .find(|byte| *byte < 0x20 && !matches!(byte, b'\n' | b'\t'));
            assert_eq!(raw, None, "{arguments:?}: {}", done.stdout);
        }
    });
}
