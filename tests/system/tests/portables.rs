//! What portables can be told: attached for good or until a reboot, started now or at boot, replaced, offered by lying in a place.

use std::fs;
use std::path::{Path, PathBuf};

use coracle_system_tests::images::{BOAT, By, Workshop, with_workshop};
use coracle_system_tests::manager::reboot;
use coracle_system_tests::own_images::Shop;
use coracle_system_tests::refusal::refused;
use coracle_system_tests::typed::{list, says};
use coracle_system_tests::waiting;
use testkit::Instance;

/// `is-attached` says this word, with this status.
#[track_caller]
fn is(coracle: &Instance, name: &str, word: &str, status: i32) {
    let done = says(coracle, &["is-attached", name], status, &[]);
    assert_eq!(done.stdout, format!("{word}\n"), "{done:#?}");
    let json = says(coracle, &["is-attached", name, "--json"], status, &[]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["state"], word);
    assert_eq!(json["attached"], status == 0);
}

fn active(coracle: &Instance, unit: &str) -> String {
    coracle.property(unit, "ActiveState")
}

#[test]
fn is_attached_tells_every_state_by_word_and_status() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", BOAT)]);
        says(
            coracle,
            &["is-attached", "boat"],
            4,
            &["no portable \"boat\""],
        );
        is(coracle, &image, "detached", 1);
        coracle.ok(&["attach", &image]);
        is(coracle, "boat", "attached", 0);
        is(coracle, &image, "attached", 0);
        coracle.ok(&["attach", "boat", "--enable"]);
        is(coracle, "boat", "enabled", 0);
        assert_eq!(active(coracle, "boat.service"), "inactive");
        coracle.ok(&["attach", "boat", "--now"]);
        is(coracle, "boat", "running", 0);
        assert_eq!(active(coracle, "boat.service"), "active");
        says(
            coracle,
            &["detach", "boat"],
            1,
            &["boat.service runs", "detach --now boat"],
        );
        coracle.ok(&["detach", &image, "--now", "--enable"]);
        is(coracle, "boat", "detached", 1);
        let quiet = says(coracle, &["is-attached", "--quiet", "boat"], 1, &[]);
        assert_eq!((quiet.stdout, quiet.stderr), (String::new(), String::new()));
        coracle.ok(&["attach", "boat", "--runtime"]);
        is(coracle, "boat", "attached-runtime", 0);
        coracle.ok(&["start", "boat.service"]);
        is(coracle, "boat", "running-runtime", 0);
        assert_eq!(list(coracle, &[])[0]["runtime"], true);
        says(coracle, &["status", "boat"], 0, &["until the next reboot"]);
    });
}

#[test]
fn what_is_attached_until_the_next_reboot_is_gone_after_it_and_what_is_enabled_starts() {
    with_workshop(|coracle, workshop| {
        let image = |name: &str| {
            workshop.image(
                name,
                "1",
                By::Trusted,
                &[(&format!("{name}.service"), BOAT)],
            )
        };
        coracle.ok(&["attach", &image("boat"), "--enable"]);
        coracle.ok(&["attach", &image("raft"), "--runtime", "--enable", "--now"]);
        coracle.ok(&["attach", &image("ship")]);
        coracle.ok(&["start", &image("tug")]);
        coracle.ok(&["detach", "tug", "--now"]);
        is(coracle, "raft", "running-runtime", 0);
        reboot(coracle);
        is(coracle, "raft", "detached", 1);
        coracle.ok(&["start", "--enabled"]);
        assert_eq!(active(coracle, "boat.service"), "active");
        assert_eq!(active(coracle, "ship.service"), "inactive");
        for gone in ["raft.service", "tug.service"] {
            assert_eq!(coracle.property(gone, "LoadState"), "not-found", "{gone}");
        }
        is(coracle, "raft", "detached", 1);
        // For good, this time.
        coracle.ok(&["attach", "raft", "--enable"]);
        reboot(coracle);
        coracle.ok(&["start", "--enabled"]);
        is(coracle, "raft", "running", 0);
        coracle.ok(&["purge", "raft"]);
    });
}

const ASKS: &str = "[Service]\nType=exec\nPrivateNetwork=no\nExecStart=/usr/bin/dash -c 'exec /usr/bin/sleep infinity'\n";

#[test]
fn reattach_replaces_the_version_and_keeps_configuration_and_grants() {
    with_workshop(|coracle, workshop| {
        let old = workshop.image(
            "boat",
            "1",
            By::Trusted,
            &[
                ("boat.service", ASKS),
                ("boat-old.service", BOAT),
                ("boat-idle.service", BOAT),
            ],
        );
        let units = [
            ("boat.service", ASKS),
            ("boat-new.service", BOAT),
            ("boat-idle.service", BOAT),
        ];
        let new = workshop.image("boat", "2", By::Trusted, &units);
        let other = workshop.image("ship", "1", By::Trusted, &[("ship.service", BOAT)]);
        says(
            coracle,
            &["reattach", &new],
            1,
            &["is not attached", "coracle attach"],
        );
        coracle.ok(&["attach", &old, "--grant", "network", "--now"]);
        coracle.ok(&["stop", "boat-idle.service"]);
        coracle.ok(&["configure", "boat", "--env", "WORD=kept"]);
        says(coracle, &["reattach", &other], 1, &["is not attached"]);
        // Without --now what runs goes on.
        let main = || coracle.property("boat.service", "MainPID");
        let before = main();
        says(
            coracle,
            &["reattach", &new],
            0,
            &["still", "coracle restart boat"],
        );
        assert_eq!(main(), before);
        says(
            coracle,
            &["reattach", &new, "--now"],
            0,
            &["restarted boat.service"],
        );
        assert_ne!(main(), before);
        assert_eq!(active(coracle, "boat.service"), "active");
        assert_eq!(active(coracle, "boat-old.service"), "inactive");
        assert_eq!(active(coracle, "boat-idle.service"), "inactive");
        let listed = list(coracle, &[]);
        assert_eq!(listed[0]["version"], "2");
        assert_eq!(listed[0]["grants"][0], "network");
        says(coracle, &["cat", "boat.service"], 0, &["WORD=kept"]);
        says(
            coracle,
            &["reattach", &old],
            1,
            &["older", "--allow-downgrade"],
        );
        coracle.ok(&["reattach", &old, "--now", "--allow-downgrade"]);
        assert_eq!(list(coracle, &[])[0]["version"], "1");
        // Where nothing runs, --now starts.
        coracle.ok(&["stop", "boat", "boat-idle.service"]);
        coracle.ok(&["reattach", "boat", "--now"]);
        assert_eq!(active(coracle, "boat.service"), "active");
        coracle.ok(&["purge", "boat"]);
    });
}

#[test]
fn only_the_units_that_are_named_are_attached_and_others_are_refused_in_words() {
    with_workshop(|coracle, workshop| {
        let units = [
            ("boat.service", BOAT),
            ("boat-oar.service", BOAT),
            ("boat-oar.socket", "[Socket]\nListenStream=%t/boat/oar\n"),
            ("boat-sail@.service", BOAT),
        ];
        let image = workshop.image("boat", "1", By::Trusted, &units);
        let there = |unit: &str| coracle.property(unit, "LoadState") == "loaded";
        coracle.ok(&["attach", &image, "boat-oar"]);
        assert!(there("boat-oar.service") && there("boat-oar.socket"));
        assert!(!there("boat.service"));
        coracle.ok(&["reattach", "boat"]);
        assert!(!there("boat.service"), "as before");
        coracle.ok(&["configure", "boat", "--env", "A=b"]);
        assert!(!there("boat.service"), "as before");
        coracle.ok(&["reattach", "boat", "boat.service", "boat-sail"]);
        assert!(there("boat.service") && there("boat-sail@1.service"));
        assert!(!there("boat-oar.service"));
        coracle.ok(&["attach", "boat"]);
        assert!(there("boat.service") && there("boat-oar.service"));
        says(
            coracle,
            &["attach", &image, "bo"],
            1,
            &["no unit of boat is called bo", "boat-oar.service", "Hint:"],
        );
        says(
            coracle,
            &["attach", &image, &image],
            1,
            &["is no unit's name", "one portable"],
        );
        says(
            coracle,
            &["attach", "nowhere"],
            1,
            &["no portable \"nowhere\"", "--portable-path", "Hint:"],
        );
        says(
            coracle,
            &["attach", "./nowhere.raw"],
            1,
            &["cannot read ./nowhere.raw", "Hint:"],
        );
        let foreign = workshop.image("ship", "1", By::Trusted, &[("ship.service", BOAT)]);
        says(
            coracle,
            &["attach", &foreign, "--profile", "lax"],
            1,
            &["no profile \"lax\"", "nonetwork"],
        );
        let shop = Shop::new();
        let files = [("usr/lib/systemd/system/other.service", BOAT)];
        let none = shop.tree("none", true, &files).display().to_string();
        refused(
            coracle,
            &[&none],
            &["no unit that is its own", "other.service", "boat"],
        );
    });
}

#[test]
fn an_image_says_by_its_prefixes_which_units_are_its_own_and_the_others_are_left_alone() {
    with_workshop(|coracle, workshop| {
        let release =
            |prefixes| format!("ID=boat\nVERSION_ID=1\nPORTABLE_PREFIXES=\"{prefixes}\"\n");
        let units = [
            ("boat.service", BOAT),
            ("boat-oar.service", BOAT),
            ("boat-sail@.service", BOAT),
            ("ship.service", BOAT),
        ];
        let furnished = |prefixes| {
            let programs = |root: &Path| {
                fs::create_dir_all(root.join("usr/bin")).expect("a folder");
                for program in ["dash", "sleep"] {
                    let from = Path::new("/usr/bin").join(program);
                    fs::copy(from, root.join("usr/bin").join(program)).expect("a program");
                }
            };
            workshop.tree(&release(prefixes), By::Trusted, &units, programs)
        };
        let image = furnished("boat-oar boat-sail");
        coracle.ok(&["attach", &image]);
        for (unit, state) in [
            ("boat-oar.service", "loaded"),
            ("boat-sail@1.service", "loaded"),
            ("boat.service", "not-found"),
            ("ship.service", "not-found"),
        ] {
            assert_eq!(coracle.property(unit, "LoadState"), state, "{unit}");
        }
        says(
            coracle,
            &["inspect", "boat"],
            0,
            &["Prefixes: boat-oar boat-sail", "Left alone: boat.service"],
        );
        // A prefix that is not below the portable's name gives it units that look like somebody else's: that is the administrator's to say.
        let foreign = furnished("boat ship");
        says(
            coracle,
            &["reattach", &foreign],
            1,
            &[
                "have a unit that is called ship.service",
                "--grant='name:ship.service'",
            ],
        );
        coracle.ok(&["reattach", &foreign, "--grant=name:ship.service"]);
        for (unit, state) in [("ship.service", "loaded"), ("boat-oar.service", "loaded")] {
            assert_eq!(coracle.property(unit, "LoadState"), state, "{unit}");
        }
        coracle.ok(&["detach", "boat"]);
        assert_eq!(coracle.property("ship.service", "LoadState"), "not-found");
    });
}

/// What a unit of a profile's sees of itself.
const LOOK: &str = "[Service]\nType=oneshot\nExecStart=/usr/bin/dash -c '\
while read key value rest; do case $key in CapBnd:|NoNewPrivs:|Seccomp:) echo \"$key $value\";; esac; done </proc/self/status; \
while read name rest; do case $name in *:) echo \"link $name\";; esac; done </proc/net/dev; echo run /run/*; echo over'\n";

#[test]
fn a_profile_decides_what_a_portable_may_and_is_kept_and_shown() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", LOOK)]);
        let look = |profile: &str| {
            coracle.ok(&["attach", &image, "--profile", profile]);
            let before = coracle.ok(&["logs", "boat.service"]).len();
            coracle.ok(&["start", "boat.service"]);
            waiting::eventually("what it saw", || {
                let said = coracle.ok(&["logs", "boat.service"]).split_off(before);
                said.contains("over").then_some(said)
            })
        };
        let has_network = |text: &str| text.matches("link ").count() > 1;
        let host_links = fs::read_to_string("/proc/net/dev")
            .expect("the host's")
            .matches(':')
            .count();
        let ours = look("default");
        assert!(
            !has_network(&ours) && ours.contains("CapBnd: 0000000000000000"),
            "{ours}"
        );
        let strict = look("strict");
        assert!(
            !has_network(&strict) && strict.contains("CapBnd: 0000000000000000"),
            "{strict}"
        );
        assert_eq!(coracle.property("boat.service", "TasksMax"), "4");
        let nonetwork = look("nonetwork");
        assert!(
            !has_network(&nonetwork) && !nonetwork.contains("CapBnd: 0000000000000000"),
            "{nonetwork}"
        );
        let classic = look("classic");
        assert_eq!(has_network(&classic), host_links > 1, "{classic}");
        assert!(!classic.contains("run /run/coracle"), "{classic}");
        let trusted = look("trusted");
        assert_eq!(has_network(&trusted), host_links > 1, "{trusted}");
        assert!(trusted.contains("Seccomp: 0"), "{trusted}");
        // Kept over versions, and shown.
        assert_eq!(list(coracle, &[])[0]["profile"], "trusted");
        says(coracle, &["status", "boat"], 3, &["Profile: trusted"]);
        let newer = workshop.image("boat", "2", By::Trusted, &[("boat.service", LOOK)]);
        coracle.ok(&["reattach", &newer]);
        assert_eq!(list(coracle, &[])[0]["profile"], "trusted");
        coracle.ok(&["attach", &newer, "--profile", "default"]);
        assert_eq!(list(coracle, &[])[0]["profile"], "");
    });
}

#[test]
fn what_a_profile_allows_is_not_granted_for_longer_than_it() {
    with_workshop(|coracle, workshop| {
        let image = workshop.image("boat", "1", By::Trusted, &[("boat.service", ASKS)]);
        says(coracle, &["attach", &image], 1, &["--grant='network'"]);
        coracle.ok(&["attach", &image, "--profile", "classic"]);
        assert_eq!(
            list(coracle, &[])[0]["grants"].as_array().map(Vec::len),
            Some(0)
        );
        says(
            coracle,
            &["attach", &image, "--profile", "default"],
            1,
            &["--grant='network'"],
        );
        assert_eq!(list(coracle, &[])[0]["profile"], "classic");
    });
}

/// A place in which images are offered, of this test alone.
fn place(coracle: &Instance) -> PathBuf {
    let place = coracle.folder().join("offered");
    fs::create_dir_all(&place).expect("a folder");
    place
}

fn offer(workshop: &Workshop<'_>, place: &Path, name: &str, version: &str, file: &str) {
    let unit = format!("{name}.service");
    let image = workshop.image(name, version, By::Trusted, &[(&unit, BOAT)]);
    let to = place.join(file);
    fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
    fs::copy(image, to).expect("a copy");
}

#[test]
fn an_image_that_is_dropped_into_a_place_is_offered_at_once_and_found_by_its_name() {
    with_workshop(|coracle, workshop| {
        let place = place(coracle);
        let path = place.display().to_string();
        let here = ["--portable-path", path.as_str()];
        let run = |words: &[&str]| coracle.ok(&[&here[..], words].concat());
        assert_eq!(list(coracle, &here), serde_json::json!([]));
        offer(workshop, &place, "boat", "1", "boat_1.raw");
        offer(workshop, &place, "raft", "1", "raft.psi");
        offer(workshop, &place, "ship", "1", "ship.v/ship_1.raw");
        offer(workshop, &place, "ship", "3", "ship.v/ship_3.raw");
        let listed = list(coracle, &here);
        let seen: Vec<String> = listed
            .as_array()
            .expect("a list")
            .iter()
            .map(|line| format!("{} {} {}", line["name"], line["version"], line["state"]))
            .collect();
        assert_eq!(
            seen,
            [
                r#""boat" "1" "available""#,
                r#""raft" "" "available""#,
                r#""ship" "3" "available""#
            ]
        );
        assert_eq!(
            list(coracle, &[]),
            serde_json::json!([]),
            "other instances have places of their own"
        );
        let done = says(
            coracle,
            &[&here[..], &["is-attached", "boat"]].concat(),
            1,
            &[],
        );
        assert_eq!(done.stdout, "detached\n");
        run(&["inspect", "boat"]);
        run(&["start", "boat"]);
        run(&["attach", "raft"]);
        run(&["attach", "ship", "--enable"]);
        assert_eq!(active(coracle, "boat.service"), "active");
        let listed = list(coracle, &here);
        assert!(
            listed
                .as_array()
                .expect("a list")
                .iter()
                .all(|line| line["state"] != "available"),
            "{listed}"
        );
        assert_eq!(listed[2]["version"], "3");
        // A newer one is offered beside what is here, and reattach by name takes it.
        offer(workshop, &place, "boat", "10", "boat_10.raw");
        offer(workshop, &place, "boat", "9", "boat_9.raw");
        let listed = coracle.ok(&[&here[..], &["list"]].concat());
        assert!(listed.contains("available"), "{listed}");
        run(&["reattach", "boat", "--now"]);
        assert_eq!(list(coracle, &[])[0]["version"], "10");
        assert_eq!(active(coracle, "boat.service"), "active");
        run(&["reattach", "ship"]);
        // At boot nothing of the place is needed.
        fs::remove_dir_all(&place).expect("the place is removed");
        reboot(coracle);
        coracle.ok(&["start", "--enabled"]);
        assert_eq!(active(coracle, "ship.service"), "active");
        assert_eq!(active(coracle, "boat.service"), "active");
    });
}

#[test]
fn inspect_shows_a_portable_by_its_name_and_prints_its_files() {
    with_workshop(|coracle, workshop| {
        let units = [
            ("boat.service", BOAT),
            ("boat-oar.timer", "[Timer]\nOnBootSec=1d\n"),
            ("boat-oar.service", BOAT),
        ];
        let image = workshop.image("boat", "1", By::Trusted, &units);
        coracle.ok(&["attach", &image]);
        for what in ["boat", &image] {
            says(
                coracle,
                &["inspect", what],
                0,
                &["boat 1", "boat-oar.timer", "Prefixes: boat", "is a claim"],
            );
            let text = says(
                coracle,
                &["inspect", what, "--cat"],
                0,
                &[
                    "# os-release",
                    "# boat.service",
                    "ExecStart=/usr/bin/dash",
                    "OnBootSec=1d",
                ],
            );
            assert!(text.stdout.contains("boat-oar.service"));
            let text = says(
                coracle,
                &["inspect", what, "boat-oar", "--cat"],
                0,
                &["OnBootSec=1d"],
            );
            assert!(!text.stdout.contains("# boat.service"), "{text:#?}");
            says(
                coracle,
                &["inspect", what, "oar"],
                1,
                &["no unit in it is called oar"],
            );
            let json = says(coracle, &["inspect", what, "--cat", "--json"], 0, &[]).stdout;
            let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            assert_eq!(json["units"].as_array().map(Vec::len), Some(3));
        }
        says(
            coracle,
            &["inspect", "nowhere"],
            1,
            &["no portable \"nowhere\"", "Hint:"],
        );
    });
}
