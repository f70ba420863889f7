//! What comes of a work: changes to make, and what is to be told.

use std::io;
use std::path::PathBuf;

use model::UnitName;

/// One step; in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A symbolic link comes into being; its directories, too, and what link was there goes.
    Link {
        /// Where.
        at: PathBuf,
        /// What it says.
        target: PathBuf,
    },
    /// A file or a link goes, and with it its directories that are then empty, up to the unit directory.
    Unlink {
        /// Where.
        at: PathBuf,
    },
    /// A directory goes with all that is in it.
    RemoveTree {
        /// Where.
        at: PathBuf,
    },
}

/// What the caller should know, and what is no failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A unit is wanted by one that does not exist.
    NobodyWants {
        /// The unit that does not exist.
        target: String,
        /// The file of the unit that it would want.
        unit: PathBuf,
    },
    /// A unit that was to be enabled or disabled with others is masked.
    Masked(PathBuf),
    /// A name leads to a file that is gone.
    Dangling(PathBuf),
    /// A unit that another one's Also= names can't be found.
    NoAuxiliary(UnitName),
}

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is no file of that name.
    #[error("there is no unit {0}")]
    NoSuchUnit(String),
    /// Nobody may use it.
    #[error("{} is masked", .0.display())]
    Masked(PathBuf),
    /// It was not written by a person.
    #[error("{} is made at run time: its maker decides about it", .0.display())]
    Made(PathBuf),
    /// Something else stands there.
    #[error("{} is there already{}", at.display(), leading(target.as_ref()))]
    Exists {
        /// Where.
        at: PathBuf,
        /// Where it leads, if it is a link.
        target: Option<PathBuf>,
    },
    /// No unit has such a name.
    #[error("“{0}” is not a unit name")]
    BadName(String),
    /// Its links lead in a circle, or a name to itself.
    #[error("the links of {0} lead back to themselves, or nowhere that a unit may be linked to")]
    Loop(String),
    /// A name leads to a file that is gone.
    #[error("{0} is a link to a file that is not there")]
    Dangling(String),
    /// A link gives a unit a name that it can't have.
    #[error("{target} can't have the other name {alias}")]
    BadAlias {
        /// The name.
        alias: String,
        /// The unit.
        target: String,
    },
    /// A template without an instance for a unit that gives it none.
    #[error("{unit} is a template and {by} names no instance: enable one of its instances, such as {}", .unit.replace("@.", "@NAME."))]
    NeedsInstance {
        /// The template.
        unit: String,
        /// The unit that is to want it.
        by: String,
    },
    /// This kind of units has no templates.
    #[error("{0}: units of this kind have no templates")]
    NoTemplates(String),
    /// A file that is no unit.
    #[error("{} is no unit file", .0.display())]
    NotAFile(PathBuf),
    /// Only files that somebody names from the root on can be linked.
    #[error("“{0}” is not the absolute path of a unit file")]
    NotAPath(String),
    /// A value can't be read.
    #[error("{unit}: {value}: {reason}")]
    Value {
        /// The unit.
        unit: String,
        /// As it is written.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// default.target is no other unit's name for itself, and only a target can be it.
    #[error("{0} can't be the default: only a target can, and not default.target itself")]
    NoDefault(String),
    /// The file system says so.
    #[error("cannot look at {}", path.display())]
    Unreadable {
        /// At which path.
        path: PathBuf,
        /// Its reason.
        #[source]
        source: io::Error,
    },
}

fn leading(target: Option<&PathBuf>) -> String {
    target.map_or_else(String::new, |target| {
        format!(", a link to {}", target.display())
    })
}

/// All that comes of a work.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To make, in order.
    pub changes: Vec<Change>,
    /// To tell.
    pub notices: Vec<Notice>,
    /// What is not done, beside the rest, which is.
    pub problems: Vec<Problem>,
    /// Whether any unit says in an `[Install]` section what enabling it means.
    pub has_rules: bool,
}
