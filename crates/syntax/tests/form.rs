//! Each rule of systemd.syntax(7) with an example: unit text in, items and diagnostics out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

use coracle_syntax as syntax;
use std::fmt::Write as _;

use syntax::{Kind, parse};

/// Items as `LINE kind [SECTION] NAME=VALUE`, then diagnostics one per line; and the law that printing gives the source back.
#[track_caller]
fn check(source: impl AsRef<[u8]>, expected: &str) {
    let source = source.as_ref();
    let document = parse("a.service", source);
    assert_eq!(
        document.print(),
        source,
        "printing must give the source back"
    );
    let mut shown = String::new();
    let mut section = String::new();
    for item in &document.items {
        match &item.kind {
            Kind::Section(name) => section = name.as_str().to_owned(),
            Kind::Assignment(assignment) => {
                writeln!(
                    shown,
                    "{} [{section}] {}={}",
                    item.line,
                    assignment.name.as_str(),
                    assignment.value.as_str()
                )
                .unwrap();
            }
            Kind::Ignored => writeln!(shown, "{} ignored", item.line).unwrap(),
            Kind::Unread => writeln!(shown, "{} unread", item.line).unwrap(),
            Kind::Blank | Kind::Comment => {}
        }
    }
    document
        .diagnostics
        .iter()
        .for_each(|finding| writeln!(shown, "{finding}").unwrap());
    assert_eq!(shown.trim_end(), expected.trim_end());
}

#[test]
fn white_space_around_names_and_values_does_not_count() {
    check(
        "[Unit]\n  Description \t=  a b  \n",
        "2 [Unit] Description=a b",
    );
}

#[test]
fn a_value_may_contain_equals_signs_and_comment_characters() {
    check(
        "[Service]\nEnvironment=A=b#c;d\n",
        "2 [Service] Environment=A=b#c;d",
    );
}

#[test]
fn an_empty_value_is_an_assignment() {
    check("[Service]\nExecStart=\n", "2 [Service] ExecStart=");
}

#[test]
fn comments_start_with_hash_or_semicolon_after_white_space() {
    check(
        "# a\n; b\n[Unit]\n  # Description=c\n\t;Description=d\n",
        "",
    );
}

#[test]
fn sections_may_be_repeated_and_take_up_again() {
    check(
        "[Unit]\nA=1\n[Service]\nB=2\n[Unit]\nA=3\n",
        "2 [Unit] A=1\n4 [Service] B=2\n6 [Unit] A=3",
    );
}

#[test]
fn a_backslash_at_the_end_joins_lines_with_a_space() {
    check(
        "[S]\nA=one\\\n  two\\\nthree\nB=4\n",
        "2 [S] A=one   two three\n5 [S] B=4",
    );
}

#[test]
fn comment_lines_inside_a_continuation_are_left_out() {
    check(
        "[S]\nA=one \\\n# a comment\n  ; another\\\n two\nB=2\n",
        "2 [S] A=one   two\n6 [S] B=2",
    );
}

#[test]
fn an_empty_line_ends_a_continuation() {
    check("[S]\nA=one \\\n\nB=2\n", "2 [S] A=one\n4 [S] B=2");
}

#[test]
fn an_escaped_backslash_at_the_end_does_not_continue() {
    check("[S]\nA=one\\\\\nB=2\n", "2 [S] A=one\\\\\n3 [S] B=2");
}

#[test]
fn a_backslash_before_trailing_space_does_not_continue() {
    check("[S]\nA=one\\ \nB=2\n", "2 [S] A=one\\\n3 [S] B=2");
}

#[test]
fn a_continuation_at_the_end_of_the_file_ends_there() {
    check("[S]\nA=one \\", "2 [S] A=one");
    check("[S]\nA=one \\\n", "2 [S] A=one");
    check("[S]\nA=one \\\n# only a comment", "2 [S] A=one");
}

#[test]
fn a_comment_does_not_continue() {
    check("[S]\n# a \\\nA=1\n", "3 [S] A=1");
}

#[test]
fn a_header_or_name_may_be_continued_too() {
    check("[S]\nA\\\n=1\n", "2 [S] A=1");
}

#[test]
fn windows_and_old_line_ends_are_line_ends() {
    check(
        "[S]\r\nA=1 \\\r\n 2\r\nB=2\rC=3\r\n",
        "2 [S] A=1   2\n4 [S] B=2\n5 [S] C=3",
    );
}

#[test]
fn a_byte_order_mark_at_the_start_does_not_count() {
    check("\u{feff}[S]\nA=1\n", "2 [S] A=1");
    check("\u{feff}# comment\n[S]\nA=1\n", "3 [S] A=1");
}

#[test]
fn the_last_line_needs_no_line_end() {
    check("[S]\nA=1", "2 [S] A=1");
    check("", "");
}

#[test]
fn a_line_before_any_section_is_ignored() {
    check(
        "A=1\n[S]\nA=2\n",
        "1 ignored\n3 [S] A=2\na.service:1:1: warning: this line stands before any section and is ignored",
    );
}

#[test]
fn a_line_without_equals_sign_or_name_is_ignored() {
    check(
        "[S]\n  nonsense\n=x\n",
        "2 ignored\n3 ignored\n\
         a.service:2:3: warning: this line has no “=” and is ignored\n\
         a.service:3:1: warning: there is no name before the “=”, so the line is ignored",
    );
}

#[test]
fn an_open_section_header_ends_the_reading() {
    check(
        "[S]\nA=1\n[Unit\nB=2\n",
        "2 [S] A=1\n3 unread\na.service:3:1: error: the section header has no “]” at its end; the rest of the file is not read",
    );
    check(
        "[",
        "1 unread\na.service:1:1: error: the section header has no “]” at its end; the rest of the file is not read",
    );
}

#[test]
fn a_section_header_with_quotes_ends_the_reading() {
    check(
        "[\"S\"]\nA=1\n",
        "1 unread\na.service:1:1: error: the section header has characters that no section name has; the rest of the file is not read",
    );
}

#[test]
fn a_line_that_is_not_utf8_is_ignored_and_its_first_bad_byte_shown() {
    check(
        b"[S]\nA=ok\xff\nB=2\n",
        "2 ignored\n3 [S] B=2\na.service:2:5: warning: this line is not valid UTF-8 and is ignored",
    );
}

#[test]
fn nul_bytes_refuse_the_whole_file() {
    check(
        b"[S]\nA=1\0\n",
        "1 unread\na.service:2:4: error: the file contains a NUL byte, so it is no unit file",
    );
}

#[test]
fn a_line_at_the_limit_is_read_and_one_beyond_ends_the_reading() {
    let long = "x".repeat(syntax::MAX_LINE_BYTES - 2);
    check(format!("[S]\nA={long}\n"), &format!("2 [S] A={long}"));
    let expected = "2 unread\na.service:2:1: error: the line is longer than 1048576 bytes; the rest of the file is not read";
    check(format!("[S]\nA={long}x\n"), expected);
    check(format!("[S]\nA={long} \\\nx\n"), expected);
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let source = "# comment\n".repeat(syntax::MAX_FILE_BYTES / 10 + 1);
    check(
        &source,
        "1 unread\na.service:1:1: error: the file has 4194310 bytes, more than the 4194304 that are read",
    );
}

#[test]
fn a_flood_of_problems_is_counted_and_not_kept() {
    let document_source = format!("[S]\n{}", "x\n".repeat(1000));
    let document = parse("a.service", document_source.as_bytes());
    assert_eq!(document.diagnostics.len(), syntax::MAX_DIAGNOSTICS + 1);
    let last = document.diagnostics.last().unwrap().to_string();
    assert_eq!(
        last,
        "a.service: warning: 936 further problems of this file are not shown"
    );
}

#[test]
fn a_joined_value_leads_back_to_its_bytes() {
    let source = b"[S]\nA=one \\\n# between\n two\n";
    let document = parse("a.service", source);
    let (_, _, assignment) = document.assignments().next().unwrap();
    let value = &assignment.value;
    assert_eq!(value.as_str(), "one   two");
    let at = value.as_str().find("two").unwrap();
    let span = value.source(at..at + 3);
    assert_eq!(&source[span.start..span.end], b"two");
    let whole = value.span();
    assert_eq!(&source[whole.start..whole.end], b"one \\\n# between\n two");
}
