//! What unit files may say about this host by specifiers, read once.

use load::{OsRelease, SpecifierContext};

/// Bytes of a small file of the host that is read.
const SMALL_FILE_BYTES_MAX: usize = 64 << 10;

/// The specifiers' values on this host.
pub(crate) fn specifiers() -> SpecifierContext {
    let names = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    SpecifierContext {
        host_name: text(names.nodename()),
        kernel_release: text(names.release()),
        architecture: text(names.machine()).replace('_', "-"),
        machine_id: small_file("/etc/machine-id")
            .map(|id| id.trim().to_owned())
            .filter(|id| id.len() == 32),
        boot_id: small_file("/proc/sys/kernel/random/boot_id")
            .unwrap_or_default()
            .trim()
            .replace('-', ""),
        os: small_file("/etc/os-release")
            .map(|text| OsRelease::parse(&text))
            .unwrap_or_default(),
        ..SpecifierContext::default()
    }
}

fn small_file(path: &str) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .filter(|text| text.len() <= SMALL_FILE_BYTES_MAX)
}
