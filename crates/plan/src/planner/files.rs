//! Files that are opened for a service, and what its main process alone has: its root.

use model::value::OpenFile;
use model::{Unit, key};

use super::draft::{Draft, text};
use super::meaning::root_directory;
use super::{Refusal, root_image};
use crate::step::Step;

const O_RDWR: u32 = 0o2;
const O_NOCTTY: u32 = 0o400;
const O_TRUNC: u32 = 0o1000;
const O_APPEND: u32 = 0o2000;

/// All names together: the executor, which has no memory but its stack, may have to write them without those of missing files.
const NAMES_BYTES_MAX: usize = 8 << 10;

/// Adds a step for each file of OpenFile=, in the order of the unit.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let directive = key::OPEN_FILE.directive();
    let unit = draft.unit;
    let length: usize = names(unit).iter().map(|name| name.len() + 1).sum();
    if length > NAMES_BYTES_MAX {
        return Err(Refusal {
            directive,
            why: format!("the names of its files have more than {NAMES_BYTES_MAX} bytes together"),
        });
    }
    for file in unit.get(&key::OPEN_FILE).into_iter().flatten() {
        let step = Step::OpenFile {
            path: &text(&file.path),
            flags: flags(file),
            optional: file.graceful,
        };
        draft.push(directive, step);
    }
    Ok(())
}

/// Nothing is made that is missing, as in the reference.
fn flags(file: &OpenFile) -> u32 {
    let access = if file.read_only { 0 } else { O_RDWR };
    let more = [(file.append, O_APPEND), (file.truncate, O_TRUNC)];
    let more = more.into_iter().filter(|(is_asked, _)| *is_asked);
    more.fold(access | O_NOCTTY, |flags, (_, flag)| flags | flag)
}

/// What their descriptors are called.
pub(super) fn names(unit: &Unit) -> Vec<String> {
    let files = unit.get(&key::OPEN_FILE).into_iter().flatten();
    files.map(|file| file.name.clone()).collect()
}

/// The unit as its commands beside ExecStart= have it, where RootDirectoryStartOnly= leaves them the host's root. Their working directory is
/// then the one below the service's root, where that is a directory.
pub fn beside(unit: &Unit) -> Option<Unit> {
    let root = root_directory(unit).map(str::to_owned);
    if !unit.value(&key::ROOT_DIRECTORY_START_ONLY)
        || (root.is_none() && root_image(unit).is_none())
    {
        return None;
    }
    let mut beside = unit.clone();
    for directive in [
        key::ROOT_DIRECTORY.directive(),
        key::ROOT_IMAGE.directive(),
        key::ROOT_IMAGE_OPTIONS.directive(),
        key::ROOT_IMAGE_POLICY.directive(),
        key::ROOT_HASH.directive(),
        key::ROOT_HASH_SIGNATURE.directive(),
        key::ROOT_VERITY.directive(),
        key::ROOT_MSTACK.directive(),
        key::ROOT_EPHEMERAL.directive(),
    ] {
        beside.unset(directive);
    }
    let mut working = unit.value(&key::WORKING_DIRECTORY);
    let is_home = unit.is_set(key::WORKING_DIRECTORY.directive()) && working.path.is_none();
    if let Some(root) = root.filter(|_| !is_home) {
        let path = working.path.as_deref().unwrap_or_default();
        working.path = Some(format!("{root}{path}"));
        beside.set(&key::WORKING_DIRECTORY, working);
    }
    Some(beside)
}
