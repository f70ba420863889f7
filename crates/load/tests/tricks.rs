//! Ways round the review that a hostile image could try: each is seen.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't read its own samples must fail"
)]

mod reviewing;

use coracle_load as load;
use load::portable::{
    PortableName, Profile, UnitText, as_drop_in, as_unit_text, covers, restrict, review,
};
use load::{SpecifierContext, load_text};
use reviewing::{check, check_files, check_install, check_socket, portable};

#[test]
fn a_prefix_is_seen_behind_quotes_escapes_and_continuations() {
    let refused = "never hello.service:2: ExecStart=: the prefix “+” would run the command outside the sandbox";
    for command in [
        "\"+/bin/a b\"",
        "+\"/bin/a b\"",
        "'+/bin/x'",
        "\\x2b/bin/x",
        "\"\\053/bin/x\"",
        "-+\"/bin/a b\" c",
        "|+/bin/x",
        "\\\n+/bin/x",
        "\\\n# a comment\n+/bin/x",
        "/bin/x ; +/bin/y",
    ] {
        check(&format!("ExecStart={command}"), refused);
    }
    check("ExecStart=\"/bin/a b\" +x", "");
}

#[test]
fn its_own_sockets_are_below_its_own_runtime_directory() {
    check_socket("ListenStream=/run/hello/x", "");
    for path in ["/var/lib/hello/x", "/etc/hello/x", "/run/hello"] {
        check_socket(
            &format!("ListenStream={path}"),
            &format!("ask hello.socket:2 listen:{path}: listen on {path}"),
        );
    }
}

#[test]
fn a_port_covers_addresses_and_nothing_that_looks_like_one() {
    for asked in [
        "listen:/run/x:8080",
        "listen:@x:8080",
        "listen:vsock:2:8080",
        "listen:vsock::8080",
    ] {
        assert!(!covers("listen:8080", asked), "{asked}");
    }
    for asked in ["listen:8080", "listen:127.0.0.1:8080", "listen:[::1]:8080"] {
        assert!(covers("listen:8080", asked), "{asked}");
    }
}

#[test]
fn to_outlive_a_stop_asks() {
    let ask = |line: &str| {
        let words = "leave processes behind when it is stopped";
        check(line, &format!("ask hello.service:2 survive-stop: {words}"));
    };
    ask("FinalKillSignal=SIGCONT");
    ask("TimeoutStopSec=infinity");
    ask("TimeoutStopSec=1h");
    ask("TimeoutSec=infinity");
    ask("TimeoutAbortSec=infinity");
    check(
        "TimeoutStopSec=2min\nFinalKillSignal=SIGKILL\nTimeoutAbortSec=5",
        "",
    );
}

#[test]
fn to_drain_for_longer_than_ten_minutes_is_refused_with_the_limit() {
    check("DrainTimeoutSec=10min\nReplaceMode=share", "");
    for long in ["infinity", "11min", "1h"] {
        let why = format!(
            "a run that was replaced may drain for 10min at most, and this says {long}; a drop-in of the administrator may say more"
        );
        check(
            &format!("ReplaceMode=share\nDrainTimeoutSec={long}"),
            &format!("never hello.service:3: DrainTimeoutSec=: {why}"),
        );
    }
}

#[test]
fn to_flood_the_log_and_to_restart_without_limit_ask() {
    let ask = |line: &str, grant: &str, words: &str| {
        check(line, &format!("ask hello.service:2 {grant}: {words}"));
    };
    for line in [
        "LogRateLimitIntervalSec=0",
        "LogRateLimitBurst=0",
        "LogRateLimitBurst=1000000",
    ] {
        ask(line, "log-rate", "write to the log without limit");
    }
    check("LogRateLimitIntervalSec=1min\nLogRateLimitBurst=100", "");
    for line in ["StartLimitIntervalSec=0", "StartLimitBurst=0"] {
        check_files(
            &[("hello.service", &format!("[Unit]\n{line}\n"))],
            "ask hello.service:2 restarts: restart without limit",
        );
    }
    check_files(
        &[(
            "hello.service",
            "[Unit]\nStartLimitIntervalSec=1min\nStartLimitBurst=3\n",
        )],
        "",
    );
}

/// What is attached: the units as they were judged.
fn attached(name: &str, text: &str) -> String {
    let units = [UnitText {
        name,
        bytes: text.as_bytes(),
    }];
    let found = review(&portable(), &units, &SpecifierContext::default());
    assert_eq!(found.refusals, []);
    as_unit_text(&found.units[0].unit).unwrap()
}

#[test]
fn lines_that_are_not_understood_today_mean_nothing_tomorrow() {
    let text = "[Service]\nExecStart=/bin/x\nFutureEscape=yes\nExecStartPre=-+/bin/evil %m\nOpenFile=relative\n[Later]\nA=b\n";
    check_files(&[("hello.service", text)], "");
    assert_eq!(
        attached("hello.service", text),
        "[Service]\nExecStart=/bin/x\n"
    );
}

#[test]
fn what_is_attached_means_what_was_judged() {
    let name = "hello@.service";
    let text = "[Unit]\nDescription=%i of 100%% in %%i\n[Service]\nExecStart=/bin/x %I %%n \"a b\" %p\nEnvironment=A=%t/%i\nBindPaths=\"/var/lib/hello/%I x\":/data\n";
    let printed = attached(name, text);
    let context = SpecifierContext::default();
    let instance = |text: &str| {
        let name = "hello@a-b.service".parse().unwrap();
        load_text(
            &name,
            "hello@a-b.service".as_ref(),
            text.as_bytes(),
            &context,
        )
        .unit
    };
    assert_eq!(instance(&printed), instance(text), "{printed}");
    let found = review(
        &portable(),
        &[UnitText {
            name,
            bytes: text.as_bytes(),
        }],
        &context,
    );
    let unit = &found.units[0].unit;
    let granted = ["path:/var/lib/hello/%I x".to_owned()];
    for granted in [&granted[..], &[]] {
        let restricted = restrict(&portable(), unit, &Profile::default(), granted);
        let drop_in = as_drop_in(unit, &restricted).unwrap();
        let both = instance(&format!("{printed}\n{drop_in}"));
        let binds = settings::print(
            &both,
            model::Directive::find("Service", "BindPaths").unwrap(),
        );
        let expected: &[&str] = if granted.is_empty() {
            &[]
        } else {
            &["\"/var/lib/hello/a/b x:/data\""]
        };
        assert_eq!(binds, expected, "{drop_in}");
    }
}

#[test]
fn aliases_of_the_host_are_refused_in_any_spelling() {
    for line in [
        "Alias=hello.service \\\n sshd.service",
        "Alias=\"sshd.service\"",
    ] {
        check_install(
            line,
            "never hello.service:2: Alias=: sshd.service is not one of the portable's own units",
        );
    }
}

#[test]
fn directories_that_were_there_before_are_not_its_own() {
    let text = "[Service]\nStateDirectory=hello hello/x:hello-link\nCacheDirectory=hello\nBindPaths=/etc/hello/a:/a\nPIDFile=/run/hello/pid\n";
    let units = [UnitText {
        name: "hello.service",
        bytes: text.as_bytes(),
    }];
    let mut found = review(&portable(), &units, &SpecifierContext::default());
    assert_eq!(found.requests, []);
    let mut claimed: Vec<&str> = found
        .claims
        .iter()
        .map(|claim| claim.directory.as_str())
        .collect();
    claimed.dedup();
    assert_eq!(
        claimed,
        [
            "/etc/hello",
            "/run/hello",
            "/var/cache/hello",
            "/var/lib/hello",
            "/var/lib/hello-link"
        ]
    );
    found.ask_for_taken(|directory| directory == "/var/lib/hello-link");
    let asked: Vec<_> = found
        .requests
        .iter()
        .map(|request| format!("{} {} {}", request.line, request.grant, request.words))
        .collect();
    assert_eq!(
        asked,
        ["2 path:/var/lib/hello-link take over the host's /var/lib/hello-link"]
    );
}

#[test]
fn names_that_are_the_hosts_are_refused() {
    let refused = |portable: &str, unit: &str| {
        let units = [UnitText {
            name: unit,
            bytes: b"[Unit]\n",
        }];
        let portable = PortableName::new(portable).unwrap();
        let found = review(&portable, &units, &SpecifierContext::default());
        found
            .refusals
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    for name in [
        "private",
        "coracle",
        "coracle-notify",
        "systemd",
        "credentials",
    ] {
        let expected = format!("{name}: this name is the host's; a portable can't have it");
        assert_eq!(refused(name, &format!("{name}.service")), [expected]);
    }
    for name in ["shutdown", "multi-user", "sockets"] {
        let unit = format!("{name}.target");
        let expected = format!("{unit}: every host has a unit of this name");
        assert_eq!(refused(name, &unit), [expected]);
    }
}

#[test]
fn a_credential_is_asked_for_by_the_name_that_the_host_has_for_it() {
    let ask = |name: &str| {
        format!("ask hello.service:2 credential:{name}: be given the host's credential {name}")
    };
    check("LoadCredential=key", &ask("key"));
    check("LoadCredential=harmless:secret", &ask("secret"));
    // The table takes no such name.
    check("LoadCredential=x:../../../etc/shadow", "");
}

#[test]
fn an_empty_assignment_takes_nothing_of_the_profile_away() {
    for (directive, value) in Profile::default().values() {
        let text = format!("[Service]\n{0}=\n{0}=no\n{0}=\n", directive.name());
        let units = [UnitText {
            name: "hello.service",
            bytes: text.as_bytes(),
        }];
        let found = review(&portable(), &units, &SpecifierContext::default());
        let unit = restrict(&portable(), &found.units[0].unit, &Profile::default(), &[]);
        assert_eq!(unit.raw(directive), Some(value), "{directive}");
    }
}
