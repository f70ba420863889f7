//! What the file system looks like from inside: every directive that mounts something, as entries of one list.

use model::value::{
    BindMount, DevicePolicy, MountPropagation, PathRules, PrivateBpf, PrivateTmp, ProcSubset,
    ProtectControlGroups, ProtectHome, ProtectHostname, ProtectProc, ProtectSystem,
};
use model::{Directive, Key, key};

use super::draft::{Draft, text};
use super::meaning::{Meaning, root_directory};
use super::mounts::{Cover, NO_DEVICES, NO_EXEC, NO_SUID, READ_ONLY};
use super::namespaces::MOUNT;
use super::{Refusal, directories, kernel_paths, mounts, names};
use crate::step::{RootSource, Step};

/// The directives for whose sake the unit needs a mount namespace.
pub(super) fn reasons(draft: &Draft<'_>, meaning: Meaning) -> Vec<Directive> {
    let set = |directive: Directive| draft.unit.is_set(directive);
    let on = |key: &Key<bool>| draft.is_on(key).then(|| key.directive());
    let protections = [
        (meaning.protect_system != ProtectSystem::No).then(|| key::PROTECT_SYSTEM.directive()),
        (meaning.protect_home != ProtectHome::No).then(|| key::PROTECT_HOME.directive()),
        (meaning.private_tmp != PrivateTmp::No).then(|| key::PRIVATE_TMP.directive()),
        meaning.has_network_files.then(|| network(draft)),
        (draft.value(&key::PROTECT_PROC) != ProtectProc::Default)
            .then(|| key::PROTECT_PROC.directive()),
        (draft.value(&key::PROC_SUBSET) != ProcSubset::All).then(|| key::PROC_SUBSET.directive()),
        (draft.value(&key::PROTECT_CONTROL_GROUPS) != ProtectControlGroups::No)
            .then(|| key::PROTECT_CONTROL_GROUPS.directive()),
        matches!(draft.value(&key::PROTECT_HOSTNAME), ProtectHostname::Yes(_))
            .then(|| key::PROTECT_HOSTNAME.directive()),
        has_own_pins(draft).then(|| key::PRIVATE_BPF.directive()),
        (draft.is_on(&key::DYNAMIC_USER) && directories::any(draft))
            .then(|| key::DYNAMIC_USER.directive()),
    ];
    let switches = [
        &key::PRIVATE_MOUNTS,
        &key::PRIVATE_DEVICES,
        &key::PRIVATE_PIDS,
        &key::PRIVATE_IPC,
        &key::PROTECT_KERNEL_TUNABLES,
        &key::PROTECT_KERNEL_MODULES,
        &key::PROTECT_KERNEL_LOGS,
        &key::PROTECT_CLOCK,
        &key::ROOT_EPHEMERAL,
        &key::MOUNT_API_VFS,
        &key::BIND_LOG_SOCKETS,
    ];
    let lists = [
        key::ROOT_DIRECTORY.directive(),
        key::ROOT_IMAGE.directive(),
        key::ROOT_MSTACK.directive(),
        key::READ_WRITE_PATHS.directive(),
        key::READ_ONLY_PATHS.directive(),
        key::INACCESSIBLE_PATHS.directive(),
        key::EXEC_PATHS.directive(),
        key::NO_EXEC_PATHS.directive(),
        key::BIND_PATHS.directive(),
        key::BIND_READ_ONLY_PATHS.directive(),
        key::TEMPORARY_FILE_SYSTEM.directive(),
        key::MOUNT_IMAGES.directive(),
        key::EXTENSION_IMAGES.directive(),
        key::EXTENSION_DIRECTORIES.directive(),
        key::LOAD_CREDENTIAL.directive(),
        key::SET_CREDENTIAL.directive(),
        key::LOAD_CREDENTIAL_ENCRYPTED.directive(),
        key::SET_CREDENTIAL_ENCRYPTED.directive(),
        key::IMPORT_CREDENTIAL.directive(),
    ];
    // What is shared needs no namespace of its own.
    let cut = (draft.value(&key::MOUNT_FLAGS) != MountPropagation::Shared)
        .then(|| key::MOUNT_FLAGS.directive());
    protections
        .into_iter()
        .flatten()
        .chain(switches.into_iter().filter_map(on))
        .chain(lists.into_iter().filter(|&d| set(d)))
        .chain(cut)
        .collect()
}

/// Fills the list and turns it into steps. Where nothing can be mounted, each of the reasons is refused or reduced by itself.
pub(super) fn plan(
    draft: &mut Draft<'_>,
    meaning: Meaning,
    reasons: &[Directive],
) -> Result<(), Refusal> {
    let possible =
        draft.facts.namespaces.mount && draft.facts.mounts.new_api && draft.facts.mounts.setattr;
    let why = "mount namespaces with the kernel's new mount calls (Linux 5.12) can't be made here";
    for directive in reasons {
        draft.can(possible, *directive, why)?;
    }
    if !possible {
        return Ok(());
    }
    draft.namespaces |= MOUNT;
    super::images::plan(draft)?;
    explicit_paths(draft);
    api(draft, meaning)?;
    system(draft, meaning);
    home(draft, meaning);
    temporary(draft, meaning);
    kernel_paths::plan(draft)?;
    if has_own_pins(draft) {
        let directive = Some(key::PRIVATE_BPF.directive());
        let cover = super::delegation::bpf_objects(draft);
        // A kernel without BPF has nothing to hide.
        draft.mounts.cover("/sys/fs/bpf", cover, 0, true, directive);
    }
    super::credentials::plan(draft, meaning);
    notify(draft, meaning);
    directories::plan(draft, meaning, true)?;
    root(draft)?;
    super::images::lay_extensions(draft);
    names::plan(draft, mounts::emit);
    // As the programs of a service that make namespaces expect of any system.
    let shared = draft.value(&key::MOUNT_FLAGS) == MountPropagation::Shared;
    draft.frame(Step::EnterRoot { shared });
    Ok(())
}

/// Whether what the host has pinned of BPF is hidden.
fn has_own_pins(draft: &Draft<'_>) -> bool {
    draft.value(&key::PRIVATE_BPF) == PrivateBpf::Yes
}

const MS_PRIVATE: u32 = 1 << 18;
const MS_SLAVE: u32 = 1 << 19;

fn root(draft: &mut Draft<'_>) -> Result<(), Refusal> {
    // A change of the host still comes in, nothing goes out.
    let flag = if draft.value(&key::MOUNT_FLAGS) == MountPropagation::Private {
        MS_PRIVATE
    } else {
        MS_SLAVE
    };
    draft.frame(Step::Propagation { flag });
    super::ephemeral::plan(draft)?;
    let set = draft.mounts.root_attributes();
    if let Some(path) = root_directory(draft.unit) {
        let path = text(path);
        draft.push(
            key::ROOT_DIRECTORY.directive(),
            Step::Root {
                from: RootSource::Directory { path: &path },
                set,
            },
        );
    } else if draft.mounts.image {
        draft.push(
            super::images::root_directive(draft.unit),
            Step::Root {
                from: RootSource::Image,
                set,
            },
        );
    } else if set != 0 {
        let host = Step::Root {
            from: RootSource::Host,
            set,
        };
        draft.push(key::PROTECT_SYSTEM.directive(), host);
    } else {
        draft.frame(Step::Root {
            from: RootSource::Host,
            set,
        });
    }
    Ok(())
}

/// What the unit says of paths by name. First, since of two covers of one path the first stays.
fn explicit_paths(draft: &mut Draft<'_>) {
    let inaccessible = [&key::INACCESSIBLE_PATHS, &key::INACCESSIBLE_DIRECTORIES];
    for_each(draft, &inaccessible, |list, path, optional, why| {
        list.cover(path, Cover::Inaccessible, 0, optional, why)
    });
    let read_only = [&key::READ_ONLY_PATHS, &key::READ_ONLY_DIRECTORIES];
    for_each(draft, &read_only, |list, path, optional, why| {
        list.read_only(path, true, optional, why)
    });
    let writable = [&key::READ_WRITE_PATHS, &key::READ_WRITE_DIRECTORIES];
    for_each(draft, &writable, |list, path, optional, why| {
        list.read_only(path, false, optional, why)
    });
    for_each(
        draft,
        &[&key::NO_EXEC_PATHS],
        |list, path, optional, why| list.no_exec(path, true, optional, why),
    );
    for_each(draft, &[&key::EXEC_PATHS], |list, path, optional, why| {
        list.no_exec(path, false, optional, why)
    });
    binds(draft, &key::BIND_PATHS, 0);
    binds(draft, &key::BIND_READ_ONLY_PATHS, READ_ONLY);
    log_sockets(draft);
    for file_system in &draft.value(&key::TEMPORARY_FILE_SYSTEM) {
        let (mode, set, options) = tmpfs_options(&file_system.options);
        let cover = Cover::Tmpfs { mode, options };
        draft.mounts.cover(
            &file_system.path,
            cover,
            set,
            false,
            Some(key::TEMPORARY_FILE_SYSTEM.directive()),
        );
    }
}

/// Where the host's log listens, if it does (systemd-journald.service(8)).
const LOG_SOCKETS: [&str; 3] = [
    "/run/systemd/journal/dev-log",
    "/run/systemd/journal/socket",
    "/run/systemd/journal/stdout",
];

fn log_sockets(draft: &mut Draft<'_>) {
    if !draft.is_on(&key::BIND_LOG_SOCKETS) {
        return;
    }
    for path in LOG_SOCKETS {
        let bind = Cover::Bind {
            source: path.into(),
            recursive: false,
            source_missing_ok: true,
        };
        let directive = Some(key::BIND_LOG_SOCKETS.directive());
        draft.mounts.cover(path, bind, 0, true, directive);
    }
}

fn for_each(
    draft: &mut Draft<'_>,
    keys: &[&Key<PathRules>],
    apply: impl Fn(&mut mounts::MountList, &str, bool, Option<Directive>),
) {
    for key in keys {
        for rule in draft.unit.get(key).into_iter().flatten() {
            apply(
                &mut draft.mounts,
                &rule.path,
                rule.optional,
                Some(key.directive()),
            );
        }
    }
}

fn binds(draft: &mut Draft<'_>, key: &Key<model::value::BindMounts>, set: u64) {
    for BindMount {
        source,
        destination,
        optional,
        recursive,
    } in &draft.value(key)
    {
        let cover = Cover::Bind {
            source: source.clone(),
            recursive: *recursive,
            source_missing_ok: *optional,
        };
        draft
            .mounts
            .cover(destination, cover, set, false, Some(key.directive()));
    }
}

/// Splits mount options into what the mount has and what the file system has.
fn tmpfs_options(text: &str) -> (u32, u64, Vec<String>) {
    let (mut mode, mut set, mut options) = (0o755, NO_SUID | NO_DEVICES, Vec::new());
    for option in text
        .split(',')
        .map(str::trim)
        .filter(|option| !option.is_empty())
    {
        match option.split_once('=') {
            Some(("mode", digits)) => {
                mode = u32::from_str_radix(digits, 8).map_or(mode, |given| given & 0o7777)
            }
            None if option == "ro" => set |= READ_ONLY,
            None if option == "noexec" => set |= NO_EXEC,
            None if matches!(
                option,
                "rw" | "exec"
                    | "nosuid"
                    | "nodev"
                    | "strictatime"
                    | "nostrictatime"
                    | "relatime"
                    | "norelatime"
                    | "atime"
                    | "noatime"
                    | "diratime"
                    | "nodiratime"
                    | "lazytime"
                    | "nolazytime"
            ) => {}
            Some(_) | None => options.push(option.to_owned()),
        }
    }
    (mode, set, options)
}

/// /proc, /sys, /dev and /run of another root, and fresh ones where a namespace needs them.
fn api(draft: &mut Draft<'_>, meaning: Meaning) -> Result<(), Refusal> {
    let rooted_api = meaning.rooted && meaning.api_vfs;
    proc(draft, rooted_api)?;
    system_files(draft, meaning, rooted_api)?;
    devices(draft, rooted_api);
    if rooted_api {
        let options = vec!["size=20%".into(), "nr_inodes=800k".into()];
        let run = Cover::Tmpfs {
            mode: 0o755,
            options,
        };
        draft.mounts.cover(
            "/run",
            run,
            NO_SUID | NO_DEVICES,
            false,
            Some(key::MOUNT_API_VFS.directive()),
        );
    }
    Ok(())
}

/// What gives the unit another network than the host's.
fn network(draft: &Draft<'_>) -> Directive {
    if draft.unit.get(&key::NETWORK_NAMESPACE_PATH).is_some() {
        key::NETWORK_NAMESPACE_PATH.directive()
    } else {
        key::PRIVATE_NETWORK.directive()
    }
}

/// A fresh /sys shows only the interfaces of the new network. Control groups stay where programs look for them.
fn system_files(draft: &mut Draft<'_>, meaning: Meaning, rooted_api: bool) -> Result<(), Refusal> {
    let api = Some(key::MOUNT_API_VFS.directive());
    let network = network(draft);
    let set = NO_SUID | NO_DEVICES | NO_EXEC;
    let mountable = draft.facts.mounts.sysfs_mountable;
    let why = "the host's /sys would show its network: a new one can't be mounted here";
    // A network that is joined restricts nothing: what /sys tells too much is told.
    let is_joined = network == key::NETWORK_NAMESPACE_PATH.directive();
    if meaning.has_network_files && is_joined && !mountable {
        draft.lesser(network, why);
    }
    if meaning.has_network_files
        && (is_joined && mountable || !is_joined && draft.can(mountable, network, why)?)
    {
        draft
            .mounts
            .cover("/sys", Cover::Sysfs, 0, false, Some(network));
        masks(draft, "/sys/", network);
        let source = "/sys/fs/cgroup".to_owned();
        let cgroups = Cover::Bind {
            source,
            recursive: true,
            source_missing_ok: true,
        };
        draft
            .mounts
            .cover("/sys/fs/cgroup", cgroups, set, true, api);
    } else if rooted_api {
        let host = Cover::Bind {
            source: "/sys".into(),
            recursive: true,
            source_missing_ok: false,
        };
        draft.mounts.cover("/sys", host, set, false, api);
    }
    Ok(())
}

/// What a container is kept from by mounts over the kernel's files, its services are kept from: a new instance of the file system gets
/// them again. One that shows processes alone has most of the files no more.
fn masks(draft: &mut Draft<'_>, below: &str, directive: Directive) {
    let masks = &draft.facts.kernel_masks;
    let is_below = |path: &&String| path.starts_with(below);
    for path in masks.read_only.iter().filter(is_below) {
        draft.mounts.read_only(path, true, true, Some(directive));
    }
    for path in masks.hidden.iter().filter(is_below) {
        let mask = Cover::Bind {
            source: path.clone(),
            recursive: true,
            source_missing_ok: true,
        };
        draft.mounts.cover(path, mask, 0, true, Some(directive));
    }
}

fn proc(draft: &mut Draft<'_>, rooted_api: bool) -> Result<(), Refusal> {
    let mounts = draft.facts.mounts;
    let subset = key::PROC_SUBSET.directive();
    let mut only_pids = draft.value(&key::PROC_SUBSET) == ProcSubset::Pid;
    if only_pids {
        only_pids = draft.can(
            mounts.proc_subset,
            subset,
            "this kernel's /proc has no subset=pid (Linux 5.8)",
        )?;
    }
    let protect = key::PROTECT_PROC.directive();
    let mut hide = match draft.value(&key::PROTECT_PROC) {
        ProtectProc::Default => None,
        ProtectProc::NoAccess => Some("noaccess"),
        ProtectProc::Invisible => Some("invisible"),
        ProtectProc::Ptraceable => Some("ptraceable"),
    };
    if hide.is_some()
        && !draft.can(
            mounts.proc_hidepid,
            protect,
            "this kernel's /proc hides nothing per mount (Linux 5.8)",
        )?
    {
        hide = None;
    }
    let directive = match (only_pids, hide) {
        (true, _) => subset,
        (false, Some(_)) => protect,
        (false, None) if draft.pid_namespace => key::PRIVATE_PIDS.directive(),
        (false, None) if rooted_api || draft.is_on(&key::MOUNT_API_VFS) => {
            key::MOUNT_API_VFS.directive()
        }
        (false, None) => return Ok(()),
    };
    if draft.can(
        mounts.proc_mountable,
        directive,
        "a new /proc can't be mounted here",
    )? {
        draft.mounts.cover(
            "/proc",
            Cover::Proc { hide, only_pids },
            0,
            false,
            Some(directive),
        );
        masks(draft, "/proc/", directive);
    }
    Ok(())
}

fn devices(draft: &mut Draft<'_>, rooted_api: bool) {
    let directive = Some(key::PRIVATE_DEVICES.directive());
    let may_make = draft.is_privileged()
        && draft
            .facts
            .bounding
            .contains(model::tables::capabilities::MKNOD)
        // The control group lets nobody make a node that is not listed.
        && draft.unit.value(&key::DEVICE_POLICY) != DevicePolicy::Strict;
    let private = draft.is_on(&key::PRIVATE_DEVICES);
    if private {
        let set = READ_ONLY | NO_EXEC | NO_SUID;
        draft.mounts.cover(
            "/dev",
            Cover::Devices { bound: !may_make },
            set,
            false,
            directive,
        );
    } else if rooted_api {
        let host = Cover::Bind {
            source: "/dev".into(),
            recursive: true,
            source_missing_ok: false,
        };
        draft.mounts.cover(
            "/dev",
            host,
            NO_SUID,
            false,
            Some(key::MOUNT_API_VFS.directive()),
        );
    }
    if draft.is_on(&key::PRIVATE_IPC) && draft.facts.mounts.mqueue {
        draft.mounts.cover(
            "/dev/mqueue",
            Cover::MessageQueues,
            0,
            true,
            Some(key::PRIVATE_IPC.directive()),
        );
    }
}

fn system(draft: &mut Draft<'_>, meaning: Meaning) {
    let directive = Some(key::PROTECT_SYSTEM.directive());
    let paths: &[&str] = match meaning.protect_system {
        ProtectSystem::No => &[],
        ProtectSystem::Yes => &["/usr", "/boot", "/efi"],
        ProtectSystem::Full => &["/usr", "/boot", "/efi", "/etc"],
        ProtectSystem::Strict => {
            // The API file systems and homes have directives of their own.
            for path in ["/dev", "/home", "/proc", "/root", "/run/user", "/sys"] {
                draft.mounts.read_only(path, false, true, directive);
            }
            &["/"]
        }
    };
    for path in paths {
        draft.mounts.read_only(path, true, true, directive);
    }
}

fn home(draft: &mut Draft<'_>, meaning: Meaning) {
    let directive = Some(key::PROTECT_HOME.directive());
    for path in ["/home", "/root", "/run/user"] {
        match meaning.protect_home {
            ProtectHome::No => {}
            ProtectHome::Yes => draft
                .mounts
                .cover(path, Cover::Inaccessible, 0, true, directive),
            ProtectHome::ReadOnly => draft.mounts.read_only(path, true, true, directive),
            ProtectHome::Tmpfs => {
                let mode = if path == "/root" { 0o700 } else { 0o755 };
                let empty = Cover::Tmpfs {
                    mode,
                    options: vec!["size=16k".into(), "nr_inodes=1024".into()],
                };
                draft.mounts.cover(
                    path,
                    empty,
                    READ_ONLY | NO_SUID | NO_DEVICES,
                    true,
                    directive,
                );
            }
        }
    }
}

fn temporary(draft: &mut Draft<'_>, meaning: Meaning) {
    let directive = Some(key::PRIVATE_TMP.directive());
    let is_alone = meaning.private_tmp == PrivateTmp::Disconnected
        && meaning.private_var_tmp == PrivateTmp::No;
    if is_alone && draft.mounts.closes("/var/tmp") {
        draft.environment.push(("TMPDIR".into(), "/tmp".into()));
    }
    for (path, private) in [
        ("/tmp", meaning.private_tmp),
        ("/var/tmp", meaning.private_var_tmp),
    ] {
        let cover = match private {
            PrivateTmp::No => continue,
            PrivateTmp::Connected => Cover::PrivateTmp { parent: path },
            PrivateTmp::Disconnected => Cover::temporary(),
        };
        draft
            .mounts
            .cover(path, cover, NO_SUID | NO_DEVICES, false, directive);
    }
}

/// The notification socket stays reachable: where it is, or at a fixed place below another root.
fn notify(draft: &mut Draft<'_>, meaning: Meaning) {
    const INSIDE: &str = "/run/coracle/notify";
    let Some(socket) = draft.notify_path.clone() else {
        return;
    };
    let at = if meaning.rooted { INSIDE } else { &socket };
    if meaning.rooted || draft.mounts.hides(&socket) {
        let bind = Cover::Bind {
            source: socket.clone(),
            recursive: false,
            source_missing_ok: false,
        };
        draft
            .mounts
            .cover(at, bind, NO_EXEC | NO_SUID | NO_DEVICES, false, None);
    }
    draft.notify_path = Some(at.to_owned());
}
