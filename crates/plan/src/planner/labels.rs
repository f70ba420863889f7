//! Labels of security modules. One that can't be set ends the start, also where the kernel has no such module: who wrote it counts on it.
//! With `-` in front nothing is said of it.

use model::{Key, key};

use super::Refusal;
use super::draft::{Draft, text};
use crate::step::{SecurityModule, Step};

pub(super) fn plan(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    let facts = draft.facts;
    let smack = (&key::SMACK_PROCESS_LABEL, facts.smack, "SMACK");
    if let Some((label, optional)) = wanted(draft, smack)? {
        let label = &text(&label);
        let step = Step::SmackLabel { label, optional };
        draft.push(key::SMACK_PROCESS_LABEL.directive(), step);
    }
    let modules = [
        (
            (&key::APPARMOR_PROFILE, facts.apparmor, "AppArmor"),
            SecurityModule::AppArmor,
        ),
        (
            (&key::SELINUX_CONTEXT, facts.selinux, "SELinux"),
            SecurityModule::SeLinux,
        ),
    ];
    for (of, module) in modules {
        if let Some((label, optional)) = wanted(draft, of)? {
            let label = &text(&label);
            draft.push(
                of.0.directive(),
                Step::ExecLabel {
                    module,
                    label,
                    optional,
                },
            );
        }
    }
    Ok(())
}

/// The label that a directive asks for, and whether the start may go on without it.
fn wanted(
    draft: &mut Draft<'_>,
    (key, is_active, module): (&Key<String>, bool, &str),
) -> Result<Option<(String, bool)>, Refusal> {
    let Some(value) = draft.unit.get(key).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let (label, optional) = match value.strip_prefix('-') {
        Some(label) => (label, true),
        None => (value.as_str(), false),
    };
    if is_active {
        return Ok(Some((label.to_owned(), optional)));
    }
    if !optional {
        let why = format!(
            "{module} is not active in this kernel: with - in front of it the unit starts without"
        );
        draft.cannot(key.directive(), &why)?;
    }
    Ok(None)
}
