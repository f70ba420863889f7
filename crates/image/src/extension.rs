//! Extensions: trees that are laid over /usr and /opt (sysext) or /etc (confext) of another, if they are made for it.

use serde::{Deserialize, Serialize};

use crate::os_release::{self, OsRelease, OsReleaseError};
use crate::tree::{self, Files, TreeError, UnitFile};

/// Where an extension says what it is made for, and what says of which level it has to be.
const KINDS: [(&str, &str, &str); 2] = [
    (
        "usr/lib/extension-release.d",
        "SYSEXT_LEVEL",
        "/usr and /opt",
    ),
    ("etc/extension-release.d", "CONFEXT_LEVEL", "/etc"),
];

const PREFIX: &str = "extension-release.";

/// What an extension is made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Index of its kind.
    kind: usize,
    values: OsRelease,
}

/// Why an extension does not fit.
#[derive(Debug, thiserror::Error)]
pub enum ExtensionError {
    /// It can't be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// One of the files that say what is there is damaged.
    #[error("{path}: {source}")]
    Damaged {
        /// Which.
        path: String,
        /// What is wrong.
        #[source]
        source: OsReleaseError,
    },
    /// The file that says what it is made for is not there.
    #[error(
        "it is no extension named {name}: it has neither usr/lib/extension-release.d/{PREFIX}{name} nor etc/extension-release.d/{PREFIX}{name}"
    )]
    NoRelease {
        /// The name that its file gives it.
        name: String,
    },
    /// Both kinds at once.
    #[error("it says of itself that it is for /usr and that it is for /etc: it can be one of both")]
    Both,
    /// What it is laid over does not say what it is.
    #[error("what it is laid over has neither etc/os-release nor usr/lib/os-release")]
    NoBase,
    /// It is made for another system.
    #[error("it is made for {key}={wanted}, and what it is laid over has {key}={found}")]
    Other {
        /// Which assignment.
        key: &'static str,
        /// The extension's.
        wanted: String,
        /// What is there; empty where nothing is.
        found: String,
    },
}

/// The name that an extension's file or directory gives it: without the ending, and without a version behind an underscore.
#[must_use]
pub fn name_of(path: &str) -> &str {
    let file = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(path);
    let stem = [".raw", ".psi"]
        .iter()
        .find_map(|ending| file.strip_suffix(ending));
    let stem = stem.unwrap_or(file);
    stem.split_once('_').map_or(stem, |(name, _)| name)
}

/// Reads what an extension is made for. One file alone does, whatever its name, where it is marked so; by name else.
///
/// # Errors
/// Where no file says so.
pub(crate) fn release(root: &impl Files, name: &str) -> Result<Release, ExtensionError> {
    let mut found = None;
    for (kind, (directory, ..)) in KINDS.iter().enumerate() {
        let path = format!("{directory}/{PREFIX}{name}");
        let Some(text) = root.text(&path, os_release::LIMIT_BYTES)? else {
            continue;
        };
        let values = assignments(&path, &text)?;
        if found.replace(Release { kind, values }).is_some() {
            return Err(ExtensionError::Both);
        }
    }
    found.ok_or_else(|| ExtensionError::NoRelease {
        name: name.to_owned(),
    })
}

/// What an extension brings along to a portable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// What it is made for.
    pub release: Release,
    /// Its unit files and drop-ins.
    pub units: Vec<UnitFile>,
}

/// Most prefixes of its own, as an os-release may have.
const PREFIXES_MAX: usize = 32;

/// Reads what an extension brings along: the units whose names begin with one of these prefixes, or of its own PORTABLE_PREFIXES=.
///
/// # Errors
/// Where no file says what it is made for, or its units can't be read.
pub(crate) fn brought(
    root: &impl Files,
    name: &str,
    mut prefixes: Vec<String>,
) -> Result<Brought, ExtensionError> {
    let release = release(root, name)?;
    let own = release.values.value("PORTABLE_PREFIXES");
    let own = own.into_iter().flat_map(str::split_whitespace);
    prefixes.extend(own.take(PREFIXES_MAX).map(str::to_owned));
    let (units, _) = tree::units(root, prefixes)?;
    Ok(Brought { release, units })
}

/// Reads what a system says that it is.
///
/// # Errors
/// Where nothing says so.
pub(crate) fn base(root: &impl Files) -> Result<OsRelease, ExtensionError> {
    for path in ["etc/os-release", "usr/lib/os-release"] {
        if let Some(text) = root.text(path, os_release::LIMIT_BYTES)? {
            return assignments(path, &text);
        }
    }
    Err(ExtensionError::NoBase)
}

fn assignments(path: &str, text: &str) -> Result<OsRelease, ExtensionError> {
    OsRelease::assignments(text).map_err(|source| ExtensionError::Damaged {
        path: path.to_owned(),
        source,
    })
}

impl Release {
    /// The trees over which it may be laid.
    #[must_use]
    pub fn hierarchies(&self) -> &'static str {
        KINDS
            .get(self.kind)
            .map_or("", |(.., hierarchies)| hierarchies)
    }

    /// Whether it is made for this system.
    ///
    /// # Errors
    /// [`ExtensionError::Other`] with what differs.
    pub fn fits(&self, base: &OsRelease, architecture: &str) -> Result<(), ExtensionError> {
        let own = |key: &str| self.values.value(key).unwrap_or_default();
        let has = |key: &str| base.value(key).unwrap_or_default();
        let other = |key, found: &str| {
            Err(ExtensionError::Other {
                key,
                wanted: own(key).to_owned(),
                found: found.to_owned(),
            })
        };
        if !matches!(own("ARCHITECTURE"), "" | "_any") && own("ARCHITECTURE") != architecture {
            return other("ARCHITECTURE", architecture);
        }
        if own("ID") == "_any" {
            return Ok(());
        }
        // A system without a name is "linux" (os-release(5)).
        let id = if has("ID").is_empty() {
            "linux"
        } else {
            has("ID")
        };
        let is_like = has("ID_LIKE")
            .split_whitespace()
            .any(|like| like == own("ID"));
        if own("ID") != id && !is_like || own("ID").is_empty() {
            return other("ID", id);
        }
        let level = KINDS
            .get(self.kind)
            .map_or("SYSEXT_LEVEL", |(_, level, _)| *level);
        if !own(level).is_empty() && !has(level).is_empty() {
            return if own(level) == has(level) {
                Ok(())
            } else {
                other(level, has(level))
            };
        }
        // A system without a version is always the newest.
        if has("VERSION_ID").is_empty() || own("VERSION_ID") == has("VERSION_ID") {
            return Ok(());
        }
        other("VERSION_ID", has("VERSION_ID"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: usize, own: &str, base: &str, expected: &str) {
        let release = Release {
            kind,
            values: OsRelease::assignments(own).unwrap(),
        };
        let base = OsRelease::assignments(base).unwrap();
        let said = match release.fits(&base, "x86-64") {
            Ok(()) => "fits".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected, "{own}");
    }

    #[test]
    fn an_extension_fits_what_it_is_made_for() {
        const DEBIAN: &str = "ID=debian\nVERSION_ID=13\n";
        check(0, "ID=debian\nVERSION_ID=13", DEBIAN, "fits");
        check(0, "ID=_any", DEBIAN, "fits");
        check(0, "ID=_any\nARCHITECTURE=_any", DEBIAN, "fits");
        check(0, "ID=_any\nARCHITECTURE=x86-64", DEBIAN, "fits");
        check(
            0,
            "ID=_any\nARCHITECTURE=arm64",
            DEBIAN,
            "it is made for ARCHITECTURE=arm64, and what it is laid over has ARCHITECTURE=x86-64",
        );
        check(
            0,
            "ID=fedora\nVERSION_ID=13",
            DEBIAN,
            "it is made for ID=fedora, and what it is laid over has ID=debian",
        );
        check(
            0,
            "VERSION_ID=13",
            DEBIAN,
            "it is made for ID=, and what it is laid over has ID=debian",
        );
        check(
            0,
            "ID=debian\nVERSION_ID=13",
            "ID=mine\nID_LIKE=\"debian other\"\nVERSION_ID=13",
            "fits",
        );
        check(
            0,
            "ID=debian\nVERSION_ID=12",
            DEBIAN,
            "it is made for VERSION_ID=12, and what it is laid over has VERSION_ID=13",
        );
        check(
            0,
            "ID=debian",
            DEBIAN,
            "it is made for VERSION_ID=, and what it is laid over has VERSION_ID=13",
        );
        check(0, "ID=debian", "ID=debian", "fits");
    }

    #[test]
    fn a_level_goes_before_a_version_and_each_kind_has_its_own() {
        const LEVELS: &str = "ID=debian\nVERSION_ID=13\nSYSEXT_LEVEL=2\nCONFEXT_LEVEL=3\n";
        check(0, "ID=debian\nSYSEXT_LEVEL=2\nVERSION_ID=9", LEVELS, "fits");
        check(1, "ID=debian\nCONFEXT_LEVEL=3", LEVELS, "fits");
        check(
            1,
            "ID=debian\nCONFEXT_LEVEL=2",
            LEVELS,
            "it is made for CONFEXT_LEVEL=2, and what it is laid over has CONFEXT_LEVEL=3",
        );
        check(
            1,
            "ID=debian\nSYSEXT_LEVEL=2",
            LEVELS,
            "it is made for VERSION_ID=, and what it is laid over has VERSION_ID=13",
        );
    }

    #[test]
    fn names_come_from_file_names() {
        assert_eq!(name_of("/srv/tools.raw"), "tools");
        assert_eq!(name_of("/srv/tools_1.2.psi"), "tools");
        assert_eq!(name_of("/srv/tools.raw.v/tools_2_x86-64.raw"), "tools");
        assert_eq!(name_of("/srv/tools/"), "tools");
    }
}
