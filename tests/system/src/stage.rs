//! What attacks are made on: files, processes, addresses and objects of the host that a sandboxed service must not reach.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use testkit::Instance;

use crate::terminal::Terminal;

/// The targets of attacks; gone when the value is dropped.
pub struct Stage {
    /// Tells the stages of one test process apart.
    number: u32,
    listener: TcpListener,
    abstract_listener: UnixListener,
    /// What only a host has, not a container.
    kernels: Option<(Disk, Pinned)>,
    /// The instance's own control group.
    group: Option<PathBuf>,
    peer: Peer,
    terminal: Terminal,
    /// After what is mounted in it and what has files of it.
    room: Folder,
    home: Folder,
    temporary: Folder,
    large_temporary: Folder,
}

/// A process of the host that waits until it is attacked, and ends with the value.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
    }
}

/// A folder that is removed when the value is dropped, or the test fails.
struct Folder(Option<TempDir>);

impl Folder {
    fn path(&self) -> &Path {
        self.0.as_ref().expect("it is there until the end").path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let closed = self.0.take().map(TempDir::close);
        let stays = closed.and_then(Result::err);
        // A test that failed has said what matters.
        assert!(stays.is_none() || std::thread::panicking(), "{stays:?}");
    }
}

impl Stage {
    /// Sets everything up for attacks on this instance.
    ///
    /// # Panics
    /// Where the host has nothing to attack, such as no disk.
    #[must_use]
    pub fn new(coracle: &Instance) -> Stage {
        let mut stage = Stage::in_container(coracle);
        let room = stage.room.path();
        stage.kernels = Some((disk(room), pinned(room)));
        stage
    }

    /// The same without what containers don't have: a disk, and programs that are pinned.
    ///
    /// # Panics
    /// Where there is no place for secrets.
    #[must_use]
    pub fn in_container(coracle: &Instance) -> Stage {
        static STAGES: AtomicU32 = AtomicU32::new(0);
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let room = folder("/var");
        fill_room(room.path());
        let stage = Stage {
            number,
            kernels: None,
            peer: peer(&room.path().join("attacker")),
            terminal: Terminal::new(&room.path().join("terminal")),
            room,
            home: folder("/root"),
            temporary: folder("/tmp"),
            large_temporary: folder("/var/tmp"),
            abstract_listener: abstract_listener(&name(number)),
            listener: TcpListener::bind("127.0.0.1:0").expect("a port of the host"),
            group: unified_groups()
                .map(|groups| groups.join(coracle.control_group().trim_start_matches('/'))),
        };
        stage.lay_out_secrets();
        stage.attacker(&["keep-segment", &stage.key(HELD)]);
        stage.attacker(&["keep-queue", &stage.queue()]);
        stage
    }

    /// The folder on the host that anybody may enter.
    #[must_use]
    pub fn room(&self) -> &Path {
        self.room.path()
    }

    /// Whether it has what only a host has.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.kernels.is_some()
    }

    /// A user that no other of the first stages takes, and that every Debian has.
    #[must_use]
    pub fn user(&self) -> &'static str {
        const USERS: [&str; 6] = ["games", "man", "lp", "mail", "news", "uucp"];
        USERS[self.number as usize % USERS.len()]
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
            ("PEER", self.peer.0.id().to_string()),
            ("PORT", port.to_string()),
            ("SEGMENT", self.key(HELD)),
            ("QUEUE", self.queue()),
            ("KEY", self.key(KEY)),
            ("TABLE", name(self.number).replace('-', "_")),
            ("TTY", self.terminal.path().to_owned()),
        ];
        let of_kernel = self
            .kernels
            .iter()
            .flat_map(|(disk, pinned)| [("DISK", disk.0.clone()), ("PINNED", path(&pinned.0))]);
        let named = |(name, value): (&str, String)| (name.to_owned(), value);
        let group = self.group.iter().map(|group| ("GROUP", path(group)));
        let all = targets.into_iter().chain(of_kernel).chain(group);
        all.map(named).collect()
    }

    /// Makes what acts have changed what it was: connections are taken, what is left is removed, owners are root.
    ///
    /// # Panics
    /// When something can't be undone.
    pub fn tidy(&self) {
        self.listener.set_nonblocking(true).expect("it is ours");
        self.abstract_listener.set_nonblocking(true).expect("ours");
        while self.listener.accept().is_ok() {}
        while self.abstract_listener.accept().is_ok() {}
        self.attacker(&["clear", &self.key(KEY), &name(self.number)]);
        for place in ["/dev/shm", "/tmp", "/var/tmp"] {
            remove(&Path::new(place).join(name(self.number)));
        }
        let open = self.room().join("open");
        let entries = fs::read_dir(&open).expect("it is there");
        for entry in entries.flatten() {
            remove(&entry.path());
        }
        std::os::unix::fs::chown(open, Some(0), Some(0)).expect("an owner");
    }

    /// A key of this stage alone, by the bit that tells its keys apart.
    fn key(&self, bit: u32) -> String {
        // Process ids have at most 22 bits.
        (bit | (std::process::id() << 4) | (self.number & 0xf)).to_string()
    }

    /// The queue that is there before an attack.
    fn queue(&self) -> String {
        format!("{}-held", name(self.number))
    }

    /// Has the attacker do one thing outside of all sandboxes.
    fn attacker(&self, words: &[&str]) {
        let output = self.outside(words);
        // A test that failed has said what matters.
        let is_done = output.status.success() || std::thread::panicking();
        assert!(is_done, "{words:?}: {output:?}");
    }

    /// What becomes of an act outside of all sandboxes.
    ///
    /// # Panics
    /// When the attacker does not start.
    #[must_use]
    pub fn outside(&self, words: &[&str]) -> std::process::Output {
        let output = Command::new(self.room().join("attacker"))
            .args(words)
            .output();
        output.expect("the attacker starts")
    }

    fn lay_out_secrets(&self) {
        let room = self.room.path();
        for folder in [
            room,
            &room.join("covered"),
            self.home.path(),
            self.temporary.path(),
            self.large_temporary.path(),
        ] {
            fs::write(folder.join("secret"), "secret\n").expect("a secret");
        }
    }
}

/// The folders and programs of a stage.
fn fill_room(room: &Path) {
    for name in ["open", "empty", "covered", "root", "closed"] {
        fs::create_dir(room.join(name)).expect("a folder");
    }
    let mode = |name: &str, mode| {
        fs::set_permissions(room.join(name), fs::Permissions::from_mode(mode)).expect("a mode");
    };
    mode("open", 0o777);
    for name in ["attacker", "set-id"] {
        fs::copy(attacker(), room.join(name)).expect("the attacker");
    }
    mode("set-id", 0o4755);
    root(&room.join("root"));
    fs::create_dir(room.join("root.mstack")).expect("a stack");
    symlink("../root", room.join("root.mstack/layer@root")).expect("a link");
    for name in ["dev", "tmp"] {
        fs::write(room.join("closed").join(name), "in the way").expect("a file");
    }
}

fn peer(attacker: &Path) -> Peer {
    let started = Command::new(attacker).arg("wait").spawn();
    Peer(started.expect("the attacker starts"))
}

/// Removes a file or a folder that may be there.
fn remove(path: &Path) {
    let removed = match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    assert!(removed.is_ok(), "{} stays: {removed:?}", path.display());
}

impl Drop for Stage {
    fn drop(&mut self) {
        let name = name(self.number);
        for (bit, queue) in [(HELD, self.queue()), (KEY, name)] {
            self.attacker(&["clear", &self.key(bit), &queue]);
        }
    }
}

/// Tells the objects that are there before an attack from those that one makes.
const HELD: u32 = 0x2000_0000;
const KEY: u32 = 0x4000_0000;

/// The program that cargo builds beside the tests and the tools.
fn attacker() -> PathBuf {
    let own = std::env::current_exe().expect("the test's own file");
    let mut places = own
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("attacker"));
    places
        .find(|path| path.is_file())
        .expect("the attacker is built")
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
fn folder(parent: &str) -> Folder {
    let made = tempfile::Builder::new()
        .prefix("coracle-attack-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(parent);
    Folder(Some(made.expect("a folder for secrets")))
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

/// A program that lets no packet pass, pinned in a file system of its own, which goes when the value is dropped.
struct Pinned(PathBuf, Option<OwnedFd>);

impl Drop for Pinned {
    fn drop(&mut self) {
        let folder = self.0.parent().unwrap_or(Path::new("/"));
        let unmounted = rustix::mount::unmount(folder, rustix::mount::UnmountFlags::empty());
        let is_done = unmounted.is_ok() || std::thread::panicking();
        assert!(is_done, "{} stays mounted", folder.display());
    }
}

fn pinned(room: &Path) -> Pinned {
    const EGRESS: (u32, u32) = (8, 1);
    const RETURN_0: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let folder = room.join("fs/bpf");
    fs::create_dir_all(&folder).expect("a mount point");
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("bpf", &folder, "bpf", flags, None).expect("a file system of type bpf");
    let mut pinned = Pinned(folder.join("silence"), None);
    let (kind, hook) = EGRESS;
    let program = kernel::bpf::load("silence", kind, hook, &RETURN_0).expect("a program");
    let path = std::ffi::CString::new(pinned.0.as_os_str().as_encoded_bytes()).expect("a path");
    kernel::bpf::pin(&program, &path).expect("a pin");
    // Held, too: who looks for what others have left sees that it is somebody's.
    pinned.1 = Some(program);
    pinned
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
    unified_groups().expect("a unified hierarchy of control groups")
}

/// The same, if there is one.
///
/// # Panics
/// Without /proc.
#[must_use]
pub fn unified_groups() -> Option<PathBuf> {
    let mounts = testkit::mount_table();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    Some(PathBuf::from(line?.split(' ').nth(4)?))
}
