//! Debian packages as a source: `mmdebstrap` makes a root of them, and the packages say which units are theirs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::manifest::{Manifest, ManifestError};

/// What makes a root of packages.
const PROGRAM: &str = "mmdebstrap";

/// What the address of a mirror begins with: mmdebstrap would take other words for options, for files, or for whole lists of sources.
const MIRRORS: [&str; 3] = ["http://", "https://", "file://"];

/// A package's list of files, in bytes.
const LIST_LIMIT_BYTES: u64 = 16 << 20;

/// The list of all that is installed.
const STATUS_LIMIT_BYTES: u64 = 64 << 20;

/// What is of one installation and not of the packages: logs, caches, lists, keys and names of a host, numbers of users that were before.
const OF_ONE_INSTALLATION: [&str; 18] = [
    "boot",
    "dev",
    "proc",
    "run",
    "sys",
    "tmp",
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/hostname",
    "etc/machine-id",
    "etc/passwd-",
    "etc/resolv.conf",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "var/lib/apt/lists",
    "var/lib/dbus/machine-id",
];

/// The same, of which the directories stay.
const EMPTIED: [&str; 3] = ["var/log", "var/cache", "var/tmp"];

/// Which packages, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    /// Their names.
    pub names: Vec<String>,
    /// The suite, such as `trixie`; what the mirror calls stable without it.
    pub suite: Option<String>,
    /// Where they are fetched from.
    pub mirror: Option<String>,
}

/// Why no root was made of packages.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// A name that is none.
    #[error("{0:?} is no name of a package")]
    Name(String),
    /// A mirror that is no address.
    #[error(
        "{0:?} is no mirror: expected an address that begins with http://, https:// or file:// and has no blanks"
    )]
    Mirror(String),
    /// The program is not there.
    #[error(
        "mmdebstrap is not installed: `apt install mmdebstrap` adds what makes a root of Debian's packages"
    )]
    Missing,
    /// It can't be run.
    #[error("cannot run mmdebstrap")]
    Run(#[source] io::Error),
    /// It failed; it has said why.
    #[error("mmdebstrap could not make a root of {packages} ({status}): it has said why above")]
    Failed {
        /// Of which.
        packages: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
}

impl Packages {
    /// Makes an archive of a root with these packages and what they need. What the program says goes to standard error.
    ///
    /// # Errors
    /// See [`PackagesError`].
    pub(crate) fn make(&self, archive: &Path, epoch_s: u32) -> Result<(), PackagesError> {
        self.make_with(OsStr::new(PROGRAM), archive, epoch_s)
    }

    fn make_with(
        &self,
        program: &OsStr,
        archive: &Path,
        epoch_s: u32,
    ) -> Result<(), PackagesError> {
        let status = Command::new(program)
            .args(self.words(archive)?)
            .env("SOURCE_DATE_EPOCH", epoch_s.to_string())
            .stdout(io::stderr())
            .status();
        match status {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(PackagesError::Missing),
            Err(error) => Err(PackagesError::Run(error)),
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(PackagesError::Failed {
                packages: self.names.join(", "),
                status,
            }),
        }
    }

    /// Whether these can be names of packages, and the mirror one.
    ///
    /// # Errors
    /// See [`PackagesError`].
    pub(crate) fn check(&self) -> Result<(), PackagesError> {
        self.words(Path::new("")).map(drop)
    }

    fn words(&self, archive: &Path) -> Result<Vec<String>, PackagesError> {
        let is_sound = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphanumeric())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"+-.:=~".contains(&b))
        };
        let suite = self.suite.as_deref().unwrap_or("stable");
        let mut all = self.names.iter().map(String::as_str).chain([suite]);
        if let Some(wrong) = all.find(|name| !is_sound(name)) {
            return Err(PackagesError::Name(wrong.into()));
        }
        if let Some(wrong) = self.mirror.as_ref().filter(|mirror| !is_mirror(mirror)) {
            return Err(PackagesError::Mirror(wrong.clone()));
        }
        let mut words = vec![
            "--quiet".to_owned(),
            "--variant=essential".to_owned(),
            "--format=tar".to_owned(),
            // Device nodes: a service finds its own.
            "--skip=output/dev".to_owned(),
            format!("--include={}", self.names.join(",")),
            "--".to_owned(),
            suite.to_owned(),
            archive.display().to_string(),
        ];
        words.extend(self.mirror.clone());
        Ok(words)
    }
}

fn is_mirror(text: &str) -> bool {
    let place = MIRRORS.iter().find_map(|scheme| text.strip_prefix(scheme));
    place.is_some_and(|place| {
        !place.is_empty() && !place.chars().any(|c| c.is_whitespace() || c.is_control())
    })
}

/// Takes away what is of one installation.
pub(crate) fn clean(manifest: &mut Manifest) -> Result<(), ManifestError> {
    for path in OF_ONE_INSTALLATION.iter().chain(&EMPTIED) {
        manifest.remove(Path::new(path));
    }
    for path in EMPTIED {
        manifest.directory(Path::new(path), 0o755)?;
    }
    // Keys that an installation made for itself.
    manifest.remove_where(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        (path.starts_with("etc/ssh") && name.starts_with("ssh_host_"))
            || path == Path::new("etc/ssl/private/ssl-cert-snakeoil.key")
    });
    Ok(())
}

/// What the names of units begin with that these packages ship.
pub(crate) fn units(
    manifest: &Manifest,
    names: &[String],
) -> Result<BTreeSet<String>, ManifestError> {
    let mut found = BTreeSet::new();
    for name in names {
        let name = name.split([':', '=']).next().unwrap_or(name);
        let listed = manifest.names("var/lib/dpkg/info").filter(|file| {
            let stem = file.strip_suffix(".list").unwrap_or_default();
            stem.split(':').next() == Some(name)
        });
        for file in listed {
            let text = manifest.text(&format!("var/lib/dpkg/info/{file}"), LIST_LIMIT_BYTES)?;
            found.extend(text.unwrap_or_default().lines().filter_map(prefix));
        }
    }
    Ok(found)
}

/// What a unit's name begins with, of a path that is a unit's.
fn prefix(path: &str) -> Option<String> {
    let path = PathBuf::from(path);
    let directory = path.parent()?.to_str()?;
    let name = path.file_name()?.to_str()?;
    let is_unit = directory.ends_with("lib/systemd/system") && crate::tree::is_unit_name(name);
    let (stem, kind) = name.rsplit_once('.')?;
    let is_ours = is_unit && ["service", "socket", "timer", "path", "target"].contains(&kind);
    is_ours
        .then(|| stem.split('@').next().unwrap_or(stem).to_owned())
        .filter(|stem| !stem.is_empty())
}

/// The version of a package, without its epoch.
pub(crate) fn version(manifest: &Manifest, name: &str) -> Result<Option<String>, ManifestError> {
    let status = manifest
        .text("var/lib/dpkg/status", STATUS_LIMIT_BYTES)?
        .unwrap_or_default();
    let name = name.split([':', '=']).next().unwrap_or(name);
    let record = status.split("\n\n").find(|record| {
        record
            .lines()
            .any(|line| line.strip_prefix("Package: ") == Some(name))
    });
    let version = record.and_then(|record| {
        record
            .lines()
            .find_map(|line| line.strip_prefix("Version: "))
    });
    Ok(version.map(|version| {
        version
            .split_once(':')
            .map_or(version, |(_, rest)| rest)
            .to_owned()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(names: &[&str]) -> Packages {
        Packages {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            suite: Some("trixie".into()),
            mirror: Some("http://mirror".into()),
        }
    }

    #[test]
    fn what_is_no_name_is_no_option_either() {
        let words = packages(&["nginx", "g++"])
            .words(Path::new("/x.tar"))
            .unwrap();
        assert_eq!(
            words.join(" "),
            "--quiet --variant=essential --format=tar --skip=output/dev --include=nginx,g++ -- trixie /x.tar http://mirror"
        );
        for name in ["--hook=x", "a b", "", "a;b", "-x"] {
            let error = packages(&[name]).words(Path::new("/x")).unwrap_err();
            assert!(matches!(error, PackagesError::Name(_)), "{name}");
        }
    }

    #[test]
    fn a_mirror_is_an_address_and_never_an_option() {
        let words = |mirror: &str| {
            let packages = Packages {
                mirror: Some(mirror.into()),
                ..packages(&["nginx"])
            };
            packages.words(Path::new("/x.tar"))
        };
        for mirror in ["http://a/b", "https://a:8/b", "file:///srv/mirror"] {
            assert_eq!(words(mirror).unwrap().last().unwrap(), mirror);
        }
        for mirror in [
            "--customize-hook=touch /x",
            "-",
            "",
            "http://",
            "/etc/apt/sources.list",
            "deb http://a trixie main",
            "http://a b",
            "http://a\nb",
            "http://a\u{1b}b",
            "copy:///a",
        ] {
            let error = words(mirror).unwrap_err();
            assert!(matches!(error, PackagesError::Mirror(_)), "{mirror}");
        }
    }

    #[test]
    fn a_host_without_the_program_is_told_what_to_install() {
        let error = packages(&["a"])
            .make_with(OsStr::new("/nowhere/mmdebstrap"), Path::new("/x"), 0)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "mmdebstrap is not installed: `apt install mmdebstrap` adds what makes a root of Debian's packages"
        );
        let error = packages(&["a", "b"])
            .make_with(OsStr::new("/bin/false"), Path::new("/x"), 0)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "mmdebstrap could not make a root of a, b (exit status: 1): it has said why above"
        );
    }

    #[test]
    fn units_and_version_are_those_that_the_packages_say() {
        let mut manifest = Manifest::default();
        let list = "/.\n/lib/systemd/system/ssh.service\n/usr/lib/systemd/system/sshd@.service\n/usr/lib/systemd/system/ssh.socket\n/etc/x.service\n";
        manifest
            .put("var/lib/dpkg/info/openssh-server.list", 0o644, list)
            .unwrap();
        manifest
            .put(
                "var/lib/dpkg/info/other:amd64.list",
                0o644,
                "/usr/lib/systemd/system/other.service\n",
            )
            .unwrap();
        let status = "Package: openssh\nVersion: 1\n\nPackage: openssh-server\nStatus: x\nVersion: 1:10.0p1-7\n";
        manifest.put("var/lib/dpkg/status", 0o644, status).unwrap();
        manifest.put("var/log/x", 0o644, "").unwrap();
        manifest.put("etc/ssh/ssh_host_rsa_key", 0o600, "").unwrap();
        manifest.put("etc/ssh/sshd_config", 0o644, "").unwrap();
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            units(&manifest, &names)
                .unwrap()
                .into_iter()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(of(&["openssh-server"]), "ssh sshd");
        assert_eq!(of(&["openssh-server=1", "other"]), "other ssh sshd");
        assert_eq!(
            version(&manifest, "openssh-server").unwrap().as_deref(),
            Some("10.0p1-7")
        );
        clean(&mut manifest).unwrap();
        assert!(manifest.has(Path::new("var/log")) && !manifest.has(Path::new("var/log/x")));
        assert!(
            manifest.has(Path::new("etc/ssh/sshd_config"))
                && !manifest.has(Path::new("etc/ssh/ssh_host_rsa_key"))
        );
    }
}
