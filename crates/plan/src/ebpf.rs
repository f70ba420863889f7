//! What a unit's control group lets through, as programs for the kernel's eBPF machine.
//!
//! `traffic`, `devices` and `sockets` know what the kernel hands to each kind of program, `ranges` turns networks into something to search,
//! `code` writes instructions. Nothing is loaded here.

pub mod btf;
mod code;
mod devices;
mod files;
mod ranges;
mod sockets;
mod traffic;

use model::value::{DevicePolicy, DeviceRule, NameFilter};
use model::{Directive, Unit, key};

pub use files::{Executor, Ground};

pub use code::{INSTRUCTIONS_MAX, Instruction, TooLong, wants_counters};
pub use traffic::COUNTERS_BYTES;

use crate::Refusal;
use traffic::{Direction, Traffic};

/// Where a program stands between a unit and the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hook {
    /// What unit files call it.
    pub name: &'static str,
    /// `enum bpf_prog_type`.
    pub program: u32,
    /// `enum bpf_attach_type`.
    pub attach: u32,
}

const fn hook(name: &'static str, program: u32, attach: u32) -> Hook {
    Hook {
        name,
        program,
        attach,
    }
}

/// Packets that come in.
pub const INGRESS: Hook = hook("ingress", 8, 0);
/// Packets that go out.
pub const EGRESS: Hook = hook("egress", 8, 1);
const SOCK_CREATE: Hook = hook("sock_create", 9, 2);
const DEVICE: Hook = hook("device", 15, 6);
const BIND4: Hook = hook("bind4", 18, 8);
const BIND6: Hook = hook("bind6", 18, 9);
/// Opening files, asked of the security module; no hook that BPFProgram= takes.
pub const FILE_OPEN: Hook = hook("file_open", 29, 43);

/// The hooks of control groups (linux/bpf.h of 6.12), by the names that BPFProgram= takes.
pub const HOOKS: [Hook; 18] = [
    INGRESS,
    EGRESS,
    SOCK_CREATE,
    hook("sock_ops", 13, 3),
    DEVICE,
    BIND4,
    BIND6,
    hook("connect4", 18, 10),
    hook("connect6", 18, 11),
    hook("post_bind4", 9, 12),
    hook("post_bind6", 9, 13),
    hook("sendmsg4", 18, 14),
    hook("sendmsg6", 18, 15),
    hook("sysctl", 23, 18),
    hook("recvmsg4", 18, 19),
    hook("recvmsg6", 18, 20),
    hook("getsockopt", 25, 21),
    hook("setsockopt", 25, 22),
];

impl Hook {
    /// The hook of this name.
    pub fn of(name: &str) -> Option<Hook> {
        HOOKS.into_iter().find(|hook| hook.name == name)
    }
}

/// A device, or all of a driver's, by the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceNumbers {
    /// A block device, not a character device.
    pub block: bool,
    /// The driver's number; all devices of the kind without one.
    pub major: Option<u32>,
    /// The device's; all of the driver's without one.
    pub minor: Option<u32>,
}

/// What the host knows at the moment of a start.
pub struct Host<'a> {
    /// The numbers behind a path below `/dev`, `char-NAME` or `block-NAME`; none where there is no such device.
    pub devices: &'a dyn Fn(&str) -> Vec<DeviceNumbers>,
    /// The number of a network interface.
    pub interface: &'a dyn Fn(&str) -> Option<u32>,
    /// What programs of the security module rest on, or why there can be none.
    pub ground: &'a dyn Fn() -> Result<Ground, String>,
}

/// Where a program comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It was made for the unit.
    Made(Vec<Instruction>),
    /// It was loaded by somebody else and has this path in a file system of type bpf.
    Pinned(String),
}

/// A program that a unit's control group is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupProgram {
    /// Which directive asks for it.
    pub directive: Directive,
    /// Where it stands.
    pub hook: Hook,
    /// What it is.
    pub source: Source,
    /// The kernel's function before which it stands, by the number of its type; 0 at hooks of control groups alone.
    pub function: u32,
    /// Another part of the directive restricts the service without it, or nothing does: the start may go on where it can't be loaded.
    pub may_reduce: bool,
}

impl GroupProgram {
    /// What it is, for people.
    pub fn explain(&self) -> String {
        let what = match &self.source {
            Source::Made(code) => format!("a program of {} instructions", code.len()),
            Source::Pinned(path) => format!("the program that is pinned at {path:?}"),
        };
        format!(
            "control group, before any process: {} asks {what}",
            self.hook.name
        )
    }
}

/// The programs of a unit, in the order in which they are attached.
///
/// # Errors
/// A list that is too long for a program, or an interface that is not there.
pub fn group_programs(unit: &Unit, host: &Host<'_>) -> Result<Vec<GroupProgram>, Refusal> {
    let mut programs = Vec::new();
    programs.extend(device_program(unit, host)?);
    traffic_programs(unit, host, &mut programs)?;
    bind_programs(unit, &mut programs)?;
    if let Some(name) = unit.get(&key::BIND_NETWORK_INTERFACE) {
        let directive = key::BIND_NETWORK_INTERFACE.directive();
        let number = interface(unit, host, directive, name)?.ok_or_else(|| Refusal {
            directive,
            why: format!("there is no network interface {name:?} now"),
        })?;
        let made = made(directive, sockets::belong_to(number))?;
        programs.push(program(directive, SOCK_CREATE, made));
    }
    programs.extend(file_program(unit, host)?);
    pinned(unit, &mut programs)?;
    Ok(programs)
}

fn program(directive: Directive, hook: Hook, source: Source) -> GroupProgram {
    GroupProgram {
        directive,
        hook,
        source,
        function: 0,
        may_reduce: false,
    }
}

/// The program of RestrictFileSystems=, which alone rests on what changes with the keeper.
///
/// # Errors
/// A list that is too long for a program, or a name that can't be kept out.
pub fn file_program(unit: &Unit, host: &Host<'_>) -> Result<Option<GroupProgram>, Refusal> {
    let directive = key::RESTRICT_FILE_SYSTEMS.directive();
    let Some(listed) = unit.get(&key::RESTRICT_FILE_SYSTEMS) else {
        return Ok(None);
    };
    let mut magics = Vec::new();
    for name in &listed.names {
        match model::tables::file_systems::magics(name) {
            Some(known) => magics.extend_from_slice(known),
            // Nothing that nobody knows is let through.
            None if listed.allow => {}
            None => {
                return Err(Refusal {
                    directive,
                    why: format!(
                        "{name:?} is no kind of file systems that is known, and could not be kept out: list those that are allowed"
                    ),
                });
            }
        }
    }
    model::order::sort(&mut magics);
    magics.dedup();
    let ground = (host.ground)().map_err(|why| Refusal { directive, why })?;
    let source = made(directive, files::program(listed.allow, &magics, &ground))?;
    Ok(Some(GroupProgram {
        function: ground.layout.function,
        ..program(directive, FILE_OPEN, source)
    }))
}

fn made(directive: Directive, code: Result<Vec<Instruction>, TooLong>) -> Result<Source, Refusal> {
    code.map(Source::Made).map_err(|error| Refusal {
        directive,
        why: error.to_string(),
    })
}

/// DeviceAllow= and DevicePolicy=, with what PrivateDevices= and ProtectClock= mean for them.
fn device_program(unit: &Unit, host: &Host<'_>) -> Result<Option<GroupProgram>, Refusal> {
    let listed = unit.get(&key::DEVICE_ALLOW);
    let policy = unit.value(&key::DEVICE_POLICY);
    let is_private = unit.value(&key::PRIVATE_DEVICES);
    let is_clock = unit.value(&key::PROTECT_CLOCK);
    let (directive, may_reduce) = match (listed, policy) {
        (_, DevicePolicy::Closed | DevicePolicy::Strict) => (key::DEVICE_POLICY.directive(), false),
        (Some(_), DevicePolicy::Auto) => (key::DEVICE_ALLOW.directive(), false),
        (None, DevicePolicy::Auto) if is_private => (key::PRIVATE_DEVICES.directive(), true),
        (None, DevicePolicy::Auto) if is_clock => (key::PROTECT_CLOCK.directive(), true),
        (None, DevicePolicy::Auto) => return Ok(None),
    };
    let mut rules = Vec::new();
    if policy != DevicePolicy::Strict {
        rules.extend_from_slice(devices::STANDARD);
    }
    let clock = DeviceRule {
        device: "char-rtc".to_owned(),
        read: true,
        write: false,
        make: false,
    };
    let listed = listed.iter().flat_map(|listed| &listed.0);
    for rule in listed.chain(is_clock.then_some(&clock)) {
        let access = [
            (rule.read, devices::READ),
            (rule.write, devices::WRITE),
            (rule.make, devices::MAKE),
        ];
        let access = access
            .iter()
            .filter_map(|(is_set, bit)| is_set.then_some(bit))
            .sum();
        let found = (host.devices)(&rule.device).into_iter();
        rules.extend(found.map(|device| devices::Rule { device, access }));
    }
    let source = made(directive, devices::program(&rules))?;
    Ok(Some(GroupProgram {
        may_reduce,
        ..program(directive, DEVICE, source)
    }))
}

/// IPAddressAllow=, IPAddressDeny=, RestrictNetworkInterfaces= and IPAccounting= are one program for each direction.
fn traffic_programs(
    unit: &Unit,
    host: &Host<'_>,
    programs: &mut Vec<GroupProgram>,
) -> Result<(), Refusal> {
    let none = model::value::IpPrefixes::default();
    let allow = unit.get(&key::IP_ADDRESS_ALLOW).unwrap_or(&none);
    let deny = unit.get(&key::IP_ADDRESS_DENY).unwrap_or(&none);
    let interfaces = unit.get(&key::RESTRICT_NETWORK_INTERFACES);
    let counts = unit.value(&key::IP_ACCOUNTING);
    let (directive, may_reduce) = match (deny.0.is_empty(), interfaces) {
        (false, _) => (key::IP_ADDRESS_DENY.directive(), false),
        (true, Some(_)) => (key::RESTRICT_NETWORK_INTERFACES.directive(), false),
        (true, None) if counts => (key::IP_ACCOUNTING.directive(), true),
        (true, None) => return Ok(()),
    };
    let interfaces = interfaces
        .map(|listed| numbers(unit, host, listed))
        .transpose()?;
    let traffic = Traffic {
        allow: &allow.0,
        deny: &deny.0,
        interfaces,
        counts,
    };
    for (hook, direction) in [(INGRESS, Direction::Ingress), (EGRESS, Direction::Egress)] {
        let source = made(directive, traffic::program(&traffic, direction))?;
        programs.push(GroupProgram {
            may_reduce,
            ..program(directive, hook, source)
        });
    }
    Ok(())
}

/// The interfaces of a list by their numbers. Of those that are allowed some may be missing: they are closed. One that is to be kept out
/// could come later, with a number that nobody knows yet.
fn numbers(unit: &Unit, host: &Host<'_>, listed: &NameFilter) -> Result<(bool, Vec<u32>), Refusal> {
    let directive = key::RESTRICT_NETWORK_INTERFACES.directive();
    let mut numbers = Vec::new();
    for name in &listed.names {
        match interface(unit, host, directive, name)? {
            Some(number) => numbers.push(number),
            None if listed.allow => {}
            None => {
                return Err(Refusal {
                    directive,
                    why: format!(
                        "there is no network interface {name:?} now, and one that comes later could not be kept out: list those that are allowed"
                    ),
                });
            }
        }
    }
    Ok((listed.allow, numbers))
}

/// The number of an interface where the unit's sockets are. That of the loopback is the same in every network namespace.
fn interface(
    unit: &Unit,
    host: &Host<'_>,
    directive: Directive,
    name: &str,
) -> Result<Option<u32>, Refusal> {
    let joins = unit.is_set(key::NETWORK_NAMESPACE_PATH.directive())
        || unit.is_set(key::JOINS_NAMESPACE_OF.directive());
    if joins && name != "lo" {
        return Err(Refusal {
            directive,
            why: format!(
                "what number {name:?} has in the network namespace that the unit joins is not known"
            ),
        });
    }
    Ok((host.interface)(name))
}

/// SocketBindAllow= and SocketBindDeny=.
fn bind_programs(unit: &Unit, programs: &mut Vec<GroupProgram>) -> Result<(), Refusal> {
    let directive = key::SOCKET_BIND_DENY.directive();
    let Some(deny) = unit.get(&key::SOCKET_BIND_DENY) else {
        return Ok(());
    };
    let allow = unit.value(&key::SOCKET_BIND_ALLOW);
    for (hook, family) in [(BIND4, "ipv4"), (BIND6, "ipv6")] {
        let source = made(directive, sockets::bind(&allow.0, &deny.0, family))?;
        programs.push(program(directive, hook, source));
    }
    Ok(())
}

/// IPIngressFilterPath=, IPEgressFilterPath= and BPFProgram=.
fn pinned(unit: &Unit, programs: &mut Vec<GroupProgram>) -> Result<(), Refusal> {
    for (key, hook) in [
        (&key::IP_INGRESS_FILTER_PATH, INGRESS),
        (&key::IP_EGRESS_FILTER_PATH, EGRESS),
    ] {
        for path in unit.value(key).0 {
            add_pinned(programs, key.directive(), hook, path.as_str());
        }
    }
    let directive = key::BPF_PROGRAM.directive();
    for word in unit.value(&key::BPF_PROGRAM).0 {
        let (hook, path) = word
            .split_once(':')
            .and_then(|(name, path)| Some((Hook::of(name)?, path)))
            .filter(|(_, path)| path.starts_with('/'))
            .ok_or_else(|| Refusal {
                directive,
                why: format!("{word:?} is not the name of a hook, a colon and a path, such as egress:/sys/fs/bpf/filter"),
            })?;
        add_pinned(programs, directive, hook, path);
    }
    Ok(())
}

/// The kernel refuses to attach a program that stands at its hook already: whoever else names it has what it asks for.
fn add_pinned(programs: &mut Vec<GroupProgram>, directive: Directive, hook: Hook, path: &str) {
    let source = Source::Pinned(path.to_owned());
    let stands = |one: &GroupProgram| one.hook == hook && one.source == source;
    if !programs.iter().any(stands) {
        programs.push(program(directive, hook, source));
    }
}

#[cfg(test)]
mod machine;
#[cfg(test)]
mod tests;
