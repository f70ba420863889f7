//! Cases in which something big ends: the manager again and again, the keeper's program, the keeper, everything.

use std::os::fd::AsFd;

use keeper::protocol::{ChildState, Class, Command, Exit};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::world::{Client, Heard, World, key, read_all, read_some, text_file, wait_readable};

pub(crate) fn what_a_manager_sent_last_is_carried_out_even_if_it_left_news_unread() {
    const SIGSTOP: i32 = 19;
    const SIGCONT: i32 = 18;
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    drop(manager.spawn(1, "wait", &[]));
    wait_readable(manager.channel.as_fd(), "news that no one reads");
    let keeper = world.keeper.id() as i32;
    kernel::process::kill(keeper, SIGSTOP).unwrap();
    let held = text_file("still here");
    manager.send(
        Command::Hold {
            class: Class::Notify,
            name: b"last",
        },
        &[held.as_fd()],
    );
    let process = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(manager.pid).unwrap(),
        rustix::process::PidfdFlags::empty(),
    )
    .unwrap();
    manager.kill();
    wait_readable(process.as_fd(), "the end of the manager");
    kernel::process::kill(keeper, SIGCONT).unwrap();
    let (manager, inventory) = world.next_manager();
    assert!(
        inventory.contains(&Heard::Held(Class::Notify, "last".into())),
        "{inventory:?}"
    );
    assert_eq!(world.end(manager), 42);
}

pub(crate) fn a_manager_that_ends_with_its_wish_for_a_new_keeper_has_a_successor() {
    const SIGSTOP: i32 = 19;
    const SIGCONT: i32 = 18;
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let log = world.log();
    let keeper = world.keeper.id() as i32;
    kernel::process::kill(keeper, SIGSTOP).unwrap();
    let process = |pid| {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap()
    };
    // The end of the log process is what the keeper sees first, and it looks at all that ended then.
    let ends = [process(log.pid), process(manager.pid)];
    log.kill();
    wait_readable(ends[0].as_fd(), "the end of the log process");
    let program = std::fs::File::open("/proc/self/exe").unwrap();
    manager.send(Command::Reexec, &[program.as_fd()]);
    manager.kill();
    wait_readable(ends[1].as_fd(), "the end of the manager");
    kernel::process::kill(keeper, SIGCONT).unwrap();
    let (manager, _) = world.next_manager();
    assert_eq!(world.end(manager), 42);
}

pub(crate) fn a_new_keeper_program_loses_nothing() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let mut log = world.log();
    log.hear();
    log.expect(Heard::InventoryEnd);
    let held = text_file("still here");
    manager.send(
        Command::Hold {
            class: Class::Notify,
            name: b"n",
        },
        &[held.as_fd()],
    );
    manager.send(
        Command::Hold {
            class: Class::Log,
            name: b"l",
        },
        &[held.as_fd()],
    );
    log.expect(Heard::Held(Class::Log, "l".into()));
    let mut report = manager.spawn(1, "ready wait", &[]);
    let (running, pidfd) = manager.spawned(1);
    read_some(&mut report);
    drop(manager.spawn(2, "exit 6", &[]));
    let (dead, _) = manager.spawned(2);
    manager.expect(Heard::Exited(2, Exit::Code(6)));
    let program = std::fs::File::open("/proc/self/exe").unwrap();
    for count in 1..=3 {
        manager.send(Command::Reexec, &[program.as_fd()]);
        check_inventory(&mut manager, running, dead);
        // The log process is of the new program, and hears of the same streams.
        log = world.log();
        assert!(matches!(log.hear().0, Heard::Hello { restarts, .. } if restarts == count));
        log.expect(Heard::Held(Class::Log, "l".into()));
    }
    check_limits(&mut manager);
    kernel::process::send_signal(&pidfd, 9).unwrap();
    manager.expect(Heard::Exited(
        1,
        Exit::Killed {
            signal: 9,
            dumped: false,
        },
    ));
    manager.kill();
    let (manager, inventory) = world.next_manager();
    assert_eq!(inventory.len(), 5);
    log.kill();
    let mut log = world.log();
    assert!(matches!(log.hear().0, Heard::Hello { restarts: 4, .. }));
    log.expect(Heard::Held(Class::Log, "l".into()));
    drop(log);
    assert_eq!(world.end(manager), 42);
}

/// The same channel goes on over the exec, and so do the commands in it.
fn check_inventory(manager: &mut Client, running: u32, dead: u32) {
    let mut inventory = manager.introduce();
    inventory.sort_by_key(|heard| format!("{heard:?}"));
    let exited = ChildState::Exited(Exit::Code(6));
    let expected = [
        Heard::Child {
            command: 1,
            pid: running,
            state: ChildState::Running,
            watched: false,
        },
        Heard::Child {
            command: 2,
            pid: dead,
            state: exited,
            watched: false,
        },
        Heard::Held(Class::Log, "l".into()),
        Heard::Held(Class::Notify, "n".into()),
    ];
    assert_eq!(inventory, expected);
    manager.expect(Heard::Exited(2, Exit::Code(6)));
}

/// Children still get the limit that the first keeper was started with.
fn check_limits(manager: &mut Client) {
    let limits = manager.spawn(3, "limits", &[]);
    manager.spawned(3);
    let own = kernel::process::limit(kernel::process::LIMIT_OPEN_FILES).unwrap();
    assert_eq!(read_all(limits), format!("{own:?}"));
    manager.expect(Heard::Exited(3, Exit::Code(0)));
}

pub(crate) fn garbage_is_refused_and_the_keeper_goes_on() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let valid = Command::Hold {
        class: Class::Other,
        name: b"a",
    }
    .encode();
    let mut seed: u64 = 0x5eed;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    for round in 0..2_000 {
        let mut bytes = match round % 3 {
            0 => (0..random() % 900 + 1).map(|_| random() as u8).collect(),
            1 => valid.as_bytes()[..random() % valid.as_bytes().len() + 1].to_vec(),
            _ => valid.as_bytes().to_vec(),
        };
        let place = random() % bytes.len();
        // Not the kind: that could be a wish to end.
        if round % 3 == 2 && !(6..8).contains(&place) {
            bytes[place] ^= 1 << (random() % 8);
        }
        send_raw(&manager, &bytes);
        while let Some((event, _)) = manager.channel.receive().unwrap() {
            assert!(
                matches!(event, keeper::protocol::Event::Refused { .. }),
                "{event:?}"
            );
        }
    }
    // No descriptors where some are needed, and too many.
    manager.introduce_and_forget();
    manager.send(
        Command::Hold {
            class: Class::Other,
            name: b"b",
        },
        &[],
    );
    manager.expect(Heard::Refused(kernel::Errno::BADF.raw_os_error()));
    let file = text_file("");
    let many = vec![file.as_fd(); 253];
    manager.send(
        Command::Hold {
            class: Class::Other,
            name: b"c",
        },
        &many,
    );
    let report = manager.spawn(1, "say alive", &[]);
    manager.spawned(1);
    assert_eq!(read_all(report), "alive");
    manager.expect(Heard::Exited(1, Exit::Code(0)));
    world.end(manager);
}

fn send_raw(manager: &Client, bytes: &[u8]) {
    while kernel::message::send(&manager.channel, bytes, &[]) == Err(kernel::Errno::AGAIN) {
        wait_readable(manager.channel.as_fd(), "an answer");
    }
}

impl Client {
    /// Passes over all refusals that are still on their way.
    fn introduce_and_forget(&mut self) {
        self.send(Command::Inventory, &[]);
        while self.hear().0 != Heard::InventoryEnd {}
    }
}

pub(crate) fn a_manager_that_crashes_in_a_loop_comes_back_in_adopt_only_mode() {
    let world = World::new();
    for restarts in 0..5 {
        let mut manager = world.manager();
        manager.expect(Heard::Hello {
            restarts,
            init: false,
            adopt_only: false,
        });
        assert!(!manager.arguments.contains("--adopt-only"));
        manager.exit(101);
    }
    let mut manager = world.manager();
    manager.expect(Heard::Hello {
        restarts: 5,
        init: false,
        adopt_only: true,
    });
    assert!(
        manager
            .arguments
            .contains("manager --adopt-only --runtime-dir")
    );
    world.end(manager);
}

pub(crate) fn a_wanted_restart_comes_at_once() {
    let world = World::new();
    for _ in 0..10 {
        let (mut manager, _) = world.next_manager();
        manager.send(Command::RestartManager, &[]);
        manager.exit(0);
    }
    let mut manager = world.manager();
    manager.expect(Heard::Hello {
        restarts: 10,
        init: false,
        adopt_only: false,
    });
    let no_program = rustix::pipe::pipe().unwrap().0;
    manager.send(Command::RestartManager, &[no_program.as_fd()]);
    manager.expect(Heard::Refused(kernel::Errno::ACCESS.raw_os_error()));
    world.end(manager);
}

pub(crate) fn signals_are_told_again_to_the_next_manager() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    kernel::process::kill(world.keeper.id() as i32, 1).unwrap();
    manager.expect(Heard::Signal(1));
    kernel::process::kill(world.keeper.id() as i32, 15).unwrap();
    manager.expect(Heard::Signal(15));
    manager.kill();
    let (mut manager, _) = world.next_manager();
    manager.expect(Heard::Signal(15));
    assert_eq!(world.end(manager), 42);
}

pub(crate) fn children_that_do_not_end_are_killed_at_the_end() {
    let mut world = World::new();
    let (mut manager, _) = world.next_manager();
    let mut report = manager.spawn_with(1, "ready wait", &[], true, None);
    let (_, pidfd) = manager.spawned(1);
    read_some(&mut report);
    // The first process of a pid namespace does not hear SIGTERM unless it wants to.
    manager.send(
        Command::Shutdown {
            leave_children: false,
            timeout_ms: 100,
            status: 5,
            power: 0,
            argument: b"",
        },
        &[],
    );
    assert_eq!(world.keeper.wait().unwrap().code(), Some(5));
    assert!(kernel::process::has_ended(&pidfd));
}

pub(crate) fn children_live_on_when_the_keeper_is_killed() {
    let mut world = World::new();
    let (mut manager, _) = world.next_manager();
    let mut report = manager.spawn(1, "ready wait", &[]);
    let (_, pidfd) = manager.spawned(1);
    read_some(&mut report);
    world.keeper.kill().unwrap();
    world.keeper.wait().unwrap();
    assert!(!kernel::process::has_ended(&pidfd), "the service goes on");
    kernel::process::send_signal(&pidfd, 9).unwrap();
    wait_readable(pidfd.as_fd(), "the end of the child");
}

pub(crate) fn as_init_it_reaps_orphans_and_ends_everything() {
    let mut world = World::as_init();
    let mut manager = world.manager();
    manager.expect(Heard::Hello {
        restarts: 0,
        init: true,
        adopt_only: false,
    });
    manager.introduce();
    let (gate, go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    // Two orphans that end by themselves, then two that have to be ended.
    let mut reports = Vec::new();
    for command in 1..3 {
        let report = manager.spawn(command, "orphan 0 exit 0", &[gate.as_fd()]);
        manager.spawned(command);
        manager.expect(Heard::Exited(command, Exit::Code(0)));
        manager.send(Command::Reap { key: key(command) }, &[]);
        reports.push(report);
    }
    drop((gate, go));
    let (gate, _go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let report = manager.spawn(3, "orphan 0 ready wait", &[gate.as_fd()]);
    manager.spawned(3);
    reports.push(report);
    while !read_some(&mut reports[2]).contains("ready") {}
    manager.send(
        Command::Shutdown {
            leave_children: false,
            timeout_ms: 2_000,
            status: 9,
            power: 0,
            argument: b"",
        },
        &[],
    );
    assert_eq!(world.keeper.wait().unwrap().code(), Some(9));
    for report in reports {
        // All that had it open are gone.
        read_all(report);
    }
}

pub(crate) fn hundreds_of_ends_without_a_manager_are_all_kept() {
    let world = World::new();
    let (mut manager, _) = world.next_manager();
    let (gate, go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    for command in 0..300 {
        drop(manager.spawn(command, "exit 1", &[gate.as_fd()]));
    }
    manager.kill();
    drop((gate, go));
    let (mut manager, mut inventory) = world.next_manager();
    let mut ended: Vec<u64> = Vec::new();
    while ended.len() < 300 {
        match manager.hear().0 {
            Heard::Exited(command, Exit::Code(1)) => ended.push(command),
            other => panic!("{other:?}"),
        }
    }
    inventory.retain(|heard| matches!(heard, Heard::Child { .. }));
    assert_eq!(inventory.len(), 300);
    ended.sort_unstable();
    ended.dedup();
    assert_eq!(ended.len(), 300, "each is told once");
    for command in ended {
        manager.send(Command::Reap { key: key(command) }, &[]);
    }
    assert!(manager.introduce().is_empty());
    world.end(manager);
}
