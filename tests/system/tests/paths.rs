//! Path units find what they wait for at any depth, through links, moves and mounts, and over the death of their manager.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

use coracle_system_tests::{manager, waiting, with_units};
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::{Pid, Signal};
use testkit::Instance;

/// A service that stays up, so that its start is seen.
const STAYS: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

/// A path unit with one line, of a service that stays.
fn watch(coracle: &Instance, name: &str, line: &str) {
    coracle.unit(&format!("{name}.path"), &format!("[Path]\n{line}\n"));
    coracle.unit(&format!("{name}.service"), STAYS);
}

fn room(coracle: &Instance) -> PathBuf {
    let room = coracle.folder().join("room");
    fs::create_dir(&room).expect("a folder");
    room
}

/// Waits until the unit was started.
#[track_caller]
fn came(coracle: &Instance, name: &str) {
    let unit = format!("{name}.service");
    waiting::eventually(&format!("{unit} by its path"), || {
        (coracle.property(&unit, "ActiveState") == "active").then_some(())
    });
}

/// The unit was not started. What is asked for comes after what the kernel had told before.
#[track_caller]
fn came_not(coracle: &Instance, name: &str) {
    let state = |unit: &str| coracle.property(&format!("{name}.{unit}"), "SubState");
    assert_eq!(
        (state("path").as_str(), state("service").as_str()),
        ("waiting", "dead")
    );
}

/// A process that goes no further.
fn halt(pid: Pid) -> Pid {
    rustix::process::kill_process(pid, Signal::STOP).expect("it takes a signal");
    waiting::eventually("its halt", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid()));
        stat.expect("it is there").contains(") T ").then_some(pid)
    })
}

/// A folder that is seen at another place, until this goes.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn new(source: &Path, place: &'a Path) -> Self {
        mount_bind(source, place).expect("a mount");
        Self(place)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        unmount(self.0, UnmountFlags::DETACH).expect("it goes");
    }
}

fn write(path: &Path) {
    fs::write(path, "x").expect("a file");
}

#[test]
fn what_is_not_there_yet_is_found_at_any_depth_whatever_happens_on_the_way() {
    with_units(&[], |coracle| {
        let room = room(coracle);
        let at = |path: &str| room.join(path);
        let shown = room.display();
        watch(coracle, "deep", &format!("PathExists={shown}/a/b/c/d"));
        watch(coracle, "moved", &format!("PathExists={shown}/m/b/c"));
        watch(coracle, "linked", &format!("PathExists={shown}/l/x/y"));
        watch(coracle, "late", &format!("PathExists={shown}/dangling"));
        watch(coracle, "turned", &format!("PathExists={shown}/t/file"));
        fs::create_dir_all(at("other/b")).expect("folders");
        write(&at("other/b/c"));
        symlink("nowhere/deeper", at("dangling")).expect("a link");
        fs::create_dir_all(at("one")).expect("folders");
        fs::create_dir_all(at("two")).expect("folders");
        write(&at("two/file"));
        symlink("one", at("t")).expect("a link");
        let all = [
            "deep.path",
            "moved.path",
            "linked.path",
            "late.path",
            "turned.path",
        ];
        coracle.ok(&[&["start"][..], &all].concat());
        for name in ["deep", "moved", "linked", "late", "turned"] {
            came_not(coracle, name);
        }
        // A way that goes, and comes again.
        fs::create_dir_all(at("a/b")).expect("folders");
        fs::remove_dir_all(at("a")).expect("they go");
        fs::create_dir_all(at("a/b/c")).expect("folders");
        came_not(coracle, "deep");
        fs::create_dir(at("a/b/c/d")).expect("a folder");
        came(coracle, "deep");
        fs::rename(at("other"), at("m")).expect("a move");
        came(coracle, "moved");
        fs::create_dir_all(at("target/x")).expect("folders");
        symlink(at("target"), at("l")).expect("a link");
        came_not(coracle, "linked");
        write(&at("target/x/y"));
        came(coracle, "linked");
        fs::create_dir_all(at("nowhere")).expect("folders");
        write(&at("nowhere/deeper"));
        came(coracle, "late");
        // A link that is replaced by another one.
        symlink("two", at("t.new")).expect("a link");
        fs::rename(at("t.new"), at("t")).expect("a move");
        came(coracle, "turned");
        let listed = coracle.ok(&["list-paths", "--json"]);
        let rows: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        let row = &rows[0];
        assert_eq!(row["path"], format!("{shown}/a/b/c/d"), "{listed}");
        assert_eq!(row["condition"], "PathExists");
        assert_eq!(row["unit"], "deep.path");
        assert_eq!(row["activates"][0], "deep.service");
        let status = coracle.coracle(&["status", "deep.path"]);
        let watched = format!("{shown}/a/b/c/d (PathExists=)");
        assert!(status.stdout.contains(&watched), "{status:?}");
        let started = coracle.coracle(&["status", "deep.service"]).stdout;
        assert!(started.contains("what deep.path waits for at"), "{started}");
    });
}

#[test]
fn what_lasts_starts_the_unit_again_and_what_changed_while_it_ran_does_not() {
    with_units(&[], |coracle| {
        let room = room(coracle);
        let shown = room.display();
        write(&room.join("there"));
        write(&room.join("file"));
        watch(coracle, "lasts", &format!("PathExists={shown}/there"));
        watch(coracle, "file", &format!("PathChanged={shown}/file"));
        coracle.ok(&["start", "lasts.path", "file.path"]);
        came(coracle, "lasts");
        let began = || coracle.property("lasts.service", "InvocationID");
        let first = began();
        coracle.ok(&["stop", "lasts.service"]);
        waiting::eventually("another run", || {
            let now = began();
            (now != first && !now.is_empty()).then_some(())
        });
        coracle.ok(&["stop", "lasts.path", "lasts.service"]);
        came_not(coracle, "file");
        // Replaced, as editors do it.
        write(&room.join("new"));
        fs::rename(room.join("new"), room.join("file")).expect("a move");
        came(coracle, "file");
        write(&room.join("file"));
        coracle.ok(&["stop", "file.service"]);
        waiting::eventually("its watch", || {
            (coracle.property("file.path", "SubState") == "waiting").then_some(())
        });
        came_not(coracle, "file");
        fs::remove_file(room.join("file")).expect("it goes");
        came(coracle, "file");
    });
}

#[test]
fn patterns_are_found_in_directories_that_come_and_braces_and_dots_are_as_in_the_shell() {
    with_units(&[], |coracle| {
        let room = room(coracle);
        let shown = room.display();
        watch(
            coracle,
            "drop",
            &format!("PathExistsGlob={shown}/*/in/{{ready,done}}-[0-9]"),
        );
        coracle.ok(&["start", "drop.path"]);
        for way in [".hidden/in", "one/in", "two/in"] {
            fs::create_dir_all(room.join(way)).expect("folders");
        }
        write(&room.join(".hidden/in/ready-1"));
        write(&room.join("one/in/ready-x"));
        came_not(coracle, "drop");
        write(&room.join("two/in/done-7"));
        came(coracle, "drop");
        let pid = coracle.property("drop.service", "MainPID");
        let found = format!("TRIGGER_PATH={shown}/two/in/done-7");
        // It is up before its program is executed.
        waiting::eventually("its variables", || {
            let environment = fs::read_to_string(format!("/proc/{pid}/environ")).ok()?;
            let has = |line: &str| environment.split('\0').any(|one| one == line);
            (has("TRIGGER_UNIT=drop.path") && has(&found)).then_some(())
        });
    });
}

#[test]
fn a_start_by_a_timer_is_told_when_that_was() {
    let prints = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'env | grep ^TRIGGER_'\n";
    let units = [
        ("beat.timer", "[Timer]\nOnActiveSec=1us\nAccuracySec=1us\n"),
        ("beat.service", prints),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "beat.timer"]);
        let lines = waiting::lines(coracle, "beat", |lines| {
            lines
                .iter()
                .any(|line| line.starts_with("TRIGGER_TIMER_MONOTONIC_USEC="))
        });
        let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
        assert!(has("TRIGGER_UNIT=beat.timer"), "{lines:?}");
        assert!(has("TRIGGER_TIMER_REALTIME_USEC=1"), "{lines:?}");
        // By hand, nothing is said.
        coracle.ok(&["stop", "beat.timer"]);
        coracle.unit(
            "hand.service",
            "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'env | grep ^TRIGGER_ || echo none'\n",
        );
        coracle.ok(&["start", "hand"]);
        waiting::lines(coracle, "hand", |lines| {
            lines.iter().any(|line| line == "none")
        });
    });
}

#[test]
fn nothing_is_missed_and_nothing_comes_twice_when_the_manager_dies() {
    with_units(&[], |coracle| {
        let room = room(coracle);
        let shown = room.display();
        fs::create_dir(room.join("spool")).expect("a folder");
        write(&room.join("spool/open"));
        write(&room.join("file"));
        write(&room.join("quiet"));
        watch(coracle, "new", &format!("PathExists={shown}/a/b"));
        watch(coracle, "spool", &format!("PathChanged={shown}/spool"));
        watch(coracle, "file", &format!("PathModified={shown}/file"));
        watch(coracle, "quiet", &format!("PathChanged={shown}/quiet"));
        coracle.ok(&["start", "new.path", "spool.path", "file.path", "quiet.path"]);
        // Nothing happens: nothing is started.
        manager::kill(coracle.process("ManagerPID"));
        for name in ["new", "spool", "file", "quiet"] {
            came_not(coracle, name);
        }
        // It reads nothing any more, and dies.
        let halted = halt(coracle.process("ManagerPID"));
        fs::create_dir(room.join("a")).expect("a folder");
        write(&room.join("a/b"));
        // The directory itself is as it was: only who listens knows.
        write(&room.join("spool/open"));
        // Another file under the name.
        write(&room.join("other"));
        fs::rename(room.join("other"), room.join("file")).expect("a move");
        manager::kill(halted);
        for name in ["new", "spool", "file"] {
            came(coracle, name);
        }
        came_not(coracle, "quiet");
        manager::kill(coracle.process("ManagerPID"));
        let runs = |name: &str| coracle.property(&format!("{name}.service"), "InvocationID");
        let before = ["new", "spool", "file"].map(runs);
        for name in ["new", "spool", "file"] {
            assert_eq!(
                coracle.property(&format!("{name}.path"), "SubState"),
                "running"
            );
        }
        assert_eq!(["new", "spool", "file"].map(runs), before);
        came_not(coracle, "quiet");
        write(&room.join("quiet"));
        came(coracle, "quiet");
    });
}

#[test]
fn a_link_of_a_service_is_followed_for_the_administrator_and_makes_no_directory() {
    with_units(&[], |coracle| {
        let room = room(coracle);
        let own = room.join("own");
        fs::create_dir(&own).expect("a folder");
        fs::create_dir(room.join("precious")).expect("a folder");
        // Who may change the directory may have left the link.
        let anybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(&own, anybody).expect("permissions");
        symlink(room.join("precious"), own.join("trap")).expect("a link");
        let path = own.join("trap/spool");
        watch(
            coracle,
            "trap",
            &format!("DirectoryNotEmpty={}\nMakeDirectory=yes", path.display()),
        );
        coracle.ok(&["start", "trap.path"]);
        assert!(!room.join("precious/spool").exists());
        waiting::lines(coracle, "trap.path", |lines| {
            lines
                .iter()
                .any(|line| line.contains("can't be made (MakeDirectory=)"))
        });
        fs::create_dir(room.join("precious/spool")).expect("a folder");
        write(&room.join("precious/spool/letter"));
        came(coracle, "trap");
    });
}

#[test]
fn what_is_mounted_over_the_way_is_seen() {
    with_units(&[], |coracle| {
        let room = room(coracle);
        let (place, other) = (room.join("place"), room.join("other"));
        fs::create_dir(&place).expect("a folder");
        fs::create_dir(&other).expect("a folder");
        write(&other.join("file"));
        watch(
            coracle,
            "mounted",
            &format!("PathExists={}/file", place.display()),
        );
        coracle.ok(&["start", "mounted.path"]);
        came_not(coracle, "mounted");
        let mounted = Mounted::new(&other, &place);
        came(coracle, "mounted");
        drop(mounted);
    });
}

#[test]
fn what_can_not_be_watched_fails_and_says_why() {
    with_units(
        &[("lost.path", "[Path]\nPathExists=/nowhere\n")],
        |coracle| {
            let failed = coracle.coracle(&["start", "lost.path"]);
            assert_eq!(failed.status, 1, "{failed:?}");
            let named = "its unit lost.service is not loaded";
            assert!(failed.stderr.contains(named), "{failed:?}");
            let room = room(coracle);
            for number in 0..1100 {
                fs::create_dir(room.join(number.to_string())).expect("a folder");
            }
            let line = format!("PathExistsGlob={}/*/x", room.display());
            watch(coracle, "many", &line);
            let failed = coracle.coracle(&["start", "many.path"]);
            assert_eq!(failed.status, 1, "{failed:?}");
            let named = "more than 1024 files and directories would have to be watched";
            assert!(failed.stderr.contains(named), "{failed:?}");
            assert_eq!(coracle.property("many.path", "Result"), "resources");
        },
    );
}

#[test]
fn a_unit_that_leaves_what_starts_it_is_not_started_without_end() {
    let spins = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
    let units = [
        ("spin.path", "[Path]\nPathExists=/\n"),
        ("spin.service", spins),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "spin.path"]);
        waiting::eventually("the limit", || {
            (coracle.property("spin.path", "Result") == "unit-start-limit-hit").then_some(())
        });
    });
}

/// How often a process gave up its processor by itself, as it waited for something.
fn waits(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid()));
    let status = status.expect("it is there");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok())
        .expect("a count")
}

#[test]
fn what_changes_all_the_time_does_not_keep_the_manager_busy() {
    const CHANGES: usize = 20_000;
    /// What the manager does of one path unit: fifty times a second, and it waits for a thread, and for the keeper, too.
    const PAUSE_MS: u128 = 20;
    const WAITS_EACH: u128 = 10;
    with_units(&[], |coracle| {
        let room = room(coracle);
        let shown = room.display();
        watch(coracle, "busy", &format!("PathExistsGlob={shown}/*/there"));
        coracle.ok(&["start", "busy.path"]);
        came_not(coracle, "busy");
        let manager = coracle.process("ManagerPID");
        let (before, begin) = (waits(manager), Instant::now());
        for number in 0..CHANGES {
            let folder = room.join(format!("d{}", number % 100));
            fs::create_dir(&folder).expect("a folder");
            fs::remove_dir(&folder).expect("it goes");
        }
        let took = begin.elapsed().as_millis();
        let waited = u128::from(waits(manager) - before);
        let most = (took / PAUSE_MS + 1) * WAITS_EACH;
        assert!(
            waited <= most,
            "{waited} rounds in {took} ms, where {most} are enough for {CHANGES} changes"
        );
        came_not(coracle, "busy");
        // And still it is seen what is waited for.
        fs::create_dir(room.join("d")).expect("a folder");
        write(&room.join("d/there"));
        came(coracle, "busy");
    });
}
