//! The system calls that each worker may make: a short allow-list as a BPF program. Anything else ends the process.

use kernel::seccomp::allow::{self, Allow, Otherwise};
use linux_raw_sys::general as sys;

use super::Kind;

/// What every worker needs: its descriptors, its memory, its end.
const COMMON: &[u32] = &[
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

/// `prot` of mmap and mprotect.
const PROTECTION: u32 = 2;
const PROT_EXEC: u32 = 4;
/// The operation of fcntl.
const OPERATION: u32 = 1;
const F_GETFD: u32 = 1;

/// The program of a worker.
pub(super) fn program(kind: Kind) -> Vec<u8> {
    let own = match kind {
        Kind::Dissect | Kind::Verify | Kind::Inspect => &[],
        Kind::Extract => EXTRACT,
        Kind::Mount => MOUNT,
    };
    let mut list: Vec<Allow> = COMMON.iter().chain(own).copied().map(Allow::Call).collect();
    list.extend(MEMORY.iter().map(|call| Allow::Unless {
        call: *call,
        argument: PROTECTION,
        bits: PROT_EXEC,
    }));
    // A build for debugging asks each descriptor whether it is open before it closes it.
    list.push(Allow::If {
        call: sys::__NR_fcntl,
        argument: OPERATION,
        values: &[F_GETFD],
    });
    allow::program(&list, Otherwise::Kill)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::seccomp::allow::{OWN_ARCHITECTURE, Verdict};

    fn verdict(kind: Kind, architecture: u32, number: u32, protection: u64) -> Verdict {
        let arguments = [0, 0, protection, 0, 0, 0];
        allow::verdict(&program(kind), architecture, number, arguments).expect("a program of ours")
    }

    #[test]
    fn memory_may_be_had_but_not_executed() {
        for kind in Kind::ALL {
            for number in [sys::__NR_mmap, sys::__NR_mprotect] {
                assert_eq!(verdict(kind, OWN_ARCHITECTURE, number, 3), Verdict::Allowed);
                assert_eq!(verdict(kind, OWN_ARCHITECTURE, number, 7), Verdict::Killed);
            }
        }
    }

    #[test]
    fn foreign_architectures_and_unlisted_calls_end_the_process() {
        for kind in Kind::ALL {
            assert_eq!(
                verdict(kind, OWN_ARCHITECTURE, sys::__NR_read, 0),
                Verdict::Allowed
            );
            assert_eq!(
                verdict(kind, OWN_ARCHITECTURE ^ 1, sys::__NR_read, 0),
                Verdict::Killed
            );
            assert_eq!(
                verdict(kind, OWN_ARCHITECTURE, sys::__NR_read | 0x4000_0000, 0),
                Verdict::Killed
            );
            assert_eq!(
                verdict(kind, OWN_ARCHITECTURE, sys::__NR_execve, 0),
                Verdict::Killed
            );
        }
        assert_eq!(
            verdict(Kind::Dissect, OWN_ARCHITECTURE, sys::__NR_openat, 0),
            Verdict::Killed
        );
        assert_eq!(
            verdict(Kind::Mount, OWN_ARCHITECTURE, sys::__NR_openat, 0),
            Verdict::Allowed
        );
    }
}
