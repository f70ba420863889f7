//! What is read: texts that are known to be hard, and others made from a seed, some of them damaged.

use super::super::random::Random;

/// Expressions that each zone is asked.
pub(super) const EXPRESSIONS: &[&str] = &[
    "",
    " ",
    "*",
    "x",
    "5",
    "5:",
    ":5",
    "1-",
    "@",
    "@0",
    "@1395716396",
    "@1395716396 UTC",
    "@1395716396 Asia/Tokyo",
    "Tue @1395716396",
    "@1.5",
    "@5000000000",
    "@99999999999",
    "minutely",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "quarterly",
    "semiannually",
    "semi-annually",
    "biannually",
    "bi-annually",
    "yearly",
    "annually",
    "anually",
    "DAILY",
    "daily UTC",
    "daily utc",
    "daily Asia/Tokyo",
    "daily asia/tokyo",
    "daily Foo/Bar",
    " daily",
    "daily ",
    "daily  UTC",
    "Mon daily",
    "Mon",
    "monday",
    "MONDAY,tue",
    "Mond",
    "Mon,",
    "Mon, 10:00",
    "Mon,,Tue",
    "Mon..Fri",
    "Mon-Fri",
    "Mon..",
    "Mon.Tue",
    "Mon.. Tue",
    "Fri..Mon",
    "Mon..Mon",
    "Mon..Wed..Fri",
    "Mon..Sun",
    "Sat,Sun 12-5",
    "Mon 10:00 ",
    "Mon  10:00",
    "10:00",
    "24:00",
    "23:60",
    "23:59:60",
    "23:59:59.9999994",
    "23:59:59.9999995",
    "*:*",
    "*:*:*",
    "*:*:",
    "*:0/2",
    "*:2/3",
    "*:3/56",
    "*:3/57",
    "*:0/0",
    "*:*/2",
    "0/5:0",
    "*:5..5",
    "*:5..5/3",
    "*:0..2/5",
    "*:0..30/7",
    "*:*:1..1",
    "*:*:1..2",
    "*:*:0/0.5",
    "*:*:0.5..2.5",
    "*:*:0..30/7.5",
    "05:40:23.4200004/3.1700005",
    "*:*:1.",
    "*:*:.5",
    "3,1..2,1:0",
    "1,1:1,1:1,1",
    "12,14,13,12:20,10,30",
    "*-*",
    "*-* ",
    "*-*-",
    "*-*-*",
    "*-1-2-3",
    "10-15",
    "2003-03-05",
    "2003-02..04-05",
    "12-10-15 1:2:3",
    "70-1-1",
    "69..71-1-1",
    "100-1-1",
    "1969-1-1",
    "1970-1-1",
    "2199-12-31",
    "2200-1-1",
    "2100-1-1",
    "2000/5-1-1",
    "*/2-1-1",
    "*-13-1",
    "*-0-1",
    "*-1-0",
    "*-1-32",
    "*-02-29",
    "*-02-30",
    "Mon *-02-29",
    "*-*-31",
    "*-*~1",
    "*~1",
    "*~31",
    "*~28",
    "*~29",
    "*~0",
    "*~1..3",
    "*~3..1",
    "*~7/1",
    "Mon *-05~07/1",
    "*~1..28/3",
    "*~1..29/3",
    "*~1,3",
    "*-02~*",
    "*-02~03",
    "2025~1",
    "2025~2~1",
    "2025-2~1",
    "2:30",
    "02,03:30",
    "02:0/20",
    "*:0/20",
    "*:15",
    "0:30",
    "Sun *-*-* 01:00",
    "Sun 2:0/7",
    "2:30 Europe/Berlin",
    "00:00 Pacific/Auckland",
    "12 10",
    "1-2 3:4 5",
    "1_0:0",
    "+1:0",
    "1:-1",
    "4294967296:0",
    "99999999999999999999:0",
    "*-*-* *:*:4294967296",
];

/// Days and hours that are near to where clocks are set, and what is always near something.
const DATES: &[&str] = &[
    "*", "1", "1", "2", "3", "9", "10", "15", "28", "29", "30", "31", "0", "32", "1..5", "28..31",
    "1/7", "2/2", "3..30/9", "1,15", "29,30,31",
];
const MONTHS: &[&str] = &[
    "*", "*", "*", "1", "2", "02", "3", "4", "6", "10", "11", "12", "13", "1..3", "1/3", "2..12/5",
    "3,10", "10,3,3",
];
const YEARS: &[&str] = &[
    "*",
    "*",
    "*",
    "*",
    "2025",
    "25",
    "2018..2030",
    "2011/1",
    "2024/4",
    "1969",
    "2199",
    "2025,2026",
    "70",
    "69",
];
const HOURS: &[&str] = &[
    "*", "*", "0", "1", "2", "02", "3", "12", "23", "24", "0..3", "1,2,3", "0/6", "2..20/3", "23,0",
];
const MINUTES: &[&str] = &[
    "*",
    "0",
    "0",
    "15",
    "30",
    "59",
    "60",
    "0/10",
    "5/25",
    "0..30",
    "10..50/20",
    "0,30",
    "45,15",
];
const SECONDS: &[&str] = &[
    "*",
    "0",
    "30",
    "59",
    "60",
    "1.5",
    "59.999999",
    "0/20",
    "0..10",
    "5..25/5",
    "0/7.25",
    "10,20.5",
    "0.0000005",
];
const DAYS: &[&str] = &["Mon", "tue", "WED", "Thursday", "fri", "Saturday", "Sun"];
const ZONES: &[&str] = &[
    "UTC",
    "UTC",
    "utc",
    "Europe/Berlin",
    "Asia/Tokyo",
    "America/New_York",
    "Nowhere/Land",
];

/// What a text is damaged with.
const DAMAGE: &[char] = &[
    '0', '9', '*', ' ', ',', '.', '/', '-', '~', ':', '@', 'M', 'x',
];

/// One of so many texts is damaged.
const DAMAGED: usize = 8;

pub(super) fn expressions(count: usize) -> Vec<String> {
    let mut random = Random::new();
    (0..count).map(|_| expression(&mut random)).collect()
}

fn expression(random: &mut Random) -> String {
    let mut words = Vec::new();
    if random.below(4) == 0 {
        words.push(weekdays(random));
    }
    let shape = random.below(6);
    if shape > 1 {
        let mark = if random.below(4) == 0 { '~' } else { '-' };
        let date = format!("{}{mark}{}", random.one_of(MONTHS), random.one_of(DATES));
        words.push(match random.below(2) {
            0 => date,
            _ => format!("{}-{date}", random.one_of(YEARS)),
        });
    }
    if shape != 2 {
        let time = format!("{}:{}", random.one_of(HOURS), random.one_of(MINUTES));
        words.push(match random.below(3) {
            0 => format!("{time}:{}", random.one_of(SECONDS)),
            _ => time,
        });
    }
    if random.below(6) == 0 {
        words.push(random.one_of(ZONES).to_owned());
    }
    damaged(random, words.join(" "))
}

fn weekdays(random: &mut Random) -> String {
    let first = random.one_of(DAYS);
    match random.below(3) {
        0 => first.to_owned(),
        1 => format!("{first},{}", random.one_of(DAYS)),
        _ => format!("{first}..{}", random.one_of(DAYS)),
    }
}

/// Now and then a letter more, less or another.
fn damaged(random: &mut Random, text: String) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    if random.below(DAMAGED) > 0 || letters.is_empty() {
        return text;
    }
    let at = random.below(letters.len());
    let letter = DAMAGE
        .get(random.below(DAMAGE.len()))
        .copied()
        .unwrap_or('x');
    match random.below(3) {
        0 => letters.insert(at, letter),
        1 => drop(letters.remove(at)),
        _ => drop(letters.splice(at..=at, [letter])),
    }
    letters.into_iter().collect()
}

/// A normal form with the last value for each step that has none; none where every step has one.
pub(super) fn with_ends(normal: &str) -> Option<String> {
    let mut words: Vec<String> = normal.split(' ').map(str::to_owned).collect();
    let date = words
        .iter()
        .position(|word| word.starts_with(['*', '1', '2']))?;
    let (days, times) = (words.get(date)?.clone(), words.get(date + 1)?.clone());
    let ended = |text: &str, mark: char, lasts: [&str; 3]| {
        let parts = text.split(mark).zip(lasts).map(|(part, last)| {
            let items = part.split(',').map(|item| match item.split_once('/') {
                Some((first, step)) if !first.contains("..") => format!("{first}..{last}/{step}"),
                _ => item.to_owned(),
            });
            items.collect::<Vec<_>>().join(",")
        });
        parts.collect::<Vec<_>>().join(&mark.to_string())
    };
    // Days before a month's end have another end each.
    let days = match days.contains('~') {
        true => days,
        false => ended(&days, '-', ["2199", "12", "31"]),
    };
    *words.get_mut(date)? = days;
    *words.get_mut(date + 1)? = ended(&times, ':', ["23", "59", "59.999999"]);
    let text = words.join(" ");
    (text != normal).then_some(text)
}

/// Points in time that each zone is asked.
pub(super) const MOMENTS: &[&str] = &[
    "now",
    "today",
    "yesterday",
    "tomorrow",
    "today UTC",
    "today+01:00",
    "now UTC",
    "NOW",
    "Today",
    "+5s",
    "-5s",
    "+3h30min",
    "11min ago",
    "2 left",
    "+ 5",
    "5 ago",
    "-5s UTC",
    "-1h ago",
    "5min left UTC",
    "-",
    "+",
    "ago",
    " ago",
    "-infinity",
    "+infinity",
    "@0",
    "@1",
    "@1.5",
    "@1395716396",
    "@1min",
    "@1h 30min",
    "@-1",
    "@1 UTC",
    "@0x10",
    "@1.5 ",
    "@18446744073709",
    "10:00",
    "10:00:00.5",
    "10:00Z",
    "10:00+01:00",
    "10:00 UTC",
    "",
    " 2012-11-23",
    "2012-11-23 ",
    "2012-11-23",
    "12-11-23",
    "112-11-23",
    "68-01-01",
    "69-01-01",
    "2012-1-3 1:2:3",
    "2012-1-3 1:2:3.",
    "2012-1-3 1:2:3.1234567",
    "2012-1-3 1:2.5",
    "2012-11-23 24:00",
    "2012-11-23 23:59:60",
    "2012-11-31",
    "2012-02-30",
    "2012-13-01",
    "2012-11-23 11:12:13 Asia/Tokyo",
    "2012-11-23 11:12:13 asia/tokyo",
    "2012-11-23 11:12:13 UTC",
    "2012-11-23 11:12:13 utc",
    "2012-11-23 11:12:13UTC",
    "1969-12-31 23:59 UTC",
    "1970-01-01 UTC",
    "9999-12-30 23:59 UTC",
    "10000-01-01",
    "2012-11-23  11:12",
    "Friday 2012-11-23",
    "friday 2012-11-23",
    "Fri, 2012-11-23",
    "Thu 2012-11-23",
    "FRI 2012-11-23 11:12",
    "Fri  2012-11-23",
    "2012-11-23T11:12",
    "2012-11-23t11:12",
    "2012-11-23T11:12:13.5Z",
    "2012-11-23T11:12Z",
    "2012-11-23Z",
    "2012-11-23+01:00",
    "2012-11-23T11:12:13-08:00",
    "2012-11-23 11:12:13 -08:00",
    "2012-11-23 11:12:13 -0800",
    "2012-11-23 11:12:13 -08",
    "2012-11-23 11:12:13 -8",
    "2012-11-23T11:12:13-0800",
    "2012-11-23 11:12:13 +15:00",
    "2012-11-23 11:12:13 +12:60",
    "2012-11-23 11:12:13 +14:00",
    "2012-11-23T11:12:13 Z",
    "2012/11/23",
    "2012-11-23 11",
    "2012-11-23 1112",
    "2012-11-23 1:2:3:4",
    "2012 -11-23",
    "2025-03-30 02:30 Europe/Berlin",
    "2025-10-26 01:59:59 Europe/Berlin",
    "2199-01-01",
];

/// How many points in time are made.
const MOMENTS_MADE: usize = 250;

pub(super) fn moments() -> Vec<String> {
    const YEARS: &[&str] = &[
        "1970", "1999", "2000", "2012", "2024", "2025", "2038", "2106", "2199", "12", "99",
    ];
    const MONTHS: &[&str] = &["1", "02", "3", "06", "11", "12"];
    const DATES: &[&str] = &["2", "05", "17", "27", "28"];
    const HOURS: &[&str] = &["0", "00", "7", "12", "23"];
    const MINUTES: &[&str] = &["0", "05", "30", "59"];
    const SECONDS: &[&str] = &[
        "0",
        "07",
        "59",
        "1.5",
        "30.123456",
        "59.9999999",
        "12.0000004",
    ];
    const ZONES: &[&str] = &[
        "UTC",
        "Z",
        "+01:00",
        "-0930",
        "+05",
        "Asia/Tokyo",
        "Europe/London",
        "America/New_York",
    ];
    let mut random = Random::new();
    let one = |random: &mut Random| {
        let date = [YEARS, MONTHS, DATES]
            .map(|part| random.one_of(part))
            .join("-");
        let mut time = [HOURS, MINUTES].map(|part| random.one_of(part)).join(":");
        if random.below(2) == 0 {
            time = format!("{time}:{}", random.one_of(SECONDS));
        }
        let mut text = match random.below(4) {
            0 => date,
            1 => format!("{date}T{time}"),
            _ => format!("{date} {time}"),
        };
        match random.below(4) {
            0 => text = format!("{text} {}", random.one_of(ZONES)),
            1 => text.push_str(random.one_of(&["Z", "+02:00", "-11:30"])),
            _ => {}
        }
        damaged(random, text)
    };
    (0..MOMENTS_MADE).map(|_| one(&mut random)).collect()
}
