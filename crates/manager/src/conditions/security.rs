//! `ConditionSecurity=`: which of the kernel's and the firmware's protections are on.

use super::machine::{is_efi, switch};
use super::{Host, there};
use std::os::unix::fs::FileExt;

pub(super) fn is_on(name: &str, host: &mut Host) -> Option<bool> {
    Some(match name {
        "selinux" => host.facts.selinux,
        "apparmor" => host.facts.apparmor,
        "smack" => host.facts.smack,
        "tomoyo" => there("/sys/kernel/security/tomoyo/version"),
        "ima" => there("/sys/kernel/security/ima"),
        "audit" => has_audit(),
        "uefi-secureboot" => boots_securely(),
        "tpm2" => has_tpm(),
        "cvm" => is_confidential(),
        "measured-uki" => is_measured(),
        "measured-os" => switch("systemd.tpm2_measured_os").unwrap_or_else(is_measured),
        _ => false,
    })
}

/// The kernel's audit can be spoken to.
fn has_audit() -> bool {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
    socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::AUDIT),
    )
    .is_ok()
}

/// Whether the firmware starts only what is signed (UEFI 2.10, 3.3).
pub(crate) fn boots_securely() -> bool {
    is_efi() && variable(SECURE_BOOT).is_some_and(|value| value == [1])
}

const SECURE_BOOT: &str = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Where the stub that booted us says into which register it measured.
const MEASURED: &str = "StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// A variable of the firmware, without the four bytes of attributes in front.
fn variable(name: &str) -> Option<Vec<u8>> {
    let bytes = std::fs::read(format!("/sys/firmware/efi/efivars/{name}")).ok()?;
    bytes.get(4..).map(<[u8]>::to_vec)
}

fn has_tpm() -> bool {
    is_efi()
        && there("/sys/class/tpmrm")
        && (there("/sys/kernel/security/tpm0/binary_bios_measurements")
            || there("/sys/firmware/acpi/tables/TPM2"))
}

/// The whole kernel image was measured into register 11, and there is something that could measure.
fn is_measured() -> bool {
    let eleven = [b'1', 0, b'1', 0];
    has_tpm() && variable(MEASURED).is_some_and(|value| value.starts_with(&eleven))
}

/// Memory that the host can't read: Intel's guests say it in a flag, AMD's in a register (AMD64 manual, volume 2, 15.34.10).
fn is_confidential() -> bool {
    const SEV_STATUS: u64 = 0xc001_0131;
    const ACTIVE: u8 = 0b111;
    let flags = super::machine::cpu_line("flags").unwrap_or_default();
    let mut status = [0; 8];
    let read = std::fs::File::open("/dev/cpu/0/msr")
        .and_then(|registers| registers.read_exact_at(&mut status, SEV_STATUS));
    flags.split(' ').any(|flag| flag == "tdx_guest")
        || (read.is_ok() && status.first().is_some_and(|low| low & ACTIVE != 0))
}
