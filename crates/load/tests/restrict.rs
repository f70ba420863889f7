//! What grants cover, and what becomes of a unit that is put into the default profile: unit text and grants in, the restricted unit out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

mod reviewing;

use coracle_load as load;
use load::portable::{Profile, UnitText, as_drop_in, covers, restrict, review};
use load::{SpecifierContext, load_text};
use model::{Unit, UnitName};
use reviewing::portable;

#[test]
fn grants_cover_what_they_name_and_no_more() {
    for (granted, asked, expected) in [
        ("network", "network", true),
        ("listen", "listen:8080", true),
        ("listen:8080", "listen:8080", true),
        ("listen:8080", "listen:127.0.0.1:8080", true),
        ("listen:8080", "listen:[::]:8080", true),
        ("listen:80", "listen:8080", false),
        ("listen:8080", "listen:8080/udp", false),
        ("listen:127.0.0.1:8080", "listen:8080", false),
        ("listen:127.0.0.1:8080", "listen:0.0.0.0:8080", false),
        ("path:/srv", "path:/srv/x", true),
        ("path:/srv", "path:/srvx", false),
        ("path:/srv", "path:/srv/../etc", false),
        ("path:/srv", "path-read-only:/srv", true),
        ("path-read-only:/srv", "path:/srv", false),
        ("capability:CAP_A", "capability:CAP_B", false),
        ("superprivileged", "capability:CAP_B", true),
        ("network", "networks", false),
    ] {
        assert_eq!(covers(granted, asked), expected, "{granted} covers {asked}");
    }
}

#[test]
fn a_version_that_asks_for_more_is_seen() {
    let text = |bytes| {
        [UnitText {
            name: "hello.socket",
            bytes,
        }]
    };
    let context = SpecifierContext::default();
    let old = review(&portable(), &text(b"[Socket]\nListenStream=80\n"), &context);
    let granted: Vec<String> = old.grants().into_iter().map(str::to_owned).collect();
    assert!(old.beyond(&granted).is_empty());
    let new = review(
        &portable(),
        &text(b"[Socket]\nListenStream=80\nListenStream=81\n"),
        &context,
    );
    let open: Vec<_> = new
        .beyond(&granted)
        .iter()
        .map(|request| request.grant.clone())
        .collect();
    assert_eq!(open, ["listen:81"]);
}

fn name(text: &str) -> UnitName {
    text.parse().unwrap()
}

fn read(text: &str) -> Unit {
    load_text(
        &name("hello.service"),
        "hello.service".as_ref(),
        text.as_bytes(),
        &SpecifierContext::default(),
    )
    .unit
}

/// The law: the unit's text and the drop-in, read together, are the restricted unit.
#[track_caller]
fn restricted(text: &str, granted: &[&str]) -> (Unit, String) {
    let granted: Vec<String> = granted.iter().map(|grant| (*grant).to_owned()).collect();
    let before = read(text);
    let after = restrict(&portable(), &before, &Profile::default(), &granted);
    let drop_in = as_drop_in(&before, &after).unwrap();
    assert_eq!(
        read(&format!("{text}\n{drop_in}")),
        after,
        "the unit and its drop-in must be the restricted unit:\n{drop_in}"
    );
    (after, drop_in)
}

#[track_caller]
fn check_restricted(text: &str, granted: &[&str], directive: &str, expected: &str) {
    let (unit, _) = restricted(text, granted);
    let directive = model::Directive::find("Service", directive).unwrap();
    assert_eq!(settings::print(&unit, directive).join(" | "), expected);
}

#[test]
fn a_unit_that_says_nothing_gets_the_whole_profile() {
    let (unit, _) = restricted("[Service]\nExecStart=/bin/x\n", &[]);
    for (directive, value) in Profile::default().values() {
        assert_eq!(unit.raw(directive), Some(value), "{directive}");
    }
}

#[test]
fn what_was_not_granted_becomes_the_profiles() {
    check_restricted(
        "[Service]\nPrivateNetwork=no\n",
        &[],
        "PrivateNetwork",
        "yes",
    );
    check_restricted(
        "[Service]\nPrivateNetwork=no\n",
        &["network"],
        "PrivateNetwork",
        "no",
    );
    check_restricted(
        "[Service]\nBindPaths=/srv/a /srv/b\n",
        &["path:/srv/a"],
        "BindPaths",
        "/srv/a",
    );
    check_restricted(
        "[Service]\nCapabilityBoundingSet=CAP_CHOWN CAP_KILL\n",
        &["capability:CAP_KILL"],
        "CapabilityBoundingSet",
        "CAP_KILL",
    );
}

#[test]
fn a_list_of_refused_calls_narrows_the_profiles_list() {
    let (unit, drop_in) = restricted("[Service]\nSystemCallFilter=~@swap sync\n", &[]);
    let plain = read("[Service]\nSystemCallFilter=@system-service\nSystemCallFilter=~@swap sync\n");
    let directive = model::Directive::find("Service", "SystemCallFilter").unwrap();
    assert_eq!(unit.raw(directive), plain.raw(directive), "{drop_in}");
}

#[test]
fn calls_that_were_refused_first_and_then_allowed_do_not_open_the_filter() {
    let (unit, _) = restricted(
        "[Service]\nSystemCallFilter=~@swap\nSystemCallFilter=@mount\n",
        &[],
    );
    let directive = model::Directive::find("Service", "SystemCallFilter").unwrap();
    let first = &settings::print(&unit, directive)[0];
    assert!(first.starts_with("@system-service"), "{first}");
}

#[test]
fn text_with_percent_signs_and_quotes_survives_the_drop_in() {
    restricted(
        "[Service]\nExecStart=/bin/x %% \"a b\"\nEnvironment=\"A=b c\" D=%%n\nUser=www\nBindPaths=\"/srv/a b\" /srv/50%%\n",
        &["path:/srv"],
    );
}
