//! The very end of a machine: swap areas are given back, file systems unmounted, what can't be is made read-only, and the power switched.

use crate::{file_systems, tell};
use kernel::power::Power;
use model::escape::unescape_octal;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc;
use std::time::Duration;

/// What is not unmounted: all else needs it until the last moment, or it has no medium.
const KEPT: &[&str] = &["/", "/dev", "/proc", "/run", "/sys"];

/// A server that is away, or a disk that was pulled, keeps nobody longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// File systems lie in one another, and on images in one another.
const ROUNDS_MAX: usize = 32;

/// Ends the machine: `arguments` are the number of a [`Power`] and what the firmware is told. Returns only where the machine can't be
/// switched.
pub fn end(arguments: &[std::ffi::OsString]) -> std::io::Error {
    let number = arguments
        .first()
        .and_then(|word| word.to_str()?.parse().ok());
    let Some(power) = number.and_then(Power::from_number) else {
        return std::io::ErrorKind::InvalidInput.into();
    };
    let argument = arguments.get(1).map(|word| word.as_bytes().to_vec());
    let argument = CString::new(argument.unwrap_or_default()).unwrap_or_default();
    // What is mounted in a container is its maker's, and may be the host's.
    if std::process::id() == 1 && kernel::namespace::has_first_processes() {
        // Unmounting writes, too: only what can't be unmounted needs this.
        if in_time(rustix::fs::sync).is_none() {
            tell("what is still to be written takes too long, and may be lost");
        }
        give_back_swaps();
        unmount_all();
    }
    if power == Power::Kexec && !kernel::power::has_next_kernel() {
        tell("no kernel is loaded to go on with, and the machine starts anew");
    }
    kernel::power::switch(power, &argument).into()
}

/// Runs what may hang; none where it did.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (send, receive) = mpsc::channel();
    let started = std::thread::Builder::new().spawn(move || {
        // Nobody waits any more where it took too long.
        send.send(work()).ok();
    });
    started.ok()?;
    receive.recv_timeout(PATIENCE).ok()
}

fn give_back_swaps() {
    let table = std::fs::read("/proc/swaps").unwrap_or_default();
    for place in lines_of(&table, 0).skip(1) {
        let path = CString::new(place.clone()).unwrap_or_default();
        match in_time(move || kernel::mount::swap_off(&path)) {
            Some(Ok(())) => {}
            Some(Err(errno)) => tell(&format!("{} is still a swap area: {errno}", shown(&place))),
            None => tell(&format!(
                "{} takes too long to be given back",
                shown(&place)
            )),
        }
    }
}

/// Round after round, for as long as any helps; then what is left can't be written any more.
fn unmount_all() {
    let mut hanging = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let mut helped = false;
        for place in places().into_iter().rev() {
            if is_kept(&place) || hanging.contains(&place) {
                continue;
            }
            match unmount(&place) {
                Some(done) => helped |= done,
                None => {
                    tell(&format!("{} takes too long to be unmounted", shown(&place)));
                    hanging.insert(place);
                }
            }
        }
        helped |= let_go_of_images();
        if !helped {
            break;
        }
    }
    for place in places().into_iter().rev() {
        let is_left = !is_kept(&place) && !hanging.contains(&place);
        if (place == b"/" || is_left) && !make_read_only(&place) {
            tell(&format!(
                "{} stays mounted, and could be written until the end",
                shown(&place)
            ));
        }
    }
}

/// Whether that worked; none where it took too long.
fn unmount(place: &[u8]) -> Option<bool> {
    let path = CString::new(place).ok()?;
    in_time(move || kernel::mount::unmount(&path, 0).is_ok())
}

fn make_read_only(place: &[u8]) -> bool {
    let Ok(path) = CString::new(place) else {
        return false;
    };
    let done = in_time(move || {
        let flags = rustix::mount::MountFlags::empty();
        let done =
            rustix::mount::mount_remount(&path, flags | rustix::mount::MountFlags::RDONLY, c"");
        done.is_ok() || file_systems::is_read_only(&path)
    });
    done.unwrap_or_default()
}

/// Loop devices that nobody uses any more let go of the files behind them.
fn let_go_of_images() -> bool {
    let devices = std::fs::read_dir("/sys/block")
        .into_iter()
        .flatten()
        .flatten();
    let mut helped = false;
    for name in devices.map(|device| device.file_name()) {
        let in_use = std::path::Path::new("/sys/block")
            .join(&name)
            .join("loop/backing_file");
        if !name.as_bytes().starts_with(b"loop") || !in_use.exists() {
            continue;
        }
        let device = std::fs::File::open(std::path::Path::new("/dev").join(&name));
        helped |= device.is_ok_and(|device| kernel::loop_device::clear(&device).is_ok());
    }
    helped
}

fn is_kept(place: &[u8]) -> bool {
    let below = |kept: &&str| {
        let rest = place.strip_prefix(kept.as_bytes());
        let is_of_kernel = *kept != "/" && *kept != "/run";
        rest.is_some_and(|rest| rest.is_empty() || is_of_kernel && rest.starts_with(b"/"))
    };
    KEPT.iter().any(below)
}

/// Everything that is mounted, in the order of the mounts.
fn places() -> Vec<Vec<u8>> {
    let table = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    lines_of(&table, 4).collect()
}

/// One word of each line of a table of the kernel's, without its escapes.
fn lines_of(table: &[u8], word: usize) -> impl Iterator<Item = Vec<u8>> {
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(move |line| {
        let mut words = line.split(u8::is_ascii_whitespace);
        let found = words.nth(word).filter(|found| !found.is_empty())?;
        Some(unescape_octal(found))
    })
}

fn shown(place: &[u8]) -> String {
    let place = std::ffi::OsString::from_vec(place.to_vec());
    place.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_shows_stays_and_what_lies_on_a_medium_goes() {
        for (place, expected) in [
            ("/", true),
            ("/proc", true),
            ("/proc/sys/fs/binfmt_misc", true),
            ("/sys/fs/cgroup", true),
            ("/dev/shm", true),
            ("/run", true),
            ("/run/user/1000", false),
            ("/srv", false),
            ("/devices", false),
        ] {
            assert_eq!(is_kept(place.as_bytes()), expected, "{place}");
        }
    }

    #[test]
    fn the_tables_words_are_read_without_their_escapes() {
        let table = b"22 1 254:1 / / rw - ext4 /dev/vda1 rw\n30 22 0:40 / /srv/a\\040b rw - tmpfs tmp rw\n\nx\n";
        let places: Vec<_> = lines_of(table, 4).collect();
        assert_eq!(places, [b"/".to_vec(), b"/srv/a b".to_vec()]);
    }

    #[test]
    fn what_hangs_is_given_up() {
        assert_eq!(in_time(|| 7), Some(7));
        assert!(in_time(|| -> () { panic!("gone") }).is_none());
    }

    #[test]
    fn no_number_of_a_power_switches_nothing() {
        for words in [&[][..], &["0"], &["9"], &["off"]] {
            let words: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
            assert_eq!(end(&words).kind(), std::io::ErrorKind::InvalidInput);
        }
    }
}
