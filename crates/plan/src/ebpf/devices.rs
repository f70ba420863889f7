//! Device files: which ones may be opened and made.

use super::DeviceNumbers;
use super::code::{Backwards, Instruction, Is, R1, R2, R3, R4, R5, TooLong};

/// One rule with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) device: DeviceNumbers,
    /// What is allowed: [`MAKE`], [`READ`], [`WRITE`].
    pub(super) access: u32,
}

/// `BPF_DEVCG_ACC_MKNOD`.
pub(super) const MAKE: u32 = 1;
/// `BPF_DEVCG_ACC_READ`.
pub(super) const READ: u32 = 2;
/// `BPF_DEVCG_ACC_WRITE`.
pub(super) const WRITE: u32 = 4;

/// `BPF_DEVCG_DEV_BLOCK` and `BPF_DEVCG_DEV_CHAR`.
const BLOCK: u32 = 1;
const CHAR: u32 = 2;

/// Offsets in `struct bpf_cgroup_dev_ctx`.
const ACCESS_AND_KIND: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;

const fn character(major: u32, minor: Option<u32>, access: u32) -> Rule {
    Rule {
        device: DeviceNumbers {
            block: false,
            major: Some(major),
            minor,
        },
        access,
    }
}

/// What a closed policy allows: null, zero, full, random, urandom, tty, ptmx and the terminals of devpts (Linux, admin-guide/devices.txt).
pub(super) const STANDARD: &[Rule] = &[
    character(1, Some(3), MAKE | READ | WRITE),
    character(1, Some(5), MAKE | READ | WRITE),
    character(1, Some(7), MAKE | READ | WRITE),
    character(1, Some(8), MAKE | READ | WRITE),
    character(1, Some(9), MAKE | READ | WRITE),
    character(5, Some(0), MAKE | READ | WRITE),
    character(5, Some(2), MAKE | READ | WRITE),
    character(136, None, READ | WRITE),
];

/// The program: 1 allows the access, 0 refuses it with EPERM.
pub(super) fn program(rules: &[Rule]) -> Result<Vec<Instruction>, TooLong> {
    let mut code = Backwards::default();
    let allow = code.give(1);
    let mut next = code.give(0);
    for rule in rules.iter().rev() {
        let mut holds = allow;
        if let Some(minor) = rule.device.minor {
            holds = code.compare(R5, Is::Equal, minor, holds, next);
        }
        if let Some(major) = rule.device.major {
            holds = code.compare(R4, Is::Equal, major, holds, next);
        }
        holds = code.compare(R3, Is::AnyBit, !rule.access, next, holds);
        let kind = if rule.device.block { BLOCK } else { CHAR };
        next = code.compare(R2, Is::Equal, kind, holds, next);
    }
    code.go(next);
    code.and(R2, 0xffff);
    code.shift_right(R3, 16);
    code.copy(R3, R2);
    code.load(R5, R1, MINOR);
    code.load(R4, R1, MAJOR);
    code.load(R2, R1, ACCESS_AND_KIND);
    code.finish()
}
