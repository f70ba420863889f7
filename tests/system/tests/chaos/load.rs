//! Those who ask something of the world all the time. Each knows what must come of it, and checks at once what can be told at once.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coracle_system_tests::manager::lives;
use coracle_system_tests::moments::Moments;

use crate::world::World;

/// The longest pause between two questions to the server that is always there, in microseconds: it would take a whole processor.
const PAUSE_US: u64 = 5_000;

/// What one of them does with a rising number.
pub struct Actor {
    name: &'static str,
    work: fn(&World<'_>, u64, &mut Moments),
}

pub const ACTORS: [Actor; 9] = [
    Actor {
        name: "web",
        work: |world, number, moments| {
            std::thread::sleep(Duration::from_micros(moments.below(PAUSE_US)));
            ask(world, "web", number);
        },
    },
    Actor {
        name: "lazy",
        work: |world, number, _| ask(world, "lazy", number),
    },
    Actor {
        name: "run",
        work: run_and_wait,
    },
    Actor {
        name: "done",
        work: |world, number, _| start_once(world, "done", number),
    },
    Actor {
        name: "fail",
        work: |world, number, _| start_once(world, "fail", number),
    },
    Actor {
        name: "note",
        work: start_and_stop_noted,
    },
    Actor {
        name: "stay",
        work: start_again,
    },
    Actor {
        name: "deaf",
        work: |world, number, _| start_and_stop_deaf(world, number),
    },
    Actor {
        name: "image",
        work: |world, _, _| start_from_image(world),
    },
];

impl Actor {
    /// Works until told to stop; answers its name and how often it did its work.
    pub fn act(&self, world: &World<'_>, stop: &AtomicBool) -> (&'static str, u64) {
        let part = self
            .name
            .bytes()
            .fold(1, |sum, byte| sum * 31 + u64::from(byte));
        let mut moments = Moments::of(world.seed, part);
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            (self.work)(world, number, &mut moments);
        }
        (self.name, number)
    }
}

/// What Coracle says of a unit, for the message of a failure.
fn told(world: &World<'_>, unit: &str) -> String {
    let status = world.coracle.coracle(&["status", unit]).stdout;
    let logs = world
        .coracle
        .coracle(&["logs", "-u", unit, "--lines", "40"]);
    format!("{status}\n{}", logs.stdout)
}

/// Asks a server with a number, and reads its answer to the end.
fn ask(world: &World<'_>, name: &str, number: u64) {
    let mut stream =
        UnixStream::connect(world.socket(name)).expect("the socket is open all the time");
    write!(stream, "{number}").expect("the question goes out");
    stream.shutdown(Shutdown::Write).expect("its end goes out");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (answered, _) = answer.split_once(' ').expect("an answer");
    assert_eq!(answered, number.to_string(), "{name} answered {answer:?}");
}

/// A command that waits for its unit: its exit status comes back.
fn run_and_wait(world: &World<'_>, number: u64, moments: &mut Moments) {
    let status = moments.below(100);
    let (program, ledger) = (
        env!("CARGO_BIN_EXE_inhabitant"),
        world.coracle.folder().join("run.ledger"),
    );
    let (ledger, number, text) = (
        ledger.display().to_string(),
        number.to_string(),
        status.to_string(),
    );
    let ended = world.coracle.coracle(&[
        "run",
        "--wait",
        "--collect",
        program,
        "once",
        &ledger,
        "1",
        &number,
        &text,
    ]);
    assert_eq!(ended.status, status as i32, "{number}: {ended:?}");
}

/// A oneshot does its deed before the command that started it returns, which says whether it went well.
fn start_once(world: &World<'_>, name: &str, number: u64) {
    let unit = format!("{name}@{name}-{number}.service");
    let ended = world.coracle.coracle(&["start", &unit]);
    let fails = name == "fail";
    assert_eq!(ended.status, i32::from(fails), "{unit}: {ended:?}");
    if fails {
        assert_eq!(
            world.coracle.property(&unit, "ExecMainStatus"),
            "7",
            "{unit}: {}",
            told(world, &unit)
        );
        world.coracle.ok(&["reset-failed", &unit]);
    }
}

/// A service that becomes ready some time: the command that started it returns then, and not before.
fn start_and_stop_noted(world: &World<'_>, number: u64, _: &mut Moments) {
    let unit = format!("note@{number}.service");
    world.coracle.ok(&["start", &unit]);
    assert_eq!(
        world.ledger(&format!("note@{number}")).lines(),
        ["started 1", "ready 1"],
        "{unit}: {}",
        told(world, &unit)
    );
    assert_eq!(
        world.coracle.property(&unit, "StatusText"),
        "ready 1",
        "{unit}: {}",
        told(world, &unit)
    );
    world.coracle.ok(&["stop", &unit]);
    assert_eq!(
        world.coracle.property(&unit, "ActiveState"),
        "inactive",
        "{unit}: {}",
        told(world, &unit)
    );
}

/// A service that stays is started anew, one way or the other, and then it is another one, once.
fn start_again(world: &World<'_>, number: u64, moments: &mut Moments) {
    let coracle = world.coracle;
    let before = coracle.property("stay.service", "MainPID");
    let way = moments.below(3);
    match way {
        0 => drop(coracle.ok(&["restart", "stay"])),
        1 => drop(coracle.ok(&["try-restart", "stay"])),
        _ => {
            coracle.ok(&["stop", "stay"]);
            assert_eq!(
                coracle.property("stay.service", "ActiveState"),
                "inactive",
                "{number}: {}",
                told(world, "stay")
            );
            coracle.ok(&["start", "stay"]);
        }
    }
    let after = coracle.property("stay.service", "MainPID");
    assert!(
        after != before && !lives(&before) && lives(&after),
        "{number}, way {way}: {before}, then {after}\n{}",
        told(world, "stay"),
    );
}

/// What takes no SIGTERM is killed when its time is over.
fn start_and_stop_deaf(world: &World<'_>, number: u64) {
    world.coracle.ok(&["start", "deaf"]);
    assert_eq!(
        world.ledger("deaf").entries("started").len() as u64,
        number,
        "starts of deaf: {}",
        told(world, "deaf")
    );
    world.coracle.ok(&["stop", "deaf"]);
    assert_eq!(
        world.coracle.property("deaf.service", "Result"),
        "timeout",
        "stop {number} of deaf: {}",
        told(world, "deaf")
    );
    assert_eq!(
        world.coracle.property("deaf.service", "ExecMainStatus"),
        "9",
        "stop {number} of deaf: {}",
        told(world, "deaf")
    );
}

/// It ran once, or its start says that a worker ended and it did not run.
fn start_from_image(world: &World<'_>) {
    let deeds = || world.ledger("image").entries("did").len();
    let before = deeds();
    let ended = world.coracle.coracle(&["start", "image"]);
    let did = deeds() - before;
    if ended.status == 0 {
        assert_eq!(did, 1, "{ended:?}");
    } else {
        assert!(
            did == 0 && ended.stderr.contains("RootImage"),
            "{did}: {ended:?}"
        );
    }
}
