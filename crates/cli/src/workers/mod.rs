//! `coracle worker NAME`: the entries of short-lived processes that do one task and can do nothing else. Nobody types these.

pub(crate) mod clean;
pub(crate) mod fetch;
pub(crate) mod observe;
pub(crate) mod patch;
pub(crate) mod root_image;
mod stream;

use std::ffi::OsString;

use anyhow::{Result, bail};
use image::worker::Kind;

/// The first argument that makes this process a worker.
pub(crate) const ARGUMENT: &str = "worker";

/// Runs a worker to its end.
///
/// # Errors
/// When there is no such worker, or it can't confine itself.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> Result<u8> {
    let name = arguments.next().unwrap_or_default();
    match name.to_str() {
        Some("clean") => clean::main(arguments)?,
        Some("detach") => crate::autostart::detach(arguments)?,
        Some("fetch") => fetch::main()?,
        Some("observe") => observe::main(arguments)?,
        Some("observed") => observe::observed(arguments)?,
        Some("patch") => patch::main()?,
        Some("root-image") => root_image::main()?,
        other => match other.and_then(Kind::from_name) {
            Some(kind) => image::worker::main(kind)?,
            None => bail!("there is no worker {}", name.display()),
        },
    }
    Ok(0)
}
