//! What a unit's directives mean together: one implies another.

use model::value::{PrivateTmp, ProtectHome, ProtectSystem};
use model::{Unit, key};

/// Effective values of the directives that others raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) protect_system: ProtectSystem,
    pub(super) protect_home: ProtectHome,
    pub(super) private_tmp: PrivateTmp,
    pub(super) no_new_privileges: bool,
    pub(super) no_set_id: bool,
    /// The unit runs below a root that isn't the host's.
    pub(super) rooted: bool,
    /// /proc, /sys and /dev are mounted below such a root.
    pub(super) api_vfs: bool,
}

impl Meaning {
    pub(super) fn of(unit: &Unit) -> Self {
        let dynamic = unit.value(&key::DYNAMIC_USER);
        let rooted = root_directory(unit).is_some() || unit.get(&key::ROOT_IMAGE).is_some();
        let protect_home = unit.value(&key::PROTECT_HOME);
        let private_tmp = unit.value(&key::PRIVATE_TMP);
        Self {
            // A dynamic user's files must not stay behind anywhere but in its own directories.
            protect_system: if dynamic {
                ProtectSystem::Strict
            } else {
                unit.value(&key::PROTECT_SYSTEM)
            },
            protect_home: if dynamic && protect_home == ProtectHome::No {
                ProtectHome::ReadOnly
            } else {
                protect_home
            },
            private_tmp: if dynamic && private_tmp == PrivateTmp::No {
                PrivateTmp::Disconnected
            } else {
                private_tmp
            },
            no_new_privileges: dynamic || unit.value(&key::NO_NEW_PRIVILEGES),
            no_set_id: dynamic || unit.value(&key::RESTRICT_SUID_SGID),
            rooted,
            api_vfs: unit.get(&key::MOUNT_API_VFS).copied().unwrap_or(rooted),
        }
    }
}

/// RootDirectory=, unless it is the host's own root.
pub(super) fn root_directory(unit: &Unit) -> Option<&str> {
    unit.get(&key::ROOT_DIRECTORY)
        .map(|path| path.as_str())
        .filter(|path| *path != "/")
}
