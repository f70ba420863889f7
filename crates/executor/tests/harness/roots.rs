//! Runs below a root of its own, with mounts.

use kernel::namespace::MOUNT;
use plan::Step;
use plan::step::{RootSource, What};

use super::{Outcome, Start};

pub(crate) const SLAVE: u32 = 1 << 19;

pub(crate) fn at<'a>(at: &'a std::ffi::CStr, what: What<'a>) -> Step<'a> {
    Step::Mount {
        at,
        what,
        set: 0,
        clear: 0,
        missing_ok: false,
    }
}

/// Runs below a root of the host with these mounts.
pub(crate) fn inside(start: Start, set: u64, mounts: &[Step<'_>]) -> Outcome {
    below(start, RootSource::Host, set, mounts)
}

pub(crate) fn below(start: Start, from: RootSource<'_>, set: u64, mounts: &[Step<'_>]) -> Outcome {
    let mut steps = vec![
        Step::Unshare {
            kinds: MOUNT,
            told: 0,
        },
        Step::Propagation { flag: SLAVE },
        Step::Root { from, set },
        Step::EnterRoot { shared: true },
    ];
    steps.extend_from_slice(mounts);
    start.run(&steps)
}
