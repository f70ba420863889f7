//! One client's connection: calls in, answers out, never waiting for either, never growing without a limit.

use crate::poll::{Poll, Token};
use rustix::net::{RecvFlags, SendFlags};
use serde::Serialize;
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use wire::frame::{Filled, Inbox, MAX_REQUEST_BYTES, send};
use wire::request::{Request, write_failure, write_reply};
use wire::{Call, Failure};

/// Bytes of answers that a client may leave unread; the status of all units of a large host fits.
const UNREAD_BYTES_MAX: usize = 64 << 20;
/// Bytes of events that may wait for a slow reader before they are replaced by one that says so.
const UNREAD_EVENT_BYTES_MAX: usize = 1 << 20;

/// Bytes in one request of somebody who may only list and see: hundreds of names, and no pattern that takes long.
const STRANGER_REQUEST_BYTES_MAX: usize = 16 << 10;
/// Bytes of answers that may be unread when the next call is carried out.
const UNREAD_BEFORE_NEXT_MAX: usize = 256 << 10;

/// Who is at the other end, as the kernel vouched when it connected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    /// Root, and in user position the user whose instance it is.
    pub(crate) owns: bool,
}

/// A call, with what came with it.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) call: Result<Call, Failure>,
    pub(crate) more: bool,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Bytes that go out together with descriptors.
#[derive(Debug, Default)]
struct Segment {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: Vec<OwnedFd>,
}

/// A client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u32,
    pub(crate) peer: Peer,
    socket: OwnedFd,
    inbox: Inbox,
    outbox: VecDeque<Segment>,
    unread: usize,
    /// A call is being carried out; the next one waits.
    busy: bool,
    /// The call that is being carried out wants no answer.
    silent: bool,
    /// The call that is being carried out takes several answers.
    pub(crate) more: bool,
    /// It watches units of these patterns.
    pub(crate) monitor: Option<Vec<String>>,
    /// Events were left out.
    overflowed: bool,
    /// The next call waits until more of the answers is read.
    held: bool,
    /// Bytes came while a call is carried out; no more are read until it is answered.
    ahead: bool,
    /// What epoll was asked for: reading, writing.
    interest: (bool, bool),
    gone: bool,
}

impl Connection {
    pub(crate) fn new(
        number: u32,
        socket: OwnedFd,
        poll: &Poll,
    ) -> Result<Self, rustix::io::Errno> {
        // Not rustix's, which takes the number 0 of a client outside our pid namespace for an error.
        let credentials = kernel::socket::peer_credentials(&socket)?;
        let peer = Peer {
            uid: credentials.uid,
            owns: credentials.uid == 0 || credentials.uid == rustix::process::geteuid().as_raw(),
        };
        poll.watch(&socket, Token::Client(number))?;
        Ok(Self {
            number,
            peer,
            socket,
            inbox: Inbox::new(if peer.owns {
                MAX_REQUEST_BYTES
            } else {
                STRANGER_REQUEST_BYTES_MAX
            }),
            outbox: VecDeque::new(),
            unread: 0,
            busy: false,
            silent: false,
            more: false,
            monitor: None,
            overflowed: false,
            held: false,
            ahead: false,
            interest: (true, false),
            gone: false,
        })
    }

    /// Is there nothing more to be done for this client?
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Is everything sent?
    pub(crate) fn is_idle(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Takes what has arrived.
    pub(crate) fn receive(&mut self) {
        match self.inbox.fill(&self.socket, RecvFlags::DONTWAIT) {
            Ok(Filled::Some) => self.ahead = self.busy,
            Ok(Filled::WouldBlock) => {}
            Ok(Filled::End) | Err(_) => self.gone = true,
        }
    }

    /// The next call, unless one is being carried out.
    pub(crate) fn next_call(&mut self) -> Option<Incoming> {
        // Whoever reads no answers gets no more of them: a few bytes of calls must not fill the memory.
        self.held = self.unread > UNREAD_BEFORE_NEXT_MAX;
        if self.busy || self.gone || self.held {
            return None;
        }
        let (call, more, oneway) = match self.inbox.frame() {
            Ok(Some(frame)) => match Request::read(frame) {
                Ok(request) => (
                    Call::read(&request.method, request.parameters),
                    request.more,
                    request.oneway,
                ),
                Err(failure) => (Err(failure), false, false),
            },
            Ok(None) => return None,
            Err(_) => {
                self.gone = true;
                return None;
            }
        };
        (self.busy, self.more, self.silent) = (true, more, oneway);
        let takes_descriptors = matches!(call, Ok(Call::StartTransient(_)));
        let descriptors = if takes_descriptors {
            self.inbox.take_descriptors()
        } else {
            Vec::new()
        };
        Some(Incoming {
            call,
            more,
            descriptors,
        })
    }

    /// Answers the call for good.
    pub(crate) fn reply<T: Serialize>(&mut self, parameters: &T) {
        self.write(|bytes| write_reply(bytes, parameters, false), Vec::new());
        self.busy = false;
    }

    /// Answers the call for good with bytes that are an answer; none is one that could not be written.
    pub(crate) fn reply_written(&mut self, answer: Option<Vec<u8>>) {
        self.queue(answer, Vec::new());
        self.busy = false;
    }

    /// Answers the call for good, with descriptors.
    pub(crate) fn reply_with<T: Serialize>(&mut self, parameters: &T, descriptors: Vec<OwnedFd>) {
        self.write(|bytes| write_reply(bytes, parameters, false), descriptors);
        self.busy = false;
    }

    /// Answers the call, and more follows.
    pub(crate) fn reply_more<T: Serialize>(&mut self, parameters: &T) {
        self.write(|bytes| write_reply(bytes, parameters, true), Vec::new());
    }

    /// Refuses the call.
    pub(crate) fn refuse(&mut self, failure: &Failure) {
        self.write(|bytes| write_failure(bytes, failure), Vec::new());
        self.busy = false;
    }

    /// Passes an event on; gives false when the reader is too slow and it was left out.
    pub(crate) fn event(&mut self, event: &wire::Event) {
        if self.unread > UNREAD_EVENT_BYTES_MAX {
            self.overflowed = true;
            return;
        }
        if std::mem::take(&mut self.overflowed) {
            self.reply_more(&wire::Event {
                kind: "overflow".into(),
                realtime_us: event.realtime_us,
                ..wire::Event::default()
            });
        }
        self.reply_more(event);
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>,
        descriptors: Vec<OwnedFd>,
    ) {
        if self.silent || self.gone {
            return;
        }
        let mut bytes = Vec::with_capacity(512);
        let is_written = write(&mut bytes).is_ok();
        self.queue(is_written.then_some(bytes), descriptors);
    }

    fn queue(&mut self, bytes: Option<Vec<u8>>, descriptors: Vec<OwnedFd>) {
        if self.silent || self.gone {
            return;
        }
        let fits = |bytes: &Vec<u8>| self.unread + bytes.len() <= UNREAD_BYTES_MAX;
        let Some(bytes) = bytes.filter(fits) else {
            self.gone = true;
            return;
        };
        self.unread += bytes.len();
        self.outbox.push_back(Segment {
            bytes,
            sent: 0,
            descriptors,
        });
    }

    /// Sends what can be sent, and asks to be told when there is room for the rest.
    pub(crate) fn flush(&mut self, poll: &Poll) {
        while let Some(segment) = self.outbox.front_mut() {
            let borrowed: Vec<_> = segment.descriptors.iter().map(AsFd::as_fd).collect();
            let rest = segment.bytes.get(segment.sent..).unwrap_or_default();
            match send(&self.socket, rest, &borrowed, SendFlags::DONTWAIT) {
                Ok(sent) => {
                    segment.sent += sent;
                    segment.descriptors.clear();
                    self.unread = self.unread.saturating_sub(sent);
                    if segment.sent >= segment.bytes.len() {
                        self.outbox.pop_front();
                    }
                }
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => {
                    self.gone = true;
                    break;
                }
            }
        }
        self.adjust_interest(poll);
    }

    /// A client that sends calls while one is carried out has to wait: a flood of calls must not fill the memory.
    fn adjust_interest(&mut self, poll: &Poll) {
        self.ahead &= self.busy;
        let wanted = (
            !self.ahead && !self.held,
            !self.outbox.is_empty() || self.held,
        );
        if wanted == self.interest || self.gone {
            return;
        }
        self.interest = wanted;
        if poll
            .rewatch(&self.socket, Token::Client(self.number), wanted.0, wanted.1)
            .is_err()
        {
            self.gone = true;
        }
    }

    /// The other side hung up: nothing can be answered any more.
    pub(crate) fn hang_up(&mut self) {
        self.gone = true;
    }
}

impl Drop for Connection {
    /// What anybody passed along is closed aside: it may take as long as they like.
    fn drop(&mut self) {
        kernel::message::retire(&self.socket);
        kernel::aside::close(self.inbox.take_descriptors());
    }
}
