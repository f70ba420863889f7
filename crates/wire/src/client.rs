//! A small client that waits: one connection, one call at a time.

use crate::failure::Failure;
use crate::frame::{Filled, FrameError, Inbox, MAX_REPLY_BYTES, send};
use crate::messages::{ADOPT_ONLY, Done, ServerReply};
use crate::methods::{Describe, Method};
use crate::request::{Answered, Response, write_call};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::value::RawValue;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Why a call got no reply.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or the caller may not connect.
    #[error("cannot connect to {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the kernel says.
        #[source]
        source: Errno,
    },
    /// The server is neither root nor the caller.
    #[error("{path} belongs to user {uid}: neither root nor you")]
    ForeignServer {
        /// The socket.
        path: PathBuf,
        /// Who listens there.
        uid: u32,
    },
    /// The connection broke.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The server closed before it answered.
    #[error("the manager closed the connection before it answered")]
    Closed,
    /// Manager after manager went away, and the one that is there says that those before it crashed.
    #[error(
        "{cut_off} managers went away before one answered, and the last ones crashed: this call may be why"
    )]
    Crashes {
        /// How many.
        cut_off: u32,
    },
    /// Manager after manager went away.
    #[error("{CUT_OFF_MAX} managers in a row went away before one answered")]
    Hopeless,
    /// The answer is not what the interface says.
    #[error("the manager's answer can't be read")]
    Format(#[from] serde_json::Error),
    /// The server says no.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<Errno> for ClientError {
    fn from(errno: Errno) -> Self {
        Self::Frame(FrameError::Socket(errno))
    }
}

impl ClientError {
    /// Did the other side go away, so that the next manager may be asked?
    fn is_loss(&self) -> bool {
        matches!(
            self,
            Self::Closed | Self::Frame(FrameError::Socket(Errno::PIPE | Errno::CONNRESET))
        )
    }
}

/// So many managers that went away, and the client asks the next one whether they crashed; before the keeper has seen as many crashes in
/// a row, no manager knows.
const DOUBT_AFTER: u32 = 5;
/// So many in a row, and the client gives up whatever they died of: somebody who kills them goes on killing.
const CUT_OFF_MAX: u32 = 200;
/// A manager that went on for this long with the call was not ended by it, and a row ends, in microseconds.
const LONG_LIFE_US: u64 = 60_000_000;

/// A connection to a manager.
#[derive(Debug)]
pub struct Client {
    /// Where the next manager is found, when this one goes away.
    path: Option<PathBuf>,
    socket: OwnedFd,
    inbox: Inbox,
    descriptors: Vec<OwnedFd>,
    meanwhile: Option<Meanwhile>,
}

/// What may happen while a reply is awaited.
struct Meanwhile {
    /// Becomes readable when it does.
    descriptor: OwnedFd,
    /// What is done then.
    act: Box<dyn FnOnce(OwnedFd)>,
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.descriptor.fmt(formatter)
    }
}

impl Client {
    /// Connects to the socket at `path` and checks that whoever listens there is root or the caller.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let mut client = Self::from_socket(connect(path)?);
        client.path = Some(path.into());
        Ok(client)
    }

    /// Uses a connection that is there, such as the standard input and output of `ssh … coracle stdio` joined in one socket.
    pub fn from_socket(socket: OwnedFd) -> Self {
        Self {
            path: None,
            socket,
            inbox: Inbox::new(MAX_REPLY_BYTES),
            descriptors: Vec::new(),
            meanwhile: None,
        }
    }

    /// When `descriptor` becomes readable while a reply is awaited, `act` is called with it, once; it must not keep the reply waiting.
    pub fn meanwhile(&mut self, descriptor: OwnedFd, act: impl FnOnce(OwnedFd) + 'static) {
        self.meanwhile = Some(Meanwhile {
            descriptor,
            act: Box::new(act),
        });
    }

    /// Calls a method and waits for its reply, over the death of the manager where that is safe: the next one is asked again.
    pub fn call<M: Method>(
        &mut self,
        method: M,
        input: &M::Input,
    ) -> Result<M::Reply, ClientError> {
        self.call_with(method, input, &[])
    }

    /// Calls a method with descriptors beside it; those of the reply are [`Client::take_descriptors`].
    pub fn call_with<M: Method>(
        &mut self,
        _method: M,
        input: &M::Input,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<M::Reply, ClientError> {
        self.call_as::<M, _>(input, descriptors, parameters)
    }

    /// As [`Client::call`], but gives the parameters of the reply as they came, for replies that are too large to be taken apart into
    /// values of their own.
    pub fn call_text<M: Method>(
        &mut self,
        _method: M,
        input: &M::Input,
    ) -> Result<Box<RawValue>, ClientError> {
        self.call_as::<M, _>(input, &[], text)
    }

    fn call_as<M: Method, T>(
        &mut self,
        input: &M::Input,
        descriptors: &[BorrowedFd<'_>],
        read: Read<T>,
    ) -> Result<T, ClientError> {
        let asked_us = monotonic_us();
        let (mut cut_off, mut since_us) = (0, asked_us);
        let mut outcome = self.call_once::<M, T>(input, descriptors, read);
        while outcome.as_ref().is_err_and(ClientError::is_loss) {
            let (Some(path), Some(again)) = (self.path.clone(), M::again(input, asked_us)) else {
                break;
            };
            let now_us = monotonic_us();
            if now_us.saturating_sub(since_us) >= LONG_LIFE_US {
                cut_off = 0;
            }
            (cut_off, since_us) = (cut_off + 1, now_us);
            if cut_off >= CUT_OFF_MAX {
                return Err(ClientError::Hopeless);
            }
            self.reconnect(&path)?;
            if cut_off >= DOUBT_AFTER && self.tells_of_crashes(&path)? {
                return Err(ClientError::Crashes { cut_off });
            }
            outcome = self.call_once::<M, T>(&again, descriptors, read);
        }
        outcome
    }

    fn reconnect(&mut self, path: &Path) -> Result<(), ClientError> {
        self.socket = connect(path)?;
        self.inbox = Inbox::new(MAX_REPLY_BYTES);
        Ok(())
    }

    /// Does the manager say that those before it crashed too often? One that goes away instead of saying anything does not.
    fn tells_of_crashes(&mut self, path: &Path) -> Result<bool, ClientError> {
        match self.call_once::<Describe, _>(&Done {}, &[], parameters::<ServerReply>) {
            Ok(server) => Ok(server.state == ADOPT_ONLY),
            Err(error) if error.is_loss() => self.reconnect(path).map(|()| false),
            Err(error) => Err(error),
        }
    }

    fn call_once<M: Method, T>(
        &mut self,
        input: &M::Input,
        descriptors: &[BorrowedFd<'_>],
        read: Read<T>,
    ) -> Result<T, ClientError> {
        let mut bytes = Vec::with_capacity(512);
        write_call(&mut bytes, M::NAME, input, Answered::Once)?;
        self.send(&bytes, descriptors)?;
        Ok(self.receive_as(read)?.0)
    }

    /// Says something to which no answer is wanted, not even that it could not be done.
    pub fn tell<M: Method>(&mut self, _method: M, input: &M::Input) -> Result<(), ClientError> {
        let mut bytes = Vec::with_capacity(512);
        write_call(&mut bytes, M::NAME, input, Answered::Never)?;
        self.send(&bytes, &[])
    }

    /// Calls a method that answers more than once; the answers are read from the result.
    pub fn more<M: Method>(
        &mut self,
        _method: M,
        input: &M::Input,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Answers<'_, M>, ClientError> {
        let mut bytes = Vec::with_capacity(512);
        write_call(&mut bytes, M::NAME, input, Answered::More)?;
        self.send(&bytes, descriptors)?;
        Ok(Answers {
            client: self,
            ended: false,
            method: std::marker::PhantomData,
        })
    }

    /// Calls a method by its name with parameters as JSON, for callers that only pass messages on.
    pub fn call_raw(
        &mut self,
        method: &str,
        parameters: &RawValue,
    ) -> Result<Box<RawValue>, ClientError> {
        let mut bytes = Vec::with_capacity(512);
        write_call(&mut bytes, method, &parameters, Answered::Once)?;
        self.send(&bytes, &[])?;
        self.receive_as(text).map(|(reply, _)| reply)
    }

    /// The descriptors that came with the last replies.
    pub fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.descriptors)
    }

    fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        let mut sent = send(&self.socket, bytes, descriptors, SendFlags::empty())?;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            sent += send(&self.socket, rest, &[], SendFlags::empty())?;
        }
        Ok(())
    }

    fn receive<M: Method>(&mut self) -> Result<(M::Reply, bool), ClientError> {
        self.receive_as(parameters)
    }

    fn receive_as<T>(&mut self, read: Read<T>) -> Result<(T, bool), ClientError> {
        loop {
            if let Some(frame) = self.inbox.frame()? {
                let result = read_response(frame, read);
                self.descriptors.extend(self.inbox.take_descriptors());
                return result;
            }
            self.watch_meanwhile()?;
            if self.inbox.fill(&self.socket, RecvFlags::empty())? == Filled::End {
                return Err(ClientError::Closed);
            }
        }
    }
}

impl Client {
    /// Waits for the other side, with an eye on what may happen meanwhile.
    fn watch_meanwhile(&mut self) -> Result<(), Errno> {
        while let Some(meanwhile) = &self.meanwhile {
            let mut both = [
                PollFd::new(&meanwhile.descriptor, PollFlags::IN),
                PollFd::new(&self.socket, PollFlags::IN),
            ];
            match poll(&mut both, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            let [happened, answered] = both.map(|one| !one.revents().is_empty());
            if let Some(Meanwhile { descriptor, act }) = self.meanwhile.take_if(|_| happened) {
                act(descriptor);
            }
            if answered {
                break;
            }
        }
        Ok(())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket that is connected to root or to the caller.
fn connect(path: &Path) -> Result<OwnedFd, ClientError> {
    let failed = |source| ClientError::Connect {
        path: path.into(),
        source,
    };
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(failed)?;
    let address = SocketAddrUnix::new(path).map_err(failed)?;
    rustix::net::connect(&socket, &address).map_err(failed)?;
    // Not rustix's, which has no place for the number 0 of a server outside our pid namespace.
    let server = kernel::socket::peer_credentials(&socket).map_err(failed)?;
    if server.uid != 0 && server.uid != rustix::process::geteuid().as_raw() {
        return Err(ClientError::ForeignServer {
            path: path.into(),
            uid: server.uid,
        });
    }
    Ok(socket)
}

/// Microseconds of the clock that does not jump.
fn monotonic_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let number = |part: i64| u64::try_from(part).unwrap_or_default();
    number(time.tv_sec) * 1_000_000 + number(time.tv_nsec) / 1_000
}

/// How the parameters of a reply become a value.
type Read<T> = fn(&RawValue) -> serde_json::Result<T>;

/// Into one of its own.
fn parameters<T: serde::de::DeserializeOwned>(text: &RawValue) -> serde_json::Result<T> {
    serde_json::from_str(text.get())
}

/// Not at all.
fn text(text: &RawValue) -> serde_json::Result<Box<RawValue>> {
    Ok(text.to_owned())
}

fn read_response<T>(frame: &[u8], read: Read<T>) -> Result<(T, bool), ClientError> {
    let response: Response<'_> = serde_json::from_slice(frame)?;
    if let Some(error) = response.error {
        return Err(Failure::read(&error, response.parameters).into());
    }
    let reply = match response.parameters {
        Some(parameters) => read(parameters)?,
        None => read(serde_json::from_str("{}")?)?,
    };
    Ok((reply, response.continues))
}

/// The answers of a call with `more`, as they come.
#[derive(Debug)]
pub struct Answers<'a, M> {
    client: &'a mut Client,
    ended: bool,
    method: std::marker::PhantomData<M>,
}

impl<M: Method> Iterator for Answers<'_, M> {
    type Item = Result<M::Reply, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let answer = self.client.receive::<M>();
        self.ended = !matches!(answer, Ok((_, true)));
        Some(answer.map(|(reply, _)| reply))
    }
}
