//! Random numbers with a seed, and random unit graphs.

use coracle_engine::*;
use std::sync::Arc;

use crate::support::relate;

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// True in `percent` of a hundred.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

const RELATIONS: [Relation; 13] = [
    Relation::Requires,
    Relation::Requisite,
    Relation::Wants,
    Relation::Wants,
    Relation::BindsTo,
    Relation::PartOf,
    Relation::Upholds,
    Relation::Conflicts,
    Relation::Before,
    Relation::After,
    Relation::After,
    Relation::OnFailure,
    Relation::PropagatesReloadTo,
];

/// A service of which two may be up at once, and the socket that it has; beside them at times what needs it.
fn replaced_units(random: &mut Random) -> Vec<UnitConfig> {
    let mut first = service(random, 0);
    may_overlap(random, &mut first);
    let mut units = vec![first, socket(random)];
    if random.chance(30) {
        let mut other = service(random, 1);
        let relation = *random.pick(&[Relation::BindsTo, Relation::Requires, Relation::Upholds]);
        relate(&mut other, relation, "s0.service");
        units.push(other);
    }
    units
}

/// Two to seven units with random relations.
pub(crate) fn units(random: &mut Random) -> Vec<UnitConfig> {
    if random.chance(25) {
        return replaced_units(random);
    }
    let services = 1 + random.below(4);
    let mut units: Vec<UnitConfig> = (0..services).map(|index| service(random, index)).collect();
    for index in 0..random.below(3) {
        let mut target = UnitConfig::target(&format!("t{index}.target"));
        target.allow_isolate = random.chance(30);
        units.push(target);
    }
    if random.chance(40) {
        units.push(socket(random));
    }
    if random.chance(40) {
        units.push(accepting(random));
        for number in 0..INSTANCES {
            let mut instance = service(random, 0);
            instance.name = instance_name(number).into();
            units.push(instance);
        }
    }
    if random.chance(40) {
        let starts = random.pick(&units).name.clone();
        units.push(timer(random, &starts));
    }
    if random.chance(40) {
        let starts = random.pick(&units).name.clone();
        units.push(path(random, &starts));
    }
    if random.chance(30) {
        units.push(crate::tables::entry(random, "d0.mount", Table::Mounts));
    }
    if random.chance(25) {
        let starts = random.pick(&units).name.clone();
        units.push(crate::automounts::automount(random, &starts));
    }
    if random.chance(15) {
        units.push(crate::tables::entry(random, "w0.swap", Table::Swaps));
    }
    let names: Vec<Arc<str>> = units
        .iter()
        .map(|unit| unit.name.clone())
        .chain(["gone.service".into()])
        .collect();
    for unit in &mut units {
        for _ in 0..random.below(4) {
            let (relation, other) = (*random.pick(&RELATIONS), random.pick(&names).clone());
            if other != unit.name {
                relate(unit, relation, &other);
            }
        }
        if random.chance(10) {
            unit.stop_when_unneeded = true;
        }
        if random.chance(10) {
            unit.acts = acts(random);
        }
        if random.chance(5) {
            unit.job_timeout = Micros::seconds(40);
            unit.timeout_clean = Micros::seconds(5);
        }
    }
    units
}

/// When it ends the instance.
fn acts(random: &mut Random) -> Acts {
    Acts {
        failed: random.chance(50),
        succeeded: random.chance(30),
        start_limit: random.chance(30),
        job_timeout: random.chance(30),
    }
}

fn timer(random: &mut Random, starts: &str) -> UnitConfig {
    let mut unit = UnitConfig::timer("m0.timer", starts);
    if let Kind::Timer(timer) = &mut unit.kind {
        let timer = Arc::make_mut(timer);
        timer.remain_after_elapse = random.chance(50);
        timer.follows_unit = random.chance(50);
    }
    unit
}

fn path(random: &mut Random, starts: &str) -> UnitConfig {
    let mut unit = UnitConfig::path("p0.path", starts);
    if let Kind::Path(path) = &mut unit.kind
        && random.chance(30)
    {
        Arc::make_mut(path).trigger_limit.burst = 1 + random.below(3) as u32;
    }
    unit
}

/// Units for connections; a world makes them anew.
const INSTANCES: u32 = 3;

/// The unit of a connection.
pub(crate) fn instance_name(number: u32) -> String {
    format!("a@{}.service", number % INSTANCES)
}

fn accepting(random: &mut Random) -> UnitConfig {
    let mut unit = UnitConfig::socket("a.socket", "a@.service");
    unit.relations = Box::default();
    if let Kind::Socket(socket) = &mut unit.kind {
        let socket = Arc::make_mut(socket);
        socket.accept = Some(AcceptConfig {
            max_connections: 1 + random.below(3) as u32,
            max_per_source: random.below(2) as u32,
        });
        socket.poll_limit.burst = 1 + random.below(6) as u32;
        socket.trigger_limit.burst = 4 + random.below(8) as u32;
        socket.stop_post = commands(random, 20);
    }
    unit
}

fn socket(random: &mut Random) -> UnitConfig {
    let mut unit = UnitConfig::socket("s0.socket", "s0.service");
    if let Kind::Socket(socket) = &mut unit.kind {
        let socket = Arc::make_mut(socket);
        socket.start_pre = commands(random, 20);
        socket.start_post = commands(random, 20);
        socket.stop_pre = commands(random, 20);
        socket.stop_post = commands(random, 20);
        socket.flush_pending = random.chance(10);
        if random.chance(30) {
            socket.defer = DeferTrigger::Patient;
            socket.defer_max = Micros::seconds(60);
        } else if random.chance(30) {
            socket.defer = DeferTrigger::Yes;
        }
    }
    unit
}
/// Types of services; those that are more likely stand there more often.
const TYPES: &[ServiceType] = &[
    ServiceType::Simple,
    ServiceType::Simple,
    ServiceType::Exec,
    ServiceType::Oneshot,
    ServiceType::Forking,
    ServiceType::Forking,
    ServiceType::Notify,
    ServiceType::Notify,
    ServiceType::NotifyReload,
];

/// A oneshot with a PID file fails where nobody is left, and Restart= would go on for ever.
fn has_pid_file(random: &mut Random, service_type: ServiceType) -> bool {
    match service_type {
        ServiceType::Oneshot => false,
        ServiceType::Forking => random.chance(50),
        _ => random.chance(10),
    }
}

/// What asks it whether it works.
fn probes(random: &mut Random, service: &mut ServiceConfig) {
    service.health_commands = commands(random, 50);
    let connections = random.below(3) as u16;
    service.health = Some(Box::new(HealthConfig {
        connections,
        interval: Micros::seconds(2 + random.below(20) as u64),
        timeout: Micros::seconds(1 + random.below(3) as u64),
        start_period: Micros::seconds(random.below(3) as u64),
        retries: random.below(4) as u32,
        on_failure: *random.pick(&[
            HealthFailure::None,
            HealthFailure::Kill,
            HealthFailure::Restart,
            HealthFailure::Stop,
        ]),
        ready: random.chance(60),
    }));
}

fn service(random: &mut Random, index: usize) -> UnitConfig {
    use ServiceType::Oneshot;
    let service_type = *random.pick(TYPES);
    let mut unit = UnitConfig::service(&format!("s{index}.service"), service_type);
    unit.conditions = random.chance(10);
    let Kind::Service(service) = &mut unit.kind else {
        return unit;
    };
    let service = Arc::make_mut(service);
    service.pid_file = has_pid_file(random, service_type);
    service.condition = commands(random, 10);
    service.start_pre = commands(random, 20);
    service.start_post = commands(random, 20);
    service.reload = commands(random, 30);
    service.reload_post = commands(random, 15);
    service.exits_as_group = service_type != Oneshot && random.chance(15);
    if service_type != Oneshot && random.chance(40) {
        probes(random, service);
    }
    if random.chance(15) {
        service.watchdog = Micros::seconds(4);
    }
    if random.chance(20) {
        (service.restart_jitter, service.runtime_jitter) = (Micros::seconds(3), Micros::seconds(9));
    }
    service.oom = *random.pick(&[OomPolicy::Continue, OomPolicy::Stop, OomPolicy::Kill]);
    service.stop = commands(random, 20);
    service.stop_post = commands(random, 20);
    service.remain_after_exit = random.chance(25);
    service.restart_direct = random.chance(25);
    service.restart_steps = random.below(3) as u32;
    service.restart_max_delay = Micros::seconds(5);
    service.runtime_max = if random.chance(10) {
        Micros::seconds(20)
    } else {
        Micros::INFINITY
    };
    service.kill.mode = *random.pick(&[
        KillMode::ControlGroup,
        KillMode::ControlGroup,
        KillMode::Mixed,
        KillMode::Process,
        KillMode::None,
    ]);
    service.kill.send_sigkill = random.chance(90);
    service.start_failure = *random.pick(&[
        TimeoutFailure::Terminate,
        TimeoutFailure::Abort,
        TimeoutFailure::Kill,
    ]);
    service.stop_failure = *random.pick(&[
        TimeoutFailure::Terminate,
        TimeoutFailure::Abort,
        TimeoutFailure::Kill,
    ]);
    if service_type == Oneshot {
        service.start = CommandList::of(random.below(3));
        service.timeout_start = if random.chance(50) {
            Micros::seconds(30)
        } else {
            Micros::INFINITY
        };
        service.remain_after_exit |= service.start.0.is_empty();
        service.restart = *random.pick(&[Restart::No, Restart::OnFailure]);
    } else {
        service.restart = *random.pick(&[
            Restart::No,
            Restart::Always,
            Restart::OnSuccess,
            Restart::OnFailure,
            Restart::OnAbnormal,
            Restart::OnAbort,
        ]);
    }
    unit
}

/// A service of which two may be up at once.
fn may_overlap(random: &mut Random, unit: &mut UnitConfig) {
    use ServiceType::{Exec, Notify, NotifyReload, Simple};
    let Kind::Service(service) = &mut unit.kind else {
        return;
    };
    let service = Arc::make_mut(service);
    service.service_type = *random.pick(&[Simple, Exec, Notify, NotifyReload]);
    service.start = CommandList::of(1);
    (service.stop, service.stop_post) = Default::default();
    service.pid_file = false;
    service.exits_as_group = false;
    service.remain_after_exit = false;
    service.timeout_start = Micros::seconds(20);
    service.kill.mode = *random.pick(&[KillMode::ControlGroup, KillMode::Mixed]);
    service.kill.send_sigkill = true;
    service.overlaps = true;
    service.drain = Micros::seconds(10);
    unit.start_limit.burst = 20;
}

fn commands(random: &mut Random, percent: usize) -> CommandList {
    if !random.chance(percent) {
        return CommandList::default();
    }
    let count = 1 + random.below(2);
    CommandList(
        (0..count)
            .map(|_| Command {
                ignore_failure: random.chance(30),
            })
            .collect(),
    )
}

/// A unit as one line, for traces.
pub(crate) fn brief(config: &UnitConfig) -> String {
    let relations: Vec<String> = config
        .relations
        .iter()
        .map(|(relation, name)| format!("{relation:?}={name}"))
        .collect();
    let kind = match &config.kind {
        Kind::Service(service) => {
            let lists = [
                &service.condition,
                &service.start_pre,
                &service.start,
                &service.start_post,
                &service.reload,
                &service.reload_post,
                &service.stop,
                &service.stop_post,
            ];
            let counts: Vec<String> = lists.iter().map(|list| list.0.len().to_string()).collect();
            format!(
                "{:?} overlaps={} pid-file={} group={} watchdog={} remain={} restart={:?} direct={} kill={:?} sigkill={} lists={} failure={:?}/{:?} runtime={} health={}/{:?}",
                service.service_type,
                service.overlaps,
                service.pid_file,
                service.exits_as_group,
                service.watchdog,
                service.remain_after_exit,
                service.restart,
                service.restart_direct,
                service.kill.mode,
                service.kill.send_sigkill,
                counts.join(""),
                service.start_failure,
                service.stop_failure,
                service.runtime_max,
                service.health_commands.0.len(),
                service.health,
            )
        }
        Kind::Socket(socket) => format!("socket accept={:?}", socket.accept),
        Kind::Timer(timer) => format!("{timer:?}"),
        Kind::Path(path) => format!("{path:?}"),
        Kind::Automount(automount) => format!("{automount:?}"),
        _ => "target".to_owned(),
    };
    let conditions = if config.conditions { " conditions" } else { "" };
    let unneeded = if config.stop_when_unneeded {
        " unneeded"
    } else {
        ""
    };
    format!(
        "{}: {kind}{conditions}{unneeded} {}",
        config.name,
        relations.join(" ")
    )
}
