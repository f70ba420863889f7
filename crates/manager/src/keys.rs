//! The numbers by which the keeper knows units: of each name one, and of no two names the same.
//!
//! A unit's number is the hash of its name, so that every manager finds the same without being told. Images choose the names of their
//! units, and for a hash of 64 bits two names of one number can be found: the second one gets the next number that is free, and has it
//! in its record.

use engine::UnitId;
use model::sorted::{Map, Set};

/// Which numbers are whose.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    units: Map<u64, UnitId>,
    /// Until the units of the records are there: their numbers by name, and all these numbers.
    recorded: Map<String, u64>,
    reserved: Set<u64>,
}

impl Keys {
    /// The unit with this number.
    pub(crate) fn get(&self, key: &u64) -> Option<&UnitId> {
        self.units.get(key)
    }

    /// Keeps a number for the unit that has it on record.
    pub(crate) fn reserve(&mut self, name: &str, key: u64) {
        self.recorded.insert(name.to_owned(), key);
        self.reserved.insert(key);
    }

    /// All units of the records are there.
    pub(crate) fn end_reservations(&mut self) {
        (self.recorded, self.reserved) = (Map::new(), Set::new());
    }

    /// The number of a unit that comes: the one on record, else the hash of its name, or the next one that is nobody's.
    pub(crate) fn give(&mut self, name: &str, hash: u64, unit: UnitId) -> u64 {
        let is_free = |key: &u64| !self.units.contains_key(key) && !self.reserved.contains(key);
        let key = match self.recorded.get(name) {
            Some(key) => *key,
            None => std::iter::successors(Some(hash), |key| Some(key.wrapping_add(1)))
                .find(is_free)
                .unwrap_or(hash),
        };
        self.units.insert(key, unit);
        key
    }

    /// A unit is gone.
    pub(crate) fn remove(&mut self, key: &u64) {
        self.units.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_of_one_hash_have_two_numbers_also_for_the_next_manager() {
        let (one, other, third) = (UnitId(1), UnitId(2), UnitId(3));
        let mut keys = Keys::default();
        assert_eq!(keys.give("one.service", 7, one), 7);
        assert_eq!(keys.give("other.service", 7, other), 8);
        assert_eq!(keys.get(&7), Some(&one));
        assert_eq!(keys.get(&8), Some(&other));
        // Whatever order the next manager finds them in, and whoever comes between.
        let mut keys = Keys::default();
        keys.reserve("one.service", 7);
        keys.reserve("other.service", 8);
        assert_eq!(keys.give("third.service", 7, third), 9);
        assert_eq!(keys.give("other.service", 7, other), 8);
        assert_eq!(keys.give("one.service", 7, one), 7);
        keys.end_reservations();
        keys.remove(&7);
        assert_eq!(keys.get(&7), None);
        assert_eq!(keys.give("one.service", 7, one), 7);
    }
}
