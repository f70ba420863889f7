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

    /// What to ask the next manager, where the one that was asked at `asked_us` on the monotonic clock went away before it answered.
    /// None: whether it was done can't be told, and doing it twice is not the same as doing it once.
    fn again(input: &Self::Input, asked_us: u64) -> Option<Self::Input>;
}

/// One method in the interface description.
pub(crate) struct Signature {
    pub(crate) doc: &'static str,
    pub(crate) name: &'static str,
    pub(crate) input: &'static [Field],
    pub(crate) reply: &'static [Field],
}

macro_rules! methods {
    ($($(#[doc = $doc:literal])* $name:ident($input:ident) -> $reply:ident, $again:ident;)*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl Method for $name {
                const NAME: &'static str = concat!("io.coracle.Manager.", stringify!($name));
                type Input = crate::messages::$input;
                type Reply = crate::messages::$reply;

                fn again(input: &Self::Input, asked_us: u64) -> Option<Self::Input> {
                    crate::again::$again(input, asked_us)
                }
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
    StartUnit(JobRequest) -> JobReply, known;
    /// Stops units, and those that can't be without them.
    StopUnit(JobRequest) -> JobReply, the_same;
    /// Stops and starts units; those that don't run are started.
    RestartUnit(JobRequest) -> JobReply, known;
    /// Restarts those of the units that run.
    TryRestartUnit(JobRequest) -> JobReply, known;
    /// Asks units to read their configuration again.
    ReloadUnit(JobRequest) -> JobReply, the_same;
    /// Reloads units that can, restarts the others.
    ReloadOrRestartUnit(JobRequest) -> JobReply, known;
    /// Starts a unit that exists only at run time.
    StartTransient(TransientRequest) -> JobOutcome, known_unit;
    /// Tells all about some units.
    Status(NamesRequest) -> StatusReply, the_same;
    /// Tells properties by the names that `systemctl show` has for them.
    Show(ShowRequest) -> ShowReply, the_same;
    /// Lists the units in memory.
    ListUnits(ListUnitsRequest) -> ListUnitsReply, the_same;
    /// Lists the jobs that wait or run.
    ListJobs(NamesRequest) -> ListJobsReply, the_same;
    /// Tells how the units in memory are tied, and when they came up; those that are named are loaded before.
    Relations(NamesRequest) -> RelationsReply, the_same;
    /// Gives the text of unit files and drop-ins.
    Cat(NamesRequest) -> CatReply, the_same;
    /// Sends a signal to processes of units.
    Kill(KillRequest) -> Done, never;
    /// Stops the processes of units in their tracks, or lets them go on.
    Freeze(FreezeRequest) -> Done, the_same;
    /// Removes what a unit that is down has left, and answers when that is done.
    Clean(CleanRequest) -> Done, the_same;
    /// Forgets that units failed, and their start limits.
    ResetFailed(NamesRequest) -> Done, the_same;
    /// Tells that a version of a unit did not work and that the one before it is back: it goes to the unit's log, and OnFailure= follows.
    TellTakenBack(TakenBackRequest) -> Done, never;
    /// Mounts an image of the store ahead of a start that is about to be asked for; it stays as long as the connection, where nobody runs from it.
    MountAhead(MountRequest) -> Done, the_same;
    /// Reads all unit files again.
    Reload(Done) -> ReloadReply, the_same;
    /// Replaces keeper and manager by the installed program; services go on.
    Reexec(Done) -> Done, the_same;
    /// Stops all units and ends the instance; as the machine's init it switches the machine then.
    Exit(ExitRequest) -> Done, the_same;
    /// Sets variables for services that are started from now on.
    SetEnvironment(Environment) -> Done, the_same;
    /// Removes variables, by name or by `NAME=value`.
    UnsetEnvironment(Environment) -> Done, the_same;
    /// Shows the variables that every service gets.
    ShowEnvironment(Done) -> Environment, the_same;
    /// Gives what is needed to enter the sandbox of a running service.
    EnterSandbox(OneUnit) -> SandboxReply, the_same;
    /// Prints the plan by which a unit would be started now.
    Explain(OneUnit) -> ExplainReply, the_same;
    /// Streams changes; call it with `more`.
    Monitor(MonitorRequest) -> Event, never;
    /// Describes the manager and its host.
    Describe(Done) -> ServerReply, the_same;
}
