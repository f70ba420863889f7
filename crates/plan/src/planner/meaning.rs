//! What a unit's directives mean together: one implies another.

use model::value::{Paths, PrivateTmp, ProtectHome, ProtectSystem, UnitList};
use model::{Key, Unit, key};

/// Effective values of the directives that others raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) protect_system: ProtectSystem,
    pub(super) protect_home: ProtectHome,
    pub(super) private_tmp: PrivateTmp,
    /// The same for /var/tmp, which a unit may leave alone.
    pub(super) private_var_tmp: PrivateTmp,
    /// Another network than the host's is to be seen in /sys.
    pub(super) has_network_files: bool,
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
        let rooted = root_directory(unit).is_some() || super::root_image(unit).is_some();
        let protect_home = unit.value(&key::PROTECT_HOME);
        let private_tmp = match unit.value(&key::PRIVATE_TMP) {
            PrivateTmp::No if dynamic => PrivateTmp::Disconnected,
            private_tmp => private_tmp,
        };
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
            private_tmp,
            private_var_tmp: match private_tmp {
                PrivateTmp::Disconnected if !rooted && !waits_for_var(unit) => PrivateTmp::No,
                private_tmp => private_tmp,
            },
            has_network_files: (unit.value(&key::PRIVATE_NETWORK)
                || unit.get(&key::NETWORK_NAMESPACE_PATH).is_some())
                && unit.get(&key::PRIVATE_MOUNTS) != Some(&false),
            no_new_privileges: dynamic || unit.value(&key::NO_NEW_PRIVILEGES),
            no_set_id: dynamic || unit.value(&key::RESTRICT_SUID_SGID),
            rooted,
            api_vfs: unit.get(&key::MOUNT_API_VFS).copied().unwrap_or(rooted),
        }
    }
}

/// Whether /var is mounted when the unit starts: what starts before has nothing to hide there.
fn waits_for_var(unit: &Unit) -> bool {
    let names = |list: &Key<UnitList>| {
        let mut names = unit.get(list).into_iter().flatten();
        names.any(|name| name.as_str() == "var.mount")
    };
    let is_below = |list: &Key<Paths>| {
        let mut paths = unit.get(list).into_iter().flatten();
        paths.any(|path| path.as_str() == "/var" || path.as_str().starts_with("/var/"))
    };
    unit.value(&key::DEFAULT_DEPENDENCIES)
        || (names(&key::AFTER) && (names(&key::REQUIRES) || names(&key::WANTS)))
        || is_below(&key::REQUIRES_MOUNTS_FOR)
        || is_below(&key::WANTS_MOUNTS_FOR)
}

/// RootDirectory=, unless it is the host's own root, or one of several versions, which is mounted as an image is.
pub(super) fn root_directory(unit: &Unit) -> Option<&str> {
    unit.get(&key::ROOT_DIRECTORY)
        .map(|path| path.as_str())
        .filter(|path| *path != "/" && !model::versioned::is_versioned(path))
}
