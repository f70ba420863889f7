//! Numbers, sizes and shares.

use std::fmt;

use crate::text::{Expand, Form, ParseError, TextForm, parse_bool};

impl TextForm for bool {
    const EMPTY_RESETS: bool = false;

    fn parse_with(text: &str, _: &dyn Expand) -> Result<bool, ParseError> {
        parse_bool(text).ok_or_else(|| ParseError::not_a(text, "yes or no"))
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![if *self { "yes" } else { "no" }.to_owned()]
    }
}

/// Reads an unsigned number: decimal, or with `0x`, `0o`, `0b` in front.
pub(crate) fn parse_unsigned(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x', ..] => (text.get(2..)?, 16),
        [b'0', b'o', ..] => (text.get(2..)?, 8),
        [b'0', b'b', ..] => (text.get(2..)?, 2),
        _ => (text, 10),
    };
    digits
        .bytes()
        .all(|b| b.is_ascii_alphanumeric())
        .then(|| u64::from_str_radix(digits, radix).ok())?
}

macro_rules! whole_number {
    ($type:ty, $wanted:literal, $parse:expr) => {
        impl TextForm for $type {
            const EMPTY_RESETS: bool = false;

            fn parse_with(text: &str, _: &dyn Expand) -> Result<$type, ParseError> {
                let parse: fn(&str) -> Option<$type> = $parse;
                parse(text).ok_or_else(|| ParseError::not_a(text, $wanted))
            }

            fn print_lines(&self, _: Form) -> Vec<String> {
                vec![self.to_string()]
            }
        }
    };
}

whole_number!(u32, "a whole number", |text| u32::try_from(parse_unsigned(
    text
)?)
.ok());
whole_number!(u64, "a whole number", parse_unsigned);
whole_number!(i32, "a whole number", |text| text.parse().ok());

/// A processor priority, −20 (first) to 19 (last).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nice(pub i8);

impl fmt::Display for Nice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

whole_number!(Nice, "a priority from -20 to 19", |text| text
    .parse()
    .ok()
    .filter(|n| (-20..=19).contains(n))
    .map(Nice));

/// How gladly the kernel kills the process for lack of memory: −1000 (never) to 1000 (first).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OomScore(pub i16);

impl fmt::Display for OomScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

whole_number!(OomScore, "a score from -1000 to 1000", |text| {
    text.parse()
        .ok()
        .filter(|n| (-1000..=1000).contains(n))
        .map(OomScore)
});

/// The IP type-of-service byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IpTos(pub u8);

const TOS_NAMES: [(&str, u8); 4] = [
    ("low-delay", 0x10),
    ("throughput", 0x08),
    ("reliability", 0x04),
    ("low-cost", 0x02),
];

impl fmt::Display for IpTos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match TOS_NAMES.iter().find(|(_, value)| *value == self.0) {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

whole_number!(
    IpTos,
    "low-delay, throughput, reliability, low-cost or a byte",
    |text| {
        let named = TOS_NAMES
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value);
        named
            .or_else(|| u8::try_from(parse_unsigned(text)?).ok())
            .map(IpTos)
    }
);

/// Permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileMode(pub u32);

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

whole_number!(FileMode, "an octal mode up to 7777", |text| {
    let octal = !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    octal
        .then(|| u32::from_str_radix(text, 8).ok())
        .flatten()
        .filter(|mode| *mode <= 0o7777)
        .map(FileMode)
});

/// A number of bytes; suffixes K, M, G, T, P, E stand for powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// No bound.
    pub const INFINITY: ByteSize = ByteSize(u64::MAX);
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == ByteSize::INFINITY {
            return f.write_str("infinity");
        }
        let (mut number, mut suffix) = (self.0, "");
        for next in ["K", "M", "G", "T", "P", "E"] {
            if number == 0 || !number.is_multiple_of(1024) {
                break;
            }
            (number, suffix) = (number / 1024, next);
        }
        write!(f, "{number}{suffix}")
    }
}

/// Reads a size with suffixes of a base; "1G 500M" adds up, "1.5G" has a fraction.
pub(crate) fn parse_size(text: &str, base: u64) -> Option<u64> {
    if text == "infinity" {
        return Some(u64::MAX);
    }
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(digits)?;
        let after = after.trim_start();
        let power = "BKMGTPE".find(after.chars().next().unwrap_or('B').to_ascii_uppercase())?;
        let factor = base.checked_pow(u32::try_from(power).ok()?)?;
        total = total.checked_add(scale(number, factor)?)?;
        rest = after.get(1..).unwrap_or("").trim_start();
    }
    (total < u64::MAX).then_some(total)
}

/// Multiplies a decimal number, perhaps with a fraction, exactly enough: the fraction is cut below one.
pub(crate) fn scale(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    // Nine digits keep nanosecond precision and cannot overflow below.
    let digits = fraction.get(..fraction.len().min(9))?;
    let part: u128 = if digits.is_empty() {
        0
    } else {
        digits.parse().ok()?
    };
    let part = part * u128::from(factor) / 10u128.pow(u32::try_from(digits.len()).ok()?);
    whole
        .checked_mul(factor)?
        .checked_add(u64::try_from(part).ok()?)
}

whole_number!(ByteSize, "a size such as 64M", |text| parse_size(
    text, 1024
)
.map(ByteSize));

/// A share in hundredths of a percent; more than 100 % where the directive allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percent {
    /// Parts of ten thousand.
    pub permyriad: u32,
}

impl Percent {
    /// Makes a whole percentage.
    pub const fn new(percent: u32) -> Percent {
        Percent {
            permyriad: percent * 100,
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.permyriad / 100, self.permyriad % 100);
        match part {
            0 => write!(f, "{whole}%"),
            part if part.is_multiple_of(10) => write!(f, "{whole}.{}%", part / 10),
            part => write!(f, "{whole}.{part:02}%"),
        }
    }
}

whole_number!(Percent, "a percentage such as 20%", |text| {
    let permyriad = match (
        text.strip_suffix('%'),
        text.strip_suffix('‰'),
        text.strip_suffix('‱'),
    ) {
        (Some(percent), ..) => scale(percent.trim_end(), 100),
        (_, Some(permille), _) => scale(permille.trim_end(), 10),
        (.., Some(permyriad)) => scale(permyriad.trim_end(), 1),
        _ => None,
    }?;
    u32::try_from(permyriad)
        .ok()
        .map(|permyriad| Percent { permyriad })
});

/// An amount of memory, tasks or disk: a number, a share of what there is, or no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Amount {
    /// Bytes, or tasks.
    Exactly(u64),
    /// A share of the machine's.
    Share(Percent),
    /// No bound.
    Infinity,
    /// What the directive has when nothing is said.
    #[default]
    Unset,
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Amount::Exactly(number) => ByteSize(*number).fmt(f),
            Amount::Share(share) => share.fmt(f),
            Amount::Infinity => f.write_str("infinity"),
            Amount::Unset => Ok(()),
        }
    }
}

impl TextForm for Amount {
    fn parse_with(text: &str, _: &dyn Expand) -> Result<Amount, ParseError> {
        if text == "infinity" {
            return Ok(Amount::Infinity);
        }
        let share = || {
            Percent::parse(text)
                .ok()
                .filter(|share| share.permyriad <= 10_000)
        };
        let amount = parse_size(text, 1024)
            .map(Amount::Exactly)
            .or_else(|| share().map(Amount::Share));
        amount.ok_or_else(|| ParseError::not_a(text, "an amount such as 64M, 20% or infinity"))
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.to_string()]
    }
}

/// A relative share among siblings, 1 to 10000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// The share.
    Share(u64),
    /// Only what nobody else wants; for processors.
    Idle,
}

impl Default for Weight {
    fn default() -> Weight {
        Weight::Share(100)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weight::Share(share) => share.fmt(f),
            Weight::Idle => f.write_str("idle"),
        }
    }
}

impl TextForm for Weight {
    fn parse_with(text: &str, _: &dyn Expand) -> Result<Weight, ParseError> {
        if text == "idle" {
            return Ok(Weight::Idle);
        }
        let share = parse_unsigned(text).filter(|share| (1..=10_000).contains(share));
        share
            .map(Weight::Share)
            .ok_or_else(|| ParseError::not_a(text, "a weight from 1 to 10000"))
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.to_string()]
    }
}
