//! StateDirectoryQuota=, StateDirectoryAccounting= and their kin: what the directories of a unit may hold, and whether that is counted.

use model::Key;
use model::tables::capabilities as cap;
use model::value::Amount;

use super::Refusal;
use super::draft::Draft;
use crate::step::Quota;

/// The directives of one kind of directories.
pub(super) struct Bound {
    pub(super) quota: &'static Key<Amount>,
    pub(super) accounting: &'static Key<bool>,
}

/// What who is bounded must not hold: with it, quotas do not count.
const LOST: u64 = 1 << cap::SYS_RESOURCE;

/// What is said of directories at these places, as far as their file systems can do it.
pub(super) fn of(
    draft: &mut Draft<'_>,
    bound: &Bound,
    places: &[String],
) -> Result<Quota, Refusal> {
    if places.is_empty() {
        return Ok(Quota::Unsaid);
    }
    let counted = draft.is_on(bound.accounting);
    let (quota, directive) = match draft.unit.get(bound.quota) {
        Some(Amount::Exactly(bytes)) => (
            Quota::Bytes {
                most: (*bytes).max(1),
            },
            bound.quota.directive(),
        ),
        Some(Amount::Share(share)) => (
            Quota::Share {
                permyriad: share.permyriad,
            },
            bound.quota.directive(),
        ),
        _ if counted => (Quota::Counted, bound.accounting.directive()),
        // What was never said lifts nothing: the directory may be somebody else's, too.
        Some(_) => return Ok(Quota::Lifted),
        None => return Ok(Quota::Unsaid),
    };
    Ok(match trouble(draft, quota, places) {
        None => {
            draft.project.get_or_insert(directive);
            if quota != Quota::Counted {
                draft.lost_capabilities |= LOST;
            }
            quota
        }
        Some(why) => {
            draft.cannot(directive, &why)?;
            Quota::Unsaid
        }
    })
}

fn trouble(draft: &Draft<'_>, quota: Quota, places: &[String]) -> Option<String> {
    if !draft.is_privileged() {
        return Some("only root has quotas set".into());
    }
    let bounded = quota != Quota::Counted;
    let mut troubles = places
        .iter()
        .filter_map(|place| (draft.situation.quota_trouble)(place, bounded));
    troubles.next()
}
