//! Places where images are offered by lying there: `/var/lib/portables` and its kin. What lies there is named by its file, until it is read.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use model::version::compare;
use model::versioned;

use crate::context::Context;

/// Endings of images.
const ENDINGS: [&str; 2] = [".raw", ".psi"];
/// A directory with versions of one image.
const VERSIONS: &str = ".v";

/// An image or a directory that lies in one of the places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// What its file calls it.
    pub(crate) name: String,
    /// The version that its file names; empty where it names none.
    pub(crate) version: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Whether it is a directory.
    pub(crate) is_directory: bool,
}

/// `hello_1.2.raw` is `hello` in version `1.2`.
pub(crate) fn name_and_version(file: &str) -> (&str, &str) {
    let stem = ENDINGS.iter().find_map(|ending| file.strip_suffix(ending));
    let stem = stem.unwrap_or(file);
    stem.split_once('_').unwrap_or((stem, ""))
}

/// Everything that is offered, by name, the newest version of each first. Of two that are the same the earlier place's comes first.
///
/// # Errors
/// When a place can't be read.
pub(crate) fn offers(context: &Context) -> Result<Vec<Offer>> {
    let mut offers = Vec::new();
    for place in std::env::split_paths(&context.directories.portable_path) {
        for path in entries(&place)? {
            offers.extend(offer(&path)?);
        }
    }
    // Stable: the places keep their order.
    offers.sort_by(|one, other| {
        let by_name = one.name.cmp(&other.name);
        by_name.then_with(|| compare(&other.version, &one.version))
    });
    Ok(offers)
}

/// The newest that is offered under a name.
///
/// # Errors
/// When a place can't be read.
pub(crate) fn find(context: &Context, name: &str) -> Result<Option<Offer>> {
    Ok(offers(context)?
        .into_iter()
        .find(|offer| offer.name == name))
}

/// What lies in a place, sorted; nothing where there is no such place. What has a dot in front is not finished.
fn entries(place: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read {}", place.display());
    let listing = match std::fs::read_dir(place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.with_context(unreadable)?,
    };
    let mut paths = Vec::new();
    for entry in listing {
        let entry = entry.with_context(unreadable)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn offer(path: &Path) -> Result<Option<Offer>> {
    let Some(file) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(None);
    };
    // A link counts as what it leads to; one that leads nowhere offers nothing.
    let Ok(metadata) = path.metadata() else {
        return Ok(None);
    };
    let is_image = ENDINGS.iter().any(|ending| file.ends_with(ending));
    if metadata.is_dir() && file.ends_with(VERSIONS) {
        return newest(path);
    }
    if !(metadata.is_dir() || metadata.is_file() && is_image) {
        return Ok(None);
    }
    let (name, version) = name_and_version(file);
    Ok(Some(Offer {
        name: name.to_owned(),
        version: version.to_owned(),
        path: path.to_owned(),
        is_directory: metadata.is_dir(),
    }))
}

/// The newest version in a directory of versions.
fn newest(directory: &Path) -> Result<Option<Offer>> {
    let text = directory.to_str();
    let Some(pattern) = text.and_then(versioned::pattern) else {
        return Ok(None);
    };
    let there = entries(directory)?;
    let is_directory = |path: &Path| path.is_dir();
    let names = |directories: bool| {
        let of_kind = there
            .iter()
            .filter(move |path| is_directory(path) == directories);
        of_kind.filter_map(|path| path.file_name()?.to_str())
    };
    let machine = model::facts::native();
    let image = versioned::pick(pattern, &ENDINGS, names(false), machine);
    let folder = || versioned::pick(pattern, &[""], names(true), machine);
    let Some(file) = image.or_else(folder) else {
        return Ok(None);
    };
    let version = file.get(pattern.name.len() + 1..).unwrap_or_default();
    let version = name_and_version(version)
        .0
        .split('+')
        .next()
        .unwrap_or_default();
    Ok(Some(Offer {
        name: pattern.name.to_owned(),
        version: version.to_owned(),
        path: directory.join(file),
        is_directory: image.is_none(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Globals;
    use std::fs;

    #[test]
    fn what_lies_in_a_place_is_offered_by_its_files_name_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a"), folder.path().join("b"));
        for path in [
            "a/boat_2.raw",
            "a/.boat_9.raw",
            "a/notes.txt",
            "b/boat_10.psi",
            "b/boat_2.raw",
            "b/plain.psi",
            "b/ship.v/ship_3+1-2.raw",
            "b/ship.v/ship_2.raw",
            "b/ship.v/ship_4+0.raw",
            "b/tree_1/usr/lib/os-release",
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("/nowhere.raw", first.join("lost.raw")).unwrap();
        let path = format!("{}:{}:/nowhere", first.display(), second.display());
        let nowhere = || Some("/nonexistent".into());
        let context = Context::new(Globals {
            runtime_dir: nowhere(),
            state_dir: nowhere(),
            config_dir: nowhere(),
            portable_path: Some(path.into()),
            ..Globals::default()
        })
        .unwrap();
        let offers = offers(&context).unwrap();
        let shown: Vec<String> = offers
            .iter()
            .map(|offer| {
                let path = offer.path.strip_prefix(folder.path()).unwrap().display();
                format!(
                    "{} {} {path} {}",
                    offer.name, offer.version, offer.is_directory
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "boat 10 b/boat_10.psi false",
                "boat 2 a/boat_2.raw false",
                "boat 2 b/boat_2.raw false",
                "plain  b/plain.psi false",
                "ship 3 b/ship.v/ship_3+1-2.raw false",
                "tree 1 b/tree_1 true",
            ]
        );
        assert_eq!(find(&context, "boat").unwrap().unwrap().version, "10");
        assert_eq!(find(&context, "lost").unwrap(), None);
    }
}
