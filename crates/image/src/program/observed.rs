//! What a program opened while it was watched: what of it an image takes, as what, and what never.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::libraries::Collector;
use super::merge;
use crate::build::BuildError;
use crate::manifest::Manifest;

/// One file, by the name that it was asked for, and where that leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Opened {
    /// The name.
    pub named: PathBuf,
    /// Without links.
    pub real: PathBuf,
    /// Which file it was: its device and inode.
    pub identity: (u64, u64),
    /// Whether it was executed.
    pub executed: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in the image, for this reason.
    Taken(&'static str),
    /// It is not.
    Left(&'static str),
}

/// Never taken, with all below: what is the kernel's, of this host, of one run, or somebody's own.
const NEVER: [(&str, &str); 12] = [
    ("/proc", "of the kernel"),
    ("/sys", "of the kernel"),
    ("/dev", "of the kernel"),
    ("/tmp", "of one run"),
    ("/var/tmp", "of one run"),
    ("/run", "of one run"),
    ("/var/run", "of one run"),
    ("/home", "somebody's own"),
    ("/root", "somebody's own"),
    ("/etc/ssl/private", "a secret"),
    ("/etc/ssh", "a secret"),
    ("/boot", "of this host"),
];

/// Never taken: single files.
const NEVER_FILES: [(&str, &str); 14] = [
    ("/etc/shadow", "a secret"),
    ("/etc/shadow-", "a secret"),
    ("/etc/gshadow", "a secret"),
    ("/etc/gshadow-", "a secret"),
    ("/etc/krb5.keytab", "a secret"),
    ("/etc/passwd", "the image has its own"),
    ("/etc/group", "the image has its own"),
    ("/etc/ld.so.cache", "the image's loader looks for itself"),
    ("/etc/ld.so.preload", "of this host"),
    ("/etc/hosts", "comes from the host at the start"),
    ("/etc/resolv.conf", "comes from the host at the start"),
    ("/etc/machine-id", "comes from the host at the start"),
    ("/etc/hostname", "of this host"),
    ("/etc/fstab", "of this host"),
];

/// What is taken, by where it is or what it is called.
const REASONS: [(&str, &str); 16] = [
    ("/usr/lib/locale/", "locale"),
    ("/usr/share/locale", "locale"),
    ("/usr/share/i18n/", "locale"),
    ("/etc/locale", "locale"),
    ("/gconv/", "locale"),
    ("/etc/localtime", "time zone"),
    ("/etc/timezone", "time zone"),
    ("/zoneinfo/", "time zone"),
    ("/etc/ssl/", "certificates"),
    ("/ca-certificates", "certificates"),
    ("/etc/pki/", "certificates"),
    ("/libnss_", "name service"),
    ("/etc/nsswitch.conf", "name service"),
    ("/etc/services", "name service"),
    ("/etc/protocols", "name service"),
    ("/etc/gai.conf", "name service"),
];

/// What becomes of a file.
fn fate(opened: &Opened) -> Fate {
    for path in [&opened.named, &opened.real] {
        let directory = NEVER.iter().find(|(never, _)| path.starts_with(never));
        let file = NEVER_FILES
            .iter()
            .find(|(never, _)| path == Path::new(never));
        if let Some((_, why)) = directory.or(file) {
            return Fate::Left(why);
        }
    }
    // A file of which others may not know the content is a secret, whatever it is called.
    match fs::metadata(&opened.real) {
        Ok(metadata) if metadata.mode() & 0o004 == 0 => {
            return Fate::Left("a secret: others may not read it");
        }
        // The name may have led elsewhere when the program opened it, and what is there now was not asked for.
        Ok(metadata) if (metadata.dev(), metadata.ino()) != opened.identity => {
            return Fate::Left("not the file that was opened");
        }
        Ok(metadata) if metadata.is_file() || metadata.is_dir() => {}
        Ok(_) => return Fate::Left("no file"),
        Err(_) => return Fate::Left("gone"),
    }
    // What lies where others may not go is none of theirs, either.
    let mut directories = [&opened.named, &opened.real]
        .into_iter()
        .flat_map(|path| path.ancestors().skip(1));
    if directories.any(|one| fs::metadata(one).is_ok_and(|metadata| metadata.mode() & 0o001 == 0)) {
        return Fate::Left("a secret: others may not go where it is");
    }
    let texts = [
        opened.named.to_string_lossy(),
        opened.real.to_string_lossy(),
    ];
    let known = REASONS
        .iter()
        .find(|(part, _)| texts.iter().any(|text| text.contains(part)));
    Fate::Taken(match known {
        Some((_, reason)) => reason,
        None if opened.executed => "program",
        None if texts[1].contains(".so") => "library",
        None if opened.real.is_dir() => "directory",
        None => "file",
    })
}

/// Puts into an image what it takes; each file with its fate comes back, sorted.
pub(super) fn take(
    manifest: &mut Manifest,
    libraries: &mut Collector,
    opened: &[Opened],
) -> Result<Vec<(PathBuf, Fate)>, BuildError> {
    let mut fates = BTreeMap::new();
    for one in opened {
        let fate = fate(one);
        fates.insert(one.named.clone(), fate);
        if matches!(fate, Fate::Left(_)) {
            continue;
        }
        let real = inside(&one.real);
        if one.real.is_dir() {
            if !manifest.below_link(&real) {
                manifest.directory(&real, 0o755)?;
            }
        } else if !manifest.has(&real) && !manifest.below_link(&real) {
            let executable =
                fs::metadata(&one.real).is_ok_and(|metadata| metadata.mode() & 0o111 != 0);
            manifest.put_copy(&one.real, &real, if executable { 0o755 } else { 0o644 })?;
            libraries.collect_if_elf(&one.real, &real)?;
        }
        let named = inside(&one.named);
        if named != real && !manifest.has(&named) && !manifest.below_link(&named) {
            let (named, target) = (named.to_string_lossy(), Path::new("/").join(&real));
            manifest.link(&named, &target.to_string_lossy())?;
        }
    }
    Ok(fates.into_iter().collect())
}

/// A path of the host's as it is in the image.
fn inside(path: &Path) -> PathBuf {
    merge(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(named: &str, real: &str, expected: Fate) {
        let opened = Opened {
            named: named.into(),
            real: real.into(),
            identity: fs::metadata(real)
                .map_or((0, 0), |metadata| (metadata.dev(), metadata.ino())),
            executed: false,
        };
        assert_eq!(fate(&opened), expected, "{named}");
    }

    #[test]
    fn what_is_secret_or_of_this_host_is_never_taken() {
        for path in ["/etc/shadow", "/etc/ssl/private/x", "/etc/gshadow-"] {
            check(path, path, Fate::Left("a secret"));
        }
        for path in ["/home/x/.netrc", "/root/.ssh/id"] {
            check(path, path, Fate::Left("somebody's own"));
        }
        check(
            "/proc/self/status",
            "/proc/7/status",
            Fate::Left("of the kernel"),
        );
        // Whatever it is called: where it leads counts.
        check("/usr/share/x", "/etc/shadow", Fate::Left("a secret"));
        check(
            "/etc/passwd",
            "/etc/passwd",
            Fate::Left("the image has its own"),
        );
        let dir = tempfile::tempdir_in("/var/lib").unwrap();
        let own = dir.path().join("key");
        fs::write(&own, "x").unwrap();
        fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
        let own = own.to_str().unwrap();
        check(own, own, Fate::Left("a secret: others may not read it"));
    }

    #[test]
    fn what_lies_where_others_may_not_go_is_left() {
        let dir = tempfile::tempdir_in("/var/lib").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode;
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let file = inner.join("file");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, mode(0o644)).unwrap();
        let name = file.to_str().unwrap();
        for (outer, own, expected) in [
            (
                0o700,
                0o755,
                Fate::Left("a secret: others may not go where it is"),
            ),
            (
                0o755,
                0o750,
                Fate::Left("a secret: others may not go where it is"),
            ),
            (0o755, 0o755, Fate::Taken("file")),
        ] {
            fs::set_permissions(dir.path(), mode(outer)).unwrap();
            fs::set_permissions(&inner, mode(own)).unwrap();
            check(name, name, expected);
        }
    }

    #[test]
    fn what_was_replaced_after_it_was_opened_is_left() {
        let dir = tempfile::tempdir_in("/var/lib").unwrap();
        fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let (file, other) = (dir.path().join("file"), dir.path().join("other"));
        fs::write(&file, "x").unwrap();
        fs::write(&other, "y").unwrap();
        let metadata = fs::metadata(&file).unwrap();
        let opened = Opened {
            named: file.clone(),
            real: file.clone(),
            identity: (metadata.dev(), metadata.ino()),
            executed: false,
        };
        assert_eq!(fate(&opened), Fate::Taken("file"));
        fs::rename(&other, &file).unwrap();
        assert_eq!(fate(&opened), Fate::Left("not the file that was opened"));
    }

    #[test]
    fn what_is_taken_has_a_reason() {
        check(
            "/etc/nsswitch.conf",
            "/etc/nsswitch.conf",
            Fate::Taken("name service"),
        );
        check("/usr/bin/env", "/usr/bin/env", Fate::Taken("file"));
        check(
            "/usr/share/zoneinfo/UTC",
            "/usr/share",
            Fate::Taken("time zone"),
        );
        check("/usr/share", "/usr/share", Fate::Taken("directory"));
    }
}
