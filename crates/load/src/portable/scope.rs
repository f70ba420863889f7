//! What is a portable's own: names of units, directories and paths below its name.

use model::{UnitKind, UnitName};

/// Longest portable name in bytes: with a suffix and an instance it must fit into a unit's name.
const MAX_NAME_BYTES: usize = 128;

/// A portable's name: letters, digits, `_`, `.`, inner dashes; it starts with a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortableName(String);

/// A text that is no portable's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "“{0}” is no name for a portable: it takes letters, digits, “_”, “.” and inner dashes, at most 128"
)]
pub struct InvalidName(String);

impl PortableName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins = name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins
            || name.len() > MAX_NAME_BYTES
            || name.ends_with(['-', '.'])
            || !name.bytes().all(allowed)
        {
            return Err(InvalidName(
                name.chars()
                    .take(MAX_NAME_BYTES)
                    .filter(|character| !character.is_control())
                    .collect(),
            ));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a word is the name, or the name with a dash and more.
    pub(crate) fn owns_word(&self, word: &str) -> bool {
        word.strip_prefix(self.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// Whether a unit is the portable's: `NAME.KIND`, `NAME-*.KIND`, `NAME@*.KIND`, of a kind that an image may have.
    #[must_use]
    pub fn owns_unit(&self, unit: &UnitName) -> bool {
        self.owns_word(unit.prefix()) && allowed_kind(unit.kind())
    }
}

impl std::fmt::Display for PortableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// Mounts, swaps, slices, scopes and devices are the host's.
pub(crate) fn allowed_kind(kind: UnitKind) -> bool {
    matches!(
        kind,
        UnitKind::Service | UnitKind::Socket | UnitKind::Timer | UnitKind::Path | UnitKind::Target
    )
}

/// Names below which the host, or this program, keeps what is everybody's.
const RESERVED: [&str; 5] = ["coracle", "credentials", "private", "systemd", "user"];

/// What units of this program's own begin with.
const OWN: &str = "coracle-";

/// Whether a portable can't have this name: its own directories would be the host's, or its units this program's.
pub(crate) fn is_reserved(portable: &PortableName) -> bool {
    RESERVED.contains(&portable.as_str()) || portable.as_str().starts_with(OWN)
}

/// The same of a unit's name, also with a dash and more.
pub(crate) fn is_reserved_word(word: &str) -> bool {
    let first = word.split('-').next().unwrap_or_default();
    RESERVED.contains(&first)
}

/// Targets that stand for a state of the machine, see systemd.special(7): an image named after one would be one.
const TARGETS_OF_EVERY_HOST: &str = "basic bluetooth boot-complete cryptsetup cryptsetup-pre ctrl-alt-del default emergency exit \
    factory-reset final first-boot-complete getty getty-pre graphical halt hibernate hybrid-sleep init initrd initrd-fs kexec local-fs \
    local-fs-pre machines multi-user network network-online network-pre nss-lookup nss-user-lookup paths poweroff printer reboot \
    remote-cryptsetup remote-fs remote-fs-pre rescue rpcbind runlevel0 runlevel1 runlevel2 runlevel3 runlevel4 runlevel5 runlevel6 \
    shutdown sigpwr sleep slices smartcard sockets soft-reboot sound ssh-access storage-target-mode suspend suspend-then-hibernate \
    swap sysinit syslog system-update time-set time-sync timers umount usb-gadget veritysetup";

/// Whether every host has this unit, with a file for it or without.
pub(crate) fn is_of_every_host(unit: &UnitName) -> bool {
    unit.kind() == UnitKind::Target
        && TARGETS_OF_EVERY_HOST
            .split_whitespace()
            .any(|target| target == unit.prefix())
}
