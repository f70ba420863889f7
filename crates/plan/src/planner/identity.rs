//! User, groups and keyring.

use model::value::KeyringMode;
use model::{Directive, key};

use super::Refusal;
use super::draft::Draft;
use crate::step::Step;

/// Whether the unit names a user or makes one.
pub(super) fn changes_user(draft: &Draft<'_>) -> bool {
    draft.is_on(&key::DYNAMIC_USER)
        || draft
            .unit
            .get(&key::USER)
            .is_some_and(|user| user.id() != Some(0) && user.as_str() != "root")
}

fn directive_of_user(draft: &Draft<'_>) -> Directive {
    if draft.is_on(&key::DYNAMIC_USER) {
        key::DYNAMIC_USER.directive()
    } else {
        key::USER.directive()
    }
}

/// Groups and user.
pub(super) fn plan(draft: &mut Draft<'_>, keep_capabilities: bool) -> Result<(), Refusal> {
    let user = directive_of_user(draft);
    let names_group = draft.unit.is_set(key::GROUP.directive());
    let more_groups = draft.unit.is_set(key::SUPPLEMENTARY_GROUPS.directive());
    if !changes_user(draft) && !names_group && !more_groups {
        return Ok(());
    }
    if !draft.is_privileged() {
        let directive = if changes_user(draft) {
            user
        } else {
            key::GROUP.directive()
        };
        return draft.cannot(directive, "only root changes users");
    }
    if changes_user(draft) || names_group || more_groups {
        draft.push(
            if names_group {
                key::GROUP.directive()
            } else {
                user
            },
            Step::Groups,
        );
    }
    if changes_user(draft) {
        draft.push(user, Step::User { keep_capabilities });
    }
    Ok(())
}

/// The session keyring; every system service gets one of its own.
pub(super) fn keyring(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let directive = key::KEYRING_MODE.directive();
    let mode = draft.value(&key::KEYRING_MODE);
    let asked = draft.unit.is_set(directive);
    if mode == KeyringMode::Inherit || (!asked && !draft.facts.keyring) {
        return Ok(());
    }
    // What contains us keeps every keyring from the service already.
    if mode == KeyringMode::Private && draft.facts.keyring_closed {
        return Ok(());
    }
    if draft.can(
        draft.facts.keyring,
        directive,
        "session keyrings can't be made here",
    )? {
        draft.push(
            directive,
            Step::Keyring {
                link_user: mode == KeyringMode::Shared,
            },
        );
    }
    Ok(())
}
