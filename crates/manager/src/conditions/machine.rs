//! Conditions on the machine: processor, memory, firmware, kernel, names.

use super::{Host, compare, line, text, there, virtualization};
use model::TextForm;
use model::text::{Verbatim, parse_bool};
use model::value::ByteSize;

/// Architectures by what uname(2) calls them.
const MACHINES: &[(&str, &str)] = &[
    ("x86_64", "x86-64"),
    ("i686", "x86"),
    ("i586", "x86"),
    ("i486", "x86"),
    ("i386", "x86"),
    ("aarch64", "arm64"),
    ("aarch64_be", "arm64-be"),
    ("armv8l", "arm"),
    ("armv7l", "arm"),
    ("armv6l", "arm"),
    ("ppc64le", "ppc64-le"),
    ("ppcle", "ppc-le"),
];

/// The machine's own.
pub(super) fn native() -> Option<String> {
    let uname = rustix::system::uname();
    let machine = uname.machine().to_str().ok()?;
    let known = MACHINES.iter().find(|(known, _)| *known == machine);
    Some(known.map_or(machine, |(_, name)| name).to_owned())
}

pub(super) fn architecture(name: &str, host: &mut Host) -> Option<bool> {
    let found = native()?;
    host.found.push_str(&found);
    let wanted = if name == "native" {
        host.facts.architecture
    } else {
        name
    };
    Some(wanted == found)
}

/// Features of x86 that are asked for by the names of the CPUID instruction's manual.
const FEATURES: &str = " fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht pni \
    pclmul monitor ssse3 fma3 cx16 sse4_1 sse4_2 movbe popcnt aes xsave osxsave avx f16c rdrand bmi1 avx2 bmi2 rdseed adx sha_ni \
    syscall rdtscp lm lahf_lm abm constant_tsc ";

/// Those that the kernel's list calls otherwise. It has constant_tsc also where the counter stops in sleep.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("pclmul", "pclmulqdq"),
    ("fma3", "fma"),
    ("osxsave", "xsave"),
    ("constant_tsc", "nonstop_tsc"),
];

pub(super) fn cpu_feature(text: &str, host: &mut Host) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let name = match text.split_once('.') {
        Some((machine, _)) if !architecture(machine, host)? => return Some(false),
        Some((_, name)) => name,
        None => &text,
    };
    host.found.clear();
    let (is_known, label) = match host.facts.architecture {
        "x86" | "x86-64" => (FEATURES.contains(&format!(" {name} ")), "flags"),
        "arm64" => (true, "Features"),
        _ => return Some(false),
    };
    let other = OTHER_NAMES.iter().find(|(known, _)| *known == name);
    let name = other.map_or(name, |(_, other)| other);
    Some(is_known && cpu_line(label)?.split(' ').any(|feature| feature == name))
}

/// What the kernel says of the first processor under a label.
pub(super) fn cpu_line(label: &str) -> Option<String> {
    let table = text("/proc/cpuinfo")?;
    let line = table.lines().find(|line| line.starts_with(label))?;
    Some(line.split_once(": ")?.1.to_owned())
}

pub(super) fn cpus(text: &str, host: &mut Host) -> Option<bool> {
    let set = rustix::thread::sched_getaffinity(None).ok()?;
    let found = u64::from(set.count());
    host.found = found.to_string();
    compare::number(text, found, |text| text.parse::<u32>().ok().map(u64::from))
}

/// What the machine has, or what the container that we are in may use.
pub(super) fn memory(text: &str, host: &mut Host) -> Option<bool> {
    let bound = line(&format!("{}/memory.max", host.facts.cgroup.mount));
    let bound = bound.parse().unwrap_or(u64::MAX);
    let found = host.facts.memory_bytes.min(bound);
    host.found = format!("{found} bytes");
    let read = |text: &str| Some(ByteSize::parse_with(text, &Verbatim).ok()?.0);
    compare::number(text, found, read)
}

/// The firmware is EFI; inside a container it is somebody else's.
pub(super) fn is_efi() -> bool {
    virtualization::container().is_none() && there("/sys/firmware/efi")
}

pub(super) fn firmware(text: &str, _: &mut Host) -> Option<bool> {
    let argument = |name: &str| text.strip_prefix(name)?.strip_suffix(')');
    match text {
        "uefi" => Some(is_efi()),
        "device-tree" => Some(there("/sys/firmware/devicetree")),
        text if text.starts_with("smbios-field(") => {
            let (field, operator, wanted) = compare::expression(argument("smbios-field(")?)?;
            let field = field.trim_end();
            let mut words = model::text::split_words(wanted).ok()?;
            let (Some(wanted), true) = (words.pop(), words.is_empty()) else {
                return None;
            };
            if !is_file_name(field) {
                return None;
            }
            let found = super::text(&format!("/sys/class/dmi/id/{field}"));
            Some(found.is_some_and(|found| operator.compare(found.trim_end(), &wanted)))
        }
        _ => Some(argument("device-tree-compatible(").is_some_and(|wanted| {
            let found = super::text("/proc/device-tree/compatible").unwrap_or_default();
            found.ends_with('\0') && found.split('\0').any(|found| found == wanted)
        })),
    }
}

pub(super) fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && !matches!(name, "." | "..") && name.len() <= 255
}

/// Names that an id may be: the machine's, the boot's, the product's.
const IDS: &[&str] = &[
    "/etc/machine-id",
    "/proc/sys/kernel/random/boot_id",
    "/sys/class/dmi/id/product_uuid",
];

pub(super) fn host(text: &str, host: &mut Host) -> Option<bool> {
    let name = rustix::system::uname();
    let name = name.nodename().to_str().ok()?;
    host.found.push_str(name);
    Some(is_host(text, IDS.iter().map(|path| line(path)), name))
}

/// Is this host meant by an id, or by a pattern of its name, in which capitals don't count?
pub(super) fn is_host(text: &str, ids: impl Iterator<Item = String>, name: &str) -> bool {
    let plain = |id: &str| id.replace('-', "").to_ascii_lowercase();
    let wanted = plain(text);
    let is_id = wanted.len() == 32 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && ids.into_iter().any(|id| plain(&id) == wanted))
        || model::pattern::fits(&text.to_ascii_lowercase(), &name.to_ascii_lowercase())
}

/// The kernel's command line; in a container, that of its first process.
fn command_line() -> Vec<String> {
    let line = if virtualization::container().is_some() {
        text("/proc/1/cmdline").map(|line| line.replace('\0', " "))
    } else {
        text("/proc/cmdline")
    };
    let line = line.unwrap_or_default();
    let plain = || line.split_whitespace().map(str::to_owned).collect();
    // What has an open quote is no list of words: it is taken as it is.
    model::text::split_names(&line).unwrap_or_else(|_| plain())
}

/// What the command line says of a switch.
pub(super) fn switch(name: &str) -> Option<bool> {
    let words = command_line();
    words.iter().rev().find_map(|word| {
        let rest = word.strip_prefix(name)?;
        match rest.strip_prefix('=') {
            Some(value) => parse_bool(value),
            None => rest.is_empty().then_some(true),
        }
    })
}

pub(super) fn on_command_line(word: &str, _: &mut Host) -> Option<bool> {
    Some(has_word(&command_line(), word))
}

/// Whether a word is there as it is, or before an `=`.
pub(super) fn has_word(words: &[String], word: &str) -> bool {
    let is_assigned = |found: &String| {
        let value = found.strip_prefix(word);
        value.is_some_and(|value| value.starts_with('=')) && !word.contains('=')
    };
    words
        .iter()
        .any(|found| found == word || is_assigned(found))
}

pub(super) fn module(name: &str, _: &mut Host) -> Option<bool> {
    let name = name.replace('-', "_");
    // Before anything is looked at: a path would lead elsewhere.
    if !is_file_name(&name) {
        return Some(false);
    }
    let directory = format!("/sys/module/{name}");
    // What is built in has no state.
    let is_live = matches!(
        line(&format!("{directory}/initstate")).as_str(),
        "" | "live"
    );
    Some(is_live && there(&directory))
}

pub(super) fn tag(pattern: &str, _: &mut Host) -> Option<bool> {
    let info = text("/etc/machine-info").unwrap_or_default();
    let tags = load::assigned(&info, "TAGS").unwrap_or_default();
    Some(has_tag(&tags, pattern))
}

/// Whether a pattern fits one of the tags between colons; what is no tag counts as none.
pub(super) fn has_tag(tags: &str, pattern: &str) -> bool {
    let is_label = |text: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(allowed)
    };
    let is_value = |c: char| c.is_ascii_alphanumeric() || "-.=".contains(c);
    let is_tag = |tag: &&str| {
        let (label, value) = tag.split_once('=').unwrap_or((tag, ""));
        tag.len() <= 255 && is_label(label) && value.chars().all(is_value)
    };
    let mut tags = tags.split(':').filter(is_tag);
    tags.any(|tag| model::pattern::fits(pattern, tag))
}

pub(super) fn first_boot(text: &str, host: &mut Host) -> Option<bool> {
    let wanted = parse_bool(text)?;
    Some(is_first_boot(host.is_init) == wanted)
}

pub(super) fn is_first_boot(is_init: bool) -> bool {
    switch("systemd.condition_first_boot").unwrap_or_else(|| {
        let id = line("/etc/machine-id");
        there("/run/systemd/first-boot") || (is_init && matches!(id.as_str(), "" | "uninitialized"))
    })
}

pub(super) fn power(text: &str, _: &mut Host) -> Option<bool> {
    let wanted = parse_bool(text)?;
    Some(on_mains("/sys/class/power_supply") == wanted)
}

/// On mains unless a battery is being emptied and no supply is on.
pub(super) fn on_mains(supplies: &str) -> bool {
    let mut is_emptied = false;
    for supply in super::names(supplies) {
        let field = |name: &str| line(&format!("{supplies}/{supply}/{name}"));
        match field("type").as_str() {
            "" => {}
            "Battery" => {
                is_emptied |= field("scope") != "Device"
                    && field("present") != "0"
                    && matches!(field("status").as_str(), "" | "Discharging");
            }
            _ if !matches!(field("online").as_str(), "" | "0") => return true,
            _ => {}
        }
    }
    !is_emptied
}
