//! A plan in the making: steps as they are found, what several planners add to, and what can't be applied.

use model::{Directive, Facts, Key, Position, Setting, Unit};

use super::mounts::MountList;
use super::{Reduction, Refusal, Situation};
use crate::code::Writer;
use crate::step::{Asked, Step};
use crate::{DirectiveNumber, NO_DIRECTIVE};

/// What the planners share.
pub(super) struct Draft<'a> {
    pub(super) unit: &'a Unit,
    pub(super) facts: &'a Facts,
    pub(super) situation: &'a Situation<'a>,
    pub(super) mounts: MountList,
    /// `CLONE_NEW` flags for one call.
    pub(super) namespaces: u32,
    /// Those of them that belong to the service's user namespace.
    pub(super) delegated: u32,
    /// Whether something of BPF is delegated to that.
    pub(super) delegates_bpf: bool,
    /// Capabilities that directives beside CapabilityBoundingSet= take away.
    pub(super) lost_capabilities: u64,
    /// The first directive for which a directory is in a project of its own, where the service must stay.
    pub(super) project: Option<Directive>,
    pub(super) reductions: Vec<Reduction>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) credentials_directory: Option<String>,
    pub(super) set_credentials: Vec<(String, Vec<u8>)>,
    pub(super) notify_path: Option<String>,
    pub(super) pid_namespace: bool,
    /// Images whose trees the steps clone.
    pub(super) images: Vec<super::ImageWish>,
    steps: Vec<(u8, Vec<u8>)>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(unit: &'a Unit, facts: &'a Facts, situation: &'a Situation<'a>) -> Self {
        Self {
            unit,
            facts,
            situation,
            mounts: MountList::default(),
            namespaces: 0,
            delegated: 0,
            delegates_bpf: false,
            lost_capabilities: 0,
            project: None,
            reductions: Vec::new(),
            environment: Vec::new(),
            credentials_directory: None,
            set_credentials: Vec::new(),
            notify_path: situation.notify_socket.map(str::to_owned),
            pid_namespace: false,
            images: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Adds a step that every start has.
    pub(super) fn frame(&mut self, step: Step<'_>) {
        self.add(NO_DIRECTIVE, step);
    }

    /// Adds a step for a directive.
    pub(super) fn push(&mut self, directive: Directive, step: Step<'_>) {
        self.add(number(directive), step);
    }

    fn add(&mut self, directive: DirectiveNumber, step: Step<'_>) {
        let mut writer = Writer::default();
        writer.put(&Asked { step, directive });
        self.steps.push((step.rank(), writer.bytes));
    }

    /// The steps in the order of execution; steps of one kind stay in the order of their finding.
    pub(super) fn take_steps(&mut self) -> Vec<Vec<u8>> {
        model::order::sort_by_key(&mut self.steps, |(rank, _)| *rank);
        self.steps.drain(..).map(|(_, bytes)| bytes).collect()
    }

    /// The directive can't be applied: a reduction where the table lets it be one, else the end of planning.
    pub(super) fn cannot(&mut self, directive: Directive, why: &str) -> Result<(), Refusal> {
        if !(self.situation.may_reduce)(directive) {
            return Err(Refusal {
                directive,
                why: why.to_owned(),
            });
        }
        self.lesser(directive, why);
        Ok(())
    }

    /// Something that the directive also does is not done. What it keeps from the service, it does keep.
    pub(super) fn lesser(&mut self, directive: Directive, why: &str) {
        self.reductions.push(Reduction {
            directive,
            reason: why.to_owned(),
        });
    }

    /// Whether a restriction is applied: `possible` on this host, or else reduced or refused.
    pub(super) fn can(
        &mut self,
        possible: bool,
        directive: Directive,
        why: &str,
    ) -> Result<bool, Refusal> {
        if !possible {
            self.cannot(directive, why)?;
        }
        Ok(possible)
    }

    pub(super) fn is_on(&self, key: &Key<bool>) -> bool {
        self.unit.value(key)
    }

    pub(super) fn value<T: Setting>(&self, key: &Key<T>) -> T {
        self.unit.value(key)
    }

    /// Whether this is root's own position, with the host's capabilities.
    pub(super) fn is_privileged(&self) -> bool {
        self.situation.position != Position::User
            && self
                .facts
                .capabilities
                .contains(model::tables::capabilities::SYS_ADMIN)
    }
}

/// A directive as it travels in a plan. There are fewer than a thousand.
pub(super) fn number(directive: Directive) -> DirectiveNumber {
    DirectiveNumber::try_from(directive.index()).unwrap_or(NO_DIRECTIVE)
}

/// A text as a plan holds it. A NUL can't be in a value that was read from a unit file; a value from elsewhere is cut there.
pub(crate) fn text(value: &str) -> std::ffi::CString {
    let end = value.find('\0').unwrap_or(value.len());
    std::ffi::CString::new(value.get(..end).unwrap_or_default()).unwrap_or_default()
}
