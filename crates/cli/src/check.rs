//! Unit files read without a manager: for `verify`, for portables before they are attached, and for `shell`.

use std::path::Path;

use anyhow::{Context as _, Result};
use load::portable::Profile;
use load::{
    Diagnostic, HostTree, LoadState, Loaded, Loader, SearchPath, Severity, SpecifierContext,
};
use model::{Unit, UnitKind, UnitName};
use serde::Serialize;
use wire::Setting;

use crate::context::Context;

/// Something that is wrong in a file.
#[derive(Serialize)]
pub(crate) struct Finding {
    file: String,
    line: u32,
    message: String,
    hint: Option<String>,
    /// The unit can't be used as it is.
    pub(crate) is_error: bool,
    /// The line with a caret, for a terminal.
    #[serde(skip)]
    pub(crate) rendered: String,
}

/// Everything that is wrong with a unit, given by the path of its file or by its name.
///
/// # Errors
/// When the file can't be read or the name is none.
pub(crate) fn unit(context: &Context, what: &str) -> Result<Vec<Finding>> {
    let is_file = what.contains('/');
    let loaded = if is_file {
        from_file(Path::new(what))?
    } else {
        from_path(context, what)?
    };
    if loaded.state == LoadState::NotFound {
        return Err(anyhow::Error::new(wire::Failure::NoSuchUnit {
            unit: loaded.unit.name().to_string(),
        }));
    }
    let mut findings: Vec<Finding> = loaded.diagnostics.iter().map(Finding::of).collect();
    // The loader of files in a unit path has looked at the whole already.
    if let Some(complaint) = load::complaint(&loaded.unit).filter(|_| is_file) {
        findings.push(Finding::whole(what, complaint));
    }
    if loaded.state != LoadState::Loaded {
        findings.push(Finding::whole(
            what,
            &format!("the unit is {}", loaded.state),
        ));
    }
    findings.extend(unenforced(&loaded.unit).map(|name| Finding::whole(what, &format!("{name}= restricts the service and is not enforced by this version: the start is refused"))));
    findings.extend(missing(context, &loaded.unit).map(|message| Finding::whole(what, &message)));
    findings.extend(without_effect(&loaded).map(|name| Finding::whole(what, &format!("{name}= restricts the service, and its line is ignored: the service starts without it"))));
    Ok(findings)
}

/// Units that it can't start without and that no file makes. Targets are the manager's own where they have no file.
fn missing<'a>(context: &Context, unit: &'a Unit) -> impl Iterator<Item = String> + 'a {
    let loader = loader(context);
    let own = unit.name().clone();
    let needed = [
        ("Requires", &model::key::REQUIRES),
        ("Requisite", &model::key::REQUISITE),
        ("BindsTo", &model::key::BINDS_TO),
    ];
    needed.into_iter().flat_map(move |(directive, key)| {
        let names = unit.get(key).cloned().unwrap_or_default();
        let mut found = Vec::new();
        for name in names.iter() {
            let has_file = matches!(name.kind(), UnitKind::Service | UnitKind::Socket);
            if has_file && *name != own && loader.load(name).state == LoadState::NotFound {
                found.push(format!(
                    "{directive}={name}: there is no such unit, so the start is refused"
                ));
            }
        }
        found
    })
}

/// Names of directives that would restrict and that a line means, but does not say: its value, or their name, can't be read.
fn without_effect(loaded: &Loaded) -> impl Iterator<Item = &'static str> + '_ {
    let values = loaded.ignored.iter().map(|ignored| ignored.directive);
    let all = values.chain(loaded.misspelt.iter().copied());
    all.map(settings::row)
        .filter(|row| row.is_sandboxing())
        .map(|row| row.name)
}

pub(crate) fn from_file(path: &Path) -> Result<Loaded> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .context("the path names no file")?;
    let name: UnitName = name.parse()?;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(load::load_text(&name, path, &bytes, &specifiers()))
}

pub(crate) fn from_path(context: &Context, name: &str) -> Result<Loaded> {
    let whole = crate::context::full_unit_name(name.to_owned());
    Ok(loader(context).load(&whole.parse()?))
}

/// The units of this instance, as the manager would find them.
pub(crate) fn loader(context: &Context) -> Loader<HostTree> {
    let directories = &context.directories;
    let own = SearchPath::own(
        &directories.config,
        &directories.runtime,
        &directories.state,
    );
    let path = SearchPath::new(std::env::split_paths(&directories.unit_path))
        .followed_by(own.directories().iter().cloned());
    Loader::new(path, HostTree).with_context(specifiers())
}

/// The unit on disk, or the portable, whose name is nearest to one that is not there.
pub(crate) fn nearest_unit(context: &Context, name: &str) -> Option<String> {
    let loader = loader(context);
    let portables = crate::portable::records(context).list().unwrap_or_default();
    let portables: Vec<&str> = portables.iter().map(|one| one.name.as_str()).collect();
    let short = name.trim_end_matches(".service");
    nearest_of_kind(name, loader.names().map(UnitName::as_str))
        // A suffix that was misspelt has become part of the name.
        .or_else(|| load::nearest(short, loader.names().map(UnitName::as_str)))
        .or_else(|| load::nearest(short, portables))
        .map(str::to_owned)
}

/// The suffix is what all of them share, and makes no two names alike.
fn nearest_of_kind<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (stem, kind) = name.rsplit_once('.')?;
    let of_kind = |name: &'a str| {
        Some((
            name.rsplit_once('.').filter(|(_, other)| *other == kind)?.0,
            name,
        ))
    };
    let named: Vec<(&str, &str)> = names.filter_map(of_kind).collect();
    let nearest = load::nearest(stem, named.iter().map(|(stem, _)| *stem))?;
    named
        .iter()
        .find(|(stem, _)| *stem == nearest)
        .map(|(_, name)| *name)
}

/// What specifiers stand for on this host.
pub(crate) fn specifiers() -> SpecifierContext {
    SpecifierContext::of_host(&HostTree)
}

/// Names of directives that restrict, are set, and are not enforced.
pub(crate) fn unenforced(unit: &Unit) -> impl Iterator<Item = &'static str> + '_ {
    unit.iter().filter_map(|(directive, _)| {
        let row = settings::row(directive);
        row.is_unenforced_restriction().then_some(row.name)
    })
}

/// A unit from its directives as the manager prints them.
///
/// # Errors
/// When the name is none.
pub(crate) fn unit_of_settings(name: &str, settings: &[Setting]) -> Result<Unit> {
    let name: UnitName = name.parse()?;
    let lines: String = settings
        .iter()
        .map(|setting| format!("{}={}\n", setting.directive, setting.value))
        .collect();
    let text = format!("[Service]\n{lines}");
    Ok(load::load_text(
        &name,
        Path::new(name.as_str()),
        text.as_bytes(),
        &specifiers(),
    )
    .unit)
}

impl Finding {
    fn of(diagnostic: &Diagnostic) -> Finding {
        Finding {
            file: diagnostic.file.to_string(),
            line: diagnostic.line,
            message: diagnostic.message.clone(),
            hint: diagnostic.hint.clone(),
            is_error: diagnostic.severity == Severity::Error,
            rendered: load::render(diagnostic),
        }
    }

    fn whole(file: &str, message: &str) -> Finding {
        Finding {
            file: file.to_owned(),
            line: 0,
            message: message.to_owned(),
            hint: None,
            is_error: true,
            rendered: format!("{file}: {message}"),
        }
    }
}

/// The lines of a profile, as a unit file would have them.
pub(crate) fn profile_lines(name: &str) -> Option<Vec<String>> {
    let profile = Profile::named(name)?;
    let mut unit = Unit::new(UnitName::new("profile.service").ok()?);
    profile
        .values()
        .for_each(|(directive, value)| unit.set_raw(directive, value.clone()));
    let directives = profile.values().map(|(directive, _)| directive);
    let lines = directives.flat_map(|directive| {
        let printed = settings::print(&unit, directive);
        // A value that prints as nothing is the empty list, which a unit file says with an empty assignment.
        let printed = if printed.is_empty() {
            vec![String::new()]
        } else {
            printed
        };
        printed
            .into_iter()
            .map(move |line| format!("{}={line}", directive.name()))
    });
    Some(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_near_to_another_by_what_is_its_own() {
        let names = [
            "pre.service",
            "mm.service",
            "gateway.service",
            "gateway.socket",
        ];
        let nearest = |name| nearest_of_kind(name, names.into_iter());
        assert_eq!(nearest("gatewya.service"), Some("gateway.service"));
        assert_eq!(nearest("gatewya.socket"), Some("gateway.socket"));
        assert_eq!(nearest("cron.service"), None);
        assert_eq!(nearest("d.service"), None);
    }
}
