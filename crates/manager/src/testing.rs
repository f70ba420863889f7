//! Tests of conditions on threads of their own: a path may lie on a file system that does not answer, and the manager waits for
//! nobody. A start waits for its test, as it would for anything else, and can be taken back meanwhile.

use crate::conditions::{Host, Questions};
use crate::manager::{Error, Manager, doing};
use crate::poll::{Poll, Token};
use engine::{Conditions, Input, Micros, UnitId};
use model::sorted::Map;
use rustix::event::EventfdFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Threads at once. Where each of them is stuck on a dead file system, further starts with conditions wait for one of these.
const THREADS_MAX: usize = 64;
/// How many of them are for units of portables: what an image asks for may take long, and others don't wait for it.
const PORTABLE_THREADS_MAX: usize = 16;
/// A thread that only asks the kernel and compares texts.
const STACK_BYTES: usize = 256 << 10;
/// How long what there was no thread for waits, in microseconds.
const RETRY_US: u64 = 100_000;

/// Does something on a thread with a stack of so many bytes; false where there can't be one.
type Begin = fn(usize, Box<dyn FnOnce() + Send>) -> bool;

/// What is being tested.
pub(crate) struct Tester {
    shared: Arc<Shared>,
    /// The newest test of each unit: what an older one says is about a start that was taken back.
    newest: Map<UnitId, u64>,
    last: u64,
    begin: Begin,
    /// When there may be a thread for what there was none for.
    pub(crate) retry: Option<Micros>,
}

struct Shared {
    /// Readable when there are answers.
    event: OwnedFd,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    waiting: VecDeque<Asked>,
    answers: Vec<(u64, UnitId, Conditions, Option<String>)>,
    threads: usize,
    /// Those of them that are at work for a portable.
    for_portables: usize,
}

/// Tests of one unit that are to be made.
struct Asked {
    number: u64,
    unit: UnitId,
    is_portable: bool,
    questions: Questions,
    host: Host,
}

impl Work {
    /// The next that may be made now.
    fn next(&mut self) -> Option<Asked> {
        let is_full = self.for_portables >= PORTABLE_THREADS_MAX;
        let mut waiting = self.waiting.iter();
        let at = waiting.position(|asked| !asked.is_portable || !is_full)?;
        let asked = self.waiting.remove(at)?;
        self.for_portables += usize::from(asked.is_portable);
        Some(asked)
    }
}

impl Shared {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes tests until none waits.
    fn go(&self) {
        loop {
            let mut work = self.work();
            let Some(mut asked) = work.next() else {
                work.threads -= 1;
                return;
            };
            drop(work);
            let (outcome, unmet) = asked.questions.answer(&mut asked.host);
            let mut work = self.work();
            work.for_portables -= usize::from(asked.is_portable);
            work.answers
                .push((asked.number, asked.unit, outcome, unmet));
            drop(work);
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
            begin: kernel::aside::thread,
            retry: None,
        })
    }

    fn ask(&mut self, now: Micros, mut asked: Asked) {
        self.last += 1;
        asked.number = self.last;
        self.newest.insert(asked.unit, self.last);
        self.shared.work().waiting.push_back(asked);
        if !self.add_thread() {
            self.retry.get_or_insert(now.after(Micros(RETRY_US)));
        }
    }

    /// One more thread, if there may be more. False: there can't be one now.
    fn add_thread(&self) -> bool {
        let mut work = self.shared.work();
        if work.threads >= THREADS_MAX {
            return true;
        }
        work.threads += 1;
        drop(work);
        let shared = Arc::clone(&self.shared);
        let has_begun = (self.begin)(STACK_BYTES, Box::new(move || shared.go()));
        if !has_begun {
            self.shared.work().threads -= 1;
        }
        has_begun
    }

    /// Tries again what there was no thread for: never on the manager's own, which a file system that does not answer would stop.
    pub(crate) fn go_on(&mut self, now: Micros) {
        if self.retry.is_none_or(|moment| moment > now) {
            return;
        }
        let waiting = self.shared.work().waiting.len().min(THREADS_MAX);
        let all = (0..waiting).all(|_| self.add_thread());
        self.retry = (!all).then(|| now.after(Micros(RETRY_US)));
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
        let is_portable = entry.origin.portable.is_some();
        let mut environment = self.environment.clone();
        let path = plan::SEARCH_PATH.to_owned();
        environment.entry("PATH".to_owned()).or_insert(path);
        let host = Host {
            facts: Arc::clone(&self.facts),
            environment: Arc::new(environment),
            is_init: self.keeper.init,
            keeper: self.keeper.pid,
            is_portable,
            cgroup: self.cgroups.as_ref().map(|cgroups| cgroups.top()),
            names: crate::conditions::NAMES_MAX,
            found: String::new(),
        };
        let now = crate::clock::monotonic();
        let asked = Asked {
            number: 0,
            unit,
            is_portable,
            questions,
            host,
        };
        self.tester.ask(now, asked);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn no_thread(_: usize, _: Box<dyn FnOnce() + Send>) -> bool {
        false
    }

    fn asked(number: u32, is_portable: bool) -> Asked {
        let name = model::UnitName::new("web.service").unwrap();
        let questions = Questions::of(&model::Unit::new(name));
        let host = Host {
            facts: Arc::new(kernel::probe::facts()),
            environment: Arc::new(BTreeMap::new()),
            is_init: false,
            keeper: std::process::id(),
            is_portable,
            cgroup: None,
            names: crate::conditions::NAMES_MAX,
            found: String::new(),
        };
        Asked {
            number: 0,
            unit: UnitId(number),
            is_portable,
            questions,
            host,
        }
    }

    fn ask(tester: &mut Tester, number: u32) {
        tester.ask(Micros(0), asked(number, false));
    }

    #[test]
    fn portables_leave_threads_to_others() {
        let mut work = Work::default();
        let portables = u32::try_from(PORTABLE_THREADS_MAX).unwrap() + 4;
        work.waiting
            .extend((0..portables).map(|number| asked(number, true)));
        work.waiting.push_back(asked(portables, false));
        let taken: Vec<Asked> = std::iter::from_fn(|| work.next()).collect();
        assert_eq!(taken.len(), PORTABLE_THREADS_MAX + 1);
        assert!(taken.last().is_some_and(|one| !one.is_portable));
        // One of them is done, and the next has its turn.
        work.for_portables -= 1;
        assert!(work.next().is_some_and(|one| one.is_portable));
        assert!(work.next().is_none());
    }

    /// Waits for answers about so many units.
    fn answered(tester: &mut Tester, mut poll: Poll, count: usize) {
        let mut units = Vec::new();
        while units.len() < count {
            let patience = Duration::from_secs(60).as_micros();
            let ready = poll.wait(u64::try_from(patience).ok()).unwrap();
            assert!(!ready.is_empty(), "no answer comes");
            units.extend(tester.answers().into_iter().map(|(unit, ..)| unit));
        }
        assert_eq!(units.len(), count);
    }

    #[test]
    fn what_there_is_no_thread_for_waits_until_there_is_one() {
        let poll = Poll::new().unwrap();
        let mut tester = Tester::new(&poll).unwrap();
        tester.begin = no_thread;
        (1..=3).for_each(|number| ask(&mut tester, number));
        assert_eq!(tester.retry, Some(Micros(RETRY_US)));
        tester.go_on(Micros(RETRY_US));
        assert_eq!(tester.retry, Some(Micros(2 * RETRY_US)));
        assert!(tester.answers().is_empty());
        tester.begin = kernel::aside::thread;
        tester.go_on(Micros(2 * RETRY_US - 1));
        assert_eq!(tester.shared.work().waiting.len(), 3, "before its time");
        tester.go_on(Micros(2 * RETRY_US));
        assert_eq!(tester.retry, None);
        answered(&mut tester, poll, 3);
    }
}
