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
use wire::{HealthStatus, MonitorRequest, NamesRequest, UnitStatus};

use crate::context::Context;
use crate::terminal::plain;

/// What is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The unit that does not work.
    pub(crate) unit: String,
    /// What is wrong with it, with its name.
    pub(crate) why: String,
    /// It is failed for the manager, too.
    pub(crate) has_failed: bool,
}

/// How long it is waited on when the time is over and a service has not answered its last probe well: until it has, or is unhealthy.
const VERDICT: Duration = Duration::from_secs(1);

/// What is wrong with units that were asked to start, if anything is: where all came up they have to work for a time, too.
///
/// # Errors
/// When no manager can be asked.
pub(crate) fn prove(
    context: &Context,
    name: &str,
    units: &[String],
    status: u8,
    span: Duration,
) -> Result<Option<Trouble>> {
    if status == 0 {
        if !span.is_zero() {
            let (name, span_s) = (plain(name), span.as_secs());
            context.narrate(&format!("{name} has to work for {span_s} s"));
        }
        return watch(context, units, span);
    }
    let now = self::status(context, units)?;
    let found = now.iter().find_map(|unit| trouble(unit, u32::MAX));
    Ok(Some(found.unwrap_or_else(|| Trouble {
        unit: units.first().cloned().unwrap_or_default(),
        why: format!("{} did not come up", units.join(", ")),
        has_failed: false,
    })))
}

/// Watches units for a time; says what is wrong as soon as something is.
fn watch(context: &Context, units: &[String], span: Duration) -> Result<Option<Trouble>> {
    let until = Instant::now() + span;
    let before = status(context, units)?;
    if let Some(trouble) = before.iter().find_map(|unit| trouble(unit, u32::MAX)) {
        return Ok(Some(trouble));
    }
    let now_wrong = || -> Result<Option<Trouble>> {
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
    let over = Instant::now();
    loop {
        if let Some(trouble) = now_wrong()? {
            return Ok(Some(trouble));
        }
        let now = status(context, units)?;
        if let Some(trouble) = now.iter().find_map(unproven) {
            return Ok(Some(trouble));
        }
        let Some(doubtful) = now.iter().find_map(doubtful) else {
            return Ok(None);
        };
        let Some(left) = patience(over.elapsed(), span) else {
            return Ok(Some(doubtful));
        };
        if let Some(trouble) = watch_once(context, units, left, &now_wrong)? {
            return Ok(Some(trouble));
        }
    }
}

/// How long a service in doubt is waited on next, so long after the end of its time. None: in as long again it has not proven itself, and
/// how often it may fail is said by the version that is on trial.
fn patience(over: Duration, span: Duration) -> Option<Duration> {
    let left = span.max(VERDICT).saturating_sub(over);
    (!left.is_zero()).then_some(left.min(VERDICT))
}

/// One that was never seen to work, at the end of its time.
fn unproven(unit: &UnitStatus) -> Option<Trouble> {
    let health = unit.service.as_ref()?.health.as_ref()?;
    (health.state == "starting").then(|| Trouble {
        unit: unit.name.clone(),
        why: format!("{} has not answered its probes{}", unit.name, line(health)),
        has_failed: false,
    })
}

/// Its last probe failed, and that is not enough to call it unhealthy.
fn doubtful(unit: &UnitStatus) -> Option<Trouble> {
    let health = unit.service.as_ref()?.health.as_ref()?;
    (health.failures > 0).then(|| Trouble {
        unit: unit.name.clone(),
        why: format!("the last probe of {} failed{}", unit.name, line(health)),
        has_failed: false,
    })
}

fn line(health: &HealthStatus) -> String {
    let line = health.line.as_deref();
    line.map(|line| format!(" ({line})")).unwrap_or_default()
}

/// Until the time is over, the manager goes away, or something is wrong.
fn watch_once(
    context: &Context,
    units: &[String],
    left: Duration,
    now_wrong: &dyn Fn() -> Result<Option<Trouble>>,
) -> Result<Option<Trouble>> {
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
pub(crate) fn trouble(unit: &UnitStatus, restarts: u32) -> Option<Trouble> {
    let name = &unit.name;
    let has_failed = unit.active == "failed";
    let why = why(unit, restarts)?;
    Some(Trouble {
        unit: name.clone(),
        why: format!("{name} {why}"),
        has_failed,
    })
}

fn why(unit: &UnitStatus, restarts: u32) -> Option<String> {
    let service = unit.service.as_ref();
    if unit.active == "failed" {
        return Some(format!("failed ({})", unit.result));
    }
    let again = service.is_some_and(|service| service.restarts > restarts);
    if again || unit.sub.starts_with("auto-restart") {
        return Some(format!("ended and was restarted ({})", unit.result));
    }
    let health = service.and_then(|service| service.health.as_ref());
    if let Some(health) = health.filter(|health| health.state == "unhealthy") {
        return Some(format!("is unhealthy{}", line(health)));
    }
    let may_end = service.is_none_or(|service| service.kind == "oneshot");
    (unit.active == "inactive" && !may_end && unit.triggered_by.is_empty())
        .then(|| "ended".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ServiceStatus;

    fn asked(state: &str, failures: u32) -> UnitStatus {
        let health = HealthStatus {
            state: state.into(),
            failures,
            line: Some("HTTP/1.1 500 No".into()),
            ..HealthStatus::default()
        };
        UnitStatus {
            name: "web.service".into(),
            active: "active".into(),
            service: Some(ServiceStatus {
                kind: "exec".into(),
                health: Some(health),
                ..ServiceStatus::default()
            }),
            ..UnitStatus::default()
        }
    }

    #[test]
    fn what_is_unhealthy_is_trouble_and_what_never_answered_has_not_proven_itself() {
        let said = |trouble: Option<Trouble>| trouble.map(|trouble| trouble.why);
        let sick = "web.service is unhealthy (HTTP/1.1 500 No)";
        assert_eq!(
            said(trouble(&asked("unhealthy", 3), 0)).as_deref(),
            Some(sick)
        );
        assert_eq!(trouble(&asked("healthy", 1), 0), None);
        let doubt = "the last probe of web.service failed (HTTP/1.1 500 No)";
        assert_eq!(said(doubtful(&asked("healthy", 1))).as_deref(), Some(doubt));
        assert_eq!(doubtful(&asked("healthy", 0)), None);
        let silent = "web.service has not answered its probes (HTTP/1.1 500 No)";
        assert_eq!(
            said(unproven(&asked("starting", 0))).as_deref(),
            Some(silent)
        );
        assert_eq!(unproven(&asked("healthy", 0)), None);
    }

    #[test]
    fn a_service_in_doubt_is_waited_on_as_long_again_as_its_time_and_no_longer() {
        let (seconds, ms) = (Duration::from_secs, Duration::from_millis);
        for (over, span, expected) in [
            (seconds(0), seconds(10), Some(seconds(1))),
            (ms(9_500), seconds(10), Some(ms(500))),
            (seconds(10), seconds(10), None),
            (seconds(11), seconds(10), None),
            // One that has hardly any time is waited on once.
            (seconds(0), ms(1), Some(seconds(1))),
            (seconds(1), ms(1), None),
        ] {
            assert_eq!(patience(over, span), expected, "{over:?} of {span:?}");
        }
        // Whatever the version says of itself, there is an end: each wait brings it nearer.
        let (mut over, span) = (Duration::ZERO, seconds(60));
        let waits = std::iter::from_fn(|| {
            let wait = patience(over, span)?;
            over += wait;
            Some(wait)
        });
        assert_eq!(waits.sum::<Duration>(), span);
    }
}
