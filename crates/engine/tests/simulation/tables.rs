//! The kernel's tables of mounts and swaps: what commands and others do to them.

use coracle_engine::*;
use std::sync::Arc;

use crate::generate::Random;
use crate::life::Event;
use crate::world::World;

/// How many lie on each other at one place, at most.
const DEPTH_MAX: u32 = 3;

/// A unit whose commands change a table.
pub(crate) fn entry(random: &mut Random, name: &str, table: Table) -> UnitConfig {
    let mut unit = UnitConfig::service(name, ServiceType::Oneshot);
    if let Kind::Service(service) = &mut unit.kind {
        let service = Arc::make_mut(service);
        service.table = Some(table);
        service.remain_after_exit = true;
        service.timeout_start = Micros::seconds(30);
        service.stop = CommandList::of(1);
        service.kill.send_sigkill = random.chance(90);
        service.kill.mode = *random.pick(&[KillMode::ControlGroup, KillMode::Mixed]);
        if table == Table::Mounts {
            (service.start_pre, service.reload) = (CommandList::of(1), CommandList::of(1));
        }
    }
    unit
}

impl World {
    pub(crate) fn is_entry(&self, unit: UnitId) -> bool {
        matches!(self.config(unit).kind, Kind::Service(service) if service.table.is_some())
    }

    fn is_in_table(&self, unit: UnitId) -> bool {
        self.tables.get(&unit).is_some_and(|depth| *depth > 0)
    }

    /// What is possible now: the manager sees a change, and others make one.
    pub(crate) fn table_events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for unit in self.engine.units().filter(|unit| self.is_entry(*unit)) {
            if self.engine.in_kernel_table(unit) != self.is_in_table(unit) {
                events.push(Event::TableSeen(unit));
            }
            if !self.calm {
                events.push(Event::TableChanged(unit));
            }
        }
        events
    }

    /// A command of a unit ended, and did what it should, mostly.
    pub(crate) fn change_table(&mut self, key: ProcessKey, role: Role, status: ExitStatus) {
        if !self.is_entry(key.unit) {
            return;
        }
        let went_well = status == ExitStatus::Exited(0);
        let does_it = match went_well {
            true => self.calm || self.random.chance(90),
            false => self.random.chance(15),
        };
        let depth = self.tables.entry(key.unit).or_default();
        match role {
            Role::Main if does_it => *depth = (*depth + 1).min(DEPTH_MAX),
            Role::Stop if does_it => *depth = depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Others mount or unmount.
    pub(crate) fn others_change_table(&mut self, unit: UnitId) {
        let comes = self.random.chance(50);
        let depth = self.tables.entry(unit).or_default();
        *depth = match comes {
            true => (*depth + 1).min(DEPTH_MAX),
            false => depth.saturating_sub(1),
        };
        let now = *depth;
        self.note(|| format!("others change the table of {unit:?}: {now}"));
    }

    /// As the manager does before it tells of an end, and of what there is after its own death.
    pub(crate) fn see_table(&mut self, unit: UnitId) -> Result<(), String> {
        let is_there = self.is_in_table(unit);
        if !self.is_entry(unit) || self.engine.in_kernel_table(unit) == is_there {
            return Ok(());
        }
        self.plain_step(Input::InTable { unit, is_there })
    }

    /// When the world is calm, what is in the table is up, and nothing else.
    pub(crate) fn check_table(&self, unit: UnitId) -> Result<(), String> {
        let is_up = self.engine.state(unit).unwrap().active().is_up();
        if self.is_entry(unit) && is_up != self.is_in_table(unit) {
            let depth = self.tables.get(&unit);
            return Err(format!(
                "{unit:?} is up: {is_up}, and in the table: {depth:?}"
            ));
        }
        Ok(())
    }
}
