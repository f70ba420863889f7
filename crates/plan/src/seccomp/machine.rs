//! The kernel's filter machine in small, so that tests ask the program itself.

use super::bpf::{AND, Instruction, JUMP, JUMP_ANY_BIT, JUMP_AT_LEAST, JUMP_EQUAL, LOAD, RETURN};

/// Runs a program over one call and gives the action word.
pub(super) fn run(program: &[Instruction], machine: u32, number: u32, arguments: &[u64]) -> u32 {
    let mut data = [0u8; 64];
    data[0..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&machine.to_le_bytes());
    for (index, argument) in arguments.iter().enumerate() {
        data[16 + 8 * index..24 + 8 * index].copy_from_slice(&argument.to_le_bytes());
    }
    let (mut at, mut word) = (0, 0u32);
    loop {
        let step = program[at];
        let jump = |holds: bool| if holds { step.if_true } else { step.if_false } as usize;
        at += 1;
        match step.code {
            LOAD => {
                let offset = step.operand as usize;
                word = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
            }
            AND => word &= step.operand,
            JUMP => at += step.operand as usize,
            JUMP_EQUAL => at += jump(word == step.operand),
            JUMP_AT_LEAST => at += jump(word >= step.operand),
            JUMP_ANY_BIT => at += jump(word & step.operand != 0),
            RETURN => return step.operand,
            other => panic!("no such instruction: {other:#x}"),
        }
    }
}
