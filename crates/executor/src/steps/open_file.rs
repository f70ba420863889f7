//! Files for the service: before any namespace, since they are the host's, and before the user changes, since it need not be able to.

use core::ffi::CStr;

use kernel::rustix::fd::AsRawFd;
use kernel::rustix::fs::{FileType, Mode, OFlags, fstat, open};
use kernel::rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect, shutdown,
    socket_with,
};
use kernel::walk::Place;
use kernel::{Errno, OwnedFd, Result};
use plan::frame::MAX_DESCRIPTORS;

use crate::state::{ASIDE, State};
use crate::steps::proc_file::Digits;

/// `/proc/self/fd/` with a number.
const LINK_BYTES: usize = 40;
/// Bits of a word.
const WORD: usize = 64;

/// What became of the files.
#[derive(Default)]
pub(crate) struct Opened {
    /// How many were asked for.
    asked: usize,
    /// How many of them are there.
    pub(crate) there: usize,
    /// A bit for each of those that are not, which is no failure.
    missing: [u64; MAX_DESCRIPTORS.div_ceil(WORD)],
}

impl Opened {
    /// Whether the file of this place among those of the service is missing.
    pub(crate) fn is_missing(&self, place: usize) -> bool {
        let word = self.missing.get(place / WORD);
        word.is_some_and(|word| word & (1 << (place % WORD)) != 0)
    }

    /// Whether there are fewer than were asked for.
    pub(crate) fn are_fewer(&self) -> bool {
        self.there < self.asked
    }
}

/// Opens one and keeps it in the next place after the passed descriptors.
pub(super) fn take(state: &mut State<'_>, path: &CStr, flags: u32, optional: bool) -> Result<()> {
    let found = opened(path, OFlags::from_bits_retain(flags));
    let place = state.opened.asked;
    state.opened.asked += 1;
    let file = match found {
        Ok(file) => file,
        Err(_) if optional => {
            let word = state.opened.missing.get_mut(place / WORD);
            *word.ok_or(Errno::MFILE)? |= 1 << (place % WORD);
            return Ok(());
        }
        Err(errno) => return Err(errno),
    };
    // Out of the way of the numbers that the service's descriptors get.
    let file = kernel::descriptor::duplicate_from(&file, ASIDE)?;
    let place = state.frame.roles.len() + state.opened.there;
    *state.passed.get_mut(place).ok_or(Errno::MFILE)? = Some(file);
    state.opened.there += 1;
    Ok(())
}

/// What is there is looked at first: a socket can't be opened, and what was looked at is what is opened.
fn opened(path: &CStr, flags: OFlags) -> Result<OwnedFd> {
    // It may lie in a directory of a service, which may have laid a link there for who opens it as root.
    let found = Place::find(path, |_| None)?.open()?;
    let mut room = [0; LINK_BYTES];
    let link = link_of(&found, &mut room)?;
    match FileType::from_raw_mode(fstat(&found)?.st_mode) {
        FileType::Socket => connected(link, flags),
        _ => open(link, flags | OFlags::CLOEXEC, Mode::empty()),
    }
}

/// Nobody says what kind of socket it is but the kernel, which refuses another.
fn connected(link: &CStr, flags: OFlags) -> Result<OwnedFd> {
    let address = SocketAddrUnix::new(link)?;
    let kinds = [SocketType::STREAM, SocketType::DGRAM, SocketType::SEQPACKET];
    for kind in kinds {
        let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        match connect(&socket, &address) {
            Err(Errno::PROTOTYPE) => continue,
            done => done?,
        }
        if flags & OFlags::RWMODE == OFlags::RDONLY {
            shutdown(&socket, Shutdown::Write)?;
        }
        return Ok(socket);
    }
    Err(Errno::PROTOTYPE)
}

fn link_of<'a>(file: &OwnedFd, room: &'a mut [u8; LINK_BYTES]) -> Result<&'a CStr> {
    const PREFIX: &[u8] = b"/proc/self/fd/";
    let mut digits = Digits::new();
    let digits = digits.unsigned(file.as_raw_fd().unsigned_abs().into());
    let end = PREFIX.len() + digits.len();
    let (prefix, number) = (room.get_mut(..PREFIX.len()), PREFIX.len()..end);
    prefix.ok_or(Errno::OVERFLOW)?.copy_from_slice(PREFIX);
    let number = room.get_mut(number).ok_or(Errno::OVERFLOW)?;
    number.copy_from_slice(digits);
    CStr::from_bytes_until_nul(room).map_err(|_| Errno::OVERFLOW)
}
