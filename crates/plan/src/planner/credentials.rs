//! Credentials: files in memory below a directory that the environment names.

use model::key;

use super::draft::{Draft, text};
use super::meaning::Meaning;
use super::mounts::{Cover, NO_DEVICES, NO_EXEC, NO_SUID, READ_ONLY};
use crate::List;
use crate::step::{DirectoryClass, Step};

/// Adds their mount.
pub(super) fn plan(draft: &mut Draft<'_>, meaning: Meaning) {
    let mut names: Vec<String> = Vec::new();
    for credential in draft.unit.get(&key::LOAD_CREDENTIAL).into_iter().flatten() {
        names.push(credential.name.clone());
    }
    for credential in draft.unit.get(&key::SET_CREDENTIAL).into_iter().flatten() {
        names.push(credential.name.clone());
        draft
            .set_credentials
            .push((credential.name.clone(), credential.data.as_bytes().to_vec()));
    }
    model::order::sort(&mut names);
    names.dedup();
    if names.is_empty() {
        return;
    }
    let path = format!("/run/credentials/{}", draft.unit.name());
    let directive = key::LOAD_CREDENTIAL.directive();
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
        };
        draft.push(directive, step);
    }
    let set = READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC;
    draft.mounts.cover(
        &path,
        Cover::Credentials {
            names: names.clone(),
        },
        set,
        false,
        Some(directive),
    );
    draft.credentials_directory = Some(path);
    draft.credentials = names;
}
