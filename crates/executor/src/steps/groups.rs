//! Groups: before the late user namespace, in which supplementary groups may have no number any more.

use kernel::{Errno, Result};
use plan::frame::MAX_GROUPS;

use crate::state::State;

/// Sets supplementary groups and the group.
pub(super) fn take(state: &State<'_>) -> Result<()> {
    let mut groups = [0; MAX_GROUPS];
    let mut count = 0;
    for group in state.frame.group_list() {
        *groups.get_mut(count).ok_or(Errno::INVAL)? = group;
        count += 1;
    }
    kernel::credentials::set_groups(groups.get(..count).ok_or(Errno::INVAL)?)?;
    kernel::credentials::set_group(state.frame.gid)
}
