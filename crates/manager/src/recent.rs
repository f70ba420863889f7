//! What was read and planned last, kept for the next run of the same: whoever runs commands runs many with the same properties.
//!
//! A unit depends on its name by specifiers, its plan by credentials; what has one of them is not kept.

use crate::entry::Entry;
use crate::planning::Prepared;
use model::{Directive, Unit, UnitKind, UnitName, key};
use std::rc::Rc;

/// The last unit that was made at run time, and the last plan.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    read: Option<(UnitKind, String, Unit)>,
    planned: Option<(Rc<Unit>, Rc<Prepared>)>,
}

impl Recent {
    /// The unit of this text, if it was read last.
    pub(crate) fn unit(&self, name: &UnitName, text: &str) -> Option<Unit> {
        let (kind, known, unit) = self.read.as_ref()?;
        (*kind == name.kind() && known == text).then(|| unit.renamed(name.clone()))
    }

    /// Keeps what was read without a complaint.
    pub(crate) fn keep_unit(&mut self, text: &str, unit: &Unit) {
        self.read = (!has_specifiers(text)).then(|| (unit.kind(), text.to_owned(), unit.clone()));
    }

    /// The plan of a unit that has the same values, whatever it executes.
    pub(crate) fn plan(&self, entry: &Entry) -> Option<Rc<Prepared>> {
        let (unit, prepared) = self.planned.as_ref()?;
        (depends_on_values_alone(entry) && values(unit).eq(values(&entry.unit)))
            .then(|| Rc::clone(prepared))
    }

    /// Keeps a plan, unless it is that of one unit alone.
    pub(crate) fn keep_plan(&mut self, entry: &Entry, prepared: &Rc<Prepared>) {
        let is_own = prepared.plan.credentials_directory().is_some();
        if !is_own && depends_on_values_alone(entry) {
            self.planned = Some((Rc::clone(&entry.unit), Rc::clone(prepared)));
        }
    }

    /// Forgets all: what it depends on has changed.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Does a letter follow a percent sign? A share of something, which has a percent sign, too, is the same for every name.
fn has_specifiers(text: &str) -> bool {
    let rests = text.split('%').skip(1);
    let mut firsts = rests.filter_map(|rest| rest.bytes().next());
    firsts.any(|first| first.is_ascii_alphabetic())
}

/// A portable has grants, a unit that notifies has a socket of its own, and file systems are mounted otherwise.
fn depends_on_values_alone(entry: &Entry) -> bool {
    let is_portable = entry.origin.portable.is_some() || entry.origin.pids_by_profile;
    let is_alone = is_portable || entry.notifies() || crate::quotas::matter(&entry.unit);
    entry.transient.is_some() && !is_alone
}

/// What a plan is made of: the command is bound at each start.
fn values(unit: &Unit) -> impl Iterator<Item = (Directive, &model::Value)> {
    let command = key::EXEC_START.directive();
    unit.iter()
        .filter(move |(directive, _)| *directive != command)
}
