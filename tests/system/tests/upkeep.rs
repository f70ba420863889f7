//! What an administrator does with a portable that is here: older and newer versions, loosened sandboxes, signals, second thoughts.

use coracle_system_tests::images::{By, Workshop};
use coracle_system_tests::refusal::refused;
use coracle_system_tests::waiting::eventually;
use coracle_system_tests::with_units;
use testkit::{Finished, Instance};

const SERVICE: &str = "[Service]\nType=exec\nExecStart=/usr/bin/sleep infinity\n";
const TALKING: &str = "[Service]\nType=exec\nExecStart=/usr/bin/dash -c 'echo the first one speaks; exec /usr/bin/sleep infinity'\n";
const RELOADS: &str =
    "[Service]\nType=exec\nExecStart=/usr/bin/sleep infinity\nExecReload=/usr/bin/sleep 0\n";
const SOCKET: &str = "[Socket]\nListenStream=/run/boat/api\n";

fn with_workshop(work: impl FnOnce(&Instance, &Workshop)) {
    with_units(&[], |coracle| work(coracle, &Workshop::new(coracle)));
}

/// Runs a command that must work, with both its streams.
#[track_caller]
fn done(coracle: &Instance, words: &[&str]) -> Finished {
    let done = coracle.coracle(words);
    assert_eq!(done.status, 0, "{words:?}: {done:#?}");
    done
}

#[track_caller]
fn contains(text: &str, phrases: &[&str]) {
    for phrase in phrases {
        assert!(text.contains(phrase), "no {phrase:?} in: {text}");
    }
}

#[test]
fn an_older_version_that_was_allowed_once_starts_again_without_a_word() {
    with_workshop(|coracle, workshop| {
        let image =
            |version| workshop.image("boat", version, By::Trusted, &[("boat.service", SERVICE)]);
        coracle.ok(&["start", &image("2")]);
        let old = image("1");
        refused(
            coracle,
            &[&old],
            &["boat 1 is not installed", "--allow-downgrade"],
        );
        coracle.ok(&["start", &old, "--allow-downgrade"]);
        coracle.ok(&["stop", "boat"]);
        coracle.ok(&["start", "boat"]);
        coracle.ok(&["detach", "--now", "boat"]);
        coracle.ok(&["start", "boat"]);
        coracle.ok(&["start", &old]);
        coracle.ok(&["daemon-exit"]);
        coracle.ok(&["start", "--enabled"]);
        assert_eq!(coracle.property("boat.service", "ActiveState"), "active");
        // What the highest version was is still known.
        let between = image("1.5");
        refused(coracle, &[&between], &["boat 1.5 is older than 2"]);
    });
}

#[test]
fn a_newer_version_over_a_running_one_says_what_still_runs_until_it_is_restarted() {
    with_workshop(|coracle, workshop| {
        let image =
            |version| workshop.image("boat", version, By::Trusted, &[("boat.service", SERVICE)]);
        let (old, new) = (image("1"), image("2"));
        contains(
            &done(coracle, &["start", &old]).stdout,
            &["started boat.service in"],
        );
        contains(
            &done(coracle, &["start", &old]).stdout,
            &["boat.service runs already"],
        );
        let root = |status: &str| {
            let line = status.lines().find(|line| line.contains("Root: "));
            line.expect("a root").to_owned()
        };
        let before = root(&coracle.ok(&["status", "boat"]));
        let said = done(coracle, &["start", &new]);
        contains(&said.stdout, &["boat.service runs already"]);
        let older =
            "boat 2 is installed, and boat.service still runs from 1: `coracle restart boat`";
        contains(&said.stderr, &[older]);
        let status = coracle.ok(&["status", "boat"]);
        contains(&status, &[older]);
        assert_eq!(root(&status), before);
        contains(&done(coracle, &["start", "boat"]).stderr, &[older]);
        coracle.ok(&["restart", "boat"]);
        let status = coracle.ok(&["status", "boat"]);
        assert!(!status.contains("still runs from"), "{status}");
        assert_ne!(root(&status), before);
    });
}

#[test]
fn what_is_configured_while_its_units_are_taken_away_does_not_bring_them_back() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", SERVICE)]);
        coracle.ok(&["start", &image]);
        coracle.ok(&["detach", "--now", "boat"]);
        coracle.ok(&["configure", "boat", "--env", "COLOUR=blue"]);
        contains(&coracle.ok(&["list"]), &["detached"]);
        coracle.ok(&["start", "boat"]);
        contains(&coracle.ok(&["cat", "boat.service"]), &["COLOUR=blue"]);
    });
}

#[test]
fn what_configure_switches_off_is_no_restriction_and_is_told() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", SERVICE)]);
        coracle.ok(&["attach", &image]);
        contains(
            &coracle.coracle(&["status", "boat"]).stdout,
            &["restrictions to apply when it starts"],
        );
        coracle.ok(&["start", "boat"]);
        let count = || -> usize {
            let status = coracle.ok(&["status", "boat"]);
            let line = status
                .lines()
                .find_map(|line| line.trim().strip_prefix("Sandbox: "));
            let (number, rest) = line
                .and_then(|line| line.split_once(' '))
                .expect("a sandbox");
            assert!(rest.starts_with("restrictions applied"), "{rest}");
            number.parse().expect("a number")
        };
        let all = count();
        let set = [
            "PrivateNetwork=no",
            "ProtectSystem=no",
            "NoNewPrivileges=no",
        ];
        let mut words = vec!["configure", "boat"];
        words.extend(set.iter().flat_map(|setting| ["--set", setting]));
        contains(
            &done(coracle, &words).stderr,
            &["loosens the sandbox: PrivateNetwork=no"],
        );
        coracle.ok(&["restart", "boat"]);
        assert_eq!(count(), all - set.len());
        let loosened = format!("Loosened: by `coracle configure`: {}", set.join(" "));
        contains(&coracle.ok(&["status", "boat"]), &[&loosened]);
    });
}

#[test]
fn a_portables_socket_has_no_process_to_signal_and_nothing_to_reload() {
    with_workshop(|coracle, workshop| {
        let units = [("boat.service", RELOADS), ("boat.socket", SOCKET)];
        let image = workshop.image("boat", "1", By::Trusted, &units);
        coracle.ok(&["start", &image]);
        coracle.ok(&["reload", "boat"]);
        coracle.ok(&["kill", "boat", "-s", "SIGCONT"]);
        coracle.ok(&["kill", "boat.socket"]);
        coracle.ok(&["stop", "boat"]);
        let stopped = coracle.coracle(&["kill", "--kill-whom=main", "boat"]);
        contains(&stopped.stderr, &["boat.service has no such process"]);
        assert_eq!(stopped.status, 1);
        let plain = workshop.image(
            "ship",
            "1",
            By::Trusted,
            &[
                ("ship.service", SERVICE),
                ("ship.socket", "[Socket]\nListenStream=/run/ship/api\n"),
            ],
        );
        coracle.ok(&["start", &plain]);
        let said = coracle.coracle(&["reload", "ship"]);
        assert_eq!(said.status, 3, "{said:#?}");
        assert!(!said.stderr.contains("ship.socket"), "{}", said.stderr);
    });
}

#[test]
fn a_purged_portables_log_is_not_its_successors() {
    with_workshop(|coracle, workshop| {
        let image = |units: &[(&str, &str)]| workshop.image("boat", "1", By::Trusted, units);
        coracle.ok(&["start", &image(&[("boat.service", TALKING)])]);
        coracle.ok(&["purge", "boat"]);
        let lacking = "[Service]\nType=exec\nExecStart=/usr/bin/sleep infinity\nBindReadOnlyPaths=/nowhere/at/all\n";
        let first = image(&[("boat.service", lacking)]);
        let failed = coracle.coracle(&["start", &first, "--grant", "path:/nowhere/at/all"]);
        assert_ne!(failed.status, 0, "{failed:#?}");
        eventually("the log of the failure", || {
            let status = coracle.coracle(&["status", "boat"]).stdout;
            status
                .contains("BindReadOnlyPaths= can't be applied")
                .then_some(())
        });
        coracle.ok(&["purge", "boat"]);
        coracle.ok(&["start", &image(&[("boat.service", SERVICE)])]);
        let status = coracle.ok(&["status", "boat"]);
        assert!(
            !status.contains("can't be applied") && !status.contains("speaks"),
            "{status}"
        );
    });
}

#[test]
fn what_is_no_image_or_damaged_is_named_and_what_an_image_asks_is_shown_before_it_comes_in() {
    with_workshop(|coracle, workshop| {
        let junk = coracle.folder().join("junk.psi").display().to_string();
        std::fs::write(&junk, "no image").expect("a file");
        refused(coracle, &[&junk], &[&format!("{junk} is no image")]);
        let network = "[Service]\nExecStart=/usr/bin/sleep infinity\nPrivateNetwork=no\n";
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", network)]);
        contains(
            &done(coracle, &["inspect", &image]).stdout,
            &["Intact: yes", "Asks: to ", "(network)"],
        );
        let words = ["start", "--attach-only", &image, "--grant=netwrok,network"];
        contains(
            &done(coracle, &words).stderr,
            &["boat does not ask for netwrok", "it asks for network"],
        );
        let key = format!(
            "{}/workshop/trusted/signing.key",
            coracle.folder().display()
        );
        let said = coracle.coracle(&["trust", "add", &key]);
        assert_eq!(said.status, 1);
        contains(&said.stderr, &["is a key", "signing.crt"]);
        let mut bytes = std::fs::read(&image).expect("the image");
        bytes[(1 << 20) + 4096] ^= 1;
        std::fs::write(&image, bytes).expect("a damaged image");
        let said = coracle.coracle(&["inspect", &image]);
        contains(&said.stdout, &["Intact: NO: "]);
        assert_eq!(said.status, 1);
    });
}

#[test]
fn files_that_are_not_there_are_told_when_they_are_configured() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", SERVICE)]);
        coracle.ok(&["start", &image]);
        for option in [
            "--credential=a=/nope",
            "--bind=/nope",
            "--bind-read-only=/nope:/x",
            "--credential=a=/etc",
        ] {
            let said = coracle.coracle(&["configure", "boat", option]);
            assert_eq!(said.status, 1, "{said:#?}");
            contains(
                &said.stderr,
                &["/nope", "Hint: "].map(|word| {
                    if option.ends_with("/etc") && word == "/nope" {
                        "/etc is no file"
                    } else {
                        word
                    }
                }),
            );
        }
        let secret = coracle.folder().join("secret");
        std::fs::write(&secret, "s").expect("a secret");
        let option = format!("--credential=a={}", secret.display());
        coracle.ok(&["configure", "boat", &option]);
        coracle.ok(&["restart", "boat"]);
    });
}

#[test]
fn who_stops_a_service_hears_of_the_socket_that_starts_it_again() {
    with_workshop(|coracle, workshop| {
        let units = [("boat.service", SERVICE), ("boat.socket", SOCKET)];
        let image = workshop.image("boat", "1", By::Trusted, &units);
        coracle.ok(&["start", &image]);
        contains(
            &coracle.ok(&["is-active", "boat"]),
            &["active boat.socket\nactive boat.service"],
        );
        assert_eq!(coracle.ok(&["is-active", "boat.socket"]), "active\n");
        contains(
            &done(coracle, &["stop", "boat.service"]).stderr,
            &["boat.socket still starts it"],
        );
        let said = done(coracle, &["stop", "boat"]);
        assert!(!said.stderr.contains("still starts"), "{said:#?}");
        let quiet = done(coracle, &["purge", "-q", "boat"]);
        assert_eq!((quiet.stdout, quiet.stderr), (String::new(), String::new()));
    });
}

#[test]
fn times_are_shown_in_words_and_a_failed_unit_degrades_the_system() {
    with_units(
        &[(
            "bad.service",
            "[Service]\nType=oneshot\nExecStart=/bin/false\n",
        )],
        |coracle| {
            assert_ne!(coracle.coracle(&["start", "bad"]).status, 0);
            let time = coracle.ok(&["show", "bad", "-p", "InactiveExitTimestamp", "--value"]);
            let parts: Vec<&str> = time.split_whitespace().collect();
            assert_eq!(parts.len(), 4, "{time}");
            assert!(
                ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&parts[0]),
                "{time}"
            );
            assert_eq!(
                coracle.ok(&["show", "-p", "SystemState", "--value"]),
                "degraded\n"
            );
        },
    );
}

#[test]
fn the_maker_of_an_image_hears_what_its_start_would_say() {
    with_units(&[], |coracle| {
        let unit = coracle.folder().join("boat.service");
        let text = "[Service]\nExecStart=/usr/bin/sleep 1\nProtectSystem=yess\nNicee=1\n[Unit]\nRequires=boat.socket tmp.mount\n";
        std::fs::write(&unit, text).expect("a unit");
        let (unit, image) = (
            unit.display().to_string(),
            coracle.folder().join("boat.psi"),
        );
        let image = image.display().to_string();
        let words = [
            "build",
            "--program",
            "/usr/bin/sleep",
            "--unit",
            &unit,
            "-o",
            &image,
        ];
        let said = done(coracle, &words);
        contains(
            &said.stderr,
            &[
                "nobody can start this image: boat.service:3: ProtectSystem=",
                "Nicee=",
                "boat.service requires boat.socket, which is not in the image",
            ],
        );
        assert!(
            !said.stderr.contains("requires tmp.mount"),
            "{}",
            said.stderr
        );
        contains(&said.stdout, &["units: boat.service"]);
    });
}
