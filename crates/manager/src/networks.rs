//! What is made ahead: network namespaces, a third of what a sandboxed start takes, or with each of them all that is the same for every start
//! with the whole default profile; and for starts in the host's network the file systems of these alone.
//!
//! A process of its own makes them, since that may wait for the kernel's lock on all interfaces. It comes with the first start that makes any of
//! it, after it, and goes when nobody has wanted anything for a while: who never wants it pays nothing. What was made is for one
//! start alone. A start that finds nothing makes its own, as ever.

use crate::clock;
use crate::link::NewProcess;
use crate::manager::Manager;
use crate::opener::NETWORKS_COMMAND;
use crate::planning::Prepared;
use crate::poll::Token;
use crate::start::report_pair;
use engine::{Micros, ProcessKey, Role, UnitId};
use keeper::protocol::ChildKey;
use kernel::message::{Descriptors, ReceiveOptions, receive, send};
use plan::report::{LET_GO, MAKE_ALL, MAKE_FILES, MAKE_NETWORK, RECORD_BYTES, Report, Unmade};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// What is made ahead, as what an executor gets it.
const KINDS: [plan::Role; 3] = [
    plan::Role::MadeNetwork,
    plan::Role::MadeAhead,
    plan::Role::MadeFiles,
];
/// How many of each are ready at a time: one for the next start, one for the next process of its unit.
const READY_MAX: usize = 2;
/// Mount namespaces that are held at a time. Of a host full of services that are stopped together, most end their own.
const HELD_MAX: usize = 8;
/// How long they are kept. What a new namespace takes over from the host, the defaults of its interfaces, is no older than that.
const KEPT: Micros = Micros(60_000_000);

/// What is ready, and who makes more.
#[derive(Debug)]
pub(crate) struct Networks {
    stocks: [Stock; KINDS.len()],
    maker: Option<Maker>,
    /// Mount namespaces of runs that live.
    held: usize,
    /// Those of runs that are over.
    leaving: Vec<OwnedFd>,
    /// There could not be a maker, or it ended; before this moment there is none.
    pause: Option<Micros>,
}

#[derive(Debug)]
struct Maker {
    key: ChildKey,
    socket: Rc<OwnedFd>,
}

/// What is ready of one kind.
#[derive(Debug)]
struct Stock {
    /// As what an executor gets it.
    role: plan::Role,
    /// The oldest first, each with when it came.
    ready: VecDeque<(Micros, OwnedFd)>,
    /// How many the maker was asked for and has not sent.
    asked: usize,
    /// One was taken, or one will be.
    is_wanted: bool,
    /// When all of it is let go.
    until: Option<Micros>,
    /// It could not be made; before this moment it is not tried again.
    pause: Option<Micros>,
}

impl Default for Networks {
    fn default() -> Self {
        Self {
            stocks: KINDS.map(Stock::new),
            maker: None,
            held: 0,
            leaving: Vec::new(),
            pause: None,
        }
    }
}

impl Networks {
    /// When what nobody wanted is let go.
    pub(crate) fn next_end(&self) -> Option<Micros> {
        self.stocks.iter().filter_map(Stock::next_end).min()
    }

    fn stock(&mut self, role: plan::Role) -> Option<&mut Stock> {
        self.stocks.iter_mut().find(|stock| stock.role == role)
    }

    /// From which stock a start is served that could take this: where all of it can't be made, a network alone.
    fn stock_for(&mut self, role: plan::Role, now: Micros) -> Option<&mut Stock> {
        let is_paused = self.stock(role)?.is_paused(now);
        self.stock(match role {
            plan::Role::MadeAhead if is_paused => plan::Role::MadeNetwork,
            _ => role,
        })
    }
}

impl Stock {
    fn new(role: plan::Role) -> Self {
        Self {
            role,
            ready: VecDeque::new(),
            asked: 0,
            is_wanted: false,
            until: None,
            pause: None,
        }
    }

    fn is_paused(&self, now: Micros) -> bool {
        self.pause.is_some_and(|pause| now < pause)
    }

    /// One that was asked for can't be made. Whether that is news.
    fn give_up(&mut self, now: Micros) -> bool {
        let is_news = !self.is_paused(now);
        self.asked = self.asked.saturating_sub(1);
        if is_news {
            self.pause = Some(now.after(KEPT));
        }
        is_news
    }

    fn next_end(&self) -> Option<Micros> {
        let oldest = self.ready.front().map(|(came, _)| came.after(KEPT));
        self.until.into_iter().chain(oldest).min()
    }

    /// One that nobody has been in, and that is not too old: the oldest of them, so that none stays behind.
    fn take(&mut self, now: Micros) -> Option<OwnedFd> {
        self.drop_old(now);
        self.ready.pop_front().map(|(_, made)| made)
    }

    fn drop_old(&mut self, now: Micros) {
        self.ready.retain(|(came, _)| now < came.after(KEPT));
    }

    fn is_short(&self) -> bool {
        self.ready.len() + self.asked < READY_MAX
    }
}

impl Manager {
    /// Has more made where some were taken in this round: the start that took one is on its way.
    pub(crate) fn replenish_networks(&mut self) {
        let networks = &mut self.later.networks;
        if networks.stocks.iter().all(|stock| !stock.is_wanted) {
            return;
        }
        let now = clock::monotonic();
        let is_paused = networks.pause.is_some_and(|pause| now < pause);
        for stock in &mut networks.stocks {
            if std::mem::take(&mut stock.is_wanted) && !is_paused {
                stock.until = Some(now.after(KEPT));
            }
        }
        if !is_paused {
            self.fill_networks(now);
        }
    }

    /// Has made what is missing of each kind that is wanted.
    fn fill_networks(&mut self, now: Micros) {
        for place in 0..self.later.networks.stocks.len() {
            while let Some(role) = self.kind_to_ask_for(place, now) {
                if let Err(error) = self.ask_for(role) {
                    self.log(&format!(
                        "cannot make network namespaces ahead, so each start makes its own: {error}"
                    ));
                    return self.drop_maker(Some(now.after(KEPT)));
                }
            }
        }
    }

    fn kind_to_ask_for(&self, place: usize, now: Micros) -> Option<plan::Role> {
        let stock = self.later.networks.stocks.get(place)?;
        let is_wanted = stock.until.is_some() && stock.is_short() && !stock.is_paused(now);
        is_wanted.then_some(stock.role)
    }

    /// A unit is about to be started again: what its start will want is made while it is stopped.
    pub(crate) fn expect_network(&mut self, unit: UnitId) {
        let prepared = self
            .units
            .get(&unit)
            .and_then(|entry| entry.prepared.as_ref());
        if let Some(role) = prepared.and_then(|prepared| prepared.plan.made_ahead())
            && let Some(stock) = self.later.networks.stock_for(role, clock::monotonic())
        {
            stock.is_wanted = true;
        }
    }

    /// What is ready for a start whose plan takes it.
    pub(crate) fn made_ahead(&mut self, prepared: &Prepared) -> Option<(plan::Role, Rc<OwnedFd>)> {
        let role = prepared.plan.made_ahead()?;
        let now = clock::monotonic();
        let stock = self.later.networks.stock_for(role, now)?;
        stock.is_wanted = true;
        Some((stock.role, Rc::new(stock.take(now)?)))
    }

    /// A process has executed its service: its mount namespace is to outlive it by a moment. A process that ends with the last hold on
    /// one takes all its mounts apart before its end is told, and the client waits for that. Those of images that are not the store's own files,
    /// and of directories with a whole system, are no concern of ours: who waits for the end of a service may want them then.
    pub(crate) fn hold_mounts(&mut self, process: ProcessKey) {
        let is_served = self.later.networks.maker.is_some() && self.later.networks.held < HELD_MAX;
        let prepared = self.units.get(&process.unit);
        let prepared = prepared.and_then(|entry| entry.prepared.as_ref());
        if !is_served || prepared.is_none_or(|prepared| prepared.plan.made_ahead().is_none()) {
            return;
        }
        let entry = self.units.get_mut(&process.unit);
        let Some(run) = entry.and_then(|entry| entry.run(process.incarnation.0)) else {
            return;
        };
        if run.mounts.is_some() || !self.mounts.are_of_files(run.image_keys()) {
            return;
        }
        let known = run.process(process.serial);
        // Those of a command before it have gone when the main process comes, or are to go while it lives.
        let main = known.filter(|known| known.role == Role::Main);
        let pidfd = main.and_then(|known| known.pidfd.as_ref());
        // Kernels before 6.11 can't tell, and a short command may be over.
        run.mounts = pidfd.and_then(|pidfd| kernel::namespace::mounts_of(pidfd).ok());
        self.later.networks.held += usize::from(run.mounts.is_some());
    }

    /// The run of this mount namespace is over.
    pub(crate) fn let_mounts_go(&mut self, mounts: OwnedFd) {
        self.later.networks.held = self.later.networks.held.saturating_sub(1);
        self.later.networks.leaving.push(mounts);
    }

    /// Has the mount namespaces of this round's runs ended, when nobody waits for it any more.
    pub(crate) fn end_mounts(&mut self) {
        for mounts in std::mem::take(&mut self.later.networks.leaving) {
            let maker = self.later.networks.maker.as_ref();
            match maker.map(|maker| send(&*maker.socket, &LET_GO, &[mounts.as_fd()])) {
                // Where it can't be handed on, it ends here, with the descriptor.
                Some(_) | None => {}
            }
        }
    }

    fn ask_for(&mut self, role: plan::Role) -> std::io::Result<()> {
        if self.later.networks.maker.is_none() {
            self.later.networks.maker = Some(self.start_maker()?);
        }
        let wish = match role {
            plan::Role::MadeAhead => MAKE_ALL,
            plan::Role::MadeFiles => MAKE_FILES,
            _ => MAKE_NETWORK,
        };
        if let Some(maker) = &self.later.networks.maker {
            send(&*maker.socket, &wish, &[])?;
        }
        if let Some(stock) = self.later.networks.stock(role) {
            stock.asked += 1;
        }
        Ok(())
    }

    fn start_maker(&mut self) -> std::io::Result<Maker> {
        let plan = kernel::memory::sealed_file(c"plan", &plan::network_maker())?;
        let (ours, theirs) = report_pair(false)?;
        self.poll.watch(&*ours, Token::Network)?;
        let key = ChildKey {
            unit: crate::directories::hash(b"networks"),
            incarnation: clock::monotonic().0,
            command: NETWORKS_COMMAND,
        };
        self.link.spawn(NewProcess {
            key,
            role: 0,
            label: "coracle-networks".into(),
            new_pid_namespace: false,
            plan,
            cgroup: None,
            report: theirs,
            child: Vec::new(),
            kept: Rc::clone(&ours),
        });
        Ok(Maker { key, socket: ours })
    }

    /// The maker sends one, or is at its end.
    pub(crate) fn on_network(&mut self) {
        let networks = &mut self.later.networks;
        let Some(maker) = &networks.maker else {
            return;
        };
        let (mut record, mut descriptors) = ([0; RECORD_BYTES], Descriptors::default());
        let options = ReceiveOptions::default();
        let received = match receive(&*maker.socket, &mut record, &mut descriptors, options) {
            Err(kernel::Errno::AGAIN | kernel::Errno::INTR) => return,
            other => other.map_or(0, |received| received.bytes),
        };
        let report = Report::decode(record.get(..received).unwrap_or_default());
        let role = match report {
            Some(Report::Network) => Some(plan::Role::MadeNetwork),
            Some(Report::Ahead) => Some(plan::Role::MadeAhead),
            Some(Report::Files) => Some(plan::Role::MadeFiles),
            Some(Report::Unmade(unmade)) => return self.on_unmade(unmade),
            _ => None,
        };
        let stock = role.and_then(|role| networks.stock(role));
        if let (Some(stock), Some(made)) = (stock, descriptors.take()) {
            stock.asked = stock.asked.saturating_sub(1);
            return stock.ready.push_back((clock::monotonic(), made));
        }
        if let Some(Report::Failure(failure)) = report {
            let why = std::io::Error::from_raw_os_error(failure.errno);
            self.log(&format!(
                "nothing can be made ahead, so each start makes all of its own: {why}"
            ));
        }
        self.drop_maker(Some(clock::monotonic().after(KEPT)));
    }

    /// The maker could not make something, and goes on.
    fn on_unmade(&mut self, unmade: Unmade) {
        let now = clock::monotonic();
        let own = "so each start makes its own";
        let (role, instead) = match unmade.wish {
            MAKE_ALL => {
                let instead = "so nothing is but network namespaces";
                (plan::Role::MadeAhead, instead)
            }
            MAKE_FILES => (plan::Role::MadeFiles, own),
            _ => (plan::Role::MadeNetwork, own),
        };
        let networks = &mut self.later.networks;
        if !networks.stock(role).is_some_and(|stock| stock.give_up(now)) {
            return;
        }
        let (what, why) = (
            unmade.part.name(),
            std::io::Error::from_raw_os_error(unmade.errno),
        );
        self.log(&format!("{what} can't be made ahead, {instead}: {why}"));
        if unmade.wish == MAKE_ALL
            && let Some(stock) = self.later.networks.stock(plan::Role::MadeNetwork)
        {
            stock.is_wanted = true;
        }
    }

    /// Lets go of what nobody wanted, and puts new ones in the place of those that are too old.
    pub(crate) fn end_unwanted_networks(&mut self) {
        let now = clock::monotonic();
        let networks = &mut self.later.networks;
        if networks.next_end().is_none_or(|end| now < end) {
            return;
        }
        for stock in &mut networks.stocks {
            stock.drop_old(now);
            if stock.until.is_none_or(|until| until <= now) {
                stock.ready.clear();
                stock.until = None;
            }
        }
        if networks.stocks.iter().all(|stock| stock.until.is_none()) {
            self.drop_maker(None);
        } else if networks.pause.is_none_or(|pause| pause <= now) {
            self.fill_networks(now);
        }
    }

    fn drop_maker(&mut self, pause: Option<Micros>) {
        self.later.networks.pause = pause;
        for stock in &mut self.later.networks.stocks {
            stock.asked = 0;
        }
        if let Some(maker) = self.later.networks.maker.take() {
            self.poll.forget(&*maker.socket);
            self.link.signal(maker.key, engine::Signal::KILL.0.into());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A test's own files.

    use super::*;
    use std::os::fd::AsRawFd;

    /// Networks that came at these moments, and their numbers.
    fn ready(moments: &[Micros]) -> (Stock, Vec<i32>) {
        let mut networks = Stock::new(plan::Role::MadeNetwork);
        let mut numbers = Vec::new();
        for came in moments {
            let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
            numbers.push(file.as_raw_fd());
            networks.ready.push_back((*came, file));
        }
        (networks, numbers)
    }

    #[test]
    fn what_cannot_be_made_keeps_nothing_else_from_being_made() {
        let mut networks = Networks::default();
        let all = networks.stock(plan::Role::MadeAhead).unwrap();
        all.asked = 2;
        assert!(all.give_up(Micros(5)), "the first one is told");
        assert!(!all.give_up(Micros(6)), "the next one is the same news");
        assert_eq!(all.asked, 0);
        let mut from = |role, now| networks.stock_for(role, now).unwrap().role;
        let (all, network) = (plan::Role::MadeAhead, plan::Role::MadeNetwork);
        assert_eq!(from(network, Micros(7)), network);
        assert_eq!(from(all, Micros(7)), network, "a part is better than none");
        assert_eq!(from(all, Micros(5).after(KEPT)), all, "it is tried again");
        assert!(!networks.stock(network).unwrap().is_paused(Micros(7)));
    }

    #[test]
    fn the_oldest_network_is_taken_first_and_one_that_is_too_old_never() {
        let (begin, later) = (Micros(5), Micros(1000));
        let (mut networks, numbers) = ready(&[begin, later]);
        assert_eq!(networks.next_end(), Some(begin.after(KEPT)));
        let taken = networks.take(later).unwrap();
        assert_eq!(taken.as_raw_fd(), numbers[0]);
        assert_eq!(networks.next_end(), Some(later.after(KEPT)));
        // Starts in between let none of them stay longer.
        networks.until = Some(later.after(KEPT).after(KEPT));
        assert_eq!(networks.next_end(), Some(later.after(KEPT)));
        assert!(networks.take(later.after(KEPT)).is_none());
        assert!(networks.ready.is_empty());
    }
}
