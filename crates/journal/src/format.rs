//! The journal's files: names, frames, and what an entry is; `docs/internals/log-format.md` is the page.
//!
//! A file is a header and then frames, each whole or not there: its length, its checksum, its payload and its
//! length again, so that files are read from both ends and a torn tail is seen and cut.

pub mod batch;
pub mod file;
pub mod frame;
mod parts;

/// Names and values; values are bytes.
pub type Fields = Vec<(String, Vec<u8>)>;

/// One entry: its number, its times and its fields by the journal's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// `__SEQNUM`: counts over all directories of one log process.
    pub seqnum: u64,
    /// `__REALTIME_TIMESTAMP`, microseconds since the epoch.
    pub realtime_us: u64,
    /// `__MONOTONIC_TIMESTAMP`, microseconds since boot.
    pub monotonic_us: u64,
    /// Names and values; values are bytes.
    pub fields: Fields,
}

impl Entry {
    /// The first value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_slice())
    }

    /// The first value of a field as text; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
        self.field(name).map(String::from_utf8_lossy)
    }

    /// `PRIORITY` as a number.
    #[must_use]
    pub fn priority(&self) -> Option<u8> {
        self.text("PRIORITY").and_then(|text| text.parse().ok())
    }

    /// `MESSAGE`.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.field("MESSAGE").unwrap_or_default()
    }
}
