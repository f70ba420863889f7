//! What belongs to a portable and how it is removed without following anything out of it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::files::step;
use crate::portables::Portable;

/// The directories of this host or instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// `<runtime>` of Coracle.
    pub runtime: PathBuf,
    /// `<state>` of Coracle.
    pub state: PathBuf,
    /// `<config>` of Coracle.
    pub config: PathBuf,
    /// Where services' StateDirectory= lie: `/var/lib`.
    pub state_home: PathBuf,
    /// CacheDirectory=: `/var/cache`.
    pub cache_home: PathBuf,
    /// LogsDirectory=: `/var/log`.
    pub logs_home: PathBuf,
    /// RuntimeDirectory=: `/run`.
    pub runtime_home: PathBuf,
    /// ConfigurationDirectory=: `/etc`.
    pub config_home: PathBuf,
}

/// The directories that a portable's units ask for, relative.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directories {
    /// StateDirectory=.
    pub state: Vec<String>,
    /// CacheDirectory=.
    pub cache: Vec<String>,
    /// LogsDirectory=.
    pub logs: Vec<String>,
    /// RuntimeDirectory=.
    pub runtime: Vec<String>,
    /// ConfigurationDirectory=.
    pub configuration: Vec<String>,
    /// Its timers, by name: when they elapsed last is kept in files (Persistent=).
    pub timers: Vec<String>,
}

/// Why something could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {}", path.display())]
pub struct Error {
    /// What.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: std::io::Error,
}

/// Everything that belongs to a portable besides its units, images and records: pure.
#[must_use]
pub fn paths(portable: &str, directories: &Directories, places: &Places) -> Vec<PathBuf> {
    let mut paths = vec![
        places.state.join("journal/portables").join(portable),
        places.config.join("portables").join(portable),
        places.runtime.join("made").join(portable),
    ];
    let stamps = directories.timers.iter().filter(|name| !name.contains('/'));
    let stamps = stamps.map(|name| places.state.join("timers").join(format!("stamp-{name}")));
    paths.extend(stamps);
    let kinds = [
        (&directories.state, &places.state_home),
        (&directories.cache, &places.cache_home),
        (&directories.logs, &places.logs_home),
        (&directories.runtime, &places.runtime_home),
        (&directories.configuration, &places.config_home),
    ];
    for (names, home) in kinds {
        for name in names.iter().filter(|name| stays_below(name)) {
            // A dynamic user's directory is the private one, and the plain name a link to it.
            paths.push(home.join(name));
            paths.push(home.join("private").join(name));
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

/// Whether a path among these is a directory or a link that no start of the portable made, and it is known of all that one made.
#[must_use]
pub fn is_of_host(path: &Path, portable: &Portable, places: &Places) -> bool {
    let name = path.file_name().unwrap_or_default();
    let mut parent = path.parent().unwrap_or(path);
    if parent.ends_with("private") {
        parent = parent.parent().unwrap_or(parent);
    }
    let public = parent.join(name);
    let is_noted = portable.marked.iter().any(|one| Path::new(one) == public);
    let is_either = |found: std::fs::Metadata| found.is_dir() || found.is_symlink();
    is_noted && path.symlink_metadata().is_ok_and(is_either) && !is_made(path, portable, places)
}

/// Whether a start of the portable made what is at a path.
#[must_use]
pub fn is_made(path: &Path, portable: &Portable, places: &Places) -> bool {
    let marks = if path.starts_with(&places.runtime_home) {
        places.runtime.join("made").join(&portable.name)
    } else {
        places
            .state
            .join("portables")
            .join(&portable.name)
            .join("made")
    };
    kernel::mark::has(&marks, path).unwrap_or(false)
}

/// Whether a relative path names something below its base, and not the base itself.
fn stays_below(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('/')
        && name
            .split('/')
            .all(|part| !matches!(part, "" | "." | ".." | "private"))
}

/// Removes a file or tree; follows no symlink, crosses no mount. Says whether it was there.
///
/// # Errors
/// When something in it cannot be removed.
pub fn remove(path: &Path) -> Result<bool, Error> {
    let failed = |source: rustix::io::Errno| Error {
        path: path.to_owned(),
        source: source.into(),
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(false);
    };
    // With O_NOFOLLOW a link would be ENOTDIR, which reads as "not there".
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match kernel::resolve::open(
        CWD,
        parent,
        flags,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    ) {
        Ok(parent) => parent,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        Err(errno) => return Err(failed(errno)),
    };
    let name = CString::new(name.as_bytes()).map_err(|_| failed(Errno::INVAL))?;
    // What is no directory has no quota, and what can't be opened can't be removed either, which is told below.
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(directory) = rustix::fs::openat(&parent, &name, flags, Mode::empty()) {
        kernel::quota::lift(directory).map_err(failed)?;
    }
    step().map_err(|source| Error {
        path: path.to_owned(),
        source,
    })?;
    kernel::remove::tree(&parent, &name).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{mkdirat, openat};
    use std::fs;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::symlink;

    fn canonical(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().canonicalize().unwrap()
    }

    #[test]
    fn a_tree_goes_and_what_its_links_point_to_stays() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, other) = (canonical(&folder), canonical(&other));
        fs::write(other.join("precious"), "").unwrap();
        fs::create_dir_all(root.join("tree/deep")).unwrap();
        fs::write(root.join("tree/deep/file"), "").unwrap();
        symlink(&other, root.join("tree/link")).unwrap();
        assert!(remove(&root.join("tree")).unwrap());
        assert!(!root.join("tree").exists() && other.join("precious").exists());
        assert!(!remove(&root.join("tree")).unwrap());
        assert!(!remove(&root.join("tree/deep/file")).unwrap());
    }

    /// Makes directories in each other, deeper than any path can say.
    fn nest(mut place: OwnedFd, depth: u32) {
        for _ in 0..depth {
            mkdirat(&place, "d", Mode::RWXU).unwrap();
            place = openat(&place, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn a_tree_goes_however_deep_or_wide_it_is_and_what_its_links_lead_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, other) = (
            canonical(&folder).join("tree"),
            canonical(&folder).join("other"),
        );
        fs::create_dir_all(tree.join(".removed-1/inner")).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("precious"), "").unwrap();
        symlink(&other, tree.join("link")).unwrap();
        for number in 0..3000 {
            fs::write(tree.join(number.to_string()), "").unwrap();
        }
        nest(fs::File::open(&tree).unwrap().into(), 5000);
        assert!(remove(&tree).unwrap());
        assert!(!tree.exists() && other.join("precious").exists());
        assert!(!remove(&tree).unwrap());
    }

    #[test]
    fn a_parent_that_is_a_link_is_not_followed() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, other) = (canonical(&folder), canonical(&other));
        fs::write(other.join("precious"), "").unwrap();
        symlink(&other, root.join("link")).unwrap();
        assert!(remove(&root.join("link/precious")).is_err());
        assert!(other.join("precious").exists());
        assert!(remove(&root.join("link")).unwrap());
    }

    #[test]
    fn only_what_lies_below_the_base_directories_belongs_to_a_portable() {
        let places = Places {
            runtime: "/r".into(),
            state: "/s".into(),
            config: "/c".into(),
            state_home: "/var/lib".into(),
            cache_home: "/var/cache".into(),
            logs_home: "/var/log".into(),
            runtime_home: "/run".into(),
            config_home: "/etc".into(),
        };
        let directories = Directories {
            state: vec![
                "hello".into(),
                "../x".into(),
                String::new(),
                ".".into(),
                "private".into(),
            ],
            timers: vec!["hello.timer".into(), "../x.timer".into()],
            ..Directories::default()
        };
        let paths: Vec<String> = paths("hello", &directories, &places)
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(
            paths,
            [
                "/c/portables/hello",
                "/r/made/hello",
                "/s/journal/portables/hello",
                "/s/timers/stamp-hello.timer",
                "/var/lib/hello",
                "/var/lib/private/hello"
            ]
        );
    }
}
