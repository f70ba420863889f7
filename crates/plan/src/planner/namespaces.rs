//! Which namespaces a unit gets, and what is set up in each of the small ones.

use model::tables::capabilities::NET_ADMIN;
use model::value::{ProtectControlGroups, ProtectHostname};
use model::{Directive, key};

use super::Refusal;
use super::draft::{Draft, text};
use crate::code::{ListBuf, Writer};
use crate::frame::Frame;
use crate::step::{Asked, Step};

/// Those that all processes of a run have in common, and units that join each other.
pub(super) const SHARED: u32 = NETWORK | IPC;
pub(crate) const NETWORK: u32 = 0x4000_0000;
pub(crate) const IPC: u32 = 0x0800_0000;
const UTS: u32 = 0x0400_0000;
pub(super) const USER: u32 = 0x1000_0000;
pub(super) const CGROUP: u32 = 0x0200_0000;
pub(super) const MOUNT: u32 = 0x0002_0000;

/// All but mounts, users and processes, which have planners of their own.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    network(draft)?;
    ipc(draft)?;
    hostname(draft)?;
    control_groups(draft)?;
    processes(draft)
}

/// One call makes all of them.
pub(super) fn emit(draft: &mut Draft<'_>, directive: Option<Directive>) {
    let kinds = draft.namespaces & !draft.delegated;
    let step = Step::Unshare { kinds, told: 0 };
    match directive {
        _ if kinds == 0 => {}
        Some(directive) => draft.push(directive, step),
        None => draft.frame(step),
    }
}

/// Also for socket units, whose sockets are made in their own network.
pub(super) fn network(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if let Some(path) = draft.unit.get(&key::NETWORK_NAMESPACE_PATH) {
        let path = text(path.as_str());
        draft.push(
            key::NETWORK_NAMESPACE_PATH.directive(),
            Step::Join {
                kind: NETWORK,
                path: Some(&path),
            },
        );
        return Ok(());
    }
    let directive = key::PRIVATE_NETWORK.directive();
    if draft.is_on(&key::PRIVATE_NETWORK)
        && draft.can(
            draft.facts.namespaces.net,
            directive,
            "network namespaces can't be made here",
        )?
    {
        draft.namespaces |= NETWORK;
        // Containers that share their host's network are left without; the user namespace that the unprivileged make first has it.
        if draft.is_privileged() && !draft.facts.capabilities.contains(NET_ADMIN) {
            draft.lesser(
                directive,
                "the loopback interface stays down: CAP_NET_ADMIN is missing here",
            );
        } else {
            draft.push(directive, Step::Loopback);
        }
    }
    Ok(())
}

/// The plan of the process that makes network namespaces, and what else a start can take, for later starts; it needs no descriptors beside the report socket, over which it
/// is asked, one byte each.
#[must_use]
pub fn network_maker() -> Vec<u8> {
    let mut writer = Writer::default();
    let steps = [
        Step::Signals {
            ignore_sigpipe: false,
        },
        Step::Session,
        Step::MakeNetworks,
        Step::Finish,
    ];
    for step in steps {
        writer.put(&Asked::from(step));
    }
    let nothing = ListBuf::default();
    Frame {
        uid: 0,
        gid: 0,
        groups: &[],
        invocation: [0; 16],
        temporary: [0; 16],
        roles: &[],
        credentials: &[],
        programs: nothing.list(),
        arguments: nothing.list(),
        environment: nothing.list(),
        marks: nothing.list(),
        steps: &writer.bytes,
    }
    .encode()
}

fn ipc(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    if let Some(path) = draft.unit.get(&key::IPC_NAMESPACE_PATH) {
        let path = text(path.as_str());
        draft.push(
            key::IPC_NAMESPACE_PATH.directive(),
            Step::Join {
                kind: IPC,
                path: Some(&path),
            },
        );
        return Ok(());
    }
    let directive = key::PRIVATE_IPC.directive();
    if draft.is_on(&key::PRIVATE_IPC)
        && draft.can(
            draft.facts.namespaces.ipc,
            directive,
            "ipc namespaces can't be made here",
        )?
    {
        draft.namespaces |= IPC;
    }
    Ok(())
}

fn hostname(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let directive = key::PROTECT_HOSTNAME.directive();
    let (ProtectHostname::Yes(name) | ProtectHostname::Private(name)) =
        draft.value(&key::PROTECT_HOSTNAME)
    else {
        return Ok(());
    };
    if !draft.can(
        draft.facts.namespaces.uts,
        directive,
        "UTS namespaces can't be made here",
    )? {
        return Ok(());
    }
    draft.namespaces |= UTS;
    if let Some(name) = name {
        draft.push(directive, Step::Hostname { name: &text(&name) });
    }
    Ok(())
}

fn control_groups(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let directive = key::PROTECT_CONTROL_GROUPS.directive();
    let private = matches!(
        draft.value(&key::PROTECT_CONTROL_GROUPS),
        ProtectControlGroups::Private | ProtectControlGroups::Strict
    );
    if private
        && draft.can(
            draft.facts.namespaces.cgroup,
            directive,
            "cgroup namespaces can't be made here",
        )?
    {
        draft.namespaces |= CGROUP;
    }
    Ok(())
}

/// The keeper clones into the pid namespace; the plan only says so, and whether a stub stays in front.
fn processes(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let directive = key::PRIVATE_PIDS.directive();
    if !draft.is_on(&key::PRIVATE_PIDS) {
        return Ok(());
    }
    if draft.can(
        draft.facts.namespaces.pid,
        directive,
        "pid namespaces can't be made here",
    )? {
        draft.pid_namespace = true;
        if draft.situation.stub {
            draft.push(directive, Step::Stub);
        }
    }
    Ok(())
}
