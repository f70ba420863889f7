//! Capabilities: what may be held, what is held, and what other directives take away.

use model::key;
use model::tables::capabilities as cap;

use super::Refusal;
use super::draft::Draft;
use super::identity;
use crate::step::Step;

const fn bit(capability: u32) -> u64 {
    1 << capability
}

/// What directives about the kernel and devices take away.
pub(super) fn lost(draft: &mut Draft<'_>) {
    let losses = [
        (&key::PROTECT_KERNEL_MODULES, bit(cap::SYS_MODULE)),
        (&key::PROTECT_KERNEL_LOGS, bit(cap::SYSLOG)),
        (
            &key::PROTECT_CLOCK,
            bit(cap::SYS_TIME) | bit(cap::WAKE_ALARM),
        ),
        (
            &key::PROTECT_TRACING,
            bit(cap::SYS_PTRACE) | bit(cap::PERFMON),
        ),
        (&key::PRIVATE_DEVICES, bit(cap::MKNOD) | bit(cap::SYS_RAWIO)),
    ];
    draft.lost_capabilities |= losses
        .iter()
        .filter(|(key, _)| draft.is_on(key))
        .fold(0, |sum, (_, bits)| sum | bits);
}

/// Whether the service holds capabilities that its user alone would not give.
pub(super) fn has_ambient(draft: &Draft<'_>) -> bool {
    ambient(draft) != 0
}

fn ambient(draft: &Draft<'_>) -> u64 {
    draft.value(&key::AMBIENT_CAPABILITIES).0 & keep(draft)
}

fn keep(draft: &Draft<'_>) -> u64 {
    draft.value(&key::CAPABILITY_BOUNDING_SET).0 & !draft.lost_capabilities
}

/// Steps for the bounding set, the ambient set and the secure bits.
pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let all = draft.facts.bounding.0;
    let keep = keep(draft);
    let directive = key::CAPABILITY_BOUNDING_SET.directive();
    // A new user namespace, first or late, fills the set again, so it is narrowed even where nothing would be lost now.
    let narrows = keep & all != all || draft.unit.is_set(directive) || draft.lost_capabilities != 0;
    if narrows {
        draft.push(directive, Step::BoundingSet { keep });
    }
    let ambient = ambient(draft);
    if ambient != 0 {
        let directive = key::AMBIENT_CAPABILITIES.directive();
        if draft.can(
            draft.facts.ambient_capabilities,
            directive,
            "this kernel has no ambient capabilities",
        )? {
            draft.push(directive, Step::Capabilities { ambient });
        }
    } else if draft.unit.is_set(key::AMBIENT_CAPABILITIES.directive())
        && !identity::changes_user(draft)
    {
        draft.push(
            key::AMBIENT_CAPABILITIES.directive(),
            Step::Capabilities { ambient: 0 },
        );
    }
    if let Some(bits) = draft.unit.get(&key::SECURE_BITS) {
        draft.push(
            key::SECURE_BITS.directive(),
            Step::SecureBits { bits: bits.0 },
        );
    }
    Ok(())
}
