//! The other host's side: greets, takes a request and its files, and runs the verb as the one who asks would have typed it here.
//!
//! When the connection ends before the verb does, the verb gets SIGHUP, as from a terminal that hangs up: the command ends, and what it has
//! already asked of the manager is finished.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use wire::remote::{Frame, GREETING, INPUT_WINDOW_BYTES, Request, Terminal, Word};

use super::arrivals::Arrivals;
use super::line::{Inlet, MISSED_BEATS, Outbox, non_blocking, read};
use super::{ON_TERMINAL, OVER_THERE};
use crate::context::{Context, Globals};
use crate::failure::Hint;
use crate::pseudo_terminal;

/// How long a request may take to come.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// How long a verb may take to end when the connection has.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes that are still taken from a verb that has ended: pipes hold less, and others of its children may write for ever.
const REST_MAX_BYTES: usize = 1 << 20;
/// Signals that are passed on: SIGINT and SIGTERM (signal(7)).
const PASSED_ON: [(u8, Signal); 2] = [(2, Signal::INT), (15, Signal::TERM)];

/// The other side is gone, or says what is no message of ours.
#[derive(Debug, thiserror::Error)]
enum Gone {
    #[error("the connection ended")]
    Ended,
    #[error("the other side fell silent")]
    Silent,
    #[error("the other side says what is no message")]
    Nonsense(#[from] wire::remote::FrameError),
    #[error("the other side sends more input than it was allowed to")]
    Overrun,
    #[error("the connection failed")]
    Failed(#[from] io::Error),
}

/// Serves one request on standard input and output.
///
/// # Errors
/// When the connection ends before the verb did.
pub(crate) fn serve() -> Result<u8> {
    let mut line = Line::new().context("cannot use standard input and output")?;
    line.outbox.send_bytes(GREETING)?;
    let request = match line.wait()? {
        Frame::Request(request) => *request,
        _ => return refuse(&mut line, &anyhow::anyhow!("a request comes first")),
    };
    line.beat = Duration::from_secs(u64::from(request.beat_s.max(1)));
    line.limit = line.beat * MISSED_BEATS;
    let arrivals = match arrive(&mut line, &request) {
        Ok(arrivals) => arrivals,
        Err(error) if error.is::<Gone>() => return Err(error),
        Err(error) => return refuse(&mut line, &error),
    };
    let child = match Running::start(&request, &arrivals) {
        Ok(child) => child,
        Err(error) => return refuse(&mut line, &error),
    };
    let status = child.run(&mut line)?;
    // What came is gone before the other side knows that the verb has ended.
    drop(arrivals);
    line.outbox.send(&Frame::Ended(status))?;
    line.drain()?;
    Ok(0)
}

fn refuse(line: &mut Line, error: &anyhow::Error) -> Result<u8> {
    let what = error.chain().map(ToString::to_string).collect::<Vec<_>>();
    let next = error.downcast_ref::<Hint>().map(Hint::next);
    let next = next.unwrap_or_default().to_owned();
    line.outbox.send(&Frame::Refused(what.join(": "), next))?;
    line.drain()?;
    Ok(1)
}

/// Takes the files that the host lacks.
fn arrive(line: &mut Line, request: &Request) -> Result<Option<Arrivals>> {
    if request.files.is_empty() {
        line.outbox.send(&Frame::Needs(Vec::new()))?;
        return Ok(None);
    }
    let mut arrivals = Arrivals::new(&state(request)?, request.files.clone())?;
    ask_parts(line, &mut arrivals)?;
    line.outbox
        .send(&Frame::Needs(arrivals.missing().to_vec()))?;
    arrivals.take_empty()?;
    while !arrivals.missing().is_empty() {
        match line.wait()? {
            Frame::Content(bytes) => arrivals.take(&bytes)?,
            Frame::Beat => {}
            _ => anyhow::bail!("files come before anything else"),
        }
    }
    Ok(Some(arrivals))
}

/// Asks how files are cut of which the store may have parts, and says what it lacks of them.
fn ask_parts(line: &mut Line, arrivals: &mut Arrivals) -> Result<()> {
    let mut asked = arrivals.askable()?;
    if asked.is_empty() {
        return Ok(());
    }
    line.outbox.send(&Frame::AsksParts(asked.clone()))?;
    while !asked.is_empty() {
        match line.wait()? {
            Frame::Parts(index, list) => {
                let index = usize::try_from(index)?;
                asked.retain(|one| *one != index);
                // Stored images may have to be cut first.
                let ranges = line.meanwhile(|| arrivals.fill(index, &list))??;
                if let Some(ranges) = ranges {
                    line.outbox.send(&Frame::NeedsParts(index, ranges))?;
                }
            }
            Frame::Beat => {}
            _ => anyhow::bail!("how files are cut comes before anything else"),
        }
    }
    Ok(())
}

/// The state directory of the instance that the request's own options name.
fn state(request: &Request) -> Result<std::path::PathBuf> {
    let words = request.words.iter().map(|word| word.text.clone().into());
    let arguments: Vec<std::ffi::OsString> =
        std::iter::once("coracle".into()).chain(words).collect();
    let mut command = crate::command_for(crate::verbs::of(&arguments));
    let globals = command
        .try_get_matches_from_mut(&arguments)
        .map(|matches| Globals::from_matches(&matches))?;
    Ok(Context::new(globals)?.directories.state)
}

/// The connection, from this side.
struct Line {
    inlet: Inlet,
    outbox: Outbox,
    beat: Duration,
    limit: Duration,
    beaten: Instant,
}

impl Line {
    fn new() -> io::Result<Line> {
        Ok(Line {
            inlet: Inlet::new(rustix::stdio::stdin().try_clone_to_owned()?)?,
            outbox: Outbox::new(rustix::stdio::stdout().try_clone_to_owned()?)?,
            beat: REQUEST_LIMIT,
            limit: REQUEST_LIMIT,
            beaten: Instant::now(),
        })
    }

    /// Waits until something comes on the connection or on one of `others`, or can be sent, or it is time for a beat.
    fn step(&mut self, others: &[(&OwnedFd, PollFlags)]) -> Result<(), Gone> {
        let mut watched = vec![PollFd::new(&self.inlet.pipe, PollFlags::IN)];
        let towards = match self.outbox.waits() {
            true => PollFlags::OUT,
            false => PollFlags::empty(),
        };
        watched.push(PollFd::new(&self.outbox.pipe, towards));
        let others = others
            .iter()
            .map(|(pipe, flags)| PollFd::new(*pipe, *flags));
        watched.extend(others);
        let timeout = self.beat.try_into().map_err(io::Error::other)?;
        match poll(&mut watched, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        let no_reader = watched.get(1).map(PollFd::revents);
        if no_reader.is_some_and(|events| events.intersects(PollFlags::ERR | PollFlags::HUP)) {
            return Err(Gone::Ended);
        }
        self.inlet.fill();
        self.outbox.flush()?;
        if self.beaten.elapsed() >= self.beat {
            self.beaten = Instant::now();
            self.outbox.send(&Frame::Beat)?;
        }
        match self.inlet.is_silent(self.limit) {
            true => Err(Gone::Silent),
            false => Ok(()),
        }
    }

    /// The next frame, if one is there. The other side never closes before it was told the end.
    fn next(&mut self) -> Result<Option<Frame>, Gone> {
        let frame = self.inlet.inbox.next_frame()?;
        match frame {
            None if !self.inlet.is_open() => Err(Gone::Ended),
            frame => Ok(frame),
        }
    }

    fn wait(&mut self) -> Result<Frame, Gone> {
        loop {
            if let Some(frame) = self.next()? {
                return Ok(frame);
            }
            self.step(&[])?;
        }
    }

    /// Lets a thread work, and tells the other side meanwhile that we live.
    fn meanwhile<T: Send>(&mut self, work: impl FnOnce() -> T + Send) -> Result<T, Gone> {
        let (ended, working) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(io::Error::from)?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let outcome = work();
                drop(working);
                outcome
            });
            while !thread.is_finished() {
                self.step(&[(&ended, PollFlags::IN)])?;
            }
            let failed =
                |_| io::Error::other("the thread that looks for parts of the files panicked");
            Ok(thread.join().map_err(failed)?)
        })
    }

    /// Until everything is sent.
    fn drain(&mut self) -> Result<(), Gone> {
        while self.outbox.waits() {
            self.step(&[])?;
        }
        Ok(())
    }
}

/// The verb.
struct Running {
    child: Child,
    group: Pid,
    ended: OwnedFd,
    /// Gone when nothing more comes, or nobody reads it.
    input: Option<OwnedFd>,
    typed: Vec<u8>,
    input_ends: bool,
    /// What it writes, and whether that is standard error.
    outputs: Vec<(OwnedFd, bool)>,
    /// The master of its terminal.
    terminal: Option<OwnedFd>,
}

impl Running {
    fn start(request: &Request, arrivals: &Option<Arrivals>) -> Result<Running> {
        let path = |word: &Word| -> Result<std::ffi::OsString> {
            let Some(index) = word.file else {
                return Ok(word.text.clone().into());
            };
            let path = arrivals.as_ref().and_then(|arrivals| arrivals.path(index));
            let mut whole = std::ffi::OsString::from(&word.text);
            whole.push(path.context("a word names a file that did not come")?);
            Ok(whole)
        };
        let words: Vec<_> = request.words.iter().map(path).collect::<Result<_>>()?;
        let mut command = Command::new("/proc/self/exe");
        match &request.terminal {
            Some(terminal) => Running::on_terminal(command.arg(ON_TERMINAL).args(words), terminal),
            None => Running::on_pipes(command.arg(OVER_THERE).args(words), request.has_input),
        }
        .context("cannot run the verb")
    }

    fn on_pipes(command: &mut Command, has_input: bool) -> io::Result<Running> {
        let input = if has_input {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        command
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own: signals reach what it starts, too, and not us.
        let mut child = command.process_group(0).spawn()?;
        let mut outputs = Vec::new();
        if let Some(pipe) = child.stdout.take() {
            outputs.push((non_blocking(pipe.into())?, false));
        }
        if let Some(pipe) = child.stderr.take() {
            outputs.push((non_blocking(pipe.into())?, true));
        }
        let input = child.stdin.take().map(|pipe| non_blocking(pipe.into()));
        Running::new(child, input.transpose()?, outputs, None)
    }

    fn on_terminal(command: &mut Command, terminal: &Terminal) -> io::Result<Running> {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "+-._".contains(letter);
        if terminal.kind.chars().all(is_plain) {
            command.env("TERM", &terminal.kind);
        }
        let (master, theirs) = pseudo_terminal::pair()?;
        pseudo_terminal::resize(&master, terminal.size)?;
        command
            .stdin(Stdio::from(theirs.try_clone()?))
            .stdout(Stdio::from(theirs.try_clone()?))
            .stderr(Stdio::from(theirs));
        let child = command.spawn();
        // Ours of its end, or the terminal would never hang up.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let outputs = vec![(master.try_clone()?, false)];
        Running::new(child?, Some(master.try_clone()?), outputs, Some(master))
    }

    fn new(
        child: Child,
        input: Option<OwnedFd>,
        outputs: Vec<(OwnedFd, bool)>,
        terminal: Option<OwnedFd>,
    ) -> io::Result<Running> {
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let group = group.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Running {
            ended: pidfd_open(group, PidfdFlags::empty())?,
            child,
            group,
            input,
            typed: Vec::new(),
            input_ends: false,
            outputs,
            terminal,
        })
    }

    /// Until it has ended and all that it wrote is on its way; returns its exit status as a shell has it.
    fn run(mut self, line: &mut Line) -> Result<u8> {
        match self.pass_on(line) {
            Ok(()) => Ok(pseudo_terminal::code(self.child.wait()?)),
            Err(gone) => {
                self.hang_up();
                Err(gone.into())
            }
        }
    }

    fn pass_on(&mut self, line: &mut Line) -> Result<(), Gone> {
        loop {
            let mut others = vec![(&self.ended, PollFlags::IN)];
            if !line.outbox.is_full() {
                others.extend(self.outputs.iter().map(|(pipe, _)| (pipe, PollFlags::IN)));
            }
            if let Some(input) = self.input.as_ref().filter(|_| !self.typed.is_empty()) {
                others.push((input, PollFlags::OUT));
            }
            line.step(&others)?;
            while let Some(frame) = line.next()? {
                self.take(frame, line)?;
            }
            self.write_typed(line)?;
            let mut is_ended = [PollFd::new(&self.ended, PollFlags::IN)];
            let now = rustix::time::Timespec::default();
            if poll(&mut is_ended, Some(&now)) == Ok(1) {
                return self.rest(line);
            }
            if !line.outbox.is_full() {
                self.read_outputs(line)?;
            }
        }
    }

    fn take(&mut self, frame: Frame, line: &mut Line) -> Result<(), Gone> {
        match frame {
            Frame::Input(bytes) if self.input.is_some() => {
                if self.typed.len().saturating_add(bytes.len()) > INPUT_WINDOW_BYTES {
                    return Err(Gone::Overrun);
                }
                self.typed.extend(bytes);
            }
            // Nobody reads it any more; the other side may go on sending.
            Frame::Input(bytes) => acknowledge(line, bytes.len())?,
            Frame::InputEnd => self.input_ends = true,
            Frame::Window(rows, columns) => {
                if let Some(terminal) = &self.terminal {
                    // A verb that has closed its terminal needs no size.
                    pseudo_terminal::resize(terminal, (rows, columns)).ok();
                }
            }
            Frame::Signal(number) => {
                let signal = PASSED_ON.iter().find(|(passed, _)| *passed == number);
                if let Some((_, signal)) = signal {
                    self.signal(*signal);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn write_typed(&mut self, line: &mut Line) -> Result<(), Gone> {
        if let Some(input) = &self.input
            && !self.typed.is_empty()
        {
            match rustix::io::write(input, &self.typed) {
                Ok(count) => {
                    self.typed.drain(..count);
                    acknowledge(line, count)?;
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => {
                    acknowledge(line, self.typed.len())?;
                    self.typed.clear();
                    self.input = None;
                }
            }
        }
        if self.input_ends && self.typed.is_empty() && self.terminal.is_none() {
            self.input = None;
        }
        Ok(())
    }

    /// Reads what is there; answers how many bytes that was.
    fn read_outputs(&mut self, line: &mut Line) -> Result<usize, Gone> {
        let mut count = 0;
        for (pipe, is_errors) in std::mem::take(&mut self.outputs) {
            let mut is_open = true;
            if let Some(bytes) = read(&pipe, &mut is_open) {
                count += bytes.len();
                line.outbox.send(&match is_errors {
                    true => Frame::Errors(bytes),
                    false => Frame::Output(bytes),
                })?;
            }
            if is_open {
                self.outputs.push((pipe, is_errors));
            }
        }
        Ok(count)
    }

    /// What it wrote before it ended.
    fn rest(&mut self, line: &mut Line) -> Result<(), Gone> {
        let mut taken = 0;
        while taken < REST_MAX_BYTES {
            match self.read_outputs(line)? {
                0 => break,
                count => taken += count,
            }
        }
        line.drain()
    }

    fn signal(&self, signal: Signal) {
        // One that has ended meanwhile needs none.
        kill_process_group(self.group, signal).ok();
    }

    /// Ends it as a terminal that hangs up would, and by force where that does not help.
    fn hang_up(&mut self) {
        self.input = None;
        self.outputs.clear();
        self.terminal = None;
        self.signal(Signal::HUP);
        let Ok(grace) = GRACE.try_into() else {
            return;
        };
        let mut ended = [PollFd::from_borrowed_fd(self.ended.as_fd(), PollFlags::IN)];
        if poll(&mut ended, Some(&grace)) != Ok(1) {
            self.signal(Signal::KILL);
        }
        self.child.wait().ok();
    }
}

fn acknowledge(line: &mut Line, count: usize) -> Result<(), Gone> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Ok(line.outbox.send(&Frame::Taken(count))?)
}
