//! The programs of a unit's control group: what they need of the host, loading and attaching them, and what they counted.

use crate::manager::Manager;
use crate::pattern::matches;
use engine::UnitId;
use kernel::bpf;
use model::Unit;
use plan::ebpf::{
    COUNTERS_BYTES, DeviceNumbers, Executor, FILE_OPEN, Ground, GroupProgram, HOOKS, Hook, Host,
    Instruction, Source, wants_counters,
};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::cell::OnceCell;
use std::ffi::CString;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use wire::Failure;

/// What the kernel lists of us: the programs and maps of units.
const NAME: &str = "coracle";
/// How many programs are kept loaded for the next unit that has the same.
const KEPT_MAX: usize = 32;

/// Programs that are loaded already: most units want the same few.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    loaded: Vec<(Hook, Vec<Instruction>, OwnedFd)>,
    /// What programs of the security module rest on, once it was looked for.
    ground: OnceCell<Ground>,
    /// The file that every start executes first.
    pub(crate) executor: Option<Executor>,
}

/// What can't be done at a unit's group.
pub(crate) enum Trouble<'a> {
    /// Loading or attaching this program.
    With(&'a GroupProgram),
    /// Taking away what an earlier start attached at this hook.
    Earlier(Hook),
}

/// A program of somebody else's that we attached: the hook's number, and its own.
pub(crate) type PinnedThere = (u32, u32);

/// A program at a group: where, its number, and itself.
type Attached = (Hook, u32, OwnedFd);

impl Filters {
    /// Gives a unit's group these programs, and takes away those that an earlier start made for it at these hooks. No moment is without one
    /// or the other.
    ///
    /// # Errors
    /// What can't be done, and why.
    fn apply<'a>(
        &mut self,
        group: BorrowedFd<'_>,
        (is_new, hooks): (bool, &[Hook]),
        programs: &'a [GroupProgram],
        earlier: &[PinnedThere],
    ) -> Result<Vec<PinnedThere>, (Trouble<'a>, io::Error)> {
        let before = if is_new {
            Vec::new()
        } else {
            attached(group, hooks)
        };
        let mut counters = None;
        let (mut kept, mut pinned) = (Vec::new(), Vec::new());
        for program in programs {
            let place = self
                .put(group, program, &before, &mut counters)
                .map_err(|error| (Trouble::With(program), error))?;
            if let (Source::Pinned(_), Some((hook, id))) = (&program.source, place) {
                pinned.push((hook.attach, id));
            }
            kept.extend(place);
        }
        for (hook, id, loaded) in &before {
            let is_made = || bpf::describe(loaded).is_ok_and(|known| is_ours(&known.name));
            let is_old = || earlier.contains(&(hook.attach, *id)) || is_made();
            if !kept.contains(&(*hook, *id)) && is_old() {
                bpf::detach(group, loaded, hook.attach)
                    .map_err(|error| (Trouble::Earlier(*hook), error.into()))?;
            }
        }
        Ok(pinned)
    }

    /// Attaches a program, unless it is there already; gives its place and number where somebody wants to know.
    fn put(
        &mut self,
        group: BorrowedFd<'_>,
        program: &GroupProgram,
        before: &[Attached],
        counters: &mut Option<OwnedFd>,
    ) -> io::Result<Option<(Hook, u32)>> {
        let own;
        let loaded = match &program.source {
            Source::Made(code) if code.iter().any(wants_counters) => {
                own = load(program.hook, 0, &counting(code, counters)?)?;
                own.as_fd()
            }
            Source::Made(code) => self.loaded(program.hook, program.function, code)?,
            Source::Pinned(path) => {
                own = bpf::pinned(&CString::new(path.as_str())?)?;
                own.as_fd()
            }
        };
        let is_pinned = matches!(program.source, Source::Pinned(_));
        let mut place = None;
        if is_pinned || !before.is_empty() {
            place = Some((program.hook, bpf::describe(loaded)?.id));
            // The kernel takes no program twice.
            let is_there = |(hook, id, _): &Attached| Some((*hook, *id)) == place;
            if before.iter().any(is_there) {
                return Ok(place);
            }
        }
        bpf::attach(group, loaded, program.hook.attach)?;
        Ok(place)
    }

    fn loaded(
        &mut self,
        hook: Hook,
        function: u32,
        code: &[Instruction],
    ) -> io::Result<BorrowedFd<'_>> {
        let known = self
            .loaded
            .iter()
            .position(|(at, known, _)| *at == hook && known == code);
        let at = match known {
            Some(at) => at,
            None => {
                let loaded = load(hook, function, code)?;
                if self.loaded.len() >= KEPT_MAX {
                    self.loaded.clear();
                }
                self.loaded.push((hook, code.to_vec(), loaded));
                self.loaded.len() - 1
            }
        };
        match self.loaded.get(at) {
            Some((_, _, loaded)) => Ok(loaded.as_fd()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn load(hook: Hook, function: u32, code: &[Instruction]) -> io::Result<OwnedFd> {
    let code: Vec<_> = code.iter().map(Instruction::bytes).collect();
    let loaded = bpf::load_before(NAME, hook.program, hook.attach, function, &code);
    Ok(loaded?)
}

/// Bytes of the kernel's description of its types that are read; a kernel with everything has some seven million.
const TYPES_BYTES_MAX: u64 = 64 << 20;

/// Looks for what programs of the security module rest on.
fn find_ground(executor: Option<Executor>) -> Result<Ground, String> {
    const SWITCHED_OFF: &str = "the security module bpf is not active: that needs Linux 6.0 and `lsm=` with bpf on the kernel's command line";
    let modules = kernel::security::modules()
        .map_err(|error| format!("the active security modules are not known: {error}"))?;
    if !modules.iter().any(|module| module == "bpf") {
        return Err(SWITCHED_OFF.into());
    }
    let path = "/sys/kernel/btf/vmlinux";
    let mut types = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(TYPES_BYTES_MAX).read_to_end(&mut types))
        .map_err(|error| format!("{path} can't be read: {error}"))?;
    let layout = plan::ebpf::btf::layout(&types).map_err(|missing| missing.to_string())?;
    let executor = executor.ok_or("what sets up the sandbox can't be told from others here")?;
    Ok(Ground { layout, executor })
}

/// What tells the file that every start executes first from all others; nothing where the kernel does not say it.
pub(crate) fn executor(file: &OwnedFd) -> Option<Executor> {
    let identity = kernel::security::identity(file).ok()?;
    Some(Executor {
        device: identity.device,
        inode: identity.inode,
        generation: identity.generation,
    })
}

/// The program with the descriptor of its unit's counters, which both directions share.
fn counting(code: &[Instruction], counters: &mut Option<OwnedFd>) -> io::Result<Vec<Instruction>> {
    let map = match counters {
        Some(map) => map,
        None => counters.insert(bpf::make_array(NAME, COUNTERS_BYTES as u32)?),
    };
    let mut code = code.to_vec();
    for instruction in code.iter_mut().filter(|one| wants_counters(one)) {
        instruction.immediate = map.as_raw_fd();
    }
    Ok(code)
}

/// The programs at a group, whoever attached them.
fn attached(group: BorrowedFd<'_>, hooks: &[Hook]) -> Vec<Attached> {
    let mut found = Vec::new();
    for hook in hooks.iter().copied() {
        let mut ids = [0; bpf::PROGRAMS_MAX];
        // A kernel that does not know the hook has nothing there; what can't be looked at goes on to restrict.
        let count = bpf::attached(group, hook.attach, &mut ids).unwrap_or(0);
        let ids = ids.iter().take(count);
        found.extend(ids.filter_map(|id| Some((hook, *id, bpf::by_id(*id).ok()?))));
    }
    found
}

fn is_ours(name: &[u8]) -> bool {
    name.split(|byte| *byte == 0).next() == Some(NAME.as_bytes())
}

/// What passed the programs of a group that count.
fn counted(group: BorrowedFd<'_>) -> Option<wire::Traffic> {
    let mut ids = [0; bpf::PROGRAMS_MAX];
    let count = bpf::attached(group, plan::ebpf::EGRESS.attach, &mut ids).ok()?;
    let maps = ids.iter().take(count).filter_map(|id| {
        let known = bpf::describe(bpf::by_id(*id).ok()?).ok()?;
        known.map.filter(|_| is_ours(&known.name))
    });
    let bytes: [u8; COUNTERS_BYTES] = maps.filter_map(|map| bpf::read_array(&map).ok()).next()?;
    let mut numbers = bytes
        .chunks_exact(8)
        .filter_map(|chunk| Some(u64::from_ne_bytes(chunk.try_into().ok()?)));
    Some(wire::Traffic {
        ingress_packets: numbers.next()?,
        ingress_bytes: numbers.next()?,
        egress_packets: numbers.next()?,
        egress_bytes: numbers.next()?,
    })
}

/// The programs that a unit asks for, with what the host knows now.
///
/// # Errors
/// What the unit names and the host does not have.
pub(crate) fn programs_of(
    unit: &Unit,
    filters: &Filters,
) -> Result<Vec<GroupProgram>, plan::Refusal> {
    with_host(filters, |host| plan::ebpf::group_programs(unit, host))
}

fn with_host<T>(filters: &Filters, ask: impl FnOnce(&Host<'_>) -> T) -> T {
    // What could not be found may be found at the next start: it is short of memory or descriptors for a moment.
    let ground = || {
        let found = match filters.ground.get() {
            Some(known) => return Ok(*known),
            None => find_ground(filters.executor)?,
        };
        Ok(*filters.ground.get_or_init(|| found))
    };
    let host = Host {
        devices: &devices,
        interface: &interface,
        ground: &ground,
    };
    ask(&host)
}

/// The number of a network interface of this network namespace.
fn interface(name: &str) -> Option<u32> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    );
    rustix::net::netdevice::name_to_index(&socket.ok()?, name).ok()
}

/// The numbers behind a node below `/dev`, or behind the drivers that a pattern names, by their name or number.
fn devices(name: &str) -> Vec<DeviceNumbers> {
    let (block, pattern) = match name.split_once('-') {
        Some(("char", pattern)) => (false, pattern),
        Some(("block", pattern)) => (true, pattern),
        _ => return node(name).into_iter().collect(),
    };
    let of = |major| DeviceNumbers {
        block,
        major,
        minor: None,
    };
    if pattern == "*" {
        return vec![of(None)];
    }
    // Nearly every service may use these, whose numbers never change (devices.txt of the kernel): the list of all takes the kernel longer
    // to write than a control group takes to make.
    if (block, pattern) == (false, "pts") {
        return vec![of(Some(UNIX98_PTY_SLAVE_MAJOR))];
    }
    if let Ok(major) = pattern.parse() {
        return vec![of(Some(major))];
    }
    if (block, pattern) == (false, "rtc")
        && let Some(known) = clocks()
    {
        return known.into_iter().map(|major| of(Some(major))).collect();
    }
    let list = crate::beginning::text("/proc/devices", DRIVERS_BYTES_MAX).unwrap_or_default();
    let drivers = majors(&list, block);
    let named = drivers.filter(|(_, driver)| matches(pattern, driver));
    named.map(|(major, _)| of(Some(major))).collect()
}

/// The number of the driver of clocks, which ProtectClock= asks for, as sysfs(5) tells it at once: that of the first clock, or none, as the
/// driver comes with its class. Nothing where sysfs does not tell.
fn clocks() -> Option<Option<u32>> {
    let is_there = |path: &str| std::path::Path::new(path).is_dir();
    if !is_there("/sys/class/rtc") {
        return is_there("/sys/class").then_some(None);
    }
    let numbers = crate::beginning::text("/sys/class/rtc/rtc0/dev", 64).ok()?;
    let (major, _) = numbers.split_once(':')?;
    major.parse().ok().map(Some)
}

/// The first major number of pseudo-terminals, and the only one that Linux uses for them since 2.6.
const UNIX98_PTY_SLAVE_MAJOR: u32 = 136;
/// Bytes of /proc/devices that are read; a machine with everything has two thousand.
const DRIVERS_BYTES_MAX: u64 = 64 << 10;

/// The drivers of one kind, by number and name.
fn majors(list: &str, block: bool) -> impl Iterator<Item = (u32, &str)> {
    let mut is_kind = false;
    list.lines().filter_map(move |line| {
        match line {
            "Character devices:" => is_kind = !block,
            "Block devices:" => is_kind = block,
            _ => {}
        }
        let (major, driver) = line.trim_start().split_once(' ')?;
        Some((major.parse().ok()?, driver.trim())).filter(|_| is_kind)
    })
}

/// Only below /dev, and not where everybody may make links: nothing that root puts there makes the manager wait.
fn node(path: &str) -> Option<DeviceNumbers> {
    let name = path.strip_prefix("/dev/")?;
    if ["shm/", "mqueue/"]
        .iter()
        .any(|open| name.starts_with(open))
    {
        return None;
    }
    let status = rustix::fs::stat(path).ok()?;
    let kind = rustix::fs::FileType::from_raw_mode(status.st_mode);
    let block = match kind {
        rustix::fs::FileType::BlockDevice => true,
        rustix::fs::FileType::CharacterDevice => false,
        _ => return None,
    };
    Some(DeviceNumbers {
        block,
        major: Some(rustix::fs::major(status.st_rdev)),
        minor: Some(rustix::fs::minor(status.st_rdev)),
    })
}

impl Manager {
    /// What passed the programs of the unit whose run has this group, where they count.
    pub(crate) fn traffic_of(&self, run: &str) -> Option<wire::Traffic> {
        counted(self.cgroups.as_ref()?.unit_of(run)?.as_fd())
    }

    /// Gives the group of a unit its programs, before a process is in it.
    ///
    /// # Errors
    /// A restriction that can't hold: the start ends with it.
    pub(crate) fn filter_group(&mut self, unit: UnitId) -> Result<(), Failure> {
        let Some(entry) = self.units.get(&unit) else {
            return Ok(());
        };
        let mut programs = programs_of(&entry.unit, &self.filters)
            .map_err(|refusal| crate::planning::refused(entry, &refusal))?;
        if !self.facts.cgroup.programs || self.cgroups.is_none() {
            // What may be reduced is shown by `status`.
            programs.retain(|program| !program.may_reduce);
            return match programs.first() {
                Some(program) => Err(untaken(entry, program, NO_PROGRAMS.into())),
                None => Ok(()),
            };
        }
        let hooks: Vec<Hook> = HOOKS.into_iter().chain([FILE_OPEN]).collect();
        self.give_programs(unit, &programs, &hooks)
    }

    /// Gives the group these programs, and takes away others of ours at these hooks.
    fn give_programs(
        &mut self,
        unit: UnitId,
        programs: &[GroupProgram],
        hooks: &[Hook],
    ) -> Result<(), Failure> {
        let (Some(entry), Some(cgroups)) = (self.units.get(&unit), &self.cgroups) else {
            return Ok(());
        };
        let name = entry.name.as_str();
        if programs.is_empty() && !cgroups.has_unit(name) {
            return Ok(());
        }
        let group = cgroups.make_unit(name);
        let (group, is_new) =
            group.map_err(|error| self.internal(unit, "make its control group", &error))?;
        let (earlier, elsewhere): (Vec<PinnedThere>, Vec<_>) = (entry.pinned.iter())
            .partition(|(attach, _)| hooks.iter().any(|hook| hook.attach == *attach));
        let pinned = self
            .filters
            .apply(group.as_fd(), (is_new, hooks), programs, &earlier)
            .map_err(|(trouble, error)| match trouble {
                Trouble::With(program) => untaken(
                    entry,
                    program,
                    format!(
                        "the kernel does not take its {} program for the control group: {error}",
                        program.hook.name
                    ),
                ),
                Trouble::Earlier(hook) => {
                    let what = format!("take away the {} program of an earlier start", hook.name);
                    self.internal(unit, &what, &error)
                }
            })?;
        let pinned = [elsewhere, pinned].concat();
        if let Some(entry) = self
            .units
            .get_mut(&unit)
            .filter(|entry| pinned != entry.pinned)
        {
            entry.pinned = pinned;
            self.dirty.insert(unit);
        }
        Ok(())
    }

    /// A keeper that was replaced executes another file to set up a sandbox: the programs that let the old one through are made anew. What
    /// else restricts the units, and what was counted, stays as it is.
    pub(crate) fn filter_files_again(&mut self) {
        let directive = model::key::RESTRICT_FILE_SYSTEMS.directive();
        let units = self.units.values();
        let running = units.filter(|entry| !entry.runs.is_empty() && entry.unit.is_set(directive));
        let running: Vec<UnitId> = running.map(|entry| entry.id).collect();
        for unit in running {
            if let Err(failure) = self.filter_files(unit) {
                // Those that are there restrict still.
                self.log_as(crate::own_log::ERROR, unit, &failure.to_string());
            }
        }
    }

    fn filter_files(&mut self, unit: UnitId) -> Result<(), Failure> {
        let Some(entry) = self.units.get(&unit) else {
            return Ok(());
        };
        let made = with_host(&self.filters, |host| {
            plan::ebpf::file_program(&entry.unit, host)
        });
        let made = made.map_err(|refusal| crate::planning::refused(entry, &refusal))?;
        self.give_programs(unit, made.as_slice(), &[FILE_OPEN])
    }

    /// The restrictions of a unit that need programs where there can be none, and that hold without them in part.
    pub(crate) fn filter_reductions(&self, unit: &Unit) -> Vec<wire::Reduction> {
        if self.facts.cgroup.programs && self.cgroups.is_some() {
            return Vec::new();
        }
        let programs = programs_of(unit, &self.filters).unwrap_or_default();
        let reduced = programs.iter().filter(|program| program.may_reduce);
        let mut found: Vec<wire::Reduction> = Vec::new();
        for program in reduced {
            let directive = program.directive.name();
            if found.iter().all(|known| known.directive != directive) {
                found.push(wire::Reduction {
                    directive: directive.into(),
                    reason: NO_PROGRAMS.into(),
                });
            }
        }
        found
    }
}

fn untaken(entry: &crate::entry::Entry, program: &GroupProgram, why: String) -> Failure {
    Failure::Refused {
        unit: entry.name.to_string(),
        directive: program.directive.name().into(),
        message: format!("can't be applied: {why}"),
    }
}

/// Why a restriction by programs can't hold.
const NO_PROGRAMS: &str = "its control group can have no BPF programs here: that needs version 2 of control groups, CAP_BPF and CAP_NET_ADMIN";

#[cfg(test)]
mod tests {
    use super::{devices, majors};

    #[test]
    fn drivers_are_found_by_kind_and_name() {
        let list = "Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n  7 loop\n259 blkext\n";
        let of = |block| majors(list, block).collect::<Vec<_>>();
        assert_eq!(of(false), [(1, "mem"), (136, "pts")]);
        assert_eq!(of(true), [(7, "loop"), (259, "blkext")]);
    }

    #[test]
    fn nodes_have_their_numbers_and_other_files_none() {
        let found = devices("/dev/null");
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].block, found[0].major, found[0].minor),
            (false, Some(1), Some(3))
        );
        assert!(devices("/dev").is_empty());
        assert!(devices("/etc/passwd").is_empty());
        assert_eq!(devices("char-136")[0].major, Some(136));
        assert_eq!(devices("char-pts")[0].major, Some(136));
        assert!(devices("char-*")[0].major.is_none());
        let list = std::fs::read_to_string("/proc/devices").expect("a list");
        let mut drivers = majors(&list, false);
        let clock = drivers.find(|(_, driver)| *driver == "rtc");
        let found = devices("char-rtc");
        assert_eq!(found.len(), usize::from(clock.is_some()));
        assert_eq!(
            found.first().and_then(|one| one.major),
            clock.map(|(major, _)| major)
        );
        assert!(devices("char-mem").iter().any(|one| one.major == Some(1)));
    }
}
