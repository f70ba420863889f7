//! The directories of units and presets, and what each of them is for.

use std::path::{Path, PathBuf};

use load::SearchPath;

/// The directories that a work looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Where units are, the strongest first.
    pub path: SearchPath,
    /// Where the administrator's links go.
    pub config: PathBuf,
    /// Where links go that are gone after a reboot.
    pub runtime: PathBuf,
    /// Where units are that exist only at run time.
    pub transient: Vec<PathBuf>,
    /// Where generators put theirs.
    pub generated: Vec<PathBuf>,
    /// Below which all is gone after a reboot.
    pub volatile: Vec<PathBuf>,
    /// Where a person or a tool has changed units: what a revert takes away.
    pub changed: Vec<PathBuf>,
    /// Where presets are, the strongest first.
    pub presets: Vec<PathBuf>,
    /// Where units are that are no files.
    pub built_in: Option<PathBuf>,
    /// Whether links go with the very file that they lead to when that is reverted or unmasked. The reference does not find them where
    /// it is told of another root.
    pub follows_paths: bool,
}

fn paths<const N: usize>(of: [&str; N]) -> Vec<PathBuf> {
    of.map(PathBuf::from).to_vec()
}

impl Places {
    /// The reference's directories, of a machine that it is or was the init of.
    #[must_use]
    pub fn reference() -> Self {
        Self {
            path: SearchPath::reference(),
            config: "/etc/systemd/system".into(),
            runtime: "/run/systemd/system".into(),
            transient: paths(["/run/systemd/transient"]),
            generated: paths([
                "/run/systemd/generator.early",
                "/run/systemd/generator",
                "/run/systemd/generator.late",
            ]),
            volatile: paths(["/run"]),
            changed: paths([
                "/etc/systemd/system.control",
                "/run/systemd/system.control",
                "/run/systemd/transient",
                "/etc/systemd/system",
                "/run/systemd/system",
            ]),
            presets: paths([
                "/etc/systemd/system-preset",
                "/run/systemd/system-preset",
                "/usr/local/lib/systemd/system-preset",
                "/usr/lib/systemd/system-preset",
            ]),
            built_in: None,
            follows_paths: false,
        }
    }

    /// An instance's own: `path` is all that its manager reads, `config` and `runtime` are its directories.
    #[must_use]
    pub fn own(path: SearchPath, config: &Path, runtime: &Path) -> Self {
        let reference = Self::reference();
        let is_init = path.contains(&reference.config);
        let of_init = |places: Vec<PathBuf>| if is_init { places } else { Vec::new() };
        let (units, volatile) = (config.join("units"), runtime.join("units.d"));
        let with = |own: Vec<PathBuf>, more: Vec<PathBuf>| [own, of_init(more)].concat();
        Self {
            follows_paths: true,
            built_in: Some(PathBuf::from(load::built_in::DIRECTORY)),
            path,
            transient: of_init(reference.transient),
            generated: with(
                SearchPath::generators(runtime).to_vec(),
                reference.generated,
            ),
            volatile: with(vec![volatile.clone()], reference.volatile),
            changed: with(vec![units.clone(), volatile.clone()], reference.changed),
            presets: with(
                vec![config.join("presets"), runtime.join("presets")],
                reference.presets,
            ),
            config: units,
            runtime: volatile,
        }
    }

    pub(crate) fn target(&self, runtime: bool) -> &Path {
        if runtime { &self.runtime } else { &self.config }
    }

    /// Whether a file stands directly in one of these.
    fn is_in(file: &Path, directories: &[PathBuf]) -> bool {
        file.parent()
            .is_some_and(|parent| directories.iter().any(|known| known == parent))
    }

    pub(crate) fn is_generated(&self, file: &Path) -> bool {
        Self::is_in(file, &self.generated)
    }

    pub(crate) fn is_transient(&self, file: &Path) -> bool {
        Self::is_in(file, &self.transient)
    }

    pub(crate) fn is_changed(&self, file: &Path) -> bool {
        Self::is_in(file, &self.changed)
    }

    pub(crate) fn is_volatile(&self, path: &Path) -> bool {
        !path.starts_with(&self.config) && self.volatile.iter().any(|place| path.starts_with(place))
    }

    /// Whether a unit's file is where units are looked for.
    pub(crate) fn is_on_path(&self, file: &Path) -> bool {
        file.parent()
            .is_some_and(|parent| self.path.contains(parent))
    }

    /// Whether it came with the system, or from a generator.
    pub(crate) fn is_vendors(&self, file: &Path) -> bool {
        self.is_on_path(file) && !self.is_changed(file)
    }
}
