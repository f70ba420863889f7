//! What the attaching command recorded about portables: `<state>/portables/NAME/portable.json`.

use crate::directories::Directories;
use load::Loaded;
use model::UnitName;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Bytes of a record that is read.
const RECORD_BYTES_MAX: u64 = 8 << 20;

/// What the manager reads of a record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    grants: Vec<String>,
    directories: Vec<String>,
    marked: Vec<String>,
    versions: BTreeMap<String, Version>,
    current: String,
    signer: Option<Signer>,
    claimed: Option<Signer>,
    extensions: Vec<Extension>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extension {
    image: Option<String>,
    signer: Option<Signer>,
    claimed: Option<Signer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version {
    units: Vec<String>,
    image: Option<String>,
}

/// By fingerprint.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Signer {
    fingerprint: String,
    issuer: Option<String>,
    kin: Vec<String>,
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

/// Longest reason of a revocation that is told, in bytes.
const REASON_BYTES_MAX: u64 = 512;

/// Whether something has a name, whatever it is.
fn is_there(path: &Path) -> std::io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Why nothing of a portable may start: its image, or who vouched for it, was revoked since it came in, or nobody can say.
pub(crate) fn revoked(directories: &Directories, name: &str) -> Option<String> {
    let list = directories.config.join("trust.d/revoked");
    let unknown = |path: &Path, error: std::io::Error| {
        Some(format!(
            "cannot look at {}, so nobody knows whether {name} was revoked: {error}",
            path.display()
        ))
    };
    // Where nothing is revoked no record is read.
    match is_there(&list) {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => return unknown(&list, error),
    }
    let Some(record) = read(directories, name) else {
        return Some(format!(
            "the record of {name} can't be read, so nobody knows whether it was revoked"
        ));
    };
    let version = record.versions.get(&record.current);
    let image = version.and_then(|version| version.image.as_deref());
    let layers = record.extensions.iter();
    let of_layers = layers
        .clone()
        .flat_map(|layer| layer.signer.iter().chain(&layer.claimed));
    let signers = record.signer.iter().chain(&record.claimed).chain(of_layers);
    let signers = signers.flat_map(|signer| {
        let kin = signer.kin.iter().map(|digest| Some(digest.as_str()));
        let own = [Some(signer.fingerprint.as_str()), signer.issuer.as_deref()];
        own.into_iter().chain(kin)
    });
    let images = std::iter::once(image).chain(layers.map(|layer| layer.image.as_deref()));
    let mut digests = images.chain(signers).flatten();
    digests.find_map(|digest| {
        let file = list.join(digest.replacen(':', "-", 1));
        match is_there(&file) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return unknown(&file, error),
        }
        let reason = crate::beginning::of_file_itself(&file, REASON_BYTES_MAX).unwrap_or_default();
        let reason = String::from_utf8_lossy(&reason);
        let reason = match reason.lines().next().unwrap_or_default() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        let of_layer = |layer: &Extension| layer.image.as_deref() == Some(digest);
        let whose = match digest {
            _ if Some(digest) == image => "its image",
            _ if record.extensions.iter().any(of_layer) => "an image that extends it",
            _ => "the certificate that vouches for it",
        };
        Some(format!(
            "{whose} was revoked ({digest}){reason}; `coracle trust restore {digest}` takes that back"
        ))
    })
}

/// What of the host is a portable's own.
#[derive(Debug)]
pub(crate) struct Own {
    record: Record,
    marks: [PathBuf; 2],
}

impl Own {
    pub(crate) fn of(directories: &Directories, name: &str) -> Own {
        Own {
            record: read(directories, name).unwrap_or_default(),
            marks: marks(directories, name),
        }
    }

    /// Whether what has a name of the portable's is its own, and not what the host had or came to have there.
    pub(crate) fn has(&self, path: &Path, is_dynamic: bool) -> bool {
        let public = public(path);
        let is_below = |top: &String| public.starts_with(top);
        if self.record.marked.iter().any(is_below) {
            let [lasting, of_runtime] = &self.marks;
            let marks = if path.starts_with("/run") {
                of_runtime
            } else {
                lasting
            };
            return kernel::mark::has(marks, path).unwrap_or(false);
        }
        // From before there were marks.
        let is_listed = || {
            self.record
                .directories
                .iter()
                .any(|one| path == Path::new(one))
        };
        public != path || leads_to_private(path) || !is_dynamic && is_directory(path) && is_listed()
    }
}

/// Where it is noted what starts of a portable make: what stays, and what is in /run.
pub(crate) fn marks(directories: &Directories, name: &str) -> [PathBuf; 2] {
    [
        directories.state.join("portables").join(name).join("made"),
        directories.runtime.join("made").join(name),
    ]
}

/// The name of a directory outside of `private`.
fn public(path: &Path) -> PathBuf {
    let homes = ["/run", "/etc", "/var/lib", "/var/cache", "/var/log"];
    let private = |home: &&str| path.strip_prefix(home).ok()?.strip_prefix("private").ok();
    let found = homes.iter().find_map(|home| Some((home, private(home)?)));
    found.map_or_else(
        || path.to_owned(),
        |(home, rest)| Path::new(home).join(rest),
    )
}

fn is_directory(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_dir())
}

/// Whether a public name is the link that a start with a dynamic user makes.
fn leads_to_private(path: &Path) -> bool {
    std::fs::read_link(path).is_ok_and(|target| {
        let mut parts = target.components();
        parts.find(|part| *part != Component::ParentDir)
            == Some(Component::Normal("private".as_ref()))
    })
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
    fn what_was_revoked_is_told_by_image_signer_and_issuer() {
        let record = r#"{"current": "1", "versions": {"1": {"image": "sha256:aa"}, "0": {"image": "sha256:dd"}},
            "signer": {"fingerprint": "sha256:bb", "issuer": "sha256:cc", "kin": ["sha256:11"]},
            "claimed": {"fingerprint": "sha256:22", "kin": ["sha256:33"]},
            "extensions": [{"image": "sha256:ee", "signer": {"fingerprint": "sha256:ff"}, "claimed": {"fingerprint": "sha256:44"}}]}"#;
        let (root, directories) = directories(&[("web", record), ("plain", r#"{"current": "1"}"#)]);
        assert_eq!(revoked(&directories, "web"), None);
        let list = root.path().join("trust.d/revoked");
        std::fs::create_dir_all(&list).unwrap();
        for (name, text, expected) in [
            ("sha256-dd", "", None),
            (
                "sha256-ee",
                "",
                Some("an image that extends it was revoked (sha256:ee); "),
            ),
            (
                "sha256-ff",
                "",
                Some("the certificate that vouches for it was revoked (sha256:ff); "),
            ),
            ("sha256-aa", "", Some("its image was revoked (sha256:aa); ")),
            (
                "sha256-bb",
                "why\nmore",
                Some("the certificate that vouches for it was revoked (sha256:bb): why; "),
            ),
            (
                "sha256-cc",
                "",
                Some("the certificate that vouches for it was revoked (sha256:cc); "),
            ),
            (
                "sha256-11",
                "",
                Some("the certificate that vouches for it was revoked (sha256:11); "),
            ),
            (
                "sha256-22",
                "",
                Some("the certificate that vouches for it was revoked (sha256:22); "),
            ),
            (
                "sha256-33",
                "",
                Some("the certificate that vouches for it was revoked (sha256:33); "),
            ),
            (
                "sha256-44",
                "",
                Some("the certificate that vouches for it was revoked (sha256:44); "),
            ),
        ] {
            std::fs::write(list.join(name), text).unwrap();
            let said = revoked(&directories, "web");
            let begins =
                |expected: &str| said.as_ref().is_some_and(|said| said.starts_with(expected));
            assert!(expected.map_or(said.is_none(), begins), "{said:?}");
            std::fs::remove_file(list.join(name)).unwrap();
        }
        assert_eq!(revoked(&directories, "plain"), None);
        assert!(revoked(&directories, "gone").is_some());
    }

    /// Root sees through every permission: what is no directory, and links that lead round, fail for it, too.
    #[test]
    fn where_nobody_can_say_whether_it_was_revoked_nothing_starts() {
        let (root, directories) = directories(&[("web", r#"{"current": "1"}"#)]);
        let trust = root.path().join("trust.d");
        std::fs::write(&trust, "").unwrap();
        let said = revoked(&directories, "web").unwrap_or_default();
        assert!(
            said.starts_with("cannot look at ") && said.contains("web"),
            "{said}"
        );
        std::fs::remove_file(&trust).unwrap();
        assert_eq!(revoked(&directories, "web"), None);
        // As a file, or by a link to itself, the list holds nothing that could be looked at.
        let image = r#"{"current": "1", "versions": {"1": {"image": "sha256:aa"}}}"#;
        std::fs::write(root.path().join("portables/web/portable.json"), image).unwrap();
        std::fs::create_dir_all(&trust).unwrap();
        std::os::unix::fs::symlink("revoked", trust.join("revoked")).unwrap();
        let said = revoked(&directories, "web").unwrap_or_default();
        assert!(
            said.starts_with("cannot look at ") && said.contains("sha256-aa"),
            "{said}"
        );
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
