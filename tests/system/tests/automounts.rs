//! Automount units: who comes waits until it is mounted, what nobody uses goes, and whoever dies, nobody waits in vain.

use coracle_system_tests::gate::Gate;
use coracle_system_tests::waiting::{await_states, eventually, states};
use coracle_system_tests::{manager, mounts, with_units};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use testkit::Instance;

/// A place in the instance's folder, with its two units.
struct Place {
    path: PathBuf,
    mount: String,
    automount: String,
}

impl Place {
    fn new(coracle: &Instance, name: &str) -> Self {
        let path = coracle.folder().join(name);
        let typed = path.display().to_string();
        let unit = |suffix: &str| {
            let suffix = format!("--suffix={suffix}");
            let unit = coracle.ok(&["escape", "--path", &suffix, &typed]);
            unit.trim().to_owned()
        };
        Self {
            mount: unit("mount"),
            automount: unit("automount"),
            path,
        }
    }

    /// A memory file system whose mode tells it.
    fn memory(coracle: &Instance, name: &str, automount: &str) -> Self {
        let place = Self::new(coracle, name);
        place.write(
            coracle,
            "What=tmpfs\nType=tmpfs\nOptions=mode=0711\n",
            automount,
        );
        place
    }

    fn write(&self, coracle: &Instance, mount: &str, automount: &str) {
        let at = self.path.display();
        coracle.unit(&self.mount, &format!("[Mount]\nWhere={at}\n{mount}"));
        coracle.unit(
            &self.automount,
            &format!("[Automount]\nWhere={at}\n{automount}"),
        );
    }

    /// What is mounted there, from below.
    fn kinds(&self) -> Vec<String> {
        mounts::kinds(&self.path)
    }

    /// Somebody who comes, in a group of processes of its own: that of the instance is let through.
    fn visitor(&self) -> Child {
        let mut command = Command::new("stat");
        command.args(["-c", "%a"]).arg(self.path.join("."));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).spawn().expect("stat")
    }

    fn visited(&self) -> Output {
        self.visitor().wait_with_output().expect("it ends")
    }

    fn finds(&self) -> String {
        let output = self.visited();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// Nothing stays mounted, also where a test fails.
impl Drop for Place {
    fn drop(&mut self) {
        mounts::clear(&self.path);
    }
}

#[test]
fn who_comes_waits_until_it_is_mounted_and_a_stop_leaves_nothing() {
    with_units(&[], |coracle| {
        let data = Place::memory(coracle, "data", "");
        coracle.ok(&["start", &data.automount]);
        assert_eq!(states(coracle, &data.automount), "active waiting");
        assert_eq!(states(coracle, &data.mount), "inactive dead");
        assert_eq!(data.kinds(), ["autofs"]);
        assert_eq!(
            data.finds(),
            "711",
            "it is mounted, and not what lies below"
        );
        assert_eq!(states(coracle, &data.automount), "active running");
        assert_eq!(states(coracle, &data.mount), "active mounted");
        let why = coracle.ok(&["why", &data.mount]);
        assert!(why.contains("stat (process "), "{why}");
        let listed = coracle.ok(&["list-automounts", "--json"]);
        let rows: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        assert_eq!(rows[0]["where"], data.path.display().to_string());
        assert_eq!(
            (&rows[0]["what"], &rows[0]["mounted"]),
            (&"tmpfs".into(), &true.into())
        );
        // Unmounted by hand it comes back for the next one.
        coracle.ok(&["stop", &data.mount]);
        assert_eq!(states(coracle, &data.automount), "active waiting");
        assert_eq!(data.finds(), "711");
        coracle.ok(&["stop", &data.mount, &data.automount]);
        assert_eq!(data.kinds(), [""; 0]);
        assert_eq!(states(coracle, &data.automount), "inactive dead");
        assert_eq!(data.finds(), "755", "the directory itself");
    });
}

#[test]
fn what_can_not_be_mounted_is_told_to_who_waits_and_too_often_is_the_end() {
    with_units(&[], |coracle| {
        let data = Place::new(coracle, "data");
        data.write(coracle, "What=/nonexistent\nType=ext4\n", "");
        coracle.ok(&["start", &data.automount]);
        let output = data.visited();
        assert!(!output.status.success(), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("No such device"), "{told}");
        assert_eq!(states(coracle, &data.automount), "active waiting");
        assert_eq!(states(coracle, &data.mount), "failed failed");
        for _ in 0..5 {
            assert!(!data.visited().status.success() || data.kinds().is_empty());
        }
        await_states(coracle, &data.automount, "failed failed");
        let result = coracle.property(&data.automount, "Result");
        assert_eq!(result, "mount-start-limit-hit");
        assert_eq!(data.kinds(), [""; 0]);
    });
}

#[test]
fn what_nobody_uses_is_unmounted_and_comes_back() {
    with_units(&[], |coracle| {
        let data = Place::memory(coracle, "data", "TimeoutIdleSec=1\n");
        coracle.ok(&["start", &data.automount]);
        assert_eq!(data.finds(), "711");
        await_states(coracle, &data.mount, "inactive dead");
        assert_eq!(data.kinds(), ["autofs"]);
        let why = coracle.ok(&["why", &data.mount]);
        assert!(why.contains("nobody was at"), "{why}");
        assert_eq!(data.finds(), "711");
        coracle.ok(&["stop", &data.mount, &data.automount]);
    });
}

#[test]
fn the_next_manager_answers_who_came_to_the_one_before_and_who_comes_after_it() {
    with_units(&[], |coracle| {
        let data = Place::new(coracle, "data");
        let gate = Gate::at(coracle.folder().join("gate"));
        // The mount waits for somebody who opens the gate.
        let opened = format!(
            "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/cat {}\n",
            gate.path().display()
        );
        coracle.unit("gate.service", &opened);
        let at = data.path.display();
        let mount = format!(
            "[Unit]\nRequires=gate.service\nAfter=gate.service\n[Mount]\nWhere={at}\nWhat=tmpfs\nType=tmpfs\nOptions=mode=0711\n"
        );
        coracle.unit(&data.mount, &mount);
        coracle.unit(&data.automount, &format!("[Automount]\nWhere={at}\n"));
        coracle.ok(&["start", &data.automount]);
        let visitor = data.visitor();
        await_states(coracle, &data.automount, "active running");
        manager::kill(coracle.process("ManagerPID"));
        assert_eq!(states(coracle, &data.automount), "active running");
        gate.open();
        let output = visitor.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "711");
        coracle.ok(&["stop", &data.mount]);
        manager::kill(coracle.process("ManagerPID"));
        assert_eq!(states(coracle, &data.automount), "active waiting");
        coracle.ok(&["daemon-reexec"]);
        assert_eq!(data.finds(), "711");
        coracle.ok(&["stop", &data.mount, &data.automount]);
        assert_eq!(data.kinds(), [""; 0]);
    });
}

#[test]
fn who_waits_is_turned_away_when_it_is_stopped_and_others_may_unmount_it() {
    with_units(&[], |coracle| {
        let data = Place::memory(coracle, "data", "");
        let never = "[Unit]\nRequires=never.service\nAfter=never.service\n";
        let at = data.path.display();
        let mount = format!("[Mount]\nWhere={at}\nWhat=tmpfs\nType=tmpfs\n");
        coracle.unit(&data.mount, &format!("{never}{mount}"));
        coracle.unit(
            "never.service",
            "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n",
        );
        coracle.ok(&["start", &data.automount]);
        let visitor = data.visitor();
        await_states(coracle, &data.automount, "active running");
        coracle.ok(&["stop", &data.automount]);
        let output = visitor.wait_with_output().expect("it ends");
        assert!(!output.status.success(), "{output:?}");
        assert_eq!(data.kinds(), [""; 0]);
        coracle.ok(&["stop", "never.service", &data.mount]);
        coracle.ok(&["start", &data.automount]);
        let status = Command::new("umount").arg(&data.path).status();
        assert!(status.expect("umount").success());
        await_states(coracle, &data.automount, "failed failed");
        assert_eq!(coracle.property(&data.automount, "Result"), "resources");
    });
}

#[test]
fn what_can_not_be_an_automount_says_why() {
    with_units(&[], |coracle| {
        let alone = Place::new(coracle, "alone");
        let at = alone.path.display();
        coracle.unit(&alone.automount, &format!("[Automount]\nWhere={at}\n"));
        let started = coracle.coracle(&["start", &alone.automount]);
        assert_ne!(started.status, 0, "{started:?}");
        assert!(started.stderr.contains("is not loaded"), "{started:?}");
        let wrong = Place::new(coracle, "wrong");
        coracle.unit(&wrong.automount, "[Automount]\nWhere=/elsewhere\n");
        let verified = coracle.coracle(&["verify", &wrong.automount]);
        let told = verified.stdout + &verified.stderr;
        assert!(told.contains("is not what the unit's name says"), "{told}");
        // What somebody else mounted there is in the way.
        let taken = Place::memory(coracle, "taken", "");
        coracle.ok(&["start", &taken.mount]);
        let started = coracle.coracle(&["start", &taken.automount]);
        assert!(started.stderr.contains("already: tmpfs"), "{started:?}");
        coracle.ok(&["stop", &taken.mount]);
    });
}

#[test]
fn mounts_without_files_are_listed_where_they_are_asked_for() {
    with_units(&[], |coracle| {
        let other = Place::new(coracle, "other");
        std::fs::create_dir(&other.path).expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "others"]).arg(&other.path);
        assert!(mount.status().expect("mount").success());
        let listed = |words: &[&str]| coracle.ok(&[&["list-units", "--json"], words].concat());
        assert!(listed(&["-t", "mount"]).contains(&format!("{:?}", other.mount)));
        assert!(!listed(&[]).contains(&format!("{:?}", other.mount)));
        assert!(!listed(&["-t", "mount", "--state=inactive"]).contains(&other.mount));
    });
}

#[test]
fn the_next_keeper_takes_the_place_over() {
    with_units(&[], |coracle| {
        let [used, unused] = ["used", "unused"].map(|name| Place::memory(coracle, name, ""));
        coracle.ok(&["start", &used.automount, &unused.automount]);
        assert_eq!(used.finds(), "711");
        manager::kill_keeper(coracle);
        // The next command starts the next keeper.
        await_states(coracle, &used.automount, "active running");
        await_states(coracle, &unused.automount, "active waiting");
        coracle.ok(&["stop", &used.mount]);
        for place in [&used, &unused] {
            eventually("it is mounted for who comes", || {
                (place.finds() == "711").then_some(())
            });
            coracle.ok(&["stop", &place.mount, &place.automount]);
            assert_eq!(place.kinds(), [""; 0]);
        }
    });
}
