//! Random combinations of directives that restrict, each from a number: what each forbids must fail, whatever else is set.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::attack::{Attack, Proof, has_controller};
use crate::attacks::ATTACKS;
use crate::profile::profile;
use crate::stage::Stage;

/// How many directives are drawn, beside the lines that their attacks are made on.
const FEWEST: usize = 3;
const MOST: usize = 12;

/// How often a row that fits to what is there is looked for.
const DRAWS_MAX: usize = 60;

/// What is there on a host alone.
const OF_HOST: [&str; 3] = ["$DISK", "$PINNED", "$ROOM/fs"];

/// Directives that open what another one closes: the act is then no attack.
const OPENED: &[(&str, &str)] = &[
    ("DeviceAllow=/dev/full r", "read /dev/full"),
    ("StandardInput=data", "read /dev/full"),
];

/// Acts that are made only where they must fail: what they get stays for a minute.
const LASTING: [&str; 1] = ["plant-key"];

/// A unit of directives that restrict.
#[derive(Clone, Debug)]
pub struct Combination {
    /// The number that it is made from.
    pub seed: u64,
    /// Its lines, in the order in which they were drawn. `$ROOM` and its like are a stage's.
    pub lines: Vec<String>,
}

/// What became of a combination.
#[derive(Debug)]
pub struct Trial {
    /// Why the service did not start, or was ended early.
    pub refused: Option<String>,
    /// What became of each act: `reached`, the name of an error, or a signal.
    pub outcomes: BTreeMap<&'static str, String>,
}

/// Numbers from a seed: the generator that is called splitmix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).expect("31 bits") % end
    }
}

/// The rows that can be drawn, by directive: without those whose scene is set by another service, or whose act is a script.
fn rows() -> Vec<Vec<&'static Attack>> {
    let mut by_directive: BTreeMap<&str, Vec<&Attack>> = BTreeMap::new();
    for attack in ATTACKS {
        let is_one_act = !attack.line.contains(';');
        if is_one_act && !matches!(attack.proof, Proof::After(_)) {
            by_directive
                .entry(attack.directive)
                .or_default()
                .push(attack);
        }
    }
    by_directive.into_values().collect()
}

impl Combination {
    /// Draws the combination of a number.
    #[must_use]
    pub fn draw(seed: u64) -> Combination {
        let (rows, profile) = (rows(), profile());
        let mut draw = Draw(seed);
        let wanted = FEWEST + draw.below(MOST - FEWEST + 1);
        let mut lines: Vec<String> = Vec::new();
        let mut drawn = BTreeSet::new();
        for _ in 0..DRAWS_MAX {
            if drawn.len() == wanted {
                break;
            }
            let of_directive = &rows[draw.below(rows.len())];
            let attack = of_directive[draw.below(of_directive.len())];
            let own = own_lines(attack, &profile);
            if !drawn.contains(attack.directive) && fits(&own, &lines) {
                drawn.insert(attack.directive);
                let fresh = own.into_iter().filter(|line| !lines.contains(line));
                let fresh: Vec<String> = fresh.collect();
                lines.extend(fresh);
            }
        }
        Combination { seed, lines }
    }

    /// Without what only a host has.
    #[must_use]
    pub fn in_container(mut self) -> Combination {
        self.lines.retain(|line| !is_of_host(line));
        self
    }

    /// Without one of its lines.
    #[must_use]
    fn without(&self, line: &str) -> Combination {
        let mut lesser = self.clone();
        lesser.lines.retain(|one| one != line);
        lesser
    }

    /// The attacks that its lines forbid.
    #[must_use]
    pub fn forbidden(&self) -> Vec<&'static Attack> {
        let profile = profile();
        let has = |line: &String| self.lines.contains(line);
        let is_opened = |attack: &&Attack| {
            OPENED
                .iter()
                .any(|(line, act)| *act == attack.line && self.lines.iter().any(|own| own == line))
        };
        let is_bounded = |attack: &&Attack| match attack.proof {
            Proof::Controlled(controller) => has_controller(controller),
            _ => true,
        };
        let all = rows().into_iter().flatten();
        all.filter(|attack| own_lines(attack, &profile).iter().all(has))
            .filter(|attack| !is_opened(attack))
            .filter(is_bounded)
            .collect()
    }

    /// All acts that are tried: those that it forbids, and those of all other rows that need no scene.
    fn acts(&self, is_host: bool) -> Vec<&'static str> {
        let forbidden = self.forbidden();
        let is_free = |attack: &&Attack| {
            let is_one_act = !attack.line.contains(';') && !LASTING.contains(&attack.line);
            matches!(attack.proof, Proof::Works) && is_one_act
        };
        let others = ATTACKS.iter().filter(is_free);
        let mut acts: Vec<&str> = forbidden
            .into_iter()
            .chain(others)
            .map(|one| one.line)
            .collect();
        // Not everybody knows what forbids a lasting act: in a container another system makes it, too.
        acts.retain(|act| is_host || !(is_of_host(act) || LASTING.contains(act)));
        acts.sort_unstable();
        acts.dedup();
        acts
    }

    /// The unit file that tries these acts, with a stage's names filled in.
    #[must_use]
    pub fn text(&self, stage: &Stage, acts: &[&str]) -> String {
        let words: Vec<String> = acts.iter().map(|act| format!("\"{act}\"")).collect();
        let text = format!(
            "[Service]\nType=oneshot\nTimeoutStartSec=30\nLimitCORE=0\nStandardOutput=truncate:$ROOM/said\n\
             StandardError=inherit\n{}\nExecStart=$ROOM/attacker each {}\n",
            self.lines.join("\n"),
            words.join(" ")
        );
        // What processes of a user leave is removed with the last of them: each stage has its own.
        let text = text.replace("User=games\n", &format!("User={}\n", stage.user()));
        // All stages of an instance have one group of it.
        let text = text.replace("$GROUP/attack", "$GROUP/$NAME");
        stage.fill(&text)
    }

    /// Runs it once: `start` is the command that starts the unit of this name, whose file is to be in `units`.
    ///
    /// # Panics
    /// When the unit can't be written, or what was left can't be removed.
    #[must_use]
    pub fn attempt(
        &self,
        stage: &Stage,
        name: &str,
        units: &Path,
        start: &dyn Fn(&str) -> Command,
    ) -> Trial {
        let acts = self.acts(stage.is_host());
        let (file, said) = (units.join(name), stage.room().join("said"));
        fs::write(&file, self.text(stage, &acts)).expect("a unit file");
        fs::write(&said, "").expect("a file for what is said");
        let started = start(name).output().expect("the command starts");
        let told = fs::read_to_string(&said).expect("what is said");
        fs::remove_file(&file).expect("it is there");
        let mut outcomes = BTreeMap::new();
        for (number, act) in acts.iter().enumerate() {
            let mut lines = told.lines().filter_map(|line| line.split_once(' '));
            let found = lines.find(|(of, _)| *of == number.to_string());
            let outcome = found.map_or("not tried", |(_, outcome)| outcome);
            outcomes.insert(*act, outcome.to_owned());
        }
        for attack in self.forbidden() {
            if let Proof::Seen(line) = attack.proof {
                let line = stage.fill(line);
                let words: Vec<&str> = line.split_whitespace().collect();
                let is_seen = stage.outside(&words).status.success();
                let outcome = if is_seen { REACHED } else { "gone" };
                outcomes.insert(attack.line, outcome.to_owned());
            }
        }
        stage.tidy();
        let why = || String::from_utf8_lossy(&started.stderr).into_owned();
        Trial {
            refused: (!started.status.success()).then(why),
            outcomes,
        }
    }
}

/// What an act says that got what it wanted.
pub const REACHED: &str = "reached";

impl Trial {
    /// What should not be: the act, or `start`, and what became of it.
    #[must_use]
    pub fn faults(&self, forbidden: &[&'static Attack]) -> Vec<(String, String)> {
        if let Some(why) = &self.refused {
            return vec![("start".to_owned(), why.clone())];
        }
        let is_forbidden = |act: &str| forbidden.iter().any(|attack| attack.line == act);
        let is_fault = |(act, outcome): &(&&str, &String)| {
            let is_reached = outcome.as_str() == REACHED && is_forbidden(act);
            is_reached || !(outcome.as_str() == REACHED || is_refusal(outcome))
        };
        let found = self.outcomes.iter().filter(is_fault);
        found
            .map(|(act, outcome)| ((*act).to_owned(), outcome.clone()))
            .collect()
    }
}

/// Whether it is the word of an act that was tried and did not get what it wanted.
fn is_refusal(outcome: &str) -> bool {
    let is_error = outcome.starts_with('E') && !outcome.contains(' ');
    let is_ended = matches!(outcome, "signal 31" | "signal 9");
    is_error || is_ended || matches!(outcome, "nothing" | "gone")
}

/// Takes away one line after the other as long as the fault stays.
#[must_use]
pub fn shrink(whole: &Combination, has_fault: &dyn Fn(&Combination) -> bool) -> Combination {
    let mut smallest = whole.clone();
    for line in &whole.lines {
        let lesser = smallest.without(line);
        if has_fault(&lesser) {
            smallest = lesser;
        }
    }
    smallest
}

fn is_of_host(text: &str) -> bool {
    OF_HOST.iter().any(|name| text.contains(name)) || text.ends_with("/silence")
}

fn own_lines(attack: &Attack, profile: &[(String, String)]) -> Vec<String> {
    let own = format!("{}={}", attack.directive, attack.value(profile));
    let key = format!("{}=", attack.directive);
    let both = attack.both.iter().filter(|line| !line.starts_with(&key));
    let both = both.map(|line| (*line).to_owned());
    both.chain([own]).collect()
}

/// Whether these lines say nothing else than those that are there, and nothing of the host's tree where that is not seen.
fn fits(own: &[String], there: &[String]) -> bool {
    let key = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
    let differs = |(one, other): (&String, &String)| one != other && key(one) == key(other);
    let mut pairs = own
        .iter()
        .flat_map(|one| there.iter().map(move |other| (one, other)));
    if pairs.any(differs) {
        return false;
    }
    let all = || own.iter().chain(there);
    let roots = ["RootDirectory=", "RootMStack="];
    let is_root = |line: &String| roots.iter().any(|root| line.starts_with(root));
    let is_rooted = all().any(is_root);
    let needs_tree = |line: &String| {
        line.contains("$ROOM") && !is_root(line) && !line.starts_with("BindReadOnlyPaths=/usr ")
    };
    !(is_rooted && all().any(needs_tree))
}
