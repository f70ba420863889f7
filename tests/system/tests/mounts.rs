//! Mount units: made by commands, known from the kernel's table, needed by paths.

use coracle_system_tests::waiting::{await_states, states};
use coracle_system_tests::{manager, mounts, with_units};
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::Instance;

/// A place in the instance's folder, and the name of its mount unit.
struct Place {
    path: PathBuf,
    unit: String,
}

impl Place {
    fn new(coracle: &Instance, name: &str) -> Self {
        Self::at(coracle, coracle.folder().join(name))
    }

    fn at(coracle: &Instance, path: PathBuf) -> Self {
        let escape = ["escape", "--path", "--suffix=mount"];
        let typed = path.display().to_string();
        let unit = coracle.ok(&[&escape[..], &[&typed]].concat());
        Self {
            unit: unit.trim().to_owned(),
            path,
        }
    }

    fn write(&self, coracle: &Instance, unit: &str, mount: &str) {
        let place = self.path.display();
        let text = format!("[Unit]\n{unit}[Mount]\nWhere={place}\n{mount}");
        coracle.unit(&self.unit, &text);
    }

    /// An ordinary memory file system, with a mode that tells it.
    fn memory(coracle: &Instance, name: &str) -> Self {
        let place = Self::new(coracle, name);
        place.write(
            coracle,
            "",
            "What=tmpfs\nType=tmpfs\nOptions=mode=0711,nofail\n",
        );
        place
    }

    fn is_mounted(&self) -> bool {
        is_mounted(&self.path)
    }
}

/// Nothing stays mounted, also where a test fails.
impl Drop for Place {
    fn drop(&mut self) {
        mounts::clear(&self.path);
    }
}

fn is_mounted(path: &Path) -> bool {
    !mounts::kinds(path).is_empty()
}

/// What others do, who are not asked for their reasons.
fn by_others(program: &str, words: &[&str], place: &Place) {
    let status = Command::new(program).args(words).arg(&place.path).status();
    assert!(status.expect(program).success(), "{program} {words:?}");
}

fn mount_by_others(place: &Place) {
    by_others("mount", &["-t", "tmpfs", "others"], place);
}

#[test]
fn a_mount_is_made_changed_and_taken_out() {
    with_units(&[], |coracle| {
        let data = Place::memory(coracle, "data");
        coracle.ok(&["start", &data.unit]);
        assert!(data.is_mounted());
        assert_eq!(states(coracle, &data.unit), "active mounted");
        let mode =
            std::os::unix::fs::MetadataExt::mode(&data.path.metadata().expect("it is there"));
        assert_eq!(mode & 0o777, 0o711);
        data.write(
            coracle,
            "",
            "What=tmpfs\nType=tmpfs\nOptions=mode=0711,ro\n",
        );
        coracle.ok(&["daemon-reload"]);
        coracle.ok(&["reload", &data.unit]);
        assert!(
            std::fs::write(data.path.join("file"), "").is_err(),
            "it is read-only now"
        );
        coracle.ok(&["stop", &data.unit]);
        assert!(!data.is_mounted());
        assert_eq!(states(coracle, &data.unit), "inactive dead");
    });
}

#[test]
fn what_others_mount_and_unmount_is_known() {
    with_units(&[], |coracle| {
        let data = Place::memory(coracle, "data");
        std::fs::create_dir(&data.path).expect("a directory");
        assert_eq!(states(coracle, &data.unit), "inactive dead");
        mount_by_others(&data);
        await_states(coracle, &data.unit, "active mounted");
        let why = coracle.ok(&["why", &data.unit]);
        assert!(why.contains("somebody else mounted it"), "{why}");
        by_others("umount", &[], &data);
        await_states(coracle, &data.unit, "inactive dead");
        // What has no unit file is a unit all the same, for as long as it is there.
        let other = Place::new(coracle, "other");
        std::fs::create_dir(&other.path).expect("a directory");
        mount_by_others(&other);
        let shown = coracle.ok(&["show", "-p", "What", "-p", "Type", "--value", &other.unit]);
        assert_eq!(
            shown.split_whitespace().collect::<Vec<_>>(),
            ["others", "tmpfs"]
        );
        coracle.ok(&["stop", &other.unit]);
        assert!(!other.is_mounted());
    });
}

#[test]
fn what_others_change_right_after_another_change_is_known() {
    with_units(&[], |coracle| {
        let data = Place::memory(coracle, "data");
        std::fs::create_dir(&data.path).expect("a directory");
        mount_by_others(&data);
        await_states(coracle, &data.unit, "active mounted");
        for _ in 0..20 {
            by_others("umount", &[], &data);
            mount_by_others(&data);
            await_states(coracle, &data.unit, "active mounted");
        }
        by_others("umount", &[], &data);
        await_states(coracle, &data.unit, "inactive dead");
    });
}

#[test]
fn a_stop_fails_while_somebody_works_in_it_and_the_mount_stays() {
    with_units(&[], |coracle| {
        let data = Place::memory(coracle, "data");
        coracle.ok(&["start", &data.unit]);
        let held = std::fs::File::create(data.path.join("file")).expect("a file");
        let stopped = coracle.coracle(&["stop", &data.unit]);
        assert_ne!(stopped.status, 0, "{stopped:?}");
        assert_eq!(states(coracle, &data.unit), "active mounted");
        drop(held);
        coracle.ok(&["stop", &data.unit]);
        assert!(!data.is_mounted());
    });
}

#[test]
fn a_mount_that_cannot_be_made_fails_with_what_mount_says() {
    with_units(&[], |coracle| {
        let data = Place::new(coracle, "data");
        data.write(coracle, "", "What=/nonexistent\nType=ext4\n");
        let started = coracle.coracle(&["start", &data.unit]);
        assert_ne!(started.status, 0, "{started:?}");
        assert_eq!(states(coracle, &data.unit), "failed failed");
        let said = coracle.ok(&["logs", "-u", &data.unit, "--cat"]);
        assert!(said.contains("/nonexistent"), "{said}");
        let wrong = Place::new(coracle, "wrong");
        coracle.unit(
            &wrong.unit,
            "[Mount]\nWhat=tmpfs\nType=tmpfs\nWhere=/elsewhere\n",
        );
        let started = coracle.coracle(&["start", &wrong.unit]);
        assert!(started.stderr.contains("wrong setting"), "{started:?}");
        let verified = coracle.coracle(&["verify", &wrong.unit]);
        let told = verified.stdout + &verified.stderr;
        assert!(told.contains("is not what the unit's name says"), "{told}");
    });
}

#[test]
fn a_place_behind_a_link_is_refused_and_nothing_is_mounted_behind_it() {
    with_units(&[], |coracle| {
        let real = coracle.folder().join("real");
        std::fs::create_dir(&real).expect("a directory");
        std::os::unix::fs::symlink(&real, coracle.folder().join("link")).expect("a link");
        let data = Place::memory(coracle, "link/data");
        let started = coracle.coracle(&["start", &data.unit]);
        assert_ne!(started.status, 0, "{started:?}");
        let words = "is a link: name the place that it leads to";
        assert!(started.stderr.contains(words), "{started:?}");
        assert!(!real.join("data").exists());
    });
}

#[test]
fn what_came_with_an_image_starts_none_of_the_hosts_mounts() {
    with_units(&[], |coracle| {
        let data = Place::memory(coracle, "data");
        let work = |root: &str| {
            format!(
                "[Service]\n{root}WorkingDirectory={}\nExecStart=/bin/true\n",
                data.path.display()
            )
        };
        coracle.unit("plain.service", &work(""));
        coracle.unit("image.service", &work("RootImage=/nonexistent.raw\n"));
        let requires = |unit: &str| coracle.property(unit, "Requires");
        assert!(requires("plain.service").contains(&data.unit));
        assert!(!requires("image.service").contains(&data.unit));
    });
}

#[test]
fn a_mount_whose_file_comes_later_is_needed_after_a_reload() {
    with_units(&[], |coracle| {
        let data = Place::new(coracle, "data");
        let work = format!(
            "[Unit]\nRequiresMountsFor={}\n[Service]\nExecStart=/bin/true\n",
            data.path.display()
        );
        coracle.unit("works.service", &work);
        let requires = || coracle.property("works.service", "Requires");
        assert!(!requires().contains(&data.unit));
        data.write(coracle, "", "What=tmpfs\nType=tmpfs\n");
        coracle.ok(&["daemon-reload"]);
        assert!(requires().contains(&data.unit));
    });
}

#[test]
fn what_needs_a_path_starts_its_mounts_first_and_outer_ones_before_inner_ones() {
    with_units(&[], |coracle| {
        let outer = Place::memory(coracle, "data");
        let inner = Place::memory(coracle, "data/inner");
        let needed = inner.path.join("work");
        let text = format!(
            "[Unit]\nRequiresMountsFor={}\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/mkdir {}\n",
            needed.display(),
            needed.display()
        );
        coracle.unit("works.service", &text);
        coracle.ok(&["start", "works.service"]);
        assert!(outer.is_mounted() && inner.is_mounted());
        coracle.ok(&["stop", &outer.unit]);
        assert!(!outer.is_mounted() && !inner.is_mounted());
        assert_eq!(states(coracle, "works.service"), "inactive dead");
        // What cannot be mounted is not worked in.
        inner.write(coracle, "", "What=/nonexistent\nType=ext4\n");
        coracle.ok(&["daemon-reload"]);
        let started = coracle.coracle(&["start", "works.service"]);
        assert_ne!(started.status, 0, "{started:?}");
        assert!(!needed.exists());
        coracle.ok(&["stop", &outer.unit]);
    });
}

#[test]
fn the_next_manager_knows_what_is_mounted_and_what_was_unmounted_meanwhile() {
    with_units(&[], |coracle| {
        let [kept, lost] = ["kept", "lost"].map(|name| Place::memory(coracle, name));
        coracle.ok(&["start", &kept.unit, &lost.unit]);
        by_others("umount", &[], &lost);
        manager::kill(coracle.process("ManagerPID"));
        assert_eq!(states(coracle, &kept.unit), "active mounted");
        await_states(coracle, &lost.unit, "inactive dead");
        coracle.ok(&["stop", &kept.unit]);
        assert!(!kept.is_mounted());
    });
}

#[test]
fn the_end_of_an_instance_takes_out_what_it_made_and_leaves_what_others_did() {
    // The instance's own folder goes with it.
    let room = tempfile::tempdir().expect("a folder");
    let mut places = Vec::new();
    with_units(&[], |coracle| {
        let [ours, others] = ["ours", "others"].map(|name| {
            let place = Place::at(coracle, room.path().join(name));
            place.write(coracle, "", "What=tmpfs\nType=tmpfs\n");
            place
        });
        std::fs::create_dir(&others.path).expect("a directory");
        mount_by_others(&others);
        await_states(coracle, &others.unit, "active mounted");
        coracle.ok(&["start", &ours.unit]);
        coracle.ok(&["daemon-exit"]);
        places.extend([ours, others]);
    });
    let is_mounted: Vec<bool> = places.iter().map(Place::is_mounted).collect();
    for place in places.iter().filter(|place| place.is_mounted()) {
        by_others("umount", &[], place);
    }
    assert_eq!(is_mounted, [false, true]);
}
