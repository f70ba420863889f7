//! Text made to break the table: nothing panics, and what is taken prints to itself.

mod reading;

use coracle_settings::{TABLE, apply_to, print};
use proptest::prelude::*;
use reading::{Percent, unit};

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_text_never_panics_and_what_is_taken_prints_to_itself(text in hostile()) {
        for row in TABLE.iter().filter(|row| row.stands_for.is_empty()) {
            let mut written = unit();
            if apply_to(&mut written, row.directive, &text, &Percent).is_err() {
                continue;
            }
            let mut read = unit();
            for line in print(&written, row.directive) {
                prop_assert!(!line.contains(['\n', '\r', '\0']), "{}={:?}", row.name, line);
                prop_assert!(apply_to(&mut read, row.directive, &line, &Percent).is_ok(), "{}={:?} from {:?}", row.name, line, text);
            }
            prop_assert_eq!(&written, &read, "{}={:?}", row.name, &text);
        }
    }
}

/// Text made of what value types look for, and of anything else.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("%%".to_owned()),
        Just("\\x41".to_owned()),
        Just("\\".to_owned()),
        Just("\"".to_owned()),
        Just("'".to_owned()),
        Just(":".to_owned()),
        Just("~".to_owned()),
        Just("-".to_owned()),
        Just("@".to_owned()),
        Just("/".to_owned()),
        Just("..".to_owned()),
        Just(" ".to_owned()),
        Just(";".to_owned()),
        Just("=".to_owned()),
        Just("18446744073709551615".to_owned()),
        Just("99999999999999999999".to_owned()),
        Just("infinity".to_owned()),
        Just("CAP_KILL".to_owned()),
        Just("read:EPERM".to_owned()),
        Just("@mount".to_owned()),
        Just("AF_INET".to_owned()),
        Just("a.service".to_owned()),
        Just("/a".to_owned()),
        Just("1.5h".to_owned()),
        Just("0-3".to_owned()),
        Just("A=b".to_owned()),
        any::<char>().prop_map(String::from),
        "[ -~]{0,6}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().trim().to_owned())
}
