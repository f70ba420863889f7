//! A short list of the system calls that a process of ours may make, as a program for [`super::install`].

use std::vec::Vec;

use linux_raw_sys::general as sys;

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
        /// What it may be; what is behind the first [`VALUES_MAX`] is not on the list.
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

/// Most values of an argument in one line.
pub const VALUES_MAX: usize = 200;

/// What a program that has all its files open needs, whatever it is for: its descriptors, its memory, its end.
pub const COMMON: &[u32] = &[
    sys::__NR_brk,
    sys::__NR_clock_gettime,
    sys::__NR_close,
    sys::__NR_exit,
    sys::__NR_exit_group,
    sys::__NR_fstat,
    sys::__NR_futex,
    sys::__NR_getrandom,
    sys::__NR_lseek,
    sys::__NR_madvise,
    sys::__NR_mremap,
    sys::__NR_munmap,
    sys::__NR_pread64,
    sys::__NR_read,
    sys::__NR_rt_sigprocmask,
    sys::__NR_rt_sigreturn,
    sys::__NR_sigaltstack,
    sys::__NR_write,
    // An abort's last words: its own thread's end.
    sys::__NR_getpid,
    sys::__NR_gettid,
    sys::__NR_tgkill,
];

/// Memory that does not execute.
pub const MEMORY: [Allow; 2] = [
    Allow::Unless {
        call: sys::__NR_mmap,
        argument: PROTECTION,
        bits: sys::PROT_EXEC,
    },
    Allow::Unless {
        call: sys::__NR_mprotect,
        argument: PROTECTION,
        bits: sys::PROT_EXEC,
    },
];

/// `prot` of mmap and mprotect.
const PROTECTION: u32 = 2;

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
            // Each jumps over those behind it and the refusal. The longest jump, over the whole test, is one of a byte.
            let behind = (1..=values.len().min(VALUES_MAX) as u8).rev();
            test.extend(
                std::iter::zip(behind, values)
                    .map(|(behind, value)| (JUMP_IF_EQUAL, behind, 0, *value)),
            );
            test.extend([(RETURN, 0, 0, refusal), (RETURN, 0, 0, ALLOW)]);
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
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

    use super::{Allow, OWN_ARCHITECTURE, Otherwise, VALUES_MAX, Verdict, program, verdict};

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

    #[test]
    fn a_long_line_ends_where_it_ends() {
        static VALUES: [u32; VALUES_MAX + 1] = {
            let mut values = [0; VALUES_MAX + 1];
            let mut index = 0;
            while index <= VALUES_MAX {
                values[index] = 1000 + index as u32;
                index += 1;
            }
            values
        };
        let line = Allow::If {
            call: 2,
            argument: 0,
            values: &VALUES,
        };
        let program = program(&[line, Allow::Call(3)], Otherwise::Refuse);
        let verdict = |number, argument| {
            let arguments = [u64::from(argument), 0, 0, 0, 0, 0];
            verdict(&program, OWN_ARCHITECTURE, number, arguments).unwrap()
        };
        for value in &VALUES[..VALUES_MAX] {
            assert_eq!(verdict(2, *value), Verdict::Allowed);
        }
        for value in [0, 2, 999, VALUES[VALUES_MAX]] {
            assert_eq!(verdict(2, value), Verdict::Refused);
        }
        assert_eq!(verdict(3, 0), Verdict::Allowed);
        assert_eq!(verdict(4, 1000), Verdict::Refused);
    }
}
