//! A reload reads again what changed, whatever changed, and nothing else; what runs goes on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use coracle_system_tests::{waiting, with_units};
use testkit::Instance;

/// Bytes of a unit file that is noticed when it is read.
const LARGE: usize = 64 << 10;

fn units(coracle: &Instance) -> PathBuf {
    coracle.folder().join("config/units")
}

/// A service whose description is `word`, and which runs until it is stopped.
fn service(word: &str) -> String {
    format!("[Unit]\nDescription={word}\n[Service]\nExecStart=/bin/sleep infinity\n")
}

/// The same, large.
fn large(word: &str) -> String {
    format!("{}# {}\n", service(word), "x".repeat(LARGE))
}

/// Bytes that the manager has read by read(2) and its kin (proc_pid_io(5)).
fn bytes_read(coracle: &Instance) -> usize {
    let manager = coracle.process("ManagerPID").as_raw_nonzero();
    let text = fs::read_to_string(format!("/proc/{manager}/io")).expect("the manager's bytes");
    let field = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    field.expect("rchar").parse().expect("a number of bytes")
}

/// Reloads, and tells how much was read for it.
fn read_by_reload(coracle: &Instance) -> usize {
    let before = bytes_read(coracle);
    coracle.ok(&["daemon-reload"]);
    bytes_read(coracle) - before
}

/// Reloads until the files are old enough to be told from later ones, so that they are not read any more.
fn settle(coracle: &Instance) {
    waiting::eventually("a reload that reads no unit", || {
        (read_by_reload(coracle) < LARGE).then_some(())
    });
}

fn description(coracle: &Instance, unit: &str) -> String {
    coracle.property(unit, "Description")
}

#[test]
fn a_reload_reads_what_changed_and_nothing_else() {
    let names: Vec<String> = (0..20).map(|number| format!("u{number}.service")).collect();
    let texts: Vec<(&str, String)> = names
        .iter()
        .map(|name| (name.as_str(), large("old")))
        .collect();
    let texts: Vec<(&str, &str)> = texts
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    with_units(&texts, |coracle| {
        for name in &names {
            assert_eq!(description(coracle, name), "old");
        }
        settle(coracle);
        coracle.unit("u7.service", &large("new"));
        let read = read_by_reload(coracle);
        assert!((LARGE..3 * LARGE).contains(&read), "{read} bytes");
        assert_eq!(description(coracle, "u7.service"), "new");
        assert_eq!(description(coracle, "u8.service"), "old");
    });
}

#[test]
fn a_changed_file_is_seen_at_the_next_reload_and_what_runs_goes_on() {
    let file = large("old");
    with_units(&[("a.service", &file), ("b.service", &file)], |coracle| {
        coracle.ok(&["start", "a", "b"]);
        let pid = coracle.property("a.service", "MainPID");
        settle(coracle);
        // In place, many times within one tick of the clock.
        for round in 0..20 {
            let word = format!("n{round:02}");
            coracle.unit("a.service", &large(&word));
            coracle.ok(&["daemon-reload"]);
            assert_eq!(description(coracle, "a.service"), word);
        }
        // Another file of the same size and time under the name.
        settle(coracle);
        let at = units(coracle).join("a.service");
        let time = fs::metadata(&at).and_then(|found| found.modified());
        let time = time.expect("the file's time");
        let new = coracle.folder().join("new");
        fs::write(&new, large("new")).expect("a file");
        let file = fs::File::options().write(true).open(&new).expect("a file");
        file.set_modified(time).expect("its time");
        fs::rename(&new, &at).expect("a file in its place");
        coracle.ok(&["daemon-reload"]);
        assert_eq!(description(coracle, "a.service"), "new");
        assert_eq!(coracle.property("a.service", "MainPID"), pid);
        assert_eq!(description(coracle, "b.service"), "old");
    });
}

#[test]
fn drop_ins_that_come_change_and_go_are_seen() {
    let file = large("old");
    with_units(
        &[("t@.service", &file), ("a-b.service", &file)],
        |coracle| {
            let write = |path: &str, word: &str| {
                let path = units(coracle).join(path);
                fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
                let text = format!("[Unit]\nDescription={word}\n");
                fs::write(path, text).expect("a drop-in");
            };
            let all = || {
                coracle.ok(&["daemon-reload"]);
                ["t@1.service", "t@2.service", "a-b.service"].map(|unit| description(coracle, unit))
            };
            coracle.ok(&["start", "t@1", "t@2"]);
            assert_eq!(all(), ["old", "old", "old"]);
            settle(coracle);
            write("a-.service.d/1.conf", "prefix");
            assert_eq!(all(), ["old", "old", "prefix"]);
            write("t@.service.d/1.conf", "template");
            write("t@2.service.d/2.conf", "instance");
            assert_eq!(all(), ["template", "instance", "prefix"]);
            settle(coracle);
            write("t@2.service.d/2.conf", "changed");
            assert_eq!(all(), ["template", "changed", "prefix"]);
            settle(coracle);
            fs::remove_file(units(coracle).join("t@2.service.d/2.conf")).expect("a drop-in");
            assert_eq!(all(), ["template", "template", "prefix"]);
            settle(coracle);
            symlink("/dev/null", units(coracle).join("t@2.service.d/1.conf")).expect("a mask");
            assert_eq!(all(), ["template", "old", "prefix"]);
            settle(coracle);
            fs::remove_dir_all(units(coracle).join("a-.service.d")).expect("a folder");
            assert_eq!(all(), ["template", "old", "old"]);
            settle(coracle);
            coracle.unit("t@.service", &large("new"));
            fs::remove_dir_all(units(coracle).join("t@.service.d")).expect("a folder");
            assert_eq!(all(), ["new", "new", "old"]);
        },
    );
}

#[test]
fn links_masks_and_what_is_wanted_are_seen() {
    let file = large("old");
    with_units(&[("a.service", &file), ("b.service", &file)], |coracle| {
        let outside = |name: &str| coracle.folder().join(name);
        fs::write(outside("1.service"), large("first")).expect("a file");
        fs::write(outside("2.service"), large("second")).expect("a file");
        let link = units(coracle).join("l.service");
        symlink(outside("1.service"), &link).expect("a link");
        assert_eq!(description(coracle, "l.service"), "first");
        assert_eq!(description(coracle, "a.service"), "old");
        settle(coracle);
        // What a link leads to, then where it leads.
        fs::write(outside("1.service"), large("third")).expect("a file");
        coracle.ok(&["daemon-reload"]);
        assert_eq!(description(coracle, "l.service"), "third");
        settle(coracle);
        fs::remove_file(&link).expect("a link");
        symlink(outside("2.service"), &link).expect("a link");
        coracle.ok(&["daemon-reload"]);
        assert_eq!(description(coracle, "l.service"), "second");
        settle(coracle);
        // A running unit is masked, and its file comes back.
        coracle.ok(&["start", "a"]);
        fs::remove_file(units(coracle).join("a.service")).expect("a file");
        symlink("/dev/null", units(coracle).join("a.service")).expect("a mask");
        coracle.ok(&["daemon-reload"]);
        assert_eq!(coracle.property("a.service", "LoadState"), "masked");
        assert_eq!(coracle.property("a.service", "ActiveState"), "active");
        settle(coracle);
        fs::remove_file(units(coracle).join("a.service")).expect("a mask");
        coracle.unit("a.service", &large("back"));
        coracle.ok(&["daemon-reload"]);
        assert_eq!(description(coracle, "a.service"), "back");
        // A link beside a unit says what that wants, too.
        settle(coracle);
        let wants = units(coracle).join("w.target.wants");
        coracle.unit("w.target", "[Unit]\nDescription=w\n");
        coracle.ok(&["start", "w.target"]);
        fs::create_dir(&wants).expect("a folder");
        settle(coracle);
        symlink("../b.service", wants.join("b.service")).expect("a link");
        coracle.ok(&["daemon-reload"]);
        coracle.ok(&["restart", "w.target"]);
        assert_eq!(coracle.property("b.service", "ActiveState"), "active");
    });
}

#[test]
fn an_alias_that_comes_later_is_what_others_mean() {
    let file = large("old");
    let user = format!(
        "[Unit]\nRequires=nick.service\nAfter=nick.service\n{}",
        service("user")
    );
    with_units(
        &[("a.service", &file), ("user.service", &user)],
        |coracle| {
            assert_eq!(description(coracle, "user.service"), "user");
            assert_ne!(coracle.coracle(&["start", "user"]).status, 0);
            settle(coracle);
            symlink("a.service", units(coracle).join("nick.service")).expect("a link");
            coracle.ok(&["daemon-reload"]);
            coracle.ok(&["start", "user"]);
            assert_eq!(coracle.property("a.service", "ActiveState"), "active");
        },
    );
}

#[test]
fn a_file_that_is_gone_is_forgotten_when_nothing_runs_of_it() {
    let file = large("old");
    with_units(&[("a.service", &file), ("b.service", &file)], |coracle| {
        coracle.ok(&["start", "a"]);
        assert_eq!(description(coracle, "b.service"), "old");
        settle(coracle);
        for name in ["a.service", "b.service"] {
            fs::remove_file(units(coracle).join(name)).expect("a file");
        }
        coracle.ok(&["daemon-reload"]);
        let listed = coracle.ok(&["list-units", "--all", "--json"]);
        assert!(listed.contains("\"a.service\""), "{listed}");
        assert!(!listed.contains("\"b.service\""), "{listed}");
        assert_eq!(coracle.property("a.service", "LoadState"), "not-found");
        // The same file under its name again.
        coracle.unit("a.service", &large("back"));
        coracle.ok(&["daemon-reload"]);
        assert_eq!(description(coracle, "a.service"), "back");
        assert_eq!(coracle.property("a.service", "ActiveState"), "active");
    });
}
