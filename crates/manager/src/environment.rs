//! The variables that every service gets, as administrators set them.

use crate::directories::Directories;
use crate::manager::Manager;
use engine::{Role, Spawn};
use model::{Unit, key};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::iter::Peekable;
use std::os::unix::fs::OpenOptionsExt;
use std::str::Chars;
use wire::Failure;

/// Variables that may be set, and that the files of one unit may have; the kernel allows about 2 MiB of arguments and environment
/// together.
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

/// Bytes of the keeper's environment that are read; the kernel allows about as many.
const PASSED_BYTES_MAX: u64 = 2 << 20;

/// PassEnvironment=: variables that the keeper was started with, as a container's engine or a command line gives them to the first process. Those
/// that it has not are left out.
///
/// # Errors
/// They can't be read: who names variables is not to run as if there were none.
pub(crate) fn passed(unit: &Unit, keeper: u32) -> io::Result<Vec<String>> {
    let Some(names) = unit.get(&key::PASS_ENVIRONMENT) else {
        return Ok(Vec::new());
    };
    let is_named = |line: &String| {
        let name = line.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| names.0.iter().any(|known| known == name))
    };
    let variables = Variables::read(keeper)?;
    Ok(variables.0.into_iter().filter(is_named).collect())
}

/// The variables that a process was started with, as `NAME=value`, without those that are no text. The manager's own are not those of its
/// instance: the keeper, which was started with them, hands on none.
pub(crate) struct Variables(Vec<String>);

impl Variables {
    /// Those of a process, by its number; of one that is gone, or whose can't be read, none.
    pub(crate) fn of(process: u32) -> Self {
        Self::read(process).unwrap_or_else(|_| Self(Vec::new()))
    }

    fn read(process: u32) -> io::Result<Self> {
        let bytes = crate::beginning::read(format!("/proc/{process}/environ"), PASSED_BYTES_MAX)?;
        Ok(Self::from_bytes(&bytes))
    }

    /// Each ends with a zero byte (proc_pid_environ(5)).
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let lines = bytes.split(|byte| *byte == 0);
        let texts = lines.filter_map(|line| std::str::from_utf8(line).ok());
        Self(texts.map(str::to_owned).collect())
    }

    /// The absolute path that a variable says, but not `/`.
    pub(crate) fn directory(&self, name: &str) -> Option<String> {
        let mut pairs = self.0.iter().filter_map(|line| line.split_once('='));
        let (_, value) = pairs.find(|(known, _)| *known == name)?;
        let value = value.trim_end_matches('/');
        value.starts_with('/').then(|| value.to_owned())
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

/// Bytes of one process's variables, and of all files with them of one unit; execve(2) takes no more.
pub(crate) const BYTES_MAX: u64 = 2 << 20;

/// The variables in EnvironmentFile=; or the path that can't be read, or has more than [`VARIABLES_MAX`] with those before it.
pub(crate) fn from_files(unit: &Unit) -> Result<Vec<String>, (String, io::Error)> {
    let mut found = Vec::new();
    for file in unit
        .get(&key::ENVIRONMENT_FILE)
        .iter()
        .flat_map(|list| list.iter())
    {
        match crate::credentials::read_file(&file.path, BYTES_MAX) {
            Ok(bytes) => found.extend(parse_file(&String::from_utf8_lossy(&bytes))),
            Err(error) if file.optional && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((file.path.clone(), error)),
        }
        if found.len() > VARIABLES_MAX {
            let many = format!("more than {VARIABLES_MAX} variables");
            return Err((file.path.clone(), io::Error::other(many)));
        }
    }
    Ok(found)
}

impl Manager {
    /// The variables of EnvironmentFile= for a process. A probe gets those that were read for the command before: it comes again and
    /// again, and what a file is on may answer late, or never.
    pub(crate) fn file_environment(&mut self, spawn: &Spawn) -> Result<Vec<String>, Failure> {
        let process = spawn.process;
        let Some(entry) = self.units.get_mut(&process.unit) else {
            return Ok(Vec::new());
        };
        let run = entry.run(process.incarnation.0);
        let known = run.and_then(|run| run.file_environment.clone());
        if let Some(known) = known.filter(|_| spawn.role == Role::Health) {
            return Ok(known);
        }
        let found = from_files(&entry.unit).map_err(|(path, error)| Failure::Refused {
            unit: entry.name.to_string(),
            directive: "EnvironmentFile".into(),
            message: format!("{path} can't be read: {error}"),
        })?;
        let is_probed = entry.unit.get(&key::HEALTH_COMMAND).is_some();
        if let Some(run) = entry.run(process.incarnation.0).filter(|_| is_probed) {
            run.file_environment = Some(found.clone());
        }
        Ok(found)
    }
}

/// Lines `NAME=value` by the rules of systemd.exec(5): a value is plain or in quotes, which may span lines; `\` at the end of a line
/// goes on with the next, but not in a comment. What has no `=` or no valid name before it is passed over.
fn parse_file(text: &str) -> Vec<String> {
    let (mut found, mut chars) = (Vec::new(), text.chars().peekable());
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.peek() {
            None => return found,
            Some('#' | ';') => {
                while chars.next_if(|&c| !ends_line(c)).is_some() {}
                continue;
            }
            Some(_) => {}
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|&c| c != '=' && !ends_line(c)) {
            name.push(c);
        }
        if chars.next() == Some('=') {
            let value = value(&mut chars);
            let name = name.trim_end();
            if is_name(name) {
                found.push(format!("{name}={value}"));
            }
        }
    }
}

fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// The value after `=`, up to the end of its line. Quotes count only at its beginning and after other quotes.
fn value(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut out = String::new();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        match chars.next_if(|&c| !ends_line(c)) {
            None => return out,
            Some('\'') => out.extend(chars.by_ref().take_while(|&c| c != '\'')),
            Some('"') => double_quoted(chars, &mut out),
            Some(first) => {
                plain(first, chars, &mut out);
                return out;
            }
        }
    }
}

/// Up to the closing quote; a backslash means something before `"`, `\`, `` ` ``, `$` and the end of a line only.
fn double_quoted(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    while let Some(c) = chars.next() {
        match c {
            '"' => return,
            '\\' => match chars.next() {
                Some(escaped @ ('"' | '\\' | '`' | '$')) => out.push(escaped),
                Some('\n') => {}
                other => out.extend([c].into_iter().chain(other)),
            },
            _ => out.push(c),
        }
    }
}

/// Up to the end of the line, without the blanks there; a backslash keeps what follows it as it is.
fn plain(first: char, chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let (mut next, mut kept) = (Some(first), out.len());
    while let Some(c) = next {
        if c == '\\' {
            out.extend(chars.next().filter(|&c| c != '\n'));
            kept = out.len();
        } else {
            out.push(c);
            if !matches!(c, ' ' | '\t') {
                kept = out.len();
            }
        }
        next = chars.next_if(|&c| !ends_line(c));
    }
    out.truncate(kept);
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

    #[test]
    fn variables_that_cannot_be_read_are_no_empty_list() {
        let mut unit = Unit::new("web.service".parse().unwrap());
        const NO_PROCESS: u32 = u32::MAX;
        assert_eq!(passed(&unit, NO_PROCESS).unwrap(), Vec::<String>::new());
        let (text, name) = (model::text::Verbatim, "PassEnvironment");
        settings::apply(&mut unit, "Service", name, "TZ", &text).unwrap();
        assert!(passed(&unit, NO_PROCESS).is_err());
        assert!(passed(&unit, std::process::id()).is_ok());
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

    #[track_caller]
    fn check_file(text: &str, expected: &[&str]) {
        assert_eq!(parse_file(text), expected, "{text:?}");
    }

    #[test]
    fn files_are_read_line_by_line() {
        check_file(
            "# no\nA=1\n\n ; B=2\nno line\n1D=2\n C = x \r\nD=",
            &["A=1", "C=x", "D="],
        );
        check_file("A=1 # 2\nB=\\\n", &["A=1 # 2", "B="]);
    }

    #[test]
    fn a_comment_ends_with_its_line() {
        check_file("# C:\\\nSECRET=1\n; \\\nB=2\n", &["SECRET=1", "B=2"]);
    }

    #[test]
    fn lines_go_on_behind_a_backslash_that_none_escapes() {
        check_file(
            "A=one\\\ntwo\nB=a\\\\\nC=\\ x\\ \n",
            &["A=onetwo", "B=a\\", "C= x "],
        );
    }

    #[test]
    fn quotes_count_at_the_beginning_of_a_value() {
        check_file(
            "A='x y' \nB=it's \"so\"\nC='a\\b'\nD=\"a\\\"b\\n\"\nE='a' \"b\"c\n",
            &["A=x y", "B=it's \"so\"", "C=a\\b", "D=a\"b\\n", "E=abc"],
        );
    }

    #[test]
    fn quoted_text_spans_lines_and_its_lines_are_no_variables() {
        check_file(
            "KEY='-----\nA=1\n'\nB=\"x\\\ny\nz\"\nC='open\nD=1",
            &["KEY=-----\nA=1\n", "B=xy\nz", "C=open\nD=1"],
        );
    }

    #[test]
    fn one_wrong_variable_changes_nothing() {
        let mut environment = BTreeMap::new();
        assert!(set(&mut environment, &["A=1".into(), "1B=2".into()]).is_err());
        assert!(environment.is_empty());
    }
}
