//! Enters the new root: after the last mount, since from here on the host's files are out of sight.

use kernel::Result;
use kernel::rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use kernel::rustix::process::{fchdir, pivot_root};
use plan::Step;

use crate::state::State;
use crate::steps::proc_file;

/// Makes the new tree the root and lets go of the old one. With `shared`, what is mounted from now on goes on to copies of it.
pub(super) fn take(state: &mut State<'_>, shared: bool) -> Result<()> {
    if needs_proc(state) {
        proc_file::of_kernel(state)?;
    }
    fchdir(state.root()?)?;
    // Both names are the working directory: the old root ends up on top of the new one, where the next calls find it.
    pivot_root(c".", c".")?;
    // The layers of the root lie on the old one, and a lazy unmount of what is on top takes only that.
    if state.is_layered {
        unmount(c".", UnmountFlags::DETACH)?;
    }
    unmount(c".", UnmountFlags::DETACH)?;
    // Where the masks lie on the new root, the old one lay on them.
    if state.masks.take().is_some_and(|masks| masks.on_root.get()) {
        unmount(c".", UnmountFlags::DETACH)?;
    }
    kernel::rustix::process::chdir(c"/")?;
    if shared {
        mount_change(
            c"/",
            MountPropagationFlags::SHARED | MountPropagationFlags::REC,
        )?;
    }
    state.root = None;
    state.origin = None;
    state.host = None;
    Ok(())
}

/// Whether a later step writes to a file of proc(5), of which the new root may have another one, or something else in its place.
fn needs_proc(state: &State<'_>) -> bool {
    let writes = |step: Step<'_>| {
        matches!(
            step,
            Step::SmackLabel { .. } | Step::UserNamespaceLate { .. } | Step::ExecLabel { .. }
        )
    };
    let mut steps = state.frame.steps().flatten();
    steps.any(|asked| writes(asked.step))
}
