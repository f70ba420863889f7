//! Laws of the protocol.

use super::{
    ChildKey, ChildState, Class, Command, DESCRIPTORS_MAX, Event, Exit, HEADER_BYTES, Header,
    KEPT_MAX, LABEL_BYTES_MAX, MESSAGE_BYTES_MAX, Malformed, NAME_BYTES_MAX, Spawn, kind,
};

const KEY: ChildKey = ChildKey {
    unit: u64::MAX,
    incarnation: 2,
    command: 3,
};

fn commands(name: &[u8]) -> Vec<Command<'_>> {
    let spawn = Spawn {
        key: KEY,
        role: 9,
        new_pid_namespace: true,
        own_executor: false,
        cgroup: true,
        kept: KEPT_MAX as u8,
        label: name.get(..LABEL_BYTES_MAX).unwrap_or(name),
    };
    vec![
        Command::Spawn(spawn),
        Command::Spawn(Spawn {
            new_pid_namespace: false,
            own_executor: true,
            cgroup: false,
            kept: 0,
            ..spawn
        }),
        Command::Signal {
            key: KEY,
            signal: 64,
        },
        Command::Reap { key: KEY },
        Command::Watch {
            key: KEY,
            role: 1,
            pid: 77,
        },
        Command::Hold {
            class: Class::FdStore,
            name,
        },
        Command::Drop {
            class: Class::Log,
            name,
        },
        Command::Inventory,
        Command::RestartManager,
        Command::Reexec,
        Command::Shutdown {
            leave_children: true,
            timeout_ms: 5,
            status: 255,
            power: 2,
            argument: b"recovery",
        },
        Command::Shutdown {
            leave_children: false,
            timeout_ms: 5,
            status: 1,
            power: 0,
            argument: b"",
        },
    ]
}

const ENDS: [Exit; 4] = [
    Exit::Code(-1),
    Exit::Killed {
        signal: 9,
        dumped: false,
    },
    Exit::Killed {
        signal: 11,
        dumped: true,
    },
    Exit::Unknown,
];

fn events(name: &[u8]) -> Vec<Event<'_>> {
    let label = name.get(..LABEL_BYTES_MAX).unwrap_or(name);
    let mut events = vec![
        Event::Hello {
            pid: 1,
            restarts: 2,
            init: true,
            adopt_only: false,
            power: true,
        },
        Event::Hello {
            pid: 1,
            restarts: 2,
            init: false,
            adopt_only: true,
            power: false,
        },
        Event::Spawned {
            key: KEY,
            role: 1,
            pid: 2,
        },
        Event::SpawnFailed {
            key: KEY,
            role: 1,
            errno: 2,
        },
        Event::Child {
            key: KEY,
            role: 1,
            pid: 2,
            state: ChildState::Running,
            watched: true,
            label,
        },
        Event::Held {
            class: Class::Api,
            name,
        },
        Event::InventoryEnd,
        Event::SignalReceived { signal: 15 },
        Event::Refused {
            kind: 7,
            key: KEY,
            errno: 1,
        },
    ];
    events.extend(ENDS.map(|exit| Event::Exited {
        key: KEY,
        role: 1,
        pid: 2,
        exit,
    }));
    events.extend(ENDS.map(|exit| Event::Child {
        key: KEY,
        role: 1,
        pid: 2,
        state: ChildState::Exited(exit),
        watched: false,
        label,
    }));
    events
}

#[test]
fn every_message_comes_back_as_it_was_even_with_the_longest_name() {
    let longest = [b'n'; NAME_BYTES_MAX];
    for name in [b"".as_slice(), b"web.service|1", &longest] {
        for command in commands(name) {
            assert_eq!(Command::decode(command.encode().as_bytes()), Ok(command));
        }
        for event in events(name) {
            assert_eq!(Event::decode(event.encode().as_bytes()), Ok(event));
        }
    }
}

#[test]
fn a_message_that_is_cut_or_longer_is_none() {
    for command in commands(b"web.service") {
        let encoded = command.encode();
        let bytes = encoded.as_bytes();
        for length in 0..bytes.len() {
            assert_eq!(
                Command::decode(&bytes[..length]),
                Err(Malformed::Length),
                "{command:?} at {length}"
            );
        }
        let longer = [bytes, &[0]].concat();
        assert_eq!(Command::decode(&longer), Err(Malformed::Length));
    }
}

/// The bytes of an end in the protocol's first form, which has a time-out and a status alone.
fn first_shutdown(timeout_ms: u32, status: u16) -> Vec<u8> {
    let empty = Command::Reexec.encode();
    let mut bytes = empty.as_bytes().to_vec();
    bytes[6..8].copy_from_slice(&kind::SHUTDOWN.to_ne_bytes());
    bytes[36..40].copy_from_slice(&6_u32.to_ne_bytes());
    bytes.extend(timeout_ms.to_ne_bytes());
    bytes.extend(status.to_ne_bytes());
    bytes
}

#[test]
fn keepers_and_managers_of_before_the_power_are_understood_and_understand() {
    let end = Command::Shutdown {
        leave_children: false,
        timeout_ms: 10_000,
        status: 7,
        power: 0,
        argument: b"",
    };
    let first = first_shutdown(10_000, 7);
    assert_eq!(end.encode().as_bytes(), first);
    assert_eq!(Command::decode(&first), Ok(end));
}

#[test]
fn what_no_machine_can_do_at_its_end_is_asked_of_none() {
    let end = Command::Shutdown {
        leave_children: false,
        timeout_ms: 10_000,
        status: 7,
        power: 9,
        argument: b"",
    };
    let asked = end.encode();
    assert_eq!(Command::decode(asked.as_bytes()), Err(Malformed::Field));
}

#[test]
fn what_is_not_spoken_here_is_named() {
    let good = Command::Inventory.encode().as_bytes().to_vec();
    let with = |place: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[place] = byte;
        Command::decode(&bytes).map(|_| ())
    };
    assert_eq!(with(0, b'x'), Err(Malformed::Magic));
    assert_eq!(with(4, 2), Err(Malformed::Version(2)));
    assert_eq!(with(6, 200), Err(Malformed::Kind(200)));
    assert_eq!(Header::decode(&good).map(|header| header.kind), Ok(7));
    let event = Event::InventoryEnd.encode();
    assert!(
        matches!(Command::decode(event.as_bytes()), Err(Malformed::Kind(_))),
        "events are no commands"
    );
}

#[test]
fn any_changed_bit_is_an_error_or_another_message_but_never_a_panic() {
    for command in commands(b"web.service") {
        let bytes = command.encode().as_bytes().to_vec();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Command::decode(&changed) {
                assert_eq!(Command::decode(other.encode().as_bytes()), Ok(other));
            }
        }
    }
}

#[test]
fn the_sizes_fit_each_other() {
    let longest = [b'n'; NAME_BYTES_MAX];
    let held = Event::Held {
        class: Class::Log,
        name: &longest,
    }
    .encode();
    assert!(held.as_bytes().len() <= MESSAGE_BYTES_MAX && held.as_bytes().len() > HEADER_BYTES);
    const { assert!(DESCRIPTORS_MAX <= kernel::message::DESCRIPTORS_MAX) };
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 3000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_changed_message_is_understood_as_it_is_written_or_refused(
        which in 0..64_usize,
        edits in proptest::collection::vec((0..128_usize, 0..=255_u8), 0..6),
        cut in proptest::option::of(0..128_usize),
    ) {
        let known = commands(b"a name");
        let mut bytes = known[which % known.len()].encode().as_bytes().to_vec();
        for (place, byte) in edits {
            if let Some(old) = bytes.get_mut(place) {
                *old = byte;
            }
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        if let Ok(command) = Command::decode(&bytes) {
            let again = command.encode();
            assert_eq!(Command::decode(again.as_bytes()), Ok(command));
        }
        if let Ok(event) = Event::decode(&bytes) {
            drop(event.encode());
        }
    }
}
