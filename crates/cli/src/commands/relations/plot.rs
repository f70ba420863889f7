//! `plot`: the units' coming up and going down as a picture.

use std::fmt::Write as _;

use anyhow::Result;
use clap::Args;
use wire::UnitRelations;

use super::{Web, coming_up, span};
use crate::context::Context;
use crate::failure::hint;
use crate::terminal::say_text;
use crate::verbs::Run;

/// Heights, in pixels: of a unit's line, of its bar, of what stands above and below all.
const LINE: f64 = 20.0;
const BAR: f64 = 14.0;
const ABOVE: f64 = 96.0;
const BELOW: f64 = 40.0;
/// The width of the time, whatever its length, and of what is left of it and right of it for names.
const TIME_WIDTH: f64 = 1000.0;
const MARGIN: f64 = 24.0;
const NAMES_WIDTH: f64 = 420.0;
/// About so many lines of time.
const TICKS: u64 = 10;

/// Options of `plot`.
#[derive(Args, Debug)]
pub(crate) struct Plot {
    /// Targets are left out
    #[arg(long)]
    no_targets: bool,
}

/// A unit's line: moments in microseconds from the start of the instance.
#[derive(Debug, PartialEq, Eq)]
struct Bar {
    name: String,
    begin: u64,
    /// It was up.
    up: Option<u64>,
    /// It began to go down.
    down: Option<u64>,
    /// It was down.
    end: Option<u64>,
    failed: bool,
}

impl Run for Plot {
    fn run(self, context: &Context) -> Result<u8> {
        let web = Web::ask(context, &[])?;
        let shown = |unit: &&UnitRelations| !self.no_targets || !unit.name.ends_with(".target");
        let units = web.units.values().filter(shown);
        let mut bars: Vec<Bar> = units.filter_map(|unit| bar(unit, web.began_us)).collect();
        if bars.is_empty() {
            return Err(hint(
                "no unit has come up in this instance",
                "`coracle start` starts one",
            ));
        }
        bars.sort_by(|one, other| (one.begin, &one.name).cmp(&(other.begin, &other.name)));
        let host = rustix::system::uname();
        let title = format!(
            "{} · Linux {} · {} units",
            host.nodename().to_string_lossy(),
            host.release().to_string_lossy(),
            bars.len()
        );
        say_text(&picture(&title, &bars));
        Ok(0)
    }
}

fn bar(unit: &UnitRelations, began_us: u64) -> Option<Bar> {
    let (begin, _) = coming_up(unit)?;
    let from_begin = |moment: Option<u64>, since: u64| {
        moment
            .filter(|moment| *moment >= since)
            .map(|moment| moment.saturating_sub(began_us))
    };
    let up = from_begin(unit.active_enter_monotonic_us, begin);
    // Of a run before there may be younger moments than the begin of this one has.
    let last = unit.active_enter_monotonic_us.unwrap_or(begin).max(begin);
    Some(Bar {
        name: unit.name.clone(),
        begin: begin.saturating_sub(began_us),
        up,
        down: from_begin(unit.active_exit_monotonic_us, last),
        end: from_begin(unit.inactive_enter_monotonic_us, last),
        failed: unit.active == "failed",
    })
}

/// The text of the picture as it grows.
struct Picture {
    svg: String,
    /// The end of the time, in microseconds.
    until: u64,
    height: f64,
}

fn picture(title: &str, bars: &[Bar]) -> String {
    let moments = bars
        .iter()
        .flat_map(|bar| [Some(bar.begin), bar.up, bar.down, bar.end]);
    let last = moments.flatten().max().unwrap_or_default().max(1);
    let step = step(last);
    let mut picture = Picture {
        svg: String::new(),
        until: last.div_ceil(step) * step,
        height: ABOVE + LINE * bars.len() as f64,
    };
    picture.head(title);
    picture.time(step);
    for (place, bar) in bars.iter().enumerate() {
        picture.unit(ABOVE + LINE * place as f64 + (LINE - BAR) / 2.0, bar);
    }
    picture.put(format_args!("</svg>"));
    picture.svg
}

impl Picture {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        match self.svg.write_fmt(text) {
            // A string has always room.
            Ok(()) | Err(_) => self.svg.push('\n'),
        }
    }

    fn x(&self, us: u64) -> f64 {
        MARGIN + us as f64 / self.until as f64 * TIME_WIDTH
    }

    fn head(&mut self, title: &str) {
        let (width, height) = (MARGIN + TIME_WIDTH + NAMES_WIDTH, self.height + BELOW);
        self.put(format_args!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="system-ui, sans-serif" font-size="12">"#
        ));
        self.put(format_args!("{STYLE}"));
        self.put(format_args!(
            r#"<rect class="paper" width="100%" height="100%"/>"#
        ));
        let title = escaped(title);
        self.put(format_args!(
            r#"<text class="title" x="{MARGIN}" y="32">{title}</text>"#
        ));
        let legend = [
            ("coming", "coming up"),
            ("up", "up"),
            ("going", "going down"),
            ("failed", "failed"),
        ];
        for (place, (class, word)) in legend.into_iter().enumerate() {
            let left = MARGIN + 120.0 * place as f64;
            self.put(format_args!(
                r#"<rect class="{class}" x="{left:.1}" y="48" width="14" height="{BAR}" rx="3"/><text x="{:.1}" y="60">{word}</text>"#,
                left + 20.0
            ));
        }
    }

    /// The lines of time, `step` microseconds apart.
    fn time(&mut self, step: u64) {
        let (top, bottom) = (ABOVE - 4.0, self.height);
        for us in (0..=self.until / step).map(|number| number * step) {
            let (x, told) = (self.x(us), span(us));
            self.put(format_args!(
                r#"<line class="tick" x1="{x:.1}" y1="{top:.1}" x2="{x:.1}" y2="{bottom:.1}"/><text class="time" x="{x:.1}" y="{:.1}">{told}</text>"#,
                top - 4.0
            ));
        }
    }

    fn unit(&mut self, top: f64, bar: &Bar) {
        let end = bar.end.unwrap_or(self.until);
        let up = bar.up.unwrap_or(end);
        let down = bar.down.unwrap_or(end).max(up);
        let last = if bar.failed { "failed" } else { "going" };
        for (class, from, to) in [
            ("coming", bar.begin, up),
            ("up", up, down),
            (last, down, end),
        ] {
            // What took no time at all is seen, too, where the unit begins.
            if to > from || class == "coming" {
                let (x, width) = (self.x(from), (self.x(to) - self.x(from)).max(1.0));
                self.put(format_args!(
                    r#"<rect class="{class}" x="{x:.2}" y="{top:.1}" width="{width:.2}" height="{BAR}" rx="2"/>"#
                ));
            }
        }
        let took = match up.saturating_sub(bar.begin) {
            0 => String::new(),
            us => format!(" ({})", span(us)),
        };
        let (x, name) = (self.x(bar.begin.max(up)) + 6.0, escaped(&bar.name));
        self.put(format_args!(
            r#"<text x="{x:.1}" y="{:.1}">{name}<tspan class="took">{took}</tspan></text>"#,
            top + BAR - 3.0
        ));
    }
}

/// A round span, of which about [`TICKS`] fit in.
fn step(last: u64) -> u64 {
    let wanted = last.div_ceil(TICKS).max(1);
    let power = 10u64.pow(wanted.ilog10());
    let round = [1, 2, 5, 10].map(|part| power.saturating_mul(part));
    let step = round.into_iter().find(|step| *step >= wanted);
    step.unwrap_or(wanted)
}

const STYLE: &str = "<style>\n\
    .paper { fill: #ffffff } text { fill: #24292f } .title { font-size: 16px; font-weight: 600 }\n\
    .tick { stroke: #d8dee4 } .time { fill: #6e7781; text-anchor: middle; font-size: 11px } .took { fill: #6e7781 }\n\
    .coming { fill: #e6912c } .up { fill: #b7dfc0 } .going { fill: #9aa7b4 } .failed { fill: #d1383d }\n\
    @media (prefers-color-scheme: dark) {\n\
    .paper { fill: #0d1117 } text { fill: #e6edf3 } .tick { stroke: #30363d } .time, .took { fill: #9198a1 } .up { fill: #2b5f3a }\n\
    }\n</style>";

/// A text inside of an element.
fn escaped(text: &str) -> String {
    crate::terminal::one_line(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::tests::unit;
    use super::*;

    #[test]
    fn steps_are_round_and_about_ten() {
        for (last, expected) in [
            (1, 1),
            (9, 1),
            (1_000, 100),
            (1_234, 200),
            (4_100_000, 500_000),
            (9_999_999, 1_000_000),
        ] {
            assert_eq!(step(last), expected, "{last}");
        }
    }

    #[test]
    fn a_unit_has_the_moments_of_its_last_run() {
        let mut one = unit("a.service", &[], Some((3_000_000, 4_000_000)));
        one.active_exit_monotonic_us = Some(2_000_000);
        one.inactive_enter_monotonic_us = Some(2_500_000);
        let Some(bar) = bar(&one, 1_000_000) else {
            panic!("{one:?}");
        };
        assert_eq!((bar.begin, bar.up), (2_000_000, Some(3_000_000)));
        assert_eq!((bar.down, bar.end), (None, None));
    }

    #[test]
    fn names_are_text_and_each_unit_has_its_line() {
        let bars = ["<a>&.service", "b.service"].map(|name| Bar {
            name: name.to_owned(),
            begin: 10,
            up: Some(500),
            down: None,
            end: None,
            failed: false,
        });
        let svg = picture("host", &bars);
        assert!(svg.contains("&lt;a&gt;&amp;.service<tspan"), "{svg}");
        assert_eq!(svg.matches("class=\"coming\"").count(), 3, "{svg}");
        assert!(svg.ends_with("</svg>\n"));
    }
}
