//! Units and commands from a seed.

use super::actor::{EXIT, FORK, GATE, HANG, ON_TERM, READY, STAY};
use super::case::{ACTOR, Case, Deed, Section, Unit};
use crate::conformance::random::Random;

/// Nothing may depend on how long something takes: who is to be given up on is so after this time, and nobody else.
const GIVEN_UP: &str = "1s";

/// Parts of main processes by Type=.
const SIMPLE: &[&str] = &[
    "stay",
    "stay",
    "stay",
    "stay",
    "exit:0",
    "exit:1",
    "gate exit:0",
    "gate exit:1",
    "gate stay",
];
const ONESHOT: &[&str] = &[
    "exit:0",
    "exit:0",
    "exit:0",
    "exit:1",
    "gate exit:0",
    "gate exit:0",
    "gate exit:1",
    "hang",
];
const NOTIFY: &[&str] = &[
    "ready stay",
    "ready stay",
    "ready stay",
    "gate ready stay",
    "gate ready stay",
    "exit:1",
    "gate exit:1",
    "hang",
    "exit:0",
    "ready gate exit:0",
    "ready gate exit:1",
];
const FORKING: &[&str] = &[
    "fork stay",
    "fork stay",
    "fork stay",
    "gate fork stay",
    "exit:1",
    "gate exit:1",
    "exit:0",
    "hang",
];
const TYPES: &[(&str, &[&str])] = &[
    ("simple", SIMPLE),
    ("simple", SIMPLE),
    ("exec", SIMPLE),
    ("oneshot", ONESHOT),
    ("oneshot", ONESHOT),
    ("notify", NOTIFY),
    ("forking", FORKING),
];

/// Parts of the other processes, and how many services of 100 have one.
const OTHERS: &[(&str, &str, usize, &[&str])] = &[
    (
        "ExecCondition",
        "condition",
        6,
        &["exit:0", "exit:1", "exit:255"],
    ),
    (
        "ExecStartPre",
        "pre",
        15,
        &["exit:0", "exit:0", "gate exit:0", "exit:1"],
    ),
    (
        "ExecStartPost",
        "post",
        12,
        &["exit:0", "exit:0", "gate exit:0", "exit:1"],
    ),
    (
        "ExecReload",
        "reload",
        30,
        &["exit:0", "exit:0", "gate exit:0", "exit:1"],
    ),
    (
        "ExecStop",
        "stop",
        15,
        &["exit:0", "exit:0", "gate exit:0", "exit:1"],
    ),
    (
        "ExecStopPost",
        "stop-post",
        15,
        &["exit:0", "exit:0", "gate exit:0", "exit:1"],
    ),
];

const RESTARTS: &[&str] = &[
    "on-failure",
    "on-failure",
    "always",
    "on-success",
    "on-abnormal",
];

/// Relations; who is upheld must stay up, or would go up and down without an end.
const UPHOLDS: &str = "Upholds";
const RELATIONS: &[&str] = &[
    "Requires",
    "Requires",
    "Requires",
    "Requires",
    "Wants",
    "Wants",
    "Wants",
    "Wants",
    "BindsTo",
    "BindsTo",
    "PartOf",
    "PartOf",
    "Conflicts",
    "Requisite",
    "PropagatesStopTo",
    "StopPropagatedFrom",
    UPHOLDS,
    "OnFailure",
    "OnSuccess",
    "PropagatesReloadTo",
];

const VERBS: &[&str] = &[
    "start",
    "start",
    "start",
    "start",
    "start",
    "start",
    "start",
    "start",
    "stop",
    "stop",
    "stop",
    "stop",
    "restart",
    "restart",
    "restart",
    "try-restart",
    "reload",
    "reload-or-restart",
    "isolate",
    "kill",
    "reset-failed",
];
const START_MODES: &[&str] = &[
    "fail",
    "replace-irreversibly",
    "flush",
    "ignore-dependencies",
    "ignore-requirements",
    "restart-dependencies",
    "isolate",
    "lenient",
];
const OTHER_MODES: &[&str] = &[
    "fail",
    "replace-irreversibly",
    "flush",
    "ignore-dependencies",
    "ignore-requirements",
];

struct Draw {
    random: Random,
    names: Vec<String>,
}

pub(super) fn case(seed: u64) -> Case {
    let mut draw = Draw {
        random: Random::of(seed),
        names: Vec::new(),
    };
    let count = 5 + draw.random.below(11);
    for letter in ('a'..='z').take(count) {
        let kind = if draw.chance(20) { "target" } else { "service" };
        draw.names.push(format!("{letter}.{kind}"));
    }
    let mut units: Vec<Unit> = draw
        .names
        .clone()
        .into_iter()
        .map(|name| draw.unit(name))
        .collect();
    for at in 0..count {
        let lines = draw.relations(at, &units);
        if let Some(unit) = units.get_mut(at) {
            unit.lines
                .extend(lines.into_iter().map(|line| (Section::Unit, line)));
        }
    }
    let deeds = draw.deeds();
    Case { seed, units, deeds }
}

impl Draw {
    fn chance(&mut self, percent: usize) -> bool {
        self.random.below(100) < percent
    }

    fn unit(&mut self, name: String) -> Unit {
        let is_service = name.ends_with(".service");
        let mut lines = Vec::new();
        let mut of_unit = |line: &str| lines.push((Section::Unit, line.to_owned()));
        if self.chance(if is_service { 5 } else { 60 }) {
            of_unit("AllowIsolate=yes");
        }
        for (percent, line) in [
            (8, "StopWhenUnneeded=yes"),
            (3, "RefuseManualStart=yes"),
            (3, "RefuseManualStop=yes"),
            (4, "IgnoreOnIsolate=yes"),
        ] {
            if self.chance(percent) {
                of_unit(line);
            }
        }
        if is_service {
            // The limit of 5 in 10 s would depend on how long things take.
            of_unit("StartLimitIntervalSec=1h");
            of_unit(&format!("StartLimitBurst={}", 2 + self.random.below(3)));
            let service = self.service();
            lines.extend(service.into_iter().map(|line| (Section::Service, line)));
        }
        Unit { name, lines }
    }

    /// A part, with what SIGTERM does to who may get it.
    fn part(&mut self, role: &str, parts: &[&str]) -> String {
        let mut part = self.random.one_of(parts).to_owned();
        let waits = [GATE, STAY, HANG].iter().any(|word| part.contains(word));
        if waits && self.chance(35) {
            let on_term = ON_TERM
                .get(1 + self.random.below(3))
                .copied()
                .unwrap_or_default();
            part = format!("{on_term} {part}");
        }
        format!("{ACTOR} {role} {part}")
    }

    fn service(&mut self) -> Vec<String> {
        let at = self.random.below(TYPES.len());
        let (kind, parts) = TYPES.get(at).copied().unwrap_or(("simple", SIMPLE));
        let mut lines = vec![
            format!("Type={kind}"),
            format!("ExecStart={}", self.part("main", parts)),
        ];
        // Who ends by itself and who runs beside it would be as fast as chance has it.
        let is_race = kind != "oneshot" && !lines.iter().any(|line| line.contains(STAY));
        for (directive, role, percent, parts) in OTHERS.iter().copied() {
            if self.chance(percent) && !(is_race && role == "post") {
                lines.push(format!("{directive}={}", self.part(role, parts)));
            }
        }
        let has = |word: &str| lines.iter().any(|line| line.contains(word));
        let mut further = Vec::new();
        if has(HANG) {
            further.push(format!("TimeoutStartSec={GIVEN_UP}"));
        }
        if has("term:ignore") {
            further.push(format!("TimeoutStopSec={GIVEN_UP}"));
        }
        if self.chance(if kind == "oneshot" { 50 } else { 15 }) {
            further.push("RemainAfterExit=yes".to_owned());
        }
        if self.chance(25) {
            further.push(format!("Restart={}", self.random.one_of(RESTARTS)));
            further.push(format!("RestartSec={}", self.random.one_of(&["0", "50ms"])));
            if self.chance(20) {
                further.push("RestartMode=direct".to_owned());
            }
            if self.chance(10) {
                further.push("RestartPreventExitStatus=1".to_owned());
            }
        }
        if self.chance(5) {
            further.push("SuccessExitStatus=1".to_owned());
        }
        lines.extend(further);
        lines
    }

    fn relations(&mut self, at: usize, units: &[Unit]) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..self.random.below(4) {
            let other = match self.chance(75) {
                true => self.random.below(at.max(1)),
                false => self.random.below(units.len()),
            };
            let (Some(name), Some(unit)) = (self.names.get(other).cloned(), units.get(other))
            else {
                continue;
            };
            if other == at {
                continue;
            }
            if !self.chance(15) {
                let relation = self.random.one_of(RELATIONS);
                if relation == UPHOLDS && !is_tame(unit) {
                    continue;
                }
                lines.push(format!("{relation}={name}"));
            }
            // A state is looked at when those before it are done, or by chance earlier or later.
            let is_looked_at = ["Requisite=", "BindsTo="].iter().any(|start| {
                let last = lines.last();
                last.is_some_and(|line| line.starts_with(start))
            });
            if self.chance(60) || is_looked_at {
                // Against the alphabet there are circles.
                let is_after = (other < at) != self.chance(4);
                lines.push(format!(
                    "{}={name}",
                    if is_after { "After" } else { "Before" }
                ));
            }
        }
        lines
    }

    fn deeds(&mut self) -> Vec<Deed> {
        let mut deeds = Vec::new();
        let mut is_open = self.chance(50);
        if !is_open {
            deeds.push(Deed::Close);
        }
        for at in 0..3 + self.random.below(6) {
            if at > 0 && self.chance(20) {
                is_open = !is_open;
                deeds.push(if is_open { Deed::Open } else { Deed::Close });
            }
            deeds.push(Deed::Command(self.command(at == 0)));
        }
        if !is_open {
            deeds.push(Deed::Open);
        }
        deeds
    }

    fn command(&mut self, is_first: bool) -> Vec<String> {
        let verb = if is_first {
            "start"
        } else {
            self.random.one_of(VERBS)
        };
        let mut words = vec![verb.to_owned()];
        let modes = match verb {
            "start" | "restart" => START_MODES,
            "stop" | "try-restart" | "reload" => OTHER_MODES,
            _ => &[],
        };
        if !modes.is_empty() && self.chance(25) {
            words.push(format!("--job-mode={}", self.random.one_of(modes)));
        }
        if verb == "kill" {
            words.push(format!(
                "--signal={}",
                self.random.one_of(&["SIGKILL", "SIGTERM"])
            ));
        }
        let count = self.names.len();
        let at = match is_first {
            true => count / 2 + self.random.below(count.div_ceil(2)),
            false => self.random.below(count),
        };
        words.extend(self.names.get(at).cloned());
        words
    }
}

/// Whether it stays up once it is up, and comes up each time.
fn is_tame(unit: &Unit) -> bool {
    let lines = || unit.lines.iter().map(|(_, line)| line.as_str());
    let stays = lines().any(|line| {
        line.starts_with("ExecStart=")
            && [STAY, FORK, READY].iter().any(|word| line.contains(word))
            && line.contains(STAY)
    });
    stays
        && !lines()
            .any(|line| line.contains(&format!("{EXIT}1")) || line.contains("StopWhenUnneeded"))
        && !lines().any(|line| line.starts_with("ExecCondition="))
}
