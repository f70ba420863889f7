//! A least pause between what is read of one path unit and the next: what changes without end costs the manager so many rounds a second and
//! no more. The first change after a quiet time is followed at once.

use engine::{Micros, UnitId};
use model::sorted::Map;

use crate::clock;
use crate::manager::Manager;
use crate::poll::Token;

/// Shorter than anybody waits for; what happens meanwhile is kept by the kernel, and is known to have been too much where it is.
const PAUSE_US: u64 = 20_000;

/// The path units of which nothing is read for now.
#[derive(Debug, Default)]
pub(super) struct Pauses(Map<UnitId, Pause>);

#[derive(Debug)]
struct Pause {
    end: Micros,
    /// Its paths are to be looked at then, as they changed while they were.
    looks: bool,
}

impl Pauses {
    pub(super) fn remove(&mut self, unit: UnitId) {
        self.0.remove(&unit);
    }

    /// Begins one; says whether it is the first.
    fn begin(&mut self, unit: UnitId, looks: bool, now: Micros) -> bool {
        if let Some(pause) = self.0.get_mut(&unit) {
            pause.looks |= looks;
            return false;
        }
        let end = Micros(now.0.saturating_add(PAUSE_US));
        self.0.insert(unit, Pause { end, looks });
        true
    }

    /// Those that are over, and whether their paths are to be looked at.
    fn over(&mut self, now: Micros) -> Vec<(UnitId, bool)> {
        let due = self.0.iter().filter(|(_, pause)| pause.end <= now);
        let due: Vec<(UnitId, bool)> = due.map(|(unit, pause)| (*unit, pause.looks)).collect();
        for (unit, _) in &due {
            self.remove(*unit);
        }
        due
    }
}

impl super::Paths {
    /// When something is read again.
    pub(crate) fn next_end(&self) -> Option<Micros> {
        self.pauses.0.values().map(|pause| pause.end).min()
    }
}

impl Manager {
    /// Reads nothing more of a path unit for a while.
    pub(super) fn pause_path(&mut self, unit: UnitId, looks: bool) {
        let paths = &mut self.aside.paths;
        if let Some(watched) = paths.watched.get(&unit)
            && paths.pauses.begin(unit, looks, clock::monotonic())
        {
            self.poll.forget(&*watched.inotify);
        }
    }

    /// Goes on reading where the pause is over.
    pub(crate) fn end_pauses(&mut self, now: Micros) {
        for (unit, looks) in self.aside.paths.pauses.over(now) {
            let Some(watched) = self.aside.paths.watched.get(&unit) else {
                continue;
            };
            let is_idle = watched.look.is_none() && !watched.has_fired;
            let token = Token::Path(watched.token);
            if let Err(error) = self.poll.watch(&*watched.inotify, token) {
                self.fail_path(unit, watched.incarnation, &error.into());
            } else if looks && is_idle {
                self.look_at_paths(unit, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_has_an_end_and_remembers_that_something_is_to_be_looked_at() {
        let mut pauses = Pauses::default();
        let unit = UnitId(7);
        assert!(pauses.begin(unit, false, Micros(1_000)));
        assert!(!pauses.begin(unit, true, Micros(2_000)));
        assert!(!pauses.begin(unit, false, Micros(3_000)));
        assert_eq!(pauses.over(Micros(1_000 + PAUSE_US - 1)), []);
        assert_eq!(pauses.over(Micros(1_000 + PAUSE_US)), [(unit, true)]);
        assert_eq!(pauses.over(Micros(u64::MAX)), []);
    }
}
