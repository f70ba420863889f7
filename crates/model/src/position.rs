//! In which position Coracle runs, and what follows from it: the table of the design as code.

use crate::text::ParseError;

/// Where Coracle stands on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Position {
    /// It is PID 1 of a machine, VM or container.
    Init,
    /// As root, beside another init.
    Beside,
    /// As root of a container, with what is left to it.
    Nested,
    /// Without privileges.
    User,
}

/// How a unit's processes are found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tracking {
    /// In the whole cgroup v2 tree.
    Cgroup,
    /// In a cgroup v2 subtree of its own, hybrid hierarchies included.
    OwnSubtree,
    /// In the subtree that was delegated; without one by a subreaper per unit.
    DelegatedOrSubreaper,
}

/// Where the users of services come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceUsers {
    /// A range shared with other managers by lock files, checked against the host's users.
    DynamicRange,
    /// What the user namespace holds.
    NamespaceRange,
    /// Subordinate ids, checked for overlap.
    SubordinateIds,
}

/// How images become trees, in order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageMeans {
    /// Loop or file-backed mount.
    Mount,
    /// The same, else FUSE, else extraction into the store.
    MountElseFuseElseExtract,
    /// FUSE or the host's mount service, else extraction.
    FuseElseExtract,
}

impl Position {
    /// All positions.
    pub const ALL: [Position; 4] = [
        Position::Init,
        Position::Beside,
        Position::Nested,
        Position::User,
    ];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Position::Init => "init",
            Position::Beside => "beside",
            Position::Nested => "nested",
            Position::User => "user",
        }
    }

    /// The position of a word.
    pub fn parse(word: &str) -> Result<Position, ParseError> {
        let found = Position::ALL
            .into_iter()
            .find(|position| position.word() == word);
        found.ok_or_else(|| ParseError::not_a(word, "a position: init, beside, nested or user"))
    }

    /// How processes are tracked.
    pub const fn tracking(self) -> Tracking {
        match self {
            Position::Init => Tracking::Cgroup,
            Position::Beside => Tracking::OwnSubtree,
            Position::Nested | Position::User => Tracking::DelegatedOrSubreaper,
        }
    }

    /// Where service users come from.
    pub const fn service_users(self) -> ServiceUsers {
        match self {
            Position::Init | Position::Beside => ServiceUsers::DynamicRange,
            Position::Nested => ServiceUsers::NamespaceRange,
            Position::User => ServiceUsers::SubordinateIds,
        }
    }

    /// How images are made visible.
    pub const fn image_means(self) -> ImageMeans {
        match self {
            Position::Init | Position::Beside => ImageMeans::Mount,
            Position::Nested => ImageMeans::MountElseFuseElseExtract,
            Position::User => ImageMeans::FuseElseExtract,
        }
    }

    /// Whether it also listens where stock clients of the host's init look.
    pub const fn serves_stock_clients(self) -> bool {
        matches!(self, Position::Init)
    }

    /// Whether it reads the unit directories of the machine by itself.
    pub const fn reads_host_units(self) -> bool {
        matches!(self, Position::Init)
    }

    /// Whether it works without privileges.
    pub const fn is_unprivileged(self) -> bool {
        matches!(self, Position::User)
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}
