//! What is asked of the next manager when one went away before it answered: each method's answer is one of these.

use crate::messages::{JobRequest, TransientRequest};

/// Asking twice is asking once.
pub(crate) fn the_same<T: Clone>(input: &T, _asked_us: u64) -> Option<T> {
    Some(input.clone())
}

/// The next manager sees from its units whether it was done since.
pub(crate) fn known(input: &JobRequest, asked_us: u64) -> Option<JobRequest> {
    Some(JobRequest {
        asked_us: input.asked_us.or(Some(asked_us)),
        ..input.clone()
    })
}

/// The next manager sees it from the unit, if the caller gave it a name of its own.
pub(crate) fn known_unit(input: &TransientRequest, _asked_us: u64) -> Option<TransientRequest> {
    (!input.unit.is_empty()).then(|| TransientRequest {
        again: true,
        ..input.clone()
    })
}

/// Nobody can tell.
pub(crate) fn never<T>(_input: &T, _asked_us: u64) -> Option<T> {
    None
}
