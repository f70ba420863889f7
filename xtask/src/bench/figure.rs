//! What a bench found: one work, and what each side took for it; printed as a table and kept as JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One work that several sides did. Less is better, whatever the unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was done.
    pub(crate) work: String,
    /// What the numbers are of: `µs`, `ns`, `kB`, `calls`, or nothing for an exponent.
    unit: String,
    /// Ours first.
    sides: Vec<Side>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    goal: Option<Goal>,
}

/// What one side took.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Side {
    name: String,
    median: f64,
    /// Where there was more than one run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minimum: Option<f64>,
}

/// What SPECIFICATION.md promises.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Goal {
    /// This much of the figure's unit.
    AtMost(f64),
    /// This share of what the named side takes.
    Share { of: String, at_most: f64 },
}

impl Figure {
    pub(super) fn new(work: impl Into<String>, unit: &str) -> Figure {
        Figure {
            work: work.into(),
            unit: unit.to_owned(),
            sides: Vec::new(),
            goal: None,
        }
    }

    /// Adds a side that was measured once.
    #[must_use]
    pub(super) fn value(mut self, name: impl Into<String>, value: f64) -> Figure {
        self.sides.push(Side {
            name: name.into(),
            median: value,
            minimum: None,
        });
        self
    }

    /// Adds a side with the times of its runs, in microseconds.
    #[must_use]
    pub(super) fn times(self, name: impl Into<String>, times: &Times) -> Figure {
        let mut figure = self.value(name, micros(times.median()));
        if let Some(side) = figure.sides.last_mut() {
            side.minimum = Some(micros(times.minimum()));
        }
        figure
    }

    /// Promises a limit in the figure's own unit.
    #[must_use]
    pub(super) fn at_most(mut self, limit: f64) -> Figure {
        self.goal = Some(Goal::AtMost(limit));
        self
    }

    /// Promises a share of what another side takes.
    #[must_use]
    pub(super) fn share_of(mut self, side: impl Into<String>, at_most: f64) -> Figure {
        self.goal = Some(Goal::Share {
            of: side.into(),
            at_most,
        });
        self
    }

    /// One line of the table for each side.
    pub(super) fn lines(&self) -> Vec<String> {
        let ours = self.sides.first();
        self.sides
            .iter()
            .enumerate()
            .map(|(index, side)| {
                let work = if index == 0 { self.work.as_str() } else { "" };
                // Exponents have no unit, and no share.
                let share = match ours.filter(|_| index > 0 && !self.unit.is_empty()) {
                    Some(ours) => ours.share_of(side),
                    None => String::new(),
                };
                let line = format!(
                    "{work:<44}  {:<22}  {:>20} {:<5}  {share:>11}  {}",
                    side.name,
                    side.shown(),
                    self.unit,
                    self.goal_beside(index, side)
                );
                line.trim_end().to_owned()
            })
            .collect()
    }

    fn goal_beside(&self, index: usize, side: &Side) -> String {
        match &self.goal {
            Some(Goal::AtMost(limit)) if index == 0 => format!("≤ {limit} {}", self.unit),
            Some(Goal::Share { of, at_most }) if *of == side.name => format!("≤ {at_most}"),
            _ => String::new(),
        }
    }
}

impl Side {
    /// The median, with the minimum in brackets.
    fn shown(&self) -> String {
        let number = |value: f64| {
            if value < 100.0 {
                format!("{value:.2}")
            } else {
                format!("{value:.0}")
            }
        };
        match self.minimum {
            Some(minimum) => format!("{} ({})", number(self.median), number(minimum)),
            None => number(self.median),
        }
    }

    /// The median as a share of another one's, with the share of the minima in brackets.
    fn share_of(&self, other: &Side) -> String {
        let share = |ours: f64, theirs: f64| ours / theirs.max(f64::MIN_POSITIVE);
        let medians = share(self.median, other.median);
        match (self.minimum, other.minimum) {
            (Some(ours), Some(theirs)) => format!("{medians:.2} ({:.2})", share(ours, theirs)),
            _ => format!("{medians:.2}"),
        }
    }
}

/// What a number of runs took.
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// Takes the runs in any order.
    pub(super) fn new(mut runs: Vec<Duration>) -> Self {
        runs.sort_unstable();
        Self(runs)
    }

    /// The middle value.
    pub(super) fn median(&self) -> Duration {
        self.0.get(self.0.len() / 2).copied().unwrap_or_default()
    }

    /// The shortest run: what is left when nothing else on the machine got in the way.
    fn minimum(&self) -> Duration {
        self.0.first().copied().unwrap_or_default()
    }
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_shows_its_sides_their_shares_and_the_goal_beside_whom_it_names() {
        let times =
            |runs: &[u64]| Times::new(runs.iter().map(|run| Duration::from_micros(*run)).collect());
        let figure = Figure::new("a start", "µs")
            .times("coracle", &times(&[300, 100, 200]))
            .times("other", &times(&[1000, 400, 800]))
            .share_of("other", 0.5);
        let lines = figure.lines();
        let words: Vec<Vec<&str>> = lines
            .iter()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(words[0], ["a", "start", "coracle", "200", "(100)", "µs"]);
        assert_eq!(
            words[1],
            ["other", "800", "(400)", "µs", "0.25", "(0.25)", "≤", "0.5"]
        );
    }
}
