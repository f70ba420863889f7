//! The unit's system-call directives as one program.

use std::cell::RefCell;
use std::rc::Rc;

use model::tables::syscall_groups;
use model::value::{NamespaceSet, ProtectHostname, SyscallAction, SyscallFilter};
use model::{Directive, Facts, Unit, key};

use super::Refusal;
use super::draft::Draft;
use super::meaning::Meaning;
use crate::seccomp::{
    AddressRule, CallFilter, Logged, Machine, Restrictions, TooLong, Verdict, compile,
};
use crate::step::Step;

/// Adds the step; whether there is a program.
pub(super) fn plan(draft: &mut Draft<'_>, meaning: Meaning) -> Result<bool, Refusal> {
    let personality = super::attributes::personality(draft).unwrap_or(0);
    let mut restrictions = restrictions(draft.unit, draft.facts, meaning, personality);
    restrictions.no_other_project = draft.project.is_some();
    if restrictions.is_empty() {
        return Ok(false);
    }
    let directive = first_directive(draft.unit)
        .or(draft.project)
        .unwrap_or(key::SYSTEM_CALL_FILTER.directive());
    let Some(machine) = machine(draft.facts.architecture) else {
        draft.cannot(
            directive,
            "system-call filters are not made for this machine in this version",
        )?;
        return Ok(false);
    };
    if !draft.can(
        draft.facts.seccomp.filter,
        directive,
        "this kernel has no system-call filters",
    )? {
        return Ok(false);
    }
    let program = compiled(restrictions, machine).map_err(|long| Refusal {
        directive,
        why: long.to_string(),
    })?;
    draft.push(
        directive,
        Step::Seccomp {
            flags: 0,
            program: &program,
        },
    );
    Ok(true)
}

/// What the last program was made for, and its bytes.
type Compiled = ((Restrictions, Machine), Rc<[u8]>);

thread_local! {
    /// Most units of a host restrict the same calls, and to make a program is half the work of a plan. It depends on nothing else.
    static LAST: RefCell<Option<Compiled>> = const { RefCell::new(None) };
}

/// The program as bytes: made now, or the last one again.
fn compiled(restrictions: Restrictions, machine: Machine) -> Result<Rc<[u8]>, TooLong> {
    let question = (restrictions, machine);
    let known = LAST.with_borrow(|last| {
        let (_, program) = last.as_ref().filter(|(asked, _)| *asked == question)?;
        Some(Rc::clone(program))
    });
    if let Some(program) = known {
        return Ok(program);
    }
    let program: Rc<[u8]> = compile(&question.0, machine)?
        .iter()
        .flat_map(|instruction| instruction.bytes())
        .collect();
    LAST.set(Some((question, Rc::clone(&program))));
    Ok(program)
}

/// The program of a unit's directives for this host, without the rest of its plan; `None` where it restricts no calls.
pub fn program(unit: &Unit) -> Result<Option<Vec<u8>>, TooLong> {
    let facts = Facts::default();
    let restrictions = restrictions(unit, &facts, Meaning::of(unit), 0);
    let Some(machine) = machine(facts.architecture).filter(|_| !restrictions.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(compiled(restrictions, machine)?.to_vec()))
}

fn machine(name: &str) -> Option<Machine> {
    match name {
        "x86-64" => Some(Machine::X86_64),
        "x86" => Some(Machine::X86),
        "x32" => Some(Machine::X32),
        "arm64" => Some(Machine::Aarch64),
        "arm" => Some(Machine::Arm),
        _ => None,
    }
}

/// Whose failure a program that can't be installed is.
fn first_directive(unit: &Unit) -> Option<Directive> {
    let candidates = [
        key::SYSTEM_CALL_FILTER.directive(),
        key::SYSTEM_CALL_ARCHITECTURES.directive(),
        key::RESTRICT_NAMESPACES.directive(),
        key::RESTRICT_ADDRESS_FAMILIES.directive(),
        key::MEMORY_DENY_WRITE_EXECUTE.directive(),
        key::RESTRICT_SUID_SGID.directive(),
        key::RESTRICT_REALTIME.directive(),
        key::LOCK_PERSONALITY.directive(),
        key::PROTECT_KERNEL_MODULES.directive(),
        key::PROTECT_KERNEL_LOGS.directive(),
        key::PROTECT_KERNEL_TUNABLES.directive(),
        key::PROTECT_CLOCK.directive(),
        key::PROTECT_HOSTNAME.directive(),
        key::PROTECT_KEY_RING.directive(),
        key::PROTECT_MOUNT.directive(),
        key::PROTECT_TRACING.directive(),
        key::PRIVATE_DEVICES.directive(),
        key::DYNAMIC_USER.directive(),
        key::SYSTEM_CALL_LOG.directive(),
        key::PROTECT_CONTROL_GROUPS.directive(),
    ];
    candidates
        .into_iter()
        .find(|directive| unit.is_set(*directive))
}

fn restrictions(unit: &Unit, facts: &Facts, meaning: Meaning, personality: u32) -> Restrictions {
    let native = machine(facts.architecture);
    let machines = unit
        .get(&key::SYSTEM_CALL_ARCHITECTURES)
        .filter(|list| !list.is_empty())
        .map(|list| {
            let named = |name: &str| {
                if name == "native" {
                    native
                } else {
                    machine(name)
                }
            };
            // The native machine always calls: the service's own start is made of its calls.
            let mut machines: Vec<Machine> = list
                .iter()
                .filter_map(|architecture| named(architecture.as_str()))
                .chain(native)
                .collect();
            model::order::sort(&mut machines);
            machines.dedup();
            machines
        });
    Restrictions {
        filter: filter(unit),
        default_verdict: unit
            .get(&key::SYSTEM_CALL_ERROR_NUMBER)
            .map(|action| verdict(*action)),
        machines,
        denied_namespaces: NamespaceSet::ALL.0 & !unit.value(&key::RESTRICT_NAMESPACES).0
            | super::delegation::undoing(unit),
        addresses: unit.get(&key::RESTRICT_ADDRESS_FAMILIES).map(|families| {
            let numbers = families
                .families
                .iter()
                .map(|&family| family.into())
                .collect();
            if families.allow {
                AddressRule::Only(numbers)
            } else {
                AddressRule::Except(numbers)
            }
        }),
        no_writable_code: unit.value(&key::MEMORY_DENY_WRITE_EXECUTE),
        no_set_id: meaning.no_set_id,
        // It takes file systems that have projects, which the rest of the plan asks for.
        no_other_project: false,
        no_realtime: unit.value(&key::RESTRICT_REALTIME),
        locked_personality: unit.value(&key::LOCK_PERSONALITY).then_some(personality),
        denied_calls: denied_calls(unit),
        logged: unit.get(&key::SYSTEM_CALL_LOG).map(logged),
    }
}

/// Nothing is logged but what is named: the calls that an allow list has without naming them stay silent.
fn logged(log: &SyscallFilter) -> Logged {
    let calls = log.named().into_iter().map(str::to_owned).collect();
    Logged {
        inverted: !log.is_allow_list(),
        calls,
    }
}

const fn verdict(action: SyscallAction) -> Verdict {
    match action {
        SyscallAction::Kill => Verdict::Kill,
        SyscallAction::Errno(number) => Verdict::Errno(number),
    }
}

/// A list as it is written, and what it comes to.
type Resolved = (SyscallFilter, Rc<CallFilter>);

thread_local! {
    /// Few lists are written in units, mostly one: to look up all its calls takes longer than the rest of a plan.
    static RESOLVED: RefCell<Option<Resolved>> = const { RefCell::new(None) };
}

fn filter(unit: &Unit) -> Option<Rc<CallFilter>> {
    let filter = unit
        .get(&key::SYSTEM_CALL_FILTER)
        .filter(|filter| !filter.rules.is_empty())?;
    let known = RESOLVED.with_borrow(|last| {
        let (_, calls) = last.as_ref().filter(|(written, _)| written == filter)?;
        Some(Rc::clone(calls))
    });
    Some(known.unwrap_or_else(|| {
        let calls = Rc::new(resolved(filter));
        RESOLVED.set(Some((filter.clone(), Rc::clone(&calls))));
        calls
    }))
}

fn resolved(filter: &SyscallFilter) -> CallFilter {
    let resolved = filter.resolve();
    let calls = resolved.calls.into_iter();
    let listed =
        model::order::map(calls.map(|(call, action)| (call.to_owned(), action.map(verdict))));
    CallFilter {
        allow_list: resolved.allow,
        listed,
    }
}

/// What looks into other processes beside the calls for debuggers.
const TRACING: [&str; 4] = [
    "kcmp",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
];

fn denied_calls(unit: &Unit) -> Vec<&'static str> {
    let mut denied = Vec::new();
    let mut group = |key, group| {
        if unit.value(key) {
            denied.extend(syscall_groups::members(group));
        }
    };
    group(&key::PROTECT_CLOCK, "@clock");
    group(&key::PROTECT_KERNEL_MODULES, "@module");
    group(&key::PRIVATE_DEVICES, "@raw-io");
    group(&key::PROTECT_KEY_RING, "@keyring");
    group(&key::PROTECT_TRACING, "@debug");
    if unit.value(&key::PROTECT_TRACING) {
        denied.extend(TRACING);
    }
    if unit.value(&key::PROTECT_MOUNT) {
        // Another root is no other mount.
        let calls = syscall_groups::members("@mount");
        denied.extend(calls.into_iter().filter(|call| *call != "chroot"));
    }
    if unit.value(&key::PROTECT_KERNEL_LOGS) {
        denied.push("syslog");
    }
    if unit.value(&key::PROTECT_KERNEL_TUNABLES) {
        denied.push("_sysctl");
    }
    if matches!(unit.value(&key::PROTECT_HOSTNAME), ProtectHostname::Yes(_)) {
        denied.extend(["sethostname", "setdomainname"]);
    }
    denied
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A unit of the test's own.

    use super::*;
    use model::{TextForm, Unit};

    fn unit(list: &str) -> Unit {
        let mut unit = Unit::new("web.service".parse().unwrap());
        unit.set(
            &key::SYSTEM_CALL_FILTER,
            SyscallFilter::parse(list).unwrap(),
        );
        unit
    }

    #[test]
    fn units_whose_filters_differ_never_get_each_other_s_program() {
        let lists = ["@system-service", "~mount", "read write"];
        let first: Vec<_> = lists.map(|list| program(&unit(list)).unwrap()).into();
        for _ in 0..2 {
            for (list, expected) in lists.iter().zip(&first) {
                let fresh = resolved(&SyscallFilter::parse(list).unwrap());
                assert_eq!(*filter(&unit(list)).unwrap(), fresh, "{list}");
                assert_eq!(program(&unit(list)).unwrap(), *expected, "{list}");
            }
        }
        assert!(first.iter().all(Option::is_some) && first[0] != first[1] && first[1] != first[2]);
    }
}
