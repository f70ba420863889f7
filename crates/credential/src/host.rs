//! The host's secret: a file of 16 bytes that stand for the machine and 4096 random ones.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Where the reference has its own.
const REFERENCE: &str = "/var/lib/systemd/credential.secret";
/// The name of ours, below the state directory.
const NAME: &str = "credential.secret";
const MACHINE_BYTES: usize = 16;
const SECRET_BYTES: usize = 4096;
/// By which the reference derives the bytes that stand for the machine (sd_id128_get_machine_app_specific(3)), by experiment.
const APPLICATION: [u8; 16] = [
    0xd3, 0xac, 0xec, 0xba, 0x0d, 0xad, 0x4c, 0xdf, 0xb8, 0xc9, 0x38, 0x15, 0x28, 0x93, 0x6c, 0x58,
];

/// The host's secret.
pub struct HostSecret {
    bytes: Zeroizing<Vec<u8>>,
    path: PathBuf,
}

/// The host's secrets: the reference's and ours. Each may have sealed something, whichever was there first.
pub struct HostSecrets {
    /// The older one first.
    pub(crate) usable: Vec<HostSecret>,
    /// What is wrong with one that is there.
    pub(crate) unusable: Option<SecretError>,
}

/// Why the host's secret is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// There is none.
    #[error("this host has no secret for credentials yet: `coracle creds setup` makes one")]
    None,
    /// A file can't be read or written.
    #[error("the host's secret {} can't be used: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl HostSecrets {
    /// Reads the reference's and the one below the state directory, as far as they are there.
    ///
    /// # Errors
    /// When there is none, or all that are there could be read or written by others than root, or are another machine's.
    pub fn read(state: &Path) -> Result<HostSecrets, SecretError> {
        Self::of_files(Path::new(REFERENCE), &state.join(NAME))
    }

    fn of_files(reference: &Path, own: &Path) -> Result<HostSecrets, SecretError> {
        let mut secrets = HostSecrets {
            usable: Vec::new(),
            unusable: None,
        };
        for path in older_first(reference, own) {
            match HostSecret::of_file(path) {
                Ok(secret) => secrets.usable.push(secret),
                Err(SecretError::None) => {}
                Err(error) => secrets.unusable = secrets.unusable.or(Some(error)),
            }
        }
        match secrets {
            HostSecrets { usable, unusable } if usable.is_empty() => {
                Err(unusable.unwrap_or(SecretError::None))
            }
            secrets => Ok(secrets),
        }
    }

    /// Are there two?
    pub fn are_two(&self) -> bool {
        self.usable.len() > 1
    }
}

/// The reference's comes first where they are of one age, or can't be compared.
fn older_first<'a>(reference: &'a Path, own: &'a Path) -> [&'a Path; 2] {
    let written = |path: &Path| path.symlink_metadata().and_then(|found| found.modified());
    match (written(reference), written(own)) {
        (Ok(theirs), Ok(ours)) if ours < theirs => [own, reference],
        _ => [reference, own],
    }
}

impl HostSecret {
    /// The secret's random bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(MACHINE_BYTES..).unwrap_or_default()
    }

    /// The file that it is in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the one that seals: the older of the reference's and the one below the state directory, so that what is sealed today is opened
    /// tomorrow by who opened it yesterday.
    ///
    /// # Errors
    /// When there is none, or it could be read or written by others than root, or is another machine's.
    pub fn read(state: &Path) -> Result<HostSecret, SecretError> {
        Self::of_files(Path::new(REFERENCE), &state.join(NAME))
    }

    fn of_files(reference: &Path, own: &Path) -> Result<HostSecret, SecretError> {
        for path in older_first(reference, own) {
            match Self::of_file(path) {
                Err(SecretError::None) => {}
                read => return read,
            }
        }
        Err(SecretError::None)
    }

    fn of_file(path: &Path) -> Result<HostSecret, SecretError> {
        let path = path.to_owned();
        match read_file(&path) {
            Ok(bytes) => Ok(HostSecret { bytes, path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SecretError::None),
            Err(error) => Err(SecretError::Unusable {
                path,
                why: error.to_string(),
            }),
        }
    }

    /// The same, and makes one below the state directory where there is none.
    ///
    /// # Errors
    /// As above, and where it can't be written.
    pub fn read_or_make(state: &Path) -> Result<HostSecret, SecretError> {
        match Self::read(state) {
            Err(SecretError::None) => {}
            read => return read,
        }
        let path = state.join(NAME);
        make(&path).map_err(|error| SecretError::Unusable {
            path,
            why: error.to_string(),
        })?;
        // Somebody else's may have come first.
        Self::read(state)
    }
}

fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = flags.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    let is_ours = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
    if !found.is_file() || !is_ours || found.mode() & 0o077 != 0 {
        return Err(io::Error::other("it is not root's alone"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(MACHINE_BYTES + SECRET_BYTES + 1));
    file.take((MACHINE_BYTES + SECRET_BYTES + 1) as u64)
        .read_to_end(&mut bytes)?;
    if bytes.len() != MACHINE_BYTES + SECRET_BYTES {
        return Err(io::Error::other("it has not the size of one"));
    }
    if bytes.get(..MACHINE_BYTES) != Some(machine()?.as_slice()) {
        return Err(io::Error::other(
            "it is another machine's: /etc/machine-id was not this when it was made",
        ));
    }
    Ok(bytes)
}

/// Never seen half written: it is linked to its name when it is whole, and never takes the place of another.
fn make(path: &Path) -> io::Result<()> {
    let mut bytes = Zeroizing::new(machine()?.to_vec());
    bytes.resize(MACHINE_BYTES + SECRET_BYTES, 0);
    if let Some(secret) = bytes.get_mut(MACHINE_BYTES..) {
        SystemRandom::new()
            .fill(secret)
            .map_err(|_| io::Error::other("the kernel has no random numbers"))?;
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension(format!("secret.{}", std::process::id()));
    match std::fs::remove_file(&beside) {
        // One of an earlier process of this number.
        Ok(()) | Err(_) => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(&beside)?;
    let written = file.write_all(&bytes).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match std::fs::hard_link(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    std::fs::remove_file(&beside)?;
    linked?;
    File::open(folder)?.sync_all()
}

/// What stands for this machine in the file of its secret.
fn machine() -> io::Result<[u8; MACHINE_BYTES]> {
    let id = machine_id(&std::fs::read_to_string("/etc/machine-id")?)
        .ok_or_else(|| io::Error::other("/etc/machine-id holds no machine's id"))?;
    Ok(derived(&id))
}

/// The id in the text of machine-id(5).
pub fn machine_id(text: &str) -> Option<[u8; 16]> {
    let text = text.trim_end();
    let is_hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (text.len() == 32 && is_hexadecimal)
        .then(|| u128::from_str_radix(text, 16).ok())?
        .map(u128::to_be_bytes)
}

fn derived(machine: &[u8; 16]) -> [u8; MACHINE_BYTES] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, machine);
    let tag = hmac::sign(&key, &APPLICATION);
    let mut id = [0; MACHINE_BYTES];
    for (to, from) in id.iter_mut().zip(tag.as_ref()) {
        *to = *from;
    }
    // A random UUID, by its version and variant.
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    id
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_bytes_of_a_machine_are_those_of_the_reference() {
        let id = machine_id("0123456789abcdef0123456789abcdef\n").unwrap();
        // From the secret that systemd-creds 262 made on a machine with this id.
        let expected = 0xf65a_25a6_c02a_4488_8e0e_49b6_adb6_b1f9_u128;
        assert_eq!(u128::from_be_bytes(derived(&id)), expected);
        for wrong in ["", "uninitialized", "+123456789abcdef0123456789abcdef0"] {
            assert_eq!(machine_id(wrong), None);
        }
    }

    #[test]
    fn a_secret_is_made_once_and_is_roots_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (reference, own) = (folder.path().join("reference"), folder.path().join("own"));
        let of_files = || HostSecret::of_files(&reference, &own);
        assert!(matches!(of_files(), Err(SecretError::None)));
        make(&own).unwrap();
        let first = of_files().unwrap();
        make(&own).unwrap();
        assert!(of_files().unwrap().bytes() == first.bytes());
        assert_eq!(own.metadata().unwrap().mode() & 0o777, 0o400);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(first.bytes().len(), SECRET_BYTES);
        make(&reference).unwrap();
        let both = HostSecrets::of_files(&reference, &own).unwrap();
        written(&reference, 2);
        written(&own, 1);
        assert_eq!(of_files().unwrap().path(), own, "the older one seals");
        assert!(of_files().unwrap().bytes() == first.bytes());
        written(&reference, 1);
        assert_eq!(of_files().unwrap().path(), reference, "of one age");
        assert!(both.are_two());
        mode(&reference, 0o440);
        assert!(
            of_files().is_err(),
            "nothing is sealed with the second where the first is wrong"
        );
        let one = HostSecrets::of_files(&reference, &own).unwrap();
        assert!(!one.are_two() && one.usable[0].path() == own, "it opens");
        assert!(
            matches!(&one.unusable, Some(SecretError::Unusable { path, .. }) if *path == reference)
        );
        mode(&own, 0o440);
        assert!(HostSecrets::of_files(&reference, &own).is_err());
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn written(path: &Path, seconds: u64) {
        let moment = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        File::open(path).unwrap().set_modified(moment).unwrap();
    }

    #[test]
    fn what_either_secret_sealed_is_opened_and_it_is_said_by_which() {
        let folder = tempfile::tempdir().unwrap();
        let (reference, own) = (folder.path().join("reference"), folder.path().join("own"));
        make(&own).unwrap();
        let seal = |path: &Path| {
            let secret = HostSecret::of_file(path).unwrap();
            crate::seal(b"x", "a", (1, None), Some(&secret)).unwrap()
        };
        let before = seal(&own);
        make(&reference).unwrap();
        let after = seal(&reference);
        let open = |sealed: &[u8]| {
            crate::open(sealed, &["a"], 1, || {
                HostSecrets::of_files(&reference, &own)
            })
        };
        assert_eq!(open(&before).unwrap().secret, Some(own.clone()));
        assert_eq!(open(&after).unwrap().secret, Some(reference.clone()));
        mode(&reference, 0o440);
        assert_eq!(open(&before).unwrap().secret, Some(own.clone()));
        let wrong = open(&after).unwrap_err();
        assert!(
            matches!(wrong, crate::Error::Secret(SecretError::Unusable { path, .. }) if path == reference)
        );
        std::fs::remove_file(&reference).unwrap();
        assert!(matches!(open(&after), Err(crate::Error::Unauthentic)));
    }
}
