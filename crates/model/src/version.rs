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
/// the older one. What both have decides nothing.
fn by_mark(a: &mut &[u8], b: &mut &[u8]) -> Option<Ordering> {
    loop {
        (*a, *b) = (skip_separators(a), skip_separators(b));
        let begin = |byte: u8| (a.first() == Some(&byte), b.first() == Some(&byte));
        let is_end = a.is_empty() || b.is_empty();
        if is_end && begin(b'~') == (false, false) {
            return Some(a.len().cmp(&b.len()));
        }
        let mut marks = [b'~', b'-', b'^', b'.'].into_iter().map(begin);
        match marks.find(|has| *has != (false, false))? {
            (true, true) => {
                (*a, *b) = (a.get(1..)?, b.get(1..)?);
            }
            (true, false) => return Some(Ordering::Less),
            (false, _) => return Some(Ordering::Greater),
        }
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
    fn kernels_and_long_numbers_have_their_order() {
        check(&["~", ""]);
        check(&["5.11.0-0.rc5", "5.11.0-0.rc6"]);
        check(&["6.9", "6.12.48+deb13-amd64"]);
        check(&["99999999999999999999", "100000000000000000000"]);
        assert_eq!(compare("1_", "1"), Ordering::Equal);
        // Marks that both have cost no stack.
        let marks = "~".repeat(1 << 20);
        assert_eq!(compare(&marks, &marks), Ordering::Equal);
    }

    #[test]
    fn capital_letters_come_before_small_ones() {
        check(&["1.A", "1.B", "1.a", "1.b"]);
    }
}
