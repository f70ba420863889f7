//! The nouns from text and back to text.

#![allow(clippy::expect_used)] // A test may fail.

use coracle_model as model;
use model::{
    Directive, Facts, Form, Position, Setting, TextForm, Unit, UnitKind, UnitName, Value,
    facts::KernelVersion,
    key,
    tables::{capabilities, exit_status, families, signals, syscall_groups},
    text::{quote, split_names, split_words},
    value::*,
};

/// Reads a text as a type and prints it again; an error as its message.
fn check<T: TextForm>(text: &str) -> String {
    match T::parse(text) {
        Ok(value) => value.print_lines(Form::Plain).join(" | "),
        Err(error) => format!("error: {error}"),
    }
}

fn name(text: &str) -> UnitName {
    text.parse().expect("a valid name")
}

#[test]
fn a_unit_name_knows_its_parts() {
    let instance = name("getty@tty1.service");
    assert_eq!(
        (instance.prefix(), instance.instance(), instance.kind()),
        ("getty", Some("tty1"), UnitKind::Service)
    );
    assert_eq!(instance.template(), Some(name("getty@.service")));
    assert!(name("getty@.service").is_template() && !instance.is_template());
    assert_eq!(
        name("getty@.service").with_instance("tty2"),
        Ok(name("getty@tty2.service"))
    );
    assert_eq!(name("a@b@c.socket").instance(), Some("b@c"));
    assert_eq!(
        name("web.service").with_kind(UnitKind::Socket),
        Ok(name("web.socket"))
    );
    assert!(name("web.service").with_instance("x").is_err());
    assert_eq!(name("web.service").template(), None);
}

#[test]
fn a_wrong_unit_name_is_refused_with_its_reason() {
    for text in [
        "",
        "web",
        ".service",
        "@.service",
        "@x.service",
        "web.servic",
        "a b.service",
        "a/b.service",
        "ä.service",
        "a\0.service",
    ] {
        assert!(UnitName::new(text).is_err(), "{text:?}");
    }
    assert!(UnitName::new(&format!("{}.service", "a".repeat(247))).is_ok());
    assert!(UnitName::new(&format!("{}.service", "a".repeat(248))).is_err());
}

#[test]
fn words_are_split_as_unit_files_have_them() {
    let split = |text: &str| {
        split_words(text)
            .map(|words| words.join("|"))
            .unwrap_or_else(|error| format!("error: {error}"))
    };
    assert_eq!(split(r#"a "b c" 'd "e' f\x20g"#), r#"a|b c|d "e|f g"#);
    assert_eq!(split(r"\101\u00e4\U0001f600\n"), "A\u{e4}\u{1f600}\n");
    assert_eq!(split(r"\xc3\xa4"), "\u{e4}");
    assert_eq!(split(r"\xff"), r"\xff");
    assert_eq!(split(r#"a"b"c"#), "abc");
    assert_eq!(split("\"a"), "error: a quotation mark is not closed");
    assert_eq!(split(r"a\q \"), r"a\q|\");
    assert_eq!(
        split_names(r"a\x2db.service").unwrap_or_default(),
        [r"a\x2db.service"]
    );
}

#[test]
fn quoted_words_come_back() {
    for word in ["", "a", "a b", "a\"b'c\\", "\n\t\u{7f}\u{85}", "ä;", ";"] {
        assert_eq!(
            split_words(&quote(word)),
            Ok(vec![word.to_owned()]),
            "{word:?}"
        );
    }
}

#[test]
fn spans_of_time_have_their_text_form() {
    assert_eq!(check::<TimeSpan>("90"), "1min 30s");
    assert_eq!(check::<TimeSpan>("1.5h 2 min"), "1h 32min");
    assert_eq!(check::<TimeSpan>("2month"), "2month");
    assert_eq!(check::<TimeSpan>("1.5"), "1.500000s");
    assert_eq!(check::<TimeSpan>("1d 20s 300ms"), "1d 20.300000s");
    assert_eq!(check::<TimeSpan>("2ms 5us"), "2.005ms");
    assert_eq!(check::<TimeSpan>("infinity"), "infinity");
    assert_eq!(check::<TimeSpan>("0"), "0");
    assert_eq!(TimeSpan::parse("100ms"), Ok(TimeSpan::from_millis(100)));
    assert_eq!(check::<Nanoseconds>("50us"), "50000ns");
    for text in [
        "",
        "5 parsec",
        "-1",
        "1e3",
        "99999999999999999999",
        "1..5",
        ".",
    ] {
        assert!(check::<TimeSpan>(text).starts_with("error"), "{text:?}");
    }
}

#[test]
fn sizes_and_shares_have_their_text_form() {
    assert_eq!(check::<ByteSize>("64M"), "64M");
    assert_eq!(check::<ByteSize>("1.5K"), "1536");
    assert_eq!(check::<ByteSize>("1G 512M"), "1536M");
    assert_eq!(check::<Amount>("20%"), "20%");
    assert_eq!(check::<Amount>("12.5%"), "12.5%");
    assert_eq!(check::<Amount>("infinity"), "infinity");
    assert!(check::<Amount>("120%").starts_with("error"));
    assert_eq!(check::<Percent>("250%"), "250%");
    assert!(check::<ByteSize>("16E").starts_with("error"));
}

#[test]
fn commands_keep_their_prefixes_and_arguments() {
    assert_eq!(
        check::<ExecCommands>("-/bin/a \"b c\" ; /bin/d"),
        "-/bin/a \"b c\" | /bin/d"
    );
    assert_eq!(
        check::<ExecCommands>("@/bin/a zero one"),
        "@/bin/a zero one"
    );
    assert_eq!(
        check::<ExecCommands>("!!/bin/a ${X} \\;"),
        "!!/bin/a ${X} \\;"
    );
    assert_eq!(check::<ExecCommands>("sleep 5"), "sleep 5");
    for text in ["+!/bin/a", "--/bin/a", "a/b", "/bin/", "-", "@/bin/a"] {
        assert!(check::<ExecCommands>(text).starts_with("error"), "{text:?}");
    }
    let commands = ExecCommands::parse("@/bin/a zero one").unwrap_or_default();
    assert_eq!(
        commands.first().map(|command| command.argv.clone()),
        Some(vec!["zero".to_owned(), "one".to_owned()])
    );
}

#[test]
fn a_unit_cannot_have_endless_variables() {
    let line = |from: usize| {
        (from..from + 5_000)
            .map(|n| format!("V{n}=1 "))
            .collect::<String>()
    };
    let mut value = None;
    assert!(EnvironmentList::assign(&mut value, &line(0), &model::text::Verbatim).is_ok());
    assert!(EnvironmentList::assign(&mut value, &line(5_000), &model::text::Verbatim).is_err());
    assert_eq!(value.map(|list| list.len()), Some(5_000));
}

#[test]
fn an_allow_list_of_calls_begins_with_the_defaults() {
    let filter = SyscallFilter::parse("@basic-io mount:EPERM").unwrap_or_default();
    let resolved = filter.resolve();
    assert!(resolved.allow);
    assert_eq!(resolved.calls.get("read"), Some(&None));
    assert_eq!(resolved.calls.get("execve"), Some(&None));
    assert_eq!(
        resolved.calls.get("mount"),
        Some(&Some(SyscallAction::Errno(1)))
    );
    assert_eq!(resolved.calls.get("ptrace"), None);
}

#[test]
fn later_rules_take_calls_away_again() {
    let mut filter = SyscallFilter::parse("@system-service").unwrap_or_default();
    filter.append(SyscallFilter::parse("~@chown").unwrap_or_default());
    assert!(!filter.resolve().calls.contains_key("chown"));
    assert!(filter.resolve().calls.contains_key("read"));
    let mut denied = SyscallFilter::parse("~@mount @swap").unwrap_or_default();
    denied.append(SyscallFilter::parse("umount2").unwrap_or_default());
    assert!(!denied.resolve().allow);
    assert!(denied.resolve().calls.contains_key("swapon"));
    assert!(!denied.resolve().calls.contains_key("umount2"));
}

#[test]
fn groups_of_calls_are_whole_and_nest() {
    let members = |group: &str| syscall_groups::members(group).count();
    assert!(
        members("@system-service") > 300,
        "{}",
        members("@system-service")
    );
    assert!(syscall_groups::members("@privileged").any(|call| call == "reboot"));
    assert!(members("@known") > 400);
    assert!(model::tables::syscall_groups::members("@known").any(|call| call == "mincore"));
    assert_eq!(members("@nothing"), 0);
    for (group, inner, own) in syscall_groups::GROUPS {
        assert!(own.is_sorted(), "{group}");
        assert!(
            inner.iter().all(|inner| syscall_groups::exists(inner)),
            "{group}"
        );
    }
}

#[test]
fn tables_of_numbers_agree_with_the_kernel() {
    assert_eq!(
        (capabilities::SYS_ADMIN, capabilities::CHECKPOINT_RESTORE),
        (21, 40)
    );
    assert_eq!(families::number("AF_INET6"), Some(families::INET6));
    assert_eq!(families::number("AF_VSOCK"), Some(families::VSOCK));
    assert_eq!(
        (
            signals::number("SIGRTMIN+3"),
            signals::number("term"),
            signals::number("65")
        ),
        (Some(37), None, None)
    );
    assert_eq!(
        (signals::name(15), signals::name(35), signals::name(64)),
        ("SIGTERM".into(), "SIGRTMIN+1".into(), "SIGRTMAX".into())
    );
    assert_eq!(
        (exit_status::code("EXEC"), exit_status::name(228)),
        (Some(203), Some("SECCOMP"))
    );
}

#[test]
fn addresses_have_their_text_form() {
    for text in [
        "80",
        "127.0.0.1:80",
        "[::1]:80",
        "[fe80::1]:80%eth0",
        "/run/x",
        "@name",
        "vsock:2:80",
        "vsock::80",
    ] {
        assert_eq!(check::<ListenAddresses>(text), text);
    }
    for text in [
        "0",
        "65536",
        "127.0.0.1",
        "[::1]",
        "::1:80",
        "@",
        "vsock:80",
        "/../x",
        "relative",
    ] {
        assert!(
            check::<ListenAddresses>(text).starts_with("error"),
            "{text:?}"
        );
    }
    assert_eq!(
        check::<IpPrefixes>("10.1.2.3/8 localhost"),
        "10.0.0.0/8 127.0.0.0/8 ::1/128"
    );
}

#[test]
fn paths_never_climb() {
    assert_eq!(check::<PathRules>("-+/a//b/./c/"), "-+/a/b/c");
    for text in ["/a/../b", "a", "-", "/.."] {
        assert!(check::<PathRules>(text).starts_with("error"), "{text:?}");
    }
    for text in ["../a", "/a", "a/../b", "private", "private/x", "."] {
        assert!(check::<Directories>(text).starts_with("error"), "{text:?}");
    }
    assert_eq!(check::<Directories>("a/b:link:ro"), "a/b:link:ro");
}

#[test]
fn what_means_nobody_is_no_account() {
    for text in [
        "4294967295",
        "65535",
        "-1",
        "",
        "a b",
        "root:x",
        "../x",
        "007",
    ] {
        assert!(check::<Account>(text).starts_with("error"), "{text:?}");
    }
    assert_eq!(check::<Account>("www-data"), "www-data");
    assert_eq!(
        Account::parse("0").ok().and_then(|account| account.id()),
        Some(0)
    );
}

#[test]
fn a_unit_stores_what_differs_and_gives_defaults_for_the_rest() {
    let mut unit = Unit::new(name("web.service"));
    assert_eq!(unit.get(&key::PROTECT_SYSTEM), None);
    assert_eq!(unit.value(&key::UMASK), FileMode(0o022));
    unit.set(&key::PROTECT_SYSTEM, ProtectSystem::Strict);
    unit.set(&key::ACCEPT, true);
    assert_eq!(unit.value(&key::PROTECT_SYSTEM), ProtectSystem::Strict);
    assert_eq!(
        unit.iter()
            .map(|(directive, _)| directive.name())
            .collect::<Vec<_>>(),
        ["Accept", "ProtectSystem"]
    );
    assert_eq!(unit.unset(key::ACCEPT.directive()), Some(Value::Bool(true)));
    assert_eq!((unit.len(), bool::from_value(&Value::U32(1))), (1, None));
}

#[test]
fn a_thousand_units_fit_in_a_few_megabytes() {
    // A unit's own cost: the record and its entries. Twenty values are more than most units set.
    let bytes = 1_000 * (size_of::<Unit>() + 20 * size_of::<(Directive, Value)>());
    assert!(bytes < 2_000_000, "{bytes}");
    assert!(
        size_of::<(Directive, Value)>() <= 72,
        "{}",
        size_of::<(Directive, Value)>()
    );
}

#[test]
fn a_directive_is_found_in_its_sections_only() {
    assert_eq!(
        Directive::find("Service", "Type"),
        Some(key::SERVICE_TYPE.directive())
    );
    assert_eq!(
        Directive::find("Mount", "Type"),
        Some(key::MOUNT_TYPE.directive())
    );
    assert_eq!(Directive::find("Unit", "Type"), None);
    assert_eq!(
        Directive::find("Socket", "ProtectSystem"),
        Some(key::PROTECT_SYSTEM.directive())
    );
    assert_eq!(Directive::find("Slice", "ProtectSystem"), None);
    assert_eq!(Directive::named("TimeoutSec").count(), 4);
    assert_eq!(
        key::PROTECT_SYSTEM
            .directive()
            .room()
            .section_of(UnitKind::Service),
        Some("Service")
    );
    assert_eq!(
        key::MEMORY_MAX
            .directive()
            .room()
            .section_of(UnitKind::Target),
        None
    );
}

#[test]
fn namespaces_are_the_kernels_bits() {
    let all = NAMESPACES.iter().fold(0, |bits, (_, bit)| bits | bit);
    assert_eq!(all, NamespaceSet::ALL.0);
}

#[test]
fn positions_and_versions_have_words() {
    for position in Position::ALL {
        assert_eq!(Position::parse(position.word()), Ok(position));
    }
    assert_eq!(
        KernelVersion::parse("6.12.38+deb13-amd64"),
        Some(KernelVersion::new(6, 12))
    );
    assert!(Facts::default().kernel >= KernelVersion::new(6, 1));
}
