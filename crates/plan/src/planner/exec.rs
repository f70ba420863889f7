//! The last steps: working directory, descriptors, the program, and what closes the door behind them.

use model::key;

use super::draft::{Draft, text};
use crate::step::Step;

/// Adds them.
pub(super) fn plan(draft: &mut Draft<'_>, no_new_privileges: bool) {
    // `~` is known only to a start: the user's record has it, and the bindings fill it in.
    let (path, missing_ok) = match draft.unit.get(&key::WORKING_DIRECTORY) {
        Some(directory) => (
            directory
                .path
                .clone()
                .unwrap_or_else(|| super::HOME.to_owned()),
            directory.optional,
        ),
        None => ("/".to_owned(), false),
    };
    draft.push(
        key::WORKING_DIRECTORY.directive(),
        Step::WorkingDirectory {
            path: &text(&path),
            missing_ok,
        },
    );
    draft.frame(Step::Descriptors);
    draft.frame(Step::Program);
    if no_new_privileges {
        draft.push(key::NO_NEW_PRIVILEGES.directive(), Step::NoNewPrivileges);
    }
    draft.frame(Step::Exec);
}
