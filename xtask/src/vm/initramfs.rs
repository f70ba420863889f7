//! Writes an initramfs: an archive in the "newc" form of cpio (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const CONSOLE: u32 = 0o020_600;
/// Device numbers of `/dev/console`: the kernel opens it for the first process before any file system is mounted.
const CONSOLE_NUMBER: (u32, u32) = (5, 1);

/// An archive that grows; folders are made as files need them.
pub(super) struct Initramfs {
    bytes: Vec<u8>,
    entries: u32,
    folders: BTreeSet<String>,
}

impl Initramfs {
    pub(super) fn new() -> Initramfs {
        let mut archive = Initramfs {
            bytes: Vec::new(),
            entries: 0,
            folders: BTreeSet::new(),
        };
        archive.folder("dev");
        archive.entry("dev/console", CONSOLE, CONSOLE_NUMBER, &[]);
        archive
    }

    /// Adds a copy of a file of this machine, with its permissions.
    pub(super) fn file(&mut self, name: &str, from: &Path) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        let mode = fs::metadata(from)?.permissions().mode() & 0o777;
        self.parents(name);
        self.entry(name, FILE | mode, (0, 0), &bytes);
        Ok(())
    }

    /// Adds a file with these bytes.
    pub(super) fn text(&mut self, name: &str, bytes: &[u8]) {
        self.parents(name);
        self.entry(name, FILE | 0o644, (0, 0), bytes);
    }

    /// The archive, closed.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn parents(&mut self, name: &str) {
        for (at, _) in name.match_indices('/') {
            self.folder(&name[..at]);
        }
    }

    fn folder(&mut self, name: &str) {
        if self.folders.insert(name.to_owned()) {
            self.entry(name, DIRECTORY, (0, 0), &[]);
        }
    }

    /// Thirteen numbers of eight hexadecimal digits, the name, the bytes; name and bytes are padded to four.
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), bytes: &[u8]) {
        self.entries += 1;
        let links = if mode & 0o170_000 == 0o040_000 { 2 } else { 1 };
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let numbers = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            device.0,
            device.1,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for number in numbers {
            self.bytes
                .extend_from_slice(format!("{number:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
