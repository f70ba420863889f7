//! A short list of the system calls that a process of ours may make, as a program for [`super::install`].

use std::vec::Vec;

use super::INSTRUCTION_BYTES;

/// One line of the list. Numbers are this architecture's; arguments count from 0, and of each the low 32 bits are looked at: the
/// kernel reads no more of those that are worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// The call, whatever its arguments.
    Call(u32),
    /// The call where the argument is one of these.
    If {
        /// Its number.
        call: u32,
        /// Which argument.
        argument: u32,
        /// What it may be, at most 200 of them.
        values: &'static [u32],
    },
    /// The call where the argument has none of these bits.
    Unless {
        /// Its number.
        call: u32,
        /// Which argument.
        argument: u32,
        /// What it may not have.
        bits: u32,
    },
}

/// What becomes of a call that is not on the list. One of another architecture ends the process in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// The process ends.
    Kill,
    /// The call fails with EPERM, and the process can say so.
    Refuse,
}

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
const ARGUMENT_BYTES: u32 = 8;
/// Where the low half of a 64-bit argument is.
const LOW: u32 = if cfg!(target_endian = "big") { 4 } else { 0 };

const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 1;

const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// The number of this processor in `seccomp_data.arch`.
#[cfg(target_arch = "x86_64")]
pub const OWN_ARCHITECTURE: u32 = 0xc000_003e;
/// The number of this processor in `seccomp_data.arch`.
#[cfg(target_arch = "aarch64")]
pub const OWN_ARCHITECTURE: u32 = 0xc000_00b7;

/// One instruction: operation, jumps when true and when false, operand.
type Instruction = (u16, u8, u8, u32);

/// The program that allows what is on the list.
///
/// Calls of another kind (32-bit, x32) differ in architecture or in number: neither is on a list.
#[must_use]
pub fn program(list: &[Allow], otherwise: Otherwise) -> Vec<u8> {
    let refusal = match otherwise {
        Otherwise::Kill => KILL_PROCESS,
        Otherwise::Refuse => ERRNO | EPERM,
    };
    let mut program: Vec<Instruction> = std::vec![
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, OWN_ARCHITECTURE),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER),
    ];
    for line in list {
        let (call, test) = test(*line, refusal);
        let length = u8::try_from(test.len()).unwrap_or(u8::MAX);
        program.push((JUMP_IF_EQUAL, 0, length, call));
        program.extend(test);
    }
    program.push((RETURN, 0, 0, refusal));
    let mut bytes = Vec::with_capacity(program.len() * INSTRUCTION_BYTES);
    for (operation, when, unless, operand) in program {
        bytes.extend(operation.to_ne_bytes());
        bytes.extend([when, unless]);
        bytes.extend(operand.to_ne_bytes());
    }
    bytes
}

/// The call of a line, and what is asked once it is that call: every way through it ends.
fn test(line: Allow, refusal: u32) -> (u32, Vec<Instruction>) {
    let load = |argument: u32| (LOAD, 0, 0, ARGUMENTS + argument * ARGUMENT_BYTES + LOW);
    match line {
        Allow::Call(call) => (call, std::vec![(RETURN, 0, 0, ALLOW)]),
        Allow::If {
            call,
            argument,
            values,
        } => {
            let mut test = std::vec![load(argument)];
            for value in values {
                test.push((JUMP_IF_EQUAL, 0, 1, *value));
                test.push((RETURN, 0, 0, ALLOW));
            }
            test.push((RETURN, 0, 0, refusal));
            (call, test)
        }
        Allow::Unless {
            call,
            argument,
            bits,
        } => {
            let test = std::vec![
                load(argument),
                (JUMP_IF_SET, 0, 1, bits),
                (RETURN, 0, 0, refusal),
                (RETURN, 0, 0, ALLOW),
            ];
            (call, test)
        }
    }
}

/// What a program says of a call: the machine as seccomp(2) has it, for the instructions that [`program`] uses. For tests of lists.
///
/// `None` for a program that is none of ours.
#[must_use]
pub fn verdict(
    program: &[u8],
    architecture: u32,
    number: u32,
    arguments: [u64; 6],
) -> Option<Verdict> {
    let (mut at, mut value) = (0_usize, 0_u32);
    loop {
        let raw = program.get(at * INSTRUCTION_BYTES..(at + 1) * INSTRUCTION_BYTES)?;
        let [a, b, when, unless, operand @ ..] = *raw.first_chunk::<INSTRUCTION_BYTES>()?;
        let operand = u32::from_ne_bytes(operand);
        let jump = |condition: bool| usize::from(if condition { when } else { unless });
        at += 1 + match u16::from_ne_bytes([a, b]) {
            LOAD => {
                value = match operand {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    offset => {
                        let argument =
                            (offset.checked_sub(ARGUMENTS + LOW)? / ARGUMENT_BYTES) as usize;
                        *arguments.get(argument)? as u32
                    }
                };
                0
            }
            JUMP_IF_EQUAL => jump(value == operand),
            JUMP_IF_SET => jump(value & operand != 0),
            RETURN => {
                return Some(match operand {
                    ALLOW => Verdict::Allowed,
                    KILL_PROCESS => Verdict::Killed,
                    _ => Verdict::Refused,
                });
            }
            _ => return None,
        };
    }
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Allowed,
    /// It fails.
    Refused,
    /// The process ends.
    Killed,
}

#[cfg(test)]
mod tests {
    use super::{Allow, OWN_ARCHITECTURE, Otherwise, Verdict, program, verdict};

    const LIST: &[Allow] = &[
        Allow::Call(1),
        Allow::If {
            call: 2,
            argument: 1,
            values: &[7, 9],
        },
        Allow::Unless {
            call: 3,
            argument: 2,
            bits: 4,
        },
    ];

    fn check(otherwise: Otherwise, number: u32, arguments: [u64; 6], expected: Verdict) {
        let program = program(LIST, otherwise);
        assert_eq!(
            verdict(&program, OWN_ARCHITECTURE, number, arguments),
            Some(expected),
            "{number} {arguments:?}"
        );
        assert_eq!(
            verdict(&program, OWN_ARCHITECTURE ^ 1, number, arguments),
            Some(Verdict::Killed)
        );
    }

    #[test]
    fn what_is_on_the_list_is_allowed_and_nothing_else() {
        for (otherwise, no) in [
            (Otherwise::Kill, Verdict::Killed),
            (Otherwise::Refuse, Verdict::Refused),
        ] {
            check(otherwise, 1, [0; 6], Verdict::Allowed);
            check(otherwise, 0, [0; 6], no);
            check(otherwise, 1 | 0x4000_0000, [0; 6], no);
            check(otherwise, 2, [0, 9, 0, 0, 0, 0], Verdict::Allowed);
            check(otherwise, 2, [9, 8, 9, 9, 9, 9], no);
            check(otherwise, 3, [4, 4, 3, 4, 4, 4], Verdict::Allowed);
            check(otherwise, 3, [0, 0, 7, 0, 0, 0], no);
        }
    }
}
