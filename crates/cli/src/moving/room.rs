//! Whether there is room for what comes in, before any of it is written.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image::parcel::Contents;

use super::manifest::{Kind, Manifest};
use super::places;
use crate::context::Context;
use crate::failure::hint;
use crate::terminal::size;

/// What is needed on file systems, by the places that it is needed at.
#[derive(Debug, Default)]
struct Needs(BTreeMap<u64, (PathBuf, u64)>);

impl Needs {
    /// Adds bytes for a place that may not be there yet.
    fn add(&mut self, place: &Path, bytes: u64) -> Result<()> {
        let (place, device) = there(place)?;
        let need = self.0.entry(device).or_insert((place, 0));
        need.1 = need.1.saturating_add(bytes);
        Ok(())
    }

    fn check(&self, free: impl Fn(&Path) -> Result<u64>) -> Result<()> {
        for (place, needed) in self.0.values() {
            let free = free(place)?;
            if *needed > free {
                return Err(hint(
                    format!(
                        "there is no room for it at {}: {needed} bytes ({}) are needed, and {free} bytes ({}) are free",
                        place.display(),
                        size(*needed),
                        size(free)
                    ),
                    "nothing was written; make room there, and say it again",
                ));
            }
        }
        Ok(())
    }
}

/// The nearest directory that is there, and its file system.
fn there(place: &Path) -> Result<(PathBuf, u64)> {
    for way in place.ancestors() {
        match way.metadata() {
            Ok(found) => return Ok((way.to_owned(), found.dev())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot look for room at {}", way.display()));
            }
        }
    }
    anyhow::bail!("there is no root")
}

/// Bytes that are free, without those that are kept for root.
fn free(place: &Path) -> Result<u64> {
    let found = rustix::fs::statvfs(place);
    let found = found.with_context(|| format!("cannot look for room at {}", place.display()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Refuses what there is no room for. What comes out of an archive lies in the state directory until it is in its places, an image as long as it
/// is copied into the store, and what a portable has stored is written beside what is there.
///
/// # Errors
/// When there is too little.
pub(crate) fn check(
    context: &Context,
    (contents, manifest): (&Contents, &Manifest),
    wanted: Kind,
    is_pool_written: bool,
) -> Result<()> {
    let trees = manifest.directories.iter().map(|directory| {
        let room = contents.trees_room.get(&directory.tree);
        (directory.path.as_str(), room.copied().unwrap_or_default())
    });
    let mut needs = Needs::default();
    for (public, room) in trees {
        // Others are refused when they are written.
        if let Some(base) = places::real(public, false).and_then(|real| places::base(&real)) {
            needs.add(&base, room)?;
        }
    }
    let pool = contents.trees_room.values().copied();
    let pool = pool.fold(contents.files_room, u64::saturating_add);
    let state = &context.directories.state;
    needs.add(state, if is_pool_written { 0 } else { pool })?;
    if wanted == Kind::Export {
        needs.add(state, contents.files_room)?;
    }
    needs.check(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_on_one_file_system_is_added_up_and_both_numbers_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut needs = Needs::default();
        needs.add(&folder.path().join("not/there"), 3000).unwrap();
        needs.add(folder.path(), 2000).unwrap();
        let check = |free: u64| {
            let said = needs.check(|_| Ok(free));
            said.map_or_else(|error| error.to_string(), |()| String::new())
        };
        assert_eq!(check(5000), "");
        let said = check(4999);
        assert!(said.contains("5000 bytes (5.0 kB) are needed"), "{said}");
        assert!(said.contains("4999 bytes (4.9 kB) are free"), "{said}");
        assert!(
            said.contains(&folder.path().display().to_string()),
            "{said}"
        );
    }
}
