//! File systems and mount calls.

use std::ffi::CStr;
use std::path::Path;

use linux_raw_sys::general as sys;
use model::facts::{KernelMasks, KernelVersion, Mounts, Namespaces};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};

use super::{SYS_ADMIN, exists, has_filesystem, in_child};
use crate::mount::{Attributes, Reach};
use crate::process::{Forked, exit_group, fork_plain};
use crate::{credentials, namespace};

/// What the kernel has of its own below /proc and /sys: a mount of another kind there hides what is under it.
const OWN: [&str; 18] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "efivarfs",
    "fusectl",
    "mqueue",
    "nfsd",
    "pstore",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "tracefs",
];

/// Control groups are the planner's own business.
const GROUPS: &str = "/sys/fs/cgroup";

const PROC: u8 = 1;
const PROC_HIDEPID: u8 = 2;
const PROC_SUBSET: u8 = 4;
const SYSFS: u8 = 8;
const MQUEUE: u8 = 16;
const DEVPTS: u8 = 32;

/// The uppermost mounts below /proc and /sys that hide something, and those that make what is there anyway read-only
/// (proc_pid_mountinfo(5)).
pub(super) fn kernel_masks(table: &[u8]) -> KernelMasks {
    // Whoever can mount can write bytes into it that are no text, and no other line may be lost by that.
    let table = String::from_utf8_lossy(table);
    let (mut hidden, mut read_only) = (Vec::new(), Vec::new());
    for mount in table.lines().filter_map(Mount::read) {
        if mount.shows_itself() {
            if mount.is_read_only {
                read_only.push(mount.path.to_owned());
            }
        } else if mount.is_read_only || !OWN.contains(&mount.kind) {
            hidden.push(mount.path.to_owned());
        }
    }
    KernelMasks {
        hidden: uppermost(hidden),
        read_only: uppermost(read_only),
    }
}

/// A mount below /proc or /sys.
struct Mount<'a> {
    root: &'a str,
    path: &'a str,
    kind: &'a str,
    is_read_only: bool,
}

impl<'a> Mount<'a> {
    fn read(line: &'a str) -> Option<Mount<'a>> {
        let (mount, source) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, path, options) = (fields.next()?, fields.next()?, fields.next()?);
        let is_below = path.starts_with("/proc/") || path.starts_with("/sys/");
        // No path of the kernel's has a letter that is written as a number.
        let is_meant = is_below && !path.contains('\\') && !path.starts_with(GROUPS);
        is_meant.then_some(Mount {
            root,
            path,
            kind: source.split(' ').next().unwrap_or_default(),
            is_read_only: options.split(',').any(|option| option == "ro"),
        })
    }

    /// Whether it is what a new instance has at this path.
    fn shows_itself(&self) -> bool {
        let of_instance = match self.kind {
            "proc" => self.path.strip_prefix("/proc"),
            "sysfs" => self.path.strip_prefix("/sys"),
            _ => None,
        };
        of_instance == Some(self.root)
    }
}

fn uppermost(mut found: Vec<String>) -> Vec<String> {
    found.sort();
    let mut uppermost: Vec<String> = Vec::new();
    for path in found {
        let is_inside = |above: &String| Path::new(&path).starts_with(above);
        if !uppermost.last().is_some_and(is_inside) {
            uppermost.push(path);
        }
    }
    uppermost
}

pub(super) fn mounts(kernel: KernelVersion, namespaces: Namespaces) -> Mounts {
    let mountable = mountable(namespaces);
    let erofs = has_filesystem(c"erofs");
    // No attribute is changed: the call answers whether it is there and permitted.
    let setattr = crate::mount::change(rustix::fs::CWD, c"/", Reach::Mount, Attributes::default())
        != Err(crate::Errno::NOSYS);
    Mounts {
        new_api: exists(sys::__NR_fsopen, [0; 6])
            && exists(sys::__NR_move_mount, [usize::MAX, 0, usize::MAX, 0, 0, 0]),
        setattr,
        open_tree_attr: exists(sys::__NR_open_tree_attr, [usize::MAX, 0, 0, 0, 0, 0]),
        id_mapped: setattr && namespaces.user && kernel >= KernelVersion::new(5, 12),
        proc_hidepid: mountable & PROC_HIDEPID != 0,
        proc_subset: mountable & PROC_SUBSET != 0,
        proc_mountable: mountable & PROC != 0,
        sysfs_mountable: mountable & SYSFS != 0,
        overlay: has_filesystem(c"overlay"),
        squashfs: has_filesystem(c"squashfs"),
        erofs,
        erofs_file_backed: erofs && kernel >= KernelVersion::new(6, 12),
        loop_devices: Path::new("/dev/loop-control").exists(),
        mqueue: mountable & MQUEUE != 0,
        devpts: mountable & DEVPTS != 0,
        nosymfollow: kernel >= KernelVersion::new(5, 14),
    }
}

/// What can be mounted by the first process of new namespaces, one bit each.
fn mountable(namespaces: Namespaces) -> u8 {
    let privileged = credentials::capabilities().is_ok_and(|sets| sets.effective & SYS_ADMIN != 0);
    let choose = |there: bool, kind: u32| if there { kind } else { 0 };
    let kinds = choose(namespaces.mount, namespace::MOUNT)
        | choose(namespaces.pid, namespace::PID)
        | choose(namespaces.net, namespace::NETWORK)
        | choose(namespaces.ipc, namespace::IPC)
        | choose(!privileged, namespace::USER);
    in_child(|| {
        if namespace::unshare(kinds).is_ok() {
            in_first_process()
        } else {
            0
        }
    })
}

/// Only a child is in the new pid namespace.
fn in_first_process() -> u8 {
    // SAFETY: this is the child of a fork and has one thread; its child makes plain system calls and ends.
    match unsafe { fork_plain(0) } {
        Ok(Forked::Child) => exit_group(i32::from(mount_all())),
        Ok(Forked::Parent(_, pidfd)) => match crate::wait::wait(&pidfd).map(|dead| dead.ending) {
            Ok(crate::wait::Ending::Exited(bits)) => bits as u8,
            _ => 0,
        },
        Err(_) => 0,
    }
}

/// Makes each file system without attaching it anywhere.
fn mount_all() -> u8 {
    let choose = |made: bool, bit: u8| if made { bit } else { 0 };
    choose(make(c"proc", &[]), PROC)
        | choose(
            make(c"proc", &[(c"hidepid", Some(c"invisible"))]),
            PROC_HIDEPID,
        )
        | choose(make(c"proc", &[(c"subset", Some(c"pid"))]), PROC_SUBSET)
        | choose(make(c"sysfs", &[]), SYSFS)
        | choose(make(c"mqueue", &[]), MQUEUE)
        | choose(make(c"devpts", &[(c"newinstance", None)]), DEVPTS)
}

fn make(kind: &CStr, options: &[(&CStr, Option<&CStr>)]) -> bool {
    let Ok(context) = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC) else {
        return false;
    };
    let accepted = options.iter().all(|(name, value)| match value {
        Some(value) => fsconfig_set_string(&context, *name, *value).is_ok(),
        None => fsconfig_set_flag(&context, *name).is_ok(),
    });
    accepted
        && fsconfig_create(&context).is_ok()
        && fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )
        .is_ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_container_put_over_the_files_of_the_kernel_is_found_and_what_the_kernel_has_there_is_not()
     {
        let table = "\
105 103 0:22 / /sys ro,nosuid - sysfs sysfs rw
118 103 0:49 / /proc rw,nosuid - proc proc rw
119 118 0:49 /sys /proc/sys ro,nosuid - proc proc rw
43 119 0:46 /x /proc/sys/kernel/random/boot_id ro - tmpfs tmpfs rw
45 118 0:46 /y /proc/kmsg rw,nosuid - tmpfs tmpfs rw
46 118 0:47 / /proc/sys-like rw shared:3 - debugfs none rw
42 105 0:38 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw
47 105 0:51 / /sys/fs/fuse/connections rw,nosuid - fusectl fusectl rw
48 105 0:52 / /sys/kernel/security ro - securityfs none rw
49 105 0:53 / /srv ro - tmpfs none rw
50 118 0:49 /1/comm /proc/version ro - proc proc rw
51 105 0:22 /class /sys/class ro,nosuid - sysfs sysfs rw
52 105 0:22 /devices /sys/devices rw,nosuid - sysfs sysfs rw
";
        let no_text = b"53 105 0:54 / /mnt/\xff rw - fuse x rw\n";
        let found = super::kernel_masks(&[no_text, table.as_bytes()].concat());
        let hidden = [
            "/proc/kmsg",
            "/proc/sys/kernel/random/boot_id",
            "/proc/version",
            "/sys/kernel/security",
        ];
        assert_eq!(found.hidden, hidden);
        assert_eq!(found.read_only, ["/proc/sys", "/sys/class"]);
    }
}
