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
pub struct HostSecret(Zeroizing<Vec<u8>>);

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

impl HostSecret {
    /// The secret's random bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.get(MACHINE_BYTES..).unwrap_or_default()
    }

    /// Reads the reference's secret or, where that is not there, the one below the state directory.
    ///
    /// # Errors
    /// When there is none, or it could be read or written by others than root, or is another machine's.
    pub fn read(state: &Path) -> Result<HostSecret, SecretError> {
        Self::of_files(Path::new(REFERENCE), &state.join(NAME))
    }

    fn of_files(reference: &Path, own: &Path) -> Result<HostSecret, SecretError> {
        for path in [reference, own] {
            match read_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                read => {
                    return read.map(HostSecret).map_err(|error| SecretError::Unusable {
                        path: path.to_owned(),
                        why: error.to_string(),
                    });
                }
            }
        }
        Err(SecretError::None)
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
        assert!(
            of_files().unwrap().bytes() != first.bytes(),
            "the reference's comes first"
        );
        std::fs::set_permissions(&reference, std::fs::Permissions::from_mode(0o440)).unwrap();
        assert!(
            of_files().is_err(),
            "never the second where the first is wrong"
        );
    }
}
