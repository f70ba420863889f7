//! The keeper's own ends: killed beside another init, and asked to end as the first process of a pid namespace.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use coracle_system_tests::first::First;
use coracle_system_tests::gate::Gate;
use coracle_system_tests::manager::lives;
use coracle_system_tests::{manager, waiting, with_units};
use rustix::process::{Pid, Signal};
use testkit::Instance;

const FOREVER: &str = "[Service]\nExecStart=/bin/sleep infinity\n";

#[test]
fn services_outlive_a_killed_keeper_and_the_next_one_says_what_is_known_and_what_is_lost() {
    let units = [
        ("a.service", FOREVER),
        ("b.service", FOREVER),
        (
            "user.service",
            "[Service]\nDynamicUser=yes\nExecStart=/bin/sleep infinity\n",
        ),
        ("listens.service", FOREVER),
        (
            "listens.socket",
            "[Socket]\nListenStream=@lost-with-its-keeper\n",
        ),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "a", "b", "user", "listens.socket"]);
        let services = ["a.service", "b.service", "user.service"];
        let mains = services.map(|unit| coracle.property(unit, "MainPID"));
        manager::kill_keeper(coracle);
        assert!(mains.iter().all(|pid| lives(pid)));
        let alone = coracle.coracle(&["--no-autostart", "status", "a"]);
        assert_ne!(alone.status, 0, "{alone:?}");
        // The next command starts the next keeper.
        let known = services.map(|unit| coracle.property(unit, "MainPID"));
        assert_eq!(known, mains);
        assert!(mains.iter().all(|pid| lives(pid)));
        assert_eq!(coracle.property("listens.socket", "ActiveState"), "failed");
        check_the_leftovers(coracle, &mains);
    });
}

/// Says that it is ready, and something more whenever it is asked to.
const SPEAKER: &str = r#"use IO::Socket::UNIX;
sub speak { IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET})->send(shift) or exit 9 }
$SIG{USR1} = sub { speak("STATUS=here I am") };
speak("READY=1");
sleep while 1;
"#;

#[test]
fn a_service_that_outlives_its_keeper_is_heard_by_the_next_one() {
    with_units(&[], |coracle| {
        let script = coracle.folder().join("speaker");
        std::fs::write(&script, SPEAKER).expect("a script");
        let unit = format!(
            "[Service]\nType=notify\nExecStart=/usr/bin/perl {}\n",
            script.display()
        );
        coracle.unit("speaker.service", &unit);
        coracle.ok(&["start", "speaker"]);
        let main = coracle.property("speaker.service", "MainPID");
        manager::kill_keeper(coracle);
        let api = coracle.folder().join("run/api");
        waiting::eventually("the end of its manager", || UnixStream::connect(&api).err());
        assert_eq!(coracle.property("speaker.service", "MainPID"), main);
        coracle.ok(&["kill", "--signal=USR1", "speaker"]);
        waiting::eventually("its words", || {
            (coracle.property("speaker.service", "StatusText") == "here I am").then_some(())
        });
        assert!(lives(&main));
    });
}

/// What lives on is stopped like anything else, and an end that nobody saw is said to be unknown.
fn check_the_leftovers(coracle: &Instance, mains: &[String; 3]) {
    coracle.ok(&["stop", "a"]);
    assert!(!lives(&mains[0]));
    coracle.ok(&["kill", "--signal=KILL", "b"]);
    waiting::state(coracle, "b.service", "inactive");
    let told = coracle.coracle(&["status", "b"]).stdout;
    assert!(told.contains("nobody knows how"), "{told}");
    coracle.ok(&["restart", "user"]);
    assert!(!lives(&mains[2]));
    coracle.ok(&["restart", "listens.socket"]);
    assert_eq!(coracle.property("listens.socket", "SubState"), "listening");
    let name = rustix::net::SocketAddrUnix::new_abstract_name(b"lost-with-its-keeper");
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .expect("a socket");
    rustix::net::connect(&socket, &name.expect("a name")).expect("somebody listens again");
}

fn ordered(name: &str, after: &str, file: &Path) -> String {
    format!(
        "[Unit]\n{after}\n[Service]\nExecStart=/bin/sleep infinity\nExecStop=/bin/sh -c 'echo {name} >> {}'\n",
        file.display()
    )
}

#[test]
fn as_the_first_process_it_reaps_orphans_forwards_signals_and_ends_in_order() {
    testkit::require_root();
    let coracle = Instance::new();
    let order: PathBuf = coracle.folder().join("order");
    coracle.unit("base.service", &ordered("base", "", &order));
    coracle.unit(
        "middle.service",
        &ordered("middle", "After=base.service", &order),
    );
    coracle.unit(
        "top.service",
        &ordered("top", "After=middle.service", &order),
    );
    wanted_at_the_end(&coracle, "farewell", "DefaultDependencies=no", &order, "");
    // As the reference has it: a unit that conflicts with the end does not run at it.
    wanted_at_the_end(&coracle, "dropped", "", &order, "");
    let mut first = First::start(&coracle);
    assert_eq!(
        coracle.ok(&["show", "-p", "KeeperPID", "--value"]).trim(),
        "1"
    );
    assert_eq!(
        coracle.ok(&["show", "-p", "Position", "--value"]).trim(),
        "init"
    );
    coracle.ok(&["start", "top", "base", "middle"]);
    check_orphans(&coracle, first.keeper);
    // SIGHUP reads the unit files again.
    coracle.unit("new.service", FOREVER);
    coracle.unit(
        "top.service",
        &(ordered("top", "After=middle.service", &order) + "#\n"),
    );
    assert_eq!(coracle.property("top.service", "NeedDaemonReload"), "yes");
    first.signal(Signal::HUP);
    waiting::eventually("units that were read again", || {
        (coracle.property("top.service", "NeedDaemonReload") == "no").then_some(())
    });
    let group = coracle.control_group();
    first.signal(Signal::TERM);
    let status = first.unshare.wait().expect("its end");
    assert!(status.success(), "{status}");
    let ended = std::fs::read_to_string(&order).expect("what ended");
    assert_eq!(ended, "top\nmiddle\nbase\nfarewell\n");
    assert!(
        !Path::new("/sys/fs/cgroup/unified")
            .join(group.trim_start_matches('/'))
            .exists()
    );
}

/// A unit that the target of the end wants.
fn wanted_at_the_end(coracle: &Instance, name: &str, lines: &str, order: &Path, before: &str) {
    let unit = format!("{name}.service");
    let text = format!(
        "[Unit]\n{lines}\nAfter=final.target\nBefore=exit.target\n\
         [Service]\nType=oneshot\nExecStart=/bin/sh -c '{before}echo {name} >> {}'\n",
        order.display()
    );
    coracle.unit(&unit, &text);
    let wants = coracle.folder().join("config/units/exit.target.wants");
    std::fs::create_dir_all(&wants).expect("a directory");
    std::os::unix::fs::symlink(format!("../{unit}"), wants.join(unit)).expect("a link");
}

#[test]
fn an_end_goes_on_by_its_target_after_the_managers_death() {
    testkit::require_root();
    let coracle = Instance::new();
    let order = coracle.folder().join("order");
    let gate = Gate::at(coracle.folder().join("gate"));
    let waits = format!("cat {}; ", gate.path().display());
    let lines = "DefaultDependencies=no";
    wanted_at_the_end(&coracle, "farewell", lines, &order, &waits);
    let mut first = First::start(&coracle);
    coracle.ok(&["start", "--no-block", "exit.target"]);
    waiting::state(&coracle, "farewell.service", "activating");
    let state = coracle.coracle(&["is-system-running"]);
    assert_eq!(state.stdout.trim(), "stopping", "{state:?}");
    manager::kill(manager::of(first.keeper));
    gate.open();
    let status = first.unshare.wait().expect("its end");
    assert!(status.success(), "{status}");
    let ended = std::fs::read_to_string(&order).expect("what ran");
    assert_eq!(ended, "farewell\n");
}

#[test]
fn an_end_whose_target_can_not_be_had_is_an_end_all_the_same() {
    testkit::require_root();
    let coracle = Instance::new();
    let order = coracle.folder().join("order");
    coracle.unit("base.service", &ordered("base", "", &order));
    let target = coracle.folder().join("config/units/exit.target");
    std::os::unix::fs::symlink("/dev/null", target).expect("a link");
    let mut first = First::start(&coracle);
    coracle.ok(&["start", "base"]);
    first.signal(Signal::TERM);
    let status = first.unshare.wait().expect("its end");
    assert!(status.success(), "{status}");
    let ended = std::fs::read_to_string(&order).expect("what ended");
    assert_eq!(ended, "base\n");
}

/// A process whose parent ends becomes the keeper's child, and nobody is left dead.
fn check_orphans(coracle: &Instance, keeper: Pid) {
    let script = "setsid sh -c 'sleep 0.1; exit 5' >/dev/null 2>&1 & exit 0";
    coracle.ok(&[
        "run",
        "--wait",
        "-p",
        "KillMode=process",
        "/bin/sh",
        "-c",
        script,
    ]);
    waiting::eventually("the end of all orphans", || {
        let children = manager::children(keeper);
        let dead = children
            .iter()
            .any(|(pid, _)| !lives(&pid.as_raw_pid().to_string()));
        // Manager, log and three services.
        (children.len() == 5 && !dead).then_some(())
    });
}
