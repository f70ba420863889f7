//! An image's data through dm-verity: each block is checked by the kernel when it is read.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use kernel::device_mapper;
use rustix::io::Errno;

use super::{MountError, Step, loop_device, open};
use crate::dissect::Layout;
use crate::source::Extent;
use crate::verify::{Tree, Verified};
use crate::verity::RootHash;

/// Bytes of a sector, as device mapper counts.
const SECTOR_BYTES: u64 = 512;

/// A device that goes with its last user. Both loop devices below it are its own.
pub(super) struct Mapped {
    control: OwnedFd,
    name: String,
    path: String,
}

/// Device mapper itself.
pub(super) fn control() -> Result<OwnedFd, Errno> {
    open("/dev/mapper/control")
}

impl Mapped {
    /// The device of an image whose hash tree is known; none where device mapper is not there, and the data was looked at before.
    pub(super) fn new(
        file: &File,
        aside: Option<&File>,
        verified: &Verified<Layout>,
    ) -> Result<Option<Self>, MountError> {
        let (layout, record) = (verified.get(), verified.record());
        let (Some(verity), Some(hash), Some(tree)) =
            (layout.verity, record.root_hash, &record.tree)
        else {
            return if record.by_kernel {
                Err(MountError::NoDeviceMapper)
            } else {
                Ok(None)
            };
        };
        let control = match control() {
            Ok(control) if device_mapper::is_there(&control) => control,
            _ if record.by_kernel => return Err(MountError::NoDeviceMapper),
            _ => return Ok(None),
        };
        let hashes = if layout.verity_aside {
            aside.ok_or(MountError::NoDeviceMapper)?
        } else {
            file
        };
        let (data, data_path) = loop_device(file, layout.root, true)?;
        let (tree_device, tree_path) = loop_device(hashes, verity, true)?;
        let mapped = Self::create(control, hash)?;
        let line = line(&data_path, &tree_path, tree, hash);
        let sectors = sectors(layout.root);
        device_mapper::load(
            &mapped.control,
            mapped.name.as_bytes(),
            sectors,
            b"verity",
            line.as_bytes(),
        )
        .step("handing the hash tree to device mapper")?;
        // The device holds both from here on.
        drop((data, tree_device));
        Ok(Some(mapped))
    }

    fn create(control: OwnedFd, hash: RootHash) -> Result<Self, MountError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let start: String = hash.to_string().chars().take(16).collect();
        // Nobody waits for this name: it is told apart from those of other processes and of this one.
        let name = format!("coracle-{start}-{}-{number}", std::process::id());
        let (_, minor) = device_mapper::create(&control, name.as_bytes())
            .step("making a device with device mapper")?;
        Ok(Self {
            control,
            name,
            path: format!("/dev/dm-{minor}"),
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // A mount keeps it until that is gone; without one it goes now. What can't be removed stays, and nobody can use it for worse.
        match device_mapper::remove(&self.control, self.name.as_bytes()) {
            Ok(()) | Err(_) => {}
        }
    }
}

fn sectors(data: Extent) -> u64 {
    data.length / SECTOR_BYTES
}

/// The parameters of dm-verity (Documentation/admin-guide/device-mapper/verity.rst): the tree follows its superblock.
fn line(data: &str, hashes: &str, tree: &Tree, hash: RootHash) -> String {
    let salt = if tree.salt.is_empty() {
        "-"
    } else {
        &tree.salt
    };
    format!(
        "1 {data} {hashes} {} {} {} 1 sha256 {hash} {salt}",
        tree.blocks.data_bytes, tree.blocks.hash_bytes, tree.data_blocks
    )
}
