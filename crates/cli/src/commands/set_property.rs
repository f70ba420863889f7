//! `set-property`: drop-ins with what bounds a unit, which hold at once and for later starts.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use model::{Directive, Room, UnitKind, UnitName};
use wire::NamesRequest;
use wire::methods::Status;

use crate::context::{Context, full_unit_name};
use crate::failure::hint;
use crate::unit_files::{Root, UnitFiles, ending};
use crate::verbs::Run;

/// Options of `set-property`.
#[derive(Args, Debug)]
pub(crate) struct SetProperty {
    /// The unit
    #[arg(value_name = "UNIT")]
    unit: String,
    /// What is to hold; without a value, what holds without the line
    #[arg(required = true, value_name = "DIRECTIVE=VALUE")]
    properties: Vec<String>,
    /// Until the next reboot only
    #[arg(long)]
    runtime: bool,
    #[command(flatten)]
    root: Root,
}

impl Run for SetProperty {
    fn run(self, context: &Context) -> Result<u8> {
        let files = UnitFiles::open(context, &self.root)?;
        let unit: UnitName = full_unit_name(self.unit.clone()).parse()?;
        // A slice needs no file.
        if unit.kind() != UnitKind::Slice {
            files.work().file(unit.as_str()).map_err(ending)?;
        }
        let texts = texts(&unit, &self.properties)?;
        let places = &files.places;
        let directory = match self.runtime {
            true => &places.runtime,
            false => &places.config,
        };
        let directory = directory.join(format!("{unit}.d"));
        for (name, text) in &texts {
            let at = directory.join(format!("50-{name}.conf"));
            let written = files.rooted().write(&at, text.as_bytes());
            written.with_context(|| format!("cannot write {}", at.display()))?;
            context.narrate(&format!("wrote {}", files.rooted().shown(&at).display()));
        }
        files.reload(context)?;
        if files.is_offline() {
            return Ok(0);
        }
        let names: Vec<&str> = texts.iter().map(|(name, _)| name.as_str()).collect();
        tell_reductions(context, &unit, &names)?;
        Ok(0)
    }
}

/// Tells what of it does not hold here.
fn tell_reductions(context: &Context, unit: &UnitName, directives: &[&str]) -> Result<()> {
    let Some(mut client) = context.connect_if_running()? else {
        return Ok(());
    };
    let names = vec![unit.to_string()];
    let reply = client.call(Status, &NamesRequest { names })?;
    for status in &reply.units {
        let reduced = status.sandbox.iter().flat_map(|sandbox| &sandbox.reduced);
        for reduction in reduced.filter(|one| directives.contains(&one.directive.as_str())) {
            super::jobs::tell_reduction(context, &status.name, reduction);
        }
    }
    Ok(())
}

/// A drop-in for each directive, in the order in which they are named first.
fn texts(unit: &UnitName, properties: &[String]) -> Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    for property in properties {
        let (name, section) = place(unit, property)?;
        check(unit, section, property)?;
        match found.iter_mut().find(|(known, _)| known == name) {
            Some((_, text)) => text.push_str(&format!("{property}\n")),
            None => found.push((name.to_owned(), format!("[{section}]\n{property}\n"))),
        }
    }
    Ok(found)
}

/// The directive of a line, and its section.
fn place<'a>(unit: &UnitName, property: &'a str) -> Result<(&'a str, &'static str)> {
    let (name, _) = property.split_once('=').ok_or_else(|| {
        hint(
            format!("{property} is no DIRECTIVE=VALUE"),
            "as in MemoryMax=1G",
        )
    })?;
    let mut known = Directive::named(name);
    let bounds = known.find(|directive| directive.room() == Room::Cgroup);
    let section = bounds.and_then(|bounds| bounds.room().section_of(unit.kind()));
    let section = section.ok_or_else(|| {
        hint(
            format!("{name}= is nothing that can be changed while {unit} runs"),
            "`coracle edit` changes what holds from the next start on",
        )
    })?;
    Ok((name, section))
}

/// Refuses what a reload would ignore.
fn check(unit: &UnitName, section: &str, property: &str) -> Result<()> {
    let text = format!("[{section}]\n{property}\n");
    let bytes = text.as_bytes();
    let loaded = load::load_text(
        unit,
        Path::new(""),
        bytes,
        &load::SpecifierContext::default(),
    );
    if let Some(ignored) = loaded.ignored.first() {
        anyhow::bail!("{property}: {}", ignored.reason);
    }
    anyhow::ensure!(
        !property.contains(['\n', '\r', '\0']) && !property.ends_with('\\'),
        "{property} is more than one line"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(unit: &str, properties: &[&str]) -> Result<Vec<(String, String)>> {
        let properties: Vec<String> = properties.iter().map(|one| (*one).to_owned()).collect();
        texts(&unit.parse()?, &properties)
    }

    #[test]
    fn each_directive_has_a_drop_in_in_the_section_of_the_kind() {
        let found = made("a.slice", &["MemoryMax=1G", "CPUWeight=", "MemoryMax=2G"]).unwrap();
        let wanted = [
            ("MemoryMax", "[Slice]\nMemoryMax=1G\nMemoryMax=2G\n"),
            ("CPUWeight", "[Slice]\nCPUWeight=\n"),
        ];
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_does_not_bound_or_means_nothing_is_refused() {
        for (unit, property) in [
            ("a.service", "ExecStart=/bin/true"),
            ("a.service", "MemoryMax"),
            ("a.service", "MemoryMax=much"),
            ("a.service", "NoSuchThing=1"),
            ("a.timer", "MemoryMax=1G"),
            ("a.service", "MemoryMax=1G\n[Service]"),
        ] {
            assert!(made(unit, &[property]).is_err(), "{unit} {property}");
        }
    }
}
