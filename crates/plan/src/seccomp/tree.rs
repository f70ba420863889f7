//! From rules to a program: the machine first, then a balanced search over ranges of equal rules.

use super::bpf::{
    Backwards, Instruction, JUMP_ANY_BIT, JUMP_AT_LEAST, JUMP_EQUAL, Label, MACHINE_OFFSET,
    NUMBER_OFFSET, TooLong, argument_offset,
};
use super::calls::{Clause, Test};
use super::policy::{Restrictions, Rule};
use super::table::{Machine, X32_BIT};

/// The program for a host of this machine.
pub fn compile(restrictions: &Restrictions, native: Machine) -> Result<Vec<Instruction>, TooLong> {
    let mut code = Backwards::default();
    let mut next = code.verdict(restrictions.foreign());
    // Written backwards: the native machine comes last here and is asked first by the kernel.
    for &machine in native.family().iter().rev() {
        if restrictions
            .machines
            .as_ref()
            .is_some_and(|allowed| !allowed.contains(&machine))
        {
            continue;
        }
        let ranges = ranges(restrictions, machine);
        let search = search(&mut code, &ranges);
        let entry = code.load(NUMBER_OFFSET, search);
        next = code.compare(JUMP_EQUAL, machine.token(), entry, next);
    }
    code.load(MACHINE_OFFSET, next);
    code.finish()
}

/// Where a range of numbers begins, and the rule of all of them up to the next range.
type Range = (u32, Rule);

fn ranges(restrictions: &Restrictions, machine: Machine) -> Vec<Range> {
    let unknown = restrictions.unknown();
    let mut ranges: Vec<Range> = Vec::new();
    let mut add = |start: u32, rule: &Rule| {
        if ranges.last().is_none_or(|(_, last)| last != rule) {
            ranges.push((start, rule.clone()));
        }
    };
    let mut next = 0;
    for (number, rule) in restrictions.rules(machine) {
        if number > next {
            add(next, &unknown);
        }
        add(number, &rule);
        next = number + 1;
    }
    add(next, &unknown);
    if machine == Machine::X86_64 {
        // The x32 kind comes with the same token. It is not native, and few kernels have it.
        add(
            X32_BIT,
            &Rule {
                clauses: Vec::new(),
                otherwise: x32(restrictions),
            },
        );
    }
    ranges
}

fn x32(restrictions: &Restrictions) -> super::Verdict {
    if restrictions.machines.is_some() {
        restrictions.foreign()
    } else {
        super::Verdict::Errno(38)
    }
}

/// A balanced search; needs the number loaded.
fn search(code: &mut Backwards, ranges: &[Range]) -> Label {
    match ranges {
        [] => code.verdict(super::Verdict::Kill),
        [(_, rule)] => decide(code, rule),
        _ => {
            let (below, above) = ranges.split_at(ranges.len() / 2);
            let boundary = above.first().map_or(0, |(start, _)| *start);
            let at_least = search(code, above);
            let less = search(code, below);
            code.compare(JUMP_AT_LEAST, boundary, at_least, less)
        }
    }
}

fn decide(code: &mut Backwards, rule: &Rule) -> Label {
    if rule.clauses.is_empty() {
        return code.verdict(rule.otherwise);
    }
    let mut next = code.verdict(rule.otherwise);
    for clause in rule.clauses.iter().rev() {
        next = clause_code(code, clause, next);
    }
    next
}

/// The verdict if every test holds, else `otherwise`.
fn clause_code(code: &mut Backwards, clause: &Clause, otherwise: Label) -> Label {
    let mut holds = code.verdict(clause.verdict);
    for test in clause.tests.iter().rev() {
        holds = test_code(code, *test, holds, otherwise);
    }
    holds
}

fn test_code(code: &mut Backwards, test: Test, holds: Label, fails: Label) -> Label {
    match test {
        Test::AnyBit { argument, bits } => {
            let compare = code.compare(JUMP_ANY_BIT, bits, holds, fails);
            code.load(argument_offset(argument), compare)
        }
        Test::AllBits { argument, bits } => {
            let compare = code.compare(JUMP_EQUAL, bits, holds, fails);
            let masked = code.and(bits, compare);
            code.load(argument_offset(argument), masked)
        }
        Test::Equals { argument, value } => {
            let compare = code.compare(JUMP_EQUAL, value, holds, fails);
            code.load(argument_offset(argument), compare)
        }
        Test::Differs { argument, value } => {
            let compare = code.compare(JUMP_EQUAL, value, fails, holds);
            code.load(argument_offset(argument), compare)
        }
    }
}
