//! What a machine had when an instance began, of what carries no instance's name: what is new and fits this one's units is this one's.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Where units have directories and files of their own names on the host.
const PLACES: &[&str] = &[
    "/run",
    "/run/private",
    "/run/credentials",
    "/run/netns",
    "/sys/fs/bpf",
    "/etc",
    "/var/cache",
    "/var/cache/private",
    "/var/lib",
    "/var/lib/private",
    "/var/log",
    "/var/log/private",
];
/// Where runs have their private directories.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp"];
/// How these are called, with 32 digits behind it.
const PRIVATE: &str = "coracle-private-";
/// Where numbers of dynamic users are locked, by the reference and by us.
const LOCKS: &[&str] = &["/run/systemd/dynamic-uid", "/run/coracle-dynamic-users"];

/// What was there before.
#[derive(Debug)]
pub struct Ground {
    things: BTreeSet<String>,
}

impl Ground {
    /// Looks at users, groups, BPF programs, and names in the host's directories.
    #[must_use]
    pub fn take() -> Ground {
        let mut things = BTreeSet::new();
        for (kind, path) in [("user", "/etc/passwd"), ("group", "/etc/group")] {
            let text = fs::read_to_string(path).unwrap_or_default();
            things.extend(text.lines().map(|line| format!("{kind} {line}")));
        }
        things.extend(programs().into_iter().map(program));
        for place in PLACES {
            things.extend(entries(Path::new(place)).iter().map(|path| file(path)));
        }
        Ground { things }
    }

    /// What is new, and is of one of these names where things have names, or of one of these users' numbers.
    #[must_use]
    pub fn left_behind(&self, names: &BTreeSet<String>, users: &[String]) -> Vec<String> {
        let now = Ground::take();
        let fresh = now.things.difference(&self.things);
        let is_ours = |thing: &&String| match thing.strip_prefix("file ") {
            Some(path) => path
                .rsplit_once('/')
                .is_some_and(|(_, name)| names.contains(name)),
            None => true,
        };
        let mut left: Vec<String> = fresh.filter(is_ours).cloned().collect();
        left.extend(unused_temporary());
        left.extend(stale_locks(users));
        left.extend(key_users(users));
        left
    }
}

fn file(path: &Path) -> String {
    format!("file {}", path.display())
}

fn program(id: u32) -> String {
    format!("bpf program {id}")
}

/// The programs that the kernel has, but for those that some process holds or that are at a group that is there: they go with it.
fn programs() -> Vec<u32> {
    let (mut found, mut last) = (Vec::new(), 0);
    while let Ok(Some(next)) = kernel::bpf::next_program(last) {
        found.push(next);
        last = next;
    }
    if !found.is_empty() {
        let (held, attached) = (held_programs(), attached_programs());
        found.retain(|id| !held.contains(id) && !attached.contains(id));
    }
    found
}

fn held_programs() -> BTreeSet<u32> {
    let infos = entries(Path::new("/proc")).into_iter();
    let infos = infos.flat_map(|process| entries(&process.join("fdinfo")));
    infos
        .filter_map(|info| {
            let text = fs::read_to_string(info).ok()?;
            text.lines()
                .find_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok())
        })
        .collect()
}

fn attached_programs() -> BTreeSet<u32> {
    /// More than there are in `enum bpf_attach_type`; the kernel refuses those that are not of groups.
    const HOOKS_MAX: u32 = 64;
    let (mut ids, mut found) = ([0; kernel::bpf::PROGRAMS_MAX], BTreeSet::new());
    let mut groups = crate::picture::hierarchies();
    while let Some(group) = groups.pop() {
        let folders = entries(&group).into_iter().filter(|path| path.is_dir());
        groups.extend(folders);
        let Ok(group) = fs::File::open(&group) else {
            continue;
        };
        for hook in 0..HOOKS_MAX {
            let count = kernel::bpf::attached(&group, hook, &mut ids).unwrap_or(0);
            found.extend(ids.iter().take(count).copied());
        }
    }
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Private directories of runs that no process has mounted and no process is of: their run is over, whosoever it was.
fn unused_temporary() -> Vec<String> {
    let is_private = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(PRIVATE)
    };
    let found = TEMPORARY.iter().map(Path::new).flat_map(entries);
    let mut found: Vec<PathBuf> = found.filter(is_private).collect();
    if found.is_empty() {
        return Vec::new();
    }
    for process in entries(Path::new("/proc")) {
        let read = |file: &str| {
            let bytes = fs::read(process.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (mounts, variables) = (read("mountinfo"), read("environ"));
        found.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let invocation = name.trim_start_matches(PRIVATE);
            !mounts.contains(&*name) && !variables.contains(invocation)
        });
    }
    found.iter().map(|path| file(path)).collect()
}

/// Files that lock numbers of these users and that nobody has locked: the record of a user that is gone.
fn stale_locks(users: &[String]) -> Vec<String> {
    let paths = LOCKS
        .iter()
        .flat_map(|place| users.iter().map(move |user| Path::new(place).join(user)));
    let is_stale = |path: &PathBuf| {
        let Ok(lock) = fs::File::open(path) else {
            return false;
        };
        flock(&lock, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
    };
    paths.filter(is_stale).map(|path| file(&path)).collect()
}

/// What the kernel counts of the keys of these users.
fn key_users(users: &[String]) -> Vec<String> {
    let text = fs::read_to_string("/proc/key-users").unwrap_or_default();
    let is_one = |line: &&str| {
        let user = line.split(':').next().unwrap_or_default().trim();
        users.iter().any(|one| one == user)
    };
    text.lines()
        .filter(is_one)
        .map(|line| format!("keys of {}", line.trim()))
        .collect()
}

/// The names that units have on the host: their own, and those of the directories that they ask for.
#[must_use]
pub fn names_of(units: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for unit in entries(units) {
        let name = unit.file_name().unwrap_or_default().to_string_lossy();
        names.insert(name.clone().into_owned());
        let text = fs::read_to_string(&unit).unwrap_or_default();
        let values = text.lines().filter_map(|line| line.split_once('='));
        let directories = values.filter(|(key, _)| key.ends_with("Directory"));
        let words = directories.flat_map(|(_, value)| value.split_whitespace());
        let tops = words.filter_map(|word| word.split([':', '/']).next());
        names.extend(tops.filter(|top| !top.is_empty()).map(str::to_owned));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_and_has_a_name_of_ours_is_told_and_what_is_anothers_is_not() {
        crate::require_root();
        let units = tempfile::tempdir().expect("a folder");
        let text = "[Service]\nRuntimeDirectory=ground-ours/deep ground-too:link\nUser=x\n";
        fs::write(units.path().join("ground.service"), text).expect("a unit");
        let names = names_of(units.path());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(names, ["ground-ours", "ground-too", "ground.service"]);
        let names = names.into_iter().map(str::to_owned).collect();
        let before = Ground::take();
        let of_ours = || {
            let mut left = before.left_behind(&names, &[]);
            left.retain(|thing| thing.contains("ground-"));
            left
        };
        let paths = ["/run/ground-ours", "/run/ground-others"].map(Path::new);
        for path in paths {
            fs::create_dir(path).expect("a folder");
        }
        let left = of_ours();
        for path in paths {
            fs::remove_dir(path).expect("it is empty");
        }
        assert_eq!(left, ["file /run/ground-ours"]);
        assert!(of_ours().is_empty());
    }

    #[test]
    fn a_program_that_only_its_pin_keeps_is_told() {
        use kernel::bpf;
        use kernel::rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
        use std::os::unix::ffi::OsStrExt;
        /// `BPF_PROG_TYPE_CGROUP_SKB` at `BPF_CGROUP_INET_EGRESS`, and `r0 = 1; exit`.
        const SOCKET_BUFFERS: u32 = 8;
        const EGRESS: u32 = 1;
        const CODE: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 1, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
        crate::require_root();
        let folder = tempfile::tempdir().expect("a folder");
        mount("bpf", folder.path(), "bpf", MountFlags::empty(), None).expect("it is mounted");
        let pin = folder.path().join("pin");
        let name = std::ffi::CString::new(pin.as_os_str().as_bytes()).expect("a path");
        let program = bpf::load("ground", SOCKET_BUFFERS, EGRESS, &CODE).expect("it is loaded");
        let id = bpf::describe(&program).expect("it is there").id;
        bpf::pin(&program, &name).expect("it is pinned");
        let held = programs().contains(&id);
        drop(program);
        let told = programs().contains(&id);
        fs::remove_file(&pin).expect("it is there");
        unmount(folder.path(), UnmountFlags::empty()).expect("it is mounted");
        assert!(!held && told, "held {held}, told {told}");
        while programs().contains(&id) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_lock_that_nobody_has_is_the_record_of_a_user_that_is_gone() {
        crate::require_root();
        let place = Path::new(LOCKS[1]);
        let is_new = fs::create_dir(place).is_ok();
        // No number of a dynamic user, so nobody else's.
        let path = place.join("4000000000");
        let file = fs::File::create(&path).expect("a file");
        let users = ["4000000000".to_owned()];
        flock(&file, FlockOperation::LockExclusive).expect("it is ours");
        let held = stale_locks(&users);
        drop(file);
        let stale = stale_locks(&users);
        fs::remove_file(&path).expect("it is there");
        if is_new {
            // Another instance may have begun to use it.
            fs::remove_dir(place).ok();
        }
        assert!(held.is_empty(), "{held:?}");
        assert_eq!(stale, [super::file(&path)]);
    }

    #[test]
    fn a_private_directory_of_no_run_is_told() {
        let path = Path::new("/tmp").join(format!("{PRIVATE}0123456789abcdef0123456789abcdef"));
        fs::create_dir(&path).expect("a folder");
        let left = unused_temporary();
        fs::remove_dir(&path).expect("it is empty");
        assert!(left.contains(&file(&path)), "{left:?}");
        assert!(!unused_temporary().contains(&file(&path)));
    }
}
