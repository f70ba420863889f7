//! When a timer elapses next, from what its file says and what happened so far; without clocks and files of its own.

use engine::{Elapse, Micros, Moment, Reckoned};
use model::calendar::{Calendar, Zone};
use model::value::TimerSpans;
use model::{Key, Unit, key};

/// What happened so far, on both clocks where it matters.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Past {
    /// Now, on the engine's clock.
    pub(super) now: Micros,
    /// Now, in microseconds since 1970.
    pub(super) now_realtime_us: u64,
    /// When the timer was started.
    pub(super) started: Micros,
    /// When it elapsed last.
    pub(super) last_trigger: Option<Moment>,
    /// When its unit last left inactive; 0: never.
    pub(super) unit_began: Micros,
    /// When its unit last became inactive; 0: never.
    pub(super) unit_ended: Micros,
    /// When the machine, or the container that we are in, was started.
    pub(super) boot: Micros,
    /// When this instance was started.
    pub(super) startup: Micros,
    /// Its unit was started too often, and may be started again then.
    pub(super) limited_until: Option<Micros>,
}

/// Chance, in microseconds below the span.
pub(super) struct Dice<'a> {
    /// Another time at each call.
    pub(super) random: &'a mut dyn FnMut(u64) -> u64,
    /// The same for the same unit of the same machine.
    pub(super) fixed: &'a dyn Fn(u64) -> u64,
}

impl Past {
    fn realtime_us(&self, moment: Micros) -> u64 {
        let ago = self.now.0.saturating_sub(moment.0);
        self.now_realtime_us.saturating_sub(ago)
    }
}

/// What comes next. `zone` finds an expression's zone; one that is not there any more never comes true.
pub(super) fn reckon(
    unit: &Unit,
    past: &Past,
    zone: &dyn Fn(&Calendar) -> Option<Box<dyn Zone>>,
    dice: &mut Dice<'_>,
) -> Reckoned {
    let mut past = *past;
    // It elapsed in what is the future now: the clock was set back since.
    if let Some(last) = &mut past.last_trigger {
        last.realtime_us = last.realtime_us.min(past.now_realtime_us);
    }
    let monotonic = spans(unit, &past).into_iter().min();
    let realtime = dates(unit, &past, zone, dice).into_iter().min();
    let is_sensitive = unit.value(&key::ON_CLOCK_CHANGE) || unit.value(&key::ON_TIMEZONE_CHANGE);
    let mut delay = || {
        let span = unit.value(&key::RANDOMIZED_DELAY_SEC).micros();
        match span {
            0 => 0,
            span if unit.value(&key::FIXED_RANDOM_DELAY) => (dice.fixed)(span),
            span => (dice.random)(span),
        }
    };
    // A unit that was started too often is not started before that would do.
    let earliest = past.limited_until.unwrap_or_default();
    let ahead_us = earliest.0.saturating_sub(past.now.0);
    let earliest_us = match ahead_us {
        0 => 0,
        ahead_us => past.now_realtime_us.saturating_add(ahead_us),
    };
    let next = Elapse {
        monotonic: monotonic.map(|at| at.after(Micros(delay())).max(earliest)),
        realtime_us: realtime.map(|at| at.saturating_add(delay()).max(earliest_us)),
    };
    Reckoned {
        next: (next != Elapse::default() || is_sensitive).then_some(next),
        last_trigger: past.last_trigger,
    }
}

/// The moments of the spans of time that still come.
fn spans(unit: &Unit, past: &Past) -> Vec<Micros> {
    let elapsed = past.last_trigger.and_then(|last| last.monotonic);
    let since = |moment: Micros| elapsed.into_iter().chain([moment]).max();
    // What is to come once has come in this run, unless it lies ahead.
    let once = [
        (&key::ON_ACTIVE_SEC, past.started),
        (&key::ON_BOOT_SEC, past.boot),
        (&key::ON_STARTUP_SEC, past.startup),
    ];
    let once = once
        .into_iter()
        .flat_map(|(key, base)| after(unit, key, base))
        .filter(|at| elapsed.is_none() || *at >= past.now);
    let again = [
        (&key::ON_UNIT_ACTIVE_SEC, past.unit_began),
        (&key::ON_UNIT_INACTIVE_SEC, past.unit_ended),
    ];
    let again = again
        .into_iter()
        .filter_map(|(key, base)| Some((key, since(base).filter(|base| base.0 > 0)?)))
        .flat_map(|(key, base)| after(unit, key, base));
    once.chain(again).collect()
}

/// A base, and each span of a list after it; one without an end never comes.
fn after(unit: &Unit, key: &Key<TimerSpans>, base: Micros) -> Vec<Micros> {
    let spans = unit.get(key).into_iter().flat_map(|spans| spans.iter());
    spans
        .filter_map(|span| base.deadline(Micros(span.micros())))
        .collect()
}

/// The moments of the calendar, in microseconds since 1970.
fn dates(
    unit: &Unit,
    past: &Past,
    zone: &dyn Fn(&Calendar) -> Option<Box<dyn Zone>>,
    dice: &Dice<'_>,
) -> Vec<u64> {
    let mut base = match past.last_trigger {
        Some(last) => last.realtime_us,
        None => past.realtime_us(past.started),
    };
    if unit.value(&key::DEFER_REACTIVATION) && past.unit_ended.0 > 0 {
        base = base.max(past.realtime_us(past.unit_ended));
    }
    let offset = match unit.value(&key::RANDOMIZED_OFFSET_SEC).micros() {
        0 => 0,
        span => (dice.fixed)(span),
    };
    // What was missed while nobody ran is made up for from the start on, so that RandomizedDelaySec= spreads it, too.
    let earliest = past.realtime_us(past.startup);
    let all = unit.get(&key::ON_CALENDAR);
    let all = all.into_iter().flat_map(|all| all.iter());
    all.filter_map(|calendar| {
        let next = calendar.next_elapse(base.saturating_sub(offset), &*zone(calendar)?)?;
        Some(next.saturating_add(offset).max(earliest))
    })
    .collect()
}

/// A moment within `accuracy` after `earliest` at which several timers can elapse together: the latest of those that are a minute, ten
/// seconds, a second or a quarter of one apart, on a grid that each machine has shifted otherwise.
pub(super) fn gathered(earliest: u64, accuracy: u64, shift: u64) -> u64 {
    const GRIDS_US: [u64; 4] = [60_000_000, 10_000_000, 1_000_000, 250_000];
    let latest = earliest.saturating_add(accuracy);
    for grid in GRIDS_US {
        let shift = shift % grid;
        let point = latest.saturating_sub(shift) / grid * grid + shift;
        if point >= earliest && point <= latest {
            return point;
        }
    }
    latest
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::UnitName;
    use model::calendar::Utc;
    use model::text::Verbatim;

    const SECOND: u64 = 1_000_000;
    const DAY: u64 = 86_400 * SECOND;

    fn timer(lines: &str) -> Unit {
        let mut unit = Unit::new(UnitName::new("a.timer").unwrap());
        for line in lines.lines() {
            let (name, value) = line.split_once('=').unwrap();
            settings::apply(&mut unit, "Timer", name, value, &Verbatim).unwrap();
        }
        unit
    }

    /// A machine that booted at second 0 of the clock and of day 100 since 1970, and now is at second 1000.
    fn past() -> Past {
        Past {
            now: Micros::seconds(1000),
            now_realtime_us: 100 * DAY + 1000 * SECOND,
            started: Micros::seconds(900),
            startup: Micros::seconds(10),
            ..Past::default()
        }
    }

    fn next(lines: &str, past: Past) -> Option<Elapse> {
        let mut random = |span| span / 2;
        let mut dice = Dice {
            random: &mut random,
            fixed: &|span| span / 4,
        };
        let zone = |_: &Calendar| Some(Box::new(Utc) as Box<dyn Zone>);
        reckon(&timer(lines), &past, &zone, &mut dice).next
    }

    fn monotonic(lines: &str, past: Past) -> Option<u64> {
        next(lines, past).map(|next| next.monotonic.unwrap().0 / SECOND)
    }

    /// In seconds of day 100.
    fn realtime(lines: &str, past: Past) -> i64 {
        let moment = next(lines, past).unwrap().realtime_us.unwrap();
        i64::try_from(moment / SECOND).unwrap() - 100 * 86_400
    }

    fn elapsed(second: u64) -> Past {
        Past {
            last_trigger: Some(Moment {
                monotonic: Some(Micros::seconds(second)),
                realtime_us: 100 * DAY + second * SECOND,
            }),
            ..past()
        }
    }

    #[test]
    fn spans_count_from_what_they_are_named_for_and_the_first_counts() {
        assert_eq!(monotonic("OnActiveSec=30", past()), Some(930));
        assert_eq!(monotonic("OnBootSec=1min 30s", past()), Some(90));
        assert_eq!(monotonic("OnStartupSec=5", past()), Some(15));
        assert_eq!(
            monotonic("OnActiveSec=200\nOnActiveSec=150", past()),
            Some(1050)
        );
        assert_eq!(monotonic("OnActiveSec=infinity", past()), None);
    }

    #[test]
    fn a_time_of_an_earlier_run_takes_nothing_from_this_one() {
        let mut past = past();
        past.last_trigger = Some(Moment {
            monotonic: None,
            realtime_us: 99 * DAY,
        });
        assert_eq!(monotonic("OnBootSec=15min", past), Some(900));
    }

    #[test]
    fn a_unit_that_was_started_too_often_has_its_rest() {
        let limited = Past {
            unit_ended: Micros::seconds(999),
            limited_until: Some(Micros::seconds(1007)),
            ..past()
        };
        let next = next("OnUnitInactiveSec=1us\nOnCalendar=*:*:*", limited).unwrap();
        assert_eq!(next.monotonic, Some(Micros::seconds(1007)));
        assert_eq!(next.realtime_us, Some(100 * DAY + 1007 * SECOND));
    }

    #[test]
    fn what_comes_once_has_come_when_it_lies_behind_a_time_that_it_elapsed() {
        assert_eq!(monotonic("OnActiveSec=30", elapsed(930)), None);
        assert_eq!(
            monotonic("OnActiveSec=30\nOnActiveSec=300", elapsed(930)),
            Some(1200)
        );
    }

    #[test]
    fn spans_after_the_unit_count_from_it_or_from_the_last_time_and_not_at_all_where_it_never_ran()
    {
        assert_eq!(monotonic("OnUnitActiveSec=60", past()), None);
        let ran = Past {
            unit_began: Micros::seconds(950),
            unit_ended: Micros::seconds(970),
            ..past()
        };
        assert_eq!(monotonic("OnUnitActiveSec=60", ran), Some(1010));
        assert_eq!(monotonic("OnUnitInactiveSec=60", ran), Some(1030));
        let both = Past {
            unit_began: Micros::seconds(950),
            ..elapsed(980)
        };
        assert_eq!(monotonic("OnUnitActiveSec=60", both), Some(1040));
    }

    #[test]
    fn dates_count_from_the_last_time_or_from_the_start_of_the_timer() {
        assert_eq!(realtime("OnCalendar=*:0/15", past()), 900 + 900);
        assert_eq!(realtime("OnCalendar=*:0/15", elapsed(850)), 900);
        assert_eq!(
            realtime("OnCalendar=*:0/15\nOnCalendar=*:*:01", past()),
            901
        );
    }

    #[test]
    fn what_was_missed_comes_when_the_instance_starts() {
        let mut missed = elapsed(0);
        missed.last_trigger = Some(Moment {
            monotonic: None,
            realtime_us: 95 * DAY,
        });
        assert_eq!(realtime("OnCalendar=daily\nPersistent=yes", missed), 10);
        let spread = "OnCalendar=daily\nRandomizedDelaySec=1h";
        assert_eq!(realtime(spread, missed), 10 + 1800);
    }

    #[test]
    fn a_last_time_in_the_future_is_now() {
        assert_eq!(realtime("OnCalendar=*:0/15", elapsed(5000)), 1800);
    }

    #[test]
    fn chance_delays_and_shifts() {
        assert_eq!(
            monotonic("OnActiveSec=30\nRandomizedDelaySec=100", past()),
            Some(980)
        );
        let fixed = "OnActiveSec=30\nRandomizedDelaySec=100\nFixedRandomDelay=yes";
        assert_eq!(monotonic(fixed, past()), Some(955));
        // On the hour and 15 minutes, as a quarter of the span is.
        let shifted = "OnCalendar=hourly\nRandomizedOffsetSec=1h";
        assert_eq!(realtime(shifted, past()), 3600 + 900);
        assert_eq!(realtime(shifted, elapsed(850)), 900);
    }

    #[test]
    fn a_unit_that_ran_longer_than_a_period_does_not_run_at_once_again() {
        let long = Past {
            unit_ended: Micros::seconds(999),
            ..elapsed(300)
        };
        assert_eq!(realtime("OnCalendar=*:0/5", long), 600);
        assert_eq!(
            realtime("OnCalendar=*:0/5\nDeferReactivation=yes", long),
            1200
        );
    }

    #[test]
    fn who_waits_for_the_clock_to_be_set_waits() {
        assert_eq!(next("OnClockChange=yes", past()), Some(Elapse::default()));
        assert_eq!(
            next("OnTimezoneChange=yes", past()),
            Some(Elapse::default())
        );
    }

    #[test]
    fn timers_elapse_together_within_their_accuracy() {
        const MINUTE: u64 = 60 * SECOND;
        assert_eq!(gathered(61 * SECOND, MINUTE, 7 * SECOND), 67 * SECOND);
        assert_eq!(gathered(70 * SECOND, MINUTE, 7 * SECOND), 127 * SECOND);
        assert_eq!(gathered(61 * SECOND, 5 * SECOND, 7 * SECOND), 66 * SECOND);
        assert_eq!(gathered(61 * SECOND, SECOND / 10, 0), 61 * SECOND);
        assert_eq!(gathered(61 * SECOND + 1, 1000, 0), 61 * SECOND + 1001);
        assert_eq!(gathered(u64::MAX - 1, MINUTE, 3), u64::MAX);
    }
}
