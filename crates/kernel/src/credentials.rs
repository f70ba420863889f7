//! Users, groups and capabilities of this one process: raw calls, never a C library's broadcast to threads.
//!
//! rustix has the others: `thread::set_thread_res_uid`, `capabilities_secure_bits`, `set_keep_capabilities`.

use linux_raw_sys::general as sys;

use crate::syscall::syscall;
use crate::{Errno, Result};

/// The id that is none: the kernel takes it to mean "as it was", which to a caller would look like success.
const NO_ID: u32 = u32::MAX;

/// Sets real, effective and saved user id. EINVAL: it is -1, which is no id.
pub fn set_user(uid: u32) -> Result<()> {
    if uid == NO_ID {
        return Err(Errno::INVAL);
    }
    let uid = uid as usize;
    // SAFETY: plain numbers.
    unsafe { syscall(sys::__NR_setresuid, [uid, uid, uid, 0, 0, 0]) }.map(drop)
}

/// Sets real, effective and saved group id. EINVAL: it is -1, which is no id.
pub fn set_group(gid: u32) -> Result<()> {
    if gid == NO_ID {
        return Err(Errno::INVAL);
    }
    let gid = gid as usize;
    // SAFETY: plain numbers.
    unsafe { syscall(sys::__NR_setresgid, [gid, gid, gid, 0, 0, 0]) }.map(drop)
}

/// Replaces the supplementary groups.
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: setgroups reads `len` 32-bit numbers from the slice.
    unsafe {
        syscall(
            sys::__NR_setgroups,
            [groups.len(), groups.as_ptr() as usize, 0, 0, 0, 0],
        )
    }
    .map(drop)
}

/// A process's capability sets, one bit per capability number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    /// What counts now.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What a file may let through at exec.
    pub inheritable: u64,
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityWords {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`: two words per set.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// This thread's capability sets.
pub fn capabilities() -> Result<CapabilitySets> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let mut words = [CapabilityWords::default(); 2];
    // SAFETY: capget with version 3 reads the header and writes two structs of words; both are there.
    unsafe {
        syscall(
            sys::__NR_capget,
            [
                core::ptr::from_mut(&mut header) as usize,
                words.as_mut_ptr() as usize,
                0,
                0,
                0,
                0,
            ],
        )
    }?;
    let [low, high] = words;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(CapabilitySets {
        effective: join(low.effective, high.effective),
        permitted: join(low.permitted, high.permitted),
        inheritable: join(low.inheritable, high.inheritable),
    })
}

/// Replaces this thread's capability sets.
pub fn set_capabilities(sets: CapabilitySets) -> Result<()> {
    let mut header = CapabilityHeader {
        version: CAPABILITY_VERSION,
        pid: 0,
    };
    let half = |shift: u32| CapabilityWords {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let words = [half(0), half(32)];
    // SAFETY: capset with version 3 reads the header and two structs of words; both are there.
    unsafe {
        syscall(
            sys::__NR_capset,
            [
                core::ptr::from_mut(&mut header) as usize,
                words.as_ptr() as usize,
                0,
                0,
                0,
                0,
            ],
        )
    }
    .map(drop)
}

/// Whether `capability` is in the bounding set; EINVAL beyond the last one that the kernel knows.
pub fn in_bounding_set(capability: u32) -> Result<bool> {
    control(
        linux_raw_sys::prctl::PR_CAPBSET_READ,
        capability as usize,
        0,
    )
    .map(|answer| answer == 1)
}

/// Removes `capability` from the bounding set, for good.
pub fn drop_from_bounding_set(capability: u32) -> Result<()> {
    control(
        linux_raw_sys::prctl::PR_CAPBSET_DROP,
        capability as usize,
        0,
    )
    .map(drop)
}

/// Empties the ambient set.
pub fn clear_ambient() -> Result<()> {
    control(
        linux_raw_sys::prctl::PR_CAP_AMBIENT,
        linux_raw_sys::prctl::PR_CAP_AMBIENT_CLEAR_ALL as usize,
        0,
    )
    .map(drop)
}

/// Adds `capability` to the ambient set; it must be permitted and inheritable.
pub fn raise_ambient(capability: u32) -> Result<()> {
    control(
        linux_raw_sys::prctl::PR_CAP_AMBIENT,
        linux_raw_sys::prctl::PR_CAP_AMBIENT_RAISE as usize,
        capability as usize,
    )
    .map(drop)
}

/// Keeps the permitted set over a change of user, until the next exec (PR_SET_KEEPCAPS).
pub fn set_keep_capabilities(keep: bool) -> Result<()> {
    control(linux_raw_sys::prctl::PR_SET_KEEPCAPS, usize::from(keep), 0).map(drop)
}

/// The thread's secure bits, see capabilities(7).
pub fn secure_bits() -> Result<u32> {
    control(linux_raw_sys::prctl::PR_GET_SECUREBITS, 0, 0).map(|bits| bits as u32)
}

/// Replaces the thread's secure bits.
pub fn set_secure_bits(bits: u32) -> Result<()> {
    control(linux_raw_sys::prctl::PR_SET_SECUREBITS, bits as usize, 0).map(drop)
}

fn control(operation: u32, first: usize, second: usize) -> Result<usize> {
    // SAFETY: private, and each caller's operation takes numbers only; unused arguments must be zero and are.
    unsafe {
        syscall(
            sys::__NR_prctl,
            [operation as usize, first, second, 0, 0, 0],
        )
    }
}
