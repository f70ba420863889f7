//! Values: the closed set of types that a directive's value can have.

mod capability;
mod command;
mod credential;
mod device;
mod environment;
mod filter;
mod firewall;
mod health;
mod image;
mod image_policy;
mod keyword;
mod limit;
mod list;
mod log;
mod name_filter;
mod network;
mod number;
mod path;
mod signal;
mod socket;
mod stdio;
mod subgroup;
mod time;
mod words;

pub use capability::*;
pub use command::*;
pub use credential::*;
pub use device::*;
pub use environment::*;
pub use filter::*;
pub use firewall::*;
pub use health::*;
pub use image::*;
pub use image_policy::*;
pub use keyword::*;
pub use limit::*;
pub use list::*;
pub use log::*;
pub use name_filter::*;
pub use network::*;
pub use number::*;
pub use path::*;
pub use signal::*;
pub use socket::*;
pub use stdio::*;
pub use subgroup::*;
pub use time::*;
pub use words::*;

pub use crate::unit_name::UnitName;

/// Ties a value type to its place in [`Value`].
pub trait Setting: Clone + PartialEq + std::fmt::Debug + 'static {
    /// Wraps the value.
    fn into_value(self) -> Value;
    /// Shows the value when it is of this type.
    fn from_value(value: &Value) -> Option<&Self>;
    /// Takes the value out when it is of this type.
    fn take(value: Value) -> Option<Self>;
}

macro_rules! values {
    ($($variant:ident($type:ty),)*) => {
        /// A value of one of the closed set of types.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)] // The variants are the value types' own names.
        pub enum Value { $($variant($type)),* }

        $(impl Setting for $type {
            fn into_value(self) -> Value {
                Value::$variant(self)
            }

            fn from_value(value: &Value) -> Option<&$type> {
                match value {
                    Value::$variant(found) => Some(found),
                    _ => None,
                }
            }

            fn take(value: Value) -> Option<$type> {
                match value {
                    Value::$variant(found) => Some(found),
                    _ => None,
                }
            }
        })*
    };
}

values! {
    Bool(bool),
    U32(u32),
    U64(u64),
    I32(i32),
    String(String),
    Bytes(Bytes),
    Words(Words),
    Amount(Amount),
    ByteSize(ByteSize),
    Percent(Percent),
    Weight(Weight),
    Nice(Nice),
    OomScore(OomScore),
    IpTos(IpTos),
    FileMode(FileMode),
    TimeSpan(TimeSpan),
    Nanoseconds(Nanoseconds),
    TimerSpans(TimerSpans),
    CalendarList(CalendarList),
    CpuSet(CpuSet),
    CpuAffinity(CpuAffinity),
    Controllers(Controllers),
    Delegate(Delegate),
    UnitReference(UnitReference),
    UnitList(UnitList),
    InstallNames(InstallNames),
    Conditions(Conditions),
    Account(Account),
    Accounts(Accounts),
    FilePath(FilePath),
    Paths(Paths),
    PathRules(PathRules),
    PathWatches(PathWatches),
    BindMounts(BindMounts),
    TemporaryFileSystems(TemporaryFileSystems),
    Directories(Directories),
    WorkingDirectory(WorkingDirectory),
    OpenFiles(OpenFiles),
    ExecCommands(ExecCommands),
    EnvironmentList(EnvironmentList),
    EnvironmentFiles(EnvironmentFiles),
    LoadCredentials(LoadCredentials),
    SetCredentials(SetCredentials),
    ImportCredentials(ImportCredentials),
    LogPatterns(LogPatterns),
    LogNamespace(LogNamespace),
    SubgroupName(SubgroupName),
    CapabilitySet(CapabilitySet),
    SecureBits(SecureBits),
    NamespaceSet(NamespaceSet),
    AddressFamilies(AddressFamilies),
    NameFilter(NameFilter),
    SyscallFilter(SyscallFilter),
    SyscallAction(SyscallAction),
    Architecture(Architecture),
    Architectures(Architectures),
    CoredumpFilter(CoredumpFilter),
    DelegatedNames(DelegatedNames),
    ResourceLimit(ResourceLimit),
    Signal(Signal),
    ExitStatusSet(ExitStatusSet),
    StandardInput(StandardInput),
    StandardOutput(StandardOutput),
    LogLevel(LogLevel),
    LogFacility(LogFacility),
    ListenAddresses(ListenAddresses),
    Netlink(Netlink),
    IpPrefixes(IpPrefixes),
    SocketBindRules(SocketBindRules),
    NftSets(NftSets),
    DeviceRules(DeviceRules),
    DeviceAmounts(DeviceAmounts),
    ImagePolicy(ImagePolicy),
    MountOptions(MountOptions),
    MountImages(MountImages),
    ExtensionImages(ExtensionImages),
    RefreshOnReload(RefreshOnReload),
    ProtectSystem(ProtectSystem),
    ProtectHome(ProtectHome),
    ProtectHostname(ProtectHostname),
    ProtectControlGroups(ProtectControlGroups),
    ProtectProc(ProtectProc),
    ProcSubset(ProcSubset),
    PrivateTmp(PrivateTmp),
    PrivateUsers(PrivateUsers),
    PrivateBpf(PrivateBpf),
    KeyringMode(KeyringMode),
    DirectoryPreserve(DirectoryPreserve),
    DescriptorPreserve(DescriptorPreserve),
    MemoryThp(MemoryThp),
    MountPropagation(MountPropagation),
    NumaPolicy(NumaPolicy),
    SchedulingPolicy(SchedulingPolicy),
    IoSchedulingClass(IoSchedulingClass),
    UtmpMode(UtmpMode),
    KillMode(KillMode),
    ServiceType(ServiceType),
    ExitType(ExitType),
    Restart(Restart),
    RestartMode(RestartMode),
    NotifyAccess(NotifyAccess),
    OomPolicy(OomPolicy),
    BackupMode(BackupMode),
    HealthOnFailure(HealthOnFailure),
    ReplaceMode(ReplaceMode),
    HealthAddress(HealthAddress),
    HealthUrl(HealthUrl),
    TimeoutFailureMode(TimeoutFailureMode),
    EmergencyAction(EmergencyAction),
    JobMode(JobMode),
    CollectMode(CollectMode),
    DevicePolicy(DevicePolicy),
    ManagedOom(ManagedOom),
    ManagedOomPreference(ManagedOomPreference),
    PressureWatch(PressureWatch),
    DeferTrigger(DeferTrigger),
    BindIpv6Only(BindIpv6Only),
    SocketProtocol(SocketProtocol),
    SocketTimestamping(SocketTimestamping),
}
