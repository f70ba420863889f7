//! Reads os-release files.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The assignments of an os-release file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OsRelease(pub BTreeMap<String, String>);

impl OsRelease {
    /// The portable's name: `PORTABLE_ID=`, else `IMAGE_ID=`, else `ID=`.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        todo!()
    }

    /// The portable's version: `IMAGE_VERSION=` where `IMAGE_ID=` named it, else `VERSION_ID=`, else `IMAGE_VERSION=`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        todo!()
    }

    /// What the image's unit names may begin with: `PORTABLE_PREFIXES=`, else the portable's name.
    #[must_use]
    pub fn prefixes(&self) -> Vec<String> {
        todo!()
    }
}
