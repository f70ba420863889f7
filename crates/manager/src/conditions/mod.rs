//! Condition…= and Assert…= lines, tested when a start's turn comes, each as systemd.unit(5) of version 262 has it.
//!
//! A test may look at paths on a file system that does not answer, so all of a unit's are made on another thread
//! ([`crate::elsewhere`]). What can't be told counts as not met, negated or not, as in the reference.

mod c_library;
mod compare;
mod fraction;
mod machine;
mod paths;
mod pressure;
mod security;
mod virtualization;

pub(crate) use security::boots_securely;

use engine::Conditions;
use kernel::walk::Place;
use model::facts::CgroupKind;
use model::value::Condition;
use model::{Facts, Key, Unit, key, value};
use rustix::fs::{AtFlags, FileType, statat};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;

/// What tests look at besides files. It goes to the thread that makes them.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) facts: Arc<Facts>,
    /// The variables that every service gets.
    pub(crate) environment: Arc<BTreeMap<String, String>>,
    pub(crate) is_init: bool,
    /// The keeper's process, which has the variables that the instance was started with.
    pub(crate) keeper: u32,
    /// The unit is a portable's, whose service may have left links.
    pub(crate) is_portable: bool,
    /// The instance's control group.
    pub(crate) cgroup: Option<PathBuf>,
    /// Names of directories that may be looked at yet.
    pub(crate) names: usize,
    /// What the last test found instead of what was asked for, for people.
    pub(crate) found: String,
}

pub(crate) use paths::{NAMES_MAX, alternatives, is_left_over, without_escapes};

/// A test of one parameter; `None` where it can't be told.
type Test = fn(&str, &mut Host) -> Option<bool>;

type ConditionKey = Key<value::Conditions>;

/// A condition with its assertion, which all but one have, and its test.
type Row = (
    &'static str,
    Option<&'static ConditionKey>,
    Option<&'static ConditionKey>,
    Test,
);

macro_rules! tests {
    (@key -) => { None };
    (@key $key:ident) => { Some(&key::$key) };
    ($($name:literal $condition:tt $assertion:tt $test:expr;)*) => {
        const TESTS: &[Row] = &[$(($name, tests!(@key $condition), tests!(@key $assertion), $test),)*];
    };
}

tests! {
    "ACPower" CONDITION_AC_POWER ASSERT_AC_POWER machine::power;
    "Architecture" CONDITION_ARCHITECTURE ASSERT_ARCHITECTURE machine::architecture;
    "CPUFeature" CONDITION_CPU_FEATURE ASSERT_CPU_FEATURE machine::cpu_feature;
    "CPUPressure" CONDITION_CPU_PRESSURE ASSERT_CPU_PRESSURE pressure::cpu;
    "CPUs" CONDITION_CPUS ASSERT_CPUS machine::cpus;
    "Capability" CONDITION_CAPABILITY ASSERT_CAPABILITY capability;
    "ControlGroupController" CONDITION_CONTROL_GROUP_CONTROLLER ASSERT_CONTROL_GROUP_CONTROLLER controller;
    "Credential" CONDITION_CREDENTIAL ASSERT_CREDENTIAL paths::is_credential;
    "DirectoryNotEmpty" CONDITION_DIRECTORY_NOT_EMPTY ASSERT_DIRECTORY_NOT_EMPTY paths::is_directory_with_files;
    "Environment" CONDITION_ENVIRONMENT ASSERT_ENVIRONMENT environment;
    "FileIsExecutable" CONDITION_FILE_IS_EXECUTABLE ASSERT_FILE_IS_EXECUTABLE paths::is_executable;
    "FileNotEmpty" CONDITION_FILE_NOT_EMPTY ASSERT_FILE_NOT_EMPTY paths::is_file_with_content;
    "Firmware" CONDITION_FIRMWARE - machine::firmware;
    "FirstBoot" CONDITION_FIRST_BOOT ASSERT_FIRST_BOOT machine::first_boot;
    "Fraction" CONDITION_FRACTION ASSERT_FRACTION fraction::is_in;
    "Group" CONDITION_GROUP ASSERT_GROUP group;
    "Host" CONDITION_HOST ASSERT_HOST machine::host;
    "IOPressure" CONDITION_IO_PRESSURE ASSERT_IO_PRESSURE pressure::io;
    "KernelCommandLine" CONDITION_KERNEL_COMMAND_LINE ASSERT_KERNEL_COMMAND_LINE machine::on_command_line;
    "KernelModuleLoaded" CONDITION_KERNEL_MODULE_LOADED ASSERT_KERNEL_MODULE_LOADED machine::module;
    "KernelVersion" CONDITION_KERNEL_VERSION ASSERT_KERNEL_VERSION compare::version;
    "MachineTag" CONDITION_MACHINE_TAG ASSERT_MACHINE_TAG machine::tag;
    "Memory" CONDITION_MEMORY ASSERT_MEMORY machine::memory;
    "MemoryPressure" CONDITION_MEMORY_PRESSURE ASSERT_MEMORY_PRESSURE pressure::memory;
    "NeedsUpdate" CONDITION_NEEDS_UPDATE ASSERT_NEEDS_UPDATE paths::needs_update;
    "OSRelease" CONDITION_OS_RELEASE ASSERT_OS_RELEASE compare::os_release;
    "PathExists" CONDITION_PATH_EXISTS ASSERT_PATH_EXISTS paths::exists;
    "PathExistsGlob" CONDITION_PATH_EXISTS_GLOB ASSERT_PATH_EXISTS_GLOB paths::exists_by_pattern;
    "PathIsDirectory" CONDITION_PATH_IS_DIRECTORY ASSERT_PATH_IS_DIRECTORY paths::is_directory;
    "PathIsEncrypted" CONDITION_PATH_IS_ENCRYPTED ASSERT_PATH_IS_ENCRYPTED paths::is_encrypted;
    "PathIsMountPoint" CONDITION_PATH_IS_MOUNT_POINT ASSERT_PATH_IS_MOUNT_POINT paths::is_mount_point;
    "PathIsReadWrite" CONDITION_PATH_IS_READ_WRITE ASSERT_PATH_IS_READ_WRITE paths::is_read_write;
    "PathIsSocket" CONDITION_PATH_IS_SOCKET ASSERT_PATH_IS_SOCKET paths::is_socket;
    "PathIsSymbolicLink" CONDITION_PATH_IS_SYMBOLIC_LINK ASSERT_PATH_IS_SYMBOLIC_LINK paths::is_link;
    "Security" CONDITION_SECURITY ASSERT_SECURITY security::is_on;
    "User" CONDITION_USER ASSERT_USER user;
    "Version" CONDITION_VERSION ASSERT_VERSION compare::version;
    "Virtualization" CONDITION_VIRTUALIZATION ASSERT_VIRTUALIZATION virtualization::is;
}

/// The tests that a unit asks for: the place in the table, and the line.
#[derive(Clone, Debug)]
pub(crate) struct Questions {
    conditions: Vec<(usize, Condition)>,
    assertions: Vec<(usize, Condition)>,
    /// Where a mount goes.
    place: Option<String>,
}

/// What generators are told of the machine, as variables (systemd.generator(7)).
pub(crate) fn of_generators(is_init: bool) -> Vec<(&'static str, String)> {
    let number = |is: bool| u8::from(is).to_string();
    let first_boot = number(machine::is_first_boot(is_init));
    let told = [
        ("SYSTEMD_SCOPE", Some("system".to_owned())),
        (
            "SYSTEMD_IN_INITRD",
            Some(number(there("/etc/initrd-release"))),
        ),
        ("SYSTEMD_FIRST_BOOT", Some(first_boot)),
        ("SYSTEMD_VIRTUALIZATION", virtualization::described()),
        ("SYSTEMD_ARCHITECTURE", machine::native()),
    ];
    let said = |(name, value): (&'static str, Option<String>)| Some((name, value?));
    told.into_iter().filter_map(said).collect()
}

/// Are we in a container, as ConditionVirtualization= tells it?
pub(crate) fn is_in_container() -> bool {
    virtualization::container().is_some()
}

impl Questions {
    pub(crate) fn of(unit: &Unit) -> Self {
        let lines = |which: fn(&Row) -> Option<&'static ConditionKey>| {
            let rows = TESTS.iter().enumerate();
            let lines = rows.flat_map(|(place, row)| {
                let list = which(row).and_then(|key| unit.get(key)).into_iter();
                list.flat_map(|list| list.iter())
                    .map(move |line| (place, line.clone()))
            });
            lines.collect()
        };
        Self {
            conditions: lines(|row| row.1),
            assertions: lines(|row| row.2),
            place: model::mount::place(unit).filter(|_| unit.kind() == model::UnitKind::Mount),
        }
    }

    /// Makes the tests, and gives the line that keeps the unit from starting, as its file has it and with what is so instead.
    pub(crate) fn answer(&self, host: &mut Host) -> (Conditions, Option<String>) {
        if let Some(text) = first_unmet(&self.conditions, host) {
            return (Conditions::Unmet, Some(format!("Condition{text}")));
        }
        match first_unmet(&self.assertions, host) {
            Some(text) => (Conditions::AssertFailed, Some(format!("Assert{text}"))),
            None => match self.place.as_deref().and_then(paths::link_on_the_way) {
                Some(text) => (Conditions::AssertFailed, Some(text)),
                None => (Conditions::Met, None),
            },
        }
    }
}

/// All plain ones must hold, and one of the triggering ones if there are any.
fn first_unmet(lines: &[(usize, Condition)], host: &mut Host) -> Option<String> {
    let (mut triggered, mut last_trigger) = (false, None);
    for (place, line) in lines {
        let Some(row) = TESTS.get(*place) else {
            continue;
        };
        if line.trigger && triggered {
            continue;
        }
        host.found.clear();
        let result = made(row, &line.parameter, host);
        let holds = result.is_some_and(|result| result != line.negate);
        let text = if holds {
            None
        } else {
            Some(described(row.0, line, result, host))
        };
        if line.trigger {
            (triggered, last_trigger) = (holds, text);
        } else if text.is_some() {
            return text;
        }
    }
    last_trigger
}

/// Tests of what is at a path.
const OF_PATHS: &[&str] = &[
    "DirectoryNotEmpty",
    "FileIsExecutable",
    "FileNotEmpty",
    "NeedsUpdate",
    "PathExists",
    "PathIsDirectory",
    "PathIsEncrypted",
    "PathIsMountPoint",
    "PathIsReadWrite",
    "PathIsSocket",
    PATH_IS_LINK,
];
const PATH_IS_LINK: &str = "PathIsSymbolicLink";

/// Makes one test. In the directories of a portable's own, links that its service left lead nowhere: whether the unit starts would tell it
/// what the host has elsewhere.
fn made(row: &Row, parameter: &str, host: &mut Host) -> Option<bool> {
    /// A path at which nothing is.
    const NOWHERE: &str = "/proc/self/fd/none";
    if !host.is_portable || !OF_PATHS.contains(&row.0) {
        return row.3(parameter, host);
    }
    let path = CString::new(parameter).ok()?;
    let place = Place::find(&path, |_| None).ok();
    if row.0 == PATH_IS_LINK {
        let found = place
            .and_then(|place| statat(&place.parent, place.name(), AtFlags::SYMLINK_NOFOLLOW).ok());
        let kind = found.map(|found| FileType::from_raw_mode(found.st_mode));
        return Some(kind == Some(FileType::Symlink));
    }
    match place.and_then(|place| place.open().ok()) {
        // What is open can't be exchanged any more.
        Some(file) => row.3(&format!("/proc/self/fd/{}", file.as_raw_fd()), host),
        None => row.3(NOWHERE, host),
    }
}

fn described(name: &str, line: &Condition, result: Option<bool>, host: &Host) -> String {
    let negation = if line.negate { "!" } else { "" };
    let found = match (result, host.found.as_str()) {
        (None, _) => " (this can't be told)".to_owned(),
        (_, "") => String::new(),
        (_, found) => format!(" (found: {found})"),
    };
    format!("{name}={negation}{}{found}", line.parameter)
}

/// Bytes of a file that tests read: the largest, /proc/cpuinfo of a large machine, has what is looked for at its beginning.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The beginning of a file as text; `None` where it can't be read.
fn text(path: &str) -> Option<String> {
    crate::beginning::text(path, FILE_BYTES_MAX).ok()
}

/// The same without the line's end; empty where it can't be read.
fn line(path: &str) -> String {
    text(path).unwrap_or_default().trim_end().to_owned()
}

/// The names in a directory, which can be very many; none where it can't be read.
fn names(directory: &str) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let names = entries.flatten().map(|entry| entry.file_name());
    names.map(|name| name.to_string_lossy().into_owned())
}

fn there(path: &str) -> bool {
    std::path::Path::new(path).exists()
}

fn capability(name: &str, host: &mut Host) -> Option<bool> {
    let mut names = model::tables::capabilities::CAPABILITIES.iter();
    let number = names.position(|known| known.eq_ignore_ascii_case(name))?;
    Some(host.facts.bounding.0 >> number & 1 == 1)
}

/// Controllers that systemd knows; others are passed over.
const CONTROLLERS: &[&str] = &[
    "cpu",
    "cpuacct",
    "cpuset",
    "io",
    "blkio",
    "memory",
    "devices",
    "pids",
    "bpf-firewall",
    "bpf-devices",
    "bpf-foreign",
    "bpf-socket-bind",
    "bpf-restrict-network-interfaces",
    "bpf-bind-network-interface",
];

fn controller(names: &str, host: &mut Host) -> Option<bool> {
    let cgroup = &host.facts.cgroup;
    host.found = cgroup.controllers.join(" ");
    Some(match names {
        "v2" => cgroup.kind == CgroupKind::V2,
        "v1" => cgroup.kind != CgroupKind::V2,
        names => names
            .split_whitespace()
            .filter(|name| CONTROLLERS.contains(name))
            .all(|name| cgroup.has(name)),
    })
}

fn environment(text: &str, host: &mut Host) -> Option<bool> {
    let variables = &host.environment;
    Some(match text.split_once('=') {
        Some((name, value)) => variables.get(name).is_some_and(|found| found == value),
        None => variables.contains_key(text),
    })
}

/// The last number of the system's users.
const SYSTEM_UID_MAX: u32 = 999;

fn user(name: &str, host: &mut Host) -> Option<bool> {
    let uid = host.facts.uid;
    host.found = uid.to_string();
    Some(match (name, name.parse::<u32>()) {
        ("@system", _) => uid <= SYSTEM_UID_MAX || matches!(uid, 65534 | 65535),
        ("root", _) => uid == 0,
        (_, Ok(number)) => uid == number,
        // The system's manager is root: no table has to be asked.
        _ if uid == 0 => false,
        _ => {
            let user = crate::users::Tables::read().ok()?.user(name);
            user.is_some_and(|user| user.uid == uid)
        }
    })
}

fn group(name: &str, host: &mut Host) -> Option<bool> {
    let gid = host.facts.gid;
    host.found = gid.to_string();
    let wanted = match name.parse() {
        Ok(number) => Some(number),
        _ if name == "root" => Some(0),
        _ if host.facts.uid == 0 => None,
        _ => crate::users::Tables::read().ok()?.group(name),
    };
    let others = rustix::process::getgroups().unwrap_or_default();
    let is_ours =
        |wanted: u32| wanted == gid || others.iter().any(|other| other.as_raw() == wanted);
    Some(wanted.is_some_and(is_ours))
}

#[cfg(test)]
mod tests;
