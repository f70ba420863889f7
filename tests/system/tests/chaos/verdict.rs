//! Every ledger against what Coracle recorded.

use std::path::Path;
use std::time::{Duration, Instant};

use coracle_system_tests::{manager, waiting};
use rustix::process::Pid;
use testkit::Instance;

use crate::world::{RESTLESS, World};

/// What the actors did: name and how often.
type Account = [(&'static str, u64)];

/// How long the log process may take to write what it has been given.
const LOG_PATIENCE: Duration = Duration::from_secs(20);

/// Brings the world to a halt, then compares.
pub fn check(world: &World<'_>, account: &Account) {
    let begin = Instant::now();
    std::fs::remove_file(world.coracle.folder().join("go")).expect("the file");
    for name in RESTLESS {
        let begin = Instant::now();
        while world
            .ledger(name)
            .lines()
            .last()
            .is_none_or(|last| last != "resting")
        {
            assert!(
                begin.elapsed() < LOG_PATIENCE,
                "{name} does not come to rest: {}",
                world.coracle.ok(&["status", name])
            );
            std::thread::yield_now();
        }
        waiting::state(world.coracle, &format!("{name}.service"), "active");
    }
    println!("at rest after {} ms", begin.elapsed().as_millis());
    let count = |name: &str| {
        let mut all = account.iter();
        all.find(|(known, _)| *known == name)
            .map_or(0, |(_, count)| *count)
    };
    assert!(account.iter().all(|(_, count)| *count > 0), "{account:?}");
    check_answers(world, count("web"), count("lazy"));
    check_deeds(world, &count);
    for name in ["crash", "fork", "daemon", "hang", "burst"] {
        check_restarts(world, name);
    }
    for name in ["crash", "fork", "daemon"] {
        check_ends(world, name);
    }
    for name in ["flood", "burst"] {
        check_lines(world, name);
    }
    same(
        &format!("starts of stay, {}", recorded(world, "stay")),
        &up_to(count("stay") + 1),
        &world.ledger("stay").entries("started"),
    );
    let killed = vec!["killed KILL".to_owned(); count("deaf") as usize];
    agree("ends of deaf", &killed, || logged_ends(world, "deaf"));
}

/// What Coracle knows and says of a service, for the message of a failure.
fn recorded(world: &World<'_>, name: &str) -> String {
    let show = world.coracle.coracle(&["show", &format!("{name}.service")]);
    let logs = world
        .coracle
        .coracle(&["logs", "-u", name, "--lines", "40"]);
    format!(
        "of which is recorded:\n{}\nand told:\n{}\n",
        show.stdout, logs.stdout
    )
}

fn up_to(count: u64) -> Vec<String> {
    (1..=count).map(|number| number.to_string()).collect()
}

/// Who asked was answered, once; the one server is still the first, and the other ran once for each.
fn check_answers(world: &World<'_>, web: u64, lazy: u64) {
    same(
        "answers of web",
        &up_to(web),
        &world.ledger("web").entries("answered"),
    );
    same(
        "starts of web",
        &up_to(1),
        &world.ledger("web").entries("started"),
    );
    same(
        "answers of lazy",
        &up_to(lazy),
        &world.ledger("lazy").entries("answered"),
    );
    same(
        "starts of lazy",
        &up_to(lazy),
        &world.ledger("lazy").entries("started"),
    );
    for name in ["web", "lazy"] {
        assert_eq!(
            world
                .coracle
                .property(&format!("{name}.service"), "NRestarts"),
            "0",
            "restarts of {name}, {}",
            recorded(world, name)
        );
        assert_eq!(
            world
                .coracle
                .property(&format!("{name}.socket"), "ActiveState"),
            "active",
            "{name}.socket: {}",
            world.coracle.ok(&["status", &format!("{name}.socket")])
        );
    }
}

/// Every deed was done once.
fn check_deeds(world: &World<'_>, count: &dyn Fn(&str) -> u64) {
    same(
        "runs",
        &up_to(count("run")),
        &world.ledger("run").entries("did"),
    );
    let deeds = world.ledger("once").entries("did");
    for name in ["done", "fail"] {
        let begin = format!("{name}-");
        let own = deeds.iter().filter_map(|deed| deed.strip_prefix(&begin));
        let own: Vec<String> = own.map(str::to_owned).collect();
        same(name, &up_to(count(name)), &own);
    }
}

/// Each restart that is counted is told in the log, and is a start after the first.
fn check_restarts(world: &World<'_>, name: &str) {
    let starts = world.ledger(name).entries("started");
    same(
        &format!("starts of {name}"),
        &up_to(starts.len() as u64),
        &starts,
    );
    let after_first = starts.len() as u64 - 1;
    let restarts = world
        .coracle
        .property(&format!("{name}.service"), "NRestarts");
    let restarts: u64 = restarts.parse().expect("a number");
    // A run whose time is over before its process has come to write anything counts, too: where managers die all the time and the machine
    // has other work, three tenths of a second are little. It is rare.
    let unwritten_max = if name == "hang" {
        after_first / 50 + 1
    } else {
        0
    };
    assert!(
        (after_first..=after_first + unwritten_max).contains(&restarts),
        "restarts of {name}: {restarts} with {} starts in its ledger, {}",
        starts.len(),
        recorded(world, name)
    );
    let told = vec!["is restarted".to_owned(); restarts as usize];
    agree(&format!("restarts of {name} in the log"), &told, || {
        let told = logged(world, name, "ended with result ").into_iter();
        let told = told.filter_map(|line| Some(line.split_once(", and ")?.1.to_owned()));
        told.collect()
    });
}

/// How each run ended is in the log.
fn check_ends(world: &World<'_>, name: &str) {
    let ended = world.ledger(name).entries("ended").into_iter();
    let ended = ended.map(|end| match end.as_str() {
        "killed 6" => "killed ABRT".to_owned(),
        "killed 9" => "killed KILL".to_owned(),
        "killed 10" => "killed USR1".to_owned(),
        "killed 11" => "killed SEGV".to_owned(),
        _ => end,
    });
    let ended: Vec<String> = ended.filter(|end| end != "exited 0").collect();
    assert!(
        !ended.is_empty(),
        "{name} never ended: {:?}",
        world.ledger(name).lines()
    );
    agree(&format!("ends of {name}"), &ended, || {
        logged_ends(world, name)
    });
}

/// The ends of main processes that the log tells of, as the ledgers write them.
fn logged_ends(world: &World<'_>, name: &str) -> Vec<String> {
    let lines = logged(world, name, "main process exited, code=").into_iter();
    lines.map(|line| line.replace(", status=", " ")).collect()
}

/// All that was written is in the log, once, and in order; what one run said last and the next one first may be read side by side.
fn check_lines(world: &World<'_>, name: &str) {
    let written = world.ledger(name).entries("written");
    let last = written.last().and_then(|last| last.parse().ok());
    let last = last
        .filter(|last| *last > 0)
        .unwrap_or_else(|| panic!("{name} wrote nothing: {:?}", world.ledger(name).lines()));
    agree(&format!("lines of {name}"), &up_to(last), || {
        let printed = world.coracle.ok(&["logs", "-u", name, "--cat"]);
        let lines = printed.lines();
        let lines = lines.filter_map(|line| line.strip_prefix("line ")?.parse::<u64>().ok());
        let mut lines: Vec<u64> = lines.collect();
        if name == "burst" {
            lines.sort_unstable();
        }
        lines.iter().map(u64::to_string).collect()
    });
}

/// What the log says of a unit after these words.
fn logged(world: &World<'_>, name: &str, words: &str) -> Vec<String> {
    let begin = format!("{name}.service: {words}");
    let printed = world.coracle.ok(&["logs", "-u", name, "--cat"]);
    let lines = printed.lines().filter_map(|line| line.strip_prefix(&begin));
    lines.map(str::to_owned).collect()
}

/// Fails unless `found` is the same as `expected`, as soon as the log process has caught up.
#[track_caller]
fn agree(what: &str, expected: &[String], found: impl Fn() -> Vec<String>) {
    let begin = Instant::now();
    loop {
        let found = found();
        if found == expected || begin.elapsed() > LOG_PATIENCE {
            return same(what, expected, &found);
        }
        std::thread::yield_now();
    }
}

/// Fails with the first difference and what is around it.
#[track_caller]
fn same(what: &str, expected: &[String], found: &[String]) {
    if expected == found {
        return;
    }
    let pairs = expected.iter().zip(found);
    let at = pairs.take_while(|(one, other)| one == other).count();
    let around = |list: &[String]| list[at.saturating_sub(3)..list.len().min(at + 5)].to_vec();
    panic!(
        "{what}: expected {} and found {}; from number {at} on {:?} was expected and {:?} found",
        expected.len(),
        found.len(),
        around(expected),
        around(found)
    );
}

/// What the keeper holds, the groups and the records are those of the units that are up.
pub fn check_nothing_is_left(coracle: &Instance, keeper: Pid, before: &[String]) {
    coracle.ok(&["stop", "web.socket", "lazy.socket", "web", "lazy", "note@*"]);
    let restless = RESTLESS.iter().copied();
    let all: Vec<&str> = ["stop", "stay"].into_iter().chain(restless).collect();
    coracle.ok(&all);
    let root = coracle.control_group();
    waiting::eventually("the end of all groups", || {
        manager::groups(&root).is_empty().then_some(())
    });
    let after = waiting::eventually("the end of all descriptors", || {
        let after = manager::descriptors(keeper);
        (after.len() <= before.len()).then_some(after)
    });
    assert!(
        after.iter().all(|one| before.contains(one)),
        "{after:#?}, before: {before:#?}"
    );
    let notify = names(&coracle.folder().join("run/notify"));
    assert!(notify.is_empty(), "{notify:?}");
    // A run whose client was answered by a manager that died at once stays for as long as its client may come back.
    waiting::eventually("the end of all records of runs", || {
        let left = names(&coracle.folder().join("run/units"));
        let mut left = left.iter();
        (!left.any(|name| name.contains("run-") || name.starts_with('.'))).then_some(())
    });
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory)
        .expect("the directory")
        .flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
