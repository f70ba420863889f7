//! What a socket is told: before it is bound, since most options take part in that. A file's attributes are set when it is there.

use core::ffi::CStr;

use kernel::rustix::fs::{XattrFlags, setxattr};
use kernel::rustix::pipe::fcntl_setpipe_size;
use kernel::{AsFd, Errno, Result};
use plan::step::{Setting, Settings};

use crate::state::State;

/// Sets what the step asks for. A failure is that of the directive that asks.
pub(super) fn set(state: &mut State<'_>, socket: impl AsFd, settings: Settings<'_>) -> Result<()> {
    each(state, settings, |setting| match setting {
        Setting::Option {
            level,
            name,
            forced,
            value,
        } => kernel::listening::set_forced(&socket, level, (name, forced), value),
        Setting::PipeSize { bytes } => fcntl_setpipe_size(&socket, bytes as usize).map(drop),
        Setting::Attribute { .. } => Ok(()),
    })
}

/// Gives attributes to the file at a path. Those of users tell others something, and no more: before Linux 7.0 a socket has none.
pub(super) fn mark(state: &mut State<'_>, path: &CStr, settings: Settings<'_>) -> Result<()> {
    each(state, settings, |setting| {
        let Setting::Attribute { name, value } = setting else {
            return Ok(());
        };
        match setxattr(path, name, value, XattrFlags::empty()) {
            Err(Errno::PERM | Errno::OPNOTSUPP) if name.to_bytes().starts_with(b"user.") => Ok(()),
            done => done,
        }
    })
}

fn each(
    state: &mut State<'_>,
    settings: Settings<'_>,
    set: impl Fn(Setting<'_>) -> Result<()>,
) -> Result<()> {
    for next in settings.iter() {
        let (directive, setting) = next.map_err(|_| Errno::PROTO)?;
        state.blamed = Some(directive);
        set(setting)?;
    }
    state.blamed = None;
    Ok(())
}
