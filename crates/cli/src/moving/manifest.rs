//! What an archive says of itself, before everything else in it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use delivery::digest::Digest;
use delivery::grants::Grants;
use serde::{Deserialize, Serialize};

use crate::failure::hint;

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
        serde_json::from_str(text).context(damaged)
    }
}
