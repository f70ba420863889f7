//! Specifiers and name escaping: text in, text out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

use coracle_load as load;
use load::{OsRelease, SpecifierContext, Specifiers, escape};
use model::{Expand, UnitName};

fn context() -> SpecifierContext {
    SpecifierContext {
        host_name: "box.example.org".into(),
        machine_id: Some("m1".into()),
        boot_id: "b1".into(),
        kernel_release: "6.12".into(),
        os: OsRelease::parse(
            "ID=debian\nVERSION_ID=\"13\"\nIMAGE_ID='img'\nIMAGE_VERSION=7\n# c\nBUILD_ID=b\nVARIANT_ID=v\n",
        ),
        ..SpecifierContext::default()
    }
}

#[track_caller]
fn check(unit: &str, text: &str, expected: &str) {
    let unit: UnitName = unit.parse().unwrap();
    let context = context();
    let specifiers = Specifiers::new(&unit, Some("/etc/u/x.service".as_ref()), &context);
    let shown = specifiers
        .expand(text)
        .unwrap_or_else(|error| format!("error: {error}"));
    assert_eq!(shown, expected);
}

#[test]
fn names_in_all_their_forms() {
    check(
        r"a\x2db-c\x2dd@x-y\x2dz.service",
        "%n %N %p %P %i %I %j %J %f",
        r"a\x2db-c\x2dd@x-y\x2dz.service a\x2db-c\x2dd@x-y\x2dz a\x2db-c\x2dd a-b/c-d x-y\x2dz x/y-z c\x2dd c-d /x/y-z",
    );
    check("a-b.mount", "%i|%I|%f|%j", "||/a/b|b");
}

#[test]
fn directories_and_the_managers_user() {
    check(
        "a.service",
        "%t %S %C %L %E %D %T %V %d %h %s %u %U %g %G",
        "/run /var/lib /var/cache /var/log /etc /usr/share /tmp /var/tmp /run/credentials/a.service /root /bin/sh root 0 root 0",
    );
}

#[test]
fn the_host_and_its_system() {
    check(
        "a.service",
        "%H %l %q %m %b %v %a %o %w %B %W %M %A",
        "box.example.org box box m1 b1 6.12 x86-64 debian 13 b v img 7",
    );
}

#[test]
fn the_fragment_and_its_directory() {
    check("a.service", "%y %Y", "/etc/u/x.service /etc/u");
    let unit: UnitName = "a.slice".parse().unwrap();
    let context = context();
    let error = Specifiers::new(&unit, None, &context)
        .expand("%y")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "%y has no value, as the unit has no file"
    );
}

#[test]
fn percent_signs_double_and_unknown_letters_are_errors() {
    check("a.service", "100%%, 5%, %- 7%", "100%, 5%, %- 7%");
    check("a.service", "%%n", "%n");
    check("a.service", "a%Zb", "error: %Z is no specifier");
    check("a.service", "a%1b", "error: %1 is no specifier");
}

#[test]
fn an_expansion_has_a_limit() {
    let long = "%n".repeat(200_000);
    check(
        "abcdefgh.service",
        &long,
        "error: its specifiers expand to more than 1048576 bytes",
    );
}

#[test]
fn what_a_host_does_not_have_is_an_error_and_no_empty_text() {
    let unit: UnitName = "a.service".parse().unwrap();
    let bare = SpecifierContext::default();
    let error = Specifiers::new(&unit, None, &bare)
        .expand("%m")
        .unwrap_err();
    assert_eq!(error.to_string(), "%m has no value on this host");
}

#[test]
fn escaping_is_systemd_escapes() {
    for (text, escaped) in [
        ("a/b c", r"a-b\x20c"),
        (".a", r"\x2ea"),
        ("a-b", r"a\x2db"),
        ("ü", r"\xc3\xbc"),
        ("", ""),
        ("a:_.", "a:_."),
        ("a@b", r"a\x40b"),
    ] {
        assert_eq!(escape::escape(text), escaped);
        assert_eq!(escape::unescape(escaped).as_deref(), Some(text));
    }
    assert_eq!(escape::unescape(r"\x2"), None);
    assert_eq!(escape::unescape(r"\y20"), None);
    assert_eq!(escape::unescape(r"\xff"), None);
    assert_eq!(escape::unescape(r"a\x00b"), None);
}

#[test]
fn paths_lose_superfluous_slashes() {
    for (path, escaped) in [
        ("/", "-"),
        ("/foo//bar/baz/", "foo-bar-baz"),
        ("/.a", r"\x2ea"),
        ("/a/./b", "a-b"),
    ] {
        assert_eq!(escape::escape_path(path).as_deref(), Some(escaped));
    }
    assert_eq!(escape::escape_path("a"), None);
    assert_eq!(escape::escape_path("/a/../b"), None);
    assert_eq!(
        escape::unescape_path("foo-bar").as_deref(),
        Some("/foo/bar")
    );
    assert_eq!(escape::unescape_path("-").as_deref(), Some("/"));
    assert_eq!(escape::unescape_path("a--b"), None);
    let template: UnitName = "getty@.service".parse().unwrap();
    assert_eq!(
        escape::instantiate(&template, "dev/tty 1")
            .unwrap()
            .as_str(),
        r"getty@dev-tty\x201.service"
    );
}
