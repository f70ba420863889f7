//! The fetch worker's cage: the network, the descriptors it was handed, and nothing else.

use std::io;

use kernel::credentials::{CapabilitySets, set_capabilities, set_group, set_groups, set_user};
use kernel::namespace;
use kernel::process::{set_dumpable, set_no_new_privileges};
use rustix::fs::CWD;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Resource, Rlimit, chdir, chroot, setrlimit};

use super::host::Host;

/// The user that the worker becomes: nobody, who owns nothing.
const NOBODY: u32 = 65534;
/// Room for the file beside the staging file, in bytes.
const STATE_BYTES: u64 = 64 * 1024;
/// Descriptors that a fetch needs: its own and two connections.
const DESCRIPTORS_MAX: u64 = 32;

/// Why the worker cannot confine itself.
#[derive(Debug, thiserror::Error)]
#[error("the fetch worker cannot {step}")]
pub struct ConfineError {
    /// What it was about to do.
    pub step: &'static str,
    /// Why not.
    #[source]
    pub source: io::Error,
}

fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> ConfineError {
    move |source| ConfineError {
        step,
        source: source.into(),
    }
}

/// Confines the calling process, for good: an empty root directory, no user that owns anything, no privileges, files no
/// larger than `size_max_bytes`. The process must have one thread. What a fetch reads from the host is read before.
///
/// # Errors
/// When a step fails; the process must not go on then.
pub fn confine(size_max_bytes: u64) -> Result<(), ConfineError> {
    let _read_before = Host::get();
    let namespaces = namespace::MOUNT | namespace::IPC | namespace::UTS;
    let root = rustix::process::geteuid().is_root();
    let own_user = if root { 0 } else { namespace::USER };
    namespace::unshare(namespaces | own_user).map_err(step("leave the host's namespaces"))?;
    empty_root()?;
    if root {
        set_groups(&[]).map_err(step("leave its groups"))?;
        set_group(NOBODY).map_err(step("become nobody"))?;
        set_user(NOBODY).map_err(step("become nobody"))?;
    }
    set_capabilities(CapabilitySets::default()).map_err(step("give up its capabilities"))?;
    set_no_new_privileges().map_err(step("give up privileges"))?;
    set_dumpable(false).map_err(step("close its memory to others"))?;
    limit(Resource::Fsize, size_max_bytes.saturating_add(STATE_BYTES))?;
    limit(Resource::Nofile, DESCRIPTORS_MAX)?;
    limit(Resource::Core, 0)
}

/// A root without a single file. It is a mount of our own namespace, and is gone with it.
fn empty_root() -> Result<(), ConfineError> {
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(step("part its mounts from the host's"))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("none", "/proc", "tmpfs", flags, c"size=4k,mode=0555")
        .map_err(step("make an empty root"))?;
    chdir("/proc").map_err(step("enter the empty root"))?;
    chroot(".").map_err(step("enter the empty root"))?;
    rustix::fs::accessat(
        CWD,
        "/",
        rustix::fs::Access::EXISTS,
        rustix::fs::AtFlags::empty(),
    )
    .map_err(step("see its empty root"))
}

fn limit(resource: Resource, value: u64) -> Result<(), ConfineError> {
    setrlimit(
        resource,
        Rlimit {
            current: Some(value),
            maximum: Some(value),
        },
    )
    .map_err(step("limit itself"))
}
