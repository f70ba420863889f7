//! The key of an encrypted image: a file with the image's name where cryptsetup's keys are, or a credential of the machine's, which may be
//! sealed with the host's secret.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use credential::{HostSecrets, KeyKind, SEALED_BYTES_MAX, Zeroizing};

use super::only_roots;

/// Directories of key files, in the order of crypttab(5).
const KEYS: [&str; 2] = ["/etc/cryptsetup-keys.d", "/run/cryptsetup-keys.d"];
/// Directories of credentials: those that the machine was handed, and the stores of systemd.exec(5).
const CREDENTIALS: [&str; 3] = [
    "/run/credentials/@system",
    "/etc/credstore",
    "/run/credstore",
];
/// Directories of sealed credentials.
const SEALED: [&str; 3] = [
    "/run/credentials/@encrypted",
    "/run/credstore.encrypted",
    "/etc/credstore.encrypted",
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

/// Where keys are looked for.
pub(super) struct Keys<'a> {
    /// Of this image.
    pub(super) image: &'a Path,
    /// The state directory, where the host's secret may be.
    pub(super) state: &'a Path,
}

impl Keys<'_> {
    /// The key of one of its partitions. The first that is there counts, whether it opens anything or not.
    pub(super) fn of(&self, partition: &str) -> Result<Key> {
        let found = |path: PathBuf, bytes| Key {
            bytes,
            whence: path.display().to_string(),
        };
        for path in places(self.image, partition) {
            if let Some(bytes) = read(&path, KEY_BYTES_MAX, Secrecy::Itself)? {
                return Ok(found(path, bytes));
            }
        }
        for (name, path) in sealed_places() {
            if let Some(bytes) = self.unsealed(name, &path)? {
                return Ok(found(path, bytes));
            }
        }
        let name = key_name(self.image, None);
        bail!(
            "it is encrypted, and there is no key for it: put one into {}/{name}, or the passphrase into the credential {} (/etc/credstore/{}, or sealed in /etc/credstore.encrypted)",
            KEYS[0],
            NAMES[0],
            NAMES[0]
        )
    }

    /// What is sealed in a file; nothing where it is not there.
    fn unsealed(&self, name: &str, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let Some(text) = read(path, 2 * SEALED_BYTES_MAX as u64, Secrecy::Sealed)? else {
            return Ok(None);
        };
        let failed = || format!("cannot open the credential {}", path.display());
        let sealed = credential::from_text(&text).with_context(failed)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now_us = now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
        let secrets = || HostSecrets::read(self.state);
        let opened = credential::open(&sealed, &[name], now_us, secrets).with_context(failed)?;
        if opened.key == KeyKind::Null {
            bail!(
                "{} is sealed with the null key, which everybody has, so it is no secret: seal it with `coracle creds encrypt`",
                path.display()
            );
        }
        if opened.content.is_empty() || opened.content.len() as u64 > KEY_BYTES_MAX {
            bail!("{} holds nothing or more than 64 KiB", path.display());
        }
        Ok(Some(opened.content))
    }
}

/// Where keys are that are not sealed: the partition's own before the image's.
fn places(image: &Path, partition: &str) -> impl Iterator<Item = PathBuf> {
    let names = [key_name(image, Some(partition)), key_name(image, None)];
    let keys = names
        .into_iter()
        .flat_map(|name| KEYS.map(|folder| Path::new(folder).join(&name)));
    let credentials = NAMES
        .into_iter()
        .flat_map(|name| CREDENTIALS.map(|folder| Path::new(folder).join(name)));
    keys.chain(credentials)
}

/// Where keys are that are, with the name that they must be sealed for.
fn sealed_places() -> impl Iterator<Item = (&'static str, PathBuf)> {
    NAMES
        .into_iter()
        .flat_map(|name| SEALED.map(|folder| (name, Path::new(folder).join(name))))
}

/// `web.raw` and `web.psi` have their key in `web.key`, their partition `var` may have its own in `web.var.key`.
fn key_name(image: &Path, partition: Option<&str>) -> String {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let stem = super::IMAGES
        .iter()
        .find_map(|ending| name.strip_suffix(ending));
    let stem = stem.unwrap_or(&name);
    match partition {
        Some(partition) => format!("{stem}.{partition}.key"),
        None => format!("{stem}.key"),
    }
}

/// What keeps the bytes of a file from others.
#[derive(Clone, Copy, PartialEq)]
enum Secrecy {
    /// The file itself, which only root may read.
    Itself,
    /// The host's secret.
    Sealed,
}

/// A file that only root can change, and read unless it is sealed; none where it is not there.
fn read(path: &Path, bytes_max: u64, secrecy: Secrecy) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        bail!("{} is no regular file", path.display());
    }
    only_roots(path, &file)?;
    if secrecy == Secrecy::Itself && metadata.mode() & 0o044 != 0 {
        bail!(
            "{} can be read by others than root, so it is no secret: chmod 600 it, or make another key",
            path.display()
        );
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.is_empty() || bytes.len() as u64 > bytes_max {
        bail!(
            "{} is empty or longer than {} KiB",
            path.display(),
            bytes_max >> 10
        );
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
            let places: Vec<PathBuf> = places(Path::new(image), "var").collect();
            assert_eq!(places[0], Path::new("/etc/cryptsetup-keys.d/web.var.key"));
            assert_eq!(places[1], Path::new("/run/cryptsetup-keys.d/web.var.key"));
            assert_eq!(places[2], Path::new("/etc/cryptsetup-keys.d/web.key"));
            assert_eq!(places[3], Path::new("/run/cryptsetup-keys.d/web.key"));
            assert!(places[4].ends_with("@system/dissect.passphrase"));
            assert!(places[9].ends_with("run/credstore/cryptsetup.passphrase"));
        }
    }

    #[test]
    fn a_key_that_others_know_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir_in("/run").unwrap();
        let path = folder.path().join("web.key");
        let read = |path: &Path| super::read(path, KEY_BYTES_MAX, Secrecy::Itself);
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

    #[test]
    fn a_sealed_key_opens_with_the_hosts_secret_and_under_its_own_name_only() {
        let folder = tempfile::tempdir_in("/run").unwrap();
        let (state, path) = (folder.path(), folder.path().join("sealed"));
        let secret = credential::HostSecret::read_or_make(state).unwrap();
        let keys = Keys {
            image: Path::new("/srv/web.raw"),
            state,
        };
        assert!(keys.unsealed(NAMES[0], &path).unwrap().is_none());
        let check =
            |content: &[u8], name: &str, until: Option<u64>, is_null: bool, expected: &str| {
                let secret = (!is_null).then_some(&secret);
                let sealed = credential::seal(content, name, (1, until), secret).unwrap();
                std::fs::write(&path, credential::to_text(&sealed)).unwrap();
                let said = match keys.unsealed(NAMES[0], &path) {
                    Ok(key) => String::from_utf8(key.unwrap().to_vec()).unwrap(),
                    Err(error) => format!("{error:#}"),
                };
                assert!(said.contains(expected), "{said}");
            };
        let forever = None;
        check(b"a secret", NAMES[0], forever, false, "a secret");
        check(
            b"a secret",
            NAMES[1],
            forever,
            false,
            "cannot open the credential",
        );
        check(
            b"a secret",
            NAMES[0],
            Some(2),
            false,
            "cannot open the credential",
        );
        check(
            b"a secret",
            NAMES[0],
            forever,
            true,
            "sealed with the null key",
        );
        check(b"", NAMES[0], forever, false, "holds nothing");
        std::fs::write(&path, "no credential").unwrap();
        let said = keys.unsealed(NAMES[0], &path).err().unwrap();
        assert!(format!("{said:#}").contains("cannot open the credential"));
    }
}
