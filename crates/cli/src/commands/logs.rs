//! `logs`: what services wrote.

use std::io::{ErrorKind, IsTerminal, Write};

use anyhow::{Context as _, Result};
use clap::Args;
use journal::format::Entry;
use journal::query::{self, Filter, Logs as Files, Namespaces, Pattern, Style};

use crate::clock;
use crate::context::Context;
use crate::failure::{WithHint, hint};
use crate::moment::moment;
use crate::terminal::{Paint, complain, plain};
use crate::verbs::Run;

/// syslog(3): the words for priorities, in the order of their numbers.
const PRIORITIES: &[&str] = &[
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

/// Options of `logs`.
#[derive(Args, Debug)]
pub(crate) struct Logs {
    /// Only of these units, patterns or portables
    #[arg(value_name = "UNIT")]
    names: Vec<String>,
    /// The same
    #[arg(short, long = "unit", value_name = "UNIT")]
    unit: Vec<String>,
    /// Taken, as journalctl has it: there is no pager
    #[arg(long = "no-pager", hide = true)]
    _no_pager: bool,
    /// Go on with what is written from now
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines [default with --follow: 10]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// The newest first
    #[arg(short, long, conflicts_with = "follow")]
    reverse: bool,
    /// Only of this boot
    #[arg(short, long)]
    boot: bool,
    /// Not before: `2026-11-24 08:00`, `08:00`, `-1h`, `10 min ago`, `today`, `yesterday`
    #[arg(short = 'S', long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Not after
    #[arg(short = 'U', long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only messages that match this regular expression; small letters match capitals too
    #[arg(short, long, value_name = "PATTERN")]
    grep: Option<String>,
    /// Only this priority and graver ones: emerg to debug, or 0 to 7
    #[arg(short, long, value_name = "PRIORITY")]
    priority: Option<String>,
    /// Of this log namespace; *: of all, +NAME: of this one and the usual one
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Print messages alone; control bytes stay as they were written unless this is a terminal
    #[arg(long)]
    cat: bool,
}

impl Run for Logs {
    fn run(self, context: &Context) -> Result<u8> {
        let filter = self.filter(context)?;
        let files = files(context).of(self.namespaces()?);
        let style = match (context.globals.json, self.cat) {
            (true, _) => Style::Json,
            (false, true) => Style::Cat,
            (false, false) => Style::Short,
        };
        let mut printer = Printer::new(style);
        // With nothing shown, everything that passes is news; with `-n 0`, only what is written from now on.
        let mut last = (self.lines != Some(0)).then_some(0);
        let mut printed = false;
        let mut show = |entry: &Entry| {
            printed = true;
            last = Some(entry.seqnum);
            printer.print(entry)
        };
        let all = self.reverse.then_some(usize::MAX);
        match self.lines.or(self.follow.then_some(10)).or(all) {
            Some(count) if self.reverse => readable(files.last(&filter, count))?
                .iter()
                .rev()
                .all(&mut show),
            Some(count) => readable(files.last(&filter, count))?.iter().all(&mut show),
            None => readable(files.each(&filter, &mut show)).map(|()| true)?,
        };
        if !printed && !self.follow {
            context.narrate("no entries");
        }
        if self.follow {
            readable(files.follow(&filter, last, &mut |entry| printer.print(entry)))?;
        }
        tell_damage(&files);
        Ok(0)
    }
}

impl Logs {
    fn namespaces(&self) -> Result<Namespaces> {
        let Some(text) = &self.namespace else {
            return Ok(Namespaces::Usual);
        };
        let name = text.strip_prefix('+').unwrap_or(text).to_owned();
        if text == "*" {
            return Ok(Namespaces::All);
        }
        if !model::value::LogNamespace::is_name(&name) {
            return Err(hint(
                format!("{text:?} is no log namespace"),
                "`coracle explain LogNamespace` says what they are",
            ));
        }
        Ok(if text.starts_with('+') {
            Namespaces::With(name)
        } else {
            Namespaces::One(name)
        })
    }

    fn filter(&self, context: &Context) -> Result<Filter> {
        let named = [&*self.names, &*self.unit].concat();
        let mut units = crate::portable::units_of(context, &named)?;
        // The manager's own entries have a name without a suffix.
        units.extend(named);
        Ok(Filter {
            units,
            since_us: self.since.as_deref().map(moment).transpose()?,
            until_us: self.until.as_deref().map(moment).transpose()?,
            priority_max: self.priority.as_deref().map(priority).transpose()?,
            grep: self.grep.as_deref().map(pattern).transpose()?,
            boot: self.boot.then(this_boot).transpose()?,
            ..Filter::default()
        })
    }
}

/// This boot's id, as entries have it.
fn this_boot() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(id.trim().replace('-', ""))
}

/// Prints the last lines of a unit below its status.
///
/// # Errors
/// When the logs can't be read.
pub(crate) fn tail(
    context: &Context,
    unit: &str,
    count: usize,
    since_us: Option<u64>,
) -> Result<()> {
    let filter = Filter {
        units: vec![unit.to_owned()],
        since_us,
        ..Filter::default()
    };
    let entries = match files(context).of(Namespaces::All).last(&filter, count) {
        Err(error) if is_denied(&error) => {
            context.narrate("its log lines are for root and the log's group only");
            return Ok(());
        }
        read => read?,
    };
    let mut printer = Printer::new(Style::Short);
    if !entries.is_empty() {
        crate::terminal::say("");
    }
    for entry in &entries {
        printer.print(entry);
    }
    Ok(())
}

fn is_denied(error: &query::Error) -> bool {
    matches!(error, query::Error::Read { source, .. } if source.kind() == ErrorKind::PermissionDenied)
}

/// What was read; with the next step where it may not be.
fn readable<T>(read: Result<T, query::Error>) -> Result<T> {
    match read {
        Err(error) if is_denied(&error) => Err(error).or_hint(
            || "the logs are for root and their group only".to_owned(),
            "become root",
        ),
        read => Ok(read?),
    }
}

/// What could not be read is told, so that nobody takes the rest for all.
fn tell_damage(files: &Files) {
    for path in files.damage_met() {
        complain(&format!(
            "{} {} is damaged or of another format: what can be read of it is shown",
            Paint::Yellow.on("warning:"),
            plain(&path.display().to_string())
        ));
    }
}

fn files(context: &Context) -> Files {
    Files::new(&context.directories.state.join("journal"))
}

/// Prints entries to standard output, until nobody reads.
struct Printer {
    style: Style,
    terminal: bool,
    out: std::io::StdoutLock<'static>,
}

impl Printer {
    fn new(style: Style) -> Printer {
        let terminal = std::io::stdout().is_terminal();
        Printer {
            style,
            terminal,
            out: std::io::stdout().lock(),
        }
    }

    fn print(&mut self, entry: &Entry) -> bool {
        let mut line = query::print(entry, self.style, self.terminal, &clock::local);
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        if let Err(error) = self.out.write_all(&line).and_then(|()| self.out.flush()) {
            crate::terminal::no_output(&error);
        }
        true
    }
}

fn priority(text: &str) -> Result<u8> {
    let number = PRIORITIES
        .iter()
        .position(|word| *word == text)
        .or_else(|| {
            text.parse()
                .ok()
                .filter(|number| *number < PRIORITIES.len())
        });
    let number = number.ok_or_else(|| {
        hint(
            format!("{text:?} is no priority"),
            format!("priorities are {}, or 0 to 7", PRIORITIES.join(", ")),
        )
    })?;
    Ok(u8::try_from(number)?)
}

fn pattern(text: &str) -> Result<Pattern> {
    let ignore_case = if text.chars().any(char::is_uppercase) {
        ""
    } else {
        "(?i)"
    };
    let expression = regex_lite::Regex::new(&format!("{ignore_case}{text}"));
    Ok(Pattern::Expression(expression.or_hint(
        || format!("{text:?} is no regular expression"),
        "put a backslash before characters that are meant literally",
    )?))
}
