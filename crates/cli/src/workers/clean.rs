//! The worker that the manager asks to remove what a unit left.
//!
//! `coracle worker clean PATH…`: descriptor 0 is a socket to the manager, which hears `{"error": …}` where something stays. Services own
//! what is removed and may have put anything there: no link is followed, no mount is crossed.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;

use anyhow::{Context as _, Result};
use kernel::walk::Place;

/// Removes each path with all that is in it; what is not there is fine.
///
/// # Errors
/// When something stays. The manager was told, too.
pub(crate) fn main(paths: impl Iterator<Item = OsString>) -> Result<()> {
    let mut stays = Vec::new();
    for path in paths {
        if let Err(error) = remove(&path) {
            stays.push(format!("{} stays: {error}", path.display()));
        }
    }
    if stays.is_empty() {
        return Ok(());
    }
    /// The manager has room for this much.
    const CHARS_MAX: usize = 500;
    let told: String = stays.join("; ").chars().take(CHARS_MAX).collect();
    let answer = serde_json::json!({ "error": told }).to_string();
    kernel::message::send(std::io::stdin(), answer.as_bytes(), &[])
        .context("cannot answer the manager")?;
    anyhow::bail!(told)
}

fn remove(path: &OsString) -> std::io::Result<()> {
    let name = CString::new(path.as_bytes())?;
    let place = match Place::find(&name, |_| None) {
        Err(kernel::Errno::NOENT) => return Ok(()),
        found => found?,
    };
    kernel::remove::tree(&place.parent, place.name())?;
    Ok(())
}
