//! What `coracle shell` carries into a sandbox whose processes may take hold of all that it starts: nothing of its caller's.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use coracle_system_tests::gate::Gate;
use coracle_system_tests::terminal::pair as terminal;
use coracle_system_tests::{manager, with_units};
use rustix::process::Signal;
use testkit::Instance;

/// A service of nobody in particular, in the host's own file system and among the host's processes.
const GUEST: &str = "[Service]\nUser=65534\nPrivateTmp=yes\nExecStart=/bin/sleep infinity\n";
/// One of root's without capabilities.
const POOR_ROOT: &str =
    "[Service]\nCapabilityBoundingSet=\nPrivateTmp=yes\nExecStart=/bin/sleep infinity\n";

fn shell(coracle: &Instance, unit: &str, script: &str) -> Command {
    coracle.command(&["shell", unit, "--", "/bin/sh", "-c", script])
}

/// The same command after a shell's own `prelude`, such as a redirection.
fn after(prelude: &str, command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{prelude}; exec \"$@\""), "sh"]);
    testkit::executed(shell, command)
}

fn said(command: &mut Command) -> String {
    let output = command.output().expect("the command starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_shell_enters_a_service_that_shares_all_namespaces_with_the_host() {
    let open = "[Service]\nUser=65534\nExecStart=/bin/sleep infinity\n";
    with_units(&[("open.service", open)], |coracle| {
        coracle.ok(&["start", "open.service"]);
        assert_eq!(said(&mut shell(coracle, "open", "id -u")), "65534\n");
    });
}

/// A service whose executor waits, when nothing of the sandbox is there yet, until somebody writes to its input.
fn unfinished(coracle: &Instance) -> Gate {
    let input = Gate::at(coracle.folder().join("input"));
    let unit = format!(
        "[Service]\nPrivateNetwork=yes\nStandardInput=file:{}\nExecStart=/bin/sleep infinity\n",
        input.path().display()
    );
    coracle.unit("unfinished.service", &unit);
    coracle.ok(&["start", "unfinished"]);
    input
}

/// A shell that is asked for, and the manager's many answers to others meanwhile.
fn shell_that_waits(coracle: &Instance) -> Child {
    const ANSWERS: usize = 30;
    let mut waiting = shell(coracle, "unfinished", "readlink /proc/self/ns/net")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    for _ in 0..ANSWERS {
        let state = coracle.property("unfinished.service", "ActiveState");
        assert_eq!(state, "active");
        assert!(waiting.try_wait().is_ok_and(|ended| ended.is_none()));
    }
    waiting
}

#[test]
fn a_shell_waits_until_the_sandbox_is_made_and_the_manager_does_not_wait() {
    with_units(&[], |coracle| {
        let input = unfinished(coracle);
        let waiting = shell_that_waits(coracle);
        let _writer = input.writer();
        let output = waiting.wait_with_output().expect("it ends");
        let main = coracle.property("unfinished.service", "MainPID");
        let network = std::fs::read_link(format!("/proc/{main}/ns/net")).expect("its namespace");
        let entered = String::from_utf8_lossy(&output.stdout);
        assert_eq!(entered.trim(), network.display().to_string());
        assert_ne!(
            network,
            std::fs::read_link("/proc/self/ns/net").expect("ours")
        );
    });
}

#[test]
fn a_shell_of_a_sandbox_that_comes_to_nothing_is_refused() {
    with_units(&[], |coracle| {
        unfinished(coracle);
        let waiting = shell_that_waits(coracle);
        coracle.ok(&["stop", "unfinished"]);
        let output = waiting.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("unfinished.service"), "{told}");
    });
}

#[test]
fn a_call_on_which_manager_after_manager_crashes_ends_with_what_to_do_next() {
    with_units(&[], |coracle| {
        unfinished(coracle);
        let mut waiting = shell_that_waits(coracle);
        let keeper = coracle.process("KeeperPID");
        while waiting.try_wait().is_ok_and(|ended| ended.is_none()) {
            // Who asks later is answered later: that the shell's call came in is certain after this one.
            coracle.ok(&["show", "-p", "ManagerPID"]);
            manager::end(manager::of(keeper), Signal::ABORT);
        }
        let output = waiting.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("crashed") && told.contains("daemon-reexec"),
            "{told}"
        );
        coracle.ok(&["daemon-reexec"]);
        coracle.ok(&["stop", "unfinished"]);
    });
}

#[test]
fn a_shell_has_no_descriptor_that_its_caller_left_open() {
    with_units(&[("guest.service", GUEST)], |coracle| {
        coracle.ok(&["start", "guest.service"]);
        let command = shell(
            coracle,
            "guest",
            "test -e /proc/self/fd/7 && echo open; true",
        );
        assert_eq!(said(&mut after("exec 7</etc/passwd", &command)), "");
    });
}

#[test]
fn a_shell_has_no_key_of_its_callers_session() {
    with_units(&[("guest.service", GUEST)], |coracle| {
        coracle.ok(&["start", "guest.service"]);
        kernel::keyring::join_session(c"coracle-test-callers").expect("a session keyring");
        let keys = "cat /proc/keys";
        assert!(said(Command::new("sh").args(["-c", keys])).contains("coracle-test-callers"));
        let seen = said(&mut shell(coracle, "guest", keys));
        assert!(!seen.contains("coracle-test-callers"), "{seen}");
        kernel::keyring::join_new_session().expect("another session keyring");
    });
}

#[test]
fn a_shell_shows_its_callers_environment_to_nobody() {
    with_units(&[("poor.service", POOR_ROOT)], |coracle| {
        coracle.ok(&["start", "poor.service"]);
        let script = "tr '\\0' '\\n' < /proc/$PPID/environ | grep CALLERS_TOKEN; true";
        let mut command = shell(coracle, "poor", script);
        assert_eq!(said(command.env("CALLERS_TOKEN", "xyzzy")), "");
    });
}

#[test]
fn a_terminal_stays_with_the_caller_where_only_some_streams_are_one() {
    const SEES: &str =
        "for stream in 0 1 2; do test -t $stream && exit 9; done; cat; echo said >&2";
    with_units(&[("guest.service", GUEST)], |coracle| {
        coracle.ok(&["start", "guest.service"]);
        // What is typed arrives all the same; the key of its end, too.
        let (mut ours, theirs) = terminal();
        let mut child = shell(coracle, "guest", SEES)
            .stdin(theirs)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        ours.write_all(b"typed\n\x04").expect("it is typed");
        let status = child.wait().expect("it ends");
        let mut shown = String::new();
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_to_string(&mut shown).expect("it is shown");
        assert_eq!((status.code(), shown.as_str()), (Some(0), "typed\n"));
        // And what is shown.
        let (mut ours, theirs) = terminal();
        let both = theirs.try_clone().expect("one more of it");
        let mut command = shell(coracle, "guest", SEES);
        command.stdin(Stdio::null()).stdout(theirs).stderr(both);
        let status = command.status().expect("it ends");
        drop(command);
        let mut shown = String::new();
        // A terminal that nobody holds any more ends with an error.
        ours.read_to_string(&mut shown).ok();
        assert_eq!((status.code(), shown.as_str()), (Some(0), "said\r\n"));
    });
}
