//! Mounts verified images: a detached, read-only mount that nothing but its descriptor holds.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use kernel::loop_device::{self, Configuration};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{self as call, FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::dissect::{FileSystem, Layout};
use crate::source::Extent;
use crate::verify::Verified;

/// How often another process may take the free loop device before us.
const LOOP_ATTEMPTS: u32 = 64;

/// Why an image could not be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel refused a step.
    #[error("cannot mount the image: {step}")]
    Kernel {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A kind that the kernel's parsers are not trusted with.
    #[error("file systems of kind {0} are not mounted from images here")]
    Kind(&'static str),
    /// Every free loop device was taken by someone else.
    #[error("no loop device stayed free in {LOOP_ATTEMPTS} attempts")]
    LoopBusy,
}

/// Names the step that failed.
trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, MountError>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn step(self, step: &'static str) -> Result<T, MountError> {
        self.map_err(|error| MountError::Kernel {
            step,
            source: error.into(),
        })
    }
}

/// Makes a detached, read-only, nosuid, nodev mount of the root file system.
///
/// # Errors
/// See [`MountError`].
pub fn mount(file: &File, layout: &Verified<Layout>) -> Result<OwnedFd, MountError> {
    let layout = layout.get();
    match layout.file_system {
        FileSystem::Squashfs => by_loop(file, layout.root, layout.file_system),
        FileSystem::Erofs => match erofs_by_file(file, layout.root)? {
            Some(mount) => Ok(mount),
            None => by_loop(file, layout.root, layout.file_system),
        },
        other => Err(MountError::Kind(other.name())),
    }
}

/// erofs from the file itself (since Linux 6.12), where it begins at the file's start or the kernel takes an offset (since 6.16).
fn erofs_by_file(file: &File, root: Extent) -> Result<Option<OwnedFd>, MountError> {
    let context = call::fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC).step("fsopen erofs")?;
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    call::fsconfig_set_string(context.as_fd(), "source", path.as_str())
        .step("naming the source")?;
    if root.offset != 0
        && call::fsconfig_set_string(context.as_fd(), "fsoffset", root.offset.to_string()).is_err()
    {
        return Ok(None);
    }
    match call::fsconfig_create(context.as_fd()) {
        // Not a block device: this kernel mounts erofs from devices only.
        Err(Errno::NOTBLK | Errno::INVAL | Errno::NOENT | Errno::OPNOTSUPP) => Ok(None),
        created => {
            created.step("reading the file system")?;
            detached(context).map(Some)
        }
    }
}

fn by_loop(file: &File, root: Extent, kind: FileSystem) -> Result<OwnedFd, MountError> {
    let (device, path) = loop_device(file, root)?;
    let context = call::fsopen(kind.name(), FsOpenFlags::FSOPEN_CLOEXEC)
        .step("opening the file system's kind")?;
    call::fsconfig_set_string(context.as_fd(), "source", path.as_str())
        .step("naming the source")?;
    call::fsconfig_set_flag(context.as_fd(), "ro").step("asking for read-only")?;
    call::fsconfig_create(context.as_fd()).step("reading the file system")?;
    let mount = detached(context)?;
    // From here the mount is the device's only user, and the last user clears it.
    drop(device);
    Ok(mount)
}

fn detached(context: OwnedFd) -> Result<OwnedFd, MountError> {
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    call::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .step("making the mount")
}

/// A read-only device over the extent, cleared by its last user.
fn loop_device(file: &File, root: Extent) -> Result<(OwnedFd, String), MountError> {
    let control = open("/dev/loop-control").step("opening /dev/loop-control")?;
    let configuration = Configuration {
        offset: root.offset,
        size_limit: root.length,
        read_only: true,
        autoclear: true,
        ..Configuration::default()
    };
    for _ in 0..LOOP_ATTEMPTS {
        let number = loop_device::free(&control).step("asking for a free loop device")?;
        let path = format!("/dev/loop{number}");
        let device = match open(&path) {
            // Its node may appear a moment later, or someone may have removed the device again.
            Err(Errno::NOENT | Errno::NXIO) => continue,
            opened => opened.step("opening a loop device")?,
        };
        match loop_device::configure(&device, file, configuration) {
            Err(Errno::BUSY) => continue,
            configured => configured.step("configuring a loop device")?,
        }
        return Ok((device, path));
    }
    Err(MountError::LoopBusy)
}

fn open(path: &str) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(
        rustix::fs::CWD,
        path,
        OFlags::RDWR | OFlags::CLOEXEC,
        Mode::empty(),
    )
}
