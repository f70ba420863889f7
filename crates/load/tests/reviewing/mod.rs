//! Units of an image as text, and what is said of them as text.
#![allow(dead_code)] // Each test file uses its part of it.
#![allow(clippy::unwrap_used)] // A test that can't read its own samples must fail.

use coracle_load as load;
use load::SpecifierContext;
use load::portable::{PortableName, UnitText, review};

pub(crate) fn portable() -> PortableName {
    PortableName::new("hello").unwrap()
}

/// Requests as `ask UNIT:LINE GRANT: WORDS`, refusals as they print.
#[track_caller]
pub(crate) fn check_files(files: &[(&str, &str)], expected: &str) {
    let units: Vec<_> = files
        .iter()
        .map(|(name, text)| UnitText {
            name,
            bytes: text.as_bytes(),
        })
        .collect();
    let found = review(&portable(), &units, &SpecifierContext::default());
    let asks = found
        .requests
        .iter()
        .map(|ask| format!("ask {}:{} {}: {}", ask.unit, ask.line, ask.grant, ask.words));
    let shown: Vec<_> = asks
        .chain(
            found
                .refusals
                .iter()
                .map(|refusal| format!("never {refusal}")),
        )
        .collect();
    assert_eq!(shown.join("\n"), expected.trim());
}

/// One service with these lines in its [Service] section.
#[track_caller]
pub(crate) fn check(lines: &str, expected: &str) {
    check_files(
        &[("hello.service", &format!("[Service]\n{lines}\n"))],
        expected,
    );
}

#[track_caller]
pub(crate) fn check_unit(lines: &str, expected: &str) {
    check_files(
        &[("hello.service", &format!("[Unit]\n{lines}\n"))],
        expected,
    );
}

#[track_caller]
pub(crate) fn check_socket(lines: &str, expected: &str) {
    check_files(
        &[("hello.socket", &format!("[Socket]\n{lines}\n"))],
        expected,
    );
}

#[track_caller]
pub(crate) fn check_install(lines: &str, expected: &str) {
    check_files(
        &[("hello.service", &format!("[Install]\n{lines}\n"))],
        expected,
    );
}
