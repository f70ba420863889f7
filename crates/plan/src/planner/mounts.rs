//! Mounts as one list: what covers a path, and which attributes hold from a path on. Sorted and reduced before it becomes steps.

use std::collections::BTreeMap;

use model::Directive;

use super::draft::{Draft, text};
use crate::code::ListBuf;
use crate::frame::{TEMPORARY_MODE, TEMPORARY_OPTIONS};
use crate::step::{Step, What};

/// Mount attributes, as mount_setattr(2) has them.
pub(super) const READ_ONLY: u64 = 1;
pub(super) const NO_SUID: u64 = 2;
pub(super) const NO_DEVICES: u64 = 4;
pub(super) const NO_EXEC: u64 = 8;

/// What appears at a path in place of what was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cover {
    Inaccessible,
    Bind {
        source: String,
        recursive: bool,
        source_missing_ok: bool,
    },
    Tmpfs {
        mode: u32,
        options: Vec<String>,
    },
    Proc {
        hide: Option<&'static str>,
        only_pids: bool,
    },
    Sysfs,
    Devices {
        bound: bool,
    },
    PrivateTmp {
        parent: &'static str,
    },
    Credentials,
    MessageQueues,
    BpfObjects,
    BpfDelegation {
        options: Vec<String>,
    },
    Cgroups,
    Image {
        index: u32,
    },
}

impl Cover {
    /// What PrivateTmp=disconnected mounts.
    pub(super) fn temporary() -> Self {
        Cover::Tmpfs {
            mode: TEMPORARY_MODE,
            options: TEMPORARY_OPTIONS.texts(),
        }
    }
}

#[derive(Debug, Clone)]
struct Covered {
    cover: Cover,
    set: u64,
    missing_ok: bool,
    directive: Option<Directive>,
}

/// From this path on, until a deeper path says otherwise.
#[derive(Debug, Clone, Copy, Default)]
struct Rule {
    read_only: Option<bool>,
    no_exec: Option<bool>,
    /// Whether the path may be missing; a rule that someone wrote without `-` must find it.
    missing_ok: bool,
    directive: Option<Directive>,
}

/// The list.
#[derive(Debug, Default)]
pub(super) struct MountList {
    covers: BTreeMap<String, Covered>,
    rules: BTreeMap<String, Rule>,
    /// The root has no origin beside itself: it is an image's tree.
    pub(super) image: bool,
    /// Extensions are laid over [`EXTENDED`] before anything else is mounted.
    pub(super) extended: bool,
}

/// What extensions are laid over.
const EXTENDED: [&str; 3] = ["/etc", "/opt", "/usr"];

impl MountList {
    /// Covers a path. What makes it inaccessible wins over all else; otherwise the first that speaks of a path wins.
    pub(super) fn cover(
        &mut self,
        path: &str,
        cover: Cover,
        set: u64,
        missing_ok: bool,
        directive: Option<Directive>,
    ) {
        let new = Covered {
            cover,
            set,
            missing_ok,
            directive,
        };
        match self.covers.get_mut(path) {
            Some(known) if new.cover == Cover::Inaccessible => *known = new,
            Some(_) => {}
            None => drop(self.covers.insert(path.to_owned(), new)),
        }
    }

    /// Covers a path in place of what was to cover it before.
    pub(super) fn replace(
        &mut self,
        path: &str,
        cover: Cover,
        set: u64,
        directive: Option<Directive>,
    ) {
        self.covers.remove(path);
        self.cover(path, cover, set, false, directive);
    }

    /// Makes a path and all below it read-only or writable; read-only wins where both are said of one path.
    pub(super) fn read_only(
        &mut self,
        path: &str,
        read_only: bool,
        missing_ok: bool,
        directive: Option<Directive>,
    ) {
        let rule = self.rule(path, missing_ok, directive);
        rule.read_only = Some(read_only || rule.read_only == Some(true));
    }

    /// Forbids or allows execution from a path on; the ban wins where both are said of one path.
    pub(super) fn no_exec(
        &mut self,
        path: &str,
        no_exec: bool,
        missing_ok: bool,
        directive: Option<Directive>,
    ) {
        let rule = self.rule(path, missing_ok, directive);
        rule.no_exec = Some(no_exec || rule.no_exec == Some(true));
    }

    /// The rule of a path. Who asks without an excuse for its absence asks for all.
    fn rule(&mut self, path: &str, missing_ok: bool, directive: Option<Directive>) -> &mut Rule {
        let rule = self.rules.entry(path.to_owned()).or_insert(Rule {
            missing_ok: true,
            directive,
            ..Rule::default()
        });
        rule.missing_ok &= missing_ok;
        rule
    }

    /// Whether a rule closes the path against writing.
    pub(super) fn closes(&self, path: &str) -> bool {
        self.inherited(path) & READ_ONLY != 0
    }

    /// Whether something is mounted over the path or one above it.
    pub(super) fn hides(&self, path: &str) -> bool {
        ancestors(path).any(|above| self.covers.contains_key(above))
    }

    /// The attributes of the root itself.
    pub(super) fn root_attributes(&self) -> u64 {
        self.rules.get("/").map_or(0, |rule| {
            attributes(rule.read_only == Some(true), rule.no_exec == Some(true))
        })
    }

    /// Drops what lies below something inaccessible, and rules that change nothing.
    fn reduce(&mut self) {
        let hidden: Vec<String> = self
            .covers
            .iter()
            .filter(|(_, covered)| covered.cover == Cover::Inaccessible)
            .map(|(path, _)| path.clone())
            .collect();
        let visible = |path: &str| !ancestors(path).skip(1).any(|above| has(&hidden, above));
        self.covers.retain(|path, _| visible(path));
        self.rules
            .retain(|path, _| visible(path) && !has(&hidden, path));
        let idle: Vec<String> = self
            .rules
            .keys()
            .filter(|path| self.is_idle(path))
            .cloned()
            .collect();
        self.rules.retain(|path, _| !has(&idle, path));
    }

    /// Whether a rule says what holds above it anyway. One that must find its path stays, so that a missing path is told.
    fn is_idle(&self, path: &str) -> bool {
        let Some(rule) = self.rules.get(path) else {
            return false;
        };
        if path == "/" || self.covers.contains_key(path) || !rule.missing_ok {
            return false;
        }
        let above = ancestors(path)
            .nth(1)
            .map_or(0, |above| self.inherited(above));
        let own = self.inherited(path);
        own == above
    }

    /// The attributes that hold at a path: the nearest word on each. A cover begins anew.
    fn inherited(&self, path: &str) -> u64 {
        let (mut read_only, mut no_exec) = (None, None);
        for above in ancestors(path) {
            let rule = self.rules.get(above).copied().unwrap_or_default();
            read_only = read_only.or(rule.read_only);
            no_exec = no_exec.or(rule.no_exec);
            if self.covers.contains_key(above) {
                break;
            }
        }
        attributes(read_only == Some(true), no_exec == Some(true))
    }

    /// Whether the path lies below something that the plan mounts, so that it has no origin on the host.
    fn is_made(&self, path: &str) -> bool {
        self.image
            || self.extended && ancestors(path).any(|above| EXTENDED.contains(&above))
            || ancestors(path)
                .skip(1)
                .any(|above| self.covers.contains_key(above))
    }

    /// Whether anything is mounted below a /dev of its own but the queues, whose place it has.
    fn needs_new_devices(&self, path: &str) -> bool {
        self.covers.iter().any(|(below, covered)| {
            let is_below = ancestors(below).skip(1).any(|above| above == path);
            is_below && !matches!(covered.cover, Cover::MessageQueues)
        })
    }

    /// The paths below which something is mounted, sorted.
    fn occupied(&self) -> Vec<String> {
        let above = self.covers.keys().flat_map(|path| ancestors(path).skip(1));
        let mut all: Vec<String> = above.map(str::to_owned).collect();
        model::order::sort(&mut all);
        all.dedup();
        all
    }
}

/// Whether a sorted list has the path. Units of images may name thousands of them.
fn has(sorted: &[String], path: &str) -> bool {
    sorted
        .binary_search_by(|known| known.as_str().cmp(path))
        .is_ok()
}

const fn attributes(read_only: bool, no_exec: bool) -> u64 {
    (if read_only { READ_ONLY } else { 0 }) | (if no_exec { NO_EXEC } else { 0 })
}

/// The path, its parent, and so on up to the root.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| parent(path))
}

fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        _ if path == "/" => None,
        0 => Some("/"),
        end => path.get(..end),
    }
}

/// Turns the list into steps, parents before children.
pub(super) fn emit(draft: &mut Draft<'_>) {
    let mut list = std::mem::take(&mut draft.mounts);
    list.reduce();
    let mut paths: Vec<String> = list
        .covers
        .keys()
        .chain(list.rules.keys())
        .filter(|path| *path != "/")
        .cloned()
        .collect();
    // By whole names: `/a/b` right after `/a`, whatever other bytes sort before the slash.
    model::order::sort_by(&mut paths, |one, other| {
        one.split('/').cmp(other.split('/'))
    });
    paths.dedup();
    let occupied = list.occupied();
    for path in &paths {
        emit_path(draft, &list, &occupied, path);
    }
    // Deepest first; a child's mount point must exist before its parent closes.
    for (path, covered) in list
        .covers
        .iter()
        .rev()
        .filter(|(path, _)| closes_late(&list, &occupied, path))
    {
        let seal = Step::Mount {
            at: &text(path),
            what: What::Seal,
            set: READ_ONLY,
            clear: 0,
            missing_ok: covered.missing_ok,
        };
        add(draft, covered.directive, seal);
    }
    draft.mounts = list;
}

/// Whether a fresh file system stays writable until what lies below it is mounted.
fn closes_late(list: &MountList, occupied: &[String], path: &str) -> bool {
    list.covers.get(path).is_some_and(|covered| {
        let fresh = match covered.cover {
            Cover::Tmpfs { .. } => true,
            Cover::Devices { .. } => list.needs_new_devices(path),
            _ => false,
        };
        fresh && covered.set & READ_ONLY != 0 && has(occupied, path)
    })
}

fn emit_path(draft: &mut Draft<'_>, list: &MountList, occupied: &[String], path: &str) {
    let at = text(path);
    let Some(covered) = list.covers.get(path) else {
        let Some(rule) = list.rules.get(path) else {
            return;
        };
        let (set, made) = (list.inherited(path), list.is_made(path));
        // What was made before comes with the attributes of where it lies; only what this path allows by name is taken off.
        let clear = if made {
            attributes(rule.read_only == Some(false), rule.no_exec == Some(false))
        } else {
            0
        };
        add(
            draft,
            rule.directive,
            Step::Mount {
                at: &at,
                what: What::Again { made },
                set,
                clear,
                missing_ok: rule.missing_ok,
            },
        );
        return;
    };
    let mut set = covered.set | list.rules.get(path).map_or(0, |_| list.inherited(path));
    if closes_late(list, occupied, path) {
        set &= !READ_ONLY;
    }
    emit_cover(draft, &at, covered, set);
    // Its own attributes are not those of what is mounted in it: a rule of the unit holds for all.
    let rule = list.rules.get(path).map_or(0, |_| list.inherited(path));
    if matches!(covered.cover, Cover::Devices { .. }) && rule != 0 {
        let all = Step::Mount {
            at: &at,
            what: What::Again { made: true },
            set: rule,
            clear: 0,
            missing_ok: false,
        };
        add(draft, covered.directive, all);
    }
}

fn emit_cover(draft: &mut Draft<'_>, at: &std::ffi::CStr, covered: &Covered, set: u64) {
    let list: ListBuf;
    let (one, other);
    let what = match &covered.cover {
        Cover::Inaccessible => What::Inaccessible,
        Cover::Bind {
            source,
            recursive,
            source_missing_ok,
        } => {
            one = text(source);
            What::Bind {
                source: &one,
                recursive: *recursive,
                source_missing_ok: *source_missing_ok,
            }
        }
        Cover::Tmpfs { mode, options } => {
            list = options.iter().collect();
            What::Tmpfs {
                mode: *mode,
                options: list.list(),
            }
        }
        Cover::Proc { hide, only_pids } => {
            other = hide.map(text);
            What::Proc {
                hide: other.as_deref(),
                only_pids: *only_pids,
            }
        }
        Cover::Sysfs => What::Sysfs,
        Cover::Devices { bound } => What::Devices { bound: *bound },
        Cover::PrivateTmp { parent } => {
            one = text(parent);
            What::PrivateTmp { parent: &one }
        }
        Cover::Credentials => What::Credentials,
        Cover::MessageQueues => What::MessageQueues,
        Cover::BpfObjects => What::BpfObjects,
        Cover::BpfDelegation { options } => {
            list = options.iter().collect();
            What::BpfDelegation {
                options: list.list(),
            }
        }
        Cover::Cgroups => What::Cgroups,
        Cover::Image { index } => What::Image { index: *index },
    };
    let set = if what == What::Inaccessible { 0 } else { set };
    add(
        draft,
        covered.directive,
        Step::Mount {
            at,
            what,
            set,
            clear: 0,
            missing_ok: covered.missing_ok,
        },
    );
}

fn add(draft: &mut Draft<'_>, directive: Option<Directive>, step: Step<'_>) {
    match directive {
        Some(directive) => draft.push(directive, step),
        None => draft.frame(step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_go_up_to_the_root() {
        assert_eq!(ancestors("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(ancestors("/").collect::<Vec<_>>(), ["/"]);
    }

    #[test]
    fn the_nearest_word_on_each_attribute_holds() {
        let mut list = MountList::default();
        list.read_only("/", true, true, None);
        list.no_exec("/", true, true, None);
        list.no_exec("/usr", false, true, None);
        list.read_only("/var", false, true, None);
        assert_eq!(list.inherited("/usr/bin"), READ_ONLY);
        assert_eq!(list.inherited("/var/lib"), NO_EXEC);
        assert_eq!(list.inherited("/etc"), READ_ONLY | NO_EXEC);
    }

    #[test]
    fn what_changes_nothing_or_can_not_be_seen_is_dropped() {
        let mut list = MountList::default();
        list.read_only("/usr", true, true, None);
        list.read_only("/usr/lib", true, true, None);
        list.read_only("/srv", false, true, None);
        list.cover("/home", Cover::Inaccessible, 0, true, None);
        list.cover("/home/user", Cover::Sysfs, 0, true, None);
        list.read_only("/home/user", false, true, None);
        list.reduce();
        assert_eq!(list.rules.keys().collect::<Vec<_>>(), ["/usr"]);
        assert_eq!(list.covers.keys().collect::<Vec<_>>(), ["/home"]);
    }
}
