//! Finds shared libraries as the dynamic loader would: search paths of the file, of the system, of the platform.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{ProgramError, merge};
use crate::elf::{self, Dynamic, ElfError};
use crate::source::FileSource;

/// Libraries of one image.
const LIBRARIES_LIMIT: usize = 2048;

/// `include` inside `ld.so.conf` files inside …
const INCLUDE_DEPTH_LIMIT: usize = 4;

/// The largest `ld.so.conf` that is read.
const CONFIGURATION_LIMIT_BYTES: u64 = 64 * 1024;

/// Searched last, as the loader does; the first ones are where distributions for several processors keep libraries.
const DEFAULT_DIRECTORIES: &[&str] = &[
    #[cfg(target_arch = "x86_64")]
    "/usr/lib/x86_64-linux-gnu",
    #[cfg(target_arch = "aarch64")]
    "/usr/lib/aarch64-linux-gnu",
    #[cfg(target_arch = "riscv64")]
    "/usr/lib/riscv64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// A library: where it is on this host, where it goes in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Library {
    /// On this host.
    pub(super) host: PathBuf,
    /// Relative to the image's root.
    pub(super) place: PathBuf,
}

/// Walks from files to what they need.
pub(super) struct Collector {
    /// Roots that are searched: the sysroot where given, then this host's.
    roots: Vec<PathBuf>,
    /// Directories of `ld.so.conf` and of the platform.
    system: Vec<PathBuf>,
    found: BTreeMap<PathBuf, Library>,
    queue: VecDeque<(PathBuf, PathBuf, Dynamic)>,
}

impl Collector {
    pub(super) fn new(sysroot: Option<&Path>) -> Result<Self, ProgramError> {
        let mut roots: Vec<PathBuf> = sysroot.map(Path::to_path_buf).into_iter().collect();
        roots.push("/".into());
        let mut system = Vec::new();
        for root in &roots {
            configured(root, Path::new("/etc/ld.so.conf"), &mut system, 0)?;
        }
        system.extend(DEFAULT_DIRECTORIES.iter().map(PathBuf::from));
        Ok(Self {
            roots,
            system,
            found: BTreeMap::new(),
            queue: VecDeque::new(),
        })
    }

    /// What was found, sorted by its place.
    pub(super) fn found(&self) -> impl Iterator<Item = &Library> {
        self.found.values()
    }

    /// Finds everything that a file needs. `place` is the file's own path in the image.
    pub(super) fn collect(&mut self, file: &Path, place: &Path) -> Result<(), ProgramError> {
        let dynamic = read(file)?;
        self.follow(file, place, dynamic)
    }

    /// The same for a file that may be something else, a script for example.
    pub(super) fn collect_if_elf(&mut self, file: &Path, place: &Path) -> Result<(), ProgramError> {
        match read(file) {
            Err(ProgramError::Elf {
                source: ElfError::NotElf,
                ..
            }) => Ok(()),
            Err(error) => Err(error),
            Ok(dynamic) => self.follow(file, place, dynamic),
        }
    }

    fn follow(&mut self, file: &Path, place: &Path, dynamic: Dynamic) -> Result<(), ProgramError> {
        self.queue
            .push_back((file.into(), Path::new("/").join(place), dynamic));
        while let Some((file, place, dynamic)) = self.queue.pop_front() {
            if let Some(interpreter) = &dynamic.interpreter {
                self.take(&file, interpreter, &[], dynamic.machine)?;
            }
            let own = search_path(&dynamic, &place);
            for name in &dynamic.needed {
                self.take(&file, name, &own, dynamic.machine)?;
            }
        }
        Ok(())
    }

    /// Finds one library and queues it for what it needs itself.
    fn take(
        &mut self,
        needed_by: &Path,
        name: &str,
        own: &[PathBuf],
        machine: u16,
    ) -> Result<(), ProgramError> {
        let candidates: Vec<PathBuf> = match name.contains('/') {
            true => vec![name.into()],
            false => own
                .iter()
                .chain(&self.system)
                .map(|directory| directory.join(name))
                .collect(),
        };
        for candidate in &candidates {
            let Some((host, dynamic)) = self.open(candidate, machine)? else {
                continue;
            };
            let inside = candidate.strip_prefix("/").unwrap_or(candidate);
            let place = merge(&plain(inside));
            if !self.found.contains_key(&place) {
                let library = Library {
                    host: host.clone(),
                    place: place.clone(),
                };
                self.found.insert(place.clone(), library);
                self.queue
                    .push_back((host, Path::new("/").join(place), dynamic));
            }
            return if self.found.len() > LIBRARIES_LIMIT {
                Err(ProgramError::TooMany(LIBRARIES_LIMIT))
            } else {
                Ok(())
            };
        }
        let directories: Vec<_> = candidates
            .iter()
            .filter_map(|path| path.parent()?.to_str())
            .collect();
        Err(ProgramError::Library {
            name: name.into(),
            needed_by: needed_by.into(),
            searched: directories.join(":"),
        })
    }

    /// The first root's file of this path that is for the same processor.
    fn open(
        &self,
        candidate: &Path,
        machine: u16,
    ) -> Result<Option<(PathBuf, Dynamic)>, ProgramError> {
        for root in &self.roots {
            let path = root.join(candidate.strip_prefix("/").unwrap_or(candidate));
            // A link may lead to an absolute path, which means this root, not the host's.
            let Some(real) = within(root, &path) else {
                continue;
            };
            match read(&real) {
                Ok(dynamic) if dynamic.machine == machine => return Ok(Some((real, dynamic))),
                Ok(_)
                | Err(ProgramError::Elf {
                    source: ElfError::NotElf,
                    ..
                }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Follows the links of a path; absolute ones count from the root. `None` where it leads to no file.
fn within(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..16 {
        match fs::read_link(&path) {
            Ok(target) if target.is_absolute() => path = root.join(target.strip_prefix("/").ok()?),
            Ok(target) => path = path.parent()?.join(target),
            Err(_) => break,
        }
    }
    path.is_file().then_some(path)
}

fn read(path: &Path) -> Result<Dynamic, ProgramError> {
    let error = |source| ProgramError::Read {
        path: path.into(),
        source,
    };
    let file = File::open(path).map_err(error)?;
    let source = FileSource::new(&file).map_err(error)?;
    elf::read(&source).map_err(|source| ProgramError::Elf {
        path: path.into(),
        source,
    })
}

/// The directories that a file itself names; `$ORIGIN` is its own.
fn search_path(dynamic: &Dynamic, place: &Path) -> Vec<PathBuf> {
    let origin = place
        .parent()
        .unwrap_or(Path::new("/"))
        .to_string_lossy()
        .into_owned();
    let text = dynamic.runpath.as_ref().or(dynamic.rpath.as_ref());
    let parts = text
        .into_iter()
        .flat_map(|text| text.split(':'))
        .filter(|part| !part.is_empty());
    let expand = |part: &str| {
        plain(Path::new(
            &part
                .replace("${ORIGIN}", &origin)
                .replace("$ORIGIN", &origin),
        ))
    };
    parts
        .map(expand)
        .map(|path| Path::new("/").join(path))
        .collect()
}

/// A path without `.`, and with each `..` taken.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => out.push(name),
            std::path::Component::ParentDir => drop(out.pop()),
            _ => {}
        }
    }
    out
}

/// Adds the directories of an `ld.so.conf`, with its `include` lines.
fn configured(
    root: &Path,
    path: &Path,
    to: &mut Vec<PathBuf>,
    depth: usize,
) -> Result<(), ProgramError> {
    let host = root.join(path.strip_prefix("/").unwrap_or(path));
    let Ok(metadata) = fs::metadata(&host) else {
        return Ok(());
    };
    if depth > INCLUDE_DEPTH_LIMIT || metadata.len() > CONFIGURATION_LIMIT_BYTES {
        return Ok(());
    }
    let text = fs::read_to_string(&host).map_err(|source| ProgramError::Read {
        path: host.clone(),
        source,
    })?;
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(pattern) = line.strip_prefix("include ") {
            for included in matching(root, Path::new(pattern.trim())) {
                configured(root, &included, to, depth + 1)?;
            }
        } else if line.starts_with('/') {
            to.push(line.into());
        }
    }
    Ok(())
}

/// The files that a pattern with one `*` in its last part names, sorted.
fn matching(root: &Path, pattern: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (
        pattern.parent(),
        pattern.file_name().and_then(|name| name.to_str()),
    ) else {
        return Vec::new();
    };
    let Some((before, after)) = name.split_once('*') else {
        return vec![pattern.into()];
    };
    let entries = fs::read_dir(root.join(directory.strip_prefix("/").unwrap_or(directory)));
    let names = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<PathBuf> = names
        .filter(|name| {
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
        })
        .map(|name| directory.join(name))
        .collect();
    files.sort();
    files
}
