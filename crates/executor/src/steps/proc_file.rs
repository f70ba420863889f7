//! Files of proc(5) about this process: those of the host's /proc, while it is in sight or behind a descriptor from then.

use core::ffi::CStr;

use kernel::rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, fstatfs, open, openat};
use kernel::rustix::io::write;
use kernel::{AsFd, BorrowedFd, Errno, OwnedFd, Result};

use crate::state::{ASIDE, State};

/// Writes `oom_score_adj`.
pub(super) fn oom_score(adjust: i32) -> Result<()> {
    let mut digits = Digits::new();
    write_file(c"/proc/self/oom_score_adj", digits.signed(adjust))
}

/// Writes `coredump_filter`.
pub(super) fn coredump_filter(mask: u64) -> Result<()> {
    let mut digits = Digits::new();
    write_file(c"/proc/self/coredump_filter", digits.unsigned(mask))
}

/// The host's proc(5), opened before its files are out of sight: what a root of the service's own has at that path may be anything. ENODEV: it is not proc(5).
pub(super) fn of_kernel<'a>(state: &'a mut State<'_>) -> Result<BorrowedFd<'a>> {
    let proc = match state.proc.take() {
        Some(proc) => proc,
        None => open_proc()?,
    };
    let kept: &'a OwnedFd = state.proc.insert(proc);
    Ok(kept.as_fd())
}

fn open_proc() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = open(c"/proc", flags, Mode::empty())?;
    if fstatfs(&found)?.f_type != PROC_SUPER_MAGIC {
        return Err(Errno::NODEV);
    }
    // Out of the way of the numbers that the service's descriptors get.
    kernel::descriptor::duplicate_from(&found, ASIDE)
}

/// Writes a file of proc(5) in one call, as such files ask for.
pub(super) fn write_file(path: &CStr, bytes: &[u8]) -> Result<()> {
    write_below(CWD, path, bytes)
}

/// The same below a directory.
pub(super) fn write_below(directory: impl AsFd, path: &CStr, bytes: &[u8]) -> Result<()> {
    let file = openat(
        directory,
        path,
        OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY,
        Mode::empty(),
    )?;
    if write(file, bytes)? == bytes.len() {
        Ok(())
    } else {
        Err(Errno::IO)
    }
}

/// A number as decimal text on the stack.
pub(super) struct Digits([u8; 24]);

impl Digits {
    /// Room for any 64-bit number.
    pub(super) const fn new() -> Self {
        Self([b'0'; 24])
    }

    /// The text of a number without a sign.
    pub(super) fn unsigned(&mut self, number: u64) -> &[u8] {
        let length = self.fill(number);
        self.tail(length)
    }

    fn signed(&mut self, number: i32) -> &[u8] {
        let mut length = self.fill(u64::from(number.unsigned_abs()));
        if number < 0 {
            length += 1;
            let place = self.0.len() - length;
            if let Some(sign) = self.0.get_mut(place) {
                *sign = b'-';
            }
        }
        self.tail(length)
    }

    fn fill(&mut self, mut number: u64) -> usize {
        let mut length = 0;
        for place in self.0.iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
            length += 1;
            if number == 0 {
                break;
            }
        }
        length
    }

    fn tail(&self, length: usize) -> &[u8] {
        self.0.get(self.0.len() - length..).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::Digits;

    #[test]
    fn numbers_become_decimal_texts() {
        for (number, text) in [
            (0, "0"),
            (7, "7"),
            (-1000, "-1000"),
            (1000, "1000"),
            (i32::MIN, "-2147483648"),
        ] {
            assert_eq!(Digits::new().signed(number), text.as_bytes());
        }
        assert_eq!(Digits::new().unsigned(u64::MAX), b"18446744073709551615");
    }
}
