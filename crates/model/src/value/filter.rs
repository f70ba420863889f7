//! What system calls, address families, namespaces and architectures are let through.

use std::collections::{BTreeMap, BTreeSet};

use super::words::{Item, list};
use crate::{
    tables::{errno, families, syscall_groups},
    text::{Expand, Form, ParseError, TextForm, parse_bool, split_words},
};

/// What happens to a call that is not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum SyscallAction {
    /// The process is killed.
    #[default]
    Kill,
    /// The call fails with this errno.
    Errno(u16),
}

impl SyscallAction {
    fn from_word(word: &str) -> Option<SyscallAction> {
        if word == "kill" {
            return Some(SyscallAction::Kill);
        }
        let number = errno::number(word).or_else(|| word.parse().ok())?;
        (1..=MAX_ERRNO)
            .contains(&number)
            .then_some(SyscallAction::Errno(number))
    }

    fn word(self) -> String {
        match self {
            SyscallAction::Kill => "kill".to_owned(),
            SyscallAction::Errno(number) => {
                errno::name(number).map_or_else(|| number.to_string(), str::to_owned)
            }
        }
    }
}

/// Largest errno that the kernel returns.
pub const MAX_ERRNO: u16 = 4095;

impl TextForm for SyscallAction {
    fn parse_with(text: &str, _: &dyn Expand) -> Result<SyscallAction, ParseError> {
        SyscallAction::from_word(text)
            .ok_or_else(|| ParseError::not_a(text, "an errno name, its number or kill"))
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.word()]
    }
}

/// One name in a system call filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SyscallRule {
    /// The line began with `~`.
    pub inverted: bool,
    /// A call, or a group with its `@`.
    pub name: String,
    /// What happens instead of the unit's usual action.
    pub action: Option<SyscallAction>,
}

impl SyscallRule {
    fn read(word: &str, inverted: bool) -> Result<SyscallRule, ParseError> {
        let (name, action) = match word.split_once(':') {
            Some((name, action)) => {
                let found = SyscallAction::from_word(action)
                    .ok_or_else(|| ParseError::not_a(action, "an errno name or kill"))?;
                (name, Some(found))
            }
            None => (word, None),
        };
        let plain = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let known = if name.starts_with('@') {
            syscall_groups::exists(name)
        } else {
            plain(name)
        };
        if !known {
            return Err(ParseError::not_a(name, "a system call or a group of them"));
        }
        Ok(SyscallRule {
            inverted,
            name: name.to_owned(),
            action,
        })
    }

    fn text(&self) -> String {
        match self.action {
            Some(action) => format!("{}:{}", self.name, action.word()),
            None => self.name.clone(),
        }
    }
}

/// Which system calls are let through (or logged). The first rule decides whether this is a list of the allowed or of the denied.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SyscallFilter {
    /// The rules in the order of writing.
    pub rules: Vec<SyscallRule>,
}

/// A filter with its groups replaced by their members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedFilter<'a> {
    /// The calls are those let through; otherwise those denied.
    pub allow: bool,
    /// The calls by name, with the action of their own.
    pub calls: BTreeMap<&'a str, Option<SyscallAction>>,
}

impl SyscallFilter {
    /// Whether the filter names what is allowed.
    pub fn is_allow_list(&self) -> bool {
        self.rules.first().is_some_and(|rule| !rule.inverted)
    }

    /// The calls that the rules come to, with groups replaced, and nothing that goes without saying.
    pub fn named(&self) -> BTreeSet<&str> {
        let allow = self.is_allow_list();
        let mut named = BTreeSet::new();
        for rule in &self.rules {
            if rule.inverted != allow {
                named.extend(rule.calls());
            } else {
                let calls = rule.calls();
                named.retain(|call| !calls.contains(call));
            }
        }
        named
    }

    /// Replaces groups by their calls and applies the rules in order. An allow list starts with `@default`.
    pub fn resolve(&self) -> ResolvedFilter<'_> {
        let allow = self.is_allow_list();
        let mut calls = BTreeMap::new();
        if allow {
            calls.extend(syscall_groups::members("@default").map(|call| (call, None)));
        }
        for rule in &self.rules {
            let adds = rule.inverted != allow;
            for call in rule.calls() {
                match (adds, allow, rule.action) {
                    (true, ..) => drop(calls.insert(call, rule.action)),
                    // Denied in an allow list, but with an action of its own: it stays, as what is denied so.
                    (false, true, Some(action)) => drop(calls.insert(call, Some(action))),
                    (false, ..) => drop(calls.remove(call)),
                }
            }
        }
        ResolvedFilter { allow, calls }
    }
}

impl SyscallRule {
    fn calls(&self) -> Vec<&str> {
        match self.name.starts_with('@') {
            true => syscall_groups::members(&self.name).collect(),
            false => vec![&self.name],
        }
    }
}

impl TextForm for SyscallFilter {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<SyscallFilter, ParseError> {
        let (inverted, names) = text
            .strip_prefix('~')
            .map_or((false, text), |names| (true, names));
        let mut rules = Vec::new();
        for word in split_words(names)? {
            match SyscallRule::read(&word, inverted) {
                Ok(rule) => rules.push(rule),
                Err(problem) => expand.wrong_item(problem)?,
            }
        }
        Ok(SyscallFilter { rules })
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        let runs = self
            .rules
            .chunk_by(|one, next| one.inverted == next.inverted);
        runs.map(|run| {
            let sign = if run.first().is_some_and(|rule| rule.inverted) {
                "~"
            } else {
                ""
            };
            let names: Vec<String> = run.iter().map(SyscallRule::text).collect();
            format!("{sign}{}", names.join(" "))
        })
        .collect()
    }

    fn is_unset(&self) -> bool {
        self.rules.is_empty()
    }

    fn append(&mut self, later: SyscallFilter) {
        self.rules.extend(later.rules);
    }
}

/// Socket address families, by the kernel's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AddressFamilies {
    /// The listed ones are those let through; otherwise those denied.
    pub allow: bool,
    /// The numbers, sorted.
    pub families: Vec<u16>,
}

impl AddressFamilies {
    /// Only these.
    pub fn only(families: &[u16]) -> AddressFamilies {
        let mut list = AddressFamilies {
            allow: true,
            families: families.to_vec(),
        };
        crate::order::sort(&mut list.families);
        list
    }

    /// Whether sockets of a family can be made.
    pub fn allows(&self, family: u16) -> bool {
        self.families.contains(&family) == self.allow
    }

    fn names(&self) -> String {
        let names: Vec<String> = self
            .families
            .iter()
            .map(|number| families::name(*number))
            .collect();
        names.join(" ")
    }

    fn read(text: &str, expand: &dyn Expand) -> Result<(bool, Vec<u16>), ParseError> {
        let (inverted, names) = text
            .strip_prefix('~')
            .map_or((false, text), |names| (true, names));
        let mut found = Vec::new();
        for word in split_words(names)? {
            match families::number(&word) {
                Some(number) => found.push(number),
                None => expand.wrong_item(ParseError::not_a(
                    &word,
                    "an address family such as AF_INET",
                ))?,
            }
        }
        Ok((inverted, found))
    }

    fn change(&mut self, add: bool, numbers: &[u16]) {
        self.families.retain(|known| !numbers.contains(known));
        if add {
            self.families.extend(numbers);
        }
        crate::order::sort(&mut self.families);
        self.families.dedup();
    }
}

impl TextForm for AddressFamilies {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<AddressFamilies, ParseError> {
        if text == "none" {
            return Ok(AddressFamilies {
                allow: true,
                families: Vec::new(),
            });
        }
        let (inverted, found) = AddressFamilies::read(text, expand)?;
        let mut families = AddressFamilies {
            allow: !inverted,
            families: Vec::new(),
        };
        families.change(true, &found);
        Ok(families)
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![match (self.allow, self.families.is_empty()) {
            (true, true) => "none".to_owned(),
            (true, false) => self.names(),
            (false, _) => format!("~{}", self.names()),
        }]
    }

    fn assign(value: &mut Option<Self>, text: &str, expand: &dyn Expand) -> Result<(), ParseError> {
        match value {
            _ if text.is_empty() => *value = None,
            Some(families) if text != "none" => {
                let (inverted, found) = AddressFamilies::read(text, expand)?;
                families.change(inverted != families.allow, &found);
            }
            _ => *value = Some(Self::parse_with(text, expand)?),
        }
        Ok(())
    }
}

/// Kinds of namespaces, as `CLONE_NEW…` bits: those that may be entered or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NamespaceSet(pub u32);

/// The kinds with their `CLONE_NEW…` bits.
pub const NAMESPACES: [(&str, u32); 8] = [
    ("cgroup", 0x0200_0000),
    ("ipc", 0x0800_0000),
    ("net", 0x4000_0000),
    ("mnt", 0x0002_0000),
    ("pid", 0x2000_0000),
    ("user", 0x1000_0000),
    ("uts", 0x0400_0000),
    ("time", 0x0000_0080),
];

impl NamespaceSet {
    /// No kind.
    pub const NONE: NamespaceSet = NamespaceSet(0);
    /// Every kind.
    pub const ALL: NamespaceSet = NamespaceSet(0x7e02_0080);

    /// Whether a kind, by its `CLONE_NEW…` bit, is in the set.
    pub const fn contains(self, bit: u32) -> bool {
        self.0 & bit == bit
    }

    /// The names of the members.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMESPACES
            .iter()
            .filter(move |(_, bit)| self.contains(*bit))
            .map(|(name, _)| *name)
    }

    fn read(names: &str, expand: &dyn Expand) -> Result<u32, ParseError> {
        let mut bits = 0;
        for word in split_words(names)? {
            match NAMESPACES.iter().find(|(name, _)| *name == word) {
                Some((_, bit)) => bits |= bit,
                None => expand.wrong_item(ParseError::not_a(
                    &word,
                    "a kind of namespace such as net or user",
                ))?,
            }
        }
        Ok(bits)
    }

    /// Reads `RestrictNamespaces=`: the text names what stays allowed, and yes forbids all.
    fn read_whole(text: &str, expand: &dyn Expand) -> Result<NamespaceSet, ParseError> {
        match parse_bool(text) {
            Some(true) => return Ok(NamespaceSet::NONE),
            Some(false) => return Ok(NamespaceSet::ALL),
            None => {}
        }
        match text.strip_prefix('~') {
            Some(names) => Ok(NamespaceSet(
                NamespaceSet::ALL.0 & !NamespaceSet::read(names, expand)?,
            )),
            None => Ok(NamespaceSet(NamespaceSet::read(text, expand)?)),
        }
    }

    /// The form of `DelegateNamespaces=`: the text names what is delegated, and yes delegates all.
    fn parse_delegated(text: &str, expand: &dyn Expand) -> Result<NamespaceSet, ParseError> {
        match parse_bool(text) {
            Some(true) => Ok(NamespaceSet::ALL),
            Some(false) => Ok(NamespaceSet::NONE),
            None => NamespaceSet::read_whole(text, expand),
        }
    }

    /// Joins one more line of `DelegateNamespaces=` to what those before it say: a list adds its kinds, one with `~` takes them away.
    ///
    /// # Errors
    /// What is no kind.
    pub fn join_delegated(
        earlier: Option<NamespaceSet>,
        text: &str,
        expand: &dyn Expand,
    ) -> Result<NamespaceSet, ParseError> {
        let earlier = earlier.filter(|_| parse_bool(text).is_none());
        match (earlier, text.strip_prefix('~')) {
            (Some(set), Some(names)) => {
                Ok(NamespaceSet(set.0 & !NamespaceSet::read(names, expand)?))
            }
            (Some(set), None) => Ok(NamespaceSet(set.0 | NamespaceSet::read(text, expand)?)),
            (None, _) => NamespaceSet::parse_delegated(text, expand),
        }
    }

    /// Prints for `DelegateNamespaces=`.
    pub fn print_delegated(self) -> String {
        match self {
            NamespaceSet::NONE => "no".to_owned(),
            NamespaceSet::ALL => "yes".to_owned(),
            set => set.names().collect::<Vec<_>>().join(" "),
        }
    }
}

/// Nothing is restricted.
impl Default for NamespaceSet {
    fn default() -> NamespaceSet {
        NamespaceSet::ALL
    }
}

impl TextForm for NamespaceSet {
    const LIST: bool = true;

    fn parse_with(text: &str, expand: &dyn Expand) -> Result<NamespaceSet, ParseError> {
        NamespaceSet::read_whole(text, expand)
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![match *self {
            NamespaceSet::NONE => "yes".to_owned(),
            NamespaceSet::ALL => "no".to_owned(),
            set => set.names().collect::<Vec<_>>().join(" "),
        }]
    }

    fn assign(value: &mut Option<Self>, text: &str, expand: &dyn Expand) -> Result<(), ParseError> {
        let earlier = value.filter(|_| parse_bool(text).is_none());
        *value = match (earlier, text.strip_prefix('~')) {
            _ if text.is_empty() => None,
            (Some(set), Some(names)) => {
                Some(NamespaceSet(set.0 & !NamespaceSet::read(names, expand)?))
            }
            // A list joins an earlier list; after "no" it starts afresh.
            (Some(set), None) if set != NamespaceSet::ALL => {
                Some(NamespaceSet(set.0 | NamespaceSet::read(text, expand)?))
            }
            _ => Some(NamespaceSet::read_whole(text, expand)?),
        };
        Ok(())
    }
}

/// A processor architecture of system calls, by the reference's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Architecture(pub String);

impl Architecture {
    /// The machine's own.
    pub fn native() -> Architecture {
        Architecture("native".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Item for Architecture {
    fn parse_item(text: &str, _: &dyn Expand) -> Result<Architecture, ParseError> {
        let known = crate::tables::architectures::ARCHITECTURES.contains(&text);
        known
            .then(|| Architecture(text.to_owned()))
            .ok_or_else(|| ParseError::not_a(text, "an architecture such as native or x86-64"))
    }

    fn print_item(&self, _: Form) -> String {
        self.0.clone()
    }
}

impl TextForm for Architecture {
    fn parse_with(text: &str, expand: &dyn Expand) -> Result<Architecture, ParseError> {
        Architecture::parse_item(text, expand)
    }

    fn print_lines(&self, _: Form) -> Vec<String> {
        vec![self.0.clone()]
    }
}

list! {
    /// Architectures whose system calls are let through.
    Architectures of Architecture, words
}
