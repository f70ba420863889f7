//! What each test says, on texts where it can be had without this machine, and on what is sure of this one.

use super::*;
use crate::conditions::{fraction, machine, paths, pressure, virtualization};

fn host() -> Host {
    Host {
        facts: Arc::new(kernel::probe::facts()),
        environment: Arc::new(BTreeMap::from([("LANG".to_owned(), "C".to_owned())])),
        is_init: false,
        keeper: std::process::id(),
        is_portable: false,
        cgroup: None,
        names: crate::conditions::NAMES_MAX,
        found: String::new(),
    }
}

/// Tests lines of one unit, each `name=value`, and gives what keeps it from starting.
fn unmet(lines: &[&str]) -> Option<String> {
    let mut unit = Unit::new(model::UnitName::new("web.service").unwrap());
    for line in lines {
        let (name, value) = line.split_once('=').unwrap();
        let done = settings::apply(&mut unit, "Unit", name, value, &model::text::Verbatim);
        done.unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    Questions::of(&unit).answer(&mut host()).1
}

/// Whether a plain condition holds.
fn holds(line: &str, host: &mut Host) -> bool {
    let mut unit = Unit::new(model::UnitName::new("web.service").unwrap());
    let (name, value) = line.split_once('=').unwrap();
    settings::apply(&mut unit, "Unit", name, value, &model::text::Verbatim).unwrap();
    Questions::of(&unit).answer(host).1.is_none()
}

#[test]
fn links_that_a_portables_service_left_lead_nowhere() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("own");
    std::fs::create_dir_all(own.join("real")).unwrap();
    symlink("/etc/passwd", own.join("file")).unwrap();
    symlink("/etc", own.join("directory")).unwrap();
    symlink(&own, directory.path().join("of-root")).unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = directory.path().display();
    for (test, of_host, of_portable) in [
        ("FileNotEmpty=DIR/own/file", true, false),
        ("PathExists=DIR/own/directory/passwd", true, false),
        ("PathIsDirectory=DIR/own/directory", true, false),
        ("DirectoryNotEmpty=DIR/own/directory", true, false),
        ("PathIsReadWrite=DIR/own/nothing", false, false),
        ("PathIsSymbolicLink=DIR/own/file", true, true),
        ("PathIsSymbolicLink=DIR/own/real", false, false),
        ("PathIsDirectory=DIR/own/real", true, true),
        ("PathIsDirectory=DIR/of-root", true, true),
        ("PathExists=DIR/own/nothing", false, false),
        ("NeedsUpdate=DIR/own/file", true, true),
    ] {
        let line = format!("Condition{}", test.replace("DIR", &path.to_string()));
        let mut host = host();
        assert_eq!(holds(&line, &mut host), of_host, "{test} of the host");
        host.is_portable = true;
        assert_eq!(holds(&line, &mut host), of_portable, "{test} of a portable");
    }
}

#[test]
fn a_module_is_a_name_and_no_way_to_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("initstate");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, 0o600.into(), 0).unwrap();
    let up = "../".repeat(8);
    let line = format!(
        "ConditionKernelModuleLoaded={up}{}",
        directory.path().display()
    );
    // It neither waits for the pipe nor takes its directory for a module.
    assert!(!holds(&line, &mut host()));
}

#[test]
fn every_test_says_yes_and_no() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    std::fs::write(directory.path().join("run.sh"), "true\n").unwrap();
    std::os::unix::fs::symlink("nowhere", directory.path().join("link")).unwrap();
    std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
    let cases = [
        ("ACPower=maybe", None),
        ("Architecture=native", Some(true)),
        ("Architecture=s390", Some(false)),
        ("CPUFeature=nope", Some(false)),
        ("CPUFeature=s390.fpu", Some(false)),
        ("CPUPressure=100%", Some(true)),
        ("CPUPressure=100%/2min", None),
        ("CPUs=>=1", Some(true)),
        ("CPUs=>100000", Some(false)),
        ("CPUs=many", None),
        ("Capability=CAP_NOPE", None),
        ("ControlGroupController=nope", Some(true)),
        ("ControlGroupController=cpuacct", Some(false)),
        ("Credential=no.such.credential", Some(false)),
        ("Credential=../x", Some(false)),
        ("DirectoryNotEmpty=DIR", Some(true)),
        ("DirectoryNotEmpty=DIR/run.sh", Some(false)),
        ("Environment=LANG", Some(true)),
        ("Environment=LANG=C", Some(true)),
        ("Environment=LANG=D", Some(false)),
        ("Environment=LA", Some(false)),
        ("FileIsExecutable=DIR/run.sh", Some(false)),
        ("FileIsExecutable=/bin/sh", Some(true)),
        ("FileNotEmpty=DIR/run.sh", Some(true)),
        ("FileNotEmpty=DIR", Some(false)),
        ("Firmware=smbios-field(a/b = c)", None),
        ("Firmware=smbios-field(nope = c)", Some(false)),
        ("Firmware=device-tree-compatible(nope)", Some(false)),
        ("Firmware=nope", Some(false)),
        ("FirstBoot=maybe", None),
        ("Fraction=100%", Some(true)),
        ("Fraction=tag 0%", Some(false)),
        ("Fraction=a b 1%", None),
        ("Group=no.such.group", Some(false)),
        ("Host=*", Some(true)),
        ("Host=nope.nope", Some(false)),
        ("IOPressure=100%/10sec", Some(true)),
        ("KernelCommandLine=no.such.word", Some(false)),
        ("KernelModuleLoaded=no-such-module", Some(false)),
        ("KernelModuleLoaded=..", Some(false)),
        ("KernelVersion=>=4 <1000", Some(true)),
        ("KernelVersion=< 4", Some(false)),
        ("KernelVersion=>=4 < 1000", None),
        ("MachineTag=no.such.tag", Some(false)),
        ("Memory=>=1M", Some(true)),
        ("Memory=< 1M", Some(false)),
        ("Memory=much", None),
        ("MemoryPressure=much", None),
        ("MemoryPressure=no-such.slice:0%", Some(true)),
        ("NeedsUpdate=DIR", Some(true)),
        ("OSRelease=ID=no.such.os", Some(false)),
        ("OSRelease=NO_SUCH_FIELD=x", Some(false)),
        ("OSRelease=ID", None),
        ("PathExists=DIR", Some(true)),
        ("PathExists=DIR/link", Some(false)),
        ("PathExistsGlob=DIR/*.{py,sh}", Some(true)),
        ("PathExistsGlob=DIR/*.{py,rb}", Some(false)),
        ("PathExistsGlob=/e?c/[n-p]asswd", Some(true)),
        ("PathExistsGlob=/e?c/[[:lower:]]asswd", Some(true)),
        ("PathExistsGlob=/e?c/[[:digit:]]asswd", Some(false)),
        ("PathExistsGlob=/e?c/[]p]asswd", Some(true)),
        ("PathExistsGlob=/e?c/\\passwd", Some(true)),
        ("PathExistsGlob=/etc/pass\\wd", Some(true)),
        ("PathExistsGlob=/etc/p*\\?", Some(false)),
        ("PathIsDirectory=DIR", Some(true)),
        ("PathIsDirectory=DIR/run.sh", Some(false)),
        ("PathIsEncrypted=/proc", Some(false)),
        ("PathIsMountPoint=/proc", Some(true)),
        ("PathIsMountPoint=DIR", Some(false)),
        ("PathIsReadWrite=DIR", Some(true)),
        ("PathIsReadWrite=DIR/nope", Some(false)),
        ("PathIsSocket=DIR/socket", Some(true)),
        ("PathIsSocket=DIR", Some(false)),
        ("PathIsSymbolicLink=DIR/link", Some(true)),
        ("PathIsSymbolicLink=DIR", Some(false)),
        ("Security=no.such.security", Some(false)),
        ("User=123456", Some(false)),
        ("Version=systemd >=262 <263", Some(true)),
        ("Version=systemd >262", Some(false)),
        ("Version=kernel >=4", Some(true)),
        ("Version=glibc >=1000", Some(false)),
        ("Virtualization=no.such.machine", Some(false)),
    ];
    for (text, expected) in cases {
        let text = text.replace("DIR", &path);
        let (name, value) = text.split_once('=').unwrap();
        let plain = unmet(&[&format!("Condition{name}={value}")]);
        // The one condition without an assertion.
        let family = if name == "Firmware" {
            "Condition"
        } else {
            "Assert"
        };
        let negated = unmet(&[&format!("{family}{name}=!{value}")]);
        let found = (plain.is_none(), negated.is_none());
        let expected = (expected == Some(true), expected == Some(false));
        assert_eq!(found, expected, "{text}: {plain:?}, {negated:?}");
    }
    let of_table: Vec<&str> = TESTS.iter().map(|row| row.0).collect();
    let tested = |name: &&&str| {
        let mut names = cases.iter().filter_map(|(text, _)| text.split_once('='));
        names.any(|(tested, _)| tested == **name)
    };
    let untested: Vec<&&str> = of_table.iter().filter(|name| !tested(name)).collect();
    assert!(untested.is_empty(), "no case for {untested:?}");
}

#[test]
fn every_condition_and_assertion_of_the_settings_has_a_test() {
    let names = model::Directive::all().map(|directive| directive.name());
    let names = names.filter(|name| name.starts_with("Condition") || name.starts_with("Assert"));
    for name in names {
        let of_row = |row: &&Row| {
            [row.1, row.2]
                .iter()
                .flatten()
                .any(|key| key.directive().name() == name)
        };
        assert!(TESTS.iter().any(|row| of_row(&row)), "{name} has no test");
    }
}

#[test]
fn plain_ones_must_all_hold_and_one_of_the_triggering_ones() {
    for (lines, expected) in [
        (&["PathExists=/", "PathExists=/etc"][..], None),
        (
            &["PathExists=/nope", "PathExists=/etc"],
            Some("ConditionPathExists=/nope"),
        ),
        (&["PathExists=|/nope", "PathIsDirectory=|/etc"], None),
        (
            &["PathExists=|/nope", "PathIsDirectory=|!/etc"],
            Some("ConditionPathIsDirectory=!/etc"),
        ),
        (
            &["PathExists=|/etc", "PathIsDirectory=/nope"],
            Some("ConditionPathIsDirectory=/nope"),
        ),
        // What can't be told is not met, even where it is negated.
        (
            &["Memory=!much"],
            Some("ConditionMemory=!much (this can't be told)"),
        ),
        (
            &["Environment=NOPE", "PathExists="],
            None, // An empty line takes all conditions back, of any kind.
        ),
    ] {
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!("Condition{line}"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(unmet(&lines).as_deref(), expected, "{lines:?}");
    }
    let both = ["AssertPathExists=/nope", "ConditionPathExists="];
    assert_eq!(unmet(&both).as_deref(), Some("AssertPathExists=/nope"));
}

#[test]
fn what_is_so_instead_is_told() {
    let found = |line: &str| unmet(&[line]).unwrap_or_default();
    assert!(found("ConditionVersion=systemd <200").ends_with("(found: 262)"));
    assert!(found("ConditionArchitecture=s390").contains("(found: "));
    assert!(found("ConditionMemory=<1").ends_with(" bytes)"));
}

#[test]
fn a_share_of_machines_is_that_of_the_reference() {
    // HMAC-SHA-256 of "systemd-fraction-" with the key 00 01 … 0f begins with 8e 41 84 11: the place is 0x1184418e of 2^32.
    let machine = Some(std::array::from_fn(|at| u8::try_from(at).unwrap()));
    for (text, expected) in [
        ("0%", Some(false)),
        ("100%", Some(true)),
        ("101%", None),
        ("x", None),
    ] {
        assert_eq!(fraction::holds(text, machine), expected, "{text}");
    }
    assert_eq!(fraction::holds("50%", None), None);
    assert_eq!(fraction::holds("6.84%", machine), Some(false));
    assert_eq!(fraction::holds("6.85%", machine), Some(true));
}

#[test]
fn hashes_are_those_of_the_library() {
    use sha2::Digest;
    for length in [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000] {
        let message: Vec<u8> = (0u8..=250).cycle().take(length).collect();
        let expected = sha2::Sha256::digest(&message);
        let found = fraction::sha_256(message).map(u32::to_be_bytes).concat();
        assert_eq!(found, expected.as_slice(), "{length} bytes");
    }
}

#[test]
fn a_host_is_meant_by_its_ids_or_by_a_pattern_of_its_name() {
    let ids = [
        "0123456789abcdef0123456789abcdef",
        "89abcdef-0123-4567-89ab-cdef01234567",
    ];
    for (host, expected) in [
        ("web-1", true),
        ("WEB-*", true),
        ("web-[2-9]", false),
        ("*", true),
        ("web", false),
        ("0123456789ABCDEF0123456789abcdef", true),
        ("89abcdef0123456789abcdef01234567", true),
        ("00000000000000000000000000000000", false),
    ] {
        let ids = ids.into_iter().map(str::to_owned);
        assert_eq!(machine::is_host(host, ids, "Web-1"), expected, "{host}");
    }
}

#[test]
fn a_mount_point_is_found_whatever_is_in_its_name() {
    let table = "30 23 0:26 / / rw shared:4 - ext4 x rw\n\
                 31 30 0:27 / /srv/a\\040b\\134c rw - tmpfs x rw\n";
    for (path, expected) in [
        ("/", true),
        ("/srv/a b\\c", true),
        ("/srv/a b\\c/", true),
        ("/srv/a\\040b\\134c", false),
        ("/srv", false),
    ] {
        assert_eq!(paths::has_mount(table, path), expected, "{path}");
    }
}

#[test]
fn braces_stand_for_several_patterns() {
    let of = |pattern| paths::Braces::of(pattern).map(|braces| braces.all().join(" "));
    for (pattern, expected) in [
        ("/a", None),
        ("/a{", None),
        ("/{a,b}c", Some("/ac /bc")),
        ("/{a,{b,c}}", Some("/a /{b,c}")),
        ("/a{b}", Some("/ab")),
        ("/a{b,}", Some("/ab /a")),
        ("/a\\{b,c}", None),
        ("/{a\\,b,c\\}}", Some("/a\\,b /c\\}")),
    ] {
        assert_eq!(of(pattern).as_deref(), expected, "{pattern}");
    }
}

#[test]
fn braces_without_a_bound_can_not_be_told() {
    for (many, last, expected) in [
        // More patterns than are looked at, and more bytes.
        (",".repeat(5_000), "nope".to_owned(), None),
        (",".repeat(2_000), "x".repeat(2_000), None),
        (",".repeat(1_000), "nope".to_owned(), Some(false)),
        (",".repeat(1_000), "etc".to_owned(), Some(true)),
    ] {
        let pattern = format!("/{{{many}}}{last}");
        let found = paths::exists_by_pattern(&pattern, &mut host());
        assert_eq!(found, expected, "{} and {}", many.len(), last.len());
    }
    let mut unit = Unit::new(model::UnitName::new("web.service").unwrap());
    for (length, is_taken) in [(4095, true), (4096, false)] {
        let value = format!("/{}", "x".repeat(length - 1));
        let verbatim = &model::text::Verbatim;
        let done = settings::apply(
            &mut unit,
            "Unit",
            "ConditionPathExistsGlob",
            &value,
            verbatim,
        );
        assert_eq!(done.is_ok(), is_taken, "{length} bytes");
    }
}

#[test]
fn more_directories_than_are_looked_at_are_no_sure_no() {
    let directory = tempfile::tempdir().unwrap();
    for number in 0..5_000 {
        std::fs::create_dir(directory.path().join(format!("d{number}"))).unwrap();
    }
    let path = directory.path().display();
    for (pattern, expected) in [
        ("d*/nope", None),
        ("d*/*", None),
        ("d*", Some(true)),
        ("d1*/nope", Some(false)),
        ("d1[2]34*/../d1", Some(true)),
    ] {
        let found = paths::exists_by_pattern(&format!("{path}/{pattern}"), &mut host());
        assert_eq!(found, expected, "{pattern}");
    }
}

#[test]
fn a_machine_of_its_own_is_none_and_no() {
    let (bare, machine, inside) = ([None, None], [None, Some("kvm")], [Some("lxc"); 2]);
    for (name, expected) in [
        ("none", [true, false, false]),
        ("no", [true, false, false]),
        ("yes", [false, true, true]),
        ("vm", [false, true, false]),
        ("container", [false, false, true]),
        ("kvm", [false, true, false]),
        ("lxc", [false, false, true]),
    ] {
        let found = [bare, machine, inside]
            .map(|[container, found]| virtualization::is_meant(name, container, found));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn what_editors_and_package_managers_leave_is_nothing() {
    for (name, expected) in [
        ("web.conf", false),
        (".hidden", true),
        ("web.conf~", true),
        ("web.conf.dpkg-old", true),
        ("lost+found", true),
        ("new", false),
    ] {
        assert_eq!(paths::is_left_over(name), expected, "{name}");
    }
}

#[test]
fn tags_match_by_pattern_and_wrong_ones_do_not() {
    let tags = "webserver:role=database:-wrong:env=";
    for (pattern, expected) in [
        ("webserver", true),
        ("role=*", true),
        ("role", false),
        ("env=", true),
        ("-wrong", false),
        ("*", true),
    ] {
        assert_eq!(machine::has_tag(tags, pattern), expected, "{pattern}");
    }
    assert!(!machine::has_tag("", "*"));
}

#[test]
fn a_word_of_the_command_line_is_found_alone_or_assigned() {
    let words: Vec<String> = ["quiet", "root=/dev/sda"].map(str::to_owned).into();
    for (word, expected) in [
        ("quiet", true),
        ("root", true),
        ("root=/dev/sda", true),
        ("root=/dev", false),
        ("roo", false),
    ] {
        assert_eq!(machine::has_word(&words, word), expected, "{word}");
    }
}

#[test]
fn mains_power_is_told_from_the_supplies() {
    for (supplies, expected) in [
        (&[][..], true),
        (
            &[
                ("BAT0", "type", "Battery"),
                ("BAT0", "status", "Discharging"),
            ],
            false,
        ),
        (
            &[("BAT0", "type", "Battery"), ("BAT0", "status", "Full")],
            true,
        ),
        (
            &[("BAT0", "type", "Battery"), ("BAT0", "scope", "Device")],
            true,
        ),
        (
            &[
                ("BAT0", "type", "Battery"),
                ("AC", "type", "Mains"),
                ("AC", "online", "1"),
            ],
            true,
        ),
        (
            &[
                ("BAT0", "type", "Battery"),
                ("AC", "type", "Mains"),
                ("AC", "online", "0"),
            ],
            false,
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        for (supply, field, text) in supplies {
            let supply = directory.path().join(supply);
            std::fs::create_dir_all(&supply).unwrap();
            std::fs::write(supply.join(field), format!("{text}\n")).unwrap();
        }
        let found = machine::on_mains(directory.path().to_str().unwrap());
        assert_eq!(found, expected, "{supplies:?}");
    }
}

#[test]
fn pressure_is_read_in_hundredths_and_slices_lie_in_each_other() {
    for (text, expected) in [("0.00", Some(0)), ("12.34", Some(1234)), ("x", None)] {
        assert_eq!(pressure::hundredths(text), expected, "{text}");
    }
    for (slice, expected) in [
        ("-.slice", Some("")),
        ("a.slice", Some("a.slice")),
        ("a-b-c.slice", Some("a.slice/a-b.slice/a-b-c.slice")),
        ("a--b.slice", None),
        ("a.service", None),
    ] {
        let path = pressure::slice_path(slice);
        assert_eq!(path, expected.map(PathBuf::from), "{slice}");
    }
}
