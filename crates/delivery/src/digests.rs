//! Single digests that the administrator said something of: `<config>/trust.d/digests/sha256-…` names images that may come in,
//! `<config>/trust.d/revoked/sha256-…` images and certificates that count no longer.
//!
//! Each is a file of its own, whose first line says why: two commands at once can't lose a word of each other, and the manager need look
//! for one name only.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::files::{
    FileError, entries, failed, make_open_directory, read_if_there, remove_if_empty,
    remove_if_there, replace,
};
use crate::trust::{FINGERPRINT_START_MIN_DIGITS, Ignored};

/// What was said of one digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Of an image's file, or of a certificate.
    pub digest: Digest,
    /// Why; may be empty.
    pub reason: String,
    /// Of a certificate: the digest of its key, which was revoked with it. A key's own digest names itself here.
    pub key: Option<Digest>,
    /// The file.
    pub path: PathBuf,
}

/// A list of digests.
#[derive(Debug, Clone)]
pub struct Digests {
    directory: PathBuf,
    /// To let in takes a file that nobody but root can have written; to keep out, any.
    lets_in: bool,
}

/// The longest reason, in bytes.
const REASON_MAX_BYTES: u64 = 4096;
const PREFIX: &str = "sha256-";
/// How the line begins that names the key of a revoked certificate.
const KEY: &str = "key ";

impl Digests {
    /// Images that may come in, signed or not.
    #[must_use]
    pub fn trusted(config: &Path) -> Digests {
        Digests {
            directory: config.join("trust.d/digests"),
            lets_in: true,
        }
    }

    /// Images and certificates that count no longer.
    #[must_use]
    pub fn revoked(config: &Path) -> Digests {
        Digests {
            directory: config.join("trust.d/revoked"),
            lets_in: false,
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join(format!("{PREFIX}{}", digest.hex()))
    }

    /// What was said of a digest.
    ///
    /// # Errors
    /// When it can't be looked for.
    pub fn get(&self, digest: &Digest) -> Result<Option<Said>, FileError> {
        Ok(self.read(digest)?.and_then(Result::ok))
    }

    /// All of them, and the files passed over.
    ///
    /// # Errors
    /// When the directory or a file can't be read.
    pub fn list(&self) -> Result<(Vec<Said>, Vec<Ignored>), FileError> {
        let (mut said, mut ignored) = (Vec::new(), Vec::new());
        for path in entries(&self.directory)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // What is being written has a dot in front.
            if name.starts_with('.') {
                continue;
            }
            let digest = name.strip_prefix(PREFIX).and_then(|hex| hex.parse().ok());
            match digest.map(|digest| self.read(&digest)).transpose()? {
                Some(Some(Ok(one))) => said.push(one),
                Some(Some(Err(reason))) => ignored.push(Ignored { path, reason }),
                Some(None) => {}
                None => ignored.push(Ignored {
                    path,
                    reason: "its name is not sha256- and 64 hexadecimal digits".to_owned(),
                }),
            }
        }
        Ok((said, ignored))
    }

    fn read(&self, digest: &Digest) -> Result<Option<Result<Said, String>>, FileError> {
        let path = self.path(digest);
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("look at", &path)(error)),
        };
        if self.lets_in
            && let Some(reason) = crate::trust::why_not_honoured(&metadata)
        {
            return Ok(Some(Err(reason)));
        }
        // One that keeps out does so whatever it is; what is no text says no reason.
        let bytes = match metadata.is_file() {
            true => read_if_there(&path, REASON_MAX_BYTES)
                .or_else(|error| if self.lets_in { Err(error) } else { Ok(None) })?,
            false => None,
        };
        let text = String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default();
        let mut lines = text.lines();
        let reason = lines.next().unwrap_or_default().trim().to_owned();
        let key = lines.find_map(|line| line.strip_prefix(KEY)?.trim().parse().ok());
        Ok(Some(Ok(Said {
            digest: *digest,
            reason,
            key,
            path,
        })))
    }

    /// Adds one; says whether it was not there before. Another reason takes the place of the one that was given.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn add(&self, digest: &Digest, reason: &str) -> Result<bool, FileError> {
        self.write(digest, reason, None)
    }

    /// Adds a certificate by its fingerprint, and its key: every other certificate of that counts no longer, either.
    ///
    /// # Errors
    /// When one can't be written.
    pub fn add_with_key(
        &self,
        fingerprint: &Digest,
        key: &Digest,
        reason: &str,
    ) -> Result<bool, FileError> {
        self.write(key, reason, Some(key))?;
        self.write(fingerprint, reason, Some(key))
    }

    fn write(
        &self,
        digest: &Digest,
        reason: &str,
        key: Option<&Digest>,
    ) -> Result<bool, FileError> {
        let path = self.path(digest);
        let is_new = path.symlink_metadata().is_err();
        make_open_directory(&self.directory)?;
        let reason = reason.lines().next().unwrap_or_default();
        let key = key.map_or_else(String::new, |key| format!("{KEY}{key}\n"));
        replace(&path, format!("{reason}\n{key}").as_bytes(), 0o644)?;
        Ok(is_new)
    }

    /// Removes those whose digest begins so (`sha256:` in front or not), if it is only one; with a certificate or a key, the key
    /// and all certificates of it.
    ///
    /// # Errors
    /// When one can't be read or removed.
    pub fn remove(&self, start: &str) -> Result<Vec<Said>, FileError> {
        let hex = start.strip_prefix("sha256:").unwrap_or(start);
        let hex = hex.to_ascii_lowercase();
        if hex.len() < FINGERPRINT_START_MIN_DIGITS {
            return Ok(Vec::new());
        }
        let all = self.list()?.0;
        let is_chosen = |one: &&Said| one.digest.hex().starts_with(&hex);
        let chosen: Vec<Said> = all.iter().filter(is_chosen).cloned().collect();
        if let [one] = chosen.as_slice() {
            let of_the_key = |other: &&Said| one.key.is_some() && other.key == one.key;
            for other in all.iter().filter(of_the_key) {
                remove_if_there(&other.path)?;
            }
            remove_if_there(&one.path)?;
            remove_if_empty(&self.directory)?;
        }
        Ok(chosen)
    }
}

/// Whether others than root and the caller could have written a file.
pub(crate) fn others_could_write(metadata: &std::fs::Metadata) -> bool {
    let caller = rustix::process::geteuid().as_raw();
    (metadata.uid() != 0 && metadata.uid() != caller) || metadata.mode() & 0o022 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn digests(config: &Path) -> [Digests; 2] {
        [Digests::trusted(config), Digests::revoked(config)]
    }

    #[test]
    fn what_is_said_of_a_digest_is_found_listed_and_taken_back() {
        let config = tempfile::tempdir().unwrap();
        let (one, other) = (Digest::of(b"a"), Digest::of(b"b"));
        for digests in digests(config.path()) {
            assert_eq!(digests.get(&one).unwrap(), None);
            assert!(digests.add(&one, "first\nsecond").unwrap());
            assert!(!digests.add(&one, "again").unwrap());
            assert!(digests.add(&other, "").unwrap());
            assert_eq!(digests.get(&one).unwrap().unwrap().reason, "again");
            let listed: Vec<Digest> = digests.list().unwrap().0.iter().map(|s| s.digest).collect();
            assert_eq!(listed.len(), 2);
            assert!(listed.contains(&one) && listed.contains(&other));
            assert_eq!(digests.remove(&one.hex()[..7]).unwrap(), []);
            assert_eq!(digests.remove(&one.to_string()[..20]).unwrap().len(), 1);
            assert_eq!(digests.get(&one).unwrap(), None);
            assert_eq!(digests.remove(&other.hex()).unwrap().len(), 1);
        }
    }

    #[test]
    fn a_certificate_is_revoked_with_its_key_and_restored_with_it() {
        let config = tempfile::tempdir().unwrap();
        let revoked = Digests::revoked(config.path());
        let [one, other, key, image] = [b"a", b"b", b"k", b"i"].map(|text| Digest::of(text));
        for named in [one, key] {
            revoked.add(&image, "").unwrap();
            assert!(revoked.add_with_key(&one, &key, "stolen").unwrap());
            assert!(revoked.add_with_key(&other, &key, "stolen").unwrap());
            let said = revoked.get(&key).unwrap().unwrap();
            assert_eq!((said.reason.as_str(), said.key), ("stolen", Some(key)));
            assert_eq!(revoked.remove(&named.hex()).unwrap().len(), 1);
            for digest in [one, other, key] {
                assert_eq!(revoked.get(&digest).unwrap(), None);
            }
            assert!(revoked.get(&image).unwrap().is_some());
        }
    }

    #[test]
    fn a_file_that_others_can_write_lets_nothing_in_and_still_keeps_out() {
        let config = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"a");
        for digests in digests(config.path()) {
            digests.add(&digest, "why").unwrap();
            let open = std::fs::Permissions::from_mode(0o666);
            std::fs::set_permissions(digests.path(&digest), open).unwrap();
            assert_eq!(digests.get(&digest).unwrap().is_none(), digests.lets_in);
            let ignored = digests.list().unwrap().1;
            assert_eq!(ignored.is_empty(), !digests.lets_in);
        }
    }

    #[test]
    fn whatever_has_a_revoked_digests_name_keeps_it_out() {
        let config = tempfile::tempdir().unwrap();
        let revoked = Digests::revoked(config.path());
        let [folder, link, huge] = [b"a", b"b", b"c"].map(|text| Digest::of(text));
        std::fs::create_dir_all(revoked.path(&folder)).unwrap();
        std::os::unix::fs::symlink("/nowhere", revoked.path(&link)).unwrap();
        std::fs::write(revoked.path(&huge), vec![b'x'; 10_000]).unwrap();
        for digest in [folder, link, huge] {
            assert_eq!(revoked.get(&digest).unwrap().unwrap().reason, "");
        }
    }
}
