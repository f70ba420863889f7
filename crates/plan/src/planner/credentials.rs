//! Credentials: files in memory below a directory that the environment names.

use model::{Directive, Unit, key};

use super::draft::{Draft, text};
use super::meaning::Meaning;
use super::mounts::{Cover, NO_DEVICES, NO_EXEC, NO_SUID, READ_ONLY};
use crate::List;
use crate::step::{DirectoryClass, Quota, Step};

/// Adds their mount.
pub(super) fn plan(draft: &mut Draft<'_>, meaning: Meaning) {
    let Some(directive) = directive(draft.unit) else {
        return;
    };
    for credential in draft.unit.get(&key::SET_CREDENTIAL).into_iter().flatten() {
        draft
            .set_credentials
            .push((credential.name.clone(), credential.data.as_bytes().to_vec()));
    }
    let path = format!("{}/{}", draft.situation.credentials_root, draft.unit.name());
    if !meaning.rooted {
        // The mount point is the host's, since /run is.
        let step = Step::Directory {
            class: DirectoryClass::Runtime,
            path: &text(&path),
            mode: 0o700,
            owned: false,
            private: false,
            takes_over: false,
            links: List::EMPTY,
            quota: Quota::Unsaid,
        };
        draft.push(directive, step);
    }
    let set = READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC;
    draft
        .mounts
        .cover(&path, Cover::Credentials, set, false, Some(directive));
    draft.credentials_directory = Some(path);
}

/// The first of the directives that give a unit credentials; none: it has none.
pub(super) fn directive(unit: &Unit) -> Option<Directive> {
    let is_set = |directive: &Directive| unit.iter().any(|(set, _)| set == *directive);
    DIRECTIVES.iter().map(|directive| directive()).find(is_set)
}

static DIRECTIVES: [fn() -> Directive; 5] = [
    || key::LOAD_CREDENTIAL.directive(),
    || key::SET_CREDENTIAL.directive(),
    || key::LOAD_CREDENTIAL_ENCRYPTED.directive(),
    || key::SET_CREDENTIAL_ENCRYPTED.directive(),
    || key::IMPORT_CREDENTIAL.directive(),
];

/// Whether a unit has credentials, and so a directory of them.
pub fn has_credentials(unit: &Unit) -> bool {
    directive(unit).is_some()
}
