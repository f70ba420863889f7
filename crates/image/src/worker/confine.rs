//! Takes everything from a worker that its task does not need. What can't be taken ends the worker, but for what the list of
//! system calls takes as well.

use std::io;
use std::os::fd::BorrowedFd;

use kernel::credentials::{self, CapabilitySets};
use kernel::{descriptor, namespace, process, seccomp};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

use super::Kind;
use crate::crew::Crew;

/// CAP_SYS_ADMIN: loop devices and mounts.
const SYS_ADMIN: u32 = 21;

/// Beyond the last capability of any kernel so far; asking for more ends with EINVAL anyway.
const CAPABILITIES_LIMIT: u32 = 64;

/// What a worker may use up.
struct Allowance {
    memory_bytes: u64,
    time_s: u64,
    file_bytes: u64,
}

/// Why a worker did not start its task.
#[derive(Debug, thiserror::Error)]
#[error("a worker could not confine itself: {step}")]
pub struct ConfineError {
    /// What failed.
    pub step: &'static str,
    /// What the kernel said.
    #[source]
    pub source: io::Error,
}

fn step(step: &'static str, done: Result<(), Errno>) -> Result<(), ConfineError> {
    done.map_err(|error| ConfineError {
        step,
        source: error.into(),
    })
}

/// Confines this process, which must have one thread, to a worker's task. `root` is what an extract worker may look at.
///
/// The order: descriptors and limits first, then namespaces (which need capabilities and one thread), the root (which needs a namespace's),
/// then capabilities, then the threads that hash, which have all of this from the one that starts them, then the list of system calls, which
/// allows none of the former and holds for every thread.
///
/// # Errors
/// See [`ConfineError`]: the caller must end.
pub fn confine(kind: Kind, root: BorrowedFd<'_>) -> Result<Crew, ConfineError> {
    step(
        "closing what it inherited",
        descriptor::close_range(3, u32::MAX),
    )?;
    limits(kind)?;
    step("forbidding dumps", process::set_dumpable(false))?;
    namespaces(kind)?;
    if kind == Kind::Extract || (kind == Kind::Unpack && is_directory(root)?) {
        lock_into(root)?;
    }
    step(
        "forbidding new privileges",
        process::set_no_new_privileges(),
    )?;
    capabilities(kind)?;
    let crew = match kind {
        Kind::Verify | Kind::Inspect => Crew::of_processors(),
        Kind::Dissect | Kind::Mount | Kind::Extract | Kind::Unpack => Crew::default(),
    };
    limit(Resource::Nproc, 0)?;
    step(
        "installing the list of system calls",
        seccomp::install(&super::seccomp::program(kind), seccomp::ALL_THREADS),
    )?;
    Ok(crew)
}

/// Sizes that no task of the kind exceeds: a hash tree of as many blocks as are hashed is half a gibibyte, twice in memory.
fn allowance(kind: Kind) -> Allowance {
    match kind {
        Kind::Dissect | Kind::Extract | Kind::Mount => Allowance {
            memory_bytes: 256 << 20,
            time_s: 10,
            file_bytes: 0,
        },
        Kind::Verify => Allowance {
            memory_bytes: 2 << 30,
            time_s: 900,
            file_bytes: 0,
        },
        Kind::Inspect => Allowance {
            memory_bytes: 2 << 30,
            time_s: 300,
            file_bytes: 0,
        },
        // A million paths and what zstd keeps of its past; what is written is counted, too.
        Kind::Unpack => Allowance {
            memory_bytes: 2 << 30,
            time_s: 1800,
            file_bytes: 64 << 30,
        },
    }
}

fn limits(kind: Kind) -> Result<(), ConfineError> {
    let Allowance {
        memory_bytes,
        time_s,
        file_bytes,
    } = allowance(kind);
    let limits = [
        (Resource::As, memory_bytes),
        (Resource::Cpu, time_s),
        (Resource::Core, 0),
        (Resource::Fsize, file_bytes),
        (Resource::Nofile, 16),
    ];
    limits
        .into_iter()
        .try_for_each(|(resource, most)| limit(resource, most))
}

fn limit(resource: Resource, most: u64) -> Result<(), ConfineError> {
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    match rustix::process::setrlimit(resource, limit) {
        // A lower limit is already there, and raising it takes a privilege.
        Err(Errno::PERM) => Ok(()),
        set => step("setting its limits", set),
    }
}

/// Namespaces of its own: users, mounts, network, IPC, host name, cgroups. The mount worker keeps users and mounts: a mount
/// that belongs to another namespace could not be used.
fn namespaces(kind: Kind) -> Result<(), ConfineError> {
    let common = namespace::NETWORK | namespace::IPC | namespace::UTS;
    let wanted: &[u32] = match kind {
        Kind::Mount => &[common],
        _ => &[
            common | namespace::USER | namespace::MOUNT | namespace::CGROUP,
            common | namespace::MOUNT,
        ],
    };
    for namespaces in wanted {
        match namespace::unshare(*namespaces) {
            Ok(()) => return Ok(()),
            // This host gives none. The list of system calls forbids what they would hide.
            Err(Errno::PERM | Errno::NOSPC | Errno::INVAL | Errno::NOSYS) => {}
            Err(error) => return step("entering namespaces of its own", Err(error)),
        }
    }
    Ok(())
}

fn is_directory(root: BorrowedFd<'_>) -> Result<bool, ConfineError> {
    let status = rustix::fs::fstat(root).map_err(|error| ConfineError {
        step: "looking at what it was handed",
        source: error.into(),
    })?;
    Ok(rustix::fs::FileType::from_raw_mode(status.st_mode).is_dir())
}

/// Makes the tree that it reads the only one there is.
fn lock_into(root: BorrowedFd<'_>) -> Result<(), ConfineError> {
    step("entering the image", rustix::process::fchdir(root))?;
    match rustix::process::chroot(".") {
        // Without any privilege, openat2's RESOLVE_IN_ROOT alone holds it.
        Err(Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(()),
        locked => step("locking itself into the image", locked),
    }
}

fn capabilities(kind: Kind) -> Result<(), ConfineError> {
    let kept = if kind == Kind::Mount {
        1 << SYS_ADMIN
    } else {
        0
    };
    step(
        "dropping ambient capabilities",
        credentials::clear_ambient(),
    )?;
    for capability in (0..CAPABILITIES_LIMIT).filter(|capability| kept & (1 << capability) == 0) {
        match credentials::drop_from_bounding_set(capability) {
            // EINVAL: the kernel has no more. EPERM: there is nothing to drop them with, and nothing to gain.
            Err(Errno::INVAL | Errno::PERM) => break,
            dropped => step("dropping capabilities", dropped)?,
        }
    }
    let held = credentials::capabilities().map_err(|error| ConfineError {
        step: "reading capabilities",
        source: error.into(),
    })?;
    let kept = held.permitted & kept;
    step(
        "dropping capabilities",
        credentials::set_capabilities(CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: 0,
        }),
    )
}
