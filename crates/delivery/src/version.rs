//! Which of two versions is newer, by the rules of the UAPI Version Format Specification.

use std::cmp::Ordering;

/// Compares two versions.
///
/// Numbers count as numbers, letters as letters; `~` is older than the end, `-` separates a release from
/// its version, `^` a patch from what it patches, `.` parts; every other character separates.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        a = skip_separators(a);
        b = skip_separators(b);
        if let Some(order) = by_mark(&mut a, &mut b) {
            return order;
        }
        let order = if starts_digit(a) || starts_digit(b) {
            number(&mut a, &mut b)
        } else {
            word(&mut a, &mut b)
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn skip_separators(text: &[u8]) -> &[u8] {
    let counts = |byte: &u8| byte.is_ascii_alphanumeric() || b"~-^.".contains(byte);
    let start = text.iter().position(counts).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// The marks in the order in which they decide; a side that has the mark where the other has none is
/// the older one.
fn by_mark(a: &mut &[u8], b: &mut &[u8]) -> Option<Ordering> {
    if let Some(order) = mark(a, b, b'~') {
        return Some(order);
    }
    if a.is_empty() || b.is_empty() {
        return Some(a.len().cmp(&b.len()));
    }
    [b'-', b'^', b'.']
        .into_iter()
        .find_map(|byte| mark(a, b, byte))
}

fn mark(a: &mut &[u8], b: &mut &[u8], byte: u8) -> Option<Ordering> {
    match (a.split_first(), b.split_first()) {
        (Some((&x, rest_a)), Some((&y, rest_b))) if x == byte && y == byte => {
            (*a, *b) = (rest_a, rest_b);
            // Both had it: what follows may again be a separator or another mark.
            (*a, *b) = (skip_separators(a), skip_separators(b));
            by_mark(a, b)
        }
        (Some((&x, _)), _) if x == byte => Some(Ordering::Less),
        (_, Some((&y, _))) if y == byte => Some(Ordering::Greater),
        _ => None,
    }
}

fn starts_digit(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

fn number(a: &mut &[u8], b: &mut &[u8]) -> Ordering {
    let (x, y) = (take(a, u8::is_ascii_digit), take(b, u8::is_ascii_digit));
    let presence = x.is_empty().cmp(&y.is_empty()).reverse();
    let (x, y) = (without_zeros(x), without_zeros(y));
    presence.then(x.len().cmp(&y.len())).then_with(|| x.cmp(y))
}

fn word(a: &mut &[u8], b: &mut &[u8]) -> Ordering {
    take(a, u8::is_ascii_alphabetic).cmp(take(b, u8::is_ascii_alphabetic))
}

fn take<'a>(text: &mut &'a [u8], belongs: fn(&u8) -> bool) -> &'a [u8] {
    let end = text
        .iter()
        .position(|byte| !belongs(byte))
        .unwrap_or(text.len());
    let (head, tail) = text.split_at_checked(end).unwrap_or((text, b""));
    *text = tail;
    head
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let start = digits
        .iter()
        .position(|byte| *byte != b'0')
        .unwrap_or(digits.len());
    digits.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair of a list that is sorted from old to new.
    fn check(sorted: &[&str]) {
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} and {b}");
            }
        }
    }

    #[test]
    fn numbers_count_as_numbers() {
        check(&["a", "0", "1", "2", "10", "11", "100"]);
        check(&[
            "122.1",
            "123~rc1-1",
            "123",
            "123-a",
            "123-a.1",
            "123-1",
            "123-1.1",
            "123^post1",
            "123.a-1",
            "123.1-1",
            "123a-1",
            "124-1",
        ]);
    }

    #[test]
    fn a_tilde_is_older_than_nothing() {
        check(&["1.0~beta", "1.0~rc1", "1.0~rc2", "1.0", "1.0.1"]);
    }

    #[test]
    fn leading_zeros_and_other_separators_do_not_count() {
        for (a, b) in [
            ("001", "1"),
            ("1_0", "1,0"),
            ("", ""),
            ("_", ""),
            ("1.0", "1.00"),
        ] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }

    #[test]
    fn capital_letters_come_before_small_ones() {
        check(&["1.A", "1.B", "1.a", "1.b"]);
    }
}
