//! Directories with several versions of one thing (systemd.v(7)): which names are versions, and which of them is used.

use std::cmp::Ordering;

use crate::version;

/// What is looked for in which directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern<'a> {
    /// The directory.
    pub directory: &'a str,
    /// What a name begins with, before the underscore.
    pub name: &'a str,
    /// What a name ends with; any of the endings that the caller knows where it is empty and does not stand in the path.
    pub ending: &'a str,
}

/// Whether a path names a directory with versions, or a name in one with `___` in place of the version.
#[must_use]
pub fn is_versioned(path: &str) -> bool {
    pattern(path).is_some()
}

/// Reads such a path.
#[must_use]
pub fn pattern(path: &str) -> Option<Pattern<'_>> {
    let path = path.trim_end_matches('/');
    let (parent, last) = path.rsplit_once('/')?;
    if let Some(stem) = last.strip_suffix(".v") {
        let (name, ending) = [".raw", ".psi", ".mstack"]
            .iter()
            .find_map(|ending| Some((stem.strip_suffix(ending)?, *ending)))
            .unwrap_or((stem, ""));
        return (!name.is_empty()).then_some(Pattern {
            directory: path,
            name,
            ending,
        });
    }
    let (name, ending) = last.split_once("___")?;
    parent.ends_with(".v").then_some(Pattern {
        directory: parent,
        name,
        ending,
    })
}

/// A name taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Candidate<'a> {
    version: &'a str,
    has_tries: bool,
    file: &'a str,
}

/// The name of the newest version for this processor. One that has no tries left comes after all that have.
#[must_use]
pub fn pick<'a>(
    pattern: Pattern<'_>,
    endings: &[&str],
    names: impl Iterator<Item = &'a str>,
    architecture: &str,
) -> Option<&'a str> {
    let own = [pattern.ending];
    let endings = if pattern.ending.is_empty() {
        endings
    } else {
        &own
    };
    let candidates = names.filter_map(|file| candidate(pattern.name, endings, file, architecture));
    let newest = candidates.max_by(|one, other| {
        let by_tries = one.has_tries.cmp(&other.has_tries);
        let by_version = version::compare(one.version, other.version);
        by_tries
            .then(by_version)
            // Two names of one version: always the same one of them.
            .then_with(|| -> Ordering { one.file.cmp(other.file) })
    });
    newest.map(|candidate| candidate.file)
}

fn candidate<'a>(
    name: &str,
    endings: &[&str],
    file: &'a str,
    architecture: &str,
) -> Option<Candidate<'a>> {
    let stem = endings
        .iter()
        .find_map(|ending| file.strip_suffix(ending))?;
    let variable = stem.strip_prefix(name)?.strip_prefix('_')?;
    let (rest, has_tries) = match variable.rsplit_once('+') {
        Some((rest, counters)) => match tries_left(counters) {
            Some(left) => (rest, left > 0),
            None => (variable, true),
        },
        None => (variable, true),
    };
    let version = match rest.rsplit_once('_') {
        Some((version, other)) if is_architecture(other) => {
            if other != architecture {
                return None;
            }
            version
        }
        _ => rest,
    };
    (!version.is_empty()).then_some(Candidate {
        version,
        has_tries,
        file,
    })
}

fn is_architecture(word: &str) -> bool {
    let known = crate::tables::architectures::ARCHITECTURES;
    word != "native" && known.contains(&word)
}

/// `LEFT` or `LEFT-DONE`.
fn tries_left(text: &str) -> Option<u64> {
    let (left, done) = text.split_once('-').unwrap_or((text, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if is_number(left) && is_number(done) {
        // More than fit are more than none.
        return Some(left.parse().unwrap_or(u64::MAX));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, names: &[&str], expected: Option<&str>) {
        let pattern = pattern(path).expect("a directory with versions");
        let found = pick(pattern, &[".raw", ".psi"], names.iter().copied(), "x86-64");
        assert_eq!(found, expected, "{path} {names:?}");
    }

    #[test]
    fn the_newest_version_for_this_processor_with_tries_left_is_used() {
        let names = [
            "machine_7.5.13.raw",
            "machine_7.5.14_x86-64.raw",
            "machine_7.6.0_arm64.raw",
            "machine_7.7.0_x86-64+0-5.raw",
            "other_9.raw",
            "machine_8.img",
            "machine_.raw",
            "machine.raw",
        ];
        for path in [
            "/srv/machine.raw.v/",
            "/srv/machine.raw.v",
            "/srv/all.v/machine___.raw",
        ] {
            check(path, &names, Some("machine_7.5.14_x86-64.raw"));
        }
        check(
            "/srv/machine.v",
            &["machine_1.raw", "machine_2.psi"],
            Some("machine_2.psi"),
        );
        check(
            "/srv/machine.psi.v",
            &["machine_1.psi", "machine_2.raw"],
            Some("machine_1.psi"),
        );
        check(
            "/srv/machine.raw.v",
            &["machine_1+3.raw", "machine_1.1+1-2.raw"],
            Some("machine_1.1+1-2.raw"),
        );
        check(
            "/srv/machine.raw.v",
            &["machine_2+0.raw", "machine_1+0-3.raw"],
            Some("machine_2+0.raw"),
        );
        check(
            "/srv/machine.raw.v",
            &["machine_1.10.raw", "machine_1.9.raw"],
            Some("machine_1.10.raw"),
        );
        check("/srv/machine.raw.v", &["machine_1_arm64.raw"], None);
        check("/srv/machine.raw.v", &[], None);
    }

    #[test]
    fn other_paths_have_no_versions() {
        for path in [
            "/srv/a.raw",
            "/srv/.v",
            "/srv/x/a___.raw",
            "/srv/a.v/b.raw",
            "/",
        ] {
            assert!(!is_versioned(path), "{path}");
        }
    }
}
