//! Packets that come in and go out: which interfaces, which addresses, and how many.

use model::value::IpPrefix;

use super::code::{Backwards, Instruction, Is, Label, R0, R1, R2, R3, R4, R6, R10, TooLong};
use super::ranges::{Range, ranges};

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    /// To the unit.
    Ingress,
    /// From it.
    Egress,
}

/// What becomes of a unit's packets.
#[derive(Debug, Clone, Default)]
pub(super) struct Traffic<'a> {
    /// Networks that are allowed whatever `deny` says.
    pub(super) allow: &'a [IpPrefix],
    /// Networks that are not.
    pub(super) deny: &'a [IpPrefix],
    /// The interfaces, by number: those allowed, or those not.
    pub(super) interfaces: Option<(bool, Vec<u32>)>,
    /// What passes is counted.
    pub(super) counts: bool,
}

/// Offsets in `struct __sk_buff`.
const LENGTH: i16 = 0;
const PROTOCOL: i16 = 16;
const INTERFACE: i16 = 40;
/// Kinds of packets as they stand there, in the network's order; the machines are little-endian.
const IPV4: u32 = 0x0008;
const IPV6: u32 = 0xdd86;
/// `bpf_skb_load_bytes`.
const LOAD_BYTES: i32 = 26;
/// Where the address is read to, from the end of the stack.
const ADDRESS: i16 = -16;

/// Where the counters of each direction begin: packets, then bytes, 8 of each.
const INGRESS_COUNTERS: i32 = 0;
const EGRESS_COUNTERS: i32 = 16;
/// Bytes of the counters of both.
pub const COUNTERS_BYTES: usize = 32;

/// The program of one direction: 1 lets a packet pass, 0 drops it.
pub(super) fn program(
    traffic: &Traffic<'_>,
    direction: Direction,
) -> Result<Vec<Instruction>, TooLong> {
    let mut code = Backwards::default();
    let drop = code.give(0);
    let pass = code.give(1);
    let pass = if traffic.counts {
        count(&mut code, pass, direction)
    } else {
        pass
    };
    let of_version_4 = addresses(&mut code, traffic, direction, true, pass, drop);
    let of_version_6 = addresses(&mut code, traffic, direction, false, pass, drop);
    let is_version_6 = code.compare(R2, Is::Equal, IPV6, of_version_6, pass);
    let is_version_4 = code.compare(R2, Is::Equal, IPV4, of_version_4, is_version_6);
    code.go(is_version_4);
    let mut next = code.load(R2, R6, PROTOCOL);
    if let Some((is_allowed, numbers)) = &traffic.interfaces {
        let (listed, mut other) = if *is_allowed {
            (next, drop)
        } else {
            (drop, next)
        };
        for number in numbers {
            other = code.compare(R2, Is::Equal, *number, listed, other);
        }
        code.go(other);
        next = code.load(R2, R6, INTERFACE);
    }
    code.go(next);
    code.copy(R6, R1);
    code.finish()
}

/// Counts the packet, then lets it pass.
fn count(code: &mut Backwards, pass: Label, direction: Direction) -> Label {
    let place = match direction {
        Direction::Ingress => INGRESS_COUNTERS,
        Direction::Egress => EGRESS_COUNTERS,
    };
    code.go(pass);
    code.add_to_memory(R3, 8, R2);
    code.load(R2, R6, LENGTH);
    code.add_to_memory(R3, 0, R2);
    code.set(R2, 1);
    code.counters(R3, place)
}

/// Reads the other side's address and searches it among the networks.
fn addresses(
    code: &mut Backwards,
    traffic: &Traffic<'_>,
    direction: Direction,
    version_4: bool,
    pass: Label,
    drop: Label,
) -> Label {
    let ranges = ranges(traffic.allow, traffic.deny, version_4);
    if let [(_, is_allowed)] = ranges.as_slice() {
        return if *is_allowed { pass } else { drop };
    }
    // Where the address of the sender and of the receiver stand in the two headers.
    let (place, bytes) = match (version_4, direction) {
        (true, Direction::Ingress) => (12, 4),
        (true, Direction::Egress) => (16, 4),
        (false, Direction::Ingress) => (8, 16),
        (false, Direction::Egress) => (24, 16),
    };
    let found = if version_4 {
        let search = search(code, &ranges, [pass, drop], compare_word);
        code.go(search);
        code.host_order(R1, 32);
        code.load(R1, R10, ADDRESS)
    } else {
        let search = search(code, &ranges, [pass, drop], compare_doubles);
        code.go(search);
        code.host_order(R2, 64);
        code.load_double(R2, R10, ADDRESS + 8);
        code.host_order(R1, 64);
        code.load_double(R1, R10, ADDRESS)
    };
    code.compare(R0, Is::Equal, 0, found, drop);
    code.call(LOAD_BYTES);
    code.set(R4, bytes);
    code.add(R3, ADDRESS.into());
    code.copy(R3, R10);
    code.set(R2, place);
    code.copy(R1, R6)
}

/// Compares the address in the registers with a boundary: to the first place where it is not below it, else to the second.
type Compare = fn(&mut Backwards, u128, Label, Label) -> Label;

/// A balanced search.
fn search(
    code: &mut Backwards,
    ranges: &[Range],
    [pass, drop]: [Label; 2],
    compare: Compare,
) -> Label {
    match ranges {
        [] => drop,
        [(_, is_allowed)] => {
            if *is_allowed {
                pass
            } else {
                drop
            }
        }
        _ => {
            let (below, above) = ranges.split_at(ranges.len() / 2);
            let boundary = above.first().map_or(0, |(start, _)| *start);
            let at_least = search(code, above, [pass, drop], compare);
            let less = search(code, below, [pass, drop], compare);
            compare(code, boundary, at_least, less)
        }
    }
}

fn compare_word(code: &mut Backwards, boundary: u128, at_least: Label, less: Label) -> Label {
    // All starts of version 4 fit.
    let boundary = u32::try_from(boundary).unwrap_or(u32::MAX);
    code.compare(R1, Is::AtLeast, boundary, at_least, less)
}

/// The upper half of the address is in the first register, the lower in the second.
fn compare_doubles(code: &mut Backwards, boundary: u128, at_least: Label, less: Label) -> Label {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(u64::MAX);
    let (upper, lower) = (half(boundary >> 64), half(boundary));
    if lower == 0 {
        code.compare_doubles(R1, Is::AtLeast, R3, at_least, less);
        return code.wide(R3, upper);
    }
    code.compare_doubles(R2, Is::AtLeast, R3, at_least, less);
    let same = code.wide(R3, lower);
    let not_above = code.compare_doubles(R3, Is::Above, R1, less, same);
    code.compare_doubles(R1, Is::Above, R3, at_least, not_above);
    code.wide(R3, upper)
}
