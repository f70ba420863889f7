//! The system calls that each worker may make: a short allow-list as a BPF program. Anything else ends the process.

use linux_raw_sys::general as sys;

use super::Kind;

/// What every worker needs: its descriptors, its memory, its end.
const COMMON: &[u32] = &[
    sys::__NR_brk,
    sys::__NR_clock_gettime,
    sys::__NR_close,
    sys::__NR_exit,
    sys::__NR_exit_group,
    // A build for debugging asks each descriptor whether it is open before it closes it.
    sys::__NR_fcntl,
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

/// Allowed as long as they do not ask for memory that executes.
const MEMORY: &[u32] = &[sys::__NR_mmap, sys::__NR_mprotect];

/// Below a root that it was locked into.
const EXTRACT: &[u32] = &[sys::__NR_getdents64, sys::__NR_openat2];

/// Loop devices and the mount calls; the result travels as a descriptor.
const MOUNT: &[u32] = &[
    sys::__NR_fsconfig,
    sys::__NR_fsmount,
    sys::__NR_fsopen,
    sys::__NR_geteuid,
    sys::__NR_ioctl,
    sys::__NR_openat,
    sys::__NR_sendmsg,
];

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The low half of the third argument: `prot` of mmap and mprotect.
const PROTECTION: u32 = 16 + 2 * 8;

const PROT_EXEC: u32 = 4;

/// The low half of the second argument: the operation of fcntl.
const OPERATION: u32 = 16 + 8;

const F_GETFD: u32 = 1;

const KILL_PROCESS: u32 = 0x8000_0000;
const ALLOW: u32 = 0x7fff_0000;

const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// The number of this processor in `seccomp_data.arch`. On another one the crate does not build: there is no wall to stand behind.
#[cfg(target_arch = "x86_64")]
const OWN_ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OWN_ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const OWN_ARCHITECTURE: u32 = 0xc000_00f3;

/// One instruction.
type Instruction = (u16, u8, u8, u32);

/// The program of a worker.
pub(super) fn program(kind: Kind) -> Vec<u8> {
    let own = match kind {
        Kind::Dissect | Kind::Verify | Kind::Inspect => &[],
        Kind::Extract => EXTRACT,
        Kind::Mount => MOUNT,
    };
    // Calls of another kind (32-bit, x32) differ in architecture or in number: neither is on the list.
    let mut program: Vec<Instruction> = vec![
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, OWN_ARCHITECTURE),
        (RETURN, 0, 0, KILL_PROCESS),
        (LOAD, 0, 0, NUMBER),
    ];
    for number in COMMON.iter().chain(own) {
        program.push((JUMP_IF_EQUAL, 0, 1, *number));
        program.push((RETURN, 0, 0, ALLOW));
    }
    for number in MEMORY {
        program.push((JUMP_IF_EQUAL, 0, 4, *number));
        program.push((LOAD, 0, 0, PROTECTION));
        program.push((JUMP_IF_SET, 0, 1, PROT_EXEC));
        program.push((RETURN, 0, 0, KILL_PROCESS));
        program.push((RETURN, 0, 0, ALLOW));
    }
    // Rust's own check, in debug builds, that a descriptor is open when it is closed.
    program.push((JUMP_IF_EQUAL, 0, 3, sys::__NR_fcntl));
    program.push((LOAD, 0, 0, OPERATION));
    program.push((JUMP_IF_EQUAL, 0, 1, F_GETFD));
    program.push((RETURN, 0, 0, ALLOW));
    program.push((RETURN, 0, 0, KILL_PROCESS));
    program.into_iter().flat_map(encode).collect()
}

/// As the kernel reads it: native byte order.
fn encode((operation, when, otherwise, operand): Instruction) -> Vec<u8> {
    let mut raw = operation.to_ne_bytes().to_vec();
    raw.extend([when, otherwise]);
    raw.extend(operand.to_ne_bytes());
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a program says of a call: the machine as seccomp(2) has it, for the four instructions that are used.
    fn verdict(kind: Kind, architecture: u32, number: u32, argument: u32) -> u32 {
        let raw = program(kind);
        let program: Vec<_> = raw.as_chunks::<8>().0.iter().collect();
        let (mut at, mut value) = (0, 0);
        loop {
            let [a, b, when, otherwise, operand @ ..] = *program[at];
            let operand = u32::from_ne_bytes(operand);
            let jump = |condition: bool| usize::from(if condition { when } else { otherwise });
            at += 1 + match u16::from_ne_bytes([a, b]) {
                LOAD => {
                    value = match operand {
                        ARCHITECTURE => architecture,
                        NUMBER => number,
                        PROTECTION | OPERATION => argument,
                        other => panic!("offset {other}"),
                    };
                    0
                }
                JUMP_IF_EQUAL => jump(value == operand),
                JUMP_IF_SET => jump(value & operand != 0),
                RETURN => return operand,
                other => panic!("operation {other}"),
            };
        }
    }

    #[test]
    fn memory_may_be_had_but_not_executed() {
        for kind in Kind::ALL {
            for number in [sys::__NR_mmap, sys::__NR_mprotect] {
                assert_eq!(verdict(kind, OWN_ARCHITECTURE, number, 3), ALLOW);
                assert_eq!(verdict(kind, OWN_ARCHITECTURE, number, 7), KILL_PROCESS);
            }
        }
    }

    #[test]
    fn foreign_architectures_and_unlisted_calls_end_the_process() {
        for kind in Kind::ALL {
            assert_eq!(verdict(kind, OWN_ARCHITECTURE, sys::__NR_read, 0), ALLOW);
            assert_eq!(
                verdict(kind, OWN_ARCHITECTURE ^ 1, sys::__NR_read, 0),
                KILL_PROCESS
            );
            assert_eq!(
                verdict(kind, OWN_ARCHITECTURE, sys::__NR_read | 0x4000_0000, 0),
                KILL_PROCESS
            );
            assert_eq!(
                verdict(kind, OWN_ARCHITECTURE, sys::__NR_execve, 0),
                KILL_PROCESS
            );
        }
        assert_eq!(
            verdict(Kind::Dissect, OWN_ARCHITECTURE, sys::__NR_openat, 0),
            KILL_PROCESS
        );
        assert_eq!(
            verdict(Kind::Mount, OWN_ARCHITECTURE, sys::__NR_openat, 0),
            ALLOW
        );
    }
}
