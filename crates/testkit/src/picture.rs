//! A picture of what a test could leave behind, taken before and after it; and what belongs to one instance of all that a machine has.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Names of everything that outlives a process, and of the processes that belong to one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    things: BTreeSet<String>,
}

impl Picture {
    /// Looks at mounts, loop devices, cgroups, network namespaces with a name, IPC objects of both kinds, pinned BPF objects, users, groups,
    /// and the files below `roots`.
    #[must_use]
    pub fn take(roots: &[&Path]) -> Picture {
        let mut things = BTreeSet::new();
        mounts(&mut things);
        loops(&mut things);
        for folder in hierarchies() {
            files("cgroup", &folder, true, &mut things);
        }
        for (kind, folder) in [
            ("netns", "/run/netns"),
            ("posix", "/dev/shm"),
            ("mqueue", "/dev/mqueue"),
            ("bpf", "/sys/fs/bpf"),
        ] {
            files(kind, Path::new(folder), false, &mut things);
        }
        for table in ["shm", "msg", "sem"] {
            lines(table, &format!("/proc/sysvipc/{table}"), &mut things);
        }
        lines("user", "/etc/passwd", &mut things);
        lines("group", "/etc/group", &mut things);
        for root in roots {
            files("file", root, false, &mut things);
        }
        Picture { things }
    }

    /// What `later` has that this picture has not; empty when nothing was left behind.
    #[must_use]
    pub fn left_behind(&self, later: &Picture) -> Vec<String> {
        later.things.difference(&self.things).cloned().collect()
    }

    /// Those that name this path: what one test has of a machine that others use at the same time.
    #[must_use]
    pub fn naming(&self, path: &Path) -> Vec<String> {
        let path = path.display().to_string();
        let named = self.things.iter().filter(|thing| thing.contains(&path));
        named.cloned().collect()
    }

    /// What this picture has that `later` has not.
    #[must_use]
    pub fn missing_in(&self, later: &Picture) -> Vec<String> {
        self.things.difference(&later.things).cloned().collect()
    }
}

/// What the machine has now of an instance: what names its folder or is in its control group, and what belongs to users that nobody else
/// has. Tests run side by side, so nothing else can be judged.
#[must_use]
pub fn belongings(folder: &Path, group: Option<&str>, users: &[String]) -> Vec<String> {
    let mut things = BTreeSet::new();
    mounts(&mut things);
    loops(&mut things);
    lines("socket", "/proc/net/unix", &mut things);
    things.retain(|thing| thing.contains(&*folder.to_string_lossy()));
    if let Some(group) = group {
        let own = hierarchies()
            .into_iter()
            .map(|top| top.join(group.trim_start_matches('/')));
        things.extend(
            own.filter(|group| group.exists())
                .map(|group| format!("cgroup {}", group.display())),
        );
    }
    processes(folder, group, &mut things);
    owned(users, &mut things);
    things.into_iter().collect()
}

/// Processes that name the folder, or are in the group; with them go their namespaces.
fn processes(folder: &Path, group: Option<&str>, things: &mut BTreeSet<String>) {
    let folder = folder.to_string_lossy();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) || name == std::process::id().to_string()
        {
            continue;
        }
        let read = |file: &str| {
            let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let is_in_group = group.is_some_and(|group| {
            let lines = read("cgroup");
            let mut paths = lines.lines().filter_map(|line| line.splitn(3, ':').nth(2));
            paths.any(|path| path == group || path.starts_with(&format!("{group}/")))
        });
        let links = ["cwd", "root", "exe"]
            .map(|link| fs::read_link(entry.path().join(link)).unwrap_or_default());
        let words = read("cmdline");
        let names_it = words.contains(&*folder)
            || read("environ").contains(&*folder)
            || links
                .iter()
                .any(|link| link.to_string_lossy().contains(&*folder));
        if is_in_group || names_it {
            let words = if words.is_empty() {
                read("comm")
            } else {
                words
            };
            things.insert(format!("process {name} {}", words.trim()));
        }
    }
}

/// IPC objects and keys of these users: the column of the owner is another one in each table.
fn owned(users: &[String], things: &mut BTreeSet<String>) {
    let tables = [
        ("shm", "/proc/sysvipc/shm", 7),
        ("msg", "/proc/sysvipc/msg", 7),
        ("sem", "/proc/sysvipc/sem", 4),
        ("key", "/proc/keys", 5),
    ];
    for (kind, path, column) in tables {
        let text = fs::read_to_string(path).unwrap_or_default();
        let is_owned = |line: &&str| {
            let owner = line.split_whitespace().nth(column);
            owner.is_some_and(|owner| users.iter().any(|user| user == owner))
        };
        things.extend(
            text.lines()
                .filter(is_owned)
                .map(|line| format!("{kind} {line}")),
        );
    }
    for folder in ["/dev/shm", "/dev/mqueue"] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let owner = entry.metadata().map(|metadata| metadata.uid().to_string());
            if owner.is_ok_and(|owner| users.contains(&owner)) {
                things.insert(format!("posix {}", entry.path().display()));
            }
        }
    }
}

/// What is mounted, as the kernel tells it to this process. A name that is no text is shown as well as it can be: one of another
/// test's must not hide the rest.
///
/// # Panics
/// Without /proc.
#[must_use]
pub fn mount_table() -> String {
    let table = fs::read("/proc/self/mountinfo").expect("the mount table");
    String::from_utf8_lossy(&table).into_owned()
}

/// Where the hierarchies of control groups are mounted, of both versions.
pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let text = mount_table();
    let groups = text
        .lines()
        .filter(|line| line.contains(" - cgroup2 ") || line.contains(" - cgroup "));
    groups
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .collect()
}

fn lines(kind: &str, path: &str, things: &mut BTreeSet<String>) {
    let text = fs::read_to_string(path).unwrap_or_default();
    things.extend(text.lines().map(|line| format!("{kind} {line}")));
}

/// Mount points with their file systems; numbers that differ from look to look are left out.
fn mounts(things: &mut BTreeSet<String>) {
    let text = mount_table();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let kind = line.split(" - ").nth(1).unwrap_or("");
        things.insert(format!("mount {} {kind}", fields.get(4).unwrap_or(&"")));
    }
}

/// Loop devices that have a file behind them.
fn loops(things: &mut BTreeSet<String>) {
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        if let Ok(file) = fs::read_to_string(entry.path().join("loop/backing_file")) {
            things.insert(format!(
                "loop {} {}",
                entry.file_name().display(),
                file.trim()
            ));
        }
    }
}

fn files(kind: &str, folder: &Path, folders_only: bool, things: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder || !folders_only {
            things.insert(format!("{kind} {}", entry.path().display()));
        }
        if is_folder {
            files(kind, &entry.path(), folders_only, things);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_names_the_folder_is_seen_until_it_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let seen = || belongings(folder.path(), None, &[]);
        assert!(seen().is_empty());
        let mut process = Command::new("sleep")
            .arg("1000")
            .env("OF", folder.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("a process");
        while seen().is_empty() {
            std::thread::yield_now();
        }
        assert!(seen()[0].ends_with("sleep 1000"), "{:?}", seen());
        process.kill().expect("it is there");
        process.wait().expect("its end");
        assert!(seen().is_empty());
        let socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket"));
        let socket = socket.expect("a socket");
        assert!(seen()[0].starts_with("socket "), "{:?}", seen());
        drop(socket);
        assert!(seen().is_empty());
    }
}
