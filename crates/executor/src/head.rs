//! What a program begins with: where the kernel can't execute it, that names what is missing.

use core::ffi::CStr;

use kernel::rustix::fs::{Mode, OFlags, open};
use kernel::rustix::io::read;
use plan::report::HEAD_BYTES;

/// The first bytes of a program.
pub(crate) struct Head {
    bytes: [u8; HEAD_BYTES],
    length: usize,
}

impl Head {
    /// Reads it, as the user of the service, who may execute what may not be read: then it is empty.
    #[inline(never)]
    pub(crate) fn of(program: &CStr) -> Head {
        let mut bytes = [0; HEAD_BYTES];
        let flags = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = open(program, flags, Mode::empty());
        let length = opened.and_then(|file| read(file, &mut bytes)).unwrap_or(0);
        Head { bytes, length }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
