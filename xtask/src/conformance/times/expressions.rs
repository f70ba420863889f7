//! Calendar expressions: their normal form, and the next five moments from just before clocks are set.

use anyhow::Result;
use serde_json::Value;

use super::super::report::Row;
use super::{GIVEN_UP, REFUSED, ours, texts, theirs};

/// Moments that are asked for of each expression.
const ITERATIONS: &str = "--iterations=5";

/// A zone and moments in seconds since 1970 from which is looked: shortly before its clocks are set, and a day before.
const BEFORE: &[(&str, &[u32])] = &[
    // 2024-02-28 12:00, two days before a leap year's March.
    ("UTC", &[1_709_121_600, 0]),
    // 2025-03-30 02:00 skips an hour, 2025-10-26 03:00 has one twice.
    (
        "Europe/Berlin",
        &[
            1_743_209_000,
            1_743_294_590,
            1_761_353_000,
            1_761_437_700,
            1_761_441_900,
        ],
    ),
    // The same at 01:00 and 02:00; winter is what differs from the standard.
    ("Europe/Dublin", &[1_743_294_590, 1_761_437_700]),
    ("America/New_York", &[1_741_503_500, 1_762_059_500]),
    // 2018-11-04 begins at 01:00, and 2018-02-17 ends at 24:00 twice.
    (
        "America/Sao_Paulo",
        &[1_541_213_000, 1_541_299_000, 1_518_918_000],
    ),
    // 2025-03-09 begins at 01:00; 2025-11-02 has its first hour twice.
    ("America/Havana", &[1_741_410_000, 1_762_052_400]),
    // Half an hour is skipped, and comes twice.
    ("Australia/Lord_Howe", &[1_759_591_800, 1_743_863_400]),
    // 2011-12-30 was no day there.
    ("Pacific/Apia", &[1_325_070_000, 1_325_200_000]),
    ("Pacific/Auckland", &[1_758_980_000, 1_743_857_000]),
    ("Asia/Kathmandu", &[1_735_600_000]),
    ("Africa/Casablanca", &[1_740_270_000, 1_743_900_000]),
];

/// Where winter is what deviates from the standard time, systemd loses the rest of the day that skips an hour: there only the
/// expressions are asked whose differences are known one by one.
const ODD_ZONES: &[&str] = &["Europe/Dublin", "Africa/Casablanca"];

/// What was compared, and how many expressions could not be.
pub(super) struct Compared {
    pub(super) rows: Vec<Row>,
    /// systemd searches for the next moment until it gives up.
    pub(super) given_up: usize,
    /// systemd says something else of the same expression when its steps have an end.
    pub(super) run_over: usize,
}

pub(super) fn compare(cases: usize) -> Result<Compared> {
    let is_odd = |zone: &str| ODD_ZONES.contains(&zone);
    let regular = BEFORE.iter().filter(|(zone, _)| !is_odd(zone));
    let share = cases.div_ceil(regular.map(|(_, bases)| bases.len()).sum());
    let mut generated = texts::expressions(cases).into_iter();
    let mut compared = Compared {
        rows: Vec::new(),
        given_up: 0,
        run_over: 0,
    };
    for (zone, bases) in BEFORE {
        for base in *bases {
            let mut group: Vec<String> = texts::EXPRESSIONS
                .iter()
                .map(|text| (*text).to_owned())
                .collect();
            if !is_odd(zone) {
                group.extend(generated.by_ref().take(share));
            }
            compared.add(zone, *base, &group)?;
        }
    }
    Ok(compared)
}

impl Compared {
    fn add(&mut self, zone: &str, base: u32, group: &[String]) -> Result<()> {
        let option = format!("--base-time=@{base}");
        let words = ["calendar", ITERATIONS, &option];
        let theirs_told = theirs(zone, &words, group)?;
        let ours_told = ours(zone, &words, group)?;
        for (text, answer) in group.iter().zip(&ours_told) {
            let told = theirs_told.get(text).map_or(REFUSED, String::as_str);
            if told == GIVEN_UP {
                self.given_up += 1;
                continue;
            }
            let (of_them, of_us) = (of_theirs(told), of_ours(answer));
            if of_them != of_us && self.runs_over(zone, &words, &of_us)? {
                self.run_over += 1;
                continue;
            }
            let case = format!("after @{base} in {zone}: {}", text.escape_debug());
            self.rows.push(Row::compared(case, of_them, of_us));
        }
        Ok(())
    }

    /// Whether systemd gives our moments when it is told where the steps end: without that, it goes over the end of the day or the
    /// month, and begins the next one too late.
    fn runs_over(&self, zone: &str, words: &[&str], of_us: &str) -> Result<bool> {
        let Some((normal, moments)) = of_us.split_once(": ") else {
            return Ok(false);
        };
        let Some(text) = texts::with_ends(normal) else {
            return Ok(false);
        };
        let told = theirs(zone, words, std::slice::from_ref(&text))?;
        let told = told.get(&text).map(|block| of_theirs(block));
        Ok(told.is_some_and(|told| told.ends_with(&format!(": {moments}"))))
    }
}

/// The normal form and the moments by the zone's clocks, as both sides tell them.
fn of_theirs(block: &str) -> String {
    let field = |line: &str| {
        line.trim()
            .split_once(": ")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let of = |wanted: fn(&str) -> bool| {
        let fields = block.lines().filter_map(field);
        fields
            .filter(|(name, _)| wanted(name))
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
    };
    let normal = of(|name| name == "Normalized form");
    let moments = of(|name| name == "Next elapse" || name.starts_with("Iteration"));
    match normal.first() {
        Some(normal) => format!("{normal}: {}", moments.join(", ")),
        None => block.to_owned(),
    }
}

fn of_ours(answer: &Value) -> String {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(normal) = text(answer, "normalized") else {
        return REFUSED.to_owned();
    };
    let elapses = answer.get("elapses").and_then(Value::as_array);
    // Theirs are printed without parts of a second.
    let whole = |moment: String| match moment.split_once('.') {
        Some((seconds, rest)) => format!(
            "{seconds}{}",
            rest.trim_start_matches(|c: char| c.is_ascii_digit())
        ),
        None => moment,
    };
    let moments: Vec<String> = elapses
        .into_iter()
        .flatten()
        .filter_map(|elapse| text(elapse, "local"))
        .map(whole)
        .collect();
    match moments.is_empty() {
        true => format!("{normal}: never"),
        false => format!("{normal}: {}", moments.join(", ")),
    }
}
