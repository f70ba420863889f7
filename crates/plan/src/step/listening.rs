//! What [`crate::Step::Listen`] binds to, and what the socket is told.

use crate::DirectiveNumber;
#[cfg(feature = "encode")]
use crate::NO_DIRECTIVE;
use crate::code::{DecodeError, Field, Reader, Text, coded};

coded! {
    /// Where a socket listens.
    enum Address<'a> {
        /// IPv4.
        V4 = 1 {
            /// Network order, as a big-endian number.
            ip: u32,
            /// Host order.
            port: u16,
        },
        /// IPv6.
        V6 = 2 {
            /// Upper half.
            high: u64,
            /// Lower half.
            low: u64,
            /// Host order.
            port: u16,
            /// Interface number for link-local addresses.
            scope: u32,
            /// Its name, looked up where the socket is made.
            interface: Option<Text<'a>>,
        },
        /// A path.
        Unix = 3 {
            /// Absolute.
            path: Text<'a>,
        },
        /// A name of the abstract namespace, without the leading NUL.
        Abstract = 4 {
            /// The name.
            name: &'a [u8],
        },
        /// A FIFO in the file system.
        Fifo = 5 {
            /// Absolute.
            path: Text<'a>,
        },
        /// Multicast groups of a netlink family.
        Netlink = 6 {
            /// A bit per group.
            groups: u32,
        },
        /// A socket of virtual machines and their host, vsock(7).
        Vsock = 7 {
            /// Context id.
            cid: u32,
            /// Port.
            port: u32,
        },
        /// A POSIX message queue, mq_overview(7).
        Queue = 8 {
            /// With its slash.
            name: Text<'a>,
            /// How many messages it holds and how large they are; as the host is set where it is not said.
            size: Option<QueueSize>,
        },
        /// A file that is there: of /proc or /sys, or a device.
        Special = 9 {
            /// Absolute.
            path: Text<'a>,
            /// Whether it is opened for writing, too.
            writable: bool,
        },
    }

    /// One thing that a socket is told.
    enum Setting<'a> {
        /// setsockopt(2).
        Option = 1 {
            /// A `SOL_` or `IPPROTO_` number.
            level: u32,
            /// The option's number.
            name: u32,
            /// An option that is tried before: it takes a privilege, and goes beyond the host's limit.
            forced: Option<u32>,
            /// What it is set to.
            value: &'a [u8],
        },
        /// fcntl(2), `F_SETPIPE_SZ`.
        PipeSize = 2 {
            /// In bytes.
            bytes: u32,
        },
        /// An extended attribute of the file, xattr(7).
        Attribute = 3 {
            /// With its namespace.
            name: Text<'a>,
            /// What it is set to.
            value: &'a [u8],
        },
    }
}

/// The attributes of a message queue (mq_getattr(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSize {
    /// How many messages.
    pub messages: u64,
    /// How large one may be, in bytes.
    pub bytes: u64,
}

impl<'a> Field<'a> for QueueSize {
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            messages: reader.take()?,
            bytes: reader.take()?,
        })
    }

    #[cfg(feature = "encode")]
    fn put(&self, writer: &mut crate::code::Writer) {
        writer.put(&self.messages);
        writer.put(&self.bytes);
    }
}

/// Settings one after another, each with the directive that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings<'a>(pub &'a [u8]);

impl<'a> Settings<'a> {
    /// In the order in which they are made.
    pub fn iter(
        &self,
    ) -> impl Iterator<Item = Result<(DirectiveNumber, Setting<'a>), DecodeError>> + use<'a> {
        let mut reader = Reader::new(self.0);
        let mut broken = false;
        core::iter::from_fn(move || {
            if broken || reader.is_empty() {
                return None;
            }
            let next = reader
                .take()
                .and_then(|directive| Ok((directive, reader.take()?)));
            broken = next.is_err();
            Some(next)
        })
    }
}

impl<'a> Field<'a> for Settings<'a> {
    fn take(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.take().map(Self)
    }

    #[cfg(feature = "encode")]
    fn put(&self, writer: &mut crate::code::Writer) {
        writer.put(&self.0);
    }
}

/// Owns the bytes of [`Settings`]; the planner's side.
#[cfg(feature = "encode")]
#[derive(Debug, Default)]
pub struct SettingsBuf(crate::code::Writer);

#[cfg(feature = "encode")]
impl SettingsBuf {
    /// Appends one.
    pub fn push(&mut self, directive: Option<DirectiveNumber>, setting: Setting<'_>) {
        self.0.put(&directive.unwrap_or(NO_DIRECTIVE));
        self.0.put(&setting);
    }

    /// As a plan's value.
    pub fn settings(&self) -> Settings<'_> {
        Settings(&self.0.bytes)
    }
}
