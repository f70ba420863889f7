//! The file system of an automount unit at its place: what may wait for the file systems on the way there, and is done by threads for that.

use kernel::autofs;
use model::escape::unescape_octal;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, open, statat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;

const CONTROL: &str = "/dev/autofs";
/// So many mounts that lie on each other are taken out.
const DEPTH_MAX: usize = 32;
/// umount2(2): a link is not followed.
const NO_FOLLOW: u32 = 8;

/// Where a unit's file system is, and how it is made.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: String,
    /// What the mount table has as its source, by which the instance knows its own.
    pub(super) source: String,
    pub(super) extra_options: String,
    pub(super) directory_mode: u32,
}

/// The end of the pipe at which the kernel asks, and the number of the device.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) pipe: OwnedFd,
    pub(super) device: u32,
}

/// Answers to who waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// What they wait for has come.
    Well,
    /// It could not be had.
    Failed,
    /// There is nobody any more who could bring it.
    Ended,
}

impl Answer {
    fn error(self) -> Option<Errno> {
        match self {
            Self::Well => None,
            Self::Failed => Some(Errno::NODEV),
            Self::Ended => Some(Errno::HOSTDOWN),
        }
    }
}

impl Place {
    fn name(&self) -> io::Result<CString> {
        Ok(CString::new(self.path.as_str())?)
    }

    /// Puts the file system there, or has that which is there already ask over a new pipe.
    pub(super) fn set(&self, device: Option<u32>) -> Result<Made, String> {
        let control = control().map_err(|error| format!("cannot open {CONTROL}: {error}"))?;
        if let Some(device) = device
            && let Ok(found) = autofs::open(&control, device, &self.name().map_err(told)?)
        {
            let pipe = take_over(&control, &found);
            let pipe = pipe
                .map_err(|errno| format!("its file system can't be taken over: {}", told(errno)))?;
            return Ok(Made { pipe, device });
        }
        self.clear()?;
        self.make_directory()
            .map_err(|error| format!("cannot make the directory {}: {error}", self.path))?;
        self.put()
            .map_err(|error| format!("cannot mount autofs at {}: {error}", self.path))
    }

    /// What a manager before us left there goes; what is somebody else's is in the way.
    fn clear(&self) -> Result<(), String> {
        for _ in 0..DEPTH_MAX {
            match self.lying().map_err(told)?.last() {
                None => return Ok(()),
                Some(top) if self.is_own(top) => self.take_top(None)?,
                Some(top) => {
                    return Err(format!(
                        "something is mounted at {} already: {}",
                        self.path, top.what
                    ));
                }
            }
        }
        Err(format!("too much is mounted at {}", self.path))
    }

    fn make_directory(&self) -> io::Result<()> {
        let mut directory = std::fs::DirBuilder::new();
        directory.recursive(true).mode(self.directory_mode);
        directory.create(&self.path)?;
        let found = statat(rustix::fs::CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => Ok(()),
            _ => Err(io::Error::other("it is a link")),
        }
    }

    fn put(&self) -> io::Result<Made> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let mut options = format!("fd={},minproto=5,maxproto=5,direct", theirs.as_raw_fd());
        if !self.extra_options.is_empty() {
            options = format!("{options},{}", self.extra_options);
        }
        // Without `pgrp=` it lets through our own group of processes, to which mount(8) and umount(8) of units belong.
        let options = CString::new(options)?;
        mount(
            self.source.as_str(),
            self.path.as_str(),
            "autofs",
            MountFlags::empty(),
            options.as_c_str(),
        )?;
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let found = statat(rustix::fs::CWD, &self.path, flags)?;
        // The kernel's own form of a device's number has 32 bits.
        let device = u32::try_from(found.st_dev).map_err(io::Error::other)?;
        Ok(Made { pipe: ours, device })
    }

    /// Turns away who waits, and takes the file system out with what lies on it.
    pub(super) fn unset(&self, device: Option<u32>, waits: &[u32]) -> Result<(), String> {
        if let Some(device) = device
            && let Ok(control) = control()
            && let Ok(found) = autofs::open(&control, device, &self.name().map_err(told)?)
        {
            answer_each(&control, &found, waits, Answer::Ended)?;
            autofs::make_catatonic(&control, &found).map_err(told)?;
        }
        for _ in 0..DEPTH_MAX {
            let lying = self.lying().map_err(told)?;
            if !lying.iter().any(|one| self.is_own(one)) {
                return Ok(());
            }
            self.take_top(device)?;
        }
        Err(format!("too much is mounted at {}", self.path))
    }

    fn take_top(&self, device: Option<u32>) -> Result<(), String> {
        let flags = kernel::mount::DETACH | NO_FOLLOW;
        let name = self.name().map_err(told)?;
        kernel::mount::unmount(&name, flags).map_err(|errno| {
            let which = device.map_or_else(String::new, |device| format!(" (device {device})"));
            format!(
                "cannot unmount autofs{which} at {}: {}",
                self.path,
                told(errno)
            )
        })
    }

    /// Lets those go who wait by these numbers.
    pub(super) fn answer(&self, device: u32, waits: &[u32], answer: Answer) -> Result<(), String> {
        let control = control().map_err(|error| format!("cannot open {CONTROL}: {error}"))?;
        match autofs::open(&control, device, &self.name().map_err(told)?) {
            // Who waited there was let go of with it.
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(format!(
                "cannot open autofs at {}: {}",
                self.path,
                told(errno)
            )),
            Ok(found) => answer_each(&control, &found, waits, answer),
        }
    }

    /// Has the kernel ask for the mount's end if nobody was there for so many seconds, and waits for the answer to that.
    pub(super) fn expire(&self, device: u32, seconds: u64) -> Result<(), String> {
        let control = control().map_err(|error| format!("cannot open {CONTROL}: {error}"))?;
        let found = match autofs::open(&control, device, &self.name().map_err(told)?) {
            Err(Errno::NOENT) => return Ok(()),
            found => found.map_err(told)?,
        };
        autofs::set_timeout(&control, &found, seconds).map_err(told)?;
        match autofs::expire(&control, &found) {
            // It is in use, or could not be unmounted; or there was nothing to unmount.
            Ok(()) | Err(Errno::AGAIN | Errno::NODEV | Errno::HOSTDOWN | Errno::NOENT) => Ok(()),
            Err(errno) => Err(format!("its idleness can't be told: {}", told(errno))),
        }
    }

    /// What is mounted there, the uppermost last.
    fn lying(&self) -> io::Result<Vec<Lying>> {
        Ok(lying(&std::fs::read("/proc/self/mountinfo")?, &self.path))
    }

    fn is_own(&self, lying: &Lying) -> bool {
        lying.kind == "autofs" && lying.what == self.source
    }
}

/// Of one mount at a place.
#[derive(Debug, PartialEq, Eq)]
struct Lying {
    kind: String,
    what: String,
}

/// proc_pid_mountinfo(5)
fn lying(table: &[u8], place: &str) -> Vec<Lying> {
    let text = |word: &[u8]| String::from_utf8_lossy(&unescape_octal(word)).into_owned();
    let mut found = Vec::new();
    for line in table.split(|byte| *byte == b'\n') {
        let mut words = line.split(|byte| *byte == b' ');
        if words.nth(4).map(text).as_deref() != Some(place) {
            continue;
        }
        let mut words = words.skip_while(|word| *word != b"-").skip(1);
        if let (Some(kind), Some(what)) = (words.next(), words.next()) {
            let (kind, what) = (text(kind), text(what));
            found.push(Lying { kind, what });
        }
    }
    found
}

fn control() -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(open(CONTROL, flags, Mode::empty())?)
}

/// Who waited is let go of, as nobody knows their numbers any more, and comes again.
fn take_over(control: &OwnedFd, found: &OwnedFd) -> Result<OwnedFd, Errno> {
    autofs::make_catatonic(control, found)?;
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    autofs::set_pipe(control, found, &theirs)?;
    Ok(ours)
}

fn answer_each(
    control: &OwnedFd,
    found: &OwnedFd,
    waits: &[u32],
    answer: Answer,
) -> Result<(), String> {
    for token in waits {
        match autofs::answer(control, found, *token, answer.error()) {
            // Nobody waits by it: it was answered before.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(format!("who waits can't be answered: {}", told(errno))),
        }
    }
    Ok(())
}

fn told(error: impl Into<io::Error>) -> String {
    error.into().to_string()
}

#[cfg(test)]
mod tests {
    use super::{Lying, lying};

    #[test]
    fn what_lies_at_a_place_is_told_from_below() {
        let table = b"22 1 254:1 / / rw - ext4 /dev/vda1 rw\n\
            30 22 0:50 / /srv/a\\040b rw shared:1 - autofs coracle:/run/a rw,fd=5\n\
            31 30 0:40 / /srv/a\\040b/c ro - tmpfs other rw\n\
            32 30 0:41 / /srv/a\\040b ro - tmpfs tmp rw\nbroken\n";
        let kinds = |place| {
            let all = lying(table, place).into_iter();
            all.map(|Lying { kind, what }| format!("{kind} {what}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            kinds("/srv/a b"),
            ["autofs coracle:/run/a", "tmpfs tmp"].map(str::to_owned)
        );
        assert!(kinds("/srv").is_empty());
    }
}
