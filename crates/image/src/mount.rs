//! Mounts verified images: a detached mount that nothing but its descriptor holds.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use kernel::loop_device::{self, Configuration};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::mount::{self as call, FsMountFlags, FsOpenFlags};

use crate::dissect::{FileSystem, Layout};
use crate::source::Extent;
use crate::verify::Verified;

mod assembled;
mod locked;
mod mapped;
mod options;
mod stacked;

pub use assembled::{Assembled, assemble, directory, open_directory, root_of};
pub use locked::{UnlockError, Unlocked, unlock};
pub use options::{OptionError, Options};
pub use stacked::{Bench, LAYERS_MAX, directory_alone};

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
    /// A mount option that is none.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A partition has no place in the read-only root.
    #[error("the image's root has no directory {0} for its partition")]
    NoPlace(String),
    /// Somebody has the image mounted, and one of both would write to it.
    #[error("the image is mounted by somebody else, and one of both writes to it")]
    InUse,
    /// The data are to be checked by the kernel, which can't.
    #[error("the image's integrity was to be checked by device mapper, which is not there")]
    NoDeviceMapper,
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

/// Whether the kernel checks what is read of an image with verity data: device mapper is there.
#[must_use]
pub fn has_device_mapper() -> bool {
    mapped::control().is_ok_and(|control| kernel::device_mapper::is_there(&control))
}

/// Makes a detached, read-only, nosuid, nodev mount of an image from elsewhere.
///
/// # Errors
/// See [`MountError`].
pub fn mount(file: &File, layout: &Verified<Layout>) -> Result<OwnedFd, MountError> {
    let kind = layout.get().file_system;
    if kind.is_writable() {
        return Err(MountError::Kind(kind.name()));
    }
    mount_own(file, None, layout, &Options::strict())
}

/// Whether an image was ours at once, or another one's mount had to end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// Nobody wrote to it.
    AtOnce,
    /// What was read of it before may have changed.
    AfterAnother,
}

/// How long a mount that is going may take: its last user has ended, and it writes what it still has.
const GOING: Duration = Duration::from_secs(5);
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

/// Keeps others from mounting a file whose file systems can be written to, `alone` where it is written to itself.
///
/// The claim is the open file's, which a loop device has, too: it lasts as long as the longer of both. flock(2)
///
/// # Errors
/// [`MountError::InUse`] where somebody has it still after five seconds, and what the kernel says.
pub fn claim(file: &File, alone: bool) -> Result<Claimed, MountError> {
    let how = if alone {
        FlockOperation::NonBlockingLockExclusive
    } else {
        FlockOperation::NonBlockingLockShared
    };
    let begin = Instant::now();
    let mut claimed = Claimed::AtOnce;
    loop {
        match flock(file, how) {
            Err(Errno::WOULDBLOCK) if begin.elapsed() >= GOING => return Err(MountError::InUse),
            Err(Errno::WOULDBLOCK) => {
                claimed = Claimed::AfterAnother;
                // There is no lock with a time-out, and nothing tells when a device let go.
                std::thread::sleep(BETWEEN_LOOKS);
            }
            locked => {
                locked.step("locking it")?;
                return Ok(claimed);
            }
        }
    }
}

/// Makes a detached mount of an image that is the administrator's own; `aside` has its verity data where the layout says so.
///
/// Who mounts what can be written to has it with [`claim`].
///
/// # Errors
/// See [`MountError`].
pub fn mount_own(
    file: &File,
    aside: Option<&File>,
    layout: &Verified<Layout>,
    options: &Options,
) -> Result<OwnedFd, MountError> {
    let mapped = mapped::Mapped::new(file, aside, layout)?;
    let layout = layout.get();
    if let Some(mapped) = mapped {
        return from_device(mapped.path(), layout.file_system, options);
    }
    let can_be_file = options.set.is_empty() && layout.file_system == FileSystem::Erofs;
    if can_be_file && let Some(mount) = erofs_by_file(file, layout.root, options)? {
        return Ok(mount);
    }
    let (device, path) = loop_device(file, layout.root, options.read_only)?;
    let mount = from_device(&path, layout.file_system, options)?;
    // From here the mount is the device's only user, and the last user clears it.
    drop(device);
    Ok(mount)
}

/// erofs from the file itself (since Linux 6.12), where it begins at the file's start or the kernel takes an offset (since 6.16).
fn erofs_by_file(
    file: &File,
    root: Extent,
    options: &Options,
) -> Result<Option<OwnedFd>, MountError> {
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
            detached(&context, options).map(Some)
        }
    }
}

fn from_device(path: &str, kind: FileSystem, options: &Options) -> Result<OwnedFd, MountError> {
    let context = call::fsopen(kind.name(), FsOpenFlags::FSOPEN_CLOEXEC)
        .step("opening the file system's kind")?;
    call::fsconfig_set_string(context.as_fd(), "source", path).step("naming the source")?;
    for (key, value) in options.of_file_system(kind) {
        match value {
            None => call::fsconfig_set_flag(context.as_fd(), key),
            Some(value) => call::fsconfig_set_string(context.as_fd(), key, value),
        }
        .map_err(|_| OptionError::NotTaken {
            option: key.to_owned(),
            kind: kind.name(),
        })?;
    }
    call::fsconfig_create(context.as_fd()).step("reading the file system")?;
    detached(&context, options)
}

fn detached(context: &OwnedFd, options: &Options) -> Result<OwnedFd, MountError> {
    call::fsmount(
        context.as_fd(),
        FsMountFlags::FSMOUNT_CLOEXEC,
        options.attributes,
    )
    .step("making the mount")
}

/// A device over the extent, cleared by its last user.
fn loop_device(
    file: &File,
    extent: Extent,
    read_only: bool,
) -> Result<(OwnedFd, String), MountError> {
    let control = open("/dev/loop-control").step("opening /dev/loop-control")?;
    let configuration = Configuration {
        offset: extent.offset,
        size_limit: extent.length,
        read_only,
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
