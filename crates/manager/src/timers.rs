//! The clocks of timer units: what they wait for, one alarm for all of them, and the file that outlives a boot.

mod reckon;

use crate::clock;
use crate::manager::Manager;
use crate::poll::{Poll, Token};
use engine::{Elapse, Incarnation, Input, Micros, Moment, State, UnitId};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use load::zones;
use model::calendar::{Calendar, CalendarZone, Zone};
use model::sorted::Map;
use model::{Resource, Resources, Unit, UnitKind, key};
use reckon::{Dice, Past};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fs::{File, FileTimes};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the host's time zone is, as a file of its database or a link to one.
const ZONE_DIRECTORY: &str = "/etc";
const ZONE_FILE: &str = "localtime";

/// What is waited for; nothing of it until there is a timer.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Timers whose next moment is asked for.
    asked: Vec<(UnitId, Incarnation)>,
    waiting: Map<UnitId, Waiting>,
    /// `waiting` changed since the alarms were set.
    is_stale: bool,
    /// When to look again, on the engine's clock.
    next: Option<Micros>,
    /// The alarm by the calendar. It also tells when the clock is set, and when the machine comes back from sleep.
    calendar: Option<OwnedFd>,
    /// Those that wake a sleeping machine (WakeSystem=): by the calendar, and by the time since the boot.
    wakers: [Option<OwnedFd>; 2],
    /// Tells when the host's time zone is another.
    zone: Option<OwnedFd>,
    /// When this instance was started.
    startup: Option<Micros>,
    /// That no alarm can be set was told.
    is_failing: bool,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    incarnation: Incarnation,
    at: Elapse,
    accuracy_us: u64,
    /// The same moment as `at.monotonic` in time since the boot, sleep included, for who wakes the machine.
    boottime_us: Option<u64>,
    wakes: bool,
    on_clock: bool,
    on_zone: bool,
    /// It goes by the clocks of the host's zone.
    by_host: bool,
}

/// Which of the timers' descriptors has something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Calendar,
    WakerByCalendar,
    WakerByBoot,
    Zone,
}

impl Source {
    pub(crate) const ALL: [Self; 4] = [
        Self::Calendar,
        Self::WakerByCalendar,
        Self::WakerByBoot,
        Self::Zone,
    ];
}

impl Waiting {
    fn is_due(&self, now: Micros, realtime_us: u64, boottime_us: u64) -> bool {
        self.at.monotonic.is_some_and(|at| at <= now)
            || self.at.realtime_us.is_some_and(|at| at <= realtime_us)
            || self.boottime_us.is_some_and(|at| at <= boottime_us)
    }
}

impl Timers {
    /// When to look again, at the latest.
    pub(crate) fn next(&self) -> Option<Micros> {
        self.next
    }

    /// Sets the alarms for what is waited for now. Answers whether the clock was set meanwhile, and what can't be waited for.
    fn set(&mut self, poll: &Poll) -> (bool, Vec<(&'static str, io::Error)>) {
        let shift = shift();
        let waiting: Vec<Waiting> = self.waiting.values().copied().collect();
        let soonest = |moment: fn(&Waiting) -> Option<u64>| {
            let moments = waiting
                .iter()
                .filter_map(|one| Some(reckon::gathered(moment(one)?, one.accuracy_us, shift)));
            moments.min()
        };
        self.next = soonest(|one| Some(one.at.monotonic?.0)).map(Micros);
        let realtime_us = soonest(|one| one.at.realtime_us);
        let is_sensitive = waiting.iter().any(|one| one.on_clock);
        let notices = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        let at = realtime_us.or(is_sensitive.then_some(FAR_US));
        let which = (TimerfdClockId::Realtime, Source::Calendar);
        let by_calendar = alarm(&mut self.calendar, poll, which, at, notices);
        let by_zone = if waiting.iter().any(|one| one.on_zone || one.by_host) {
            self.watch_zone(poll)
        } else {
            self.zone.take().iter().for_each(|zone| poll.forget(zone));
            Ok(())
        };
        let [waker, sleeper] = &mut self.wakers;
        let once = TimerfdTimerFlags::ABSTIME;
        let at = soonest(|one| one.at.realtime_us.filter(|_| one.wakes));
        let which = (TimerfdClockId::RealtimeAlarm, Source::WakerByCalendar);
        let by_waker = alarm(waker, poll, which, at, once);
        let at = soonest(|one| one.boottime_us);
        let which = (TimerfdClockId::BoottimeAlarm, Source::WakerByBoot);
        let by_sleeper = alarm(sleeper, poll, which, at, once);
        let was_set = matches!(by_calendar, Ok(true));
        let outcomes = [
            (DATES, by_calendar.map(drop)),
            (ZONE, by_zone),
            (WAKING, by_waker.and(by_sleeper).map(drop)),
        ];
        let failed = |(what, outcome): (_, io::Result<()>)| Some((what, outcome.err()?));
        (was_set, outcomes.into_iter().filter_map(failed).collect())
    }

    fn watch_zone(&mut self, poll: &Poll) -> io::Result<()> {
        if self.zone.is_none() {
            let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE;
            inotify::add_watch(&inotify, ZONE_DIRECTORY, flags)?;
            poll.watch(&inotify, Token::Timers(Source::Zone))?;
            self.zone = Some(inotify);
        }
        Ok(())
    }
}

/// What can't be waited for, and what follows.
const DATES: &str = "cannot set the alarm for OnCalendar= and OnClockChange=, which do not elapse";
const ZONE: &str = "cannot watch for another time zone; OnTimezoneChange= does not elapse, and OnCalendar= goes by the former one";
const WAKING: &str = "cannot wake the machine for WakeSystem=, which needs CAP_WAKE_ALARM and a clock that can; such timers elapse when it is awake";

/// Later than any calendar goes: the alarm is there for the clock's being set.
const FAR_US: u64 = 1 << 53;

/// Sets an alarm, made where there is none; without a moment it goes. Answers whether the clock was set since the alarm was last read.
fn alarm(
    held: &mut Option<OwnedFd>,
    poll: &Poll,
    (clock, source): (TimerfdClockId, Source),
    at_us: Option<u64>,
    flags: TimerfdTimerFlags,
) -> io::Result<bool> {
    let Some(at_us) = at_us else {
        if let Some(alarm) = held.take() {
            poll.forget(&alarm);
        }
        return Ok(false);
    };
    let alarm = match held {
        Some(alarm) => alarm,
        None => {
            let alarm = timerfd_create(clock, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
            poll.watch(&alarm, Token::Timers(source))?;
            held.insert(alarm)
        }
    };
    // Zero would switch it off.
    let at_us = at_us.max(1);
    let never = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let value = Timespec {
        tv_sec: i64::try_from(at_us / 1_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(at_us % 1_000_000 * 1_000).unwrap_or_default(),
    };
    let value = Itimerspec {
        it_interval: never,
        it_value: value,
    };
    match timerfd_settime(&*alarm, flags, &value) {
        // It is set all the same, and the clock was, too (timerfd_create(2), NOTES).
        Err(Errno::CANCELED) => Ok(true),
        set => set.map(|_| false).map_err(io::Error::from),
    }
}

impl Manager {
    /// The engine wants to know when a timer elapses next. What it hears of in the same round counts, too.
    pub(crate) fn reckon_timer(&mut self, unit: UnitId, incarnation: Incarnation) {
        let timers = &mut self.aside.timers;
        timers.is_stale |= timers.waiting.remove(&unit).is_some();
        timers.asked.push((unit, incarnation));
    }

    /// Answers those that were asked for; false if none was.
    pub(crate) fn reckon_timers(&mut self) -> bool {
        let asked = std::mem::take(&mut self.aside.timers.asked);
        let any = !asked.is_empty();
        for (unit, incarnation) in model::order::set(asked) {
            if let Some(found) = self.reckoned(unit) {
                self.inputs.push_back(Input::TimerReckoned {
                    unit,
                    incarnation,
                    found,
                });
            }
        }
        any
    }

    fn reckoned(&mut self, unit: UnitId) -> Option<engine::Reckoned> {
        let startup = self.startup();
        let entry = self.units.get(&unit)?;
        let Some(State::Timer(run)) = self.engine.state(unit) else {
            return None;
        };
        let (started, mut last_trigger) = (
            self.engine.snapshot(unit)?.stamps.inactive_exit,
            run.last_trigger,
        );
        if last_trigger.is_none() && entry.unit.value(&key::PERSISTENT) {
            match self.stamp(unit) {
                Ok(stamp) => last_trigger = stamp,
                Err(error) => self.log_about(
                    unit,
                    &format!("cannot read when it elapsed last (Persistent=): {error}; it goes by its own start"),
                ),
            }
        }
        let starts = self
            .engine
            .relations(unit, engine::Relation::Triggers, false);
        let other = starts.first().copied();
        let limited_until = other.and_then(|other| self.limited_until(other));
        let other = other.and_then(|other| self.engine.snapshot(other));
        let other = other.map(|other| other.stamps).unwrap_or_default();
        let past = Past {
            now: clock::monotonic(),
            now_realtime_us: clock::realtime_us(),
            started,
            last_trigger,
            unit_began: other.inactive_exit,
            unit_ended: other.inactive_enter,
            boot: if crate::conditions::is_in_container() {
                startup
            } else {
                Micros(0)
            },
            startup,
            limited_until,
        };
        let fixed = |span: u64| share(self.place_of(unit), span);
        let mut random = |span: u64| share(random_bits(), span);
        let mut dice = Dice {
            random: &mut random,
            fixed: &fixed,
        };
        let zones = HostZones::at(past.now_realtime_us);
        let zone = |calendar: &Calendar| zones.of(calendar);
        Some(reckon::reckon(&entry.unit, &past, &zone, &mut dice))
    }

    /// Until when a unit is not started because it was too often.
    fn limited_until(&self, unit: UnitId) -> Option<Micros> {
        let failed = matches!(
            self.engine.state(unit),
            Some(State::Failed {
                result: engine::UnitResult::StartLimitHit,
                ..
            })
        );
        let limit = self.engine.config(unit).filter(|_| failed)?.start_limit;
        let begin = self.engine.snapshot(unit)?.starts.begin;
        // The window is over after its last microsecond.
        Some(begin.after(limit.interval).after(Micros(1)))
    }

    /// Waits for a timer's moment.
    pub(crate) fn watch_timer(&mut self, unit: UnitId, incarnation: Incarnation, at: Elapse) {
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        let file = &entry.unit;
        let wakes = file.value(&key::WAKE_SYSTEM);
        let asleep_us = clock::boottime_us().saturating_sub(clock::monotonic().0);
        let waiting = Waiting {
            incarnation,
            at,
            accuracy_us: file.value(&key::ACCURACY_SEC).micros().max(1),
            boottime_us: at
                .monotonic
                .filter(|_| wakes)
                .map(|at| at.0.saturating_add(asleep_us)),
            wakes,
            on_clock: file.value(&key::ON_CLOCK_CHANGE),
            on_zone: file.value(&key::ON_TIMEZONE_CHANGE),
            by_host: goes_by_host(file),
        };
        self.aside.timers.waiting.insert(unit, waiting);
        self.aside.timers.is_stale = true;
    }

    /// A timer waits for nothing more.
    pub(crate) fn unwatch_timer(&mut self, unit: UnitId) {
        let timers = &mut self.aside.timers;
        timers.is_stale |= timers.waiting.remove(&unit).is_some();
        timers.asked.retain(|(asked, _)| *asked != unit);
    }

    /// Tells the engine of the timers whose moment has come.
    pub(crate) fn elapse_timers(&mut self, realtime_too: bool) {
        let now = clock::monotonic();
        let timers = &mut self.aside.timers;
        if !realtime_too && timers.next.is_none_or(|next| next > now) {
            return;
        }
        let (realtime_us, boottime_us) = (clock::realtime_us(), clock::boottime_us());
        let due: Vec<(UnitId, Incarnation)> = timers
            .waiting
            .iter()
            .filter(|(_, one)| one.is_due(now, realtime_us, boottime_us))
            .map(|(unit, one)| (*unit, one.incarnation))
            .collect();
        timers.is_stale = true;
        for (unit, incarnation) in due {
            self.elapse(unit, incarnation, realtime_us);
        }
    }

    fn elapse(&mut self, unit: UnitId, incarnation: Incarnation, realtime_us: u64) {
        self.aside.timers.waiting.remove(&unit);
        self.aside.timers.is_stale = true;
        self.inputs.push_back(Input::TimerElapsed {
            unit,
            incarnation,
            realtime_us,
        });
    }

    /// An alarm rang, the clock was set, or the zone is another.
    pub(crate) fn on_timers(&mut self, source: Source) {
        let timers = &self.aside.timers;
        let held = match source {
            Source::Calendar => &timers.calendar,
            Source::WakerByCalendar => &timers.wakers[0],
            Source::WakerByBoot => &timers.wakers[1],
            Source::Zone => return self.on_zone(),
        };
        let Some(alarm) = held else { return };
        let mut count = [0; 8];
        if rustix::io::read(alarm, &mut count) == Err(Errno::CANCELED) {
            self.on_clock_set(|one| one.on_clock, |_| true);
        }
        self.elapse_timers(true);
    }

    fn on_zone(&mut self) {
        let Some(zone) = &self.aside.timers.zone else {
            return;
        };
        if is_told(zone, ZONE_FILE) {
            self.on_clock_set(|one| one.on_zone, |one| one.by_host);
        }
    }

    /// Some elapse because of it, for others the next moment is another.
    fn on_clock_set(&mut self, elapses: fn(&Waiting) -> bool, moves: fn(&Waiting) -> bool) {
        let all: Vec<(UnitId, Waiting)> = self
            .aside
            .timers
            .waiting
            .iter()
            .map(|(unit, one)| (*unit, *one))
            .collect();
        for (unit, one) in all {
            if elapses(&one) {
                self.elapse(unit, one.incarnation, clock::realtime_us());
            } else if moves(&one) {
                self.inputs.push_back(Input::ReckonTimer(unit));
            }
        }
    }

    /// Sets the alarms, where what they are for changed.
    pub(crate) fn set_alarms(&mut self) {
        if !std::mem::take(&mut self.aside.timers.is_stale) {
            return;
        }
        let (was_set, failed) = self.aside.timers.set(&self.poll);
        let is_failing = !failed.is_empty();
        if !std::mem::replace(&mut self.aside.timers.is_failing, is_failing) {
            for (what, error) in failed {
                self.log(&format!("{what}: {error}"));
            }
        }
        if was_set {
            self.on_clock_set(|one| one.on_clock, |_| true);
            self.advance();
        }
    }

    /// When this instance was started: with its keeper.
    pub(crate) fn startup(&mut self) -> Micros {
        if let Some(startup) = self.aside.timers.startup {
            return startup;
        }
        let startup = began(self.keeper.pid).unwrap_or_else(clock::monotonic);
        self.aside.timers.startup = Some(startup);
        startup
    }

    /// A number that is the same for a unit of this machine at any time.
    fn place_of(&self, unit: UnitId) -> u64 {
        let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
        let name = self.name_of(unit);
        crate::directories::hash(&[&machine, name.as_bytes()].concat())
    }

    /// The file whose time is that of the timer's last elapse.
    fn stamp_path(&self, unit: UnitId) -> PathBuf {
        let name = format!("stamp-{}", self.name_of(unit));
        self.directories.state.join("timers").join(name)
    }

    /// Whether a timer's last time is kept, and is of what is to be removed.
    pub(crate) fn has_stamp(&self, unit: UnitId, what: Resources) -> bool {
        let is_timer = |entry: &crate::entry::Entry| entry.name.kind() == UnitKind::Timer;
        what.has(Resource::State)
            && self.units.get(&unit).is_some_and(|entry| is_timer(entry))
            && self.stamp_path(unit).exists()
    }

    /// Forgets it.
    ///
    /// # Errors
    /// When the file can't be removed.
    pub(crate) fn remove_stamp(&self, unit: UnitId, what: Resources) -> io::Result<()> {
        if self.has_stamp(unit, what) {
            std::fs::remove_file(self.stamp_path(unit))?;
        }
        Ok(())
    }

    /// When a timer elapsed last, perhaps before this boot. Where nobody knows, it is noted that it counts from now on.
    fn stamp(&self, unit: UnitId) -> io::Result<Option<Moment>> {
        let path = self.stamp_path(unit);
        match std::fs::metadata(&path) {
            Ok(found) => {
                let since = found.modified()?.duration_since(UNIX_EPOCH);
                let realtime_us = since.unwrap_or_default().as_micros();
                Ok(Some(Moment {
                    monotonic: None,
                    realtime_us: u64::try_from(realtime_us).unwrap_or(u64::MAX),
                }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.write_stamp(unit, clock::realtime_us())?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn write_stamp(&self, unit: UnitId, realtime_us: u64) -> io::Result<()> {
        let path = self.stamp_path(unit);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        let moment: SystemTime = UNIX_EPOCH + Duration::from_micros(realtime_us);
        file.set_times(FileTimes::new().set_modified(moment).set_accessed(moment))
    }

    /// Keeps that a timer elapsed, where Persistent= wants it.
    pub(crate) fn stamp_timer(&mut self, unit: UnitId) {
        let persists = |entry: &crate::entry::Entry| entry.unit.value(&key::PERSISTENT);
        if !self.units.get(&unit).is_some_and(|entry| persists(entry)) {
            return;
        }
        if let Err(error) = self.write_stamp(unit, clock::realtime_us()) {
            let path = self.stamp_path(unit);
            let text = format!(
                "cannot keep that it elapsed (Persistent=) in {}: {error}; after the next boot it may elapse once more",
                path.display()
            );
            self.log_about(unit, &text);
        }
    }
}

/// Does one of the events name this file?
fn is_told(inotify: &OwnedFd, file: &str) -> bool {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    let mut told = false;
    while let Ok(event) = reader.next() {
        let name = event.file_name().map(std::ffi::CStr::to_bytes);
        told |= name == Some(file.as_bytes());
        told |= event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW);
    }
    told
}

/// Does a unit name dates of the host's zone, also by what its clocks are called?
fn goes_by_host(unit: &Unit) -> bool {
    let all = unit.get(&key::ON_CALENDAR);
    let mut all = all.into_iter().flat_map(|all| all.iter());
    all.any(|calendar| *calendar.zone() != CalendarZone::Utc)
}

/// The zones of the host as their files are now, each read once.
struct HostZones {
    now: Timestamp,
    own: OnceCell<TimeZone>,
    places: RefCell<BTreeMap<String, Option<TimeZone>>>,
}

impl HostZones {
    fn at(realtime_us: u64) -> Self {
        let now = i64::try_from(realtime_us).unwrap_or(i64::MAX);
        Self {
            now: Timestamp::from_microsecond(now).unwrap_or(Timestamp::MAX),
            own: OnceCell::new(),
            places: RefCell::default(),
        }
    }

    /// The zone that an expression goes by.
    fn of(&self, calendar: &Calendar) -> Option<Box<dyn Zone>> {
        let own = self.own.get_or_init(|| zones::own(&load::HostTree));
        let place = |name: &str| {
            let mut places = self.places.borrow_mut();
            let read = || zones::of_place(&load::HostTree, name);
            places.entry(name.to_owned()).or_insert_with(read).clone()
        };
        let zone = zones::of(calendar, (own, self.now), place)?;
        Some(Box::new(zone))
    }
}

/// A share of a span that 64 bits say.
fn share(bits: u64, span: u64) -> u64 {
    let product = u128::from(bits) * u128::from(span);
    u64::try_from(product >> 64).unwrap_or_default()
}

pub(crate) fn random_bits() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::INSECURE) {
        Ok(8) => u64::from_ne_bytes(bytes),
        // Chance without a source: what nobody can foresee is not needed here.
        Ok(_) | Err(_) => clock::monotonic().0.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

/// How this boot shifts the moments at which timers gather, so that machines do not act all at once.
fn shift() -> u64 {
    static SHIFT: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *SHIFT.get_or_init(|| {
        let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        crate::directories::hash(&boot) % 60_000_000
    })
}

/// When a process was started (proc_pid_stat(5): field 22, in hundredths of a second since the boot, sleep included).
fn began(pid: u32) -> Option<Micros> {
    const TICK_US: u64 = 10_000;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    let age_us = clock::boottime_us().checked_sub(ticks * TICK_US)?;
    Some(Micros(clock::monotonic().0.saturating_sub(age_us)))
}
