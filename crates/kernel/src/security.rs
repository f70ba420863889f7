//! Security modules of the kernel, and what tells one file from all others.

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use linux_raw_sys::general as sys;

use crate::syscall::syscall;
use crate::{Errno, Result};

/// The names of the modules that are active, with commas between. The file system that tells them need not be mounted.
pub fn modules() -> Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(c"/sys/kernel/security/lsm", flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            let configuration = fsopen(c"securityfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_create(&configuration)?;
            let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
            let mount = fsmount(&configuration, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
            rustix::fs::openat(&mount, c"lsm", flags, Mode::empty())
        }
        file => file,
    }?;
    text(&file)
}

fn text(file: &OwnedFd) -> Result<String> {
    let mut room = [0; 4096];
    let length = rustix::io::read(file, &mut room)?;
    let bytes = room.get(..length).unwrap_or_default();
    Ok(String::from_utf8_lossy(bytes).trim().to_owned())
}

/// What tells a file in memory from all others, also from one that gets its number when it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The device as the kernel has it: the major number above 20 bits.
    pub device: u32,
    /// The inode.
    pub inode: u64,
    /// The generation of the inode, drawn by lot.
    pub generation: u32,
}

/// The identity of a file of tmpfs, of which memfd_create(2) makes some. The kernel says the generation in a file handle (name_to_handle_at(2)).
///
/// # Errors
/// EOPNOTSUPP where it is of another kind.
pub fn identity(file: impl AsFd) -> Result<Identity> {
    /// `struct file_handle` with room for what tmpfs says: generation, and both halves of the inode.
    #[repr(C)]
    struct Handle {
        bytes: u32,
        kind: i32,
        words: [u32; 3],
    }
    const GENERATION_AND_INODE: i32 = 1;
    let file = file.as_fd();
    let status = rustix::fs::fstat(file)?;
    let mut handle = Handle {
        bytes: 12,
        kind: 0,
        words: [0; 3],
    };
    let mut mount = 0_i32;
    // SAFETY: the path is empty and ends with a zero, the handle has room for as many bytes as it says, and the mount's number for one.
    unsafe {
        syscall(
            sys::__NR_name_to_handle_at,
            [
                file.as_raw_fd() as usize,
                c"".as_ptr() as usize,
                core::ptr::from_mut(&mut handle) as usize,
                core::ptr::from_mut(&mut mount) as usize,
                AtFlags::EMPTY_PATH.bits() as usize,
                0,
            ],
        )
    }?;
    let [generation, low, high] = handle.words;
    let inode = u64::from(high) << 32 | u64::from(low);
    if (handle.kind, handle.bytes, inode) != (GENERATION_AND_INODE, 12, status.st_ino) {
        return Err(Errno::OPNOTSUPP);
    }
    let device = status.st_dev;
    Ok(Identity {
        device: rustix::fs::major(device) << 20 | rustix::fs::minor(device),
        inode,
        generation,
    })
}

#[cfg(test)]
mod tests {
    use super::identity;

    #[test]
    fn two_files_in_memory_differ_and_a_file_of_a_disk_has_no_identity() {
        let one = crate::memory::memory_file(c"one").expect("a file");
        let other = crate::memory::memory_file(c"other").expect("a file");
        let [one, other] = [one, other].map(|file| identity(file).expect("an identity"));
        assert_eq!(one.device, other.device);
        assert!(one.inode != other.inode && one.generation != other.generation);
        let proc = std::fs::File::open("/proc/self/stat").expect("a file");
        assert!(identity(proc).is_err());
    }
}
