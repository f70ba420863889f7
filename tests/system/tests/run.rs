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
