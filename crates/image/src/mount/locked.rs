//! Encrypted partitions: opened by cryptsetup(8) as a device that goes with its last user.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kernel::device_mapper;
use rustix::fs::SeekFrom;

use super::{MountError, Options, Step, from_device, loop_device, mapped};
use crate::choose::Locked;
use crate::dissect::FileSystem;
use crate::worker::Watch;

/// Where cryptsetup is looked for: the caller's PATH has no say.
const PROGRAMS: [&str; 3] = [
    "/usr/sbin/cryptsetup",
    "/usr/bin/cryptsetup",
    "/sbin/cryptsetup",
];
/// What deriving the costliest key takes on a slow and busy machine.
const LIMIT: Duration = Duration::from_secs(120);
/// Bytes of what cryptsetup says that are told.
const WORDS_BYTES: u64 = 300;
/// Its exit status where no key slot opens with the key (cryptsetup(8)).
const NO_PERMISSION: i32 = 2;

/// Why an encrypted partition was not opened.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// Something of the kernel's.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// No device mapper.
    #[error(
        "encrypted images are opened by device mapper, which is not there: see whether the kernel has the module dm-crypt"
    )]
    NoDeviceMapper,
    /// No cryptsetup.
    #[error(
        "encrypted images are opened by cryptsetup, which is not installed: on Debian it is in the package cryptsetup-bin"
    )]
    NoProgram,
    /// It can't be run.
    #[error("cannot run cryptsetup")]
    Run(#[source] io::Error),
    /// No slot has this key.
    #[error("the key does not open it")]
    WrongKey,
    /// It took too long.
    #[error("cryptsetup was not done after {} s and was ended: its header asks too much, or the disk below it hangs", LIMIT.as_secs())]
    Late,
    /// Anything else that it says.
    #[error("cryptsetup does not open it: {0}")]
    Failed(String),
    /// What it opened is not there.
    #[error("cannot look at what cryptsetup opened")]
    Device(#[source] io::Error),
}

/// A device with what was encrypted, which is there until this and all mounts of it are gone.
#[derive(Debug)]
pub struct Unlocked {
    device: File,
    path: String,
    length: u64,
}

/// A device's name as long as it is to be removed, whatever happens.
struct Name {
    control: OwnedFd,
    name: String,
}

/// Opens an encrypted partition with this key. The file is the caller's by [`super::claim`].
///
/// # Errors
/// See [`UnlockError`].
pub fn unlock(
    file: &File,
    locked: &Locked,
    key: &[u8],
    read_only: bool,
) -> Result<Unlocked, UnlockError> {
    if !super::has_device_mapper() {
        return Err(UnlockError::NoDeviceMapper);
    }
    let mut programs = PROGRAMS.iter().map(Path::new);
    let program = programs.find(|program| program.exists());
    let program = program.ok_or(UnlockError::NoProgram)?;
    let (loop_device, below) = loop_device(file, locked.extent, read_only)?;
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = Name {
        control: mapped::control().step("opening /dev/mapper/control")?,
        name: format!("coracle-luks-{}-{number}", std::process::id()),
    };
    run(program, &below, &name.name, key, read_only)?;
    let unlocked = Unlocked::open(&name).map_err(UnlockError::Device)?;
    // The device below is the opened one's from here, and that is ours and its mounts' once its name is given back.
    drop((name, loop_device));
    Ok(unlocked)
}

fn run(
    program: &Path,
    below: &str,
    name: &str,
    key: &[u8],
    read_only: bool,
) -> Result<(), UnlockError> {
    let mut command = Command::new(program);
    command
        .args(["open", "--type", "luks2", "--batch-mode"])
        // A token in the header names programs and hardware that are to give the key: nobody asked for those.
        .args(["--disable-external-tokens", "--key-file", "-"])
        .args(read_only.then_some("--readonly"))
        .args([below, name])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(UnlockError::Run)?;
    let watch = Watch::begin(&child, LIMIT).map_err(UnlockError::Run)?;
    let words = converse(&mut child, key);
    let status = child.wait().map_err(UnlockError::Run)?;
    if watch.end() {
        return Err(UnlockError::Late);
    }
    match status.code() {
        Some(0) => Ok(()),
        Some(NO_PERMISSION) => Err(UnlockError::WrongKey),
        _ => Err(UnlockError::Failed(
            match words.map_err(UnlockError::Run)? {
                words if words.is_empty() => status.to_string(),
                words => words,
            },
        )),
    }
}

/// Hands the key over, and hears what is said on one line.
fn converse(child: &mut Child, key: &[u8]) -> io::Result<String> {
    if let Some(mut input) = child.stdin.take() {
        match input.write_all(key) {
            // It may end before it reads: then it says why.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    let mut said = Vec::new();
    if let Some(output) = &mut child.stderr {
        output.take(WORDS_BYTES).read_to_end(&mut said)?;
        // What else it says must not hold it up.
        io::copy(output, &mut io::sink())?;
    }
    let said = String::from_utf8_lossy(&said);
    let said: String = said.replace(|char: char| char.is_control(), " ");
    Ok(said.trim().trim_end_matches('.').to_owned())
}

impl Unlocked {
    fn open(name: &Name) -> io::Result<Unlocked> {
        let device = File::open(name.node())?;
        let number = rustix::fs::fstat(&device)?.st_rdev;
        let length = rustix::fs::seek(&device, SeekFrom::End(0))?;
        Ok(Unlocked {
            path: format!("/dev/dm-{}", rustix::fs::minor(number)),
            device,
            length,
        })
    }

    /// What was encrypted, to be read, and how long it is in bytes.
    #[must_use]
    pub fn content(&self) -> (&File, u64) {
        (&self.device, self.length)
    }

    /// Makes a detached mount of the file system in it.
    ///
    /// # Errors
    /// See [`MountError`].
    pub fn mount(&self, kind: FileSystem, options: &Options) -> Result<OwnedFd, MountError> {
        from_device(&self.path, kind, options)
    }
}

impl Name {
    fn node(&self) -> PathBuf {
        Path::new("/dev/mapper").join(&self.name)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Whoever has it open keeps it until then. Where cryptsetup opened nothing, there is none of them; of what has integrity,
        // there are two.
        for name in [self.name.clone(), format!("{}_dif", self.name)] {
            device_mapper::remove(&self.control, name.as_bytes()).ok();
            let node = Path::new("/dev/mapper").join(name);
            // Where udev does not do it, cryptsetup made a node, which nobody would remove with the device.
            if node
                .symlink_metadata()
                .is_ok_and(|found| !found.is_symlink())
            {
                std::fs::remove_file(node).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// What is said of a program that does this in cryptsetup's place.
    fn check(script: &str, key: &[u8], expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("cryptsetup");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let said = match run(&program, "/dev/loop9", "opened", key, true) {
            Ok(()) => "opened".into(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected, "{script}");
    }

    #[test]
    fn the_key_goes_to_standard_input_and_what_is_said_comes_back() {
        let words = "open --type luks2 --batch-mode --disable-external-tokens --key-file - --readonly /dev/loop9 opened";
        check(
            &format!("[ \"$*\" = \"{words}\" ] && [ \"$(cat)\" = secret ] && [ -z \"$HOME\" ]"),
            b"secret",
            "opened",
        );
        check("exit 2", b"other", "the key does not open it");
        let failed = "cryptsetup does not open it: ";
        check(
            "printf 'Device \\033[1mis\\nbroken.\\n' >&2; exit 4",
            b"",
            &format!("{failed}Device  [1mis broken"),
        );
        check("exit 3", b"", &format!("{failed}exit status: 3"));
        // Neither what is not read nor what is not told holds anything up.
        check(
            "exec <&-; head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1",
            &[b'k'; 200_000],
            &format!("{failed}{}", "x".repeat(300)),
        );
    }
}
