//! Which control group hierarchy the host mounts, from `/proc/self/mountinfo`.

use std::path::Path;

use model::facts::{Cgroup, CgroupKind, KernelVersion};
use rustix::fs::Access;

/// Longest mount table that is read: hosts with thousands of mounts have about half a megabyte.
const TABLE_BYTES_MAX: u64 = 8 << 20;

pub(super) fn cgroup(kernel: KernelVersion) -> Cgroup {
    let (mount, kind) = find(&String::from_utf8_lossy(&mount_table()));
    let controllers =
        std::fs::read_to_string(Path::new(&mount).join("cgroup.controllers")).unwrap_or_default();
    let controllers = if kind == CgroupKind::None {
        String::new()
    } else {
        controllers
    };
    let exists = kind != CgroupKind::None;
    Cgroup {
        kind,
        controllers: controllers.split_whitespace().map(str::to_owned).collect(),
        writable: exists
            && rustix::fs::access(mount.as_str(), Access::WRITE_OK).is_ok()
            && !is_read_only(&mount),
        kill: exists && kernel >= KernelVersion::new(5, 14),
        freeze: exists && kernel >= KernelVersion::new(5, 2),
        programs: exists && can_load_programs(),
        mount,
    }
}

/// Whether a program that lets every device through can be loaded.
fn can_load_programs() -> bool {
    const CGROUP_DEVICE: (u32, u32) = (15, 6);
    const RETURN_1: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let (kind, hook) = CGROUP_DEVICE;
    crate::bpf::load("coracle", kind, hook, &RETURN_1).is_ok()
}

/// The mount table (proc_pid_mountinfo(5)); whoever can mount can write bytes into it that are no text. Empty where there is no /proc.
pub(super) fn mount_table() -> Vec<u8> {
    use std::io::Read;
    let mut table = Vec::new();
    let read = std::fs::File::open("/proc/self/mountinfo")
        .and_then(|file| file.take(TABLE_BYTES_MAX).read_to_end(&mut table));
    match read {
        Ok(_) => table,
        Err(_) => Vec::new(),
    }
}

fn is_read_only(mount: &str) -> bool {
    rustix::fs::statvfs(mount).is_ok_and(|status| {
        status
            .f_flag
            .contains(rustix::fs::StatVfsMountFlags::RDONLY)
    })
}

/// The place of the first mount of version 2: later ones are other roots' own. And whether version 1 is there beside it.
fn find(table: &str) -> (String, CgroupKind) {
    let mounts = || table.lines().filter_map(place_and_type);
    let second = mounts().find(|(_, kind)| *kind == "cgroup2");
    // A version 1 hierarchy without a controller (name=systemd) counts too: someone tracks processes in it.
    let first = mounts().any(|(_, kind)| kind == "cgroup");
    match second {
        None => (String::new(), CgroupKind::None),
        Some((place, _)) => (
            unescape(place),
            if first {
                CgroupKind::Hybrid
            } else {
                CgroupKind::V2
            },
        ),
    }
}

/// Where a line's file system is mounted, and its type, which follows the lone hyphen.
fn place_and_type(line: &str) -> Option<(&str, &str)> {
    let (head, tail) = line.split_once(" - ")?;
    Some((head.split(' ').nth(4)?, tail.split(' ').next()?))
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::{CgroupKind, find};

    fn check(table: &str, place: &str, kind: CgroupKind) {
        assert_eq!(find(table), (place.to_owned(), kind));
    }

    #[test]
    fn version_2_alone_is_found() {
        check(
            "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
            "/sys/fs/cgroup",
            CgroupKind::V2,
        );
    }

    #[test]
    fn version_2_beside_version_1_is_hybrid() {
        let table = "37 31 0:34 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                     41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw\n";
        check(table, "/sys/fs/cgroup/uni fied", CgroupKind::Hybrid);
    }

    #[test]
    fn without_version_2_there_is_none() {
        check(
            "37 31 0:34 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\nnonsense\n",
            "",
            CgroupKind::None,
        );
    }
}
