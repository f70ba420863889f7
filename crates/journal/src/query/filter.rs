//! What to show.

use crate::format::Entry;
use crate::query::merge::Found;
use model::pattern::matches;

/// What to show; every condition must hold, empty ones hold always.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Entries of any of these units, or of the manager about them. Patterns as shells have them.
    pub units: Vec<String>,
    /// Not before, microseconds since the epoch.
    pub since_us: Option<u64>,
    /// Not after, microseconds since the epoch.
    pub until_us: Option<u64>,
    /// This priority or a graver (smaller) one.
    pub priority_max: Option<u8>,
    /// The message matches.
    pub grep: Option<Pattern>,
    /// Of this boot, 32 hexadecimal digits.
    pub boot: Option<String>,
    /// `FIELD=value` pairs that must all be present.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// What a message is searched for.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// These bytes.
    Text(Vec<u8>),
    /// A regular expression.
    #[cfg(feature = "query")]
    Expression(regex_lite::Regex),
}

impl Pattern {
    fn matches(&self, message: &[u8]) -> bool {
        match self {
            Pattern::Text(text) => {
                text.is_empty() || message.windows(text.len()).any(|window| window == text)
            }
            #[cfg(feature = "query")]
            Pattern::Expression(expression) => {
                expression.is_match(&String::from_utf8_lossy(message))
            }
        }
    }
}

impl Filter {
    /// The entries of a batch that pass, in order.
    pub(super) fn entries<'a>(
        &'a self,
        found: &'a Found,
    ) -> Box<dyn DoubleEndedIterator<Item = Entry> + 'a> {
        if !self.admits_time(found.batch.realtime_us) {
            return Box::new(std::iter::empty());
        }
        Box::new(
            found
                .batch
                .entries(&found.file_fields)
                .filter(|entry| self.admits(entry)),
        )
    }

    fn admits_time(&self, realtime_us: u64) -> bool {
        self.since_us.is_none_or(|since| realtime_us >= since)
            && self.until_us.is_none_or(|until| realtime_us <= until)
    }

    fn admits(&self, entry: &Entry) -> bool {
        let has =
            |name: &str, value: &[u8]| entry.fields.iter().any(|(n, v)| n == name && v == value);
        self.admits_unit(entry)
            && self
                .priority_max
                .is_none_or(|max| entry.priority().is_some_and(|priority| priority <= max))
            && self
                .boot
                .as_ref()
                .is_none_or(|boot| has("_BOOT_ID", boot.as_bytes()))
            && self.fields.iter().all(|(name, value)| has(name, value))
            && self
                .grep
                .as_ref()
                .is_none_or(|pattern| pattern.matches(entry.message()))
    }

    /// `UNIT` counts only in the manager's own entries: anyone else could pretend.
    fn admits_unit(&self, entry: &Entry) -> bool {
        let named = |name| {
            entry
                .field(name)
                .and_then(|value| std::str::from_utf8(value).ok())
                .is_some_and(|value| self.units.iter().any(|unit| matches(unit, value)))
        };
        let of_manager = entry.field("_TRANSPORT") == Some(b"journal");
        self.units.is_empty() || named("_SYSTEMD_UNIT") || (of_manager && named("UNIT"))
    }
}
