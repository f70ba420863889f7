//! Files of proc(5) about this process: before the mount namespace, while the host's /proc is in sight.

use core::ffi::CStr;

use kernel::rustix::fs::{Mode, OFlags, open};
use kernel::rustix::io::write;
use kernel::{Errno, Result};

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

/// Writes a file of proc(5) in one call, as such files ask for.
pub(super) fn write_file(path: &CStr, bytes: &[u8]) -> Result<()> {
    let file = open(
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
