//! Starting the manager and the log process, with a channel and a clean environment.

use kernel::Result;
use kernel::process::TextList;
use kernel::spawn::Request;
use rustix::event::epoll::{self, EventFlags};
use rustix::fd::AsFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::client::CHANNEL_DESCRIPTOR;
use crate::clock::Moment;
use crate::keeper::{Keeper, Token, Who};
use crate::outgoing::Outbox;
use crate::supervised::State;

/// The name of the program in its own argument list.
pub(crate) const PROGRAM: &core::ffi::CStr = c"coracled";
/// All that manager and log need of an environment; workers and commands are started with theirs.
const ENVIRONMENT: &core::ffi::CStr =
    c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Room for a few hundred messages in each direction, in bytes.
const CHANNEL_BYTES: i32 = 1 << 20;
/// Most arguments that are passed on, and those of our own.
pub(crate) const ARGUMENTS_MAX: usize = 64;

impl Keeper {
    /// Starts what waits for its moment. Not the manager, once the keeper's end has begun.
    pub(crate) fn start_what_is_due(&mut self, now: Moment) {
        for who in [Who::Log, Who::Manager] {
            if self.ending.is_some() {
                continue;
            }
            if self
                .client(who)
                .process
                .start_at()
                .is_some_and(|at| at <= now)
                && self.start(who, now).is_err()
            {
                self.client_mut(who).process.start_failed(now);
            }
        }
    }

    fn start(&mut self, who: Who, now: Moment) -> Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        kernel::socket::set_send_buffer(&ours, CHANNEL_BYTES)?;
        kernel::socket::set_send_buffer(&theirs, CHANNEL_BYTES)?;
        let own = match who {
            Who::Manager if self.manager.process.adopt_only => {
                [Some(c"manager"), Some(c"--adopt-only")]
            }
            Who::Manager => [Some(c"manager"), None],
            Who::Log => [Some(c"log"), None],
        };
        let texts = [PROGRAM]
            .into_iter()
            .chain(own.into_iter().flatten())
            .chain(self.arguments.iter().map(AsRef::as_ref));
        let (mut arguments, mut environment) =
            ([core::ptr::null(); ARGUMENTS_MAX], [core::ptr::null(); 2]);
        let request = Request {
            program: self.program.as_fd(),
            arguments: TextList::new(texts, &mut arguments).ok_or(kernel::Errno::TOOBIG)?,
            environment: TextList::new([ENVIRONMENT].into_iter(), &mut environment)
                .ok_or(kernel::Errno::TOOBIG)?,
            descriptors: &[theirs.as_fd()],
            first_descriptor: CHANNEL_DESCRIPTOR,
            cgroup: None,
            new_pid_namespace: false,
            open_files: None,
            numbers_below: None,
        };
        let child = kernel::spawn::spawn(&request, &mut self.stack, &mut [0])?;
        epoll::add(
            &self.epoll,
            &ours,
            Token::Channel(who).data(),
            EventFlags::IN,
        )?;
        self.watch_end(&child.pidfd, Token::Process(who))?;
        let pid = child.pid.as_raw_nonzero().get().unsigned_abs();
        if who == Who::Log {
            self.held.iter_mut().for_each(|held| held.told = false);
        }
        let client = self.client_mut(who);
        client.outbox = Outbox {
            streams: who == Who::Log,
            ..Outbox::fresh()
        };
        client.channel = Some(ours);
        client.interest = EventFlags::IN;
        client.process.state = State::Running {
            pid,
            pidfd: child.pidfd,
            since: now,
        };
        self.pump(who);
        Ok(())
    }
}
