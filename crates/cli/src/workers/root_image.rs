//! The worker that the manager asks for RootImage=: it hands over a detached mount of an image that was proven before.
//!
//! `coracle worker root-image PATH`: descriptor 0 is a socket to the manager. The answer is one line of JSON, `{"integrity": …}` with
//! the mount's descriptor beside it, or `{"error": …}`. An image in the store has a note of what was proven when it came in; the same
//! file needs no second proof. Another image is an administrator's own: it must be one that only root can change.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use delivery::store::Store;
use image::dissect::Layout;
use image::verify::{Assurance, Record, Trust, Verified};
use image::worker::Workers;

/// Answers the manager.
///
/// # Errors
/// When the manager can't be told.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let path = PathBuf::from(arguments.next().context("no image")?);
    let (answer, mount) = match mount(&path) {
        Ok((mount, integrity)) => (serde_json::json!({ "integrity": integrity }), Some(mount)),
        Err(error) => (serde_json::json!({ "error": format!("{error:#}") }), None),
    };
    let line = format!("{answer}\n");
    let descriptors: Vec<_> = mount.iter().map(AsFd::as_fd).collect();
    kernel::message::send(std::io::stdin(), line.as_bytes(), &descriptors)
        .context("cannot answer the manager")?;
    Ok(())
}

fn mount(path: &Path) -> Result<(OwnedFd, String)> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let verified = match std::fs::read(Store::note_path(path)) {
        Ok(note) => serde_json::from_slice::<Record>(&note)
            .context("the note on the image is damaged")?
            .confirm(&file)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => prove(path, &file)?,
        Err(error) => return Err(error).context("cannot read the note on the image"),
    };
    let integrity = words(verified.record());
    Ok((image::mount::mount(&file, &verified)?, integrity))
}

/// An image of the administrator's own: nobody else may be able to change it, and its own hashes must be right.
fn prove(path: &Path, file: &File) -> Result<Verified<Layout>> {
    for part in path.canonicalize()?.ancestors() {
        let metadata = part.symlink_metadata()?;
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            bail!(
                "{} can be changed by others than root, so {} can't be trusted",
                part.display(),
                path.display()
            );
        }
    }
    let workers = Workers::default();
    let layout = workers.dissect(file)?;
    Ok(workers.verify(file, &layout, &Trust::Insecure)?)
}

fn words(record: &Record) -> String {
    let how = match &record.assurance {
        Assurance::Signed(signer) => format!("signed by \"{}\"", signer.common_name),
        Assurance::Digest => "allowed by its digest".to_owned(),
        Assurance::Insecure => "not signed".to_owned(),
    };
    format!("{how}; hashed when it came in, protected by the store's permissions")
}
