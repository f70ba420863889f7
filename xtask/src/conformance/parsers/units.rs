//! What needs a manager: specifiers as descriptions show them, and conditions as they are met.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

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
    "PathExistsGlob=/etc/[[:lower:]]asswd",
    "PathExistsGlob=/etc/[[:digit:]]asswd",
    "PathExistsGlob=/etc/[]p]asswd",
    "PathExistsGlob=/etc/\\passwd",
    "PathExistsGlob=/etc/pass\\w*",
    "PathExistsGlob=/etc/pass\\*",
    "PathExistsGlob=/etc/{nope,passw{d,e}}",
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
    "Virtualization=none",
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
    "Version=systemd <262",
    "Version=systemd >=262",
    "Version=systemd $=26*",
    "Version=kernel >=4 <100",
    "Version=>=4",
    "Version=glibc >=2",
    "Version=glibc >=1000",
    "KernelVersion=>= 4",
    "KernelVersion=>=4 < 100",
    "KernelVersion=!=4",
    "KernelVersion=!$=4.*",
    "KernelVersion=<>4",
    "Architecture=!x86-64",
    "Architecture=nope",
    "CPUFeature=x86-64.sse2",
    "CPUFeature=arm64.sse2",
    "CPUFeature=fma3",
    "CPUFeature=FPU",
    "CPUFeature=osxsave",
    "CPUFeature=constant_tsc",
    "CPUFeature=avx512f",
    "CPUs=nope",
    "CPUs= 1",
    "CPUs=!=1000",
    "Memory=nope",
    "Memory=>= 1M",
    "Memory=1.5K",
    "Memory=!=1M",
    "Memory=$=1M",
    "Capability=cap_chown",
    "Capability=nope",
    "Capability=!nope",
    "ControlGroupController=memory pids",
    "ControlGroupController=memory cpuacct",
    "ControlGroupController=memory nope",
    "Credential=a/b",
    "DirectoryNotEmpty=/etc/passwd",
    "DirectoryNotEmpty=/var/lib/only-hidden",
    "DirectoryNotEmpty=/var/lib/only-backups",
    "DirectoryNotEmpty=/var/lib/one-file",
    "Environment=PATH=nope",
    "Firmware=device-tree",
    "Firmware=device-tree-compatible(nope)",
    "Firmware=smbios-field(nope = nope)",
    "Firmware=smbios-field(sys_vendor $= *)",
    "Firmware=smbios-field(nope)",
    "Firmware=nope",
    "FirstBoot=yes",
    "FirstBoot=nope",
    "Fraction=0%",
    "Fraction=100%",
    "Fraction=101%",
    "Fraction=nope",
    "Fraction=a b 50%",
    "Fraction=50%",
    "Fraction=!50%",
    "Fraction=one 50%",
    "Fraction=two 50%",
    "Fraction=three 50%",
    "Fraction=four 50%",
    "Fraction=five 50%",
    "Fraction=six 50%",
    "Fraction=seven 12.34%",
    "Fraction=eight 87.5%",
    "Group=!root",
    "Group=65533",
    "Group=nope",
    "User=nope",
    "User=nobody",
    "KernelModuleLoaded=random",
    "KernelModuleLoaded=loop",
    "KernelModuleLoaded=..",
    "KernelModuleLoaded=nf-conntrack",
    "MachineTag=webserver",
    "MachineTag=role",
    "MachineTag=role=*",
    "MachineTag=role=database",
    "MachineTag=-wrong",
    "MemoryPressure=100%/10sec",
    "MemoryPressure=0%/10hours",
    "MemoryPressure=nope",
    "MemoryPressure=-.slice:100%/1min",
    "MemoryPressure=nope.slice:0%",
    "MemoryPressure=nope.service:100%",
    "IOPressure=100%",
    "IOPressure=101%",
    "CPUPressure=100% / 5min",
    "CPUPressure=!100%",
    "NeedsUpdate=/var",
    "NeedsUpdate=/nope",
    "NeedsUpdate=/sys",
    "NeedsUpdate=etc",
    "OSRelease=VERSION_ID>=1",
    "OSRelease=NOPE=",
    "OSRelease=NOPE=x",
    "OSRelease=ID$=deb*",
    "OSRelease=ID!$=deb*",
    "OSRelease=ID!=fedora",
    "OSRelease=ID",
    "OSRelease=ID= debian",
    "OSRelease=ID=debian NOPE!=x",
    "PathExistsGlob=/etc/{nope,passwd}",
    "PathExistsGlob=/etc/{nope,none}",
    "PathExistsGlob=/var/lib/only-hidden/*",
    "PathExistsGlob=/var/lib/only-hidden/.h*",
    "PathExistsGlob=/etc/passwd",
    "PathIsEncrypted=/nope",
    "PathIsMountPoint=/var/lib/link-to-proc",
    "PathIsMountPoint=//proc/",
    "PathIsReadWrite=/proc/sys",
    "Security=audit",
    "Security=smack",
    "Security=tomoyo",
    "Security=ima",
    "Security=uefi-secureboot",
    "Security=tpm2",
    "Security=cvm",
    "Security=measured-uki",
    "Security=measured-os",
    "Security=nope",
    "Virtualization=docker",
    "Virtualization=kvm",
    "Virtualization=!container",
    "Virtualization=nope",
];

/// What cases look at besides what the container has.
fn scenery() -> Result<()> {
    let lib = Path::new("/var/lib");
    for (directory, file) in [
        ("only-hidden", ".hidden"),
        ("only-backups", "web.conf.dpkg-old"),
        ("one-file", "web.conf"),
    ] {
        fs::create_dir_all(lib.join(directory))?;
        fs::write(lib.join(directory).join(file), "x\n")?;
    }
    std::os::unix::fs::symlink("/proc", lib.join("link-to-proc"))?;
    let tags = "TAGS=webserver:role=database:-wrong\n";
    Ok(fs::write("/etc/machine-info", tags)?)
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
        Row::compared(title, of(&theirs, name), as_default(&of(&ours, name)))
    };
    Ok(cases.iter().map(compare).collect())
}

/// The text as the default instance has it: others have their credentials in a directory of their own.
fn as_default(text: &str) -> String {
    const OWN: &str = "/run/credentials/coracle-";
    match text
        .split_once(OWN)
        .map(|(before, rest)| (before, rest.split_once('/')))
    {
        Some((before, Some((_, rest)))) => format!("{before}/run/credentials/{rest}"),
        _ => text.to_owned(),
    }
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
    scenery()?;
    let instance = Ours::new();
    let mut rows = Vec::new();
    for (at, condition) in CONDITIONS.iter().enumerate() {
        let line = format!("Condition{condition}");
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
