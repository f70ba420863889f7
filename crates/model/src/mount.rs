//! Mounts and swaps: what their units mean to be done, and which mounts a path needs (systemd.mount(5), systemd.swap(5)).

use crate::text::parse_bool;
use crate::value::{ExecCommand, ExecCommands, FilePath, PathWatches, Paths, PrivateTmp};
use crate::{Key, Unit, UnitKind, UnitName, escape, key};

/// The root of the file system, which goes with the machine.
pub const ROOT: &str = "-.mount";

/// Kinds of file systems behind a network, also those in user space (`fuse.`), beside what options call so.
const NETWORK_KINDS: [&str; 19] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "davfs",
    "gfs",
    "gfs2",
    "glusterfs",
    "lustre",
    "ncp",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "pvfs2",
    "smb3",
    "smbfs",
    "sshfs",
];

/// Options that are for whoever reads fstab(5), and not for mount(8).
const OF_THE_TABLE: [&str; 3] = ["nofail", "noauto", "auto"];

/// What is done to the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is put in.
    Make,
    /// It is changed where it is.
    Remake,
    /// It is taken out.
    TakeOut,
}

/// Where a mount is, and what a swap is on: what the unit says, or else its name.
#[must_use]
pub fn place(unit: &Unit) -> Option<String> {
    let said = |key: &Key<FilePath>| unit.get(key).map(|path| path.path.clone());
    let named = || escape::unescape_path(unit.name().stem());
    match unit.kind() {
        UnitKind::Mount => said(&key::MOUNT_WHERE).or_else(named),
        UnitKind::Automount => said(&key::AUTOMOUNT_WHERE).or_else(named),
        UnitKind::Swap => unit.get(&key::SWAP_WHAT).cloned(),
        _ => None,
    }
}

/// The commands that change the kernel's table for a mount or a swap: those of mount(8) and swapon(8).
#[must_use]
pub fn commands(unit: &Unit, change: Change) -> ExecCommands {
    let Some(place) = place(unit) else {
        return ExecCommands::default();
    };
    let command = match unit.kind() {
        UnitKind::Mount => mount(unit, &place, change),
        UnitKind::Swap => swap(unit, &place, change),
        _ => None,
    };
    ExecCommands(command.into_iter().collect())
}

/// The command that makes the directory where a mount comes; that there is one already, or a file, is well.
#[must_use]
pub fn preparation(unit: &Unit) -> ExecCommands {
    let directory = place(unit).filter(|_| unit.kind() == UnitKind::Mount);
    let mode = format!("{:04o}", unit.value(&key::MOUNT_DIRECTORY_MODE).0);
    let command = directory.map(|directory| ExecCommand {
        ignore_failure: true,
        ..literal("mkdir", &["-p", "-m", &mode, "--", &directory])
    });
    ExecCommands(command.into_iter().collect())
}

/// A command whose words are meant as they stand.
fn literal(program: &str, arguments: &[&str]) -> ExecCommand {
    ExecCommand {
        no_env: true,
        ..ExecCommand::new(program, arguments)
    }
}

fn mount(unit: &Unit, place: &str, change: Change) -> Option<ExecCommand> {
    let what = unit.get(&key::MOUNT_WHAT).map(String::as_str);
    let options = options(
        unit.get(&key::MOUNT_OPTIONS).map(String::as_str),
        &OF_THE_TABLE,
    );
    let is_set = |key: &Key<bool>| unit.value(key);
    let mut words = Vec::new();
    match change {
        Change::Make | Change::Remake => {
            let remount = format!("remount,{options}");
            let options = match change {
                Change::Remake => remount.trim_end_matches(','),
                _ => &options,
            };
            words.extend([what?, place].map(str::to_owned));
            words.extend(is_set(&key::SLOPPY_OPTIONS).then(|| "-s".to_owned()));
            words.extend(is_set(&key::READ_WRITE_ONLY).then(|| "-w".to_owned()));
            let kind = unit.get(&key::MOUNT_TYPE).filter(|kind| !kind.is_empty());
            words.extend(
                kind.into_iter()
                    .flat_map(|kind| ["-t".to_owned(), kind.clone()]),
            );
            if !options.is_empty() {
                words.extend(["-o", options].map(str::to_owned));
            }
        }
        Change::TakeOut => {
            // It is not looked for by any other name.
            words.extend([place, "-c"].map(str::to_owned));
            words.extend(is_set(&key::LAZY_UNMOUNT).then(|| "-l".to_owned()));
            words.extend(is_set(&key::FORCE_UNMOUNT).then(|| "-f".to_owned()));
        }
    }
    let program = match change {
        Change::TakeOut => "umount",
        Change::Make | Change::Remake => "mount",
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Some(literal(program, &words))
}

fn swap(unit: &Unit, place: &str, change: Change) -> Option<ExecCommand> {
    let mut options = options(
        unit.get(&key::SWAP_OPTIONS).map(String::as_str),
        &OF_THE_TABLE,
    );
    if let Some(priority) = unit.get(&key::SWAP_PRIORITY).filter(|number| **number >= 0) {
        let comma = if options.is_empty() { "" } else { "," };
        options = format!("{options}{comma}pri={priority}");
    }
    match change {
        Change::Make if options.is_empty() => Some(literal("swapon", &[place])),
        Change::Make => Some(literal("swapon", &["-o", &options, place])),
        Change::Remake => None,
        Change::TakeOut => Some(literal("swapoff", &[place])),
    }
}

/// A list of options without those that are others'.
fn options(text: Option<&str>, others: &[&str]) -> String {
    let is_own = |option: &&str| {
        !option.is_empty() && !others.contains(option) && !option.starts_with("x-systemd.")
    };
    let own: Vec<&str> = text.unwrap_or_default().split(',').filter(is_own).collect();
    own.join(",")
}

/// The option that says what becomes of a mount whose device goes (systemd.mount(5)).
pub const DEVICE_BOUND: &str = "x-systemd.device-bound";

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// It goes, too.
    Yes,
    /// It stays.
    No,
    /// Nothing is said: it is stopped when the device goes, and one that is up without the device having been seen stays.
    Unsaid,
}

/// The path of the device that a mount or a swap waits for; none where it is on none, or what it is on is there before us.
#[must_use]
pub fn device(unit: &Unit) -> Option<(String, Bound)> {
    let is_device = |what: &String| what.starts_with("/dev/") || what.starts_with("/sys/");
    if unit.kind() == UnitKind::Swap {
        let what = place(unit).filter(is_device)?;
        return Some((what, Bound::No));
    }
    let what = unit.get(&key::MOUNT_WHAT).filter(|what| is_device(what))?;
    if place(unit).as_deref() == Some("/") || is_bind(unit) || is_of_network(unit) {
        return None;
    }
    let options = unit.get(&key::MOUNT_OPTIONS).map(String::as_str);
    let said = options.unwrap_or_default().split(',');
    let is_named = |(name, _): &(&str, &str)| *name == DEVICE_BOUND;
    let mut said = said.map(|option| option.split_once('=').unwrap_or((option, "")));
    let bound = match said.rfind(is_named) {
        None => Bound::Unsaid,
        Some((_, value)) => match parse_bool(value) {
            Some(false) => Bound::No,
            Some(true) | None => Bound::Yes,
        },
    };
    Some((what.clone(), bound))
}

/// Whether a mount waits for the network.
#[must_use]
pub fn is_of_network(unit: &Unit) -> bool {
    let text = |key: &Key<String>| unit.get(key).map(String::as_str).unwrap_or_default();
    let says_so = text(&key::MOUNT_OPTIONS)
        .split(',')
        .any(|option| option == "_netdev");
    says_so || is_network_kind(text(&key::MOUNT_TYPE))
}

/// Whether a kind of file system is behind a network.
#[must_use]
pub fn is_network_kind(kind: &str) -> bool {
    NETWORK_KINDS.contains(&kind.strip_prefix("fuse.").unwrap_or(kind))
}

/// Whether a mount shows what is elsewhere already: a directory, or a file as a device.
#[must_use]
pub fn is_bind(unit: &Unit) -> bool {
    let options = unit.get(&key::MOUNT_OPTIONS).map(String::as_str);
    let kind = unit.get(&key::MOUNT_TYPE).map(String::as_str);
    kind == Some("bind")
        || options
            .unwrap_or_default()
            .split(',')
            .any(|option| ["bind", "x-bind", "rbind", "loop"].contains(&option))
}

/// Whether somebody else mounts it, before us and until after us: the root, /usr, and what the kernel shows of itself.
#[must_use]
pub fn is_of_the_host(place: &str) -> bool {
    const OWN: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];
    place == "/"
        || place == "/usr"
        || OWN
            .iter()
            .any(|root| is_below(place, root) && *root != "/run" || place == *root)
}

fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// How much a unit wants the mounts that a path needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// It can do without.
    Wanted,
    /// It can't.
    Required,
}

/// Lists of directories, and where they are.
const DIRECTORIES: [(Key<crate::value::Directories>, &str); 5] = [
    (key::RUNTIME_DIRECTORY, "/run"),
    (key::STATE_DIRECTORY, "/var/lib"),
    (key::CACHE_DIRECTORY, "/var/cache"),
    (key::LOGS_DIRECTORY, "/var/log"),
    (key::CONFIGURATION_DIRECTORY, "/etc"),
];

/// Lists of paths that a path unit looks at.
const WATCHED: [Key<PathWatches>; 5] = [
    key::PATH_EXISTS,
    key::PATH_EXISTS_GLOB,
    key::PATH_CHANGED,
    key::PATH_MODIFIED,
    key::DIRECTORY_NOT_EMPTY,
];

/// The paths whose mounts a unit needs: those that it says, and those that follow from what it does. The mounts of the host are no
/// stranger's to start: of a unit that came with an image only those count that its own directories need.
#[must_use]
pub fn needed(unit: &Unit, is_portable: bool) -> Vec<(Need, String)> {
    let mut needed = Vec::new();
    let paths = |key: &Key<Paths>| -> Vec<String> {
        let list = unit.get(key).into_iter().flatten();
        list.map(|path| path.as_str().to_owned()).collect()
    };
    let mut say = |need, paths: Vec<String>| {
        needed.extend(paths.into_iter().map(|path| (need, path)));
    };
    for (key, base) in &DIRECTORIES {
        let list = unit.get(key).into_iter().flatten();
        let full = list.map(|one| format!("{base}/{}", one.path)).collect();
        say(Need::Required, full);
    }
    if is_portable {
        return needed;
    }
    say(Need::Required, paths(&key::REQUIRES_MOUNTS_FOR));
    say(Need::Wanted, paths(&key::WANTS_MOUNTS_FOR));
    let place = || place(unit).into_iter();
    match unit.kind() {
        UnitKind::Mount => {
            let outer = place().filter_map(|place| outer(&place)).collect();
            say(Need::Required, outer);
            let what = unit
                .get(&key::MOUNT_WHAT)
                .filter(|_| is_bind(unit))
                .cloned();
            say(Need::Required, what.into_iter().collect());
        }
        UnitKind::Automount => {
            let outer = place().filter_map(|place| outer(&place)).collect();
            say(Need::Required, outer);
        }
        UnitKind::Swap => say(Need::Required, place().collect()),
        UnitKind::Path => {
            let watched = WATCHED.iter().filter_map(|key| unit.get(key)).flatten();
            say(
                Need::Required,
                watched.map(|path| without_pattern(path)).collect(),
            );
        }
        UnitKind::Socket => {
            let listens = unit.listens();
            let files = listens.iter().filter_map(|one| one.file());
            say(Need::Required, files.map(str::to_owned).collect());
        }
        _ => {}
    }
    for key in [&key::ROOT_DIRECTORY, &key::ROOT_IMAGE] {
        let said = unit.get(key).map(|path| path.as_str().to_owned());
        say(Need::Required, said.into_iter().collect());
    }
    say(
        Need::Required,
        working_directory(unit).into_iter().collect(),
    );
    if unit.value(&key::PRIVATE_TMP) == PrivateTmp::Connected {
        let both = ["/tmp", "/var/tmp"].map(str::to_owned);
        say(Need::Wanted, both.into());
    }
    needed.retain(|(_, path)| path.starts_with('/'));
    needed
}

/// Where the unit works, as the host has it; none where that is in an image.
fn working_directory(unit: &Unit) -> Option<String> {
    let directory = unit.get(&key::WORKING_DIRECTORY)?;
    let path = directory.path.clone().filter(|_| !directory.optional)?;
    let in_image = [key::ROOT_IMAGE.directive(), key::ROOT_MSTACK.directive()];
    match unit.get(&key::ROOT_DIRECTORY) {
        _ if in_image.iter().any(|directive| unit.is_set(*directive)) => None,
        Some(root) => Some(format!("{}{path}", root.as_str().trim_end_matches('/'))),
        None => Some(path),
    }
}

/// What of a path is no pattern.
fn without_pattern(path: &str) -> String {
    let parts = path.split('/');
    let plain = parts.take_while(|part| !part.contains(['*', '?', '[']));
    plain.collect::<Vec<_>>().join("/")
}

/// The directory that something is in.
fn outer(place: &str) -> Option<String> {
    let (outer, _) = place.rsplit_once('/').filter(|_| place != "/")?;
    Some(if outer.is_empty() { "/" } else { outer }.to_owned())
}

/// The units of the mounts that may be on the way to a path, but for the root's: outer ones first.
pub fn on_the_way(path: &str) -> impl Iterator<Item = UnitName> {
    let ends = path
        .char_indices()
        .skip(1)
        .filter(|(_, letter)| *letter == '/')
        .map(|(at, _)| at);
    let ends: Vec<usize> = ends.chain([path.len()]).collect();
    ends.into_iter().filter_map(move |end| {
        let part = path.get(..end).filter(|part| part.len() > 1)?;
        UnitName::new(&format!("{}.mount", escape::escape_path(part)?)).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(name: &str) -> Unit {
        Unit::new(UnitName::new(name).unwrap())
    }

    fn shown(commands: &ExecCommands) -> String {
        let lines: Vec<String> = commands
            .iter()
            .map(|command| command.argv.join(" "))
            .collect();
        lines.join("; ")
    }

    #[test]
    fn a_mount_is_made_changed_and_taken_out_by_mount_and_umount() {
        let mut data = unit("srv-data.mount");
        data.set(&key::MOUNT_WHAT, "/dev/vdb1".to_owned());
        let all = |unit: &Unit| {
            [Change::Make, Change::Remake, Change::TakeOut]
                .map(|change| shown(&commands(unit, change)))
        };
        assert_eq!(
            all(&data),
            [
                "mount /dev/vdb1 /srv/data",
                "mount /dev/vdb1 /srv/data -o remount",
                "umount /srv/data -c"
            ]
        );
        data.set(&key::MOUNT_TYPE, "ext4".to_owned());
        data.set(
            &key::MOUNT_OPTIONS,
            "noatime,nofail,x-systemd.device-timeout=3,x-own=1".to_owned(),
        );
        data.set(&key::SLOPPY_OPTIONS, true);
        data.set(&key::READ_WRITE_ONLY, true);
        data.set(&key::LAZY_UNMOUNT, true);
        data.set(&key::FORCE_UNMOUNT, true);
        assert_eq!(
            all(&data),
            [
                "mount /dev/vdb1 /srv/data -s -w -t ext4 -o noatime,x-own=1",
                "mount /dev/vdb1 /srv/data -s -w -t ext4 -o remount,noatime,x-own=1",
                "umount /srv/data -c -l -f"
            ]
        );
        assert_eq!(shown(&preparation(&data)), "mkdir -p -m 0755 -- /srv/data");
    }

    #[test]
    fn a_swap_has_its_priority_among_its_options() {
        let mut swap = unit("dev-vdb2.swap");
        swap.set(&key::SWAP_WHAT, "/dev/vdb2".to_owned());
        assert_eq!(shown(&commands(&swap, Change::Make)), "swapon /dev/vdb2");
        swap.set(&key::SWAP_OPTIONS, "discard,nofail".to_owned());
        swap.set(&key::SWAP_PRIORITY, 7);
        assert_eq!(
            shown(&commands(&swap, Change::Make)),
            "swapon -o discard,pri=7 /dev/vdb2"
        );
        assert_eq!(
            shown(&commands(&swap, Change::TakeOut)),
            "swapoff /dev/vdb2"
        );
        assert_eq!(shown(&commands(&swap, Change::Remake)), "");
    }

    #[test]
    fn the_mounts_on_the_way_to_a_path_are_named_outer_ones_first() {
        let names =
            |path| -> Vec<String> { on_the_way(path).map(|name| name.to_string()).collect() };
        assert_eq!(
            names("/var/lib/a-b"),
            ["var.mount", "var-lib.mount", "var-lib-a\\x2db.mount"]
        );
        assert_eq!(names("/"), [""; 0]);
    }

    #[test]
    fn what_is_behind_a_network_says_so_or_is_of_a_kind_that_is() {
        let of = |kind: &str, options: &str| {
            let mut unit = unit("srv.mount");
            unit.set(&key::MOUNT_TYPE, kind.to_owned());
            unit.set(&key::MOUNT_OPTIONS, options.to_owned());
            is_of_network(&unit)
        };
        assert!(of("nfs4", ""));
        assert!(of("fuse.sshfs", "ro"));
        assert!(of("ext4", "noatime,_netdev"));
        assert!(!of("ext4", "noatime"));
        assert!(!of("fuse.gvfs", ""));
    }

    #[test]
    fn a_mount_is_bound_to_its_device_as_the_last_word_of_its_options_says() {
        let of = |options: &str| {
            let mut unit = unit("srv.mount");
            unit.set(&key::MOUNT_WHAT, "/dev/vdb1".to_owned());
            unit.set(&key::MOUNT_OPTIONS, options.to_owned());
            device(&unit).map(|(_, bound)| bound)
        };
        for unsaid in ["noatime", "x-systemd.device-boundless=no"] {
            assert_eq!(of(unsaid), Some(Bound::Unsaid), "{unsaid}");
        }
        for yes in ["", "=yes", "=1", "=maybe", "=no,x-systemd.device-bound"] {
            assert_eq!(
                of(&format!("{DEVICE_BOUND}{yes}")),
                Some(Bound::Yes),
                "{yes}"
            );
        }
        for no in ["=no", "=0", "=OFF", "=f"] {
            assert_eq!(
                of(&format!("ro,{DEVICE_BOUND}{no}")),
                Some(Bound::No),
                "{no}"
            );
        }
        assert_eq!(of("_netdev"), None);
    }

    #[test]
    fn what_the_host_mounts_for_itself_is_left_to_it() {
        for place in ["/", "/usr", "/proc", "/sys/fs/cgroup", "/dev/shm", "/run"] {
            assert!(is_of_the_host(place), "{place}");
        }
        for place in ["/srv", "/usr/local", "/run/media", "/devices"] {
            assert!(!is_of_the_host(place), "{place}");
        }
    }

    #[test]
    fn a_unit_needs_the_mounts_of_what_it_works_on() {
        let mut data = unit("srv-a-b.mount");
        data.set(&key::MOUNT_WHAT, "/opt/b".to_owned());
        let paths = |unit: &Unit| -> Vec<String> {
            needed(unit, false)
                .into_iter()
                .map(|(_, path)| path)
                .collect()
        };
        assert_eq!(paths(&data), ["/srv/a"]);
        data.set(&key::MOUNT_OPTIONS, "rbind".to_owned());
        assert_eq!(paths(&data), ["/srv/a", "/opt/b"]);
        assert_eq!(paths(&unit("srv.mount")), ["/"]);
    }
}
