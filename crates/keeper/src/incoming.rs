//! Commands: each is checked, carried out and answered; whatever comes, the keeper goes on.

use kernel::message::{Descriptors, ReceiveOptions, Received};
use kernel::{Errno, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::child::{Child, Label, key_tag};
use crate::clock::Moment;
use crate::held::{Held, name_tag};
use crate::keeper::{Keeper, Token, Who};
use crate::outgoing::{Cursor, Reply};
use crate::protocol::{
    ChildKey, ChildState, Class, Command, DESCRIPTORS_MAX, Header, LABEL_BYTES_MAX,
    MESSAGE_BYTES_MAX, Malformed, Spawn,
};

/// Messages taken from one channel before the other sources get their turn.
const MESSAGES_PER_ROUND: usize = 64;
/// How long a process that closed its channel has to end by itself, in milliseconds.
const FAREWELL_MS: u64 = 1_000;
/// The child's first descriptor: its plan. The report follows, then those of the plan's slots.
const FIRST_DESCRIPTOR: i32 = 3;

impl Keeper {
    /// A message, room for one, or the end of the channel.
    pub(crate) fn on_channel(&mut self, who: Who) {
        self.pump(who);
        for _ in 0..MESSAGES_PER_ROUND {
            if self.client(who).outbox.is_busy() {
                return;
            }
            match self.take_message(who) {
                Err(Errno::CONNRESET) => {}
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(_) => return self.lose_channel(who),
                Ok(()) => self.pump(who),
            }
        }
    }

    /// Carries out what is left in the channel of a process that has ended. No one hears the answers.
    pub(crate) fn drain(&mut self, who: Who) {
        while self.client(who).channel.is_some() {
            self.client_mut(who).outbox = crate::outgoing::Outbox::default();
            match self.take_message(who) {
                Ok(()) | Err(Errno::CONNRESET) => {}
                Err(_) => return,
            }
        }
    }

    /// Takes one message and carries it out. EAGAIN: there is none; ECONNRESET: the other side ended with something unread, which the
    /// kernel says once and before the messages that it sent; anything else: there will be none.
    fn take_message(&mut self, who: Who) -> Result<()> {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let mut descriptors = Descriptors::default();
        let channel = self.client(who).channel.as_ref().ok_or(Errno::PIPE)?;
        let received = kernel::message::receive(
            channel,
            &mut buffer,
            &mut descriptors,
            ReceiveOptions::default(),
        )?;
        if received.bytes == 0 {
            return Err(Errno::PIPE);
        }
        let bytes = buffer.get(..received.bytes).unwrap_or_default();
        if let Err(errno) = self.carry_out(who, bytes, &received, &mut descriptors) {
            let header = Header::decode(bytes).unwrap_or_default();
            self.client_mut(who).outbox.reply = Some(Reply::Refused {
                kind: header.kind,
                key: header.key,
                errno,
            });
        }
        Ok(())
    }

    /// The channel is closed: its process is about to end, or of no use any more.
    fn lose_channel(&mut self, who: Who) {
        let client = self.client_mut(who);
        client.kill_at = Some(Moment::now().plus_ms(FAREWELL_MS));
        if let Some(channel) = client.channel.take() {
            self.unwatch(channel);
        }
    }

    fn carry_out(
        &mut self,
        who: Who,
        bytes: &[u8],
        received: &Received,
        descriptors: &mut Descriptors,
    ) -> Result<()> {
        if received.truncated {
            return Err(Errno::MSGSIZE);
        }
        if received.control_truncated {
            return Err(Errno::MFILE);
        }
        let command = Command::decode(bytes).map_err(|malformed| match malformed {
            Malformed::Version(_) => Errno::PROTONOSUPPORT,
            _ => Errno::BADMSG,
        })?;
        match (who, command) {
            (Who::Manager, command) => self.obey(command, descriptors),
            (
                Who::Log,
                Command::Drop {
                    class: Class::Log,
                    name,
                },
            ) => self.drop_held(Class::Log, name),
            (Who::Log, _) => Err(Errno::PERM),
        }
    }

    fn obey(&mut self, command: Command<'_>, descriptors: &mut Descriptors) -> Result<()> {
        match command {
            Command::Spawn(spawn) => self.spawn(spawn, descriptors),
            Command::Signal { key, signal } => {
                let child = self
                    .find_child(key)
                    .and_then(|place| self.children.get(place))
                    .ok_or(Errno::SRCH)?;
                kernel::process::send_signal(&child.pidfd, signal)
            }
            Command::Reap { key } => self.reap(key),
            Command::Watch { key, role, pid } => {
                self.watch(key, role, pid, descriptors.take().ok_or(Errno::BADF)?)
            }
            Command::Hold { class, name } => {
                self.hold(class, name, descriptors.take().ok_or(Errno::BADF)?)
            }
            Command::Drop { class, name } => self.drop_held(class, name),
            Command::Inventory => self.begin_inventory(),
            Command::RestartManager => {
                self.take_program(descriptors)?;
                self.manager.process.want_restart();
                Ok(())
            }
            Command::Reexec => {
                self.take_program(descriptors)?;
                Err(self.execute_anew())
            }
            Command::Shutdown {
                leave_children,
                timeout_ms,
                status,
                power,
                argument,
            } => {
                self.last_deed.keep(power, argument);
                self.begin_ending(leave_children, u64::from(timeout_ms), status);
                Ok(())
            }
        }
    }

    pub(crate) fn find_child(&self, key: ChildKey) -> Option<usize> {
        self.children
            .find(0, key_tag(key), |child| child.key == key)
    }

    /// A new executable comes along, or the one that is here stays.
    fn take_program(&mut self, descriptors: &mut Descriptors) -> Result<()> {
        if let Some(program) = descriptors.take() {
            if rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&program)?.st_mode)
                != rustix::fs::FileType::RegularFile
            {
                return Err(Errno::ACCESS);
            }
            self.program = program;
        }
        Ok(())
    }

    fn begin_inventory(&mut self) -> Result<()> {
        self.children
            .iter_mut()
            .for_each(|child| child.told = false);
        let outbox = &mut self.manager.outbox;
        outbox.inventory = Some(Cursor::Children(0));
        outbox.signals |= self.asked_to_end;
        Ok(())
    }

    /// A repeated request is answered with the child that exists, dead or alive.
    fn spawn(&mut self, spawn: Spawn<'_>, descriptors: &mut Descriptors) -> Result<()> {
        let reply = match self.find_child(spawn.key) {
            Some(place) => Reply::Spawned(place),
            None => match self.start_child(spawn, descriptors) {
                Ok(place) => Reply::Spawned(place),
                Err(errno) => Reply::SpawnFailed {
                    key: spawn.key,
                    role: spawn.role,
                    errno,
                },
            },
        };
        self.manager.outbox.reply = Some(reply);
        // Said before the housekeeping: someone is waiting for it.
        self.pump(Who::Manager);
        if let Reply::Spawned(place) = reply {
            self.watch_child(place);
        }
        Ok(())
    }

    pub(crate) fn watch_child(&mut self, place: usize) {
        let Some(child) = self.children.get(place) else {
            return;
        };
        match self.watch_end(&child.pidfd, Token::Child(place)) {
            // A repeated request: watched already.
            Ok(()) | Err(Errno::EXIST) => {}
            // Out of memory or of watches: look now, and SIGCHLD will make us look again.
            Err(_) => self.on_child_end(place),
        }
    }

    fn start_child(&mut self, spawn: Spawn<'_>, descriptors: &mut Descriptors) -> Result<usize> {
        if self.children.is_full() {
            return Err(Errno::NOSPC);
        }
        let started = {
            let parts = Parts::new(&spawn, descriptors.as_slice(), self.executor.as_fd())?;
            let mut label = [0; LABEL_BYTES_MAX + 1];
            for (to, from) in label.iter_mut().zip(spawn.label) {
                *to = *from;
            }
            let label = core::ffi::CStr::from_bytes_until_nul(&label).map_err(|_| Errno::INVAL)?;
            let (mut arguments, mut environment) = ([core::ptr::null(); 2], [core::ptr::null(); 1]);
            let arguments =
                kernel::spawn::lone_argument(label, &mut arguments).ok_or(Errno::INVAL)?;
            let environment = kernel::process::TextList::new(core::iter::empty(), &mut environment)
                .ok_or(Errno::INVAL)?;
            let given = parts.child();
            let filled = self.window.fill(given)?;
            let mut room = parts.child;
            self.window.filled(filled, &mut room);
            let request = kernel::spawn::Request {
                program: parts.executor,
                arguments,
                environment,
                descriptors: room.get(..given.len()).unwrap_or_default(),
                first_descriptor: FIRST_DESCRIPTOR,
                cgroup: parts.cgroup,
                new_pid_namespace: spawn.new_pid_namespace,
                open_files: Some(self.open_files),
                numbers_below: Some(self.window.end()),
            };
            let started =
                kernel::spawn::spawn(&request, &mut self.stack, &mut [0; DESCRIPTORS_MAX]);
            self.window.clear(filled);
            started?
        };
        let mut child = Child {
            key: spawn.key,
            role: spawn.role,
            pid: started.pid.as_raw_nonzero().get().unsigned_abs(),
            pidfd: started.pidfd,
            kept: Default::default(),
            state: ChildState::Running,
            watched: false,
            told: false,
            label: Label::new(spawn.label),
        };
        // The rest go when `descriptors` goes.
        while descriptors.len() > usize::from(spawn.kept) {
            drop(descriptors.take());
        }
        child
            .kept
            .iter_mut()
            .for_each(|place| *place = descriptors.take());
        let tags = child.tags();
        self.children.insert(tags, child).map_err(|_| Errno::NOSPC)
    }

    fn watch(&mut self, key: ChildKey, role: u32, pid: u32, pidfd: OwnedFd) -> Result<()> {
        if self.find_child(key).is_some() {
            return Ok(());
        }
        // Two rows for one process: reaping one would take the status from the other.
        if self.children.find(1, u64::from(pid), |_| true).is_some() {
            return Err(Errno::EXIST);
        }
        if !kernel::process::is_pidfd(&pidfd) {
            return Err(Errno::BADF);
        }
        let child = Child {
            key,
            role,
            pid,
            pidfd,
            kept: Default::default(),
            state: ChildState::Running,
            watched: true,
            told: false,
            label: Label::new(b""),
        };
        let place = self
            .children
            .insert(child.tags(), child)
            .map_err(|_| Errno::NOSPC)?;
        self.watch_child(place);
        Ok(())
    }

    fn hold(&mut self, class: Class, name: &[u8], descriptor: OwnedFd) -> Result<()> {
        self.drop_held(class, name)?;
        let held = Held::new(class, name, descriptor);
        self.held
            .insert(held.tags(), held)
            .map_err(|_| Errno::NOSPC)?;
        if class == Class::Log {
            self.log.outbox.streams = true;
            self.pump(Who::Log);
        }
        Ok(())
    }

    fn drop_held(&mut self, class: Class, name: &[u8]) -> Result<()> {
        let found = self.held.find(0, name_tag(class, name), |held| {
            held.class == class && held.name() == name
        });
        if let Some(place) = found {
            drop(self.held.remove(place));
        }
        Ok(())
    }
}

/// A spawn's descriptors in their parts.
struct Parts<'a> {
    executor: BorrowedFd<'a>,
    cgroup: Option<BorrowedFd<'a>>,
    /// Plan, report, and the child's own, as many as `count` says.
    child: [BorrowedFd<'a>; DESCRIPTORS_MAX],
    count: usize,
}

impl<'a> Parts<'a> {
    /// EBADF: there are fewer than the request says.
    fn new(spawn: &Spawn<'_>, all: &'a [BorrowedFd<'a>], executor: BorrowedFd<'a>) -> Result<Self> {
        let mut rest = all
            .get(..all.len().saturating_sub(usize::from(spawn.kept)))
            .unwrap_or_default()
            .iter()
            .copied();
        let mut next = || rest.next().ok_or(Errno::BADF);
        let executor = if spawn.own_executor {
            next()?
        } else {
            executor
        };
        let plan = next()?;
        let cgroup = if spawn.cgroup { Some(next()?) } else { None };
        let report = next()?;
        let mut child = [plan; DESCRIPTORS_MAX];
        let mut count = 0;
        for (to, from) in child.iter_mut().zip([plan, report].into_iter().chain(rest)) {
            *to = from;
            count += 1;
        }
        Ok(Self {
            executor,
            cgroup,
            child,
            count,
        })
    }

    fn child(&self) -> &[BorrowedFd<'a>] {
        self.child.get(..self.count).unwrap_or_default()
    }
}
