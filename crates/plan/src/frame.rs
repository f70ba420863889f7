//! One start: the steps of a unit's plan together with what only this start knows.

use crate::code::{DecodeError, Field, List, ListBytes, Reader, Text, coded};
use crate::step::Asked;

/// First bytes of an encoded plan.
pub const MAGIC: [u8; 4] = *b"CrPl";

/// The executor takes exactly this version; it is embedded beside the planner, so both always agree.
pub const VERSION: u16 = 6;

/// Descriptor of the plan in a fresh executor.
pub const PLAN_DESCRIPTOR: i32 = 3;
/// Descriptor of the report socket in a fresh executor.
pub const REPORT_DESCRIPTOR: i32 = 4;
/// The first of the descriptors that the plan's roles name, one role each.
pub const FIRST_DESCRIPTOR: i32 = 5;
/// A message between manager and keeper carries no more (`SCM_MAX_FD`), and the executor's table has this size.
pub const MAX_DESCRIPTORS: usize = 253;
/// Supplementary groups; the executor copies them to its stack. More than any sane user table has.
pub const MAX_GROUPS: usize = 256;
/// Name of the directories that PrivateTmp= makes, before the invocation id.
pub const PRIVATE_PREFIX: &[u8] = b"coracle-private-";
/// Name of what such a directory has mounted where RootEphemeral= says so.
pub const LAYERS: &core::ffi::CStr = c"layers";
/// What PrivateTmp=disconnected mounts: the mode, and the options of tmpfs(5).
pub const TEMPORARY_MODE: u32 = 0o1777;
/// See [`TEMPORARY_MODE`].
pub const TEMPORARY_OPTIONS: ListBytes = ListBytes(b"size=10%\0nr_inodes=400k\0");
/// An encoded plan; bounded by what execve(2) takes as arguments and environment (2 MiB) and credentials (1 MiB).
pub const MAX_PLAN_BYTES: usize = 8 << 20;

coded! {
    /// What a passed descriptor is for.
    enum Role {
        /// Handed to the service as 3, 4, … in this order.
        Service = 1,
        /// Standard input.
        Input = 2,
        /// Standard output.
        Output = 3,
        /// Standard error.
        Error = 4,
        /// The detached tree of the unit's image.
        Image = 5,
        /// The network namespace to join.
        NetworkNamespace = 6,
        /// The IPC namespace to join.
        IpcNamespace = 7,
        /// The user namespace to join.
        UserNamespace = 8,
        /// A network namespace that was made ahead, for this start alone: it takes the place of the one that [`crate::Step::Unshare`] would
        /// make, and its loopback is up.
        MadeNetwork = 9,
        /// A socket in which lies what was made ahead for this start alone: such a network namespace, and with it the other namespaces and the
        /// file systems that a start with the whole default profile would make.
        MadeAhead = 10,
        /// The same with nothing but file systems that belong to no namespace: a `/dev` and what is mounted in it, and what covers inaccessible
        /// paths.
        MadeFiles = 11,
        /// A socket in whose queue lies what the service stored; it gets that after those of [`Role::Service`].
        Stored = 12,
    }
}

/// A decoded plan, in place.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The service's user.
    pub uid: u32,
    /// The service's group.
    pub gid: u32,
    /// Supplementary groups, little-endian `u32`s.
    pub groups: &'a [u8],
    /// This start's id.
    pub invocation: [u8; 16],
    /// What the directories of PrivateTmp= are named by: the start's id, or that of a run that it joins.
    pub temporary: [u8; 16],
    /// A [`Role`] byte per descriptor from [`FIRST_DESCRIPTOR`] on.
    pub roles: &'a [u8],
    /// The credentials: each a name and a value.
    pub credentials: &'a [u8],
    /// Files to try to execute, in order.
    pub programs: List<'a>,
    /// Arguments, the program's own name first.
    pub arguments: List<'a>,
    /// Environment; the executor adds `SYSTEMD_EXEC_PID`, `LISTEN_PID` with descriptors, and `WATCHDOG_PID` beside `WATCHDOG_USEC`.
    pub environment: List<'a>,
    /// Directories of records of what is made on the host, see [`crate::Bindings::marks`].
    pub marks: List<'a>,
    /// Steps, one after another.
    pub steps: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the bytes of a plan.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC || reader.take::<u16>()? != VERSION {
            return Err(DecodeError);
        }
        Ok(Self {
            uid: reader.take()?,
            gid: reader.take()?,
            groups: reader.take()?,
            invocation: reader.array()?,
            temporary: reader.array()?,
            roles: reader.take()?,
            credentials: reader.take()?,
            programs: reader.take()?,
            arguments: reader.take()?,
            environment: reader.take()?,
            marks: reader.take()?,
            steps: reader.take()?,
        })
    }

    /// The steps in order; ends after the first that can't be read.
    pub fn steps(&self) -> impl Iterator<Item = Result<Asked<'a>, DecodeError>> + use<'a> {
        let mut reader = Reader::new(self.steps);
        let mut broken = false;
        core::iter::from_fn(move || {
            if broken || reader.is_empty() {
                return None;
            }
            let step = Asked::take(&mut reader);
            broken = step.is_err();
            Some(step)
        })
    }

    /// The descriptor of a role, if the manager passes one.
    pub fn descriptor(&self, role: Role) -> Option<i32> {
        let place = self.roles.iter().position(|&byte| byte == role.tag())?;
        i32::try_from(place)
            .ok()
            .map(|place| FIRST_DESCRIPTOR + place)
    }

    /// How many descriptors the service itself gets.
    pub fn passed(&self) -> usize {
        self.roles
            .iter()
            .filter(|&&byte| byte == Role::Service.tag() || byte == Role::Stored.tag())
            .count()
    }

    /// The credentials, by name; ends after the first that can't be read.
    pub fn credentials(
        &self,
    ) -> impl Iterator<Item = Result<(Text<'a>, &'a [u8]), DecodeError>> + use<'a> {
        let mut reader = Reader::new(self.credentials);
        let mut broken = false;
        core::iter::from_fn(move || {
            if broken || reader.is_empty() {
                return None;
            }
            let one = reader.take().and_then(|name| Ok((name, reader.take()?)));
            broken = one.is_err();
            Some(one)
        })
    }

    /// The supplementary groups.
    pub fn group_list(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.groups
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// The bytes of the plan.
    #[cfg(feature = "encode")]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = crate::code::Writer {
            bytes: MAGIC.to_vec(),
        };
        writer.put(&VERSION);
        writer.put(&self.uid);
        writer.put(&self.gid);
        writer.put(&self.groups);
        writer.bytes.extend_from_slice(&self.invocation);
        writer.bytes.extend_from_slice(&self.temporary);
        writer.put(&self.roles);
        writer.put(&self.credentials);
        writer.put(&self.programs);
        writer.put(&self.arguments);
        writer.put(&self.environment);
        writer.put(&self.marks);
        writer.put(&self.steps);
        writer.bytes
    }
}
