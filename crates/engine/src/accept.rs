//! Accept=yes: a service for each connection, up to limits.
//!
//! The manager accepts and says so; the engine counts, and answers that the connection is taken or refused. What is taken gets a unit of
//! its own, an instance of the template, which is started. The connection is that unit's until it is idle.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::cause::{Cause, Chain};
use crate::config::{AcceptConfig, JobMode, Load};
use crate::effect::Action;
use crate::engine::Engine;
use crate::id::{Incarnation, UnitId};
use crate::input::JobKind;
use crate::snapshot::Window;
use crate::state::{SocketPhase, UnitResult};

/// The connection of a unit, until the unit is idle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The socket unit that it came to.
    pub socket: Arc<str>,
    /// Where it came from, as far as MaxConnectionsPerSource= tells sources apart.
    pub source: Arc<str>,
}

/// What a socket unit counts over all its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Connections that were taken: the number of the next one.
    pub accepted: u32,
    /// Connections that were turned away.
    pub refused: u32,
    /// The events that PollLimitIntervalSec= still looks at.
    pub polls: Window,
    /// That connections are refused was said since one was taken.
    pub told: bool,
}

impl Engine {
    /// What a socket unit counted.
    pub fn traffic_of(&self, unit: UnitId) -> Traffic {
        let unit = self.units.get(unit.0 as usize);
        let traffic = unit.and_then(|unit| unit.traffic.as_deref().copied());
        traffic.unwrap_or_default()
    }

    /// How many of a socket unit's connections are served now.
    pub fn connections_of(&self, unit: UnitId) -> u32 {
        let name = self.unit_name(unit).unwrap_or_default();
        let sources = self.connections.get(name);
        sources.map_or(0, |sources| sources.values().sum())
    }

    /// The connection of a unit.
    pub fn served(&self, unit: UnitId) -> Option<&Served> {
        self.units.get(unit.0 as usize)?.served.as_deref()
    }

    /// Whether a unit takes connections at this moment.
    pub fn takes_connections(&self, unit: UnitId, incarnation: Incarnation) -> bool {
        self.units.get(unit.0 as usize).is_some()
            && self.is_listening(unit, incarnation)
            && self.socket(unit).accept.is_some()
    }

    fn is_listening(&self, id: UnitId, incarnation: Incarnation) -> bool {
        let listening = self
            .socket_run(id)
            .is_some_and(|run| run.phase == SocketPhase::Listening);
        let stopping = (self.unit(id).job.as_ref())
            .is_some_and(|job| matches!(job.kind, JobKind::Stop | JobKind::Restart));
        listening && !stopping && self.is_current(id, incarnation)
    }

    fn traffic_mut(&mut self, id: UnitId) -> &mut Traffic {
        self.unit_mut(id).traffic.get_or_insert_default()
    }

    /// PollLimitIntervalSec= and PollLimitBurst=: counts an event. False: nothing is looked at until the interval is over, which is
    /// seen to here.
    pub(crate) fn polled(&mut self, id: UnitId) -> bool {
        let (now, limit) = (self.now, self.socket(id).poll_limit);
        if self.traffic_mut(id).polls.admit(now, limit) {
            return true;
        }
        self.pause(id);
        false
    }

    fn pause(&mut self, id: UnitId) {
        let limit = self.socket(id).poll_limit;
        let over = self.traffic_mut(id).polls.begin.after(limit.interval);
        // A window is open to its last moment.
        let over = over.after(crate::id::Micros(1));
        if let Some(run) = self.socket_run_mut(id) {
            run.deadline = Some(over);
        }
        self.emit(Action::UnwatchSockets(id));
    }

    /// The interval of the poll limit is over.
    pub(crate) fn resume_polling(&mut self, id: UnitId) {
        let incarnation = self.unit(id).incarnation;
        let Some(run) = self.socket_run_mut(id) else {
            return;
        };
        run.deadline = None;
        if run.phase == SocketPhase::Listening {
            self.emit(Action::WatchSockets {
                unit: id,
                incarnation,
            });
        }
    }

    /// A connection was accepted. Exactly one answer: it is taken, or refused.
    pub(crate) fn connection_came(
        &mut self,
        id: UnitId,
        incarnation: Incarnation,
        number: u32,
        source: &Arc<str>,
    ) {
        self.cause = Chain::root(Cause::Traffic {
            socket: self.name(id),
        });
        let Some(accept) = self.socket(id).accept else {
            return self.refuse(id, number);
        };
        let is_next = number == self.traffic_of(id).accepted;
        if !self.is_listening(id, incarnation) || !is_next {
            return self.refuse(id, number);
        }
        let (now, socket) = (self.now, self.socket(id));
        if !self.unit_mut(id).triggers.admit(now, socket.trigger_limit) {
            self.because(Cause::LimitHit {
                unit: self.name(id),
            });
            self.refuse(id, number);
            return self.socket_fail(id, UnitResult::TriggerLimitHit);
        }
        let is_polled = self.traffic_mut(id).polls.admit(now, socket.poll_limit);
        let is_last = self.traffic_of(id).polls.count >= socket.poll_limit.burst;
        if !is_polled || (is_last && socket.poll_limit.is_on()) {
            self.pause(id);
        }
        if let Some(why) = self.over_limit(id, accept, source) {
            self.tell_refusal(id, &why);
            return self.refuse(id, number);
        }
        let traffic = self.traffic_mut(id);
        traffic.accepted = traffic.accepted.wrapping_add(1);
        traffic.told = false;
        self.emit(Action::TakeConnection { unit: id, number });
    }

    fn over_limit(&self, id: UnitId, accept: AcceptConfig, source: &str) -> Option<String> {
        let all = self.connections_of(id);
        if all >= accept.max_connections {
            return Some(format!(
                "{all} are served, as many as MaxConnections= allows"
            ));
        }
        let name = self.name(id);
        let same = (self.connections.get(&name))
            .and_then(|sources| sources.get(source))
            .copied()
            .unwrap_or_default();
        let is_over = accept.max_per_source > 0 && same >= accept.max_per_source;
        is_over.then(|| {
            format!("{same} of {source} are served, as many as MaxConnectionsPerSource= allows")
        })
    }

    /// Once, until a connection is taken again: who floods must not fill the log.
    fn tell_refusal(&mut self, id: UnitId, why: &str) {
        let told = std::mem::replace(&mut self.traffic_mut(id).told, true);
        if !told {
            let text = format!("{}: a connection is refused: {why}.", self.name(id));
            self.log(id, text);
        }
    }

    fn refuse(&mut self, id: UnitId, number: u32) {
        let traffic = self.traffic_mut(id);
        traffic.refused = traffic.refused.wrapping_add(1);
        self.emit(Action::RefuseConnection { unit: id, number });
    }

    /// A connection that was taken has its unit, or one that the keeper held had none yet: it is served.
    pub(crate) fn connection_ready(
        &mut self,
        id: UnitId,
        number: u32,
        instance: UnitId,
        source: &Arc<str>,
    ) {
        let cause = Chain::root(Cause::Traffic {
            socket: self.name(id),
        });
        self.cause = cause.clone();
        let traffic = self.traffic_mut(id);
        traffic.accepted = traffic.accepted.max(number.wrapping_add(1));
        // Told again by a manager that came back.
        let socket = self.name(id);
        let served = self.unit(instance).served.as_ref();
        if served.is_some_and(|served| served.socket == socket) {
            return;
        }
        let is_loaded =
            (self.unit(instance).config.as_ref()).is_some_and(|config| config.load == Load::Loaded);
        if !is_loaded || !self.unit(instance).is_idle() {
            let text = format!(
                "{}: its service {} can't be started for a connection.",
                self.name(id),
                self.name(instance)
            );
            self.log(id, text);
            self.emit(Action::ReleaseConnection(instance));
            return self.fail_listening(id);
        }
        self.count_connection(&socket, source, 1);
        let source = Arc::clone(source);
        self.unit_mut(instance).served = Some(Box::new(Served { socket, source }));
        if let Err(refusal) =
            self.request(instance, JobKind::Start, JobMode::Replace, &cause, false)
        {
            self.cause = cause;
            self.log(id, refusal.to_string());
            self.fail_listening(id);
        }
    }

    /// The unit of a connection that was taken could not be loaded.
    pub(crate) fn connection_lost(&mut self, id: UnitId) {
        self.cause = Chain::root(Cause::Traffic {
            socket: self.name(id),
        });
        self.fail_listening(id);
    }

    fn fail_listening(&mut self, id: UnitId) {
        let listening = self
            .socket_run(id)
            .is_some_and(|run| run.phase == SocketPhase::Listening);
        if listening {
            self.socket_fail(id, UnitResult::Resources);
        }
    }

    /// A unit that is idle has no connection any more.
    pub(crate) fn release_served(&mut self, id: UnitId) {
        if self.unit(id).served.is_none() || !self.unit(id).is_idle() {
            return;
        }
        if let Some(served) = self.unit_mut(id).served.take() {
            self.cause = self.unit(id).cause.clone();
            self.count_connection(&served.socket, &served.source, -1);
            self.emit(Action::ReleaseConnection(id));
        }
    }

    pub(crate) fn count_connection(&mut self, socket: &Arc<str>, source: &Arc<str>, more: i32) {
        let sources = self.connections.entry(Arc::clone(socket)).or_default();
        let count = sources.entry(Arc::clone(source)).or_default();
        *count = count.saturating_add_signed(more);
        if *count == 0 {
            sources.remove(source);
        }
        if sources.is_empty() {
            self.connections.remove(socket);
        }
    }
}
