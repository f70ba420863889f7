//! Command lines of the Exec directives.

use super::words::Item;
use crate::text::{Expand, Form, ParseError, Quoting, TextForm, next_word, quote};

/// With which privileges a command runs, by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Privileges {
    /// As the unit says.
    #[default]
    Unit,
    /// `+`: full, no user change, no sandbox of the file system, capabilities or system calls.
    Full,
    /// `!`: User=, Group= and ambient capabilities don't apply, the rest does.
    KeepIdentity,
    /// `!!`: as `!` where the kernel has no ambient capabilities, which is nowhere today.
    KeepIdentityIfNeeded,
}

/// One command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ExecCommand {
    /// The program: an absolute path, or a name to look up in the search path.
    pub path: String,
    /// All arguments, the zeroth included; variables are not yet replaced.
    pub argv: Vec<String>,
    /// `-`: failure counts as success.
    pub ignore_failure: bool,
    /// `@`: the zeroth argument was given.
    pub own_argv0: bool,
    /// `:`: variables are not replaced.
    pub no_env: bool,
    /// `|`: run by the user's shell.
    pub via_shell: bool,
    /// `+`, `!`, `!!`.
    pub privileges: Privileges,
}

impl ExecCommand {
    /// A plain command: a program with its arguments after the zeroth.
    pub fn new(path: &str, arguments: &[&str]) -> ExecCommand {
        let argv = std::iter::once(path)
            .chain(arguments.iter().copied())
            .map(str::to_owned)
            .collect();
        ExecCommand {
            path: path.to_owned(),
            argv,
            ..ExecCommand::default()
        }
    }

    /// Takes the prefix characters off. Returns the rest.
    fn take_prefixes<'a>(&mut self, word: &'a str) -> Result<&'a str, ParseError> {
        let mut rest = word;
        loop {
            let mut chars = rest.chars();
            let fresh = match chars.next() {
                Some('-') => !std::mem::replace(&mut self.ignore_failure, true),
                Some('@') => !std::mem::replace(&mut self.own_argv0, true),
                Some(':') => !std::mem::replace(&mut self.no_env, true),
                Some('|') => !std::mem::replace(&mut self.via_shell, true),
                Some('+') => self.raise(Privileges::Unit, Privileges::Full),
                Some('!') if self.privileges == Privileges::KeepIdentity => {
                    self.raise(Privileges::KeepIdentity, Privileges::KeepIdentityIfNeeded)
                }
                Some('!') => self.raise(Privileges::Unit, Privileges::KeepIdentity),
                _ => return Ok(rest),
            };
            if !fresh {
                return Err(ParseError::new(
                    "a prefix of a command is repeated or contradicts another",
                ));
            }
            rest = chars.as_str();
        }
    }

    fn raise(&mut self, from: Privileges, to: Privileges) -> bool {
        let fits = self.privileges == from;
        self.privileges = to;
        fits
    }

    fn prefixes(&self) -> String {
        let privileges = match self.privileges {
            Privileges::Unit => "",
            Privileges::Full => "+",
            Privileges::KeepIdentity => "!",
            Privileges::KeepIdentityIfNeeded => "!!",
        };
        let mut text = String::new();
        let flags = [
            (self.ignore_failure, "-"),
            (self.own_argv0, "@"),
            (self.no_env, ":"),
            (self.via_shell, "|"),
        ];
        flags
            .iter()
            .filter(|(set, _)| *set)
            .for_each(|(_, prefix)| text.push_str(prefix));
        text + privileges
    }

    fn check_program(&self) -> Result<(), ParseError> {
        let path = &self.path;
        if path.is_empty()
            || path.ends_with('/')
            || path.contains('\0')
            || path.len() > super::MAX_PATH_BYTES
        {
            return Err(ParseError::not_a(path, "a program"));
        }
        if !path.starts_with('/') && path.contains('/') {
            return Err(ParseError::not_a(
                path,
                "an absolute path or a plain program name",
            ));
        }
        Ok(())
    }
}

/// Reads one command, up to a lone `;`. Returns it and what follows.
fn parse_command<'a>(
    text: &'a str,
    expand: &dyn Expand,
) -> Result<Option<(ExecCommand, &'a str)>, ParseError> {
    let Some((first, mut rest)) = next_word(text, Quoting::Unescape)? else {
        return Ok(None);
    };
    let mut command = ExecCommand::default();
    let program = command.take_prefixes(&first)?;
    command.path = expand.expand(program)?;
    if command.via_shell && command.path.is_empty() {
        // `|` alone: the shell itself.
    } else {
        command.check_program()?;
        if !command.own_argv0 {
            command.argv.push(command.path.clone());
        }
    }
    loop {
        let trimmed = rest.trim_start();
        if let Some(after) = lone_semicolon(trimmed) {
            rest = after;
            break;
        }
        // `\;` is a plain semicolon.
        let escaped = trimmed
            .strip_prefix("\\;")
            .filter(|after| after.is_empty() || after.starts_with(char::is_whitespace));
        if let Some(after) = escaped {
            command.argv.push(";".to_owned());
            rest = after;
            continue;
        }
        let Some((word, after)) = next_word(trimmed, Quoting::Unescape)? else {
            rest = "";
            break;
        };
        if command.argv.len() == crate::text::MAX_WORDS {
            return Err(ParseError::new("the command has too many arguments"));
        }
        command.argv.push(expand.expand(&word)?);
        rest = after;
    }
    if command.own_argv0 && command.argv.is_empty() {
        return Err(ParseError::new("the prefix @ needs a zeroth argument"));
    }
    Ok(Some((command, rest)))
}

fn lone_semicolon(text: &str) -> Option<&str> {
    let after = text.strip_prefix(';')?;
    (after.is_empty() || after.starts_with(char::is_whitespace)).then_some(after)
}

impl std::fmt::Display for ExecCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.print_item(Form::Plain))
    }
}

impl Item for ExecCommand {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<ExecCommand, ParseError> {
        let command = parse_command(text, expand)?;
        command
            .map(|(command, _)| command)
            .ok_or_else(|| ParseError::new("the command is empty"))
    }

    fn print_item(&self, form: Form) -> String {
        let program = format!("{}{}", self.prefixes(), form.part(&self.path));
        let mut text = quote(&program).into_owned();
        let is_bare_shell = self.via_shell && self.path.is_empty();
        let implied = usize::from(!(self.own_argv0 || is_bare_shell));
        for argument in self.argv.iter().skip(implied) {
            text.push(' ');
            text.push_str(&if argument == ";" {
                "\\;".to_owned()
            } else {
                form.word(argument)
            });
        }
        text
    }
}

/// Command lines in the order in which they run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecCommands(pub Vec<ExecCommand>);

impl std::ops::Deref for ExecCommands {
    type Target = [ExecCommand];

    fn deref(&self) -> &[ExecCommand] {
        &self.0
    }
}

impl TextForm for ExecCommands {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<ExecCommands, ParseError> {
        let mut commands = Vec::new();
        let mut rest = text;
        while let Some((command, after)) = parse_command(rest, expand)? {
            commands.push(command);
            rest = after;
        }
        Ok(ExecCommands(commands))
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        self.0
            .iter()
            .map(|command| command.print_item(form))
            .collect()
    }

    fn is_unset(&self) -> bool {
        self.0.is_empty()
    }

    fn append(&mut self, later: ExecCommands) {
        self.0.extend(later.0);
    }
}
