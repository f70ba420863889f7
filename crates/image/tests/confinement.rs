//! Attacks from inside each worker: what works without confinement must end the process with it. And whole images through all
//! workers, to a mount and back. As root.
//!
//! This program has its own main, because a worker must have one thread: it starts itself as attacker and as worker.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test with its own main is not seen as one"
)]

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use coracle_image as image;
use coracle_image::build::{Format, Options, build};
use coracle_image::sign::SigningKey;
use coracle_image::signature::TrustedCertificate;
use coracle_image::verify::{Assurance, Trust};
use coracle_image::worker::{Kind, Workers, confine};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::mount::OpenTreeFlags;
use rustix::process::Pid;

/// The signal of a forbidden system call.
const SIGSYS: i32 = 31;

/// A name, what it tries (true: it worked), and the workers in which that must end the process.
type Attack = (&'static str, fn() -> bool, &'static [Kind]);

const ALL: &[Kind] = &Kind::ALL;
const BUT_MOUNT: &[Kind] = &[
    Kind::Dissect,
    Kind::Verify,
    Kind::Extract,
    Kind::Inspect,
    Kind::Unpack,
];

const ATTACKS: &[Attack] = &[
    (
        "open a file",
        || File::open("/etc/passwd").is_ok(),
        BUT_MOUNT,
    ),
    ("look for a file", || Path::new("/etc/passwd").exists(), ALL),
    (
        "remove a file",
        || fs::remove_file("/coracle-nothing").is_err_and(|e| e.kind() == ErrorKind::NotFound),
        ALL,
    ),
    (
        "read a link",
        || fs::read_link("/proc/self/cwd").is_ok(),
        ALL,
    ),
    (
        "open a network socket",
        || UdpSocket::bind("127.0.0.1:0").is_ok(),
        ALL,
    ),
    (
        "open a local socket",
        || UnixDatagram::unbound().is_ok(),
        ALL,
    ),
    (
        "execute a program",
        || {
            Command::new("/bin/true")
                .status()
                .is_ok_and(|status| status.success())
        },
        ALL,
    ),
    (
        "start a thread",
        || {
            std::thread::Builder::new()
                .spawn(|| ())
                .is_ok_and(|thread| thread.join().is_ok())
        },
        ALL,
    ),
    (
        "signal another process",
        || rustix::process::test_kill_process(Pid::INIT).is_ok(),
        ALL,
    ),
    (
        "enter namespaces",
        || kernel::namespace::unshare(kernel::namespace::UTS).is_ok(),
        ALL,
    ),
    (
        "change its root",
        || rustix::process::chroot("/").is_ok(),
        ALL,
    ),
    (
        "clone a mount",
        || rustix::mount::open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLONE).is_ok(),
        ALL,
    ),
    (
        "become someone else",
        || kernel::process::set_subreaper(true).is_ok(),
        ALL,
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["attack", name, kind] => attack(name, Kind::from_name(kind)),
        ["escape"] => escape(),
        ["wait", kind] => wait(kind),
        ["worker", kind] => work(kind),
        _ => all(),
    }
}

fn all() -> ExitCode {
    testkit::require_root();
    each_attack_works_outside_and_ends_the_process_inside();
    threads_that_hash_are_confined_as_the_worker_is();
    an_extract_worker_sees_nothing_but_the_image();
    an_image_goes_through_all_workers_and_leaves_nothing(Format::Squashfs);
    an_image_goes_through_all_workers_and_leaves_nothing(Format::Erofs);
    a_damaged_image_is_refused_in_words();
    many_mounts_at_once_find_a_loop_device_each();
    a_damaged_file_system_never_keeps_the_caller_from_an_answer(Format::Squashfs);
    a_damaged_file_system_never_keeps_the_caller_from_an_answer(Format::Erofs);
    println!("confinement: {} attacks, 7 tests passed", ATTACKS.len());
    ExitCode::SUCCESS
}

/// Confines itself where a kind is given, attacks, and says by its exit status whether that worked.
fn attack(name: &str, kind: Option<Kind>) -> ExitCode {
    let (_, attack, _) = ATTACKS
        .iter()
        .find(|(known, ..)| *known == name)
        .expect("an attack of this name");
    if let Some(kind) = kind {
        confine(kind, std::io::stdout().as_fd()).expect("confined");
    }
    ExitCode::from(u8::from(!attack()))
}

fn work(kind: &str) -> ExitCode {
    let kind = Kind::from_name(kind).expect("a worker of this name");
    image::worker::main(kind).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// This program again, with a directory as its descriptor 1.
fn run(arguments: &[&str], root: &Path) -> ExitStatus {
    Command::new("/proc/self/exe")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::from(OwnedFd::from(File::open(root).unwrap())))
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

fn each_attack_works_outside_and_ends_the_process_inside() {
    for (name, _, kinds) in ATTACKS {
        let outside = run(&["attack", name, "none"], Path::new("/"));
        assert!(
            outside.success(),
            "to {name} works without confinement: {outside}"
        );
        for kind in *kinds {
            let inside = run(&["attack", name, kind.name()], Path::new("/"));
            assert_eq!(
                inside.signal(),
                Some(SIGSYS),
                "to {name} in the {} worker: {inside}",
                kind.name()
            );
        }
    }
}

/// Confines itself, says so, and waits to be looked at.
fn wait(kind: &str) -> ExitCode {
    let kind = Kind::from_name(kind).expect("a worker of this name");
    let crew = confine(kind, std::io::stdout().as_fd()).expect("confined");
    rustix::io::write(std::io::stdin(), b"!").expect("a reader");
    rustix::io::read(std::io::stdin(), &mut [0; 1]).expect("an end");
    drop(crew);
    ExitCode::SUCCESS
}

fn threads_that_hash_are_confined_as_the_worker_is() {
    let processors = std::thread::available_parallelism().unwrap().get();
    for kind in Kind::ALL {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let root = tempfile::tempdir().unwrap();
        let mut worker = Command::new("/proc/self/exe")
            .args(["wait", kind.name()])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(File::open(root.path()).unwrap())))
            .spawn()
            .unwrap();
        ours.read_exact(&mut [0; 1]).unwrap();
        let threads = fs::read_dir(format!("/proc/{}/task", worker.id())).unwrap();
        let mut states = threads.map(|thread| {
            let text = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            let wanted = ["Cap", "NoNewPrivs:", "Seccomp"];
            let lines = text
                .lines()
                .filter(|line| wanted.iter().any(|word| line.starts_with(word)));
            lines.map(str::to_owned).collect::<Vec<_>>()
        });
        let first = states.next().unwrap();
        assert!(first.contains(&"Seccomp:\t2".to_owned()), "{first:?}");
        let others: Vec<_> = states.collect();
        assert!(others.iter().all(|state| *state == first), "{others:?}");
        let expected = match kind {
            Kind::Verify | Kind::Inspect => processors.min(4) - 1,
            _ => 0,
        };
        assert_eq!(others.len(), expected, "{}", kind.name());
        drop(ours);
        assert!(worker.wait().unwrap().success());
    }
}

/// An extract worker may open files: tries the host's.
fn escape() -> ExitCode {
    let root = std::io::stdout();
    confine(Kind::Extract, root.as_fd()).expect("confined");
    let paths = [
        "/etc/passwd",
        "etc/passwd",
        "../../../../etc/passwd",
        "/proc/1/root/etc/passwd",
    ];
    let open = |path: &str, resolve| {
        rustix::fs::openat2(&root, path, OFlags::RDONLY, Mode::empty(), resolve).is_ok()
    };
    let outside = paths
        .iter()
        .any(|path| open(path, ResolveFlags::empty()) || open(path, ResolveFlags::IN_ROOT));
    ExitCode::from(u8::from(outside || !open("inside", ResolveFlags::empty())))
}

fn an_extract_worker_sees_nothing_but_the_image() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("inside"), "x").unwrap();
    let status = run(&["escape"], dir.path());
    assert!(status.success(), "{status}");
}

/// A signed image of one unit, and the trust in its maker.
fn signed(dir: &Path, format: Format) -> (File, Trust) {
    let units = dir.join("root/usr/lib/systemd/system");
    fs::create_dir_all(&units).unwrap();
    fs::write(
        units.join("hello.service"),
        "[Service]\nExecStart=/bin/true\n",
    )
    .unwrap();
    fs::write(
        dir.join("root/usr/lib/os-release"),
        "ID=hello\nVERSION_ID=1\n",
    )
    .unwrap();
    image::keygen::generate(dir, "Maker").unwrap();
    let key = SigningKey::load(&dir.join("signing.key"), None).unwrap();
    let image = dir.join("hello.psi");
    build(
        &dir.join("root"),
        &image,
        &Options {
            key: Some(&key),
            format,
            ..Options::default()
        },
    )
    .unwrap();
    let certificate =
        TrustedCertificate::parse(&fs::read(dir.join("signing.crt")).unwrap()).unwrap();
    (
        File::options().read(true).write(true).open(image).unwrap(),
        Trust::Certificates(vec![certificate]),
    )
}

fn an_image_goes_through_all_workers_and_leaves_nothing(format: Format) {
    let dir = tempfile::tempdir().unwrap();
    let (file, trust) = signed(dir.path(), format);
    let workers = Workers::default();
    let layout = workers.dissect(&file).unwrap();
    let verified = workers.verify(&file, &layout, &trust).unwrap();
    assert!(
        matches!(&verified.record().assurance, Assurance::Signed(signer) if signer.common_name == "Maker")
    );
    let mount = workers.mount(&file, &verified).unwrap();
    let contents = workers.extract(mount.as_fd()).unwrap();
    assert_eq!(contents.os_release.name(), Some("hello"));
    assert_eq!(contents.units[0].text, "[Service]\nExecStart=/bin/true\n");
    read_only(&mount);
    // erofs needs none where the kernel mounts files.
    let devices = loop_devices(dir.path()).len();
    assert!(devices == 1 || (devices == 0 && format == Format::Erofs));
    let report = workers.inspect(&file).unwrap();
    assert_eq!(report.contents, Some(contents));
    drop(mount);
    let left = loop_devices(dir.path());
    assert!(left.is_empty(), "{left:?}");
}

/// The loop devices, and whatever else of the machine, that images in this folder are behind: a mount that is left keeps its device.
fn loop_devices(folder: &Path) -> Vec<String> {
    testkit::Picture::take(&[]).naming(folder)
}

fn read_only(mount: &OwnedFd) {
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let refused = rustix::fs::openat(mount, "new", flags, Mode::RUSR).unwrap_err();
    assert_eq!(refused, rustix::io::Errno::ROFS);
    let flags = rustix::fs::fstatvfs(mount).unwrap().f_flag;
    use rustix::fs::StatVfsMountFlags as Is;
    assert!(
        flags.contains(Is::RDONLY | Is::NOSUID | Is::NODEV),
        "{flags:?}"
    );
}

fn a_damaged_image_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let (file, trust) = signed(dir.path(), Format::Erofs);
    let workers = Workers::default();
    let layout = workers.dissect(&file).unwrap();
    let root = layout.claim().root;
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", root.offset + root.length - 1).unwrap();
    let said = workers
        .verify(&file, &layout, &trust)
        .unwrap_err()
        .to_string();
    assert!(said.starts_with("the root hash does not match"), "{said}");
    let text = dir.path().join("text");
    fs::write(&text, "just text").unwrap();
    let said = workers
        .dissect(&File::open(text).unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(
        said,
        "this is no image: neither a partition table nor a file system of a known kind"
    );
}

/// The library that reads file systems was not made for hostile ones: what it does to the worker must not reach the caller, and a
/// damaged file is either read or refused, soon.
fn a_damaged_file_system_never_keeps_the_caller_from_an_answer(format: Format) {
    const CASES: usize = 150;
    // The superblock and what is behind it, where most numbers are that lead elsewhere.
    let (start, length) = match format {
        Format::Squashfs => (0, 96),
        Format::Erofs => (1024, 512),
    };
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = signed(dir.path(), format);
    let workers = Workers::default();
    let root = workers.dissect(&file).unwrap().claim().root;
    let mut whole = vec![0; usize::try_from(root.length).unwrap()];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut whole, root.offset).unwrap();
    // A fixed generator, so that a failure repeats.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16 & 0xffff_ffff).unwrap() % limit
    };
    let path = dir.path().join("damaged");
    let (mut read, mut refused) = (0, 0);
    for case in 0..CASES {
        let mut bytes = whole.clone();
        for _ in 0..next(4) {
            let place = if next(2) == 0 {
                start + next(length)
            } else {
                next(bytes.len())
            };
            bytes[place] = u8::try_from(next(256)).unwrap();
        }
        if next(4) == 0 {
            bytes.truncate(next(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        let begin = std::time::Instant::now();
        match workers.inspect(&File::open(&path).unwrap()) {
            Ok(report) if report.contents.is_some() => read += 1,
            Ok(_) | Err(_) => refused += 1,
        }
        assert!(
            begin.elapsed().as_secs() < 20,
            "case {case} took {:?}",
            begin.elapsed()
        );
    }
    assert!(
        read > 0 && refused > 0,
        "{read} read, {refused} refused: the test proves nothing"
    );
}

fn many_mounts_at_once_find_a_loop_device_each() {
    let dir = tempfile::tempdir().unwrap();
    let (file, _) = signed(dir.path(), Format::Squashfs);
    let workers = Workers::default();
    let layout = workers.dissect(&file).unwrap();
    let verified = workers.verify(&file, &layout, &Trust::Insecure).unwrap();
    let mounts = std::thread::scope(|scope| {
        let started: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| workers.mount(&file, &verified)))
            .collect();
        started
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Result<Vec<_>, _>>()
            .unwrap()
    });
    assert_eq!((mounts.len(), loop_devices(dir.path()).len()), (12, 12));
    drop(mounts);
    let left = loop_devices(dir.path());
    assert!(left.is_empty(), "{left:?}");
}
