//! Timers go by the clocks that their host has, and their manager may die meanwhile.

use coracle_system_tests::own_etc::OwnEtc;
use coracle_system_tests::{manager, waiting, with_units};
use testkit::Instance;

const TRUE: &str = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
const DAY_S: u64 = 86_400;

/// A timer's next moment, in microseconds since 1970.
fn next_us(coracle: &Instance, timer: &str) -> u64 {
    let told = coracle.ok(&["list-timers", "--all", "--json", timer]);
    let rows: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    rows[0]["next_us"].as_u64().expect("a moment")
}

/// The file of a zone whose clocks are so many hours ahead of UTC all year round (RFC 9636).
fn zone(hours: i32) -> Vec<u8> {
    let header = |types: u32| {
        let mut bytes = b"TZif2".to_vec();
        bytes.extend([0; 15]);
        // Without leap seconds and transitions; one type, whose name has four bytes.
        for count in [0, 0, 0, 0, types, types * 4] {
            bytes.extend(count.to_be_bytes());
        }
        bytes
    };
    let kind = |bytes: &mut Vec<u8>| {
        bytes.extend((hours * 3600).to_be_bytes());
        bytes.extend(*b"\0\0XXT\0");
    };
    let mut bytes = header(1);
    kind(&mut bytes);
    bytes.extend(header(1));
    kind(&mut bytes);
    bytes.extend(format!("\nXXT{}\n", -hours).bytes());
    bytes
}

#[test]
fn noon_is_when_the_hosts_clocks_say_so_also_when_they_move() {
    let moved = "[Timer]\nOnTimezoneChange=yes\n";
    let units = [
        ("noon.timer", "[Timer]\nOnCalendar=12:00\n"),
        ("noon.service", TRUE),
        ("moved.timer", moved),
        ("moved.service", TRUE),
    ];
    with_units(&units, |coracle| {
        let host = OwnEtc::new(coracle);
        coracle.ok(&["daemon-exit"]);
        host.replace("localtime", zone(9));
        host.ok(coracle, &["start", "noon.timer", "moved.timer"]);
        assert_eq!(next_us(coracle, "noon.timer") / 1_000_000 % DAY_S, 3 * 3600);
        host.replace("localtime", zone(-2));
        waiting::eventually("noon by the other clocks", || {
            let second = next_us(coracle, "noon.timer") / 1_000_000 % DAY_S;
            (second == 14 * 3600).then_some(())
        });
        waiting::eventually("the start for the change", || {
            let last = coracle.property("moved.timer", "LastTriggerUSec");
            (!last.is_empty()).then_some(())
        });
        coracle.ok(&["daemon-exit"]);
    });
}

#[test]
fn timers_go_on_over_the_death_of_their_manager() {
    let units = [
        (
            "beat.timer",
            "[Timer]\nOnActiveSec=1ms\nOnUnitInactiveSec=20ms\nAccuracySec=1us\n",
        ),
        (
            "beat.service",
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\nExecStart=/bin/true\n",
        ),
        (
            "some.timer",
            "[Timer]\nOnActiveSec=1h\nRandomizedDelaySec=1y\n",
        ),
        ("some.service", TRUE),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "beat.timer", "some.timer"]);
        let chosen = next_us(coracle, "some.timer");
        for _ in 0..5 {
            let last = || coracle.property("beat.timer", "LastTriggerUSecMonotonic");
            let before = last();
            manager::kill(coracle.process("ManagerPID"));
            waiting::eventually("a later time", || (last() != before).then_some(()));
        }
        // What chance has chosen stays chosen; the clocks are not read at one moment.
        let apart = chosen.abs_diff(next_us(coracle, "some.timer"));
        assert!(apart < 1_000_000, "{apart} µs apart");
        assert_eq!(coracle.property("beat.timer", "ActiveState"), "active");
    });
}

#[test]
fn a_timer_that_is_up_goes_by_its_file_when_that_was_read_again() {
    let units = [
        ("far.timer", "[Timer]\nOnCalendar=2090-01-01\n"),
        ("far.service", TRUE),
        ("over.timer", "[Timer]\nOnActiveSec=1ms\nAccuracySec=1us\n"),
        ("over.service", TRUE),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "far.timer", "over.timer"]);
        waiting::eventually("the end of its times", || {
            (coracle.property("over.timer", "SubState") == "elapsed").then_some(())
        });
        coracle.unit("far.timer", "[Timer]\nOnCalendar=2091-01-01 UTC\n");
        coracle.unit("over.timer", "[Timer]\nOnCalendar=2091-01-01 UTC\n");
        coracle.ok(&["daemon-reload"]);
        for timer in ["far.timer", "over.timer"] {
            assert_eq!(next_us(coracle, timer), 3_818_448_000_000_000, "{timer}");
        }
        assert_eq!(coracle.property("over.timer", "SubState"), "waiting");
    });
}

#[test]
fn a_unit_that_ends_at_once_is_not_started_without_end() {
    let units = [
        (
            "spin.timer",
            "[Timer]\nOnActiveSec=1us\nOnUnitInactiveSec=1us\nAccuracySec=1us\n",
        ),
        ("spin.service", TRUE),
    ];
    with_units(&units, |coracle| {
        coracle.ok(&["start", "spin.timer"]);
        waiting::eventually("the limit", || {
            (coracle.property("spin.service", "Result") == "start-limit-hit").then_some(())
        });
        // It waits for the limit's ten seconds, and does not try meanwhile.
        let elapsed = || coracle.property("spin.timer", "LastTriggerUSecMonotonic");
        waiting::eventually("a moment that is some time ahead", || {
            let now_us = std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .expect("a clock");
            let ahead_us =
                u128::from(next_us(coracle, "spin.timer")).checked_sub(now_us.as_micros());
            ahead_us.filter(|ahead| *ahead > 1_000_000)
        });
        let last = elapsed();
        for _ in 0..20 {
            assert_eq!(elapsed(), last);
        }
    });
}

#[test]
fn a_timer_of_a_unit_that_is_not_there_says_so() {
    with_units(&[("lost.timer", "[Timer]\nOnBootSec=1h\n")], |coracle| {
        let failed = coracle.coracle(&["start", "lost.timer"]);
        assert_eq!(failed.status, 1, "{failed:?}");
        let named = "its unit lost.service is not loaded";
        assert!(failed.stderr.contains(named), "{failed:?}");
    });
}
