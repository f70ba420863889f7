//! Tests of conditions, made elsewhere: a path may lie on a file system that does not answer. A start waits for its test, as it would
//! for anything else, and can be taken back meanwhile.

use crate::conditions::{Host, Questions};
use crate::elsewhere::{Lane, Told};
use crate::manager::Manager;
use engine::{Conditions, Input, UnitId};
use model::sorted::Map;
use std::sync::Arc;

/// What is being tested.
#[derive(Debug, Default)]
pub(crate) struct Tests {
    /// The newest test of each unit: what an older one says is about a start that was taken back.
    newest: Map<UnitId, u64>,
    last: u64,
}

/// What the conditions of a unit are.
pub(crate) struct Tested {
    pub(crate) number: u64,
    pub(crate) unit: UnitId,
    pub(crate) outcome: Conditions,
    /// The one that does not hold.
    pub(crate) unmet: Option<String>,
}

impl Manager {
    pub(crate) fn test_conditions(&mut self, unit: UnitId) {
        let Some(entry) = self.units.get(&unit) else {
            let outcome = Conditions::Met;
            return self.inputs.push_back(Input::Conditions { unit, outcome });
        };
        let questions = Questions::of(&entry.unit);
        let is_portable = entry.origin.portable.is_some();
        let mut environment = self.environment.clone();
        let path = plan::SEARCH_PATH.to_owned();
        environment.entry("PATH".to_owned()).or_insert(path);
        let mut host = Host {
            facts: Arc::clone(&self.facts),
            environment: Arc::new(environment),
            is_init: self.keeper.init,
            keeper: self.keeper.pid,
            is_portable,
            cgroup: self.cgroups.as_ref().map(|cgroups| cgroups.top()),
            names: crate::conditions::NAMES_MAX,
            found: String::new(),
        };
        let tests = &mut self.aside.tests;
        tests.last += 1;
        let number = tests.last;
        tests.newest.insert(unit, number);
        let test = move || {
            let (outcome, unmet) = questions.answer(&mut host);
            Told::Conditions(Tested {
                number,
                unit,
                outcome,
                unmet,
            })
        };
        let lane = if is_portable {
            Lane::Portable
        } else {
            Lane::Host
        };
        let now = crate::clock::monotonic();
        self.elsewhere.ask(now, lane, Box::new(test));
    }

    /// A test was made, if somebody still waits for it.
    pub(crate) fn on_tested(&mut self, tested: Tested) {
        let Tested {
            number,
            unit,
            outcome,
            unmet,
        } = tested;
        if self.aside.tests.newest.get(&unit) != Some(&number) {
            return;
        }
        self.aside.tests.newest.remove(&unit);
        if let Some(entry) = self.units.get_mut(&unit) {
            entry.unmet = unmet.map(String::into_boxed_str);
            self.dirty.insert(unit);
        }
        self.inputs.push_back(Input::Conditions { unit, outcome });
    }
}
