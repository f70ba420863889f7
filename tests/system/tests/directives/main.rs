//! Every directive that works is proven: a restriction by attacks that win without it, lose with it alone, and lose under the whole
//! default profile; any other by what a service prints with it and does not print without it.

mod conditions;
mod exec;
mod groups;
mod health;
mod install;
mod mount;
mod path;
mod replace;
mod service;
mod slice;
mod socket;
mod timer;
mod unit;

use std::fs;

use coracle_system_tests::attacks::ATTACKS;
use coracle_system_tests::observations::Observation;
use coracle_system_tests::profile::profile;
use coracle_system_tests::stage::Stage;
use coracle_system_tests::with_units;
use model::Room;

/// Observations by kind of directive.
const OBSERVATIONS: &[(Room, &[Observation])] = &[
    (Room::Unit, conditions::OBSERVATIONS),
    (Room::Exec, exec::OBSERVATIONS),
    (Room::Cgroup, groups::OBSERVATIONS),
    (Room::Install, install::OBSERVATIONS),
    (Room::Service, service::SERVICE),
    (Room::Service, health::OBSERVATIONS),
    (Room::Service, replace::OBSERVATIONS),
    (Room::Kill, service::KILL),
    (Room::Socket, socket::OBSERVATIONS),
    (Room::Timer, timer::OBSERVATIONS),
    (Room::Path, path::OBSERVATIONS),
    (Room::Mount, mount::MOUNT),
    (Room::Automount, mount::AUTOMOUNT),
    (Room::Unit, mount::NEEDED),
    (Room::Slice, slice::SLICE),
    (Room::Scope, slice::SCOPE),
    (Room::Unit, unit::OBSERVATIONS),
];

/// Restrictions that no line here attacks, and why.
const UNATTACKED: &[(&str, &str)] = &[
    (
        "AppArmorProfile",
        "needs the module: cargo xtask test vm has it",
    ),
    ("SELinuxContext", "needs a policy"),
    ("SmackProcessLabel", "needs the module"),
    ("ExecPaths", "opens what NoExecPaths= closes"),
    (
        "RootImage",
        "needs an image: the tests of images and portables have them",
    ),
    (
        "RootHash",
        "needs an image: the tests of own images have them",
    ),
    (
        "RootHashSignature",
        "needs an image: the tests of own images have them",
    ),
    (
        "RootVerity",
        "needs an image: the tests of own images have them",
    ),
    (
        "RootImagePolicy",
        "needs an image: the tests of own images have them",
    ),
    (
        "MountImagePolicy",
        "needs an image: the tests of own images have them",
    ),
    (
        "ExtensionImagePolicy",
        "needs an image: the tests of own images have them",
    ),
    (
        "RestrictFileSystems",
        "needs the security module bpf: cargo xtask test vm has it",
    ),
    (
        "StateDirectoryQuota",
        "needs quotas of projects: cargo xtask test vm has them",
    ),
    (
        "CacheDirectoryQuota",
        "needs quotas of projects, which are of one kind: cargo xtask test vm has those of StateDirectoryQuota=",
    ),
    (
        "LogsDirectoryQuota",
        "needs quotas of projects, which are of one kind: cargo xtask test vm has those of StateDirectoryQuota=",
    ),
];

/// Directives that no line here observes, and why. This list may only shrink.
const UNSEEN: &[(&str, &str)] = &[
    (
        "BackupCommand",
        "needs a portable: the tests of moving have it",
    ),
    (
        "BackupMode",
        "needs a portable: the tests of moving have it",
    ),
    (
        "BusName",
        "needs a message bus: the tests of the bus have one",
    ),
    (
        "FailureActionExitStatus",
        "ends the instance: the tests of the daemon have it",
    ),
    (
        "SuccessActionExitStatus",
        "ends the instance: the tests of the daemon have it",
    ),
    (
        "RootImage",
        "needs an image: the tests of images and portables have them",
    ),
    (
        "RootHash",
        "needs an image: the tests of own images have them",
    ),
    (
        "RootHashSignature",
        "needs an image: the tests of own images have them",
    ),
    (
        "RootVerity",
        "needs an image: the tests of own images have them",
    ),
    (
        "RootImagePolicy",
        "needs an image: the tests of own images have them",
    ),
    (
        "MountImagePolicy",
        "needs an image: the tests of own images have them",
    ),
    (
        "ExtensionImagePolicy",
        "needs an image: the tests of own images have them",
    ),
    (
        "RootImageOptions",
        "needs an image: the tests of own images have them",
    ),
    (
        "MountImages",
        "needs an image: the tests of own images have them",
    ),
    (
        "ExtensionImages",
        "needs an image: the tests of own images have them",
    ),
    (
        "ExtensionDirectories",
        "needs an image: the tests of own images have them",
    ),
    (
        "MemoryAccounting",
        "the controller counts for whoever asks first",
    ),
    (
        "TasksAccounting",
        "the controller counts for whoever asks first",
    ),
    (
        "AppArmorProfile",
        "needs the module: cargo xtask test vm has it",
    ),
    ("SELinuxContext", "needs a policy"),
    ("SmackProcessLabel", "needs the module"),
    (
        "RestrictFileSystems",
        "needs the security module bpf: cargo xtask test vm has it",
    ),
    (
        "StateDirectoryQuota",
        "needs quotas of projects: cargo xtask test vm has them",
    ),
    (
        "CacheDirectoryQuota",
        "needs quotas of projects, which are of one kind: cargo xtask test vm has those of StateDirectoryQuota=",
    ),
    (
        "LogsDirectoryQuota",
        "needs quotas of projects, which are of one kind: cargo xtask test vm has those of StateDirectoryQuota=",
    ),
    (
        "StateDirectoryAccounting",
        "needs quotas of projects: cargo xtask test vm has them",
    ),
    (
        "CacheDirectoryAccounting",
        "needs quotas of projects, which are of one kind: cargo xtask test vm has those of StateDirectoryAccounting=",
    ),
    (
        "LogsDirectoryAccounting",
        "needs quotas of projects, which are of one kind: cargo xtask test vm has those of StateDirectoryAccounting=",
    ),
    (
        "OnClockChange",
        "the host's clock is not ours to set: cargo xtask test vm has it",
    ),
    (
        "OnTimezoneChange",
        "needs a zone that may change: a test of timers has it",
    ),
    ("WakeSystem", "needs a machine that sleeps"),
    (
        "PassEnvironment",
        "needs variables of coracled's own: a test of the environment has them",
    ),
    (
        "StartupAllowedCPUs",
        "needs controllers and a machine that comes up: cargo xtask test vm has StartupCPUWeight=",
    ),
    (
        "StartupAllowedMemoryNodes",
        "needs controllers and a machine that comes up: cargo xtask test vm has StartupCPUWeight=",
    ),
    (
        "StartupCPUWeight",
        "needs controllers and a machine that comes up: cargo xtask test vm has it",
    ),
    (
        "StartupIOWeight",
        "needs controllers and a machine that comes up: cargo xtask test vm has StartupCPUWeight=",
    ),
    (
        "StartupMemoryHigh",
        "needs controllers and a machine that comes up: cargo xtask test vm has StartupCPUWeight=",
    ),
    (
        "StartupMemoryLow",
        "needs controllers and a machine that comes up: cargo xtask test vm has StartupCPUWeight=",
    ),
    (
        "StartupMemoryMax",
        "needs controllers and a machine that comes up: cargo xtask test vm has StartupCPUWeight=",
    ),
    (
        "StartupMemorySwapMax",
        "needs controllers and a machine that comes up: cargo xtask test vm has StartupCPUWeight=",
    ),
    (
        "StartupMemoryZSwapMax",
        "needs controllers and a machine that comes up: cargo xtask test vm has StartupCPUWeight=",
    ),
];

/// The names of the table's rows that work and are so.
fn rows(is_so: impl Fn(&settings::Row) -> bool) -> Vec<&'static str> {
    model::Directive::all()
        .map(settings::row)
        .filter(|row| row.works() && is_so(row))
        .map(|row| row.name)
        .collect()
}

/// The names that have no proof of this kind, and the excuses of those that have one.
fn unproven<'a>(
    names: impl IntoIterator<Item = &'a str>,
    proven: &[&str],
    excuses: &[(&str, &str)],
) -> Vec<String> {
    let is_excused = |name: &str| excuses.iter().any(|(excused, _)| *excused == name);
    let missing = names
        .into_iter()
        .filter(|name| !proven.contains(name) && !is_excused(name));
    let needless = excuses.iter().filter(|(name, _)| proven.contains(name));
    missing
        .map(str::to_owned)
        .chain(needless.map(|(name, _)| format!("{name}, whose excuse is needless")))
        .collect()
}

#[test]
fn every_directive_of_the_default_profile_and_every_restriction_has_an_attack() {
    let attacked: Vec<&str> = ATTACKS.iter().map(|attack| attack.directive).collect();
    let profile = profile();
    let names = profile.iter().map(|(name, _)| name.as_str());
    let names = names.chain(rows(settings::Row::is_sandboxing));
    let missing = unproven(names, &attacked, UNATTACKED);
    assert!(missing.is_empty(), "no attack proves {missing:?}");
}

#[test]
fn every_directive_that_works_has_an_attack_or_an_observation() {
    let seen = |row: &settings::Row| {
        let here = OBSERVATIONS
            .iter()
            .filter(|(room, _)| *room == row.directive.room());
        let mut seen = here.flat_map(|(_, all)| all.iter().map(Observation::directive));
        seen.any(|name| name == row.name)
    };
    let attacked = |name| ATTACKS.iter().any(|attack| attack.directive == name);
    let missing = rows(|row| !seen(row) && !attacked(row.name));
    let missing = unproven(missing, &rows(|row| seen(row)), UNSEEN);
    assert!(missing.is_empty(), "nothing shows what {missing:?} do");
}

#[test]
fn every_proof_is_of_a_row_that_works() {
    let is_known = |room: &Room, name| rows(|row| row.directive.room() == *room).contains(&name);
    let all = OBSERVATIONS.iter();
    let all = all.flat_map(|(room, all)| all.iter().map(move |one| (room, one.directive())));
    let unknown: Vec<_> = all.filter(|(room, name)| !is_known(room, name)).collect();
    assert!(unknown.is_empty(), "no row that works is {unknown:?}");
}

#[test]
fn every_directive_stops_its_attack_alone_and_so_does_the_default_profile() {
    with_units(&[], |coracle| {
        let stage = Stage::new(coracle);
        let profile = profile();
        let findings: Vec<String> = ATTACKS
            .iter()
            .flat_map(|attack| attack.check(coracle, &stage, &profile))
            .collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    });
}

/// Observes all of these on one instance.
fn observe(all: &[Observation]) {
    with_units(&[], |coracle| {
        let stage = Stage::new(coracle);
        let _directories = Directories(stage.fill("$NAME"));
        let findings: Vec<String> = (all.iter().enumerate())
            .filter_map(|(number, observation)| observation.check(coracle, &stage, number))
            .collect();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    });
}

/// The directories that services own by this name; gone when the value is dropped.
struct Directories(String);

impl Drop for Directories {
    fn drop(&mut self) {
        for base in ["/var/lib", "/var/cache", "/var/log", "/run", "/etc"] {
            match fs::remove_dir_all(format!("{base}/{}", self.0)) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

#[test]
fn what_makes_a_process_is_seen() {
    observe(exec::OBSERVATIONS);
}

#[test]
fn what_a_control_group_bounds_is_seen_or_told_as_reduced() {
    observe(groups::OBSERVATIONS);
}

#[test]
fn when_a_timer_elapses_is_seen() {
    observe(timer::OBSERVATIONS);
}

#[test]
fn what_a_path_unit_waits_for_is_seen() {
    observe(path::OBSERVATIONS);
}

#[test]
fn what_services_are_asked_and_what_follows_is_seen() {
    observe(health::OBSERVATIONS);
}

#[test]
fn how_one_run_takes_the_place_of_another_is_seen() {
    observe(replace::OBSERVATIONS);
}

#[test]
fn what_is_mounted_is_seen() {
    observe(mount::MOUNT);
    observe(mount::AUTOMOUNT);
    observe(mount::NEEDED);
}

#[test]
fn what_slices_and_scopes_bound_is_seen() {
    observe(slice::SLICE);
    observe(slice::SCOPE);
}

#[test]
fn what_is_tried_before_a_start_is_seen() {
    observe(conditions::OBSERVATIONS);
}

#[test]
fn how_a_service_starts_ends_and_is_killed_is_seen() {
    observe(service::SERVICE);
    observe(service::KILL);
}

#[test]
fn what_units_are_to_each_other_is_seen() {
    observe(unit::OBSERVATIONS);
}

#[test]
fn what_a_socket_unit_listens_on_is_seen() {
    observe(socket::OBSERVATIONS);
}
