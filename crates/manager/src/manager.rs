//! The loop: waits, hands each event to its adapter, lets the engine decide, writes records, then acts and answers.
//!
//! The order inside one round is what makes a death at any moment harmless: inputs are stepped through the engine and
//! its effects prepared; descriptors that are to be held go to the keeper; the records of all units that changed are replaced; only
//! then are the other commands sent to the keeper, messages consumed and clients answered.

use crate::cgroup::Cgroups;
use crate::clock;
use crate::connection::Connection;
use crate::directories::Directories;
use crate::entry::Entry;
use crate::link::Link;
use crate::notify::Notifications;
use crate::pending::Pending;
use crate::poll::{Poll, Ready, Token};
use crate::record::Records;
use engine::{Engine, Input, Micros, ProcessKey, UnitId};
use keeper::client::ChannelError;
use keeper::protocol::ChildKey;
use model::facts::Facts;
use model::sorted::{Map, Set};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

/// How this process is to run.
#[derive(Debug)]
pub struct Options {
    /// Where this instance keeps its things.
    pub directories: Directories,
    /// The channel to the keeper.
    pub keeper: OwnedFd,
    /// Keep what runs, start nothing: the manager crashed too often.
    pub adopt_only: bool,
    /// Start what clients ask for and nothing else: default.target is for whoever starts the instance for its own sake.
    pub on_demand: bool,
    /// The datagram socket of whoever waits until clients can connect.
    pub ready: Option<std::path::PathBuf>,
}

/// Why the manager ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call of the loop itself failed.
    #[error("cannot {action}")]
    System {
        /// What it was about to do.
        action: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Another keeper has the runtime directory.
    #[error("{} {}", wire::ANOTHER_RUNS, runtime.display())]
    AlreadyRuns {
        /// The directory.
        runtime: std::path::PathBuf,
    },
    /// Another keeper has the state directory.
    #[error(
        "the instance of the runtime directory {other} uses the state directory {}: one of the runtime directory {} needs a state directory of its own",
        state.display(),
        runtime.display()
    )]
    StateInUse {
        /// The directory.
        state: std::path::PathBuf,
        /// The runtime directory of this instance.
        runtime: std::path::PathBuf,
        /// The runtime directory of the one that has it.
        other: String,
    },
    /// The keeper's channel broke.
    #[error("lost the keeper: {0}")]
    Keeper(String),
}

impl From<ChannelError> for Error {
    fn from(error: ChannelError) -> Self {
        Self::Keeper(error.to_string())
    }
}

/// Names an error's action.
pub(crate) fn doing(action: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::System { action, source }
}

/// What the instance is doing as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The keeper's inventory is coming in; nothing is decided yet.
    Adopting,
    /// The usual.
    Running,
    /// All units are being stopped; then the keeper is told to end.
    Stopping,
    /// The keeper was told to end, or to start the next manager.
    Leaving,
}

/// What the keeper said of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeeperFacts {
    pub(crate) pid: u32,
    pub(crate) restarts: u32,
    pub(crate) init: bool,
    pub(crate) adopt_only: bool,
    /// It switches the machine at its end; keepers of earlier versions, which live on through upgrades, do not.
    pub(crate) power: bool,
}

/// What is done beside the loop, and who waits for it.
#[derive(Default)]
pub(crate) struct Aside {
    pub(crate) accepting: crate::accept::Accepting,
    pub(crate) cleaners: crate::cleaning::Cleaners,
    pub(crate) fetches: crate::credentials::Fetches,
    pub(crate) users: crate::user_database::UserDatabase,
    pub(crate) pid_files: crate::pid_file::PidFiles,
    pub(crate) telling: crate::telling::Telling,
    pub(crate) tests: crate::testing::Tests,
    pub(crate) sets: crate::firewall::Sets,
    pub(crate) joiners: crate::namespaces::Joiners,
    pub(crate) timers: crate::timers::Timers,
    pub(crate) paths: crate::paths::Paths,
    pub(crate) automounts: crate::automounts::Automounts,
    pub(crate) tables: crate::tables::Tables,
    pub(crate) bus_names: crate::bus_names::BusNames,
    pub(crate) devices: crate::devices::Devices,
    pub(crate) flushes: crate::draining::Flushes,
    pub(crate) probes: crate::health::Probes,
    pub(crate) leases: crate::freezing::Leases,
}

/// An executor's report that is still open.
pub(crate) struct OpenReport {
    pub(crate) process: ProcessKey,
    pub(crate) socket: Rc<OwnedFd>,
}

/// What is there for later starts, or for when nobody waits.
#[derive(Default)]
pub(crate) struct Later {
    /// Watches of what the kernel counts of a unit's memory.
    pub(crate) memory_watches: Map<i32, (UnitId, u64)>,
    /// Which bounds of units hold now.
    pub(crate) when: plan::resources::When,
    pub(crate) networks: crate::networks::Networks,
    pub(crate) recent: crate::recent::Recent,
    pub(crate) tables: crate::users::Kept,
    /// Dynamic users whose runs are over: their numbers are given back after the clients have their answers.
    pub(crate) leaving_users: Vec<crate::run::RunUser>,
    /// Units, and what runs of theirs that are over have left under names of their own: removed then, too.
    pub(crate) trees: Vec<(String, std::path::PathBuf)>,
    /// Removals that threads are at.
    pub(crate) removals: usize,
    /// Runs that have another run's directories for temporary files.
    pub(crate) joined_runs: usize,
    /// What this manager has decided about the instance's end.
    pub(crate) ending: Option<crate::actions::Ending>,
    pub(crate) generators: crate::generators::Generators,
    pub(crate) last_target: crate::last_target::LastTarget,
    /// Groups of runs that nobody knows, whose processes were killed.
    pub(crate) doomed: Vec<(String, u64)>,
}

/// Everything of the manager.
pub(crate) struct Manager {
    pub(crate) directories: Directories,
    pub(crate) facts: Arc<Facts>,
    pub(crate) stage: Stage,
    pub(crate) keeper: KeeperFacts,
    pub(crate) poll: Poll,
    pub(crate) link: Link,
    pub(crate) engine: Engine,
    /// In boxes: the nodes of a tree are half empty where ids come in their order.
    pub(crate) units: BTreeMap<UnitId, Box<Entry>>,
    /// The keeper's key of each unit.
    pub(crate) by_key: crate::keys::Keys,
    pub(crate) inputs: VecDeque<Input>,
    pub(crate) wake: Option<Micros>,
    pub(crate) records: Records,
    /// Units whose record is to be replaced before anything is done.
    pub(crate) dirty: Set<UnitId>,
    /// Children whose end is on record after this round.
    pub(crate) to_reap: Vec<ChildKey>,
    /// Runs that are over: their group is removed after the clients have their answers.
    pub(crate) to_remove: Vec<(String, u64)>,
    pub(crate) cgroups: Option<Cgroups>,
    pub(crate) filters: crate::filters::Filters,
    /// The unit and run of each watch on a control group.
    pub(crate) cgroup_watches: Map<i32, (UnitId, u64)>,
    pub(crate) reports: Map<u32, OpenReport>,
    pub(crate) notifications: Notifications,
    /// Listening sockets that are watched: the socket unit of each token.
    pub(crate) listening: Map<u32, (UnitId, Rc<OwnedFd>)>,
    /// Sockets of stopped units whose services run still. As long as we have them, the keeper's are not the last ones.
    pub(crate) closing: Vec<(UnitId, Rc<OwnedFd>)>,
    pub(crate) openers: Map<ChildKey, crate::opener::Opening>,
    pub(crate) mounts: crate::image::Mounts,
    pub(crate) aside: Aside,
    pub(crate) later: Later,
    pub(crate) host_files: crate::host_files::HostFiles,
    pub(crate) elsewhere: crate::elsewhere::Elsewhere,
    pub(crate) api: Option<OwnedFd>,
    pub(crate) connections: Map<u32, Connection>,
    pub(crate) pending: Vec<Pending>,
    /// Clients that wait until the sandbox of a unit is made.
    pub(crate) entering: Vec<(u32, String)>,
    pub(crate) next_request: u64,
    /// Variables for every service.
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) inventory: crate::adopt::Inventory,
    pub(crate) own_log: crate::own_log::OwnLog,
    /// No manager of the instance ran before.
    pub(crate) fresh: bool,
    pub(crate) on_demand: bool,
    pub(crate) ready: Option<std::path::PathBuf>,
    /// Units made at run time that went down in this round.
    pub(crate) ended_transients: Set<UnitId>,
    /// Those of them whose clients may come back after a change of managers.
    pub(crate) awaited: crate::returning::Awaited,
    /// Openers of the manager before us that still live, with what waits for their end.
    pub(crate) stale_openers: Vec<(ChildKey, Option<(UnitId, engine::Incarnation)>)>,
    pub(crate) loader: crate::loading::UnitLoader,
    /// Signals that go out when this round is on record.
    pub(crate) signals: Vec<(crate::effects::Whom, engine::Signal)>,
    /// Ends of processes that said something before, which is heard first.
    pub(crate) late_ends: Vec<crate::children::LateEnd>,
    /// When records that nothing rests on yet are written at the latest.
    records_due: Option<Micros>,
    /// Something was heard in this round that nobody says again.
    pub(crate) records_needed: bool,
}

/// Runs the manager until the keeper wants no more of it.
///
/// # Errors
/// When the loop can't go on; the keeper then starts the next manager, which adopts everything.
pub fn run(options: Options) -> Result<(), Error> {
    let mut manager = Manager::new(options)?;
    let outcome = manager.go_on();
    if outcome.is_err() {
        match manager.write_later() {
            // What can't be said now is on record, or its cause is met again by the next manager; the first error is the one to tell.
            Ok(()) | Err(_) => {}
        }
    }
    outcome
}

impl Manager {
    fn new(options: Options) -> Result<Self, Error> {
        let directories = options.directories;
        let fresh = crate::adopt::make_directories(&directories)?;
        let poll = Poll::new().map_err(|errno| doing("make an epoll descriptor")(errno.into()))?;
        let link = Link::new(options.keeper, &poll)
            .map_err(|errno| doing("watch the keeper's channel")(errno.into()))?;
        let facts = Arc::new(kernel::probe::facts());
        let place = directories.cgroup_place();
        let cgroups = Cgroups::open(&facts.cgroup, &directories.cgroup_name(), &place)
            .map_err(doing("make the control group of this instance"))?;
        if let Some(cgroups) = &cgroups {
            poll.watch(cgroups, Token::Cgroups)
                .map_err(|errno| doing("watch control groups")(errno.into()))?;
        }
        let records =
            Records::open(directories.records()).map_err(doing("open the directory of records"))?;
        let environment = crate::environment::read(&directories)
            .map_err(doing("read the recorded environment"))?;
        let keeper = KeeperFacts {
            adopt_only: options.adopt_only,
            ..KeeperFacts::default()
        };
        Ok(Self {
            elsewhere: crate::elsewhere::Elsewhere::new(&poll)?,
            host_files: crate::host_files::HostFiles::new(&directories.runtime),
            loader: crate::loading::loader(&directories, false),
            facts,
            directories,
            stage: Stage::Adopting,
            keeper,
            poll,
            link,
            engine: Engine::with_seed(crate::timers::random_bits()),
            units: BTreeMap::new(),
            by_key: crate::keys::Keys::default(),
            inputs: VecDeque::new(),
            wake: None,
            records,
            dirty: Set::new(),
            to_reap: Vec::new(),
            to_remove: Vec::new(),
            cgroups,
            filters: crate::filters::Filters::default(),
            cgroup_watches: Map::new(),
            reports: Map::new(),
            notifications: Notifications::default(),
            listening: Map::new(),
            closing: Vec::new(),
            openers: Map::new(),
            mounts: crate::image::Mounts::default(),
            aside: Aside::default(),
            later: Later::default(),
            api: None,
            connections: Map::new(),
            pending: Vec::new(),
            entering: Vec::new(),
            next_request: 0,
            environment,
            inventory: crate::adopt::Inventory::default(),
            own_log: crate::own_log::OwnLog::default(),
            fresh,
            on_demand: options.on_demand,
            ready: options.ready,
            ended_transients: Set::new(),
            awaited: crate::returning::Awaited::default(),
            stale_openers: Vec::new(),
            signals: Vec::new(),
            late_ends: Vec::new(),
            records_due: None,
            records_needed: false,
        })
    }

    fn go_on(&mut self) -> Result<(), Error> {
        while !self.is_finished() {
            let ready = self
                .poll
                .wait(self.timeout_us())
                .map_err(|errno| doing("wait for events")(errno.into()))?;
            for event in ready {
                self.dispatch(event)?;
            }
            self.take_late_ends();
            self.answer_asking_users();
            self.elsewhere.go_on(clock::monotonic());
            self.ask_further_sockets(clock::monotonic());
            self.give_up_pid_files(clock::monotonic());
            self.give_up_flushes(clock::monotonic());
            self.end_pauses(clock::monotonic());
            self.end_pause_of_tables(clock::monotonic());
            self.end_probe_pauses(clock::monotonic());
            self.end_pause_of_bus(clock::monotonic());
            self.end_generators();
            self.settle()?;
            self.look_at_startup();
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        self.stage == Stage::Leaving
            && self.connections.values().all(Connection::is_idle)
            && self.later.trees.is_empty()
            && self.later.removals == 0
            && !self.aside.pid_files.are_removed()
    }

    /// How long to wait, from the engine's next deadline.
    fn timeout_us(&self) -> Option<u64> {
        let has_ended = self.later.generators.has_ended();
        if has_ended || !self.late_ends.is_empty() || self.has_asking_users() {
            return Some(0);
        }
        // What has no room now goes on when the keeper has some, which it tells.
        let records_due = self.records_due.filter(|_| !self.link.holds_wait());
        let next = self.wake.into_iter().chain(records_due);
        let next = next.chain(self.own_log_due());
        let next = next.chain(self.awaited.until).chain(self.elsewhere.retry);
        let next = next.chain(self.aside.fetches.retry);
        let next = next.chain(self.aside.pid_files.next_end());
        let next = next.chain(self.mounts.next_end());
        let next = next.chain(self.aside.flushes.next_end());
        let next = next.chain(self.aside.paths.next_end());
        let next = next.chain(self.aside.tables.next_end());
        let next = next.chain(self.aside.bus_names.retry);
        let next = next.chain(self.aside.probes.next_end());
        let next = next.chain(self.aside.timers.next());
        let next = next.chain(self.later.networks.next_end()).min();
        next.map(|moment| moment.0.saturating_sub(clock::monotonic().0))
    }

    fn dispatch(&mut self, event: Ready) -> Result<(), Error> {
        match event.token {
            Token::Keeper => self.on_keeper()?,
            Token::Api => self.on_api(),
            Token::Cgroups => self.on_cgroups(),
            Token::HostFiles => self.on_host_files(),
            Token::PidFiles => self.on_pid_files(),
            Token::Client(number) => self.on_client(number, event),
            Token::Report(number) => self.on_report(number),
            Token::Notify(number) => self.on_notify(number),
            Token::Listen(number) => self.on_traffic(number),
            Token::Worker(number) => self.on_worker(number),
            Token::Network => self.on_network(),
            Token::OwnLog => self.on_room()?,
            Token::Elsewhere => self.on_elsewhere(),
            Token::Users => self.on_users(),
            Token::UserClient(number) => self.on_user_client(number, event),
            Token::Timers(source) => self.on_timers(source),
            Token::Path(token) => self.on_path_events(token),
            Token::Automount(token) => self.on_automount(token, event.closed),
            Token::Mounts => self.on_mounts(),
            Token::Tables => self.on_tables(),
            Token::Stored(number) => self.on_stored_ended(number),
            Token::ProbeOutput(number) => self.on_probe_output(number),
            Token::Probed => self.on_probed(),
            Token::Devices => self.on_udev(),
            Token::Bus(number) => self.on_bus(number, event),
        }
        Ok(())
    }

    /// Everything that follows from the events of this round.
    fn settle(&mut self) -> Result<(), Error> {
        if self.stage != Stage::Adopting {
            if self.wake.is_some_and(|moment| moment <= clock::monotonic()) {
                self.wake = None;
                self.inputs.push_back(Input::Tick);
            }
            self.elapse_timers(false);
            self.end_overdue_mounts();
            self.end_unwanted_networks();
            self.tell_of_devices();
            self.advance();
            while self.answer_pending() | self.let_in() {
                self.tell_of_devices();
                self.advance();
            }
            self.set_alarms();
            self.continue_stopping();
        }
        if !self.link.send_holds(&self.poll)? {
            return Ok(());
        }
        self.write_records();
        self.records_needed = false;
        self.mark_started()?;
        self.send_signals();
        self.change_sets();
        self.link.flush(&self.poll)?;
        self.consume_heard();
        self.flush_connections();
        self.write_later()?;
        self.remove_trees();
        if self.stage != Stage::Adopting
            && (self.collect_transients() | self.collect_instances())
            && self.link.send_holds(&self.poll)?
        {
            self.write_records();
            self.send_signals();
            self.link.flush(&self.poll)?;
        }
        self.release_users();
        self.end_mounts();
        self.replenish_networks();
        self.link.flush(&self.poll)?;
        self.remove_groups();
        self.write_later()?;
        if !self.dirty.is_empty() {
            self.write_records_soon();
        }
        Ok(())
    }

    /// Steps the engine until it has nothing more to hear.
    pub(crate) fn advance(&mut self) {
        loop {
            while let Some(input) = self.inputs.pop_front() {
                let effects = self.engine.step(clock::monotonic(), input);
                for effect in effects {
                    self.carry_out(effect);
                }
            }
            if !self.reckon_timers() {
                return;
            }
        }
    }

    /// Replaces the records of the units that changed, if this round does anything that rests on them. If not, what changed is what
    /// the keeper's inventory tells the next manager anyway (a process exists, it was executed), and a short while may pass: most
    /// units change again within it.
    fn write_records(&mut self) {
        self.dirty.extend(self.own_log.take_unrecorded());
        if self.dirty.is_empty() && self.to_reap.is_empty() {
            return;
        }
        let now = clock::monotonic();
        let due = self.records_due.is_some_and(|due| due <= now);
        if !due && !self.must_record() {
            self.write_records_soon();
            return;
        }
        self.records_due = None;
        let mut failed = Vec::new();
        while let Some(id) = self.dirty.pop_first() {
            let Some(record) = self.record_of(id) else {
                continue;
            };
            if let Err(error) = self.records.write(&record) {
                self.cannot_record(&record.snapshot.name, &error);
                failed.push(id);
            }
        }
        if !failed.is_empty() {
            return self.dirty.extend(failed);
        }
        if std::mem::take(&mut self.records.is_failing) {
            self.log("what happens to units is on record again");
        }
        for key in std::mem::take(&mut self.to_reap) {
            self.link.reap(key);
        }
    }

    /// Goes on without, until there is room again. The keeper keeps the ends that it was not told to forget; but a service that was started
    /// meanwhile is unknown to the next manager, which ends it.
    fn cannot_record(&mut self, unit: &str, error: &std::io::Error) {
        const NEXT_TRY_US: u64 = 1_000_000;
        if !std::mem::replace(&mut self.records.is_failing, true) {
            self.log(&format!(
                "cannot record what happens to {unit} in {}: {error}; what is started until that works ends with the manager; make room there",
                self.records.directory().display()
            ));
        }
        self.records_due = Some(clock::monotonic().after(Micros(NEXT_TRY_US)));
    }

    fn write_records_soon(&mut self) {
        /// Long enough for a short command to begin and end, in microseconds.
        const PATIENCE_US: u64 = 20_000;
        self.records_due
            .get_or_insert_with(|| clock::monotonic().after(Micros(PATIENCE_US)));
    }

    /// Does this round tell anybody anything, or take what is told only once?
    fn must_record(&self) -> bool {
        !self.to_reap.is_empty()
            || self.link.has_queued()
            || !self.signals.is_empty()
            || self.notifications.has_heard()
            || self.records_needed
            || self
                .connections
                .values()
                .any(|connection| !connection.is_idle())
    }

    pub(crate) fn remove_groups(&mut self) {
        let Some(cgroups) = &mut self.cgroups else {
            return;
        };
        let mut unwatched = None;
        for (unit, incarnation) in std::mem::take(&mut self.to_remove) {
            if !cgroups.remove(&unit, incarnation) && !cgroups.end_probe_groups(&unit, incarnation)
            {
                // Removed when what is told of them says that they are empty.
                if let Err(errno) = cgroups.watch_probes(&unit, incarnation) {
                    unwatched = Some(format!(
                        "cannot watch the groups of {unit}'s probes, which go with the next group that goes: {errno}"
                    ));
                }
                self.later.doomed.push((unit, incarnation));
            }
        }
        self.later
            .doomed
            .retain(|(unit, incarnation)| !cgroups.remove(unit, *incarnation));
        cgroups.remove_left_slices();
        if let Some(text) = unwatched {
            self.log(&text);
        }
    }

    /// A unit's entry by its name.
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        Some(self.units.get(&self.engine.id(name)?)?)
    }
}
