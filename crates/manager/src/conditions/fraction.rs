//! `ConditionFraction=`: whether this machine falls into a share of all machines.

use super::Host;
use model::TextForm;
use model::text::Verbatim;
use model::value::Percent;

/// What every tag is preceded by before it is hashed, so that each machine is on the same side here and under the reference.
const SALT: &str = "systemd-fraction-";

pub(super) fn is_in(text: &str, _: &mut Host) -> Option<bool> {
    let id = super::line("/etc/machine-id");
    holds(text, machine(&id))
}

/// The bytes of a machine's id.
fn machine(id: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(id.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The text is a share, with a tag in front or not.
pub(super) fn holds(text: &str, machine: Option<[u8; 16]>) -> Option<bool> {
    let mut words = text.split_whitespace();
    let (first, second) = (words.next()?, words.next());
    if words.next().is_some() {
        return None;
    }
    let (tag, share) = second.map_or(("", first), |share| (first, share));
    let share = u64::from(Percent::parse_with(share, &Verbatim).ok()?.permyriad);
    match share {
        0 => Some(false),
        10_000 => Some(true),
        10_001.. => None,
        share => {
            let bound = (share * u64::from(u32::MAX) + 5_000) / 10_000;
            let place = keyed(&machine?, tag);
            Some(u64::from(place) < bound)
        }
    }
}

/// The first 32 bits of HMAC-SHA-256 (RFC 2104) over the tag, with the machine's id for a key.
fn keyed(id: &[u8; 16], tag: &str) -> u32 {
    let pad = |with: u8| {
        let mut block = vec![with; BLOCK_BYTES];
        for (byte, of_id) in block.iter_mut().zip(id) {
            *byte ^= of_id;
        }
        block
    };
    let (mut inner, mut outer) = (pad(0x36), pad(0x5c));
    inner.extend([SALT, tag].concat().into_bytes());
    outer.extend(sha_256(inner).into_iter().flat_map(u32::to_be_bytes));
    let [first, ..] = sha_256(outer);
    first.swap_bytes()
}

const BLOCK_BYTES: usize = 64;

/// SHA-256 (FIPS 180-4) as eight numbers. Few lines for the one condition that asks for it: the library, made for speed, would take
/// ten times the room in a program that is resident.
pub(super) fn sha_256(mut message: Vec<u8>) -> [u32; 8] {
    let bits = message.len() as u64 * 8;
    message.push(0x80);
    let end = (message.len() + 8).next_multiple_of(BLOCK_BYTES);
    message.resize(end - 8, 0);
    message.extend(bits.to_be_bytes());
    let mut state = START;
    for block in message.chunks_exact(BLOCK_BYTES) {
        mix(&mut state, block);
    }
    state
}

/// The algorithm's constants, computed when this is compiled: of square and cube roots of the first primes.
const START: [u32; 8] = roots(2);
const ROUNDS: [u32; 64] = roots(3);

/// The first 32 bits behind the point of these roots of primes.
#[expect(
    clippy::indexing_slicing,
    reason = "it runs while this is compiled, where a wrong index is an error"
)]
const fn roots<const COUNT: usize>(degree: u32) -> [u32; COUNT] {
    let (mut roots, mut at, mut number) = ([0; COUNT], 0, 2u128);
    while at < COUNT {
        let mut divisor = 2;
        while !number.is_multiple_of(divisor) {
            divisor += 1;
        }
        if divisor == number {
            roots[at] = root_fraction(number, degree);
            at += 1;
        }
        number += 1;
    }
    roots
}

const fn root_fraction(number: u128, degree: u32) -> u32 {
    let (mut low, mut high) = (0u128, 1u128 << 40);
    let scaled = number << (32 * degree);
    while high - low > 1 {
        let middle = u128::midpoint(low, high);
        if middle.pow(degree) <= scaled {
            low = middle;
        } else {
            high = middle;
        }
    }
    low as u32
}

/// One block into the state.
fn mix(state: &mut [u32; 8], block: &[u8]) {
    let mut words = block
        .chunks_exact(4)
        .map(|word| word.first_chunk().copied().map_or(0, u32::from_be_bytes));
    let mut schedule: [u32; 16] = std::array::from_fn(|_| words.next().unwrap_or_default());
    let mut mixed = *state;
    for constant in &ROUNDS {
        let [a, b, c, d, e, f, g, h] = mixed;
        let [word, second, .., tenth, _, _, _, _, fifteenth, _] = schedule;
        let choice = (e & f) ^ (!e & g);
        let majority = (a & b) ^ (a & c) ^ (b & c);
        let turned = |x: u32, [one, two, three]: [u32; 3]| {
            x.rotate_right(one) ^ x.rotate_right(two) ^ x.rotate_right(three)
        };
        let first = [turned(e, [6, 11, 25]), choice, *constant, word];
        let first = first.into_iter().fold(h, u32::wrapping_add);
        let other = turned(a, [2, 13, 22]).wrapping_add(majority);
        mixed = [
            first.wrapping_add(other),
            a,
            b,
            c,
            d.wrapping_add(first),
            e,
            f,
            g,
        ];
        let small = |x: u32, one: u32, two: u32, shift: u32| {
            x.rotate_right(one) ^ x.rotate_right(two) ^ (x >> shift)
        };
        let next = [small(second, 7, 18, 3), tenth, small(fifteenth, 17, 19, 10)];
        schedule.rotate_left(1);
        if let Some(last) = schedule.last_mut() {
            *last = next.into_iter().fold(word, u32::wrapping_add);
        }
    }
    for (word, mixed) in state.iter_mut().zip(mixed) {
        *word = word.wrapping_add(mixed);
    }
}
