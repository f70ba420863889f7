//! What a run leaves in the file system, and what of it goes with the run.

use crate::entry::Entry;
use kernel::rustix::mount::{UnmountFlags, unmount};
use kernel::walk::Place;
use model::value::{DirectoryPreserve, PrivateTmp};
use model::{Unit, key};
use rustix::fs::{AtFlags, CWD, renameat, unlinkat};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a run has under names that are its own: its private /tmp and /var/tmp, or those of a run that it
/// joined, and the layers of its root.
pub(crate) fn unshared(
    unit: &Unit,
    invocation: &[u8; 16],
    temporary: Option<[u8; 16]>,
) -> impl Iterator<Item = PathBuf> + use<> {
    let has_tmp = unit.value(&key::PRIVATE_TMP) == PrivateTmp::Connected;
    let has_own = unit.value(&key::ROOT_EPHEMERAL) || has_tmp && temporary.is_none();
    let own = has_own.then(|| plan::private_tmp(invocation));
    let joined = temporary.filter(|_| has_tmp);
    let joined = joined.map(|id| plan::private_tmp(&id));
    let paths = own.into_iter().chain(joined);
    paths.flatten().map(PathBuf::from)
}

/// What goes when a run ends: the unit's runtime directories, unless it keeps them. `is_own` says whose a directory is.
pub(crate) fn paths(entry: &Entry, is_own: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let unit = &entry.unit;
    let mut paths = Vec::new();
    let is_last = entry.runs.is_empty();
    if is_last && unit.value(&key::RUNTIME_DIRECTORY_PRESERVE) == DirectoryPreserve::No {
        let all = runtime_directories(unit).into_iter();
        paths.extend(all.filter(|path| is_own(path)));
    }
    paths
}

/// Entries that are removed at once; what has more goes on a thread of its own, as the manager waits for nobody.
const ENTRIES_AT_ONCE: u64 = 4096;
/// How the names of what goes aside begin.
const GONE_PREFIX: &str = ".coracle-gone-";

/// Removes a path with all that is in it; what is gone already is fine. Of much, the name is gone and the rest follows: until then a
/// link in `gone` says where it is.
///
/// # Errors
/// When something of it stays: EBUSY where something is mounted in it, ENOTEMPTY where somebody keeps filling it, EAGAIN where there is no
/// thread to remove the rest, which the next manager tries again and which goes with the instance.
pub(crate) fn remove(path: &Path, gone: &Path) -> Result<(), Errno> {
    let Some(place) = place(path) else {
        return Ok(());
    };
    detach_layers(path)?;
    match kernel::remove::tree_of(&place.parent, place.name(), ENTRIES_AT_ONCE) {
        Err(Errno::DQUOT) => {}
        removed => return removed.map(drop),
    }
    match move_away(path, place, gone)? {
        true => Ok(()),
        false => Err(Errno::AGAIN),
    }
}

/// A unit, what one of its runs has left, and why it stays.
pub(crate) type Stays = (String, PathBuf, Errno);

/// What a run of a unit has left, for a thread to remove.
pub(crate) struct Tree {
    unit: String,
    path: PathBuf,
    /// The link that leads the next manager to it, if it comes to that.
    record: Option<PathBuf>,
}

impl Tree {
    /// Leaves a link in `gone` to it. Where there can't be one, only a manager that ends before the thread does leaves it behind.
    pub(crate) fn note(unit: String, path: PathBuf, gone: &Path) -> Self {
        let name = path.as_os_str().as_bytes();
        let name: Vec<u8> = name
            .iter()
            .map(|byte| if *byte == b'/' { b'-' } else { *byte })
            .collect();
        let record = gone.join(OsStr::from_bytes(&name));
        let link = || rustix::fs::symlink(&path, &record);
        let noted = link().or_else(|errno| match errno {
            Errno::EXIST => Ok(()),
            Errno::NOENT => std::fs::create_dir_all(gone)
                .map_err(|_| Errno::NOENT)
                .and_then(|()| link()),
            errno => Err(errno),
        });
        let record = noted.is_ok().then_some(record);
        Self { unit, path, record }
    }
}

/// Removes them, and the links that lead to what is gone. Answers what stays.
pub(crate) fn remove_all(trees: Vec<Tree>, gone: &Path) -> Vec<Stays> {
    let mut stays = Vec::new();
    for Tree { unit, path, record } in trees {
        match (remove(&path, gone), record) {
            (Ok(()), Some(record)) => match rustix::fs::unlink(&record) {
                // What it leads to is gone, so whoever follows it finds nothing to do.
                Ok(()) | Err(_) => {}
            },
            (Ok(()), None) => {}
            (Err(errno), _) => stays.push((unit, path, errno)),
        }
    }
    stays
}

/// Unmounts the layers of a root that a run could change.
fn detach_layers(path: &Path) -> Result<(), Errno> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    if !name.starts_with(plan::frame::PRIVATE_PREFIX) {
        return Ok(());
    }
    let layers = path.join(OsStr::from_bytes(plan::frame::LAYERS.to_bytes()));
    let Some(mounted) = place(&layers).and_then(|place| place.open().ok()) else {
        return Ok(());
    };
    let descriptor = format!("/proc/self/fd/{}", mounted.as_raw_fd());
    match unmount(descriptor, UnmountFlags::DETACH) {
        // Nothing is mounted there.
        Ok(()) | Err(Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Gives a directory a name that nobody knows, next to what is everybody's, and has it removed from there. False: nobody removes it yet.
fn move_away(path: &Path, place: Place, gone: &Path) -> Result<bool, Errno> {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let name = format!("{GONE_PREFIX}{:032x}", u128::from_ne_bytes(random));
    if path.starts_with("/run") {
        let moved = Path::new("/run").join(&name);
        let rename = || renameat(&place.parent, place.name(), CWD, &moved);
        if let Ok(record) = move_noted(&moved, gone, rename) {
            return Ok(remove_aside(record));
        }
    }
    // What is in /run may be another file system.
    let moved = path.with_file_name(&name);
    let rename = || renameat(&place.parent, place.name(), &place.parent, &name);
    match move_noted(&moved, gone, rename) {
        Ok(record) => Ok(remove_aside(record)),
        Err(_) => {
            // Nobody after us will know of it, but whoever comes next has the name for himself.
            rename()?;
            let name = CString::new(name).map_err(|_| Errno::INVAL)?;
            Ok(kernel::remove::aside(place.parent, name, || {}))
        }
    }
}

/// Leaves a link in `gone` to where something is moved, and moves it. Answers the link.
fn move_noted(
    moved: &Path,
    gone: &Path,
    rename: impl Fn() -> Result<(), Errno>,
) -> std::io::Result<PathBuf> {
    let record = gone.join(moved.file_name().unwrap_or_default());
    std::fs::create_dir_all(gone)?;
    std::os::unix::fs::symlink(moved, &record)?;
    if let Err(errno) = rename() {
        std::fs::remove_file(&record)?;
        return Err(errno.into());
    }
    Ok(record)
}

/// Removes what a link in `gone` leads to, and then the link. False: there is no thread for it, and both stay.
fn remove_aside(record: PathBuf) -> bool {
    let moved = std::fs::read_link(&record).unwrap_or_default();
    let Some(place) = place(&moved) else {
        return true;
    };
    let name = place.name().to_owned();
    kernel::remove::aside(place.parent, name, move || {
        match std::fs::remove_file(&record) {
            // What it leads to is gone, so whoever follows it finds nothing to do.
            Ok(()) | Err(_) => {}
        }
    })
}

/// What a manager before this one did not come to. What there is no thread for stays until the end of the instance.
pub(crate) fn go_on(gone: &Path) {
    for record in records(gone) {
        let moved = std::fs::read_link(&record).unwrap_or_default();
        // What has something mounted in it stays, with its link, and is told of at the end.
        if detach_layers(&moved).is_ok() && !remove_aside(record) {
            return;
        }
    }
}

/// The same at the end of the instance, when nobody is held up any more. Answers what stays, and why.
pub(crate) fn finish(gone: &Path) -> Vec<(PathBuf, Errno)> {
    let mut stays = Vec::new();
    for record in records(gone) {
        let moved = std::fs::read_link(&record).unwrap_or_default();
        let Some(place) = place(&moved) else {
            continue;
        };
        let removed = detach_layers(&moved)
            .and_then(|()| kernel::remove::tree(&place.parent, place.name()).map(drop));
        if let Err(errno) = removed {
            stays.push((moved, errno));
        }
    }
    stays
}

fn records(gone: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(gone).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Removes a file that is no directory; what is gone already is fine.
///
/// # Errors
/// The kernel's, when it stays.
pub(crate) fn remove_file(path: &Path) -> Result<(), Errno> {
    let Some(place) = place(path) else {
        return Ok(());
    };
    match unlinkat(&place.parent, place.name(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Services own directories on the way to what they leave, so their links are not followed.
fn place(path: &Path) -> Option<Place> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    Place::find(&path, |_| None).ok()
}

/// The directory on which each process of the unit has its credentials mounted, where nobody else sees them; empty on the host.
pub(crate) fn credentials_mount_point(entry: &Entry, root: &Path) -> Option<PathBuf> {
    let unit = &entry.unit;
    let has_credentials = plan::has_credentials(unit);
    let is_last = entry.runs.is_empty();
    (has_credentials && is_last).then(|| root.join(unit.name().as_str()))
}

/// The directory that only root enters goes with the last of those in it.
pub(crate) const PRIVATE_RUNTIME: &str = "/run/private";

fn runtime_directories(unit: &Unit) -> Vec<PathBuf> {
    let root = Path::new("/run");
    let specs = unit
        .get(&key::RUNTIME_DIRECTORY)
        .into_iter()
        .flat_map(|list| list.iter());
    specs
        .flat_map(|spec| {
            let link = spec.symlink.as_ref().map(|link| root.join(link));
            [root.join(&spec.path), root.join("private").join(&spec.path)]
                .into_iter()
                .chain(link)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test's own files.

    use super::*;
    use kernel::rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

    #[test]
    fn a_link_that_a_service_left_is_removed_and_never_followed() {
        let folder = tempfile::tempdir_in("/var").unwrap();
        let (host, own) = (folder.path().join("host"), folder.path().join("own"));
        let gone = folder.path().join("gone");
        std::fs::create_dir_all(host.join("precious")).unwrap();
        std::fs::create_dir(&own).unwrap();
        std::os::unix::fs::chown(&own, Some(61_234), None).unwrap();
        std::os::unix::fs::symlink(&host, own.join("trap")).unwrap();
        remove(&own.join("trap/precious"), &gone).unwrap();
        remove_file(&own.join("trap/precious")).unwrap();
        assert!(host.join("precious").exists());
        remove(&own.join("trap"), &gone).unwrap();
        assert!(!own.join("trap").exists() && host.join("precious").exists());
        // The administrator's link leads where it leads.
        std::os::unix::fs::symlink(&host, folder.path().join("link")).unwrap();
        remove(&folder.path().join("link/precious"), &gone).unwrap();
        assert!(!host.join("precious").exists());
    }

    #[test]
    fn of_much_the_name_is_gone_at_once_and_what_a_manager_left_goes_with_the_next() {
        let folder = tempfile::tempdir_in("/var").unwrap();
        let (path, gone) = (folder.path().join("much"), folder.path().join("gone"));
        let fill = |path: &Path| {
            std::fs::create_dir(path).unwrap();
            for number in 0..3 * ENTRIES_AT_ONCE {
                std::fs::write(path.join(number.to_string()), "").unwrap();
            }
        };
        fill(&path);
        remove(&path, &gone).unwrap();
        assert!(!path.exists());
        assert_eq!(finish(&gone), []);
        std::fs::remove_dir_all(&gone).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // As if the manager had ended in between.
        let left = folder.path().join(format!("{GONE_PREFIX}1"));
        fill(&left);
        std::fs::create_dir(&gone).unwrap();
        std::os::unix::fs::symlink(&left, gone.join("1")).unwrap();
        go_on(&gone);
        assert_eq!(finish(&gone), []);
        std::fs::remove_dir_all(&gone).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_thread_did_not_come_to_is_for_the_next_manager() {
        let folder = tempfile::tempdir_in("/var").unwrap();
        let gone = folder.path().join("gone");
        let trees = || {
            let all = ["one", "two"].map(|name| folder.path().join(name).join("tmp"));
            all.map(|path| {
                std::fs::create_dir_all(path.join("deep")).unwrap();
                Tree::note("a.service".into(), path, &gone)
            })
        };
        let left = || {
            let paths = ["one/tmp", "two/tmp"].map(|path| folder.path().join(path));
            paths.iter().filter(|path| path.exists()).count()
        };
        let links = || std::fs::read_dir(&gone).unwrap().count();
        drop(trees());
        assert_eq!((left(), links()), (2, 2));
        assert_eq!(finish(&gone), []);
        assert_eq!(left(), 0);
        // Where a link is there already it leads to the same.
        let all = trees();
        assert_eq!((left(), links()), (2, 2));
        assert_eq!(remove_all(Vec::from(all), &gone), []);
        assert_eq!((left(), links()), (0, 0));
    }

    #[test]
    fn of_much_that_can_not_be_noted_the_name_is_gone_at_once_too() {
        let folder = tempfile::tempdir_in("/var").unwrap();
        let path = folder.path().join("much");
        let no_folder = folder.path().join("file");
        std::fs::write(&no_folder, "").unwrap();
        std::fs::create_dir(&path).unwrap();
        for number in 0..3 * ENTRIES_AT_ONCE {
            std::fs::write(path.join(number.to_string()), "").unwrap();
        }
        remove(&path, &no_folder.join("gone")).unwrap();
        assert!(!path.exists());
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::fs::read_dir(folder.path()).unwrap().count() > 1 {
            assert!(std::time::Instant::now() < until, "the rest stays");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_mounted_layers_of_a_root_go_with_what_a_dead_manager_left() {
        // Only a thread of its own sees what is mounted there.
        std::thread::scope(|scope| scope.spawn(leave_layers).join().unwrap());
    }

    fn leave_layers() {
        let folder = tempfile::tempdir_in("/var").unwrap();
        let gone = folder.path().join("gone");
        mount_privately();
        for end in [
            |gone: &Path| go_on(gone),
            |gone: &Path| {
                assert_eq!(finish(gone), []);
            },
        ] {
            let name = [plan::frame::PRIVATE_PREFIX, b"1"].concat();
            let path = folder.path().join(OsStr::from_bytes(&name));
            let layers = path.join(OsStr::from_bytes(plan::frame::LAYERS.to_bytes()));
            std::fs::create_dir_all(&layers).unwrap();
            mount("tmpfs", &layers, "tmpfs", MountFlags::empty(), None).unwrap();
            std::fs::write(layers.join("file"), "").unwrap();
            drop(Tree::note("a.service".into(), path.clone(), &gone));
            end(&gone);
            let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while path.exists() {
                assert!(std::time::Instant::now() < until, "it stays");
                std::thread::yield_now();
            }
        }
    }

    fn mount_privately() {
        kernel::namespace::unshare(kernel::namespace::MOUNT).unwrap();
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).unwrap();
    }

    #[test]
    fn what_stays_is_told_with_the_reason() {
        // Only a thread of its own sees what is mounted there.
        std::thread::scope(|scope| scope.spawn(leave_something).join().unwrap());
    }

    fn leave_something() {
        let folder = tempfile::tempdir_in("/var").unwrap();
        let (path, gone) = (folder.path().join("busy"), folder.path().join("gone"));
        std::fs::create_dir_all(path.join("mount")).unwrap();
        mount_privately();
        mount(
            "tmpfs",
            path.join("mount"),
            "tmpfs",
            MountFlags::empty(),
            None,
        )
        .unwrap();
        assert!(matches!(
            remove(&path, &gone),
            Err(Errno::BUSY | Errno::XDEV)
        ));
        std::fs::create_dir(&gone).unwrap();
        std::os::unix::fs::symlink(&path, gone.join("1")).unwrap();
        let stays = finish(&gone);
        assert!(
            matches!(stays.as_slice(), [(one, Errno::BUSY | Errno::XDEV)] if *one == path),
            "{stays:?}"
        );
        assert_eq!(remove_file(&path.join("nothing")), Ok(()));
        assert_eq!(remove_file(&path), Err(Errno::ISDIR));
        unmount(path.join("mount"), UnmountFlags::empty()).unwrap();
    }
}
