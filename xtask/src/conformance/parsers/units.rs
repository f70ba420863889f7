//! What needs a manager: specifiers as descriptions show them, and conditions as they are met.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use settings::TABLE;

use super::super::UNITS;
use super::super::ours::Ours;
use super::super::report::Row;
use super::super::systemd::{Said, ask, said};
use super::case;

/// Specifiers of control groups, which systemd keeps for old units and does not document.
const OBSOLETE: &str = "crR";

/// What the specifiers stand in.
const AROUND: &[&str] = &["", "x", "%%"];

/// Instances: plain, with a dash, escaped, and empty of what `%j` is.
const INSTANCES: &[&str] = &["a", "a-b", "a\\x2db-c", "usr-lib"];

const CONDITIONS: &[&str] = &[
    "PathExists=/etc/passwd",
    "PathExists=/nope",
    "PathExists=!/nope",
    "PathExists=!/etc/passwd",
    "PathExists=|/nope",
    "PathExists=|!/nope",
    "PathExists=relative",
    "PathExistsGlob=/etc/pass*",
    "PathExistsGlob=/nope*",
    "PathExistsGlob=/etc/[a-p]asswd",
    "PathIsDirectory=/etc",
    "PathIsDirectory=/etc/passwd",
    "PathIsSymbolicLink=/bin",
    "PathIsSymbolicLink=/etc",
    "PathIsMountPoint=/proc",
    "PathIsMountPoint=/etc",
    "PathIsMountPoint=/",
    "PathIsReadWrite=/run",
    "PathIsReadWrite=/sys",
    "PathIsReadWrite=/nope",
    "PathIsSocket=/run/systemd/notify",
    "PathIsSocket=/etc",
    "PathIsEncrypted=/etc",
    "DirectoryNotEmpty=/etc",
    "DirectoryNotEmpty=/nope",
    "FileNotEmpty=/etc/passwd",
    "FileNotEmpty=/etc",
    "FileIsExecutable=/bin/sh",
    "FileIsExecutable=/etc/passwd",
    "Architecture=x86-64",
    "Architecture=native",
    "Architecture=arm64",
    "Virtualization=container",
    "Virtualization=yes",
    "Virtualization=vm",
    "Virtualization=systemd-nspawn",
    "Virtualization=no",
    "Virtualization=private-users",
    "KernelVersion=>=4",
    "KernelVersion=<4",
    "KernelVersion=>=4 <100",
    "KernelVersion=6.*",
    "Security=selinux",
    "Security=apparmor",
    "Capability=CAP_CHOWN",
    "Capability=CAP_SYS_MODULE",
    "ACPower=true",
    "NeedsUpdate=/etc",
    "FirstBoot=no",
    "User=root",
    "User=0",
    "User=@system",
    "User=daemon",
    "Group=root",
    "Group=0",
    "Group=daemon",
    "ControlGroupController=memory",
    "ControlGroupController=v2",
    "ControlGroupController=v1",
    "ControlGroupController=nope",
    "Memory=>1M",
    "Memory=<1M",
    "Memory=>=1T",
    "CPUs=>=1",
    "CPUs=>1000",
    "CPUs=0",
    "Environment=PATH",
    "Environment=NOPE",
    "CPUFeature=sse2",
    "CPUFeature=nope",
    "OSRelease=ID=debian",
    "OSRelease=ID=fedora",
    "KernelCommandLine=nope",
    "KernelCommandLine=!nope",
    "Host=nope",
    "Host=*",
    "KernelModuleLoaded=nope",
    "Credential=nope",
    "MemoryPressure=99%",
    "CPUPressure=99%",
    "Firmware=uefi",
    "Version=systemd >= 1",
];

/// Whether the table says that the condition's test works.
fn is_built(line: &str) -> bool {
    let name = line.split('=').next();
    TABLE
        .iter()
        .any(|row| Some(row.name) == name && row.works())
}

pub(super) fn specifiers() -> Result<Vec<Row>> {
    fs::create_dir_all(UNITS)?;
    let mut cases: Vec<(String, String)> = Vec::new();
    let letters = ('a'..='z').chain('A'..='Z').chain("%1 ".chars());
    let letters = letters.filter(|letter| !OBSOLETE.contains(*letter));
    for letter in letters {
        let texts = AROUND
            .iter()
            .map(|around| format!("{around}%{letter}{around}."));
        for (at, text) in texts.chain([format!("%{letter}%")]).enumerate() {
            let stem = format!("specifier-{}-{at}", u32::from(letter));
            let unit = format!("[Unit]\nDescription={text}\n[Service]\nExecStart=/bin/true\n");
            fs::write(Path::new(UNITS).join(format!("{stem}@.service")), &unit)?;
            fs::write(Path::new(UNITS).join(format!("{stem}.service")), &unit)?;
            cases.push((format!("{stem}.service"), text.clone()));
            let count = if at == 0 { INSTANCES.len() } else { 1 };
            for instance in INSTANCES.iter().take(count) {
                cases.push((format!("{stem}@{instance}.service"), text.clone()));
            }
        }
    }
    ask("systemctl", &["daemon-reload"])?;
    let names: Vec<&str> = cases.iter().map(|(name, _)| name.as_str()).collect();
    let words = [&["show", "-p", "Id,Description"], names.as_slice()].concat();
    let theirs = descriptions(&ask("systemctl", &words)?);
    let instance = Ours::new();
    let ours = descriptions(&instance.ask(&words)?);
    let of =
        |all: &BTreeMap<String, String>, name: &String| all.get(name).cloned().unwrap_or_default();
    let compare = |(name, text): &(String, String)| {
        let title = case("specifier", &format!("{text} in {name}"));
        Row::compared(title, of(&theirs, name), of(&ours, name))
    };
    Ok(cases.iter().map(compare).collect())
}

fn descriptions(said: &Said) -> BTreeMap<String, String> {
    let unit = |block: &str| {
        let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        Some((
            value("Id=")?.to_owned(),
            value("Description=").unwrap_or_default().to_owned(),
        ))
    };
    said.stdout.split("\n\n").filter_map(unit).collect()
}

pub(super) fn conditions() -> Result<Vec<Row>> {
    let instance = Ours::new();
    let mut rows = Vec::new();
    for (at, condition) in CONDITIONS.iter().enumerate() {
        let line = format!("Condition{condition}");
        if !is_built(&line) {
            continue;
        }
        let checked = said(Command::new("systemd-analyze").args(["condition", &line]))?;
        let name = format!("condition-{at}.service");
        let unit = format!("[Unit]\n{line}\n[Service]\nType=oneshot\nExecStart=/bin/true\n");
        instance.0.unit(&name, &unit);
        instance.ask(&["start", &name])?;
        let result = instance.ask(&["show", "-p", "ConditionResult", "--value", &name])?;
        let met = |met: bool| if met { "met" } else { "not met" }.to_owned();
        let ours = match result.stdout.trim() {
            "yes" => met(true),
            "no" => met(false),
            other => format!("{other:?}"),
        };
        rows.push(Row::compared(
            case("condition", &line),
            met(checked.is_success),
            ours,
        ));
    }
    Ok(rows)
}
