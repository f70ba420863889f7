//! Acts that are one system call: its number, its arguments, and the errors that only a caller with the privilege sees.

use libc::{EBADF, EBUSY, EINVAL, ENOENT, ENOEXEC, ENOSYS};

use crate::call::Arg::{Given, N, T, W};
use crate::call::{Arg, Errno, call};
use crate::{Outcome, Refusal};

type Call = (&'static str, i64, &'static [Arg<'static>], &'static [i32]);

/// `getpid` for programs of the x32 kind.
const X32_GETPID: i64 = 0x4000_0000 | libc::SYS_getpid;

const OPEN_TREE_CLONE: i64 = 1;
const PTRACE_SEIZE: i64 = 0x4206;
const KEYCTL_SEARCH: i64 = 10;
const SESSION_KEYRING: i64 = -3;
/// Reads all of the kernel's log (syslog(2)).
const SYSLOG_READ_ALL: i64 = 3;
/// `ADJ_SETOFFSET` (clock_adjtime(2)): adds what follows, which is nothing.
const SET_OFFSET: u32 = 0x100;
/// `Q_QUOTAOFF` for users.
const QUOTA_OFF: i64 = 0x80_0003 << 8;
/// Made if need be, for everybody (`IPC_CREAT`).
const CREATE: i64 = 0o1666;

/// The answer of a kernel that was built without a thing is an answer: the call got as far as it.
const CALLS: &[Call] = &[
    (
        "adjust-clock",
        libc::SYS_clock_adjtime,
        &[N(0), W(&[SET_OFFSET])],
        &[],
    ),
    ("bpf", libc::SYS_bpf, &[N(0), W(&[2, 4, 4, 1]), N(72)], &[]),
    (
        "change-owner",
        libc::SYS_chown,
        &[Given(0), N(1), N(-1)],
        &[],
    ),
    ("change-root", libc::SYS_chroot, &[T("/")], &[]),
    (
        "delete-module",
        libc::SYS_delete_module,
        &[T("coracle-attack"), N(0)],
        &[ENOENT, ENOSYS],
    ),
    (
        "find-key",
        libc::SYS_keyctl,
        &[
            N(KEYCTL_SEARCH),
            N(SESSION_KEYRING),
            T("user"),
            T("coracle-attack"),
            N(0),
        ],
        &[],
    ),
    ("find-messages", libc::SYS_msgget, &[Given(0), N(0)], &[]),
    ("find-queue", libc::SYS_mq_open, &[Given(0), N(0)], &[]),
    (
        "find-segment",
        libc::SYS_shmget,
        &[Given(0), N(0), N(0)],
        &[],
    ),
    (
        "find-semaphores",
        libc::SYS_semget,
        &[Given(0), N(0), N(0)],
        &[],
    ),
    (
        "finit-module",
        libc::SYS_finit_module,
        &[N(-1), T(""), N(0)],
        &[EBADF, ENOSYS],
    ),
    ("fsopen", libc::SYS_fsopen, &[T("tmpfs"), N(0)], &[]),
    ("hang-up", libc::SYS_vhangup, &[], &[]),
    (
        "init-module",
        libc::SYS_init_module,
        &[N(0), N(0), T("")],
        &[ENOEXEC, ENOSYS],
    ),
    ("io-uring", libc::SYS_io_uring_setup, &[N(1), W(&[])], &[]),
    (
        "keep-messages",
        libc::SYS_msgget,
        &[Given(0), N(CREATE)],
        &[],
    ),
    (
        "keep-queue",
        libc::SYS_mq_open,
        &[Given(0), N(libc::O_CREAT as i64), N(0o600), N(0)],
        &[],
    ),
    (
        "keep-segment",
        libc::SYS_shmget,
        &[Given(0), N(16), N(CREATE)],
        &[],
    ),
    (
        "keep-semaphores",
        libc::SYS_semget,
        &[Given(0), N(1), N(CREATE)],
        &[],
    ),
    // Seventeen segments are more than there may be, and the flags are none.
    (
        "kexec",
        libc::SYS_kexec_load,
        &[N(0), N(17), N(0), N(0xff)],
        &[EINVAL, ENOSYS],
    ),
    (
        "map-write-execute",
        libc::SYS_mmap,
        &[N(0), N(4096), N(7), N(34), N(-1), N(0)],
        &[],
    ),
    (
        "move-mount",
        libc::SYS_move_mount,
        &[N(-1), T(""), N(-1), T(""), N(-1)],
        &[EINVAL],
    ),
    (
        "open-tree",
        libc::SYS_open_tree,
        &[N(-100), T("/"), N(OPEN_TREE_CLONE)],
        &[],
    ),
    (
        "packet-socket",
        libc::SYS_socket,
        &[N(libc::AF_PACKET as i64), N(3), N(0)],
        &[],
    ),
    // The clock of this process, in software, in the first form of the structure.
    (
        "perf-events",
        libc::SYS_perf_event_open,
        &[W(&[1, 64]), N(0), N(-1), N(-1), N(0)],
        &[],
    ),
    ("personality", libc::SYS_personality, &[Given(0)], &[]),
    (
        "pivot-root",
        libc::SYS_pivot_root,
        &[T("/"), T("/")],
        &[EBUSY, EINVAL],
    ),
    (
        "quota",
        libc::SYS_quotactl,
        &[N(QUOTA_OFF), T("/nonexistent"), N(0), N(0)],
        &[ENOENT, ENOSYS],
    ),
    ("raw-socket", libc::SYS_socket, &[N(2), N(3), N(1)], &[]),
    // The numbers that must go along are not there.
    (
        "reboot",
        libc::SYS_reboot,
        &[N(0), N(0), N(0), N(0)],
        &[EINVAL],
    ),
    (
        "read-kernel-log",
        libc::SYS_syslog,
        &[N(SYSLOG_READ_ALL), W(&[]), N(16)],
        &[],
    ),
    (
        "set-scheduler",
        libc::SYS_sched_setscheduler,
        &[N(0), N(1), W(&[1])],
        &[],
    ),
    (
        "set-scheduling",
        libc::SYS_sched_setattr,
        &[N(0), W(&[48, 1, 0, 0, 0, 1]), N(0)],
        &[],
    ),
    (
        "set-time-of-day",
        libc::SYS_settimeofday,
        &[N(0), N(0)],
        &[],
    ),
    // Of nothing, which is asked for all the same.
    (
        "read-memory",
        libc::SYS_process_vm_readv,
        &[Given(0), N(0), N(0), N(0), N(0), N(0)],
        &[],
    ),
    ("signal", libc::SYS_kill, &[Given(0), N(0)], &[]),
    ("swap-off", libc::SYS_swapoff, &[T("")], &[ENOENT, ENOSYS]),
    (
        "swap-on",
        libc::SYS_swapon,
        &[T(""), N(0)],
        &[ENOENT, ENOSYS],
    ),
    (
        "trace",
        libc::SYS_ptrace,
        &[N(PTRACE_SEIZE), Given(0), N(0), N(0)],
        &[],
    ),
    // Of a place where nothing is mounted.
    ("unmount", libc::SYS_umount2, &[Given(0), N(0)], &[EINVAL]),
    ("user-faults", libc::SYS_userfaultfd, &[N(0)], &[]),
    ("x32-call", X32_GETPID, &[], &[ENOSYS]),
];

/// Does the act of this name, if it is one call.
pub(crate) fn attempt(name: &str, given: &[String]) -> Option<Outcome> {
    let (_, number, arguments, answers) = CALLS.iter().find(|(known, ..)| *known == name)?;
    Some(match call(*number, arguments, given) {
        Ok(_) => Ok(()),
        Err(Errno(error)) if answers.contains(&error) => Ok(()),
        Err(error) => Err(Refusal::By(error)),
    })
}
