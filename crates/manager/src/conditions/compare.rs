//! Comparison of versions and numbers, with the operators of conditions.

use super::Host;
use model::text::split_words;
use std::cmp::Ordering;

/// What an operator asks of two values.
#[derive(Clone, Copy)]
pub(super) enum Operator {
    /// That a pattern of the shell matches, or doesn't.
    Pattern(bool),
    /// That the texts are the same, or aren't.
    Same(bool),
    /// An order: less, equal, greater, each allowed or not.
    Order([bool; 3]),
}

const OPERATORS: &[(&str, Operator)] = &[
    ("!$=", Operator::Pattern(false)),
    ("$=", Operator::Pattern(true)),
    ("<>", Operator::Order([true, false, true])),
    ("<=", Operator::Order([true, true, false])),
    ("<", Operator::Order([true, false, false])),
    ("==", Operator::Order([false, true, false])),
    ("=", Operator::Same(true)),
    (">=", AT_LEAST),
    (">", Operator::Order([false, false, true])),
    ("!=", Operator::Same(false)),
];

const AT_LEAST: Operator = Operator::Order([false, true, true]);

/// The characters of which operators are made.
const OPERATOR_CHARACTERS: [char; 5] = ['!', '<', '>', '=', '$'];

/// Takes an operator off a text.
fn operator(text: &str) -> Option<(Operator, &str)> {
    let mut all = OPERATORS.iter();
    all.find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))
}

impl Operator {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Order([less, equal, greater]) => match order {
                Ordering::Less => less,
                Ordering::Equal => equal,
                Ordering::Greater => greater,
            },
            Self::Same(same) | Self::Pattern(same) => (order == Ordering::Equal) == same,
        }
    }

    /// Compares texts, as versions where it asks for an order.
    pub(super) fn compare(self, found: &str, wanted: &str) -> bool {
        match self {
            Self::Pattern(matches) => model::pattern::fits(wanted, found) == matches,
            Self::Same(same) => (found == wanted) == same,
            Self::Order(_) => self.allows(model::version::compare(found, wanted)),
        }
    }
}

/// A number with an operator in front, which asks for at least that much where there is none.
pub(super) fn number(text: &str, found: u64, read: fn(&str) -> Option<u64>) -> Option<bool> {
    let (operator, wanted) = operator(text).unwrap_or((AT_LEAST, text));
    if matches!(operator, Operator::Pattern(_)) {
        return None;
    }
    Some(operator.allows(found.cmp(&read(wanted.trim())?)))
}

/// A name, an operator and a value, in this order.
pub(super) fn expression(text: &str) -> Option<(&str, Operator, &str)> {
    let at = text.find(OPERATOR_CHARACTERS)?;
    let (name, rest) = text.split_at_checked(at)?;
    let (operator, value) = operator(rest)?;
    Some((name, operator, value))
}

/// `ConditionVersion=` and `ConditionKernelVersion=`: the name of a program, then expressions that all must hold.
pub(super) fn version(text: &str, host: &mut Host) -> Option<bool> {
    let end = |c: char| c.is_whitespace() || OPERATOR_CHARACTERS.contains(&c);
    let name = text.split(end).next().unwrap_or_default();
    let rest = text.get(name.len()..).unwrap_or_default();
    let (found, wanted) = match name {
        "systemd" => (REFERENCE.to_owned(), rest),
        "glibc" => match super::c_library::version() {
            Some(found) => (found, rest),
            None => return Some(false),
        },
        "kernel" => (super::line("/proc/sys/kernel/osrelease"), rest),
        _ => (super::line("/proc/sys/kernel/osrelease"), text),
    };
    host.found.clone_from(&found);
    all_hold(wanted, &found)
}

/// The version of the reference.
const REFERENCE: &str = "262";

/// Whether a version fits each of the expressions, which are patterns where they have no operator.
fn all_hold(text: &str, found: &str) -> Option<bool> {
    let mut words = split_words(text).ok()?.into_iter();
    let mut is_first = true;
    while let Some(word) = words.next() {
        let (operator, wanted) =
            operator(word.trim()).unwrap_or((Operator::Pattern(true), word.trim()));
        let wanted = match wanted.trim_start() {
            // Only the first one may have blanks behind its operator.
            "" if is_first => words.next()?,
            "" => return None,
            wanted => wanted.to_owned(),
        };
        if !operator.compare(found, &wanted) {
            return Some(false);
        }
        is_first = false;
    }
    Some(true)
}

/// `ConditionOSRelease=`: expressions about fields of os-release(5); what is not set is empty.
pub(super) fn os_release(text: &str, host: &mut Host) -> Option<bool> {
    let release = super::text("/etc/os-release").or_else(|| super::text("/usr/lib/os-release"))?;
    for word in split_words(text).ok()? {
        let (name, operator, wanted) = expression(&word)?;
        if !is_name(name) || wanted.is_empty() || wanted.starts_with(char::is_whitespace) {
            return None;
        }
        let found = load::assigned(&release, name).unwrap_or_default();
        if !operator.compare(&found, wanted) {
            host.found = found;
            return Some(false);
        }
    }
    Some(true)
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit())
}
