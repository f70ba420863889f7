//! What this host and its kernel can do: each question is asked by a call that changes nothing, or by a child that tries.

use std::ffi::CStr;

use linux_raw_sys::general as sys;
use model::facts::{Facts, KernelVersion, LIMITS, Namespaces, Seccomp, native};
use model::value::{CapabilitySet, CpuSet};
use rustix::net::{AddressFamily, SocketType, socket};

use crate::process::{Forked, exit_group, fork_plain};
use crate::syscall::syscall;
use crate::wait::Ending;
use crate::{Errno, credentials, namespace};

mod cgroup;
mod filesystems;

/// Asks for everything. Takes some milliseconds, most of them for the children that try namespaces.
///
/// What cannot be asked (no `/proc`, a refused fork) counts as not there: a plan then fails closed or names a reduction.
#[must_use]
pub fn facts() -> Facts {
    let kernel = kernel_version();
    let namespaces = namespaces();
    let sets = credentials::capabilities().unwrap_or_default();
    let (bounding, last_capability) = bounding_set();
    let [apparmor, selinux, smack] = crate::security::labelling();
    Facts {
        kernel,
        architecture: native(),
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        capabilities: CapabilitySet(sets.effective),
        bounding: CapabilitySet(bounding),
        last_capability,
        cgroup: cgroup::cgroup(kernel),
        namespaces,
        mounts: filesystems::mounts(kernel, namespaces),
        seccomp: seccomp(),
        landlock_abi: crate::landlock::abi(),
        clone_into_cgroup: kernel >= KernelVersion::new(5, 7) && exists(sys::__NR_clone3, [0; 6]),
        pidfd: kernel >= KernelVersion::new(5, 4) && own_pidfd(),
        close_range: crate::descriptor::close_range_at_exec(u32::MAX, u32::MAX).is_ok(),
        keyring: has_keyrings(),
        keyring_closed: has_no_way_to_keyrings(),
        ambient_capabilities: control(
            linux_raw_sys::prctl::PR_CAP_AMBIENT,
            [linux_raw_sys::prctl::PR_CAP_AMBIENT_IS_SET as usize, 0],
        ),
        mdwe: control(linux_raw_sys::prctl::PR_GET_MDWE, [0, 0]),
        memory_merge: control(linux_raw_sys::prctl::PR_GET_MEMORY_MERGE, [0, 0]),
        memory_nodes: exists(sys::__NR_get_mempolicy, [0; 6]),
        node_processors: node_processors(),
        apparmor,
        smack,
        selinux,
        ipv6: socket(AddressFamily::INET6, SocketType::DGRAM, None).is_ok(),
        limits: limits(),
        memory_bytes: memory_bytes(),
        tasks_max: tasks_max(),
        kernel_masks: filesystems::kernel_masks(&cgroup::mount_table()),
    }
}

/// Memory nodes with their processors, as far as there are files that tell them.
fn node_processors() -> Vec<(u16, CpuSet)> {
    use model::TextForm as _;
    let folder = std::path::Path::new("/sys/devices/system/node");
    let online = std::fs::read_to_string(folder.join("online")).unwrap_or_default();
    let nodes = CpuSet::parse(online.trim()).unwrap_or_default();
    let of = |node: u16| {
        let list = std::fs::read_to_string(folder.join(format!("node{node}/cpulist"))).ok()?;
        Some((node, CpuSet::parse(list.trim()).unwrap_or_default()))
    };
    nodes.0.into_iter().filter_map(of).collect()
}

/// What a hypervisor calls itself to the processor's CPUID instruction, in twelve characters, which may end in NULs; `None` where there
/// is none, or no such instruction.
#[must_use]
pub fn hypervisor() -> Option<String> {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::__cpuid;
        const RUNS_BELOW_ONE: u32 = 1 << 31;
        const NAME: u32 = 0x4000_0000;
        if __cpuid(1).ecx & RUNS_BELOW_ONE == 0 {
            return None;
        }
        let answer = __cpuid(NAME);
        let words = [answer.ebx, answer.ecx, answer.edx];
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

fn kernel_version() -> KernelVersion {
    let name = rustix::system::uname();
    // 0.0 answers no to every "since" that is asked of it.
    KernelVersion::parse(&name.release().to_string_lossy()).unwrap_or(KernelVersion::new(0, 0))
}

/// Whether the kernel knows a call: any other failure than ENOSYS says so. The arguments must make it fail or do nothing.
fn exists(number: u32, arguments: [usize; 6]) -> bool {
    // SAFETY: private; each caller passes arguments with which the call touches no memory and changes nothing.
    let answer = unsafe { syscall(number, arguments) };
    answer != Err(Errno::NOSYS)
}

/// Whether a prctl that only asks is answered.
fn control(operation: u32, [first, second]: [usize; 2]) -> bool {
    // SAFETY: private; each caller passes an operation that only asks, by numbers.
    unsafe {
        syscall(
            sys::__NR_prctl,
            [operation as usize, first, second, 0, 0, 0],
        )
    }
    .is_ok()
}

fn own_pidfd() -> bool {
    rustix::process::pidfd_open(
        rustix::process::getpid(),
        rustix::process::PidfdFlags::empty(),
    )
    .is_ok()
}

fn has_keyrings() -> bool {
    const GET_KEYRING_ID: usize = 0;
    let session = crate::keyring::SESSION as isize as usize;
    // SAFETY: plain numbers; with a last argument of 0 nothing is made.
    let answer = unsafe { syscall(sys::__NR_keyctl, [GET_KEYRING_ID, session, 0, 0, 0, 0]) };
    // ENOKEY: there is none yet. Container managers let the call fail with EPERM.
    !is_refused(answer)
}

/// Whether each of the three calls is refused before its arguments are looked at.
fn has_no_way_to_keyrings() -> bool {
    [sys::__NR_add_key, sys::__NR_request_key, sys::__NR_keyctl]
        .into_iter()
        .all(|number| {
            // SAFETY: null strings, which the kernel refuses to read; keyctl's first operation, on the key with the number 0, which is
            // none.
            is_refused(unsafe { syscall(number, [0; 6]) })
        })
}

fn is_refused(answer: crate::Result<usize>) -> bool {
    matches!(answer, Err(Errno::NOSYS | Errno::PERM))
}

fn seccomp() -> Seccomp {
    const ALLOW: u32 = 0x7fff_0000;
    const KILL_PROCESS: u32 = 0x8000_0000;
    const RETURN_LOG: u32 = 0x7ffc_0000;
    Seccomp {
        filter: crate::seccomp::action_available(ALLOW),
        kill_process: crate::seccomp::action_available(KILL_PROCESS),
        log: crate::seccomp::action_available(RETURN_LOG),
    }
}

/// The set, and the last capability that the kernel knows.
fn bounding_set() -> (u64, u32) {
    let known = (0..u64::BITS)
        .map_while(|capability| Some((capability, credentials::in_bounding_set(capability).ok()?)));
    known.fold((0, 0), |(set, _), (capability, held)| {
        (set | u64::from(held) << capability, capability)
    })
}

fn limits() -> [(u64, u64); LIMITS] {
    let mut limits = [(u64::MAX, u64::MAX); LIMITS];
    for (resource, place) in (0..).zip(limits.iter_mut()) {
        if let Ok(limit) = crate::process::limit(resource) {
            *place = limit;
        }
    }
    limits
}

fn memory_bytes() -> u64 {
    let info = rustix::system::sysinfo();
    u64::from(info.mem_unit).saturating_mul(info.totalram)
}

/// The smaller one of the kernel's two bounds, and no bound where neither can be read.
fn tasks_max() -> u64 {
    let number =
        |path: &str| -> Option<u64> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"]
        .into_iter()
        .filter_map(number)
        .min()
        .unwrap_or(u64::MAX)
}

/// The kinds that a child could enter, by one bit per place in the list; the user namespace last, since it changes the rest.
fn namespaces() -> Namespaces {
    const TRIED: [u32; 8] = [
        namespace::MOUNT,
        namespace::UTS,
        namespace::IPC,
        namespace::NETWORK,
        namespace::CGROUP,
        namespace::TIME,
        namespace::PID,
        namespace::USER,
    ];
    let first = if credentials::capabilities().is_ok_and(|sets| sets.effective & SYS_ADMIN != 0) {
        0
    } else {
        namespace::USER
    };
    let entered = in_child(|| {
        if first != 0 && namespace::unshare(first).is_err() {
            return 0;
        }
        let bits = TRIED
            .iter()
            .enumerate()
            .map(|(place, kind)| u8::from(namespace::unshare(*kind).is_ok()) << place);
        bits.fold(0, |all, bit| all | bit)
    });
    let has = |place: u32| entered & 1 << place != 0;
    Namespaces {
        mount: has(0),
        uts: has(1),
        ipc: has(2),
        net: has(3),
        cgroup: has(4),
        time: has(5),
        pid: has(6),
        user: has(7),
    }
}

/// The bit of CAP_SYS_ADMIN.
const SYS_ADMIN: u64 = 1 << 21;

/// What a child answers by its exit status; 0 if it could not be asked or did not end well.
///
/// `ask` runs in a fork of a process that may have threads: it must only make system calls, and not allocate.
fn in_child(ask: impl FnOnce() -> u8) -> u8 {
    // SAFETY: the child makes plain system calls and ends: `ask` is private to this module and does no more.
    match unsafe { fork_plain(0) } {
        Ok(Forked::Child) => exit_group(i32::from(ask())),
        Ok(Forked::Parent(_, pidfd)) => match crate::wait::wait(&pidfd) {
            Ok(dead) => match dead.ending {
                Ending::Exited(answer) => u8::try_from(answer).unwrap_or(0),
                Ending::Killed { .. } => 0,
            },
            Err(_) => 0,
        },
        Err(_) => 0,
    }
}

/// Whether the kernel has a file system type; asking loads its module, as mounting would.
fn has_filesystem(name: &CStr) -> bool {
    rustix::mount::fsopen(name, rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC).is_ok()
}

#[cfg(test)]
mod tests {
    use super::facts;

    #[test]
    fn the_facts_of_this_host_agree_with_what_it_says_of_itself() {
        let facts = facts();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert!(
            release.starts_with(&format!("{}.", facts.kernel)),
            "{release}"
        );
        let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
        assert_eq!(facts.last_capability.to_string(), last.trim());
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(
            status.contains(&format!("CapEff:\t{:016x}", facts.capabilities.0)),
            "{status}"
        );
        assert!(
            status.contains(&format!("CapBnd:\t{:016x}", facts.bounding.0)),
            "{status}"
        );
    }

    #[test]
    fn asking_twice_gives_the_same_answer() {
        assert_eq!(facts(), facts());
    }
}
