//! Where the directories of a portable are: by their public names, and where they really are with a dynamic user.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use delivery::portables::Portable;
use kernel::walk::Place;
use model::{UnitKind, key};
use rustix::fs::{Mode, OFlags};

use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::portable::configure::BIND;

/// Where each kind of directory lies, and how it is called on the command line.
const HOMES: [(&str, &str); 4] = [
    ("state", "/var/lib"),
    ("cache", "/var/cache"),
    ("logs", "/var/log"),
    ("configuration", "/etc"),
];

/// Configuration is the administrator's also with a dynamic user.
const CONFIGURATION: &str = "/etc";

/// Refuses words that are no kind of directory.
///
/// # Errors
/// When one is none.
pub(crate) fn check_kinds(words: &[String]) -> Result<()> {
    let is_known = |word: &&String| HOMES.iter().any(|(kind, _)| kind == word);
    match words.iter().find(|word| !is_known(word)) {
        None => Ok(()),
        Some(word) => Err(hint(
            format!("--without={word}: there is no such kind of directory"),
            "kinds are state, cache, logs and configuration",
        )),
    }
}

/// The home of a directory and its path below it; none for runtime directories, which hold nothing that lasts, and for what is no
/// directory that a portable may have.
pub(crate) fn home(public: &str) -> Option<(&'static str, &str)> {
    let plain = |rest: &str| {
        let parts = || rest.split('/');
        !rest.is_empty() && parts().all(|part| !matches!(part, "" | "." | ".." | "private"))
    };
    HOMES.iter().find_map(|(_, home)| {
        let rest = public.strip_prefix(home)?.strip_prefix('/')?;
        plain(rest).then_some((*home, rest))
    })
}

/// Whether a directory holds configuration, which is root's.
pub(crate) fn is_configuration(public: &str) -> bool {
    home(public).is_some_and(|(home, _)| home == CONFIGURATION)
}

/// The directories of a portable that last, by their public names; those in others come with them.
pub(crate) fn lasting<'p>(portable: &'p Portable, without: &[String]) -> Vec<&'p str> {
    let is_left_out = |home: &str| {
        let kind = HOMES.iter().find(|(_, other)| *other == home);
        kind.is_some_and(|(kind, _)| without.iter().any(|word| word == kind))
    };
    let own = portable.directories.iter().map(String::as_str);
    let own: Vec<&str> = own
        .filter(|path| home(path).is_some_and(|(home, _)| !is_left_out(home)))
        .collect();
    let is_in = |path: &str, other: &str| {
        path.strip_prefix(other)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    let is_outer = |path: &&&str| !own.iter().any(|other| is_in(path, other));
    own.iter().filter(is_outer).copied().collect()
}

/// Paths of the host that services may write to by a grant or by `configure --bind`, as far as something is there: they stay the host's, and are neither packed
/// nor removed.
pub(crate) fn of_host(portable: &Portable) -> Vec<&str> {
    let granted = portable.grants.iter();
    let granted = granted.filter(|grant| grant.name() == "path");
    let granted = granted.filter_map(|grant| grant.value());
    let bound = portable.settings.get(BIND).into_iter().flatten();
    let bound = bound.map(|rule| {
        rule.trim_start_matches('-')
            .split(':')
            .next()
            .unwrap_or(rule)
    });
    let is_there = |path: &&str| Path::new(path).symlink_metadata().is_ok();
    let is_own = |path: &str| portable.directories.contains(path);
    let mut paths: Vec<&str> = granted.chain(bound).filter(is_there).collect();
    paths.retain(|path| !is_own(path));
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Where a directory is, or is to be: below `private` where it is there, or where the user is dynamic and nothing is there yet.
pub(crate) fn real(public: &str, is_dynamic: bool) -> Option<PathBuf> {
    let (home, rest) = home(public)?;
    let private = Path::new(home).join("private").join(rest);
    let is_directory = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    let public = PathBuf::from(public);
    Some(match home {
        CONFIGURATION => public,
        _ if is_directory(&private) => private,
        _ if is_directory(&public) || !is_dynamic => public,
        _ => private,
    })
}

/// Below which a directory may be written before it is in its place: on the same file system, where only root has a say.
pub(crate) fn base(real: &Path) -> Option<PathBuf> {
    let (home, _) = home(real.to_str()?.replace("/private/", "/").as_str())?;
    let private = Path::new(home).join("private");
    Some(match real.starts_with(&private) {
        true => private,
        false => home.into(),
    })
}

/// The way to a path that services may have a say in.
pub(crate) fn place(path: &Path) -> Result<Place> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    Ok(Place::find(&name, |_| None)?)
}

/// Opens a directory; none where there is none.
///
/// # Errors
/// When it can't be opened, or something else is there.
pub(crate) fn open(path: &Path) -> Result<Option<File>> {
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let open = || -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        Ok(place(path)?.open_with(flags, Mode::empty())?.into())
    };
    let opened = open().or_hint(
        || format!("cannot read {}", path.display()),
        "see who has put what there: `ls -ld` shows it",
    )?;
    Ok(Some(opened))
}

/// Whether a service of the portable runs as root: then what it has stored may be several users' of its image.
pub(crate) fn runs_as_root(context: &Context, portable: &Portable) -> Result<bool> {
    let loader = crate::check::loader(context);
    let version = portable.versions.get(&portable.current);
    for unit in version.into_iter().flat_map(|version| &version.units) {
        let name: model::UnitName = unit.parse()?;
        if name.kind() == UnitKind::Service && is_roots(&loader.load(&name).unit) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a service runs as root.
pub(crate) fn is_roots(unit: &model::Unit) -> bool {
    let user = unit.value(&key::USER);
    !unit.value(&key::DYNAMIC_USER) && matches!(user.as_str(), "" | "root" | "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_below_the_homes_moves_and_what_is_in_it_comes_with_it() {
        let record = serde_json::json!({
            "name": "web", "current": "1", "versions": {}, "signer": null, "trust": "insecure", "origin": "", "grants": [],
            "directories": ["/etc/web", "/run/web", "/var/cache/web", "/var/lib/web", "/var/lib/web-more", "/var/lib/web/inner", "/srv/web"]
        });
        let portable: Portable = serde_json::from_value(record).unwrap();
        let check = |without: &[&str], expected: &[&str]| {
            let without: Vec<String> = without.iter().map(|word| word.to_string()).collect();
            assert_eq!(lasting(&portable, &without), expected);
        };
        check(
            &[],
            &[
                "/etc/web",
                "/var/cache/web",
                "/var/lib/web",
                "/var/lib/web-more",
            ],
        );
        check(
            &["cache", "configuration"],
            &["/var/lib/web", "/var/lib/web-more"],
        );
        assert!(check_kinds(&["cache".to_owned()]).is_ok());
        assert!(check_kinds(&["caches".to_owned()]).is_err());
    }

    #[test]
    fn what_services_may_write_to_beside_their_own_is_the_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let [granted, bound] = ["granted", "bound"].map(|name| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path.display().to_string()
        });
        let record = serde_json::json!({
            "name": "web", "current": "1", "versions": {}, "signer": null, "trust": "insecure", "origin": "",
            "grants": [format!("path:{granted}"), "path:/not/there", "path:/etc", "path-read-only:/usr", "network"],
            "directories": ["/etc"], "settings": { "bind": [format!("{bound}:/data"), granted], "bind-read-only": ["/usr"] }
        });
        let portable: Portable = serde_json::from_value(record).unwrap();
        assert_eq!(of_host(&portable), [&bound, &granted]);
    }

    #[test]
    fn nothing_else_than_directories_of_services_has_a_home() {
        for path in [
            "/var/lib",
            "/var/lib/",
            "/var/lib/../x",
            "/var/lib/a//b",
            "/var/lib/private",
            "/var/libx/a",
            "/usr/a",
            "a",
        ] {
            assert_eq!(home(path), None, "{path}");
        }
        assert_eq!(home("/var/lib/a/b"), Some(("/var/lib", "a/b")));
        let private = real("/var/lib/coracle-no-such/a", true).unwrap();
        assert_eq!(private, Path::new("/var/lib/private/coracle-no-such/a"));
        assert_eq!(base(&private).unwrap(), Path::new("/var/lib/private"));
        assert_eq!(base(Path::new("/etc/a")).unwrap(), Path::new("/etc"));
        assert_eq!(
            real("/etc/coracle-no-such", true).unwrap(),
            Path::new("/etc/coracle-no-such")
        );
    }
}
