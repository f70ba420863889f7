//! Encrypted partitions: opened by cryptsetup(8) as a device that goes with its last user.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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

/// A device's name as long as it is to be removed. Where its maker is killed first, the next one removes it.
struct Name {
    control: OwnedFd,
    name: String,
}

/// What all names begin with.
const PREFIX: &str = "coracle-luks-";
/// What follows the name of a device with integrity in that of the one below it.
const BELOW: &str = "_dif";

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
    let control = mapped::control().step("opening /dev/mapper/control")?;
    let maker = Maker::own().map_err(UnlockError::Run)?;
    sweep(&control, &maker);
    let name = Name {
        control,
        name: maker.name().map_err(UnlockError::Run)?,
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
    // Nobody would take away what it opens.
    let mut child = kernel::session::end_with_caller(&mut command)
        .spawn()
        .map_err(UnlockError::Run)?;
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
        // Where cryptsetup opened nothing, there is none of them; of what has integrity, there are two.
        for name in [self.name.clone(), format!("{}{BELOW}", self.name)] {
            remove(&self.control, &name);
        }
    }
}

/// Whoever has the device open keeps it until then.
fn remove(control: &OwnedFd, name: &str) {
    device_mapper::remove(control, name.as_bytes()).ok();
    let node = Path::new("/dev/mapper").join(name);
    // Where udev does not do it, cryptsetup made a node, which nobody would remove with the device.
    if node
        .symlink_metadata()
        .is_ok_and(|found| !found.is_symlink())
    {
        std::fs::remove_file(node).ok();
    }
}

/// Who makes a device, as its name says: numbers of processes mean something among those of one namespace, until they are given anew.
#[derive(Debug, PartialEq, Eq)]
struct Maker {
    namespace: u64,
    pid: u32,
    started: u64,
}

impl Maker {
    fn own() -> io::Result<Maker> {
        let pid = std::process::id();
        Ok(Maker {
            namespace: rustix::fs::stat("/proc/self/ns/pid")?.st_ino,
            pid,
            started: started(pid)?.ok_or(io::ErrorKind::NotFound)?,
        })
    }

    /// A name that nobody has and nobody can foresee.
    fn name(&self) -> io::Result<String> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let Maker {
            namespace,
            pid,
            started,
        } = self;
        let random = u64::from_ne_bytes(random);
        Ok(format!("{PREFIX}{namespace}-{pid}-{started}-{random:016x}"))
    }

    /// The maker of a device of this name, which may be that of one below it.
    fn of(name: &str) -> Option<Maker> {
        let mut parts = name.strip_prefix(PREFIX)?.splitn(4, '-');
        let maker = Maker {
            namespace: parts.next()?.parse().ok()?,
            pid: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
        };
        let random = parts.next()?;
        let random = random.strip_suffix(BELOW).unwrap_or(random);
        u64::from_str_radix(random, 16).is_ok().then_some(maker)
    }

    /// Whether it surely is no more. Of other namespaces' nobody knows here.
    fn is_gone(&self, own: &Maker) -> bool {
        let is_other = |started: Option<u64>| started != Some(self.started);
        self.namespace == own.namespace && started(self.pid).is_ok_and(is_other)
    }
}

/// When a process began, as the kernel counts it (proc_pid_stat(5)). None: there is none.
fn started(pid: u32) -> io::Result<Option<u64>> {
    const FIELD_BEHIND_NAME: usize = 19;
    let text = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    // The process chooses its name, with any brackets and blanks in it.
    let fields = text.rsplit_once(") ").map(|(_, fields)| fields);
    let mut fields = fields.unwrap_or_default().split(' ');
    let started = fields.nth(FIELD_BEHIND_NAME);
    let started = started.and_then(|number| number.parse().ok());
    Ok(Some(started.ok_or(io::ErrorKind::InvalidData)?))
}

/// Removes the devices of makers that were killed between the opening of a device and the giving back of its name.
fn sweep(control: &OwnedFd, own: &Maker) {
    // Where the list can't be read, it is left to the next one.
    let blocks = std::fs::read_dir("/sys/block").into_iter().flatten();
    let names = blocks.flatten().filter_map(|block| {
        let name = std::fs::read_to_string(block.path().join("dm/name")).ok()?;
        Some(name.trim_end().to_owned())
    });
    for name in stale(names, own) {
        remove(control, &name);
    }
}

/// Those of devices whose maker is gone, what lies below others last.
fn stale(names: impl Iterator<Item = String>, own: &Maker) -> Vec<String> {
    let is_stale = |name: &String| Maker::of(name).is_some_and(|maker| maker.is_gone(own));
    let mut stale: Vec<String> = names.filter(is_stale).collect();
    stale.sort_by_key(|name| name.ends_with(BELOW));
    stale
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
    fn only_devices_whose_maker_is_gone_are_stale() {
        let own = Maker::own().unwrap();
        let mut child = Command::new("/bin/true").spawn().unwrap();
        let gone = Maker {
            pid: child.id(),
            started: started(child.id()).unwrap().unwrap(),
            ..Maker::own().unwrap()
        };
        assert_eq!(Maker::of(&gone.name().unwrap()), Some(gone_again(&gone)));
        let alive = |maker: &Maker| {
            let names = [maker.name().unwrap()];
            stale(names.into_iter(), &own).is_empty()
        };
        // Until it is waited for it is there.
        assert!(alive(&gone) && alive(&own));
        child.wait().unwrap();
        assert!(!alive(&gone));
        let reused = Maker {
            started: own.started + 1,
            ..Maker::own().unwrap()
        };
        assert!(!alive(&reused), "its number is another's");
        let elsewhere = Maker {
            namespace: own.namespace + 1,
            ..gone_again(&gone)
        };
        assert!(alive(&elsewhere), "nobody knows");
        let name = gone.name().unwrap();
        let below = format!("{name}{BELOW}");
        let strange = ["coracle-luks-1-2", "root", "coracle-luks-4-x-5-6"].map(String::from);
        let all = [below.clone(), name.clone()].into_iter().chain(strange);
        assert_eq!(stale(all, &own), [name, below]);
        assert_ne!(own.name().unwrap(), own.name().unwrap());
    }

    fn gone_again(maker: &Maker) -> Maker {
        Maker { ..*maker }
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
