//! Unit names and kinds.

use std::{fmt, str::FromStr, sync::Arc};

use crate::text::ParseError;

/// Longest unit name, in bytes: a unit's file must be able to carry it.
pub const MAX_NAME_BYTES: usize = 255;

/// The kind that a unit's name ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitKind {
    /// A process and its helpers.
    Service,
    /// Listening sockets and pipes.
    Socket,
    /// A group of units to reach together.
    Target,
    /// A device that appears and goes.
    Device,
    /// A mounted file system.
    Mount,
    /// A mount made on first use.
    Automount,
    /// A swap area.
    Swap,
    /// Something that happens at a time.
    Timer,
    /// A watch on the file system.
    Path,
    /// A node of the resource tree.
    Slice,
    /// Processes that something else started.
    Scope,
}

impl UnitKind {
    /// Every kind, in the order of the enum.
    pub const ALL: [UnitKind; 11] = [
        UnitKind::Service,
        UnitKind::Socket,
        UnitKind::Target,
        UnitKind::Device,
        UnitKind::Mount,
        UnitKind::Automount,
        UnitKind::Swap,
        UnitKind::Timer,
        UnitKind::Path,
        UnitKind::Slice,
        UnitKind::Scope,
    ];

    /// The word after the last dot of a name.
    pub const fn suffix(self) -> &'static str {
        match self {
            UnitKind::Service => "service",
            UnitKind::Socket => "socket",
            UnitKind::Target => "target",
            UnitKind::Device => "device",
            UnitKind::Mount => "mount",
            UnitKind::Automount => "automount",
            UnitKind::Swap => "swap",
            UnitKind::Timer => "timer",
            UnitKind::Path => "path",
            UnitKind::Slice => "slice",
            UnitKind::Scope => "scope",
        }
    }

    /// The kind with this suffix.
    pub fn from_suffix(suffix: &str) -> Option<UnitKind> {
        UnitKind::ALL
            .into_iter()
            .find(|kind| kind.suffix() == suffix)
    }
}

impl fmt::Display for UnitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.suffix())
    }
}

/// A valid unit name: `prefix.kind`, `prefix@.kind` (a template) or `prefix@instance.kind`. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitName(Arc<str>);

impl UnitName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<UnitName, ParseError> {
        match defect(name) {
            None => Ok(UnitName(name.into())),
            Some(defect) => Err(ParseError::new(format!(
                "{}: {defect}",
                ParseError::not_a(name, "a unit name")
            ))),
        }
    }

    /// Why a name is none; nothing where it is one.
    #[must_use]
    pub fn defect(name: &str) -> Option<&'static str> {
        defect(name)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind that the suffix names.
    pub fn kind(&self) -> UnitKind {
        let suffix = self.0.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        // A name is only made with a known suffix.
        UnitKind::from_suffix(suffix).unwrap_or(UnitKind::Service)
    }

    /// The name without its suffix.
    pub fn stem(&self) -> &str {
        self.0.rsplit_once('.').map_or("", |(stem, _)| stem)
    }

    /// What stands before the `@`, or the whole stem.
    pub fn prefix(&self) -> &str {
        let stem = self.stem();
        stem.split_once('@').map_or(stem, |(prefix, _)| prefix)
    }

    /// What stands between `@` and the suffix; empty for a template, `None` without `@`.
    fn after_at(&self) -> Option<&str> {
        self.stem().split_once('@').map(|(_, instance)| instance)
    }

    /// The instance, still escaped; `None` for plain names and templates.
    pub fn instance(&self) -> Option<&str> {
        self.after_at().filter(|instance| !instance.is_empty())
    }

    /// Whether this is `prefix@.kind`.
    pub fn is_template(&self) -> bool {
        self.after_at() == Some("")
    }

    /// The template that an instance comes from.
    pub fn template(&self) -> Option<UnitName> {
        self.instance()?;
        Some(UnitName(
            format!("{}@.{}", self.prefix(), self.kind()).into(),
        ))
    }

    /// The name with another instance; of a template or an instance.
    pub fn with_instance(&self, instance: &str) -> Result<UnitName, ParseError> {
        if self.after_at().is_none() {
            return Err(ParseError::new(format!("{self} is not a template")));
        }
        UnitName::new(&format!("{}@{instance}.{}", self.prefix(), self.kind()))
    }

    /// The template of the services that connections to a socket of this name start.
    pub fn connection_template(&self) -> Result<UnitName, ParseError> {
        UnitName::new(&format!("{}@.{}", self.prefix(), UnitKind::Service))
    }

    /// The name with another kind.
    pub fn with_kind(&self, kind: UnitKind) -> Result<UnitName, ParseError> {
        UnitName::new(&format!("{}.{kind}", self.stem()))
    }
}

fn defect(name: &str) -> Option<&'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    if name.len() > MAX_NAME_BYTES {
        return Some("it is longer than 255 bytes");
    }
    if !name.bytes().all(allowed) {
        return Some("only letters, digits and :-_.\\@ are allowed");
    }
    let Some((stem, suffix)) = name.rsplit_once('.') else {
        return Some("it has no suffix such as .service");
    };
    if UnitKind::from_suffix(suffix).is_none() {
        return Some("its suffix is no kind of unit");
    }
    if stem.is_empty() || stem.starts_with('@') {
        return Some("nothing stands before the suffix or the @");
    }
    None
}

impl FromStr for UnitName {
    type Err = ParseError;

    fn from_str(name: &str) -> Result<UnitName, ParseError> {
        UnitName::new(name)
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnitName({})", self.0)
    }
}

impl AsRef<str> for UnitName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for UnitName {
    fn borrow(&self) -> &str {
        &self.0
    }
}
