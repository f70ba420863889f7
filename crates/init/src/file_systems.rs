//! The kernel's own file systems, which every program takes for granted (systemd.io/API_FILE_SYSTEMS has the list).

use rustix::fs::{CWD, Mode, StatVfsMountFlags, StatxFlags, mkdirat, statvfs, statx};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use std::ffi::CStr;

/// How much one is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Services count on it.
    Always,
    /// Where the kernel has it and the place is there.
    Where,
}

/// One of them.
struct FileSystem {
    kind: &'static CStr,
    place: &'static CStr,
    options: &'static CStr,
    flags: MountFlags,
    need: Need,
}

const PLAIN: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
const DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);
const FILES: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

const fn file_system(
    kind: &'static CStr,
    place: &'static CStr,
    options: &'static CStr,
    flags: MountFlags,
    need: Need,
) -> FileSystem {
    FileSystem {
        kind,
        place,
        options,
        flags,
        need,
    }
}

/// In the order in which they lie in one another.
const ALL: &[FileSystem] = {
    use Need::{Always, Where};
    &[
        file_system(c"proc", c"/proc", c"", PLAIN, Always),
        file_system(c"sysfs", c"/sys", c"", PLAIN, Always),
        file_system(c"devtmpfs", c"/dev", c"mode=755", DEVICES, Always),
        file_system(
            c"devpts",
            c"/dev/pts",
            c"mode=620,gid=5,ptmxmode=000",
            DEVICES,
            Always,
        ),
        file_system(c"tmpfs", c"/dev/shm", c"mode=1777", FILES, Always),
        file_system(c"mqueue", c"/dev/mqueue", c"", PLAIN, Where),
        file_system(c"hugetlbfs", c"/dev/hugepages", c"", FILES, Where),
        file_system(
            c"tmpfs",
            c"/run",
            c"mode=755,size=20%,nr_inodes=800k",
            FILES,
            Always,
        ),
        file_system(
            c"cgroup2",
            c"/sys/fs/cgroup",
            c"nsdelegate,memory_recursiveprot",
            PLAIN,
            Always,
        ),
        file_system(c"securityfs", c"/sys/kernel/security", c"", PLAIN, Where),
        file_system(c"bpf", c"/sys/fs/bpf", c"mode=700", PLAIN, Where),
        file_system(c"pstore", c"/sys/fs/pstore", c"", PLAIN, Where),
        file_system(c"efivarfs", c"/sys/firmware/efi/efivars", c"", PLAIN, Where),
        file_system(c"tracefs", c"/sys/kernel/tracing", c"", PLAIN, Where),
        file_system(c"debugfs", c"/sys/kernel/debug", c"", PLAIN, Where),
        file_system(c"configfs", c"/sys/kernel/config", c"", PLAIN, Where),
    ]
};

/// Mounts those that are not there, and answers what does not work.
pub(crate) fn mount_all() -> Vec<String> {
    let failed = ALL.iter().filter_map(|one| {
        let errno = mount_one(one).err()?;
        (one.need == Need::Always)
            .then(|| format!("{} can't be mounted: {errno}", one.place.to_string_lossy()))
    });
    failed.collect()
}

fn mount_one(one: &FileSystem) -> Result<(), Errno> {
    if is_mount_point(one.place) {
        return Ok(());
    }
    match mkdirat(CWD, one.place, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) | Ok(()) => {}
        // The kernel makes the places that it has something for.
        Err(_) if one.need == Need::Where => return Ok(()),
        Err(errno) => return Err(errno),
    }
    let try_with = |options: &CStr| mount(one.kind, one.place, one.kind, one.flags, options);
    match try_with(one.options) {
        // An older kernel does not know an option.
        Err(Errno::INVAL) => try_with(c""),
        other => other,
    }
}

/// By the kernel's word: statx(2) says it since Linux 5.8.
fn is_mount_point(place: &CStr) -> bool {
    /// `STATX_ATTR_MOUNT_ROOT`
    const MOUNT_ROOT: u64 = 0x2000;
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let found = statx(CWD, place, flags, StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.bits() & MOUNT_ROOT != 0)
}

/// Can nothing be written there?
pub(crate) fn is_read_only(place: &CStr) -> bool {
    statvfs(place).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_after_what_it_lies_in() {
        for (at, one) in ALL.iter().enumerate() {
            let place = one.place.to_str().expect("plain");
            let inside = ALL.iter().skip(at).any(|later| {
                let later = later.place.to_str().expect("plain");
                place.starts_with(&format!("{later}/"))
            });
            assert!(!inside, "{place}");
        }
    }

    #[test]
    fn a_mount_point_is_told_from_a_directory() {
        assert!(is_mount_point(c"/proc"));
        assert!(!is_mount_point(c"/proc/self"));
        assert!(!is_mount_point(c"/nonexistent"));
    }
}
