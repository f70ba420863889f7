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
pub(super) fn is_left_over(name: &str) -> bool {
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
        None => super::names(path).iter().any(|name| !is_left_over(name)),
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

/// The mount table, whole: it can be long.
fn mounts() -> Option<String> {
    std::fs::read_to_string("/proc/self/mountinfo").ok()
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

/// Paths that a pattern may lead to at once; more are not looked at.
const CANDIDATES_MAX: usize = 4096;

pub(super) fn exists_by_pattern(pattern: &str, _: &mut Host) -> Option<bool> {
    let mut patterns = vec![pattern.to_owned()];
    let mut seen = 0;
    while let Some(pattern) = patterns.pop() {
        seen += 1;
        if seen > CANDIDATES_MAX {
            return None;
        }
        match alternatives(&pattern) {
            Some(more) => patterns.extend(more),
            None if exists_by_plain_pattern(&pattern) => return Some(true),
            None => {}
        }
    }
    Some(false)
}

/// The patterns that one with braces stands for; `None` without braces.
pub(super) fn alternatives(pattern: &str) -> Option<Vec<String>> {
    let (before, rest) = pattern.split_once('{')?;
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                parts.push(rest.get(from..at)?);
                from = at + 1;
            }
            '}' => {
                parts.push(rest.get(from..at)?);
                let after = rest.get(at + 1..)?;
                let whole = |part: &&str| format!("{before}{part}{after}");
                return Some(parts.iter().map(whole).collect());
            }
            _ => {}
        }
    }
    None
}

fn exists_by_plain_pattern(pattern: &str) -> bool {
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let is_pattern = part.contains(['*', '?', '[']);
        for directory in std::mem::take(&mut found) {
            let names = if is_pattern {
                super::names(&format!("{directory}/"))
            } else {
                vec![part.to_owned()]
            };
            for name in names {
                // A dot in front is matched by a dot alone.
                let fits = name.starts_with('.') <= part.starts_with('.')
                    && model::pattern::matches(part, &name);
                if (fits || !is_pattern) && found.len() < CANDIDATES_MAX {
                    found.push(format!("{directory}/{name}"));
                }
            }
        }
    }
    // What a pattern names is there although it may be a link to nowhere.
    found.iter().any(|path| is_there_itself(path))
}

/// Whether a path is there, be it a link to nowhere.
fn is_there_itself(path: &str) -> bool {
    Path::new(path).symlink_metadata().is_ok()
}

/// How deep disks lie on each other, as far as that is followed.
const LAYERS_MAX: u32 = 10;

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
    let below = super::names(&slaves);
    let is_encrypted = |name: &String| is_disk_encrypted(&format!("{slaves}/{name}"), layers - 1);
    layers > 0 && !below.is_empty() && below.iter().all(is_encrypted)
}

/// Where credentials of the whole system are.
const CREDENTIALS: &[&str] = &["/run/credentials/@system", "/run/credentials/@encrypted"];

pub(super) fn is_credential(name: &str, _: &mut Host) -> Option<bool> {
    let own = std::env::var("CREDENTIALS_DIRECTORY").unwrap_or_default();
    let is_in = |place: &str| !place.is_empty() && is_there_itself(&format!("{place}/{name}"));
    let is_there = is_in(&own) || CREDENTIALS.iter().any(|place| is_in(place));
    Some(is_there && super::machine::is_file_name(name))
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
    let text = stamp.to_str().and_then(super::text).unwrap_or_default();
    let written = load::assigned(&text, "TIMESTAMP_NSEC").and_then(|text| text.parse::<i64>().ok());
    let usr_ns = usr_s.saturating_mul(1_000_000_000).saturating_add(usr_ns);
    Some(written.is_none_or(|written| usr_ns > written))
}
