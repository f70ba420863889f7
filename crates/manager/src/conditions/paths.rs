//! Conditions on paths. Links are followed, but where a link itself is asked for.

use super::Host;
use rustix::fs::{Access, StatVfsMountFlags};
use rustix::io::Errno;
use std::fs::{Metadata, metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

pub(super) fn exists(path: &str, _: &mut Host) -> Option<bool> {
    Some(super::there(path))
}

pub(super) fn is_directory(path: &str, _: &mut Host) -> Option<bool> {
    Some(Path::new(path).is_dir())
}

pub(super) fn is_link(path: &str, _: &mut Host) -> Option<bool> {
    Some(Path::new(path).is_symlink())
}

fn is(path: &str, so: fn(&Metadata) -> bool) -> Option<bool> {
    Some(metadata(path).is_ok_and(|metadata| so(&metadata)))
}

pub(super) fn is_socket(path: &str, _: &mut Host) -> Option<bool> {
    is(path, |file| file.file_type().is_socket())
}

pub(super) fn is_file_with_content(path: &str, _: &mut Host) -> Option<bool> {
    is(path, |file| file.is_file() && file.len() > 0)
}

pub(super) fn is_executable(path: &str, _: &mut Host) -> Option<bool> {
    is(path, |file| {
        file.is_file() && file.permissions().mode() & 0o111 != 0
    })
}

/// Endings of files that editors and package managers leave, which count as nothing.
const LEFT_OVER: &[&str] = &[
    "rpmnew",
    "rpmsave",
    "rpmorig",
    "dpkg-old",
    "dpkg-new",
    "dpkg-tmp",
    "dpkg-dist",
    "dpkg-bak",
    "dpkg-backup",
    "dpkg-remove",
    "ucf-new",
    "ucf-old",
    "ucf-dist",
    "swp",
    "bak",
    "old",
    "new",
];

/// Whether a directory's entry counts as nothing.
pub(crate) fn is_left_over(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    name.starts_with('.')
        || name.ends_with('~')
        || matches!(name, "lost+found" | "aquota.user" | "aquota.group")
        || ending.is_some_and(|ending| LEFT_OVER.contains(&ending))
}

pub(super) fn is_directory_with_files(path: &str, _: &mut Host) -> Option<bool> {
    use std::io::ErrorKind;
    // What can't be read may have something in it.
    let error = std::fs::read_dir(path).err().map(|error| error.kind());
    Some(match error {
        None => super::names(path).any(|name| !is_left_over(&name)),
        Some(kind) => !matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory),
    })
}

/// Whether a file system refuses to be written.
fn is_read_only(path: &str) -> Result<bool, Errno> {
    let flags = rustix::fs::statvfs(path)?.f_flag;
    Ok(flags.contains(StatVfsMountFlags::RDONLY)
        || rustix::fs::access(path, Access::WRITE_OK) == Err(Errno::ROFS))
}

pub(super) fn is_read_write(path: &str, _: &mut Host) -> Option<bool> {
    Some(!matches!(is_read_only(path), Ok(true) | Err(Errno::NOENT)))
}

pub(super) fn is_mount_point(path: &str, _: &mut Host) -> Option<bool> {
    let path = std::fs::canonicalize(path);
    Some(path.is_ok_and(|path| {
        let path = path.to_string_lossy();
        mounts().is_some_and(|table| has_mount(&table, &path))
    }))
}

/// What is wrong with a place where something is to be mounted: a link on the way leads elsewhere, and the table has it under another name.
pub(super) fn link_on_the_way(place: &str) -> Option<String> {
    let links = Path::new(place)
        .ancestors()
        .filter(|path| path.is_symlink());
    let link = links.last()?;
    let real = std::fs::canonicalize(place).ok();
    let real = real.map_or_else(String::new, |real| format!(" ({})", real.display()));
    Some(format!(
        "Where={place}: {} is a link: name the place that it leads to{real}",
        link.display()
    ))
}

/// The mount table, whole: it can be long. Anybody who can mount can write bytes into it that are no text.
fn mounts() -> Option<String> {
    let bytes = std::fs::read("/proc/self/mountinfo").ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A path as the mount table writes it, where the characters that would break a line stand by their octal numbers.
fn escaped(path: &str) -> String {
    let escaped = |c: char| match c {
        ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(c)),
        c => c.into(),
    };
    path.trim_end_matches('/').chars().map(escaped).collect()
}

/// Does a mount table have this place?
pub(super) fn has_mount(table: &str, path: &str) -> bool {
    let path = escaped(path);
    table.lines().any(|line| {
        line.split(' ')
            .nth(4)
            .is_some_and(|mount| mount.trim_end_matches('/') == path)
    })
}

/// Paths that a pattern may lead to, and patterns that one with braces may stand for; what more would lead to can't be told.
const CANDIDATES_MAX: usize = 4096;
/// Bytes of all of them.
const CANDIDATE_BYTES_MAX: usize = 1 << 20;
/// Names of directories that the tests of one unit look at, all together; one that is held against a long pattern counts more.
pub(crate) const NAMES_MAX: usize = 1 << 20;
/// Bytes of a pattern that count as much as a name.
const NAME_BYTES: usize = 16;

pub(super) fn exists_by_pattern(pattern: &str, host: &mut Host) -> Option<bool> {
    let mut room = Room {
        candidates: CANDIDATES_MAX,
        bytes: CANDIDATE_BYTES_MAX,
        names: host.names,
    };
    let answer = room.has_any(pattern);
    host.names = room.names;
    answer
}

impl Room {
    /// Does a pattern lead to anything? None where there was no room for all of it.
    fn has_any(&mut self, pattern: &str) -> Option<bool> {
        let mut found = false;
        self.each_alternative(pattern, |room, pattern| {
            found = room.finds(pattern);
            found
        })?;
        (found || !self.is_exceeded()).then_some(found)
    }

    /// Goes through what a pattern with braces stands for, until it is told to stop. None where there was no room for all of it.
    fn each_alternative(
        &mut self,
        pattern: &str,
        mut stop_at: impl FnMut(&mut Self, &str) -> bool,
    ) -> Option<()> {
        let mut patterns = vec![pattern.to_owned()];
        while let Some(pattern) = patterns.pop() {
            let Some(braces) = Braces::of(&pattern) else {
                if stop_at(self, &pattern) {
                    return Some(());
                }
                continue;
            };
            for part in braces.parts() {
                if !self.has(braces.length(part)) {
                    return None;
                }
                patterns.push(braces.with(part));
            }
        }
        Some(())
    }
}

/// What a pattern stands for by its braces; none where that is too much.
pub(crate) fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let mut room = Room {
        candidates: CANDIDATES_MAX,
        bytes: CANDIDATE_BYTES_MAX,
        names: NAMES_MAX,
    };
    let mut all = Vec::new();
    room.each_alternative(pattern, |_, one| {
        all.push(one.to_owned());
        false
    })?;
    Some(all)
}

/// The first braces of a pattern, and what is around them.
pub(super) struct Braces<'a> {
    before: &'a str,
    inside: &'a str,
    after: &'a str,
}

impl<'a> Braces<'a> {
    /// None without braces; a backslash takes its meaning from what follows.
    pub(super) fn of(pattern: &'a str) -> Option<Self> {
        let (mut depth, mut begin) = (0, 0);
        for (at, c) in plain(pattern) {
            match c {
                '{' if depth == 0 => (depth, begin) = (1, at),
                '{' => depth += 1,
                '}' if depth == 1 => {
                    return Some(Self {
                        before: pattern.get(..begin)?,
                        inside: pattern.get(begin + 1..at)?,
                        after: pattern.get(at + 1..)?,
                    });
                }
                '}' if depth > 1 => depth -= 1,
                _ => {}
            }
        }
        None
    }

    /// What commas part.
    fn parts(&self) -> impl Iterator<Item = &'a str> {
        let (mut depth, mut from) = (0, 0);
        let commas = plain(self.inside).filter_map(move |(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (c == ',' && depth == 0).then_some(at)
        });
        let inside = self.inside;
        commas.chain([inside.len()]).map(move |at| {
            let part = inside.get(from..at).unwrap_or_default();
            from = at + 1;
            part
        })
    }

    fn length(&self, part: &str) -> usize {
        self.before.len() + part.len() + self.after.len()
    }

    fn with(&self, part: &str) -> String {
        format!("{}{part}{}", self.before, self.after)
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<String> {
        self.parts().map(|part| self.with(part)).collect()
    }
}

/// The characters of a pattern with their places, but backslashes and what those stand before.
fn plain(pattern: &str) -> impl Iterator<Item = (usize, char)> {
    let mut is_escaped = false;
    pattern.char_indices().filter(move |(_, c)| {
        let is_plain = !is_escaped && *c != '\\';
        is_escaped = !is_escaped && *c == '\\';
        is_plain
    })
}

/// What one test may look at yet.
struct Room {
    candidates: usize,
    bytes: usize,
    names: usize,
}

impl Room {
    /// Takes room for one more path or pattern of so many bytes.
    fn has(&mut self, bytes: usize) -> bool {
        self.candidates = self.candidates.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        !self.is_exceeded()
    }

    fn is_exceeded(&self) -> bool {
        self.candidates == 0 || self.bytes == 0 || self.names == 0
    }

    /// Does a pattern without braces lead to anything? A `false` counts only where there was room for all of it.
    fn finds(&mut self, pattern: &str) -> bool {
        let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
        let mut found = vec![String::new()];
        for (at, part) in parts.iter().enumerate() {
            let is_last = at + 1 == parts.len();
            let mut next = Vec::new();
            for directory in &found {
                let is_full = !self.extends(directory, part, &mut next);
                // What a pattern names is there although it may be a link to nowhere.
                if is_last && next.drain(..).any(|path| is_there_itself(&path)) {
                    return true;
                }
                if is_full {
                    break;
                }
            }
            found = next;
        }
        parts.is_empty()
    }

    /// Adds the paths that a part of a pattern leads to in a directory; false where there is no room for more.
    fn extends(&mut self, directory: &str, part: &str, next: &mut Vec<String>) -> bool {
        if !part.contains(['*', '?', '[']) {
            let path = format!("{directory}/{}", without_escapes(part));
            let has_room = self.has(path.len());
            next.push(path);
            return has_room;
        }
        // A dot in front is matched by a dot alone.
        let takes_dots = part.strip_prefix('\\').unwrap_or(part).starts_with('.');
        for name in super::names(&format!("{directory}/")) {
            self.names = self.names.saturating_sub(1 + part.len() / NAME_BYTES);
            if name.starts_with('.') <= takes_dots && model::pattern::fits(part, &name) {
                let path = format!("{directory}/{name}");
                let has_room = self.has(path.len());
                next.push(path);
                if !has_room {
                    return false;
                }
            }
            if self.names == 0 {
                return false;
            }
        }
        true
    }
}

/// A text that a pattern without wildcards stands for.
pub(crate) fn without_escapes(part: &str) -> String {
    let mut chars = part.chars();
    let next = || match chars.next()? {
        '\\' => Some(chars.next().unwrap_or('\\')),
        c => Some(c),
    };
    std::iter::from_fn(next).collect()
}

/// Whether a path is there, be it a link to nowhere.
fn is_there_itself(path: &str) -> bool {
    Path::new(path).symlink_metadata().is_ok()
}

/// How deep disks lie on each other, as far as that is followed.
const LAYERS_MAX: u32 = 10;
/// Disks below one that are looked at.
const SLAVES_MAX: usize = 4096;

pub(super) fn is_encrypted(path: &str, _: &mut Host) -> Option<bool> {
    Some(device(path).is_some_and(|device| {
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let disk = format!("/sys/dev/block/{major}:{minor}");
        is_disk_encrypted(&disk, LAYERS_MAX)
    }))
}

/// The block device of a path's file system, or the one that the path is.
fn device(path: &str) -> Option<u64> {
    let found = metadata(path).ok()?;
    if found.file_type().is_block_device() {
        return Some(found.rdev());
    }
    if rustix::fs::major(found.dev()) != 0 {
        return Some(found.dev());
    }
    // File systems over several disks have numbers of their own: the mount table says one of the disks.
    let path = std::fs::canonicalize(path).ok()?;
    let table = mounts()?;
    let fitting = table.lines().filter_map(|line| {
        let place = line.split(' ').nth(4)?;
        let (_, rest) = line.split_once(" - ")?;
        let source = rest.split(' ').nth(1)?;
        let fits = Path::new(&escaped(&path.to_string_lossy())).starts_with(place);
        (fits || place == "/").then_some((place.len(), source))
    });
    let (_, source) = fitting.max_by_key(|(length, _)| *length)?;
    let source = source
        .starts_with("/dev/")
        .then(|| metadata(source).ok())??;
    source.file_type().is_block_device().then(|| source.rdev())
}

fn is_disk_encrypted(disk: &str, layers: u32) -> bool {
    if super::line(&format!("{disk}/dm/uuid")).starts_with("CRYPT-") {
        return true;
    }
    let slaves = format!("{disk}/slaves");
    let below: Vec<String> = super::names(&slaves).take(SLAVES_MAX).collect();
    let is_encrypted = |name: &String| is_disk_encrypted(&format!("{slaves}/{name}"), layers - 1);
    layers > 0 && !below.is_empty() && below.iter().all(is_encrypted)
}

pub(super) fn is_credential(name: &str, host: &mut Host) -> Option<bool> {
    if !super::machine::is_file_name(name) {
        return Some(false);
    }
    let handed = crate::credentials::handed(&crate::environment::Variables::of(host.keeper));
    let is_in = |place: &String| is_there_itself(&format!("{place}/{name}"));
    Some(handed.iter().any(is_in))
}

/// A directory is brought up to date where /usr is younger than its stamp. In doubt it is.
pub(super) fn needs_update(path: &str, _: &mut Host) -> Option<bool> {
    if let Some(said) = super::machine::switch("systemd.condition_needs_update") {
        return Some(said);
    }
    if super::there("/etc/initrd-release") || is_read_only(path) == Ok(true) {
        return Some(false);
    }
    let stamp = Path::new(path).join(".updated");
    let (Ok(other), Ok(usr)) = (stamp.symlink_metadata(), metadata("/usr")) else {
        return Some(true);
    };
    let (usr_s, other_s) = (usr.mtime(), other.mtime());
    let (usr_ns, other_ns) = (usr.mtime_nsec(), other.mtime_nsec());
    if usr_s != other_s {
        return Some(usr_s > other_s);
    }
    if usr_ns == 0 || other_ns > 0 {
        return Some(usr_ns > other_ns);
    }
    // A file system that counts whole seconds: the stamp itself says the rest.
    let bytes = crate::beginning::of_file_itself(&stamp, super::FILE_BYTES_MAX);
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let written = load::assigned(&text, "TIMESTAMP_NSEC").and_then(|text| text.parse::<i64>().ok());
    let usr_ns = usr_s.saturating_mul(1_000_000_000).saturating_add(usr_ns);
    Some(written.is_none_or(|written| usr_ns > written))
}
