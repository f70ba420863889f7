//! Whether what was started works: watched for a while, by what the manager tells of it.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::net::{Shutdown, shutdown};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use wire::methods::{Monitor, Status};
use wire::{MonitorRequest, NamesRequest, UnitStatus};

use crate::context::Context;

/// Watches units for a time; says what is wrong as soon as something is.
///
/// # Errors
/// When no manager can be asked.
pub(crate) fn watch(context: &Context, units: &[String], span: Duration) -> Result<Option<String>> {
    let until = Instant::now() + span;
    let before = status(context, units)?;
    if let Some(trouble) = before.iter().find_map(|unit| trouble(unit, u32::MAX)) {
        return Ok(Some(trouble));
    }
    let now_wrong = || -> Result<Option<String>> {
        let now = status(context, units)?;
        Ok(now
            .iter()
            .find_map(|unit| trouble(unit, restarts(&before, unit))))
    };
    // A manager that dies meanwhile is followed by another one, and the watch goes on there.
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if let Some(trouble) = watch_once(context, units, left, &now_wrong)? {
            return Ok(Some(trouble));
        }
    }
    now_wrong()
}

/// Until the time is over, the manager goes away, or something is wrong.
fn watch_once(
    context: &Context,
    units: &[String],
    left: Duration,
    now_wrong: &dyn Fn() -> Result<Option<String>>,
) -> Result<Option<String>> {
    let mut client = context.connect()?;
    let over = Rc::new(Cell::new(false));
    let (socket, noted) = (client.as_fd().try_clone_to_owned()?, Rc::clone(&over));
    client.meanwhile(timer(left)?, move |_| {
        noted.set(true);
        // A connection that is gone already ends the wait as well.
        shutdown(&socket, Shutdown::Both).ok();
    });
    let request = MonitorRequest {
        names: units.to_vec(),
    };
    for event in client.more(Monitor, &request, &[])? {
        if event.is_err() {
            break;
        }
        // The first event says that none is missed from now on: what came before it is looked for here, too.
        if let Some(trouble) = now_wrong()? {
            return Ok(Some(trouble));
        }
    }
    Ok(None)
}

/// Becomes readable after a time.
fn timer(span: Duration) -> Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    // Zero would never come.
    let span = span.max(Duration::from_millis(1));
    let value = Itimerspec {
        it_interval: Timespec::default(),
        it_value: Timespec {
            tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: span.subsec_nanos().into(),
        },
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &value)?;
    Ok(timer)
}

/// What the manager says of units now.
///
/// # Errors
/// When it can't be asked.
pub(crate) fn status(context: &Context, units: &[String]) -> Result<Vec<UnitStatus>> {
    // No name would mean all units of the host.
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let request = NamesRequest {
        names: units.to_vec(),
    };
    Ok(context.connect()?.call(Status, &request)?.units)
}

fn restarts(before: &[UnitStatus], unit: &UnitStatus) -> u32 {
    let was = before.iter().find(|was| was.name == unit.name);
    was.and_then(|was| was.service.as_ref())
        .map_or(0, |service| service.restarts)
}

/// What is wrong with a unit, if anything is. One that ended well is meant to where something else starts it, or it has one task.
pub(crate) fn trouble(unit: &UnitStatus, restarts: u32) -> Option<String> {
    let name = &unit.name;
    let service = unit.service.as_ref();
    if unit.active == "failed" {
        return Some(format!("{name} failed ({})", unit.result));
    }
    let again = service.is_some_and(|service| service.restarts > restarts);
    if again || unit.sub.starts_with("auto-restart") {
        return Some(format!("{name} ended and was restarted ({})", unit.result));
    }
    let may_end = service.is_none_or(|service| service.kind == "oneshot");
    (unit.active == "inactive" && !may_end && unit.triggered_by.is_empty())
        .then(|| format!("{name} ended"))
}
