//! Automount units: the kernel's file systems, and who waits at them.

use coracle_engine::*;
use std::collections::{BTreeMap, BTreeSet};

use crate::generate::Random;
use crate::life::Event;
use crate::world::{Run, World};

/// How many wait at one place at once, at most.
const WAITS_MAX: usize = 3;
const DEVICE: u32 = 42;

/// What the kernel has, which outlives the manager, and what this manager was asked for.
#[derive(Debug, Default)]
pub(crate) struct Automounts {
    /// Who waits at each place where a file system lies.
    waits: BTreeMap<UnitId, BTreeSet<u32>>,
    last_token: u32,
    /// The places that this manager listens at.
    heard: BTreeMap<UnitId, Run>,
    /// Answers that threads are at.
    answering: Vec<(Run, Box<[u32]>)>,
    setting: BTreeSet<Run>,
    unsetting: BTreeSet<Run>,
}

/// An automount of a unit.
pub(crate) fn automount(random: &mut Random, starts: &str) -> UnitConfig {
    let mut unit = UnitConfig::automount("a0.automount", starts);
    if let Kind::Automount(automount) = &mut unit.kind
        && random.chance(50)
    {
        std::sync::Arc::make_mut(automount).idle = Micros::seconds(9);
    }
    unit
}

impl World {
    pub(crate) fn forget_automounts(&mut self) {
        self.automounts.heard.clear();
        self.automounts.answering.clear();
        self.automounts.setting.clear();
        self.automounts.unsetting.clear();
    }

    pub(crate) fn automount_events(&self) -> Vec<Event> {
        let own = &self.automounts;
        let setting = own.setting.iter().map(|run| Event::AutomountSet(*run));
        let unsetting = own.unsetting.iter().map(|run| Event::AutomountUnset(*run));
        let mut events: Vec<Event> = setting.chain(unsetting).collect();
        events.extend(own.answering.first().map(|_| Event::AutomountAnswered));
        // Nobody who waits is forgotten: one that was not heard of is told to the next manager.
        for (unit, run) in &own.heard {
            let waits = own.waits.get(unit).map_or(0, BTreeSet::len);
            if waits < WAITS_MAX && !self.calm {
                events.push(Event::AutomountVisited(*run));
                events.push(Event::AutomountIdle(*run));
            }
            if !self.calm {
                events.push(Event::AutomountBroken(*run));
            }
        }
        events
    }

    pub(crate) fn happen_to_automount(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::AutomountSet((unit, incarnation)) => self.set_it((*unit, *incarnation)),
            Event::AutomountUnset((unit, incarnation)) => {
                let (unit, incarnation) = (*unit, *incarnation);
                self.automounts.unsetting.remove(&(unit, incarnation));
                self.automounts.waits.remove(&unit);
                self.automounts.heard.remove(&unit);
                self.step(Input::AutomountUnset { unit, incarnation })
            }
            Event::AutomountAnswered => {
                let ((unit, incarnation), waits) = self.automounts.answering.remove(0);
                if let Some(known) = self.automounts.waits.get_mut(&unit) {
                    known.retain(|token| !waits.contains(token));
                }
                self.step(Input::AutomountAnswered {
                    unit,
                    incarnation,
                    waits,
                })
            }
            Event::AutomountVisited(run) => {
                let who = "pid 7".into();
                self.visit(*run, Visit::Enters { who })
            }
            Event::AutomountIdle(run) => self.visit(*run, Visit::Expires),
            Event::AutomountBroken((unit, incarnation)) => {
                // Whoever waits is let go of by the kernel.
                self.automounts.waits.remove(unit);
                self.automounts.heard.remove(unit);
                self.step(Input::AutomountFailed {
                    unit: *unit,
                    incarnation: *incarnation,
                    why: "somebody else took it out".to_owned(),
                })
            }
            other => Err(format!("not about an automount: {other:?}")),
        }
    }

    fn set_it(&mut self, (unit, incarnation): Run) -> Result<(), String> {
        self.automounts.setting.remove(&(unit, incarnation));
        if !self.calm && self.random.chance(10) {
            self.automounts.waits.remove(&unit);
            return self.step(Input::AutomountFailed {
                unit,
                incarnation,
                why: "there is no such kernel".to_owned(),
            });
        }
        self.automounts.waits.entry(unit).or_default();
        self.automounts.heard.insert(unit, (unit, incarnation));
        self.step(Input::AutomountSet {
            unit,
            incarnation,
            device: DEVICE,
        })
    }

    fn visit(&mut self, (unit, incarnation): Run, visit: Visit) -> Result<(), String> {
        self.automounts.last_token += 1;
        let token = self.automounts.last_token;
        self.automounts.waits.entry(unit).or_default().insert(token);
        self.step(Input::AutomountVisited {
            unit,
            incarnation,
            token,
            visit,
        })
    }

    pub(crate) fn carry_out_of_automount(&mut self, action: &Action) {
        let own = &mut self.automounts;
        match action {
            Action::SetAutomount {
                unit,
                incarnation,
                device,
            } => {
                if device.is_none() {
                    // What an earlier manager left is taken out first.
                    own.waits.remove(unit);
                }
                own.unsetting.retain(|(other, _)| other != unit);
                own.setting.insert((*unit, *incarnation));
            }
            Action::UnsetAutomount {
                unit, incarnation, ..
            } => {
                own.waits.entry(*unit).or_default().clear();
                own.heard.remove(unit);
                own.setting.retain(|(other, _)| other != unit);
                own.unsetting.insert((*unit, *incarnation));
            }
            Action::AnswerAutomount {
                unit,
                incarnation,
                waits,
                ..
            } => own.answering.push(((*unit, *incarnation), waits.clone())),
            _ => {}
        }
    }

    /// Nobody waits at the end, and what is up is listened to.
    pub(crate) fn check_automounts(&self) -> Result<(), String> {
        let own = &self.automounts;
        if let Some((unit, waits)) = own.waits.iter().find(|(_, waits)| !waits.is_empty()) {
            let state = self.engine.state(*unit);
            return Err(format!("{waits:?} wait at {unit:?} for ever: {state:?}"));
        }
        for unit in self.engine.units() {
            let Some(State::Automount(run)) = self.engine.state(unit) else {
                continue;
            };
            let current = (unit, self.engine.snapshot(unit).unwrap().incarnation);
            if own.heard.get(&unit) != Some(&current) {
                return Err(format!("{unit:?} is not listened to: {run:?}"));
            }
            let mounts = self.engine.relations(unit, Relation::Triggers, false);
            let is_up = |mount: &UnitId| self.engine.state(*mount).unwrap().active().is_up();
            let is_running = run.phase == AutomountPhase::Running;
            if is_running != mounts.iter().any(is_up) {
                return Err(format!("{unit:?} is {run:?}, and its mount otherwise"));
            }
        }
        Ok(())
    }
}
