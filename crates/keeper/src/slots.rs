//! A table of fixed capacity: memory is reserved at start and touched only as far as it is used.

/// Two numbers per place by which it is searched; zeros mark a free place.
pub(crate) type Tags = [u64; 2];

const FREE: Tags = [0, 0];

/// Values in numbered places, found by tags that are scanned densely.
pub(crate) struct Slots<T> {
    tags: Vec<Tags>,
    values: Vec<Option<T>>,
    free: Vec<usize>,
    capacity: usize,
}

impl<T> Slots<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            tags: Vec::with_capacity(capacity),
            values: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            capacity,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty() && self.values.len() >= self.capacity
    }

    /// Puts a value into a free place; gives it back when there is none.
    pub(crate) fn insert(&mut self, tags: Tags, value: T) -> Result<usize, T> {
        debug_assert!(tags != FREE);
        if let Some(place) = self.free.pop()
            && let (Some(tag), Some(slot)) = (self.tags.get_mut(place), self.values.get_mut(place))
        {
            *tag = tags;
            *slot = Some(value);
            return Ok(place);
        }
        if self.values.len() >= self.capacity {
            return Err(value);
        }
        self.tags.push(tags);
        self.values.push(Some(value));
        Ok(self.values.len() - 1)
    }

    pub(crate) fn remove(&mut self, place: usize) -> Option<T> {
        let value = self.values.get_mut(place)?.take()?;
        if let Some(tag) = self.tags.get_mut(place) {
            *tag = FREE;
        }
        self.free.push(place);
        Some(value)
    }

    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.values.get(place)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.values.get_mut(place)?.as_mut()
    }

    /// The first place whose tag number `which` is `tag` and whose value passes.
    pub(crate) fn find(
        &self,
        which: usize,
        tag: u64,
        passes: impl Fn(&T) -> bool,
    ) -> Option<usize> {
        let matching = self
            .tags
            .iter()
            .enumerate()
            .filter(|(_, tags)| tags.get(which) == Some(&tag));
        matching
            .map(|(place, _)| place)
            .find(|place| self.get(*place).is_some_and(&passes))
    }

    /// How many places were ever used; places from there on are free.
    pub(crate) fn end(&self) -> usize {
        self.values.len()
    }

    /// All values with their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.values
            .iter()
            .enumerate()
            .filter_map(|(place, value)| Some((place, value.as_ref()?)))
    }

    /// All values.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;

    #[test]
    fn a_freed_place_is_used_again_and_memory_never_grows() {
        let mut slots = Slots::new(2);
        let reserved = slots.values.capacity();
        assert_eq!(slots.insert([1, 7], 'a'), Ok(0));
        assert_eq!(slots.insert([2, 7], 'b'), Ok(1));
        assert!(slots.is_full());
        assert_eq!(slots.insert([3, 7], 'c'), Err('c'));
        assert_eq!(slots.remove(0), Some('a'));
        assert_eq!(slots.remove(0), None);
        assert_eq!(slots.insert([4, 7], 'd'), Ok(0));
        assert_eq!(slots.values.capacity(), reserved);
    }

    #[test]
    fn a_value_is_found_by_either_tag() {
        let mut slots = Slots::new(4);
        for (index, value) in ['a', 'b', 'c'].into_iter().enumerate() {
            assert_eq!(slots.insert([1, index as u64], value), Ok(index));
        }
        assert_eq!(slots.find(0, 1, |value| *value == 'b'), Some(1));
        assert_eq!(slots.find(1, 2, |_| true), Some(2));
        assert_eq!(slots.find(1, 9, |_| true), None);
    }
}
