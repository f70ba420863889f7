//! What the resident processes of an instance hold open: when it has nothing to do, the same as any other that has nothing to do.

use std::fs;
use std::path::Path;

use rustix::process::Pid;

/// The kinds of what keeper, manager and log process have open, sorted; each as often as it is there. What they were started with as
/// standard streams is left out.
#[must_use]
pub fn holdings(keeper: Pid, folder: &Path) -> Vec<String> {
    let list = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"));
    let list = list.unwrap_or_default();
    let mut found = of_process("keeper", &keeper.to_string(), folder);
    let mut of_maker: &[&str] = &[];
    for pid in list.split_whitespace() {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.split('\0').next() == Some(MAKER) {
            of_maker = OF_MAKER;
        }
        let mut words = line.split('\0');
        let is_ours = words.next().is_some_and(|word| word.ends_with("coracled"));
        if let Some(role @ ("manager" | "log")) = words.next().filter(|_| is_ours) {
            found.extend(of_process(role, pid, folder));
        }
    }
    for one in of_maker {
        if let Some(place) = found.iter().position(|kind| kind == one) {
            found.remove(place);
        }
    }
    found.sort();
    found
}

fn of_process(role: &str, pid: &str, folder: &Path) -> Vec<String> {
    const STANDARD: [&str; 3] = ["0", "1", "2"];
    let entries = fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    let own = entries.filter(|entry| {
        let number = entry.file_name();
        !STANDARD.iter().any(|standard| number == *standard)
    });
    own.filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|target| !is_of_users(&target.to_string_lossy()))
        .filter(|target| !is_of_udev(pid, &target.to_string_lossy()))
        .map(|target| format!("{role}: {}", kind(&target, folder)))
        .collect()
}

fn number_of_socket(target: &str) -> Option<&str> {
    target.strip_prefix("socket:[")?.strip_suffix(']')
}

/// The socket on which udev is heard is made with the first device unit, and stays.
fn is_of_udev(pid: &str, target: &str) -> bool {
    /// NETLINK_KOBJECT_UEVENT.
    const UEVENTS: &str = "15";
    let Some(number) = number_of_socket(target) else {
        return false;
    };
    let sockets = fs::read_to_string(format!("/proc/{pid}/net/netlink")).unwrap_or_default();
    sockets.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.nth(1) == Some(UEVENTS) && words.next_back() == Some(number)
    })
}

/// The socket on which dynamic users are looked up is made with the first of them, and stays.
fn is_of_users(target: &str) -> bool {
    let Some(number) = number_of_socket(target) else {
        return false;
    };
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    sockets.lines().any(|line| {
        let mut words = line.split_whitespace().skip(6);
        words.next() == Some(number) && words.any(|path| path.starts_with("/run/systemd/userdb/"))
    })
}

/// Is it as the sockets in which things made ahead lie?
fn is_made_ahead(target: &str) -> bool {
    const DATAGRAMS: &str = "0002";
    let Some(number) = number_of_socket(target) else {
        return false;
    };
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    sockets.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words[..], [_, _, _, _, DATAGRAMS, _, known] if known == number)
    })
}

/// What differs from one instance to the next is left out: numbers, folders, where the program lies, which log file is the newest.
fn kind(target: &Path, folder: &Path) -> String {
    let text = target.display().to_string();
    let text = text.replace(&*folder.to_string_lossy(), "");
    let text = text.strip_suffix(" (deleted)").unwrap_or(&text);
    if text.ends_with("/coracled") {
        return "coracled".into();
    }
    match text.rsplit_once('/') {
        Some((_, "mountinfo")) => "/proc/mountinfo".into(),
        Some((directory, file)) if file.ends_with(".log") => format!("{directory}/*.log"),
        _ if text.starts_with("anon_inode:") => text.into(),
        _ if is_made_ahead(text) => "socket of datagrams without a name".into(),
        _ => text.split(":[").next().unwrap_or_default().into(),
    }
}

/// By this the manager hears of changes of control groups, where there are some.
const OF_GROUPS: &str = "manager: anon_inode:inotify";

/// The numbers for what a child is given, and what is open there meanwhile.
const OF_WINDOW: [&str; 13] = ["keeper: anon_inode:[eventfd]"; 13];

/// [`AT_REST`] and the keeper's numbers for children, with control groups or without.
#[must_use]
pub fn at_rest(has_groups: bool) -> Vec<&'static str> {
    let all = AT_REST.iter().copied().chain(OF_WINDOW);
    all.filter(|holding| has_groups || *holding != OF_GROUPS)
        .collect()
}

/// What an instance holds that has no unit: from its begin on, as soon as the client that started it has its answer.
pub const AT_REST: &[&str] = &[
    "keeper: /memfd:coracle-executor",
    // The locks of its directories.
    "keeper: /run",
    "keeper: /state/instance",
    "keeper: anon_inode:[eventpoll]",
    "keeper: anon_inode:[pidfd]",
    "keeper: anon_inode:[pidfd]",
    "keeper: anon_inode:[signalfd]",
    "keeper: coracled",
    // Its channels to both, the socket of the API, and both ends of the manager's stream into the log.
    "keeper: socket",
    "keeper: socket",
    "keeper: socket",
    "keeper: socket",
    "keeper: socket",
    "log: /state/journal/system/*.log",
    "log: anon_inode:[eventpoll]",
    "log: socket",
    "log: socket",
    "manager: /run/said",
    // The directory of records.
    "manager: /run/units",
    "manager: /run/words",
    // By which the threads that test conditions tell that they have.
    "manager: anon_inode:[eventfd]",
    "manager: anon_inode:[eventpoll]",
    "manager: anon_inode:inotify",
    "manager: socket",
    "manager: socket",
    "manager: socket",
];

/// The process that makes network namespaces ahead, and what is held for it while it lives: a minute longer than anybody wants one.
const MAKER: &str = "coracle-networks";
const OF_MAKER: &[&str] = &[
    "keeper: anon_inode:[pidfd]",
    "keeper: socket",
    "manager: socket",
];

/// What may be held besides, and how often: the programs of groups that the next unit may want again, and for the next starts networks, and
/// sockets in which lies all that was made ahead, or the file systems of it. A unit of a mount or of a swap is asked after for as long as it is known.
const KEPT: [(&str, usize); 5] = [
    ("manager: /proc/mountinfo", 1),
    ("manager: /proc/swaps", 1),
    ("manager: anon_inode:bpf-prog", 32),
    ("manager: net", 2),
    ("manager: socket of datagrams without a name", 4),
];

/// What is too much, with a plus, and what lacks, with a minus.
#[must_use]
pub fn difference(expected: &[&str], found: &[String]) -> Vec<String> {
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let count = |list: &[&str], kind: &str| list.iter().filter(|one| **one == kind).count();
    let mut kinds: Vec<&str> = expected.iter().chain(&found).copied().collect();
    kinds.sort();
    kinds.dedup();
    let counts = kinds.into_iter().map(|kind| {
        let (wanted, there) = (count(expected, kind), count(&found, kind));
        (kind, wanted, there)
    });
    let may_be = |kind: &str, there: usize| {
        let mut kept = KEPT.iter();
        kept.any(|(known, count)| *known == kind && there <= *count)
    };
    counts
        .filter(|(kind, wanted, there)| wanted != there && !may_be(kind, *there))
        .map(|(kind, wanted, there)| {
            let sign = if there > wanted { '+' } else { '-' };
            format!("{sign}{} {kind}", there.abs_diff(wanted))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_once_more_or_no_longer_is_told() {
        let expected = ["log: socket", "manager: socket", "manager: socket"];
        let found = [
            "manager: pipe",
            "manager: socket",
            "manager: socket",
            "manager: socket",
        ];
        let told = |found: &[&str]| {
            let found: Vec<String> = found.iter().map(|one| (*one).to_owned()).collect();
            difference(&expected, &found)
        };
        assert_eq!(
            told(&found),
            ["-1 log: socket", "+1 manager: pipe", "+1 manager: socket"]
        );
        assert!(told(&expected).is_empty());
        for (kind, count) in KEPT {
            let kept = |count| [expected.to_vec(), vec![kind; count]].concat();
            assert!(told(&kept(count)).is_empty());
            assert_eq!(told(&kept(count + 1)).len(), 1);
        }
    }

    #[test]
    fn what_differs_from_one_instance_to_the_next_is_left_out() {
        for (target, expected) in [
            ("socket:[123]", "socket"),
            ("anon_inode:[pidfd]", "anon_inode:[pidfd]"),
            ("/x/run/said", "/run/said"),
            (
                "/x/state/journal/system/1-2.log",
                "/state/journal/system/*.log",
            ),
            ("/some/where/coracled (deleted)", "coracled"),
            (
                "/memfd:coracle-executor (deleted)",
                "/memfd:coracle-executor",
            ),
        ] {
            assert_eq!(kind(Path::new(target), Path::new("/x")), expected);
        }
    }

    #[test]
    fn what_a_process_opens_is_seen_until_it_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = rustix::process::getpid();
        let seen = || {
            let found = holdings(own, folder.path());
            found.iter().any(|kind| kind == "keeper: /marked")
        };
        assert!(!seen());
        let file = fs::File::create(folder.path().join("marked")).expect("a file");
        assert!(seen());
        drop(file);
        assert!(!seen());
    }
}
