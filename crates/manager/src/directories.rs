//! Where this instance keeps its things.

use std::path::{Path, PathBuf};

/// The runtime directory of the instance that is the host's.
pub const DEFAULT_RUNTIME: &str = "/run/coracle";
/// Its state directory.
pub const DEFAULT_STATE: &str = "/var/lib/coracle";
/// Its configuration directory.
pub const DEFAULT_CONFIG: &str = "/etc/coracle";

/// The directories of an instance.
#[derive(Clone, Debug)]
pub struct Directories {
    /// Sockets, records, what a reboot forgets.
    pub runtime: PathBuf,
    /// The store, attached portables, logs.
    pub state: PathBuf,
    /// The administrator's.
    pub config: PathBuf,
    /// Further directories with unit files, before the instance's own.
    pub unit_path: Vec<PathBuf>,
}

impl Directories {
    /// Is this the host's own instance?
    pub fn are_default(&self) -> bool {
        self.runtime == Path::new(DEFAULT_RUNTIME)
    }

    /// The socket of the API.
    pub fn api(&self) -> PathBuf {
        self.runtime.join("api")
    }

    /// The file whose lock says that the state directory is an instance's; it names that one's runtime directory.
    pub(crate) fn state_lock(&self) -> PathBuf {
        self.state.join("instance")
    }

    /// One record per unit.
    pub(crate) fn records(&self) -> PathBuf {
        self.runtime.join("units")
    }

    /// Fields that units give their log entries.
    pub(crate) fn extra_fields(&self) -> PathBuf {
        self.runtime.join("log")
    }

    /// The notification sockets.
    pub(crate) fn notify(&self) -> PathBuf {
        self.runtime.join("notify")
    }

    /// Where it is written down what is still being removed.
    pub(crate) fn gone(&self) -> PathBuf {
        self.runtime.join("gone")
    }

    /// The file that says where this instance's control group is.
    pub(crate) fn cgroup_place(&self) -> PathBuf {
        self.runtime.join("control-group")
    }

    /// The file that says which word about a unit the log has heard last.
    pub(crate) fn said(&self) -> PathBuf {
        self.runtime.join("said")
    }

    /// The file of the words that the log has no room for.
    pub(crate) fn words(&self) -> PathBuf {
        self.runtime.join("words")
    }

    /// Where this instance's units have their credentials. A mount point is the host's, and the kernel unmounts what any unit has there
    /// when it is removed: each instance has its own.
    pub(crate) fn credentials(&self) -> PathBuf {
        let shared = Path::new("/run/credentials");
        if self.are_default() {
            return shared.to_owned();
        }
        shared.join(self.cgroup_name())
    }

    /// The name of this instance's control group.
    pub(crate) fn cgroup_name(&self) -> String {
        if self.are_default() {
            return "coracle".into();
        }
        format!(
            "coracle-{:08x}",
            fold(hash(self.runtime.as_os_str().as_encoded_bytes()))
        )
    }
}

/// A number for a name that is the same in every process: FNV-1a, 64 bits.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The same in 32 bits.
pub(crate) fn fold(hash: u64) -> u32 {
    u32::try_from((hash >> 32) ^ (hash & u64::from(u32::MAX))).unwrap_or_default()
}
