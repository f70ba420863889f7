//! The methods: each a name, what it takes, what it gives back.

use crate::failure::Failure;
use crate::shape::{Field, Record};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// The name of the manager's interface.
pub const INTERFACE: &str = "io.coracle.Manager";

/// A method of the interface: a type without values that ties name, input and reply.
pub trait Method {
    /// The full name, with the interface.
    const NAME: &'static str;
    /// What it takes.
    type Input: Serialize + DeserializeOwned + Record;
    /// What it gives back.
    type Reply: Serialize + DeserializeOwned + Record;
}

/// One method in the interface description.
pub(crate) struct Signature {
    pub(crate) doc: &'static str,
    pub(crate) name: &'static str,
    pub(crate) input: &'static [Field],
    pub(crate) reply: &'static [Field],
}

macro_rules! methods {
    ($($(#[doc = $doc:literal])* $name:ident($input:ident) -> $reply:ident;)*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl Method for $name {
                const NAME: &'static str = concat!("io.coracle.Manager.", stringify!($name));
                type Input = crate::messages::$input;
                type Reply = crate::messages::$reply;
            }
        )*

        /// A call that came in, with its parameters read.
        #[derive(Clone, Debug)]
        pub enum Call {
            $($(#[doc = $doc])* $name(crate::messages::$input),)*
            /// `org.varlink.service.GetInfo`.
            GetInfo,
            /// `org.varlink.service.GetInterfaceDescription`, with the interface that it asks for.
            GetInterfaceDescription(String),
        }

        impl Call {
            /// Reads the parameters that a method takes.
            pub fn read(method: &str, parameters: Option<&RawValue>) -> Result<Self, Failure> {
                match method.strip_prefix("io.coracle.Manager.") {
                    $(Some(stringify!($name)) => crate::request::read(parameters).map(Self::$name),)*
                    _ => crate::service::read(method, parameters),
                }
            }

            /// The method's name without the interface.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                    Self::GetInfo => "GetInfo",
                    Self::GetInterfaceDescription(_) => "GetInterfaceDescription",
                }
            }
        }

        /// Every method, for the description.
        pub(crate) const SIGNATURES: &[Signature] = &[$(Signature {
            doc: concat!($($doc, "\n"),*),
            name: stringify!($name),
            input: crate::messages::$input::FIELDS,
            reply: crate::messages::$reply::FIELDS,
        }),*];
    };
}

methods! {
    /// Starts units with what they require.
    StartUnit(JobRequest) -> JobReply;
    /// Stops units, and those that can't be without them.
    StopUnit(JobRequest) -> JobReply;
    /// Stops and starts units; those that don't run are started.
    RestartUnit(JobRequest) -> JobReply;
    /// Restarts those of the units that run.
    TryRestartUnit(JobRequest) -> JobReply;
    /// Asks units to read their configuration again.
    ReloadUnit(JobRequest) -> JobReply;
    /// Reloads units that can, restarts the others.
    ReloadOrRestartUnit(JobRequest) -> JobReply;
    /// Starts a unit that exists only at run time.
    StartTransient(TransientRequest) -> JobOutcome;
    /// Tells all about some units.
    Status(NamesRequest) -> StatusReply;
    /// Tells properties by the names that `systemctl show` has for them.
    Show(ShowRequest) -> ShowReply;
    /// Lists the units in memory.
    ListUnits(ListUnitsRequest) -> ListUnitsReply;
    /// Lists the jobs that wait or run.
    ListJobs(NamesRequest) -> ListJobsReply;
    /// Gives the text of unit files and drop-ins.
    Cat(NamesRequest) -> CatReply;
    /// Sends a signal to processes of units.
    Kill(KillRequest) -> Done;
    /// Forgets that units failed, and their start limits.
    ResetFailed(NamesRequest) -> Done;
    /// Reads all unit files again.
    Reload(Done) -> ReloadReply;
    /// Replaces the manager by a new process of the installed program; services go on.
    Reexec(Done) -> Done;
    /// Stops all units and ends the instance.
    Exit(Done) -> Done;
    /// Sets variables for services that are started from now on.
    SetEnvironment(Environment) -> Done;
    /// Removes variables, by name or by `NAME=value`.
    UnsetEnvironment(Environment) -> Done;
    /// Shows the variables that every service gets.
    ShowEnvironment(Done) -> Environment;
    /// Gives what is needed to enter the sandbox of a running service.
    EnterSandbox(OneUnit) -> SandboxReply;
    /// Prints the plan by which a unit would be started now.
    Explain(OneUnit) -> ExplainReply;
    /// Streams changes; call it with `more`.
    Monitor(MonitorRequest) -> Event;
    /// Describes the manager and its host.
    Describe(Done) -> ServerReply;
}
