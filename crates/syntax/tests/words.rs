//! Words of values: each rule with an example, the modes side by side.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

use coracle_syntax as syntax;
use syntax::words::{Mode, quote, split};

/// Words shown in `⟨⟩`, bytes that are not UTF-8 as `\xHH`; an error as its sentence.
#[track_caller]
fn check(mode: Mode, text: &str, expected: &str) {
    let shown = match split(text, mode) {
        Ok(words) => words
            .iter()
            .map(|word| format!("⟨{}⟩", word.value.escape_ascii()))
            .collect::<String>(),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, expected, "{text:?}");
}

#[test]
fn words_are_separated_by_runs_of_white_space() {
    check(Mode::STRICT, "  a \t b\n\rc ", "⟨a⟩⟨b⟩⟨c⟩");
    check(Mode::STRICT, "   ", "");
    check(Mode::STRICT, "", "");
}

#[test]
fn quotes_group_and_vanish_and_may_stand_inside_a_word() {
    check(
        Mode::STRICT,
        r#"'a b' "c 'd' e" f"g h"i ''"#,
        "⟨a b⟩⟨c \\'d\\' e⟩⟨fg hi⟩⟨⟩",
    );
}

#[test]
fn c_escapes_are_read_within_and_without_quotes() {
    check(
        Mode::STRICT,
        r#"\s \t"\n\\\""'\''"#,
        "⟨ ⟩⟨\\t\\n\\\\\\\"\\'⟩",
    );
    check(Mode::STRICT, r"\x41\102\u0043\U00000044", "⟨ABCD⟩");
    check(Mode::STRICT, r"\xff\377", r"⟨\xff\xff⟩");
    check(Mode::STRICT, r"\u00fc", r"⟨\xc3\xbc⟩");
    check(Mode::STRICT, r"\a\b\f\v\r", r"⟨\x07\x08\x0c\x0b\r⟩");
}

#[test]
fn an_escape_for_nul_or_beyond_the_range_is_unknown() {
    for text in [
        r"\x00",
        r"\000",
        r"\u0000",
        r"\777",
        r"\U00110000",
        r"\ud800",
        r"\x4",
        r"\89",
        r"\q",
    ] {
        check(Mode::STRICT, text, "the escape at byte 0 is not known");
    }
}

#[test]
fn an_unknown_escape_stands_for_itself_in_exec_lines() {
    check(Mode::EXEC, r"grep \. \d+", r"⟨grep⟩⟨\\.⟩⟨\\d+⟩");
    check(
        Mode::STRICT,
        r"grep \.",
        "the escape at byte 5 is not known",
    );
}

#[test]
fn a_trailing_backslash_is_kept_or_refused_or_dropped() {
    check(Mode::EXEC, r"a\", r"⟨a\\⟩");
    check(Mode::STRICT, r"a\", "the escape at byte 1 is not known");
    check(
        Mode {
            relaxed: true,
            ..Mode::STRICT
        },
        r"a\",
        "⟨a⟩",
    );
}

#[test]
fn an_open_quote_is_an_error_unless_relaxed() {
    check(
        Mode::EXEC,
        r#"a "b c"#,
        "the quote at byte 2 is never closed",
    );
    check(
        Mode::EXEC,
        r#"a "b \"#,
        "the quote at byte 2 is never closed",
    );
    check(Mode::RELAXED, r#"a "b c"#, "⟨a⟩⟨b c⟩");
}

#[test]
fn names_keep_their_backslashes() {
    check(
        Mode::NAMES,
        r#"dev-disk\x2dby.device "b.service""#,
        r"⟨dev-disk\\x2dby.device⟩⟨b.service⟩",
    );
}

#[test]
fn colons_separate_possibly_empty_parts() {
    check(Mode::COLONS, r"a::b\:c:", "⟨a⟩⟨⟩⟨b:c⟩⟨⟩");
    check(Mode::COLONS, "", "⟨⟩");
}

#[test]
fn without_quotes_they_are_ordinary_characters() {
    check(
        Mode {
            quotes: false,
            backslash: syntax::words::Backslash::Plain,
            ..Mode::STRICT
        },
        r#""a b\ c"#,
        "⟨\\\"a⟩⟨b c⟩",
    );
}

#[test]
fn a_word_knows_where_it_stands() {
    let text = r#"  a  "b c"d"#;
    let words = split(text, Mode::STRICT).unwrap();
    let spans: Vec<_> = words.iter().map(|word| &text[word.span.clone()]).collect();
    assert_eq!(spans, ["a", r#""b c"d"#]);
}

#[test]
fn quoting_is_read_back() {
    for value in [
        "",
        "a",
        "a b",
        "\"'\\",
        "ü\n\t\x01",
        ";",
        "\u{feff}",
        "$HOME",
        "%n",
    ] {
        let words = split(&quote(value.as_bytes()), Mode::STRICT).unwrap();
        assert_eq!(words.len(), 1, "{value:?}");
        assert_eq!(words[0].as_str(), Some(value));
    }
    assert_eq!(quote(b"a\xffb"), r#""a\xffb""#);
    assert_eq!(quote(b"/bin/true"), "/bin/true");
}
