//! Joins namespaces that exist: before new ones are made, which may depend on them.

use core::ffi::CStr;

use kernel::rustix::fs::{Mode, OFlags, open};
use kernel::{Errno, Result};
use plan::frame::Role;

use crate::state::State;

const CLONE_NEWIPC: u32 = 0x0800_0000;
const CLONE_NEWUSER: u32 = 0x1000_0000;
const CLONE_NEWNET: u32 = 0x4000_0000;

/// Joins the namespace at `path`, or behind the passed descriptor.
pub(super) fn take(state: &State<'_>, kind: u32, path: Option<&CStr>) -> Result<()> {
    if let Some(path) = path {
        let file = open(
            path,
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY,
            Mode::empty(),
        )?;
        return kernel::namespace::join(file, kind);
    }
    let role = match kind {
        CLONE_NEWNET => Role::NetworkNamespace,
        CLONE_NEWIPC => Role::IpcNamespace,
        CLONE_NEWUSER => Role::UserNamespace,
        _ => return Err(Errno::INVAL),
    };
    kernel::namespace::join(state.get(role)?, kind)
}
