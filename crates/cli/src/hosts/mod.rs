//! `-H`: verbs on other hosts. Each host runs the verb itself, by its own `coracle stdio`, which ssh starts; this side sends the words
//! and the files that they name, and shows what comes back. docs/hosts.md says how it looks.

mod address;
mod arrivals;
mod bootstrap;
mod cutting;
mod errand;
mod line;
mod serve;
mod session;
mod several;
mod signals;
mod ssh;

use std::ffi::{OsStr, OsString};
use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::ArgMatches;
use rustix::termios::tcgetwinsize;
use wire::remote::Terminal;

use crate::context::Globals;
use crate::failure::hint;
use crate::pseudo_terminal;
use crate::terminal::{complain, no_output};

use address::Address;
use errand::Errand;
use session::{End, Side, Sink};
use signals::Signals;
use ssh::{Manner, NOT_REACHED};

pub(crate) use serve::serve;

/// First argument of a verb that runs for another host: hosts are not for it.
const OVER_THERE: &str = "verb-of-another-host";
/// The same, whose standard streams are a terminal that was made for it.
const ON_TERMINAL: &str = "verb-of-another-host-on-terminal";

/// Seconds until a host that does not answer is given up, where nothing else is said.
const TIMEOUT_S: u16 = 15;
/// Hosts that are worked on at the same time.
const PARALLEL: u16 = 8;
/// Verbs that have a conversation, and so one partner.
const CONVERSATIONS: &[&str] = &["shell", "edit"];

/// Takes the first argument of a verb that runs for another host, and the terminal that is for it.
///
/// # Errors
/// When the terminal can't be taken.
pub(crate) fn arrive(arguments: &mut Vec<OsString>) -> rustix::io::Result<bool> {
    let is = |word: &str| {
        arguments
            .get(1)
            .is_some_and(|first| first == OsStr::new(word))
    };
    let on_terminal = is(ON_TERMINAL);
    if !on_terminal && !is(OVER_THERE) {
        return Ok(false);
    }
    if on_terminal {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
    }
    arguments.remove(1);
    Ok(true)
}

/// Runs the verb on the hosts that `-H` names.
///
/// # Errors
/// When a host is none, or something fails on this side.
pub(crate) fn run(
    hosts: &str,
    globals: &Globals,
    (arguments, matches): (&[OsString], &ArgMatches),
) -> Result<u8> {
    let hosts = address::parse(hosts)?;
    let verb = matches.subcommand().map(|(verb, _)| verb);
    if verb == Some("stdio") {
        return Err(hint(
            "`stdio` is what other hosts are asked for",
            "leave it out: -H asks for it by itself",
        ));
    }
    let errand = Errand::new(arguments, matches)?;
    let signals = Signals::catch().context("cannot take signals over")?;
    let timeout_s = globals.host_timeout.unwrap_or(TIMEOUT_S);
    match hosts.as_slice() {
        [host] => alone(host, globals, errand, &signals, timeout_s),
        _ => {
            if let Some(verb) = verb.filter(|verb| CONVERSATIONS.contains(verb)) {
                return Err(hint(
                    format!("`{verb}` is a conversation with one host"),
                    "name one host",
                ));
            }
            let manner = Manner {
                timeout_s,
                silent: true,
            };
            // Nobody here speaks to several at once.
            let mut errand = errand;
            errand.request.has_input = false;
            let at_once = usize::from(globals.parallel.unwrap_or(PARALLEL));
            several::run(
                &hosts,
                globals,
                manned(errand, manner, None),
                (&signals, manner, at_once),
            )
        }
    }
}

/// What both sides have to know of the connection.
fn manned(mut errand: Errand, manner: Manner, terminal: Option<Terminal>) -> Errand {
    errand.request.beat_s = manner.beat_s();
    errand.request.has_input |= terminal.is_some();
    errand.request.terminal = terminal;
    errand
}

fn alone(
    host: &Address,
    globals: &Globals,
    errand: Errand,
    signals: &Signals,
    timeout_s: u16,
) -> Result<u8> {
    let terminal = pseudo_terminal::is_wanted().then(|| Terminal {
        kind: std::env::var("TERM").unwrap_or_default(),
        size: tcgetwinsize(rustix::stdio::stdin())
            .map_or((24, 80), |size| (size.ws_row, size.ws_col)),
    });
    let manner = Manner {
        timeout_s,
        silent: false,
    };
    let errand = manned(errand, manner, terminal);
    let mut sink = Direct {
        quiet: globals.quiet,
    };
    let once = |sink: &mut Direct| {
        let side = Side {
            manner,
            errand: &errand,
            signals: signals.subscribe()?,
            passes_input: errand.request.has_input,
        };
        session::run(host, side, sink)
    };
    let mut end = once(&mut sink)?;
    if end == End::Missing && globals.bootstrap {
        end = match bootstrap::install(host, manner, &signals.subscribe()?, &mut sink)? {
            Some(status) => End::Interrupted(status),
            None => once(&mut sink)?,
        };
    }
    match end {
        End::Ended(status) | End::Interrupted(status) => Ok(status),
        other => {
            crate::failure::tell(&failed(host, other));
            Ok(NOT_REACHED)
        }
    }
}

/// What is told of a host on which the verb did not come to its end.
fn failed(host: &Address, end: End) -> anyhow::Error {
    let name = &host.text;
    match end {
        End::Refused(what, next) if next.is_empty() => anyhow::anyhow!("{name}: {what}"),
        End::Refused(what, next) => hint(format!("{name}: {what}"), next),
        End::Missing => hint(
            format!("there is no coracle on {name}"),
            format!(
                "--bootstrap copies this one's two files there; or put coracle and coracled into /usr/local/bin of {name}"
            ),
        ),
        End::NotReached(why) => hint(
            format!("{name} was not reached: {why}"),
            format!(
                "`ssh {} true` is to work without questions",
                host.destination
            ),
        ),
        End::Lost(why) => hint(
            format!("the connection to {name} was lost: {why}"),
            "the command there has ended, and what it had asked of the manager goes on: ask for the state before you repeat it",
        ),
        End::Ended(status) | End::Interrupted(status) => {
            anyhow::anyhow!("{name}: ended with {status}")
        }
    }
}

/// One host: its streams are ours.
struct Direct {
    quiet: bool,
}

impl Sink for Direct {
    fn output(&mut self, bytes: &[u8]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
            no_output(&error);
        }
        Ok(())
    }

    fn errors(&mut self, bytes: &[u8]) {
        // Nobody can be told where that fails.
        std::io::stderr().lock().write_all(bytes).ok();
    }

    fn note(&mut self, line: &str) {
        if !self.quiet {
            complain(line);
        }
    }
}
