//! `-H`: verbs on other hosts, over a real sshd.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use coracle_system_tests::images::{BOAT, By, with_workshop};
use coracle_system_tests::manager::{children, kill, lives};
use coracle_system_tests::waiting::{eventually, state};
use coracle_system_tests::with_units;
use rustix::process::{Pid, Signal, kill_process};
use testkit::{Instance, Ssh};

const SLEEPER: &str = "[Service]\nType=exec\nExecStart=/bin/sleep infinity\n";

/// Words that a shell would take for something else, or lose.
const HOSTILE: [&str; 15] = [
    "$(id)", "a b", "'", "\"", "x\ny", "*", ";", "", "\\", "-H", "é", "`id`", "#", "~", "&&",
];

fn number(pid: &str) -> Pid {
    let number = pid.trim().parse().ok().and_then(Pid::from_raw);
    number.expect("a process")
}

/// The processes below one, whose command line has this in it.
fn below(parent: Pid, part: &str) -> Vec<Pid> {
    let mut found = Vec::new();
    for (pid, line) in children(parent) {
        if line.contains(part) {
            found.push(pid);
        }
        found.extend(below(pid, part));
    }
    found
}

#[test]
fn a_verb_runs_over_there_as_it_was_typed() {
    with_units(&[("sleeper.service", SLEEPER)], |coracle| {
        let ssh = Ssh::new();
        let host = ssh.host(coracle);
        let at = |words: &[&str]| ssh.coracle(coracle, &[&["-H", &host.name], words].concat());
        let started = at(&["start", "sleeper"]);
        assert_eq!(started.status, 0, "{}", started.stderr);
        assert_eq!(coracle.property("sleeper", "ActiveState"), "active");
        let mut command = vec!["run", "--wait", "--pipe", "--", "printf", "<%s>"];
        command.extend(HOSTILE);
        let printed = at(&command).ok().stdout;
        assert_eq!(printed, HOSTILE.map(|word| format!("<{word}>")).concat());
        let ended = at(&[
            "run",
            "--wait",
            "--pipe",
            "sh",
            "-c",
            "echo out; echo err >&2; exit 7",
        ]);
        assert_eq!(
            (
                ended.status,
                ended.stdout.as_str(),
                ended.stderr.contains("err\n")
            ),
            (7, "out\n", true),
            "{}",
            ended.stderr
        );
        assert!(at(&["is-active", "nothing.service"]).status > 0);
        let hostile = at(&["status", "$(touch x); .service"]);
        assert_ne!(hostile.status, 0);
        assert_eq!(ssh.calls().len(), 5, "one handshake for each verb");
    });
}

#[test]
fn what_is_piped_in_arrives_whole_and_what_nobody_reads_is_left_alone() {
    with_units(&[], |coracle| {
        let ssh = Ssh::new();
        let host = ssh.host(coracle);
        let bytes: Vec<u8> = (0..5_000_000_u32)
            .map(|number| (number % 251) as u8)
            .collect();
        let words = ["-H", &host.name, "run", "--wait", "--pipe", "cat"];
        let mut command = ssh.command(coracle, &words);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        let sent = bytes.clone();
        let writer = std::thread::spawn(move || pipe.write_all(&sent));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("a writer").expect("all is taken");
        assert!(
            output.status.success() && output.stdout == bytes,
            "{} bytes",
            output.stdout.len()
        );
        let loop_over_hosts = format!(
            "printf '1\\n2\\n' | while read line; do {} -H {} timespan ${{line}}s >/dev/null; echo $line; done",
            coracle.dist().join("coracle").display(),
            host.name,
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &loop_over_hosts]).env(
            "PATH",
            format!("{}:/usr/bin:/bin", ssh.folder().join("bin").display()),
        );
        assert_eq!(shell.output().expect("sh").stdout, b"1\n2\n");
    });
}

#[test]
fn a_local_image_travels_once() {
    with_workshop(|coracle, workshop| {
        let ssh = Ssh::new();
        let host = ssh.host(coracle);
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", BOAT)]);
        // The file is not where the host would look for it by that name.
        let elsewhere = ssh.folder().join("a boat's image.psi");
        fs::rename(&image, &elsewhere).expect("another place");
        let image = elsewhere.to_str().expect("text");
        let first = ssh
            .coracle(coracle, &["-H", &host.name, "start", image])
            .ok();
        assert!(
            first.stderr.contains("sending a boat's image.psi"),
            "{}",
            first.stderr
        );
        state(coracle, "boat.service", "active");
        let second = ssh
            .coracle(coracle, &["-H", &host.name, "start", image])
            .ok();
        assert!(
            second.stderr.contains("is there already"),
            "{}",
            second.stderr
        );
        let compressed = format!("{image}.zst");
        let mut zstd = Command::new("zstd");
        assert!(
            zstd.args(["-q", image, "-o", &compressed])
                .status()
                .expect("zstd")
                .success()
        );
        let third = ssh.coracle(coracle, &["-H", &host.name, "start", &compressed]);
        assert!(
            third.status == 0 && third.stderr.contains("is there already"),
            "{}",
            third.stderr
        );
        // Of the next version only what the host's store has not.
        let next = workshop.image("boat", "2", By::Trusted, &[("boat.service", BOAT)]);
        let parts = ssh
            .coracle(coracle, &["-H", &host.name, "reattach", &next, "--now"])
            .ok();
        let said = parts.stderr.lines().find(|line| line.contains("sending"));
        let said = said.unwrap_or_default();
        assert!(
            said.contains(" kB of boat_2.psi (2.6 MB), the rest is there"),
            "{}",
            parts.stderr
        );
        assert!(
            coracle
                .ok(&["versions", "boat"])
                .contains("2        current")
        );
        let arriving = fs::read_dir(coracle.folder().join("state")).expect("the state");
        let names = arriving.map(|entry| entry.expect("an entry").file_name());
        let left: Vec<_> = names
            .filter(|name| name.to_string_lossy().starts_with("arriving"))
            .collect();
        assert_eq!(left, [""; 0]);
        let unit = ssh.folder().join("wrong.service");
        fs::write(&unit, "[Service]\nExecStart=/bin/true\nNoSuchThing=1\n").expect("a unit");
        let found = ssh.coracle(
            coracle,
            &["-H", &host.name, "verify", unit.to_str().expect("text")],
        );
        assert!(found.stderr.contains("NoSuchThing"), "{}", found.stderr);
        let folder = ssh.folder().to_str().expect("text");
        let refused = ssh.coracle(coracle, &["-H", &host.name, "start", folder]);
        assert!(
            refused.status == 1 && refused.stderr.contains("only files go"),
            "{}",
            refused.stderr
        );
        let purged = ssh.coracle(coracle, &["-H", &host.name, "purge", "boat"]);
        assert_eq!(purged.status, 0, "{}", purged.stderr);
    });
}

#[test]
fn a_connection_that_is_cut_ends_the_command_there_and_leaves_the_unit() {
    with_units(&[], |coracle| {
        let ssh = Ssh::new();
        let host = ssh.host(coracle);
        let sshd = number(&host.id().to_string());
        let words = [
            "-H",
            &host.name,
            "run",
            "--wait",
            "--unit=long",
            "sleep",
            "infinity",
        ];
        let running = || !below(sshd, "--unit=long").is_empty();
        let begin = || {
            let mut command = ssh.command(coracle, &words);
            let child = command.stderr(Stdio::piped()).spawn().expect("it starts");
            state(coracle, "long.service", "active");
            eventually("the command over there", || running().then_some(()));
            child
        };
        // The client is killed: the command there hears it.
        let mut child = begin();
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
        eventually("the command's end", || (!running()).then_some(()));
        assert_eq!(coracle.property("long", "ActiveState"), "active");
        coracle.ok(&["stop", "long"]);
        // The session over there is killed: the command there ends, too, and this side says so.
        let child = begin();
        let inner = below(sshd, "stdio");
        let commands = below(sshd, "--unit=long");
        for session in children(sshd) {
            kill(session.0);
        }
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(255), "{said}");
        assert!(said.contains("was lost"), "{said}");
        for pid in inner.iter().chain(&commands) {
            let pid = pid.as_raw_pid().to_string();
            eventually("its end", || (!lives(&pid)).then_some(()));
        }
        assert_eq!(coracle.property("long", "ActiveState"), "active");
        coracle.ok(&["stop", "long"]);
        // Ctrl-C is the command's, as it is here: it stops the unit that it waits for.
        let child = begin();
        let pid = number(&child.id().to_string());
        kill_process(pid, Signal::INT).expect("a signal");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(130));
        eventually("the unit's end", || {
            (coracle.property("long", "ActiveState") != "active").then_some(())
        });
    });
}

#[test]
fn a_host_that_has_no_coracle_says_so_and_gets_it_when_asked() {
    let coracle = Instance::new();
    let ssh = Ssh::new();
    // Programs that are installed there go with the mount namespace.
    let own = [
        "unshare",
        "-m",
        "sh",
        "-c",
        "mount -t tmpfs tmpfs /usr/local/bin && exec \"$@\"",
        "sh",
    ];
    let host = ssh.host_with("127.0.0.1", &own, "/usr/bin:/bin", None);
    let at = |words: &[&str]| ssh.coracle(&coracle, &[&["-H", &host.name], words].concat());
    let missing = at(&["timespan", "90s"]);
    assert_eq!(missing.status, 255, "{}", missing.stderr);
    let told = ["there is no coracle on", "--bootstrap", "/usr/local/bin"];
    assert!(
        told.iter().all(|part| missing.stderr.contains(part)),
        "{}",
        missing.stderr
    );
    let here = coracle.ok(&["timespan", "90s"]);
    let got = at(&["--bootstrap", "timespan", "90s"]).ok();
    assert!(
        got.stdout == here && got.stderr.contains("installed in /usr/local/bin"),
        "{}",
        got.stderr
    );
    assert_eq!(at(&["--bootstrap", "timespan", "90s"]).ok().stderr, "");
    coracle.stop();
}

/// A host that has no coracle, and whose shell takes nothing of what it is sent.
const DEAF: &str =
    "#!/bin/sh\ncase \"$*\" in *'coracle stdio'*) exit 127;; esac\nexec sleep infinity\n";

#[test]
fn a_signal_ends_a_copy_that_nobody_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    let ssh = folder.path().join("ssh");
    fs::write(&ssh, DEAF).expect("a file");
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).expect("a mode");
    with_units(&[], |coracle| {
        for hosts in ["one", "one,two"] {
            let mut command = coracle.command(&["-H", hosts, "--bootstrap", "list-units"]);
            let path = format!("{}:/usr/bin:/bin", folder.path().display());
            let mut child = command
                .env("PATH", path)
                .stderr(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .expect("it starts");
            let mut said = BufReader::new(child.stderr.take().expect("a pipe")).lines();
            let copies = said.any(|line| line.expect("text").contains("copying coracle"));
            assert!(copies, "{hosts}");
            kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
            let status = child.wait().expect("it ends");
            assert_eq!(status.code(), Some(130), "{hosts}");
        }
    });
}

/// Speaks as a host does, and asks: by words of the shell that print frames.
fn asking(frames: &str) -> String {
    format!(
        "#!/bin/sh\nframe() {{ printf \"\\\\$(printf %o $1)\\\\0\\\\0\\\\0\\\\$(printf %o ${{#2}})%s\" \"$2\"; }}\necho 'coracle stdio 1'\n{frames}\nexec sleep infinity\n"
    )
}

#[test]
fn a_host_that_asks_for_what_was_not_offered_or_again_and_again_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let ssh = folder.path().join("ssh");
    let offered = folder.path().join("offered.psi");
    fs::write(&offered, vec![7; 300_000]).expect("a file");
    with_units(&[], |coracle| {
        for (frames, why) in [
            ("frame 14 '[0]'; frame 14 '[0]'", "more than once"),
            ("frame 14 '[0,0]'", "more than once"),
            ("frame 16 '[9,[]]'", "that no offered file has"),
            ("frame 16 '[0,[[299999,2]]]'", "that no offered file has"),
        ] {
            fs::write(&ssh, asking(frames)).expect("a file");
            fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).expect("a mode");
            let path = format!("{}:/usr/bin:/bin", folder.path().display());
            let offered = offered.display().to_string();
            let mut command = coracle.command(&["-H", "one", "start", &offered]);
            let output = command.env("PATH", path).output().expect("it starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(why), "{frames}: {said}");
        }
    });
}

#[test]
fn who_sits_at_a_terminal_has_one_over_there() {
    with_units(&[("sleeper.service", SLEEPER)], |coracle| {
        let ssh = Ssh::new();
        let host = ssh.host(coracle);
        coracle.ok(&["start", "sleeper"]);
        let program = coracle.dist().join("coracle").display().to_string();
        let line = format!(
            "stty rows 33 cols 77; {program} -H {} shell sleeper -- /bin/sh -c 'tty; stty size; exit 5'",
            host.name
        );
        let mut script = Command::new("script");
        let path = format!("{}:/usr/bin:/bin", ssh.folder().join("bin").display());
        script
            .args(["-qec", &line, "/dev/null"])
            .env("PATH", path)
            .stdin(Stdio::piped());
        let mut child = script
            .stdout(Stdio::piped())
            .spawn()
            .expect("script starts");
        let keyboard = child.stdin.take();
        let output = child.wait_with_output().expect("it ends");
        drop(keyboard);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            shown.contains("/dev/pts/") && shown.contains("33 77"),
            "{shown}"
        );
        assert_eq!(output.status.code(), Some(5), "{shown}");
    });
}

#[test]
fn a_side_that_falls_silent_is_given_up_by_the_other() {
    with_units(&[], |coracle| {
        let ssh = Ssh::new();
        let host = ssh.host(coracle);
        let sshd = number(&host.id().to_string());
        let words = [
            "-H",
            &host.name,
            "--host-timeout=3",
            "run",
            "--wait",
            "--unit=long",
            "sleep",
            "infinity",
        ];
        let begin = || {
            let mut command = ssh.command(coracle, &words);
            let child = command.stderr(Stdio::piped()).spawn().expect("it starts");
            state(coracle, "long.service", "active");
            child
        };
        let their_side =
            || eventually("the side over there", || below(sshd, "coracle stdio").pop());
        // The other side stops: this one says so, and what runs there ends as soon as it goes on.
        let child = begin();
        let stdio = their_side();
        kill_process(stdio, Signal::STOP).expect("a signal");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(255) && said.contains("nothing was heard for 6 s"),
            "{said}"
        );
        kill_process(stdio, Signal::CONT).expect("a signal");
        eventually("its end", || {
            (!lives(&stdio.as_raw_pid().to_string())).then_some(())
        });
        assert_eq!(coracle.property("long", "ActiveState"), "active");
        coracle.ok(&["stop", "long"]);
        // This side stops, and holds the connection: the command there ends all the same.
        let mut child = begin();
        let (stdio, asking) = (their_side(), number(&child.id().to_string()));
        kill_process(asking, Signal::STOP).expect("a signal");
        eventually("its end", || {
            (!lives(&stdio.as_raw_pid().to_string())).then_some(())
        });
        assert_eq!(coracle.property("long", "ActiveState"), "active");
        child.kill().expect("it is killed");
        child.wait().expect("it ends");
        coracle.ok(&["stop", "long"]);
    });
}
