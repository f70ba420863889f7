//! Attacks on a sandbox: one line each, tried from inside of a transient service.

use testkit::Instance;

use crate::stage::Stage;

/// One attack, and what it proves.
#[derive(Clone, Copy)]
pub struct Attack {
    /// The directive that must stop it.
    pub directive: &'static str,
    value: Option<&'static str>,
    both: &'static [&'static str],
    line: &'static str,
    proof: Proof,
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
    /// It did not, although the service ran.
    Stopped,
    /// The service did not come so far, and says this.
    NotTried(String),
}

/// An attack that [`Proof::Works`] against the default profile's value.
#[must_use]
pub const fn attack(directive: &'static str, line: &'static str) -> Attack {
    Attack {
        directive,
        value: None,
        both: &[],
        line,
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

    /// With another proof.
    #[must_use]
    pub const fn proven(mut self, proof: Proof) -> Attack {
        self.proof = proof;
        self
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
        let value = self
            .value
            .or(of_profile.map(|(_, value)| value.as_str()))
            .unwrap_or_else(|| panic!("{} needs a value", self.directive));
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
        [
            ("without it", without, Outcome::Reached),
            ("with it alone", with, Outcome::Stopped),
            ("under the profile", whole, Outcome::Stopped),
        ]
        .into_iter()
        .filter_map(|(when, options, expected)| {
            let found = self.attempt(coracle, stage, &options);
            let is_right = match self.proof {
                Proof::Controlled(controller) if !has_controller(controller) => {
                    found == Outcome::Reached
                }
                _ => found == expected,
            };
            (!is_right).then(|| {
                format!(
                    "{}={value}: {when} the attack is {found:?}: {}",
                    self.directive, self.line
                )
            })
        })
        .collect()
    }

    fn attempt(&self, coracle: &Instance, stage: &Stage, options: &[String]) -> Outcome {
        if let Proof::After(line) = self.proof {
            let ready = run(coracle, stage, &self.options(&[]), line);
            assert_eq!(ready, Outcome::Reached, "{}: {line}", self.directive);
        }
        let outcome = run(coracle, stage, options, self.line);
        match (self.proof, outcome) {
            (Proof::Seen(line), Outcome::Reached | Outcome::Stopped) => {
                run(coracle, stage, &[], line)
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
    let place = crate::stage::control_groups().join("cgroup.controllers");
    let listed = std::fs::read_to_string(&place).unwrap_or_default();
    listed.split_whitespace().any(|word| word == name)
}

/// `call NAME ARGUMENT…` makes a system call, prints its result and succeeds when it does. A number is a number, `=1,2` a buffer that
/// begins with these 32-bit numbers, anything else a string. `asks NAME ARGUMENT…` succeeds when it has any other answer than EPERM.
const CALLS: &str = r#"
syscall='$n = shift; $r = syscall($ENV{"SYS_$n"} + 0, map { /^=(.*)/ ? pack("l* x256", split /,/, $1) : /^-?\d+$/ ? $_ + 0 : $_ } @ARGV);'
call() { perl -e "$syscall"'print "$r\n"; exit($r == -1)' -- "$@"; }
asks() { perl -e "$syscall"'exit($! == 1)' -- "$@"; }
"#;

/// Runs one line in a service. The word that it ends with tells a stopped attack from a service that never ran.
#[must_use]
pub fn run(coracle: &Instance, stage: &Stage, options: &[String], line: &str) -> Outcome {
    let script = format!("{CALLS}if {{ {line}\n}} >&2; then echo reached; else echo stopped; fi");
    let mut command = coracle.command(&["run", "--pipe", "--collect"]);
    for (name, value) in stage.variables() {
        command.arg("-E").arg(format!("{name}={value}"));
    }
    let options = options.iter().map(|option| stage.fill(option));
    command.args(options).args(["/bin/sh", "-c"]).arg(&script);
    let output = command.output().expect("the command starts");
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim_end() {
        "reached" => Outcome::Reached,
        "stopped" => Outcome::Stopped,
        _ => Outcome::NotTried(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
    }
}
