//! What the kernel looks for beside a program: the interpreter that the program's first bytes name. Where that is missing, the kernel says of
//! the program itself that it does not exist (execve(2)).

use core::fmt;

/// Bytes in which the kernel looks for `#!` and what follows (BINPRM_BUF_SIZE).
const SCRIPT_BYTES: usize = 256;
/// Longest path of a loader (PATH_MAX).
const PATH_BYTES: usize = 4096;
/// Program headers that are looked at; real programs have about a dozen.
const HEADERS_MAX: usize = 128;
/// The kind of a program header that names a loader (PT_INTERP).
const INTERPRETER: u32 = 3;

/// The interpreter of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interpreter {
    /// A script's, from its first line.
    OfScript(String),
    /// An ELF program's dynamic loader.
    Loader(String),
}

impl Interpreter {
    /// What the first bytes of a program name; nothing where they name none, or it lies beyond them.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Interpreter> {
        match head.strip_prefix(b"#!") {
            Some(line) => script(line).map(Interpreter::OfScript),
            None => loader(head).map(Interpreter::Loader),
        }
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interpreter::OfScript(path) => {
                write!(
                    formatter,
                    "{}, which its first line names, is missing, or what that program needs itself: bring it along, or name another one there",
                    path.escape_debug()
                )?;
                match path.ends_with('\r') {
                    true => formatter.write_str(
                        " (the carriage return is a part of the name: the script's lines are to end with a line feed alone)",
                    ),
                    false => Ok(()),
                }
            }
            Interpreter::Loader(path) => write!(
                formatter,
                "{}, the loader of the C library that it was linked with, is missing: bring it along with the libraries, or link the program statically",
                path.escape_debug()
            ),
        }
    }
}

/// As the kernel's load_script reads the line: blanks, then the name, to the next blank or the line's end.
fn script(line: &[u8]) -> Option<String> {
    let line = line.get(..SCRIPT_BYTES - 2).unwrap_or(line);
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = line.iter().position(|byte| !is_blank(byte))?;
    let rest = line.get(begin..)?;
    let is_end = |byte: &u8| is_blank(byte) || matches!(byte, b'\n' | 0);
    text(rest.get(..rest.iter().position(is_end).unwrap_or(rest.len()))?)
}

fn loader(head: &[u8]) -> Option<String> {
    // Little-endian, as all processors are that this runs on.
    let wide = match head.get(..6)? {
        b"\x7fELF\x02\x01" => true,
        b"\x7fELF\x01\x01" => false,
        _ => return None,
    };
    let (table, size, count) = match wide {
        true => (word(head, 32, 8)?, word(head, 54, 2)?, word(head, 56, 2)?),
        false => (word(head, 28, 4)?, word(head, 42, 2)?, word(head, 44, 2)?),
    };
    let headers = (0..count.min(HEADERS_MAX)).map_while(|number| {
        let at = table.checked_add(number.checked_mul(size)?)?;
        head.get(at..)
    });
    let mut of_loader = headers.filter(|header| word(header, 0, 4) == Some(INTERPRETER as usize));
    let header = of_loader.next()?;
    let (offset, length) = match wide {
        true => (word(header, 8, 8)?, word(header, 32, 8)?),
        false => (word(header, 4, 4)?, word(header, 16, 4)?),
    };
    let path = head.get(offset..offset.checked_add(length.min(PATH_BYTES))?)?;
    text(path.split(|byte| *byte == 0).next()?)
}

fn word(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let mut whole = [0; 8];
    let found = bytes.get(at..at.checked_add(length)?)?;
    whole.get_mut(..length)?.copy_from_slice(found);
    usize::try_from(u64::from_le_bytes(whole)).ok()
}

fn text(path: &[u8]) -> Option<String> {
    (!path.is_empty()).then(|| String::from_utf8_lossy(path).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(head: &[u8], expected: Option<&str>) {
        let found = Interpreter::of(head).map(|found| match found {
            Interpreter::OfScript(path) => format!("script {path}"),
            Interpreter::Loader(path) => format!("loader {path}"),
        });
        assert_eq!(found.as_deref(), expected);
    }

    /// An ELF file with one program header of that kind, whose string lies behind it.
    fn elf(wide: bool, kind: u32, path: &[u8]) -> Vec<u8> {
        let (header, size) = if wide { (64u64, 56u16) } else { (52, 32) };
        let offset = header + u64::from(size);
        let mut bytes = vec![0; 4096];
        let mut put = |at: u64, value: &[u8]| {
            bytes[at as usize..][..value.len()].copy_from_slice(value);
        };
        let number = |value: u64| value.to_le_bytes()[..if wide { 8 } else { 4 }].to_vec();
        put(
            0,
            if wide {
                b"\x7fELF\x02\x01"
            } else {
                b"\x7fELF\x01\x01"
            },
        );
        put(if wide { 32 } else { 28 }, &number(header));
        put(if wide { 54 } else { 42 }, &size.to_le_bytes());
        put(if wide { 56 } else { 44 }, &1u16.to_le_bytes());
        put(header, &kind.to_le_bytes());
        put(header + if wide { 8 } else { 4 }, &number(offset));
        put(
            header + if wide { 32 } else { 16 },
            &number(path.len() as u64),
        );
        put(offset, path);
        bytes
    }

    fn check_bounded(head: &[u8]) {
        let Some(Interpreter::Loader(path) | Interpreter::OfScript(path)) = Interpreter::of(head)
        else {
            return;
        };
        assert!((1..=PATH_BYTES).contains(&path.len()), "{path:?}");
    }

    #[test]
    fn the_first_line_of_a_script_names_its_interpreter_as_the_kernel_reads_it() {
        check(b"#!/bin/sh\n", Some("script /bin/sh"));
        check(b"#! \t/usr/bin/env python3\n", Some("script /usr/bin/env"));
        check(b"#!/bin/sh", Some("script /bin/sh"));
        check(b"#!/bin/sh\r\n", Some("script /bin/sh\r"));
        check(b"#!/bin/a\0b\n", Some("script /bin/a"));
        check(b"#!", None);
        check(b"#! \n", None);
        let long = [b"#!/", &[b'x'; 500][..]].concat();
        let cut = format!("script /{}", "x".repeat(SCRIPT_BYTES - 3));
        check(&long, Some(&cut));
    }

    #[test]
    fn a_program_names_its_loader_in_a_header_wherever_that_leads() {
        for wide in [true, false] {
            let whole = elf(wide, INTERPRETER, b"/lib/ld.so.2\0rest");
            check(&whole, Some("loader /lib/ld.so.2"));
            check(&elf(wide, 1, b"/lib/ld.so.2\0"), None);
            check(&elf(wide, INTERPRETER, b"\0"), None);
            for length in 0..200 {
                check_bounded(&whole[..length]);
            }
            for at in 0..160 {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut changed = whole.clone();
                    changed[at..(at + 8)].fill(value);
                    check_bounded(&changed);
                }
            }
        }
        check(b"MZ", None);
        check(b"", None);
    }

    #[test]
    fn what_is_told_names_it_and_the_next_step() {
        let told = |head: &[u8]| Interpreter::of(head).unwrap().to_string();
        let script = told(b"#!/bin/sh\r\n");
        assert!(script.starts_with("/bin/sh\\r, which its first line names, is missing"));
        assert!(script.ends_with("with a line feed alone)"), "{script}");
        let loader = told(&elf(true, INTERPRETER, b"/lib/\x1b[2Jld\0"));
        assert!(
            loader.starts_with("/lib/\\u{1b}[2Jld, the loader"),
            "{loader}"
        );
    }
}
