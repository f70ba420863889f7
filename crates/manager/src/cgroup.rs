//! Control groups: one subtree of version 2 per instance, in it one group per slice, in that one per unit, and in that one per run.

use crate::beginning;
use crate::slices::Tree;
use model::facts::CgroupKind;
use rustix::fs::inotify;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of a list of processes that is read: more than a hundred thousand of them. Of a longer list only the beginning is signalled.
const PROCS_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a path, the kernel's PATH_MAX; the names of all controllers need fewer.
const PATH_BYTES_MAX: u64 = 4096;
/// Levels of groups that a service may have made below its own.
const DEPTH_MAX: u32 = 32;

/// The subtree of this instance.
#[derive(Debug)]
pub(crate) struct Cgroups {
    /// Where version 2 is mounted.
    mount: PathBuf,
    /// The path of the subtree below the mount, without a leading slash.
    name: String,
    /// The controllers that its groups can have, between blanks.
    controllers: String,
    pub(crate) tree: Tree,
    inotify: OwnedFd,
}

impl Cgroups {
    /// Makes the subtree; `None` where there is no version 2 that can be written. It is below what the host's init delegated to us, or else
    /// at the top. `recorded` has its place for as long as the runtime directory lives: the groups of what runs don't move.
    pub(crate) fn open(
        host: &model::facts::Cgroup,
        name: &str,
        recorded: &Path,
    ) -> io::Result<Option<Self>> {
        if host.kind == CgroupKind::None {
            return Ok(None);
        }
        let mount = PathBuf::from(&host.mount);
        let known = match beginning::text(recorded, PATH_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            known => Some(known?),
        };
        let known = known.filter(|known| is_ours(known, name) && mount.join(known).is_dir());
        let name = match known {
            Some(known) => known,
            None => {
                let name = delegated(&mount).join(name).display().to_string();
                std::fs::write(recorded, &name)?;
                name
            }
        };
        let root = mount.join(&name);
        match std::fs::create_dir(&root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if is_not_ours(&error) => return Ok(None),
            other => other?,
        }
        let inotify =
            inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let controllers = controllers_of(&root);
        let mut groups = Self {
            mount,
            name,
            controllers,
            tree: Tree::default(),
            inotify,
        };
        groups.find_places();
        Ok(Some(groups))
    }

    /// The directory of the whole instance's group.
    pub(crate) fn top(&self) -> PathBuf {
        self.mount.join(&self.name)
    }

    /// The path of a run's group below the mount, with a leading slash, as /proc/PID/cgroup has it.
    pub(crate) fn path(&self, unit: &str, incarnation: u64) -> String {
        format!("{}/{incarnation}", self.path_of(unit))
    }

    /// The path of a unit's group below the mount: in its slice.
    pub(crate) fn path_of(&self, unit: &str) -> String {
        match self.tree.place(unit) {
            "" => format!("/{}/{unit}", self.name),
            slice => format!("/{}/{slice}/{unit}", self.name),
        }
    }

    /// The directory of a unit's group.
    pub(crate) fn of_unit(&self, unit: &str) -> PathBuf {
        self.on_host(&self.path_of(unit))
    }

    /// The directory of a slice's group.
    pub(crate) fn of_slice(&self, slice: &str) -> PathBuf {
        self.top().join(slice)
    }

    /// The path of the whole subtree below the mount.
    pub(crate) fn root(&self) -> String {
        format!("/{}", self.name)
    }

    /// A path below the mount as a path of the host.
    pub(crate) fn on_host(&self, path: &str) -> PathBuf {
        self.mount.join(path.trim_start_matches('/'))
    }

    /// Makes the group of a run and opens it.
    pub(crate) fn make(&self, unit: &str, incarnation: u64) -> io::Result<OwnedFd> {
        let path = self.on_host(&self.path(unit, incarnation));
        match (make_directory(&path), path.parent()) {
            // Mostly the unit's is there, with what restricts all its runs.
            (Err(Errno::NOENT), Some(of_unit)) => {
                make_directory(of_unit)?;
                make_directory(&path)?;
            }
            (made, _) => made?,
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(openat(CWD, &path, flags, Mode::empty())?)
    }

    /// Has the unit a group?
    pub(crate) fn has_unit(&self, unit: &str) -> bool {
        self.of_unit(unit).is_dir()
    }

    /// The group of a unit with all its runs, and whether it is new.
    pub(crate) fn make_unit(&self, unit: &str) -> io::Result<(OwnedFd, bool)> {
        let path = self.of_unit(unit);
        let made = rustix::fs::mkdir(&path, Mode::from_raw_mode(0o755));
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // Programs are attached by a descriptor that can be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok((openat(CWD, &path, flags, Mode::empty())?, made.is_ok()))
    }

    /// Opens the group of the unit whose run has this path.
    pub(crate) fn unit_of(&self, run: &str) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, self.on_host(run).parent()?, flags, Mode::empty()).ok()
    }

    /// Are there processes in this group or below it? A group that is gone has none.
    pub(crate) fn is_populated(&self, path: &str) -> bool {
        let mut room = [0; SMALL_FILE_BYTES];
        let events = read_small(&self.on_host(path).join("cgroup.events"), &mut room);
        events.is_some_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// Reports changes of whether there are processes; gives the watch's number.
    pub(crate) fn watch(&self, path: &str) -> Result<i32, Errno> {
        let file = self.on_host(path).join("cgroup.events");
        self.add_watch(&file, inotify::WatchFlags::MODIFY)
    }

    pub(crate) fn add_watch(&self, file: &Path, flags: inotify::WatchFlags) -> Result<i32, Errno> {
        inotify::add_watch(&self.inotify, file, flags)
    }

    /// Reports nothing more of this watch; it goes by itself with the group.
    pub(crate) fn unwatch(&self, watch: i32) {
        match inotify::remove_watch(&self.inotify, watch) {
            Ok(()) | Err(_) => {}
        }
    }

    /// The numbers of the watches that have something to report; none where the kernel had more to tell than it keeps, and it may be any.
    pub(crate) fn changed(&self) -> Option<Vec<i32>> {
        let mut room = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut room);
        let (mut watches, mut is_complete) = (Vec::new(), true);
        while let Ok(event) = reader.next() {
            is_complete &= !event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW);
            watches.push(event.wd());
        }
        model::order::sort(&mut watches);
        watches.dedup();
        is_complete.then_some(watches)
    }

    /// Every process of the group and of those below it.
    pub(crate) fn processes(&self, path: &str) -> Vec<u32> {
        let mut found = Vec::new();
        collect(&self.on_host(path), DEPTH_MAX, &mut found);
        found
    }

    /// Kills all at once, also those that are just being born. Gives false where the kernel can't (before 5.14).
    pub(crate) fn kill(&self, path: &str) -> bool {
        std::fs::write(self.on_host(path).join("cgroup.kill"), "1").is_ok()
    }

    /// Stops all of a group in its tracks, or lets it go on. Gives false where the kernel can't (before 5.2).
    pub(crate) fn freeze(&self, path: &str, frozen: bool) -> bool {
        let state = if frozen { "1" } else { "0" };
        std::fs::write(self.on_host(path).join("cgroup.freeze"), state).is_ok()
    }

    /// Removes the group of a run, what a service made below it, and the unit's group if that was the last. False: it is busy.
    pub(crate) fn remove(&mut self, unit: &str, incarnation: u64) -> bool {
        let path = self.on_host(&self.path(unit, incarnation));
        // The run's is what tells of those of its probes.
        let gone = self.end_probe_groups(unit, incarnation) && remove_tree(&path, DEPTH_MAX);
        if gone
            && let Some(parent) = path.parent()
            && remove_unless_busy(parent)
        {
            self.tree.leave(unit);
        }
        gone
    }

    /// Removes the groups of units that have no run, and of slices in which nothing is: a manager before us made them, or was about to
    /// remove them.
    pub(crate) fn remove_empty_units(&mut self) {
        for unit in self.tree.units() {
            if remove_unless_busy(&self.of_unit(&unit)) {
                self.tree.leave(&unit);
            }
        }
        // The innermost first.
        for slice in self.tree.slices().into_iter().rev() {
            self.remove_slice(&slice);
        }
    }

    /// Removes the group of a slice in which nothing is.
    pub(crate) fn remove_slice(&mut self, slice: &str) {
        if !slice.is_empty() && std::fs::remove_dir(self.of_slice(slice)).is_ok() {
            self.tree.forget_slice(slice);
        }
    }

    /// The runs that have a group.
    pub(crate) fn runs(&self) -> Vec<(String, u64)> {
        let units = self.tree.units().into_iter();
        units
            .flat_map(|unit| {
                let runs = self.incarnations(&unit).into_iter();
                runs.map(move |run| (unit.clone(), run)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Learns from the groups that are there where units are: slices are recognized by their names.
    fn find_places(&mut self) {
        let mut slices = vec![String::new()];
        while let Some(slice) = slices.pop() {
            for group in children(&self.of_slice(&slice)) {
                let Some(name) = group.file_name().and_then(|name| name.to_str()) else {
                    continue;
                };
                let frozen = beginning::text(group.join("cgroup.freeze"), 8);
                if frozen.is_ok_and(|text| text.trim() == "1") {
                    self.tree.note_frozen(name, true);
                }
                if name.ends_with(".slice") {
                    slices.push(crate::slices::inside(&slice, name));
                } else {
                    self.tree.put(name, &slice);
                }
            }
            self.tree.know_slice(slice);
        }
    }

    /// Gives a unit that has no group its place in a slice's group, which is made with those around it. What runs stays where it is.
    pub(crate) fn place(&mut self, unit: &str, slice: &str) -> io::Result<()> {
        if self.tree.place(unit) != slice && self.has_unit(unit) {
            return Ok(());
        }
        self.make_slice(slice)?;
        self.tree.put(unit, slice);
        Ok(())
    }

    /// Makes the group of a slice, with those around it.
    pub(crate) fn make_slice(&mut self, slice: &str) -> io::Result<()> {
        for slice in crate::slices::ways(slice) {
            self.tree.stay(slice);
            if !self.tree.has_slice(slice) {
                make_directory(&self.of_slice(slice))?;
                self.tree.know_slice(slice.to_owned());
            }
        }
        Ok(())
    }

    /// The incarnations of a unit that have a group.
    pub(crate) fn incarnations(&self, unit: &str) -> Vec<u64> {
        let groups = children(&self.of_unit(unit));
        let number = |path: &PathBuf| path.file_name()?.to_str()?.parse().ok();
        groups.iter().filter_map(number).collect()
    }

    /// Can this controller be used for our groups?
    pub(crate) fn has_controller(&self, controller: &str) -> bool {
        self.controllers
            .split_whitespace()
            .any(|known| known == controller)
    }

    /// Removes the subtree when the instance ends.
    pub(crate) fn remove_all(&self) {
        remove_tree(&self.on_host(&self.root()), DEPTH_MAX);
    }

    /// Processor time of a group, which version 2 counts without a controller.
    pub(crate) fn cpu_ns(&self, path: &str) -> Option<u64> {
        let mut room = [0; SMALL_FILE_BYTES];
        let text = read_small(&self.on_host(path).join("cpu.stat"), &mut room)?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "))?;
        line.trim().parse::<u64>().ok()?.checked_mul(1_000)
    }
}

/// Bytes of the kernel's small files that matter: the values looked for stand in front.
const SMALL_FILE_BYTES: usize = 512;

/// Reads the beginning of a small file of the kernel's with as few calls as there can be: every start reads some.
fn read_small<'a>(path: &Path, room: &'a mut [u8; SMALL_FILE_BYTES]) -> Option<&'a str> {
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(&file, room.as_mut_slice()).ok()?;
    std::str::from_utf8(room.get(..length)?).ok()
}

pub(crate) fn make_directory(path: &Path) -> Result<(), Errno> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

impl AsFd for Cgroups {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// The groups of a process, by its number, one a line: that of version 2, and those of version 1.
pub(crate) fn groups_of(process: impl std::fmt::Display) -> io::Result<String> {
    beginning::text(format!("/proc/{process}/cgroup"), 16 * PATH_BYTES_MAX)
}

/// Is the process in this control group, or below it?
pub(crate) fn is_in_group(pid: u32, group: &str) -> bool {
    let Ok(text) = groups_of(pid) else {
        return false;
    };
    let own = text.lines().find_map(|line| line.strip_prefix("0::"));
    own.and_then(|own| own.strip_prefix(group))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The process of this number, if it is in this control group, or below it.
pub(crate) fn member(pid: u32, group: &str) -> Option<OwnedFd> {
    held(pid, |pid| is_in_group(pid, group))
}

/// The process of this number, if it is the one that `is_it` looks for. Only then is it asked whether the process is still there: as long
/// as it is, no other can have its number.
pub(crate) fn held(pid: u32, is_it: impl Fn(u32) -> bool) -> Option<OwnedFd> {
    let number = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    let pidfd = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty()).ok()?;
    (is_it(pid) && kernel::process::send_signal(&pidfd, 0).is_ok()).then_some(pidfd)
}

fn is_not_ours(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotFound
    )
}

/// A recorded place is a path of plain names that ends with the name of this instance.
fn is_ours(place: &str, name: &str) -> bool {
    use std::path::Component::Normal;
    let place = Path::new(place);
    place.ends_with(name) && place.components().all(|part| matches!(part, Normal(_)))
}

/// The group below the mount that the host's init delegated to this instance: ours, or the one that ours lies in. Empty where there is none.
fn delegated(mount: &Path) -> PathBuf {
    let own = groups_of("self").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = Path::new(own.unwrap_or_default());
    let mut candidates = own.ancestors().take(2);
    candidates
        .find(|group| is_delegated(&mount.join(group)))
        .map(Path::to_owned)
        .unwrap_or_default()
}

/// systemd marks what it delegates and never touches below it (its document on control group delegation).
fn is_delegated(group: &Path) -> bool {
    let marked = |mark: &str| {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(group, mark, &mut value);
        length.is_ok_and(|length| value.get(..length) == Some(b"1"))
    };
    marked("trusted.delegate") || marked("user.delegate")
}

/// The group below a delegated one where processes are that were in it.
const SUPERVISOR: &str = "supervisor";
/// How often a group is looked at that is to be left; processes may fork meanwhile.
const LOOKS: u32 = 8;

/// Whether a group has no processes of its own. Those of a delegated one move into a group below it, where they are this instance's: whoever
/// has processes and gives controllers makes its groups invalid, as far as the kernel takes that at all (cgroups(7), "threaded mode").
fn is_vacant(group: &Path) -> bool {
    // The kernel's own top has no type, and may have both.
    let is_top = group.join("cgroup.controllers").exists() && !group.join("cgroup.type").exists();
    if is_top {
        return true;
    }
    let inside = || {
        let list = std::fs::File::open(group.join("cgroup.procs"));
        list.map(|list| processes(list, PROCS_BYTES_MAX))
            .unwrap_or_default()
    };
    let leaf = group.join(SUPERVISOR);
    if is_delegated(group) && !inside().is_empty() {
        leave(&leaf, inside);
    }
    inside().is_empty()
}

fn leave(leaf: &Path, inside: impl Fn() -> Vec<u32>) {
    if let Err(error) = std::fs::create_dir(leaf)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return;
    }
    for _ in 0..LOOKS {
        let found = inside();
        if found.is_empty() {
            return;
        }
        for process in found {
            // One that has ended is in no group.
            match std::fs::write(leaf.join("cgroup.procs"), process.to_string()) {
                Ok(()) | Err(_) => {}
            }
        }
    }
}

/// The controllers that a group can give to those below it, after asking its parent for all that limits need. The parent gives none where
/// it has processes of its own, as in a container whose processes are at its top.
fn controllers_of(root: &Path) -> String {
    let available = |group: &Path| {
        beginning::text(group.join("cgroup.controllers"), PATH_BYTES_MAX).unwrap_or_default()
    };
    if let Some(parent) = root.parent().filter(|parent| is_vacant(parent)) {
        let had = available(root);
        let missing = |controller: &&str| {
            crate::resources::CONTROLLERS
                .iter()
                .any(|(known, _)| known == controller)
                && !had.split_whitespace().any(|known| known == *controller)
        };
        for controller in available(parent).split_whitespace().filter(missing) {
            // Each by itself: one that can't be given, such as cpu beside realtime processes, takes no other along.
            match std::fs::write(
                parent.join("cgroup.subtree_control"),
                format!("+{controller}"),
            ) {
                Ok(()) | Err(_) => {}
            }
        }
    }
    available(root)
}

fn collect(group: &Path, depth: u32, found: &mut Vec<u32>) {
    if let Ok(list) = std::fs::File::open(group.join("cgroup.procs")) {
        found.extend(processes(list, PROCS_BYTES_MAX));
    }
    if depth == 0 {
        return;
    }
    for child in children(group) {
        collect(&child, depth - 1, found);
    }
}

/// Removes a group in which neither processes nor other groups are; true if it is gone.
fn remove_unless_busy(group: &Path) -> bool {
    match std::fs::remove_dir(group) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The processes of a list, of a long one those in its first bytes.
fn processes(list: impl Read, bytes_max: u64) -> Vec<u32> {
    let mut bytes = Vec::new();
    match list.take(bytes_max).read_to_end(&mut bytes) {
        // What was read until then counts: a group that is removed meanwhile has none any more.
        Ok(_) | Err(_) => {}
    }
    // What follows the last line's end is a part of a number.
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
    let lines = bytes
        .get(..whole)
        .unwrap_or_default()
        .split(|&byte| byte == b'\n');
    lines
        .filter_map(|line| std::str::from_utf8(line).ok()?.parse().ok())
        .collect()
}

pub(crate) fn remove_tree(group: &Path, depth: u32) -> bool {
    match std::fs::remove_dir(group) {
        Ok(()) => return true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
        Err(_) if depth == 0 => return false,
        Err(_) => {}
    }
    for child in children(group) {
        remove_tree(&child, depth - 1);
    }
    std::fs::remove_dir(group).is_ok()
}

/// Whether no group is below one, as almost everywhere: each that is would have a link to it, `..`.
fn has_no_children(group: &Path) -> bool {
    links(group) == Some(OWN_LINKS)
}

/// The links of a group that has none below it.
pub(crate) const OWN_LINKS: u64 = 2;

/// How many links a group has, one of each below it among them.
pub(crate) fn links(group: &Path) -> Option<u64> {
    Some(std::fs::metadata(group).ok()?.nlink())
}

/// The groups below one.
pub(crate) fn children(group: &Path) -> Vec<PathBuf> {
    if has_no_children(group) {
        return Vec::new();
    }
    let entries = std::fs::read_dir(group).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Cgroups, Tree, held, inotify, is_ours, is_vacant, leave, processes};
    use std::io::Write;
    use std::process::Command;

    #[test]
    fn changes_that_are_more_than_the_kernel_keeps_may_be_any() {
        let folder = tempfile::tempdir().expect("a folder");
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let cgroups = Cgroups {
            mount: folder.path().into(),
            name: "own".into(),
            controllers: String::new(),
            tree: Tree::default(),
            inotify: inotify::init(flags).expect("an inotify descriptor"),
        };
        let [mut one, mut other] = ["one", "other"].map(|group| {
            std::fs::create_dir(folder.path().join(group)).expect("a folder");
            std::fs::File::create(folder.path().join(group).join("cgroup.events")).expect("a file")
        });
        let watch = cgroups.watch("/one").expect("a watch");
        cgroups.watch("/other").expect("a watch");
        one.write_all(b"x").expect("it can be written");
        assert_eq!(cgroups.changed(), Some(vec![watch]));
        let kept = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events");
        let kept: usize = kept.expect("a limit").trim().parse().expect("a number");
        // One after the other, since two of the same in a row are one.
        for _ in 0..=kept / 2 {
            one.write_all(b"x").expect("it can be written");
            other.write_all(b"x").expect("it can be written");
        }
        assert_eq!(cgroups.changed(), None);
        assert_eq!(cgroups.changed(), Some(Vec::new()));
    }

    #[test]
    fn a_number_that_got_free_while_it_was_looked_up_is_nobodys() {
        let mut child = Command::new("/bin/true").spawn().expect("a process");
        let pid = child.id();
        assert!(
            held(pid, |_| true).is_some(),
            "ended or not, it is not reaped"
        );
        let child = std::cell::RefCell::new(&mut child);
        // What is looked up after this may be of another process that has the number now.
        let reaped = |_| child.borrow_mut().wait().is_ok();
        assert!(held(pid, reaped).is_none());
        assert!(held(pid, |_| true).is_none());
    }

    #[test]
    fn of_a_long_list_the_beginning_counts_and_no_part_of_a_number() {
        for (bytes_max, expected) in [
            (0, &[][..]),
            (3, &[12]),
            (5, &[12]),
            (6, &[12]),
            (7, &[12, 345]),
            (9, &[12, 345, 6]),
        ] {
            assert_eq!(
                processes(&b"12\n345\n6\n"[..], bytes_max),
                expected,
                "{bytes_max}"
            );
        }
    }

    #[test]
    fn who_is_in_a_group_moves_one_by_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let leaf = folder.path().join("supervisor");
        let rest = std::cell::RefCell::new(vec![vec![7], vec![12, 13]]);
        leave(&leaf, || rest.borrow_mut().pop().unwrap_or_default());
        assert_eq!(
            std::fs::read(leaf.join("cgroup.procs")).expect("a file"),
            b"7"
        );
        assert!(rest.borrow().is_empty());
        // One that never gets empty is given up.
        leave(&leaf, || vec![9]);
        assert_eq!(
            std::fs::read(leaf.join("cgroup.procs")).expect("a file"),
            b"9"
        );
    }

    #[test]
    fn a_group_with_processes_that_is_not_ours_gives_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("cgroup.controllers", "cpu pids"),
            ("cgroup.type", "domain"),
        ] {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        assert!(is_vacant(folder.path()));
        std::fs::write(folder.path().join("cgroup.procs"), "12\n").expect("a file");
        assert!(!is_vacant(folder.path()));
        assert!(!folder.path().join("supervisor").exists());
        std::fs::remove_file(folder.path().join("cgroup.type")).expect("a file");
        assert!(is_vacant(folder.path()));
    }

    #[test]
    fn a_recorded_place_is_taken_only_where_it_can_be_this_instances() {
        for (place, expected) in [
            ("coracle", true),
            ("system.slice/coracle.service/coracle", true),
            ("system.slice/coracle.service", false),
            ("", false),
            ("/coracle", false),
            ("a/../coracle", false),
        ] {
            assert_eq!(is_ours(place, "coracle"), expected, "{place}");
        }
    }
}
