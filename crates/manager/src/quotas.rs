//! What directories of services hold: whether their file systems count it, and how much it is (StateDirectoryQuota= and its kin).

use crate::entry::Entry;
use crate::manager::Manager;
use kernel::quota::{OURS, abilities, given, project, usage};
use kernel::walk::Place;
use model::escape::unescape_octal;
use model::value::Amount;
use model::{Directive, Key, Resources, Unit, key};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use wire::Storage;

/// The user namespace that the kernel began with, `PROC_USER_INIT_INO`: from all others it takes no quota.
const FIRST_USERS: &str = "user:[4026531837]";

/// A kind of directories that can be counted, by the word for it.
type Kind = (&'static str, &'static Key<Amount>, &'static Key<bool>);

static KINDS: [Kind; 3] = [
    (
        "state",
        &key::STATE_DIRECTORY_QUOTA,
        &key::STATE_DIRECTORY_ACCOUNTING,
    ),
    (
        "cache",
        &key::CACHE_DIRECTORY_QUOTA,
        &key::CACHE_DIRECTORY_ACCOUNTING,
    ),
    (
        "logs",
        &key::LOGS_DIRECTORY_QUOTA,
        &key::LOGS_DIRECTORY_ACCOUNTING,
    ),
];

/// Whether a reduction of this directive is one of a file system's, which may be mounted otherwise by the next start.
pub(crate) fn is_of_quotas(directive: Directive) -> bool {
    let mut kinds = KINDS.iter();
    kinds.any(|(_, quota, counted)| [quota.directive(), counted.directive()].contains(&directive))
}

/// File systems that have quotas of projects. No other is looked at: it may be one that never answers, and the manager waits for nobody.
const KINDS_WITH_QUOTAS: [&[u8]; 4] = [b"ext4", b"xfs", b"f2fs", b"bcachefs"];

/// What keeps a directory at a path, which may not be there yet, from being counted, or from being bounded as well.
pub(crate) fn trouble(path: &str, bounded: bool) -> Option<String> {
    if std::fs::read_link("/proc/self/ns/user").is_ok_and(|own| own != Path::new(FIRST_USERS)) {
        return Some("the kernel takes quotas from the host's own users alone".into());
    }
    let without = || {
        Some(format!(
            "the file system of {path} has no quotas of projects"
        ))
    };
    let mut places = Path::new(path).ancestors();
    let Some((place, directory)) = places.find_map(|place| Some((place, open(place)?))) else {
        return without();
    };
    match abilities(&directory) {
        Ok(able) if able.counts && (able.bounds || !bounded) => {}
        Ok(able) if able.counts => {
            return Some(format!(
                "the file system of {path} counts by project and bounds nothing: mount it with the option prjquota"
            ));
        }
        Err(Errno::NOSYS) => return Some("this kernel has no quotas of projects".into()),
        Ok(_) | Err(_) => return without(),
    }
    let is_there = place == Path::new(path);
    if is_there && matches!(given(&directory), Ok(Some(_))) {
        // It goes back where it was, whatever its owner has put it into since.
        return None;
    }
    match project(&directory) {
        Ok(foreign) if is_there && foreign != 0 && !OURS.contains(&foreign) => Some(format!(
            "{path} is in project {foreign} already, which is somebody else's"
        )),
        Ok(_) => None,
        Err(_) => without(),
    }
}

/// Opens a directory, where it is on a file system that may have quotas.
fn open(path: &Path) -> Option<OwnedFd> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    if !KINDS_WITH_QUOTAS.contains(&file_system(&table, path)?) {
        return None;
    }
    // The root directory has no name in another one.
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    if path == Path::new("/") {
        return rustix::fs::open(path, flags, Mode::empty()).ok();
    }
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let place = Place::find(&path, |_| None).ok()?;
    place.open_with(flags, Mode::empty()).ok()
}

/// The kind of the file system at a path, from the mount table (proc_pid_mountinfo(5)): of mounts on each other, the last is seen.
fn file_system<'a>(table: &'a [u8], path: &Path) -> Option<&'a [u8]> {
    let lines = table.split(|byte| *byte == b'\n');
    let mounts = lines.filter_map(|line| {
        let mut words = line.split(|byte| *byte == b' ');
        let point = unescape_octal(words.nth(4)?);
        let kind = words.skip_while(|word| *word != b"-").nth(1)?;
        path.starts_with(OsStr::from_bytes(&point))
            .then_some((point.len(), kind))
    });
    let last = mounts.max_by_key(|(length, _)| *length)?;
    Some(last.1)
}

/// Takes the limits from directories that are going to be removed.
pub(crate) fn lift(paths: &[String]) -> Result<(), Errno> {
    let mut directories = paths.iter().filter_map(|path| open(Path::new(path)));
    directories.try_for_each(kernel::quota::lift)
}

impl Manager {
    /// What a unit's directories hold, where that is counted.
    pub(crate) fn storage_of(&self, entry: &Entry) -> Vec<Storage> {
        let unit = &entry.unit;
        asked(unit)
            .filter_map(|kind| {
                let which = Resources::read([kind]).ok()?;
                let named =
                    self.in_situation(entry, |situation| plan::directories(unit, situation, which));
                let mut directories = named.iter().filter_map(|one| open(Path::new(one)));
                let used = directories.find_map(|directory| {
                    let ours = given(&directory).ok()??;
                    usage(&directory, ours.number).ok()
                })?;
                Some(Storage {
                    kind: kind.into(),
                    bytes: used.bytes,
                    bytes_max: Some(used.limits.bytes).filter(|most| *most != 0),
                    entries: used.entries,
                    entries_max: Some(used.limits.entries).filter(|most| *most != 0),
                })
            })
            .collect()
    }
}

/// The kinds of a unit's directories that are to be counted.
fn asked(unit: &Unit) -> impl Iterator<Item = &'static str> {
    let counted = KINDS.iter().filter(|(_, quota, counted)| {
        let bounded = unit
            .get(quota)
            .is_some_and(|most| *most != Amount::Infinity);
        bounded || unit.value(counted)
    });
    counted.map(|(kind, ..)| *kind)
}

/// Whether the plan of a unit depends on how the file systems of its directories are mounted.
pub(crate) fn matter(unit: &Unit) -> bool {
    asked(unit).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::file_system;
    use std::path::Path;

    #[test]
    fn the_file_system_of_a_path_is_the_last_mount_above_it() {
        let table = b"1 0 8:1 / / rw shared:1 - ext4 /dev/a rw
2 1 8:2 / /var/lib rw - xfs /dev/b rw
3 1 0:9 / /var/lib/a\\040b rw master:2 propagate_from:1 - nfs4 x:/y rw
4 2 0:9 / /var/lib/web rw - tmpfs none rw
5 2 0:9 / /var/lib/web rw - f2fs /dev/c rw
";
        for (path, kind) in [
            ("/", "ext4"),
            ("/var/lib", "xfs"),
            ("/var/library", "ext4"),
            ("/var/lib/a b/c", "nfs4"),
            ("/var/lib/web/c", "f2fs"),
        ] {
            let found = file_system(table, Path::new(path));
            assert_eq!(found, Some(kind.as_bytes()), "{path}");
        }
    }
}
