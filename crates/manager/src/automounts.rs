//! Automount units: the kernel asks over a pipe of each, whose end the keeper holds too. What it asks is looked at, recorded, and only then
//! taken out, so that nobody is forgotten who waits.
//!
//! Nothing of ours waits at such a place: the kernel lets through the group of processes that mounted it, to which the keeper, the manager
//! and the commands of mount units belong. Whatever walks a path is done by threads all the same, as other file systems lie on the way.

mod place;

use crate::clock;
use crate::elsewhere::{Lane, Told};
use crate::manager::Manager;
use crate::poll::Token;
use engine::{Incarnation, Input, State, UnitId, Visit};
use keeper::protocol::Class;
use kernel::autofs::{PACKET_BYTES, Question};
use model::sorted::{Map, Set};
use model::{UnitKind, key};
use place::{Answer, Made, Place};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, tee};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// The beginning of the names under which the keeper holds the pipes.
pub(crate) const HELD: &str = "automount|";
/// Questions that are looked at in one round, as many as a pipe takes.
const QUESTIONS_MAX: usize = 16;
const SECOND_US: u64 = 1_000_000;

/// What automount units are listened to with.
#[derive(Debug, Default)]
pub(crate) struct Automounts {
    heard: Map<UnitId, Listening>,
    /// What threads are at, and what comes after.
    work: Map<UnitId, Option<Wish>>,
    /// Those that are asked for idleness, which lasts as long as an unmounting.
    expiring: Set<UnitId>,
    /// What the manager before us listened with.
    held: Map<String, OwnedFd>,
    /// Where questions are copied to, to be looked at.
    copy: Option<(OwnedFd, OwnedFd)>,
}

/// One pipe.
#[derive(Debug)]
struct Listening {
    incarnation: Incarnation,
    token: u32,
    pipe: Rc<OwnedFd>,
    /// Questions that were looked at in this round.
    count: usize,
}

/// What is to be done at a place.
#[derive(Debug)]
enum Wish {
    Set(Incarnation, Option<u32>),
    Unset(Incarnation, Option<u32>, Box<[u32]>),
}

/// What a thread did.
#[derive(Debug)]
pub(crate) enum Done {
    Set(UnitId, Incarnation, Result<(OwnedFd, u32), String>),
    Unset(UnitId, Incarnation, Result<(), String>),
    Answered(UnitId, Incarnation, Box<[u32]>, Result<(), String>),
    Expired(UnitId, Result<(), String>),
}

impl Automounts {
    /// Takes out what was looked at; it is on record now.
    pub(crate) fn consume(&mut self) {
        let mut packet = [0; PACKET_BYTES];
        for (_, listening) in self.heard.iter_mut() {
            for _ in 0..std::mem::take(&mut listening.count) {
                match rustix::io::read(&*listening.pipe, &mut packet) {
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }

    /// Copies what waits in a pipe; nothing where it has ended.
    fn look(&mut self, pipe: &OwnedFd) -> io::Result<Vec<[u8; PACKET_BYTES]>> {
        if self.copy.is_none() {
            self.copy = Some(pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?);
        }
        let Some((from, to)) = &self.copy else {
            return Ok(Vec::new());
        };
        let bytes = tee(
            pipe,
            to,
            PACKET_BYTES * QUESTIONS_MAX,
            SpliceFlags::NONBLOCK,
        )?;
        let mut packets = Vec::new();
        let mut left = bytes;
        while left > 0 {
            let mut packet = [0; PACKET_BYTES];
            let count = rustix::io::read(from, &mut packet)?;
            left = left.saturating_sub(count.max(1));
            packets.push(packet);
        }
        Ok(packets)
    }
}

impl Manager {
    /// What was heard in this round is on record, and needs not be said again.
    pub(crate) fn consume_heard(&mut self) {
        self.notifications.consume();
        self.aside.automounts.consume();
    }

    /// Has the file system of an automount unit at its place, or goes on with that which is there.
    pub(crate) fn set_automount(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
        device: Option<u32>,
    ) {
        let name = held_name(&self.name_of(unit));
        let held = self.aside.automounts.held.remove(&name);
        match (held, device) {
            (Some(pipe), Some(device)) => self.listen_at(unit, incarnation, pipe, device),
            _ => self.work_at(unit, Wish::Set(incarnation, device)),
        }
    }

    /// Takes it out.
    pub(crate) fn unset_automount(
        &mut self,
        unit: UnitId,
        incarnation: Incarnation,
        device: Option<u32>,
        waits: Box<[u32]>,
    ) {
        self.stop_listening(unit);
        self.work_at(unit, Wish::Unset(incarnation, device, waits));
    }

    /// Lets those go who wait.
    pub(crate) fn answer_automount(
        &mut self,
        (unit, incarnation): (UnitId, Incarnation),
        device: Option<u32>,
        waits: Box<[u32]>,
        well: bool,
    ) {
        let (Some(place), Some(device)) = (self.automount_place(unit), device) else {
            return;
        };
        let answer = match well {
            true => Answer::Well,
            false => Answer::Failed,
        };
        let work = move || {
            let outcome = place.answer(device, &waits, answer);
            Told::Automount(Done::Answered(unit, incarnation, waits, outcome))
        };
        self.elsewhere
            .ask(clock::monotonic(), Lane::Automounts, Box::new(work));
    }

    /// Asks whether anybody is there, unless that is being asked.
    pub(crate) fn expire_automount(&mut self, unit: UnitId, device: Option<u32>) {
        let entry = self.units.get(&unit);
        let idle = entry.map(|entry| entry.unit.value(&key::TIMEOUT_IDLE_SEC).micros());
        let seconds = idle.unwrap_or_default().div_ceil(SECOND_US);
        let (Some(place), Some(device)) = (self.automount_place(unit), device) else {
            return;
        };
        if seconds == 0 || !self.aside.automounts.expiring.insert(unit) {
            return;
        }
        let work = move || {
            let outcome = place.expire(device, seconds);
            Told::Automount(Done::Expired(unit, outcome))
        };
        self.elsewhere
            .ask(clock::monotonic(), Lane::Idleness, Box::new(work));
    }

    fn automount_place(&self, unit: UnitId) -> Option<Place> {
        let unit = &self.units.get(&unit)?.unit;
        let path = model::mount::place(unit).filter(|_| unit.kind() == UnitKind::Automount)?;
        Some(Place {
            path,
            source: format!("coracle:{}", self.directories.runtime.display()),
            extra_options: unit.get(&key::EXTRA_OPTIONS).cloned().unwrap_or_default(),
            directory_mode: unit.value(&key::AUTOMOUNT_DIRECTORY_MODE).0,
        })
    }

    /// One after the other at each place: the last wish counts.
    fn work_at(&mut self, unit: UnitId, wish: Wish) {
        if let Some(next) = self.aside.automounts.work.get_mut(&unit) {
            *next = Some(wish);
            return;
        }
        let Some(place) = self.automount_place(unit) else {
            return;
        };
        self.aside.automounts.work.insert(unit, None);
        let work = move || {
            Told::Automount(match wish {
                Wish::Set(incarnation, device) => {
                    let made = place.set(device);
                    let made = made.map(|Made { pipe, device }| (pipe, device));
                    Done::Set(unit, incarnation, made)
                }
                Wish::Unset(incarnation, device, waits) => {
                    Done::Unset(unit, incarnation, place.unset(device, &waits))
                }
            })
        };
        self.elsewhere
            .ask(clock::monotonic(), Lane::Automounts, Box::new(work));
    }

    /// A thread has done something.
    pub(crate) fn on_automount_done(&mut self, done: Done) {
        match done {
            Done::Set(unit, incarnation, made) => {
                let next = self.aside.automounts.work.remove(&unit).flatten();
                match (next, made) {
                    (Some(next), _) => self.work_at(unit, next),
                    (None, Ok((pipe, device))) => self.listen_at(unit, incarnation, pipe, device),
                    (None, Err(why)) => self.fail_automount(unit, incarnation, why),
                }
            }
            Done::Unset(unit, incarnation, outcome) => {
                match outcome {
                    Ok(()) => self
                        .inputs
                        .push_back(Input::AutomountUnset { unit, incarnation }),
                    Err(why) => self.fail_automount(unit, incarnation, why),
                }
                if let Some(next) = self.aside.automounts.work.remove(&unit).flatten() {
                    self.work_at(unit, next);
                }
            }
            Done::Answered(unit, incarnation, waits, outcome) => {
                self.tell_trouble(unit, outcome);
                self.inputs.push_back(Input::AutomountAnswered {
                    unit,
                    incarnation,
                    waits,
                });
            }
            Done::Expired(unit, outcome) => {
                self.aside.automounts.expiring.remove(&unit);
                self.tell_trouble(unit, outcome);
            }
        }
    }

    fn tell_trouble(&mut self, unit: UnitId, outcome: Result<(), String>) {
        if let Err(why) = outcome {
            let text = format!("{}: {why}", self.name_of(unit));
            self.log_as(crate::own_log::WARNING, unit, &text);
        }
    }

    fn fail_automount(&mut self, unit: UnitId, incarnation: Incarnation, why: String) {
        self.inputs.push_back(Input::AutomountFailed {
            unit,
            incarnation,
            why,
        });
    }

    fn listen_at(&mut self, unit: UnitId, incarnation: Incarnation, pipe: OwnedFd, device: u32) {
        self.stop_listening(unit);
        let token = self.poll.number();
        if let Err(errno) = self.poll.watch(&pipe, Token::Automount(token)) {
            let why = format!(
                "the kernel can't be listened to: {}",
                io::Error::from(errno)
            );
            return self.fail_automount(unit, incarnation, why);
        }
        let pipe = Rc::new(pipe);
        let name = held_name(&self.name_of(unit));
        self.link.hold(Class::Other, &name, Rc::clone(&pipe));
        // The next manager is to know what it holds.
        self.records_needed = true;
        let listening = Listening {
            incarnation,
            token,
            pipe,
            count: 0,
        };
        self.aside.automounts.heard.insert(unit, listening);
        self.inputs.push_back(Input::AutomountSet {
            unit,
            incarnation,
            device,
        });
    }

    fn stop_listening(&mut self, unit: UnitId) {
        let name = held_name(&self.name_of(unit));
        self.aside.automounts.held.remove(&name);
        if let Some(listening) = self.aside.automounts.heard.remove(&unit) {
            self.poll.forget(&*listening.pipe);
        }
        if self.aside.automounts.heard.is_empty() {
            self.aside.automounts.copy = None;
        }
        // It was never held, or is let go of already: the keeper takes it as it is.
        self.link.drop_held(Class::Other, &name);
    }

    /// Takes over what the manager before us listened with.
    pub(crate) fn adopt_automount(&mut self, name: &str, pipe: OwnedFd) {
        self.aside.automounts.held.insert(name.to_owned(), pipe);
    }

    /// Is it held for an automount unit that is up?
    pub(crate) fn listens_with(&self, held: &str) -> bool {
        let unit = held
            .strip_prefix(HELD)
            .and_then(|name| self.engine.id(name));
        let state = unit.and_then(|unit| self.engine.state(unit));
        matches!(state, Some(State::Automount(run)) if run.phase.active().is_up())
    }

    /// The kernel asks at a place, or asks no more.
    pub(crate) fn on_automount(&mut self, token: u32, closed: bool) {
        let all = self.aside.automounts.heard.iter();
        let Some((unit, listening)) = all.into_iter().find(|(_, one)| one.token == token) else {
            return;
        };
        let (unit, incarnation) = (*unit, listening.incarnation);
        let pipe = Rc::clone(&listening.pipe);
        let packets = match self.aside.automounts.look(&pipe) {
            Ok(packets) => packets,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                let why = format!("what the kernel asks can't be read: {error}");
                self.poll.forget(&*pipe);
                return self.fail_automount(unit, incarnation, why);
            }
        };
        if packets.is_empty() && closed {
            self.poll.forget(&*pipe);
            let why = "its file system was unmounted, and not by us".to_owned();
            return self.fail_automount(unit, incarnation, why);
        }
        if let Some(listening) = self.aside.automounts.heard.get_mut(&unit) {
            listening.count = packets.len();
        }
        self.records_needed |= !packets.is_empty();
        for packet in packets {
            let Some(asked) = kernel::autofs::parse(&packet) else {
                let text = format!(
                    "{}: the kernel asks something that nobody knows",
                    self.name_of(unit)
                );
                self.log_as(crate::own_log::WARNING, unit, &text);
                continue;
            };
            let visit = match asked.question {
                Question::Mount => Visit::Enters {
                    who: visitor(asked.pid).into(),
                },
                Question::Unmount => Visit::Expires,
            };
            self.inputs.push_back(Input::AutomountVisited {
                unit,
                incarnation,
                token: asked.token,
                visit,
            });
        }
    }
}

/// Who makes the kernel ask.
fn visitor(pid: u32) -> String {
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("{} (process {pid})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

fn held_name(unit: &str) -> String {
    format!("{HELD}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_at_is_there_until_it_is_consumed() {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT).unwrap();
        let write = |fill: u8| rustix::io::write(&theirs, &[fill; PACKET_BYTES]).unwrap();
        let pipe = Rc::new(ours);
        let mut automounts = Automounts::default();
        let first = |packets: Vec<[u8; PACKET_BYTES]>| -> Vec<u8> {
            packets.iter().map(|packet| packet[0]).collect()
        };
        assert_eq!((write(1), write(2)), (PACKET_BYTES, PACKET_BYTES));
        assert_eq!(first(automounts.look(&pipe).unwrap()), [1, 2]);
        assert_eq!(first(automounts.look(&pipe).unwrap()), [1, 2]);
        let listening = Listening {
            incarnation: Incarnation(1),
            token: 1,
            pipe: Rc::clone(&pipe),
            count: 1,
        };
        automounts.heard.insert(UnitId(0), listening);
        automounts.consume();
        assert_eq!(first(automounts.look(&pipe).unwrap()), [2]);
        drop(theirs);
        assert_eq!(first(automounts.look(&pipe).unwrap()), [2]);
        automounts.heard.get_mut(&UnitId(0)).unwrap().count = 1;
        automounts.consume();
        assert!(automounts.look(&pipe).unwrap().is_empty(), "it has ended");
    }
}
