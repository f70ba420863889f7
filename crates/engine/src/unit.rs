//! What the engine keeps per unit, and the only ways to reach it.

use std::sync::Arc;

use crate::accept::{Served, Traffic};
use crate::cause::{Cause, Chain};
use crate::config::{Kind, ServiceConfig, ServiceType, SocketConfig, UnitConfig};
use crate::effect::{Action, Effect};
use crate::engine::Engine;
use crate::graph::Edge;
use crate::id::{Incarnation, JobId, Micros, UnitId};
use crate::input::{ExitStatus, JobKind};
use crate::service::replace::Beside;
use crate::snapshot::{Stamps, Window};
use crate::state::{ActiveState, ServiceRun, SocketRun, State, UnitResult};
use crate::timer::TimerConfig;

/// One unit: its configuration, if it has one, its relations, and all that a snapshot keeps.
#[derive(Debug, Default)]
pub(crate) struct Unit {
    pub(crate) name: Arc<str>,
    pub(crate) config: Option<Arc<UnitConfig>>,
    /// Sorted; inverses included.
    pub(crate) edges: Vec<Edge>,
    pub(crate) state: State,
    pub(crate) incarnation: Incarnation,
    /// The highest number that a run had, where that is not the current one's.
    pub(crate) numbered: Incarnation,
    /// The run that the current one replaces, or has replaced and that drains.
    pub(crate) beside: Option<Box<Beside>>,
    pub(crate) main_status: Option<ExitStatus>,
    pub(crate) last_result: UnitResult,
    pub(crate) restarts: u32,
    pub(crate) starts: Window,
    pub(crate) triggers: Window,
    /// Jobs that other units' doings queued lately.
    pub(crate) followings: Window,
    pub(crate) stamps: Stamps,
    pub(crate) traffic: Option<Box<Traffic>>,
    pub(crate) served: Option<Box<Served>>,
    /// The kernel's table has this mount or swap.
    pub(crate) in_table: bool,
    pub(crate) job: Option<Box<Job>>,
    pub(crate) last_job: u32,
    pub(crate) cause: Chain,
    /// The moment under which it stands in the engine's list of deadlines.
    pub(crate) timer: Option<Micros>,
    /// Its file is gone; the record goes when the unit is idle.
    pub(crate) forgotten: bool,
}

/// An installed job; a unit has at most one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) kind: JobKind,
    pub(crate) automatic: bool,
    /// How long what it replaces may drain, where that was said.
    pub(crate) drain: Option<Micros>,
    pub(crate) running: bool,
    pub(crate) queued: Micros,
    pub(crate) began: Option<Micros>,
    pub(crate) ignore_order: bool,
    pub(crate) irreversible: bool,
    pub(crate) testing: bool,
    pub(crate) cause: Chain,
}

impl Unit {
    /// Down and without a job.
    pub(crate) fn is_idle(&self) -> bool {
        self.job.is_none() && self.beside.is_none() && self.state.active().is_down()
    }

    /// The next moment at which something happens to it by itself.
    pub(crate) fn deadline(&self) -> Option<Micros> {
        let config = self.config.as_ref();
        let job = self.job.as_ref().zip(config).and_then(|(job, config)| {
            let running = job
                .began
                .and_then(|began| began.deadline(config.job_running_timeout));
            job.queued
                .deadline(config.job_timeout)
                .into_iter()
                .chain(running)
                .min()
        });
        // An automatic restart does not come while a stop waits for its turn.
        let is_stopping = matches!(self.state, State::AutoRestart { .. })
            && (self.job.as_ref()).is_some_and(|job| job.kind == JobKind::Stop);
        let state = self.state.deadline().filter(|_| !is_stopping);
        let beside = self.beside.as_ref().and_then(|beside| beside.deadline);
        state.into_iter().chain(job).chain(beside).min()
    }
}

impl Engine {
    #[expect(
        clippy::indexing_slicing,
        reason = "ids are made by this vector, and `step` turns away those that were not"
    )]
    pub(crate) fn unit(&self, id: UnitId) -> &Unit {
        &self.units[id.0 as usize]
    }

    /// The unit, noted as changed in this step.
    #[expect(clippy::indexing_slicing, reason = "as in `unit`")]
    pub(crate) fn unit_mut(&mut self, id: UnitId) -> &mut Unit {
        self.touched.insert(id);
        &mut self.units[id.0 as usize]
    }

    /// The unit, for what no snapshot keeps: nothing has to be recorded anew.
    #[expect(clippy::indexing_slicing, reason = "as in `unit`")]
    pub(crate) fn unit_unrecorded(&mut self, id: UnitId) -> &mut Unit {
        &mut self.units[id.0 as usize]
    }

    pub(crate) fn name(&self, id: UnitId) -> Arc<str> {
        Arc::clone(&self.unit(id).name)
    }

    pub(crate) fn active(&self, id: UnitId) -> ActiveState {
        self.unit(id).state.active()
    }

    /// The service's policy; a service that lost it (which `configure` prevents while it runs) gets the defaults.
    pub(crate) fn service(&self, id: UnitId) -> Arc<ServiceConfig> {
        match self.unit(id).config.as_deref() {
            Some(UnitConfig {
                kind: Kind::Service(service),
                ..
            }) => Arc::clone(service),
            _ => Arc::new(ServiceConfig::new(ServiceType::Simple)),
        }
    }

    /// The socket's policy, as above.
    pub(crate) fn socket(&self, id: UnitId) -> Arc<SocketConfig> {
        match self.unit(id).config.as_deref() {
            Some(UnitConfig {
                kind: Kind::Socket(socket),
                ..
            }) => Arc::clone(socket),
            _ => Arc::new(SocketConfig::new("")),
        }
    }

    /// The timer's policy, as above.
    pub(crate) fn timer(&self, id: UnitId) -> Arc<TimerConfig> {
        match self.unit(id).config.as_deref() {
            Some(UnitConfig {
                kind: Kind::Timer(timer),
                ..
            }) => Arc::clone(timer),
            _ => Arc::new(TimerConfig::new("")),
        }
    }

    pub(crate) fn run(&self, id: UnitId) -> Option<&ServiceRun> {
        match &self.unit(id).state {
            State::Service(run) => Some(run),
            _ => None,
        }
    }

    pub(crate) fn run_mut(&mut self, id: UnitId) -> Option<&mut ServiceRun> {
        match &mut self.unit_mut(id).state {
            State::Service(run) => Some(run),
            _ => None,
        }
    }

    pub(crate) fn socket_run(&self, id: UnitId) -> Option<&SocketRun> {
        match &self.unit(id).state {
            State::Socket(run) => Some(run),
            _ => None,
        }
    }

    pub(crate) fn socket_run_mut(&mut self, id: UnitId) -> Option<&mut SocketRun> {
        match &mut self.unit_mut(id).state {
            State::Socket(run) => Some(run),
            _ => None,
        }
    }

    /// Emits with the cause of the moment.
    pub(crate) fn emit(&mut self, action: Action) {
        self.out.push(Effect {
            action,
            cause: self.cause.clone(),
        });
    }

    /// The cause of the moment gets a newer link.
    pub(crate) fn because(&mut self, cause: Cause) {
        self.cause = self.cause.and(cause);
    }

    pub(crate) fn log(&mut self, unit: UnitId, text: String) {
        self.emit(Action::Log { unit, text });
    }
}
