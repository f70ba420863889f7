//! Enabling, masking and presetting units: what starts at boot, what is said of it, and that no link leads out of another root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use coracle_system_tests::typed::check;
use coracle_system_tests::waiting::eventually;
use coracle_system_tests::with_units;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use testkit::Instance;

const WANTED: &str = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\nAlias=other.service\n";
const PLAIN: &str = "[Service]\nExecStart=/bin/sleep infinity\n";
const TEMPLATE: &str = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=own.target\n";

fn units(coracle: &Instance) -> PathBuf {
    coracle.folder().join("config/units")
}

fn is_active(coracle: &Instance, unit: &str) -> bool {
    coracle.coracle(&["is-active", unit]).status == 0
}

#[test]
fn what_is_enabled_starts_at_boot_and_what_is_disabled_does_not() {
    with_units(&[("a.service", WANTED), ("b.service", WANTED)], |coracle| {
        // With no manager that could tell of it.
        check(coracle, &["enable", "a"], 0, &["!linked", "!other.service"]);
        check(coracle, &["is-enabled", "a"], 0, &["enabled"]);
        assert!(!coracle.folder().join("run/api").exists());
        coracle.ok(&["start", "--enabled"]);
        eventually("the enabled service", || {
            is_active(coracle, "a").then_some(())
        });
        assert!(!is_active(coracle, "b"));
        // The manager knows at once.
        assert!(is_active(coracle, "other"));
        check(coracle, &["disable", "--now", "a"], 0, &["!removed"]);
        assert!(!is_active(coracle, "a"));
        assert!(!units(coracle).join("multi-user.target.wants").exists());
        assert!(!units(coracle).join("other.service").exists());
        coracle.ok(&["daemon-exit"]);
        coracle.ok(&["start", "--enabled"]);
        eventually("the boot", || {
            is_active(coracle, "default.target").then_some(())
        });
        assert!(!is_active(coracle, "a"));
    });
}

#[test]
fn what_is_changed_is_known_unless_nothing_is_to_be_read_again() {
    with_units(&[("a.service", WANTED), ("b.service", WANTED)], |coracle| {
        coracle.ok(&["list-units"]);
        let wants = || coracle.property("multi-user.target", "Wants");
        coracle.ok(&["enable", "--no-reload", "a"]);
        assert!(!wants().contains("a.service"));
        coracle.ok(&["enable", "--now", "--force", "b"]);
        assert!(is_active(coracle, "b"));
        assert!(wants().contains("a.service") && wants().contains("b.service"));
    });
}

#[test]
fn the_default_target_is_what_the_instance_comes_up_with() {
    let own = ("own.target", "[Unit]\nWants=a.service\n");
    with_units(&[own, ("a.service", PLAIN)], |coracle| {
        check(coracle, &["get-default"], 0, &["default.target"]);
        coracle.ok(&["set-default", "own"]);
        check(coracle, &["get-default"], 0, &["own.target"]);
        coracle.ok(&["start", "--enabled"]);
        eventually("what the default wants", || {
            is_active(coracle, "a").then_some(())
        });
        assert!(!is_active(coracle, "multi-user.target"));
        coracle.ok(&["daemon-exit"]);
        // A target that has no file.
        coracle.ok(&["set-default", "basic.target"]);
        check(coracle, &["get-default"], 0, &["basic.target"]);
        coracle.ok(&["start", "--enabled"]);
        eventually("the built-in target", || {
            is_active(coracle, "basic.target").then_some(())
        });
        assert!(!is_active(coracle, "a") && !is_active(coracle, "multi-user.target"));
        check(
            coracle,
            &["set-default", "a.service"],
            1,
            &["!only a target can"],
        );
    });
}

#[test]
fn states_are_words_and_exit_statuses_of_systemctl() {
    let files = [
        ("a.service", WANTED),
        ("plain.service", PLAIN),
        ("t@.service", TEMPLATE),
        ("own.target", "[Unit]\n"),
    ];
    with_units(&files, |coracle| {
        check(coracle, &["is-enabled", "a"], 1, &["disabled"]);
        check(coracle, &["is-enabled", "plain"], 0, &["static"]);
        check(coracle, &["is-enabled", "nobody"], 4, &["not-found"]);
        check(
            coracle,
            &["is-enabled", "nobody", "plain"],
            0,
            &["not-found\nstatic"],
        );
        check(coracle, &["is-enabled", "-q", "a"], 1, &[]);
        check(coracle, &["enable", "t@"], 1, &["!names no instance"]);
        check(coracle, &["enable", "t@x"], 0, &["!t@x.service"]);
        check(
            coracle,
            &["is-enabled", "t@x", "t@y"],
            0,
            &["enabled\ndisabled"],
        );
        check(coracle, &["enable", "--runtime", "a"], 0, &["!units.d"]);
        check(coracle, &["is-enabled", "a"], 0, &["enabled-runtime"]);
        check(coracle, &["is-enabled", "other"], 0, &["alias"]);
        check(coracle, &["disable", "--runtime", "a"], 0, &[]);
        check(coracle, &["enable", "plain"], 0, &["!nothing to enable"]);
        check(
            coracle,
            &["enable", "nobody"],
            1,
            &["!there is no unit nobody.service"],
        );
        check(
            coracle,
            &["is-enabled", "multi-user.target"],
            0,
            &["static"],
        );
        check(
            coracle,
            &["add-wants", "own.target", "plain"],
            0,
            &["!own.target.wants"],
        );
        check(
            coracle,
            &["add-requires", "multi-user.target", "plain"],
            0,
            &["!requires"],
        );
        coracle.ok(&["run", "--unit", "brief", "sleep", "infinity"]);
        check(coracle, &["is-enabled", "brief"], 1, &["transient"]);
        coracle.ok(&["stop", "brief"]);
        let listed = coracle.ok(&["list-unit-files", "--json", "-t", "service"]);
        let bare: String = listed.split_whitespace().collect();
        for part in [
            r#""unit_file":"t@.service","state":"indirect""#,
            r#""unit_file":"a.service","state":"disabled","preset":"enabled""#,
            r#""unit_file":"plain.service","state":"enabled""#,
        ] {
            assert!(bare.contains(part), "{part}: {listed}");
        }
        check(
            coracle,
            &["list-unit-files", "t@*"],
            0,
            &["t@.service", "indirect"],
        );
    });
}

#[test]
fn a_mask_keeps_units_from_starting_and_a_link_makes_others_known() {
    let elsewhere = |coracle: &Instance| coracle.folder().join("elsewhere");
    with_units(&[], |coracle| {
        let folder = elsewhere(coracle);
        fs::create_dir(&folder).expect("a folder");
        let file = folder.join("far.service");
        fs::write(&file, PLAIN).expect("a file");
        let path = file.display().to_string();
        check(coracle, &["link", &path], 0, &["!far.service"]);
        check(coracle, &["is-enabled", "far"], 1, &["linked"]);
        coracle.ok(&["start", "far"]);
        check(
            coracle,
            &["mask", "--now", "far"],
            1,
            &["!is there already"],
        );
        check(
            coracle,
            &["mask", "--now", "--force", "far"],
            0,
            &["!/dev/null"],
        );
        assert!(!is_active(coracle, "far"));
        check(coracle, &["start", "far"], 1, &["!masked"]);
        check(coracle, &["is-enabled", "far"], 1, &["masked"]);
        check(coracle, &["unmask", "far"], 0, &["!removed"]);
        check(coracle, &["is-enabled", "far"], 4, &["not-found"]);
    });
}

#[test]
fn presets_and_reverts_are_as_the_files_say() {
    with_units(&[("a.service", WANTED), ("b.service", WANTED)], |coracle| {
        let presets = coracle.folder().join("config/presets");
        fs::create_dir_all(&presets).expect("a folder");
        fs::write(presets.join("1.preset"), "enable a.*\ndisable b.*\n").expect("a file");
        coracle.ok(&["enable", "--no-reload", "b"]);
        fs::remove_file(units(coracle).join("other.service")).expect("a link");
        check(
            coracle,
            &["preset", "--now", "a", "b"],
            0,
            &["!a.service", "!b.service"],
        );
        assert!(is_active(coracle, "a") && !is_active(coracle, "b"));
        check(
            coracle,
            &["is-enabled", "a", "b"],
            0,
            &["enabled\ndisabled"],
        );
        let drop_ins = units(coracle).join("a.service.d");
        fs::create_dir(&drop_ins).expect("a folder");
        fs::write(drop_ins.join("1.conf"), "[Service]\nNice=1\n").expect("a file");
        check(coracle, &["revert", "a"], 0, &["!a.service.d"]);
        assert!(!drop_ins.exists() && units(coracle).join("a.service").exists());
    });
}

#[test]
fn units_are_edited_by_drop_ins_or_whole_and_an_edit_without_text_changes_nothing() {
    with_units(&[("a.service", PLAIN)], |coracle| {
        coracle.ok(&["list-units"]);
        let edit = |words: &[&str], script: &str| {
            let editor = coracle.folder().join("editor");
            fs::write(&editor, format!("#!/bin/sh\n{script}\n")).expect("a file");
            let mut command = coracle.command(&[&["edit"], words].concat());
            command.env("EDITOR", format!("/bin/sh {}", editor.display()));
            command.output().expect("it runs")
        };
        let drop_in = units(coracle).join("a.service.d/override.conf");
        let nothing = edit(&["a"], "grep -q '^# ExecStart=/bin/sleep infinity' $1");
        assert!(nothing.status.success() && !drop_in.exists(), "{nothing:?}");
        let failed = edit(&["a"], "printf '[Service]\\nNice=3\\n' > $1; exit 1");
        assert!(!failed.status.success() && !drop_in.exists(), "{failed:?}");
        let written = edit(
            &["a"],
            "printf '[Service]\\nNice=3\\n' > $1.new; cat $1 >> $1.new; mv $1.new $1",
        );
        assert!(written.status.success(), "{written:?}");
        assert_eq!(
            fs::read_to_string(&drop_in).expect("a file"),
            "[Service]\nNice=3\n"
        );
        assert_eq!(coracle.property("a.service", "Nice"), "3");
        let whole = edit(&["--full", "--runtime", "a"], "sed -i s/infinity/1d/ $1");
        assert!(whole.status.success(), "{whole:?}");
        let copy = coracle.folder().join("run/units.d/a.service");
        assert!(
            fs::read_to_string(copy)
                .expect("a file")
                .contains("sleep 1d")
        );
        check(
            coracle,
            &["edit", "nobody"],
            1,
            &["!there is no unit nobody.service", "!--force"],
        );
        check(
            coracle,
            &["edit", "--drop-in", "../x", "a"],
            1,
            &["!no name of a drop-in"],
        );
        let given = fs::File::open(&drop_in).expect("a file");
        let mut command =
            coracle.command(&["edit", "--stdin", "--drop-in", "50-more", "--force", "new"]);
        let done = command.stdin(given).output().expect("it runs");
        assert!(done.status.success(), "{done:?}");
        assert!(units(coracle).join("new.service.d/50-more.conf").exists());
    });
}

fn plant(root: &Path, path: &str, text: &str) {
    let at = root.join(path);
    fs::create_dir_all(at.parent().expect("a parent")).expect("a folder");
    fs::write(at, text).expect("a file");
}

fn lead(root: &Path, path: &str, target: &Path) {
    let at = root.join(path);
    fs::create_dir_all(at.parent().expect("a parent")).expect("a folder");
    symlink(target, at).expect("a link");
}

fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(everything(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[test]
fn a_hostile_tree_leads_nobody_out_of_it() {
    with_units(&[], |coracle| {
        let outside = coracle.folder().join("outside");
        plant(&outside, "a.service", WANTED);
        plant(&outside, "m.target.wants/keep", "");
        plant(&outside, "1.preset", "disable *\n");
        let before = everything(&outside);
        for (number, far) in [
            outside.clone(),
            Path::new("../../../../../../../../../../..")
                .join(outside.strip_prefix("/").expect("it is absolute")),
        ]
        .iter()
        .enumerate()
        {
            let root = coracle.folder().join(format!("root-{number}"));
            let text = root.display().to_string();
            let ask = |words: &[&str]| coracle.coracle(&[words, &["--root", &text]].concat());
            // The whole directory, one in it, a unit, a preset.
            for place in ["etc/systemd/system", "etc/systemd/system/m.target.wants"] {
                fs::create_dir_all(root.join("usr/lib/systemd/system")).expect("a folder");
                plant(
                    &root,
                    "usr/lib/systemd/system/b.service",
                    "[Install]\nWantedBy=m.target\nAlias=c.service\n",
                );
                lead(&root, place, far);
                for words in [
                    &["enable", "b.service"][..],
                    &["mask", "d.service"],
                    &["add-wants", "m.target", "b.service"],
                    &["disable", "b.service"],
                    &["unmask", "a.service"],
                    &["revert", "a.service"],
                    &["preset-all"],
                    &["set-default", "m.target"],
                ] {
                    ask(words);
                    assert_eq!(
                        everything(&outside),
                        before,
                        "{words:?} {place} {}",
                        far.display()
                    );
                }
                assert_eq!(ask(&["is-enabled", "a.service"]).status, 4);
                fs::remove_dir_all(&root).expect("the tree");
            }
            lead(
                &root,
                "etc/systemd/system/a.service",
                &far.join("a.service"),
            );
            lead(
                &root,
                "etc/systemd/system-preset/1.preset",
                &far.join("1.preset"),
            );
            plant(
                &root,
                "usr/lib/systemd/system/b.service",
                "[Install]\nWantedBy=m.target\n",
            );
            assert_ne!(ask(&["enable", "a.service"]).status, 0);
            // The preset outside would have disabled it.
            assert_eq!(ask(&["preset", "b.service"]).status, 0);
            assert_eq!(ask(&["is-enabled", "b.service"]).stdout, "enabled\n");
            assert_eq!(everything(&outside), before);
        }
    });
}

#[test]
fn what_is_no_file_holds_nobody_up() {
    with_units(&[], |coracle| {
        let root = coracle.folder().join("root");
        let text = root.display().to_string();
        let place = root.join("usr/lib/systemd/system");
        fs::create_dir_all(&place).expect("a folder");
        let pipe = place.join("pipe.service");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
        fs::create_dir(place.join("folder.service")).expect("a folder");
        symlink("loop.service", place.join("loop.service")).expect("a link");
        for unit in ["pipe.service", "folder.service", "loop.service"] {
            let refused = coracle.coracle(&["enable", unit, "--root", &text]);
            assert_eq!(refused.status, 1, "{refused:?}");
            let listed = coracle.ok(&["list-unit-files", unit, "--root", &text]);
            assert!(listed.contains("bad"), "{listed}");
        }
    });
}
