//! Work that takes as long as somebody else likes, on threads of its own: the manager waits for nobody, and hears of the answers.

use crate::manager::{Error, Manager, doing};
use crate::poll::{Poll, Token};
use engine::Micros;
use rustix::event::EventfdFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A thread that only asks the kernel and compares texts.
const STACK_BYTES: usize = 256 << 10;
/// How long what there was no thread for waits, in microseconds.
const RETRY_US: u64 = 100_000;

/// Does something on a thread with a stack of so many bytes; false where there can't be one.
type Begin = fn(usize, Box<dyn FnOnce() + Send>) -> bool;

/// What is done where its answer is heard of.
pub(crate) type Work = Box<dyn FnOnce() -> Told + Send>;

/// Whose work it is: where all threads of one lane are stuck, what comes after waits for one of these, and the other lanes go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Of units of the host.
    Host,
    /// Of units of all portables: what an image asks for may take long, and others don't wait for it.
    Portable,
    /// Of the firewall, in its order.
    Firewall,
    /// What runs that are over have left on disks, which may be busy.
    Trees,
    /// Of sockets of the host's units that are emptied: their services may make that wait.
    Flushes,
    /// The same of all portables.
    PortableFlushes,
    /// Of places where automounts are, and who waits there.
    Automounts,
    /// Of automounts that may be idle, where it lasts as long as an unmounting.
    Idleness,
}

impl Lane {
    const ALL: [Self; 8] = [
        Self::Host,
        Self::Portable,
        Self::Firewall,
        Self::Trees,
        Self::Flushes,
        Self::PortableFlushes,
        Self::Automounts,
        Self::Idleness,
    ];

    /// Threads at once.
    const fn threads_max(self) -> usize {
        match self {
            Self::Host => 48,
            Self::Portable => 16,
            Self::Firewall => 1,
            Self::Trees => 4,
            Self::Flushes | Self::PortableFlushes | Self::Automounts | Self::Idleness => 8,
        }
    }
}

/// Those of all lanes together: a lane that has room always finds a thread.
const THREADS_MAX: usize = {
    let [
        host,
        portable,
        firewall,
        trees,
        flushes,
        portable_flushes,
        automounts,
        idleness,
    ] = Lane::ALL;
    host.threads_max()
        + portable.threads_max()
        + firewall.threads_max()
        + trees.threads_max()
        + flushes.threads_max()
        + portable_flushes.threads_max()
        + automounts.threads_max()
        + idleness.threads_max()
};

/// An answer.
pub(crate) enum Told {
    /// To conditions of a unit.
    Conditions(crate::testing::Tested),
    /// To changes of the firewall's sets.
    Sets(crate::firewall::Changed),
    /// To a look at a PID file.
    PidFile(crate::pid_file::Found),
    /// To a look at what path units wait for.
    Paths(crate::paths::Looked),
    /// To what was to be done at the place of an automount unit.
    Automount(crate::automounts::Done),
    /// To a look at udev's database.
    Devices(crate::devices::Found),
    /// To a removal: what stays.
    Trees(Vec<crate::leftovers::Stays>),
    /// To what was to be thrown away, by its number.
    Flushed(u64),
}

/// Threads, and what waits for them.
pub(crate) struct Elsewhere {
    shared: Arc<Shared>,
    begin: Begin,
    /// When there may be a thread for what there was none for.
    pub(crate) retry: Option<Micros>,
}

struct Shared {
    /// Readable when there are answers.
    event: OwnedFd,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Lane, Work)>,
    answers: Vec<Told>,
    threads: usize,
    busy: [usize; Lane::ALL.len()],
}

impl Queue {
    fn busy(&mut self, lane: Lane) -> &mut usize {
        let [
            host,
            portable,
            firewall,
            trees,
            flushes,
            portable_flushes,
            automounts,
            idleness,
        ] = &mut self.busy;
        match lane {
            Lane::Host => host,
            Lane::Portable => portable,
            Lane::Firewall => firewall,
            Lane::Trees => trees,
            Lane::Flushes => flushes,
            Lane::PortableFlushes => portable_flushes,
            Lane::Automounts => automounts,
            Lane::Idleness => idleness,
        }
    }

    /// The next that may be done now.
    fn next(&mut self) -> Option<(Lane, Work)> {
        let open = Lane::ALL.map(|lane| (lane, *self.busy(lane) < lane.threads_max()));
        let may = |lane: Lane| open.contains(&(lane, true));
        let at = self.waiting.iter().position(|(lane, _)| may(*lane))?;
        let (lane, work) = self.waiting.remove(at)?;
        *self.busy(lane) += 1;
        Some((lane, work))
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until nothing waits.
    fn go(&self) {
        loop {
            let mut queue = self.queue();
            let Some((lane, work)) = queue.next() else {
                queue.threads -= 1;
                return;
            };
            drop(queue);
            let told = work();
            let mut queue = self.queue();
            *queue.busy(lane) -= 1;
            queue.answers.push(told);
            drop(queue);
            // It fails only where so many answers wait unheard that the count overflows: then it is readable already.
            match rustix::io::write(&self.event, &1u64.to_ne_bytes()) {
                Ok(_) | Err(_) => {}
            }
        }
    }
}

impl Elsewhere {
    pub(crate) fn new(poll: &Poll) -> Result<Self, Error> {
        let failed = |errno: Errno| doing("watch what is done elsewhere")(errno.into());
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let event = rustix::event::eventfd(0, flags).map_err(failed)?;
        poll.watch(&event, Token::Elsewhere).map_err(failed)?;
        let queue = Mutex::default();
        Ok(Self {
            shared: Arc::new(Shared { event, queue }),
            begin: kernel::aside::thread,
            retry: None,
        })
    }

    pub(crate) fn ask(&mut self, now: Micros, lane: Lane, work: Work) {
        self.shared.queue().waiting.push_back((lane, work));
        if !self.add_thread() {
            self.retry.get_or_insert(now.after(Micros(RETRY_US)));
        }
    }

    /// One more thread, if there may be more. False: there can't be one now.
    fn add_thread(&self) -> bool {
        let mut queue = self.shared.queue();
        if queue.threads >= THREADS_MAX {
            return true;
        }
        queue.threads += 1;
        drop(queue);
        let shared = Arc::clone(&self.shared);
        let has_begun = (self.begin)(STACK_BYTES, Box::new(move || shared.go()));
        if !has_begun {
            self.shared.queue().threads -= 1;
        }
        has_begun
    }

    /// Tries again what there was no thread for: never on the manager's own, which a file system that does not answer would stop.
    pub(crate) fn go_on(&mut self, now: Micros) {
        if self.retry.is_none_or(|moment| moment > now) {
            return;
        }
        let waiting = self.shared.queue().waiting.len().min(THREADS_MAX);
        let all = (0..waiting).all(|_| self.add_thread());
        self.retry = (!all).then(|| now.after(Micros(RETRY_US)));
    }

    /// The answers that came in.
    pub(crate) fn answers(&mut self) -> Vec<Told> {
        let mut count = [0; 8];
        match rustix::io::read(&self.shared.event, &mut count) {
            Ok(_) | Err(_) => {}
        }
        std::mem::take(&mut self.shared.queue().answers)
    }
}

impl Manager {
    /// Threads have answers.
    pub(crate) fn on_elsewhere(&mut self) {
        for told in self.elsewhere.answers() {
            match told {
                Told::Conditions(tested) => self.on_tested(tested),
                Told::Sets(changed) => self.on_sets_changed(changed),
                Told::PidFile(found) => self.on_pid_file(found),
                Told::Paths(looked) => self.on_looked_at_paths(looked),
                Told::Automount(done) => self.on_automount_done(done),
                Told::Devices(found) => self.on_devices_found(found),
                Told::Trees(stays) => self.on_removed_trees(stays),
                Told::Flushed(number) => self.on_flushed(number),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{Conditions, UnitId};
    use std::time::Duration;

    fn no_thread(_: usize, _: Box<dyn FnOnce() + Send>) -> bool {
        false
    }

    fn work(number: u32) -> Work {
        Box::new(move || {
            Told::Conditions(crate::testing::Tested {
                number: u64::from(number),
                unit: UnitId(number),
                outcome: Conditions::Met,
                unmet: None,
            })
        })
    }

    #[test]
    fn each_lane_leaves_threads_to_the_others_and_the_firewall_keeps_its_order() {
        let mut queue = Queue::default();
        let portables = u32::try_from(Lane::Portable.threads_max()).unwrap() + 4;
        let add = |queue: &mut Queue, lane, count| {
            queue
                .waiting
                .extend((0..count).map(|number| (lane, work(number))));
        };
        add(&mut queue, Lane::Portable, portables);
        add(&mut queue, Lane::Firewall, 2);
        add(&mut queue, Lane::Host, 1);
        let taken = |queue: &mut Queue| {
            let all = std::iter::from_fn(|| queue.next());
            all.map(|(lane, _)| lane).collect::<Vec<_>>()
        };
        let mut lanes = taken(&mut queue);
        assert_eq!(lanes.split_off(16), [Lane::Firewall, Lane::Host]);
        // One of them is done, and the next has its turn.
        *queue.busy(Lane::Portable) -= 1;
        assert_eq!(taken(&mut queue), [Lane::Portable]);
        *queue.busy(Lane::Firewall) -= 1;
        assert_eq!(taken(&mut queue), [Lane::Firewall]);
    }

    /// Waits for so many answers.
    fn answered(elsewhere: &mut Elsewhere, mut poll: Poll, count: usize) {
        let mut answers = 0;
        while answers < count {
            let patience = Duration::from_secs(60).as_micros();
            let ready = poll.wait(u64::try_from(patience).ok()).unwrap();
            assert!(!ready.is_empty(), "no answer comes");
            answers += elsewhere.answers().len();
        }
        assert_eq!(answers, count);
    }

    #[test]
    fn what_there_is_no_thread_for_waits_until_there_is_one() {
        let poll = Poll::new().unwrap();
        let mut elsewhere = Elsewhere::new(&poll).unwrap();
        elsewhere.begin = no_thread;
        (1..=3).for_each(|number| elsewhere.ask(Micros(0), Lane::Host, work(number)));
        assert_eq!(elsewhere.retry, Some(Micros(RETRY_US)));
        elsewhere.go_on(Micros(RETRY_US));
        assert_eq!(elsewhere.retry, Some(Micros(2 * RETRY_US)));
        assert!(elsewhere.answers().is_empty());
        elsewhere.begin = kernel::aside::thread;
        elsewhere.go_on(Micros(2 * RETRY_US - 1));
        assert_eq!(elsewhere.shared.queue().waiting.len(), 3, "before its time");
        elsewhere.go_on(Micros(2 * RETRY_US));
        assert_eq!(elsewhere.retry, None);
        answered(&mut elsewhere, poll, 3);
    }
}
