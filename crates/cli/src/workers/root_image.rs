//! The worker that the manager asks for RootImage=: it hands over a detached mount of an image that was proven before.
//!
//! `coracle worker root-image PATH`: descriptor 0 is a socket to the manager. The answer is one line of JSON, `{"integrity": …}` with
//! the mount's descriptor beside it, or `{"error": …}`. An image in the store has a note of what was proven when it came in; the same
//! file needs no second proof. Another image is an administrator's own: it must be one that only root can change.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use delivery::store::Store;
use image::dissect::Layout;
use image::verify::{Assurance, Record, Trust, Verified};
use image::worker::Workers;

use crate::ownership::open_to_others;

/// Answers the manager.
///
/// # Errors
/// When the manager can't be told.
pub(crate) fn main(mut arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let path = PathBuf::from(arguments.next().context("no image")?);
    let (answer, mount) = match mount(&path) {
        Ok((mount, integrity)) => (serde_json::json!({ "integrity": integrity }), Some(mount)),
        Err(error) => (serde_json::json!({ "error": told(&error) }), None),
    };
    let line = format!("{answer}\n");
    let descriptors: Vec<_> = mount.iter().map(AsFd::as_fd).collect();
    kernel::message::send(std::io::stdin(), line.as_bytes(), &descriptors)
        .context("cannot answer the manager")?;
    Ok(())
}

/// The error and its causes on one line, cut where the manager's room for the answer would not do.
fn told(error: &anyhow::Error) -> String {
    const CHARS_MAX: usize = 500;
    format!("{error:#}").chars().take(CHARS_MAX).collect()
}

fn mount(path: &Path) -> Result<(OwnedFd, String)> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let (verified, integrity) = match note(&Store::note_path(path))? {
        Some(record) => {
            let integrity = of_the_store(&record.assurance);
            (record.confirm(&file)?, integrity)
        }
        None => {
            let proven = prove(path, &file)?;
            let integrity = of_roots_own(proven.record());
            (proven, integrity)
        }
    };
    Ok((image::mount::mount(&file, &verified)?, integrity))
}

/// What the store wrote down of an image, where it did. Whoever else could write there could call any file a proven image.
fn note(path: &Path) -> Result<Option<Record>> {
    let waits_for_no_one = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = match File::options()
        .read(true)
        .custom_flags(waits_for_no_one)
        .open(path)
    {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
    };
    let metadata = file.metadata()?;
    let is_ours = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    if !metadata.is_file() || !is_ours || metadata.mode() & 0o022 != 0 {
        bail!(
            "{} can be changed by others than root: what it says of the image proves nothing",
            path.display()
        );
    }
    let mut bytes = Vec::new();
    file.take(delivery::store::NOTE_MAX_BYTES)
        .read_to_end(&mut bytes)?;
    let record = serde_json::from_slice(&bytes);
    Ok(Some(record.with_context(|| {
        format!("the note {} on the image is damaged", path.display())
    })?))
}

/// An image of the administrator's own: nobody else may be able to change it, and its own hashes must be right.
fn prove(path: &Path, file: &File) -> Result<Verified<Layout>> {
    if let Some(part) = open_to_others(path)? {
        bail!(
            "{} can be changed by others than root, so {} can't be trusted",
            part.display(),
            path.display()
        );
    }
    // Before it was looked at, a link on the way may have led elsewhere.
    let (opened, named) = (file.metadata()?, path.metadata()?);
    if (opened.dev(), opened.ino()) != (named.dev(), named.ino()) {
        bail!("{} was replaced while it was looked at", path.display());
    }
    let workers = Workers::default();
    let layout = workers.dissect(file)?;
    Ok(workers.verify(file, &layout, &Trust::Insecure)?)
}

fn of_the_store(assurance: &Assurance) -> String {
    let how = match assurance {
        Assurance::Signed(signer) => format!("signed by \"{}\"", signer.common_name),
        Assurance::Digest => "allowed by its digest".to_owned(),
        Assurance::Insecure => "not signed".to_owned(),
    };
    format!("{how}; hashed when it came in, protected by the store's permissions")
}

fn of_roots_own(record: &Record) -> String {
    let hashes = match record.root_hash {
        Some(_) => "its own root hash is right",
        None => "without a root hash",
    };
    format!("not in the store, {hashes}; only root can change it")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn check(mode: u32, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.note");
        std::fs::write(&path, "{}").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let said = note(&path).unwrap_err().to_string();
        assert_eq!(said.replace(path.to_str().unwrap(), "NOTE"), expected);
    }

    #[test]
    fn what_was_opened_is_what_was_looked_at() {
        let file = File::open("/etc/group").unwrap();
        let error = prove(Path::new("/etc/passwd"), &file)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "/etc/passwd was replaced while it was looked at");
    }

    #[test]
    fn a_note_that_others_could_have_written_proves_nothing() {
        let foreign =
            "NOTE can be changed by others than root: what it says of the image proves nothing";
        check(0o622, foreign);
        check(0o660, foreign);
        check(0o600, "the note NOTE on the image is damaged");
        let folder = tempfile::tempdir().unwrap();
        assert!(note(&folder.path().join("none")).unwrap().is_none());
    }
}
