//! Words against a stream that takes some, none, or a part of one.

use super::outlet::Outlet;
use super::*;
use std::io::Read;
use std::os::unix::net::UnixStream;
use tempfile::TempDir;

/// The files and the stream of an instance, over the deaths of its managers.
struct World {
    folder: TempDir,
    ours: UnixStream,
    log: UnixStream,
    heard: Vec<u8>,
}

impl World {
    fn new() -> World {
        let (ours, log) = UnixStream::pair().expect("a stream");
        log.set_nonblocking(true).expect("it waits for nobody");
        World {
            folder: tempfile::tempdir().expect("a folder"),
            ours,
            log,
            heard: Vec::new(),
        }
    }

    /// A manager comes; the first one finds nothing.
    fn outlet(&self, used: bool) -> Outlet {
        let path = |name: &str| self.folder.path().join(name);
        let mut outlet = Outlet::open(&path("said"), &path("words")).expect("its files");
        let ours = self.ours.try_clone().expect("a descriptor");
        outlet.use_stream(Rc::new(ours.into()), used);
        outlet
    }

    /// The log process reads what is there.
    fn hear(&mut self) {
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = self.log.read(&mut part) {
            self.heard.extend_from_slice(&part[..count]);
        }
    }

    /// What it has on file: lines that are not void, and of each number the first.
    fn stored(&self) -> Vec<String> {
        let text = String::from_utf8(self.heard.clone()).expect("text");
        let lines = text.split_inclusive('\n').map(|line| {
            let whole = line.strip_suffix('\n');
            whole.unwrap_or_else(|| panic!("{line:?} has no end"))
        });
        let (mut last, mut stored) = (0, Vec::new());
        for line in lines.filter(|line| !line.ends_with('\x18')) {
            let (_, rest) = line.split_once(NUMBER).expect("a number");
            let (number, text) = rest.split_once('\x1f').expect("a text");
            let number: u64 = number.parse().expect("a number");
            if number > last {
                last = number;
                stored.push(text.replace('\x1f', " "));
            }
        }
        stored
    }
}

fn word(number: u64, bytes: usize) -> Word {
    Word {
        number,
        unit: Some("a.service".into()),
        priority: INFO,
        text: format!("word {number} {}", "x".repeat(bytes)),
    }
}

fn stored(number: u64, bytes: usize) -> String {
    format!("UNIT=a.service word {number} {}", "x".repeat(bytes))
}

fn left_out(count: u64) -> String {
    format!(
        "{count} words of the manager were left out: the log took none for too long; `coracle list` has what became of the units"
    )
}

/// Says words of that length until the stream is full and so many wait.
fn fill(outlet: &mut Outlet, next: &mut u64, bytes: usize, waiting: u64) {
    let mut left = waiting;
    while left > 0 {
        outlet.take(&word(*next, bytes));
        *next += 1;
        left -= u64::from(outlet.waits());
    }
}

fn check_all(world: &World, next: u64, bytes: usize) {
    let expected: Vec<String> = (1..next).map(|number| stored(number, bytes)).collect();
    let stored = world.stored();
    let differ = stored
        .iter()
        .zip(&expected)
        .position(|(one, other)| one != other);
    assert_eq!((stored.len(), differ), (expected.len(), None));
}

/// Of a word's text, up to the longest.
const LENGTHS: [usize; 3] = [20, 1000, TEXT_BYTES_MAX - 20];

#[test]
fn what_a_full_stream_does_not_take_goes_on_when_there_is_room() {
    for bytes in LENGTHS {
        let (mut world, mut next) = (World::new(), 1);
        let mut outlet = world.outlet(false);
        for _ in 0..3 {
            fill(&mut outlet, &mut next, bytes, 30);
            while outlet.waits() {
                world.hear();
                outlet.go_on().expect("it goes on");
            }
            world.hear();
        }
        check_all(&world, next, bytes);
    }
}

#[test]
fn a_manager_that_dies_while_words_wait_leaves_them_to_the_next() {
    for bytes in LENGTHS {
        let (mut world, mut next) = (World::new(), 1);
        for death in 0..6 {
            let mut outlet = world.outlet(death > 0);
            assert_eq!(outlet.known(), next - 1);
            outlet.go_on().expect("it goes on");
            fill(&mut outlet, &mut next, bytes, 8);
            if death % 2 == 0 {
                world.hear();
                outlet.go_on().expect("it goes on");
            }
        }
        let mut outlet = world.outlet(true);
        while outlet.waits() {
            world.hear();
            outlet.go_on().expect("it goes on");
        }
        world.hear();
        check_all(&world, next, bytes);
    }
}

#[test]
fn a_line_that_a_dead_manager_began_is_void_and_its_word_is_whole() {
    let mut world = World::new();
    world.outlet(false).take(&word(1, 5));
    // As a manager that died between a part of a line and its note.
    let line = word(2, 500).line();
    std::io::Write::write_all(&mut world.ours, &line.as_bytes()[..100]).expect("room");
    let mut outlet = world.outlet(true);
    for number in 2..4 {
        outlet.take(&word(number, 500));
    }
    world.hear();
    assert_eq!(
        world.stored(),
        [stored(1, 5), stored(2, 500), stored(3, 500)]
    );
}

#[test]
fn a_word_that_was_said_and_not_noted_keeps_its_number() {
    let mut world = World::new();
    let line = word(1, 5).line();
    std::io::Write::write_all(&mut world.ours, line.as_bytes()).expect("room");
    let mut own_log = OwnLog::default();
    let path = |name: &str| world.folder.path().join(name);
    own_log.push(None, NOTICE, "a new manager begins".into());
    let mut records = [word(1, 5)].into_iter();
    own_log
        .open(&path("said"), &path("words"), &mut records)
        .expect("its files");
    let ours = world.ours.try_clone().expect("a descriptor");
    let outlet = own_log.outlet.as_mut().expect("it is open");
    outlet.use_stream(Rc::new(ours.into()), true);
    own_log.say(|_| true);
    world.hear();
    assert_eq!(
        world.stored(),
        [stored(1, 5).as_str(), "a new manager begins"]
    );
}

#[test]
fn words_are_said_in_their_order_and_none_before_it_is_on_record() {
    let mut world = World::new();
    let path = |name: &str| world.folder.path().join(name);
    let mut own_log = OwnLog::default();
    own_log
        .open(&path("said"), &path("words"), &mut std::iter::empty())
        .expect("its files");
    let ours = world.ours.try_clone().expect("a descriptor");
    let outlet = own_log.outlet.as_mut().expect("it is open");
    outlet.use_stream(Rc::new(ours.into()), false);
    for (unit, text) in [("a", "one"), ("b", "two"), ("a", "three")] {
        own_log.push(Some(unit.into()), INFO, text.into());
    }
    own_log.say(|unit| unit == "a");
    world.hear();
    assert_eq!(world.stored(), ["UNIT=a one"]);
    assert!(own_log.has_words_of("b") && own_log.has_words_of("a"));
    let mut said = Vec::new();
    own_log.words_of("b", &mut said);
    assert_eq!(said, ["word 2 6 two"]);
    own_log.say(|_| true);
    world.hear();
    assert_eq!(world.stored(), ["UNIT=a one", "UNIT=b two", "UNIT=a three"]);
    assert!(!own_log.waits());
}

#[test]
fn what_there_is_no_room_for_is_counted_and_the_count_is_said_in_its_place() {
    for dies in [false, true] {
        let (mut world, mut next) = (World::new(), 1);
        let mut outlet = world.outlet(false).with_room(10_000);
        while outlet.left_out() < 7 {
            outlet.take(&word(next, 100));
            next += 1;
        }
        let first_left_out = next - 7;
        if dies {
            drop(outlet);
            outlet = world.outlet(true).with_room(10_000);
            assert_eq!(outlet.known(), next - 1);
            outlet.take(&word(next, 100));
            next += 1;
        }
        while outlet.waits() {
            world.hear();
            outlet.go_on().expect("it goes on");
        }
        outlet.take(&word(next, 100));
        world.hear();
        let mut expected: Vec<String> = (1..first_left_out)
            .map(|number| stored(number, 100))
            .collect();
        let count = next - first_left_out;
        expected.push(left_out(count));
        expected.push(stored(next, 100));
        assert_eq!(world.stored(), expected, "dies: {dies}");
    }
}

#[test]
fn a_full_disk_is_no_room() {
    for (bytes, dies) in LENGTHS
        .into_iter()
        .flat_map(|bytes| [(bytes, false), (bytes, true)])
    {
        let (mut world, mut next) = (World::new(), 1);
        let mut outlet = world.outlet(false).on_full_disk();
        while outlet.left_out() < 3 {
            outlet.take(&word(next, bytes));
            next += 1;
        }
        // The stream has a part of the first of them where they are long.
        let first_left_out = next - 3;
        if dies {
            drop(outlet);
            outlet = world.outlet(true);
            assert_eq!((outlet.known(), outlet.left_out()), (next - 1, 3));
        }
        while outlet.waits() {
            world.hear();
            outlet.go_on().expect("it goes on");
        }
        outlet.take(&word(next, 10));
        world.hear();
        let mut expected: Vec<String> = (1..first_left_out)
            .map(|number| stored(number, bytes))
            .collect();
        expected.push(left_out(3));
        expected.push(stored(next, 10));
        assert_eq!(world.stored(), expected, "{bytes} bytes, dies: {dies}");
    }
}

#[test]
fn the_file_does_not_grow_with_what_has_gone_through_it() {
    let (mut world, mut next) = (World::new(), 1);
    let mut outlet = world.outlet(false).with_room(20_000);
    fill(&mut outlet, &mut next, 100, 40);
    for _ in 0..200 {
        world.hear();
        outlet.go_on().expect("it goes on");
        // It never comes to have nothing that waits.
        fill(&mut outlet, &mut next, 100, 40);
        let length = std::fs::metadata(world.folder.path().join("words"));
        assert!(length.expect("the file").len() < 60_000);
    }
    while outlet.waits() {
        world.hear();
        outlet.go_on().expect("it goes on");
    }
    world.hear();
    check_all(&world, next, 100);
}

#[test]
fn a_stream_that_broke_is_given_up_and_what_it_did_not_take_goes_into_the_next() {
    let mut world = World::new();
    let mut outlet = world.outlet(false);
    outlet.take(&word(1, 5));
    world.hear();
    let (ours, log) = UnixStream::pair().expect("a stream");
    log.set_nonblocking(true).expect("it waits for nobody");
    world.log = log;
    outlet.take(&word(2, 5));
    assert!(outlet.stream().is_none() && outlet.waits());
    outlet.use_stream(Rc::new(ours.into()), false);
    outlet.go_on().expect("it goes on");
    world.hear();
    assert_eq!(world.stored(), [stored(1, 5), stored(2, 5)]);
}
