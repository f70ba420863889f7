//! Changes as they happen, for clients that watch.

use crate::manager::Manager;
use engine::{Chain, JobId, UnitId};
use wire::Event;

impl Manager {
    /// Tells a change to everybody who watches units of this name.
    pub(crate) fn publish(&mut self, event: &Event, unit: &str) {
        for connection in self.connections.values_mut() {
            let watches = connection.monitor.as_ref().is_some_and(|patterns| {
                unit.is_empty()
                    || patterns.is_empty()
                    || patterns
                        .iter()
                        .any(|pattern| crate::pattern::means(pattern, unit))
            });
            if watches {
                connection.event(event);
            }
        }
    }

    fn is_watched(&self) -> bool {
        self.connections
            .values()
            .any(|connection| connection.monitor.is_some())
    }

    pub(crate) fn publish_state(&mut self, unit: UnitId, cause: &Chain) {
        if !self.is_watched() {
            self.aside.probes.forget_told();
            return;
        }
        let (Some(entry), Some(state)) = (self.units.get(&unit), self.engine.state(unit)) else {
            return;
        };
        // Probes come and go, and nobody who watches units is told of each.
        let health = match state {
            engine::State::Service(run) => run.health.as_ref().map(|health| health.health),
            _ => None,
        };
        let is_same_place = entry.place == Some((state.active(), state.sub()));
        if health.is_some() && is_same_place && self.aside.probes.is_told(unit, health) {
            return;
        }
        let name = entry.name.to_string();
        let event = Event {
            kind: "unit".into(),
            unit: Some(name.clone()),
            active: Some(state.active().name().into()),
            sub: Some(state.sub().name().into()),
            cause: crate::causes::sentences(cause).into_iter().next(),
            realtime_us: crate::clock::realtime_us(),
            ..Event::default()
        };
        self.publish(&event, &name);
    }

    pub(crate) fn publish_job(&mut self, unit: UnitId, job: JobId, result: &str, cause: &Chain) {
        if !self.is_watched() {
            return;
        }
        let Some(entry) = self.units.get(&unit) else {
            return;
        };
        let name = entry.name.to_string();
        let event = Event {
            kind: "job".into(),
            unit: Some(name.clone()),
            job: Some(u64::from(job.0)),
            job_result: Some(result.into()),
            cause: crate::causes::sentences(cause).into_iter().next(),
            realtime_us: crate::clock::realtime_us(),
            ..Event::default()
        };
        self.publish(&event, &name);
    }
}
