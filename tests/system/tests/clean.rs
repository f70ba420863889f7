//! `coracle clean`: what units that are down have left is removed, theirs alone, and by somebody whom nobody waits for.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::{Path, PathBuf};

use coracle_system_tests::waiting::eventually;
use coracle_system_tests::{manager, with_units};
use testkit::Instance;

/// A name that no other test and no package has.
const NAME: &str = "coracle-test-clean";
/// A user who exists everywhere, by number.
const STRANGER: u32 = 65_534;
/// Where services keep things, in the order of the kinds' words.
const BASES: [(&str, &str); 5] = [
    ("configuration", "/etc"),
    ("state", "/var/lib"),
    ("cache", "/var/cache"),
    ("logs", "/var/log"),
    ("runtime", "/run"),
];

/// What a test makes on the host; gone when the value is dropped, and before it is made.
struct Ground(String);

impl Ground {
    fn new(suffix: &str) -> Ground {
        let ground = Ground(format!("{NAME}-{suffix}"));
        ground.clear();
        ground
    }

    fn clear(&self) {
        for (_, base) in BASES {
            for name in [
                format!("{base}/{}", self.0),
                format!("{base}/private/{}", self.0),
            ] {
                match fs::remove_dir_all(&name).or_else(|_| fs::remove_file(&name)) {
                    Ok(()) | Err(_) => {}
                }
            }
        }
    }

    fn path(&self, base: &str) -> PathBuf {
        Path::new(base).join(&self.0)
    }

    /// The words of the kinds whose directories are there.
    fn there(&self) -> Vec<&'static str> {
        let is_there = |(_, base): &&(&str, &str)| {
            let private = Path::new(base).join("private").join(&self.0);
            self.path(base).symlink_metadata().is_ok() || private.exists()
        };
        BASES
            .iter()
            .filter(is_there)
            .map(|(word, _)| *word)
            .collect()
    }

    /// A oneshot with all the directories, and what it writes into the one of its state.
    fn unit(&self, more: &str) -> String {
        let name = &self.0;
        format!(
            "[Service]\nType=oneshot\nRuntimeDirectoryPreserve=yes\nConfigurationDirectory={name}\nStateDirectory={name}\nCacheDirectory={name}\nLogsDirectory={name}\nRuntimeDirectory={name}\n{more}\nExecStart=/bin/sh -c 'mkdir -p $STATE_DIRECTORY/deep/er; echo kept > $STATE_DIRECTORY/deep/er/file'\n"
        )
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.clear();
    }
}

fn refused(coracle: &Instance, words: &[&str], phrase: &str) {
    let done = coracle.coracle(words);
    assert_eq!(done.status, 1, "{words:?}: {done:#?}");
    done.refused(&[phrase]);
}

fn cleans_what_is_asked_for(suffix: &str, more: &str) {
    let ground = Ground::new(suffix);
    with_units(&[("web.service", &ground.unit(more))], |coracle| {
        let all = ["configuration", "state", "cache", "logs", "runtime"];
        coracle.ok(&["start", "web.service"]);
        assert_eq!(ground.there(), all);
        coracle.ok(&["clean", "web.service"]);
        assert_eq!(ground.there(), ["configuration", "state", "logs"]);
        coracle.ok(&["clean", "--what=logs,configuration", "web"]);
        assert_eq!(ground.there(), ["state"]);
        coracle.ok(&["start", "web.service"]);
        assert_eq!(ground.there(), all);
        coracle.ok(&["clean", "--what=all", "web.service"]);
        assert!(ground.there().is_empty(), "{:?}", ground.there());
        // What is gone is fine.
        coracle.ok(&["clean", "--what=all", "web.service"]);
        assert_eq!(coracle.property("web.service", "ActiveState"), "inactive");
        eventually("a word for each", || {
            let said = coracle.ok(&["logs", "web.service", "--cat"]);
            (said.matches("web.service: cleaned").count() == 4).then_some(())
        });
        let said = coracle.ok(&["logs", "web.service", "--cat"]);
        assert!(!said.contains("stopped"), "{said}");
    });
}

#[test]
fn what_a_service_left_is_removed_by_its_kinds() {
    cleans_what_is_asked_for("plain", "");
}

#[test]
fn what_a_dynamic_user_left_is_removed_with_the_names_that_lead_there() {
    cleans_what_is_asked_for("dynamic", "DynamicUser=yes");
}

#[test]
fn what_is_up_or_keeps_nothing_is_not_cleaned() {
    let ground = Ground::new("busy");
    let sleeps = format!(
        "[Service]\nType=exec\nCacheDirectory={}\nExecStart=/bin/sleep infinity\n",
        ground.0
    );
    let units = [
        ("web.service", sleeps.as_str()),
        ("bare.service", "[Service]\nExecStart=/bin/true\n"),
        ("some.target", ""),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "web.service"]);
        refused(coracle, &["clean", "web.service"], "coracle stop");
        assert_eq!(ground.there(), ["cache"]);
        refused(
            coracle,
            &["clean", "bare.service"],
            "it keeps nothing of these kinds: cache, runtime",
        );
        refused(
            coracle,
            &["clean", "some.target"],
            "units of its kind keep nothing",
        );
        refused(
            coracle,
            &["clean", "--what=memory", "web.service"],
            "memory",
        );
        coracle.ok(&["stop", "web.service"]);
        coracle.ok(&["clean", "web.service"]);
        assert!(ground.there().is_empty());
    });
}

#[test]
fn links_and_mounts_that_a_service_left_lead_nowhere() {
    let (ground, host) = (
        Ground::new("trap"),
        tempfile::tempdir_in("/var").expect("a directory"),
    );
    fs::write(host.path().join("precious"), "").expect("a file");
    let below = format!("{}/below", ground.0);
    let unit = format!(
        "[Service]\nType=oneshot\nStateDirectory={} {below}\nExecStart=/bin/true\n",
        ground.0
    );
    with_units(&[("web.service", &unit)], |coracle| {
        coracle.ok(&["start", "web.service"]);
        let state = ground.path("/var/lib");
        chown(&state, Some(STRANGER), Some(STRANGER)).expect("root may");
        fs::remove_dir(state.join("below")).expect("it was made");
        symlink(host.path(), state.join("below")).expect("a link");
        symlink("/etc", state.join("link")).expect("a link");
        coracle.ok(&["clean", "--what=state", "web.service"]);
        assert!(ground.there().is_empty());
        assert!(host.path().join("precious").exists() && Path::new("/etc/passwd").exists());
    });
}

#[test]
fn a_removal_takes_its_time_and_a_start_and_the_next_manager_wait_for_it() {
    let ground = Ground::new("slow");
    let unit = format!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nCacheDirectory={}\nExecStart=/bin/true\n",
        ground.0
    );
    with_units(&[("web.service", &unit)], |coracle| {
        coracle.ok(&["start", "web.service"]);
        coracle.ok(&["stop", "web.service"]);
        // It takes a while, and much longer than a kill.
        let cache = ground.path("/var/cache");
        for number in 0..50_000 {
            fs::write(cache.join(format!("file-{number}")), "").expect("a file");
        }
        let mut clean = coracle
            .command(&["clean", "web.service"])
            .spawn()
            .expect("a process");
        eventually("the unit is being cleaned", || {
            (coracle.property("web.service", "SubState") == "cleaning").then_some(())
        });
        assert_eq!(
            coracle.property("web.service", "ActiveState"),
            "maintenance"
        );
        // The loop goes on meanwhile, and so does the removal with the next manager.
        let keeper = coracle.process("KeeperPID");
        manager::kill(manager::of(keeper));
        coracle.ok(&["start", "web.service"]);
        assert_eq!(coracle.property("web.service", "ActiveState"), "active");
        assert!(
            fs::read_dir(&cache)
                .expect("the start made it")
                .next()
                .is_none()
        );
        let status = clean.wait().expect("a status");
        assert!(status.success(), "{status}");
        coracle.ok(&["stop", "web.service"]);
        coracle.ok(&["clean", "web.service"]);
    });
}
