//! Jobs: drawn units and commands, played by Coracle and by systemd. What each command ends with, which jobs there are after it, where each
//! unit is then, what its processes did, and whether the order of units was kept are the same, or it is told why not.

mod actor;
mod case;
mod draw;
mod play;
mod shrink;
mod side;
mod story;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, anyhow};

use self::case::Case;
use self::side::Side;
use self::story::{Story, difference};
use super::Wish;
use super::report::{Report, Row, Verdict};

/// So many managers of each side run at once: most of the time goes by with waiting for what is given up.
const LANES: usize = 4;
/// How many cases are drawn where nobody says.
pub(super) const COUNT: u64 = 100;
/// How often a case is played before it counts as one that differs: what depends on who is faster differs by itself.
const PLAYS: usize = 3;
/// How often a case is made smaller, at most.
const ATTEMPTS: usize = 150;

/// What a case must have to be one of these, what the telling of ours or theirs has, and why it is so.
const KNOWN: &[(&str, &str, &str)] = &[(
    "Type=oneshot",
    ": status 5",
    "what has a wrong setting and is down is stopped, as it is down; systemd calls it not loaded",
)];

/// The process of a drawn service.
pub(super) fn act(words: &[String]) -> Result<ExitCode> {
    actor::run(words)
}

/// Both sides, and the cases that they play.
struct Lane {
    name: usize,
    theirs: Side,
    ours: Side,
    plays: u64,
}

/// What is found of a case.
enum Found {
    Same,
    /// Neither side comes to rest.
    Restless,
    Differs([String; 2]),
}

impl Lane {
    fn new(name: usize) -> Result<Lane> {
        Ok(Lane {
            name,
            theirs: Side::theirs(name)?,
            ours: Side::ours()?,
            plays: 0,
        })
    }

    fn both(&mut self, case: &Case) -> Result<[Story; 2]> {
        self.plays += 1;
        let prefix = format!("p{}x{}-", self.name, self.plays);
        let theirs = play::play(&mut self.theirs, case, &prefix);
        let ours = play::play(&mut self.ours, case, &prefix);
        Ok([
            theirs.with_context(|| format!("systemd, seed {}: {case}", case.seed))?,
            ours.with_context(|| format!("Coracle, seed {}: {case}", case.seed))?,
        ])
    }

    /// A case differs if no play of the one side is like any of the other.
    fn compare(&mut self, case: &Case) -> Result<Found> {
        let mut plays: [Vec<Story>; 2] = [Vec::new(), Vec::new()];
        for _ in 0..PLAYS {
            for (of_side, story) in plays.iter_mut().zip(self.both(case)?) {
                of_side.push(story);
            }
            let [theirs, ours] = &plays;
            let same = theirs.iter().find(|story| ours.contains(story));
            if let Some(story) = same {
                return Ok(match story.never_rests {
                    true => Found::Restless,
                    false => Found::Same,
                });
            }
        }
        let [theirs, ours] = &plays;
        let both = theirs.first().zip(ours.first());
        let told = both.and_then(|(theirs, ours)| difference(theirs, ours));
        Ok(told.map_or(Found::Same, Found::Differs))
    }

    fn row(&mut self, case: &Case, left_out: &Mutex<BTreeMap<String, u32>>) -> Result<Row> {
        let note = |what: String| {
            if let Ok(mut left_out) = left_out.lock() {
                *left_out.entry(what).or_default() += 1;
            }
        };
        let name = format!("seed {}", case.seed);
        let told = match self.compare(case)? {
            Found::Same => return Ok(Row::compared(name, String::new(), String::new())),
            Found::Restless => {
                note("neither side comes to rest".to_owned());
                return Ok(Row::compared(name, String::new(), String::new()));
            }
            Found::Differs(told) => told,
        };
        let differs = |lesser: &Case| Ok(matches!(self.compare(lesser)?, Found::Differs(_)));
        let smallest = shrink::shrink(case, ATTEMPTS, differs)?;
        let told = match self.compare(&smallest)? {
            Found::Differs(told) => told,
            _ => told,
        };
        for (line, words, why) in KNOWN {
            if smallest.has_line(line) && told.iter().any(|side| side.contains(words)) {
                note(format!("`{line}`: {why}"));
                return Ok(Row::compared(name, String::new(), String::new()));
            }
        }
        Ok(Row {
            case: name,
            cells: told.to_vec(),
            verdict: Verdict::Fail,
            why: smallest.to_string(),
            is_known: false,
        })
    }
}

pub(super) fn run(wish: &Wish) -> Result<Report> {
    let count = wish.count.unwrap_or(COUNT);
    let next = AtomicU64::new(wish.seed);
    let end = wish.seed.saturating_add(count);
    let (rows, left_out) = (Mutex::new(Vec::new()), Mutex::new(BTreeMap::new()));
    let work = |name| -> Result<()> {
        let mut lane = Lane::new(name)?;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return Ok(());
            }
            let row = lane.row(&draw::case(seed), &left_out)?;
            if row.verdict == Verdict::Fail {
                eprintln!("{}", row.line());
            }
            if let Ok(mut rows) = rows.lock() {
                rows.push((seed, row));
            }
        }
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|name| scope.spawn(move || work(name)))
            .collect();
        lanes.into_iter().try_for_each(|lane| {
            let ended = lane.join();
            ended.map_err(|_| anyhow!("a lane of the jobs failed"))?
        })
    })?;
    let failed = |_| anyhow!("a lane of the jobs failed");
    let mut rows = rows.into_inner().map_err(failed)?;
    rows.sort_by_key(|(seed, _)| *seed);
    let left_out = left_out
        .into_inner()
        .map_err(|_| anyhow!("a lane of the jobs failed"))?;
    Ok(Report {
        headings: ["graph", "systemd", "Coracle"].map(str::to_owned).to_vec(),
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        is_shown_whole: false,
        left_out: left_out
            .into_iter()
            .map(|(what, times)| format!("{what} ({times} times)"))
            .collect(),
    })
}
