//! Instructions of the kernel's eBPF machine (Linux, Documentation/bpf/standardization/instruction-set.rst), written from the end to the
//! start, so that every jump's target is known.

/// One instruction, or half of one that loads a wide constant: `struct bpf_insn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// The register that is written.
    pub to: u8,
    /// The register that is read, or what an immediate stands for.
    pub from: u8,
    /// Instructions to skip, or bytes from an address.
    pub offset: i16,
    /// The constant.
    pub immediate: i32,
}

impl Instruction {
    /// Whether it may go on elsewhere than behind itself.
    fn jumps(&self) -> bool {
        let kind = self.code & 0x07;
        (kind == JUMP || kind == WORDS) && self.code != CALL && self.code != EXIT
    }

    /// The instruction as a little-endian kernel reads it.
    pub fn bytes(&self) -> [u8; 8] {
        let [o0, o1] = self.offset.to_le_bytes();
        let [i0, i1, i2, i3] = self.immediate.to_le_bytes();
        [self.code, self.to | self.from << 4, o0, o1, i0, i1, i2, i3]
    }
}

/// A register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register(pub(super) u8);

/// What a program gives back.
pub(super) const R0: Register = Register(0);
/// The context, and the first argument of a helper.
pub(super) const R1: Register = Register(1);
pub(super) const R2: Register = Register(2);
pub(super) const R3: Register = Register(3);
pub(super) const R4: Register = Register(4);
pub(super) const R5: Register = Register(5);
/// Kept over calls of helpers.
pub(super) const R6: Register = Register(6);
/// The end of the stack.
pub(super) const R10: Register = Register(10);

/// `BPF_LDX | BPF_MEM | BPF_W`.
const LOAD_WORD: u8 = 0x61;
/// `BPF_LDX | BPF_MEM | BPF_DW`.
const LOAD_DOUBLE: u8 = 0x79;
/// `BPF_LD | BPF_IMM | BPF_DW`.
const LOAD_WIDE: u8 = 0x18;
/// `BPF_STX | BPF_MEM | BPF_W`.
const STORE_WORD: u8 = 0x63;
/// `BPF_STX | BPF_ATOMIC | BPF_DW`, whose immediate 0 is an addition.
const ATOMIC_DOUBLE: u8 = 0xdb;
/// `BPF_ALU64 | BPF_MOV | BPF_K`.
const MOVE: u8 = 0xb7;
/// `BPF_ALU64 | BPF_MOV | BPF_X`.
const MOVE_REGISTER: u8 = 0xbf;
/// `BPF_ALU64 | BPF_ADD | BPF_K`.
const ADD: u8 = 0x07;
/// `BPF_ALU | BPF_AND | BPF_K`.
const AND: u8 = 0x54;
/// `BPF_ALU | BPF_RSH | BPF_K`.
const SHIFT_RIGHT: u8 = 0x74;
/// `BPF_ALU | BPF_END | BPF_TO_BE`.
const BIG_ENDIAN: u8 = 0xdc;
/// `BPF_JMP | BPF_JA`.
const JUMP: u8 = 0x05;
/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;
/// `BPF_JMP | BPF_EXIT`.
const EXIT: u8 = 0x95;
/// `BPF_PSEUDO_MAP_VALUE`: a wide constant that is the address of an array's only value.
const MAP_VALUE: u8 = 2;

/// How two values are compared, without a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Is {
    /// Equal.
    Equal,
    /// Greater.
    Above,
    /// Greater or equal.
    AtLeast,
    /// They share a bit.
    AnyBit,
}

impl Is {
    const fn operation(self) -> u8 {
        match self {
            Is::Equal => 0x10,
            Is::Above => 0x20,
            Is::AtLeast => 0x30,
            Is::AnyBit => 0x40,
        }
    }
}

/// Comparing the low 32 bits with a constant, `BPF_JMP32 | BPF_K`.
const WORDS: u8 = 0x06;
/// Comparing all 64 bits of two registers, `BPF_JMP | BPF_X`.
const DOUBLES: u8 = 0x0d;
/// Comparing all 64 bits with a constant, `BPF_JMP | BPF_K`.
const ADDRESSES: u8 = 0x05;

/// A place in the program: how many instructions follow it, itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// The program is longer than its jumps reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the program needs {0} instructions, more than the {INSTRUCTIONS_MAX} that are built: shorten the unit's lists"
)]
pub struct TooLong(pub usize);

/// Every jump reaches over this many.
pub const INSTRUCTIONS_MAX: usize = i16::MAX as usize;

/// Collects a program from its end.
#[derive(Debug, Default)]
pub(super) struct Backwards {
    reversed: Vec<Instruction>,
}

impl Backwards {
    fn push(&mut self, code: u8, to: Register, from: u8, offset: i16, immediate: i32) -> Label {
        self.reversed.push(Instruction {
            code,
            to: to.0,
            from,
            offset,
            immediate,
        });
        self.here()
    }

    /// The place that was written last.
    fn here(&self) -> Label {
        Label(self.reversed.len())
    }

    /// How far it is to `target`; programs that are too long for it are refused as a whole.
    fn distance(&self, target: Label) -> i16 {
        i16::try_from(self.reversed.len() - target.0).unwrap_or(i16::MAX)
    }

    /// Makes sure that what is written now runs into `next`.
    pub(super) fn go(&mut self, next: Label) {
        if next != self.here() {
            self.push(JUMP, R0, 0, self.distance(next), 0);
        }
    }

    /// The end: gives back `value`.
    pub(super) fn give(&mut self, value: i32) -> Label {
        self.push(EXIT, R0, 0, 0, 0);
        self.push(MOVE, R0, 0, 0, value)
    }

    /// Compares the low 32 bits of a register.
    pub(super) fn compare(
        &mut self,
        register: Register,
        is: Is,
        value: u32,
        if_true: Label,
        if_false: Label,
    ) -> Label {
        self.go(if_false);
        let skip = self.distance(if_true);
        self.push(
            WORDS | is.operation(),
            register,
            0,
            skip,
            value.cast_signed(),
        )
    }

    /// Asks whether an address is null.
    pub(super) fn null(&mut self, register: Register, if_null: Label, if_not: Label) -> Label {
        self.go(if_not);
        let skip = self.distance(if_null);
        self.push(ADDRESSES | Is::Equal.operation(), register, 0, skip, 0)
    }

    /// Compares two whole registers.
    pub(super) fn compare_doubles(
        &mut self,
        register: Register,
        is: Is,
        other: Register,
        if_true: Label,
        if_false: Label,
    ) -> Label {
        self.go(if_false);
        let skip = self.distance(if_true);
        self.push(DOUBLES | is.operation(), register, other.0, skip, 0)
    }

    /// Loads 32 bits.
    pub(super) fn load(&mut self, to: Register, from: Register, offset: i16) -> Label {
        self.push(LOAD_WORD, to, from.0, offset, 0)
    }

    /// Loads 64 bits.
    pub(super) fn load_double(&mut self, to: Register, from: Register, offset: i16) -> Label {
        self.push(LOAD_DOUBLE, to, from.0, offset, 0)
    }

    /// Stores 32 bits.
    pub(super) fn store(&mut self, to: Register, offset: i16, from: Register) -> Label {
        self.push(STORE_WORD, to, from.0, offset, 0)
    }

    /// Adds 64 bits to memory, as one.
    pub(super) fn add_to_memory(&mut self, to: Register, offset: i16, from: Register) -> Label {
        self.push(ATOMIC_DOUBLE, to, from.0, offset, 0)
    }

    /// A constant of 64 bits.
    pub(super) fn wide(&mut self, to: Register, value: u64) -> Label {
        let half = |bits: u64| ((bits & u64::from(u32::MAX)) as u32).cast_signed();
        self.push(0, R0, 0, 0, half(value >> 32));
        self.push(LOAD_WIDE, to, 0, 0, half(value))
    }

    /// The address of the counters; who loads the program puts the map's descriptor in.
    pub(super) fn counters(&mut self, to: Register, offset: i32) -> Label {
        self.push(0, R0, 0, 0, offset);
        self.push(LOAD_WIDE, to, MAP_VALUE, 0, 0)
    }

    /// A constant.
    pub(super) fn set(&mut self, to: Register, value: i32) -> Label {
        self.push(MOVE, to, 0, 0, value)
    }

    /// A copy.
    pub(super) fn copy(&mut self, to: Register, from: Register) -> Label {
        self.push(MOVE_REGISTER, to, from.0, 0, 0)
    }

    /// An addition.
    pub(super) fn add(&mut self, to: Register, value: i32) -> Label {
        self.push(ADD, to, 0, 0, value)
    }

    /// Masks 32 bits.
    pub(super) fn and(&mut self, to: Register, mask: u32) -> Label {
        self.push(AND, to, 0, 0, mask.cast_signed())
    }

    /// Shifts 32 bits.
    pub(super) fn shift_right(&mut self, to: Register, bits: i32) -> Label {
        self.push(SHIFT_RIGHT, to, 0, 0, bits)
    }

    /// Turns so many bits of the network's order into the machine's.
    pub(super) fn host_order(&mut self, register: Register, bits: i32) -> Label {
        self.push(BIG_ENDIAN, register, 0, 0, bits)
    }

    /// Calls a helper of the kernel's.
    pub(super) fn call(&mut self, helper: i32) -> Label {
        self.push(CALL, R0, 0, 0, helper)
    }

    /// The program; the last pushed instruction is its first.
    pub(super) fn finish(mut self) -> Result<Vec<Instruction>, TooLong> {
        self.reversed.reverse();
        if self.reversed.len() > INSTRUCTIONS_MAX {
            return Err(TooLong(self.reversed.len()));
        }
        Ok(reachable(&self.reversed))
    }
}

/// The program without what is never reached: the kernel refuses one that has it.
fn reachable(code: &[Instruction]) -> Vec<Instruction> {
    let mut is_reached = vec![false; code.len()];
    if let Some(first) = is_reached.first_mut() {
        *first = true;
    }
    // All jumps go forward, so that one pass sees every way to an instruction before the instruction.
    for (at, one) in code.iter().enumerate() {
        if is_reached.get(at) != Some(&true) {
            continue;
        }
        let mut reach = |distance: usize| {
            if let Some(place) = is_reached.get_mut(at + distance) {
                *place = true;
            }
        };
        if one.jumps() {
            reach(1 + usize::try_from(one.offset).unwrap_or(0));
        }
        if one.code != JUMP && one.code != EXIT {
            reach(1);
        }
    }
    let mut count = 0;
    let places: Vec<usize> = is_reached
        .iter()
        .map(|is_reached| {
            count += usize::from(*is_reached);
            count
        })
        .collect();
    let place = |at: usize| places.get(at).copied().unwrap_or(count);
    let mut kept = Vec::with_capacity(count);
    for (at, one) in code.iter().enumerate() {
        if is_reached.get(at) != Some(&true) {
            continue;
        }
        let mut one = *one;
        if one.jumps() {
            let target = at + 1 + usize::try_from(one.offset).unwrap_or(0);
            one.offset = i16::try_from(place(target) - place(at) - 1).unwrap_or(i16::MAX);
        }
        kept.push(one);
    }
    kept
}

/// Whether an instruction is the first half of one that wants the counters' map.
pub fn wants_counters(instruction: &Instruction) -> bool {
    instruction.code == LOAD_WIDE && instruction.from == MAP_VALUE
}

#[cfg(test)]
mod tests {
    use super::{Backwards, Is, R1};

    #[test]
    fn what_is_never_reached_is_left_out_and_jumps_go_where_they_went() {
        let mut code = Backwards::default();
        let no = code.give(0);
        code.give(7);
        let yes = code.give(1);
        code.compare(R1, Is::Equal, 3, no, yes);
        let made = code.finish().expect("a program");
        let shown: Vec<_> = made
            .iter()
            .map(|one| (one.code, one.offset, one.immediate))
            .collect();
        assert_eq!(
            shown,
            [
                (0x16, 2, 3),
                (0xb7, 0, 1),
                (0x95, 0, 0),
                (0xb7, 0, 0),
                (0x95, 0, 0)
            ]
        );
    }
}
