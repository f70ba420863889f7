//! What a diagnostic looks like on a terminal.
#![cfg(feature = "render")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

use coracle_syntax as syntax;
use syntax::{Diagnostic, Severity, parse, render};

#[test]
fn a_diagnostic_shows_file_line_caret_and_hint() {
    let document = parse(
        "/etc/coracle/units/web.service",
        b"[Service]\nExecSart=/bin/true\n",
    );
    let (_, _, assignment) = document.assignments().next().unwrap();
    let finding = document.diagnose(
        Severity::Warning,
        assignment.name.span(),
        "there is no directive ExecSart= in [Service]",
    );
    let expected = "\
warning: there is no directive ExecSart= in [Service]
 --> /etc/coracle/units/web.service:2:1
  |
2 | ExecSart=/bin/true
  | ^^^^^^^^
  |
  = help: did you mean ExecStart=?";
    assert_eq!(
        render(&finding.with_hint("did you mean ExecStart=?")),
        expected
    );
}

#[test]
fn a_finding_about_a_file_needs_no_line() {
    let finding = Diagnostic::of_file(
        Severity::Error,
        &"/etc/x.service".into(),
        "the file can't be read",
    );
    assert_eq!(
        render(&finding),
        "error: the file can't be read\n--> /etc/x.service"
    );
}

#[test]
fn terminal_escapes_in_a_unit_do_not_reach_the_terminal() {
    let document = parse("x.service", b"[S]\n\x1b[31mred\n");
    assert!(!render(&document.diagnostics[0]).contains('\u{1b}'));
}
