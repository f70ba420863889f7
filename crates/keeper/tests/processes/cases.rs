//! The cases; names are sentences.

use std::os::fd::AsFd;

use keeper::protocol::{ChildState, Class, Command, Exit};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::upheavals::*;
use crate::world::{Heard, World, key, read_all, read_some, text_file, wait_readable};

macro_rules! cases {
    ($($name:ident)*) => { pub(crate) const CASES: &[(&str, fn())] = &[$((stringify!($name), $name)),*]; };
}

cases! {
    a_child_is_spawned_announced_and_reaped
    a_child_gets_its_descriptors_and_nothing_else
    a_child_is_born_in_its_cgroup
    a_repeated_spawn_is_answered_with_the_child_that_exists
    a_spawn_that_cannot_be_is_answered_with_the_reason
    an_end_without_a_manager_is_told_to_the_next_one
    commands_of_a_manager_that_died_are_carried_out
    an_exited_child_stays_until_it_is_reaped
    held_descriptors_come_back_and_are_dropped
    streams_go_to_the_log_process_and_to_its_successor
    a_watched_orphan_is_announced_and_another_is_reaped
    what_a_manager_sent_last_is_carried_out_even_if_it_left_news_unread
    a_manager_that_ends_with_its_wish_for_a_new_keeper_has_a_successor
    a_new_keeper_program_loses_nothing
    garbage_is_refused_and_the_keeper_goes_on
    a_manager_that_crashes_in_a_loop_comes_back_in_adopt_only_mode
    a_wanted_restart_comes_at_once
    signals_are_told_again_to_the_next_manager
    children_that_do_not_end_are_killed_at_the_end
    children_live_on_when_the_keeper_is_killed
    as_init_it_reaps_orphans_and_ends_everything
    hundreds_of_ends_without_a_manager_are_all_kept
}

fn a_child_is_spawned_announced_and_reaped() {
    let world = World::new();
    let mut manager = world.manager();
    assert!(manager.arguments.contains("coracled manager --runtime-dir"));
    assert_eq!(manager.environment, "PATH");
    let executor = manager.expect(Heard::Hello {
        restarts: 0,
        init: false,
        adopt_only: false,
    });
    assert_eq!(executor.len(), 1);
    assert!(manager.introduce().is_empty());
    let report = manager.spawn(1, "say hello exit 3", &[]);
    let (_, pidfd) = manager.spawned(1);
    assert_eq!(read_all(report), "hello");
    manager.expect(Heard::Exited(1, Exit::Code(3)));
    assert!(kernel::process::has_ended(&pidfd));
    manager.send(Command::Reap { key: key(1) }, &[]);
    assert!(manager.introduce().is_empty());
    assert_eq!(
        kernel::process::send_signal(&pidfd, 0),
        Err(kernel::Errno::SRCH),
        "it is reaped"
    );
    let report = manager.spawn(2, "die", &[]);
    manager.spawned(2);
    drop(report);
    let (heard, _) = manager.hear();
    assert!(
        matches!(heard, Heard::Exited(2, Exit::Killed { signal: 6, .. })),
        "{heard:?}"
    );
    assert_eq!(world.end(manager), 42);
}

fn a_child_gets_its_descriptors_and_nothing_else() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let files: Vec<_> = (0..20).map(|_| text_file("")).collect();
    for file in &files {
        manager.send(
            Command::Hold {
                class: Class::Other,
                name: b"x",
            },
            &[file.as_fd()],
        );
    }
    let lent: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    let report = manager.spawn(1, "descriptors status limits", &lent);
    manager.spawned(1);
    // The plan is closed once it is read: its number is that of the directory which lists the others.
    let open: Vec<i32> = (0..25).collect();
    let (soft, hard) = kernel::process::limit(kernel::process::LIMIT_OPEN_FILES).unwrap();
    let heard = read_all(report);
    assert!(heard.starts_with(&format!("{open:?}")), "{heard}");
    assert!(heard.contains("SigBlk:\t0000000000000000"), "{heard}");
    assert!(heard.ends_with(&format!("{:?}", (soft, hard))), "{heard}");
    manager.expect(Heard::Exited(1, Exit::Code(0)));
    world.end(manager);
}

/// A control group that goes when the test ends, well or not; its last process may still be on its way out.
struct Group(std::path::PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        while std::fs::remove_dir(&self.0).is_err_and(|error| error.raw_os_error() == Some(16)) {
            std::thread::yield_now();
        }
    }
}

fn a_child_is_born_in_its_cgroup() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let root = mounts
        .lines()
        .find(|line| line.contains(" cgroup2 "))
        .expect("a cgroup2 mount")
        .split(' ')
        .nth(1)
        .unwrap();
    let name = format!("coracle-keeper-test-{}", std::process::id());
    let directory = std::path::Path::new(root).join(&name);
    std::fs::create_dir(&directory).unwrap();
    let _group = Group(directory.clone());
    let cgroup = std::fs::File::open(&directory).unwrap();
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let report = manager.spawn_with(1, "cgroup", &[], false, Some(cgroup.as_fd()));
    manager.spawned(1);
    let heard = read_all(report);
    manager.expect(Heard::Exited(1, Exit::Code(0)));
    manager.send(Command::Reap { key: key(1) }, &[]);
    manager.introduce();
    world.end(manager);
    assert!(
        heard
            .lines()
            .any(|line| line.starts_with("0::") && line.ends_with(&name)),
        "{heard}"
    );
}

fn a_repeated_spawn_is_answered_with_the_child_that_exists() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let mut report = manager.spawn(1, "ready wait", &[]);
    let (pid, pidfd) = manager.spawned(1);
    assert_eq!(read_some(&mut report), "ready");
    let second = manager.spawn(1, "ready wait", &[]);
    assert_eq!(manager.spawned(1).0, pid);
    assert_eq!(read_all(second), "", "no second process runs");
    manager.send(
        Command::Signal {
            key: key(1),
            signal: 15,
        },
        &[],
    );
    let end = Exit::Killed {
        signal: 15,
        dumped: false,
    };
    manager.expect(Heard::Exited(1, end));
    let _third = manager.spawn(1, "ready wait", &[]);
    assert_eq!(
        manager.spawned(1).0,
        pid,
        "even a dead one, until it is reaped"
    );
    assert!(kernel::process::has_ended(&pidfd));
    world.end(manager);
}

fn a_spawn_that_cannot_be_is_answered_with_the_reason() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    // No cgroup directory: the kernel refuses to bear a child there.
    let file = text_file("");
    drop(manager.spawn_with(1, "wait", &[], false, Some(file.as_fd())));
    let (heard, _) = manager.hear();
    assert!(
        matches!(heard, Heard::SpawnFailed(1, errno) if errno == kernel::Errno::BADF.raw_os_error()),
        "{heard:?}"
    );
    // A file that is no program.
    let request = keeper::protocol::Spawn {
        key: key(2),
        role: 0,
        new_pid_namespace: false,
        own_executor: true,
        cgroup: false,
        kept: 0,
        label: b"",
    };
    manager.send(
        Command::Spawn(request),
        &[file.as_fd(), file.as_fd(), file.as_fd()],
    );
    let (heard, _) = manager.hear();
    assert!(
        matches!(heard, Heard::SpawnFailed(2, errno) if errno != 0),
        "{heard:?}"
    );
    assert!(manager.introduce().is_empty());
    world.end(manager);
}

fn an_end_without_a_manager_is_told_to_the_next_one() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let (gate, go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let mut report = manager.spawn(1, "pid orphan 4 wait", &[gate.as_fd()]);
    let (pid, pidfd) = manager.spawned(1);
    read_some(&mut report);
    manager.kill();
    kernel::process::send_signal(&pidfd, 9).unwrap();
    let (mut manager, inventory) = world.next_manager();
    let end = Exit::Killed {
        signal: 9,
        dumped: false,
    };
    match inventory.as_slice() {
        // It may end before or after the new manager asked.
        [
            Heard::Child {
                command: 1,
                pid: heard,
                watched: false,
                ..
            },
        ] => assert_eq!(*heard, pid),
        other => panic!("{other:?}"),
    }
    manager.expect(Heard::Exited(1, end));
    drop((gate, go));
    manager.kill();
    let (mut manager, inventory) = world.next_manager();
    assert_eq!(
        inventory,
        [Heard::Child {
            command: 1,
            pid,
            state: ChildState::Exited(end),
            watched: false
        }]
    );
    manager.expect(Heard::Exited(1, end));
    manager.send(Command::Reap { key: key(1) }, &[]);
    assert!(manager.introduce().is_empty());
    world.end(manager);
}

fn commands_of_a_manager_that_died_are_carried_out() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let file = text_file("kept");
    for number in 0..100 {
        manager.send(
            Command::Hold {
                class: Class::Mount,
                name: format!("m{number}").as_bytes(),
            },
            &[file.as_fd()],
        );
    }
    manager.kill();
    let (manager, inventory) = world.next_manager();
    assert_eq!(inventory.len(), 100);
    world.end(manager);
}

fn an_exited_child_stays_until_it_is_reaped() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let mut report = manager.spawn(1, "ready wait", &[]);
    manager.spawned(1);
    read_some(&mut report);
    manager.send(Command::Reap { key: key(1) }, &[]);
    manager.expect(Heard::Refused(kernel::Errno::BUSY.raw_os_error()));
    manager.send(Command::Reap { key: key(9) }, &[]);
    manager.send(
        Command::Signal {
            key: key(9),
            signal: 9,
        },
        &[],
    );
    manager.expect(Heard::Refused(kernel::Errno::SRCH.raw_os_error()));
    world.end(manager);
}

fn held_descriptors_come_back_and_are_dropped() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let (first, second) = (text_file("first"), text_file("second"));
    manager.send(
        Command::Hold {
            class: Class::Listen,
            name: b"web.socket",
        },
        &[first.as_fd()],
    );
    manager.send(
        Command::Hold {
            class: Class::FdStore,
            name: b"web.socket",
        },
        &[first.as_fd()],
    );
    manager.send(
        Command::Hold {
            class: Class::Listen,
            name: b"web.socket",
        },
        &[second.as_fd()],
    );
    manager.kill();
    let mut manager = world.manager();
    manager.hear();
    manager.send(Command::Inventory, &[]);
    let mut texts = Vec::new();
    loop {
        match manager.hear() {
            (Heard::InventoryEnd, _) => break,
            (Heard::Held(class, name), mut descriptors) => {
                let mut bytes = [0; 16];
                let count = rustix::io::pread(descriptors.remove(0), &mut bytes, 0).unwrap();
                texts.push((
                    class,
                    name,
                    String::from_utf8(bytes[..count].to_vec()).unwrap(),
                ));
            }
            (other, _) => panic!("{other:?}"),
        }
    }
    texts.sort();
    let name = || "web.socket".to_owned();
    assert_eq!(
        texts,
        [
            (Class::Listen, name(), "second".to_owned()),
            (Class::FdStore, name(), "first".to_owned())
        ]
    );
    manager.send(
        Command::Drop {
            class: Class::Listen,
            name: b"web.socket",
        },
        &[],
    );
    manager.send(
        Command::Drop {
            class: Class::Listen,
            name: b"never.socket",
        },
        &[],
    );
    assert_eq!(manager.introduce(), [Heard::Held(Class::FdStore, name())]);
    world.end(manager);
}

fn streams_go_to_the_log_process_and_to_its_successor() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let mut log = world.log();
    assert!(matches!(log.hear().0, Heard::Hello { .. }));
    log.expect(Heard::InventoryEnd);
    let stream = text_file("");
    manager.send(
        Command::Hold {
            class: Class::Log,
            name: b"web|1",
        },
        &[stream.as_fd()],
    );
    manager.send(
        Command::Hold {
            class: Class::Api,
            name: b"api",
        },
        &[stream.as_fd()],
    );
    assert_eq!(log.expect(Heard::Held(Class::Log, "web|1".into())).len(), 1);
    log.send(
        Command::Drop {
            class: Class::Api,
            name: b"api",
        },
        &[],
    );
    log.expect(Heard::Refused(kernel::Errno::PERM.raw_os_error()));
    log.send(Command::Inventory, &[]);
    log.expect(Heard::Refused(kernel::Errno::PERM.raw_os_error()));
    log.kill();
    let mut log = world.log();
    assert!(matches!(log.hear().0, Heard::Hello { restarts: 1, .. }));
    log.expect(Heard::Held(Class::Log, "web|1".into()));
    log.expect(Heard::InventoryEnd);
    log.send(
        Command::Drop {
            class: Class::Log,
            name: b"web|1",
        },
        &[],
    );
    log.kill();
    let mut log = world.log();
    log.hear();
    log.expect(Heard::InventoryEnd);
    assert_eq!(manager.introduce(), [Heard::Held(Class::Api, "api".into())]);
    drop(log);
    world.end(manager);
}

fn a_watched_orphan_is_announced_and_another_is_reaped() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let (gate, go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let report = manager.spawn(1, "orphan 4 orphan 5 exit 0", &[gate.as_fd()]);
    manager.spawned(1);
    drop(gate);
    let text = read_line_pair(report);
    let pidfds = text.map(|pid| {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap()
    });
    manager.expect(Heard::Exited(1, Exit::Code(0)));
    manager.send(
        Command::Watch {
            key: key(2),
            role: 1,
            pid: text[0] as u32,
        },
        &[pidfds[0].as_fd()],
    );
    manager.send(
        Command::Watch {
            key: key(3),
            role: 1,
            pid: text[0] as u32,
        },
        &[pidfds[0].as_fd()],
    );
    manager.expect(Heard::Refused(kernel::Errno::EXIST.raw_os_error()));
    drop(go);
    manager.expect(Heard::Exited(2, Exit::Code(4)));
    // The other is no one's: it is reaped as soon as our own dead before it are.
    wait_readable(pidfds[1].as_fd(), "the end of the other orphan");
    manager.send(Command::Reap { key: key(1) }, &[]);
    manager.send(Command::Reap { key: key(2) }, &[]);
    assert!(manager.introduce().is_empty());
    for pidfd in pidfds {
        assert_eq!(
            kernel::process::send_signal(&pidfd, 0),
            Err(kernel::Errno::SRCH),
            "it is reaped"
        );
    }
    world.end(manager);
}

/// The process ids of two orphans; they keep the report open, so the end cannot be waited for.
fn read_line_pair(mut report: std::fs::File) -> [i32; 2] {
    let mut text = String::new();
    while text.lines().count() < 2 || !text.ends_with('\n') {
        text.push_str(&read_some(&mut report));
    }
    let pids: Vec<i32> = text
        .lines()
        .map(|line| line.strip_prefix("orphan ").unwrap().parse().unwrap())
        .collect();
    pids.try_into().unwrap()
}
