//! The service's user namespace: made or joined, with what belongs to it, and what of BPF its tokens may do.

use model::tables::bpf;
use model::tables::capabilities::SYS_ADMIN;
use model::value::{DelegatedNames, PrivateBpf, PrivateUsers, ProtectControlGroups};
use model::{Directive, Key, Unit, key};

use super::Refusal;
use super::draft::{Draft, text};
use super::mounts::Cover;
use super::namespaces::{CGROUP, MOUNT};
use crate::step::{Step, UserMap};

const PROCESSES: u32 = 0x2000_0000;

/// The delegation directives, with the kernel's mount options and the names in the order of its numbers.
const DELEGATED: [(&Key<DelegatedNames>, &str, &[&str]); 4] = [
    (&key::BPF_DELEGATE_COMMANDS, "delegate_cmds", bpf::COMMANDS),
    (&key::BPF_DELEGATE_MAPS, "delegate_maps", bpf::MAPS),
    (&key::BPF_DELEGATE_PROGRAMS, "delegate_progs", bpf::PROGRAMS),
    (
        &key::BPF_DELEGATE_ATTACHMENTS,
        "delegate_attachs",
        bpf::ATTACHMENTS,
    ),
];

/// PrivateUsers=, with what DelegateNamespaces= means for it.
fn users(draft: &Draft<'_>) -> PrivateUsers {
    match draft.value(&key::PRIVATE_USERS) {
        PrivateUsers::No if draft.value(&key::DELEGATE_NAMESPACES).0 != 0 => PrivateUsers::SelfOnly,
        users => users,
    }
}

/// Whether the service is in another user namespace than the host's.
fn has_own(draft: &Draft<'_>) -> bool {
    users(draft) != PrivateUsers::No || draft.unit.get(&key::USER_NAMESPACE_PATH).is_some()
}

/// The file system of type bpf, where something of BPF is delegated. Otherwise the unit has a plain one.
pub(super) fn bpf_objects(draft: &mut Draft<'_>) -> Cover {
    let mut options = Vec::new();
    for (key, option, names) in DELEGATED {
        match draft.unit.get(key) {
            Some(DelegatedNames::Yes) => options.push(format!("{option}=any")),
            Some(DelegatedNames::Some(words)) => {
                let bits = bits(draft, key.directive(), words, names);
                options.push(format!("{option}={bits:#x}"));
            }
            Some(DelegatedNames::No) | None => {}
        }
    }
    if options.is_empty() || !draft.is_privileged() || !has_own(draft) {
        return Cover::BpfObjects;
    }
    draft.delegates_bpf = true;
    Cover::BpfDelegation { options }
}

/// A bit for each name.
fn bits(draft: &mut Draft<'_>, directive: Directive, words: &[String], names: &[&str]) -> u64 {
    let mut bits = 0;
    for word in words {
        match names.iter().position(|name| name == word) {
            Some(place) => bits |= 1 << place,
            None => draft.lesser(
                directive,
                &format!("{word} is not delegated: it is a name of another kind"),
            ),
        }
    }
    bits
}

/// What is asked to be delegated and can't be. It makes the service able to do less, so the start goes on.
pub(super) fn lost(draft: &mut Draft<'_>) {
    let is_private = draft.value(&key::PRIVATE_BPF) == PrivateBpf::Yes;
    let why = if !is_private {
        "nothing is delegated without PrivateBPF=yes"
    } else if !has_own(draft) {
        "nothing is delegated without a user namespace, such as that of PrivateUsers=yes"
    } else if !draft.is_privileged() {
        "only root delegates BPF"
    } else {
        return;
    };
    for (key, _, _) in DELEGATED {
        if !matches!(draft.unit.get(key), Some(DelegatedNames::No) | None) {
            draft.lesser(key.directive(), why);
        }
    }
}

/// The user namespace that root makes or joins last, and the one that the unprivileged need first.
pub(super) fn user_namespace(draft: &mut Draft<'_>, needed: bool) -> Result<(), Refusal> {
    if draft.unit.get(&key::USER_NAMESPACE_PATH).is_some() {
        return joined(draft);
    }
    let delegates = key::DELEGATE_NAMESPACES.directive();
    let directive = match draft.value(&key::PRIVATE_USERS) {
        PrivateUsers::No if draft.unit.is_set(delegates) => delegates,
        _ => key::PRIVATE_USERS.directive(),
    };
    let users = users(draft);
    if users == PrivateUsers::No && (draft.is_privileged() || !needed) {
        return Ok(());
    }
    if !draft.can(
        draft.facts.namespaces.user,
        directive,
        "user namespaces can't be made here",
    )? {
        // What would hold it is not there either.
        draft.delegates_bpf = false;
        return Ok(());
    }
    if !draft.is_privileged() {
        // All that is made after it belongs to it.
        let map = UserMap::CallerOnly;
        draft.push(directive, Step::UserNamespaceFirst { map });
        return Ok(());
    }
    let map = match users {
        PrivateUsers::Identity => UserMap::Identity,
        PrivateUsers::Full => UserMap::Full,
        PrivateUsers::Managed => {
            return draft.cannot(
                directive,
                "managed ranges of users are not made in this version",
            );
        }
        PrivateUsers::No | PrivateUsers::SelfOnly => UserMap::SelfAndRoot,
    };
    belonging(draft, directive, map);
    draft.push(directive, Step::UserNamespaceLate { map });
    Ok(())
}

fn joined(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let directive = key::USER_NAMESPACE_PATH.directive();
    let possible = draft.is_privileged() && draft.facts.namespaces.user;
    if !draft.can(possible, directive, "only root joins a user namespace")? {
        return Ok(());
    }
    if let Some(path) = draft.unit.get(&key::USER_NAMESPACE_PATH) {
        let path = text(path.as_str());
        draft.push(directive, Step::UserNamespaceOpen { path: &path });
    }
    belonging(draft, directive, UserMap::SelfAndRoot);
    draft.push(directive, Step::UserNamespaceEnter);
    Ok(())
}

/// Control groups are read-only to the unit.
fn protects_control_groups(unit: &Unit) -> bool {
    matches!(
        unit.value(&key::PROTECT_CONTROL_GROUPS),
        ProtectControlGroups::Yes | ProtectControlGroups::Strict
    )
}

/// Kinds of namespaces that a unit may not make, since they would undo what it is kept from: in one of its own below a user namespace it
/// could mount the control groups anew, and write to those that belong to its user.
pub(super) fn undoing(unit: &Unit) -> u32 {
    if protects_control_groups(unit) && !mounts_as_host(unit) {
        CGROUP
    } else {
        0
    }
}

/// Whether it may change the host's mounts in its copy of them: to such a service no mount is a restriction, and it may start containers.
fn mounts_as_host(unit: &Unit) -> bool {
    let is_of_host = unit.value(&key::PRIVATE_USERS) == PrivateUsers::No
        && unit.value(&key::DELEGATE_NAMESPACES).0 == 0
        && !unit.is_set(key::USER_NAMESPACE_PATH.directive());
    let capabilities = unit.value(&key::CAPABILITY_BOUNDING_SET);
    is_of_host && capabilities.contains(SYS_ADMIN)
}

/// Splits what the unit unshares: what belongs to the user namespace is made in it. Mounts are made before, by root of the host, and copied to
/// it late: so none of them can be taken away from inside.
fn belonging(draft: &mut Draft<'_>, of_users: Directive, map: UserMap) {
    let directive = key::DELEGATE_NAMESPACES.directive();
    let asked = draft.value(&key::DELEGATE_NAMESPACES).0;
    if asked & PROCESSES != 0 && draft.pid_namespace {
        draft.lesser(
            directive,
            "the namespace of processes stays the host's: it is made before all others",
        );
    }
    let mut kinds = asked & draft.namespaces & !MOUNT;
    if kinds & CGROUP != 0 && protects_control_groups(draft.unit) {
        kinds &= !CGROUP;
        draft.lesser(
            directive,
            "the namespace of control groups stays the host's: who owns it can mount them anew, writable, past ProtectControlGroups=",
        );
    }
    draft.delegated = kinds;
    if kinds != 0 || draft.delegates_bpf {
        let bpf = draft.delegates_bpf;
        let directive = if kinds != 0 { directive } else { of_users };
        draft.push(directive, Step::Delegate { map, kinds, bpf });
    }
    if asked & draft.namespaces & MOUNT != 0 {
        draft.push(directive, Step::UnshareLate { kinds: MOUNT });
    }
}
