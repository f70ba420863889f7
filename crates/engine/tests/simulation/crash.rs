//! The manager is killed at any moment and comes back from its records and the keeper's inventory.

use coracle_engine::*;

use crate::world::{Life, World};

impl World {
    /// Kills the manager; `during`: in the middle of this step, whose effects are carried out in part or not at all.
    pub(crate) fn restart_manager(
        &mut self,
        during: Option<(Input, Vec<Effect>)>,
    ) -> Result<(), String> {
        let mut again = None;
        if let Some((input, effects)) = during {
            let written = self.random.chance(60);
            if written {
                self.record(&effects);
                let carried_out = self.random.below(effects.len() + 1);
                for effect in effects.iter().take(carried_out) {
                    self.carry_out(effect)?;
                }
            } else {
                let changed: Vec<Effect> = effects
                    .iter()
                    .filter(|effect| matches!(effect.action, Action::StateChanged(_)))
                    .cloned()
                    .collect();
                let some = self.random.below(changed.len() + 1);
                self.record(&changed[..some]);
            }
            // What came from the keeper or a queue is consumed only after it was recorded.
            again = (!written || self.random.chance(50))
                .then_some(input)
                .filter(is_kept);
        }
        self.note(|| "the manager is killed".to_owned());
        self.come_back(again)
    }

    fn come_back(&mut self, again: Option<Input>) -> Result<(), String> {
        self.engine = Engine::new();
        self.returns += 1;
        let this_return = self.returns;
        self.wake = None;
        self.released.clear();
        self.replacing.clear();
        self.told.clear();
        self.empty_watches.clear();
        self.searches.clear();
        self.condition_tests.clear();
        self.opening.clear();
        self.cleaning.clear();
        self.watched.clear();
        self.probes.clear();
        self.reckoning.clear();
        self.timers.clear();
        self.watching.clear();
        self.paths.clear();
        self.forget_automounts();
        for config in self.configs.clone() {
            self.quiet_step(Input::Configure(Box::new(config)));
        }
        for snapshot in self.records.values().cloned().collect::<Vec<_>>() {
            self.engine.restore(snapshot);
        }
        self.jobs = self.engine.jobs().map(|(job, _)| job).collect();
        let zombies = |life: Life| matches!(life, Life::Zombie(_));
        for (key, life) in self
            .processes
            .iter()
            .map(|(key, process)| (*key, process.life))
            .collect::<Vec<_>>()
        {
            if life == Life::Alive || (zombies(life) && self.random.chance(50)) {
                self.plain_step(Input::Alive { process: key })?;
            } else if zombies(life) {
                self.report(key)?;
            }
            // It was killed again on the way: the next one was told everything but what is still in the queue.
            if self.returns != this_return {
                return again.map_or(Ok(()), |input| self.plain_step(input));
            }
        }
        if let Some(input) = again {
            self.plain_step(input)?;
        }
        for unit in self.engine.units().collect::<Vec<_>>() {
            self.see_table(unit)?;
        }
        self.plain_step(Input::InventoryComplete)?;
        self.drains_are_told()
    }

    /// The manager before may have had no time for it.
    fn drains_are_told(&self) -> Result<(), String> {
        for unit in self.engine.units() {
            let beside = self.engine.beside(unit);
            let Some(beside) = beside.filter(|beside| beside.stage != Stage::Stays) else {
                continue;
            };
            if !self.told.contains(&(unit, beside.incarnation)) {
                return Err(format!("{unit:?} drains and was not told: {beside:?}"));
            }
        }
        Ok(())
    }

    /// A step that is not interrupted.
    pub(crate) fn plain_step(&mut self, input: Input) -> Result<(), String> {
        let before = self.job_states();
        let effects = self.take_step(&input);
        self.check_step(&before, &effects)?;
        self.record(&effects);
        for effect in &effects {
            self.carry_out(effect)?;
        }
        Ok(())
    }

    fn quiet_step(&mut self, input: Input) {
        let effects = self.take_step(&input);
        drop(effects);
    }
}

/// Whether an input is delivered again when the manager died before it was done with it.
fn is_kept(input: &Input) -> bool {
    matches!(
        input,
        Input::Exited { .. }
            | Input::Notify { .. }
            | Input::Executed(_)
            | Input::ExecFailed(_)
            | Input::AutomountVisited { .. }
    )
}
