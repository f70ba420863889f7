//! Where units are looked for, the directory that wins first.

use std::path::{Path, PathBuf};

/// An ordered list of directories; what stands in an earlier one hides what a later one has under the same name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchPath {
    directories: Vec<PathBuf>,
}

/// The reference's directories for the system, in order.
const SYSTEM: &[&str] = &[
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];

/// What stands before it is made by people.
const GENERATED_BY_HOST: &str = "/run/systemd/generator";

/// The reference's directories for a user, `~` the home directory, `$` the runtime directory.
const USER: &[&str] = &[
    "~/.config/systemd/user.control",
    "$/systemd/user.control",
    "$/systemd/transient",
    "$/systemd/generator.early",
    "~/.config/systemd/user",
    "/etc/xdg/systemd/user",
    "/etc/systemd/user",
    "$/systemd/user",
    "/run/systemd/user",
    "$/systemd/generator",
    "~/.local/share/systemd/user",
    "/usr/local/share/systemd/user",
    "/usr/share/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
    "$/systemd/generator.late",
];

impl SearchPath {
    /// The directories given, in order, each once.
    pub fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut path = Self::default();
        directories
            .into_iter()
            .for_each(|directory| path.push(directory));
        path
    }

    /// Coracle's own directories, for a manager beside another init: the administrator's units, then transient ones, then attached ones;
    /// between them what generators wrote.
    #[must_use]
    pub fn own(config: &Path, runtime: &Path, state: &Path) -> Self {
        let [normal, early, late] = Self::generators(runtime);
        Self::by_hand(early, config, runtime, state).followed_by([normal, late])
    }

    fn by_hand(early: PathBuf, config: &Path, runtime: &Path, state: &Path) -> Self {
        Self::new([
            early,
            config.join("units"),
            runtime.join("units.d"),
            state.join("attached"),
        ])
    }

    /// Where generators write, as they are told it: units that come after those of people, before them, and after all others.
    #[must_use]
    pub fn generators(runtime: &Path) -> [PathBuf; 3] {
        ["generator", "generator.early", "generator.late"].map(|name| runtime.join(name))
    }

    /// Coracle's own directories, then the reference's, then what the init makes of the machine's tables: for a manager that is the init.
    #[must_use]
    pub fn init(config: &Path, runtime: &Path, state: &Path) -> Self {
        let [normal, early, late] = Self::generators(runtime);
        let is_of_people = |place: &&&str| **place != GENERATED_BY_HOST;
        let people = SYSTEM.iter().take_while(is_of_people).map(PathBuf::from);
        Self::by_hand(early, config, runtime, state)
            .followed_by(people)
            .followed_by([normal])
            .followed_by(SYSTEM.iter().map(PathBuf::from))
            .followed_by([
                late,
                Self::generated(runtime),
                PathBuf::from(crate::built_in::INIT_DIRECTORY),
            ])
    }

    /// The directory of the units that an init makes of the machine's tables.
    #[must_use]
    pub fn generated(runtime: &Path) -> PathBuf {
        runtime.join("generated")
    }

    /// The reference's directories for the system.
    #[must_use]
    pub fn reference() -> Self {
        Self::new(SYSTEM.iter().map(PathBuf::from))
    }

    /// Coracle's own directories, then the reference's for a user.
    #[must_use]
    pub fn user(own: Self, home: &Path, runtime_home: &Path) -> Self {
        own.followed_by(USER.iter().map(|place| match place.split_at_checked(2) {
            Some(("~/", rest)) => home.join(rest),
            Some(("$/", rest)) => runtime_home.join(rest),
            _ => PathBuf::from(place),
        }))
    }

    /// The directories of `--unit-path`, between colons; an empty part at the end stands for what `rest` has.
    #[must_use]
    pub fn parse(text: &str, rest: &Self) -> Self {
        let given = Self::new(
            text.split(':')
                .filter(|part| !part.is_empty())
                .map(PathBuf::from),
        );
        if text.ends_with(':') {
            given.followed_by(rest.directories.iter().cloned())
        } else {
            given
        }
    }

    /// These, then others.
    #[must_use]
    pub fn followed_by(mut self, others: impl IntoIterator<Item = PathBuf>) -> Self {
        others
            .into_iter()
            .for_each(|directory| self.push(directory));
        self
    }

    /// The directories, in order.
    #[must_use]
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Whether a directory is one of them.
    #[must_use]
    pub fn contains(&self, directory: &Path) -> bool {
        self.directories.iter().any(|known| known == directory)
    }

    fn push(&mut self, directory: PathBuf) {
        if !self.contains(&directory) {
            self.directories.push(directory);
        }
    }
}
