//! Resource limits, processor sets and core dump filters.

use super::{
    TimeSpan,
    number::{parse_size, parse_unsigned},
};
use crate::text::{Expand, Form, ParseError, TextForm, split_words};

/// A resource limit in the kernel's own unit for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResourceLimit {
    /// What applies; `u64::MAX` is no bound.
    pub soft: u64,
    /// How far the process itself may raise it.
    pub hard: u64,
}

/// No bound.
impl Default for ResourceLimit {
    fn default() -> ResourceLimit {
        ResourceLimit {
            soft: u64::MAX,
            hard: u64::MAX,
        }
    }
}

impl ResourceLimit {
    /// The same number for both.
    pub const fn both(limit: u64) -> ResourceLimit {
        ResourceLimit {
            soft: limit,
            hard: limit,
        }
    }

    /// Reads `soft:hard` or one number for both.
    pub fn parse_as(
        text: &str,
        number: fn(&str) -> Option<u64>,
    ) -> Result<ResourceLimit, ParseError> {
        let wrong = || ParseError::not_a(text, "a limit, or soft:hard");
        let read = |text: &str| {
            if text == "infinity" {
                Some(u64::MAX)
            } else {
                number(text)
            }
        };
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let limit = ResourceLimit {
            soft: read(soft).ok_or_else(wrong)?,
            hard: read(hard).ok_or_else(wrong)?,
        };
        if limit.soft > limit.hard {
            return Err(ParseError::new("the soft limit is above the hard one"));
        }
        Ok(limit)
    }

    /// Reads bytes with suffixes.
    pub fn parse_bytes(text: &str) -> Result<ResourceLimit, ParseError> {
        ResourceLimit::parse_as(text, |text| parse_size(text, 1024))
    }

    /// Reads whole seconds, rounded up.
    pub fn parse_seconds(text: &str) -> Result<ResourceLimit, ParseError> {
        ResourceLimit::parse_as(text, |text| {
            Some(TimeSpan::parse(text).ok()?.micros().div_ceil(1_000_000))
        })
    }

    /// Reads microseconds; bare numbers are microseconds.
    pub fn parse_micros(text: &str) -> Result<ResourceLimit, ParseError> {
        ResourceLimit::parse_as(text, |text| {
            TimeSpan::parse_in(text, 1).ok().map(TimeSpan::micros)
        })
    }

    /// Reads a nice limit: `+5` and `-5` are nice levels, bare numbers the kernel's 20 − level.
    pub fn parse_nice(text: &str) -> Result<ResourceLimit, ParseError> {
        ResourceLimit::parse_as(text, |text| {
            if text.starts_with(['+', '-']) {
                let level = text
                    .parse::<i64>()
                    .ok()
                    .filter(|level| (-20..=19).contains(level))?;
                return u64::try_from(20 - level).ok();
            }
            parse_unsigned(text).filter(|limit| *limit <= 40)
        })
    }
}

/// The form of plain numbers; the kernel's unit is printed for all.
impl TextForm for ResourceLimit {
    fn parse_with(text: &str, _: &dyn Expand) -> Result<ResourceLimit, ParseError> {
        ResourceLimit::parse_as(text, parse_unsigned)
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        let number = |limit: u64| {
            if limit == u64::MAX {
                "infinity".to_owned()
            } else {
                limit.to_string()
            }
        };
        vec![if self.soft == self.hard {
            number(self.soft)
        } else {
            format!("{}:{}", number(self.soft), number(self.hard))
        }]
    }
}

/// Processors or memory nodes by number, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CpuSet(pub Vec<u16>);

/// Highest processor number that the kernel can be built for, plus one.
pub const MAX_CPUS: u16 = 8192;

impl CpuSet {
    fn read(text: &str) -> Result<CpuSet, ParseError> {
        let wrong = || ParseError::not_a(text, "processor numbers such as 0-3,8");
        let number = |text: &str| text.parse::<u16>().ok().filter(|cpu| *cpu < MAX_CPUS);
        let mut cpus = Vec::new();
        for part in text
            .split(|c: char| c == ',' || c.is_ascii_whitespace())
            .filter(|part| !part.is_empty())
        {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (
                number(first).ok_or_else(wrong)?,
                number(last).ok_or_else(wrong)?,
            );
            if first > last || cpus.len() > usize::from(MAX_CPUS) {
                return Err(wrong());
            }
            cpus.extend(first..=last);
        }
        crate::order::sort(&mut cpus);
        cpus.dedup();
        Ok(CpuSet(cpus))
    }

    fn text(&self) -> String {
        let runs = self
            .0
            .chunk_by(|one, next| one.checked_add(1) == Some(*next));
        let parts = runs.filter_map(|run| match (run.first()?, run.last()?) {
            (first, last) if first == last => Some(first.to_string()),
            (first, last) => Some(format!("{first}-{last}")),
        });
        parts.collect::<Vec<_>>().join(" ")
    }
}

impl TextForm for CpuSet {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<CpuSet, ParseError> {
        CpuSet::read(&expand.expand(text)?)
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.text()]
    }

    fn is_unset(&self) -> bool {
        self.0.is_empty()
    }

    fn append(&mut self, later: CpuSet) {
        self.0.extend(later.0);
        crate::order::sort(&mut self.0);
        self.0.dedup();
    }
}

/// On which processors a process runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum CpuAffinity {
    /// Those of the unit's memory nodes.
    Numa,
    /// These.
    Cpus(CpuSet),
    /// All.
    #[default]
    Any,
}

impl TextForm for CpuAffinity {
    const LIST: bool = true;

    fn parse_with(text: &str, _: &dyn Expand) -> Result<CpuAffinity, ParseError> {
        if text == "numa" {
            Ok(CpuAffinity::Numa)
        } else {
            CpuSet::read(text).map(CpuAffinity::Cpus)
        }
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        match self {
            CpuAffinity::Numa => vec!["numa".to_owned()],
            CpuAffinity::Cpus(set) => set.print_lines(form),
            CpuAffinity::Any => Vec::new(),
        }
    }

    fn is_unset(&self) -> bool {
        matches!(self, CpuAffinity::Any) || *self == CpuAffinity::Cpus(CpuSet::default())
    }

    fn append(&mut self, later: CpuAffinity) {
        match (&mut *self, later) {
            (CpuAffinity::Cpus(known), CpuAffinity::Cpus(more)) => known.append(more),
            (_, later) => *self = later,
        }
    }
}

/// Which memory a core dump has: the kernel's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CoredumpFilter(pub u32);

/// Private and shared anonymous memory, ELF headers, private huge pages.
impl Default for CoredumpFilter {
    fn default() -> CoredumpFilter {
        CoredumpFilter(0x33)
    }
}

const COREDUMP_NAMES: [&str; 9] = [
    "private-anonymous",
    "shared-anonymous",
    "private-file-backed",
    "shared-file-backed",
    "elf-headers",
    "private-huge",
    "shared-huge",
    "private-dax",
    "shared-dax",
];

impl TextForm for CoredumpFilter {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<CoredumpFilter, ParseError> {
        let mut bits = 0;
        for word in split_words(text)? {
            let named = COREDUMP_NAMES
                .iter()
                .position(|name| *name == word)
                .map(|bit| 1 << bit);
            let mask = || u32::from_str_radix(word.strip_prefix("0x").unwrap_or(&word), 16).ok();
            match (word.as_str(), named.or_else(mask)) {
                ("all", _) => bits |= 0x1ff,
                ("default", _) => bits |= CoredumpFilter::default().0,
                (_, Some(mask)) => bits |= mask,
                (_, None) => expand.wrong_item(ParseError::not_a(
                    &word,
                    "a kind of memory such as elf-headers",
                ))?,
            }
        }
        Ok(CoredumpFilter(bits))
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![format!("0x{:x}", self.0)]
    }

    fn append(&mut self, later: CoredumpFilter) {
        self.0 |= later.0;
    }
}
