//! A machine for tests that runs the programs as the kernel does, as far as they go.

use super::Instruction;

/// What a program is handed.
pub(super) struct Machine<'a> {
    /// The context, a word at each offset.
    pub(super) context: &'a mut Vec<(i16, u32)>,
    /// The packet, from its network header.
    pub(super) packet: &'a [u8],
    /// Packets and bytes of both directions.
    pub(super) counters: [u64; 4],
}

/// Addresses that only this machine knows.
const CONTEXT: u64 = 1 << 40;
const STACK_END: u64 = 2 << 40;
const COUNTERS: u64 = 3 << 40;

impl Machine<'_> {
    /// Runs a program to its end and gives what it gives.
    pub(super) fn run(&mut self, code: &[Instruction]) -> u64 {
        let mut registers = [0_u64; 11];
        let mut stack = [0_u8; 512];
        registers[1] = CONTEXT;
        registers[10] = STACK_END;
        let mut at = 0;
        loop {
            let one = code[at];
            let (to, from) = (usize::from(one.to), usize::from(one.from));
            let immediate = i64::from(one.immediate).cast_unsigned();
            let word = one.immediate.cast_unsigned();
            at += 1;
            let address = |base: u64| base.wrapping_add(i64::from(one.offset).cast_unsigned());
            match one.code {
                0x61 => registers[to] = u64::from(self.word(address(registers[from]), &stack)),
                0x79 => {
                    let place = usize::try_from(address(registers[from]) + 512 - STACK_END);
                    let place = place.expect("on the stack");
                    let bytes = stack[place..place + 8].try_into().expect("eight bytes");
                    registers[to] = u64::from_le_bytes(bytes);
                }
                0x63 => {
                    let place = i16::try_from(address(registers[to]) - CONTEXT).expect("context");
                    self.context.push((place, registers[from] as u32));
                }
                0xdb => {
                    let place = (address(registers[to]) - COUNTERS) / 8;
                    self.counters[usize::try_from(place).expect("a counter")] += registers[from];
                }
                0x18 => {
                    let upper = code[at].immediate.cast_unsigned();
                    at += 1;
                    registers[to] = match one.from {
                        0 => u64::from(upper) << 32 | u64::from(word),
                        _ => COUNTERS + u64::from(upper),
                    };
                }
                0xb7 => registers[to] = immediate,
                0xbf => registers[to] = registers[from],
                0x07 => registers[to] = registers[to].wrapping_add(immediate),
                0x54 => registers[to] = u64::from(registers[to] as u32 & word),
                0x74 => registers[to] = u64::from(registers[to] as u32 >> word),
                0xdc => {
                    registers[to] = match word {
                        16 => u64::from((registers[to] as u16).swap_bytes()),
                        32 => u64::from((registers[to] as u32).swap_bytes()),
                        _ => registers[to].swap_bytes(),
                    }
                }
                0x85 => {
                    assert_eq!(
                        (word, registers[1]),
                        (26, CONTEXT),
                        "load_bytes of the context"
                    );
                    registers[0] = self.load_bytes([2, 3, 4].map(|at| registers[at]), &mut stack);
                }
                0x95 => return registers[0],
                0x05 => at += usize::try_from(one.offset).expect("forward"),
                code => {
                    let right = match code & 0x0f {
                        0x06 => u64::from(word),
                        _ => registers[from],
                    };
                    if jumps(code, registers[to], right) {
                        at += usize::try_from(one.offset).expect("forward");
                    }
                }
            }
        }
    }

    fn load_bytes(&self, arguments: [u64; 3], stack: &mut [u8; 512]) -> u64 {
        let [from, to, bytes] = arguments;
        let from = usize::try_from(from).expect("an offset");
        let to = usize::try_from(to + 512 - STACK_END).expect("on the stack");
        let bytes = usize::try_from(bytes).expect("a length");
        match self.packet.get(from..from + bytes) {
            Some(found) => {
                stack[to..to + bytes].copy_from_slice(found);
                0
            }
            None => u64::MAX,
        }
    }

    fn word(&self, address: u64, stack: &[u8; 512]) -> u32 {
        if (CONTEXT..CONTEXT + 4096).contains(&address) {
            let place = i16::try_from(address - CONTEXT).expect("context");
            let found = self.context.iter().rev().find(|(known, _)| *known == place);
            return found.expect("a field that the test has").1;
        }
        let place = usize::try_from(address + 512 - STACK_END).expect("on the stack");
        u32::from_le_bytes(stack[place..place + 4].try_into().expect("four bytes"))
    }
}

/// Whether a comparison holds: of the low halves, or of all.
fn jumps(code: u8, left: u64, right: u64) -> bool {
    let left = match code & 0x0f {
        0x06 => u64::from(left as u32),
        0x0d => left,
        _ => panic!("no such instruction: {code:#x}"),
    };
    match code & 0xf0 {
        0x10 => left == right,
        0x20 => left > right,
        0x30 => left >= right,
        0x40 => left & right != 0,
        _ => panic!("no such comparison: {code:#x}"),
    }
}
