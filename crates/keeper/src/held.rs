//! A descriptor that the keeper holds for others.

use rustix::fd::OwnedFd;

use crate::protocol::{Class, Event, NAME_BYTES_MAX};
use crate::slots::Tags;

/// One row of the inventory.
pub(crate) struct Held {
    pub(crate) class: Class,
    name: [u8; NAME_BYTES_MAX],
    name_bytes: usize,
    pub(crate) descriptor: OwnedFd,
    /// The log process that runs now has it. Of no meaning for other classes than [`Class::Log`].
    pub(crate) told: bool,
}

impl Held {
    /// The protocol has checked the length of the name.
    pub(crate) fn new(class: Class, name: &[u8], descriptor: OwnedFd) -> Self {
        let mut bytes = [0; NAME_BYTES_MAX];
        for (to, from) in bytes.iter_mut().zip(name) {
            *to = *from;
        }
        Self {
            class,
            name: bytes,
            name_bytes: name.len().min(NAME_BYTES_MAX),
            descriptor,
            told: false,
        }
    }

    pub(crate) fn name(&self) -> &[u8] {
        self.name.get(..self.name_bytes).unwrap_or_default()
    }

    pub(crate) fn tags(&self) -> Tags {
        [name_tag(self.class, self.name()), 0]
    }

    pub(crate) fn record(&self) -> Event<'_> {
        Event::Held {
            class: self.class,
            name: self.name(),
        }
    }

    /// Whether the log process is still to get it.
    pub(crate) fn is_news_for_log(&self) -> bool {
        self.class == Class::Log && !self.told
    }
}

/// FNV-1a of class and name, never 0: a hint for searching, the name itself decides.
pub(crate) fn name_tag(class: Class, name: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mixed = name.iter().fold(BASIS ^ class as u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    });
    mixed | 1 << 63
}
