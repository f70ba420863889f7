//! What each restricting directive denies: calls as a whole, and calls with certain arguments.

use super::Verdict;
use super::policy::{AddressRule, Restrictions};

/// One comparison of an argument's low word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Test {
    /// Any of these bits is set.
    AnyBit { argument: u8, bits: u32 },
    /// All of these bits are set.
    AllBits { argument: u8, bits: u32 },
    /// The word is this.
    Equals { argument: u8, value: u32 },
    /// The word is not this.
    Differs { argument: u8, value: u32 },
}

/// If all tests hold, the verdict.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Clause {
    pub(super) tests: Vec<Test>,
    pub(super) verdict: Verdict,
}

/// A denial of a call by name.
pub(super) struct Denial {
    pub(super) call: &'static str,
    pub(super) clause: Clause,
}

const EPERM: Verdict = Verdict::Errno(1);
const ENOSYS: Verdict = Verdict::Errno(38);
const EAFNOSUPPORT: Verdict = Verdict::Errno(97);

const PROT_WRITE_EXEC: u32 = 0x6;
const PROT_EXEC: u32 = 0x4;
const SHM_EXEC: u32 = 0o100_000;
const SUID_SGID: u32 = 0o6000;
const O_CREAT: u32 = 0o100;
const O_TMPFILE_BIT: u32 = 0o20_000_000;
const SCHED_RESET_ON_FORK: u32 = 0x4000_0000;

fn always(call: &'static str, verdict: Verdict) -> Denial {
    Denial {
        call,
        clause: Clause {
            tests: Vec::new(),
            verdict,
        },
    }
}

fn when(call: &'static str, tests: &[Test], verdict: Verdict) -> Denial {
    Denial {
        call,
        clause: Clause {
            tests: tests.to_vec(),
            verdict,
        },
    }
}

fn bit(argument: u8, bits: u32) -> Test {
    Test::AnyBit { argument, bits }
}

/// The denials of all restricting directives.
pub(super) fn denials(restrictions: &Restrictions) -> Vec<Denial> {
    let mut denials = Vec::new();
    denials.extend(
        restrictions
            .denied_calls
            .iter()
            .map(|call| always(call, EPERM)),
    );
    namespaces(restrictions.denied_namespaces, &mut denials);
    if let Some(rule) = &restrictions.addresses {
        addresses(rule, &mut denials);
    }
    if restrictions.no_writable_code {
        writable_code(&mut denials);
    }
    if restrictions.no_set_id {
        set_id(&mut denials);
    }
    if restrictions.no_other_project {
        projects(&mut denials);
    }
    if restrictions.no_realtime {
        realtime(&mut denials);
    }
    if let Some(personality) = restrictions.locked_personality {
        let tests = [
            Test::Differs {
                argument: 0,
                value: personality,
            },
            Test::Differs {
                argument: 0,
                value: u32::MAX,
            },
        ];
        denials.push(when("personality", &tests, EPERM));
    }
    if restrictions.addresses.is_some() || restrictions.no_set_id {
        // A ring makes sockets and files without passing here, so it is not available where those are looked at.
        denials.push(always("io_uring_setup", EPERM));
    }
    denials
}

fn namespaces(denied: u32, denials: &mut Vec<Denial>) {
    if denied == 0 {
        return;
    }
    // clone3 passes its flags in memory, where a filter can't look; C libraries fall back to clone.
    denials.push(always("clone3", ENOSYS));
    denials.push(when("clone", &[bit(0, denied)], EPERM));
    denials.push(when("unshare", &[bit(0, denied)], EPERM));
    denials.push(when("setns", &[bit(1, denied)], EPERM));
    // Type 0 means any, so it could be one of the denied.
    denials.push(when(
        "setns",
        &[Test::Equals {
            argument: 1,
            value: 0,
        }],
        EPERM,
    ));
}

fn addresses(rule: &AddressRule, denials: &mut Vec<Denial>) {
    match rule {
        AddressRule::Only(families) => {
            let tests: Vec<_> = families
                .iter()
                .map(|&value| Test::Differs { argument: 0, value })
                .collect();
            denials.push(when("socket", &tests, EAFNOSUPPORT));
        }
        AddressRule::Except(families) => {
            let test = |&value| {
                when(
                    "socket",
                    &[Test::Equals { argument: 0, value }],
                    EAFNOSUPPORT,
                )
            };
            denials.extend(families.iter().map(test));
        }
    }
    // The old multiplexer of 32-bit x86 passes the family in memory: its socket() (1) is denied as a whole.
    denials.push(when(
        "socketcall",
        &[Test::Equals {
            argument: 0,
            value: 1,
        }],
        EAFNOSUPPORT,
    ));
}

fn writable_code(denials: &mut Vec<Denial>) {
    for call in ["mmap", "mmap2"] {
        denials.push(when(
            call,
            &[Test::AllBits {
                argument: 2,
                bits: PROT_WRITE_EXEC,
            }],
            EPERM,
        ));
    }
    denials.push(when("mprotect", &[bit(2, PROT_EXEC)], EPERM));
    denials.push(when("pkey_mprotect", &[bit(2, PROT_EXEC)], EPERM));
    denials.push(when("shmat", &[bit(2, SHM_EXEC)], EPERM));
}

fn set_id(denials: &mut Vec<Denial>) {
    for (call, mode) in [
        ("chmod", 1),
        ("fchmod", 1),
        ("fchmodat", 2),
        ("fchmodat2", 2),
        ("mkdir", 1),
        ("mkdirat", 2),
        ("mknod", 1),
        ("mknodat", 2),
        ("creat", 1),
    ] {
        denials.push(when(call, &[bit(mode, SUID_SGID)], EPERM));
    }
    for (call, flags, mode) in [("open", 1, 2), ("openat", 2, 3)] {
        denials.push(when(
            call,
            &[bit(flags, O_CREAT | O_TMPFILE_BIT), bit(mode, SUID_SGID)],
            EPERM,
        ));
    }
    // openat2 passes its mode in memory; C libraries fall back to openat.
    denials.push(always("openat2", ENOSYS));
}

/// Whoever owns a file could take it, or what is made in a directory, out of its project: FS_IOC_FSSETXATTR, and FS_IOC_SETFLAGS of both word
/// sizes, which has the flag that lets a project be inherited.
const SETS_PROJECT: [u32; 3] = [0x401c_5820, 0x4008_6602, 0x4004_6602];

fn projects(denials: &mut Vec<Denial>) {
    for value in SETS_PROJECT {
        let request = Test::Equals { argument: 1, value };
        denials.push(when("ioctl", &[request], EPERM));
    }
    // It passes them in memory.
    denials.push(always("file_setattr", EPERM));
    // With CAP_SYS_ADMIN they set what a project may hold, or have nothing counted.
    denials.push(always("quotactl", EPERM));
    denials.push(always("quotactl_fd", EPERM));
}

fn realtime(denials: &mut Vec<Denial>) {
    let harmless = [0, 3, 5]
        .into_iter()
        .flat_map(|policy| [policy, policy | SCHED_RESET_ON_FORK]);
    let tests: Vec<_> = harmless
        .map(|value| Test::Differs { argument: 1, value })
        .collect();
    denials.push(when("sched_setscheduler", &tests, EPERM));
    // sched_setattr passes its policy in memory.
    denials.push(always("sched_setattr", EPERM));
}
