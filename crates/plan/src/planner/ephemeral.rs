//! RootEphemeral=: layers, the upper of which goes with the run.

use model::key;

use super::Refusal;
use super::draft::{Draft, text};
use super::meaning::root_directory;
use crate::step::Step;

/// Makes room for them.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let directive = key::ROOT_EPHEMERAL.directive();
    if !draft.is_on(&key::ROOT_EPHEMERAL) {
        return Ok(());
    }
    let is_rooted = root_directory(draft.unit).is_some() || draft.mounts.image;
    let why = match (is_rooted, draft.is_privileged()) {
        (true, true) => {
            let path = root_directory(draft.unit).map(text);
            let step = Step::RootRoom {
                parent: c"/var/tmp",
                directory: path.as_deref(),
            };
            draft.push(directive, step);
            return Ok(());
        }
        (false, _) => {
            "the unit has the host's root: RootDirectory=, RootImage= or RootMStack= gives it another"
        }
        (true, false) => "only root lays a root over another",
    };
    draft.cannot(directive, why)
}
