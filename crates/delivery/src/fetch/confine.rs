//! The fetch worker's cage: the network, the descriptors it was handed, and nothing else.

use std::io;

use kernel::credentials::{CapabilitySets, set_capabilities, set_group, set_groups, set_user};
use kernel::landlock;
use kernel::namespace;
use kernel::process::{set_dumpable, set_no_new_privileges, set_parent_death_signal};
use kernel::seccomp;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Resource, Rlimit, chdir, chroot, setrlimit};

use super::host::Host;

/// The user that the worker becomes: nobody, who owns nothing.
const NOBODY: u32 = 65534;
/// SIGKILL: what has come stays.
const KILL: i32 = 9;
/// Room for the file beside the staging file, in bytes.
const STATE_BYTES: u64 = 64 * 1024;
/// Descriptors that a fetch needs: its own and two connections.
const DESCRIPTORS_MAX: u64 = 32;

/// Memory of the whole process; a transfer needs a few megabytes, whatever its size.
const MEMORY_BYTES: u64 = 256 << 20;

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

/// A layer that this kernel does not have; the others hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// No Landlock at all.
    NoLandlock,
    /// A Landlock that does not know sockets and signals.
    NoScopes,
    /// No filter of system calls.
    NoCallFilter,
}

impl Reduction {
    /// What is missing and what holds instead.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Reduction::NoLandlock => {
                "this kernel has no Landlock: an empty root, a user that owns nothing and the list of system calls confine it"
            }
            Reduction::NoScopes => {
                "this kernel's Landlock knows no scopes: the list of system calls alone keeps it from abstract sockets and signals"
            }
            Reduction::NoCallFilter => {
                "this kernel filters no system calls: an empty root, a user that owns nothing and Landlock confine it"
            }
        }
    }
}

/// Confines the calling process, for good: an empty root directory, no user that owns anything, no privileges, files no
/// larger than `size_max_bytes`, no file, abstract socket, signal or port to listen on (Landlock), and a short list of system calls.
/// The process must have one thread. What a fetch reads from the host is read before. What the kernel lacks is told; but
/// without Landlock's scopes and without the list as well, nothing keeps it from the host's abstract sockets, and it does not start.
///
/// # Errors
/// When a step fails; the process must not go on then.
pub fn confine(size_max_bytes: u64) -> Result<Vec<Reduction>, ConfineError> {
    let _read_before = Host::get();
    confine_in(0, size_max_bytes)
}

/// The same for a worker that has what it needs, and no network.
///
/// # Errors
/// As [`confine`].
pub fn confine_alone(size_max_bytes: u64) -> Result<Vec<Reduction>, ConfineError> {
    confine_in(namespace::NETWORK, size_max_bytes)
}

fn confine_in(network: u32, size_max_bytes: u64) -> Result<Vec<Reduction>, ConfineError> {
    let namespaces = namespace::MOUNT | namespace::IPC | namespace::UTS | network;
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
    // Whoever waits for a silent server has locked the file of the next try. A change of user would undo it.
    set_parent_death_signal(KILL).map_err(step("end with its caller"))?;
    limit(Resource::Fsize, size_max_bytes.saturating_add(STATE_BYTES))?;
    limit(Resource::Nofile, DESCRIPTORS_MAX)?;
    limit(Resource::As, MEMORY_BYTES)?;
    limit(Resource::Nproc, 0)?;
    limit(Resource::Memlock, 0)?;
    limit(Resource::Core, 0)?;
    let abi = landlock::abi();
    let mut reductions = files_and_scopes(abi)?;
    let installed = seccomp::install(&super::calls::program(), 0);
    match installed {
        // Kernels that were built without the filter answer that they know no such operation.
        Err(Errno::INVAL | Errno::NOSYS) if abi >= landlock::SCOPES_SINCE => {
            reductions.push(Reduction::NoCallFilter)
        }
        installed => installed.map_err(step("give up system calls"))?,
    }
    Ok(reductions)
}

/// Nothing by path, by abstract name or by signal; what is open stays open.
fn files_and_scopes(abi: u32) -> Result<Vec<Reduction>, ConfineError> {
    if abi == 0 {
        return Ok(vec![Reduction::NoLandlock]);
    }
    landlock::deny_all(abi).map_err(step("give up files"))?;
    Ok(if abi < landlock::SCOPES_SINCE {
        vec![Reduction::NoScopes]
    } else {
        Vec::new()
    })
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
