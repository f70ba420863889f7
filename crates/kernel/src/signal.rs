//! Signal masks, dispositions and signalfd, without a C library's bookkeeping.

use linux_raw_sys::general as sys;
use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use self::number::{SIGKILL, SIGSTOP};
use crate::Result;
use crate::syscall::syscall;

/// The highest signal number.
pub const SIGNAL_MAX: i32 = 64;
/// The first real-time signal as the kernel counts, before a C library takes some for itself.
pub const REAL_TIME_FIRST: i32 = 32;

/// Signals by name: their numbers on x86, ARM and RISC-V (asm-generic/signal.h).
#[allow(missing_docs, reason = "the names are signal(7)'s")]
pub mod number {
    pub const SIGHUP: i32 = 1;
    pub const SIGINT: i32 = 2;
    pub const SIGTRAP: i32 = 5;
    pub const SIGKILL: i32 = 9;
    pub const SIGUSR1: i32 = 10;
    pub const SIGUSR2: i32 = 12;
    pub const SIGPIPE: i32 = 13;
    pub const SIGTERM: i32 = 15;
    pub const SIGCHLD: i32 = 17;
    pub const SIGCONT: i32 = 18;
    pub const SIGSTOP: i32 = 19;
    pub const SIGWINCH: i32 = 28;
    pub const SIGPWR: i32 = 30;
    /// As C libraries count: the kernel's first ones are theirs.
    pub const SIGRTMIN: i32 = 34;
}

/// A set of signals, one bit each, as the kernel has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal.
    pub const FULL: Self = Self(u64::MAX);

    /// This set and `signal`; numbers that are no signal change nothing.
    #[must_use]
    pub const fn with(self, signal: i32) -> Self {
        if signal < 1 || signal > SIGNAL_MAX {
            self
        } else {
            Self(self.0 | 1 << (signal - 1))
        }
    }

    /// Whether `signal` is in the set.
    #[must_use]
    pub const fn contains(self, signal: i32) -> bool {
        signal >= 1 && signal <= SIGNAL_MAX && self.0 & 1 << (signal - 1) != 0
    }
}

/// Replaces this thread's mask of blocked signals; answers the old one.
pub fn set_mask(blocked: SignalSet) -> Result<SignalSet> {
    let mut old = SignalSet::EMPTY;
    // SAFETY: rt_sigprocmask reads one set and writes one, of 8 bytes each, as the last argument says.
    unsafe {
        syscall(
            sys::__NR_rt_sigprocmask,
            [
                sys::SIG_SETMASK as usize,
                core::ptr::from_ref(&blocked) as usize,
                core::ptr::from_mut(&mut old) as usize,
                8,
                0,
                0,
            ],
        )
    }?;
    Ok(old)
}

/// A simple disposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// What the kernel does by default.
    Default,
    /// The signal is dropped; this survives exec.
    Ignore,
}

#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// Sets how `signal` is taken. For SIGCHLD, stopped children make no signal.
pub fn set_disposition(signal: i32, disposition: Disposition) -> Result<()> {
    const SA_NOCLDSTOP: u64 = 1;
    let handler = match disposition {
        Disposition::Default => 0,
        Disposition::Ignore => 1,
    };
    let action = KernelAction {
        handler,
        flags: if signal == 17 { SA_NOCLDSTOP } else { 0 },
        ..KernelAction::default()
    };
    // SAFETY: rt_sigaction reads one kernel sigaction with a mask of 8 bytes; neither disposition runs code of ours.
    unsafe {
        syscall(
            sys::__NR_rt_sigaction,
            [
                signal as usize,
                core::ptr::from_ref(&action) as usize,
                0,
                8,
                0,
                0,
            ],
        )
    }
    .map(drop)
}

/// Sets every signal that can be set to its default.
pub fn reset_dispositions() -> Result<()> {
    for signal in (1..=SIGNAL_MAX).filter(|signal| ![SIGKILL, SIGSTOP].contains(signal)) {
        set_disposition(signal, Disposition::Default)?;
    }
    Ok(())
}

/// Makes a descriptor from which blocked signals are read; non-blocking, close-on-exec.
pub fn descriptor(signals: SignalSet) -> Result<OwnedFd> {
    let flags = (sys::O_CLOEXEC | sys::O_NONBLOCK) as usize;
    // SAFETY: signalfd4 with -1 makes a new descriptor and reads a set of 8 bytes.
    let number = unsafe {
        syscall(
            sys::__NR_signalfd4,
            [
                usize::MAX,
                core::ptr::from_ref(&signals) as usize,
                8,
                flags,
                0,
                0,
            ],
        )
    }?;
    // SAFETY: the kernel just made it, and no one else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

/// A signal read from a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Who sent it, or whose end it tells of; 0 if not known here.
    pub pid: u32,
}

/// Reads one signal from a signalfd; `None` if there is none.
pub fn read(descriptor: impl AsFd) -> Result<Option<Received>> {
    const INFORMATION_BYTES: usize = 128;
    let mut information = [0u8; INFORMATION_BYTES];
    let number = descriptor.as_fd().as_raw_fd() as usize;
    // SAFETY: read writes at most the length that goes along.
    let answer = unsafe {
        syscall(
            sys::__NR_read,
            [
                number,
                information.as_mut_ptr() as usize,
                INFORMATION_BYTES,
                0,
                0,
                0,
            ],
        )
    };
    match answer {
        Err(crate::Errno::AGAIN | crate::Errno::INTR) => return Ok(None),
        Err(errno) => return Err(errno),
        Ok(_) => {}
    }
    // ssi_signo is the first field of 4 bytes, ssi_pid the fourth.
    let field = |index: usize| {
        information
            .as_chunks::<4>()
            .0
            .get(index)
            .copied()
            .map_or(0, u32::from_ne_bytes)
    };
    Ok(Some(Received {
        signal: field(0) as i32,
        pid: field(3),
    }))
}
