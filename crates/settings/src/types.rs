//! Value types as objects: how the values of a directive are read, joined and printed. One per type or text form, shared by rows.

use model::{Expand, Form, ParseError, Setting, TextForm, Value, value::*};

/// How the values of a directive are read, joined and printed.
#[derive(Debug)]
pub struct ValueType {
    /// What the values are called, for people.
    pub name: &'static str,
    list: bool,
    assign: fn(&mut Option<Value>, &str, &dyn Expand) -> Result<(), ParseError>,
    print: fn(&Value, Form) -> Vec<String>,
}

impl ValueType {
    const fn of<T: Setting + TextForm>(name: &'static str) -> ValueType {
        ValueType {
            name,
            list: T::LIST,
            assign: assign::<T>,
            print: print::<T>,
        }
    }

    /// Whether later assignments add to earlier ones.
    pub const fn is_list(&self) -> bool {
        self.list
    }

    /// Takes one more assignment. `None` means that the directive has its default; after an error nothing has changed.
    pub fn assign(
        &self,
        value: &mut Option<Value>,
        text: &str,
        expand: &dyn Expand,
    ) -> Result<(), ParseError> {
        (self.assign)(value, text, expand)
    }

    /// Prints a value as right-hand sides; a value of another type as none.
    pub fn print(&self, value: &Value, form: Form) -> Vec<String> {
        (self.print)(value, form)
    }
}

fn assign<T: Setting + TextForm>(
    value: &mut Option<Value>,
    text: &str,
    expand: &dyn Expand,
) -> Result<(), ParseError> {
    let mut typed = value.take().and_then(T::take);
    let result = T::assign(&mut typed, text, expand);
    *value = typed.map(T::into_value);
    result
}

fn print<T: Setting + TextForm>(value: &Value, form: Form) -> Vec<String> {
    T::from_value(value)
        .map(|value| value.print_lines(form))
        .unwrap_or_default()
}

/// Assigns a value whose text form is not the type's usual one. The empty text resets where `resets` says so.
fn assign_as<T: Setting + TextForm>(
    value: &mut Option<Value>,
    text: &str,
    resets: bool,
    parse: impl FnOnce(&str) -> Result<T, ParseError>,
) -> Result<(), ParseError> {
    if resets && text.is_empty() {
        *value = None;
        return Ok(());
    }
    let later = parse(text)?;
    let typed = match value.take().and_then(T::take) {
        Some(mut earlier) => {
            earlier.append(later);
            earlier
        }
        None => later,
    };
    *value = Some(typed)
        .filter(|typed| !typed.is_unset())
        .map(T::into_value);
    Ok(())
}

macro_rules! types {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $words:literal;)*) => {
        $(pub(crate) static $name: ValueType = ValueType::of::<$type>($words);)*
    };
}

types! {
    ACCOUNT: Account = "a name or number";
    ACCOUNTS: Accounts = "names or numbers";
    NAMES: NameFilter = "names, with ~ in front of all but these";
    ADDRESS_FAMILIES: AddressFamilies = "none, or address families, with ~ in front of all but these";
    AMOUNT: Amount = "an amount, a share or infinity";
    ARCHITECTURE: Architecture = "an architecture";
    ARCHITECTURES: Architectures = "architectures";
    BACKUP_MODE: BackupMode = "freeze, stop or live";
    BIND_IPV6_ONLY: BindIpv6Only = "default, both or ipv6-only";
    BIND_MOUNTS: BindMounts = "source[:destination[:rbind|norbind]], with - if the source may be missing";
    BYTE_SIZE: ByteSize = "a size";
    BYTES: Bytes = "Base64";
    CALENDAR_LIST: CalendarList = "a calendar expression";
    COLLECT_MODE: CollectMode = "inactive or inactive-or-failed";
    CONDITIONS: Conditions = "a test, with ! to negate and | as one of several";
    CONTROLLERS: Controllers = "controllers";
    COREDUMP_FILTER: CoredumpFilter = "kinds of memory or a mask";
    CPU_AFFINITY: CpuAffinity = "processor numbers and ranges, or numa";
    CPU_SET: CpuSet = "numbers and ranges";
    DEFER_TRIGGER: DeferTrigger = "no, yes or patient";
    DELEGATE: Delegate = "yes, no or controllers";
    DELEGATED_NAMES: DelegatedNames = "no, any or names";
    DESCRIPTOR_PRESERVE: DescriptorPreserve = "no, yes or restart";
    DEVICE_AMOUNTS: DeviceAmounts = "pairs of a device and a number";
    DEVICE_POLICY: DevicePolicy = "auto, closed or strict";
    DEVICE_RULES: DeviceRules = "a device and r, w, m";
    DIRECTORIES: Directories = "name[:link[:ro]]";
    DIRECTORY_PRESERVE: DirectoryPreserve = "no, yes or restart";
    EMERGENCY_ACTION: EmergencyAction = "an action such as none, reboot, poweroff-force or exit";
    ENVIRONMENT_FILES: EnvironmentFiles = "an absolute path, with - if it may be missing";
    ENVIRONMENT_LIST: EnvironmentList = "NAME=value, quoted where it has spaces";
    EXEC_COMMANDS: ExecCommands = "a command line";
    EXIT_STATUS_SET: ExitStatusSet = "exit statuses and signals";
    EXIT_TYPE: ExitType = "main or cgroup";
    EXTENSION_IMAGES: ExtensionImages = "image[:options]";
    FILE_MODE: FileMode = "an octal mode";
    FILE_PATH: FilePath = "an absolute path, with - if it may be missing";
    HEALTH_ADDRESS: HealthAddress = "a port, or a loopback address with a port";
    HEALTH_ON_FAILURE: HealthOnFailure = "none, kill, restart or stop";
    HEALTH_URL: HealthUrl = "a URL such as http://localhost:8080/health";
    IMAGE_POLICY: ImagePolicy = "an image policy";
    IMPORT_CREDENTIALS: ImportCredentials = "pattern[:name]";
    INSTALL_NAMES: InstallNames = "units";
    IO_SCHEDULING_CLASS: IoSchedulingClass = "none, realtime, best-effort or idle";
    IP_PREFIXES: IpPrefixes = "IP networks, any, localhost, link-local or multicast";
    IP_TOS: IpTos = "a type of service";
    JOB_MODE: JobMode = "fail, replace, replace-irreversibly, isolate, flush, ignore-dependencies, ignore-requirements, triggering, restart-dependencies or lenient";
    KEYRING_MODE: KeyringMode = "inherit, private or shared";
    KILL_MODE: KillMode = "control-group, mixed, process or none";
    LISTEN_ADDRESSES: ListenAddresses = "a port, an address with a port, a path, @name or vsock:cid:port";
    LOAD_CREDENTIALS: LoadCredentials = "name[:path]";
    LOG_FACILITY: LogFacility = "a syslog facility";
    LOG_NAMESPACE: LogNamespace = "a name";
    SUBGROUP_NAME: SubgroupName = "a name";
    LOG_PATTERNS: LogPatterns = "a regular expression, with ~ in front of one that drops";
    LOG_LEVEL: LogLevel = "emerg, alert, crit, err, warning, notice, info or debug";
    MANAGED_OOM: ManagedOom = "auto or kill";
    MANAGED_OOM_PREFERENCE: ManagedOomPreference = "none, avoid or omit";
    MEMORY_THP: MemoryThp = "inherit, disable, madvise or system";
    MOUNT_IMAGES: MountImages = "image:path[:options]";
    MOUNT_OPTIONS: MountOptions = "[partition:]options";
    MOUNT_PROPAGATION: MountPropagation = "shared, slave or private";
    NAMESPACE_SET: NamespaceSet = "yes, no, or kinds of namespaces that stay allowed, with ~ those that do not";
    NANOSECONDS: Nanoseconds = "a span of time, bare numbers in nanoseconds";
    NETLINK: Netlink = "a netlink family and a group";
    NFT_SETS: NftSets = "cgroup, user or group, a family, a table and a set, with colons between";
    NICE: Nice = "a number from -20 to 19";
    NOTIFY_ACCESS: NotifyAccess = "none, main, exec or all";
    NUMA_POLICY: NumaPolicy = "default, preferred, bind, interleave or local";
    OOM_POLICY: OomPolicy = "continue, stop or kill";
    OOM_SCORE: OomScore = "a number from -1000 to 1000";
    OPEN_FILES: OpenFiles = "path[:name[:options]]";
    PATH_RULES: PathRules = "absolute paths, with - if they may be missing and + if inside the root directory";
    PERCENT: Percent = "a percentage";
    PRESSURE_WATCH: PressureWatch = "auto, no, yes or skip";
    PRIVATE_BPF: PrivateBpf = "no or yes";
    PRIVATE_TMP: PrivateTmp = "no, yes or disconnected";
    PRIVATE_USERS: PrivateUsers = "no, self, identity, full or managed";
    PROC_SUBSET: ProcSubset = "all or pid";
    PROTECT_CONTROL_GROUPS: ProtectControlGroups = "no, yes, private or strict";
    PROTECT_HOME: ProtectHome = "no, yes, read-only or tmpfs";
    PROTECT_HOSTNAME: ProtectHostname = "no, yes or private, perhaps with :name";
    PROTECT_PROC: ProtectProc = "default, noaccess, invisible or ptraceable";
    PROTECT_SYSTEM: ProtectSystem = "no, yes, full or strict";
    REFRESH_ON_RELOAD: RefreshOnReload = "yes, no, extensions, credentials";
    RESOURCE_LIMIT: ResourceLimit = "a number, infinity, or soft:hard";
    RESTART: Restart = "no, always, on-success, on-failure, on-abnormal, on-abort or on-watchdog";
    REPLACE_MODE: ReplaceMode = "auto, share or hand-over";
    RESTART_MODE: RestartMode = "normal, direct or debug";
    SCHEDULING_POLICY: SchedulingPolicy = "other, batch, idle, fifo, rr or ext";
    SECURE_BITS: SecureBits = "secure bits";
    SERVICE_TYPE: ServiceType = "simple, exec, forking, oneshot, dbus, notify, notify-reload or idle";
    SET_CREDENTIALS: SetCredentials = "name:text";
    SIGNAL: Signal = "a signal";
    SOCKET_BIND_RULES: SocketBindRules = "[ipv4:|ipv6:][tcp:|udp:]port, ports or any";
    SOCKET_PROTOCOL: SocketProtocol = "udplite, sctp or mptcp";
    SOCKET_TIMESTAMPING: SocketTimestamping = "off, us or ns";
    STANDARD_INPUT: StandardInput = "null, tty, data, file:/path, socket or fd:name";
    STANDARD_OUTPUT: StandardOutput = "inherit, null, tty, journal, kmsg, file:/path, append:/path, truncate:/path, socket or fd:name";
    TEXT: String = "text";
    SYSCALL_ACTION: SyscallAction = "an errno name, its number or kill";
    SYSCALL_FILTER: SyscallFilter = "system calls and @groups, with ~ in front of those denied";
    TEMPORARY_FILE_SYSTEMS: TemporaryFileSystems = "path[:options]";
    TIME_SPAN: TimeSpan = "a span of time";
    TIMEOUT_FAILURE_MODE: TimeoutFailureMode = "terminate, abort or kill";
    TIMER_SPANS: TimerSpans = "a span of time";
    UNIT_LIST: UnitList = "units";
    UNIT_REFERENCE: UnitReference = "a unit";
    UTMP_MODE: UtmpMode = "init, login or user";
    WEIGHT: Weight = "a weight from 1 to 10000";
    WORDS: Words = "words";
    WORKING_DIRECTORY: WorkingDirectory = "an absolute path or ~, with - if it may be missing";
    BOOL: bool = "yes or no";
    SIGNED: i32 = "a whole number";
    COUNT: u32 = "a whole number";
    NUMBER: u64 = "a whole number";
}

mod forms;

pub(crate) use forms::*;
