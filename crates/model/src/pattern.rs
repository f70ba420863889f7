//! Patterns of names: `*`, `?` and `[…]`, as shells have them.

/// Does a name match a pattern?
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit: no recursion, so no pattern is slow.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() || p < pattern.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p, n + 1));
            p += 1;
            continue;
        }
        if let Some(next) = name.get(n).and_then(|c| step(&pattern, p, *c)) {
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

/// The place behind the part of the pattern that a character fits.
fn step(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let length = pattern.get(at + 1..)?.iter().position(|one| *one == ']')?;
            let set = pattern.get(at + 1..at + 1 + length)?;
            let (negated, set) = match set {
                ['!' | '^', rest @ ..] => (true, rest),
                all => (false, all),
            };
            (in_set(set, c) != negated).then_some(at + length + 2)
        }
        literal => (*literal == c).then_some(at + 1),
    }
}

fn in_set(mut set: &[char], c: char) -> bool {
    loop {
        match set {
            [first, '-', last, rest @ ..] => {
                if (*first..=*last).contains(&c) {
                    return true;
                }
                set = rest;
            }
            [one, rest @ ..] => {
                if *one == c {
                    return true;
                }
                set = rest;
            }
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

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
            ("[", "[", false),
            ("web.service", "web.service2", false),
            ("w?b", "wb", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
