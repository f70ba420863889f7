//! Hostile units never panic the loader, the judges or the printer, and the laws of portables hold for any text.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't read its own samples must fail"
)]

use coracle_load as load;
use load::portable::{
    PortableName, Profile, Review, UnitText, as_drop_in, as_unit_text, restrict, review,
};
use load::{LoadState, Loaded, Loader, MemoryTree, SearchPath, SpecifierContext};
use model::{Directive, UnitKind};
use proptest::prelude::*;

/// Values that mean something to some directive.
const VALUES: &[&str] = &[
    "",
    "yes",
    "no",
    "infinity",
    "0",
    "-1",
    "5s",
    "50%",
    "1G",
    "/a",
    "/var/lib/hello/x",
    "-/a:/b:rbind",
    "+/a",
    "~@mount",
    "@clock read",
    "CAP_CHOWN",
    "~CAP_KILL",
    "root",
    "hello",
    "hello.service",
    "sshd.service",
    "a b \"c d\"",
    "\"",
    "\\",
    "%i %n %h %%",
    "%Z",
    "AF_UNIX",
    "~AF_INET",
    "8080",
    "127.0.0.1:80",
    "@abstract",
    "tmpfs",
    "strict",
    "file:/x",
    "journal",
    "+!/bin/x",
    "/bin/sh -c \"a; b\" ; /bin/y",
    "A=b C=d",
    "x:y:z",
    "user net",
    "\u{fc}\u{1f980}",
    "9999999999999999999999",
    "Mon *-*-* 00:00",
    "kill-9",
    "SIGTERM",
    "0x7fffffff",
    "127-1",
    "KILL:5",
    "a:b c:d",
    "\"a\\n[Service]\\nUser=root\"",
    "A=\"\\x0aUser=root\"",
    "a\\\\",
    "\"a \"",
    "\\x5c",
];

fn portable() -> PortableName {
    PortableName::new("hello").unwrap()
}

/// The unit as the manager would load it, with a drop-in beside it.
fn read(file: &str, text: &str, drop_in: &str) -> Loaded {
    let mut tree = MemoryTree::new();
    tree.write(format!("/u/{file}"), text)
        .write(format!("/u/{file}.d/10-profile.conf"), drop_in);
    Loader::new(SearchPath::new(["/u".into()]), tree).load(&file.parse().unwrap())
}

/// Everything that is done with a portable's unit, and its laws.
fn hold(file: &str, text: &str) {
    let context = SpecifierContext::default();
    let unit = |text: &str| {
        review(
            &portable(),
            &[UnitText {
                name: file,
                bytes: text.as_bytes(),
            }],
            &context,
        )
    };
    let found = unit(text);
    attach(file, &found, unit);
    let before = read(file, text, "");
    if before.state == LoadState::Masked {
        return;
    }
    for granted in [Vec::new(), vec!["superprivileged".to_owned()]] {
        let after = restrict(&portable(), &before.unit, &Profile::default(), &granted);
        let drop_in = match as_drop_in(&before.unit, &after) {
            Ok(drop_in) => drop_in,
            Err(error) if found.refusals.is_empty() && found.beyond(&granted).is_empty() => {
                panic!("{error}")
            }
            // A unit that is refused, or asks for what is not granted, is never attached, so nothing need be printed for it. (Some
            // numbers, such as ReceiveBuffer=, have neither a default that can be written nor an empty assignment.)
            Err(_) => continue,
        };
        assert_eq!(
            read(file, text, &drop_in).unit,
            after,
            "unit:\n{text}\ndrop-in:\n{drop_in}"
        );
        if granted.is_empty() && found.refusals.is_empty() && file.ends_with(".service") {
            let again = unit(&format!("{text}\n{drop_in}"));
            assert!(
                again.requests.is_empty(),
                "restricted, but still asks for {:?}\nunit:\n{text}\ndrop-in:\n{drop_in}",
                again.requests
            );
        }
    }
}

/// What attaching does with a unit that is not refused: it is printed as it was judged, and read again it is the same, with its drop-in
/// too.
fn attach(file: &str, found: &Review, again: impl Fn(&str) -> Review) {
    let Some(judged) = found.units.first().filter(|_| found.refusals.is_empty()) else {
        return;
    };
    // What a specifier has made begin or end with white space is on no line; attaching it is refused.
    let Ok(printed) = as_unit_text(&judged.unit) else {
        return;
    };
    let read = again(&printed);
    assert_eq!(read.units.first().unwrap().unit, judged.unit, "{printed}");
    assert_eq!(
        (read.refusals, read.claims.len()),
        (Vec::new(), found.claims.len())
    );
    let restricted = restrict(&portable(), &judged.unit, &Profile::default(), &[]);
    let Ok(drop_in) = as_drop_in(&judged.unit, &restricted) else {
        assert!(!found.requests.is_empty(), "{printed}");
        return;
    };
    let both = again(&format!("{printed}\n{drop_in}"));
    assert_eq!(
        both.units.first().unwrap().unit,
        restricted,
        "{printed}\n{drop_in}"
    );
    if file.ends_with(".service") {
        assert_eq!(both.requests, [], "{printed}\n{drop_in}");
    }
}

fn line(kind: UnitKind) -> impl Strategy<Value = String> {
    let names: Vec<(&str, &str)> = Directive::all()
        .filter_map(|directive| Some((directive.room().section_of(kind)?, directive.name())))
        .collect();
    (prop::sample::select(names), prop::sample::select(VALUES))
        .prop_map(|((section, name), value)| format!("[{section}]\n{name}={value}\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_service_holds_the_laws(lines in prop::collection::vec(line(UnitKind::Service), 0..12)) {
        hold("hello.service", &lines.concat());
    }

    #[test]
    fn any_socket_holds_the_laws(lines in prop::collection::vec(line(UnitKind::Socket), 0..12)) {
        hold("hello.socket", &lines.concat());
    }

    #[test]
    fn any_template_holds_the_laws(lines in prop::collection::vec(line(UnitKind::Service), 0..6)) {
        hold("hello@.service", &lines.concat());
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        hold("hello.service", &String::from_utf8_lossy(&bytes));
    }
}
