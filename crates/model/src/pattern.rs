//! Patterns of names: `*`, `?` and `[…]`, as shells and fnmatch(3) have them.

/// Does a name match a pattern? A backslash is a character like others, as it is in the names of units.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    is_match(pattern, name, false)
}

/// The same where a backslash takes its meaning from the character that follows, as in glob(7).
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    is_match(pattern, name, true)
}

fn is_match(pattern: &str, name: &str, escapes: bool) -> bool {
    let pattern = Pattern {
        chars: pattern.chars().collect(),
        escapes,
    };
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit: no recursion, so no pattern is slow.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() || p < pattern.chars.len() {
        if pattern.chars.get(p) == Some(&'*') {
            retry = Some((p, n + 1));
            p += 1;
            continue;
        }
        if let Some(next) = name.get(n).and_then(|c| pattern.step(p, *c)) {
            (p, n) = (next, n + 1);
            continue;
        }
        match retry {
            Some((star, from)) if from <= name.len() => (p, n) = (star, from),
            _ => return false,
        }
    }
    true
}

struct Pattern {
    chars: Vec<char>,
    escapes: bool,
}

impl Pattern {
    /// The place behind the part of the pattern that a character fits.
    fn step(&self, at: usize, c: char) -> Option<usize> {
        match self.chars.get(at)? {
            '?' => Some(at + 1),
            '[' => match self.set(at + 1, c) {
                Some((holds, end)) => holds.then_some(end),
                // What nothing closes is a character like others.
                None => (c == '[').then_some(at + 1),
            },
            _ => {
                let (one, next) = self.literal(at)?;
                (one == c).then_some(next)
            }
        }
    }

    /// The character that stands here, and the place behind it.
    fn literal(&self, at: usize) -> Option<(char, usize)> {
        match self.chars.get(at)? {
            '\\' if self.escapes => Some((*self.chars.get(at + 1)?, at + 2)),
            one => Some((*one, at + 1)),
        }
    }

    /// Whether a set has a character, and the place behind the set; none where it is not closed. A bracket that closes stands for itself
    /// where it is the first.
    fn set(&self, from: usize, c: char) -> Option<(bool, usize)> {
        let negated = matches!(self.chars.get(from)?, '!' | '^');
        let first = from + usize::from(negated);
        let (mut at, mut holds) = (first, false);
        loop {
            if self.chars.get(at)? == &']' && at > first {
                return Some((holds != negated, at + 1));
            }
            if let Some((class, end)) = self.class(at) {
                holds |= is_of(&class, c);
                at = end;
                continue;
            }
            let (one, next) = self.literal(at)?;
            let is_range = self.chars.get(next) == Some(&'-')
                && self.chars.get(next + 1).is_some_and(|last| *last != ']');
            if is_range {
                let (last, end) = self.literal(next + 1)?;
                holds |= (one..=last).contains(&c);
                at = end;
            } else {
                holds |= one == c;
                at = next;
            }
        }
    }

    /// The name in `[:name:]`, and the place behind it.
    fn class(&self, at: usize) -> Option<(String, usize)> {
        let rest = self.chars.get(at..)?.strip_prefix(&['[', ':'])?;
        let length = rest.iter().position(|c| !c.is_ascii_alphabetic())?;
        let is_closed = rest.get(length..)?.starts_with(&[':', ']']);
        is_closed.then(|| (rest.iter().take(length).collect(), at + length + 4))
    }
}

/// Is a character of a class of ctype(3)? A class that there is not has none.
fn is_of(class: &str, c: char) -> bool {
    match class {
        "alnum" => c.is_alphanumeric(),
        "alpha" => c.is_alphabetic(),
        "blank" => c == ' ' || c == '\t',
        "cntrl" => c.is_control(),
        "digit" => c.is_ascii_digit(),
        "graph" => !c.is_control() && !c.is_whitespace(),
        "lower" => c.is_lowercase(),
        "print" => !c.is_control(),
        "punct" => c.is_ascii_punctuation(),
        "space" => c.is_whitespace(),
        "upper" => c.is_uppercase(),
        "xdigit" => c.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{fits, matches};

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("web*", "web.service", true),
            ("*.service", "web.socket", false),
            ("w?b.[st]*", "web.service", true),
            ("[!a-v]eb", "web", true),
            ("[a-v]eb", "web", false),
            ("*a*b*c", "xaxbxc", true),
            ("*a*b*c", "xaxbx", false),
            ("[", "[", true),
            ("a[b", "a[b", true),
            ("web.service", "web.service2", false),
            ("w?b", "wb", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    /// What fnmatch(3) of glibc answers.
    #[test]
    fn sets_are_those_of_fnmatch() {
        for (pattern, name, expected) in [
            ("[]a]", "]", true),
            ("[]a]", "a", true),
            ("[!]a]", "b", true),
            ("[!]a]", "]", false),
            ("[]", "[]", true),
            ("[!", "[!", true),
            ("[a-]", "-", true),
            ("[z-a]", "z", false),
            ("[[:digit:]]", "5", true),
            ("[[:digit:]]", "x", false),
            ("[![:digit:]]", "x", true),
            ("[[:digit:]a-c]*", "b1", true),
            ("[[:nope:]]", "5", false),
            ("[[:digit:]", "5", false),
            ("[[:x]", "x", true),
            ("[[:x]", "[", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_backslash_counts_where_it_is_asked_for() {
        for (pattern, name, plain, escaped) in [
            ("\\*", "*", false, true),
            ("\\*", "\\a", true, false),
            ("a\\b", "a\\b", true, false),
            ("a\\b", "ab", false, true),
            ("\\", "\\", true, false),
            ("[\\]]", "]", false, true),
            ("[a-\\c]", "b", false, true),
            ("[a\\", "[a\\", true, false),
        ] {
            assert_eq!(matches(pattern, name), plain, "{pattern} {name}");
            assert_eq!(fits(pattern, name), escaped, "{pattern} {name}");
        }
    }
}
