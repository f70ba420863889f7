//! What a run leaves in the file system, and what of it goes with the run.

use crate::entry::Entry;
use crate::run::Run;
use kernel::walk::Place;
use model::value::{DirectoryPreserve, PrivateTmp};
use model::{Unit, key};
use rustix::fs::{AtFlags, unlinkat};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What goes when a run ends: the unit's runtime directories, unless it keeps them, and its private /tmp.
pub(crate) fn paths(entry: &Entry, run: &Run) -> Vec<PathBuf> {
    let unit = &entry.unit;
    let mut paths = Vec::new();
    if unit.value(&key::PRIVATE_TMP) == PrivateTmp::Connected {
        paths.extend(
            plan::private_tmp(&run.invocation)
                .into_iter()
                .map(PathBuf::from),
        );
    }
    let is_last = entry.runs.is_empty();
    if is_last && unit.value(&key::RUNTIME_DIRECTORY_PRESERVE) == DirectoryPreserve::No {
        paths.extend(runtime_directories(unit));
    }
    paths
}

/// Removes a path with all that is in it; what is gone already is fine.
pub(crate) fn remove(path: &Path) {
    if let Some(place) = place(path) {
        match kernel::remove::tree(&place.parent, place.name()) {
            Ok(_) | Err(_) => {}
        }
    }
}

/// Removes a file that is no directory.
pub(crate) fn remove_file(path: &Path) {
    if let Some(place) = place(path) {
        match unlinkat(&place.parent, place.name(), AtFlags::empty()) {
            Ok(()) | Err(_) => {}
        }
    }
}

/// Services own directories on the way to what they leave, so their links are not followed.
fn place(path: &Path) -> Option<Place> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    Place::find(&path, |_| None).ok()
}

/// The directory on which each process of the unit has its credentials mounted, where nobody else sees them; empty on the host.
pub(crate) fn credentials_mount_point(entry: &Entry) -> Option<PathBuf> {
    let unit = &entry.unit;
    let has_credentials =
        unit.get(&key::LOAD_CREDENTIAL).is_some() || unit.get(&key::SET_CREDENTIAL).is_some();
    let is_last = entry.runs.is_empty();
    (has_credentials && is_last).then(|| Path::new("/run/credentials").join(unit.name().as_str()))
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

/// The files of a socket unit's sockets.
pub(crate) fn socket_files(unit: &Unit) -> Vec<PathBuf> {
    let listens = unit.listens();
    let files = listens.iter().filter_map(model::Listen::file);
    let links = unit
        .get(&key::SYMLINKS)
        .into_iter()
        .flat_map(|paths| paths.iter())
        .map(PathBuf::from);
    files.map(PathBuf::from).chain(links).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test's own files.

    use super::*;

    #[test]
    fn a_link_that_a_service_left_is_removed_and_never_followed() {
        let folder = tempfile::tempdir_in("/var").unwrap();
        let (host, own) = (folder.path().join("host"), folder.path().join("own"));
        std::fs::create_dir_all(host.join("precious")).unwrap();
        std::fs::create_dir(&own).unwrap();
        std::os::unix::fs::chown(&own, Some(61_234), None).unwrap();
        std::os::unix::fs::symlink(&host, own.join("trap")).unwrap();
        remove(&own.join("trap/precious"));
        remove_file(&own.join("trap/precious"));
        assert!(host.join("precious").exists());
        remove(&own.join("trap"));
        assert!(!own.join("trap").exists() && host.join("precious").exists());
        // The administrator's link leads where it leads.
        std::os::unix::fs::symlink(&host, folder.path().join("link")).unwrap();
        remove(&folder.path().join("link/precious"));
        assert!(!host.join("precious").exists());
    }
}
