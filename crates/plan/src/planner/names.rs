//! Who the users and groups are below a root that is not the host's.

use model::{Directive, key};

use super::draft::{Draft, text};
use super::meaning::root_directory;
use super::mounts::{NO_DEVICES, NO_EXEC, NO_SUID, READ_ONLY};
use crate::step::{Step, What};

/// Completes the bundle's tables, unless the unit says itself what is there. In an image they come before the other mounts, as the room for what it
/// lacks is laid over a directory with all that is mounted there; elsewhere after those, since a directory may be mounted once more.
pub(super) fn plan<'a>(draft: &mut Draft<'a>, others: impl FnOnce(&mut Draft<'a>)) {
    if draft.mounts.image && !draft.is_on(&key::ROOT_EPHEMERAL) {
        tables(draft, super::images::root_directive(draft.unit));
        return others(draft);
    }
    let is_image = draft.mounts.image;
    others(draft);
    if root_directory(draft.unit).is_some() {
        tables(draft, key::ROOT_DIRECTORY.directive());
    } else if is_image {
        tables(draft, super::images::root_directive(draft.unit));
    }
}

fn tables(draft: &mut Draft<'_>, directive: Directive) {
    for (path, what) in [
        ("/etc/passwd", What::Users { own: &[] }),
        ("/etc/group", What::UserGroups { own: &[] }),
    ] {
        if draft.mounts.hides(path) {
            continue;
        }
        let step = Step::Mount {
            at: &text(path),
            what,
            set: READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC,
            clear: 0,
            missing_ok: true,
        };
        draft.push(directive, step);
    }
}
