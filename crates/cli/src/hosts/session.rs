//! This side of one connection: asks, sends what the host lacks, and passes on what comes and goes until the verb has ended.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::tcgetwinsize;
use wire::remote::{CHUNK_BYTES, Frame, FrameError, INPUT_WINDOW_BYTES};

use super::address::Address;
use super::cutting::Cutting;
use super::errand::Errand;
use super::line::{Inlet, MISSED_BEATS, Outbox, non_blocking, read};
use super::ssh::{self, Manner, NOT_FOUND, NOT_REACHED};
use crate::pseudo_terminal::{self, Raw};
use crate::terminal::{one_line, size};

/// Bytes kept of what ssh says.
const SAID_MAX_BYTES: usize = 4 << 10;
/// Pieces of a file that are read before anybody else is heard.
const CHUNKS_A_ROUND: u32 = 8;
/// How often it is told how much is sent.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(3);
/// What a shell adds to a signal's number.
pub(crate) const SIGNALLED: u8 = 128;
/// SIGWINCH (signal(7)).
pub(crate) const WINDOW_CHANGED: u8 = 28;

/// Where what comes from a host goes.
pub(crate) trait Sink {
    /// Standard output of the verb.
    fn output(&mut self, bytes: &[u8]) -> Result<()>;
    /// Standard error of the verb.
    fn errors(&mut self, bytes: &[u8]);
    /// What is being done.
    fn note(&mut self, line: &str);
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The verb has ended with this status.
    Ended(u8),
    /// The host did not run it: what, and what to do next.
    Refused(String, String),
    /// There is no `coracle` over there.
    Missing,
    /// There is no connection; what ssh says.
    NotReached(String),
    /// The connection ended before the verb did.
    Lost(String),
    /// A signal ended it here.
    Interrupted(u8),
}

/// What a session needs to know of this side.
pub(crate) struct Side<'a> {
    pub(crate) manner: Manner,
    pub(crate) errand: &'a Errand,
    /// Signals, each a byte, as they come.
    pub(crate) signals: OwnedFd,
    /// Our standard input is the verb's.
    pub(crate) passes_input: bool,
}

/// One verb on one host.
///
/// # Errors
/// When something fails on this side.
pub(crate) fn run(address: &Address, side: Side<'_>, sink: &mut dyn Sink) -> Result<End> {
    let mut child = ssh::serve(address, side.manner)?;
    let mut session = Session::new(&mut child, side, sink)?;
    let ended = session.run();
    let (is_greeted, said) = (session.phase != Phase::Greeting, session.said());
    drop(session);
    if let Ok(None) = ended {
        let status = pseudo_terminal::code(child.wait()?);
        return Ok(cut(is_greeted, status, said));
    }
    // The verb has ended, or is told so by the end of the connection: nothing is left to be waited for.
    ssh::end(child)?;
    ended.map(|end| end.unwrap_or(End::Missing))
}

/// What it means that ssh ended by itself.
fn cut(is_greeted: bool, status: u8, said: String) -> End {
    let why = match said.as_str() {
        "" => format!("ssh ended with {status}"),
        _ => said,
    };
    match status {
        _ if is_greeted => End::Lost(why),
        NOT_FOUND => End::Missing,
        NOT_REACHED => End::NotReached(why),
        _ => End::Lost(format!(
            "what answers there is no `coracle stdio` of this version ({why})"
        )),
    }
}

/// A file that is under way, and what is left of it: places and lengths.
struct Sending {
    file: File,
    ranges: VecDeque<(u64, u64)>,
}

impl Sending {
    /// The next bytes; none: it is whole.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.ranges.pop_front_if(|(_, left)| *left == 0);
        let Some((place, left)) = self.ranges.front_mut() else {
            return Ok(None);
        };
        let most = usize::try_from(*left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        let mut bytes = vec![0; most];
        let count = self.file.read_at(&mut bytes, *place)?;
        if count == 0 {
            bail!("a file became shorter while it was sent");
        }
        bytes.truncate(count);
        (*place, *left) = (*place + count as u64, *left - count as u64);
        Ok(Some(bytes))
    }
}

/// Whether ranges lie in a file, in the order of their places and apart.
fn are_within(ranges: &[(u64, u64)], length: u64) -> bool {
    let ends = ranges.iter().try_fold(0_u64, |before, (place, bytes)| {
        let end = place.checked_add(*bytes)?;
        (*place >= before && *bytes > 0 && end <= length).then_some(end)
    });
    ends.is_some()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until the other side speaks.
    Greeting,
    /// It says what it lacks.
    Asking,
    /// Files are under way.
    Sending,
    Running,
}

struct Session<'a> {
    side: Side<'a>,
    sink: &'a mut dyn Sink,
    inlet: Inlet,
    outbox: Arc<Mutex<Outbox>>,
    beats: Option<Beats>,
    /// What ssh says, where it is kept.
    errors: Option<OwnedFd>,
    said: Vec<u8>,
    phase: Phase,
    began: Instant,
    /// Indexes of files that have to be sent, the last one first, and what is left of the one under way.
    to_send: Vec<usize>,
    sending: Option<Sending>,
    /// Of some of them the host lacks these ranges alone.
    ranges: BTreeMap<usize, Vec<(u64, u64)>>,
    /// How files are cut, where the host has asked.
    cutting: Option<Cutting>,
    /// Bytes that all of them have, bytes that are sent, and when that was told last.
    total: u64,
    sent: u64,
    told: Instant,
    input_is_open: bool,
    /// Bytes of input that may be sent.
    window: usize,
    is_interrupted: bool,
    raw: Option<Raw>,
}

impl<'a> Session<'a> {
    fn new(child: &mut Child, side: Side<'a>, sink: &'a mut dyn Sink) -> Result<Session<'a>> {
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("ssh has no pipes");
        };
        let errors = child.stderr.take().map(|pipe| non_blocking(pipe.into()));
        Ok(Session {
            inlet: Inlet::new(output.into())?,
            outbox: Arc::new(Mutex::new(Outbox::new(input.into())?)),
            beats: None,
            errors: errors.transpose()?,
            said: Vec::new(),
            phase: Phase::Greeting,
            began: Instant::now(),
            to_send: Vec::new(),
            sending: None,
            ranges: BTreeMap::new(),
            cutting: None,
            total: 0,
            sent: 0,
            told: Instant::now(),
            input_is_open: side.passes_input,
            window: INPUT_WINDOW_BYTES,
            is_interrupted: false,
            raw: None,
            side,
            sink,
        })
    }

    /// Until it has ended; none: the other side closed.
    fn run(&mut self) -> Result<Option<End>> {
        loop {
            let (typed, signalled) = self.wait()?;
            self.hear_ssh();
            self.inlet.fill();
            if let Some(cutting) = &mut self.cutting {
                cutting.hear()?;
            }
            if let Some(end) = self.silence() {
                return Ok(Some(end));
            }
            match self.hear() {
                Ok(None) => {}
                Ok(end) => return Ok(end),
                Err(error) if error.is::<FrameError>() => {
                    return Ok(Some(End::Lost(error.to_string())));
                }
                Err(error) => return Err(error),
            }
            if !self.inlet.is_open() {
                return Ok(None);
            }
            if signalled && let Some(end) = self.take_signals() {
                return Ok(Some(end));
            }
            self.send_files()?;
            if typed {
                self.pass_input()?;
            }
            // Where nobody takes it, the end of what comes tells why.
            self.outbox().flush().ok();
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, frame: &Frame) {
        // The same.
        self.outbox().send(frame).ok();
    }

    /// Waits for whatever comes first; answers whether something is typed, and whether there are signals.
    fn wait(&mut self) -> Result<(bool, bool)> {
        let listens = self.phase == Phase::Running && self.input_is_open && self.window > 0;
        // Not locked while we wait: a beat is to go out meanwhile.
        let pending = {
            let outbox = self.outbox();
            outbox
                .waits()
                .then(|| outbox.pipe.try_clone())
                .transpose()?
        };
        let mut watched = vec![
            PollFd::new(&self.inlet.pipe, PollFlags::IN),
            PollFd::new(&self.side.signals, PollFlags::IN),
        ];
        watched.extend(pending.iter().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        watched.extend(
            self.errors
                .iter()
                .map(|pipe| PollFd::new(pipe, PollFlags::IN)),
        );
        let cutting = self.cutting.as_ref().and_then(Cutting::pending);
        watched.extend(cutting.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        if listens {
            watched.push(PollFd::from_borrowed_fd(
                rustix::stdio::stdin(),
                PollFlags::IN,
            ));
        }
        let timeout_s = match self.goes_on_sending() {
            true => 0,
            false => u64::from(self.side.manner.beat_s()),
        };
        let timeout = Duration::from_secs(timeout_s).try_into()?;
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let came = |one: Option<&PollFd<'_>>| one.is_some_and(|one| !one.revents().is_empty());
        Ok((listens && came(watched.last()), came(watched.get(1))))
    }

    /// ssh may have left the descriptor to a connection that outlives it: what is there is read, and the end is not waited for.
    fn hear_ssh(&mut self) {
        let Some(pipe) = &self.errors else {
            return;
        };
        let mut is_open = true;
        let bytes = read(pipe, &mut is_open).unwrap_or_default();
        self.said.extend(bytes);
        let surplus = self.said.len().saturating_sub(SAID_MAX_BYTES);
        self.said.drain(..surplus);
        if !is_open {
            self.errors = None;
        }
    }

    /// The last line that ssh said.
    fn said(&mut self) -> String {
        self.hear_ssh();
        let text = String::from_utf8_lossy(&self.said);
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        one_line(last.unwrap_or_default().trim())
    }

    fn silence(&self) -> Option<End> {
        let manner = self.side.manner;
        if self.phase == Phase::Greeting {
            let limit = Duration::from_secs(u64::from(manner.timeout_s) * 2);
            let is_over = manner.silent && self.began.elapsed() > limit;
            return is_over.then(|| End::NotReached(format!("no answer in {} s", limit.as_secs())));
        }
        let limit = Duration::from_secs(u64::from(manner.beat_s())) * MISSED_BEATS;
        let is_over = self.inlet.is_silent(limit);
        is_over.then(|| End::Lost(format!("nothing was heard for {} s", limit.as_secs())))
    }

    fn hear(&mut self) -> Result<Option<End>> {
        if self.phase == Phase::Greeting {
            if !self.inlet.inbox.greeting()? {
                return Ok(None);
            }
            self.phase = Phase::Asking;
            let request = Box::new(self.side.errand.request.clone());
            self.send(&Frame::Request(request));
            self.beats = Some(Beats::begin(&self.outbox, self.side.manner.beat_s())?);
        }
        while let Some(frame) = self.inlet.inbox.next_frame()? {
            let end = self.take(frame)?;
            if end.is_some() {
                return Ok(end);
            }
        }
        Ok(None)
    }

    fn take(&mut self, frame: Frame) -> Result<Option<End>> {
        match frame {
            Frame::Output(bytes) => self.sink.output(&bytes)?,
            Frame::Errors(bytes) => self.sink.errors(&bytes),
            Frame::Taken(bytes) => {
                let bytes = usize::try_from(bytes).unwrap_or_default();
                self.window = self.window.saturating_add(bytes).min(INPUT_WINDOW_BYTES);
            }
            Frame::AsksParts(files) if self.phase == Phase::Asking => {
                // An answer is long, and whoever never reads one must not ask for more and more of them.
                let count = self.side.errand.paths.len();
                if self.cutting.is_some() || files.len() > count {
                    bail!("the host asks more than once how a file is cut");
                }
                self.begin_cutting(&files)?;
            }
            Frame::NeedsParts(index, ranges) if self.phase == Phase::Asking => {
                let file = self.side.errand.request.files.get(index);
                if !file.is_some_and(|file| are_within(&ranges, file.length)) {
                    bail!("the host asks for ranges that no offered file has");
                }
                self.ranges.insert(index, ranges);
            }
            Frame::Needs(files) if self.phase == Phase::Asking => {
                if files.len() > self.side.errand.paths.len() {
                    bail!("the host asks for more files than were offered");
                }
                self.begin_sending(files);
            }
            // A host speaks in its own name only.
            Frame::Refused(what, next) => {
                return Ok(Some(End::Refused(one_line(&what), one_line(&next))));
            }
            Frame::Ended(status) => return Ok(Some(End::Ended(status))),
            _ => {}
        }
        Ok(None)
    }

    fn begin_cutting(&mut self, files: &[usize]) -> Result<()> {
        let cuts = files.iter().map(|index| {
            let Some(cut) = self.side.errand.cuts.get(*index) else {
                bail!("the host asks how a file is cut that was not offered");
            };
            Ok((u32::try_from(*index)?, Arc::clone(cut)))
        });
        let cuts = cuts.collect::<Result<_>>()?;
        self.cutting = Some(Cutting::begin(cuts, &self.outbox)?);
        Ok(())
    }

    fn begin_sending(&mut self, files: Vec<usize>) {
        self.told = Instant::now();
        for (index, file) in self.side.errand.request.files.iter().enumerate() {
            let (name, bytes) = (one_line(&file.name), size(file.length));
            let ranges = self.ranges.get(&index);
            let part = ranges.map(|ranges| ranges.iter().map(|(_, length)| length).sum());
            if files.contains(&index) {
                self.total += part.unwrap_or(file.length);
            }
            self.sink.note(&match (files.contains(&index), part) {
                (true, None) => format!("sending {name} ({bytes})"),
                (true, Some(part)) => {
                    format!(
                        "sending {} of {name} ({bytes}), the rest is there",
                        size(part)
                    )
                }
                (false, _) => format!("{name} ({bytes}) is there already"),
            });
        }
        self.to_send = files;
        self.to_send.reverse();
        self.phase = Phase::Sending;
    }

    /// There is more of a file than the last round has read, and room for it.
    fn goes_on_sending(&self) -> bool {
        self.phase == Phase::Sending && !self.outbox().is_full()
    }

    /// Sends as much as the connection takes now, and no more at once than a slow disk may cost before the other side and signals are heard.
    fn send_files(&mut self) -> Result<()> {
        for _ in 0..CHUNKS_A_ROUND {
            if !self.goes_on_sending() {
                return Ok(());
            }
            if self.sending.is_none() && !self.open_next()? {
                self.phase = Phase::Running;
                self.take_over_terminal()?;
                return Ok(());
            }
            let Some(bytes) = self.sending.as_mut().map_or(Ok(None), Sending::next)? else {
                self.sending = None;
                continue;
            };
            let count = bytes.len() as u64;
            self.send(&Frame::Content(bytes));
            self.tell_progress(count);
        }
        Ok(())
    }

    fn tell_progress(&mut self, count: u64) {
        self.sent += count;
        if self.told.elapsed() >= PROGRESS_INTERVAL && self.sent < self.total {
            self.told = Instant::now();
            let (sent, total) = (size(self.sent), size(self.total));
            self.sink.note(&format!("sent {sent} of {total}"));
        }
    }

    fn open_next(&mut self) -> Result<bool> {
        let Some(index) = self.to_send.pop() else {
            return Ok(false);
        };
        let errand = self.side.errand;
        let (Some(path), Some(file)) = (errand.paths.get(index), errand.request.files.get(index))
        else {
            bail!("the host asks for a file that was not offered");
        };
        let ranges = self.ranges.remove(&index);
        self.sending = Some(Sending {
            file: File::open(path)?,
            ranges: ranges.unwrap_or_else(|| vec![(0, file.length)]).into(),
        });
        Ok(true)
    }

    /// From now on keys are the verb's; before, ssh may have asked for something.
    fn take_over_terminal(&mut self) -> Result<()> {
        if self.side.errand.request.terminal.is_some() {
            self.raw = Some(Raw::enter(rustix::stdio::stdin())?);
        }
        Ok(())
    }

    fn pass_input(&mut self) -> Result<()> {
        let mut bytes = vec![0; CHUNK_BYTES.min(self.window)];
        let count = rustix::io::read(rustix::stdio::stdin(), &mut bytes)?;
        bytes.truncate(count);
        self.window -= count;
        if count == 0 {
            self.input_is_open = false;
            self.send(&Frame::InputEnd);
        } else {
            self.send(&Frame::Input(bytes));
        }
        Ok(())
    }

    /// The first signal is the verb's, if it runs; the next one ends the connection.
    fn take_signals(&mut self) -> Option<End> {
        let mut is_open = true;
        for number in read(&self.side.signals, &mut is_open).unwrap_or_default() {
            if number == WINDOW_CHANGED {
                self.resize();
            } else if self.phase == Phase::Running && !self.is_interrupted {
                self.is_interrupted = true;
                self.send(&Frame::Signal(number));
            } else {
                return Some(End::Interrupted(SIGNALLED.saturating_add(number)));
            }
        }
        None
    }

    fn resize(&self) {
        let size = tcgetwinsize(rustix::stdio::stdin());
        if let (Some(_), Ok(size)) = (&self.side.errand.request.terminal, size) {
            self.send(&Frame::Window(size.ws_row, size.ws_col));
        }
    }
}

/// Signs of life, from a thread of their own: who reads what we show may pause for long.
struct Beats {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Beats {
    fn begin(outbox: &Arc<Mutex<Outbox>>, beat_s: u16) -> io::Result<Beats> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, outbox) = (Arc::clone(&is_over), Arc::clone(outbox));
        let beat = Duration::from_secs(u64::from(beat_s));
        let run = move || {
            while !over.load(Ordering::SeqCst) {
                std::thread::park_timeout(beat);
                let mut outbox = outbox.lock().unwrap_or_else(PoisonError::into_inner);
                // What waits is itself a sign of life, once it goes; and where nobody takes it, the end of what comes tells why.
                if !outbox.waits() {
                    outbox.send(&Frame::Beat).ok();
                }
            }
        };
        Ok(Beats {
            is_over,
            thread: Some(std::thread::Builder::new().spawn(run)?),
        })
    }
}

impl Drop for Beats {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It can't have panicked.
            thread.join().ok();
        }
    }
}
