//! Labels of security modules. That of SMACK is set while this is root of the host; what AppArmor and SELinux make of the process comes with
//! exec, so it is said last, by the process that executes, and before what keeps it from gaining privileges is looked at.

use core::ffi::CStr;

use kernel::{BorrowedFd, Errno, Result};
use plan::step::SecurityModule;

use crate::state::State;
use crate::steps::proc_file::{of_kernel, write_below};

/// Bytes of a profile's name that are taken; the kernel takes a page with the word in front.
const NAME_BYTES_MAX: usize = 1024;

/// Sets the label that the process has now and keeps.
pub(super) fn smack(state: &mut State<'_>, label: &CStr, optional: bool) -> Result<()> {
    let files = [c"self/attr/smack/current", c"self/attr/current"];
    unless(optional, set(of_kernel(state)?, files, label.to_bytes()))
}

/// Says what the process becomes when it executes.
pub(super) fn at_exec(
    state: &mut State<'_>,
    module: SecurityModule,
    label: &CStr,
    optional: bool,
) -> Result<()> {
    let proc = of_kernel(state)?;
    let done = match module {
        SecurityModule::AppArmor => profile(proc, label.to_bytes()),
        SecurityModule::SeLinux => {
            let file = c"self/attr/exec";
            set(proc, [file, file], label.to_bytes_with_nul())
        }
    };
    unless(optional, done)
}

fn profile(proc: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    const WORD: &[u8] = b"exec ";
    let mut text = [0; WORD.len() + NAME_BYTES_MAX];
    let end = WORD.len() + name.len();
    let words = [WORD, name];
    let mut at = 0;
    for word in words {
        text.get_mut(at..at + word.len())
            .ok_or(Errno::NAMETOOLONG)?
            .copy_from_slice(word);
        at += word.len();
    }
    let files = [c"self/attr/apparmor/exec", c"self/attr/exec"];
    set(proc, files, text.get(..end).unwrap_or_default())
}

/// Writes to the module's own file, or else to the one that modules share (before Linux 5.8).
fn set(proc: BorrowedFd<'_>, files: [&CStr; 2], bytes: &[u8]) -> Result<()> {
    let [own, shared] = files;
    match write_below(proc, own, bytes) {
        Err(Errno::NOENT) => write_below(proc, shared, bytes),
        done => done,
    }
}

fn unless(optional: bool, done: Result<()>) -> Result<()> {
    if optional { Ok(()) } else { done }
}
