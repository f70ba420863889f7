//! Calendar expressions: their normal form, what is wrong with others, and when they come true.
#![allow(
    clippy::unwrap_used,
    reason = "a test that can't read its own samples must fail"
)]

use coracle_model::calendar::{Calendar, CalendarZone, Utc, Zone};

/// The normal form, or what is said of a text that is none.
fn check(text: &str, expected: &str) {
    let found = Calendar::parse(text);
    if let Ok(calendar) = &found {
        let again = Calendar::parse(&calendar.to_string()).as_ref() == Ok(calendar);
        assert!(again, "{calendar} is not read as what it was");
    }
    let found = found.map_or_else(|error| error.to_string(), |calendar| calendar.to_string());
    let reason = found.split_once("expression: ");
    assert_eq!(
        reason.map_or(&*found, |(_, reason)| reason),
        expected,
        "{text}"
    );
}

#[test]
fn every_form_has_one_normal_form() {
    for (text, expected) in [
        ("minutely", "*-*-* *:*:00"),
        ("hourly", "*-*-* *:00:00"),
        ("daily", "*-*-* 00:00:00"),
        ("weekly", "Mon *-*-* 00:00:00"),
        ("monthly", "*-*-01 00:00:00"),
        ("quarterly", "*-01,04,07,10-01 00:00:00"),
        ("semiannually", "*-01,07-01 00:00:00"),
        ("Bi-Annually", "*-01,07-01 00:00:00"),
        ("yearly", "*-01-01 00:00:00"),
        ("daily utc", "*-*-* 00:00:00 UTC"),
        (
            "weekly Pacific/Auckland",
            "Mon *-*-* 00:00:00 Pacific/Auckland",
        ),
        ("10:00 CEST", "*-*-* 10:00:00 CEST"),
        ("10:00 -03", "*-*-* 10:00:00 -03"),
        (
            "Sat,Thu,Mon..Wed,Sat..Sun",
            "Mon..Thu,Sat,Sun *-*-* 00:00:00",
        ),
        ("Wed, 17:48", "Wed *-*-* 17:48:00"),
        ("monday-FRIDAY 1:2", "Mon..Fri *-*-* 01:02:00"),
        ("Mon..Sun", "*-*-* 00:00:00"),
        ("Mon,Wed,Thu", "Mon,Wed,Thu *-*-* 00:00:00"),
        ("12-10-15 1:2:3", "2012-10-15 01:02:03"),
        ("70-1-1", "1970-01-01 00:00:00"),
        ("10-15", "*-10-15 00:00:00"),
        ("*-* ", "*-*-* 00:00:00"),
        ("*-*-*", "*-*-* 00:00:00"),
        ("*:*:*", "*-*-* *:*:*"),
        ("*:2/3", "*-*-* *:02/3:00"),
        ("12,14,13,12:20,10,30", "*-*-* 12,13,14:10,20,30:00"),
        ("3,1..2,1:0", "*-*-* 01,01..02,03:00:00"),
        ("*:0..30/7", "*-*-* *:00..28/7:00"),
        ("*:5..5/3", "*-*-* *:05:00"),
        ("*:0..2/5", "*-*-* *:00:00"),
        ("*:*:1..2", "*-*-* *:*:01..02"),
        (
            "05:40:23.4200004/3.1700005",
            "*-*-* 05:40:23.420000/3.170001",
        ),
        ("*:*:0.5..2.5", "*-*-* *:*:00.500000..02.500000"),
        ("Mon *-05~07/1", "Mon *-05~07/1 00:00:00"),
        ("*-02~*", "*-02-* 00:00:00"),
        ("*~1..29/3", "*-*~01..28/3 00:00:00"),
        ("@0", "1970-01-01 00:00:00 UTC"),
        ("@1395716396 Asia/Tokyo", "2014-03-25 02:59:56 UTC"),
        ("@5000000000", "2128-06-11 08:53:20 UTC"),
    ] {
        check(text, expected);
    }
}

#[test]
fn what_is_none_says_where_it_is_wrong() {
    for (text, expected) in [
        ("", "nothing says when"),
        ("soon", "\"soon\" stands where a number should"),
        (" daily", "\" daily\" stands where a number should"),
        ("daily ", "\"daily \" stands where a number should"),
        ("5", "a time of day is HOUR:MINUTE or HOUR:MINUTE:SECOND"),
        (
            "Mon..",
            "a range of weekdays ends on a later day of the week that begins on Monday",
        ),
        (
            "Fri..Mon",
            "a range of weekdays ends on a later day of the week that begins on Monday",
        ),
        ("Mon,,Tue", "\",Tue\" is no day of the week"),
        ("Mond", "\"d\" follows a day of the week"),
        ("2025~1", "month: a value is too small or too large"),
        ("2025~2~1", "\"~\" stands before the day"),
        ("*-1-2-3", "\"-3\" follows the day"),
        ("*~-28", "\"-28\" stands where a number should"),
        ("*-13-1", "month: a value is too small or too large"),
        ("*~29", "day: a value is too small or too large"),
        ("24:00", "hour: a value is too small or too large"),
        ("*:0/0", "a step of 0 leads nowhere"),
        ("*:*/2", "\"/2\" is too much at the end"),
        ("*:1/2x", "\"x\" follows a number"),
        (
            "*:3/57",
            "minute: a range ends before it begins, or a step leads out of it",
        ),
        (
            "*:9..3",
            "minute: a range ends before it begins, or a step leads out of it",
        ),
        ("*:*:1..1", "a range of seconds is shorter than a second"),
        ("*:*:1.", "no digit follows the point"),
        (
            "*:*:59.9999995",
            "second: a value is too small or too large",
        ),
        ("2200-1-1", "year: a value is too small or too large"),
        ("1:0 10", "\" 10\" is too much at the end"),
        ("Mon 10:00 ", "\" \" is too much at the end"),
        ("@1.5", "\".5\" is too much after seconds since 1970"),
        (
            "99999999999999999999:0",
            "99999999999999999999 is too large",
        ),
    ] {
        check(text, expected);
    }
}

/// Clocks that are moved at moments, each with what they are ahead of UTC from then on.
struct Moved(i64, &'static [(i64, i64)]);

impl Zone for Moved {
    fn offset_at(&self, unix_s: i64) -> i64 {
        let Moved(first, moves) = self;
        let last = moves.iter().rev().find(|(from, _)| *from <= unix_s);
        last.map_or(*first, |(_, offset)| *offset)
    }
}

const HOUR: i64 = 3_600;

/// Central Europe in 2025: 2025-03-30 01:00 and 2025-10-26 01:00, by UTC.
const BERLIN: Moved = Moved(HOUR, &[(1_743_296_400, 2 * HOUR), (1_761_440_400, HOUR)]);

/// Samoa had no 2011-12-30.
const APIA: Moved = Moved(-10 * HOUR, &[(1_325_239_200, 14 * HOUR)]);

/// The next moments, in seconds since 1970.
fn moments(text: &str, after_s: u64, zone: &dyn Zone, count: usize) -> Vec<u64> {
    let calendar = Calendar::parse(text).unwrap();
    let next = |after: &u64| calendar.next_elapse(*after, zone);
    let all = std::iter::successors(next(&(after_s * 1_000_000)), next);
    all.take(count).map(|us| us / 1_000_000).collect()
}

#[test]
fn an_expression_comes_true_at_the_next_moment_that_it_names() {
    // 2024-02-28 12:00, a Wednesday.
    let after = 1_709_121_600;
    for (text, expected) in [
        ("daily", vec![1_709_164_800, 1_709_251_200, 1_709_337_600]),
        ("*-02-29", vec![1_709_164_800, 1_835_395_200, 1_961_625_600]),
        ("Mon *-02-29", vec![2_340_316_800]),
        ("*-02~1 06:00", vec![1_709_186_400, 1_740_722_400]),
        ("Mon *-05~07/1", vec![1_716_768_000, 1_748_217_600]),
        ("12:00", vec![1_709_208_000]),
        (
            "*:0/25:0/30",
            vec![1_709_121_630, 1_709_123_100, 1_709_123_130],
        ),
        (
            "23,0/10:0",
            vec![1_709_150_400, 1_709_161_200, 1_709_164_800],
        ),
        ("2024-02-28 12:00", vec![]),
        ("*-02-30", vec![]),
        ("Mon 2024-03-05", vec![]),
        ("2199-12-31 23:59:59.999999", vec![7_258_118_399]),
    ] {
        let found = moments(text, after, &Utc, expected.len().max(1));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn seconds_beyond_all_counting_are_too_large() {
    let refusal = Calendar::parse("*:*:18446744073709.999999").unwrap_err();
    assert!(refusal.to_string().contains("too large"), "{refusal}");
    assert!(Calendar::parse("*:*:7240834772408384.7").is_err());
}

#[test]
fn a_moment_is_found_to_the_microsecond() {
    let calendar = Calendar::parse("*:*:0/0.000002").unwrap();
    assert_eq!(calendar.next_elapse(2, &Utc), Some(4));
    assert_eq!(calendar.next_elapse(3, &Utc), Some(4));
    assert_eq!(calendar.next_elapse(0, &Utc), Some(2));
    assert_eq!(calendar.next_elapse(u64::MAX, &Utc), None);
}

#[test]
fn what_clocks_skip_does_not_come_that_day() {
    // 2025-03-30 00:00 there: 02:00 is followed by 03:00.
    let midnight = 1_743_289_200;
    assert_eq!(moments("02:30", midnight, &BERLIN, 1), [1_743_381_000]);
    assert_eq!(
        moments("*:0/30", midnight + 3_600, &BERLIN, 3),
        [1_743_294_600, 1_743_296_400, 1_743_298_200]
    );
    // However finely it is asked for.
    assert_eq!(
        moments("2..3:0:0/0.000001", midnight, &BERLIN, 1),
        [1_743_296_400]
    );
    // 2011-12-30 is no day there.
    assert_eq!(
        moments("daily", 1_325_152_800, &APIA, 2),
        [1_325_239_200, 1_325_325_600]
    );
    assert_eq!(moments("2011-12-30 12:00", 1_325_152_800, &APIA, 1), [0; 0]);
}

#[test]
fn what_clocks_show_twice_comes_the_first_time() {
    // 2025-10-26 00:00 there: 03:00 is followed by 02:00.
    let midnight = 1_761_429_600;
    assert_eq!(
        moments("*:0/30", midnight + 7_200, &BERLIN, 3),
        [1_761_438_600, 1_761_444_000, 1_761_445_800]
    );
    assert_eq!(
        moments("02:30", midnight, &BERLIN, 2),
        [1_761_438_600, 1_761_528_600]
    );
    // Who looks between them finds the second.
    assert_eq!(
        moments("*:0/30", 1_761_440_400, &BERLIN, 1),
        [1_761_442_200]
    );
}

#[test]
fn an_expression_tells_its_zone_and_whether_it_contradicts_itself() {
    let zone = |text: &str| Calendar::parse(text).unwrap().zone().clone();
    assert_eq!(zone("daily"), CalendarZone::Local);
    assert_eq!(zone("daily UTC"), CalendarZone::Utc);
    assert_eq!(
        zone("daily Europe/Berlin"),
        CalendarZone::Named("Europe/Berlin".to_owned())
    );
    let is_wrong = |text: &str| Calendar::parse(text).unwrap().contradicts_itself();
    assert!(is_wrong("Mon 2024-03-05"));
    assert!(is_wrong("Fri 2024-02~1"));
    assert!(!is_wrong("Thu 2024-02~1"));
    assert!(!is_wrong("Tue 2024-03-05"));
    assert!(!is_wrong("Mon 2024-03-*"));
    assert!(!is_wrong("2024-03-05"));
}
