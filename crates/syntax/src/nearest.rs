//! "Did you mean": the nearest known name, by how many single edits lie between.

/// The candidate nearest to `name`, if it is near enough to be what was meant: at most one edit in three characters, letter case
/// counting for nothing. Of equals the first wins, so the answer does not depend on anything but the order given.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name
        .chars()
        .take(MAX_NAME_CHARS + 1)
        .flat_map(char::to_lowercase)
        .collect();
    if wanted.is_empty() || wanted.len() > MAX_NAME_CHARS {
        return None;
    }
    let reach = 1 + wanted.len() / 4;
    let scored = candidates
        .into_iter()
        .filter_map(|candidate| Some((edits(&wanted, candidate, reach)?, candidate)));
    scored
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longest name that is compared; the longest directive has 30 characters.
const MAX_NAME_CHARS: usize = 64;

/// Edits (insert, delete, replace, swap neighbours) from `wanted` to `candidate`, none if more than `reach`.
fn edits(wanted: &[char], candidate: &str, reach: usize) -> Option<usize> {
    let candidate: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
    if candidate.len().abs_diff(wanted.len()) > reach {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=candidate.len()).collect();
    let mut last = None;
    for (row, &letter) in wanted.iter().enumerate() {
        let swapped = last.map(|previous| (previous, before.as_slice()));
        let next = next_row(row, letter, &candidate, &above, swapped);
        before = std::mem::replace(&mut above, next);
        last = Some(letter);
    }
    above.last().copied().filter(|distance| *distance <= reach)
}

/// One row of the edit table; `swapped` is the previous letter with the row before `above`.
fn next_row(
    row: usize,
    letter: char,
    candidate: &[char],
    above: &[usize],
    swapped: Option<(char, &[usize])>,
) -> Vec<usize> {
    let mut cells = Vec::with_capacity(above.len());
    let mut left = row + 1;
    cells.push(left);
    let mut other_before = None;
    for (column, (&other, pair)) in candidate.iter().zip(above.windows(2)).enumerate() {
        let [diagonal, up] = pair else { continue };
        let replaced = diagonal + usize::from(letter != other);
        let mut cell = replaced.min(up + 1).min(left + 1);
        if let Some((previous, before)) = swapped
            && previous == other
            && other_before == Some(letter)
            && let Some(cost) = column.checked_sub(1).and_then(|index| before.get(index))
        {
            cell = cell.min(cost + 1);
        }
        cells.push(cell);
        left = cell;
        other_before = Some(other);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::nearest;

    fn check(name: &str, expected: Option<&str>) {
        let known = [
            "ExecStart",
            "ExecStartPre",
            "ExecStop",
            "Restart",
            "RestartSec",
            "Type",
            "User",
            "PrivateTmp",
        ];
        assert_eq!(nearest(name, known), expected, "{name}");
    }

    #[test]
    fn a_typing_error_finds_what_was_meant() {
        check("ExecSart", Some("ExecStart"));
        check("execstart", Some("ExecStart"));
        check("ExceStart", Some("ExecStart"));
        check("PrivateTemp", Some("PrivateTmp"));
        check("Uesr", Some("User"));
    }

    #[test]
    fn a_foreign_name_finds_nothing() {
        check("Quux", None);
        check("", None);
        check(&"x".repeat(1000), None);
        check("WantedBy", None);
    }
}
