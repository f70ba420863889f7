//! System calls by number: an attacker asks for what no library offers. The one room that steps outside what the compiler checks.

#![allow(
    unsafe_code,
    reason = "forbidden calls are made by number, and a door for other machines' programs by its instruction"
)]

use std::cell::Cell;
use std::ffi::CString;

/// An error number of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    /// Its name, such as `EPERM`.
    pub(crate) fn name(self) -> String {
        let known = u16::try_from(self.0)
            .ok()
            .and_then(model::tables::errno::name);
        known.map_or_else(|| self.0.to_string(), str::to_owned)
    }
}

/// Bytes that the kernel may write: more than any call here makes it write.
pub(crate) type Buffer = Cell<[u8; BUFFER_BYTES]>;

/// The longest that a call here is told of is the 8192 bytes of no call: the largest structure has 128.
pub(crate) const BUFFER_BYTES: usize = 512;

/// An argument of a call.
#[derive(Clone, Copy)]
pub(crate) enum Arg<'a> {
    /// A number.
    N(i64),
    /// A text, with its end.
    T(&'a str),
    /// A structure that begins with these words; the rest is zeros.
    W(&'a [u32]),
    /// A structure that outlives the call.
    B(&'a Buffer),
    /// What stands at this place of the command line: a number if it is one, else a text.
    Given(usize),
}

/// Makes system call `number`.
pub(crate) fn call(number: i64, arguments: &[Arg<'_>], given: &[String]) -> Result<i64, Errno> {
    let mut texts = Vec::new();
    let structures = [const { Cell::new([0; BUFFER_BYTES]) }; 6];
    let mut raw = [0; 6];
    for (index, argument) in arguments.iter().enumerate() {
        let place = Cell::as_ptr(&structures[index]);
        let mut text = |text: &str| {
            let text = CString::new(text).expect("no zero in a text");
            let address = text.as_ptr() as i64;
            texts.push(text);
            address
        };
        raw[index] = match argument {
            Arg::N(number) => *number,
            Arg::T(words) => text(words),
            Arg::W(words) => {
                structures[index].set(structure(words));
                place as i64
            }
            Arg::B(buffer) => buffer.as_ptr() as i64,
            Arg::Given(at) => match given.get(*at).map(|word| (word, word.parse())) {
                Some((_, Ok(number))) => number,
                Some((word, Err(_))) => text(word),
                None => text(""),
            },
        };
    }
    let [a, b, c, d, e, f] = raw;
    // SAFETY: every pointer is to a text with its end or to a structure of `BUFFER_BYTES`, which live until the call is over; what the
    // calls of this program map is not memory that anything else relies on.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if answer == -1 {
        let number = std::io::Error::last_os_error().raw_os_error();
        return Err(Errno(number.unwrap_or_default()));
    }
    Ok(answer)
}

fn structure(words: &[u32]) -> [u8; BUFFER_BYTES] {
    let mut bytes = [0; BUFFER_BYTES];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Asks for the own process id through the door for 32-bit programs.
#[cfg(target_arch = "x86_64")]
pub(crate) fn through_the_32_bit_door() -> Result<i64, Errno> {
    let answer: i32;
    // SAFETY: getpid (20) touches no memory; the registers that this door may zero are named.
    unsafe {
        core::arch::asm!(
            "int 0x80",
            inlateout("eax") 20 => answer,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    if answer < 0 {
        return Err(Errno(-answer));
    }
    Ok(answer.into())
}
