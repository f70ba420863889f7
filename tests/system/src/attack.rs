//! Attacks on a sandbox: one line each for the program `attacker`, tried from inside of a transient service.

use testkit::Instance;

use crate::stage::Stage;

/// One attack, and what it proves.
#[derive(Clone, Copy)]
pub struct Attack {
    /// The directive that must stop it.
    pub directive: &'static str,
    value: Option<&'static str>,
    /// Lines of the service that it is made in, with the directive or without it.
    pub both: &'static [&'static str],
    /// The act with its arguments.
    pub line: &'static str,
    /// What refuses it with the directive alone, and under the whole profile.
    refused: [&'static str; 2],
    /// How it is proven.
    pub proof: Proof,
}

/// How an attack is proven.
#[derive(Clone, Copy)]
pub enum Proof {
    /// It works without the directive, and with it no more.
    Works,
    /// A service without the directive sets the scene first.
    After(&'static str),
    /// A service without the directive looks afterwards whether the attack reached what it wanted.
    Seen(&'static str),
    /// It is stopped where this controller of control groups is at hand; elsewhere the start says that the directive is reduced.
    Controlled(&'static str),
}

/// What became of an attack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It got what it wanted.
    Reached,
    /// It did not, although the service ran: the error's or the signal's name, if it is known.
    Stopped(String),
    /// The service did not come so far, and says this.
    NotTried(String),
}

/// What a host makes of a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It stops the attack.
    Applied,
    /// It does not, and the start says that it is reduced.
    Reduced,
    /// The service does not start, and the directive is why.
    Refused,
    /// Nobody says that it does not hold; what was said instead.
    Lost(String),
}

impl Outcome {
    /// Whether it is the expected one, which may name several errors with `|` between them.
    fn is(&self, expected: &Outcome) -> bool {
        match (self, expected) {
            (Outcome::Stopped(error), Outcome::Stopped(errors)) => {
                errors.split('|').any(|one| one == error)
            }
            _ => self == expected,
        }
    }
}

/// An attack that [`Proof::Works`] against the default profile's value: an act with its arguments, and the error that refuses it.
#[must_use]
pub const fn attack(directive: &'static str, line: &'static str, error: &'static str) -> Attack {
    Attack {
        directive,
        value: None,
        both: &[],
        line,
        refused: [error, error],
        proof: Proof::Works,
    }
}

impl Attack {
    /// With a value of its own instead of the default profile's.
    #[must_use]
    pub const fn with(mut self, value: &'static str) -> Attack {
        self.value = Some(value);
        self
    }

    /// On a service with these properties, with the directive or without it.
    #[must_use]
    pub const fn on(mut self, both: &'static [&'static str]) -> Attack {
        self.both = both;
        self
    }

    /// Refused by another error under the whole profile.
    #[must_use]
    pub const fn under_profile(mut self, error: &'static str) -> Attack {
        self.refused[1] = error;
        self
    }

    /// With another proof.
    #[must_use]
    pub const fn proven(mut self, proof: Proof) -> Attack {
        self.proof = proof;
        self
    }

    /// The value that stops it: its own, or the profile's.
    ///
    /// # Panics
    /// When it has none, and the profile none for its directive.
    #[must_use]
    pub fn value<'a>(&self, profile: &'a [(String, String)]) -> &'a str {
        let mut of_profile = profile.iter().filter(|(name, _)| name == self.directive);
        self.value
            .or(of_profile.next().map(|(_, value)| value.as_str()))
            .unwrap_or_else(|| panic!("{} needs a value", self.directive))
    }

    /// Says what is wrong with the proof, if anything is: without the directive, with it alone, and under the whole profile.
    #[must_use]
    pub fn check(
        &self,
        coracle: &Instance,
        stage: &Stage,
        profile: &[(String, String)],
    ) -> Vec<String> {
        let of_profile = profile.iter().find(|(name, _)| name == self.directive);
        let value = self.value(profile);
        let alone = [format!("{}={value}", self.directive)];
        let mut whole = vec!["--profile=default".to_owned()];
        let kept = self.both.iter().filter(|property| {
            let name = property.split('=').next().unwrap_or_default();
            name != "User" && profile.iter().all(|(known, _)| known != name)
        });
        whole.extend(kept.flat_map(|property| option(property)));
        if of_profile.is_none() || self.value.is_some() {
            whole.extend(option(&alone[0]));
        }
        let without = self.options(&[]);
        let with = self.options(&alone);
        let stopped = self.refused.map(|error| Outcome::Stopped(error.to_owned()));
        let [alone, under] = stopped;
        [
            ("without it", without, Outcome::Reached),
            ("with it alone", with, alone),
            ("under the profile", whole, under),
        ]
        .into_iter()
        .filter_map(|(when, options, expected)| {
            let found = self.attempt(coracle, stage, &options);
            let is_right = match self.proof {
                Proof::Controlled(controller) if !has_controller(controller) => {
                    found == Outcome::Reached
                }
                _ => found.is(&expected),
            };
            (!is_right).then(|| {
                format!(
                    "{}={value}: {when} the attack {:?} is {found:?}, not {expected:?}",
                    self.directive, self.line
                )
            })
        })
        .collect()
    }

    /// What a host that can do less makes of the directive; nothing where what the attack wants can't be had there anyway.
    #[must_use]
    pub fn answer(
        &self,
        coracle: &Instance,
        stage: &Stage,
        profile: &[(String, String)],
    ) -> Option<Answer> {
        let is_there = |text: &&str| !stage.fill(text).contains('$');
        let value = self.value(profile);
        let mut texts = self.both.iter().copied().chain([self.line, value]);
        let is_whole = texts.all(|text| is_there(&text));
        let is_simple = matches!(self.proof, Proof::Works) && !self.line.contains(';');
        if !is_whole || !is_simple {
            return None;
        }
        if act(coracle, stage, &self.options(&[]), self.line) != Outcome::Reached {
            return None;
        }
        let property = format!("{}={value}", self.directive);
        let line = format!("$ROOM/attacker {}", self.line);
        let (said, why) = service(coracle, stage, &self.options(&[property]), &line);
        let name = format!("{}=", self.directive);
        let is_told = |word: &str| {
            let mut lines = why.lines();
            lines.any(|line| line.contains(word) && line.contains(&name))
        };
        Some(match outcome(said, &why) {
            Outcome::Stopped(_) => Answer::Applied,
            Outcome::Reached if is_told("reduced: ") => Answer::Reduced,
            Outcome::NotTried(_) if why.contains("can't be applied") => Answer::Refused,
            Outcome::Reached | Outcome::NotTried(_) => Answer::Lost(why),
        })
    }

    fn attempt(&self, coracle: &Instance, stage: &Stage, options: &[String]) -> Outcome {
        if let Proof::After(line) = self.proof {
            let ready = act(coracle, stage, &self.options(&[]), line);
            assert_eq!(ready, Outcome::Reached, "{}: {line}", self.directive);
        }
        let outcome = act(coracle, stage, options, self.line);
        match (self.proof, outcome) {
            (Proof::Seen(line), Outcome::Reached | Outcome::Stopped(_)) => {
                act(coracle, stage, &[], line)
            }
            (_, outcome) => outcome,
        }
    }

    /// What is said last wins.
    fn options(&self, more: &[String]) -> Vec<String> {
        let both = self.both.iter().flat_map(|property| option(property));
        both.chain(more.iter().flat_map(|property| option(property)))
            .collect()
    }
}

/// The words of the command line for one property.
#[must_use]
pub fn option(property: &str) -> [String; 2] {
    ["-p".to_owned(), property.to_owned()]
}

/// Whether the unified hierarchy has this controller.
#[must_use]
pub fn has_controller(name: &str) -> bool {
    let Some(groups) = crate::stage::unified_groups() else {
        return false;
    };
    let listed = std::fs::read_to_string(groups.join("cgroup.controllers")).unwrap_or_default();
    listed.split_whitespace().any(|word| word == name)
}

/// The name of a signal that ends those who ask for too much.
fn signal(number: i32) -> String {
    match number {
        libc::SIGKILL => "SIGKILL".to_owned(),
        libc::SIGSYS => "SIGSYS".to_owned(),
        other => format!("signal {other}"),
    }
}

/// Has the attacker do one act in a service.
#[must_use]
pub fn act(coracle: &Instance, stage: &Stage, options: &[String], line: &str) -> Outcome {
    let (said, why) = service(coracle, stage, options, &format!("$ROOM/attacker {line}"));
    outcome(said, &why)
}

/// What became of an act, by what the service printed.
fn outcome(said: String, why: &str) -> Outcome {
    let mut last = said.lines().rev();
    let status = last.next().and_then(|word| word.parse().ok());
    match (status, last.next()) {
        (Some(0), Some("reached")) => Outcome::Reached,
        (Some(1), Some(error)) => Outcome::Stopped(error.to_owned()),
        (Some(status @ 129..), _) => Outcome::Stopped(signal(status - 128)),
        _ => Outcome::NotTried(said + why),
    }
}

/// Runs one line of a shell in a service: it reaches what it wants if it succeeds.
#[must_use]
pub fn run(coracle: &Instance, stage: &Stage, options: &[String], line: &str) -> Outcome {
    let (said, why) = service(coracle, stage, options, line);
    match said.lines().last().and_then(|word| word.parse().ok()) {
        Some(0) => Outcome::Reached,
        Some(1..=255) => Outcome::Stopped(String::new()),
        _ => Outcome::NotTried(said + &why),
    }
}

/// What a line prints in a service, with its status at the end: it tells a stopped attack from a service that never ran.
fn service(coracle: &Instance, stage: &Stage, options: &[String], line: &str) -> (String, String) {
    let mut command = coracle.command(&["run", "--pipe", "--collect"]);
    for (name, value) in stage.variables() {
        command.arg("-E").arg(format!("{name}={value}"));
    }
    command.args(options.iter().map(|option| stage.fill(option)));
    let script = format!("{{ {line}\n}}; echo $?");
    let output = command.args(["/bin/sh", "-c"]).arg(script).output();
    let output = output.expect("the command starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
