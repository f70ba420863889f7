//! From a typed unit to its steps: one planner per family of directives, merged into the order of [`Step`].

use model::{Directive, Facts, Position, Unit, key};

use crate::code::Field;
use crate::frame::Role;
use crate::step::{Asked, Step, What};

mod attributes;
mod capabilities;
mod credentials;
mod delegation;
mod directories;
mod draft;
mod ephemeral;
mod exec;
mod files;
mod filter;
mod identity;
mod images;
mod kernel_paths;
mod labels;
mod meaning;
mod mounts;
mod names;
mod namespaces;
mod process;
mod quotas;
mod sandbox;
mod socket_options;
mod sockets;

pub use credentials::has_credentials;
pub(crate) use directories::bounding;
pub use directories::directories;
pub use files::beside;
pub use filter::program;
pub use images::{ImageKind, ImageWish, root_image};
pub use namespaces::network_maker;
pub use process::terminal_path;
pub use socket_options::connection_settings;

use draft::Draft;
pub(crate) use draft::text;
use meaning::Meaning;
pub(crate) use namespaces::{IPC, NETWORK};

/// Stands for the user's home in a plan, until a start knows it. No path of a unit begins like this.
pub(crate) const HOME: &str = "~";

/// What the manager knows about a unit's place, beside the unit and the host's facts.
pub struct Situation<'a> {
    /// How Coracle runs here.
    pub position: Position,
    /// The runtime directory, absolute.
    pub runtime_dir: &'a str,
    /// Where this instance's units have their credentials, each below its name; absolute.
    pub credentials_root: &'a str,
    /// The notification socket of this unit on the host, absolute, when it has one.
    pub notify_socket: Option<&'a str>,
    /// The profile made the pid namespace: a stub stays PID 1 and the payload is its child.
    pub stub: bool,
    /// Whether the unit may have a directory of the host's as its own, by its public path, when its user becomes dynamic or static.
    pub may_take_over: &'a dyn Fn(&str) -> bool,
    /// What keeps a directory at a path from being counted, or from being bounded as well; nothing where both can be.
    pub quota_trouble: &'a dyn Fn(&str, bool) -> Option<String>,
    /// Whether the table lets this directive be reduced where it can't be applied.
    pub may_reduce: &'a dyn Fn(Directive) -> bool,
}

/// A restriction that could not be applied in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduction {
    /// Which.
    pub directive: Directive,
    /// What is missing, a clause without a capital and a full stop.
    pub reason: String,
}

/// The unit can't be started as it asks to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{directive} can't be applied: {why}")]
pub struct Refusal {
    /// What asks for it.
    pub directive: Directive,
    /// What is missing, a clause without a capital and a full stop.
    pub why: String,
}

/// The steps of a unit, the same for each of its starts.
#[derive(Debug, Clone, Default)]
pub struct SpawnPlan {
    /// Encoded [`Asked`]s in order.
    pub(crate) steps: Vec<Vec<u8>>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) unset_environment: Vec<String>,
    pub(crate) search_path: Vec<String>,
    pub(crate) credentials_directory: Option<String>,
    pub(crate) set_credentials: Vec<(String, Vec<u8>)>,
    pub(crate) notify_path: Option<String>,
    pub(crate) reductions: Vec<Reduction>,
    pub(crate) pid_namespace: bool,
    /// SetLoginEnvironment=, where the unit says.
    pub(crate) login_environment: Option<bool>,
    /// What root has made ahead does as well as what a start would make.
    pub(crate) made_ahead: Option<Role>,
    pub(crate) images: Vec<ImageWish>,
    /// The names of the files that are opened for the main command.
    pub(crate) open_files: Vec<String>,
    /// PermissionsStartOnly=
    pub(crate) permissions_start_only: bool,
}

impl SpawnPlan {
    /// Restrictions that are applied in part or not at all.
    pub fn reductions(&self) -> &[Reduction] {
        &self.reductions
    }

    /// `CREDENTIALS_DIRECTORY` of the commands that are told of it.
    pub fn credentials_directory(&self) -> Option<&str> {
        self.credentials_directory.as_deref()
    }

    /// Whether the keeper clones the executor into a new pid namespace.
    pub fn pid_namespace(&self) -> bool {
        self.pid_namespace
    }

    /// The images whose trees the steps clone, in this order.
    pub fn images(&self) -> &[ImageWish] {
        &self.images
    }

    /// Whether a stub stays in front of the payload: then the main process is the sender of [`crate::report::Report::Payload`].
    pub fn has_stub(&self) -> bool {
        self.steps().any(|asked| asked.step == Step::Stub)
    }

    /// What root may make ahead for a start, as it does as well as what the start would make: a network namespace ([`Role::MadeNetwork`]),
    /// all that a start with the whole default profile has ([`Role::MadeAhead`]), or of that the file systems alone ([`Role::MadeFiles`]).
    pub fn made_ahead(&self) -> Option<Role> {
        self.made_ahead
    }

    /// The namespaces that a start makes and that other processes can join: `CLONE_NEW` flags. None where they belong to a user namespace that is
    /// made first, since that would have to be joined, too.
    pub fn shared_namespaces(&self) -> u32 {
        let mut made = 0;
        for asked in self.steps() {
            match asked.step {
                Step::Unshare { kinds, .. } => made |= kinds & namespaces::SHARED,
                Step::UserNamespaceFirst { .. } => return 0,
                Step::Join { kind, .. } if kind == namespaces::USER => return 0,
                _ => {}
            }
        }
        made
    }

    /// Whether the unit has a /tmp of its own on the host's file system, which others can have, too.
    pub fn has_private_tmp(&self) -> bool {
        let is_private = |asked: Asked<'_>| {
            matches!(
                asked.step,
                Step::Mount {
                    what: What::PrivateTmp { .. },
                    ..
                }
            )
        };
        self.steps().any(is_private)
    }

    /// The descriptors that the steps ask the manager for; service descriptors (sockets, fd store) come on top.
    pub fn roles(&self) -> Vec<Role> {
        self.steps()
            .filter_map(|asked| role_of(&asked.step))
            .collect()
    }

    /// The steps in order.
    pub fn steps(&self) -> impl Iterator<Item = Asked<'_>> {
        decoded(&self.steps)
    }
}

fn decoded(steps: &[Vec<u8>]) -> impl Iterator<Item = Asked<'_>> {
    let asked = steps.iter();
    asked.filter_map(|bytes| Asked::take(&mut crate::code::Reader::new(bytes)).ok())
}

fn made_ahead(steps: &[Vec<u8>]) -> Option<Role> {
    let (mut made, mut has_loopback) = (0, false);
    let (mut has_user, mut has_devices, mut is_delegated) = (false, false, false);
    for asked in decoded(steps) {
        match asked.step {
            Step::Unshare { kinds, .. } => made |= kinds,
            Step::Loopback => has_loopback = true,
            Step::UserNamespaceLate { .. } => has_user = true,
            Step::Delegate { .. } => is_delegated = true,
            Step::Mount {
                what: What::Devices { bound: false },
                ..
            } => has_devices = true,
            // Owned by another user namespace, it would be another one.
            Step::UserNamespaceFirst { .. } => return None,
            Step::Join { kind, .. } if kind == namespaces::USER => return None,
            _ => {}
        }
    }
    let has = |kind| made & kind != 0;
    if !has(namespaces::NETWORK) || !has_loopback {
        return (has_devices && !is_delegated).then_some(Role::MadeFiles);
    }
    // Where little of it were used, letting go of the rest would take longer than what it saves.
    if has_user && !is_delegated && has_devices && has(namespaces::IPC) {
        return Some(Role::MadeAhead);
    }
    Some(Role::MadeNetwork)
}

/// Plans a unit's processes.
pub fn plan(unit: &Unit, facts: &Facts, situation: &Situation<'_>) -> Result<SpawnPlan, Refusal> {
    let mut draft = Draft::new(unit, facts, situation);
    let meaning = Meaning::of(unit);
    process::begin(&mut draft);
    process::streams(&mut draft)?;
    files::plan(&mut draft)?;
    attributes::plan(&mut draft)?;
    namespaces::plan(&mut draft)?;
    let reasons = sandbox::reasons(&draft, meaning);
    if reasons.is_empty() {
        directories::plan(&mut draft, meaning, false)?;
    } else {
        sandbox::plan(&mut draft, meaning, &reasons)?;
    }
    capabilities::lost(&mut draft);
    let filtered = filter::plan(&mut draft, meaning)?;
    // The unprivileged may install a program only with the flag.
    let no_new_privileges = meaning.no_new_privileges || (filtered && !draft.is_privileged());
    let keep_capabilities = capabilities::has_ambient(&draft)
        || (filtered && !no_new_privileges)
        || unit.is_set(key::SECURE_BITS.directive());
    identity::plan(&mut draft, keep_capabilities)?;
    identity::keyring(&mut draft)?;
    let namespaced = draft.namespaces != 0;
    delegation::lost(&mut draft);
    delegation::user_namespace(&mut draft, namespaced)?;
    labels::plan(&mut draft)?;
    capabilities::plan(&mut draft)?;
    let mounting = reasons.first().copied();
    namespaces::emit(&mut draft, mounting.or_else(|| first_namespace(unit)));
    exec::plan(&mut draft, no_new_privileges);
    Ok(finish(draft))
}

/// Whose failure namespaces are that can't be made.
fn first_namespace(unit: &Unit) -> Option<Directive> {
    let candidates = [
        key::PRIVATE_NETWORK.directive(),
        key::PRIVATE_IPC.directive(),
        key::PROTECT_HOSTNAME.directive(),
    ];
    candidates
        .into_iter()
        .find(|directive| unit.is_set(*directive))
}

/// Plans the making of a socket unit's listening sockets.
pub fn plan_sockets(
    unit: &Unit,
    facts: &Facts,
    situation: &Situation<'_>,
) -> Result<SpawnPlan, Refusal> {
    let mut draft = Draft::new(unit, facts, situation);
    process::begin(&mut draft);
    namespaces::network(&mut draft)?;
    namespaces::emit(&mut draft, Some(key::PRIVATE_NETWORK.directive()));
    sockets::plan(&mut draft)?;
    Ok(finish(draft))
}

fn finish(mut draft: Draft<'_>) -> SpawnPlan {
    let steps = draft.take_steps();
    let made_ahead = made_ahead(&steps);
    let unit = draft.unit;
    let variables = unit
        .get(&key::ENVIRONMENT)
        .into_iter()
        .flatten()
        .map(|variable| (variable.name.clone(), variable.value.clone()));
    SpawnPlan {
        steps,
        // The unit's own words are stronger than what its directories are called.
        environment: std::mem::take(&mut draft.environment)
            .into_iter()
            .chain(variables)
            .collect(),
        unset_environment: unit.value(&key::UNSET_ENVIRONMENT).0,
        search_path: unit.value(&key::EXEC_SEARCH_PATH).0,
        credentials_directory: draft.credentials_directory,
        set_credentials: draft.set_credentials,
        notify_path: draft.notify_path,
        reductions: draft.reductions,
        pid_namespace: draft.pid_namespace,
        login_environment: unit.get(&key::SET_LOGIN_ENVIRONMENT).copied(),
        made_ahead,
        images: draft.images,
        open_files: files::names(unit),
        permissions_start_only: unit.value(&key::PERMISSIONS_START_ONLY),
    }
}

/// The directories that PrivateTmp= makes on the host for a start; the manager removes them when the start is over.
pub fn private_tmp(invocation: &[u8; 16]) -> [String; 2] {
    let digits: String = invocation
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = String::from_utf8_lossy(crate::frame::PRIVATE_PREFIX);
    ["/tmp", "/var/tmp"].map(|parent| format!("{parent}/{name}{digits}"))
}

/// The descriptor that a step takes from the manager.
fn role_of(step: &Step<'_>) -> Option<Role> {
    use crate::step::Source;
    match step {
        Step::Stream {
            target: 0,
            source: Source::Passed,
        } => Some(Role::Input),
        Step::Stream {
            target: 1,
            source: Source::Passed,
        } => Some(Role::Output),
        Step::Stream {
            target: 2,
            source: Source::Passed,
        } => Some(Role::Error),
        Step::CloneImage { .. } => Some(Role::Image),
        _ => None,
    }
}
