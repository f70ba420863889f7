//! Profiles: the sandbox that a portable's service gets without asking.

use model::text::Verbatim;
use model::{Directive, Unit, UnitName, Value};

/// A sandbox as typed values.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    name: &'static str,
    values: Unit,
}

/// DESIGN's default: everything that a service can live with. No network but the sockets that it is handed; the address families are
/// the harmless ones inside its own network namespace.
const DEFAULT: &[(&str, &str)] = &[
    ("CapabilityBoundingSet", ""),
    ("DynamicUser", "yes"),
    ("KeyringMode", "private"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("MemoryMax", "50%"),
    ("MountAPIVFS", "yes"),
    ("NoNewPrivileges", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateIPC", "yes"),
    ("PrivateMounts", "yes"),
    ("PrivateNetwork", "yes"),
    ("PrivatePIDs", "yes"),
    ("PrivateTmp", "disconnected"),
    ("PrivateUsers", "yes"),
    ("ProcSubset", "pid"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHome", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectProc", "invisible"),
    ("ProtectSystem", "strict"),
    ("RemoveIPC", "yes"),
    (
        "RestrictAddressFamilies",
        "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    ),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallErrorNumber", "EPERM"),
    ("SystemCallFilter", "@system-service"),
    ("TasksMax", "1024"),
    ("UMask", "0077"),
];

/// What the reference calls its default: with the host's network, and capabilities that the service's user namespace bounds.
const CLASSIC: &[(&str, &str)] = &[
    ("BindLogSockets", "yes"),
    ("CapabilityBoundingSet", CAPABILITIES_WITH_NETWORK),
    ("DelegateNamespaces", "no"),
    ("DynamicUser", "yes"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("MountAPIVFS", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateUsers", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHome", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectSystem", "strict"),
    ("RemoveIPC", "yes"),
    (
        "RestrictAddressFamilies",
        "AF_UNIX AF_NETLINK AF_INET AF_INET6",
    ),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallErrorNumber", "EPERM"),
    ("SystemCallFilter", "@system-service"),
];

const CAPABILITIES_WITH_NETWORK: &str = "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_IPC_LOCK CAP_IPC_OWNER \
CAP_KILL CAP_MKNOD CAP_NET_ADMIN CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_ADMIN CAP_SYS_CHROOT \
CAP_SYS_NICE CAP_SYS_RESOURCE";

/// What the reference's `nonetwork` has otherwise than its default.
const NONETWORK: &[(&str, &str)] = &[
    (
        "CapabilityBoundingSet",
        "CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_IPC_LOCK CAP_IPC_OWNER CAP_KILL CAP_MKNOD \
CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_ADMIN CAP_SYS_CHROOT CAP_SYS_NICE CAP_SYS_RESOURCE",
    ),
    ("IPAddressDeny", "any"),
    ("PrivateNetwork", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX AF_NETLINK"),
];

/// What the reference's `strict` has that our default has not: it holds on top of ours, so that no word makes a sandbox weaker than its name.
const STRICT: &[(&str, &str)] = &[
    ("BindLogSockets", "yes"),
    ("DelegateNamespaces", "no"),
    ("IPAddressDeny", "any"),
    ("RestrictAddressFamilies", "AF_UNIX"),
    ("TasksMax", "4"),
];

/// What is left where the administrator trusts a portable as a program of the host: the far end of the dial.
const TRUSTED: &[(&str, &str)] = &[
    ("BindPaths", "/run"),
    ("MountAPIVFS", "yes"),
    ("PrivateTmp", "yes"),
    ("TasksMax", "1024"),
];

/// All names, for the help and for messages.
pub const NAMES: &str = "default, classic, nonetwork, strict, trusted";

impl Default for Profile {
    fn default() -> Self {
        Self::from_text("default", DEFAULT)
    }
}

impl Profile {
    /// The profile of this name, of [`NAMES`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "classic" => Some(Self::from_text("classic", CLASSIC)),
            "nonetwork" => Some(Self::over("nonetwork", CLASSIC, NONETWORK)),
            "strict" => Some(Self::over("strict", DEFAULT, STRICT)),
            "trusted" => Some(Self::from_text("trusted", TRUSTED)),
            _ => None,
        }
    }

    /// What a portable is granted by being put into it: the administrator who chooses it says so much.
    #[must_use]
    pub fn implied(&self) -> &'static [&'static str] {
        match self.name {
            "classic" => &["network"],
            "trusted" => &[super::SUPERPRIVILEGED],
            _ => &[],
        }
    }

    /// One with lines of its own in place of those of another.
    fn over(
        name: &'static str,
        base: &[(&'static str, &'static str)],
        own: &[(&'static str, &'static str)],
    ) -> Self {
        let is_own = |directive: &str| own.iter().any(|(other, _)| *other == directive);
        let kept = base.iter().filter(|(directive, _)| !is_own(directive));
        let lines: Vec<(&str, &str)> = kept.chain(own).copied().collect();
        Self::from_text(name, &lines)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its values, sorted by directive.
    pub fn values(&self) -> impl Iterator<Item = (Directive, &Value)> {
        self.values.iter()
    }

    /// Its value of a directive.
    #[must_use]
    pub fn value(&self, directive: Directive) -> Option<&Value> {
        self.values.raw(directive)
    }

    /// The values are written as text, because that is what people read and compare. A test holds that the table takes every line.
    fn from_text(name: &'static str, lines: &[(&str, &str)]) -> Self {
        let mut values = Unit::new(
            UnitName::new("profile.service")
                .unwrap_or_else(|_| unreachable!("a fixed, valid name")),
        );
        let refused = lines.iter().find(|(directive, value)| {
            settings::apply(&mut values, "Service", directive, value, &Verbatim).is_err()
        });
        assert!(
            refused.is_none(),
            "the table takes every line of a profile, but not {refused:?}"
        );
        Self { name, values }
    }
}
