//! A channel: a maker that publishes versions, and a host that has its portable from there.

use std::fs;
use std::path::PathBuf;

use testkit::{Finished, HttpsServer, Instance};

use crate::images::{By, Web, Workshop, with_workshop};

/// A line of a service that works.
pub const GOOD: &str = "ExecStart=/usr/bin/sleep infinity";
/// Up at first, and gone a moment later.
pub const BAD: &str = "ExecStart=/usr/bin/dash -c 'sleep 0.3; exit 7'";

/// A maker's directory, a server that gives it out, and the host that has version 1.0 from there.
pub struct Harbour<'a> {
    pub coracle: &'a Instance,
    pub workshop: &'a Workshop<'a>,
    pub web: PathBuf,
    pub ca: String,
    pub server: HttpsServer,
}

/// The unit of a version, with this line.
#[must_use]
pub fn unit(version: &str, line: &str) -> String {
    format!("[Unit]\nDescription=boat {version}\n[Service]\nType=exec\n{line}\n")
}

impl Harbour<'_> {
    /// Gives `work` a host that runs version 1.0.
    ///
    /// # Panics
    /// When that does not come up, or something is left behind.
    pub fn open(work: impl FnOnce(&Harbour)) {
        with_workshop(|coracle, workshop| {
            let Web {
                folder: web,
                ca,
                server,
            } = Web::of(coracle);
            let harbour = Harbour {
                coracle,
                workshop,
                web,
                ca,
                server,
            };
            harbour.publish("1.0", GOOD, By::Trusted, &[]);
            coracle.ok(&[
                "start",
                &harbour.server.url("boat.psi"),
                "--ca",
                &harbour.ca,
            ]);
            work(&harbour);
        });
    }

    /// Publishes a version whose service has this line.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn publish(&self, version: &str, line: &str, by: By, more: &[&str]) {
        self.publish_units(version, &[("boat.service", line)], by, more);
    }

    /// The same with several units.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn publish_units(&self, version: &str, units: &[(&str, &str)], by: By, more: &[&str]) {
        let units: Vec<(&str, String)> = units
            .iter()
            .map(|(name, line)| (*name, unit(version, line)))
            .collect();
        let units: Vec<(&str, &str)> = units
            .iter()
            .map(|(name, text)| (*name, text.as_str()))
            .collect();
        let image = self.workshop.image("boat", version, by, &units);
        let (web, key) = (self.web.display().to_string(), self.workshop.key(by));
        let mut words = vec!["publish", &image, &web, "--key", &key];
        words.extend(more);
        self.coracle.ok(&words);
    }

    /// Upgrades the host.
    ///
    /// # Panics
    /// When the command does not start.
    #[must_use]
    #[track_caller]
    pub fn upgrade(&self, more: &[&str]) -> Finished {
        let mut words = vec!["upgrade", "boat", "--ca", &self.ca];
        if !more.contains(&"--healthy-for") {
            words.extend(["--healthy-for", "1"]);
        }
        words.extend(more);
        self.coracle.coracle(&words)
    }

    /// The same where it succeeds; what it says.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn upgraded(&self, more: &[&str]) -> String {
        self.upgrade(more).ok().stdout
    }

    /// What is refused changes nothing of what runs.
    ///
    /// # Panics
    /// When it is not refused so.
    #[track_caller]
    pub fn refused(&self, more: &[&str], expected: &[&str]) {
        let before = self.running();
        let said = self.upgrade(more);
        assert_eq!(said.status, 1, "{}{}", said.stdout, said.stderr);
        said.refused(expected);
        assert_eq!(self.running(), before);
        let staged = self.coracle.folder().join("state/store/staging");
        if let Ok(left) = fs::read_dir(&staged) {
            let left: Vec<_> = left.map(|entry| entry.expect("an entry").path()).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }

    /// Which version runs, and in which process.
    ///
    /// # Panics
    /// When none does.
    #[must_use]
    #[track_caller]
    pub fn running(&self) -> (String, String) {
        let [state, what, process] = ["ActiveState", "Description", "MainPID"]
            .map(|name| self.coracle.property("boat.service", name));
        assert_eq!(state, "active");
        (what, process)
    }

    /// The versions that the host has, each with its state.
    ///
    /// # Panics
    /// When they are not told.
    #[must_use]
    #[track_caller]
    pub fn versions(&self) -> Vec<(String, String)> {
        let text = self.coracle.ok(&["versions", "boat", "--json"]);
        let lines: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let lines = lines.as_array().expect("a list").iter();
        let word =
            |line: &serde_json::Value, name: &str| line[name].as_str().expect("text").to_owned();
        lines
            .map(|line| (word(line, "version"), word(line, "state")))
            .collect()
    }

    /// Those must be these.
    ///
    /// # Panics
    /// When they are others.
    #[track_caller]
    pub fn check_versions(&self, expected: &[(&str, &str)]) {
        let found = self.versions();
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    /// A file of the directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.web.join(name)
    }
}
