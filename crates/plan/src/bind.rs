//! One start of a planned unit: its user, descriptors, arguments and environment go into the plan's frame.

use model::value::ExecCommand;

use crate::frame::Role;

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
    /// The descriptors that follow the report socket, in this order.
    pub descriptors: Vec<Passed>,
    /// The command line; `None` for the role that only opens sockets.
    pub command: Option<&'a ExecCommand>,
    /// `NAME=value` lines from the manager, weaker than the unit's Environment=.
    pub manager_environment: Vec<String>,
    /// `NAME=value` lines from the unit's EnvironmentFile=, stronger than Environment=.
    pub file_environment: Vec<String>,
    /// `NAME=value` lines of this start (MAINPID, SERVICE_RESULT, WATCHDOG_USEC, …), stronger than the manager's.
    pub start_environment: Vec<String>,
    /// Credentials that the manager has read, by name; SetCredential= supplies what is missing here.
    pub credentials: Vec<(String, Vec<u8>)>,
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
