//! Low numbers for what a child is given: then only the descriptors below them are copied for it, and closed by it. The keeper holds some for
//! every service, and each child would do that with all of them.

use kernel::Result;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::{DupFlags, dup3};

/// How many there are: for a plan, a report, an output, and some more. A child that is given more has its copy of all.
const PLACES: usize = 12;

/// Numbers that nobody else gets, as something is always open there.
pub(crate) struct Window {
    places: Vec<OwnedFd>,
    /// What is open there while no child is started.
    nothing: OwnedFd,
}

impl Window {
    /// Takes free numbers from this one on: the lowest of them, if it is asked for before all else is open.
    pub(crate) fn new(from: RawFd) -> Result<Self> {
        let nothing = eventfd(0, EventfdFlags::CLOEXEC)?;
        let place = |_| kernel::descriptor::duplicate_from(&nothing, from);
        Ok(Self {
            places: (0..PLACES).map(place).collect::<Result<_>>()?,
            nothing,
        })
    }

    /// The number behind all of them.
    pub(crate) fn end(&self) -> RawFd {
        let numbers = self.places.iter().map(AsRawFd::as_raw_fd);
        numbers.max().map_or(0, |last| last + 1)
    }

    /// Opens at these numbers what a child is to be given. Answers at how many: none where there are too few for all.
    pub(crate) fn fill(&mut self, given: &[BorrowedFd<'_>]) -> Result<usize> {
        if given.len() > self.places.len() {
            return Ok(0);
        }
        let mut places = self.places.iter_mut().zip(given);
        let filled = places.try_for_each(|(place, given)| dup3(given, place, DupFlags::CLOEXEC));
        if filled.is_err() {
            self.clear(given.len());
        }
        filled?;
        Ok(given.len())
    }

    /// What lies at the first of them.
    pub(crate) fn filled<'a>(&'a self, count: usize, room: &mut [BorrowedFd<'a>]) {
        for (to, place) in room.iter_mut().zip(&self.places).take(count) {
            *to = place.as_fd();
        }
    }

    /// Lets go of what was given to a child: whoever waits for its end is not to wait for the keeper.
    pub(crate) fn clear(&mut self, count: usize) {
        for place in self.places.iter_mut().take(count) {
            match dup3(&self.nothing, place, DupFlags::CLOEXEC) {
                // Both numbers are open and nobody else's, so nothing can be in the way.
                Ok(()) | Err(_) => {}
            }
        }
    }
}
