//! Directives: which exist, and the section room that each lives in.

use std::{fmt, marker::PhantomData};

use crate::{UnitKind, value::Setting};

/// The group of sections that share a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// `[Unit]`.
    Unit,
    /// `[Install]`.
    Install,
    /// `[Service]` alone.
    Service,
    /// `[Socket]` alone.
    Socket,
    /// `[Mount]` alone.
    Mount,
    /// `[Automount]`.
    Automount,
    /// `[Swap]` alone.
    Swap,
    /// `[Timer]`.
    Timer,
    /// `[Path]`.
    Path,
    /// `[Slice]` alone.
    Slice,
    /// `[Scope]` alone.
    Scope,
    /// The execution environment: `[Service]`, `[Socket]`, `[Mount]`, `[Swap]`.
    Exec,
    /// How processes are killed: the same and `[Scope]`.
    Kill,
    /// Resource control: the same, `[Scope]` and `[Slice]`.
    Cgroup,
}

impl Room {
    /// The names of the sections that take this room's directives.
    pub const fn sections(self) -> &'static [&'static str] {
        match self {
            Room::Unit => &["Unit"],
            Room::Install => &["Install"],
            Room::Service => &["Service"],
            Room::Socket => &["Socket"],
            Room::Mount => &["Mount"],
            Room::Automount => &["Automount"],
            Room::Swap => &["Swap"],
            Room::Timer => &["Timer"],
            Room::Path => &["Path"],
            Room::Slice => &["Slice"],
            Room::Scope => &["Scope"],
            Room::Exec => &["Mount", "Service", "Socket", "Swap"],
            Room::Kill => &["Mount", "Scope", "Service", "Socket", "Swap"],
            Room::Cgroup => &["Mount", "Scope", "Service", "Slice", "Socket", "Swap"],
        }
    }

    /// The section that a unit of this kind writes the room's directives in; `None` when it takes none.
    pub fn section_of(self, kind: UnitKind) -> Option<&'static str> {
        match self {
            Room::Unit => Some("Unit"),
            Room::Install => Some("Install"),
            _ => {
                let own = |section: &&&str| section.eq_ignore_ascii_case(kind.suffix());
                self.sections().iter().find(own).copied()
            }
        }
    }
}

/// One directive: a name in a room. A small number, stable within one build only; its text is `Name`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Directive(u16);

impl Directive {
    /// How many there are.
    pub const COUNT: usize = crate::key::NAMES.len();

    pub(crate) const fn at(index: u16) -> Directive {
        Directive(index)
    }

    /// Its place in the list sorted by name.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The directive at a place, as [`Directive::index`] gives it.
    pub fn from_index(index: usize) -> Option<Directive> {
        (index < Directive::COUNT).then_some(Directive(index as u16))
    }

    /// All of them, sorted by name, then by room.
    pub fn all() -> impl Iterator<Item = Directive> {
        (0..Directive::COUNT).map(|index| Directive(index as u16))
    }

    /// The name, without the `=`.
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// The room.
    pub fn room(self) -> Room {
        self.entry().1
    }

    fn entry(self) -> (&'static str, Room) {
        // Only made by the key list and by checked look-ups, so the index is in range.
        crate::key::NAMES
            .get(self.index())
            .copied()
            .unwrap_or(("", Room::Unit))
    }

    /// The directive of this name that a section takes.
    pub fn find(section: &str, name: &str) -> Option<Directive> {
        Directive::named(name).find(|directive| directive.room().sections().contains(&section))
    }

    /// Every directive of this name, whatever the room.
    pub fn named(name: &str) -> impl Iterator<Item = Directive> + '_ {
        let start = crate::key::NAMES.partition_point(|(known, _)| *known < name);
        (start..Directive::COUNT)
            .map(|index| Directive(index as u16))
            .take_while(move |d| d.name() == name)
    }
}

impl fmt::Display for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name())
    }
}

impl fmt::Debug for Directive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=({:?})", self.name(), self.room())
    }
}

/// A directive with the type of its value.
pub struct Key<T: Setting> {
    directive: Directive,
    default: fn() -> T,
    of: PhantomData<T>,
}

impl<T: Setting> Key<T> {
    pub(crate) const fn new(directive: Directive, default: fn() -> T) -> Key<T> {
        Key {
            directive,
            default,
            of: PhantomData,
        }
    }

    /// The directive.
    pub const fn directive(&self) -> Directive {
        self.directive
    }

    /// The value of a unit that doesn't set it.
    pub fn default(&self) -> T {
        (self.default)()
    }
}
