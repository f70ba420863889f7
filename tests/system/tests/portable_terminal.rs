//! A portable and the administrator's terminal: a shell in its sandbox, and what is asked before it starts.

use std::fs;

use coracle_system_tests::images::{BOAT, By, with_workshop};
use coracle_system_tests::terminal::on_a_terminal;

#[test]
fn a_shell_is_in_the_sandbox_and_has_the_hosts_tools_where_the_image_has_none() {
    with_workshop(|coracle, workshop| {
        coracle.ok(&[
            "start",
            &workshop.image("boat", "1", By::Trusted, &[("boat.service", BOAT)]),
        ]);
        let shell =
            |script: &str| coracle.coracle(&["shell", "boat", "--", "/bin/sh", "-c", script]);
        assert_eq!(shell("ls /sys/class/net").ok().stdout, "lo\n");
        assert_ne!(shell("id -u").ok().stdout, "0\n");
        assert!(
            shell("grep CapBnd /proc/self/status")
                .ok()
                .stdout
                .ends_with("0000000000000000\n")
        );
        assert_ne!(shell("echo x > /etc/shadow").status, 0);
        assert_ne!(shell("unshare -U true").status, 0);
        assert_ne!(shell("ls /home/* /root").status, 0);
        assert_eq!(shell("exit 7").status, 7);
        assert_eq!(shell("kill -TERM $$").status, 143);
        assert_eq!(
            coracle
                .coracle(&["shell", "boat", "--", "/not/there"])
                .status,
            127
        );
    });
}

/// Pushes a line into the terminal that is its standard input, as if the administrator had typed it (`TIOCSTI`, ioctl_tty(2)).
const INJECT: &str = r#"perl -e 'for (split //, "echo injected\n") { ioctl(STDIN, 0x5412, my $letter = $_) or die "TIOCSTI: $!\n" }'"#;

#[test]
fn a_shell_can_not_type_into_the_administrators_terminal() {
    let permitted = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
    assert!(
        permitted.is_ok_and(|text| text.trim() == "1"),
        "this test needs a kernel that permits TIOCSTI: sysctl dev.tty.legacy_tiocsti=1"
    );
    with_workshop(|coracle, workshop| {
        let units = [("boat.service", BOAT)];
        coracle.ok(&["start", &workshop.image("boat", "1", By::Trusted, &units)]);
        let after = "; echo now; read -r line; echo \"got <$line>\"";
        let outside = on_a_terminal(coracle, &format!("{INJECT}{after}"), "now", "typed\n");
        assert!(
            outside.contains("got <echo injected>"),
            "the attack works: {outside}"
        );
        let attack = format!("\"$CORACLE\" shell boat -- {INJECT}{after}");
        let inside = on_a_terminal(coracle, &attack, "now", "typed\n");
        assert!(inside.contains("got <typed>"), "{inside}");
    });
}

#[test]
fn a_shell_on_a_terminal_has_jobs_and_its_exit_status_is_ours() {
    with_workshop(|coracle, workshop| {
        let units = [("boat.service", BOAT)];
        coracle.ok(&["start", &workshop.image("boat", "1", By::Trusted, &units)]);
        // Who says that it is ready is who ends: a shell can lose a key that comes while it starts a command. What the caller ignores
        // is nothing to the sandbox.
        for before in ["", "trap '' INT; "] {
            let forever = r#"perl -e '$| = 1; print "ready\n"; sleep'"#;
            let line = format!("{before}\"$CORACLE\" shell boat -- {forever}; echo \"status $?\"");
            let shown = on_a_terminal(coracle, &line, "ready", "\u{3}");
            assert!(shown.contains("status 130"), "{shown}");
        }
        let line = "\"$CORACLE\" shell boat; echo \"status $?\"";
        let shown = on_a_terminal(coracle, line, "$ ", "echo on $0; exit 4\n");
        assert!(
            shown.contains("on /bin/sh") && shown.contains("status 4"),
            "{shown}"
        );
        assert!(!shown.contains("tty"), "job control works: {shown}");
    });
}

#[test]
fn a_question_is_asked_on_a_terminal_and_only_yes_means_yes() {
    with_workshop(|coracle, workshop| {
        let units = [
            ("boat.service", BOAT),
            ("boat.socket", "[Socket]\nListenStream=127.0.0.1:18473\n"),
        ];
        let image = workshop.image("boat", "1", By::Trusted, &units);
        let line = format!("\"$CORACLE\" start {image}; echo \"status $?\"");
        for answer in ["\n", "n\n", "yet\n"] {
            let shown = on_a_terminal(coracle, &line, "[y/N] ", answer);
            assert!(shown.contains("status 1"), "{shown}");
            assert_eq!(coracle.property("boat.service", "LoadState"), "not-found");
        }
        let shown = on_a_terminal(coracle, &line, "[y/N] ", "y\n");
        assert!(shown.contains("status 0"), "{shown}");
        let status = coracle.ok(&["status", "boat"]);
        assert!(status.contains("listen:127.0.0.1:18473"), "{status}");
        // What was granted is not asked again.
        coracle.ok(&["start", &image]);
    });
}
