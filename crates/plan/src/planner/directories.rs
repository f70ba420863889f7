//! RuntimeDirectory= and its kin: made on the host before the mounts, shown inside, named in the environment.

use model::value::{Directories, DirectorySpec, FileMode};
use model::{Directive, Key, Position, Resource, Resources, Unit, key};

use super::draft::{Draft, text};
use super::meaning::Meaning;
use super::mounts::{Cover, NO_DEVICES, NO_SUID, READ_ONLY};
use super::quotas::{self, Bound};
use super::{Refusal, Situation};
use crate::code::ListBuf;
use crate::step::{DirectoryClass, Quota, Step};

struct Kind {
    resource: Resource,
    class: DirectoryClass,
    key: &'static Key<Directories>,
    mode: &'static Key<FileMode>,
    base: &'static str,
    variable: &'static str,
    /// Configuration belongs to the administrator, also with a dynamic user.
    owned: bool,
    /// What says how much they may hold.
    bound: Option<Bound>,
}

static KINDS: [Kind; 5] = [
    Kind {
        resource: Resource::Runtime,
        class: DirectoryClass::Runtime,
        key: &key::RUNTIME_DIRECTORY,
        mode: &key::RUNTIME_DIRECTORY_MODE,
        base: "/run",
        variable: "RUNTIME_DIRECTORY",
        owned: true,
        bound: None,
    },
    Kind {
        resource: Resource::State,
        class: DirectoryClass::State,
        key: &key::STATE_DIRECTORY,
        mode: &key::STATE_DIRECTORY_MODE,
        base: "/var/lib",
        variable: "STATE_DIRECTORY",
        owned: true,
        bound: Some(Bound {
            quota: &key::STATE_DIRECTORY_QUOTA,
            accounting: &key::STATE_DIRECTORY_ACCOUNTING,
        }),
    },
    Kind {
        resource: Resource::Cache,
        class: DirectoryClass::Cache,
        key: &key::CACHE_DIRECTORY,
        mode: &key::CACHE_DIRECTORY_MODE,
        base: "/var/cache",
        variable: "CACHE_DIRECTORY",
        owned: true,
        bound: Some(Bound {
            quota: &key::CACHE_DIRECTORY_QUOTA,
            accounting: &key::CACHE_DIRECTORY_ACCOUNTING,
        }),
    },
    Kind {
        resource: Resource::Logs,
        class: DirectoryClass::Logs,
        key: &key::LOGS_DIRECTORY,
        mode: &key::LOGS_DIRECTORY_MODE,
        base: "/var/log",
        variable: "LOGS_DIRECTORY",
        owned: true,
        bound: Some(Bound {
            quota: &key::LOGS_DIRECTORY_QUOTA,
            accounting: &key::LOGS_DIRECTORY_ACCOUNTING,
        }),
    },
    Kind {
        resource: Resource::Configuration,
        class: DirectoryClass::Configuration,
        key: &key::CONFIGURATION_DIRECTORY,
        mode: &key::CONFIGURATION_DIRECTORY_MODE,
        base: "/etc",
        variable: "CONFIGURATION_DIRECTORY",
        owned: false,
        bound: None,
    },
];

/// What bounds or counts directories of a class.
pub(crate) fn bounding(class: DirectoryClass, quota: Quota) -> Option<Directive> {
    let kind = KINDS.iter().find(|kind| kind.class == class)?;
    let bound = kind.bound.as_ref()?;
    Some(match quota {
        Quota::Unsaid => return None,
        Quota::Counted => bound.accounting.directive(),
        Quota::Lifted | Quota::Bytes { .. } | Quota::Share { .. } => bound.quota.directive(),
    })
}

/// Whether the unit has any.
pub(super) fn any(draft: &Draft<'_>) -> bool {
    KINDS.iter().any(|kind| {
        draft
            .unit
            .get(kind.key)
            .is_some_and(|directories| !directories.is_empty())
    })
}

/// Plans all of them.
pub(super) fn plan(draft: &mut Draft<'_>, meaning: Meaning, mounts: bool) -> Result<(), Refusal> {
    for kind in &KINDS {
        let Some(directories) = draft.unit.get(kind.key) else {
            continue;
        };
        let base = base(draft.situation, kind);
        // A directory before those in it, which come with it under its public name.
        let mut ordered: Vec<&DirectorySpec> = directories.iter().collect();
        model::order::sort_by(&mut ordered, |a, b| a.path.cmp(&b.path));
        let places: Vec<String> = ordered
            .iter()
            .map(|spec| host_path(draft, kind, &base, spec))
            .collect();
        let quota = match &kind.bound {
            Some(bound) => quotas::of(draft, bound, &places)?,
            None => Quota::Unsaid,
        };
        for spec in &ordered {
            one(draft, kind, &base, spec, &ordered, quota);
            if mounts {
                show(draft, meaning, kind, &base, spec);
            }
        }
        let paths: Vec<String> = ordered
            .iter()
            .map(|spec| format!("{base}/{}", spec.path))
            .collect();
        if !paths.is_empty() {
            draft
                .environment
                .push((kind.variable.to_owned(), paths.join(":")));
        }
    }
    Ok(())
}

/// Where a kind lives; a user's own instance keeps everything below its runtime directory's owner, which the manager resolves.
fn base(situation: &Situation<'_>, kind: &Kind) -> String {
    match situation.position {
        Position::User => format!("{}/directories{}", situation.runtime_dir, kind.base),
        Position::Init | Position::Beside | Position::Nested => kind.base.to_owned(),
    }
}

/// Paths on the host of a unit's directories of these kinds, by every name that they may have: with a dynamic user they are below
/// `private`, without one they are not, and a unit may have been both. Of what is in another one of them the name comes, too.
pub fn directories(unit: &Unit, situation: &Situation<'_>, which: Resources) -> Vec<String> {
    let mut paths = Vec::new();
    for kind in KINDS.iter().filter(|kind| which.has(kind.resource)) {
        let base = base(situation, kind);
        for spec in unit.get(kind.key).into_iter().flatten() {
            for name in [Some(&spec.path), spec.symlink.as_ref()]
                .into_iter()
                .flatten()
            {
                paths.push(format!("{base}/{name}"));
                if kind.owned {
                    paths.push(format!("{base}/private/{name}"));
                }
            }
        }
    }
    paths
}

fn is_private(draft: &Draft<'_>, kind: &Kind) -> bool {
    kind.owned && draft.is_on(&key::DYNAMIC_USER)
}

fn host_path(draft: &Draft<'_>, kind: &Kind, base: &str, spec: &DirectorySpec) -> String {
    if is_private(draft, kind) {
        format!("{base}/private/{}", spec.path)
    } else {
        format!("{base}/{}", spec.path)
    }
}

/// Whether a directory is in another of the list, which is sorted.
fn comes_with(ordered: &[&DirectorySpec], path: &str) -> bool {
    let listed = |above: &str| {
        ordered
            .binary_search_by(|spec| spec.path.as_str().cmp(above))
            .is_ok()
    };
    path.match_indices('/')
        .filter_map(|(end, _)| path.get(..end))
        .any(listed)
}

/// A directory in another one of the unit has a public name with it, so it needs none.
fn one(
    draft: &mut Draft<'_>,
    kind: &Kind,
    base: &str,
    spec: &DirectorySpec,
    ordered: &[&DirectorySpec],
    quota: Quota,
) {
    let private = is_private(draft, kind);
    let path = host_path(draft, kind, base, spec);
    let mut links = ListBuf::default();
    if private && !comes_with(ordered, &spec.path) {
        links.push(format!("{base}/{}", spec.path));
    }
    if let Some(link) = &spec.symlink {
        // A relative link counts from where its directory is, whatever leads there.
        let private = private && comes_with(ordered, link);
        links.push(format!(
            "{base}/{}{link}",
            if private { "private/" } else { "" }
        ));
    }
    let mode = draft.value(kind.mode).0;
    let takes_over =
        kind.owned && (draft.situation.may_take_over)(&format!("{base}/{}", spec.path));
    let step = Step::Directory {
        class: kind.class,
        path: &text(&path),
        mode,
        owned: kind.owned,
        private,
        takes_over,
        links: links.list(),
        quota,
    };
    draft.push(kind.key.directive(), step);
}

/// Makes the directory visible and writable inside.
fn show(draft: &mut Draft<'_>, meaning: Meaning, kind: &Kind, base: &str, spec: &DirectorySpec) {
    let directive = Some(kind.key.directive());
    let source = host_path(draft, kind, base, spec);
    let read_only = if spec.read_only { READ_ONLY } else { 0 };
    let bind = Cover::Bind {
        source: source.clone(),
        recursive: true,
        source_missing_ok: false,
    };
    if meaning.rooted {
        // No link leads there inside of another root, so it appears under its public name.
        draft.mounts.cover(
            &format!("{base}/{}", spec.path),
            bind,
            read_only | NO_SUID | NO_DEVICES,
            false,
            directive,
        );
    } else if is_private(draft, kind) {
        let parent = Cover::Tmpfs {
            mode: 0o755,
            options: vec!["size=16k".into(), "nr_inodes=1024".into()],
        };
        draft.mounts.cover(
            &format!("{base}/private"),
            parent,
            READ_ONLY,
            false,
            directive,
        );
        draft.mounts.cover(
            &source,
            bind,
            read_only | NO_SUID | NO_DEVICES,
            false,
            directive,
        );
    } else if draft.mounts.hides(&source) {
        draft
            .mounts
            .cover(&source, bind, read_only, false, directive);
    } else {
        draft
            .mounts
            .read_only(&source, spec.read_only, false, directive);
    }
}
