//! One start of a planned unit: its user, descriptors, arguments and environment go into the plan's frame.

use model::value::{ExecCommand, Privileges};

use crate::code::{ListBuf, Writer};
use crate::frame::{Frame, MAX_DESCRIPTORS, MAX_GROUPS, MAX_PLAN_BYTES, Role};
use crate::names::Table;
use crate::planner::{HOME, IPC, NETWORK, SpawnPlan};
use crate::step::{Asked, Step, What};

mod arguments;
mod environment;
mod names;
pub use environment::SEARCH_PATH;

/// What only a start knows.
#[derive(Debug, Clone, Default)]
pub struct Bindings<'a> {
    /// The service's user.
    pub uid: u32,
    /// The service's group.
    pub gid: u32,
    /// Supplementary groups, numbers; those of the unit and those of the user's record.
    pub groups: Vec<u32>,
    /// The user's record, where the unit names or makes one: gives `USER`, `LOGNAME`, `HOME`, `SHELL`.
    pub user: Option<User>,
    /// This start's id; gives `INVOCATION_ID`.
    pub invocation: [u8; 16],
    /// What its private directories for temporary files are named by, where not by [`Self::invocation`]: a run that it joins.
    pub temporary: Option<[u8; 16]>,
    /// The namespaces that are joined instead of made, `CLONE_NEW` flags: each has its descriptor.
    pub joined: u32,
    /// Those that are made and handed to the manager.
    pub told: u32,
    /// The descriptors that follow the report socket, in this order.
    pub descriptors: Vec<Passed>,
    /// It is a command beside ExecStart=, which gets no files and may be spared what restricts the main process.
    pub beside: bool,
    /// The command line; `None` for the role that only opens sockets.
    pub command: Option<&'a ExecCommand>,
    /// `NAME=value` lines from the manager, weaker than the unit's Environment=.
    pub manager_environment: Vec<String>,
    /// `NAME=value` lines from the unit's EnvironmentFile=, stronger than Environment=.
    pub file_environment: Vec<String>,
    /// `NAME=value` lines of this start (MAINPID, SERVICE_RESULT, WATCHDOG_USEC, …), stronger than the manager's.
    pub start_environment: Vec<String>,
    /// Credentials that the manager has read, by name, of each name the first; SetCredential= supplies what is missing here.
    pub credentials: Vec<(String, Vec<u8>)>,
    /// The directories in which it is noted what a start makes on the host: the first for what stays, the second for what is in /run.
    /// None where nobody asks for it.
    pub marks: Vec<String>,
    /// Images that are not there, and need not be: their places among the unit's images.
    pub missing_images: Vec<u32>,
}

/// A user's record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Home directory; empty where there is none.
    pub home: String,
    /// Shell; empty where there is none.
    pub shell: String,
    /// Name of the service's group; empty where it has none.
    pub group: String,
}

/// A descriptor that goes to the executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// What for.
    pub role: Role,
    /// Its name in `LISTEN_FDNAMES`, for [`Role::Service`].
    pub name: String,
}

/// The plan and the bindings do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// More descriptors than fit into one message.
    #[error("{0} descriptors are more than a start can pass on ({max})", max = crate::frame::MAX_DESCRIPTORS)]
    TooManyDescriptors(usize),
    /// More groups than the executor takes.
    #[error("{0} supplementary groups are more than a start can take ({max})", max = crate::frame::MAX_GROUPS)]
    TooManyGroups(usize),
    /// A descriptor that the plan needs is not passed.
    #[error("the plan needs a descriptor ({0:?}) that is not passed")]
    MissingDescriptor(Role),
    /// A text with a NUL byte, which no system call takes.
    #[error("{what} contains a NUL byte")]
    Nul {
        /// Which text.
        what: String,
    },
    /// More bytes than the executor maps.
    #[error("the plan has {0} bytes, more than the executor takes")]
    TooLarge(usize),
}

impl SpawnPlan {
    /// The plan of one start, for the executor.
    pub fn bind(&self, bindings: &Bindings<'_>) -> Result<Vec<u8>, BindError> {
        self.check(bindings)?;
        let environment = environment::collect(self, bindings);
        let arguments = bindings.command.map_or_else(Vec::new, |command| {
            arguments::of(command, bindings.user.as_ref(), &environment)
        });
        let programs = bindings.command.map_or_else(Vec::new, |command| {
            arguments::programs(command, bindings.user.as_ref(), &self.search_path)
        });
        let lines = environment::lines(self, &environment);
        for (what, texts) in [
            ("an argument", &arguments),
            ("the program's path", &programs),
            ("the environment", &lines),
        ] {
            if texts.iter().any(|text| text.contains('\0')) {
                return Err(BindError::Nul {
                    what: what.to_owned(),
                });
            }
        }
        let groups: Vec<u8> = bindings
            .groups
            .iter()
            .flat_map(|group| group.to_le_bytes())
            .collect();
        let roles: Vec<u8> = bindings
            .descriptors
            .iter()
            .map(|passed| passed.role.tag())
            .collect();
        let steps = self.steps_for(bindings);
        let bytes = Frame {
            uid: bindings.uid,
            gid: bindings.gid,
            groups: &groups,
            invocation: bindings.invocation,
            temporary: bindings.temporary.unwrap_or(bindings.invocation),
            roles: &roles,
            credentials: &self.credentials(bindings),
            programs: programs.iter().collect::<ListBuf>().list(),
            arguments: arguments.iter().collect::<ListBuf>().list(),
            environment: lines.iter().collect::<ListBuf>().list(),
            marks: bindings.marks.iter().collect::<ListBuf>().list(),
            steps: &steps,
        }
        .encode();
        if bytes.len() > MAX_PLAN_BYTES {
            Err(BindError::TooLarge(bytes.len()))
        } else {
            Ok(bytes)
        }
    }

    fn check(&self, bindings: &Bindings<'_>) -> Result<(), BindError> {
        let descriptors = bindings.descriptors.len() + self.files_for(bindings).len();
        if descriptors > MAX_DESCRIPTORS {
            return Err(BindError::TooManyDescriptors(descriptors));
        }
        if bindings.groups.len() > MAX_GROUPS {
            return Err(BindError::TooManyGroups(bindings.groups.len()));
        }
        let passed = |role: &Role| {
            bindings
                .descriptors
                .iter()
                .any(|passed| passed.role == *role)
        };
        let is_needed = |role: &Role| *role != Role::Image || bindings.missing_images.is_empty();
        self.roles()
            .into_iter()
            .filter(is_needed)
            .find(|role| !passed(role))
            .map_or(Ok(()), |role| Err(BindError::MissingDescriptor(role)))
    }

    /// The steps, without those that the command's prefix lifts, and with the home of this start's user.
    fn steps_for(&self, bindings: &Bindings<'_>) -> Vec<u8> {
        let privileges = match bindings.command {
            Some(_) if bindings.beside && self.permissions_start_only => Privileges::Full,
            command => command.map_or(Privileges::Unit, |command| command.privileges),
        };
        let mut writer = Writer::default();
        for mut asked in self
            .steps()
            .filter(|asked| applies(&asked.step, privileges))
            .filter(|asked| !bindings.beside || !matches!(asked.step, Step::OpenFile { .. }))
        {
            let home;
            if let Step::WorkingDirectory { path, missing_ok } = asked.step
                && path.to_bytes() == HOME.as_bytes()
            {
                let directory = bindings.user.as_ref().map_or("/root", |user| &user.home);
                home = crate::planner::text(if directory.is_empty() { "/" } else { directory });
                asked.step = Step::WorkingDirectory {
                    path: &home,
                    missing_ok,
                };
            }
            if let Step::Unshare { kinds, told } = &mut asked.step {
                let joined = *kinds & bindings.joined;
                for kind in [NETWORK, IPC].into_iter().filter(|kind| joined & kind != 0) {
                    writer.put(&Asked {
                        step: Step::Join { kind, path: None },
                        directive: asked.directive,
                    });
                }
                *kinds &= !joined;
                *told = *kinds & bindings.told;
            }
            let extensions;
            match &mut asked.step {
                Step::Unshare { kinds: 0, .. } => continue,
                Step::Loopback if bindings.joined & NETWORK != 0 => continue,
                Step::CloneImage { index }
                | Step::Mount {
                    what: What::Image { index },
                    ..
                } if bindings.missing_images.contains(index) => continue,
                Step::Mount {
                    what: What::Extensions { images },
                    ..
                } => {
                    let is_there = |index: &u8| !bindings.missing_images.contains(&(*index).into());
                    extensions = images.iter().copied().filter(is_there).collect::<Vec<u8>>();
                    if extensions.is_empty() {
                        continue;
                    }
                    *images = &extensions;
                }
                _ => {}
            }
            let own;
            if let Step::Mount { what, .. } = &mut asked.step
                && let Some(table) = table_of(what)
            {
                own = names::line(table, bindings);
                *what = match table {
                    Table::Users => What::Users { own: &own },
                    Table::Groups => What::UserGroups { own: &own },
                };
            }
            writer.put(&asked);
        }
        writer.bytes
    }

    /// The names of the files that are opened for a command.
    pub(crate) fn files_for(&self, bindings: &Bindings<'_>) -> &[String] {
        match bindings.beside {
            true => &[],
            false => &self.open_files,
        }
    }

    /// Names with values: of each name the first, and SetCredential= last.
    fn credentials(&self, bindings: &Bindings<'_>) -> Vec<u8> {
        let mut writer = Writer::default();
        let mut written: Vec<&str> = Vec::new();
        for (name, value) in bindings.credentials.iter().chain(&self.set_credentials) {
            if !written.contains(&name.as_str()) {
                written.push(name);
                writer.put(&&*crate::planner::text(name));
                writer.put(&value.as_slice());
            }
        }
        writer.bytes
    }
}

/// The table that a mount completes.
const fn table_of(what: &What<'_>) -> Option<Table> {
    match what {
        What::Users { .. } => Some(Table::Users),
        What::UserGroups { .. } => Some(Table::Groups),
        _ => None,
    }
}

/// Whether a step is taken for a command with this prefix.
fn applies(step: &Step<'_>, privileges: Privileges) -> bool {
    match privileges {
        Privileges::Unit | Privileges::KeepIdentityIfNeeded => true,
        Privileges::KeepIdentity => !matches!(
            step,
            Step::Groups | Step::User { .. } | Step::Capabilities { .. }
        ),
        Privileges::Full => !is_restriction(step),
    }
}

/// What `+` lifts: the change of user, and everything that takes something away. The stub goes with its namespace, which the
/// keeper makes for all commands of the unit alike, so it stays.
fn is_restriction(step: &Step<'_>) -> bool {
    match step {
        Step::Signals { .. }
        | Step::Session
        | Step::OomScore { .. }
        | Step::CoredumpFilter { .. }
        | Step::Scheduling { .. } => false,
        Step::Nice { .. }
        | Step::Affinity { .. }
        | Step::IoPriority { .. }
        | Step::TimerSlack { .. }
        | Step::Personality { .. }
        | Step::MemoryMerge { .. }
        | Step::HugePages { .. }
        | Step::MemoryPolicy { .. } => false,
        Step::Directory { .. }
        | Step::Terminal { .. }
        | Step::Stream { .. }
        | Step::OpenFile { .. }
        | Step::Limit { .. }
        | Step::Umask { .. }
        | Step::WorkingDirectory { .. } => false,
        Step::Listen { .. }
        | Step::Descriptors
        | Step::Program
        | Step::Stub
        | Step::Exec
        | Step::Finish
        | Step::MakeNetworks => false,
        Step::Keyring { .. }
        | Step::CloneImage { .. }
        | Step::UserNamespaceFirst { .. }
        | Step::UserNamespaceOpen { .. }
        | Step::Delegate { .. }
        | Step::Join { .. }
        | Step::Unshare { .. } => true,
        Step::Loopback
        | Step::Hostname { .. }
        | Step::Propagation { .. }
        | Step::RootRoom { .. }
        | Step::Root { .. }
        | Step::Mount { .. } => true,
        Step::EnterRoot { .. }
        | Step::Groups
        | Step::SmackLabel { .. }
        | Step::UserNamespaceEnter
        | Step::UserNamespaceLate { .. }
        | Step::UnshareLate { .. }
        | Step::BoundingSet { .. }
        | Step::User { .. } => true,
        Step::Capabilities { .. }
        | Step::SecureBits { .. }
        | Step::ExecLabel { .. }
        | Step::NoNewPrivileges
        | Step::Seccomp { .. } => true,
    }
}
