//! Events into bytes and back.

use super::{
    ChildKey, ChildState, Encoded, Event, HEADER_BYTES, Header, LABEL_BYTES_MAX, Malformed,
    NAME_BYTES_MAX, Reader, bit, decode_class, flag, kind,
};

/// [`Exit`] and [`ChildState`] as two numbers.
mod ending {
    use crate::protocol::{ChildState, Exit, Malformed, Reader, Writer};

    const RUNNING: u16 = 0;
    const CODE: u16 = 1;
    const KILLED: u16 = 2;
    const DUMPED: u16 = 3;
    const UNKNOWN: u16 = 4;

    pub(super) fn write(body: &mut Writer<'_>, state: ChildState) {
        let (how, value) = match state {
            ChildState::Running => (RUNNING, 0),
            ChildState::Exited(Exit::Code(code)) => (CODE, code),
            ChildState::Exited(Exit::Killed {
                signal,
                dumped: false,
            }) => (KILLED, signal),
            ChildState::Exited(Exit::Killed {
                signal,
                dumped: true,
            }) => (DUMPED, signal),
            ChildState::Exited(Exit::Unknown) => (UNKNOWN, 0),
        };
        body.u16(how);
        body.i32(value);
    }

    pub(super) fn read(body: &mut Reader<'_>) -> Result<ChildState, Malformed> {
        let how = body.u16()?;
        let value = body.i32()?;
        Ok(match how {
            RUNNING => ChildState::Running,
            CODE => ChildState::Exited(Exit::Code(value)),
            KILLED => ChildState::Exited(Exit::Killed {
                signal: value,
                dumped: false,
            }),
            DUMPED => ChildState::Exited(Exit::Killed {
                signal: value,
                dumped: true,
            }),
            UNKNOWN => ChildState::Exited(Exit::Unknown),
            _ => return Err(Malformed::Field),
        })
    }
}

impl<'a> Event<'a> {
    /// Encodes the event. A label or name that is too long is cut.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let none = ChildKey::default();
        match *self {
            Self::Hello {
                pid,
                restarts,
                init,
                adopt_only,
                power,
            } => {
                let flags = bit(init, flag::INIT)
                    | bit(adopt_only, flag::ADOPT_ONLY)
                    | bit(power, flag::POWER);
                Encoded::build(kind::HELLO, none, flags, |body| {
                    body.u32(pid);
                    body.u32(restarts);
                })
            }
            Self::Spawned { key, role, pid } => Encoded::build(kind::SPAWNED, key, 0, |body| {
                body.u32(role);
                body.u32(pid);
            }),
            Self::SpawnFailed { key, role, errno } => {
                Encoded::build(kind::SPAWN_FAILED, key, 0, |body| {
                    body.u32(role);
                    body.i32(errno);
                })
            }
            Self::Exited {
                key,
                role,
                pid,
                exit,
            } => Encoded::build(kind::EXITED, key, 0, |body| {
                body.u32(role);
                body.u32(pid);
                ending::write(body, ChildState::Exited(exit));
            }),
            Self::Child {
                key,
                role,
                pid,
                state,
                watched,
                label,
            } => Encoded::build(kind::CHILD, key, bit(watched, flag::WATCHED), |body| {
                body.u32(role);
                body.u32(pid);
                ending::write(body, state);
                body.text(label, LABEL_BYTES_MAX);
            }),
            Self::Held { class, name } => Encoded::build(kind::HELD, none, 0, |body| {
                body.u16(class as u16);
                body.text(name, NAME_BYTES_MAX);
            }),
            Self::InventoryEnd => Encoded::build(kind::INVENTORY_END, none, 0, |_| {}),
            Self::SignalReceived { signal } => {
                Encoded::build(kind::SIGNAL_RECEIVED, none, 0, |body| body.i32(signal))
            }
            Self::Refused { kind, key, errno } => Encoded::build(kind::REFUSED, key, 0, |body| {
                body.u16(kind);
                body.i32(errno);
            }),
        }
    }

    /// Reads an event.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header = Header::decode(bytes)?;
        let mut body = Reader::new(bytes.get(HEADER_BYTES..).unwrap_or_default());
        let event = Self::decode_body(header, &mut body)?;
        body.finish()?;
        Ok(event)
    }

    fn decode_body(header: Header, body: &mut Reader<'a>) -> Result<Self, Malformed> {
        let key = header.key;
        Ok(match header.kind {
            kind::HELLO => Self::Hello {
                pid: body.u32()?,
                restarts: body.u32()?,
                init: header.has(flag::INIT),
                adopt_only: header.has(flag::ADOPT_ONLY),
                power: header.has(flag::POWER),
            },
            kind::SPAWNED => Self::Spawned {
                key,
                role: body.u32()?,
                pid: body.u32()?,
            },
            kind::SPAWN_FAILED => Self::SpawnFailed {
                key,
                role: body.u32()?,
                errno: body.i32()?,
            },
            kind::EXITED => match (body.u32()?, body.u32()?, ending::read(body)?) {
                (role, pid, ChildState::Exited(exit)) => Self::Exited {
                    key,
                    role,
                    pid,
                    exit,
                },
                (_, _, ChildState::Running) => return Err(Malformed::Field),
            },
            kind::CHILD => Self::Child {
                key,
                role: body.u32()?,
                pid: body.u32()?,
                state: ending::read(body)?,
                watched: header.has(flag::WATCHED),
                label: body.text(LABEL_BYTES_MAX)?,
            },
            kind::HELD => Self::Held {
                class: decode_class(body)?,
                name: body.text(NAME_BYTES_MAX)?,
            },
            kind::INVENTORY_END => Self::InventoryEnd,
            kind::SIGNAL_RECEIVED => Self::SignalReceived {
                signal: body.i32()?,
            },
            kind::REFUSED => Self::Refused {
                kind: body.u16()?,
                key,
                errno: body.i32()?,
            },
            other => return Err(Malformed::Kind(other)),
        })
    }
}
