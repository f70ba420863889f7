//! What the attaching command recorded about portables: `<state>/portables/NAME/portable.json`.

use crate::directories::Directories;
use load::Loaded;
use model::UnitName;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Bytes of a record that is read.
const RECORD_BYTES_MAX: u64 = 8 << 20;

/// What the manager reads of a record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    grants: Vec<String>,
    directories: Vec<String>,
    versions: BTreeMap<String, Version>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version {
    units: Vec<String>,
}

/// The record, passed on as it is.
pub(crate) fn record(directories: &Directories, name: &str) -> Option<Box<RawValue>> {
    let below = directories.state.join("portables").join(name);
    let bytes = crate::beginning::read(below.join("portable.json"), RECORD_BYTES_MAX).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn read(directories: &Directories, name: &str) -> Option<Record> {
    serde_json::from_str(record(directories, name)?.get()).ok()
}

/// What was granted to a portable; nothing where its record can't be read.
pub(crate) fn grants(directories: &Directories, name: &str) -> Vec<String> {
    read(directories, name).unwrap_or_default().grants
}

/// The directories that a portable made, by their public names.
pub(crate) fn own_directories(directories: &Directories, name: &str) -> Vec<String> {
    read(directories, name).unwrap_or_default().directories
}

/// The portable that an attached unit belongs to.
pub(crate) fn of(directories: &Directories, loaded: &Loaded) -> Option<String> {
    is_attached(directories, loaded)
        .then(|| owner(directories, loaded.unit.name()))
        .flatten()
}

/// Whether the file of a unit is a portable's: what is granted to it stands elsewhere.
pub(crate) fn is_attached(directories: &Directories, loaded: &Loaded) -> bool {
    let attached = directories.state.join("attached");
    let fragment = loaded.fragment.as_ref();
    fragment.is_some_and(|path| path.starts_with(attached))
}

/// The portable one of whose versions has the unit, or the template of it. Its name begins the unit's, so that few records are read.
fn owner(directories: &Directories, unit: &UnitName) -> Option<String> {
    let recorded = unit.template().unwrap_or_else(|| unit.clone());
    let has_it = |name: &&str| {
        read(directories, name)
            .is_some_and(|record| record.units().any(|unit| unit == recorded.as_str()))
    };
    names(unit.prefix()).find(has_it).map(str::to_owned)
}

/// The names of portables that may have a unit with this prefix, the longest first: `a-b-c`, `a-b`, `a`.
fn names(prefix: &str) -> impl Iterator<Item = &str> {
    let dashes = prefix.rmatch_indices('-').map(|(place, _)| place);
    std::iter::once(prefix.len())
        .chain(dashes)
        .filter_map(|end| prefix.get(..end))
        .filter(|name| !name.is_empty())
}

impl Record {
    /// The units of all versions.
    fn units(&self) -> impl Iterator<Item = &String> {
        self.versions.values().flat_map(|version| &version.units)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn directories(records: &[(&str, &str)]) -> (tempfile::TempDir, Directories) {
        let root = tempfile::tempdir().unwrap();
        for (name, record) in records {
            let below = root.path().join("portables").join(name);
            std::fs::create_dir_all(&below).unwrap();
            std::fs::write(below.join("portable.json"), record).unwrap();
        }
        let directories = Directories {
            runtime: root.path().into(),
            state: root.path().into(),
            config: root.path().into(),
            unit_path: Vec::new(),
        };
        (root, directories)
    }

    #[test]
    fn a_unit_is_its_portables_by_the_record_and_an_instance_by_its_template() {
        let (_root, directories) = directories(&[
            (
                "web",
                r#"{"versions": {"1": {"units": ["web.service", "web-a-b.service", "web@.service"]}, "2": {"units": ["web-c.socket"]}}}"#,
            ),
            (
                "web-a",
                r#"{"versions": {"1": {"units": ["web-a.service"]}}}"#,
            ),
            ("broken", "{"),
        ]);
        for (unit, expected) in [
            ("web.service", Some("web")),
            ("web-c.socket", Some("web")),
            ("web-a.service", Some("web-a")),
            ("web-a-b.service", Some("web")),
            ("web@.service", Some("web")),
            ("web@1.service", Some("web")),
            ("web-x.service", None),
            ("broken.service", None),
            ("-.mount", None),
        ] {
            let unit = UnitName::new(unit).unwrap();
            assert_eq!(owner(&directories, &unit).as_deref(), expected, "{unit}");
        }
    }
}
