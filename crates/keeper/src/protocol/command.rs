//! Commands into bytes and back.

use super::{
    ChildKey, Command, Encoded, HEADER_BYTES, Header, KEPT_MAX, LABEL_BYTES_MAX, Malformed,
    NAME_BYTES_MAX, Reader, Spawn, bit, decode_class, flag, kind,
};
use kernel::power::Power;

impl<'a> Command<'a> {
    /// Encodes the command. A label or name that is too long is cut: check it before.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let numbered = ChildKey::default();
        match *self {
            Self::Spawn(spawn) => {
                let flags = bit(spawn.new_pid_namespace, flag::NEW_PID_NAMESPACE)
                    | bit(spawn.own_executor, flag::OWN_EXECUTOR)
                    | bit(spawn.cgroup, flag::CGROUP);
                Encoded::build(kind::SPAWN, spawn.key, flags, |body| {
                    body.u32(spawn.role);
                    body.u16(u16::from(spawn.kept));
                    body.text(spawn.label, LABEL_BYTES_MAX);
                })
            }
            Self::Signal { key, signal } => {
                Encoded::build(kind::SIGNAL, key, 0, |body| body.i32(signal))
            }
            Self::Reap { key } => Encoded::build(kind::REAP, key, 0, |_| {}),
            Self::Watch { key, role, pid } => Encoded::build(kind::WATCH, key, 0, |body| {
                body.u32(role);
                body.u32(pid);
            }),
            Self::Hold { class, name } => Encoded::build(kind::HOLD, numbered, 0, |body| {
                body.u16(class as u16);
                body.text(name, NAME_BYTES_MAX);
            }),
            Self::Drop { class, name } => Encoded::build(kind::DROP, numbered, 0, |body| {
                body.u16(class as u16);
                body.text(name, NAME_BYTES_MAX);
            }),
            Self::Inventory => Encoded::build(kind::INVENTORY, numbered, 0, |_| {}),
            Self::RestartManager => Encoded::build(kind::RESTART_MANAGER, numbered, 0, |_| {}),
            Self::Reexec => Encoded::build(kind::REEXEC, numbered, 0, |_| {}),
            Self::Shutdown {
                leave_children,
                timeout_ms,
                status,
                power,
                argument,
            } => Encoded::build(
                kind::SHUTDOWN,
                numbered,
                bit(leave_children, flag::LEAVE_CHILDREN),
                |body| {
                    body.u32(timeout_ms);
                    body.u16(u16::from(status));
                    // Keepers that know of no power live on through upgrades: they are told of it only where there is some.
                    if power != NO_POWER || !argument.is_empty() {
                        body.u16(u16::from(power));
                        body.text(argument, NAME_BYTES_MAX);
                    }
                },
            ),
        }
    }

    /// Reads a command.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header = Header::decode(bytes)?;
        let mut body = Reader::new(bytes.get(HEADER_BYTES..).unwrap_or_default());
        let command = Self::decode_body(header, &mut body)?;
        body.finish()?;
        Ok(command)
    }

    fn decode_body(header: Header, body: &mut Reader<'a>) -> Result<Self, Malformed> {
        let key = header.key;
        Ok(match header.kind {
            kind::SPAWN => Self::Spawn(decode_spawn(header, body)?),
            kind::SIGNAL => Self::Signal {
                key,
                signal: body.i32()?,
            },
            kind::REAP => Self::Reap { key },
            kind::WATCH => Self::Watch {
                key,
                role: body.u32()?,
                pid: body.u32()?,
            },
            kind::HOLD => Self::Hold {
                class: decode_class(body)?,
                name: body.text(NAME_BYTES_MAX)?,
            },
            kind::DROP => Self::Drop {
                class: decode_class(body)?,
                name: body.text(NAME_BYTES_MAX)?,
            },
            kind::INVENTORY => Self::Inventory,
            kind::RESTART_MANAGER => Self::RestartManager,
            kind::REEXEC => Self::Reexec,
            kind::SHUTDOWN => decode_shutdown(header, body)?,
            other => return Err(Malformed::Kind(other)),
        })
    }
}

/// The machine is left as it is.
const NO_POWER: u8 = 0;

/// Without power it is as short as managers of earlier versions say it.
fn decode_shutdown<'a>(header: Header, body: &mut Reader<'a>) -> Result<Command<'a>, Malformed> {
    let byte = |number: u16| u8::try_from(number).map_err(|_| Malformed::Field);
    let (timeout_ms, status) = (body.u32()?, byte(body.u16()?)?);
    let (power, argument) = match body.rest() {
        [] => (NO_POWER, [].as_slice()),
        _ => (byte(body.u16()?)?, body.text(NAME_BYTES_MAX)?),
    };
    if power != NO_POWER && Power::from_number(power).is_none() {
        return Err(Malformed::Field);
    }
    Ok(Command::Shutdown {
        leave_children: header.has(flag::LEAVE_CHILDREN),
        timeout_ms,
        status,
        power,
        argument,
    })
}

fn decode_spawn<'a>(header: Header, body: &mut Reader<'a>) -> Result<Spawn<'a>, Malformed> {
    let role = body.u32()?;
    let kept = u8::try_from(body.u16()?).map_err(|_| Malformed::Field)?;
    if usize::from(kept) > KEPT_MAX {
        return Err(Malformed::Field);
    }
    Ok(Spawn {
        key: header.key,
        role,
        new_pid_namespace: header.has(flag::NEW_PID_NAMESPACE),
        own_executor: header.has(flag::OWN_EXECUTOR),
        cgroup: header.has(flag::CGROUP),
        kept,
        label: body.text(LABEL_BYTES_MAX)?,
    })
}
