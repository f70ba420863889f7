//! Hosts that can do less: each directive that restricts is applied there, reduced where the table lets it be, or refused, never lost.
//!
//! `poor.md` is what is expected, one section for each host; what it does not name is applied. A new row needs a value here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // What tests share fails as tests do.

use coracle_plan as plan;
use model::facts::CgroupKind;
use model::text::Verbatim;
use model::value::CapabilitySet;
use model::{Directive, Facts, Position, Unit};
use plan::ebpf::{Executor, Ground, Host, btf, group_programs};
use plan::{Refusal, Situation, SpawnPlan};

/// Rows with the value that they are tried with, and what has to be set with it.
const VALUES: &[(&str, &str)] = &[
    ("AppArmorProfile", "web"),
    ("BPFProgram", "egress:/sys/fs/bpf/one"),
    ("BindNetworkInterface", "lo"),
    ("CacheDirectoryQuota", "1G\nCacheDirectory=web"),
    ("CapabilityBoundingSet", ""),
    ("DeviceAllow", "/dev/null r"),
    ("DevicePolicy", "closed"),
    ("DynamicUser", "yes"),
    ("ExecPaths", "/usr/bin\nNoExecPaths=/"),
    (
        "ExtensionImagePolicy",
        "root=signed\nExtensionImages=/srv/tools.raw",
    ),
    ("IPAddressDeny", "any"),
    ("IPEgressFilterPath", "/sys/fs/bpf/one"),
    ("IPIngressFilterPath", "/sys/fs/bpf/one"),
    ("InaccessibleDirectories", "/srv"),
    ("InaccessiblePaths", "/srv"),
    ("KeyringMode", "private"),
    ("LockPersonality", "yes"),
    ("LogsDirectoryQuota", "1G\nLogsDirectory=web"),
    ("MemoryDenyWriteExecute", "yes"),
    ("MountFlags", "private"),
    (
        "MountImagePolicy",
        "root=signed\nMountImages=/srv/data.raw:/mnt",
    ),
    ("NoExecPaths", "/srv"),
    ("NoNewPrivileges", "yes"),
    ("PrivateBPF", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateIPC", "yes"),
    ("PrivateMounts", "yes"),
    ("PrivateNetwork", "yes"),
    ("PrivatePIDs", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateUsers", "yes"),
    ("ProcSubset", "pid"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "strict"),
    ("ProtectHome", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectKeyRing", "yes"),
    ("ProtectMount", "yes"),
    ("ProtectProc", "invisible"),
    ("ProtectSystem", "strict"),
    ("ProtectTracing", "yes"),
    ("ReadOnlyDirectories", "/srv"),
    ("ReadOnlyPaths", "/srv"),
    ("RemoveIPC", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX"),
    ("RestrictFileSystems", "ext4"),
    ("RestrictNamespaces", "yes"),
    ("RestrictNetworkInterfaces", "lo"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("RootDirectory", "/srv"),
    ("RootEphemeral", "yes\nRootDirectory=/srv"),
    ("RootHash", "00\nRootImage=/srv/web.psi"),
    ("RootHashSignature", "/srv/web.p7s\nRootImage=/srv/web.psi"),
    ("RootImage", "/srv/web.psi"),
    ("RootImagePolicy", "root=signed\nRootImage=/srv/web.psi"),
    ("RootMStack", "/srv/web.mstack"),
    ("RootVerity", "/srv/web.verity\nRootImage=/srv/web.psi"),
    ("SELinuxContext", "web"),
    ("SecureBits", "noroot"),
    ("SmackProcessLabel", "web"),
    ("SocketBindDeny", "any"),
    ("StateDirectoryQuota", "1G\nStateDirectory=web"),
    ("SystemCallArchitectures", "native"),
    (
        "SystemCallErrorNumber",
        "EPERM\nSystemCallFilter=@system-service",
    ),
    ("SystemCallFilter", "@system-service"),
    ("TemporaryFileSystem", "/srv"),
    ("UMask", "0077"),
];

/// Rows that no step of a start applies: the manager does, when the unit has stopped, or what they stand for does.
const NO_STEPS: &[&str] = &["RemoveIPC", "KeyringMode"];

struct Poor {
    name: &'static str,
    position: Position,
    facts: fn(&mut Facts),
}

const HOSTS: &[Poor] = &[
    Poor {
        name: "without user namespaces",
        position: Position::Beside,
        facts: |facts| facts.namespaces.user = false,
    },
    Poor {
        name: "Linux 5.10, without mount_setattr",
        position: Position::Beside,
        facts: |facts| {
            facts.kernel = model::facts::KernelVersion::new(5, 10);
            facts.mounts.setattr = false;
            facts.mounts.id_mapped = false;
            facts.mounts.nosymfollow = false;
        },
    },
    Poor {
        name: "without version 2 of control groups",
        position: Position::Beside,
        facts: |facts| {
            facts.cgroup.kind = CgroupKind::None;
            facts.cgroup.mount = String::new();
            facts.cgroup.controllers = Vec::new();
            facts.cgroup.writable = false;
            facts.cgroup.programs = false;
        },
    },
    Poor {
        name: "without BPF",
        position: Position::Beside,
        facts: |facts| facts.cgroup.programs = false,
    },
    Poor {
        name: "without descriptors for processes and without clone3",
        position: Position::Beside,
        facts: |facts| {
            facts.pidfd = false;
            facts.clone_into_cgroup = false;
            facts.close_range = false;
        },
    },
    Poor {
        name: "without system-call filters and keyrings",
        position: Position::Beside,
        facts: |facts| {
            facts.seccomp.filter = false;
            facts.keyring = false;
        },
    },
    Poor {
        name: "nested in an unprivileged container",
        position: Position::Beside,
        facts: |facts| {
            // What container managers leave to root by default.
            const LEFT: u64 = 0x0000_0000_a804_25fb;
            facts.capabilities = CapabilitySet(LEFT);
            facts.bounding = CapabilitySet(LEFT);
            facts.namespaces = model::facts::Namespaces::default();
            facts.mounts = model::facts::Mounts::default();
            facts.mounts.setattr = true;
            facts.cgroup.writable = false;
            facts.cgroup.programs = false;
            facts.keyring = false;
            facts.keyring_closed = true;
        },
    },
    Poor {
        name: "as a user",
        position: Position::User,
        facts: |facts| {
            (facts.uid, facts.gid) = (1000, 1000);
            facts.capabilities = CapabilitySet::EMPTY;
            facts.cgroup.programs = false;
        },
    },
    Poor {
        name: "as a user, without user namespaces",
        position: Position::User,
        facts: |facts| {
            (facts.uid, facts.gid) = (1000, 1000);
            facts.capabilities = CapabilitySet::EMPTY;
            facts.namespaces = model::facts::Namespaces::default();
            facts.mounts = model::facts::Mounts::default();
            facts.cgroup.programs = false;
        },
    },
];

fn unit(lines: &str) -> Unit {
    let mut unit = Unit::new("web.service".parse().unwrap());
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let (directive, value) = line.split_once('=').unwrap();
        settings::apply(&mut unit, "Service", directive, value, &Verbatim).unwrap();
    }
    unit
}

fn plan_on(unit: &Unit, facts: &Facts, position: Position) -> Result<SpawnPlan, Refusal> {
    let situation = Situation {
        position,
        runtime_dir: "/run/coracle",
        credentials_root: "/run/credentials",
        notify_socket: None,
        stub: false,
        may_take_over: &|_| true,
        quota_trouble: &|_, _| None,
        may_reduce: &|directive| settings::row(directive).may_reduce,
    };
    plan::plan(unit, facts, &situation)
}

/// What a plan has for this unit beside what every start has there, without what differs from host to host: each line's object.
fn own_steps(plan: &SpawnPlan, usual: &SpawnPlan) -> Vec<String> {
    let usual = usual.explain();
    let own = plan.explain().into_iter();
    let own = own.filter(|line| !usual.contains(line) && line.contains("=]"));
    own.map(|line| line.split([':', ',']).next().unwrap_or_default().to_owned())
        .collect()
}

/// Whether a program of the unit's control group is the directive's, and may be missing.
fn program(unit: &Unit, directive: Directive) -> Option<bool> {
    let host = Host {
        devices: &|_| Vec::new(),
        interface: &|_| Some(1),
        ground: &|| {
            let described = include_bytes!("../../../fuzz/corpus/btf/small");
            Ok(Ground {
                layout: btf::layout(described).unwrap(),
                executor: Executor {
                    device: 0,
                    inode: 0,
                    generation: 0,
                },
            })
        },
    };
    let mut programs = group_programs(unit, &host).unwrap().into_iter();
    let found = programs.find(|program| program.directive == directive)?;
    Some(found.may_reduce)
}

/// What becomes of a directive: nothing is said of one that is applied.
fn answer(directive: Directive, value: &str, poor: &Poor) -> Option<String> {
    let name = directive.name();
    let web = unit(&format!("{name}={value}\n"));
    let mut facts = Facts {
        apparmor: true,
        selinux: true,
        smack: true,
        ..Facts::default()
    };
    let rich = plan_on(&web, &facts, Position::Beside).unwrap();
    let usual = plan_on(&unit(""), &facts, Position::Beside).unwrap();
    (poor.facts)(&mut facts);
    let plan = match plan_on(&web, &facts, poor.position) {
        Err(refusal) => return Some(format!("refused: {refusal}")),
        Ok(plan) => plan,
    };
    let mut reduced: Vec<String> = plan
        .reductions()
        .iter()
        .map(|one| one.reason.clone())
        .collect();
    let program = program(&web, directive);
    match program {
        Some(false) if !facts.cgroup.programs => {
            return Some("refused by the manager: no programs for its control group".to_owned());
        }
        Some(true) if !facts.cgroup.programs => {
            reduced.push("no programs for its control group".to_owned());
        }
        _ => {}
    }
    let here = plan_on(&unit(""), &facts, poor.position);
    let here = here.map(|here| own_steps(&plan, &here)).unwrap_or_default();
    let wanted = own_steps(&rich, &usual);
    assert!(
        !wanted.is_empty() || program.is_some() || NO_STEPS.contains(&name),
        "{name}={value} does nothing on a rich host"
    );
    let lost: Vec<&String> = wanted.iter().filter(|step| !here.contains(step)).collect();
    if !reduced.is_empty() {
        return Some(format!("reduced: {}", reduced.join("; ")));
    }
    (!lost.is_empty()).then(|| format!("LOST: {lost:?}"))
}

/// The rows that work and restrict, each with its value.
fn rows() -> Vec<(Directive, &'static str)> {
    let restricts = |directive: &Directive| {
        let row = settings::row(*directive);
        row.works() && row.is_sandboxing()
    };
    let value = |directive: Directive| {
        let value = VALUES.iter().find(|(name, _)| *name == directive.name());
        let (_, value) = value
            .unwrap_or_else(|| panic!("{directive} restricts: what do poor hosts do with it?"));
        (directive, *value)
    };
    Directive::all().filter(restricts).map(value).collect()
}

#[test]
fn what_may_be_reduced_takes_nothing_along_that_may_not() {
    let reducible = "ProcSubset=pid\nProtectProc=invisible\n";
    for poor in HOSTS {
        let mut facts = Facts::default();
        (poor.facts)(&mut facts);
        for (directive, value) in rows() {
            let alone = format!("{}={value}\n", directive.name());
            let on = |lines: &str| plan_on(&unit(lines), &facts, poor.position);
            let is_refused = on(&alone).is_err();
            let both = on(&format!("{reducible}{alone}"));
            assert_eq!(both.is_err(), is_refused, "{}: {alone}", poor.name);
        }
    }
    let (mut facts, lines) = (Facts::default(), unit(reducible));
    facts.mounts.setattr = false;
    let plan = plan_on(&lines, &facts, Position::Beside).unwrap();
    let reduced: Vec<_> = plan
        .reductions()
        .iter()
        .map(|one| one.directive.name())
        .collect();
    assert_eq!(reduced, ["ProtectProc", "ProcSubset"]);
}

#[test]
fn on_poor_hosts_each_directive_that_restricts_is_applied_reduced_or_refused_and_never_lost() {
    let mut found = String::new();
    for poor in HOSTS {
        found.push_str(&format!("## {}\n\n", poor.name));
        for (directive, value) in rows() {
            if let Some(answer) = answer(directive, value, poor) {
                found.push_str(&format!("- {}: {answer}\n", directive.name()));
            }
        }
        found.push('\n');
    }
    let expected = include_str!("poor.md");
    let expected = expected
        .split_once("\n## ")
        .map(|(_, text)| format!("## {text}"));
    assert!(!found.contains("LOST"), "{found}");
    assert_eq!(expected.unwrap_or_default().trim(), found.trim(), "{found}");
}
