//! What specifiers stand for on a host, gathered from its files: one place for whoever loads units.

use std::path::Path;

use crate::specifier::{OsRelease, SpecifierContext, assigned};
use crate::tree::{Content, Tree};

/// Longest of these files that is read, in bytes; os-release(5) files have about a kilobyte.
const MAX_FILE_BYTES: usize = 64 << 10;

/// Root's shell, where it is there.
const BASH: &str = "/bin/bash";

impl SpecifierContext {
    /// The values for the host that `tree` shows; what is not there stays as the default has it.
    #[must_use]
    pub fn of_host(tree: &impl Tree) -> Self {
        let file = |path: &str| text(tree, path);
        let line = |path: &str| file(path).map(|text| text.trim().to_owned());
        let bare = Self::default();
        Self {
            host_name: line("/proc/sys/kernel/hostname").unwrap_or(bare.host_name),
            pretty_host_name: file("/etc/machine-info")
                .and_then(|text| assigned(&text, "PRETTY_HOSTNAME"))
                .filter(|name| !name.is_empty()),
            // Root's shell is not looked up, as in the reference: its table may be a network's.
            shell: match tree.read(Path::new(BASH), 0) {
                Ok(Content::TooLarge) => BASH.to_owned(),
                _ => bare.shell,
            },
            kernel_release: line("/proc/sys/kernel/osrelease").unwrap_or_default(),
            architecture: architecture().to_owned(),
            machine_id: line("/etc/machine-id")
                .filter(|id| id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit())),
            boot_id: line("/proc/sys/kernel/random/boot_id")
                .unwrap_or_default()
                .replace('-', ""),
            os: file("/etc/os-release")
                .or_else(|| file("/usr/lib/os-release"))
                .map(|text| OsRelease::parse(&text))
                .unwrap_or_default(),
            ..bare
        }
    }
}

/// The machine's architecture, by the name that unit files use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A file that can't be read is one that is not there: a specifier never keeps a unit from loading.
fn text(tree: &impl Tree, path: &str) -> Option<String> {
    match tree.read(Path::new(path), MAX_FILE_BYTES) {
        Ok(Content::Bytes(bytes)) => String::from_utf8(bytes).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryTree;

    #[test]
    fn a_host_says_its_names_and_ids() {
        let mut tree = MemoryTree::new();
        tree.write("/proc/sys/kernel/hostname", "coast\n")
            .write("/proc/sys/kernel/osrelease", "6.12.1\n")
            .write(
                "/proc/sys/kernel/random/boot_id",
                "01234567-89ab-cdef-0123-456789abcdef\n",
            )
            .write("/etc/machine-id", "00112233445566778899aabbccddeeff\n")
            .write("/bin/bash", "\x7fELF")
            .write("/etc/machine-info", "PRETTY_HOSTNAME=\"The Coast\"\n")
            .write("/usr/lib/os-release", "ID=debian\nVERSION_ID=\"13\"\n");
        let host = SpecifierContext::of_host(&tree);
        assert_eq!(host.host_name, "coast");
        assert_eq!(host.pretty_host_name.as_deref(), Some("The Coast"));
        assert_eq!(host.kernel_release, "6.12.1");
        assert_eq!(host.shell, "/bin/bash");
        assert_eq!(host.boot_id, "0123456789abcdef0123456789abcdef");
        assert_eq!(
            host.machine_id.as_deref(),
            Some("00112233445566778899aabbccddeeff")
        );
        assert_eq!(
            (host.os.id.as_str(), host.os.version_id.as_str()),
            ("debian", "13")
        );
    }

    #[test]
    fn a_host_without_files_and_one_with_wrong_ones_still_have_values() {
        let mut tree = MemoryTree::new();
        assert_eq!(
            SpecifierContext::of_host(&tree),
            SpecifierContext {
                architecture: architecture().to_owned(),
                ..SpecifierContext::default()
            }
        );
        tree.write("/etc/machine-id", "uninitialized\n")
            .write("/etc/os-release", vec![0xff, 0xfe])
            .write("/etc/machine-info", vec![b'A'; MAX_FILE_BYTES + 1]);
        let host = SpecifierContext::of_host(&tree);
        assert_eq!(host.machine_id, None);
        assert_eq!(host.os, OsRelease::default());
        assert_eq!(host.pretty_host_name, None);
    }
}
