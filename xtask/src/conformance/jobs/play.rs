//! A case is played by one side: after each deed the side is waited for until it is at rest, and then looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;

use super::case::{Case, Cast, Deed, KEEPER};
use super::side::{Line, Side};
use super::story::{Moment, Story, breaches};

/// Who is not at rest after so long never will be.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the next line of the log is waited for, in nanoseconds: what changes without one is seen then.
const LOOK_NS: i64 = 15_000_000;

const PROPERTIES: [&str; 7] = [
    "Id",
    "ActiveState",
    "SubState",
    "Result",
    "MainPID",
    "NRestarts",
    "Job",
];

/// Properties of each unit, by its name in the case.
type Units = BTreeMap<String, BTreeMap<String, String>>;

/// One case on one side.
pub(super) struct Play<'a> {
    side: &'a mut Side,
    case: &'a Case,
    cast: Cast<'a>,
    is_open: bool,
    /// How much of the log was looked at.
    seen: usize,
}

/// What a side does with a case; then nothing of it is left.
pub(super) fn play(side: &mut Side, case: &Case, prefix: &str) -> Result<Story> {
    let (folder, program) = (side.folder.clone(), std::env::current_exe()?);
    let cast = Cast {
        prefix,
        folder: &folder,
        program: &program,
    };
    cast.write(case, &side.units)?;
    side.open_gate()?;
    side.must(&["daemon-reload"])?;
    side.must(&["start", &cast.name(KEEPER)])?;
    let mut play = Play {
        side,
        case,
        cast,
        is_open: true,
        seen: 0,
    };
    let story = play.story();
    play.clear()?;
    story
}

impl Play<'_> {
    fn story(&mut self) -> Result<Story> {
        let mut story = Story::default();
        for deed in &self.case.deeds {
            let status = self.act(deed)?;
            let Some(units) = self.settle()? else {
                story.moments.push(Moment {
                    deed: format!("{deed}: never at rest"),
                    ..Moment::default()
                });
                story.never_rests = true;
                return Ok(story);
            };
            story.moments.push(self.moment(deed, status, &units)?);
        }
        story.breaches = breaches(self.case, &self.side.log()?);
        Ok(story)
    }

    fn act(&mut self, deed: &Deed) -> Result<i32> {
        match deed {
            Deed::Open if self.is_open => {}
            Deed::Open => self.side.open_gate()?,
            Deed::Close if self.is_open => self.side.close_gate()?,
            Deed::Close => {}
            Deed::Command(words) => {
                let mut words: Vec<String> = words
                    .iter()
                    .map(|word| match super::case::is_name(word) {
                        true => self.cast.name(word),
                        false => word.clone(),
                    })
                    .collect();
                let verb = words.first().map(String::as_str).unwrap_or_default();
                // Who is at the gate is not waited for.
                if !self.is_open && !["kill", "reset-failed"].contains(&verb) {
                    words.insert(1, "--no-block".to_owned());
                }
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                return Ok(self.side.ask(&words)?.status);
            }
        }
        self.is_open = *deed == Deed::Open;
        Ok(0)
    }

    /// Waits until nothing happens any more of itself; nothing where that never is.
    fn settle(&self) -> Result<Option<Units>> {
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        inotify::add_watch(
            &watch,
            self.side.folder.join(super::actor::LOG_FILE),
            inotify::WatchFlags::MODIFY,
        )?;
        let (begin, mut last) = (Instant::now(), None);
        loop {
            let units = self.look()?;
            let rests = self.rests(&units, &self.side.log()?);
            // What was asked for just before is seen at the second look.
            if rests && last.as_ref() == Some(&units) {
                return Ok(Some(units));
            }
            if begin.elapsed() > PATIENCE {
                return Ok(None);
            }
            if !rests {
                drain(&watch)?;
                let limit = Timespec {
                    tv_sec: 0,
                    tv_nsec: LOOK_NS,
                };
                poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&limit))?;
            }
            last = rests.then_some(units);
        }
    }

    /// Properties of all units at one time.
    fn look(&self) -> Result<Units> {
        let mut words = vec!["show".to_owned()];
        words.extend(PROPERTIES.map(|property| format!("--property={property}")));
        words.extend(
            self.case
                .units
                .iter()
                .map(|unit| self.cast.name(&unit.name)),
        );
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let text = self.side.must(&words)?;
        let mut units = Units::new();
        for block in text.split("\n\n") {
            let properties = block.lines().filter_map(|line| line.split_once('='));
            let properties: BTreeMap<String, String> = properties
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let id = properties.get("Id").context("a unit without a name")?;
            let name = id.strip_prefix(self.cast.prefix).unwrap_or(id).to_owned();
            units.insert(name, properties);
        }
        Ok(units)
    }

    fn rests(&self, units: &Units, log: &[Line]) -> bool {
        let mut last: BTreeMap<u32, &Line> = BTreeMap::new();
        for line in log {
            last.insert(line.process, line);
        }
        let (mut resting, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        for (process, line) in &last {
            match Condition::of(*process) {
                Condition::Gone => continue,
                Condition::Moving => return false,
                Condition::Calm => {}
            }
            match line.event.as_str() {
                super::actor::STAY => {
                    resting.insert(*process);
                }
                "is at the gate" if !self.is_open => {
                    resting.insert(*process);
                    waiting.insert(line.unit.as_str());
                }
                // Who was cut off by the end of another process of its unit is no process of it any more.
                _ => return false,
            }
        }
        units.iter().all(|(name, unit)| {
            let get = |key: &str| unit.get(key).map(String::as_str).unwrap_or_default();
            let has_job = !matches!(get("Job"), "" | "0");
            let main = get("MainPID").parse().unwrap_or(0);
            let is_between = !matches!(get("ActiveState"), "active" | "inactive" | "failed");
            (main == 0 || resting.contains(&main))
                && (get("SubState") != "running" || main != 0)
                && (!is_between || waiting.contains(name.as_str()))
                && (!has_job || !waiting.is_empty())
        })
    }

    fn moment(&mut self, deed: &Deed, status: i32, units: &Units) -> Result<Moment> {
        let listed = self.side.must(&["list-jobs"])?;
        let mut jobs: Vec<String> = listed
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            // Beside jobs there are a heading and a sum.
            .filter(|words| words.len() == 4 && words.first() != Some(&"JOB"))
            .map(|words| {
                let words = words.get(1..).unwrap_or_default().join(" ");
                words.replace(self.cast.prefix, "")
            })
            .collect();
        jobs.sort();
        let states = units
            .iter()
            .map(|(name, unit)| (name.clone(), state_of(name, unit)));
        let log = self.side.log()?;
        let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in log.iter().skip(self.seen) {
            let of_unit = events.entry(line.unit.clone()).or_default();
            of_unit.push(format!("{} {}", line.role, line.event));
        }
        self.seen = log.len();
        Ok(Moment {
            deed: deed.to_string(),
            status,
            states: states.collect(),
            jobs,
            events,
        })
    }

    /// Everything ends, and the units are forgotten.
    fn clear(&mut self) -> Result<()> {
        if !self.is_open {
            self.side.open_gate()?;
        }
        let units = self.case.units.iter().map(|unit| unit.name.as_str());
        let names: Vec<String> = units
            .chain([KEEPER])
            .map(|unit| self.cast.name(unit))
            .collect();
        for verb in [
            ["kill", "--signal=SIGKILL"].as_slice(),
            &["stop", "--job-mode=ignore-dependencies"],
            &["reset-failed"],
        ] {
            let words: Vec<&str> = verb
                .iter()
                .copied()
                .chain(names.iter().map(String::as_str))
                .collect();
            // A unit that is down, or that nobody knows any more, is none to be cleared.
            self.side.ask(&words)?;
        }
        for name in &names {
            fs::remove_file(self.side.units.join(name))?;
        }
        self.side.close_gate()?;
        self.side.forget_log()
    }
}

/// Of a target there is no more to say.
fn state_of(name: &str, unit: &BTreeMap<String, String>) -> String {
    let get = |key: &str| unit.get(key).map(String::as_str).unwrap_or_default();
    let states = format!("{} {}", get("ActiveState"), get("SubState"));
    if !name.ends_with(".service") {
        return states;
    }
    format!("{states} {} {}", get("Result"), get("NRestarts"))
}

fn drain(watch: &rustix::fd::OwnedFd) -> Result<()> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    while reader.next().is_ok() {}
    Ok(())
}

/// How a process is.
enum Condition {
    Gone,
    /// It has ended and nobody has looked at it, or a signal has not reached it yet.
    Moving,
    Calm,
}

impl Condition {
    fn of(process: u32) -> Condition {
        let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else {
            return Condition::Gone;
        };
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim).unwrap_or_default()
        };
        let has_ended = matches!(field("State:").chars().next(), Some('Z' | 'X'));
        let has_pending = ["SigPnd:", "ShdPnd:"]
            .iter()
            .any(|name| !field(name).trim_start_matches('0').is_empty());
        match has_ended || has_pending {
            true => Condition::Moving,
            false => Condition::Calm,
        }
    }
}
