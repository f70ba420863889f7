//! Condition…= and Assert…= lines, tested when a start's turn comes.

use engine::Conditions;
use model::value::Condition;
use model::{Key, Unit, key, value};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// A test of one parameter; `None`: this version can't tell, so the condition counts as met and the status says so.
type Test = fn(&str) -> Option<bool>;

/// The conditions with their assertions and tests.
const TESTS: &[(&str, &Key<value::Conditions>, &Key<value::Conditions>, Test)] = &[
    (
        "PathExists",
        &key::CONDITION_PATH_EXISTS,
        &key::ASSERT_PATH_EXISTS,
        |path| Some(Path::new(path).exists()),
    ),
    (
        "PathIsDirectory",
        &key::CONDITION_PATH_IS_DIRECTORY,
        &key::ASSERT_PATH_IS_DIRECTORY,
        |path| Some(Path::new(path).is_dir()),
    ),
    (
        "PathIsSymbolicLink",
        &key::CONDITION_PATH_IS_SYMBOLIC_LINK,
        &key::ASSERT_PATH_IS_SYMBOLIC_LINK,
        |path| Some(Path::new(path).is_symlink()),
    ),
    (
        "PathIsSocket",
        &key::CONDITION_PATH_IS_SOCKET,
        &key::ASSERT_PATH_IS_SOCKET,
        |path| Some(std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())),
    ),
    (
        "PathIsMountPoint",
        &key::CONDITION_PATH_IS_MOUNT_POINT,
        &key::ASSERT_PATH_IS_MOUNT_POINT,
        |path| Some(is_mount_point(path)),
    ),
    (
        "DirectoryNotEmpty",
        &key::CONDITION_DIRECTORY_NOT_EMPTY,
        &key::ASSERT_DIRECTORY_NOT_EMPTY,
        |path| Some(std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())),
    ),
    (
        "FileNotEmpty",
        &key::CONDITION_FILE_NOT_EMPTY,
        &key::ASSERT_FILE_NOT_EMPTY,
        |path| {
            Some(
                std::fs::metadata(path)
                    .is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0),
            )
        },
    ),
    (
        "FileIsExecutable",
        &key::CONDITION_FILE_IS_EXECUTABLE,
        &key::ASSERT_FILE_IS_EXECUTABLE,
        |path| {
            Some(std::fs::metadata(path).is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            }))
        },
    ),
    (
        "KernelCommandLine",
        &key::CONDITION_KERNEL_COMMAND_LINE,
        &key::ASSERT_KERNEL_COMMAND_LINE,
        on_command_line,
    ),
    ("Host", &key::CONDITION_HOST, &key::ASSERT_HOST, |host| {
        let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let name = rustix::system::uname();
        Some(is_host(host, id.trim(), name.nodename().to_str().ok()?))
    }),
    ("User", &key::CONDITION_USER, &key::ASSERT_USER, |user| {
        Some(matches!(user, "root" | "0" | "@system"))
    }),
    (
        "Environment",
        &key::CONDITION_ENVIRONMENT,
        &key::ASSERT_ENVIRONMENT,
        |_| None,
    ),
];

/// Tests all conditions, then all assertions, of a unit.
pub(crate) fn test(unit: &Unit) -> Conditions {
    if first_unmet(unit, |(_, condition, ..)| condition).is_some() {
        return Conditions::Unmet;
    }
    match first_unmet(unit, |(_, _, assertion, _)| assertion) {
        Some(_) => Conditions::AssertFailed,
        None => Conditions::Met,
    }
}

/// The condition or assertion that keeps a unit from starting, as its file says it.
pub(crate) fn unmet(unit: &Unit) -> Option<String> {
    let condition =
        first_unmet(unit, |(_, condition, ..)| condition).map(|text| format!("Condition{text}"));
    condition.or_else(|| {
        first_unmet(unit, |(_, _, assertion, _)| assertion).map(|text| format!("Assert{text}"))
    })
}

type Row = (
    &'static str,
    &'static Key<value::Conditions>,
    &'static Key<value::Conditions>,
    Test,
);

/// All plain ones must hold, and one of the triggering ones if there are any.
fn first_unmet(
    unit: &Unit,
    which: fn(&'static Row) -> &'static Key<value::Conditions>,
) -> Option<String> {
    let (mut triggered, mut last_trigger) = (false, None);
    for row in TESTS {
        for condition in unit.get(which(row)).iter().flat_map(|list| list.iter()) {
            let holds = holds(condition, row.3);
            let text = || {
                format!(
                    "{}={}{}",
                    row.0,
                    if condition.negate { "!" } else { "" },
                    condition.parameter
                )
            };
            if condition.trigger {
                triggered |= holds;
                last_trigger = Some(text());
            } else if !holds {
                return Some(text());
            }
        }
    }
    last_trigger.filter(|_| !triggered)
}

fn holds(condition: &Condition, test: Test) -> bool {
    test(&condition.parameter).is_none_or(|result| result != condition.negate)
}

/// Is this host meant by its machine id, or by a pattern of its name, in which capitals don't count?
fn is_host(host: &str, id: &str, name: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == id || model::pattern::matches(&host, &name.to_ascii_lowercase())
}

fn is_mount_point(path: &str) -> bool {
    std::fs::read_to_string("/proc/self/mountinfo").is_ok_and(|table| has_mount(&table, path))
}

/// Does a mount table have this place? It has the characters that would break a line by their octal numbers.
fn has_mount(table: &str, path: &str) -> bool {
    let escaped = |c: char| match c {
        ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(c)),
        c => c.into(),
    };
    let path: String = path.trim_end_matches('/').chars().map(escaped).collect();
    table.lines().any(|line| {
        line.split(' ')
            .nth(4)
            .is_some_and(|mount| mount.trim_end_matches('/') == path)
    })
}

fn on_command_line(word: &str) -> Option<bool> {
    let line = std::fs::read_to_string("/proc/cmdline").ok()?;
    Some(line.split_whitespace().any(|found| {
        found == word || (!word.contains('=') && found.starts_with(&format!("{word}=")))
    }))
}

#[cfg(test)]
mod tests {
    use super::{has_mount, is_host};

    #[test]
    fn a_host_is_meant_by_its_id_or_by_a_pattern_of_its_name() {
        let id = "0123456789abcdef0123456789abcdef";
        for (host, expected) in [
            ("web-1", true),
            ("WEB-*", true),
            ("web-[2-9]", false),
            ("*", true),
            ("web", false),
            ("0123456789ABCDEF0123456789abcdef", true),
            ("00000000000000000000000000000000", false),
        ] {
            assert_eq!(is_host(host, id, "Web-1"), expected, "{host}");
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
            assert_eq!(has_mount(table, path), expected, "{path}");
        }
    }
}
