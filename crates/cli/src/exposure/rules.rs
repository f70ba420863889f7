//! The rules by which single lines of the exposure score are judged.

use std::collections::BTreeSet;

use model::tables::capabilities::CAPABILITIES;
use model::tables::syscall_groups;
use model::value::{
    DevicePolicy, FilePath, NAMESPACES, ProtectHome, ProtectProc, ProtectSystem, SyscallFilter,
};
use model::{Key, Setting, key};

use super::Subject;

/// A line that is open or closed.
pub(super) fn open(is_open: bool) -> Option<u32> {
    Some(u32::from(is_open))
}

pub(super) fn user(of: &Subject) -> Option<u32> {
    Some(match of.user() {
        _ if of.is_of_user => 0,
        Some("nobody") => 9,
        Some("root" | "0") => 10,
        None if !of.on(&key::DYNAMIC_USER) => 10,
        _ => 0,
    })
}

pub(super) fn groups(of: &Subject) -> Option<u32> {
    (!of.is_privileged()).then(|| u32::from(!of.value(&key::SUPPLEMENTARY_GROUPS).is_empty()))
}

pub(super) fn ipc(of: &Subject) -> Option<u32> {
    (!of.is_privileged() && !of.is_of_user).then(|| u32::from(!of.on(&key::REMOVE_IPC)))
}

pub(super) fn home(of: &Subject) -> Option<u32> {
    of.with_dependencies(match of.value(&key::PROTECT_HOME) {
        ProtectHome::No => 10,
        ProtectHome::ReadOnly => 5,
        ProtectHome::Tmpfs => 1,
        ProtectHome::Yes => 0,
    })
}

pub(super) fn system(of: &Subject) -> Option<u32> {
    of.with_dependencies(match of.value(&key::PROTECT_SYSTEM) {
        ProtectSystem::No => 10,
        ProtectSystem::Yes => 5,
        ProtectSystem::Full => 3,
        ProtectSystem::Strict => 0,
    })
}

pub(super) fn root(of: &Subject) -> Option<u32> {
    let is_set = |key: &Key<FilePath>| !matches!(of.value(key).path.as_str(), "" | "/");
    of.with_dependencies(u32::from(
        !is_set(&key::ROOT_DIRECTORY) && !is_set(&key::ROOT_IMAGE) && !is_set(&key::ROOT_MSTACK),
    ))
}

pub(super) fn mask(of: &Subject) -> Option<u32> {
    let mask = of.value(&key::UMASK).0;
    let bits = [(0o002, 10), (0o004, 5), (0o020, 2), (0o040, 1)];
    let open = bits.into_iter().find(|(bit, _)| mask & bit == 0);
    Some(open.map_or(0, |(_, badness)| badness))
}

pub(super) fn processes(of: &Subject) -> Option<u32> {
    Some(match of.value(&key::PROTECT_PROC) {
        ProtectProc::Default => 3,
        ProtectProc::NoAccess => 1,
        _ => 0,
    })
}

pub(super) fn architectures(of: &Subject) -> Option<u32> {
    let list = of.value(&key::SYSTEM_CALL_ARCHITECTURES);
    let names: Vec<&str> = list
        .iter()
        .map(model::value::Architecture::as_str)
        .collect();
    Some(match names.as_slice() {
        [] => 10,
        ["native"] => 0,
        _ => 8,
    })
}

pub(super) fn addresses(of: &Subject) -> Option<u32> {
    let has = |key| !of.value::<model::value::Paths>(key).is_empty();
    if has(&key::IP_INGRESS_FILTER_PATH) && has(&key::IP_EGRESS_FILTER_PATH) {
        return Some(0);
    }
    let denied = of.value(&key::IP_ADDRESS_DENY);
    let denies_all = |is_v4: bool| {
        let mut all = denied.0.iter();
        all.any(|prefix| prefix.length == 0 && prefix.address.is_ipv4() == is_v4)
    };
    let allowed = of.value(&key::IP_ADDRESS_ALLOW);
    Some(if !denies_all(true) || !denies_all(false) {
        10
    } else if allowed.0.iter().any(|prefix| !prefix.address.is_loopback()) {
        5
    } else if allowed.0.is_empty() {
        0
    } else {
        2
    })
}

pub(super) fn devices(of: &Subject) -> Option<u32> {
    Some(match of.value(&key::DEVICE_POLICY) {
        DevicePolicy::Auto => 10,
        // The clock's device comes with its protection.
        _ if of.on(&key::PROTECT_CLOCK) || !of.value(&key::DEVICE_ALLOW).is_empty() => 5,
        _ => 0,
    })
}

impl Subject {
    pub(super) fn value<T: Setting>(&self, key: &Key<T>) -> T {
        self.unit.value(key)
    }

    pub(super) fn on(&self, key: &Key<bool>) -> bool {
        self.unit.value(key)
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.unit.get(&key::USER).map(model::value::Account::as_str)
    }

    fn is_privileged(&self) -> bool {
        !self.is_of_user
            && match self.user() {
                Some(user) => matches!(user, "root" | "0"),
                None => !self.on(&key::DYNAMIC_USER),
            }
    }

    /// What says nothing about units that start before everything else.
    pub(super) fn with_dependencies(&self, badness: u32) -> Option<u32> {
        self.on(&key::DEFAULT_DEPENDENCIES).then_some(badness)
    }

    pub(super) fn has_own_mounts(&self) -> bool {
        let switches = [
            &key::PRIVATE_MOUNTS,
            &key::PRIVATE_DEVICES,
            &key::PROTECT_KERNEL_TUNABLES,
            &key::PROTECT_KERNEL_MODULES,
        ];
        switches.into_iter().any(|key| self.on(key))
            || self.value(&key::PRIVATE_TMP) != Default::default()
            || self.value(&key::PROTECT_CONTROL_GROUPS) != Default::default()
            || self.value(&key::PROTECT_HOME) != ProtectHome::No
            || self.value(&key::PROTECT_SYSTEM) != ProtectSystem::No
            || self.unit.is_set(key::ROOT_IMAGE.directive())
            || self.unit.is_set(key::ROOT_MSTACK.directive())
    }

    /// Whether one of these capabilities stays in the bounding set, which some directives make smaller.
    pub(super) fn keeps(&self, names: &[&str]) -> Option<u32> {
        let taken: [(&Key<bool>, &[&str]); 4] = [
            (&key::PROTECT_KERNEL_MODULES, &["CAP_SYS_MODULE"]),
            (&key::PROTECT_KERNEL_LOGS, &["CAP_SYSLOG"]),
            (&key::PROTECT_CLOCK, &["CAP_SYS_TIME", "CAP_WAKE_ALARM"]),
            (&key::PRIVATE_DEVICES, &["CAP_MKNOD", "CAP_SYS_RAWIO"]),
        ];
        let set = self.value(&key::CAPABILITY_BOUNDING_SET);
        let is_taken = |name: &str| {
            let mut taken = taken.iter();
            taken.any(|(key, names)| self.on(key) && names.contains(&name))
        };
        let numbers = CAPABILITIES.iter().zip(0u32..);
        let mut kept = numbers.filter(|(name, number)| set.contains(*number) && !is_taken(name));
        open(kept.any(|(name, _)| names.contains(name)))
    }

    pub(super) fn makes(&self, kind: &str) -> Option<u32> {
        let allowed = self.value(&key::RESTRICT_NAMESPACES);
        let mut kinds = NAMESPACES.iter();
        open(kinds.any(|(name, bit)| *name == kind && allowed.contains(*bit)))
    }

    /// Whether sockets of all of these families can be made.
    pub(super) fn opens(&self, families: &[u16]) -> Option<u32> {
        let Some(list) = self.unit.get(&key::RESTRICT_ADDRESS_FAMILIES) else {
            return open(true);
        };
        let mut named = families.iter();
        open(named.any(|family| list.families.contains(family)) == list.allow)
    }

    /// The same of the families that have no line of their own.
    pub(super) fn opens_others(&self) -> Option<u32> {
        const OWN_LINE: [u16; 5] = [1, 2, 10, 16, 17];
        let Some(list) = self.unit.get(&key::RESTRICT_ADDRESS_FAMILIES) else {
            return open(true);
        };
        let mut named = list.families.iter();
        open(named.any(|family| !OWN_LINE.contains(family)) == list.allow)
    }

    /// Whether a call of a group, of those that this machine has, can be made.
    pub(super) fn calls(&self, group: &str) -> Option<u32> {
        let filter: SyscallFilter = self.value(&key::SYSTEM_CALL_FILTER);
        if filter.rules.is_empty() {
            return Some(10);
        }
        let is_allow_list = filter.is_allow_list();
        let mut listed: BTreeSet<String> = filter.named().into_iter().map(str::to_owned).collect();
        if is_allow_list {
            listed.extend(syscall_groups::members("@default").map(str::to_owned));
        }
        let machine = if cfg!(target_arch = "aarch64") {
            plan::seccomp::Machine::Aarch64
        } else {
            plan::seccomp::Machine::X86_64
        };
        let mut calls = syscall_groups::members(group);
        let is_open = calls
            .any(|call| machine.number(call).is_some() && listed.contains(call) == is_allow_list);
        Some(match (is_open, is_allow_list) {
            (false, _) => 0,
            (true, true) => 9,
            (true, false) => 10,
        })
    }
}
