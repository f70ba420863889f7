//! The keeper executes itself anew: its inventory travels in a memory file, its descriptors keep their numbers.
//!
//! The file holds a head, then one record per child and held descriptor: the protocol's own inventory messages, each with
//! the numbers of its descriptors. Signals stay blocked over exec and pidfds stay readable, so nothing is missed between.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::Read;

use kernel::process::TextList;
use kernel::{Errno, Result};
use rustix::event::epoll::{self, EventFlags};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::child::{Child, Label};
use crate::clock::Moment;
use crate::held::Held;
use crate::keeper::{Client, Keeper, Token, Who};
use crate::outgoing::Outbox;
use crate::protocol::{Event, MESSAGE_BYTES_MAX, Malformed, Reader, Writer};
use crate::starter::{ARGUMENTS_MAX, PROGRAM};
use crate::supervised::{State, Supervised};

/// The internal argument, followed by the number of the memory file.
pub(crate) const ARGUMENT: &str = "--resume-fd";
/// First number of the file.
const MAGIC: u32 = u32::from_ne_bytes(*b"crkp");
/// The layout of the file.
const VERSION: u16 = 1;
/// Room for one record: a message, a count, a flag and a handful of numbers.
const RECORD_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 64;
/// What stands for a descriptor that is not there.
const NONE: RawFd = -1;

impl Keeper {
    /// Returns only if it failed; then everything is as it was.
    pub(crate) fn execute_anew(&mut self) -> Errno {
        let failure = self
            .write_inventory()
            .and_then(|inventory| self.execute_program(&inventory));
        // Some of them may be open to be inherited.
        match kernel::descriptor::close_range_at_exec(3, u32::MAX) {
            Ok(()) => {}
            Err(errno) => return errno,
        }
        failure.err().unwrap_or(Errno::NOEXEC)
    }

    /// Becomes what ends the machine; returns only where that fails.
    pub(crate) fn execute_end(&self, power: &CStr, argument: &CStr) -> Errno {
        let (mut words, mut none) = ([core::ptr::null(); 5], [core::ptr::null(); 1]);
        let words = TextList::new([PROGRAM, c"end", power, argument].into_iter(), &mut words);
        let (Some(words), Some(none)) = (words, TextList::new([].into_iter(), &mut none)) else {
            return Errno::TOOBIG;
        };
        kernel::process::execute(&self.program, words, none)
    }

    fn execute_program(&self, inventory: &OwnedFd) -> Result<()> {
        let number = CString::new(inventory.as_raw_fd().to_string()).map_err(|_| Errno::INVAL)?;
        let resume = CString::new(ARGUMENT).map_err(|_| Errno::INVAL)?;
        let own = [PROGRAM, c"keeper", &resume, &number];
        let texts = own
            .into_iter()
            .chain(self.arguments.iter().map(AsRef::as_ref));
        // What it was started with stays what PassEnvironment= passes on.
        let variables = variables();
        let mut arguments = [core::ptr::null(); ARGUMENTS_MAX];
        let mut room = vec![core::ptr::null(); variables.len() + 1];
        let arguments = TextList::new(texts, &mut arguments).ok_or(Errno::TOOBIG)?;
        let environment = variables.iter().map(AsRef::as_ref);
        let environment = TextList::new(environment, &mut room).ok_or(Errno::TOOBIG)?;
        Err(kernel::process::execute(
            &self.program,
            arguments,
            environment,
        ))
    }

    /// Writes the file, and lets all that it names be inherited.
    fn write_inventory(&self) -> Result<OwnedFd> {
        let file = kernel::memory::memory_file(c"coracle-inventory")?;
        pass_on(file.as_fd())?;
        write_record(&file, |record| {
            record.u32(MAGIC);
            record.u16(VERSION);
            record.u64(self.open_files.0);
            record.u64(self.open_files.1);
            record.u64(self.asked_to_end);
            record.u32(self.deaths_while_ending);
        })?;
        for client in [&self.manager, &self.log] {
            write_client(&file, client)?;
        }
        for (_, child) in self.children.iter() {
            let (descriptors, count) = child.descriptors();
            write_row(
                &file,
                child.record(),
                descriptors.get(..count).unwrap_or_default(),
                child.told,
            )?;
        }
        for (_, held) in self.held.iter() {
            write_row(&file, held.record(), &[held.descriptor.as_fd()], held.told)?;
        }
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
        Ok(file)
    }
}

/// The variables that this process was started with.
fn variables() -> Vec<CString> {
    let line = |(name, value): (OsString, OsString)| {
        let line = [name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat();
        CString::new(line).ok()
    };
    std::env::vars_os().filter_map(line).collect()
}

/// Lets a descriptor survive the exec under its number.
fn pass_on(descriptor: BorrowedFd<'_>) -> Result<()> {
    fcntl_setfd(descriptor, FdFlags::empty())
}

/// A record is its length and its bytes.
fn write_record(file: &OwnedFd, fill: impl FnOnce(&mut Writer<'_>)) -> Result<()> {
    let mut bytes = [0; RECORD_BYTES_MAX];
    let (length, body) = bytes.split_at_mut(2);
    let mut writer = Writer::new(body);
    fill(&mut writer);
    let used = writer.used();
    Writer::new(length).u16(u16::try_from(used).map_err(|_| Errno::OVERFLOW)?);
    let record = bytes.get(..used + 2).unwrap_or_default();
    if rustix::io::write(file, record)? == record.len() {
        Ok(())
    } else {
        Err(Errno::NOSPC)
    }
}

fn write_row(
    file: &OwnedFd,
    event: Event<'_>,
    descriptors: &[BorrowedFd<'_>],
    told: bool,
) -> Result<()> {
    descriptors
        .iter()
        .try_for_each(|descriptor| pass_on(*descriptor))?;
    write_record(file, |record| {
        record.u16(u16::from(told));
        record.u16(u16::try_from(descriptors.len()).unwrap_or_default());
        descriptors
            .iter()
            .for_each(|descriptor| record.i32(descriptor.as_raw_fd()));
        record.raw(event.encode().as_bytes());
    })
}

fn write_client(file: &OwnedFd, client: &Client) -> Result<()> {
    let (pid, pidfd, moment) = match &client.process.state {
        State::Running { pid, pidfd, since } => (*pid, Some(pidfd), *since),
        State::Waiting { until } => (0, None, *until),
        State::Off => (0, None, Moment(u64::MAX)),
    };
    for descriptor in pidfd.into_iter().chain(&client.channel) {
        pass_on(descriptor.as_fd())?;
    }
    let number = |descriptor: Option<&OwnedFd>| descriptor.map_or(NONE, AsRawFd::as_raw_fd);
    write_record(file, |record| {
        record.u32(pid);
        record.i32(number(pidfd));
        record.i32(number(client.channel.as_ref()));
        record.u64(moment.0);
        record.u32(client.process.restarts);
        record.u32(client.process.crashes);
        record.u16(u16::from(client.process.restart_wanted));
        record.u16(u16::from(client.process.adopt_only));
        record.u16(u16::from(client.outbox.hello));
        record.u16(u16::from(client.outbox.introduced));
        record.u64(client.outbox.signals);
    })
}

/// What a predecessor left.
pub(crate) struct Inventory {
    bytes: Vec<u8>,
}

/// Why an inventory is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResumeError {
    #[error("cannot read the inventory of the keeper before this one")]
    Read(#[source] std::io::Error),
    #[error("the inventory of the keeper before this one is not understood")]
    Malformed(#[from] Malformed),
    #[error("cannot take over what the keeper before this one held")]
    Kernel(#[from] Errno),
}

/// The arguments without the internal one, and the number that it named.
pub(crate) fn split(arguments: Vec<OsString>) -> (Vec<OsString>, Option<RawFd>) {
    let mut rest = Vec::with_capacity(arguments.len());
    let mut number = None;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == ARGUMENT {
            number = arguments
                .next()
                .and_then(|text| text.to_str()?.parse().ok());
        } else {
            rest.push(argument);
        }
    }
    (rest, number)
}

impl Inventory {
    pub(crate) fn read(number: RawFd) -> core::result::Result<Self, ResumeError> {
        let mut bytes = Vec::new();
        let file = kernel::descriptor::take_inherited(number)?;
        File::from(file)
            .read_to_end(&mut bytes)
            .map_err(ResumeError::Read)?;
        Ok(Self { bytes })
    }

    /// The limit of open descriptors that children are to get: the first keeper's, not what it raised it to.
    pub(crate) fn open_files(&self) -> core::result::Result<(u64, u64), ResumeError> {
        let mut head = Records { rest: &self.bytes }
            .next()?
            .ok_or(Malformed::Length)?;
        check_version(&mut head)?;
        Ok((head.u64()?, head.u64()?))
    }

    /// Puts everything in its place.
    pub(crate) fn restore(&self, keeper: &mut Keeper) -> core::result::Result<(), ResumeError> {
        let mut records = Records { rest: &self.bytes };
        let mut head = records.next()?.ok_or(Malformed::Length)?;
        check_version(&mut head)?;
        let _open_files = (head.u64()?, head.u64()?);
        keeper.asked_to_end = head.u64()?;
        keeper.deaths_while_ending = head.u32()?;
        for who in [Who::Manager, Who::Log] {
            let client = read_client(&mut records.next()?.ok_or(Malformed::Length)?, who)?;
            keeper.adopt_client(who, client)?;
        }
        while let Some(mut record) = records.next()? {
            keeper.adopt_row(&mut record)?;
        }
        // The log process becomes the new program's, too. The sockets that it reads are ours, and what it took of them is on file.
        keeper.log.process.want_restart();
        keeper.log.process.kill();
        Ok(())
    }
}

fn check_version(head: &mut Reader<'_>) -> core::result::Result<(), Malformed> {
    if head.u32()? != MAGIC {
        return Err(Malformed::Magic);
    }
    match head.u16()? {
        VERSION => Ok(()),
        other => Err(Malformed::Version(other)),
    }
}

struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    fn next(&mut self) -> core::result::Result<Option<Reader<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (length, rest) = self
            .rest
            .split_first_chunk::<2>()
            .ok_or(Malformed::Length)?;
        let (record, rest) = rest
            .split_at_checked(usize::from(u16::from_ne_bytes(*length)))
            .ok_or(Malformed::Length)?;
        self.rest = rest;
        Ok(Some(Reader::new(record)))
    }
}

fn read_client(record: &mut Reader<'_>, who: Who) -> core::result::Result<Client, ResumeError> {
    let (pid, pidfd, channel) = (record.u32()?, record.i32()?, record.i32()?);
    let moment = Moment(record.u64()?);
    let take = |number: RawFd| {
        (number != NONE)
            .then(|| kernel::descriptor::take_inherited(number))
            .transpose()
    };
    let state = match take(pidfd)? {
        Some(pidfd) => State::Running {
            pid,
            pidfd,
            since: moment,
        },
        None if moment == Moment(u64::MAX) => State::Off,
        None => State::Waiting { until: moment },
    };
    let process = Supervised {
        state,
        restarts: record.u32()?,
        crashes: record.u32()?,
        restart_wanted: record.u16()? != 0,
        adopt_only: record.u16()? != 0,
    };
    let mut client = Client::new(process);
    client.channel = take(channel)?;
    client.outbox = Outbox {
        hello: record.u16()? != 0,
        introduced: record.u16()? != 0,
        exits: true,
        signals: record.u64()?,
        streams: who == Who::Log,
        ..Outbox::default()
    };
    Ok(client)
}

impl Keeper {
    fn adopt_client(&mut self, who: Who, mut client: Client) -> Result<()> {
        if let Some(channel) = &client.channel {
            client.interest = EventFlags::IN;
            epoll::add(
                &self.epoll,
                channel,
                Token::Channel(who).data(),
                EventFlags::IN,
            )?;
        }
        if let Some(pidfd) = client.process.pidfd() {
            self.watch_end(pidfd, Token::Process(who))?;
        }
        *self.client_mut(who) = client;
        Ok(())
    }

    fn adopt_row(&mut self, record: &mut Reader<'_>) -> core::result::Result<(), ResumeError> {
        let told = record.u16()? != 0;
        let mut descriptors = Vec::new();
        for _ in 0..record.u16()? {
            descriptors.push(kernel::descriptor::take_inherited(record.i32()?)?);
        }
        let mut descriptors = descriptors.into_iter();
        let first = descriptors.next().ok_or(Malformed::Field)?;
        match Event::decode(record.rest())? {
            Event::Child {
                key,
                role,
                pid,
                state,
                watched,
                label,
            } => {
                let kept = std::array::from_fn(|_| descriptors.next());
                let child = Child {
                    key,
                    role,
                    pid,
                    pidfd: first,
                    kept,
                    state,
                    watched,
                    told,
                    label: Label::new(label),
                };
                let place = self
                    .children
                    .insert(child.tags(), child)
                    .map_err(|_| Errno::NOSPC)?;
                self.watch_child(place);
            }
            Event::Held { class, name } => {
                let mut held = Held::new(class, name, first);
                held.told = told;
                self.held
                    .insert(held.tags(), held)
                    .map_err(|_| Errno::NOSPC)?;
            }
            _ => return Err(Malformed::Field.into()),
        }
        Ok(())
    }
}
