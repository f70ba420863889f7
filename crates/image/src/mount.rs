//! Mounts verified images: a detached, read-only mount that nothing but its descriptor holds.
use std::fs::File;
use std::os::fd::OwnedFd;

use crate::dissect::Layout;
use crate::verify::Verified;

/// Why an image could not be mounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel refused a step.
    #[error("cannot mount the image ({step})")]
    Kernel {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

/// Makes a detached, read-only, nosuid, nodev mount of the root file system.
///
/// # Errors
/// See [`MountError`].
pub fn mount(_file: &File, _layout: &Verified<Layout>) -> Result<OwnedFd, MountError> {
    todo!()
}
