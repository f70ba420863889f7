//! Sorting that costs little code: the standard library's is some three kilobytes for each type of element, and the resident file sorts
//! a dozen of them, none of them long.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// A set of what comes, in any order. The library's `collect` sorts first, with all that code.
pub fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    set.extend(items);
    set
}

/// A map of what comes, in any order, likewise.
pub fn map<K: Ord, V>(items: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(items);
    map
}

/// Sorts by a comparison; what is equal keeps its order.
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let mut order = {
        let items = &*items;
        sorted(items.len(), &mut |one, other| {
            let pair = items.get(one).zip(items.get(other));
            pair.is_some_and(|(one, other)| compare(one, other).is_gt())
        })
    };
    // Every place is visited once: along each cycle of the permutation.
    for start in 0..items.len() {
        let mut place = start;
        while let Some(from) = order.get_mut(place) {
            let from = std::mem::replace(from, place);
            if from == start || from == place {
                break;
            }
            items.swap(place, from);
            place = from;
        }
    }
}

/// Sorts by a key; what is equal keeps its order.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], mut key: impl FnMut(&T) -> K) {
    sort_by(items, |one, other| key(one).cmp(&key(other)));
}

/// Sorts; what is equal keeps its order.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, Ord::cmp);
}

/// The places of `count` elements in their order: pairs of sorted stretches are merged into longer ones.
fn sorted(count: usize, is_after: &mut dyn FnMut(usize, usize) -> bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut merged = Vec::with_capacity(count);
    let mut width = 1;
    while width < count {
        for pair in order.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let (Some((&one, others)), Some((&other, rest))) =
                (left.split_first(), right.split_first())
            {
                if is_after(one, other) {
                    merged.push(other);
                    right = rest;
                } else {
                    merged.push(one);
                    left = others;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(&mut order, &mut merged);
        merged.clear();
        width *= 2;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_standard_library_s_stable_sort() {
        let mut state = 1_u64;
        for count in 0..200 {
            let mut items: Vec<(u64, usize)> = (0..count)
                .map(|place| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    ((state >> 33) % 17, place)
                })
                .collect();
            let mut expected = items.clone();
            expected.sort_by_key(|(value, _)| *value);
            sort_by_key(&mut items, |(value, _)| *value);
            assert_eq!(items, expected);
            sort(&mut items);
            assert!(items.is_sorted());
        }
    }
}
