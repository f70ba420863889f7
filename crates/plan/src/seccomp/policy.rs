//! What becomes of each number: the unit's filter first, then what the restricting directives deny.

use std::collections::BTreeMap;

use model::sorted::{Map, Set};
use std::rc::Rc;

use super::Verdict;
use super::calls::{Clause, denials};
use super::table::Machine;

/// Which address families a unit may open sockets of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressRule {
    /// These.
    Only(Vec<u32>),
    /// All but these.
    Except(Vec<u32>),
}

/// SystemCallFilter= with its groups resolved to names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallFilter {
    /// Whether what is not listed is denied.
    pub allow_list: bool,
    /// The listed calls; in a deny list the verdict of each, in an allow list `None` allows.
    pub listed: BTreeMap<String, Option<Verdict>>,
}

/// Everything that a unit says about system calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restrictions {
    /// The unit's filter; shared, as many units have the same.
    pub filter: Option<Rc<CallFilter>>,
    /// What happens to a call that the filter denies.
    pub default_verdict: Option<Verdict>,
    /// The machines that may call; `None`: all that the host runs.
    pub machines: Option<Vec<Machine>>,
    /// `CLONE_NEW` flags that may not be used.
    pub denied_namespaces: u32,
    /// Address families.
    pub addresses: Option<AddressRule>,
    /// MemoryDenyWriteExecute=.
    pub no_writable_code: bool,
    /// RestrictSUIDSGID=.
    pub no_set_id: bool,
    /// Files stay in the project whose quota counts or bounds them, and so does what it says.
    pub no_other_project: bool,
    /// RestrictRealtime=.
    pub no_realtime: bool,
    /// LockPersonality=, the domain that it is locked to.
    pub locked_personality: Option<u32>,
    /// Calls that Protect directives deny with EPERM.
    pub denied_calls: Vec<&'static str>,
    /// Calls of which the kernel's log tells.
    pub logged: Option<Logged>,
}

/// Calls of which the kernel's log tells: SystemCallLog= with its groups resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Whether the names are those that are not told.
    pub inverted: bool,
    /// The names.
    pub calls: Vec<String>,
}

/// What becomes of one number: the first clause that holds decides, else the last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) clauses: Vec<Clause>,
    pub(super) otherwise: Verdict,
}

impl Rule {
    const fn plain(otherwise: Verdict) -> Self {
        Self {
            clauses: Vec::new(),
            otherwise,
        }
    }
}

const ENOSYS: Verdict = Verdict::Errno(38);

impl Restrictions {
    /// Whether nothing is restricted, so that no program is needed.
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                default_verdict: self.default_verdict,
                ..Self::default()
            }
    }

    /// The verdict on calls of machines that are not allowed or not known.
    pub(super) const fn foreign(&self) -> Verdict {
        Verdict::Kill
    }

    /// The rule for numbers that no table has.
    pub(super) fn unknown(&self) -> Rule {
        let denied = self.filter.as_ref().is_some_and(|filter| filter.allow_list);
        Rule::plain(if denied { ENOSYS } else { Verdict::Allow })
    }

    /// The rule for every number that the machine has a name for.
    pub(super) fn rules(&self, machine: Machine) -> Map<u32, Rule> {
        let mut rules = self.filtered(machine);
        if let Some(logged) = &self.logged {
            log(machine, logged, &mut rules);
        }
        for denial in denials(self) {
            if let Some(rule) = machine
                .number(denial.call)
                .and_then(|number| rules.get_mut(&number))
            {
                deny(rule, denial.clause);
            }
        }
        rules
    }

    fn filtered(&self, machine: Machine) -> Map<u32, Rule> {
        let denied = self.default_verdict.unwrap_or(Verdict::Kill);
        let otherwise = match &self.filter {
            Some(filter) if filter.allow_list => denied,
            _ => Verdict::Allow,
        };
        let mut rules: Map<_, _> = machine
            .numbers()
            .map(|number| (number, Rule::plain(otherwise)))
            .collect();
        let Some(filter) = &self.filter else {
            return rules;
        };
        for (name, verdict) in &filter.listed {
            let verdict = verdict.unwrap_or(if filter.allow_list {
                Verdict::Allow
            } else {
                denied
            });
            if let Some(rule) = machine
                .number(name)
                .and_then(|number| rules.get_mut(&number))
            {
                rule.otherwise = verdict;
            }
        }
        rules
    }
}

/// Adds a clause; a call that is denied anyway keeps its denial, and one without tests denies as a whole.
fn deny(rule: &mut Rule, clause: Clause) {
    if rule.otherwise > Verdict::Log {
        return;
    }
    if clause.tests.is_empty() {
        *rule = Rule::plain(clause.verdict);
    } else {
        rule.clauses.push(clause);
    }
}

/// What is allowed and logged is allowed as before.
fn log(machine: Machine, logged: &Logged, rules: &mut Map<u32, Rule>) {
    let named: Set<u32> = logged
        .calls
        .iter()
        .filter_map(|name| machine.number(name))
        .collect();
    let allowed = rules
        .iter_mut()
        .filter(|(_, rule)| rule.otherwise == Verdict::Allow);
    for (_, rule) in allowed.filter(|(number, _)| named.contains(number) != logged.inverted) {
        rule.otherwise = Verdict::Log;
    }
}
