//! Files: on which kinds of file systems they may be opened. The program stands before the security module's `file_open`.

use super::btf::Layout;
use super::code::{Backwards, Instruction, Is, Label, R0, R1, R2, R3, R4, R6, TooLong};

/// What sets up the sandbox, by its file: nobody else's has all three numbers, as the kernel draws the last by lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Executor {
    /// As the kernel has it: the major number above 20 bits.
    pub device: u32,
    /// Its inode.
    pub inode: u64,
    /// The inode's generation.
    pub generation: u32,
}

/// What a program of the security module rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ground {
    /// Of the kernel.
    pub layout: Layout,
    /// Who is let through.
    pub executor: Executor,
}

/// `bpf_get_current_task_btf`.
const CURRENT_TASK: i32 = 158;
/// `__FMODE_EXEC`: the file is opened to be executed.
const TO_EXECUTE: u32 = 0x20;

/// The program: 1 lets the file be opened, 0 refuses it with EPERM. As long as a process is the executor still, it opens what it needs, but
/// executes nothing that the service could not.
pub(super) fn program(
    allow: bool,
    magics: &[u32],
    ground: &Ground,
) -> Result<Vec<Instruction>, TooLong> {
    let mut code = Backwards::default();
    let pass = code.give(1);
    let refuse = code.give(0);
    let set_up = is_executor(&mut code, ground, pass, refuse);
    let (listed, other) = if allow {
        (pass, set_up)
    } else {
        (set_up, pass)
    };
    let mut next = other;
    for magic in magics.iter().rev() {
        next = code.compare(R2, Is::Equal, *magic, listed, next);
    }
    code.go(next);
    let layout = &ground.layout;
    code.load_double(R2, R2, layout.super_magic);
    code.load_double(R2, R2, layout.inode_super);
    code.load_double(R2, R6, layout.file_inode);
    code.load_double(R6, R1, 0);
    code.finish()
}

/// Whether the process executes the executor's file still. No pointer on the way must be null.
fn is_executor(code: &mut Backwards, ground: &Ground, pass: Label, refuse: Label) -> Label {
    let (layout, executor) = (&ground.layout, &ground.executor);
    code.compare_doubles(R3, Is::Equal, R4, pass, refuse);
    code.wide(R4, executor.inode);
    let inode = code.load_double(R3, R2, layout.inode_number);
    code.compare(R3, Is::Equal, executor.generation, inode, refuse);
    let generation = code.load(R3, R2, layout.inode_generation);
    code.compare(R3, Is::Equal, executor.device, generation, refuse);
    code.load(R3, R3, layout.super_device);
    code.load_double(R3, R2, layout.inode_super);
    let file = code.load_double(R2, R2, layout.file_inode);
    code.null(R2, refuse, file);
    let memory = code.load_double(R2, R2, layout.memory_file);
    code.null(R2, refuse, memory);
    code.load_double(R2, R0, layout.task_memory);
    let task = code.call(CURRENT_TASK);
    code.compare(R3, Is::AnyBit, TO_EXECUTE, refuse, task);
    code.load(R3, R6, layout.file_flags)
}
