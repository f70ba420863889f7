//! What the processes of the drawn services do: `conformance-actor FOLDER UNIT ROLE WORD…`. Each step is a line in the folder's log, whose
//! lines are in the order of time, since each is appended by one call.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use kernel::signal::SignalSet;
use rustix::event::{PollFd, PollFlags, poll};

/// SIGTERM of signal(7).
const TERM: i32 = 15;

/// The words that a process's part is made of, one after the other.
pub(super) const GATE: &str = "gate";
pub(super) const READY: &str = "ready";
pub(super) const FORK: &str = "fork";
pub(super) const STAY: &str = "stay";
pub(super) const HANG: &str = "hang";
/// What SIGTERM does to it from the beginning on: it ends well, as a failure, once the gate opens, or not at all.
pub(super) const ON_TERM: [&str; 4] = ["term:ok", "term:fail", "term:gate", "term:ignore"];
/// Ends with this status.
pub(super) const EXIT: &str = "exit:";

/// Where the gate is, in the folder of a side: a pipe that can be read as long as it is open.
pub(super) const GATE_FILE: &str = "gate";
pub(super) const LOG_FILE: &str = "log";

struct Actor {
    folder: PathBuf,
    unit: String,
    role: String,
    log: File,
    term: rustix::fd::OwnedFd,
    on_term: String,
}

/// How a wait ended.
enum Woken {
    Opened,
    Asked,
}

pub(super) fn run(words: &[String]) -> Result<ExitCode> {
    let set = SignalSet::EMPTY.with(TERM);
    kernel::signal::set_mask(set)?;
    let [folder, unit, role, part @ ..] = words else {
        bail!("an actor is called with FOLDER UNIT ROLE WORD…");
    };
    let folder = PathBuf::from(folder);
    let log = OpenOptions::new()
        .append(true)
        .open(folder.join(LOG_FILE))?;
    let mut actor = Actor {
        term: kernel::signal::descriptor(set)?,
        on_term: ON_TERM[0].to_owned(),
        folder,
        unit: unit.clone(),
        role: role.clone(),
        log,
    };
    actor.say("begins")?;
    let status = actor.play(part)?;
    actor.say(&format!("ends with {status}"))?;
    Ok(ExitCode::from(status))
}

impl Actor {
    fn say(&mut self, event: &str) -> Result<()> {
        let line = format!(
            "{} {} {} {event}\n",
            self.unit,
            std::process::id(),
            self.role
        );
        Ok(self.log.write_all(line.as_bytes())?)
    }

    fn play(&mut self, part: &[String]) -> Result<u8> {
        for (at, word) in part.iter().enumerate() {
            match word.as_str() {
                word if ON_TERM.contains(&word) => self.on_term = word.to_owned(),
                READY => {
                    // Whoever sees it in the log knows that it was sent.
                    notify("READY=1")?;
                    self.say(READY)?;
                }
                FORK => {
                    self.fork(part.get(at + 1..).unwrap_or_default())?;
                    return Ok(0);
                }
                GATE => {
                    if let Some(status) = self.wait(GATE, true)? {
                        return Ok(status);
                    }
                }
                STAY | HANG => {
                    if let Some(status) = self.wait(word, false)? {
                        return Ok(status);
                    }
                }
                word => {
                    let status = word.strip_prefix(EXIT);
                    let status = status.with_context(|| format!("{word} is no part"))?;
                    return Ok(status.parse()?);
                }
            }
        }
        Ok(0)
    }

    /// The rest is played by another process, and this one goes on once that has begun.
    fn fork(&mut self, rest: &[String]) -> Result<()> {
        let known = lines_of(&self.folder, &self.unit)?;
        Command::new(std::env::current_exe()?)
            .arg("conformance-actor")
            .arg(&self.folder)
            .args([&self.unit, "child", &self.on_term])
            .args(rest)
            .spawn()?;
        while lines_of(&self.folder, &self.unit)? == known {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Waits for SIGTERM, or for the gate, too; the status to end with, if it is to.
    fn wait(&mut self, what: &str, is_gate: bool) -> Result<Option<u8>> {
        self.say(match is_gate {
            true => "is at the gate",
            false => what,
        })?;
        match self.woken(is_gate)? {
            Woken::Opened => return Ok(None),
            Woken::Asked => {}
        }
        self.say("is asked to end")?;
        match self.on_term.as_str() {
            "term:fail" => Ok(Some(1)),
            "term:gate" => {
                self.say("is at the gate")?;
                while !matches!(self.woken(true)?, Woken::Opened) {}
                Ok(Some(0))
            }
            "term:ignore" => loop {
                self.woken(false)?;
            },
            _ => Ok(Some(0)),
        }
    }

    fn woken(&self, by_gate: bool) -> Result<Woken> {
        let gate = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(self.folder.join(GATE_FILE))?;
        let mut events = vec![PollFd::new(&self.term, PollFlags::IN)];
        if by_gate {
            events.push(PollFd::new(&gate, PollFlags::IN));
        }
        poll(&mut events, None)?;
        let asked = events
            .first()
            .is_some_and(|event| !event.revents().is_empty());
        if asked {
            kernel::signal::read(&self.term)?;
            return Ok(Woken::Asked);
        }
        Ok(Woken::Opened)
    }
}

fn lines_of(folder: &Path, unit: &str) -> Result<usize> {
    let log = std::fs::read_to_string(folder.join(LOG_FILE))?;
    let lines = log
        .lines()
        .filter(|line| line.split(' ').next() == Some(unit));
    Ok(lines.count())
}

/// Tells the service manager, as sd_notify(3) says.
fn notify(text: &str) -> Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let place = std::env::var("NOTIFY_SOCKET").context("nobody is to be told")?;
    let address = match place.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&place)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address)?;
    Ok(())
}
