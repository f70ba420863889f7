//! Memory from the kernel, and memory as files.

use core::ffi::CStr;
use core::ptr::NonNull;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::{Errno, Result};

/// Private zeroed memory of this process, unmapped when dropped.
pub struct Region {
    start: NonNull<u8>,
    length: usize,
}

impl Region {
    /// Maps `length` bytes; pages are made on first use.
    pub fn new(length: usize) -> Result<Self> {
        // SAFETY: a null hint lets the kernel choose free addresses, so no existing memory is touched.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                core::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(Errno::NOMEM)?,
            length,
        })
    }

    /// The lowest address.
    #[must_use]
    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// The bytes.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: the mapping has that length, is zeroed, writable and owned; the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }

    /// Gives the memory away for the rest of the process's life.
    #[must_use]
    pub fn leak(self) -> &'static mut [u8] {
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: the mapping has that length and is writable; it is never unmapped, since its owner is forgotten here.
        unsafe { core::slice::from_raw_parts_mut(this.start.as_ptr(), this.length) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; borrows of it have ended.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert!(unmapped.is_ok());
    }
}

// SAFETY: the region is plain memory that this value alone owns.
unsafe impl Send for Region {}

/// The content of a sealed memory file, mapped for the rest of the process's life.
///
/// Refuses (EPERM) a file that is not sealed against writing and shrinking: what is borrowed must not change or vanish.
pub fn map_sealed(file: impl AsFd) -> Result<&'static [u8]> {
    let file = file.as_fd();
    if !rustix::fs::fcntl_get_seals(file)?.contains(SealFlags::WRITE | SealFlags::SHRINK) {
        return Err(Errno::PERM);
    }
    let length = usize::try_from(rustix::fs::fstat(file)?.st_size).map_err(|_| Errno::FBIG)?;
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: a null hint lets the kernel choose free addresses; the file is open for reading or the call fails.
    let start = unsafe {
        rustix::mm::mmap(
            core::ptr::null_mut(),
            length,
            ProtFlags::READ,
            MapFlags::PRIVATE,
            file,
            0,
        )
    }?;
    // SAFETY: the mapping has that length, the seals keep the file from changing and shrinking, and it is never unmapped.
    Ok(unsafe { core::slice::from_raw_parts(start.cast(), length) })
}

/// Makes a sealed memory file of `content`: what is executed or read from it later is what was written.
pub fn sealed_file(name: &CStr, content: &[u8]) -> Result<OwnedFd> {
    fill_and_seal(memory_file(name)?, content)
}

/// Makes a sealed memory file of a program's `content`, which can be executed where the host lets memory files be.
pub fn sealed_executable(name: &CStr, content: &[u8]) -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = match rustix::fs::memfd_create(name, flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 all of them could be.
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        other => other,
    }?;
    fill_and_seal(file, content)
}

fn fill_and_seal(file: OwnedFd, content: &[u8]) -> Result<OwnedFd> {
    let mut rest = content;
    while !rest.is_empty() {
        let written = rustix::io::write(&file, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    seal(&file)?;
    Ok(file)
}

/// Makes an empty memory file that can be sealed.
pub fn memory_file(name: &CStr) -> Result<OwnedFd> {
    rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
}

/// Seals a memory file for good: no write, no change of size, no further seal.
pub fn seal(file: impl AsFd) -> Result<()> {
    rustix::fs::fcntl_add_seals(
        file,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )
}
