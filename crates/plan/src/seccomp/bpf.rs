//! Words of the filter machine, written from the end to the start so that every jump's target is known.

use super::Verdict;

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip when the comparison holds.
    pub if_true: u8,
    /// Instructions to skip when it doesn't.
    pub if_false: u8,
    /// Operand.
    pub operand: u32,
}

/// `BPF_LD | BPF_W | BPF_ABS`.
pub(super) const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JA`.
pub(super) const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub(super) const JUMP_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`.
pub(super) const JUMP_AT_LEAST: u16 = 0x35;
/// `BPF_JMP | BPF_JSET | BPF_K`.
pub(super) const JUMP_ANY_BIT: u16 = 0x45;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub(super) const AND: u16 = 0x54;
/// `BPF_RET | BPF_K`.
pub(super) const RETURN: u16 = 0x06;

/// Offset of the call's number in `struct seccomp_data`.
pub(super) const NUMBER_OFFSET: u32 = 0;
/// Offset of the architecture.
pub(super) const MACHINE_OFFSET: u32 = 4;

/// Offset of the low word of an argument; the supported machines are little-endian.
pub(super) const fn argument_offset(argument: u8) -> u32 {
    16 + 8 * argument as u32
}

/// The kernel's limit, `BPF_MAXINSNS`.
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

/// The program would exceed what the kernel loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system-call program needs {0} instructions, the kernel takes {MAX_INSTRUCTIONS}")]
pub struct TooLong(pub usize);

/// A place in the program: how many instructions follow it, itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Collects a program from its end.
#[derive(Debug, Default)]
pub(super) struct Backwards {
    reversed: Vec<Instruction>,
    returns: Vec<(Verdict, Label)>,
}

impl Backwards {
    fn push(&mut self, code: u16, if_true: u8, if_false: u8, operand: u32) -> Label {
        self.reversed.push(Instruction {
            code,
            if_true,
            if_false,
            operand,
        });
        Label(self.reversed.len())
    }

    /// How many instructions a jump placed now would skip; fits a conditional jump with room for one detour.
    fn near(&self, target: Label) -> Option<u8> {
        u8::try_from(self.reversed.len() - target.0)
            .ok()
            .filter(|&skip| skip < u8::MAX)
    }

    fn skip(&self, target: Label) -> u8 {
        // `reach` was called for the target and at most one detour was added since, so it is near.
        u8::try_from(self.reversed.len() - target.0).unwrap_or(u8::MAX)
    }

    fn reach(&mut self, target: Label) -> Label {
        match self.near(target) {
            Some(_) => target,
            None => {
                let skip = u32::try_from(self.reversed.len() - target.0).unwrap_or(u32::MAX);
                self.push(JUMP, 0, 0, skip)
            }
        }
    }

    /// A place that ends with a verdict: one already written if it is near, else a new one.
    pub(super) fn verdict(&mut self, verdict: Verdict) -> Label {
        let known = self
            .returns
            .iter()
            .rev()
            .find(|(known, _)| *known == verdict)
            .map(|(_, label)| *label);
        if let Some(label) = known.filter(|&label| self.near(label).is_some()) {
            return label;
        }
        let label = self.push(RETURN, 0, 0, verdict.action());
        self.returns.push((verdict, label));
        label
    }

    /// A comparison of the loaded word.
    pub(super) fn compare(
        &mut self,
        code: u16,
        operand: u32,
        if_true: Label,
        if_false: Label,
    ) -> Label {
        let if_true = self.reach(if_true);
        let if_false = self.reach(if_false);
        let (if_true, if_false) = (self.skip(if_true), self.skip(if_false));
        self.push(code, if_true, if_false, operand)
    }

    /// A masking of the loaded word, before `next`.
    pub(super) fn and(&mut self, mask: u32, next: Label) -> Label {
        self.follow(next);
        self.push(AND, 0, 0, mask)
    }

    /// A load, before `next`.
    pub(super) fn load(&mut self, offset: u32, next: Label) -> Label {
        self.follow(next);
        self.push(LOAD, 0, 0, offset)
    }

    /// Makes sure that what is pushed now runs into `next`.
    fn follow(&mut self, next: Label) {
        if next.0 != self.reversed.len() {
            let skip = u32::try_from(self.reversed.len() - next.0).unwrap_or(u32::MAX);
            self.push(JUMP, 0, 0, skip);
        }
    }

    /// The program; the last pushed instruction is its first.
    pub(super) fn finish(mut self) -> Result<Vec<Instruction>, TooLong> {
        self.reversed.reverse();
        if self.reversed.len() > MAX_INSTRUCTIONS {
            Err(TooLong(self.reversed.len()))
        } else {
            Ok(self.reversed)
        }
    }
}

impl Instruction {
    /// The word as the kernel reads it.
    pub fn bytes(&self) -> [u8; 8] {
        let [c0, c1] = self.code.to_le_bytes();
        let [k0, k1, k2, k3] = self.operand.to_le_bytes();
        [c0, c1, self.if_true, self.if_false, k0, k1, k2, k3]
    }
}
