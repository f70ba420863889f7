//! What attacks are made on: files, processes, addresses and objects of the host that a sandboxed service must not reach.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use testkit::Instance;

/// The targets of attacks; gone when the value is dropped.
pub struct Stage {
    /// Tells the stages of one test process apart.
    number: u32,
    room: TempDir,
    home: TempDir,
    temporary: TempDir,
    large_temporary: TempDir,
    listener: TcpListener,
    /// Held, so that it can be reached.
    _abstract_listener: UnixListener,
    segment: String,
    disk: Disk,
    group: PathBuf,
}

/// System calls that attacks make by number.
const CALLS: &[(&str, libc::c_long)] = &[
    ("add_key", libc::SYS_add_key),
    ("clock_adjtime", libc::SYS_clock_adjtime),
    ("clone3", libc::SYS_clone3),
    ("delete_module", libc::SYS_delete_module),
    ("fchmodat2", 452),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("keyctl", libc::SYS_keyctl),
    ("mknodat", libc::SYS_mknodat),
    ("mmap", libc::SYS_mmap),
    ("mprotect", libc::SYS_mprotect),
    ("openat", libc::SYS_openat),
    ("openat2", libc::SYS_openat2),
    ("personality", libc::SYS_personality),
    ("pkey_mprotect", libc::SYS_pkey_mprotect),
    ("ptrace", libc::SYS_ptrace),
    ("sched_setattr", libc::SYS_sched_setattr),
    ("sched_setscheduler", libc::SYS_sched_setscheduler),
    ("shmat", libc::SYS_shmat),
    ("socket", libc::SYS_socket),
    ("syslog", libc::SYS_syslog),
];

impl Stage {
    /// Sets everything up for attacks on this instance.
    ///
    /// # Panics
    /// Where the host has nothing to attack, such as no disk.
    #[must_use]
    pub fn new(coracle: &Instance) -> Stage {
        static STAGES: AtomicU32 = AtomicU32::new(0);
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let room = folder("/var");
        let stage = Stage {
            number,
            disk: disk(room.path()),
            room,
            home: folder("/root"),
            temporary: folder("/tmp"),
            large_temporary: folder("/var/tmp"),
            _abstract_listener: abstract_listener(&name(number)),
            listener: TcpListener::bind("127.0.0.1:0").expect("a port of the host"),
            segment: perl("print shmget(0, 16, 0666 | 01000); "),
            group: control_groups().join(coracle.control_group().trim_start_matches('/')),
        };
        stage.fill_room();
        stage
    }

    /// The folder on the host that anybody may enter.
    #[must_use]
    pub fn room(&self) -> &Path {
        self.room.path()
    }

    /// The text with the stage's variables filled in.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        self.variables()
            .iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(&format!("${name}"), value)
            })
    }

    /// The names that attacks know their targets by.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.display().to_string();
        let port = self.listener.local_addr().expect("an address").port();
        let targets = [
            ("ROOM", path(self.room.path())),
            ("SECRET_HOME", path(self.home.path())),
            ("SECRET_TMP", path(self.temporary.path())),
            ("SECRET_VAR_TMP", path(self.large_temporary.path())),
            ("NAME", name(self.number)),
            ("PEER", std::process::id().to_string()),
            ("PORT", port.to_string()),
            ("SEGMENT", self.segment.clone()),
            // Beside the segment that is there before: one that an attack makes.
            ("SEGMENT_KEY", self.segment_key().to_string()),
            ("DISK", self.disk.0.clone()),
            ("GROUP", path(&self.group)),
        ];
        let calls = CALLS
            .iter()
            .map(|(name, number)| (format!("SYS_{name}"), number.to_string()));
        let targets = targets.map(|(name, value)| (name.to_owned(), value));
        targets.into_iter().chain(calls).collect()
    }

    fn segment_key(&self) -> u32 {
        // Process ids have at most 22 bits.
        0x4000_0000 | (std::process::id() << 4) | (self.number & 0xf)
    }

    fn fill_room(&self) {
        let room = self.room.path();
        for name in ["open", "empty", "covered", "root", "closed"] {
            fs::create_dir(room.join(name)).expect("a folder");
        }
        let mode = |name: &str, mode| {
            fs::set_permissions(room.join(name), fs::Permissions::from_mode(mode)).expect("a mode");
        };
        mode("open", 0o777);
        for folder in [
            room,
            &room.join("covered"),
            self.home.path(),
            self.temporary.path(),
            self.large_temporary.path(),
        ] {
            fs::write(folder.join("secret"), "secret\n").expect("a secret");
        }
        fs::copy("/usr/bin/id", room.join("set-id")).expect("a program");
        mode("set-id", 0o4755);
        fs::write(room.join("foreign"), foreign_program()).expect("a program");
        mode("foreign", 0o755);
        root(&room.join("root"));
        for name in ["dev", "tmp"] {
            fs::write(room.join("closed").join(name), "in the way").expect("a file");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Another test's failure may have removed them already.
        perl(&format!(
            "shmctl({segment}, 0, 0); $made = shmget({key}, 0, 0); shmctl($made, 0, 0) if defined $made;
             $made = msgget({key}, 0); msgctl($made, 0, 0) if defined $made;
             $made = semget({key}, 0, 0); semctl($made, 0, 0, 0) if defined $made;
             unlink '/dev/shm/{name}';",
            segment = self.segment,
            key = self.segment_key(),
            name = name(self.number),
        ));
    }
}

/// What objects of a stage are called.
fn name(number: u32) -> String {
    format!("coracle-attack-{}-{number}", std::process::id())
}

fn abstract_listener(name: &str) -> UnixListener {
    let address = SocketAddr::from_abstract_name(name).expect("an address");
    UnixListener::bind_addr(&address).expect("an abstract socket of the host")
}

/// A folder that anybody may enter; `/root` and its like have their own modes.
fn folder(parent: &str) -> TempDir {
    tempfile::Builder::new()
        .prefix("coracle-attack-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(parent)
        .expect("a folder for secrets")
}

/// A root directory that takes the host's programs by bind mounts, and lies about /proc.
fn root(root: &Path) {
    for name in ["usr", "dev", "proc", "sys", "run", "tmp", "var/tmp", "etc"] {
        fs::create_dir_all(root.join(name)).expect("a mount point");
    }
    for name in ["bin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), root.join(name)).expect("a link");
    }
    fs::write(root.join("proc/planted"), "a lie\n").expect("a file");
}

/// Runs a program for perl and returns what it printed: it is on every Debian, and knows shared memory.
fn perl(program: &str) -> String {
    let output = Command::new("perl").args(["-e", program]).output();
    String::from_utf8(output.expect("perl is installed").stdout).expect("text")
}

/// A loop device, detached when the value is dropped.
struct Disk(String);

impl Drop for Disk {
    fn drop(&mut self) {
        let detached = Command::new("losetup").args(["--detach", &self.0]).status();
        assert!(
            detached.is_ok_and(|status| status.success()),
            "{} stays",
            self.0
        );
    }
}

/// A disk of the host: a loop device with a file behind it.
fn disk(room: &Path) -> Disk {
    let image = room.join("disk");
    fs::write(&image, vec![b'x'; 4096]).expect("a disk's content");
    let output = Command::new("losetup")
        .args(["--find", "--show"])
        .arg(image)
        .output();
    let output = output.expect("losetup is installed");
    assert!(
        output.status.success(),
        "this host gives no loop device: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Disk(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Where the unified hierarchy of control groups is mounted.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn control_groups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let place = line.and_then(|line| line.split(' ').nth(4));
    PathBuf::from(place.expect("a unified hierarchy of control groups"))
}

/// A program for this machine whose one call, exit(0), goes through the door for 32-bit programs.
fn foreign_program() -> Vec<u8> {
    const CODE: &[u8] = &[
        0xb8, 1, 0, 0, 0, // the call's number there: exit
        0x31, 0xdb, // with status 0
        0xcd, 0x80, // through the 32-bit door
        0x0f, 0x0b, // refused: die
    ];
    const BASE: u64 = 0x40_0000;
    let size = 120 + CODE.len() as u64;
    let mut program = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0");
    for word in [BASE + 120, 64, 0] {
        program.extend(u64::to_le_bytes(word));
    }
    program.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // One segment, readable and executable.
    program.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 0x1000] {
        program.extend(u64::to_le_bytes(word));
    }
    program.extend(CODE);
    program
}
