//! Reads os-release and unit files below a root directory, resolving every path inside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::os_release::{self, OsRelease, OsReleaseError};
use crate::source::Extent;

/// The largest unit file or drop-in. A long one has some tens of kilobytes, and the manager works through each of its words.
pub(crate) const UNIT_LIMIT_BYTES: u64 = 64 << 10;

/// All unit files and drop-ins of an image together.
const UNITS_LIMIT_BYTES: usize = 8 << 20;

/// Unit files and drop-ins of an image.
const UNITS_LIMIT: usize = 512;

/// Entries of one directory; a whole distribution's unit directory has some hundreds.
const ENTRIES_LIMIT: usize = 8192;

/// Directory entries are read in pieces of this many bytes; a name has at most 255.
const DIRECTORY_BUFFER_BYTES: usize = 8192;

/// Where unit files lie, the first place wins.
pub(crate) const UNIT_DIRECTORIES: [&str; 4] = [
    "etc/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// The kinds of unit files. Some can't be a portable's; who judges the units says so by name.
const KINDS: [&str; 9] = [
    "service",
    "socket",
    "target",
    "timer",
    "path",
    "mount",
    "automount",
    "swap",
    "slice",
];

/// One unit file or drop-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFile {
    /// Its path inside the image's unit directory: `hello.service`, `hello.service.d/limits.conf`.
    pub name: String,
    /// Its text, UTF-8.
    pub text: String,
}

/// What attaching needs to know of an image's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The os-release file.
    pub os_release: OsRelease,
    /// Unit files and drop-ins whose names begin with one of the prefixes, sorted by name.
    pub units: Vec<UnitFile>,
    /// Names of unit files that no prefix covers; they are left alone.
    pub foreign_units: Vec<String>,
    /// Where files of the host may appear, of [`HOST_PLACES`].
    pub host_places: Vec<String>,
}

/// Where files of the host may appear in an image that has the network.
pub const HOST_PLACES: [&str; 4] = [
    "etc/hosts",
    "etc/localtime",
    "etc/resolv.conf",
    "etc/ssl/certs",
];

/// What describes the network itself: an image can't know it, so the host's takes the place of whatever is there. What else an image
/// has of its own stays.
const OF_THE_NETWORK: [&str; 2] = ["etc/hosts", "etc/resolv.conf"];

/// What is at a path, a link not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing.
    Missing,
    /// An empty file or directory.
    Empty,
    /// Something.
    Taken,
}

/// Why the content is refused.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// No os-release.
    #[error("the image has neither etc/os-release nor usr/lib/os-release")]
    NoOsRelease,
    /// An os-release that can't be used.
    #[error(transparent)]
    OsRelease(#[from] OsReleaseError),
    /// An os-release that names nothing.
    #[error(
        "the image's os-release names no portable: PORTABLE_ID=, IMAGE_ID= or ID= was expected"
    )]
    NoName,
    /// Something that should be a regular file and is not, or is too large, or no text.
    #[error("{path} in the image {what}")]
    File {
        /// Its path below the root, without control characters.
        path: String,
        /// What is wrong.
        what: &'static str,
    },
    /// More than is reasonable.
    #[error("the image has too many {0}")]
    TooMany(&'static str),
    /// A path can't be read.
    #[error("cannot read {path} in the image")]
    Read {
        /// Its path below the root, without control characters.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads what attaching needs from a root directory (an image's mount or a plain directory).
///
/// # Errors
/// See [`TreeError`].
pub fn read(root: BorrowedFd<'_>) -> Result<Contents, TreeError> {
    collect(&Root(root))
}

/// A tree of files, wherever it is read from. Paths are relative to its root and never leave it.
pub(crate) trait Files {
    /// A regular file's text; `None` where there is no file.
    fn text(&self, path: &str, limit_bytes: u64) -> Result<Option<String>, TreeError>;

    /// A directory's entries, sorted, and whether each is certainly a file; nothing where there is no directory.
    fn entries(&self, path: &str) -> Result<Vec<(String, bool)>, TreeError>;

    /// What is at a path, whose last part is not followed.
    fn place(&self, path: &str) -> Result<Place, TreeError>;
}

/// Reads what attaching needs of bytes that are one file system as a whole, if they can be opened at all.
pub(crate) fn read_bytes<'bytes, F: Files, E>(
    bytes: &'bytes [u8],
    open: impl FnOnce(&'bytes [u8], Extent) -> Result<F, E>,
) {
    let root = Extent {
        offset: 0,
        length: bytes.len() as u64,
    };
    if let Ok(reader) = open(bytes, root) {
        drop(collect(&reader));
    }
}

/// Reads what attaching needs from any tree.
pub(crate) fn collect(root: &impl Files) -> Result<Contents, TreeError> {
    let os_release = read_os_release(root)?;
    let (units, foreign_units) = units(root, os_release.prefixes())?;
    Ok(Contents {
        os_release,
        units,
        foreign_units,
        host_places: host_places(root)?,
    })
}

/// The unit files and drop-ins whose names begin with one of the prefixes, and the names of the other units.
pub(crate) fn units(
    root: &impl Files,
    prefixes: Vec<String>,
) -> Result<(Vec<UnitFile>, Vec<String>), TreeError> {
    let mut found = Found {
        prefixes,
        ..Found::default()
    };
    for directory in UNIT_DIRECTORIES {
        found.collect(root, directory)?;
    }
    let units = found.units.into_iter();
    let units = units.map(|(name, text)| UnitFile { name, text });
    Ok((units.collect(), found.foreign))
}

impl Contents {
    /// Adds the units of what is laid over: those that are there already stay as they are.
    ///
    /// # Errors
    /// Where there are too many then.
    pub fn extend(&mut self, units: Vec<UnitFile>) -> Result<(), TreeError> {
        for unit in units {
            if self.units.iter().all(|known| known.name != unit.name) {
                self.units.push(unit);
            }
        }
        self.units.sort_by(|a, b| a.name.cmp(&b.name));
        let bytes: usize = self.units.iter().map(|unit| unit.text.len()).sum();
        match self.units.len() > UNITS_LIMIT || bytes > UNITS_LIMIT_BYTES {
            true => Err(TreeError::TooMany("unit files")),
            false => Ok(()),
        }
    }
}

fn host_places(root: &impl Files) -> Result<Vec<String>, TreeError> {
    let mut found = Vec::new();
    for path in HOST_PLACES {
        match root.place(path)? {
            Place::Empty => found.push(path.to_owned()),
            Place::Taken if OF_THE_NETWORK.contains(&path) => found.push(path.to_owned()),
            Place::Taken | Place::Missing => {}
        }
    }
    Ok(found)
}

fn read_os_release(root: &impl Files) -> Result<OsRelease, TreeError> {
    for path in ["etc/os-release", "usr/lib/os-release"] {
        let Some(text) = root.text(path, os_release::LIMIT_BYTES)? else {
            continue;
        };
        let release = OsRelease::parse(&text)?;
        return if release.name().is_some() {
            Ok(release)
        } else {
            Err(TreeError::NoName)
        };
    }
    Err(TreeError::NoOsRelease)
}

/// Whether a unit's name is one that an image with this prefix may have: the prefix itself, ended by `.`, `-` or `@`.
#[must_use]
pub fn covers(prefix: &str, unit: &str) -> bool {
    unit.strip_prefix(prefix)
        .is_some_and(|rest| rest.starts_with(['.', '-', '@']))
}

/// Whether a file name is that of a unit.
#[must_use]
pub fn is_unit_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    let kind = name
        .rsplit_once('.')
        .filter(|(stem, _)| !stem.is_empty())
        .map(|(_, kind)| kind);
    kind.is_some_and(|kind| KINDS.contains(&kind)) && name.len() <= 255 && name.bytes().all(allowed)
}

#[derive(Default)]
struct Found {
    prefixes: Vec<String>,
    units: BTreeMap<String, String>,
    masked: BTreeSet<String>,
    foreign: Vec<String>,
    bytes: usize,
}

impl Found {
    /// Takes a directory's unit files and drop-ins, but for names that an earlier directory had.
    fn collect(&mut self, root: &impl Files, directory: &str) -> Result<(), TreeError> {
        for (name, is_file) in root.entries(directory)? {
            let unit = name
                .strip_suffix(".d")
                .filter(|_| !is_file)
                .unwrap_or(&name);
            if !is_unit_name(unit) {
                continue;
            }
            if !self.prefixes.iter().any(|prefix| covers(prefix, unit)) {
                self.leave(unit)?;
            } else if unit.len() == name.len() {
                self.take(root, directory, &name)?;
            } else {
                self.collect_drop_ins(root, directory, &name)?;
            }
        }
        Ok(())
    }

    fn collect_drop_ins(
        &mut self,
        root: &impl Files,
        directory: &str,
        name: &str,
    ) -> Result<(), TreeError> {
        for (file, _) in root.entries(&format!("{directory}/{name}"))? {
            if file.ends_with(".conf") {
                self.take(root, directory, &format!("{name}/{file}"))?;
            }
        }
        Ok(())
    }

    fn leave(&mut self, unit: &str) -> Result<(), TreeError> {
        if !self.foreign.iter().any(|known| known == unit) {
            self.foreign.push(unit.into());
        }
        if self.foreign.len() > ENTRIES_LIMIT {
            Err(TreeError::TooMany("unit files"))
        } else {
            Ok(())
        }
    }

    fn take(&mut self, root: &impl Files, directory: &str, name: &str) -> Result<(), TreeError> {
        if self.units.contains_key(name) || self.masked.contains(name) {
            return Ok(());
        }
        let Some(text) = root.text(&format!("{directory}/{name}"), UNIT_LIMIT_BYTES)? else {
            // A link to /dev/null: masked, in later directories too.
            self.masked.insert(name.into());
            return Ok(());
        };
        self.bytes += text.len();
        self.units.insert(name.into(), text);
        match self.units.len() > UNITS_LIMIT || self.bytes > UNITS_LIMIT_BYTES {
            true => Err(TreeError::TooMany("unit files")),
            false => Ok(()),
        }
    }
}

/// A directory that no path below it leaves.
pub(crate) struct Root<'fd>(pub(crate) BorrowedFd<'fd>);

impl Root<'_> {
    pub(crate) fn open(&self, path: &str, flags: OFlags) -> Result<Option<File>, TreeError> {
        let to_read = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.find(path, flags | to_read)
    }

    fn find(&self, path: &str, flags: OFlags) -> Result<Option<File>, TreeError> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        match kernel::resolve::open(self.0, path, flags, Mode::empty(), resolve) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(read_error(path, error.into())),
        }
    }
}

impl Files for Root<'_> {
    fn text(&self, path: &str, limit_bytes: u64) -> Result<Option<String>, TreeError> {
        let wrong = |what| TreeError::File {
            path: shown(path),
            what,
        };
        let Some(file) = self.open(path, OFlags::empty())? else {
            return Ok(None);
        };
        // fstat(2), because the worker may call nothing that takes a path.
        let status = rustix::fs::fstat(&file).map_err(|error| read_error(path, error.into()))?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => {}
            FileType::CharacterDevice if status.st_rdev == rustix::fs::makedev(1, 3) => {
                return Ok(None);
            }
            _ => return Err(wrong("is not a regular file")),
        }
        let mut bytes = Vec::new();
        file.take(limit_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| read_error(path, error))?;
        if bytes.len() as u64 > limit_bytes {
            return Err(wrong("is too large"));
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| wrong("is no UTF-8 text"))
    }

    fn entries(&self, path: &str) -> Result<Vec<(String, bool)>, TreeError> {
        let Some(directory) = self.open(path, OFlags::DIRECTORY)? else {
            return Ok(Vec::new());
        };
        let mut entries = Vec::new();
        // The plain call: rustix's other reader opens the directory a second time, by openat(2).
        let mut buffer = [MaybeUninit::uninit(); DIRECTORY_BUFFER_BYTES];
        let mut reader = RawDir::new(&directory, &mut buffer);
        while let Some(entry) = reader.next() {
            let entry = entry.map_err(|error| read_error(path, error.into()))?;
            // A name that is no text is no unit's.
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if matches!(name, "." | "..") {
                continue;
            }
            entries.push((name.to_owned(), entry.file_type() == FileType::RegularFile));
            if entries.len() > ENTRIES_LIMIT {
                return Err(TreeError::TooMany("files in a unit directory"));
            }
        }
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }

    fn place(&self, path: &str) -> Result<Place, TreeError> {
        let Some(place) = self.find(path, OFlags::PATH | OFlags::NOFOLLOW)? else {
            return Ok(Place::Missing);
        };
        let status = rustix::fs::fstat(&place).map_err(|error| read_error(path, error.into()))?;
        let is_empty = match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => status.st_size == 0,
            FileType::Directory => self.entries(path)?.is_empty(),
            _ => false,
        };
        Ok(if is_empty { Place::Empty } else { Place::Taken })
    }
}

pub(crate) fn read_error(path: &str, source: io::Error) -> TreeError {
    TreeError::Read {
        path: shown(path),
        source,
    }
}

pub(crate) fn shown(path: &str) -> String {
    path.chars()
        .filter(|character| !character.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    /// A root from lines `path: text` or `path -> link target`.
    fn tree(lines: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let place = |path: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        };
        for line in lines {
            match line.split_once(" -> ") {
                Some((path, target)) => symlink(target, place(path)).unwrap(),
                None => {
                    let (path, text) = line.split_once(": ").unwrap();
                    std::fs::write(place(path), text).unwrap();
                }
            }
        }
        dir
    }

    /// Name, units and foreign units, or the refusal.
    fn check_root(root: &Path, expected: &str) {
        let said = match read(File::open(root).unwrap().as_fd()) {
            Ok(contents) => {
                let units: Vec<_> = contents
                    .units
                    .iter()
                    .map(|unit| format!("{}={}", unit.name, unit.text))
                    .collect();
                let name = contents.os_release.name().unwrap_or_default();
                format!(
                    "{name}: {} / {}",
                    units.join(" "),
                    contents.foreign_units.join(" ")
                )
            }
            Err(error) => format!("refused: {error}"),
        };
        assert_eq!(said, expected);
    }

    fn check(lines: &[&str], expected: &str) {
        check_root(tree(lines).path(), expected);
    }

    const RELEASE: &str = "usr/lib/os-release: ID=hello";

    #[test]
    fn files_of_the_host_appear_where_the_image_has_room_for_them() {
        let check_places = |lines: &[&str], directory: &str, expected: &[&str]| {
            let root = tree(&[&[RELEASE][..], lines].concat());
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
            let contents = read(File::open(root.path()).unwrap().as_fd()).unwrap();
            assert_eq!(contents.host_places, expected);
        };
        check_places(&[], "etc", &[]);
        check_places(
            &["etc/hosts: ", "etc/localtime: ", "etc/resolv.conf: "],
            "etc/ssl/certs",
            &HOST_PLACES,
        );
        check_places(
            &[
                "etc/hosts: 127.0.0.1 x",
                "etc/localtime -> /usr/zone",
                "etc/resolv.conf -> /run/x",
            ],
            "etc/ssl/certs/more",
            &OF_THE_NETWORK,
        );
    }

    #[test]
    fn units_and_drop_ins_with_the_prefix_are_found_and_others_are_left() {
        check(
            &[
                RELEASE,
                "usr/lib/systemd/system/hello.service: A",
                "usr/lib/systemd/system/hello-worker@.service: B",
                "usr/lib/systemd/system/hello.service.d/more.conf: C",
                "usr/lib/systemd/system/hello.service.d/notes.txt: no",
                "usr/lib/systemd/system/helloworld.service: no",
                "usr/lib/systemd/system/sshd.socket: no",
                "usr/lib/systemd/system/hello.network: no",
            ],
            "hello: hello-worker@.service=B hello.service=A hello.service.d/more.conf=C / helloworld.service sshd.socket",
        );
    }

    #[test]
    fn what_lies_in_etc_wins_and_a_mask_hides() {
        check(
            &[
                RELEASE,
                "usr/lib/systemd/system/hello.service: vendor",
                "etc/systemd/system/hello.service: own",
                "etc/systemd/system/hello.socket -> /dev/null",
                "usr/lib/systemd/system/hello.socket: masked",
            ],
            "hello: hello.service=own / ",
        );
    }

    #[test]
    fn links_never_leave_the_root() {
        let outside = tree(&["secret.service: secret"]);
        let up = format!(
            "usr/lib/systemd/system/hello.service -> ../../../../../../../../../..{}/secret.service",
            outside.path().display()
        );
        let absolute = format!(
            "usr/lib/systemd/system/hello-b.service -> {}/secret.service",
            outside.path().display()
        );
        let magic = "usr/lib/systemd/system/hello-c.service -> /proc/self/environ";
        check(&[RELEASE, &up, &absolute, magic], "hello:  / ");
        check(
            &[
                RELEASE,
                "etc/os-release -> /usr/lib/os-release",
                "a/hello.service: A",
                "etc/systemd/system -> /a",
            ],
            "hello: hello.service=A / ",
        );
    }

    #[test]
    fn what_is_no_text_file_is_refused_by_name() {
        let dir = tree(&[RELEASE]);
        std::fs::create_dir_all(dir.path().join("usr/lib/systemd/system/hello.service")).unwrap();
        check_root(
            dir.path(),
            "refused: usr/lib/systemd/system/hello.service in the image is not a regular file",
        );

        let dir = tree(&[RELEASE, "usr/lib/systemd/system/x: x"]);
        let fifo = dir.path().join("usr/lib/systemd/system/hello.service");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        check_root(
            dir.path(),
            "refused: usr/lib/systemd/system/hello.service in the image is not a regular file",
        );

        let large = format!(
            "usr/lib/systemd/system/hello.service: {}",
            "x".repeat(UNIT_LIMIT_BYTES as usize + 1)
        );
        check(
            &[RELEASE, &large],
            "refused: usr/lib/systemd/system/hello.service in the image is too large",
        );
    }

    #[test]
    fn an_image_without_a_name_is_refused() {
        check(
            &["etc/x: x"],
            "refused: the image has neither etc/os-release nor usr/lib/os-release",
        );
        check(
            &["etc/os-release: NAME=x"],
            "refused: the image's os-release names no portable: PORTABLE_ID=, IMAGE_ID= or ID= was expected",
        );
        check(
            &["etc/os-release -> os-release"],
            "refused: cannot read etc/os-release in the image",
        );
    }
}
