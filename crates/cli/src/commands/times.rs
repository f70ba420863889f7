//! `calendar`, `timespan`, `timestamp`: what texts about time mean here.

use anyhow::{Context as _, Result};
use clap::Args;
use jiff::tz::TimeZone;
use model::value::TimeSpan;
use serde_json::{Value, json};

use crate::clock;
use crate::context::Context;
use crate::failure::{WithHint, hint, tell};
use crate::moment::{SECOND_US, moment};
use crate::terminal::{one_line, say, say_json};
use crate::verbs::Run;
use crate::zones;

/// Most moments that are told of one expression.
const ITERATIONS_MAX: u32 = 1_000_000;

/// Options of `calendar`.
#[derive(Args, Debug)]
pub(crate) struct Calendar {
    /// Calendar expressions, as `Mon..Fri 08:00` or `*-*~1 Europe/Berlin`
    #[arg(required = true, value_name = "EXPRESSION", allow_hyphen_values = true)]
    expressions: Vec<String>,
    /// Tell so many moments of each
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(ITERATIONS_MAX)))]
    iterations: u32,
    /// Look for moments after this one, instead of now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    base_time: Option<String>,
}

/// Options of `timespan`.
#[derive(Args, Debug)]
pub(crate) struct Timespan {
    /// Spans of time, as `1h 30min`; a number alone is of seconds
    #[arg(required = true, value_name = "SPAN", allow_hyphen_values = true)]
    spans: Vec<String>,
}

/// Options of `timestamp`.
#[derive(Args, Debug)]
pub(crate) struct Timestamp {
    /// Points in time, as `2026-11-24 08:00`, `@1795623476` or `10 min ago`
    #[arg(required = true, value_name = "TIME", allow_hyphen_values = true)]
    times: Vec<String>,
}

impl Run for Calendar {
    fn run(self, context: &Context) -> Result<u8> {
        let base_us = match &self.base_time {
            Some(text) => moment(text).context("--base-time is no time")?,
            None => clock::now(),
        };
        let read = |text: &str| calendar(text, base_us, self.iterations);
        answer(context, ("expression", &self.expressions), &read)
    }
}

impl Run for Timespan {
    fn run(self, context: &Context) -> Result<u8> {
        answer(context, ("span", &self.spans), &span)
    }
}

impl Run for Timestamp {
    fn run(self, context: &Context) -> Result<u8> {
        answer(context, ("timestamp", &self.times), &timestamp)
    }
}

/// What is told of one text, for people and for programs.
struct Answer {
    lines: Vec<(&'static str, String)>,
    fields: Value,
}

/// Answers each text; one that means nothing is told, keeps no other from its answer, and ends in a status of 1.
fn answer(
    context: &Context,
    (key, texts): (&str, &[String]),
    read: &dyn Fn(&str) -> Result<Answer>,
) -> Result<u8> {
    let mut values = Vec::new();
    let mut status = 0;
    for (index, text) in texts.iter().enumerate() {
        match read(text) {
            Ok(answer) => {
                if !context.globals.json {
                    show(index > 0, text, answer.lines);
                }
                values.push(answer.fields);
            }
            Err(error) => {
                tell(&error);
                values.push(json!({ key: text, "error": error.to_string() }));
                status = 1;
            }
        }
    }
    if context.globals.json {
        say_json(&values)?;
    }
    Ok(status)
}

fn show(follows_another: bool, text: &str, lines: Vec<(&'static str, String)>) {
    if follows_another {
        say("");
    }
    let field = |name: &str, value: &str| say(&format!("{name:>12}: {}", one_line(value)));
    field("Text", text);
    lines.iter().for_each(|(name, value)| field(name, value));
}

fn calendar(text: &str, base_us: u64, iterations: u32) -> Result<Answer> {
    let calendar = model::calendar::Calendar::parse(text)
        .or_hint(|| format!("{text:?} tells no time"), "`Mon..Fri 08:00`, `*-*-01 00:00`, `*:0/15`, `weekly`: the page of OnCalendar= has all forms, `coracle explain OnCalendar`")?;
    let zone = zones::of(&calendar).ok_or_else(|| {
        hint(
            format!("{text:?} tells no time: its last word is no time zone of this host"),
            "time zones are `UTC` and those below /usr/share/zoneinfo, such as `Europe/Berlin`",
        )
    })?;
    let mut lines = vec![("Normal form", calendar.to_string())];
    if calendar.contradicts_itself() {
        lines.push(("Note", "that date is on another day of the week".to_owned()));
    }
    let mut elapses = Vec::new();
    let mut after_us = base_us;
    while let Some(next_us) = calendar.next_elapse(after_us, &zone) {
        lines.extend(when(
            if elapses.is_empty() { "Next" } else { "Then" },
            next_us,
        ));
        elapses.push(point(next_us));
        after_us = next_us;
        if elapses.len() == iterations as usize {
            break;
        }
    }
    if elapses.is_empty() {
        lines.push(("Next", "never".to_owned()));
    }
    let fields =
        json!({ "expression": text, "normalized": calendar.to_string(), "elapses": elapses });
    Ok(Answer { lines, fields })
}

fn span(text: &str) -> Result<Answer> {
    let span = TimeSpan::parse_in(text, SECOND_US).or_hint(
        || format!("{text:?} is no span of time"),
        "spans are `5`, `1.5s`, `1h 30min`, `2 weeks` or `infinity`",
    )?;
    Ok(Answer {
        lines: vec![
            ("Normal form", span.to_string()),
            ("Microseconds", span.micros().to_string()),
        ],
        fields: json!({ "span": text, "normalized": span.to_string(), "us": span.micros() }),
    })
}

fn timestamp(text: &str) -> Result<Answer> {
    let moment_us = moment(text)?;
    let mut fields = point(moment_us);
    if let Some(object) = fields.as_object_mut() {
        object.insert("timestamp".to_owned(), text.into());
    }
    let mut lines = when("Local", moment_us);
    let fraction = match moment_us % SECOND_US {
        0 => String::new(),
        rest => format!(".{rest:06}"),
    };
    lines.push((
        "Since 1970",
        format!("@{}{fraction}", moment_us / SECOND_US),
    ));
    Ok(Answer { lines, fields })
}

/// A moment by the host's clocks, in UTC where that is something else, and from now.
fn when(name: &'static str, moment_us: u64) -> Vec<(&'static str, String)> {
    let local = clock::exact(moment_us, &TimeZone::system());
    let utc = clock::exact(moment_us, &TimeZone::UTC);
    let mut lines = vec![(name, local.clone())];
    if utc != local {
        lines.push(("In UTC", utc));
    }
    lines.push(("From now", clock::from_now(moment_us)));
    lines
}

fn point(moment_us: u64) -> Value {
    json!({
        "realtime_us": moment_us,
        "local": clock::exact(moment_us, &TimeZone::system()),
        "utc": clock::exact(moment_us, &TimeZone::UTC),
    })
}
