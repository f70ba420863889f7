//! The batches of all directories in one order.

use std::path::Path;
use std::rc::Rc;

use super::Error;
pub(super) use super::cursor::Found;
use super::cursor::{Cursor, Damage, Way};
use crate::format::file::{Namespaces, directories};

/// A cursor per directory and what each has next.
#[derive(Debug)]
pub(super) struct Merge {
    way: Way,
    sides: Vec<(Found, Cursor)>,
}

/// Oldest first.
pub(super) fn forwards(
    root: (&Path, &Namespaces),
    since_us: Option<u64>,
    damage: &Damage,
) -> Result<Merge, Error> {
    Merge::open(root, Way::Forwards, since_us, damage)
}

/// Newest first.
pub(super) fn backwards(
    root: (&Path, &Namespaces),
    since_us: Option<u64>,
    damage: &Damage,
) -> Result<Merge, Error> {
    Merge::open(root, Way::Backwards, since_us, damage)
}

impl Merge {
    fn open(
        (root, namespaces): (&Path, &Namespaces),
        way: Way,
        since_us: Option<u64>,
        damage: &Damage,
    ) -> Result<Merge, Error> {
        let mut merge = Merge {
            way,
            sides: Vec::new(),
        };
        for directory in directories(root, namespaces).map_err(Error::of(root))? {
            merge.put_back(Cursor::open(&directory, way, since_us, Rc::clone(damage))?)?;
        }
        Ok(merge)
    }

    fn put_back(&mut self, mut cursor: Cursor) -> Result<(), Error> {
        if let Some(found) = cursor.next()? {
            self.sides.push((found, cursor));
        }
        Ok(())
    }

    /// The next batch of all.
    pub(super) fn next(&mut self) -> Result<Option<Found>, Error> {
        let number = |(found, _): &(Found, Cursor)| found.batch.first_seqnum;
        let numbers = self.sides.iter().map(number).enumerate();
        let chosen = match self.way {
            Way::Forwards => numbers.min_by_key(|(_, number)| *number),
            Way::Backwards => numbers.max_by_key(|(_, number)| *number),
        };
        let Some((place, _)) = chosen else {
            return Ok(None);
        };
        let (found, cursor) = self.sides.swap_remove(place);
        self.put_back(cursor)?;
        Ok(Some(found))
    }
}
