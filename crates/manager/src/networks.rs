//! Network namespaces made ahead: a third of what a sandboxed start takes, and the same for each.
//!
//! A process of its own makes them, since that may wait for the kernel's lock on all interfaces. It comes with the first start that makes a
//! namespace, after it, and goes when nobody has wanted one for a while: who never wants one pays nothing. Each namespace is for one
//! start alone. A start that finds none makes its own, as ever.

use crate::clock;
use crate::link::NewProcess;
use crate::manager::Manager;
use crate::opener::NETWORKS_COMMAND;
use crate::planning::Prepared;
use crate::poll::Token;
use crate::start::report_pair;
use engine::{Micros, ProcessKey, UnitId};
use keeper::protocol::ChildKey;
use kernel::message::{Descriptors, ReceiveOptions, receive, send};
use plan::report::{LET_GO, MAKE_NETWORK, RECORD_BYTES, Report};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// How many are ready at a time: one for the next start, one for the next process of its unit.
const READY_MAX: usize = 2;
/// Mount namespaces that are held at a time. Of a host full of services that are stopped together, most end their own.
const HELD_MAX: usize = 8;
/// How long they are kept. What a new namespace takes over from the host, the defaults of its interfaces, is no older than that.
const KEPT: Micros = Micros(60_000_000);

/// Those that are ready, and who makes more.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    ready: Vec<OwnedFd>,
    maker: Option<Maker>,
    /// One was taken, or one will be.
    is_wanted: bool,
    /// Mount namespaces of runs that live.
    held: usize,
    /// Those of runs that are over.
    leaving: Vec<OwnedFd>,
    /// When all of it is let go.
    until: Option<Micros>,
    /// It could not be made; before this moment it is not tried again.
    pause: Option<Micros>,
}

#[derive(Debug)]
struct Maker {
    key: ChildKey,
    socket: Rc<OwnedFd>,
    /// How many it was asked for and has not sent.
    asked: usize,
}

impl Networks {
    /// When what nobody wanted is let go.
    pub(crate) fn next_end(&self) -> Option<Micros> {
        self.until
    }

    /// One that nobody has been in.
    pub(crate) fn take(&mut self) -> Option<OwnedFd> {
        self.ready.pop()
    }

    fn is_short(&self) -> bool {
        let asked = self.maker.as_ref().map_or(0, |maker| maker.asked);
        self.ready.len() + asked < READY_MAX
    }
}

impl Manager {
    /// Has more made where some were taken in this round: the start that took one is on its way.
    pub(crate) fn replenish_networks(&mut self) {
        if !std::mem::take(&mut self.later.networks.is_wanted) {
            return;
        }
        let now = clock::monotonic();
        if self.later.networks.pause.is_some_and(|pause| now < pause) {
            return;
        }
        self.later.networks.until = Some(now.after(KEPT));
        while self.later.networks.is_short() {
            if let Err(error) = self.ask_for_network() {
                self.log(&format!(
                    "cannot make network namespaces ahead, so each start makes its own: {error}"
                ));
                return self.drop_maker(Some(now.after(KEPT)));
            }
        }
    }

    /// A unit is about to be started again: what its start will want is made while it is stopped.
    pub(crate) fn expect_network(&mut self, unit: UnitId) {
        let prepared = self
            .units
            .get(&unit)
            .and_then(|entry| entry.prepared.as_ref());
        if prepared.is_some_and(|prepared| prepared.plan.takes_made_network()) {
            self.later.networks.is_wanted = true;
        }
    }

    /// A namespace for a start whose plan takes one.
    pub(crate) fn made_network(&mut self, prepared: &Prepared) -> Option<Rc<OwnedFd>> {
        if !prepared.plan.takes_made_network() {
            return None;
        }
        self.later.networks.is_wanted = true;
        self.later.networks.take().map(Rc::new)
    }

    /// A process has executed its service: its mount namespace is to outlive it by a moment. A process that ends with the last hold on
    /// one takes all its mounts apart before its end is told, and the client waits for that. Those of images and of directories with a
    /// whole system are no concern of ours: who waits for the end of a service may want them then.
    pub(crate) fn hold_mounts(&mut self, process: ProcessKey) {
        let is_served = self.later.networks.maker.is_some() && self.later.networks.held < HELD_MAX;
        let prepared = self.units.get(&process.unit);
        let prepared = prepared.and_then(|entry| entry.prepared.as_ref());
        if !is_served || prepared.is_none_or(|prepared| !prepared.plan.takes_made_network()) {
            return;
        }
        let Some(run) = self.run_mut(process.unit, process.incarnation) else {
            return;
        };
        if run.root.is_some() || run.mounts.is_some() {
            return;
        }
        let known = run.process(process.serial);
        let pidfd = known.and_then(|known| known.pidfd.as_ref());
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

    fn ask_for_network(&mut self) -> std::io::Result<()> {
        if self.later.networks.maker.is_none() {
            self.later.networks.maker = Some(self.start_maker()?);
        }
        if let Some(maker) = &mut self.later.networks.maker {
            send(&*maker.socket, &MAKE_NETWORK, &[])?;
            maker.asked += 1;
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
        Ok(Maker {
            key,
            socket: ours,
            asked: 0,
        })
    }

    /// The maker sends one, or is at its end.
    pub(crate) fn on_network(&mut self) {
        let Some(maker) = &mut self.later.networks.maker else {
            return;
        };
        let (mut record, mut descriptors) = ([0; RECORD_BYTES], Descriptors::default());
        let options = ReceiveOptions::default();
        let received = match receive(&*maker.socket, &mut record, &mut descriptors, options) {
            Err(kernel::Errno::AGAIN | kernel::Errno::INTR) => return,
            other => other.map_or(0, |received| received.bytes),
        };
        let report = Report::decode(record.get(..received).unwrap_or_default());
        if let (Some(Report::Network), Some(made)) = (report, descriptors.take()) {
            maker.asked = maker.asked.saturating_sub(1);
            return self.later.networks.ready.push(made);
        }
        if let Some(Report::Failure(failure)) = report {
            let why = std::io::Error::from_raw_os_error(failure.errno);
            self.log(&format!(
                "no network namespace can be made ahead, so each start makes its own: {why}"
            ));
        }
        self.drop_maker(Some(clock::monotonic().after(KEPT)));
    }

    /// Lets go of what nobody wanted.
    pub(crate) fn end_unwanted_networks(&mut self) {
        if self
            .later
            .networks
            .until
            .is_some_and(|until| until <= clock::monotonic())
        {
            self.later.networks.ready.clear();
            self.later.networks.until = None;
            self.drop_maker(None);
        }
    }

    fn drop_maker(&mut self, pause: Option<Micros>) {
        self.later.networks.pause = pause;
        if let Some(maker) = self.later.networks.maker.take() {
            self.poll.forget(&*maker.socket);
            self.link.signal(maker.key, engine::Signal::KILL.0.into());
        }
    }
}
