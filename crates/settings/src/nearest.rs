//! The nearest name to one that nobody knows.

use crate::TABLE;

/// Longest name that is compared, in bytes: longer ones resemble nothing.
const MAX_NAME_BYTES: usize = 64;

/// The directive's name that is most like a wrong one, if any is like it.
pub fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    let near = TABLE
        .iter()
        .map(|row| (distance(name, row.name), row.name))
        .min()?;
    // A third of the letters may be wrong.
    (near.0 * 3 <= name.len().max(3)).then_some(near.1)
}

/// How many letters must be put in, taken out, changed or swapped with their neighbour; a wrong case costs nothing.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let width = other.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut line = vec![row + 1; width];
        for (column, wanted) in other.iter().enumerate() {
            let at =
                |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut cost = (at(&last, column) + usize::from(letter != wanted))
                .min(at(&last, column + 1) + 1)
                .min(at(&line, column) + 1);
            let swapped = row > 0
                && column > 0
                && one.get(row - 1) == Some(wanted)
                && other.get(column - 1) == Some(letter);
            if swapped {
                cost = cost.min(at(&before, column - 1) + 1);
            }
            if let Some(cell) = line.get_mut(column + 1) {
                *cell = cost;
            }
        }
        (before, last) = (last, line);
    }
    last.last().copied().unwrap_or(usize::MAX)
}
