//! Extensions over /usr, /opt and /etc: right after the root, before all that is mounted in it.

use core::ffi::CStr;

use kernel::{Errno, OwnedFd, Result};

use super::{attach, clone, filesystem, point};
use crate::path::{inside, is_directory};
use crate::state::State;

/// What extensions are laid over.
const HIERARCHIES: [&CStr; 3] = [c"/etc", c"/opt", c"/usr"];

/// As many as a unit's images.
const MAX: usize = 33;

/// Whether a path is in what extensions are laid over.
pub(super) fn is_below(path: &CStr) -> bool {
    HIERARCHIES.iter().any(|hierarchy| {
        let rest = path.to_bytes().strip_prefix(hierarchy.to_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}

/// Lays the trees of these images, the lowest first, over the root's.
pub(super) fn lay(state: &State<'_>, images: &[u8]) -> Result<()> {
    let host = state.host.as_ref().ok_or(Errno::BADF)?;
    // What is mounted nowhere is no layer for kernels before Linux 6.15.
    for index in images {
        attach(state.image(u32::from(*index))?, host)?;
    }
    let laid = HIERARCHIES
        .iter()
        .try_for_each(|hierarchy| lay_one(state, images, hierarchy));
    for index in images.iter().rev() {
        filesystem::detach(state.image(u32::from(*index))?)?;
    }
    laid
}

fn lay_one(state: &State<'_>, images: &[u8], hierarchy: &CStr) -> Result<()> {
    let mut layers = [const { None::<OwnedFd> }; MAX];
    let mut slots = layers.iter_mut();
    let mut count = 0;
    // The highest layer is named first.
    for index in images.iter().rev() {
        match inside(state.image(u32::from(*index))?, hierarchy) {
            Err(Errno::NOENT) => {}
            found => {
                let found = found?;
                if is_directory(&found)? {
                    *slots.next().ok_or(Errno::PROTO)? = Some(found);
                    count += 1;
                }
            }
        }
    }
    if count == 0 {
        return Ok(());
    }
    let below = match inside(state.root()?, hierarchy) {
        Err(Errno::NOENT) => filesystem::empty()?,
        found => clone(found?, c"", false)?,
    };
    attach(&below, state.host.as_ref().ok_or(Errno::BADF)?)?;
    *slots.next().ok_or(Errno::PROTO)? = Some(below);
    let tree = filesystem::over(layers.iter().flatten());
    if let Some(below) = layers.get(count).and_then(Option::as_ref) {
        filesystem::detach(below)?;
    }
    let tree = tree?;
    state.made.add(&tree)?;
    attach(&tree, point(state, hierarchy, true)?)
}
