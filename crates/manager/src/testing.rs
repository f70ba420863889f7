//! Tests of conditions on threads of their own: a path may lie on a file system that does not answer, and the manager waits for
//! nobody. A start waits for its test, as it would for anything else, and can be taken back meanwhile.

use crate::conditions::{Host, Questions};
use crate::manager::{Error, Manager, doing};
use crate::poll::{Poll, Token};
use engine::{Conditions, Input, UnitId};
use model::sorted::Map;
use rustix::event::EventfdFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Threads at once. Where each of them is stuck on a dead file system, further starts with conditions wait for one of these.
const THREADS_MAX: usize = 64;
/// A thread that only asks the kernel and compares texts.
const STACK_BYTES: usize = 256 << 10;

/// What is being tested.
pub(crate) struct Tester {
    shared: Arc<Shared>,
    /// The newest test of each unit: what an older one says is about a start that was taken back.
    newest: Map<UnitId, u64>,
    last: u64,
}

struct Shared {
    /// Readable when there are answers.
    event: OwnedFd,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    waiting: VecDeque<(u64, UnitId, Questions, Host)>,
    answers: Vec<(u64, UnitId, Conditions, Option<String>)>,
    threads: usize,
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes tests until none waits.
    fn go(&self) {
        loop {
            let mut work = self.work();
            let Some((number, unit, questions, mut host)) = work.waiting.pop_front() else {
                work.threads -= 1;
                return;
            };
            drop(work);
            let (outcome, unmet) = questions.answer(&mut host);
            self.work().answers.push((number, unit, outcome, unmet));
            // It fails only where so many answers wait unheard that the count overflows: then it is readable already.
            match rustix::io::write(&self.event, &1u64.to_ne_bytes()) {
                Ok(_) | Err(_) => {}
            }
        }
    }
}

impl Tester {
    pub(crate) fn new(poll: &Poll) -> Result<Self, Error> {
        let failed = |errno: Errno| doing("watch tests of conditions")(errno.into());
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let event = rustix::event::eventfd(0, flags).map_err(failed)?;
        poll.watch(&event, Token::Tests).map_err(failed)?;
        let work = Mutex::default();
        Ok(Self {
            shared: Arc::new(Shared { event, work }),
            newest: Map::new(),
            last: 0,
        })
    }

    fn ask(&mut self, unit: UnitId, questions: Questions, host: Host) {
        self.last += 1;
        self.newest.insert(unit, self.last);
        let mut work = self.shared.work();
        work.waiting.push_back((self.last, unit, questions, host));
        if work.threads >= THREADS_MAX {
            return;
        }
        work.threads += 1;
        let threads = work.threads;
        drop(work);
        let shared = Arc::clone(&self.shared);
        if !kernel::aside::thread(STACK_BYTES, Box::new(move || shared.go())) {
            if threads == 1 {
                // There is nobody else who would do it: better late than never.
                self.shared.go();
            } else {
                self.shared.work().threads -= 1;
            }
        }
    }

    /// The answers that came in, without those that nobody waits for any more.
    fn answers(&mut self) -> Vec<(UnitId, Conditions, Option<String>)> {
        let mut count = [0; 8];
        match rustix::io::read(&self.shared.event, &mut count) {
            Ok(_) | Err(_) => {}
        }
        let answers = std::mem::take(&mut self.shared.work().answers);
        let mut current = Vec::new();
        for (number, unit, outcome, unmet) in answers {
            if self.newest.get(&unit) == Some(&number) {
                self.newest.remove(&unit);
                current.push((unit, outcome, unmet));
            }
        }
        current
    }
}

impl Manager {
    pub(crate) fn test_conditions(&mut self, unit: UnitId) {
        let Some(entry) = self.units.get(&unit) else {
            let outcome = Conditions::Met;
            return self.inputs.push_back(Input::Conditions { unit, outcome });
        };
        let questions = Questions::of(&entry.unit);
        let mut environment = self.environment.clone();
        let path = plan::SEARCH_PATH.to_owned();
        environment.entry("PATH".to_owned()).or_insert(path);
        let host = Host {
            facts: Arc::clone(&self.facts),
            environment: Arc::new(environment),
            is_init: self.keeper.init,
            cgroup: self.cgroups.as_ref().map(|cgroups| cgroups.top()),
            found: String::new(),
        };
        self.tester.ask(unit, questions, host);
    }

    /// Threads have made tests.
    pub(crate) fn on_tests(&mut self) {
        for (unit, outcome, unmet) in self.tester.answers() {
            if let Some(entry) = self.units.get_mut(&unit) {
                entry.unmet = unmet.map(String::into_boxed_str);
                self.dirty.insert(unit);
            }
            self.inputs.push_back(Input::Conditions { unit, outcome });
        }
    }
}
