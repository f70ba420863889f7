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

/// What is left where the administrator trusts a portable as a program of the host: the far end of the dial.
const TRUSTED: &[(&str, &str)] = &[("PrivateTmp", "yes"), ("TasksMax", "1024")];

impl Default for Profile {
    fn default() -> Self {
        Self::from_text("default", DEFAULT)
    }
}

impl Profile {
    /// The profile of this name: `default` or `trusted`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "trusted" => Some(Self::from_text("trusted", TRUSTED)),
            _ => None,
        }
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
