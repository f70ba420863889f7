//! Hostile bytes never panic, never lose a byte, and never point outside the source.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

use coracle_syntax as syntax;
use proptest::prelude::*;
use syntax::words::{Mode, quote, split};
use syntax::{Kind, parse};

const MODES: [Mode; 5] = [
    Mode::STRICT,
    Mode::EXEC,
    Mode::NAMES,
    Mode::RELAXED,
    Mode::COLONS,
];

/// The laws that hold for any bytes.
fn hold(source: &[u8]) {
    let document = parse("hostile", source);
    assert_eq!(document.print(), source);
    let mut at = 0;
    for item in &document.items {
        assert_eq!(item.span.start, at, "items tile the source");
        at = item.span.end;
        if let Kind::Assignment(assignment) = &item.kind {
            spans_hold(source, assignment.name.span());
            spans_hold(source, assignment.value.span());
            words_hold(assignment.value.as_str());
        }
    }
    assert_eq!(at, source.len());
    for finding in &document.diagnostics {
        assert!(
            finding.excerpt.get(finding.mark.clone()).is_some(),
            "the mark lies in the excerpt: {finding:?}"
        );
        assert!(
            !finding.excerpt.contains(['\n', '\0', '\u{1b}']),
            "the excerpt is safe to show"
        );
        #[cfg(feature = "render")]
        assert!(syntax::render(finding).contains("hostile"));
    }
}

fn spans_hold(source: &[u8], span: syntax::Span) {
    assert!(source.get(span.start..span.end).is_some());
}

fn words_hold(text: &str) {
    for mode in MODES {
        for word in split(text, mode).unwrap_or_default() {
            assert!(
                text.get(word.span).is_some(),
                "words stand on character boundaries"
            );
        }
    }
}

/// Bytes that mean something to the parser, so that random texts reach its corners.
fn meaningful() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"["[..],
        b"]",
        b"[S]\n",
        b"=",
        b"\\",
        b"\\\n",
        b"\n",
        b"\r",
        b"#",
        b";",
        b"\"",
        b"'",
        b"\\x4",
        b"\\u12",
        b" ",
        b"\xff",
        b"\xc3\xbc",
        b"\0",
        b"\xef\xbb\xbf",
        b"Key=value\n",
        b"a",
        b"\x1b[31m",
        b":",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read(source in prop::collection::vec(any::<u8>(), 0..300)) {
        hold(&source);
    }

    #[test]
    fn any_mixture_of_meaningful_pieces_is_read(source in meaningful()) {
        hold(&source);
    }

    #[test]
    fn any_text_splits_or_says_why(text in ".{0,80}") {
        words_hold(&text);
    }

    #[test]
    fn any_value_without_nul_survives_quoting(value in prop::collection::vec(1..=255_u8, 0..40)) {
        let words = split(&quote(&value), Mode::STRICT).unwrap();
        prop_assert_eq!(words.len(), 1);
        prop_assert_eq!(&words[0].value, &value);
    }
}

/// A loop in the manner of a fuzzer: a seed text, mutated byte by byte by a fixed generator, so that a failure repeats.
#[test]
fn a_real_unit_mutated_ten_thousand_times_is_read() {
    let seed = b"\xef\xbb\xbf[Unit]\nDescription=a \\\n# c\n b\r\n[Service]\nExecStart=/bin/sh -c \"echo \\x41\" ; /bin/true\n[Install]\nWantedBy=x.target\n";
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 8 & 0xffff).unwrap()
    };
    for _ in 0..10_000 {
        let mut source = seed.to_vec();
        for _ in 0..=next() % 6 {
            let at = next() % source.len();
            match next() % 3 {
                0 => source[at] = u8::try_from(next() % 256).unwrap(),
                1 => drop(source.remove(at)),
                _ => source.insert(at, b"\\\n[]=\"'#;\0"[next() % 10]),
            }
        }
        hold(&source);
    }
}
