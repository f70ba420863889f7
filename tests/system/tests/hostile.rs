//! Portables and services that fight: what they leave, say and send harms neither the host nor who looks at them.

use std::fs;
use std::path::Path;

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::with_units;
use testkit::Instance;

const SLEEPS: &str = "ExecStart=/usr/bin/dash -c 'exec /usr/bin/sleep infinity'\n";

/// Starts a portable of this name whose service says these lines.
fn start(coracle: &Instance, name: &str, lines: &str) {
    let workshop = Workshop::new(coracle);
    let service = format!("[Service]\nType=exec\n{SLEEPS}{lines}\n");
    coracle.ok(&["start", &built(&workshop, (name, "1"), &service)]);
}

/// The image of a version of a portable with this one service.
fn built(workshop: &Workshop<'_>, (name, version): (&str, &str), service: &str) -> String {
    let unit = format!("{name}.service");
    workshop.image(name, version, By::Trusted, &[(&unit, service)])
}

/// Runs a script as the service, inside of its sandbox.
fn inside(coracle: &Instance, name: &str, script: &str) {
    coracle.ok(&["shell", name, "--", "/bin/sh", "-c", script]);
}

/// A folder of the host with a secret that anybody may read, if only they come there.
fn precious(coracle: &Instance) -> String {
    let folder = coracle.folder().join("host");
    fs::create_dir_all(folder.join("precious")).expect("a folder");
    fs::write(folder.join("precious/secret"), "secret\n").expect("a secret");
    folder.display().to_string()
}

#[test]
fn a_link_that_a_portable_leaves_opens_nothing_of_the_host_at_its_next_start() {
    with_units(&[], |coracle| {
        let host = precious(coracle);
        let lines = "StateDirectory=trapboat\nBindReadOnlyPaths=-/var/lib/trapboat/link:/srv";
        start(coracle, "trapboat", lines);
        inside(
            coracle,
            "trapboat",
            &format!("ln -s {host} /var/lib/trapboat/link"),
        );
        let again = coracle.coracle(&["restart", "trapboat.service"]);
        assert_eq!(again.status, 1, "{again:?}");
        assert!(
            again
                .stderr
                .contains("BindReadOnlyPaths= can't be applied: step ")
                && again.stderr.contains("(os error 40)"),
            "{}",
            again.stderr
        );
        coracle.ok(&["purge", "trapboat"]);
        assert!(Path::new(&host).join("precious/secret").exists());
    });
}

#[test]
fn a_link_that_a_portable_leaves_is_not_followed_when_its_directories_are_removed() {
    with_units(&[], |coracle| {
        let host = precious(coracle);
        let lines = "RuntimeDirectory=trapship/x/precious trapship\nStateDirectory=trapship/x/precious trapship";
        start(coracle, "trapship", lines);
        let trap = |base: &str| {
            format!("mv {base}/trapship/x {base}/trapship/y && ln -s {host} {base}/trapship/x")
        };
        inside(coracle, "trapship", &trap("/run"));
        inside(coracle, "trapship", &trap("/var/lib"));
        coracle.ok(&["stop", "trapship.service"]);
        coracle.ok(&["purge", "trapship"]);
        assert!(Path::new(&host).join("precious/secret").exists());
        for left in [
            "/run/trapship",
            "/run/private/trapship",
            "/var/lib/trapship",
            "/var/lib/private/trapship",
        ] {
            assert!(
                Path::new(left).symlink_metadata().is_err(),
                "{left} is left"
            );
        }
    });
}

#[test]
fn what_is_not_understood_of_an_image_is_told_and_a_restriction_among_it_refuses() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let image = |version: &str, lines: &str| {
            let service = format!("[Service]\n{SLEEPS}{lines}");
            built(&workshop, ("vagueboat", version), &service)
        };
        let told = coracle.coracle(&["start", &image("1", "Nice=loud\nCPUAccounting=yes\n")]);
        assert_eq!(told.status, 0, "{told:?}");
        for line in [
            "vagueboat.service:3:6: warning: Nice=: \"loud\" is not a priority from -20 to 19; the line is ignored",
            "vagueboat.service:4:1: warning: CPUAccounting= has no effect",
        ] {
            assert!(told.stderr.contains(line), "{}", told.stderr);
        }
        let refused = coracle.coracle(&["start", &image("2", "ProtectSystem=perhaps\n")]);
        assert_eq!(refused.status, 1, "{refused:?}");
        let line = "vagueboat.service:3: ProtectSystem=: \"perhaps\" is not ";
        assert!(refused.stderr.contains(line), "{}", refused.stderr);
        assert!(coracle.ok(&["status", "vagueboat"]).contains("running"));
        coracle.ok(&["purge", "vagueboat"]);
    });
}

#[test]
fn what_was_there_before_a_portable_came_is_not_its_own_by_its_name() {
    let before = Path::new("/var/lib/takeboat");
    fs::create_dir_all(before).expect("a folder of the host");
    fs::write(before.join("secret"), "secret").expect("a secret");
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let service = format!("[Service]\n{SLEEPS}StateDirectory=takeboat\n");
        let image = built(&workshop, ("takeboat", "1"), &service);
        let refused = coracle.coracle(&["start", &image]);
        assert_eq!(refused.status, 1);
        refused.refused(&[
            "take over the host's /var/lib/takeboat",
            "--grant='path:/var/lib/takeboat'",
        ]);
        assert!(before.join("secret").exists() && !before.is_symlink());
        // Where the administrator lends it, it is still not what goes with the portable.
        coracle.ok(&["start", &image, "--grant=path:/var/lib/takeboat"]);
        coracle.ok(&["purge", "takeboat"]);
        assert!(before.join("secret").exists());
    });
    for path in ["/var/lib/takeboat", "/var/lib/private/takeboat"] {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(_) => fs::remove_dir_all(path).expect("the folder goes"),
        }
    }
}

#[test]
fn what_the_host_came_to_have_after_a_portable_is_neither_moved_nor_removed_with_it() {
    let later = Path::new("/var/lib/lateboat");
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let service = format!("[Service]\nType=exec\n{SLEEPS}StateDirectory=lateboat\n");
        let image = built(&workshop, ("lateboat", "1"), &service);
        coracle.ok(&["attach", &image]);
        fs::create_dir(later).expect("a folder of the host");
        fs::write(later.join("secret"), "secret").expect("a secret");
        // Neither where nobody can be asked, nor where somebody can.
        for (what, phrase) in [
            ("lateboat.service", "came from elsewhere"),
            ("lateboat", "take over the host's /var/lib/lateboat"),
        ] {
            coracle.coracle(&["start", what]).refused(&[phrase]);
            assert!(later.join("secret").exists() && !later.is_symlink());
        }
        coracle.ok(&["purge", "lateboat"]);
        assert!(later.join("secret").exists() && !later.is_symlink());
        // Where the administrator lends it, it goes over and is still the host's.
        coracle.ok(&["start", &image, "--grant=path:/var/lib/lateboat"]);
        assert!(later.is_symlink());
        coracle.ok(&["purge", "lateboat"]);
        assert!(later.join("secret").exists());
    });
    fs::remove_file(later).expect("the link goes");
    fs::remove_dir_all("/var/lib/private/lateboat").expect("the folder goes");
}

#[test]
fn lines_that_the_review_did_not_understand_are_not_attached() {
    with_units(&[], |coracle| {
        let lines =
            "ExecStartPre=-+/usr/bin/dash -c evil %j%k\nFutureEscape=evil\n[Future]\nEscape=evil";
        start(coracle, "plainboat", lines);
        let attached = coracle.ok(&["cat", "plainboat.service"]);
        assert!(attached.contains("ExecStart=/usr/bin/dash"), "{attached}");
        assert!(!attached.contains("evil"), "{attached}");
    });
}

#[test]
fn control_bytes_of_units_and_services_do_not_reach_who_looks_at_them() {
    with_units(&[], |coracle| {
        let lines = "[Service]\nStateDirectory=inkboat-\u{1b}[2J\n[Unit]\nDescription=boat\u{1b}[2J\u{7}\u{9b}31m\n[Service]\nExecStartPost=/usr/bin/dash -c 'printf \"\\\\033[2Jcleared\\\\n\"'";
        start(coracle, "inkboat", lines);
        for verb in [
            &["status", "inkboat"][..],
            &["list-units"],
            &["list"],
            &["show", "inkboat.service"],
            &["status", "inkboat", "--json"],
            &["list-units", "--json"],
            &["show", "inkboat.service", "--json"],
            &["cat", "inkboat.service", "--json"],
        ] {
            let said = coracle.coracle(verb);
            let text = format!("{}{}", said.stdout, said.stderr);
            assert!(
                !text.contains(['\u{1b}', '\u{7}', '\u{9b}']),
                "{verb:?}: {text:?}"
            );
        }
        // Where nobody looks on, control sequences are taken out and not shown: what is to be shown tells more.
        let purged = coracle.ok(&["purge", "inkboat"]);
        assert!(
            purged.contains("/var/lib/inkboat-\\u{1b}[2J\n"),
            "{purged:?}"
        );
    });
}

#[test]
fn control_bytes_of_an_image_that_is_refused_do_not_reach_who_refused_it() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let lines = [
            "PIDFile=/x\u{1b}[2J",
            "User=\u{1b}[2J",
            "EnvironmentFile=/\u{9b}2J",
            "BindPaths=/srv/\u{1b}[2J",
            "ExecStartPre=+/bin/\u{7}\u{1b}[2J",
            "StandardOutput=file:/\u{1b}]0;x\u{7}",
            "BusName=\u{1b}[2J",
            "Unknown\u{1b}[2J=x",
        ];
        for line in lines {
            let unit =
                format!("[Service]\nExecStart=/bin/x\n{line}\n[Unit]\nAfter=\u{1b}[2J.service\n");
            let release = "ID=boat\nVERSION_ID=1\nPRETTY_NAME=\"\u{1b}[2J\"\n";
            let image = workshop.tree(release, By::Trusted, &[("boat.service", &unit)], |_| {});
            for words in [
                &["start", "--attach-only", &image][..],
                &["inspect", &image],
            ] {
                let said = coracle.coracle(words);
                let text = format!("{}{}", said.stdout, said.stderr);
                assert!(
                    !text.contains(['\u{1b}', '\u{7}', '\u{9b}']),
                    "{words:?} {line:?}: {text:?}"
                );
            }
        }
    });
}

#[test]
fn what_an_image_asks_for_has_one_line_and_is_one_word_where_it_is_copied() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let lines = "BindReadOnlyPaths=\"/srv/x\\n  to read nothing\" \"/srv/it's; echo evil\"";
        let unit = format!("[Service]\n{SLEEPS}{lines}\n");
        let image = built(&workshop, ("askboat", "1"), &unit);
        let said = coracle.coracle(&["start", "--attach-only", &image]).stderr;
        assert!(
            !said
                .lines()
                .any(|line| line.starts_with("  to read nothing")),
            "{said}"
        );
        let copied = said.split_once("say --grant=").expect("a hint").1.trim();
        let echo = std::process::Command::new("sh")
            .args([
                "-c",
                &format!("for word in {copied}; do printf '<%s>\\n' \"$word\"; done"),
            ])
            .output()
            .expect("a shell");
        let echoed = String::from_utf8_lossy(&echo.stdout).into_owned();
        assert_eq!(echoed.lines().count(), 1, "{echoed}");
        assert!(
            echoed.contains("path-read-only:/srv/it's; echo evil"),
            "{echoed}"
        );
    });
}

#[test]
fn a_service_can_not_name_a_process_of_the_host_as_its_own() {
    let mut victim = std::process::Command::new("sleep")
        .arg("infinity")
        .spawn()
        .expect("a process of the host");
    let program = "use Socket; socket(my $s, AF_UNIX, SOCK_DGRAM, 0); send($s, qq(READY=1\\nMAINPID=$ENV{VICTIM}\\n), 0, pack_sockaddr_un($ENV{NOTIFY_SOCKET})); sleep";
    let unit = format!(
        "[Service]\nType=notify\nNotifyAccess=all\nEnvironment=VICTIM={}\nExecStart=perl -e '{program}'\n",
        victim.id()
    );
    with_units(&[("liar.service", &unit)], |coracle| {
        coracle.ok(&["start", "liar.service"]);
        assert_ne!(
            coracle.property("liar.service", "MainPID"),
            victim.id().to_string()
        );
        coracle.ok(&["kill", "liar.service"]);
        coracle.ok(&["stop", "liar.service"]);
    });
    let alive = victim.try_wait().expect("its state").is_none();
    victim.kill().expect("it takes a signal");
    victim.wait().expect("it ends");
    assert!(alive, "a process of the host was ended");
}

#[test]
fn a_portable_that_is_called_like_a_user_of_the_host_is_not_that_user() {
    with_units(&[], |coracle| {
        start(coracle, "games", "");
        let uid = coracle.ok(&["shell", "games", "--", "/bin/sh", "-c", "id -u"]);
        let uid: u32 = uid.trim().parse().expect("a number");
        assert!((61_184..=65_519).contains(&uid), "{uid}");
    });
}

#[test]
fn the_process_in_front_of_a_portable_is_out_of_its_reach() {
    with_units(&[], |coracle| {
        start(coracle, "stubboat", "");
        let attack = "for file in mem environ maps root/etc fd/0; do cat /proc/1/$file >/dev/null 2>&1 && echo read $file; done; \
            perl -e 'open(F, q(+<), q(/proc/1/mem)) and print qq(opened\\n); kill(9, 1)'; true";
        let seen = coracle.ok(&["shell", "stubboat", "--", "/bin/sh", "-c", attack]);
        assert_eq!(seen, "");
        assert_eq!(
            coracle.property("stubboat.service", "ActiveState"),
            "active"
        );
    });
}

/// What is in the host's /dev, and nothing that the test put there stays.
struct HostDevices(Vec<std::ffi::OsString>);

impl HostDevices {
    fn names() -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir("/dev").expect("the host's devices");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

impl Drop for HostDevices {
    fn drop(&mut self) {
        for point in ["directory", "file"] {
            let path = format!("/dev/coracle-test-{point}");
            drop(fs::remove_dir(&path).or_else(|_| fs::remove_file(&path)));
        }
    }
}

#[test]
fn a_portable_with_the_hosts_devices_puts_nothing_among_them() {
    with_units(&[], |coracle| {
        let workshop = Workshop::new(coracle);
        let host = HostDevices(HostDevices::names());
        let cases = [
            ("TemporaryFileSystem=/dev/coracle-test-directory", None),
            (
                "BindReadOnlyPaths=/etc/passwd:/dev/coracle-test-file",
                Some("--grant=path-read-only:/etc/passwd"),
            ),
        ];
        let unit =
            |device: &str, line: &str| format!("[Service]\nType=exec\n{SLEEPS}{device}\n{line}\n");
        for (line, grant) in cases {
            let service = unit("PrivateDevices=no", line);
            let image = built(&workshop, ("devboat", "1"), &service);
            let mut words = vec!["start", "--grant=devices", &*image];
            words.extend(grant);
            let told = coracle.coracle(&words);
            let directive = line.split('=').next().expect("a directive");
            let refused = format!("{directive}= can't be applied: step ");
            assert!(
                told.status == 1 && told.stderr.contains(&refused),
                "{told:?}"
            );
            assert!(told.stderr.contains("mount /dev/coracle-test-"), "{told:?}");
            assert_eq!(HostDevices::names(), host.0, "{line}");
            coracle.ok(&["purge", "--forget", "devboat"]);
            // Among devices of its own it has them.
            let service = unit("", line);
            let image = built(&workshop, ("devboat", "1"), &service);
            let mut words = vec!["start", &*image];
            words.extend(grant);
            coracle.ok(&words);
            coracle.ok(&["purge", "--forget", "devboat"]);
        }
        let service = unit("PrivateDevices=no", "");
        let image = built(&workshop, ("devboat", "2"), &service);
        coracle.ok(&["start", "--grant=devices", &image]);
        assert_eq!(HostDevices::names(), host.0);
        coracle.ok(&["purge", "devboat"]);
    });
}
