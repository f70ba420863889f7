//! What is said of units that are wrong: a tree of texts in, diagnostics out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

mod trees;

use std::fmt::Write as _;

use coracle_load as load;
use trees::{check, loader, name};

#[test]
fn unknown_names_and_sections_warn_with_what_was_meant_and_stop_nothing() {
    check(
        "== /etc/u/a.service\n[Service]\nExecSart=/bin/true\nDescription=here\nX-Mine=1\n[X-Mine]\nA=1\n[Servce]\nB=2\n[Socket]\nC=3\n[Unit]\nDescription=ok\n[Service]\nExecStart=/bin/true\n",
        "a.service",
        "
a.service: loaded (a.service)
fragment /etc/u/a.service
Description=ok  <- /etc/u/a.service:12
ExecStart=/bin/true  <- /etc/u/a.service:14
/etc/u/a.service:2:1: warning: [Service] has no ExecSart=; the line is ignored (did you mean ExecStart=?)
/etc/u/a.service:3:1: warning: [Service] has no Description=; the line is ignored (it belongs in [Unit])
/etc/u/a.service:7:2: warning: a .service unit has no section [Servce]; it is ignored (did you mean [Service]?)
/etc/u/a.service:9:2: warning: a .service unit has no section [Socket]; it is ignored",
    );
}

#[test]
fn an_open_header_in_the_main_file_is_an_error_and_in_a_drop_in_costs_its_rest() {
    check(
        "== /etc/u/a.target\n[Unit]\nDescription=a\n[Serv\n",
        "a.target",
        "
a.target: error (a.target)
fragment /etc/u/a.target
Description=a  <- /etc/u/a.target:2
/etc/u/a.target:3:1: error: the section header has no “]” at its end; the rest of the file is not read",
    );
    check(
        "== /etc/u/a.target\n[Unit]\nDescription=a\n== /etc/u/a.target.d/1.conf\n[Unit\nDescription=b\n",
        "a.target",
        "
a.target: loaded (a.target)
fragment /etc/u/a.target
drop-in /etc/u/a.target.d/1.conf
Description=a  <- /etc/u/a.target:2
/etc/u/a.target.d/1.conf:1:1: error: the section header has no “]” at its end; the rest of the file is not read",
    );
}

#[test]
fn a_dangling_drop_in_is_said_and_passed_over() {
    check(
        "== /etc/u/a.target\n[Unit]\nDescription=a\n== /etc/u/a.target.d/1.conf -> /gone\n",
        "a.target",
        "
a.target: loaded (a.target)
fragment /etc/u/a.target
Description=a  <- /etc/u/a.target:2
/etc/u/a.target.d/1.conf: warning: the link leads to no file",
    );
}

#[test]
fn too_many_drop_ins_are_cut_off_with_a_word() {
    let mut text = "== /etc/u/a.target\n[Unit]\n".to_owned();
    (0..300).for_each(|number| {
        write!(text, "== /etc/u/a.target.d/{number:03}.conf\n[Unit]\n").unwrap()
    });
    let loaded = loader(&text).load(&name("a.target"));
    assert_eq!(loaded.drop_ins.len(), 256);
    let last = loaded.diagnostics.last().unwrap().to_string();
    assert_eq!(
        last,
        "/etc/u/a.target.d/256.conf: warning: the unit has more than 256 drop-ins; this and later ones are not read"
    );
}

#[test]
fn a_unit_that_can_do_nothing_has_a_bad_setting() {
    for (file, text, defect) in [
        (
            "a.service",
            "[Service]\nType=simple\n",
            "the service has no ExecStart=, ExecStop= or SuccessAction=",
        ),
        (
            "a.service",
            "[Service]\nType=simple\nExecStop=/bin/x\n",
            "the service has no ExecStart=, which only Type=oneshot can do without",
        ),
        (
            "a.service",
            "[Service]\nExecStop=/bin/x\n",
            "the service has no ExecStart=, which needs RemainAfterExit=yes for its ExecStop= to mean anything",
        ),
        (
            "a.service",
            "[Service]\nExecStart=/bin/x\nExecStart=/bin/y\n",
            "the service has more than one ExecStart=, which only Type=oneshot can have",
        ),
        (
            "a.service",
            "[Service]\nType=oneshot\nRestart=always\nExecStart=/bin/x\n",
            "Type=oneshot can't be restarted after success: Restart=always and on-success are not for it",
        ),
        (
            "a.service",
            "[Service]\nType=dbus\nExecStart=/bin/x\n",
            "Type=dbus needs BusName=",
        ),
        (
            "a.socket",
            "[Socket]\nAccept=yes\n",
            "the socket has no Listen…= at all",
        ),
        (
            "a.socket",
            "[Socket]\nAccept=yes\nListenDatagram=80\n",
            "Accept=yes is for streams and packet sequences, and this socket listens on something else",
        ),
        (
            "a.timer",
            "[Timer]\nUnit=b.service\n",
            "the timer has no time: no OnCalendar=, On…Sec=, OnClockChange= or OnTimezoneChange=",
        ),
        (
            "a.path",
            "[Path]\nUnit=b.service\n",
            "the path unit has no path: no Path…= or DirectoryNotEmpty=",
        ),
    ] {
        let loaded = loader(&format!("== /etc/u/{file}\n{text}")).load(&name(file));
        let findings: Vec<_> = loaded.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(loaded.state, load::LoadState::BadSetting, "{text}");
        assert_eq!(findings, [format!("/etc/u/{file}: error: {defect}")]);
    }
    let stops = "== /etc/u/a.service\n[Service]\nRemainAfterExit=yes\nExecStop=/bin/x\n";
    let loaded = loader(stops).load(&name("a.service"));
    assert_eq!(loaded.state, load::LoadState::Loaded);
}

#[test]
fn a_wrong_value_is_ignored_but_an_essential_one_spoils_the_unit() {
    let text = |line: &str| format!("== /etc/u/a.service\n[Service]\nExecStart=/bin/x\n{line}\n");
    for (line, state) in [
        ("PrivateTmp=perhaps", load::LoadState::Loaded),
        ("ExecStartPre=-relative/path", load::LoadState::Loaded),
        ("ExecStartPre=relative/path", load::LoadState::BadSetting),
        ("User=no such user", load::LoadState::BadSetting),
        ("RootDirectory=relative", load::LoadState::BadSetting),
        ("WorkingDirectory=relative", load::LoadState::BadSetting),
    ] {
        let loaded = loader(&text(line)).load(&name("a.service"));
        assert_eq!(loaded.state, state, "{line}");
        assert_eq!(
            loaded.diagnostics.len(),
            1,
            "{line}: {:?}",
            loaded.diagnostics
        );
        assert_eq!(loaded.diagnostics[0].line, 3, "{line}");
    }
}

#[test]
fn a_word_that_vanishes_is_said() {
    check(
        "== /etc/u/a.service
[Service]
Environment=A=b
ExecStart=/bin/echo $A ${A}/x $$A a$ $A/x
ExecStop=:/bin/echo $A/x",
        "a.service",
        "
a.service: loaded (a.service)
fragment /etc/u/a.service
Environment=A=b  <- /etc/u/a.service:2
ExecStart=/bin/echo $A ${A}/x $$A a$ $A/x  <- /etc/u/a.service:3
ExecStop=:/bin/echo $A/x  <- /etc/u/a.service:4
/etc/u/a.service:3:11: warning: ExecStart=: “$A/x” names no variable, so the word is left out (write ${NAME} for a variable within a word, and $$ for a dollar)",
    );
}

#[test]
fn what_has_no_effect_yet_is_said_where_it_stands() {
    check(
        "== /etc/u/a.service
[Service]
ExecStart=/bin/true
UtmpIdentifier=a
ExitType=main
[Install]
WantedBy=multi-user.target",
        "a.service",
        "
a.service: loaded (a.service)
fragment /etc/u/a.service
ExecStart=/bin/true  <- /etc/u/a.service:2
ExitType=main  <- /etc/u/a.service:4
UtmpIdentifier=a  <- /etc/u/a.service:3
WantedBy=multi-user.target  <- /etc/u/a.service:6
/etc/u/a.service:3:1: warning: UtmpIdentifier= has no effect: no entry is made: what logs in makes its own, and utmp's times end in 2038",
    );
    check(
        "== /etc/u/a.service
[Service]
Type=dbus
BusName=a.b
ExecStart=/bin/true",
        "a.service",
        "
a.service: loaded (a.service)
fragment /etc/u/a.service
BusName=a.b  <- /etc/u/a.service:3
ExecStart=/bin/true  <- /etc/u/a.service:4
Type=dbus  <- /etc/u/a.service:2",
    );
    check(
        "== /etc/u/a.service
[Service]
Type=idle
ExecStart=/bin/true",
        "a.service",
        "
a.service: loaded (a.service)
fragment /etc/u/a.service
ExecStart=/bin/true  <- /etc/u/a.service:3
Type=idle  <- /etc/u/a.service:2
/etc/u/a.service:2:6: warning: Type=idle starts like Type=simple: it waits for no other job",
    );
}

#[test]
fn a_misspelt_directive_has_a_nearest_one_and_a_foreign_word_has_none() {
    for (name, expected) in [
        ("ProtectSytem", Some("ProtectSystem")),
        ("protectsystem", Some("ProtectSystem")),
        ("ExceStart", Some("ExecStart")),
        ("Frobnicate", None),
        (&"x".repeat(10_000), None),
    ] {
        assert_eq!(load::nearest_directive(name), expected, "{name}");
    }
}

#[test]
fn a_wrong_calendar_expression_is_told_with_its_place_and_the_right_ones_stay() {
    let text = "== /etc/u/a.timer\n[Timer]\nOnCalendar=Mon..Fri 8:00\nOnCalendar=Mon 25:00\nOnCalendar=daily Nowhere/Land\nOnCalendar=%% 1\nOnCalendar=*:0/15 Europe/Berlin\n== /usr/share/zoneinfo/Europe/Berlin\nTZif2\n";
    let loaded = loader(text).load(&name("a.timer"));
    let wrong: Vec<(u32, String)> = loaded
        .diagnostics
        .iter()
        .filter(|finding| finding.message.contains("the line is ignored"))
        .map(|finding| (finding.line, finding.message.clone()))
        .collect();
    let ignored = |reason: &str| format!("OnCalendar=: {reason}; the line is ignored");
    assert_eq!(
        wrong,
        [
            (
                3,
                ignored(
                    "\"Mon 25:00\" is not a calendar expression: hour: a value is too small or too large"
                )
            ),
            (
                4,
                ignored("\"Nowhere/Land\" is not a time zone of this host")
            ),
            (
                5,
                ignored(
                    "\"% 1\" is not a calendar expression: \"% 1\" stands where a number should"
                )
            ),
        ]
    );
    let directive = model::key::ON_CALENDAR.directive();
    assert_eq!(
        settings::print(&loaded.unit, directive),
        ["Mon..Fri *-*-* 08:00:00", "*-*-* *:00/15:00 Europe/Berlin"]
    );
}
