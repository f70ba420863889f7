//! Security modules of the kernel, and what tells one file from all others.

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use linux_raw_sys::general as sys;

use crate::syscall::syscall;
use crate::{Errno, Result};

/// The names of the modules that are active. Linux 6.8 tells them by a call (lsm_list_modules(2)), older ones by a file, whose file
/// system need not be mounted.
pub fn modules() -> Result<Vec<String>> {
    match listed() {
        Err(Errno::NOSYS) => in_file(),
        listed => Ok(listed?
            .into_iter()
            .filter_map(name)
            .map(str::to_owned)
            .collect()),
    }
}

/// The numbers of modules whose names matter to somebody (linux/lsm.h).
fn name(number: u64) -> Option<&'static str> {
    let names = [
        (101, "selinux"),
        (102, "smack"),
        (103, "tomoyo"),
        (104, "apparmor"),
        (108, "lockdown"),
        (109, "bpf"),
        (110, "landlock"),
        (111, "ima"),
        (114, "ipe"),
    ];
    let mut names = names.into_iter();
    names.find_map(|(known, name)| (known == number).then_some(name))
}

fn listed() -> Result<Vec<u64>> {
    /// The kernel has no room for more in its own list.
    const MODULES_MAX: usize = 64;
    let mut numbers = [0_u64; MODULES_MAX];
    let mut bytes = size_of_val(&numbers) as u32;
    // SAFETY: there is room for as many bytes as `bytes` says, which the kernel overwrites with how many it wrote.
    let count = unsafe {
        syscall(
            sys::__NR_lsm_list_modules,
            [
                numbers.as_mut_ptr() as usize,
                core::ptr::from_mut(&mut bytes) as usize,
                0,
                0,
                0,
                0,
            ],
        )
    }?;
    Ok(numbers.into_iter().take(count).collect())
}

fn in_file() -> Result<Vec<String>> {
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
    Ok(text(&file)?.split(',').map(str::to_owned).collect())
}

/// Whether the modules with labels are active: AppArmor, SELinux, SMACK.
pub(crate) fn labelling() -> [bool; 3] {
    let there = |path: &str| std::path::Path::new(path).exists();
    let modules = modules();
    // Where the kernel tells nobody of us, the modules' own files do.
    let is_active = |name: &str, by_file: &dyn Fn() -> bool| match &modules {
        Ok(modules) => modules.iter().any(|module| module == name),
        Err(_) => by_file(),
    };
    let parameters = "/sys/module/apparmor/parameters/enabled";
    let has_apparmor =
        || std::fs::read_to_string(parameters).is_ok_and(|text| text.starts_with('Y'));
    // A container that is not shown its file system is to be as without it; before /sys is mounted nothing is shown.
    let shows_selinux = || there("/sys/fs/selinux/enforce");
    let selinux =
        is_active("selinux", &shows_selinux) && (!there("/sys/kernel") || shows_selinux());
    [
        is_active("apparmor", &has_apparmor),
        selinux,
        is_active("smack", &|| there("/sys/fs/smackfs/load2")),
    ]
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
    use super::{identity, in_file, listed, modules, name};

    #[test]
    fn both_ways_tell_the_same_modules() {
        let Ok(mut by_file) = in_file() else {
            // A kernel without securityfs, or nobody who may mount it: then the call alone tells them.
            return assert!(listed().is_ok());
        };
        by_file.retain(|known| (0..200).filter_map(name).any(|named| named == known));
        assert_eq!(modules().expect("a list"), by_file);
    }

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
