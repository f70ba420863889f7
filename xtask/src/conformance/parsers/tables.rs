//! Names and numbers: exit statuses, capabilities, groups of system calls.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use model::tables::{capabilities::CAPABILITIES, exit_status, syscall_groups::GROUPS};
use plan::seccomp::Machine;

use super::super::report::Row;
use super::super::systemd::ask;
use super::case;

pub(super) fn exit_statuses() -> Result<Vec<Row>> {
    let theirs = pairs("exit-status")?;
    let compare = |status: u8| {
        let number = status.to_string();
        let theirs = theirs.get(&number).cloned().unwrap_or_default();
        let ours = exit_status::name(status).unwrap_or_default();
        Row::compared(case("exit status", &number), theirs, ours.to_owned())
    };
    Ok((0..=u8::MAX).map(compare).collect())
}

pub(super) fn capabilities() -> Result<Vec<Row>> {
    let theirs = pairs("capability")?;
    let compare = |(number, name): (usize, &&str)| {
        let number = number.to_string();
        let theirs = theirs.get(&number).cloned().unwrap_or_default();
        Row::compared(
            case("capability", &number),
            theirs.to_uppercase(),
            (*name).to_owned(),
        )
    };
    Ok(CAPABILITIES.iter().enumerate().map(compare).collect())
}

/// What a table of theirs has: the name of each number.
fn pairs(verb: &str) -> Result<BTreeMap<String, String>> {
    let said = ask("systemd-analyze", &["--no-pager", verb])?;
    // The title has no number; not every version can leave it out.
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let (name, number) = (words.next()?, words.next()?);
        let number: u8 = number.parse().ok()?;
        Some((number.to_string(), name.to_owned()))
    };
    Ok(said.stdout.lines().filter_map(line).collect())
}

/// Each side has what only it has.
pub(super) fn syscall_groups() -> Result<Vec<Row>> {
    let said = ask("systemd-analyze", &["--no-pager", "syscall-filter"])?;
    let mut theirs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut group = "";
    for line in said.stdout.lines() {
        let word = line.trim();
        if line.starts_with('@') {
            group = word;
            theirs.insert(group, BTreeSet::new());
        } else if line.starts_with('#') {
            // What no group has is told in the end; @known has it.
            break;
        } else if !word.is_empty() && !word.starts_with('#') {
            theirs.entry(group).or_default().insert(word);
        }
    }
    let mut ours: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, inner, own) in GROUPS {
        ours.insert(name, inner.iter().chain(*own).copied().collect());
    }
    // It is of all that have a name.
    let known = model::tables::syscall_groups::members("@known");
    ours.insert("@known", known.collect());
    let names: BTreeSet<&str> = ours.keys().chain(theirs.keys()).copied().collect();
    let compare = |name: &&str| {
        let mut ours = ours.get(name).cloned().unwrap_or_default();
        let mut theirs = theirs.get(name).cloned().unwrap_or_default();
        if *name == "@known" {
            // Theirs is a list of groups and of what is in none, also of machines that Coracle does not run on.
            let machines = Machine::X86_64.family();
            let is_here = |call: &str| machines.iter().any(|one| one.number(call).is_some());
            theirs.retain(|word| is_here(word));
            ours.retain(|word| theirs.contains(word));
        }
        let only = |these: &BTreeSet<&str>, those: &BTreeSet<&str>| {
            let only: Vec<&str> = these.difference(those).copied().collect();
            only.join(" ")
        };
        Row::compared(
            case("group of system calls", name),
            only(&theirs, &ours),
            only(&ours, &theirs),
        )
    };
    Ok(names.iter().map(compare).collect())
}
