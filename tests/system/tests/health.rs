//! Services that are asked whether they work: when they count as started, what the status says, and what becomes of those that do not.

use coracle_system_tests::{manager, waiting, with_units};
use testkit::{Instance, free_port};

/// Answers HTTP at a port, which it writes down with each start, with the status that a file has in it.
const SERVER: &str = "use IO::Socket::INET; my $listener = IO::Socket::INET->new(LocalAddr => q(127.0.0.1), LocalPort => $ARGV[1], Listen => 9, ReuseAddr => 1) or die; open F, q(>>), qq($ARGV[0].runs); print F qq($$\\n); close F; while (my $client = $listener->accept) { my $line = <$client>; open S, q(<), $ARGV[0]; my $status = <S>; close S; chomp $status; print $client qq(HTTP/1.1 $status\\r\\nContent-Length: 0\\r\\n\\r\\n); close $client }";

/// The status that the server answers with from now on.
fn answer(coracle: &Instance, status: &str) {
    let new = coracle.folder().join("answer.new");
    std::fs::write(&new, status).expect("a file");
    std::fs::rename(new, coracle.folder().join("answer")).expect("its name");
}

/// A unit whose service is asked by HTTP.
fn server(coracle: &Instance, lines: &str) {
    let (folder, port) = (coracle.folder().display(), free_port());
    std::fs::write(coracle.folder().join("server.pl"), SERVER).expect("the program");
    coracle.unit(
        "web.service",
        &format!(
            "[Unit]\nOnFailure=alarm.service\n[Service]\nExecStart=/usr/bin/perl {folder}/server.pl {folder}/answer {port}\n\
             HealthHTTP=http://localhost:{port}/healthz\nHealthIntervalSec=100ms\n{lines}"
        ),
    );
    let alarm = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n";
    coracle.unit("alarm.service", alarm);
}

fn health(coracle: &Instance, wanted: &str) {
    waiting::eventually(&format!("health: {wanted}"), || {
        (coracle.property("web.service", "HealthState") == wanted).then_some(())
    });
}

#[test]
fn a_service_is_up_when_it_answers_well_and_the_status_says_what_it_answers() {
    with_units(&[], |coracle| {
        server(coracle, "");
        answer(coracle, "503 Not Yet");
        coracle.ok(&["start", "--no-block", "web"]);
        waiting::eventually("its answer", || {
            let line = coracle.property("web.service", "HealthLine");
            (line == "HTTP/1.1 503 Not Yet").then_some(())
        });
        assert_eq!(coracle.property("web.service", "ActiveState"), "activating");
        answer(coracle, "200 Fine");
        waiting::state(coracle, "web.service", "active");
        health(coracle, "healthy");
        let status = coracle.ok(&["status", "web"]);
        assert!(status.contains("Health: healthy"), "{status}");
        assert!(status.contains("Probe: HTTP/1.1 200 Fine"), "{status}");
        answer(coracle, "500 Broken");
        health(coracle, "unhealthy");
        // Nothing is done about it, and it is said.
        assert_eq!(coracle.property("web.service", "ActiveState"), "active");
        waiting::lines(coracle, "web.service", |lines| {
            let has = |text: &str| lines.iter().any(|line| line.contains(text));
            has("a probe failed: HTTP/1.1 500 Broken")
                && has(
                    "3 in a row, so it is unhealthy; nothing is done about it (HealthOnFailure=none)",
                )
        });
        answer(coracle, "200 Fine");
        health(coracle, "healthy");
        let json = coracle.ok(&["status", "--json", "web"]);
        assert!(json.contains("\"health\""), "{json}");
        coracle.ok(&["stop", "web"]);
    });
}

#[test]
fn a_service_that_is_unhealthy_is_started_again_whatever_becomes_of_managers() {
    with_units(&[], |coracle| {
        server(
            coracle,
            "HealthOnFailure=restart\nRestartSec=1ms\nHealthRetries=2\n",
        );
        answer(coracle, "200 Fine");
        coracle.ok(&["start", "web"]);
        manager::kill(coracle.process("ManagerPID"));
        waiting::eventually("the next manager", || {
            (coracle.coracle(&["is-active", "web"]).status == 0).then_some(())
        });
        health(coracle, "healthy");
        assert_eq!(coracle.property("web.service", "NRestarts"), "0");
        answer(coracle, "500 Broken");
        waiting::eventually("another run", || {
            (coracle.property("web.service", "NRestarts") != "0").then_some(())
        });
        answer(coracle, "200 Fine");
        waiting::state(coracle, "web.service", "active");
        health(coracle, "healthy");
        let runs = std::fs::read_to_string(coracle.folder().join("answer.runs")).expect("its runs");
        assert!(runs.lines().count() >= 2, "{runs}");
        coracle.ok(&["stop", "web"]);
        assert_eq!(coracle.property("web.service", "Result"), "success");
    });
}

#[test]
fn a_service_that_is_stopped_as_unhealthy_has_failed_and_others_hear_of_it() {
    with_units(&[], |coracle| {
        server(coracle, "HealthOnFailure=stop\nHealthRetries=1\n");
        answer(coracle, "200 Fine");
        coracle.ok(&["start", "web"]);
        answer(coracle, "500 Broken");
        waiting::state(coracle, "web.service", "failed");
        assert_eq!(coracle.property("web.service", "Result"), "unhealthy");
        waiting::state(coracle, "alarm.service", "active");
    });
}

/// Listens in a network of its own, where a command of the same service finds it, and the host has nothing at that port.
#[test]
fn probes_ask_in_the_network_and_behind_the_restrictions_of_the_service() {
    with_units(&[], |coracle| {
        server(
            coracle,
            "PrivateNetwork=yes\nUser=nobody\nInaccessiblePaths=/usr/bin/yes\n\
             HealthCommand=/bin/sh -c 'test ! -x /usr/bin/yes && test \"$(id -un)\" = nobody && test -n \"$MAINPID\"'\n",
        );
        let folder = coracle.folder();
        // Its user reads there, and writes down its runs.
        let runs = folder.join("answer.runs");
        std::fs::write(&runs, "").expect("a file");
        for (path, mode) in [(folder, 0o755), (runs.as_path(), 0o666)] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(path, mode).expect("a mode");
        }
        answer(coracle, "200 Fine");
        coracle.ok(&["start", "web"]);
        health(coracle, "healthy");
        // Between the command and the connection of a round the line is the command's.
        waiting::eventually("the line of the answer", || {
            let line = coracle.property("web.service", "HealthLine");
            (line == "HTTP/1.1 200 Fine").then_some(())
        });
        let text = std::fs::read_to_string(&runs).expect("its run");
        assert_eq!(text.lines().count(), 1);
        coracle.ok(&["stop", "web"]);
    });
}

#[test]
fn what_a_command_says_last_is_shown_and_one_that_hangs_is_ended() {
    with_units(&[], |coracle| {
        let folder = coracle.folder().display();
        coracle.unit(
            "web.service",
            &format!(
                "[Service]\nExecStart=/bin/sleep infinity\nHealthIntervalSec=100ms\nHealthTimeoutSec=200ms\nHealthRetries=1\n\
                 HealthCommand=/bin/sh -c 'echo first; yes | head -c 300000; echo the last; if test -e {folder}/hang; then exec sleep infinity; fi; test ! -e {folder}/bad'\n"
            ),
        );
        coracle.ok(&["start", "web"]);
        assert_eq!(coracle.property("web.service", "HealthLine"), "the last");
        std::fs::write(coracle.folder().join("bad"), "").expect("a file");
        health(coracle, "unhealthy");
        std::fs::remove_file(coracle.folder().join("bad")).expect("it is there");
        health(coracle, "healthy");
        std::fs::write(coracle.folder().join("hang"), "").expect("a file");
        health(coracle, "unhealthy");
        // Those that hung are gone: the main process is there, and at most the probe of the moment.
        let group = coracle.property("web.service", "ControlGroup");
        assert!(!group.is_empty());
        waiting::eventually("the end of those that hung", || {
            let status = coracle.ok(&["status", "web"]);
            let processes = status
                .lines()
                .filter(|line| line.contains("sleep infinity"))
                .count();
            (processes <= 2).then_some(())
        });
        coracle.ok(&["stop", "web"]);
    });
}

/// The processes with a word in their command line.
fn with_word(word: &str) -> usize {
    let processes = std::fs::read_dir("/proc").expect("the processes");
    let lines = processes.filter_map(|one| std::fs::read(one.ok()?.path().join("cmdline")).ok());
    let text = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    text.filter(|line| line.contains(word)).count()
}

#[test]
fn what_a_probe_leaves_ends_with_it_and_keeps_no_service_up() {
    with_units(&[], |coracle| {
        let folder = coracle.folder().display().to_string();
        let word = format!("{folder}/never");
        coracle.unit(
            "web.service",
            &format!(
                "[Service]\nExecStart=/bin/sleep infinity\nHealthIntervalSec=50ms\nHealthTimeoutSec=100ms\nHealthRetries=1\n\
                 HealthCommand=/bin/sh -c '(: {word}; sleep infinity; :) & echo x >>{folder}/probes; test ! -e {folder}/hang || wait'\n"
            ),
        );
        coracle.ok(&["start", "web"]);
        let probes = |at_least: usize| {
            waiting::eventually("more probes", || {
                let text = std::fs::read_to_string(coracle.folder().join("probes")).ok()?;
                (text.lines().count() >= at_least).then_some(())
            });
        };
        probes(8);
        // At most the probe of the moment has one.
        waiting::eventually("the end of what they left", || {
            (with_word(&word) <= 2).then_some(())
        });
        std::fs::write(coracle.folder().join("hang"), "").expect("a file");
        health(coracle, "unhealthy");
        assert_eq!(
            coracle.property("web.service", "HealthLine"),
            "no answer in time"
        );
        probes(16);
        waiting::eventually("the end of those that hung", || {
            (with_word(&word) <= 2).then_some(())
        });
        coracle.ok(&["stop", "web"]);
        waiting::eventually("the end of all", || (with_word(&word) == 0).then_some(()));
    });
}

/// Descriptors of the manager.
fn descriptors(coracle: &Instance) -> usize {
    let pid = coracle.process("ManagerPID");
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    open.count()
}

#[test]
fn a_probe_has_the_variables_of_its_run_and_one_that_cannot_begin_leaves_nothing() {
    with_units(&[], |coracle| {
        let folder = coracle.folder().display().to_string();
        let variables = coracle.folder().join("variables");
        std::fs::write(&variables, "WORD=said\n").expect("a file");
        coracle.unit(
            "web.service",
            &format!(
                "[Service]\nExecStart=/bin/sleep infinity\nHealthIntervalSec=20ms\nEnvironmentFile={folder}/variables\n\
                 HealthCommand=/bin/sh -c 'echo x >>{folder}/probes; echo $WORD'\n"
            ),
        );
        coracle.ok(&["start", "web"]);
        assert_eq!(coracle.property("web.service", "HealthLine"), "said");
        // It is not read again, so that it is no matter what becomes of it.
        std::fs::remove_file(&variables).expect("it is there");
        let before = std::fs::read_to_string(coracle.folder().join("probes")).expect("a file");
        let before = before.lines().count();
        waiting::eventually("more probes", || {
            let text = std::fs::read_to_string(coracle.folder().join("probes")).ok()?;
            (text.lines().count() > before + 3).then_some(())
        });
        health(coracle, "healthy");
        assert_eq!(coracle.property("web.service", "HealthLine"), "said");
        // The next manager has not read it, and can't: that is what the probes say, and they hold nothing open.
        manager::kill(coracle.process("ManagerPID"));
        health(coracle, "unhealthy");
        let line = coracle.property("web.service", "HealthLine");
        assert!(line.contains("EnvironmentFile"), "{line}");
        let open = descriptors(coracle);
        let failures = || coracle.property("web.service", "HealthFailures");
        let count = failures().parse::<u32>().expect("a number");
        waiting::eventually("more failures", || {
            (failures().parse::<u32>().ok()? > count + 20).then_some(())
        });
        assert!(descriptors(coracle) < open + 10);
        coracle.ok(&["stop", "web"]);
    });
}
