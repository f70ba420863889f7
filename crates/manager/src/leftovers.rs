//! What a run leaves in the file system, and what of it goes with the run.

use crate::entry::Entry;
use crate::run::Run;
use model::value::{DirectoryPreserve, ListenAddress};
use model::{Unit, key};
use std::path::{Path, PathBuf};

/// Paths that go when a run ends: the unit's runtime directories, unless it keeps them, and its private /tmp.
pub(crate) fn paths(entry: &Entry, run: &Run) -> Vec<PathBuf> {
    let unit = &entry.unit;
    let mut paths: Vec<PathBuf> = Vec::new();
    if unit.is_set(key::PRIVATE_TMP.directive()) || unit.is_set(key::DYNAMIC_USER.directive()) {
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
    let addresses = [
        &key::LISTEN_STREAM,
        &key::LISTEN_DATAGRAM,
        &key::LISTEN_SEQUENTIAL_PACKET,
    ];
    let listed = addresses
        .into_iter()
        .filter_map(|one| unit.get(one))
        .flat_map(|list| list.iter());
    let sockets = listed.filter_map(|address| match address {
        ListenAddress::Path(path) => Some(PathBuf::from(path)),
        _ => None,
    });
    let links = unit
        .get(&key::SYMLINKS)
        .into_iter()
        .flat_map(|paths| paths.iter())
        .map(PathBuf::from);
    let fifos = unit
        .get(&key::LISTEN_FIFO)
        .into_iter()
        .flat_map(|paths| paths.iter())
        .map(PathBuf::from);
    sockets.chain(fifos).chain(links).collect()
}
