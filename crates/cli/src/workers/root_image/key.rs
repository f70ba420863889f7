//! The key of an encrypted image: a file with the image's name where cryptsetup's keys are, or a credential of the machine's.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use credential::Zeroizing;

use super::only_roots;

/// Directories of key files, in the order of crypttab(5).
const KEYS: [&str; 2] = ["/etc/cryptsetup-keys.d", "/run/cryptsetup-keys.d"];
/// Directories of credentials: those that the machine was handed, and the stores of systemd.exec(5).
const CREDENTIALS: [&str; 3] = [
    "/run/credentials/@system",
    "/etc/credstore",
    "/run/credstore",
];
/// What systemd-dissect(1) asks for, and what systemd-cryptsetup(8) does.
const NAMES: [&str; 2] = ["dissect.passphrase", "cryptsetup.passphrase"];
/// Bytes of a key.
const KEY_BYTES_MAX: u64 = 64 << 10;

/// A key, and what it is called.
pub(super) struct Key {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) whence: String,
}

/// The key of an image.
pub(super) fn of(image: &Path) -> Result<Key> {
    for path in places(image) {
        if let Some(bytes) = read(&path)? {
            let whence = path.display().to_string();
            return Ok(Key { bytes, whence });
        }
    }
    let name = key_name(image);
    bail!(
        "it is encrypted, and there is no key for it: put one into {}/{name}, or the passphrase into the credential {} (/etc/credstore/{})",
        KEYS[0],
        NAMES[0],
        NAMES[0]
    )
}

/// Where keys are looked for, the first that is there counts.
fn places(image: &Path) -> impl Iterator<Item = PathBuf> {
    let name = key_name(image);
    let keys = KEYS.map(|folder| Path::new(folder).join(&name));
    let credentials = NAMES
        .into_iter()
        .flat_map(|name| CREDENTIALS.map(|folder| Path::new(folder).join(name)));
    keys.into_iter().chain(credentials)
}

/// `web.raw` and `web.psi` have their key in `web.key`.
fn key_name(image: &Path) -> String {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let stem = super::IMAGES
        .iter()
        .find_map(|ending| name.strip_suffix(ending));
    format!("{}.key", stem.unwrap_or(&name))
}

/// A file that only root can change and read; none where it is not there.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        bail!("{} is no regular file", path.display());
    }
    only_roots(path, &file)?;
    if metadata.mode() & 0o044 != 0 {
        bail!(
            "{} can be read by others than root, so it is no secret: chmod 600 it, or make another key",
            path.display()
        );
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(KEY_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.is_empty() || bytes.len() as u64 > KEY_BYTES_MAX {
        bail!("{} is empty or longer than 64 KiB", path.display());
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_have_the_name_of_their_image() {
        for image in ["/srv/web.raw", "/srv/web.psi", "/srv/web"] {
            let places: Vec<PathBuf> = places(Path::new(image)).collect();
            assert_eq!(places[0], Path::new("/etc/cryptsetup-keys.d/web.key"));
            assert_eq!(places[1], Path::new("/run/cryptsetup-keys.d/web.key"));
            assert!(places[2].ends_with("@system/dissect.passphrase"));
            assert!(places[7].ends_with("run/credstore/cryptsetup.passphrase"));
        }
    }

    #[test]
    fn a_key_that_others_know_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir_in("/run").unwrap();
        let path = folder.path().join("web.key");
        assert!(read(&path).unwrap().is_none());
        let check = |bytes: usize, mode: u32, expected: &str| {
            std::fs::write(&path, vec![b'k'; bytes]).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let said = match read(&path) {
                Ok(key) => format!("{} bytes", key.unwrap().len()),
                Err(error) => error.to_string(),
            };
            assert!(said.contains(expected), "{said}");
        };
        check(6, 0o600, "6 bytes");
        check(6, 0o400, "6 bytes");
        check(6, 0o644, "can be read by others than root");
        check(6, 0o640, "can be read by others than root");
        check(6, 0o620, "can be changed by others than root");
        check(0, 0o600, "is empty or longer");
        check(65_537, 0o600, "is empty or longer");
    }
}
