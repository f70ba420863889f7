//! The laws of the table: complete, sorted, consistent, and honest about what it prints and reads.

#![allow(clippy::expect_used)] // A test may fail.

mod reading;

use std::collections::BTreeSet;

use coracle_settings::{
    FromImage, MAX_VALUE_BYTES, Row, Status, TABLE, ValueError, apply, apply_to, print,
};
use model::{Directive, Expand, Form, ParseError, key, text::Verbatim};
use reading::{Percent, check, unit};

const NAMES: &str = include_str!("data/directives.tsv");

/// Values that some directive or other takes.
const SAMPLES: &[&str] = &[
    "yes",
    "no",
    "5",
    "-5",
    "100",
    "64M",
    "20%",
    "infinity",
    "5min 3s",
    "1",
    "0644",
    "SIGUSR1",
    "native",
    "x86-64",
    "EPERM",
    "kill",
    "/a/b",
    "/a//b/./c/",
    "-/a",
    "+/a b",
    "-+/a",
    "/a:/b",
    "/a:/b:norbind",
    "-/a:/b:rbind",
    "a b c",
    "\"a b\" c",
    "~",
    "~a b",
    "user",
    "a.service b.socket",
    "a.service",
    "|!/etc/x",
    "A=b \"C=d e\"",
    "name:data",
    "name:/path",
    "name",
    "a/b:c:ro",
    "a::ro",
    "CAP_CHOWN CAP_KILL",
    "~CAP_CHOWN",
    "~net user",
    "net user",
    "AF_INET AF_UNIX",
    "~AF_INET",
    "none",
    "@system-service ~read",
    "@basic-io read:EPERM",
    "~@mount",
    "127.0.0.1:80",
    "[::1]:80%lo",
    "@abstract",
    "vsock::80",
    "80",
    "route 3",
    "10.0.0.0/8 any",
    "ipv4:tcp:80-90",
    "any",
    "/dev/null rw",
    "char-pts rwm",
    "/dev/sda 5M",
    "/dev/sda 100",
    "/dev/sda 5ms",
    "root=verity:usr=absent",
    "ro,noatime",
    "usr:ro",
    "-/a.raw:/b:root:ro",
    "/a.raw",
    "0-3,8",
    "numa",
    "cpu memory",
    "extensions",
    "noroot",
    "elf-headers 0x3",
    "1:2",
    "+5",
    "1 2 SIGTERM TEMPFAIL 5-7",
    "file:/x",
    "fd:x",
    "append:/x",
    "info",
    "daemon",
    "low-delay",
    "aGVsbG8=",
    "hello\\n%%x",
    "/bin/x \"a b\" %%x ; -@/bin/y z \\; w",
    "+/bin/x",
    "!!/bin/x $A",
    "*-*-* 12:00",
    "yes:host",
    "private",
    "idle",
    "us",
    "nl",
    "a\\:b",
    "/bin/x \\x41\\t\\\\",
    "http://x man:y(8)",
    "strict",
    "on-failure",
    "50us",
    "~0",
    "-~",
    "",
];

/// Values that the directives' types should take, by the type's shared name.
fn samples(row: &Row) -> Vec<&'static str> {
    let words = row
        .value
        .name
        .split([' ', ','])
        .filter(|word| !word.is_empty());
    SAMPLES
        .iter()
        .copied()
        .chain(words)
        .filter(|text| !check(row.directive, &[text]).starts_with("error"))
        .collect()
}

#[test]
fn rows_are_sorted_and_unique_and_every_directive_has_its_own() {
    assert_eq!(TABLE.len(), Directive::COUNT);
    for (row, directive) in TABLE.iter().zip(Directive::all()) {
        assert_eq!(row.directive, directive);
        assert_eq!(row.name, directive.name());
    }
    assert!(TABLE.is_sorted_by_key(|row| (row.name, format!("{:?}", row.directive.room()))));
}

#[test]
fn the_names_with_their_sections_are_those_of_the_reference() {
    let ours: BTreeSet<(String, &str)> = TABLE
        .iter()
        .filter(|row| !row.is_extension())
        .map(|row| (row.sections().join("+"), row.name))
        .collect();
    let theirs: BTreeSet<(String, &str)> = NAMES
        .lines()
        .skip(1)
        .map(|line| {
            let mut fields = line.split('\t');
            (fields.next().unwrap().to_owned(), fields.next().unwrap())
        })
        .collect();
    assert_eq!(theirs.len(), 557);
    assert_eq!(ours, theirs);
}

#[test]
fn the_versions_are_those_of_the_reference() {
    for line in NAMES.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let section = fields[0].split('+').next().unwrap();
        let row = coracle_settings::row(Directive::find(section, fields[1]).unwrap());
        assert_eq!(row.since.text(), fields[3], "{}", row.name);
    }
}

#[test]
fn what_is_printed_is_read_back_the_same() {
    for row in &TABLE {
        if !row.stands_for.is_empty() {
            continue;
        }
        let samples = samples(row);
        assert!(
            !samples.is_empty(),
            "no sample for {} ({})",
            row.name,
            row.value.name
        );
        for sample in samples {
            let mut written = unit();
            apply_to(&mut written, row.directive, sample, &Percent).unwrap();
            let mut read = unit();
            for line in print(&written, row.directive) {
                apply_to(&mut read, row.directive, &line, &Percent)
                    .unwrap_or_else(|error| panic!("{}={line}: {error}", row.name));
            }
            assert_eq!(written, read, "{}={sample}", row.name);
        }
    }
}

#[test]
fn an_empty_assignment_takes_a_list_back() {
    for row in TABLE
        .iter()
        .filter(|row| row.is_list() && row.stands_for.is_empty())
    {
        for sample in samples(row) {
            let mut unit = unit();
            apply_to(&mut unit, row.directive, sample, &Percent).unwrap();
            apply_to(&mut unit, row.directive, "", &Percent).unwrap();
            let left = print(&unit, row.directive).join("");
            assert_eq!(left, "", "{}={sample}", row.name);
        }
    }
}

#[test]
fn a_wrong_value_leaves_the_unit_as_it_was() {
    for row in &TABLE {
        for sample in samples(row) {
            let mut unit = unit();
            apply_to(&mut unit, row.directive, sample, &Percent).unwrap();
            let before = unit.clone();
            if apply_to(&mut unit, row.directive, "\u{1}\"", &Percent).is_err() {
                assert_eq!(unit, before, "{}={sample}", row.name);
            }
        }
    }
}

#[test]
fn the_default_that_a_row_names_is_the_typed_one() {
    let mut named = 0;
    for row in TABLE.iter().filter(|row| !row.default_text.is_empty()) {
        let default = (key::DEFAULTS[row.directive.index()])();
        assert_eq!(
            row.value.print(&default, Form::UnitFile).join(" "),
            row.default_text,
            "{}",
            row.name
        );
        named += 1;
    }
    assert!(named > 150, "only {named} rows name their default");
}

#[test]
fn typed_keys_and_table_agree_on_types() {
    for row in TABLE.iter().filter(|row| row.stands_for.is_empty()) {
        let default = std::mem::discriminant(&(key::DEFAULTS[row.directive.index()])());
        for sample in samples(row).into_iter().filter(|sample| !sample.is_empty()) {
            let mut unit = unit();
            apply_to(&mut unit, row.directive, sample, &Percent).unwrap();
            if let Some(value) = unit.raw(row.directive) {
                assert_eq!(std::mem::discriminant(value), default, "{}", row.name);
            }
        }
    }
}

#[test]
fn every_row_says_what_it_is_for() {
    for row in &TABLE {
        let summary = row.summary.text();
        assert!(
            summary.ends_with('.') && summary.starts_with(char::is_uppercase) && summary.len() > 15,
            "{}: {summary}",
            row.name
        );
        assert!(summary.len() <= 110, "{}: {summary}", row.name);
    }
}

#[test]
fn a_successor_works_as_its_old_names_do() {
    for row in &TABLE {
        for target in row.stands_for.iter() {
            assert_eq!(
                coracle_settings::row(*target).works(),
                row.works(),
                "{}",
                row.name
            );
            assert!(
                coracle_settings::row(*target).stands_for.is_empty(),
                "{}",
                row.name
            );
        }
    }
}

#[test]
fn given_up_directives_are_rejected_and_no_other() {
    for line in NAMES.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let row = coracle_settings::row(
            Directive::find(fields[0].split('+').next().unwrap(), fields[1]).unwrap(),
        );
        let given_up = fields.get(5) == Some(&"DISABLED_LEGACY");
        // Its modules decide who may log in: to leave it out would be to let everybody.
        let is_refused = row.name == "PAMName";
        assert_eq!(
            matches!(row.status, Status::Rejected(_)),
            given_up || is_refused,
            "{}",
            row.name
        );
    }
}

#[test]
fn what_reaches_the_host_as_root_is_never_free_for_an_image() {
    for name in [
        "OpenFile",
        "EnvironmentFile",
        "MountImages",
        "NetworkNamespacePath",
        "BPFProgram",
        "NFTSet",
        "Slice",
        "Delegate",
        "FailureAction",
    ] {
        for row in coracle_settings::rows_named(name) {
            assert_eq!(row.from_image, FromImage::Never, "{name}");
        }
    }
    for name in [
        "BindPaths",
        "ReadWritePaths",
        "ListenStream",
        "AmbientCapabilities",
        "User",
        "CapabilityBoundingSet",
    ] {
        assert!(
            coracle_settings::rows_named(name).all(|row| row.from_image == FromImage::Asks),
            "{name}"
        );
    }
}

#[test]
fn a_row_takes_at_most_twelve_lines() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/table");
    let mut rows = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() <= 600, "{}", path.display());
        for row in text.split("    Row {\n").skip(1) {
            let lines = 2 + row.lines().take_while(|line| *line != "    },").count();
            assert!(lines <= 12, "{}: {row}", path.display());
            rows += 1;
        }
    }
    assert_eq!(rows, TABLE.len());
}

#[test]
fn one_assignment_can_stand_for_several() {
    let mut unit = unit();
    apply(&mut unit, "Service", "TimeoutSec", "7", &Verbatim).unwrap();
    assert_eq!(
        unit.get(&key::TIMEOUT_START_SEC),
        unit.get(&key::SERVICE_TIMEOUT_STOP_SEC)
    );
    apply(&mut unit, "Unit", "BindTo", "a.service", &Verbatim).unwrap();
    assert_eq!(unit.value(&key::BINDS_TO).len(), 1);
    apply(&mut unit, "Service", "StartLimitBurst", "9", &Verbatim).unwrap();
    assert_eq!(unit.value(&key::START_LIMIT_BURST), 9);
    apply(&mut unit, "Service", "TimeoutStartSec", "0", &Verbatim).unwrap();
    assert!(unit.value(&key::TIMEOUT_START_SEC).is_infinite());
}

#[test]
fn an_unknown_name_is_an_error() {
    let error = apply(&mut unit(), "Service", "ProtectSytem", "yes", &Verbatim);
    assert_eq!(
        error,
        Err(ValueError::Unknown {
            section: "Service".into(),
            name: "ProtectSytem".into()
        })
    );
}

#[test]
fn no_value_breaks_out_of_its_line() {
    for text in ["a\nUser=root", "a\r", "a\0"] {
        assert_eq!(
            apply(&mut unit(), "Unit", "Description", text, &Verbatim),
            Err(ValueError::Unprintable)
        );
    }
    struct Break;
    impl Expand for Break {
        fn expand(&self, part: &str) -> Result<String, ParseError> {
            Ok(part.replace("%q", "x\nUser=root"))
        }
    }
    assert!(apply(&mut unit(), "Unit", "Description", "%q", &Break).is_err());
}

#[test]
fn backslashes_in_names_of_units_stay() {
    assert_eq!(
        check(key::AFTER.directive(), &[r"dev-disk-by\x2duuid-1.device"]),
        r"dev-disk-by\x2duuid-1.device"
    );
    assert_eq!(
        check(key::BIND_PATHS.directive(), &[r"/a\:b:/c"]),
        r#""/a\\:b:/c""#
    );
}

#[test]
fn a_value_that_is_too_long_is_refused() {
    let long = "x".repeat(MAX_VALUE_BYTES + 1);
    assert_eq!(
        apply(&mut unit(), "Unit", "Description", &long, &Verbatim),
        Err(ValueError::TooLong)
    );
}

#[test]
fn names_on_the_bus_are_those_that_can_be_taken() {
    let long = format!("a.{}", "b".repeat(254));
    let set = |name: &str| apply(&mut unit(), "Service", "BusName", name, &Verbatim);
    for good in ["org.example.Boat", "a.b", "a-b._c9.d", &long[..255]] {
        assert_eq!(set(good), Ok(()), "{good}");
    }
    for bad in [
        "boat",
        "org..Boat",
        ".a.b",
        "a.b.",
        "a.9b",
        ":1.5",
        "not a name",
        "a.b/c",
        &long,
    ] {
        assert!(set(bad).is_err(), "{bad}");
    }
}

#[cfg(feature = "prose")]
mod prose {
    use super::*;

    #[test]
    fn every_row_that_works_has_a_text_with_an_example_that_loads() {
        for row in TABLE.iter().filter(|row| row.works()) {
            let text =
                coracle_settings::prose(row).unwrap_or_else(|| panic!("{} has no text", row.name));
            let example = text
                .split("```ini\n")
                .nth(1)
                .and_then(|rest| rest.split("```").next())
                .expect("an example");
            let mut lines = example.lines();
            let section = lines.next().unwrap().trim_matches(['[', ']']);
            let mut unit = unit();
            for line in lines {
                let (name, value) = line.split_once('=').unwrap();
                assert_eq!(name, row.name);
                apply(&mut unit, section, name, value, &Percent)
                    .unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }

    #[test]
    fn no_text_is_left_over() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/prose");
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            assert!(
                coracle_settings::rows_named(&name)
                    .any(|row| coracle_settings::prose(row).is_some()),
                "{name}"
            );
        }
    }
}

#[test]
fn every_restriction_that_is_read_is_enforced() {
    let open = TABLE.iter().filter(|row| row.is_unenforced_restriction());
    let names: Vec<_> = open.map(|row| row.name).collect();
    assert_eq!(names, [""; 0]);
}
