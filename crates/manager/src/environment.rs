//! The variables that every service gets, as administrators set them.

use crate::directories::Directories;
use model::{Unit, key};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use wire::Failure;

/// Variables that may be set; the kernel allows about 2 MiB of arguments and environment together.
const VARIABLES_MAX: usize = 4096;

/// Sets variables from `NAME=value`.
pub(crate) fn set(
    environment: &mut BTreeMap<String, String>,
    assignments: &[String],
) -> Result<(), Failure> {
    let mut changed = environment.clone();
    for assignment in assignments {
        let pair = assignment
            .split_once('=')
            .filter(|(name, value)| is_name(name) && !value.contains('\0'));
        let Some((name, value)) = pair else {
            return Err(Failure::InvalidParameter {
                parameter: format!("environment: {assignment:?} is no NAME=value"),
            });
        };
        changed.insert(name.into(), value.into());
    }
    if changed.len() > VARIABLES_MAX {
        return Err(Failure::InvalidParameter {
            parameter: format!("environment: more than {VARIABLES_MAX} variables"),
        });
    }
    *environment = changed;
    Ok(())
}

/// Removes variables by name, or by name and value.
pub(crate) fn unset(environment: &mut BTreeMap<String, String>, names: &[String]) {
    for text in names {
        match text.split_once('=') {
            Some((name, value)) if environment.get(name).is_some_and(|known| known == value) => {
                drop(environment.remove(name))
            }
            Some(_) => {}
            None => drop(environment.remove(text)),
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// Records the variables, so that the next manager has them.
pub(crate) fn write(
    directories: &Directories,
    environment: &BTreeMap<String, String>,
) -> io::Result<()> {
    let (path, beside) = (
        directories.runtime.join("environment"),
        directories.runtime.join(".environment"),
    );
    // Variables carry secrets: what only root may ask the manager for, only root may read here.
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(&serde_json::to_vec(environment)?)?;
    std::fs::rename(beside, path)
}

/// Reads the variables that an earlier manager recorded.
pub(crate) fn read(directories: &Directories) -> io::Result<BTreeMap<String, String>> {
    match std::fs::read(directories.runtime.join("environment")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
    }
}

/// Bytes of all files with variables of one unit; execve(2) takes no more.
const FILES_BYTES_MAX: u64 = 2 << 20;

/// The variables in EnvironmentFile=; or the path that can't be read.
pub(crate) fn from_files(unit: &Unit) -> Result<Vec<String>, (String, io::Error)> {
    let mut found = Vec::new();
    for file in unit
        .get(&key::ENVIRONMENT_FILE)
        .iter()
        .flat_map(|list| list.iter())
    {
        match crate::credentials::read_file(&file.path, FILES_BYTES_MAX) {
            Ok(bytes) => found.extend(parse_file(&String::from_utf8_lossy(&bytes))),
            Err(error) if file.optional && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((file.path.clone(), error)),
        }
    }
    Ok(found)
}

/// Lines `NAME=value`, with the quotes and continuations of a shell.
fn parse_file(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", "");
    let lines = joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    lines
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| is_name(name.trim()))
        .map(|(name, value)| format!("{}={}", name.trim(), unquote(value.trim())))
        .collect()
}

/// Takes quotes and backslashes away as a shell does.
fn unquote(value: &str) -> String {
    let (mut out, mut quote, mut chars) = (String::new(), None, value.chars());
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', Some('\'')) => out.push(c),
            ('\\', _) => out.extend(chars.next()),
            ('\'' | '"', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_set_and_removed_by_name_or_pair() {
        let mut environment = BTreeMap::new();
        set(&mut environment, &["A=1".into(), "B=x=y".into()]).unwrap();
        unset(&mut environment, &["A=2".into(), "B".into()]);
        assert_eq!(
            environment.into_iter().collect::<Vec<_>>(),
            [("A".to_owned(), "1".to_owned())]
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_file_gives_variables_with_names(text in "([A-Za-z0-9_]{0,4}=?['\"\\\\#; \n]?\\PC{0,6}){0,20}") {
            for variable in parse_file(&text) {
                assert!(variable.split_once('=').is_some_and(|(name, _)| is_name(name)), "{variable:?}");
            }
        }
    }

    #[test]
    fn files_are_read_as_a_shell_reads_them() {
        let text = "# no\nA=1\nB='x y' \nC=\"a\\\"b\"\n1D=2\nE=one\\\ntwo\n";
        assert_eq!(parse_file(text), ["A=1", "B=x y", "C=a\"b", "E=onetwo"]);
    }

    #[test]
    fn one_wrong_variable_changes_nothing() {
        let mut environment = BTreeMap::new();
        assert!(set(&mut environment, &["A=1".into(), "1B=2".into()]).is_err());
        assert!(environment.is_empty());
    }
}
