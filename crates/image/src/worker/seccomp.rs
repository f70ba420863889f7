//! The system calls that each worker may make: a short allow-list as a BPF program. Anything else ends the process.

use kernel::seccomp::allow::{self, Allow, Otherwise};
use linux_raw_sys::general as sys;

use super::Kind;

/// A thread that waits for another lets it run first.
const HASH: &[u32] = &[sys::__NR_sched_yield];

/// Below a root that it was locked into.
const EXTRACT: &[u32] = &[sys::__NR_getdents64, sys::__NR_openat2];

/// The parts of a layout's directory, below a root that it was locked into; of an archive, none is opened.
const UNPACK: &[u32] = &[sys::__NR_openat2];

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

/// The operation of fcntl.
const OPERATION: u32 = 1;
const F_GETFD: u32 = 1;

/// The program of a worker.
pub(super) fn program(kind: Kind) -> Vec<u8> {
    let own = match kind {
        Kind::Dissect => &[],
        Kind::Verify | Kind::Inspect => HASH,
        Kind::Extract => EXTRACT,
        Kind::Unpack => UNPACK,
        Kind::Mount => MOUNT,
    };
    let calls = allow::COMMON.iter().chain(own).copied().map(Allow::Call);
    let mut list: Vec<Allow> = calls.chain(allow::MEMORY).collect();
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
