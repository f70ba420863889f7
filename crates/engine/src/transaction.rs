//! From one wish to a consistent set of jobs: pull in what belongs to it, merge, drop what cannot be, find an order.

mod modes;
pub(crate) mod order;
mod web;

use crate::cause::{Cause, Chain};
use crate::config::{JobMode, Kind, Load, Relation};
use crate::effect::Refusal;
use crate::engine::Engine;
use crate::graph::End;
use crate::id::UnitId;
use crate::input::JobKind;
use crate::state::State;
use model::sorted::Map;
use web::Web;

/// Jobs in one transaction, at most: more units than any machine has, fewer than fill its memory.
const TRANSACTION_JOBS: usize = 1_000_000;

/// A job that is not installed yet.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) unit: UnitId,
    pub(crate) kind: JobKind,
    pub(crate) cause: Chain,
    /// Dropped.
    gone: bool,
    /// Why it cannot be.
    refused: Option<Refusal>,
    /// The wish that was asked for fails without it.
    matters: bool,
    /// Conflicts= of the unit of another job asked for it.
    conflicted: bool,
}

/// One wish pulled another in.
#[derive(Debug, Clone, Copy)]
struct Link {
    from: usize,
    to: usize,
    /// `from` cannot be without `to`.
    matters: bool,
}

/// By wish: those that cannot be without it.
type Users = Map<usize, Vec<usize>>;

#[derive(Debug, Default)]
pub(crate) struct Transaction {
    /// The first is what was asked for.
    pub(crate) wishes: Vec<Wish>,
    index: Map<(UnitId, JobKind), usize>,
    links: Vec<Link>,
    /// What an administrator should know of it.
    pub(crate) notes: Vec<(UnitId, String)>,
}

/// What a job of this kind pulls in: relation, end, kind of job, whether it matters.
type Pull = (Relation, End, JobKind, bool);

const START_PULLS: [Pull; 7] = [
    (Relation::Requires, End::Ours, JobKind::Start, true),
    (Relation::BindsTo, End::Ours, JobKind::Start, true),
    (Relation::Wants, End::Ours, JobKind::Start, false),
    (Relation::Upholds, End::Ours, JobKind::Start, false),
    (Relation::Requisite, End::Ours, JobKind::VerifyActive, true),
    (Relation::Conflicts, End::Ours, JobKind::Stop, true),
    (Relation::Conflicts, End::Theirs, JobKind::Stop, false),
];
const STOP_PULLS: [Pull; 4] = [
    (Relation::Requires, End::Theirs, JobKind::Stop, true),
    (Relation::Requisite, End::Theirs, JobKind::Stop, true),
    (Relation::BindsTo, End::Theirs, JobKind::Stop, true),
    (Relation::PartOf, End::Theirs, JobKind::Stop, true),
];
const RESTART_PULLS: [Pull; 4] = [
    (Relation::Requires, End::Theirs, JobKind::TryRestart, true),
    (Relation::Requisite, End::Theirs, JobKind::TryRestart, true),
    (Relation::BindsTo, End::Theirs, JobKind::TryRestart, true),
    (Relation::PartOf, End::Theirs, JobKind::TryRestart, true),
];
/// Whom the stop of a unit, or that of its restart, is handed on to.
const HANDED_ON: [(Relation, End); 2] = [
    (Relation::PropagatesStopTo, End::Ours),
    (Relation::StopPropagatedFrom, End::Theirs),
];
const RELOAD_PULLS: [Pull; 2] = [
    (
        Relation::PropagatesReloadTo,
        End::Ours,
        JobKind::TryReload,
        false,
    ),
    (
        Relation::ReloadPropagatedFrom,
        End::Theirs,
        JobKind::TryReload,
        false,
    ),
];

fn pulls(kind: JobKind) -> &'static [&'static [Pull]] {
    match kind {
        JobKind::Start | JobKind::Replace => &[&START_PULLS],
        JobKind::Restart => &[&START_PULLS, &RESTART_PULLS],
        JobKind::Stop => &[&STOP_PULLS],
        JobKind::Reload => &[&RELOAD_PULLS],
        JobKind::VerifyActive
        | JobKind::TryRestart
        | JobKind::TryReload
        | JobKind::ReloadOrStart => &[],
    }
}

impl Engine {
    /// Builds the transaction of one wish; nothing is installed yet.
    pub(crate) fn plan_jobs(
        &self,
        unit: UnitId,
        kind: JobKind,
        mode: JobMode,
        cause: &Chain,
    ) -> Result<Transaction, Refusal> {
        let mut plan = Transaction::default();
        plan.add(self, unit, kind, cause.clone());
        let mut next = 0;
        let expands = !matches!(
            mode,
            JobMode::IgnoreDependencies | JobMode::IgnoreRequirements
        );
        while expands && next < plan.wishes.len() {
            self.expand(&mut plan, next);
            next += 1;
            if plan.wishes.len() > TRANSACTION_JOBS {
                return Err(Refusal::TooMany(TRANSACTION_JOBS));
            }
            if next == 1 {
                self.widen(&mut plan, mode);
            }
        }
        if expands {
            self.hand_stops_on(&mut plan, mode);
        }
        plan.drop_refused()?;
        plan.mark_matters();
        if mode == JobMode::Fail {
            plan.drop_harmful(self);
        }
        plan.drop_redundant(self);
        plan.collect_garbage();
        plan.merge_all(self)?;
        plan.collect_garbage();
        if mode != JobMode::IgnoreDependencies {
            self.break_cycles(&mut plan)?;
        }
        plan.drop_redundant(self);
        plan.wishes.retain(|wish| !wish.gone);
        if mode == JobMode::Lenient {
            self.refuse_stops(&plan)?;
        }
        self.refuse_destructive(&plan, mode)?;
        Ok(plan)
    }

    fn expand(&self, plan: &mut Transaction, from: usize) {
        let wish = plan.wishes.get(from);
        let Some(kind) = wish
            .filter(|wish| wish.refused.is_none())
            .map(|wish| wish.kind)
        else {
            return;
        };
        for pulls in pulls(kind) {
            self.pull_in(plan, from, pulls);
        }
    }

    /// What was asked for hands its stop on once all else is there: to who is to come up by then, as a restart. So do those that got it from it.
    fn hand_stops_on(&self, plan: &mut Transaction, mode: JobMode) {
        let mut open = vec![0];
        while let Some(from) = open.pop() {
            let Some(wish) = plan.wishes.get(from) else {
                continue;
            };
            let (unit, cause) = (wish.unit, wish.cause.clone());
            let goes_down = match wish.kind {
                JobKind::Stop | JobKind::Restart => true,
                JobKind::Start => from == 0 && mode == JobMode::RestartDependencies,
                _ => false,
            };
            let handed = HANDED_ON.iter().flat_map(|(relation, end)| {
                self.related(unit, *relation, *end)
                    .map(move |other| (*relation, other))
            });
            for (relation, other) in handed.filter(|_| goes_down) {
                let Some(kind) = plan.going_down(other) else {
                    continue;
                };
                let cause = cause.and(Cause::PulledIn {
                    by: self.name(unit),
                    relation,
                });
                let mut next = plan.wishes.len();
                let to = plan.add(self, other, kind, cause);
                plan.links.push(Link {
                    from,
                    to,
                    matters: true,
                });
                open.push(to);
                while next < plan.wishes.len() && plan.wishes.len() <= TRANSACTION_JOBS {
                    self.expand(plan, next);
                    next += 1;
                }
            }
        }
    }

    fn pull_in(&self, plan: &mut Transaction, from: usize, pulls: &[Pull]) {
        let Some((unit, cause)) = plan.wishes.get(from).map(|w| (w.unit, w.cause.clone())) else {
            return;
        };
        for (relation, end, wanted, matters) in pulls.iter().copied() {
            for other in self.related(unit, relation, end) {
                let Some(kind) = self.collapse(other, wanted) else {
                    continue;
                };
                let cause = cause.and(Cause::PulledIn {
                    by: self.name(unit),
                    relation,
                });
                let to = plan.add(self, other, kind, cause);
                plan.links.push(Link { from, to, matters });
                if (relation, end) == (Relation::Conflicts, End::Ours)
                    && let Some(wish) = plan.wishes.get_mut(to)
                {
                    wish.conflicted = true;
                }
            }
        }
    }

    /// Why a job of this kind cannot even be queued.
    fn unloadable(&self, id: UnitId, kind: JobKind) -> Option<Refusal> {
        if kind == JobKind::Stop {
            return None;
        }
        let name = || self.name(id).to_string();
        let Some(config) = &self.unit(id).config else {
            return Some(Refusal::NotFound(name()));
        };
        match config.load {
            Load::Loaded => {}
            Load::NotFound => return Some(Refusal::NotFound(name())),
            Load::Masked => return Some(Refusal::Masked(name())),
            Load::BadSetting => return Some(Refusal::BadSetting(name())),
            Load::Error => return Some(Refusal::LoadError(name())),
        }
        match &config.kind {
            Kind::Unsupported(why) if kind != JobKind::VerifyActive => {
                Some(Refusal::Unsupported(name(), why))
            }
            Kind::Service(service) if kind == JobKind::Reload && !service.can_reload() => {
                Some(Refusal::NotReloadable(name()))
            }
            // What has nothing of its own to read again hands that on to others, or can't.
            Kind::Target
            | Kind::Device
            | Kind::Socket(_)
            | Kind::Timer(_)
            | Kind::Path(_)
            | Kind::Automount(_)
                if kind == JobKind::Reload && !self.hands_reloads_on(id) =>
            {
                Some(Refusal::NotReloadable(name()))
            }
            _ => None,
        }
    }

    /// Has it anything to read again, or whom to hand that on to?
    pub fn can_reload(&self, id: UnitId) -> bool {
        self.unloadable(id, JobKind::Reload).is_none()
    }

    fn hands_reloads_on(&self, id: UnitId) -> bool {
        let mut to = RELOAD_PULLS
            .iter()
            .flat_map(|(relation, end, ..)| self.related(id, *relation, *end));
        to.next().is_some()
    }

    /// What a conditional job means for the unit's state now; `None`: nothing.
    pub(crate) fn collapse(&self, id: UnitId, kind: JobKind) -> Option<JobKind> {
        let state = self.active(id);
        use crate::state::ActiveState::{Deactivating, Maintenance};
        let down = state.is_down() || matches!(state, Deactivating | Maintenance);
        let restarts = matches!(self.unit(id).state, State::AutoRestart { .. });
        match kind {
            JobKind::TryRestart => (!down).then_some(JobKind::Restart),
            JobKind::TryReload => (!down && !restarts).then_some(JobKind::Reload),
            JobKind::ReloadOrStart if down || restarts => Some(JobKind::Start),
            JobKind::ReloadOrStart => Some(JobKind::Reload),
            JobKind::Replace if !self.may_overlap(id) => Some(JobKind::Restart),
            other => Some(other),
        }
    }

    fn is_redundant(&self, wish: &Wish) -> bool {
        let state = self.active(wish.unit);
        let job = self.unit(wish.unit).job.as_ref();
        let contradicts = job.is_some_and(|job| merge(job.kind, wish.kind).is_none());
        let there = match wish.kind {
            JobKind::Start | JobKind::VerifyActive => state.is_up(),
            JobKind::Stop => state.is_down() && self.unit(wish.unit).beside.is_none(),
            _ => false,
        };
        there && !contradicts
    }
}

impl Transaction {
    fn add(&mut self, engine: &Engine, unit: UnitId, kind: JobKind, cause: Chain) -> usize {
        *self.index.entry((unit, kind)).or_insert_with(|| {
            let refused = engine.unloadable(unit, kind);
            self.wishes.push(Wish {
                unit,
                kind,
                cause,
                gone: false,
                refused,
                matters: false,
                conflicted: false,
            });
            self.wishes.len() - 1
        })
    }

    /// The job by which a unit goes down that is handed a stop; `None`: it has one.
    fn going_down(&self, unit: UnitId) -> Option<JobKind> {
        let has = |kind| self.index.contains_key(&(unit, kind));
        if has(JobKind::Stop) || has(JobKind::Restart) {
            return None;
        }
        Some(match has(JobKind::Start) {
            true => JobKind::Restart,
            false => JobKind::Stop,
        })
    }

    fn is_gone(&self, at: usize) -> bool {
        self.wishes.get(at).is_none_or(|wish| wish.gone)
    }

    /// Who cannot be without each wish.
    fn users(&self) -> Users {
        let mut users = Users::new();
        for link in self.links.iter().filter(|link| link.matters) {
            users.entry(link.to).or_default().push(link.from);
        }
        users
    }

    fn drop_with(&mut self, users: &Users, at: usize) -> bool {
        let mut doomed = vec![at];
        while let Some(at) = doomed.pop() {
            if at == 0 {
                return false;
            }
            let Some(wish) = self.wishes.get_mut(at).filter(|wish| !wish.gone) else {
                continue;
            };
            wish.gone = true;
            doomed.extend(users.get(&at).into_iter().flatten());
        }
        true
    }

    fn drop_refused(&mut self) -> Result<(), Refusal> {
        let users = self.users();
        for at in 0..self.wishes.len() {
            let Some(refusal) = self.wishes.get(at).and_then(|wish| wish.refused.clone()) else {
                continue;
            };
            if !self.drop_with(&users, at) {
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn reach(&self, only_mattering: bool) -> Vec<bool> {
        let mut next: Map<usize, Vec<usize>> = Map::new();
        for link in self
            .links
            .iter()
            .filter(|link| (link.matters || !only_mattering) && !self.is_gone(link.to))
        {
            next.entry(link.from).or_default().push(link.to);
        }
        let mut reached = vec![false; self.wishes.len()];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            if let Some(mark) = reached.get_mut(at).filter(|mark| !**mark) {
                *mark = true;
                open.extend(next.get(&at).into_iter().flatten());
            }
        }
        reached
    }

    fn mark_matters(&mut self) {
        let reached = self.reach(true);
        for (wish, matters) in self.wishes.iter_mut().zip(reached) {
            wish.matters = matters;
        }
    }

    fn collect_garbage(&mut self) {
        let reached = self.reach(false);
        for (wish, reached) in self.wishes.iter_mut().zip(reached) {
            wish.gone |= !reached;
        }
    }

    /// Mode fail: what does not matter may neither stop what is up nor contradict a queued job.
    fn drop_harmful(&mut self, engine: &Engine) {
        let harmful = |wish: &Wish| {
            let job = engine.unit(wish.unit).job.as_ref();
            let stops = wish.kind == JobKind::Stop && !engine.active(wish.unit).is_down();
            !wish.gone
                && !wish.matters
                && (stops || job.is_some_and(|job| merge(job.kind, wish.kind).is_none()))
        };
        let doomed: Vec<usize> = self
            .wishes
            .iter()
            .enumerate()
            .filter(|(_, wish)| harmful(wish))
            .map(|(at, _)| at)
            .collect();
        let users = self.users();
        for at in doomed {
            self.drop_with(&users, at);
        }
    }

    /// Drops what is there already, but for the first, and but for units with other wishes.
    fn drop_redundant(&mut self, engine: &Engine) {
        let mut by_unit: Map<UnitId, Vec<usize>> = Map::new();
        for (at, wish) in self
            .wishes
            .iter()
            .enumerate()
            .filter(|(_, wish)| !wish.gone)
        {
            by_unit.entry(wish.unit).or_default().push(at);
        }
        for places in by_unit.into_values() {
            let mut wishes = places.iter().filter_map(|at| self.wishes.get(*at));
            if places.contains(&0) || !wishes.all(|wish| engine.is_redundant(wish)) {
                continue;
            }
            for at in places {
                if let Some(wish) = self.wishes.get_mut(at) {
                    wish.gone = true;
                }
            }
        }
    }

    /// One wish per unit is left.
    fn merge_all(&mut self, engine: &Engine) -> Result<(), Refusal> {
        let mut kept: Map<UnitId, usize> = Map::new();
        let mut web = Web::of(self);
        for at in 0..self.wishes.len() {
            let Some(wish) = self.wishes.get(at).filter(|wish| !wish.gone) else {
                continue;
            };
            let Some(other) = kept
                .get(&wish.unit)
                .copied()
                .filter(|other| !self.is_gone(*other))
            else {
                kept.insert(wish.unit, at);
                continue;
            };
            match self.merge_two(engine, other, at)? {
                None => web.merge(other, at),
                Some(loser) => {
                    if loser == other
                        && let Some(wish) = self.wishes.get(at)
                    {
                        kept.insert(wish.unit, at);
                    }
                    self.drop_from(&mut web, loser);
                }
            }
        }
        for link in &mut self.links {
            (link.from, link.to) = (web.place(link.from), web.place(link.to));
        }
        Ok(())
    }

    /// Merges the later wish into the earlier, or names the one to be dropped.
    fn merge_two(
        &mut self,
        engine: &Engine,
        first: usize,
        second: usize,
    ) -> Result<Option<usize>, Refusal> {
        let (Some(a), Some(b)) = (self.wishes.get(first), self.wishes.get(second)) else {
            return Ok(None);
        };
        if let Some(kind) = merge(a.kind, b.kind).and_then(|kind| engine.collapse(a.unit, kind)) {
            let matters = a.matters || b.matters;
            if let Some(kept) = self.wishes.get_mut(first) {
                kept.kind = kind;
                kept.matters = matters;
            }
            if let Some(merged) = self.wishes.get_mut(second) {
                merged.gone = true;
            }
            return Ok(None);
        }
        match (a.matters, b.matters) {
            (true, true) => Err(Refusal::Conflict(
                engine.name(a.unit).to_string(),
                a.kind.name(),
                b.kind.name(),
            )),
            (true, false) => Ok(Some(second)),
            (false, true) => Ok(Some(first)),
            (false, false) => {
                let (stop, start) = if a.kind == JobKind::Stop {
                    (first, second)
                } else {
                    (second, first)
                };
                let conflicted = self.wishes.get(stop).is_some_and(|wish| wish.conflicted);
                Ok(Some(if conflicted { start } else { stop }))
            }
        }
    }
}

/// The one job that does what both would do, before it is collapsed; `None`: they contradict each other.
pub(crate) fn merge(a: JobKind, b: JobKind) -> Option<JobKind> {
    use JobKind::{Reload, ReloadOrStart, Replace, Restart, Start, VerifyActive};
    match (a.min(b), a.max(b)) {
        (a, b) if a == b => Some(a),
        (Start, VerifyActive) => Some(Start),
        (Start, Reload) => Some(ReloadOrStart),
        (Start | VerifyActive | Reload, Restart) => Some(Restart),
        (VerifyActive, Reload) => Some(Reload),
        (Start | VerifyActive | Reload, Replace) => Some(Replace),
        (Restart, Replace) => Some(Restart),
        _ => None,
    }
}

/// Whether the first job does all that the second would.
pub(crate) fn covers(a: JobKind, b: JobKind) -> bool {
    use JobKind::{Reload, Replace, Restart, Start, VerifyActive};
    matches!(
        (a, b),
        (Start | Reload | Restart | Replace, VerifyActive)
            | (Restart, Start | Reload)
            | (Replace, Start)
    ) || a == b
}

impl JobKind {
    /// The text that clients see.
    pub fn name(self) -> &'static str {
        match self {
            JobKind::Start => "start",
            JobKind::VerifyActive => "verify-active",
            JobKind::Stop => "stop",
            JobKind::Reload => "reload",
            JobKind::Restart => "restart",
            JobKind::TryRestart => "try-restart",
            JobKind::TryReload => "try-reload",
            JobKind::ReloadOrStart => "reload-or-start",
            JobKind::Replace => "replace",
        }
    }
}
