//! Assignments to values: each line of a file put into the unit by its row of the table, and what is wrong with it said.

use model::value::{ExecCommand, ExecCommands, ServiceType, UnitList, Value};
use model::{Directive, Room, Setting, Unit, UnitKind, UnitName, key};
use settings::Status;
use syntax::{Assignment, Diagnostic, Document, Severity, nearest};

use crate::origin::Origins;
use crate::specifier::Specifiers;

/// Prefix of sections and names that are somebody else's and are ignored without a word.
const FOREIGN_PREFIX: &str = "X-";

/// Names without which a unit can't do what it says: a wrong value makes the whole unit unusable, as in the reference. (A command
/// with the prefix `-` is the exception.)
const ESSENTIAL: &[&str] = &[
    "Group",
    "RootDirectory",
    "RootImage",
    "User",
    "WorkingDirectory",
];

/// A unit while its files are read.
#[derive(Debug)]
pub(crate) struct Assembly {
    pub(crate) unit: Unit,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) origins: Origins,
    /// The values that the table did not take.
    pub(crate) ignored: Vec<Ignored>,
    /// What names that no directive has were probably meant to be.
    pub(crate) misspelt: Vec<Directive>,
    /// Whether an essential value is wrong.
    pub(crate) is_bad: bool,
}

/// A value, or one item of a list, that the table did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Whose value it is.
    pub directive: Directive,
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong with it; a whole clause.
    pub reason: String,
}

impl Assembly {
    pub(crate) fn new(unit: Unit) -> Self {
        Self {
            unit,
            diagnostics: Vec::new(),
            origins: Origins::default(),
            ignored: Vec::new(),
            misspelt: Vec::new(),
            is_bad: false,
        }
    }

    /// Takes up everything that a file says.
    pub(crate) fn add(&mut self, document: &Document, specifiers: &Specifiers) {
        let first = self.diagnostics.len();
        self.diagnostics
            .extend(document.diagnostics.iter().cloned());
        for (section, _) in document.sections() {
            self.report(unknown_section(document, section, self.unit.kind()));
        }
        for (section, line, assignment) in document.assignments() {
            if is_section(section, self.unit.kind())
                && !assignment.name.as_str().starts_with(FOREIGN_PREFIX)
            {
                self.assign(document, (section, line), assignment, specifiers);
            }
        }
        if let Some(added) = self.diagnostics.get_mut(first..) {
            model::order::sort_by_key(added, |finding| (finding.line == 0, finding.line));
        }
    }

    /// Adds a value that no file's line says; false if the table refuses it.
    pub(crate) fn add_plain(&mut self, name: &str, value: &str, specifiers: &Specifiers) -> bool {
        settings::apply(&mut self.unit, "Unit", name, value, specifiers).is_ok()
    }

    fn assign(
        &mut self,
        document: &Document,
        place: (&str, u32),
        assignment: &Assignment,
        specifiers: &Specifiers,
    ) {
        let (section, line) = place;
        let name = assignment.name.as_str();
        let Some(directive) = Directive::find(section, name) else {
            self.misspelt.extend(meant(section, name));
            return self.report(Some(unknown_directive(document, section, assignment)));
        };
        let value = assignment.value.as_str();
        let earlier = self.commands(directive).map_or(0, <[_]>::len);
        let named = self.units_named(directive).map_or(0, <[_]>::len);
        let outcome = settings::apply(&mut self.unit, section, name, value, specifiers);
        for dropped in specifiers.take_dropped() {
            let message = format!("{name}=: {dropped}; this part is ignored");
            self.ignore(directive, line, &dropped);
            self.report(Some(document.diagnose(
                Severity::Warning,
                assignment.value.span(),
                message,
            )));
        }
        match outcome {
            Ok(()) => {
                if section == "Unit" {
                    self.complete(directive, named);
                }
                self.note_origin(directive, document, line);
                self.note_effect(directive, document, assignment);
                self.note_idle(directive, document, assignment);
                self.note_lost_words(directive, earlier, (document, assignment));
            }
            Err(error) => {
                self.ignore(directive, line, &error);
                self.refuse(document, assignment, &error);
            }
        }
    }

    /// A dependency on a template is one on its instance of the unit's own name: of its instance, or of its prefix where it has none.
    /// Of the `earlier` names of the list that was known before; a line that says a list anew has fewer.
    fn complete(&mut self, directive: Directive, earlier: usize) {
        let Some(list) = self.units_named(directive) else {
            return;
        };
        let fresh = list.get(earlier..).unwrap_or(list);
        let own = self.unit.name();
        if own.is_template() || !fresh.iter().any(UnitName::is_template) {
            return;
        }
        let instance = own.instance().unwrap_or(own.prefix()).to_owned();
        let complete = |name: &UnitName| match name.is_template() {
            true => name.with_instance(&instance).ok(),
            false => Some(name.clone()),
        };
        let whole = UnitList(list.iter().filter_map(complete).collect());
        self.unit.set_raw(directive, Value::UnitList(whole));
    }

    /// Findings have a limit, as they are for people; this list has the file's.
    fn ignore(&mut self, directive: Directive, line: u32, error: &dyn std::fmt::Display) {
        self.ignored.push(Ignored {
            directive,
            line,
            reason: error.to_string(),
        });
    }

    /// An old name's value is its successors'.
    fn note_origin(&mut self, directive: Directive, document: &Document, line: u32) {
        let own = [directive];
        let successors = settings::row(directive).stands_for;
        let targets = if successors.is_empty() {
            &own[..]
        } else {
            successors
        };
        targets
            .iter()
            .for_each(|target| self.origins.push(*target, &document.file, line));
    }

    fn units_named(&self, directive: Directive) -> Option<&[UnitName]> {
        UnitList::from_value(self.unit.raw(directive)?).map(|names| &names[..])
    }

    fn commands(&self, directive: Directive) -> Option<&[ExecCommand]> {
        ExecCommands::from_value(self.unit.raw(directive)?).map(|commands| &commands[..])
    }

    /// Says that a word of the line's commands vanishes: `$NAME/x` is the variable of all after the dollar, which can't be one.
    fn note_lost_words(
        &mut self,
        directive: Directive,
        earlier: usize,
        (document, assignment): (&Document, &Assignment),
    ) {
        let fresh = self.commands(directive).and_then(|all| all.get(earlier..));
        let expanded = fresh
            .into_iter()
            .flatten()
            .filter(|command| !command.no_env);
        let lost: Vec<String> = expanded
            .flat_map(|command| command.argv.iter().skip(1))
            .filter(|word| is_lost(word))
            .map(|word| {
                format!(
                    "{}=: “{word}” names no variable, so the word is left out",
                    directive.name()
                )
            })
            .collect();
        for message in lost {
            let finding = document.diagnose(Severity::Warning, assignment.value.span(), message);
            let hint = "write ${NAME} for a variable within a word, and $$ for a dollar";
            self.report(Some(finding.with_hint(hint.to_owned())));
        }
    }

    /// Says that a line has no effect yet, where nothing else will: restrictions refuse the start, resource control is a reduction of it,
    /// and the whole unit is refused if its kind is not supported.
    fn note_effect(&mut self, directive: Directive, document: &Document, assignment: &Assignment) {
        let row = settings::row(directive);
        let reason = match row.status {
            Status::Works => return,
            Status::Rejected(reason) => reason,
            Status::ParsedOnly(_) if row.is_sandboxing() || is_told_elsewhere(directive) => return,
            Status::ParsedOnly(reason) => reason,
        };
        let printed = settings::print(&self.unit, directive);
        if printed.is_empty() || printed == [row.default_text] {
            return;
        }
        let message = format!("{}= has no effect: {reason}", row.name);
        let span = assignment.name.span();
        self.report(Some(document.diagnose(Severity::Warning, span, message)));
    }

    /// Says that of a value that is taken only the nearest one holds.
    fn note_idle(&mut self, directive: Directive, document: &Document, assignment: &Assignment) {
        let is_type = directive == key::SERVICE_TYPE.directive();
        if is_type && self.unit.get(&key::SERVICE_TYPE) == Some(&ServiceType::Idle) {
            let message = "Type=idle starts like Type=simple: it waits for no other job";
            let span = assignment.value.span();
            self.report(Some(document.diagnose(Severity::Warning, span, message)));
        }
    }

    fn refuse(
        &mut self,
        document: &Document,
        assignment: &Assignment,
        error: &settings::ValueError,
    ) {
        let name = assignment.name.as_str();
        let is_essential = is_essential(name, assignment.value.as_str());
        let (severity, outcome) = if is_essential {
            (Severity::Error, "the unit can't be used")
        } else {
            (Severity::Warning, "the line is ignored")
        };
        self.is_bad |= is_essential;
        let span = assignment.value.span();
        let span = if span.start == span.end {
            assignment.name.span()
        } else {
            span
        };
        self.report(Some(document.diagnose(
            severity,
            span,
            format!("{name}=: {error}; {outcome}"),
        )));
    }

    fn report(&mut self, finding: Option<Diagnostic>) {
        if self.diagnostics.len() < MAX_DIAGNOSTICS {
            self.diagnostics.extend(finding);
        }
    }
}

/// Whether a word is taken for a variable and can be none.
fn is_lost(word: &str) -> bool {
    let name = word
        .strip_prefix('$')
        .filter(|name| !name.starts_with(['{', '$']));
    let is_inner = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    name.is_some_and(|name| {
        name.is_empty()
            || name.starts_with(|letter: char| letter.is_ascii_digit())
            || !name.chars().all(is_inner)
    })
}

/// [Install] is for a command that enables units, which looks at it itself.
fn is_told_elsewhere(directive: Directive) -> bool {
    matches!(
        directive.room(),
        Room::Install
            | Room::Cgroup
            | Room::Timer
            | Room::Path
            | Room::Mount
            | Room::Automount
            | Room::Swap
            | Room::Scope
    )
}

/// Most findings for one unit over all its files.
const MAX_DIAGNOSTICS: usize = 4 * syntax::MAX_DIAGNOSTICS;

fn is_essential(name: &str, value: &str) -> bool {
    let is_command =
        name.starts_with("Exec") && !name.contains("Paths") && name != "ExecSearchPath";
    let prefixes = value.trim_start_matches(['@', ':', '+', '!', '|']);
    (is_command && !prefixes.starts_with('-')) || ESSENTIAL.contains(&name)
}

/// The sections that a unit of this kind has.
fn sections(kind: UnitKind) -> impl Iterator<Item = &'static str> {
    let own = [
        Room::Service,
        Room::Socket,
        Room::Mount,
        Room::Automount,
        Room::Swap,
        Room::Timer,
        Room::Path,
        Room::Slice,
        Room::Scope,
    ];
    [Room::Unit, Room::Install]
        .into_iter()
        .chain(own)
        .filter_map(move |room| room.section_of(kind))
}

fn is_section(name: &str, kind: UnitKind) -> bool {
    sections(kind).any(|section| section == name)
}

fn unknown_section(
    document: &Document,
    section: &syntax::Logical,
    kind: UnitKind,
) -> Option<Diagnostic> {
    let name = section.as_str();
    if is_section(name, kind) || name.starts_with(FOREIGN_PREFIX) {
        return None;
    }
    let message = format!("a .{kind} unit has no section [{name}]; it is ignored");
    let finding = document.diagnose(Severity::Warning, section.span(), message);
    Some(match nearest(name, sections(kind)) {
        Some(near) => finding.with_hint(format!("did you mean [{near}]?")),
        None => finding,
    })
}

fn unknown_directive(document: &Document, section: &str, assignment: &Assignment) -> Diagnostic {
    let name = assignment.name.as_str();
    let message = format!("[{section}] has no {name}=; the line is ignored");
    let finding = document.diagnose(Severity::Warning, assignment.name.span(), message);
    match hint(section, name) {
        Some(hint) => finding.with_hint(hint),
        None => finding,
    }
}

/// The section where the name would be known, or the nearest name in this one.
fn hint(section: &str, name: &str) -> Option<String> {
    let elsewhere = Directive::named(name)
        .next()
        .and_then(|directive| directive.room().sections().first());
    if let Some(section) = elsewhere {
        return Some(format!("it belongs in [{section}]"));
    }
    meant(section, name).map(|near| format!("did you mean {}=?", near.name()))
}

/// The directive of this section whose name is nearest.
fn meant(section: &str, name: &str) -> Option<Directive> {
    let here = Directive::all()
        .filter(|directive| directive.room().sections().contains(&section))
        .map(Directive::name);
    Directive::find(section, nearest(name, here)?)
}
