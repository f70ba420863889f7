//! What is mounted on this host, as the kernel's table tells (proc_pid_mountinfo(5)).

use std::path::Path;
use std::process::Command;

/// The kinds of what is mounted at a place, from below.
///
/// # Panics
/// Without /proc, or when the place is no text.
#[must_use]
pub fn kinds(place: &Path) -> Vec<String> {
    let table = testkit::mount_table();
    let place = place.to_str().expect("plain");
    let at = |line: &&str| line.split(' ').nth(4) == Some(place);
    let kind = |line: &str| {
        let (_, behind) = line.split_once(" - ").expect("a kind");
        behind.split(' ').next().unwrap_or_default().to_owned()
    };
    table.lines().filter(at).map(kind).collect()
}

/// Unmounts all that is mounted at a place, also where a test has failed and somebody is still there.
///
/// # Panics
/// When that can't be, and nothing has failed before.
pub fn clear(place: &Path) {
    for _ in kinds(place) {
        let status = Command::new("umount").arg("-l").arg(place).status();
        assert!(std::thread::panicking() || status.is_ok_and(|status| status.success()));
    }
}
