//! `ConditionVirtualization=`: what runs this system, the innermost one if there are several.

use super::{Host, line, text, there};
use std::sync::OnceLock;

/// What the test says of a container or virtual machine of no known kind.
const OTHER_CONTAINER: &str = "container-other";
const OTHER_MACHINE: &str = "vm-other";

pub(super) fn is(name: &str, host: &mut Host) -> Option<bool> {
    if name == "private-users" {
        return Some(in_user_namespace());
    }
    let container = container();
    let found = container.or_else(machine);
    host.found.push_str(found.unwrap_or("none"));
    Some(is_meant(name, container, found))
}

/// The same as generators are told it; nothing on a machine of its own.
pub(super) fn described() -> Option<String> {
    let of = |kind: &str, found: &str| format!("{kind}:{found}");
    let container = container().map(|found| of("container", found));
    container.or_else(|| machine().map(|found| of("vm", found)))
}

/// Does a name mean the container that we are in, or else the machine? Both have none on a machine of its own.
pub(super) fn is_meant(name: &str, container: Option<&str>, found: Option<&str>) -> bool {
    match (name, model::text::parse_bool(name)) {
        (_, Some(wanted)) => found.is_some() == wanted,
        ("none", _) => found.is_none(),
        ("vm", _) => container.is_none() && found.is_some(),
        ("container", _) => container.is_some(),
        _ => found == Some(name),
    }
}

/// The first user namespace has a fixed number.
fn in_user_namespace() -> bool {
    const FIRST: &str = "user:[4026531837]";
    std::fs::read_link("/proc/self/ns/user").is_ok_and(|link| link.as_os_str() != FIRST)
}

const CONTAINERS: &[&str] = &[
    "lxc",
    "lxc-libvirt",
    "systemd-nspawn",
    "docker",
    "podman",
    "rkt",
    "wsl",
    "proot",
    "pouch",
];

/// The container that we are in.
pub(super) fn container() -> Option<&'static str> {
    static FOUND: OnceLock<Option<&str>> = OnceLock::new();
    *FOUND.get_or_init(look_for_container)
}

fn look_for_container() -> Option<&'static str> {
    if there("/proc/vz") && !there("/proc/bc") {
        return Some("openvz");
    }
    let release = line("/proc/sys/kernel/osrelease");
    if release.contains("Microsoft") || release.contains("WSL") {
        return Some("wsl");
    }
    let status = text("/proc/self/status").unwrap_or_default();
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    let tracer = tracer.map_or("0", str::trim);
    if tracer != "0" && line(&format!("/proc/{tracer}/comm")).starts_with("proot") {
        return Some("proot");
    }
    match said().as_str() {
        "" => of_files().or_else(|| in_group_namespace().then_some(OTHER_CONTAINER)),
        "oci" => Some(of_files().unwrap_or(OTHER_CONTAINER)),
        name => {
            let known = CONTAINERS.iter().find(|known| **known == name);
            Some(known.unwrap_or(&OTHER_CONTAINER))
        }
    }
}

/// What the container's manager says of itself, where it does.
fn said() -> String {
    let places = ["/run/host/container-manager", "/run/systemd/container"];
    let written = places.iter().map(|path| line(path));
    let environment = text("/proc/1/environ").unwrap_or_default();
    let variable = environment
        .split('\0')
        .find_map(|variable| variable.strip_prefix("container="));
    let all = written.chain(variable.map(str::to_owned));
    all.into_iter()
        .find(|said| !said.is_empty())
        .unwrap_or_default()
}

fn of_files() -> Option<&'static str> {
    let files = [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")];
    let found = files.into_iter().find(|(path, _)| there(path));
    found.map(|(_, name)| name)
}

/// The first namespace of control groups has a fixed number.
fn in_group_namespace() -> bool {
    const FIRST: &str = "cgroup:[4026531835]";
    std::fs::read_link("/proc/self/ns/cgroup").is_ok_and(|link| link.as_os_str() != FIRST)
}

/// What the firmware's texts begin with.
const FIRMWARE: &[(&str, &str)] = &[
    ("KVM", "kvm"),
    ("OpenStack", "kvm"),
    ("KubeVirt", "kvm"),
    ("Amazon EC2", "amazon"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VMW", "vmware"),
    ("innotek GmbH", "oracle"),
    ("VirtualBox", "oracle"),
    ("Xen", "xen"),
    ("Bochs", "bochs"),
    ("Parallels", "parallels"),
    ("BHYVE", "bhyve"),
    ("Hyper-V", "microsoft"),
    ("Apple Virtualization", "apple"),
    ("Google Compute Engine", "google"),
];

/// What a hypervisor says of itself to the processor's CPUID instruction.
const PROCESSOR: &[(&str, &str)] = &[
    ("XenVMMXenVMM", "xen"),
    ("KVMKVMKVM", "kvm"),
    ("Linux KVM Hv", "kvm"),
    ("TCGTCGTCGTCG", "qemu"),
    ("VMwareVMware", "vmware"),
    ("Microsoft Hv", "microsoft"),
    ("bhyve bhyve ", "bhyve"),
    ("QNXQVMBSQG", "qnx"),
    ("ACRNACRNACRN", "acrn"),
    ("SRESRESRESRE", "sre"),
];

/// The virtual machine that we are in.
fn machine() -> Option<&'static str> {
    static FOUND: OnceLock<Option<&str>> = OnceLock::new();
    *FOUND.get_or_init(look_for_machine)
}

fn look_for_machine() -> Option<&'static str> {
    let firmware = of_firmware();
    // These hide behind another one that the processor would name.
    if let Some(found @ ("oracle" | "xen" | "amazon" | "parallels" | "google")) = firmware {
        return Some(found);
    }
    let vendor = super::machine::cpu_line("vendor_id").unwrap_or_default();
    if vendor.starts_with("User Mode Linux") {
        return Some("uml");
    }
    let in_xen = there("/proc/xen");
    let is_xens_master = line("/proc/xen/capabilities")
        .split(',')
        .any(|word| word == "control_d");
    if in_xen && !is_xens_master {
        return Some("xen");
    }
    let processor = kernel::probe::hypervisor().map(|name| named(PROCESSOR, &name));
    if let Some(Some(found)) = processor {
        return Some(found);
    }
    let other = processor.map(|_| OTHER_MACHINE);
    if in_xen {
        return other;
    }
    let type_of_hypervisor = match line("/sys/hypervisor/type").as_str() {
        "" => None,
        "xen" => Some("xen"),
        _ => Some(OTHER_MACHINE),
    };
    let found = firmware.or(type_of_hypervisor).or_else(of_device_tree);
    found.or_else(of_mainframe).or(other)
}

/// The name that a text begins with.
fn named(table: &[(&str, &'static str)], text: &str) -> Option<&'static str> {
    let found = table.iter().find(|(begin, _)| text.starts_with(begin));
    found.map(|(_, name)| *name)
}

fn of_firmware() -> Option<&'static str> {
    let fields = [
        "product_name",
        "sys_vendor",
        "board_vendor",
        "bios_vendor",
        "product_version",
    ];
    let field = |name: &str| line(&format!("/sys/class/dmi/id/{name}"));
    let found = fields.iter().find_map(|name| named(FIRMWARE, &field(name)));
    match found {
        // The same firmware is on machines that nobody shares.
        Some("amazon") => match says_virtual() {
            Some(is_virtual) => is_virtual.then_some("amazon"),
            None => (!field("product_name").ends_with(".metal")).then_some("amazon"),
        },
        None => (says_virtual() == Some(true)).then_some(OTHER_MACHINE),
        found => found,
    }
}

/// The bit of the SMBIOS table that says so (specification, 7.1.2.2).
fn says_virtual() -> Option<bool> {
    let table = std::fs::read("/sys/firmware/dmi/entries/0-0/raw").ok()?;
    let length = *table.get(1)?;
    (length >= 20)
        .then(|| table.get(19))?
        .map(|byte| byte & 1 << 4 != 0)
}

fn of_device_tree() -> Option<&'static str> {
    let has = |name: &str| there(&format!("/proc/device-tree/{name}"));
    match text("/proc/device-tree/hypervisor/compatible") {
        Some(name) if name.starts_with("linux,kvm") => Some("kvm"),
        Some(name) if name.contains("xen") => Some("xen"),
        Some(name) if name.contains("vmware") => Some("vmware"),
        Some(_) => Some(OTHER_MACHINE),
        None if has("ibm,partition-name") && has("hmc-managed?") => {
            (!has("chosen/qemu,graphic-width")).then_some("powervm")
        }
        None => {
            let mut names = super::names("/proc/device-tree");
            let is_qemu = names.any(|name| name.contains("fw-cfg"));
            is_qemu.then_some("qemu")
        }
    }
}

fn of_mainframe() -> Option<&'static str> {
    let table = text("/proc/sysinfo")?;
    let program = table
        .lines()
        .find_map(|line| line.strip_prefix("VM00 Control Program:"))?;
    Some(if program.trim().starts_with("z/VM") {
        "zvm"
    } else {
        "kvm"
    })
}
