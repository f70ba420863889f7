//! One C escape sequence, after the backslash.

/// What an escape stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escaped {
    /// `\xHH` and `\OOO`: one byte, whatever it is.
    Byte(u8),
    /// Everything else: one character.
    Char(char),
}

/// Reads the escape that begins `rest` (the backslash already taken): what it stands for and how many bytes it took. NUL is never
/// accepted, as no argument or variable can hold it.
pub(crate) fn one(rest: &[u8]) -> Option<(Escaped, usize)> {
    let first = *rest.first()?;
    if let Some(character) = simple(first) {
        return Some((Escaped::Char(character), 1));
    }
    match first {
        b'x' => Some((
            Escaped::Byte(u8::try_from(number(rest.get(1..3)?, 16)?).ok()?),
            3,
        )),
        b'u' => Some((
            Escaped::Char(char::from_u32(number(rest.get(1..5)?, 16)?)?),
            5,
        )),
        b'U' => Some((
            Escaped::Char(char::from_u32(number(rest.get(1..9)?, 16)?)?),
            9,
        )),
        b'0'..=b'7' => Some((
            Escaped::Byte(u8::try_from(number(rest.get(..3)?, 8)?).ok()?),
            3,
        )),
        _ => None,
    }
}

fn simple(letter: u8) -> Option<char> {
    Some(match letter {
        b'a' => '\x07',
        b'b' => '\x08',
        b'f' => '\x0c',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'v' => '\x0b',
        b's' => ' ',
        b'\\' | b'"' | b'\'' => char::from(letter),
        _ => return None,
    })
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let value = digits.iter().try_fold(0_u32, |value, digit| {
        value
            .checked_mul(radix)?
            .checked_add(char::from(*digit).to_digit(radix)?)
    })?;
    Some(value).filter(|value| *value != 0)
}
