//! A picture of what a test could leave behind, taken before and after it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names of everything that outlives a process, and of the processes that belong to one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    things: BTreeSet<String>,
}

impl Picture {
    /// Looks at mounts, loop devices, cgroups, network namespaces, IPC objects, users, and the files below `roots`.
    #[must_use]
    pub fn take(roots: &[&Path]) -> Picture {
        let mut things = BTreeSet::new();
        mounts(&mut things);
        loops(&mut things);
        for (kind, folder) in [
            ("cgroup", "/sys/fs/cgroup/unified"),
            ("netns", "/run/netns"),
        ] {
            files(kind, Path::new(folder), true, &mut things);
        }
        for table in ["shm", "msg", "sem"] {
            lines(table, &format!("/proc/sysvipc/{table}"), &mut things);
        }
        lines("user", "/etc/passwd", &mut things);
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

fn lines(kind: &str, path: &str, things: &mut BTreeSet<String>) {
    let text = fs::read_to_string(path).unwrap_or_default();
    things.extend(text.lines().map(|line| format!("{kind} {line}")));
}

/// Mount points with their file systems; numbers that differ from look to look are left out.
fn mounts(things: &mut BTreeSet<String>) {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
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
