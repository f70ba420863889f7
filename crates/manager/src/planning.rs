//! The plan of a unit: what is the same for each of its starts is made once, and what may not start is refused before it is asked for.

use crate::entry::Entry;
use crate::manager::Manager;
use engine::{Role, UnitId};
use model::{Directive, Position, Unit, key};
use plan::interpreter::Interpreter;
use plan::{Refusal, Situation, SpawnPlan};
use settings::Status;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use wire::{Failure, Reduction};

/// The step that makes a service's directories, and what it means where it finds something else.
const DIRECTORY: &str = "Directory";
const FOREIGN_DIRECTORY: &str = "what is there under the directory's public name came from elsewhere: move it away, or let a portable take it \
over with `coracle start NAME --grant=path:DIRECTORY`";

/// The step that looks for what is to be executed.
const PROGRAM: &str = "Program";
/// What is said of a program that is there, where its first bytes could not be read or name nothing.
const UNKNOWN_INTERPRETER: &str =
    "the program is there, and what it needs as its interpreter or loader is not";

/// What the planner made of a unit.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The plan of its processes, or of its sockets.
    pub(crate) plan: SpawnPlan,
    /// What the planner made for the commands beside the main one, where that is something else.
    beside: Option<Rc<Prepared>>,
}

impl Prepared {
    /// What is for the commands of a role.
    pub(crate) fn of(prepared: Rc<Prepared>, role: Role) -> Rc<Prepared> {
        match &prepared.beside {
            Some(beside) if role != Role::Main => Rc::clone(beside),
            _ => prepared,
        }
    }
}

impl Manager {
    /// The plan of a unit's processes.
    pub(crate) fn prepared(&mut self, unit: UnitId) -> Result<Rc<Prepared>, Failure> {
        let Some(entry) = self.units.get(&unit) else {
            return Err(Failure::NoSuchUnit {
                unit: String::new(),
            });
        };
        // What a file system could not do at the last start it may do now.
        let is_lasting = |prepared: &&Rc<Prepared>| {
            let mut reductions = prepared.plan.reductions().iter();
            !reductions.any(|one| crate::quotas::is_of_quotas(one.directive))
        };
        if let Some(prepared) = entry.prepared.as_ref().filter(is_lasting) {
            return Ok(Rc::clone(prepared));
        }
        let prepared = match self.later.recent.plan(entry) {
            Some(prepared) => prepared,
            None => {
                let prepared = self
                    .prepare(entry)
                    .map_err(|refusal| refused(entry, &refusal))?;
                let prepared = Rc::new(prepared);
                self.later.recent.keep_plan(entry, &prepared);
                prepared
            }
        };
        if let Some(entry) = self.units.get_mut(&unit) {
            entry.prepared = Some(Rc::clone(&prepared));
        }
        Ok(prepared)
    }

    fn prepare(&self, entry: &Entry) -> Result<Prepared, Refusal> {
        let plan = self.make_plan(entry)?;
        let beside = self.make_plan_beside(entry)?;
        let beside = beside.map(|plan| Rc::new(Prepared { plan, beside: None }));
        Ok(Prepared { plan, beside })
    }

    /// Plans the commands beside the main one, where they have another root.
    fn make_plan_beside(&self, entry: &Entry) -> Result<Option<SpawnPlan>, Refusal> {
        let Some(beside) = plan::beside(&entry.unit) else {
            return Ok(None);
        };
        let plan = |situation: &Situation<'_>| plan::plan(&beside, &self.facts, situation);
        self.in_situation(entry, plan).map(Some)
    }

    /// Plans a unit's processes afresh.
    pub(crate) fn make_plan(&self, entry: &Entry) -> Result<SpawnPlan, Refusal> {
        self.in_situation(entry, |situation| {
            plan::plan(&entry.unit, &self.facts, situation)
        })
    }

    /// Plans the making of a socket unit's sockets.
    pub(crate) fn make_socket_plan(&self, entry: &Entry) -> Result<SpawnPlan, Refusal> {
        self.in_situation(entry, |situation| {
            plan::plan_sockets(&entry.unit, &self.facts, situation)
        })
    }

    pub(crate) fn in_situation<T>(
        &self,
        entry: &Entry,
        use_it: impl FnOnce(&Situation<'_>) -> T,
    ) -> T {
        let notify = entry.notify_path(&self.directories.notify());
        let runtime_dir = self.directories.runtime.to_string_lossy();
        let notify = notify.as_deref().map(Path::to_string_lossy);
        use_it(&Situation {
            position: self.position(),
            runtime_dir: &runtime_dir,
            credentials_root: &self.directories.credentials().to_string_lossy(),
            notify_socket: notify.as_deref(),
            stub: entry.origin.pids_by_profile,
            may_take_over: &|path| self.may_take_over(entry, path),
            quota_trouble: &crate::quotas::trouble,
            may_reduce: &may_reduce,
        })
    }

    /// A portable has by its name alone what was not there before it; what came later it has where it was granted, as with the first.
    fn may_take_over(&self, entry: &Entry, path: &str) -> bool {
        let Some(portable) = &entry.origin.portable else {
            return true;
        };
        // Its sockets make their directory, which no user has, before its service does.
        if path.starts_with("/run/") && self.is_of_sockets(portable, Path::new(path)) {
            return true;
        }
        let granted = crate::portable::grants(&self.directories, portable);
        let asked = format!("path:{path}");
        load::portable::is_covered(granted.iter().map(String::as_str), &asked)
    }

    /// Whether in a directory there is nothing but sockets of a portable's own: such a one nobody else has made.
    fn is_of_sockets(&self, portable: &str, directory: &Path) -> bool {
        let units = self.units.values();
        let units = units.filter(|entry| entry.origin.portable.as_deref() == Some(portable));
        let lines = units.flat_map(|entry| {
            let directives = model::listen::LISTENS.into_iter();
            directives.flat_map(|directive| settings::print(&entry.unit, directive))
        });
        let addresses: Vec<PathBuf> = lines.map(PathBuf::from).collect();
        holds_only(directory, &addresses, DEPTH_MAX)
    }

    pub(crate) fn position(&self) -> Position {
        if self.keeper.init {
            Position::Init
        } else {
            Position::Beside
        }
    }

    /// Refuses a start of a unit whose sandbox this version can't make, unless that was allowed.
    pub(crate) fn check_startable(
        &mut self,
        unit: UnitId,
        allow_unenforced: bool,
    ) -> Result<(), Failure> {
        let Some(entry) = self.units.get_mut(&unit) else {
            return Ok(());
        };
        if allow_unenforced && !entry.allow_unenforced {
            entry.allow_unenforced = true;
            self.dirty.insert(unit);
        }
        if entry.allow_unenforced {
            return Ok(());
        }
        let directives: Vec<String> = unenforced(&entry.unit)
            .into_iter()
            .map(|one| one.directive)
            .collect();
        if directives.is_empty() {
            Ok(())
        } else {
            Err(Failure::Unenforced {
                unit: entry.name.to_string(),
                directives,
            })
        }
    }

    /// Refuses what is of an image that was revoked since it came in.
    pub(crate) fn check_not_revoked(&self, unit: UnitId) -> Result<(), Failure> {
        let entry = self.units.get(&unit);
        let portable = entry.and_then(|entry| Some((entry, entry.origin.portable.as_ref()?)));
        let Some((entry, portable)) = portable else {
            return Ok(());
        };
        match crate::portable::revoked(&self.directories, portable) {
            None => Ok(()),
            Some(message) => Err(Failure::Refused {
                unit: entry.name.to_string(),
                directive: key::ROOT_IMAGE.directive().name().into(),
                message,
            }),
        }
    }

    /// What a failed step of an executor means: the directive that asked for it, the step with its paths, the kernel's word. `command` is the
    /// one that was to be executed, by its directive; none where sockets were to be opened. `interpreter` is what its program names, where that was read.
    pub(crate) fn explain_failure(
        &self,
        unit: UnitId,
        command: Option<(&'static str, String)>,
        failure: plan::report::Failure,
        interpreter: Option<Interpreter>,
    ) -> Failure {
        let entry = self.units.get(&unit);
        let plan = entry.and_then(|entry| match command {
            Some((directive, _)) if directive != crate::start::exec_directive(Role::Main) => {
                let beside = self.make_plan_beside(entry).ok()?;
                beside.or_else(|| self.make_plan(entry).ok())
            }
            Some(_) => self.make_plan(entry).ok(),
            None => self.make_socket_plan(entry).ok(),
        });
        let too_deep = plan.as_ref().and_then(|plan| too_deep(plan, failure));
        let step = plan.and_then(|plan| plan.explain_step(failure.position, failure.step));
        let (asking, program) = command.unwrap_or(("ListenStream", String::new()));
        let directive = match failure.directive {
            plan::NO_DIRECTIVE => asking.to_owned(),
            number => Directive::from_index(usize::from(number))
                .map_or_else(String::new, |directive| directive.name().to_owned()),
        };
        let why = std::io::Error::from_raw_os_error(failure.errno);
        let message = match failure.step_name() {
            DIRECTORY if why.kind() == std::io::ErrorKind::AlreadyExists => {
                FOREIGN_DIRECTORY.into()
            }
            PROGRAM => format!("names {program}, which can't be executed: {why}"),
            _ if failure.lacks_interpreter() => match interpreter {
                Some(missing) => format!("names {program}, which can't be executed: {missing}"),
                None => format!("names {program}, which can't be executed: {UNKNOWN_INTERPRETER}"),
            },
            name => format!(
                "can't be applied: step {} ({}) failed: {why}",
                failure.position + 1,
                step.as_deref().unwrap_or(name)
            ),
        };
        let (directive, message) = too_deep.unwrap_or((directive, message));
        Failure::Refused {
            unit: entry
                .map(|entry| entry.name.to_string())
                .unwrap_or_default(),
            directive,
            message,
        }
    }

    /// Restrictions that hold less than the unit asks, at this host, at its last plan.
    pub(crate) fn reductions_of(&self, entry: &Entry) -> Vec<Reduction> {
        let planned = entry
            .prepared
            .iter()
            .flat_map(|prepared| prepared.plan.reductions());
        planned
            .map(reduction)
            .chain(self.resource_reductions(entry))
            .chain(self.missing_files(entry))
            .chain(self.filter_reductions(&entry.unit))
            .chain(Self::set_reduction(entry))
            .chain(self.undone_actions(entry))
            .collect()
    }

    /// Resource settings that are not applied: for want of a controller, or because this version does not.
    fn resource_reductions(&self, entry: &Entry) -> Vec<Reduction> {
        let settings = entry.unit.iter().map(|(directive, _)| directive);
        let is_of_group = |directive: &Directive| {
            directive.room() == model::Room::Cgroup
                || crate::out_of_memory::is_asked_for(&entry.unit, *directive)
        };
        let limits = settings.filter(is_of_group);
        limits
            .filter_map(|directive| self.unapplied(entry, directive))
            .collect()
    }

    fn unapplied(&self, entry: &Entry, directive: Directive) -> Option<Reduction> {
        let row = settings::row(directive);
        let missing = crate::resources::controller_of(directive.name())
            .and_then(|controller| self.missing_controller(entry, controller))
            .or_else(|| self.nothing_to_disable(&entry.unit, directive));
        let reason = match (missing, row.status) {
            (Some(reason), _) => reason,
            // A restriction is not listed twice: it is among those that are not enforced.
            (None, Status::ParsedOnly(reason)) if !row.is_sandboxing() => reason.to_string(),
            (None, _) => return None,
        };
        Some(Reduction {
            directive: directive.name().into(),
            reason,
        })
    }
}

/// What is told of a directory that can't be counted, as there are directories too deep in it: by which directive, and what to do.
fn too_deep(plan: &plan::SpawnPlan, failure: plan::report::Failure) -> Option<(String, String)> {
    if failure.step_name() != DIRECTORY || failure.errno != plan::step::TOO_DEEP {
        return None;
    }
    let (directive, path) = plan.bounded_by(failure.position)?;
    let most = plan::step::DEPTH_MAX;
    let message = format!(
        "can't count what is in {path}: more than {most} directories are in each other there: move or remove those that \
         `find {path} -mindepth {} -type d` shows",
        most + 1
    );
    Some((directive.name().into(), message))
}

/// Does the table allow that a restriction is applied in part, or not at all, where the host can't?
fn may_reduce(directive: Directive) -> bool {
    settings::row(directive).may_reduce
}

/// A refusal of the planner's as clients see it.
pub(crate) fn refused(entry: &Entry, refusal: &Refusal) -> Failure {
    Failure::Refused {
        unit: entry.name.to_string(),
        directive: refusal.directive.name().into(),
        message: format!("can't be applied: {}", refusal.why),
    }
}

pub(crate) fn reduction(one: &plan::Reduction) -> Reduction {
    Reduction {
        directive: one.directive.name().into(),
        reason: one.reason.clone(),
    }
}

/// The sandboxing directives of a unit that this version reads but does not enforce.
pub(crate) fn unenforced(unit: &Unit) -> Vec<Reduction> {
    let rows = unit
        .iter()
        .map(|(directive, _)| (directive, settings::row(directive)));
    rows.filter(|(_, row)| row.is_sandboxing())
        .filter_map(|(directive, row)| match row.status {
            Status::ParsedOnly(reason) | Status::Rejected(reason) => Some(Reduction {
                directive: directive.name().into(),
                reason: reason.to_string(),
            }),
            Status::Works => None,
        })
        .collect()
}

/// Levels of directories that are made for a socket.
const DEPTH_MAX: u32 = 8;
/// Entries of such a directory; one with more is somebody else's.
const ENTRIES_MAX: usize = 256;

/// Whether a directory holds none but these paths and directories that lead to them; an empty one may be anybody's.
fn holds_only(directory: &Path, paths: &[PathBuf], depth: u32) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return false;
    };
    let mut entries = entries.take(ENTRIES_MAX + 1).peekable();
    let is_own = |(number, entry): (usize, std::io::Result<std::fs::DirEntry>)| {
        let Ok(entry) = entry else { return false };
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        number < ENTRIES_MAX
            && match is_directory {
                true => depth > 0 && holds_only(&path, paths, depth - 1),
                false => paths.contains(&path),
            }
    };
    entries.peek().is_some() && entries.enumerate().all(is_own)
}

#[cfg(test)]
mod tests {
    use super::{DEPTH_MAX, holds_only};

    #[test]
    fn a_directory_with_anything_but_its_sockets_is_not_a_portables() {
        let folder = tempfile::tempdir().expect("a folder");
        let [inner, socket, other] =
            ["inner", "inner/socket", "other"].map(|name| folder.path().join(name));
        let sockets = [socket.clone(), folder.path().join("nothing")];
        let is_own = || holds_only(folder.path(), &sockets, DEPTH_MAX);
        assert!(!is_own(), "empty");
        std::fs::create_dir(&inner).expect("a folder");
        assert!(!is_own(), "an empty one inside");
        std::fs::write(&socket, "").expect("a file");
        assert!(is_own());
        assert!(!holds_only(folder.path(), &sockets, 0), "too deep");
        std::fs::write(other, "").expect("a file");
        assert!(!is_own(), "another file");
    }
}
