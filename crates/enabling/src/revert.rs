//! revert: units as they came with the system.

use std::path::PathBuf;

use model::UnitName;

use crate::Work;
use crate::change::{Change, Problem};
use crate::disable::Marked;
use crate::draft::Look;
use crate::find::unreadable;

impl Work<'_> {
    /// Takes away what a person or a tool changed in units: drop-ins, masks, and files that hide those of the system.
    ///
    /// # Errors
    /// When a name is none; then nothing is done.
    pub fn revert(&mut self, names: &[String]) -> Result<(), Problem> {
        let mut marked = Marked::default();
        let mut doomed = Vec::new();
        for name in names {
            UnitName::new(name).map_err(|_| Problem::BadName(name.clone()))?;
            doomed.extend(self.changes_of(name)?);
        }
        for change in doomed {
            let (Change::Unlink { at } | Change::RemoveTree { at } | Change::Link { at, .. }) =
                &change;
            self.draft.take(at);
            if self.places.follows_paths {
                marked.add(&at.to_string_lossy());
            }
            self.outcome.changes.push(change);
        }
        self.remove_marked(marked.clone(), true)?;
        self.remove_marked(marked, false)
    }

    fn changes_of(&self, name: &str) -> Result<Vec<Change>, Problem> {
        let mut doomed = Vec::new();
        let mut own: Vec<PathBuf> = Vec::new();
        let mut has_vendors = false;
        for directory in self.places.path.directories() {
            let at = directory.join(name);
            let look = self.draft.look(&at);
            match look.map_err(|error| unreadable(&at, error))? {
                Look::Missing => {}
                Look::File(_) | Look::Empty if self.places.is_vendors(&at) => has_vendors = true,
                Look::File(_) | Look::Empty | Look::Link(_) if self.places.is_changed(&at) => {
                    own.push(at);
                }
                _ => {}
            }
            let drop_ins = directory.join(format!("{name}.d"));
            let entries = self.draft.entries(&drop_ins);
            let has_drop_ins = !entries
                .map_err(|error| unreadable(&drop_ins, error))?
                .is_empty();
            if has_drop_ins && self.places.is_changed(&drop_ins) {
                doomed.push(Change::RemoveTree { at: drop_ins });
            }
        }
        if has_vendors {
            doomed.extend(own.into_iter().map(|at| Change::Unlink { at }));
        }
        Ok(doomed)
    }
}
