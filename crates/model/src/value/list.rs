//! Lists of units, conditions, accounts and small closed sets.

use std::fmt;

use super::words::{Item, list};
use crate::{
    UnitName,
    tables::bpf,
    text::{Expand, Form, ParseError, TextForm, parse_bool, split_words},
};

impl Item for UnitName {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<UnitName, ParseError> {
        UnitName::new(&expand.expand(text)?)
    }

    fn print_item(&self, form: Form) -> String {
        form.part(self.as_str()).into_owned()
    }
}

/// One unit; `None` where the directive's default follows from the unit's own name or place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnitReference(pub Option<UnitName>);

impl TextForm for UnitReference {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<UnitReference, ParseError> {
        UnitName::parse_item(text, expand).map(|name| UnitReference(Some(name)))
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        self.0.iter().map(|name| name.print_item(form)).collect()
    }
}

list! {
    /// Units that a dependency names.
    UnitList of UnitName, names
}

list! {
    /// Units that `[Install]` names; a template is completed with the unit's own instance.
    InstallNames of UnitName, names
}

/// One condition or assertion on the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// `|`: one of the triggering ones is enough.
    pub trigger: bool,
    /// `!`: it must not hold.
    pub negate: bool,
    /// What is tested; its meaning is the directive's.
    pub parameter: String,
}

impl Condition {
    fn read(text: &str, expand: &dyn Expand) -> Result<Condition, ParseError> {
        let (trigger, rest) = text
            .strip_prefix('|')
            .map_or((false, text), |rest| (true, rest.trim_start()));
        let (negate, rest) = rest
            .strip_prefix('!')
            .map_or((false, rest), |rest| (true, rest.trim_start()));
        let parameter = expand.expand(rest)?;
        if parameter.is_empty() {
            return Err(ParseError::new("the condition tests nothing"));
        }
        Ok(Condition {
            trigger,
            negate,
            parameter,
        })
    }
}

impl Item for Condition {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<Condition, ParseError> {
        Condition::read(text, expand)
    }

    fn print_item(&self, form: Form) -> String {
        let flags = [(self.trigger, "|"), (self.negate, "!")];
        let prefix: String = flags
            .iter()
            .filter_map(|(set, text)| set.then_some(*text))
            .collect();
        prefix + &form.part(&self.parameter)
    }
}

list! {
    /// Conditions of one kind, one per line.
    Conditions of Condition, lines
}

impl Conditions {
    /// Reads a condition whose parameter is an absolute path.
    ///
    /// # Errors
    /// Where it is none.
    pub fn parse_paths(text: &str, expand: &dyn Expand) -> Result<Conditions, ParseError> {
        let mut condition = Condition::read(text, expand)?;
        if !condition.parameter.starts_with('/') {
            return Err(ParseError::not_a(&condition.parameter, "an absolute path"));
        }
        if condition.parameter.len() > super::MAX_PATH_BYTES {
            let wanted = "a path that the kernel takes";
            return Err(ParseError::not_a(&condition.parameter, wanted));
        }
        condition.parameter = super::path::simplified(&condition.parameter);
        Ok(Conditions(vec![condition]))
    }
}

/// A user or group: a name or a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Account(pub String);

/// Longest account name, in bytes: what utmp can hold.
pub const MAX_ACCOUNT_BYTES: usize = 31;

impl Account {
    /// The name or number.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id, when it is given as a number.
    pub fn id(&self) -> Option<u32> {
        self.0.parse().ok()
    }

    fn read(text: &str, expand: &dyn Expand) -> Result<Account, ParseError> {
        let name = expand.expand(text)?;
        if is_account(&name) {
            Ok(Account(name))
        } else {
            Err(ParseError::not_a(&name, "a user or group name"))
        }
    }
}

/// Whether a text can name an account. Numbers are ids but for the two that mean "none".
fn is_account(name: &str) -> bool {
    if name.bytes().all(|b| b.is_ascii_digit()) {
        let plain = name == "0" || !name.starts_with('0');
        return plain
            && name
                .parse::<u32>()
                .is_ok_and(|id| id != u32::MAX && id != 0xffff);
    }
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let other = |c: char| {
        c.is_ascii_alphanumeric() || "_-.$".contains(c) || (!c.is_ascii() && !c.is_control())
    };
    name.len() <= MAX_ACCOUNT_BYTES && name.starts_with(first) && name.chars().all(other)
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Item for Account {
    fn parse_item(text: &str, expand: &dyn Expand) -> Result<Account, ParseError> {
        Account::read(text, expand)
    }

    fn print_item(&self, form: Form) -> String {
        form.part(&self.0).into_owned()
    }
}

impl TextForm for Account {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<Account, ParseError> {
        Account::read(text, expand)
    }

    fn print_lines(&self, form: Form) -> Vec<String> {
        vec![self.print_item(form)]
    }
}

list! {
    /// Groups.
    Accounts of Account, words
}

/// A list whose items come from a fixed table, or that is switched by a boolean.
macro_rules! switched_list {
    ($(#[$about:meta])* $name:ident, $wanted:literal, $any:literal, [$($known:expr),*]) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
        pub enum $name {
            /// None.
            #[default]
            No,
            /// All.
            Yes,
            /// These.
            Some(Vec<String>),
        }

        impl TextForm for $name {
            const LIST: bool = true;

            fn parse_with(text: &str, expand: &dyn Expand) -> Result<$name, ParseError> {
                match parse_bool(text) {
                    Some(false) => return Ok($name::No),
                    Some(true) => return Ok($name::Yes),
                    None if text == $any => return Ok($name::Yes),
                    None => {}
                }
                let known: &[&[&str]] = &[$($known),*];
                let mut items = Vec::new();
                for word in split_words(text)? {
                    match known.iter().any(|names| names.contains(&word.as_str())) {
                        true => items.push(word),
                        false => expand.wrong_item(ParseError::not_a(&word, $wanted))?,
                    }
                }
                // Nothing right in it says nothing, and could not be written down again.
                if items.is_empty() {
                    return Err(ParseError::not_a(text, $wanted));
                }
                Ok($name::Some(items))
            }

            fn print_lines(&self, _: Form) -> Vec<String> {
                vec![match self {
                    $name::No => "no".to_owned(),
                    $name::Yes => if $any.is_empty() { "yes" } else { $any }.to_owned(),
                    $name::Some(items) => items.join(" "),
                }]
            }

            fn append(&mut self, later: $name) {
                match (&mut *self, later) {
                    ($name::Some(items), $name::Some(more)) => items.extend(more),
                    (_, later) => *self = later,
                }
            }
        }
    };
}

switched_list! {
    /// Whether the control group below belongs to the unit, and with which controllers.
    Delegate, "a controller", "", [&["cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids", "bpf-firewall", "bpf-devices", "bpf-foreign", "bpf-socket-bind", "bpf-restrict-network-interfaces", "bpf-bind-network-interface"]]
}

switched_list! {
    /// Controllers that are kept from children.
    Controllers, "a controller", "", [&["cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids", "bpf-firewall", "bpf-devices", "bpf-foreign", "bpf-socket-bind", "bpf-restrict-network-interfaces", "bpf-bind-network-interface"]]
}

switched_list! {
    /// What a reload brings up to date in a running unit.
    RefreshOnReload, "extensions or credentials", "", [&["extensions", "credentials"]]
}

switched_list! {
    /// What of BPF a token hands over.
    DelegatedNames, "a name of a BPF command, map, program or attachment, such as BPFMapCreate", "any", [bpf::COMMANDS, bpf::MAPS, bpf::PROGRAMS, bpf::ATTACHMENTS]
}
