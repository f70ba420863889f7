//! The program and its arguments, with variables replaced as unit files have it.

use model::value::ExecCommand;

use crate::bind::User;
use crate::bind::environment::SEARCH_PATH;

/// The shell of users that have none, and of no user.
const SHELL: &str = "/bin/sh";

/// The arguments, the zeroth first.
pub(super) fn of(
    command: &ExecCommand,
    user: Option<&User>,
    environment: &[(String, String)],
) -> Vec<String> {
    let mut arguments = Vec::new();
    for (index, word) in command.argv.iter().enumerate() {
        // The program's own name is never a variable.
        if index == 0 || command.no_env {
            arguments.push(word.clone())
        } else {
            expand(word, environment, &mut arguments)
        }
    }
    if command.via_shell {
        let name = shell(user).rsplit('/').next().unwrap_or(SHELL).to_owned();
        return vec![name, "-c".to_owned(), arguments.join(" ")];
    }
    arguments
}

/// Files to try, in order.
pub(super) fn programs(
    command: &ExecCommand,
    user: Option<&User>,
    search_path: &[String],
) -> Vec<String> {
    if command.via_shell {
        return vec![shell(user).to_owned()];
    }
    if command.path.starts_with('/') {
        return vec![command.path.clone()];
    }
    let below = |directory: &str| format!("{directory}/{}", command.path);
    if search_path.is_empty() {
        SEARCH_PATH.split(':').map(below).collect()
    } else {
        search_path
            .iter()
            .map(|directory| below(directory))
            .collect()
    }
}

fn shell(user: Option<&User>) -> &str {
    user.map(|user| user.shell.as_str())
        .filter(|shell| !shell.is_empty())
        .unwrap_or(SHELL)
}

/// A word that begins with a dollar becomes as many words as the variable of the rest's name has; `${NAME}` anywhere stays within its
/// word; `$$` is a dollar. What is no variable has no words, and no text within one: so it is in the reference, scripts rely on it.
fn expand(word: &str, environment: &[(String, String)], arguments: &mut Vec<String>) {
    let value = |name: &str| {
        environment
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value.as_str())
    };
    let whole = word.strip_prefix('$');
    if let Some(name) = whole.filter(|name| !name.starts_with(['{', '$'])) {
        arguments.extend(words(value(name)));
        return;
    }
    let (mut text, mut rest) = (String::new(), word);
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let braced = after
            .strip_prefix('{')
            .and_then(|after| after.split_once('}'));
        rest = match braced {
            Some((name, after)) => {
                text.push_str(value(name));
                after
            }
            None => {
                text.push('$');
                after.strip_prefix('$').unwrap_or(after)
            }
        };
    }
    text.push_str(rest);
    arguments.push(text);
}

/// The words of a variable's value: quotes hold words together, a backslash takes the next character's meaning away, and nothing is an
/// error, as the value may come from anywhere.
fn words(value: &str) -> Vec<String> {
    let (mut words, mut word, mut open) = (Vec::new(), None::<String>, None);
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match (letter, open) {
            ('\\', _) => word.get_or_insert_default().extend(letters.next()),
            (_, Some(quote)) if letter == quote => open = None,
            ('"' | '\'', None) => {
                open = Some(letter);
                word.get_or_insert_default();
            }
            (' ' | '\t' | '\n' | '\r', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expected: &[&str]) {
        let quoted = "'d e' f\\ g \"\" 'h";
        let environment = [
            ("ONE", "a b"),
            ("EMPTY", ""),
            ("TWO", "c"),
            ("QUOTED", quoted),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut arguments = Vec::new();
        expand(word, &environment, &mut arguments);
        assert_eq!(arguments, expected, "{word}");
    }

    #[test]
    fn variables_become_words_or_stay_within_one() {
        check("$ONE", &["a", "b"]);
        check("${ONE}", &["a b"]);
        check("x${TWO}y${ONE}", &["xcya b"]);
        check("$EMPTY", &[]);
        check("${EMPTY}", &[""]);
        check("$UNKNOWN", &[]);
        check("x$ONE", &["x$ONE"]);
        check("$$ONE", &["$ONE"]);
        check("100$", &["100$"]);
        check("$QUOTED", &["d e", "f g", "", "h"]);
        check("${QUOTED}", &["'d e' f\\ g \"\" 'h"]);
        check("${1}", &[""]);
        check("$ONE/x", &[]);
        check("$", &[]);
        check("${unclosed", &["${unclosed"]);
    }

    #[test]
    fn a_program_without_a_slash_is_looked_for() {
        let command = ExecCommand::new("true", &[]);
        assert_eq!(
            programs(&command, None, &["/opt/bin".to_owned()]),
            ["/opt/bin/true"]
        );
        assert_eq!(programs(&command, None, &[]).len(), 6);
    }
}
