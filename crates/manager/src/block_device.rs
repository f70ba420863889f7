//! The numbers of the disk behind a device node or a place in a file system, without a call that could wait for a disk or a server.

use std::io;
use std::path::{Path, PathBuf};

/// Bytes of the list of mounts.
const MOUNTS_BYTES_MAX: u64 = 16 << 20;

/// `MAJOR:MINOR` of the whole disk.
///
/// # Errors
/// There is no such device, or the place is on none.
pub(crate) fn numbers(place: &str) -> io::Result<String> {
    let (major, minor) = match place.starts_with("/dev/") {
        true => of_node(place)?,
        false => of_mount(place)?,
    };
    if major == 0 {
        return Err(io::Error::other(format!("{place} is on no block device")));
    }
    Ok(whole_disk(&format!("{major}:{minor}")))
}

/// Nodes are in memory.
fn of_node(place: &str) -> io::Result<(u32, u32)> {
    let found = rustix::fs::stat(place)?;
    let kind = rustix::fs::FileType::from_raw_mode(found.st_mode);
    if kind != rustix::fs::FileType::BlockDevice {
        return Err(io::Error::other(format!("{place} is no block device")));
    }
    Ok((
        rustix::fs::major(found.st_rdev),
        rustix::fs::minor(found.st_rdev),
    ))
}

/// The device of the innermost mount that the place is in, taken as it is written: links are not followed.
fn of_mount(place: &str) -> io::Result<(u32, u32)> {
    let mounts = crate::beginning::text("/proc/self/mountinfo", MOUNTS_BYTES_MAX)?;
    let found = mounts.lines().filter_map(|line| mount_of(line, place));
    let innermost = found.max_by_key(|(depth, _)| *depth);
    let numbers = innermost.map(|(_, numbers)| numbers);
    numbers.ok_or_else(|| io::Error::other(format!("{place} is on no block device")))
}

/// How deep a mount is, and its device, where the place is in it (proc_pid_mountinfo(5)). Of several at one place the last counts.
fn mount_of(line: &str, place: &str) -> Option<(usize, (u32, u32))> {
    let mut words = line.split(' ').skip(2);
    let (major, minor) = words.next()?.split_once(':')?;
    let point = unescaped(words.nth(1)?);
    let is_in = Path::new(place).starts_with(&point);
    let numbers = (major.parse().ok()?, minor.parse().ok()?);
    is_in.then(|| (point.components().count(), numbers))
}

/// Blanks, tabs, line ends and backslashes are written as octal numbers.
fn unescaped(text: &str) -> PathBuf {
    let mut done = text.to_owned();
    for (written, meant) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        done = done.replace(written, meant);
    }
    done.into()
}

/// A partition's disk: limits are for whole disks.
fn whole_disk(numbers: &str) -> String {
    let device = Path::new("/sys/dev/block").join(numbers);
    if !device.join("partition").exists() {
        return numbers.to_owned();
    }
    let disk = std::fs::canonicalize(&device).ok();
    let disk = disk.and_then(|disk| crate::beginning::text(disk.parent()?.join("dev"), 64).ok());
    disk.map_or_else(|| numbers.to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_on_the_device_of_the_innermost_mount() {
        let lines = [
            "22 1 254:1 / / rw - ext4 /dev/vda1 rw",
            "30 22 254:16 / /srv rw shared:1 - ext4 /dev/vdb rw",
            "31 30 0:40 / /srv/a\\040b rw - tmpfs tmpfs rw",
        ];
        for (place, expected) in [
            ("/home", (254, 1)),
            ("/srv/x", (254, 16)),
            ("/srv/a b/c", (0, 40)),
            ("/srvx", (254, 1)),
        ] {
            let found = lines.iter().filter_map(|line| mount_of(line, place));
            let found = found
                .max_by_key(|(depth, _)| *depth)
                .map(|(_, numbers)| numbers);
            assert_eq!(found, Some(expected), "{place}");
        }
    }

    #[test]
    fn what_is_no_block_device_has_no_numbers() {
        assert!(numbers("/dev/null").is_err());
        assert!(numbers("/proc/self").is_err());
        assert!(numbers("/dev/there-is-none").is_err());
    }
}
