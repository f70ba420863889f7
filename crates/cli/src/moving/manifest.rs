//! What an archive says of itself, before everything else in it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use delivery::digest::Digest;
use delivery::grants::Grants;
use serde::{Deserialize, Serialize};

use crate::failure::hint;
use crate::terminal::one_line;

/// The form of these archives. A later one is refused by versions that know only this.
const FORM: u32 = 1;

/// What kind of archive it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Everything, for another host.
    Export,
    /// What was stored alone.
    Backup,
}

/// A directory that was the portable's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Directory {
    /// Which tree of the archive it is.
    pub(crate) tree: u32,
    /// By its public name: `/var/lib/web`.
    pub(crate) path: String,
}

/// An administrator's drop-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DropIn {
    pub(crate) unit: String,
    pub(crate) name: String,
    pub(crate) text: String,
}

/// What is laid over the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    pub(crate) file: String,
    pub(crate) image: Digest,
}

/// What an export has beside the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Portable {
    pub(crate) image: Digest,
    pub(crate) origin: String,
    pub(crate) grants: Grants,
    pub(crate) settings: BTreeMap<String, Vec<String>>,
    pub(crate) profile: String,
    pub(crate) enabled: bool,
    pub(crate) boot_is_chosen: bool,
    pub(crate) held: bool,
    pub(crate) prefixes: Vec<String>,
    pub(crate) extensions: Vec<Layer>,
    pub(crate) drop_ins: Vec<DropIn>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Manifest {
    form: u32,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) version: String,
    /// Seconds since the epoch.
    pub(crate) made: u64,
    /// What the services did meanwhile: `down`, `frozen`, `stopped` or `live`.
    pub(crate) services: String,
    pub(crate) directories: Vec<Directory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) portable: Option<Portable>,
}

impl Manifest {
    /// Of a portable's archive, which says the rest later.
    pub(crate) fn new(kind: Kind, name: &str, version: &str) -> Manifest {
        let now = jiff::Timestamp::now().as_second();
        Manifest {
            form: FORM,
            kind,
            name: name.to_owned(),
            version: version.to_owned(),
            made: u64::try_from(now).unwrap_or_default(),
            services: String::new(),
            directories: Vec::new(),
            portable: None,
        }
    }

    /// As it is read from an archive.
    ///
    /// # Errors
    /// When it is damaged, or of a later form.
    pub(crate) fn read(text: &str) -> Result<Manifest> {
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        let damaged = "the archive's manifest is damaged";
        let form: Form = serde_json::from_str(text).context(damaged)?;
        if form.form != FORM {
            return Err(hint(
                format!(
                    "the archive has form {}, and this version knows {FORM}",
                    form.form
                ),
                "`coracle --version` tells which version this is: a newer one wrote the archive",
            ));
        }
        let manifest: Manifest = serde_json::from_str(text).context(damaged)?;
        manifest.check_directories()?;
        Ok(manifest)
    }

    /// Each directory is there once, in no other one, and has a tree of its own: as they are exported.
    fn check_directories(&self) -> Result<()> {
        let all = &self.directories;
        for (number, one) in all.iter().enumerate() {
            let mut others = all.iter().enumerate().filter(|(other, _)| *other != number);
            let clash = others.find(|(_, other)| {
                other.tree == one.tree || Path::new(&one.path).starts_with(&other.path)
            });
            if let Some((_, other)) = clash {
                return Err(hint(
                    format!(
                        "the archive has {} beside {}, and one of them would take the other's place",
                        one_line(&one.path),
                        one_line(&other.path)
                    ),
                    "nothing was changed; ask whoever made it",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(directories: &[(u32, &str)]) -> String {
        let mut manifest = Manifest::new(Kind::Backup, "web", "1");
        manifest.directories = directories
            .iter()
            .map(|(tree, path)| Directory {
                tree: *tree,
                path: (*path).to_owned(),
            })
            .collect();
        let text = serde_json::to_string(&manifest).unwrap();
        Manifest::read(&text).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn directories_that_take_each_others_place_are_refused() {
        assert_eq!(said(&[(0, "/var/lib/web"), (1, "/var/lib/web-more")]), "");
        for wrong in [
            [(0, "/var/lib/web"), (1, "/var/lib/web")],
            [(0, "/var/lib/web"), (1, "/var/lib/web/inner")],
            [(1, "/var/lib/web/a/b"), (0, "/var/lib/web")],
            [(3, "/var/lib/web"), (3, "/var/cache/web")],
        ] {
            assert!(said(&wrong).contains("take the other's place"), "{wrong:?}");
        }
    }
}
