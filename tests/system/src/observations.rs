//! What directives do, as it is seen: with its line a unit shows one thing, and without it another.

use std::fs;
use std::process::Command;

use testkit::{DIST, Instance};

use crate::attack::{has_controller, option};
use crate::stage::Stage;

/// One directive, and how it is seen.
#[derive(Clone, Copy)]
pub struct Observation {
    line: &'static str,
    both: &'static [&'static str],
    scene: Scene,
    probe: &'static str,
    expected: &'static str,
}

/// Where the line stands and the probe runs.
#[derive(Clone, Copy)]
enum Scene {
    /// A transient service has the line, and runs the probe.
    Inside,
    /// The same, where the host has what it takes; elsewhere the start says that the directive is reduced.
    Needs(Need),
    /// Unit files, one of which has the line where it says `LINE`; the probe is a script of the host, which knows the unit as `$U`.
    Units(Files),
}

/// What hosts may lack.
#[derive(Clone, Copy)]
pub enum Need {
    /// A controller of control groups.
    Controller(&'static str),
    /// The privilege to raise limits.
    Resources,
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Need::Controller(name) => has_controller(name),
            Need::Resources => rustix::thread::capability_is_in_bounding_set(
                rustix::thread::CapabilitySet::SYS_RESOURCE,
            )
            .unwrap_or(false),
        }
    }
}

/// Unit files by name.
pub type Files = &'static [(&'static str, &'static str)];

/// A service with this line prints this, and without it something else.
#[must_use]
pub const fn inside(
    line: &'static str,
    probe: &'static str,
    expected: &'static str,
) -> Observation {
    Observation {
        line,
        both: &[],
        scene: Scene::Inside,
        probe,
        expected,
    }
}

/// The same of a script that has to do with units.
#[must_use]
pub const fn units(
    line: &'static str,
    files: Files,
    probe: &'static str,
    expected: &'static str,
) -> Observation {
    Observation {
        scene: Scene::Units(files),
        ..inside(line, probe, expected)
    }
}

impl Observation {
    /// With these lines, too, with the directive or without it.
    #[must_use]
    pub const fn on(mut self, both: &'static [&'static str]) -> Observation {
        self.both = both;
        self
    }

    /// Where the host has what it takes; elsewhere it must be told as reduced.
    #[must_use]
    pub const fn needs(mut self, need: Need) -> Observation {
        self.scene = Scene::Needs(need);
        self
    }

    /// The directive that it is of.
    #[must_use]
    pub fn directive(&self) -> &'static str {
        self.line.split('=').next().unwrap_or_default()
    }

    /// Says what is wrong, if anything is. `number` tells its units from other observations'.
    #[must_use]
    pub fn check(&self, coracle: &Instance, stage: &Stage, number: usize) -> Option<String> {
        let with = self.see(coracle, stage, &format!("with-{number}"), self.line);
        let without = self.see(coracle, stage, &format!("without-{number}"), "");
        let expected = stage.fill(self.expected);
        let expected = expected.replace("$U", &format!("with-{number}"));
        let is_right = with == expected && without != expected;
        (!is_right).then(|| format!("{}: {with:?}, and without it {without:?}", self.line))
    }

    fn see(&self, coracle: &Instance, stage: &Stage, unit: &str, line: &str) -> String {
        match self.scene {
            Scene::Units(files) => self.see_units(coracle, stage, files, unit, line),
            Scene::Needs(need) if !need.is_met() => self.see_reduction(coracle, &stage.fill(line)),
            Scene::Inside | Scene::Needs(_) => self.see_inside(coracle, stage, line),
        }
    }

    fn see_inside(&self, coracle: &Instance, stage: &Stage, line: &str) -> String {
        let mut command = coracle.command(&["run", "--pipe", "--collect", "--quiet"]);
        for (name, value) in stage.variables() {
            command.arg("-E").arg(format!("{name}={value}"));
        }
        let lines = self.both.iter().chain([&line]);
        for line in lines.filter(|line| !line.is_empty()) {
            command.args(option(&stage.fill(line)));
        }
        printed(command.args(["/bin/sh", "-c", self.probe]))
    }

    /// What is expected, if the start says that the directive is reduced.
    fn see_reduction(&self, coracle: &Instance, line: &str) -> String {
        let mut command = coracle.command(&["run", "--wait", "--collect"]);
        if !line.is_empty() {
            command.args(option(line));
        }
        let said = printed(command.arg("true"));
        let words = format!("{}=", self.directive());
        let reduced = said.lines().find(|line| line.contains("reduced: "));
        match reduced.filter(|line| line.contains(&words)) {
            Some(_) => self.expected.to_owned(),
            None => said,
        }
    }

    fn see_units(
        &self,
        coracle: &Instance,
        stage: &Stage,
        files: Files,
        unit: &str,
        line: &str,
    ) -> String {
        let fill = |text: &str| {
            let text = text.replace("LINE", &[self.both, &[line]].concat().join("\n"));
            stage.fill(&text.replace("$U", unit))
        };
        for (name, text) in files {
            coracle.unit(&fill(name), &fill(text));
        }
        let folder = coracle.folder().display();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("timeout");
        command
            .args(["30", "/bin/sh", "-c", &fill(self.probe)])
            .env("PATH", format!("{}:{path}", coracle.dist().display()))
            .env_remove(DIST);
        for (name, own) in [("RUNTIME", "run"), ("STATE", "state"), ("CONFIG", "config")] {
            command.env(format!("CORACLE_{name}_DIR"), format!("{folder}/{own}"));
        }
        let said = printed(&mut command);
        for (name, _) in files {
            let place = coracle.folder().join("config/units").join(fill(name));
            fs::remove_file(place).expect("the unit file was there");
        }
        said
    }
}

/// What a command prints on both streams, without what surrounds it.
fn printed(command: &mut Command) -> String {
    let output = command.output().expect("the command starts");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}
