//! The namespaces of an instance's processes, which nobody holds any more when it has ended.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Namespaces that an instance's processes were in or held by a descriptor, as the kernel's links say them: `net:[4026532000]`.
#[derive(Debug)]
pub struct Namespaces(BTreeSet<String>);

/// The same when the instance has ended. The kernel gives numbers again, so who came later has another namespace.
#[derive(Debug)]
pub struct Ended {
    namespaces: BTreeSet<String>,
    /// Ticks of the kernel's clock since the boot.
    at: u64,
}

impl Namespaces {
    /// Looks at the processes that name the folder or are in the group, and leaves out what is the machine's own.
    #[must_use]
    pub fn of(folder: &Path, group: Option<&str>) -> Namespaces {
        let folder = folder.to_string_lossy();
        let is_own = |process: &PathBuf| {
            let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
            let words = String::from_utf8_lossy(&read("cmdline")).into_owned();
            let groups = String::from_utf8_lossy(&read("cgroup")).into_owned();
            let is_in_group = group.is_some_and(|group| groups.contains(group));
            words.contains(&*folder) || is_in_group
        };
        let machine = of_process(Path::new("/proc/self"));
        let own = processes().into_iter().filter(is_own);
        let mut found: BTreeSet<String> = own.flat_map(|process| of_process(&process)).collect();
        found.retain(|namespace| !machine.contains(namespace));
        Namespaces(found)
    }

    /// The instance has ended.
    #[must_use]
    pub fn ended(self) -> Ended {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let seconds = uptime.split(' ').next().and_then(|text| text.parse().ok());
        /// USER_HZ of every architecture that we know.
        const TICKS_PER_SECOND: f64 = 100.0;
        let ticks: f64 = seconds.unwrap_or(0.0) * TICKS_PER_SECOND;
        Ended {
            namespaces: self.0,
            // 0.29 s is a little less than 29 ticks in binary.
            at: ticks.round() as u64,
        }
    }
}

impl Ended {
    /// Who has one of them still. What is in another instance's group is that one's.
    #[must_use]
    pub fn held(&self) -> Vec<String> {
        let mut held = Vec::new();
        if self.namespaces.is_empty() {
            return held;
        }
        for process in processes() {
            let groups = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
            if groups.contains("/coracle") || began(&process).is_none_or(|began| began >= self.at) {
                continue;
            }
            let own = of_process(&process);
            let own = own.intersection(&self.namespaces);
            held.extend(own.map(|one| format!("namespace {one} of {}", process.display())));
        }
        held
    }
}

fn processes() -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries
        .filter(|entry| is_number(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect()
}

/// What it is in, and what it holds.
fn of_process(process: &Path) -> BTreeSet<String> {
    let links = ["ns", "fd"].map(|folder| fs::read_dir(process.join(folder)));
    let links = links.into_iter().flatten().flatten().flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    let targets = targets.map(|target| target.to_string_lossy().into_owned());
    targets
        .filter(|target| {
            let kind = target.split(":[").next().unwrap_or_default();
            matches!(
                kind,
                "net" | "mnt" | "ipc" | "uts" | "pid" | "user" | "cgroup"
            )
        })
        .collect()
}

/// When a process began, in ticks since the boot: the 22nd field of proc_pid_stat(5), behind the name, which may have any character.
fn began(process: &Path) -> Option<u64> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_network_that_only_a_process_has_is_seen_as_long_as_it_lives() {
        crate::require_root();
        let folder = tempfile::tempdir().expect("a folder");
        let mut process = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "read line"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        let own = loop {
            let own = Namespaces::of(folder.path(), None);
            if own.0.iter().any(|one| one.starts_with("net:")) {
                break own;
            }
            assert!(process.try_wait().expect("its state").is_none());
        };
        let mut ended = own.ended();
        ended.at += 1;
        assert_eq!(ended.held().len(), 1, "{:?}", ended.held());
        process.kill().expect("it is there");
        process.wait().expect("its end");
        assert_eq!(ended.held(), Vec::<String>::new());
    }
}
