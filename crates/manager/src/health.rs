//! Probes: a command's output is read here, and who asks by a connection is a thread of its own ([`prober`]).

mod held;
pub(crate) mod prober;

use crate::clock;
use crate::manager::Manager;
use crate::poll::Token;
use engine::{
    ExitStatus, Health, Incarnation, Input, Micros, ProcessKey, Role, Stage, State, UnitId,
};
use model::sorted::{Map, Set};
use model::value::ListenAddress;
use model::{Unit, key};
use prober::{Order, Prober, Wish};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;

/// Bytes of output that are looked at for the last line.
const LINE_BYTES_MAX: usize = 1024;
/// Bytes of output that are read at once; what comes after waits for the next round.
const READ_BYTES_MAX: usize = 64 << 10;
/// How long nothing is read of a command that wrote so much at once: one that writes without end costs so many rounds a second.
const PAUSE: Micros = Micros(20_000);

/// What the probes of all units have open.
#[derive(Default)]
pub(crate) struct Probes {
    prober: Option<Prober>,
    /// Units that it asked, and whose runs are not over.
    asked: Set<UnitId>,
    /// The output of commands.
    outputs: Map<u32, Output>,
    /// What those who watch units were told of their health.
    told: Map<UnitId, Health>,
}

impl Probes {
    /// Was that said of the unit before? It is now.
    pub(crate) fn is_told(&mut self, unit: UnitId, health: Option<Health>) -> bool {
        let before = match health {
            Some(health) => self.told.insert(unit, health),
            None => self.told.remove(&unit),
        };
        before == health
    }

    /// When something is read again of a command that wrote much.
    pub(crate) fn next_end(&self) -> Option<Micros> {
        let pauses = self.outputs.values().filter_map(|output| output.paused);
        pauses.min()
    }

    /// Takes the output of a probe that is over.
    fn take_output(&mut self, process: ProcessKey) -> Option<Output> {
        let is_it = |(_, output): &(&u32, &Output)| output.process == process;
        let number = self.outputs.iter().find(is_it).map(|(number, _)| *number)?;
        self.outputs.remove(&number)
    }

    /// Nobody watches.
    pub(crate) fn forget_told(&mut self) {
        if !self.told.is_empty() {
            self.told = Map::new();
        }
    }
}

struct Output {
    process: ProcessKey,
    pipe: OwnedFd,
    /// The end of what was written.
    tail: Vec<u8>,
    /// Until then nothing is read.
    paused: Option<Micros>,
}

/// What there is to read still.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    /// Nothing now.
    Later,
    /// More at once.
    More,
    /// Nothing any more.
    Nothing,
}

impl Manager {
    /// Where a probe's command writes: its last line is for the status, and all of them would fill the log.
    pub(crate) fn probe_output(&mut self, process: ProcessKey) -> Result<Rc<OwnedFd>, Errno> {
        let (pipe, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let number = self.poll.number();
        self.poll.watch(&pipe, Token::ProbeOutput(number))?;
        let tail = Vec::new();
        self.aside.probes.outputs.insert(
            number,
            Output {
                process,
                pipe,
                tail,
                paused: None,
            },
        );
        Ok(Rc::new(theirs))
    }

    /// A probe's command wrote something, or has closed its output.
    pub(crate) fn on_probe_output(&mut self, number: u32) {
        let Some(output) = self.aside.probes.outputs.get_mut(&number) else {
            return;
        };
        let left = output.read();
        if left == Left::More {
            output.paused = Some(clock::monotonic().after(PAUSE));
        }
        // Where all is read, the line is taken when the process has ended.
        if left != Left::Later {
            self.poll.forget(&output.pipe);
        }
    }

    /// Goes on reading what commands write, where the pause is over.
    pub(crate) fn end_probe_pauses(&mut self, now: Micros) {
        for (number, output) in self.aside.probes.outputs.iter_mut() {
            if output.paused.is_none_or(|end| end > now) {
                continue;
            }
            output.paused = None;
            // Without, its line is what was written until then.
            match self.poll.watch(&output.pipe, Token::ProbeOutput(*number)) {
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// A probe's command could not be started: that is the answer, and nobody holds the other end of its output.
    pub(crate) fn probe_not_begun(&mut self, process: ProcessKey, why: &str) {
        self.forget_probe_output(process);
        if self.is_probing(process) {
            self.note_answer(process, false, prober::shown(why));
        }
    }

    /// What a probe writes is not read any more.
    pub(crate) fn forget_probe_output(&mut self, process: ProcessKey) {
        if let Some(output) = self.aside.probes.take_output(process) {
            self.poll.forget(&output.pipe);
        }
    }

    /// A probe's command has ended: what it wrote last is kept.
    pub(crate) fn probe_ended(&mut self, process: ProcessKey, status: ExitStatus) {
        let output = self.aside.probes.take_output(process);
        let line = output.and_then(|mut output| {
            let _all = output.read();
            self.poll.forget(&output.pipe);
            last_line(&output.tail)
        });
        let line = line.unwrap_or_else(|| match status {
            ExitStatus::Exited(status) => format!("exit status {status}"),
            ExitStatus::Killed(signal) | ExitStatus::Dumped(signal) => {
                format!("killed by {}", crate::signals::short_name(signal.0))
            }
            ExitStatus::Unknown => "nobody saw its end".to_owned(),
        });
        if self.is_probing(process) {
            self.note_answer(process, status == ExitStatus::Exited(0), line);
        }
    }

    /// The run is over, and with it whoever holds the output of a probe of it; the thread goes where it has nobody to ask.
    pub(crate) fn end_probes(&mut self, unit: UnitId, incarnation: Incarnation) {
        self.aside.probes.told.remove(&unit);
        self.aside.probes.asked.remove(&unit);
        if self.aside.probes.asked.is_empty()
            && let Some(prober) = self.aside.probes.prober.take()
        {
            prober.leave(&self.poll);
        }
        let is_over = |output: &Output| {
            output.process.unit == unit && output.process.incarnation <= incarnation
        };
        let outputs = &mut self.aside.probes.outputs;
        let over: Vec<u32> = (outputs.iter())
            .filter(|(_, output)| is_over(output))
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            outputs.remove(&number);
        }
    }

    /// Asks by a connection.
    pub(crate) fn probe(&mut self, process: ProcessKey, index: u16) {
        match self.order(process, index) {
            Ok(order) => self.ask_prober(order),
            Err(why) => self.answer_probe(process, false, why),
        }
    }

    fn order(&self, process: ProcessKey, index: u16) -> Result<Order, String> {
        let entry = self.units.get(&process.unit).ok_or("the unit is gone")?;
        let wish = wish(&entry.unit, index).ok_or("the unit has no such probe any more")?;
        let timeout = Micros(entry.unit.value(&key::HEALTH_TIMEOUT_SEC).micros());
        let former = self.would_answer(process.unit, wish.address.port());
        Ok(Order {
            former,
            process,
            wish,
            network: self.network_of(process)?,
            timeout: Some(timeout).filter(|time| !time.is_infinite() && time.0 > 0),
        })
    }

    /// The group of a run that may take what comes to a port which the service shares with it.
    fn would_answer(&self, unit: UnitId, port: u16) -> Option<PathBuf> {
        let beside = self.engine.beside(unit)?;
        let group = self.group_beside(unit)?;
        let takes = matches!(beside.stage, Stage::Stays | Stage::Drains);
        (takes && self.shares_port(unit, port)).then_some(group)
    }

    fn group_beside(&self, unit: UnitId) -> Option<PathBuf> {
        let number = self.engine.beside(unit)?.incarnation.0;
        let runs = &self.units.get(&unit)?.runs;
        let run = runs.iter().find(|run| run.incarnation == number)?;
        Some(self.cgroups.as_ref()?.on_host(run.cgroup.as_deref()?))
    }

    /// Does a socket unit give the service a socket at this port?
    fn shares_port(&self, unit: UnitId, port: u16) -> bool {
        let is_it = |address: &ListenAddress| match address {
            ListenAddress::Port(own) | ListenAddress::Ip { port: own, .. } => *own == port,
            _ => false,
        };
        let sockets = self.engine.sockets_of(unit);
        sockets.iter().any(|socket| {
            let entry = self.units.get(socket);
            let listed = entry.and_then(|entry| entry.unit.get(&key::LISTEN_STREAM));
            listed.is_some_and(|listed| listed.0.iter().any(is_it))
        })
    }

    /// Would a run that is beside the service answer its probes, with nothing here that could hold it meanwhile?
    pub(crate) fn is_mistaken(&self, unit: UnitId) -> bool {
        let Some(entry) = self.units.get(&unit) else {
            return false;
        };
        let wishes = (0..).map_while(|index| wish(&entry.unit, index));
        let mut shared = wishes.filter(|wish| self.shares_port(unit, wish.address.port()));
        let groups = self.cgroups.as_ref();
        let can_hold = groups.is_some_and(|groups| {
            let group = groups.whole(entry);
            group.is_some_and(|group| group.join("cgroup.freeze").exists())
        });
        shared.next().is_some() && !can_hold
    }

    /// The manager before this one may have gone while it held runs.
    pub(crate) fn let_go_held(&self) {
        for unit in self.units.keys() {
            if let Some(group) = self.group_beside(*unit) {
                // It fails where the group is gone.
                std::fs::write(group.join("cgroup.freeze"), "0").ok();
            }
        }
    }

    fn ask_prober(&mut self, order: Order) {
        let process = order.process;
        if self.aside.probes.prober.is_none() {
            match Prober::new(&self.poll) {
                Ok(prober) => self.aside.probes.prober = Some(prober),
                Err(errno) => {
                    return self.answer_probe(
                        process,
                        false,
                        format!("it can't be asked: {errno}"),
                    );
                }
            }
        }
        self.aside.probes.asked.insert(process.unit);
        let prober = self.aside.probes.prober.as_ref();
        if !prober.is_some_and(|prober| prober.ask(order)) {
            self.answer_probe(process, false, "there can't be a thread that asks".into());
        }
    }

    /// Nobody waits for the unit's answer any more.
    pub(crate) fn end_probe(&mut self, unit: UnitId, late: bool) {
        if let Some(prober) = &self.aside.probes.prober {
            prober.give_up(unit);
        }
        if let Some(entry) = self.units.get_mut(&unit).filter(|_| late) {
            entry.last_mut().health_line = Some(NO_ANSWER.to_owned());
            self.dirty.insert(unit);
        }
    }

    /// The thread has answers.
    pub(crate) fn on_probed(&mut self) {
        let answers = self.aside.probes.prober.as_ref().map(Prober::answers);
        for answer in answers.unwrap_or_default() {
            if self.is_probing(answer.process) {
                self.answer_probe(answer.process, answer.well, answer.line);
            }
        }
    }

    fn answer_probe(&mut self, process: ProcessKey, well: bool, line: String) {
        self.note_answer(process, well, line);
        self.inputs.push_back(Input::Probed { process, well });
    }

    /// Is this the probe whose answer the engine waits for, or one that took too long?
    pub(crate) fn is_probing(&self, process: ProcessKey) -> bool {
        match self.engine.state(process.unit) {
            Some(State::Service(run))
                if self.engine.is_current(process.unit, process.incarnation) =>
            {
                (run.health.as_ref())
                    .and_then(|health| health.probe)
                    .is_some_and(|probe| probe.serial == process.serial)
            }
            _ => false,
        }
    }

    /// Keeps the line of an answer. The first that tells of trouble goes to the log.
    fn note_answer(&mut self, process: ProcessKey, well: bool, line: String) {
        let is_first = matches!(
            self.engine.state(process.unit),
            Some(State::Service(run)) if (run.health.as_ref())
                .is_some_and(|health| health.health == Health::Healthy && health.failures == 0)
        );
        if !well && is_first {
            self.log_about(process.unit, &format!("a probe failed: {line}"));
        }
        if let Some(entry) = self.units.get_mut(&process.unit) {
            entry.last_mut().health_line = Some(line);
            self.dirty.insert(process.unit);
        }
    }

    /// The network namespace of the run's processes; none where that is ours.
    fn network_of(&self, process: ProcessKey) -> Result<Option<OwnedFd>, String> {
        let missing = || "no process of it is known whose network could be entered".to_owned();
        let entry = self.units.get(&process.unit).ok_or_else(missing)?;
        let run = (entry.runs.iter()).find(|run| run.incarnation == process.incarnation.0);
        let run = run.ok_or_else(missing)?;
        let lives = |one: &&crate::run::RunProcess| one.ended.is_none();
        let main = (run.processes.iter().rev()).find(|one| one.role == Role::Main && lives(one));
        let group = run.cgroup.as_deref();
        let pid = match main.and_then(crate::run::RunProcess::visible_pid) {
            Some(pid) => pid,
            // Those that we started may not have entered their namespaces yet.
            None => (self.cgroups.as_ref().zip(group))
                .and_then(|(cgroups, group)| {
                    let ours = |pid: &u32| (run.processes.iter()).any(|one| one.pid == Some(*pid));
                    cgroups.processes(group).into_iter().find(|pid| !ours(pid))
                })
                .ok_or_else(missing)?,
        };
        let network = std::cell::OnceCell::new();
        let held = crate::cgroup::held(pid, |pid| network.set(open_network(pid)).is_ok());
        // Only then is it known that the number was still that of the process.
        held.ok_or_else(missing)?;
        network.into_inner().unwrap_or_else(|| Err(missing()))
    }
}

/// What the status says of a probe that took too long.
pub(crate) const NO_ANSWER: &str = "no answer in time";

/// The network namespace of a process, unless it is ours.
fn open_network(pid: u32) -> Result<Option<OwnedFd>, String> {
    use std::os::unix::fs::MetadataExt;
    let path = format!("/proc/{pid}/ns/net");
    let number = |path: &str| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let denied = |error: std::io::Error| format!("its network can't be entered: {error}");
    if number(&path).map_err(denied)? == number("/proc/self/ns/net").map_err(denied)? {
        return Ok(None);
    }
    std::fs::File::open(&path)
        .map(|file| Some(file.into()))
        .map_err(denied)
}

/// What a unit's probe by a connection asks for; HealthHTTP= comes first.
fn wish(unit: &Unit, index: u16) -> Option<Wish> {
    let url = unit.get(&key::HEALTH_HTTP);
    let address = unit.get(&key::HEALTH_TCP);
    let mut wishes = (url.map(|url| Wish {
        address: url.address.0,
        path: Some(url.path.clone()),
    }))
    .into_iter()
    .chain(address.map(|address| Wish {
        address: address.0,
        path: None,
    }));
    wishes.nth(usize::from(index))
}

impl Output {
    /// Reads what is there, up to a limit.
    fn read(&mut self) -> Left {
        let mut buffer = [0; 4096];
        for _ in 0..READ_BYTES_MAX / buffer.len() {
            match rustix::io::read(&self.pipe, &mut buffer) {
                Ok(0) => return Left::Nothing,
                Ok(count) => {
                    (self.tail).extend_from_slice(buffer.get(..count).unwrap_or_default());
                    let surplus = self.tail.len().saturating_sub(LINE_BYTES_MAX);
                    self.tail.drain(..surplus);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Left::Later,
                Err(_) => return Left::Nothing,
            }
        }
        Left::More
    }
}

/// The last line that has something in it.
fn last_line(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(prober::shown(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_last_that_says_something_and_can_be_shown() {
        for (text, expected) in [
            (&b""[..], None),
            (b"\n \n", None),
            (b"one\ntwo\n", Some("two")),
            (b"one\ntwo\n\n  \n", Some("two")),
            (b"a\x1b[31mred\n", Some("a?[31mred")),
            (b"\xff\n", Some("\u{fffd}")),
        ] {
            assert_eq!(last_line(text).as_deref(), expected);
        }
        let long = "x".repeat(5000);
        assert!(last_line(long.as_bytes()).is_some_and(|line| line.chars().count() == 200));
    }

    #[test]
    fn of_what_is_written_without_end_so_much_is_read_at_once() {
        let (pipe, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::pipe::fcntl_setpipe_size(&theirs, 2 * READ_BYTES_MAX).unwrap();
        for end in [&pipe, &theirs] {
            rustix::io::ioctl_fionbio(end, true).unwrap();
        }
        let (unit, incarnation) = (UnitId(1), Incarnation(1));
        let mut output = Output {
            process: ProcessKey {
                unit,
                incarnation,
                serial: 1,
            },
            pipe,
            tail: Vec::new(),
            paused: None,
        };
        assert_eq!(output.read(), Left::Later);
        let many = vec![b'x'; READ_BYTES_MAX + 1];
        assert_eq!(rustix::io::write(&theirs, &many), Ok(many.len()));
        assert_eq!(output.read(), Left::More);
        assert_eq!(output.read(), Left::Later);
        drop(theirs);
        assert_eq!(output.read(), Left::Nothing);
        assert_eq!(output.tail.len(), LINE_BYTES_MAX);
    }

    #[test]
    fn http_is_asked_before_the_port() {
        let mut unit = Unit::new(model::UnitName::new("web.service").unwrap());
        assert!(wish(&unit, 0).is_none());
        let address = |text| model::TextForm::parse(text).unwrap();
        unit.set(&key::HEALTH_TCP, address("81"));
        let shown = |unit: &Unit, index| {
            wish(unit, index).map(|wish| (wish.address.to_string(), wish.path))
        };
        assert_eq!(shown(&unit, 0), Some(("127.0.0.1:81".into(), None)));
        let url = model::TextForm::parse("http://[::1]:80/a").unwrap();
        unit.set(&key::HEALTH_HTTP, url);
        assert_eq!(
            shown(&unit, 0),
            Some(("[::1]:80".into(), Some("/a".into())))
        );
        assert_eq!(shown(&unit, 1), Some(("127.0.0.1:81".into(), None)));
        assert!(wish(&unit, 2).is_none());
    }
}
