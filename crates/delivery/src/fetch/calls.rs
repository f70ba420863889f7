//! The system calls that the fetch worker may make. What is not here fails, so that it can still say why it could not go on.

use kernel::seccomp::allow::{self, Allow, Otherwise};
use linux_raw_sys::general as sys;

/// Its file, its clock, its signals.
const OWN: &[u32] = &[
    sys::__NR_clock_nanosleep,
    sys::__NR_fdatasync,
    sys::__NR_fsync,
    sys::__NR_ftruncate,
    sys::__NR_gettimeofday,
    sys::__NR_nanosleep,
    sys::__NR_pwrite64,
    sys::__NR_readv,
    sys::__NR_restart_syscall,
    sys::__NR_rt_sigaction,
    sys::__NR_statx,
    sys::__NR_writev,
];

/// Connections to others; none comes in. Whoever asks a name server binds to a port of its own first; without listen and
/// accept that takes no connection.
const NETWORK: &[u32] = &[
    sys::__NR_bind,
    sys::__NR_connect,
    sys::__NR_getpeername,
    sys::__NR_getsockname,
    sys::__NR_getsockopt,
    #[cfg(target_arch = "x86_64")]
    sys::__NR_poll,
    sys::__NR_ppoll,
    sys::__NR_recvfrom,
    sys::__NR_recvmsg,
    sys::__NR_sendmsg,
    sys::__NR_sendto,
    sys::__NR_setsockopt,
    sys::__NR_shutdown,
];

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const FIONBIO: u32 = 0x5421;
const F_DUPFD_CLOEXEC: u32 = 1030;
const F_GETFD: u32 = 1;
const F_GETFL: u32 = 3;
const F_SETFL: u32 = 4;

/// Calls that are harmless with some arguments only.
const LIMITED: &[Allow] = &[
    // No socket of the host's own: neither abstract names, nor netlink, nor packets.
    Allow::If {
        call: sys::__NR_socket,
        argument: 0,
        values: &[AF_INET, AF_INET6],
    },
    Allow::If {
        call: sys::__NR_ioctl,
        argument: 1,
        values: &[FIONBIO],
    },
    Allow::If {
        call: sys::__NR_fcntl,
        argument: 1,
        values: &[F_DUPFD_CLOEXEC, F_GETFD, F_GETFL, F_SETFL],
    },
];

/// The list as a program. Signals to others, which it has, need a user that the worker no longer is.
pub(super) fn program() -> Vec<u8> {
    let calls = allow::COMMON.iter().chain(OWN).chain(NETWORK);
    let calls = calls.copied().map(Allow::Call);
    let list: Vec<Allow> = calls
        .chain(allow::MEMORY)
        .chain(LIMITED.iter().copied())
        .collect();
    allow::program(&list, Otherwise::Refuse)
}

#[cfg(test)]
mod tests {
    use kernel::seccomp::allow::{OWN_ARCHITECTURE, Verdict, verdict};

    use super::*;

    fn check(number: u32, first: u64, second: u64, third: u64, expected: Verdict) {
        let arguments = [first, second, third, 0, 0, 0];
        assert_eq!(
            verdict(&program(), OWN_ARCHITECTURE, number, arguments),
            Some(expected),
            "{number} {arguments:?}"
        );
    }

    #[test]
    fn it_connects_by_internet_protocols_alone() {
        check(sys::__NR_socket, 2, 1, 0, Verdict::Allowed);
        check(sys::__NR_socket, 10, 2, 0, Verdict::Allowed);
        for family in [1, 16, 17, 38, 40] {
            check(sys::__NR_socket, family, 1, 0, Verdict::Refused);
        }
        for call in [sys::__NR_listen, sys::__NR_accept4, sys::__NR_socketpair] {
            check(call, 2, 1, 0, Verdict::Refused);
        }
    }

    #[test]
    fn it_opens_starts_and_looks_into_nothing() {
        for call in [
            sys::__NR_openat,
            sys::__NR_openat2,
            sys::__NR_execve,
            sys::__NR_execveat,
            sys::__NR_clone,
            sys::__NR_clone3,
            sys::__NR_ptrace,
            sys::__NR_process_vm_readv,
            sys::__NR_pidfd_open,
            sys::__NR_pidfd_getfd,
            sys::__NR_kill,
            sys::__NR_unshare,
            sys::__NR_setns,
            sys::__NR_mount,
            sys::__NR_bpf,
            sys::__NR_io_uring_setup,
            sys::__NR_memfd_create,
        ] {
            check(call, 0, 0, 0, Verdict::Refused);
        }
        check(sys::__NR_mmap, 0, 4096, 3, Verdict::Allowed);
        check(sys::__NR_mmap, 0, 4096, 7, Verdict::Refused);
        check(sys::__NR_mprotect, 0, 4096, 5, Verdict::Refused);
    }
}
