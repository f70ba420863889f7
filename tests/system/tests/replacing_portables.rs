//! An export takes the place of the portable that is there: all of it or nothing, and for good only when it works.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use coracle_system_tests::cut;
use coracle_system_tests::images::{By, Small, Workshop, with_workshop};
use coracle_system_tests::manager::reboot;
use coracle_system_tests::terminal::on_a_terminal;
use coracle_system_tests::waiting::{eventually, state};
use testkit::Instance;

/// Ends by itself where it finds poison, when it was up already.
const BOAT: &str = "[Unit]\nDescription=NAME VERSION\n[Service]\nType=exec\nStateDirectory=NAME\nConfigurationDirectory=NAME\n\
    ExecStart=/usr/bin/dash -c 'if test -e /var/lib/NAME/poison; then /usr/bin/sleep 0.2; exit 3; fi; exec /usr/bin/sleep infinity'\n";

/// A portable of which two versions were made, each with something stored and set, and an archive of the second.
struct Boat<'a> {
    coracle: &'a Instance,
    name: &'a str,
    /// Of version 2.
    archive: String,
}

fn image(workshop: &Workshop<'_>, name: &str, version: &str) -> String {
    let text = BOAT.replace("NAME", name).replace("VERSION", version);
    let unit = format!("{name}.service");
    workshop.image(name, version, By::Trusted, &[(&unit, &text)])
}

impl Boat<'_> {
    fn unit(&self) -> String {
        format!("{}.service", self.name)
    }

    fn stored(&self) -> PathBuf {
        Path::new("/var/lib/private").join(self.name)
    }

    fn drop_in(&self, name: &str) -> PathBuf {
        let units = self.coracle.folder().join("config/units");
        units.join(format!("{}.d", self.unit())).join(name)
    }

    /// Gives what is up something that tells it from others.
    fn furnish(&self, word: &str) {
        let (coracle, name) = (self.coracle, self.name);
        coracle.ok(&["configure", name, "--env", &format!("WORD={word}")]);
        fs::create_dir_all(self.drop_in("x").parent().expect("a folder")).expect("a folder");
        let text = format!("[Service]\nEnvironment=FILE={word}\n");
        fs::write(self.drop_in(&format!("{word}.conf")), text).expect("a drop-in");
        coracle.ok(&["daemon-reload"]);
        fs::write(self.stored().join("word"), word).expect("a file");
        let owner = self.stored().metadata().expect("the directory");
        let (user, group) = (Some(owner.uid()), Some(owner.gid()));
        chown(self.stored().join("word"), user, group).expect("an owner");
        fs::write(Path::new("/etc").join(name).join("word"), word).expect("a file");
    }

    fn import(&self) -> Vec<&str> {
        let import = ["import", &self.archive, "--replace", "--as-exported"];
        [&import[..], &["--healthy-for", "0"]].concat()
    }

    /// What tells it from others, in one word where all of it says the same; else all of it.
    fn is(&self) -> String {
        let version = self.coracle.property(&self.unit(), "Description");
        let environment = self.coracle.property(&self.unit(), "Environment");
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        let record = self.coracle.ok(&["versions", self.name]);
        let all = format!(
            "{version}|{environment}|{}|{}|{record}",
            read(self.stored().join("word")),
            read(Path::new("/etc").join(self.name).join("word")),
        );
        for (version, word) in [("1", "here"), ("2", "afar")] {
            let [drop_in, other] = [word, if word == "here" { "afar" } else { "here" }]
                .map(|word| self.drop_in(&format!("{word}.conf")).exists());
            let expected = format!(
                "{} {version}|FILE={word} WORD={word}|{word}|{word}|",
                self.name
            );
            let ordered = all.replace(
                &format!("WORD={word} FILE={word}"),
                &format!("FILE={word} WORD={word}"),
            );
            let is_current = record
                .lines()
                .any(|line| line.starts_with(version) && line.contains("current"));
            if ordered.starts_with(&expected) && is_current && drop_in && !other {
                return word.to_owned();
            }
        }
        all
    }

    fn pid(&self) -> String {
        self.coracle.property(&self.unit(), "MainPID")
    }

    /// Nothing is left beside what is there, and what is there is its user's.
    #[track_caller]
    fn is_tidy(&self) {
        for home in ["/var/lib/private", "/etc"] {
            let left = fs::read_dir(home).expect(home).flatten();
            let beside = format!(".coracle-{}", self.name);
            let left = left.map(|one| one.path());
            let left = left.filter(|path| path.to_string_lossy().contains(&beside));
            assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new());
        }
        let exchange = format!("state/portables/{}/exchange.json", self.name);
        assert!(!self.coracle.folder().join(exchange).exists());
        let owner = |path: &Path| path.metadata().map(|found| (found.uid(), found.gid()));
        let stored = self.stored();
        assert_eq!(
            owner(&stored.join("word")).expect("a file"),
            owner(&stored).expect("a directory")
        );
    }

    fn purge(&self) {
        self.coracle.ok(&["purge", self.name, "--forget"]);
        assert!(!self.stored().exists());
        assert!(!Path::new("/etc").join(self.name).exists());
        fs::remove_dir_all(self.drop_in("x").parent().expect("a folder")).ok();
    }
}

/// Version 1 is up; `more` does something to version 2 before it is exported.
fn with_boat(name: &str, more: impl FnOnce(&Boat), work: impl FnOnce(&Boat)) {
    with_workshop(|coracle, workshop| {
        let archive = coracle.folder().join("archive").display().to_string();
        let boat = Boat {
            coracle,
            name,
            archive,
        };
        coracle.ok(&["start", &image(workshop, name, "2")]);
        boat.furnish("afar");
        more(&boat);
        coracle.ok(&["export", name, &boat.archive]);
        boat.purge();
        coracle.ok(&["start", &image(workshop, name, "1")]);
        boat.furnish("here");
        coracle.ok(&["restart", &boat.unit()]);
        assert_eq!(boat.is(), "here");
        work(&boat);
        boat.purge();
    });
}

#[test]
fn an_export_takes_the_place_of_what_is_there_and_nothing_else_does() {
    with_boat(
        "swapboat",
        |_| (),
        |boat| {
            let coracle = boat.coracle;
            let pid = boat.pid();
            let own = coracle.folder().join("own").display().to_string();
            coracle.ok(&["export", boat.name, &own]);
            let refused = |words: &[&str], phrases: &[&str]| {
                coracle.coracle(words).refused(phrases);
                assert_eq!((boat.is().as_str(), boat.pid()), ("here", pid.clone()));
                boat.is_tidy();
            };
            refused(&["import", &boat.archive], &["here already", "--replace"]);
            refused(
                &["import", &boat.archive, "--replace"],
                &[
                    "set over there: --env=WORD=afar",
                    "set here until now: --env=WORD=here",
                    "set here until now: here.conf of swapboat.service:",
                    "--as-exported",
                ],
            );
            coracle.ok(&["hold", boat.name]);
            refused(&boat.import(), &["held at 1", "coracle unhold"]);
            coracle.ok(&["unhold", boat.name]);

            let done = coracle.coracle(&boat.import()).ok();
            assert!(
                done.stdout.contains("swapboat 1 → 2 with 2 directories"),
                "{done:?}"
            );
            assert_eq!(boat.is(), "afar");
            assert_ne!(boat.pid(), pid);
            boat.is_tidy();

            // What it replaced is a version below the highest now.
            let pid = boat.pid();
            let done = coracle.coracle(&["import", &own, "--replace", "--as-exported"]);
            assert_ne!(done.status, 0);
            for phrase in ["swapboat 1 is older than 2", "--allow-downgrade"] {
                assert!(done.stderr.contains(phrase), "{}", done.stderr);
            }
            assert_eq!((boat.is().as_str(), boat.pid()), ("afar", pid));
            let words = [
                "import",
                &own,
                "--replace",
                "--as-exported",
                "--allow-downgrade",
            ];
            coracle.ok(&[&words[..], &["--healthy-for", "0"]].concat());
            assert_eq!(boat.is(), "here");
            boat.is_tidy();
        },
    );
}

#[test]
fn on_a_terminal_the_replacement_is_asked_for_itself_and_no_leaves_all_as_it_was() {
    with_boat(
        "askboat",
        |_| (),
        |boat| {
            let coracle = boat.coracle;
            let import = format!("\"$CORACLE\" import {} --replace", boat.archive);
            let line = format!("{import} --healthy-for 1; echo \"status $?\"");
            let asks = "replace askboat with all that it has stored? [y/N] ";
            let shown = on_a_terminal(coracle, &line, asks, "n\n");
            for phrase in [
                "askboat 1 is here. askboat 2 takes its place",
                "the archive has (2 directories)",
                "kept until the new one has worked for 1 s",
                "askboat stays at 1, and nothing was changed",
                "status 1",
            ] {
                assert!(shown.contains(phrase), "{phrase}: {shown}");
            }
            assert_eq!(boat.is(), "here");
            boat.is_tidy();
            let shown = on_a_terminal(coracle, &line, asks, "y\nn\n");
            for phrase in [
                "With no, what is set here stays [y/N]",
                "askboat has to work for 1 s",
                "askboat 1 → 2 with 2 directories, set as before",
                "status 0",
            ] {
                assert!(shown.contains(phrase), "{phrase}: {shown}");
            }
            let stored = fs::read_to_string(boat.stored().join("word"));
            assert_eq!(stored.expect("a file"), "afar");
            let environment = coracle.property(&boat.unit(), "Environment");
            assert!(environment.contains("WORD=here"), "{environment}");
            boat.is_tidy();
        },
    );
}

#[test]
fn what_does_not_work_goes_again_and_what_was_there_is_back_whole() {
    let poison = |boat: &Boat| {
        fs::write(boat.stored().join("poison"), "").expect("a file");
    };
    with_boat("foulboat", poison, |boat| {
        let coracle = boat.coracle;
        let words = [&boat.import()[..4], &["--healthy-for", "5"]].concat();
        let done = coracle.coracle(&words);
        assert_eq!(done.status, 1, "{done:?}");
        let back = "what was imported is taken back, and foulboat 1 comes back as it was";
        assert!(done.stderr.contains(back), "{}", done.stderr);
        state(coracle, &boat.unit(), "active");
        assert_eq!(boat.is(), "here");
        assert!(!boat.stored().join("poison").exists());
        boat.is_tidy();
        assert!(coracle.ok(&["logs", "-u", &boat.unit()]).contains(back));
    });
}

#[test]
fn where_a_directory_can_t_be_exchanged_what_was_there_is_back_whole() {
    with_boat(
        "fastboat",
        |_| (),
        |boat| {
            let coracle = boat.coracle;
            // The directory of state goes first, and comes back.
            let mounted = Small::at(PathBuf::from("/etc/fastboat"));
            fs::write("/etc/fastboat/word", "here").expect("a file");
            let done = coracle.coracle(&boat.import());
            assert_eq!(done.status, 1, "{done:?}");
            for phrase in [
                "import failed: fastboat 1 comes back as it was",
                "is a mount point",
            ] {
                assert!(done.stderr.contains(phrase), "{phrase}: {}", done.stderr);
            }
            state(coracle, &boat.unit(), "active");
            assert_eq!(boat.is(), "here");
            boat.is_tidy();
            coracle.ok(&["stop", &boat.unit()]);
            drop(mounted);
            coracle.ok(&[&boat.import()[..], &["--now"]].concat());
            assert_eq!(boat.is(), "afar");
            boat.is_tidy();
        },
    );
}

#[test]
fn a_reboot_before_it_is_proven_brings_the_former_one_back() {
    with_boat(
        "cutboat",
        |_| (),
        |boat| {
            let coracle = boat.coracle;
            let words = [&boat.import()[..4], &["--healthy-for", "600"]].concat();
            let mut import = coracle.command(&words);
            let mut import = import.stderr(Stdio::null()).spawn().expect("coracle");
            eventually("the other one", || (boat.is() == "afar").then_some(()));
            // Whoever comes meanwhile leaves it alone.
            for start in [&["start", boat.name], &["start", "--enabled"]] {
                coracle.ok(start);
                assert_eq!(boat.is(), "afar", "{start:?}");
            }
            // What would be lost with it is refused.
            for change in [
                &["configure", boat.name, "--env", "WORD=lost"][..],
                &["detach", "--now", boat.name],
                &["hold", boat.name],
                &["start", boat.name, "--profile", "trusted"],
            ] {
                let done = coracle.coracle(change);
                assert_ne!(done.status, 0, "{change:?}");
                let why = "cutboat is being replaced by an import that is not proven yet";
                assert!(done.stderr.contains(why), "{change:?}: {}", done.stderr);
                assert_eq!(boat.is(), "afar", "{change:?}");
            }
            let purge = coracle.coracle(&["purge", boat.name]);
            let why = "another command exchanges what cutboat has stored";
            assert!(purge.status != 0 && purge.stderr.contains(why), "{purge:?}");
            assert_eq!(boat.is(), "afar");
            let done = coracle.coracle(&["backup", boat.name, "-"]);
            assert!(
                done.stderr.contains("another command is upgrading cutboat"),
                "{done:?}"
            );
            import.kill().expect("it is there");
            import.wait().expect("it ends");
            reboot(coracle);
            let said = coracle.coracle(&["start", "--enabled"]).ok().stderr;
            let told = "an import that was to replace cutboat was cut: 1 comes back as it was";
            assert!(said.contains(told), "{said}");
            state(coracle, &boat.unit(), "active");
            assert_eq!(boat.is(), "here");
            boat.is_tidy();
            // The next try succeeds.
            coracle.ok(&boat.import());
            assert_eq!(boat.is(), "afar");
            boat.is_tidy();
        },
    );
}

#[test]
fn killed_before_any_name_that_it_changes_there_is_the_former_or_the_other_one_whole() {
    with_boat(
        "deadboat",
        |_| (),
        |boat| {
            let coracle = boat.coracle;
            let own = coracle.folder().join("own").display().to_string();
            coracle.ok(&["export", boat.name, &own]);
            let back = [
                "import",
                &own,
                "--replace",
                "--as-exported",
                "--allow-downgrade",
            ];
            let back = [&back[..], &["--healthy-for", "0"]].concat();
            let mut found = [0, 0];
            for count in 1.. {
                let done = cut::before(coracle, &boat.import(), cut::NAMES, count)
                    .status
                    .success();
                coracle.ok(&["start", boat.name]);
                state(coracle, &boat.unit(), "active");
                match boat.is().as_str() {
                    "here" => found[0] += 1,
                    "afar" => found[1] += 1,
                    other => panic!("killed before {count}: {other}"),
                }
                boat.is_tidy();
                if boat.is() == "afar" {
                    coracle.ok(&back);
                }
                if done {
                    break;
                }
            }
            assert!(found[0] > 5 && found[1] > 1, "{found:?}");
        },
    );
}
